#!/bin/sh
# Takes Calico's leftovers off a host that is joined again, and nothing else: a firewall, kube-proxy's chains,
# Docker's, and tunnels of others stay as they are. Each line tells what was removed, or left and why.
# It can be run again. Run as root, after the host's pods are gone; a reboot follows.
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export LC_ALL=C
failed=0

has() { command -v "$1" >/dev/null 2>&1; }
removed() { echo "removed $*"; }
left() { echo "left $*"; }
failed() { echo "failed $*"; }
try() { # what, command...
    what=$1
    shift
    if said=$("$@" 2>&1); then removed "$what"; else failed "$what: $said"; fi
}

# Names that Calico gives: `cali` with eleven digits of a hash, and its few devices.
own_link='^(cali[0-9a-f]{11}|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|wg-v6\.cali|bpfin\.cali|bpfout\.cali)$'
own_device='dev (cali[0-9a-f]{11}|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|wg-v6\.cali|bpfin\.cali|bpfout\.cali|tunl0)( |$)'

links() { ip -o link show 2>/dev/null | sed -E 's/^[0-9]+: ([^:@]+)[:@].*/\1/'; }
# BIRD's routes are Calico's unless the host runs a BIRD of its own: Calico's was in a pod, and is gone.
bird_of_the_host() { pidof bird bird6 birdcl >/dev/null 2>&1; }

remove_configuration() {
    for file in /etc/cni/net.d/10-calico.conflist /etc/cni/net.d/calico-kubeconfig /etc/cni/net.d/10-canal* \
        /opt/cni/bin/calico /opt/cni/bin/calico-ipam; do
        if [ -e "$file" ] || [ -L "$file" ]; then try "file $file" rm -f "$file"; fi
    done
    if [ -e /etc/cni/net.d/calico-tls ]; then try "folder /etc/cni/net.d/calico-tls" rm -rf /etc/cni/net.d/calico-tls; fi
}

remove_rules() { # family
    ip "-$1" rule show pref 99 2>/dev/null | while read -r rule; do
        case $rule in *fwmark*lookup*) ;; *) continue ;; esac
        table=$(echo "$rule" | sed -E 's/.* lookup ([^ ]+).*/\1/')
        case $table in '' | *[!0-9]*) continue ;; esac
        if [ "$table" -lt 1 ] || [ "$table" -gt 250 ]; then continue; fi
        # A table that holds a route of somebody else's is not Calico's.
        if ip "-$1" route show table "$table" 2>/dev/null | grep -Ev "proto 80( |\$)|$own_device" | grep -q .; then
            left "rule $rule: table $table holds routes of others"
            continue
        fi
        mark=$(echo "$rule" | sed -E 's/.* fwmark ([^ ]+).*/\1/')
        case $rule in *[[:space:]]not[[:space:]]*) not=not ;; *) not= ;; esac
        # shellcheck disable=SC2086
        if ip "-$1" rule del pref 99 $not fwmark "$mark" lookup "$table"; then
            removed "rule $rule"
        else
            echo "failed rule $rule"
        fi
    done
}

# Deletes the routes that it is given. Words that `ip` prints but does not take are dropped.
delete_routes() { # family
    while read -r route; do
        [ -n "$route" ] || continue
        plain=$(echo "$route" | sed -E 's/ (error|pref|expires) [^ ]+//g; s/ (linkdown|dead|offload|trap)( |$)/ /g')
        # shellcheck disable=SC2086
        if ip "-$1" route del $plain 2>/dev/null; then removed "route $route"; else left "route $route: it is gone or can't be deleted"; fi
    done
}

remove_routes() { # family
    ip "-$1" route show table all proto 80 2>/dev/null | sed 's/$/ proto 80/' | delete_routes "$1"
    if bird_of_the_host; then
        ip "-$1" route show table all proto bird 2>/dev/null | grep -E "$own_device" | sed 's/$/ proto bird/' | delete_routes "$1"
        left "routes of proto bird on other devices: this host runs a BIRD of its own"
    else
        ip "-$1" route show table all proto bird 2>/dev/null | sed 's/$/ proto bird/' | delete_routes "$1"
    fi
}

