for f in 4 6; do ip -$f -o addr show scope global | sed "s,^[0-9]*: ,,"; ip -$f route show table all scope global | grep -vE "^(fe80|multicast|local)"; ip -$f rule show; done
ip -o link | sed -E 's/^[0-9]+: ([^:]*):.*/\1/' | sort
for t in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do $t-save 2>/dev/null | sed -E '/^#/d; s/ \[[0-9:]+\]//' | grep -vE '^(\*|COMMIT|:(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ACCEPT)'; done
ipset list -n | sort; nft list tables | grep -E 'mine|calico'
ls /etc/cni/net.d /run /sys/fs/bpf
