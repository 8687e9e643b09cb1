#!/bin/bash
# A machine's first process until its root file system is in place. Arguments: the lab's folder, the
# machine's name.
set -eu
dir=$1 machine=$1/machines/$2 root=$1/machines/$2/root
read -r -a stat <"$dir/run/proc/self/stat"
echo "${stat[0]} ${stat[21]}" >"$machine/init.pid.new"
exec 8<"$machine"

mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
# The outer /usr, with what this machine writes to it kept apart.
mount -t overlay -o "lowerdir=/usr,upperdir=$root/.usr/upper,workdir=$root/.usr/work" overlay usr
mount --bind "$dir/bin" usr/local/bin
mount --bind "$dir/guest" usr/local/sbin
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
# The kernel's own is the same for all machines, and for all their lives.
cat /proc/sys/kernel/random/uuid >run/boot_id
mount --bind run/boot_id proc/sys/kernel/random/boot_id

if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 sys/fs/cgroup
    # Only leaves may hold processes: pods get groups beside this one.
    mkdir -p sys/fs/cgroup/init
    echo 0 >sys/fs/cgroup/init/cgroup.procs
    for controller in $(cat sys/fs/cgroup/cgroup.controllers); do
        echo "+$controller" >sys/fs/cgroup/cgroup.subtree_control || true
    done
else
    mount -t tmpfs tmpfs sys/fs/cgroup
    for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
        [ -d /sys/fs/cgroup/$controller ] || continue
        mkdir sys/fs/cgroup/$controller
        mount -t cgroup -o $controller cgroup sys/fs/cgroup/$controller
    done
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
fi

mkdir -p mnt
pivot_root . mnt
umount -l /mnt
# Kubelets want what pods mount to be seen by others.
mount --make-rshared /
# Only now: who enters before would be in the outer file system.
mv /proc/self/fd/8/init.pid.new /proc/self/fd/8/init.pid
exec 8<&-
exec /usr/local/sbin/init.sh
