# Prints what a host says of itself, one fact a line: its lease, its service, its bootstrap, its system UUID.
folder=/var/lib/replank
cat "$folder/lease" 2>/dev/null || echo null
if [ -e "$folder/retired" ]; then echo retired
elif [ -e "$folder/stopped" ]; then echo stopped
else echo running; fi
if [ -e "$folder/bootstrap.status" ]; then cat "$folder/bootstrap.status"
elif [ -e "$folder/bootstrap.lock" ] && flock -n "$folder/bootstrap.lock" true; then echo lost
else echo running; fi
# As a kubelet finds it.
cat /sys/class/dmi/id/product_uuid 2>/dev/null || cat /etc/machine-id 2>/dev/null || echo -
