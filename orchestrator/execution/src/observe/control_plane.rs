//! kubeadm's records, kube-proxy and the controller-managers.

use super::ObserveError;
use super::reader::Reader;
use crate::api::path;
use crate::steps::set_flags::flags;
use crate::steps::support::text;
use ipnet::IpNet;
use replank_planning::ids::NodeName;
use replank_planning::object::Object;
use replank_planning::state::{ControllerManager, Inventory, KubeProxy, KubeadmConfig};
use replank_planning::yaml;
use serde_json::Value;
use std::collections::BTreeMap;

/// `kube-system/kubeadm-config`; none if it is missing or not understood.
pub(super) fn kubeadm(inventory: &Inventory) -> Option<KubeadmConfig> {
    let object = inventory.get("", "ConfigMap", "kube-system", "kubeadm-config")?;
    let configuration = yaml::read(object.text("/data/ClusterConfiguration")?).ok()?;
    Some(KubeadmConfig {
        object: object.clone(),
        control_plane_endpoint: text(&configuration, "/controlPlaneEndpoint").to_owned(),
        pod_subnet: ranges(text(&configuration, "/networking/podSubnet")),
        service_subnet: ranges(text(&configuration, "/networking/serviceSubnet")),
        controller_manager_args: arguments(&configuration["controllerManager"]["extraArgs"]),
        kubernetes_version: text(&configuration, "/kubernetesVersion").to_owned(),
    })
}

fn arguments(arguments: &Value) -> BTreeMap<String, String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match arguments {
        Value::Object(map) => map.iter().map(|(k, v)| (k.clone(), plain(v))).collect(),
        Value::Array(list) => {
            list.iter().map(|e| (text(e, "/name").to_owned(), plain(&e["value"]))).collect()
        }
        _ => BTreeMap::new(),
    }
}

fn ranges(list: &str) -> Vec<IpNet> {
    list.split(',').filter_map(|part| part.trim().parse().ok()).collect()
}

pub(super) fn kube_proxy(inventory: &Inventory) -> Option<KubeProxy> {
    let config = inventory.get("", "ConfigMap", "kube-system", "kube-proxy")?;
    let document: Value =
        yaml::read(config.text("/data/config.conf").unwrap_or_default()).unwrap_or_default();
    Some(KubeProxy {
        config: config.clone(),
        daemon_set: inventory.get("apps", "DaemonSet", "kube-system", "kube-proxy").cloned(),
        cluster_cidr: ranges(text(&document, "/clusterCIDR")),
    })
}

/// The controller-managers by their mirror pods, which show what runs.
pub(super) async fn controller_managers(
    reader: &Reader<'_>,
) -> Result<BTreeMap<NodeName, ControllerManager>, ObserveError> {
    let mut managers = BTreeMap::new();
    let query = path::labels("component=kube-controller-manager");
    reader
        .each("/api/v1/namespaces/kube-system/pods", &query, |pod| {
            let node = NodeName::new(text(&pod, "/spec/nodeName"));
            managers.insert(node, ControllerManager { flags: flags(&pod) });
        })
        .await?;
    Ok(managers)
}

/// The Services' ranges as the API servers run with them, else as kubeadm recorded them.
pub(super) async fn service_ranges(
    reader: &Reader<'_>,
    kubeadm: Option<&KubeadmConfig>,
) -> Result<Vec<IpNet>, ObserveError> {
    let mut found: Vec<IpNet> = Vec::new();
    let query = path::labels("component=kube-apiserver");
    reader
        .each("/api/v1/namespaces/kube-system/pods", &query, |pod| {
            for range in flags(&pod).get("service-cluster-ip-range").map(|l| ranges(l)).unwrap_or_default() {
                if !found.contains(&range) {
                    found.push(range);
                }
            }
        })
        .await?;
    if found.is_empty() {
        found = kubeadm.map(|k| k.service_subnet.clone()).unwrap_or_default();
    }
    Ok(found)
}

/// An object with its place, as the inventory keeps it.
pub(super) fn object(kind: &replank_planning::object::Kind, body: Value) -> Object {
    use replank_planning::ids::Uid;
    use replank_planning::object::{ObjectId, ObjectRef};
    let text = |key: &str| body["metadata"][key].as_str().unwrap_or_default();
    let object = ObjectRef::new(kind.clone(), text("namespace"), text("name"));
    Object { id: ObjectId { object, uid: Uid::new(text("uid")) }, body }
}
