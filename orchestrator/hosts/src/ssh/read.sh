# Prints a file. Arguments: mark, path.
set -eu
mark=$1 path=$2
if [ -d "$path" ]; then
    echo "$path is a folder" >&2
    exit 1
elif [ -e "$path" ]; then
    # Both from one open file: it may be replaced meanwhile.
    exec 3<"$path"
    echo "$mark file $(stat -L -c '%a %s' /proc/self/fd/3)"
    cat <&3
else
    echo "$mark none"
fi
