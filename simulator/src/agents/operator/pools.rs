//! The Installation's pools, as Calico's own objects.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::apply::Applier;
use crate::machines::api::{Api, ApiFailure, Patch, text};

const MANAGED: &str = "app.kubernetes.io/managed-by";
const COLLECTION: &str = "/apis/crd.projectcalico.org/v1/ippools";

/// Makes the pools as the Installation says, and says in a sentence why they can't be.
///
/// A pool that the Installation no longer names is closed, not deleted: addresses may be in use.
pub(super) async fn reconcile(
    api: &Api,
    installation: &Value,
    subnets: &[String],
) -> Result<Option<String>, ApiFailure> {
    let wanted = installation["spec"]["calicoNetwork"]["ipPools"].as_array().cloned().unwrap_or_default();
    if let Some(reason) = outside(&wanted, subnets) {
        return Ok(Some(reason));
    }
    // Without an owner: pools outlive the Installation.
    let applier = Applier::new(api, None);
    let (known, _) = api.list(COLLECTION).await?;
    for pool in &wanted {
        let desired = object(pool);
        let name = text(&desired, "/metadata/name");
        match known.iter().find(|pool| text(pool, "/metadata/name") == name) {
            None => applier.put_once(desired).await?,
            Some(actual) => {
                let fields = desired["spec"].as_object().into_iter().flatten();
                let differs = fields.into_iter().any(|(key, value)| {
                    // A field that is off may be left out.
                    actual["spec"][key] != *value
                        && !(actual["spec"][key].is_null() && *value == json!(false))
                });
                if differs || actual["metadata"]["labels"][MANAGED].is_null() {
                    let patch = json!({"metadata": {"labels": desired["metadata"]["labels"]}, "spec": desired["spec"]});
                    api.patch(&format!("{COLLECTION}/{name}"), Patch::Merge, &patch).await?;
                }
            }
        }
    }
    for pool in &known {
        let named = wanted.iter().any(|wanted| wanted["name"] == pool["metadata"]["name"]);
        let ours = pool["metadata"]["labels"][MANAGED] == "tigera-operator";
        if ours && !named && pool["spec"]["disabled"] != true {
            let path = format!("{COLLECTION}/{}", text(pool, "/metadata/name"));
            api.patch(&path, Patch::Merge, &json!({"spec": {"disabled": true}})).await?;
        }
    }
    Ok(None)
}

/// Why pools don't fit into the pod network that kubeadm knows.
fn outside(pools: &[Value], subnets: &[String]) -> Option<String> {
    let networks: Vec<IpNet> = subnets.iter().filter_map(|subnet| subnet.parse().ok()).collect();
    if networks.is_empty() {
        return None;
    }
    pools.iter().find_map(|pool| {
        let cidr = text(pool, "/cidr");
        let net: IpNet = cidr.parse().ok()?;
        let inside = networks.iter().any(|network| network.contains(&net));
        (!inside).then(|| {
            format!(
                "IP pool {cidr} is not within the platform's configured pod network CIDR(s) [{}]",
                subnets.join(" ")
            )
        })
    })
}

fn object(pool: &Value) -> Value {
    let (ipip, vxlan) = match text(pool, "/encapsulation") {
        "IPIP" => ("Always", "Never"),
        "IPIPCrossSubnet" => ("CrossSubnet", "Never"),
        "VXLAN" => ("Never", "Always"),
        "VXLANCrossSubnet" => ("Never", "CrossSubnet"),
        _ => ("Never", "Never"),
    };
    let mut spec = json!({
        "cidr": pool["cidr"],
        "blockSize": pool["blockSize"],
        "ipipMode": ipip,
        "vxlanMode": vxlan,
        "natOutgoing": pool["natOutgoing"] == "Enabled",
        "nodeSelector": pool["nodeSelector"],
        "allowedUses": pool["allowedUses"],
        "disabled": pool["disableNewAllocations"] == true,
    });
    if pool["disableBGPExport"] == true {
        spec["disableBGPExport"] = json!(true);
    }
    json!({
        "apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool",
        "metadata": {"name": pool["name"], "labels": {MANAGED: "tigera-operator"}},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_outside_kubeadms_network_is_refused() {
        let pools = [json!({"cidr": "10.0.0.0/16"})];
        assert_eq!(outside(&pools, &[]), None);
        assert_eq!(outside(&pools, &["10.0.0.0/8".to_owned()]), None);
        let reason = outside(&pools, &["192.168.0.0/16".to_owned()]).unwrap();
        assert!(reason.contains("10.0.0.0/16 is not within"), "{reason}");
    }
}
