# Starts the bootstrap script, apart from everything, and leaves its status and output. Argument: the script.
folder=/var/lib/replank
umask 077
exec 8>"$folder/bootstrap.lock"
flock -n 8 || exit 0
umask 022
# A host that was taken out of service before shall be a node after every reboot.
if command -v systemctl >/dev/null && systemctl cat kubelet >/dev/null 2>&1; then systemctl enable kubelet; fi
# The lock lives as long as the one that runs the script.
setsid sh -c '
    sh "$1" >"$2/bootstrap.log" 2>&1 8>&-
    echo $? >"$2/bootstrap.status.new"
    sync "$2/bootstrap.status.new"
    mv "$2/bootstrap.status.new" "$2/bootstrap.status"
    rm -f "$1"
' sh "$1" "$folder" </dev/null >/dev/null 2>&1 &
