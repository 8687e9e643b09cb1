#!/bin/sh
# The system of a virtual machine's image, as a tar file: Debian with cloud-init, a container runtime and the guest
# agent. Argument: the file.
set -eu

# Bridged packets, VXLAN and overlay are modules of this kernel, which leaves out the drivers of real hardware.
packages=linux-image-cloud-amd64,systemd-sysv,udev,dbus,cloud-init,qemu-guest-agent,iproute2,kmod,procps,busybox
packages=$packages,containerd,runc,iptables,nftables,conntrack,ethtool,socat,ca-certificates

mmdebstrap --quiet --variant=minbase --mode=root --format=tar --include="$packages" \
    --aptopt='Acquire::Languages "none"' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/virtual"' \
    --customize-hook='printf "virtio_pci\nvirtio_blk\nvirtio_net\next4\ncrc32c_generic\nvfat\nnls_cp437\nnls_ascii\nnls_utf8\n" >>"$1/etc/initramfs-tools/modules"' \
    --customize-hook='chroot "$1" update-initramfs -u -k all' \
    bookworm "$1"
