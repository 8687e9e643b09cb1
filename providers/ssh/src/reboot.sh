# Reboots a host once for an operation, and tells whether it is up again: booted to its end, since sshd may answer
# before the container runtime does. Arguments: the folder, the operation, and the
# command that reboots.
set -eu
folder=$1
mark=$1/rebooted-$2
shift 2
now=$(cat /proc/sys/kernel/random/boot_id)
if [ ! -e "$mark" ]; then
    rm -f "$folder"/rebooted-*
    echo "$now" >"$mark.new"
    sync "$mark.new"
    mv "$mark.new" "$mark"
    sync "$folder"
fi
if [ "$(cat "$mark")" != "$now" ]; then
    case $(systemctl is-system-running 2>/dev/null) in
    initializing | starting) echo starting ;;
    *) echo up ;;
    esac
    exit
fi
# Apart from this connection, which ends with the host. Asked again while it still goes down, it does no harm.
setsid sh -c 'sleep 1; exec "$@"' sh "$@" </dev/null >/dev/null 2>&1 &
echo going
