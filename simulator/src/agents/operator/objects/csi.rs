//! Calico's CSI driver, which hands sockets to pods.

use serde_json::{Value, json};

use super::{Surroundings, account, everywhere, workload};
use crate::agents::operator::{SYSTEM, overrides};

pub(super) fn objects(surroundings: &Surroundings<'_>) -> Vec<Value> {
    let spec = &surroundings.installation["spec"];
    let kubelet = spec["kubeletVolumePluginPath"].as_str().unwrap_or("/var/lib/kubelet");
    let driver = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "csi.tigera.io"},
        "spec": {"podInfoOnMount": true, "volumeLifecycleModes": ["Ephemeral"]},
    });
    if kubelet == "None" {
        return Vec::new();
    }
    let pod = json!({
        "serviceAccountName": "csi-node-driver",
        "priorityClassName": "system-node-critical",
        "tolerations": everywhere(),
        "containers": [
            {
                "name": "calico-csi",
                "image": surroundings.images.image("csi"),
                "args": ["--nodeid=$(KUBE_NODE_NAME)", "--loglevel=$(LOG_LEVEL)"],
                "env": [
                    {"name": "LOG_LEVEL", "value": "warn"},
                    {"name": "KUBE_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                ],
                "volumeMounts": [{"name": "kubelet-dir", "mountPath": kubelet}],
            },
            {
                "name": "csi-node-driver-registrar",
                "image": surroundings.images.image("node-driver-registrar"),
                "args": ["--v=5", "--csi-address=$(ADDRESS)"],
                "env": [{"name": "ADDRESS", "value": "/csi/csi.sock"}],
                "volumeMounts": [{"name": "registration-dir", "mountPath": "/registration"}],
            },
        ],
        "volumes": [
            {"name": "kubelet-dir", "hostPath": {"path": kubelet, "type": "Directory"}},
            {"name": "registration-dir", "hostPath": {"path": format!("{kubelet}/plugins_registry"), "type": "Directory"}},
        ],
    });
    let mut set = workload("DaemonSet", SYSTEM, "csi-node-driver", pod);
    overrides::apply(&mut set, &spec["csiNodeDriverDaemonSet"]);
    vec![driver, account(SYSTEM, "csi-node-driver"), set]
}
