set -eu
mkdir -p /etc/cni
mount -t tmpfs x /etc/cni
mount -t tmpfs x /run
mount -t tmpfs x /tmp
mount -t tmpfs x /var/lib
mount -t tmpfs x /sys/fs/bpf
mkdir -p /etc/cni/net.d

others() {
    touch /etc/cni/net.d/05-mine.conflist
    mkdir -p /run/mine /sys/fs/bpf/mine /sys/fs/bpf/tc/globals
    ip link set lo up
    ip link add eth0 type veth peer name far
    ip link set far up
    ip addr add 10.0.0.1/24 dev eth0
    ip -6 addr add fd00::1/64 dev eth0 nodad
    ip link set eth0 up
    # Names that begin as Calico's do.
    ip link add california0 type veth peer name calico0
    ip link add vxlan7 type vxlan id 7 dstport 8472 local 10.0.0.1 dev eth0
    ip route add 172.30.0.0/24 via 10.0.0.9 dev eth0 proto static
    # A rule of the same preference, to a table of others.
    ip rule add pref 99 fwmark 0x5 table 77
    ip route add 10.51.0.0/24 via 10.0.0.9 dev eth0 table 77
    ip rule add pref 99 from 10.9.9.9 table 7
    for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
        $tool -w -A INPUT -p tcp --dport 22 -m comment --comment "not cali: mine" -j ACCEPT
        $tool -w -N KUBE-FORWARD
        $tool -w -A FORWARD -j KUBE-FORWARD
        $tool -w -N DOCKER
        $tool -w -A FORWARD -j DOCKER
        $tool -w -t nat -N KUBE-SERVICES
        $tool -w -t nat -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
        $tool -w -P FORWARD DROP
    done
    ipset create mine hash:net
    ipset create california hash:net
    nft add table ip mine
    nft add table inet calico
}

calico() {
    touch /etc/cni/net.d/10-calico.conflist /etc/cni/net.d/calico-kubeconfig
    mkdir -p /run/calico/cgroup /var/lib/calico /sys/fs/bpf/calico
    touch /var/lib/calico/nodename /sys/fs/bpf/tc/globals/cali_v4_nat
    mount -t tmpfs x /run/calico/cgroup
    for pod in cali0123456789a cali0123456789b; do
        ip link add $pod type veth peer name "x${pod#cali}"
        ip link set $pod up
    done
    ip link add vxlan.calico type vxlan id 4096 dstport 4789 local 10.0.0.1 dev eth0
    ip link set vxlan.calico up
    ip link add bpfin.cali type veth peer name bpfout.cali
    ip route add 192.168.1.1 dev cali0123456789a scope link
    ip route add 192.168.9.0/26 via 10.0.0.2 dev eth0 proto bird
    ip route add blackhole 192.168.1.0/26 proto 80
    ip route add blackhole 192.168.2.0/26 proto bird
    ip route add 192.168.3.0/26 via 10.0.0.3 dev eth0 proto 80 onlink
    ip -6 route add fd10::/64 via fd00::2 dev eth0 proto 80
    ip -6 route add blackhole fd11::/122 proto 80
    ip rule add pref 99 not fwmark 0x100000/0x100000 table 8
    ip -6 rule add pref 99 fwmark 0x100000/0x100000 table 8
    for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do
        $tool -w -N cali-FORWARD
        $tool -w -N cali-fw-cali0123
        $tool -w -A cali-FORWARD -j cali-fw-cali0123
        $tool -w -I FORWARD 1 -m comment --comment "cali:wUHhoiAYhphO9Mso" -j cali-FORWARD
        $tool -w -A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m mark --mark 0x10000/0x10000 -j ACCEPT
        for table in raw mangle nat; do
            $tool -w -t $table -N cali-PREROUTING
            $tool -w -t $table -I PREROUTING -m comment --comment "cali:6gwbT8clXdHdC1b1" -j cali-PREROUTING
        done
    done
    ipset create cali40s:abc hash:net
    ipset create cali60s:abc hash:net family inet6
    ipset create cali40l list:set
    ipset add cali40l cali40s:abc
    nft add table ip calico
    nft add chain ip calico filter
    nft add table ip6 calico
}
