# Takes in archives of images as a machine's containerd would. Arguments: the folder for what it keeps, the archives.
set -eu
store=$1
shift
# A socket's path must be short.
run=$(mktemp -d)
runtime=
trap '[ -z "$runtime" ] || kill "$runtime" || true; rm -rf "$run"' EXIT
cat >"$run/config.toml" <<CONFIG
version = 2
root = "$store"
state = "$run/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$run/socket"
CONFIG
setpriv --pdeathsig KILL containerd --config "$run/config.toml" --log-level warn >"$run/log" 2>&1 &
runtime=$!
looks=0
until ctr --address "$run/socket" version >/dev/null 2>&1; do
    # A minute at most: an idle machine takes a tenth of a second.
    looks=$((looks + 1))
    [ $looks -lt 600 ] && kill -0 $runtime || { cat "$run/log" >&2; exit 1; }
    sleep 0.1
done
for archive; do
    ctr --address "$run/socket" --namespace k8s.io images import "$archive" >/dev/null
done
kill $runtime
wait $runtime || true
runtime=
