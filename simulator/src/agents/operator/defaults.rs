//! What an Installation becomes once the operator has filled it in.

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::teardown::OWN_FINALIZERS;
use crate::machines::api::{Api, ApiFailure, core, text};

/// The pod networks that kubeadm wrote down; empty without kubeadm.
pub(super) async fn pod_subnets(api: &Api) -> Result<Vec<String>, ApiFailure> {
    let Some(map) = api.find(&core("kube-system", "configmaps", "kubeadm-config")).await? else {
        return Ok(Vec::new());
    };
    let config: Value =
        serde_saphyr::from_str(text(&map, "/data/ClusterConfiguration")).unwrap_or(Value::Null);
    let subnets = text(&config, "/networking/podSubnet").split(',').map(str::trim);
    Ok(subnets.filter(|subnet| !subnet.is_empty()).map(str::to_owned).collect())
}

/// Why pools don't fit into the pod network that kubeadm knows. Asked only while there are no
/// pools yet: later changes of kubeadm's note go unseen.
pub(super) fn outside(installation: &Value, subnets: &[String]) -> Option<String> {
    let networks: Vec<IpNet> = subnets.iter().filter_map(|subnet| subnet.parse().ok()).collect();
    if networks.is_empty() {
        return None;
    }
    let pools = installation["spec"]["calicoNetwork"]["ipPools"].as_array().into_iter().flatten();
    pools.into_iter().find_map(|pool| {
        let cidr = text(pool, "/cidr");
        let net: IpNet = cidr.parse().ok()?;
        let inside = networks.iter().any(|network| network.contains(&net));
        (!inside).then(|| {
            let known = subnets.join(" ");
            format!("IPPool {cidr} is not within the platform's configured pod network CIDR(s) [{known}]")
        })
    })
}

/// The Installation with its defaults and finalizers, if they change it. Pools are only thought
/// out where the cluster has none.
pub(super) fn filled(installation: &Value, subnets: &[String], bare: bool) -> Option<Value> {
    let mut filled = installation.clone();
    if !filled["spec"].is_object() {
        filled["spec"] = json!({});
    }
    let mut pools = filled["spec"]["calicoNetwork"]["ipPools"].as_array().cloned();
    if pools.is_none() && bare {
        let fallback = vec!["192.168.0.0/16".to_owned()];
        let cidrs = if subnets.is_empty() { &fallback } else { subnets };
        pools = Some(cidrs.iter().map(|cidr| json!({"cidr": cidr})).collect());
    }
    let mut pools = pools.unwrap_or_default();
    for pool in &mut pools {
        default(pool, pool_defaults(text(pool, "/cidr")));
    }
    filled["spec"]["calicoNetwork"]["ipPools"] = Value::Array(pools);
    default(
        &mut filled["spec"],
        json!({
            "variant": "Calico",
            "cni": {"type": "Calico", "ipam": {"type": "Calico"}},
            "calicoNetwork": {
                "bgp": "Enabled",
                "hostPorts": "Enabled",
                "linuxDataplane": "Iptables",
                "linuxPolicySetupTimeoutSeconds": 0,
                "multiInterfaceMode": "None",
                "nodeAddressAutodetectionV4": {"firstFound": true},
                "windowsDataplane": "Disabled",
            },
            "controlPlaneReplicas": 2,
            "flexVolumePath": "None",
            "kubeletVolumePluginPath": "/var/lib/kubelet",
            "nodeUpdateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "nonPrivileged": "Disabled",
        }),
    );
    add_finalizers(&mut filled, &OWN_FINALIZERS);
    (filled != *installation).then_some(filled)
}

/// Adds finalizers that are not there.
pub(super) fn add_finalizers(object: &mut Value, names: &[&str]) {
    let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    for name in names {
        if !finalizers.iter().any(|known| known == name) {
            finalizers.push(json!(name));
        }
    }
    object["metadata"]["finalizers"] = Value::Array(finalizers);
}

fn pool_defaults(cidr: &str) -> Value {
    let v4 = !cidr.contains(':');
    json!({
        "name": if v4 { "default-ipv4-ippool" } else { "default-ipv6-ippool" },
        "encapsulation": if v4 { "IPIP" } else { "None" },
        "natOutgoing": if v4 { "Enabled" } else { "Disabled" },
        "nodeSelector": "all()",
        "blockSize": if v4 { 26 } else { 122 },
        "disableBGPExport": false,
        "disableNewAllocations": false,
        "allowedUses": ["Workload", "Tunnel"],
        "assignmentMode": "Automatic",
    })
}

/// Fills in what is missing, deeply.
fn default(target: &mut Value, defaults: Value) {
    let Value::Object(defaults) = defaults else { return };
    if target.is_null() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (key, value) in defaults {
        match fields.get_mut(&key) {
            Some(known) if known.is_object() => default(known, value),
            Some(known) if !known.is_null() => {}
            _ => {
                fields.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_come_from_the_installation_else_from_kubeadm() {
        let plain = filled(&json!({"metadata": {}}), &["10.0.0.0/16".to_owned()], true).unwrap();
        assert_eq!(plain["spec"]["calicoNetwork"]["ipPools"][0]["cidr"], "10.0.0.0/16");
        assert_eq!(plain["spec"]["calicoNetwork"]["ipPools"][0]["encapsulation"], "IPIP");
        assert_eq!(filled(&plain, &[], false), None);
        let own = json!({"metadata": {}, "spec": {"calicoNetwork": {"bgp": "Disabled", "ipPools": [
            {"cidr": "192.168.0.0/16", "encapsulation": "VXLAN"},
        ]}}});
        let own = filled(&own, &[], true).unwrap();
        assert_eq!(own["spec"]["calicoNetwork"]["bgp"], "Disabled");
        assert_eq!(own["spec"]["calicoNetwork"]["ipPools"][0]["encapsulation"], "VXLAN");
    }

    #[test]
    fn a_pool_outside_kubeadms_network_is_refused() {
        let installation = json!({"spec": {"calicoNetwork": {"ipPools": [{"cidr": "10.0.0.0/16"}]}}});
        assert_eq!(outside(&installation, &[]), None);
        assert_eq!(outside(&installation, &["10.0.0.0/8".to_owned()]), None);
        let reason = outside(&installation, &["192.168.0.0/16".to_owned()]).unwrap();
        assert!(reason.contains("10.0.0.0/16 is not within"), "{reason}");
    }
}
