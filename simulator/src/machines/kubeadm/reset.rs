//! `kubeadm reset`: undoes what init or join did on this machine.

use super::{Done, Kubeadm};

impl Kubeadm<'_> {
    /// Removes the etcd member if there is one, stops the kubelet and clears its files. The CNI's
    /// configuration, devices and `/run/flannel` stay, as with the real one.
    pub(super) async fn reset(&self) -> Done {
        let files = self.machine.host.files();
        let etcd = &self.machine.site.etcd;
        let mut output = String::new();
        if let Some(member) = etcd.member_on(&self.machine.id)
            && let Err(error) = etcd.remove(member.id)
        {
            output += &format!(
                "[reset] Failed to remove etcd member: {error}, please manually remove this etcd member using etcdctl\n"
            );
        }
        self.machine.order_kubelet(false, false);
        self.pause(self.machine.site.durations.kubeadm).await;
        for path in [
            "/etc/kubernetes/manifests",
            "/etc/kubernetes/pki",
            "/etc/kubernetes/admin.conf",
            "/etc/kubernetes/super-admin.conf",
            "/etc/kubernetes/kubelet.conf",
            "/etc/kubernetes/bootstrap-kubelet.conf",
            "/etc/kubernetes/controller-manager.conf",
            "/etc/kubernetes/scheduler.conf",
            "/var/lib/kubelet",
            "/var/lib/etcd",
        ] {
            files.remove(path);
        }
        for directory in ["/etc/kubernetes/manifests", "/var/lib/kubelet", "/var/lib/etcd"] {
            files.make_directory(directory)?;
        }
        // kubeadm removes every container on the machine, so nothing of the old kubelet is left.
        self.machine.forget_pods();
        Ok(output + "[reset] Deleted contents of the config directories\n")
    }
}
