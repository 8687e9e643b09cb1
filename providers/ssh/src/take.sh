# Takes the lease of a host if nobody has it, and prints who has it then. Argument: the lease.
set -eu
umask 077
folder=/var/lib/replank
mkdir -p "$folder"
mine=$(mktemp "$folder/lease.XXXXXXXX")
printf '%s\n' "$1" >"$mine"
sync "$mine"
# A link is made by one only.
ln "$mine" "$folder/lease" 2>/dev/null || true
rm -f "$mine"
sync "$folder"
cat "$folder/lease"