remove_tunnel_address() {
    # tunl0 is the kernel's own device, shared by every user of IP in IP: only Calico's address goes. Calico's
    # routes over it are the sign that the address is Calico's.
    [ "$1" = yes ] || return 0
    ip -o -4 addr show dev tunl0 2>/dev/null | sed -nE 's/.* inet ([0-9.]+\/32) .*/\1/p' | while read -r address; do
        if ip addr del "$address" dev tunl0; then removed "address $address of tunl0"; else echo "failed address $address of tunl0"; fi
    done
}

remove_links() {
    links | grep -E "$own_link" | while read -r link; do
        if ip link del "$link" 2>/dev/null; then removed "link $link"
        elif ip link show "$link" >/dev/null 2>&1; then echo "failed link $link"; fi
    done
}

# One change for each table: the rules of others' chains that are Calico's, then Calico's chains.
iptables_change() {
    awk '
        /^:cali-/ { chain = substr($1, 2); flush[++chains] = chain; next }
        /^-A cali-/ { next }
        /^-A / && (/ -[jg] cali-/ || /--comment "?cali:[A-Za-z0-9_-]+"?( |$)/) { sub(/^-A/, "-D"); rule[++rules] = $0 }
        END {
            if (!chains && !rules) exit
            print "*" table
            for (i = 1; i <= rules; i++) print rule[i]
            for (i = 1; i <= chains; i++) print "-F " flush[i]
            for (i = 1; i <= chains; i++) print "-X " flush[i]
            print "COMMIT"
        }' table="$1"
}

remove_iptables() { # command, without -save
    has "$1-save" && has "$1-restore" || return 0
    for table in raw mangle nat filter; do
        case $1 in
        *-legacy)
            # Asking for a table that is not there would make the kernel load it.
            case $1 in ip6*) names=/proc/net/ip6_tables_names ;; *) names=/proc/net/ip_tables_names ;; esac
            grep -qx "$table" "$names" 2>/dev/null || continue
            ;;
        esac
        change=$("$1-save" -t "$table" 2>/dev/null | iptables_change "$table")
        [ -n "$change" ] || continue
        if said=$(echo "$change" | "$1-restore" --noflush -w 2>&1); then
            removed "$1 $table: $(echo "$change" | grep -c '^-D') rules, $(echo "$change" | grep -c '^-X') chains"
        else
            failed "$1 $table: $said"
        fi
    done
}

remove_ipsets() {
    has ipset || return 0
    # A set of sets goes before the sets that it holds.
    for _ in 1 2; do
        ipset list -n 2>/dev/null | grep -E '^cali[46][0t]' | while read -r set; do
            if ipset destroy "$set" 2>/dev/null; then removed "ipset $set"; fi
        done
    done
    still=$(ipset list -n 2>/dev/null | grep -E '^cali[46][0t]' | tr '\n' ' ')
    [ -z "$still" ] || failed "ipsets, still in use: $still"
}

remove_nftables() {
    has nft || return 0
    for family in ip ip6; do
        if nft list tables "$family" 2>/dev/null | grep -qx "table $family calico"; then
            try "nft table $family calico" nft delete table "$family" calico
        fi
    done
}

