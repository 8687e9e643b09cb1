# Replaces a file as a whole. Arguments: mark, path, mode, length, SHA-256; the content on standard input.
set -eu
umask 077
mark=$1 path=$2 mode=$3 length=$4 digest=$5
# A link keeps pointing to the file.
if [ -L "$path" ]; then
    path=$(readlink -f "$path")
fi
folder=$(dirname "$path")
# Beside the folder, not in it: a kubelet or a CNI reads whatever lies in a folder it watches. A folder that
# is a mount of its own has no such place; there the name begins with a dot, which all of them leave alone.
beside=$(dirname "$folder")
if [ "$(stat -c %d "$beside")" != "$(stat -c %d "$folder")" ]; then
    beside=$folder
fi
new=$(mktemp "$beside/.replank-XXXXXXXXXX")
trap 'rm -f "$new"' EXIT
trap 'exit 75' HUP INT TERM PIPE
cat >"$new"
if [ "$(wc -c <"$new")" -ne "$length" ] || [ "$(sha256sum <"$new" | cut -d' ' -f1)" != "$digest" ]; then
    echo "what arrived of $path is not what was sent" >&2
    exit 74
fi
if [ -e "$path" ]; then
    chown --reference="$path" "$new"
fi
chmod "$mode" "$new"
if [ -x /usr/sbin/selinuxenabled ] && /usr/sbin/selinuxenabled; then
    if [ -e "$path" ]; then chcon --reference="$path" "$new"; else chcon --reference="$folder" "$new"; fi
fi
sync "$new"
mv -fT "$new" "$path"
sync "$folder"
echo "$mark written"
