//! The Installation's pools, as Calico's own objects.
//!
//! The first pools are written as custom resources. Later changes go through Calico's own API
//! server: while that does not answer, they are not made.

use crate::server::Object;
use serde_json::{Value, json};

use super::apply::Applier;
use crate::machines::api::{Api, ApiFailure, Patch, text};

const MANAGED: &str = "app.kubernetes.io/managed-by";
const STORED: &str = "/apis/crd.projectcalico.org/v1/ippools";
const SERVED: &str = "/apis/projectcalico.org/v3/ippools";

/// The pools of the cluster.
pub(super) async fn list(api: &Api) -> Result<Vec<Value>, ApiFailure> {
    match api.list(STORED).await {
        Ok((pools, _)) => Ok(pools.into_iter().map(Object::into_value).collect()),
        Err(failure) if failure.is_not_found() => Ok(Vec::new()),
        Err(failure) => Err(failure),
    }
}

/// Whether any pool is open. Without one the operator's main controller stands still.
pub(super) fn any_open(pools: &[Value]) -> bool {
    pools.iter().any(|pool| pool["spec"]["disabled"] != true)
}

/// Makes the pools as the Installation says; why it can't, in a sentence.
pub(super) async fn reconcile(
    api: &Api,
    installation: &Value,
    known: &[Value],
    served: bool,
) -> Result<Option<String>, ApiFailure> {
    let wanted = installation["spec"]["calicoNetwork"]["ipPools"].as_array().cloned().unwrap_or_default();
    // Without an owner: pools outlive the Installation.
    let applier = Applier::new(api, None);
    let mut trouble = None;
    for pool in &wanted {
        let desired = object(pool);
        let actual = known.iter().find(|known| known["spec"]["cidr"] == pool["cidr"]);
        match actual {
            Some(actual) if !managed(actual) && differs(&desired, actual) => {
                trouble = Some("Cannot update an IP pool not owned by the operator".to_owned());
            }
            Some(actual) if !differs(&desired, actual) && (managed(actual) || !served) => {}
            None if known.is_empty() => applier.put_once(desired).await?,
            _ if !served => {
                return Ok(Some(
                    "Unable to modify IP pools while Calico API server is unavailable".to_owned(),
                ));
            }
            None => {
                let mut desired = desired;
                desired["apiVersion"] = json!("projectcalico.org/v3");
                api.ensure(SERVED, &desired).await?;
            }
            Some(actual) => {
                let patch =
                    json!({"metadata": {"labels": desired["metadata"]["labels"]}, "spec": desired["spec"]});
                let path = format!("{SERVED}/{}", text(actual, "/metadata/name"));
                api.patch(&path, Patch::Merge, &patch).await?;
            }
        }
    }
    for pool in known.iter().filter(|pool| managed(pool)) {
        if wanted.iter().any(|wanted| wanted["cidr"] == pool["spec"]["cidr"]) {
            continue;
        }
        if !served {
            return Ok(Some("Unable to delete IP pools while Calico API server is unavailable".to_owned()));
        }
        api.delete(&format!("{SERVED}/{}", text(pool, "/metadata/name")), &json!({})).await?;
    }
    Ok(trouble)
}

fn managed(pool: &Value) -> bool {
    pool["metadata"]["labels"][MANAGED] == "tigera-operator"
}

/// Whether a pool is not as desired. A field that is off may be left out.
fn differs(desired: &Value, actual: &Value) -> bool {
    let fields = desired["spec"].as_object().into_iter().flatten();
    let off = |value: &Value| value.is_null() || *value == json!(false);
    fields.into_iter().any(|(key, value)| {
        let actual = &actual["spec"][key];
        actual != value && !(off(actual) && off(value))
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
    let spec = json!({
        "cidr": pool["cidr"],
        "blockSize": pool["blockSize"],
        "ipipMode": ipip,
        "vxlanMode": vxlan,
        "natOutgoing": pool["natOutgoing"] == "Enabled",
        "nodeSelector": pool["nodeSelector"],
        "allowedUses": pool["allowedUses"],
        "disabled": pool["disableNewAllocations"] == true,
        "disableBGPExport": pool["disableBGPExport"] == true,
    });
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
    fn what_is_off_may_be_left_out() {
        let pool = json!({"name": "p", "cidr": "10.0.0.0/16", "encapsulation": "VXLAN", "blockSize": 26});
        let desired = object(&pool);
        let mut actual = desired.clone();
        if let Some(spec) = actual["spec"].as_object_mut() {
            spec.remove("disabled");
        }
        assert!(!differs(&desired, &actual));
        assert!(any_open(&[actual.clone()]));
        actual["spec"]["disabled"] = json!(true);
        assert!(differs(&desired, &actual));
        assert!(!any_open(&[actual]));
    }
}