remove_bpf() {
    if has tc; then
        links | while read -r link; do
            for side in ingress egress; do
                tc filter show dev "$link" "$side" 2>/dev/null | grep -E ' (cali_|calico_)[A-Za-z0-9_]*' |
                    sed -nE 's/.* pref ([0-9]+) .*/\1/p' | sort -u | while read -r pref; do
                    if tc filter del dev "$link" "$side" pref "$pref"; then removed "tc $side filter $pref of $link"; else echo "failed tc $side filter $pref of $link"; fi
                done
            done
        done
    fi
    ip -o -d link show 2>/dev/null | grep -E 'prog/xdp id [0-9]+ name cali' | sed -E 's/^[0-9]+: ([^:@]+)[:@].*/\1/' | while read -r link; do
        for mode in xdpgeneric xdpdrv xdpoffload; do ip link set dev "$link" "$mode" off 2>/dev/null; done
        removed "XDP program of $link"
    done
    if has bpftool && [ -d /sys/fs/cgroup ]; then
        bpftool cgroup show /sys/fs/cgroup 2>/dev/null | awk '$NF ~ /^(cali_|calico_)/ { print $1, $2 }' | while read -r id kind; do
            if bpftool cgroup detach /sys/fs/cgroup "$kind" id "$id"; then removed "cgroup program $kind $id"; else echo "failed cgroup program $kind $id"; fi
        done
    elif [ -d /run/calico/cgroup ]; then
        left "programs on the root cgroup, if there are any: bpftool is missing; the reboot ends them"
    fi
    for pin in /sys/fs/bpf/calico /sys/fs/bpf/tc/globals/cali_* /sys/fs/bpf/cali_*; do
        if [ -e "$pin" ]; then try "BPF pins $pin" rm -rf "$pin"; fi
    done
}

remove_state() {
    # What is mounted in these folders is let go of first: nothing must be deleted through a mount.
    awk '$2 ~ /^(\/var)?\/run\/(calico|nodeagent)(\/|$)|^\/var\/lib\/calico(\/|$)|\/csi\.tigera\.io(\/|$)/ { print $2 }' /proc/self/mounts |
        sort -r | while read -r mounted; do
        if umount "$mounted"; then removed "mount $mounted"; else echo "failed mount $mounted"; fi
    done
    for folder in /var/lib/calico /var/run/calico /var/run/nodeagent /var/log/calico \
        /var/lib/cni/networks/k8s-pod-network /var/lib/kubelet/plugins/csi.tigera.io \
        /usr/libexec/kubernetes/kubelet-plugins/volume/exec/nodeagent~uds; do
        if [ -e "$folder" ]; then try "folder $folder" rm -rf --one-file-system "$folder"; fi
    done
}

# What must be gone by now. The device tunl0 is the kernel's.
check() {
    links | grep -E "$own_link" | sed 's/^/still there: link /'
    for family in 4 6; do
        ip "-$family" route show table all proto 80 2>/dev/null | sed 's/^/still there: route /'
    done
    for tool in iptables-nft ip6tables-nft; do
        if has $tool-save; then $tool-save 2>/dev/null | grep -E '^:cali-' | sed "s/^/still there: $tool chain /"; fi
    done
    for tool in iptables-legacy ip6tables-legacy; do
        case $tool in ip6*) names=/proc/net/ip6_tables_names ;; *) names=/proc/net/ip_tables_names ;; esac
        if [ -s $names ] && has $tool-save; then $tool-save 2>/dev/null | grep -E '^:cali-' | sed "s/^/still there: $tool chain /"; fi
    done
}

tunnel=no
if ip -4 route show table all dev tunl0 2>/dev/null | grep -Eq 'proto (bird|80)( |$)'; then tunnel=yes; fi

everything() {
    remove_configuration
    for family in 4 6; do remove_rules $family; done
    for family in 4 6; do remove_routes $family; done
    remove_tunnel_address $tunnel
    remove_bpf
    remove_links
    for tool in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do remove_iptables $tool; done
    remove_ipsets
    remove_nftables
    remove_state
}

# Most of it runs in pipes, whose failures are known by what they say.
said=$(everything)
[ -z "$said" ] || echo "$said"
if echo "$said" | grep -q '^failed '; then failed=1; fi
still=$(check)
if [ -n "$still" ]; then
    echo "$still"
    failed=1
fi
exit $failed
