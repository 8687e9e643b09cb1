# Makes a host fit for the pool again. What is done to its network is Calico's leftovers alone: see clean.sh,
# which is run after this.
set -e
if command -v kubeadm >/dev/null; then kubeadm reset --force; fi
# Where an old control plane's manifests were put when it left etcd.
rm -rf /etc/kubernetes/replank-disarmed
