#!/bin/bash
# The lab's first process. Everything of the lab lives in the namespaces that end with it, so that the
# kernel takes all of it down. Arguments: the lab's folder, its network's gateway.
set -eu
dir=$1 gateway=$2
# Still the outer /proc: the number that outer processes know this one by.
read -r pid _ </proc/self/stat
mount --make-rprivate /
mkdir -p "$dir/run/proc" /run/netns
mount --rbind /proc "$dir/run/proc"
mount -t proc proc /proc
mount -t tmpfs tmpfs /run/netns

ip link set lo up
ip link add br0 type bridge
ip addr add "$gateway/24" dev br0
ip link set br0 up
sysctl -qw net.ipv4.ip_forward=1
# Kubelets, containerd and agents watch files, a dozen of them on each machine, and all are root's: the kernel's usual 128
# end with "too many open files" in whatever starts next. It belongs to no namespace and stays as it is set here.
watches=/proc/sys/fs/inotify/max_user_instances
if [ "$(cat "$watches")" -lt 1024 ] && ! echo 1024 >"$watches"; then
    echo "fs.inotify.max_user_instances is $(cat "$watches") and can't be raised: set it to 1024 for more than a few machines" >&2
fi

haproxy -db -f "$dir/haproxy.cfg" &
balancer=$!
echo "$pid" >"$dir/run/init.pid.new"
mv "$dir/run/init.pid.new" "$dir/run/init.pid"
# bash takes in whoever is orphaned meanwhile.
wait "$balancer"
