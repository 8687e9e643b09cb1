# Makes a host fit for the pool again. What is done to its network is Calico's leftovers alone: see clean.sh,
# which is run after this.
set -e
if command -v kubeadm >/dev/null; then kubeadm reset --force; fi
