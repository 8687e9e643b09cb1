//! calico-node on every node.

use serde_json::{Value, json};

use super::{Surroundings, everywhere, probe, workload};
use crate::agents::operator::{SYSTEM, overrides};

pub(super) fn objects(surroundings: &Surroundings<'_>) -> Vec<Value> {
    let spec = &surroundings.installation["spec"];
    let image = |name: &str| surroundings.images.image(name);
    let own_network = spec["cni"]["type"].as_str().is_none_or(|kind| kind == "Calico");
    let directory = spec["cni"]["confDir"].as_str().unwrap_or("/etc/cni/net.d");
    let binaries = spec["cni"]["binDir"].as_str().unwrap_or("/opt/cni/bin");
    let node_name = json!({"fieldRef": {"fieldPath": "spec.nodeName"}});
    let installer = json!({
        "name": "install-cni",
        "image": image("cni"),
        "command": ["/opt/cni/bin/install"],
        "env": [
            {"name": "CNI_CONF_NAME", "value": "10-calico.conflist"},
            {"name": "SLEEP", "value": "false"},
            {"name": "CNI_NET_DIR", "value": directory},
            {"name": "CNI_NETWORK_CONFIG", "valueFrom": {"configMapKeyRef": {"name": "cni-config", "key": "config"}}},
            {"name": "KUBERNETES_NODE_NAME", "valueFrom": node_name},
        ],
        "securityContext": {"privileged": true},
        "volumeMounts": [
            {"name": "cni-bin-dir", "mountPath": "/host/opt/cni/bin"},
            {"name": "cni-net-dir", "mountPath": "/host/etc/cni/net.d"},
        ],
    });
    let mut inits = vec![json!({
        "name": "flexvol-driver",
        "image": image("pod2daemon-flexvol"),
        "securityContext": {"privileged": true},
        "volumeMounts": [{"name": "flexvol-driver-host", "mountPath": "/host/driver"}],
    })];
    if spec["flexVolumePath"] == "None" {
        inits.clear();
    }
    if own_network {
        inits.push(installer);
    }
    let plain = |name: &str, value: &str| json!({"name": name, "value": value});
    let backend = match (own_network, spec["calicoNetwork"]["bgp"].as_str()) {
        (false, _) => "none",
        (true, Some("Disabled")) => "vxlan",
        (true, _) => "bird",
    };
    let ready: &[&str] = match backend {
        "bird" => &["/bin/calico-node", "-bird-ready", "-felix-ready"],
        _ => &["/bin/calico-node", "-felix-ready"],
    };
    let v6 = spec["calicoNetwork"]["ipPools"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|pool| pool["cidr"].as_str().unwrap_or_default().contains(':'));
    let container = json!({
        "name": "calico-node",
        "image": image("node"),
        "env": [
            plain("DATASTORE_TYPE", "kubernetes"),
            plain("WAIT_FOR_DATASTORE", "true"),
            plain("CLUSTER_TYPE", if backend == "bird" { "k8s,operator,bgp" } else { "k8s,operator" }),
            plain("CALICO_DISABLE_FILE_LOGGING", "false"),
            plain("CALICO_MANAGE_CNI", if own_network { "true" } else { "false" }),
            plain("CALICO_NETWORKING_BACKEND", backend),
            plain("NO_DEFAULT_POOLS", "true"),
            plain("IP", "autodetect"),
            plain("IP6", if v6 { "autodetect" } else { "none" }),
            plain("FELIX_IPV6SUPPORT", if v6 { "true" } else { "false" }),
            plain("FELIX_HEALTHENABLED", "true"),
            plain("FELIX_DEFAULTENDPOINTTOHOSTACTION", "ACCEPT"),
            plain("FELIX_TYPHAK8SNAMESPACE", SYSTEM),
            plain("FELIX_TYPHAK8SSERVICENAME", "calico-typha"),
            plain("FELIX_BPFENABLED", if spec["calicoNetwork"]["linuxDataplane"] == "BPF" { "true" } else { "false" }),
            {"name": "NODENAME", "valueFrom": node_name},
            {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        ],
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/calico-node", "-shutdown"]}}},
        "readinessProbe": probe(ready),
        "securityContext": {"privileged": true},
        "volumeMounts": [
            {"name": "tigera-ca-bundle", "mountPath": "/etc/pki/tls/certs", "readOnly": true},
            {"name": "node-certs", "mountPath": "/node-certs", "readOnly": true},
            {"name": "cni-net-dir", "mountPath": "/host/etc/cni/net.d"},
            {"name": "var-lib-calico", "mountPath": "/var/lib/calico"},
            {"name": "var-run-calico", "mountPath": "/var/run/calico"},
        ],
    });
    let host = |name: &str, path: &str| json!({"name": name, "hostPath": {"path": path}});
    let pod = json!({
        "hostNetwork": true,
        "dnsPolicy": "ClusterFirstWithHostNet",
        "serviceAccountName": "calico-node",
        "priorityClassName": "system-node-critical",
        "terminationGracePeriodSeconds": 5,
        "tolerations": everywhere(),
        "initContainers": inits,
        "containers": [container],
        "volumes": [
            {"name": "tigera-ca-bundle", "configMap": {"name": "tigera-ca-bundle"}},
            {"name": "node-certs", "secret": {"secretName": "node-certs"}},
            host("cni-bin-dir", binaries),
            host("cni-net-dir", directory),
            host("var-lib-calico", "/var/lib/calico"),
            host("var-run-calico", "/var/run/calico"),
            host("flexvol-driver-host", "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/nodeagent~uds"),
        ],
    });
    let mut set = workload("DaemonSet", SYSTEM, "calico-node", pod);
    if spec["nodeUpdateStrategy"].is_object() {
        set["spec"]["updateStrategy"] = spec["nodeUpdateStrategy"].clone();
    }
    overrides::apply(&mut set, &spec["calicoNodeDaemonSet"]);
    vec![set]
}
