#!/bin/bash
# The image of a virtual machine that can become a node: the system with the cluster's programs and images in it.
# Arguments: the system's tar file, the folder with the programs, the images' archive, the folder for what is made.
set -eu
system=$1 bin=$2 images=$3 into=$4
root=$into/root
mkdir "$root"
tar --extract --numeric-owner --xattrs --xattrs-include='*' --file "$system" --directory "$root"

# What a package of Kubernetes' own brings.
install -m 0755 "$bin/kubelet" "$bin/kubeadm" "$bin/crictl" "$root/usr/bin/"
mkdir -p "$root/opt/cni/bin" "$root/etc/kubernetes/manifests" "$root/usr/lib/systemd/system/kubelet.service.d"
install -m 0755 "$bin/bridge" "$bin/host-local" "$bin/loopback" "$bin/portmap" "$root/opt/cni/bin/"
cat >"$root/usr/lib/systemd/system/kubelet.service" <<'UNIT'
[Unit]
Description=kubelet
# Before the join it would only end, and be started again: an emulated processor is better left alone.
ConditionPathExists=/var/lib/kubelet/config.yaml
Wants=network-online.target
After=network-online.target

[Service]
ExecStart=/usr/bin/kubelet
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
UNIT
cat >"$root/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf" <<'UNIT'
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
for unit in kubelet systemd-networkd; do
    ln -sf "/lib/systemd/system/$unit.service" "$root/etc/systemd/system/multi-user.target.wants/$unit.service"
done
cat >"$root/etc/containerd/config.toml" <<TOML
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$SANDBOX"
TOML
echo 'runtime-endpoint: unix:///run/containerd/containerd.sock' >"$root/etc/crictl.yaml"

# cloud-init looks for no cloud that isn't there, and does what user-data asks for and no more: each of its modules
# costs an emulated processor a second.
cat >"$root/etc/cloud/cloud.cfg.d/90-lab.cfg" <<'CFG'
datasource_list: [NoCloud, None]
system_info:
  network: {renderers: [networkd]}
cloud_init_modules: [bootcmd, write-files, set_hostname, update_hostname]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user, final-message]
CFG
echo 'LABEL=root / ext4 defaults,noatime 0 1' >"$root/etc/fstab"
echo image >"$root/etc/hostname"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
# Nobody answers there: names of the outer world are none of the lab's.
printf 'nameserver %s\n' "$NAMESERVER" >"$root/etc/resolv.conf"
# Each machine makes its own.
: >"$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
for timer in apt-daily apt-daily-upgrade dpkg-db-backup e2scrub_all fstrim; do
    rm -f "$root/etc/systemd/system/timers.target.wants/$timer.timer"
done

# The image's own containerd takes in the images here: an emulated processor would be at it for a minute.
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
cp "$images" "$root/run/images.tar"
chroot "$root" containerd --log-level warn >"$into/containerd.log" 2>&1 &
runtime=$!
trap 'kill $runtime' EXIT
until chroot "$root" ctr version >/dev/null 2>&1; do
    kill -0 $runtime || { cat "$into/containerd.log" >&2; exit 1; }
    sleep 0.1
done
chroot "$root" ctr --namespace k8s.io images import /run/images.tar >/dev/null
trap - EXIT
kill $runtime
wait $runtime || true
umount -R "$root/proc" "$root/sys" "$root/dev" "$root/run"
rm "$into/containerd.log"

cp "$root"/boot/vmlinuz-* "$into/vmlinuz"
cp "$root"/boot/initrd.img-* "$into/initrd.img"
# Its configuration stays: kubeadm reads it before a join.
rm "$root"/boot/vmlinuz-* "$root"/boot/initrd.img-*
truncate --size 4G "$into/image.raw"
mkfs.ext4 -q -F -L root -E lazy_itable_init=1,lazy_journal_init=1 -d "$root" "$into/image.raw"
qemu-img convert -O qcow2 "$into/image.raw" "$into/image.qcow2"
rm -rf "$root" "$into/image.raw"
