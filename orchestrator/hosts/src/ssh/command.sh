# Runs a command once under a name, apart from the connection, and tells how it ended.
# Arguments: mark, folder of the command, what becomes of it (keep or forget), digest of the request,
# length of standard input, seconds to wait, then the command.
set -eu
umask 077
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/sbin
mark=$1 folder=$2 after=$3 digest=$4 length=$5 patience=$6
shift 6
mkdir -p "$folder"

if [ ! -e "$folder/began" ] && [ ! -e "$folder/request" ]; then
    # Nobody waits for input that may never come whole: it is read before the lock is taken.
    head -c "$length" >"$folder/input.$$"
    if [ "$(wc -c <"$folder/input.$$")" -ne "$length" ]; then
        rm -f "$folder/input.$$"
        exit 74
    fi
    exec 9>>"$folder/lock"
    if flock -n 9 && [ ! -e "$folder/began" ]; then
        mv "$folder/input.$$" "$folder/input"
        printf %s "$digest" >"$folder/request.new"
        mv "$folder/request.new" "$folder/request"
    fi
    rm -f "$folder/input.$$"
    exec 9>&-
fi

asked() { [ "$(cat "$folder/request" 2>/dev/null)" = "$digest" ]; }

exec 9>>"$folder/lock"
# Another may be writing the request just now; one that runs the command already has begun.
if [ ! -e "$folder/began" ] && flock -w 5 9 && [ ! -e "$folder/began" ] && asked; then
    # The lock lives as long as the one that runs the command: whoever gets it knows that it has ended.
    setsid sh -c '
        folder=$1
        shift
        : >"$folder/began"
        sync "$folder/began" "$folder"
        rm -f "$folder/input"
        cd /
        umask 022
        "$@" 9>&-
        echo $? >"$folder/status.new"
        sync "$folder/status.new"
        mv "$folder/status.new" "$folder/status"
    ' sh "$folder" "$@" <"$folder/input" >"$folder/stdout" 2>"$folder/stderr" &
fi
exec 9>&-

if ! asked; then
    echo "$mark other"
    exit 0
fi
if ! flock -w "$patience" "$folder/lock" true; then
    echo "$mark running"
elif [ -e "$folder/status" ]; then
    out=$(wc -c <"$folder/stdout")
    err=$(wc -c <"$folder/stderr")
    echo "$mark ended $(cat "$folder/status") $((out)) $((err))"
    head -c "$out" "$folder/stdout"
    head -c "$err" "$folder/stderr"
    [ "$after" = keep ] || rm -rf "$folder"
elif [ -e "$folder/began" ]; then
    echo "$mark interrupted"
    [ "$after" = keep ] || rm -rf "$folder"
else
    echo "the command could not be started" >&2
    exit 70
fi
