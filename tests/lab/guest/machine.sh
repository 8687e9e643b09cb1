#!/bin/bash
# Puts one machine's first process into namespaces and cgroups of its own. Runs in the lab's namespaces.
# Arguments: the lab's folder, the machine's name, its address, its network's gateway, its cgroup.
set -eu
dir=$1 name=$2 address=$3 gateway=$4 cgroup=$5
mac=$(printf '02:00:%02x:%02x:%02x:%02x' ${address//./ })

ip netns del "$name" 2>/dev/null || true
ip link del "v-${address##*.}" 2>/dev/null || true
ip netns add "$name"
ip -n "$name" link set lo up
ip link add "v-${address##*.}" type veth peer name eth0 address "$mac" netns "$name"
ip link set "v-${address##*.}" master br0 up
ip -n "$name" addr add "$address/24" dev eth0
ip -n "$name" link set eth0 up
ip -n "$name" route add default via "$gateway"
ip netns exec "$name" sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1

root=/sys/fs/cgroup
if [ -e $root/cgroup.controllers ]; then
    mkdir -p "$root/$cgroup"
    for group in $root "$root/${cgroup%/*}"; do
        for controller in $(cat $root/cgroup.controllers); do
            echo "+$controller" >"$group/cgroup.subtree_control" || true
        done
    done
    echo 0 >"$root/$cgroup/cgroup.procs"
else
    for controller in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do
        [ -d $root/$controller ] || continue
        mkdir -p "$root/$controller/$cgroup"
        if [ $controller = cpuset ]; then
            for group in "${cgroup%/*}" "$cgroup"; do
                for set in cpuset.cpus cpuset.mems; do cat $root/cpuset/$set >"$root/cpuset/$group/$set"; done
                echo 1 >"$root/cpuset/$group/cgroup.clone_children"
            done
        fi
        echo 0 >"$root/$controller/$cgroup/cgroup.procs"
    done
fi
status=0
nsenter --net="/run/netns/$name" \
    unshare --mount --uts --ipc --cgroup --pid --fork --kill-child bash "$dir/guest/boot.sh" "$dir" "$name" || status=$?
# The kernel ends the first process of a machine that reboots itself with SIGHUP; any other end switches it off.
[ $status = 129 ] || exit $status
# Its pods ended with it; nothing but the disk outlives a reboot.
find $root/$cgroup $root/*/$cgroup -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true
exec bash "$0" "$@"
