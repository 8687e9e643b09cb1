# Takes a node out of service: no pod and no kubelet, now and after a reboot. Its disk stays as it is.
set -e
if command -v systemctl >/dev/null && systemctl cat kubelet >/dev/null 2>&1; then systemctl disable --now kubelet; fi
if command -v crictl >/dev/null; then
    # Host network pods only end this way; what does not end in time is stopped by force.
    crictl pods -q | xargs -r timeout 120 crictl stopp || true
fi
