# Removes a file. Arguments: mark, path.
set -eu
mark=$1 path=$2
rm -f "$path"
folder=$(dirname "$path")
if [ -d "$folder" ]; then
    sync "$folder"
fi
echo "$mark removed"
