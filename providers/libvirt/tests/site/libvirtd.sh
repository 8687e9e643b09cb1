# libvirtd in network, mount and process namespaces of its own: what it starts ends with it.
set -eu
folder=$1
ip link set lo up
# The Debian package that makes this user also makes services, which nobody asked for.
cp /etc/passwd "$folder/passwd"
cp /etc/group "$folder/group"
grep -q ^libvirt-qemu: /etc/passwd || echo 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin' >>"$folder/passwd"
grep -q ^libvirt-qemu: /etc/group || echo 'libvirt-qemu:x:64055:' >>"$folder/group"
grep -q ^kvm: /etc/group || echo 'kvm:x:64056:' >>"$folder/group"
mount --bind "$folder/passwd" /etc/passwd
mount --bind "$folder/group" /etc/group
mkdir -p /etc/libvirt /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt
for pair in etc:/etc/libvirt run:/run/libvirt var:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt; do
    mkdir -p "$folder/${pair%%:*}"
    mount --bind "$folder/${pair%%:*}" "${pair#*:}"
done
cat >/etc/libvirt/libvirtd.conf <<EOF
auth_unix_ro = "none"
auth_unix_rw = "none"
EOF
cat >/etc/libvirt/qemu.conf <<EOF
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
EOF
# A child, not this process: the first process of a namespace must reap what others leave, and libvirtd does not.
libvirtd -p "$folder/run/libvirtd.pid" &
wait
