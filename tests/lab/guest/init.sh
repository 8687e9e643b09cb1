#!/bin/bash
# A machine's services: containerd, sshd, kubelet, and at the first boot what the user-data says. Stands
# in for systemd; `systemctl` beside this file speaks to it.
set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin HOME=/root
echo "$(date -u +%FT%TZ) booting $(cat /etc/hostname)"
hostname "$(cat /etc/hostname)"
mkdir -p /run/lock /run/sshd /run/netns /run/services

mkfifo /run/services/kubelet
exec 9<>/run/services/kubelet

[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
/usr/sbin/sshd

containerd --log-level warn >>/var/log/containerd.log 2>&1 &
# What kubeadm and the kubelet ask answers later than the rest: "server is not initialized yet".
until crictl version >/dev/null 2>&1; do sleep 0.1; done

kubelet_flags() {
    [ -e /etc/kubernetes/bootstrap-kubelet.conf ] && echo --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf
    echo --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml
    for file in /var/lib/kubelet/kubeadm-flags.env /etc/default/kubelet; do
        [ -e $file ] && sed -n 's/^KUBELET_[A-Z]*_ARGS="\{0,1\}\([^"]*\)"\{0,1\}$/\1/p' $file
    done
}

kubelet_service() {
    while read -r -u 9 _; do
        while [ -e /run/services/kubelet.on ]; do
            kubelet $(kubelet_flags) >>/var/log/kubelet.log 2>&1 &
            echo $! >/run/services/kubelet.pid
            wait $!
            echo "$(date -u +%FT%TZ) kubelet ended with status $?" >>/var/log/kubelet.log
            rm -f /run/services/kubelet.pid
            # As its unit does: an ended kubelet is started again, but not at once.
            [ -e /run/services/kubelet.on ] && sleep 1
        done
    done
}
kubelet_service &

if [ -e /var/lib/cloud/seed/user-data ] && [ ! -e /var/lib/cloud/instance/boot-finished ]; then
    replank-lab first-boot || echo "the first boot failed"
    mkdir -p /var/lib/cloud/instance
    touch /var/lib/cloud/instance/boot-finished
elif [ -e /etc/systemd/system/multi-user.target.wants/kubelet.service ] && [ -e /var/lib/kubelet/config.yaml ]; then
    systemctl start kubelet
fi
touch /run/services/booted
echo "$(date -u +%FT%TZ) booted $(cat /etc/hostname)"
# bash takes in whoever is orphaned; the services end with this process.
wait
