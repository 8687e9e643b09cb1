//! `kube-system/kubeadm-config`: what joining control planes are rendered from.

use super::support::text;
use crate::api::path;
use crate::engine::{StepContext, StepError};
use serde_json::{Map, Value, json};

/// Where it is.
pub fn place() -> String {
    path::core("kube-system", "configmaps", "kubeadm-config")
}

/// The `ClusterConfiguration` in the ConfigMap.
///
/// # Errors
/// When it is not there or not YAML.
pub fn parse(map: &Value) -> Result<Value, StepError> {
    let unread = |why: String| StepError::changed("ConfigMap kube-system/kubeadm-config", why);
    let document = text(map, "/data/ClusterConfiguration");
    if document.is_empty() {
        return Err(unread("it holds no ClusterConfiguration".into()));
    }
    serde_saphyr::from_str(document).map_err(|e| unread(format!("its ClusterConfiguration is not YAML: {e}")))
}

/// Changes the `ClusterConfiguration`; what `change` leaves alone keeps its text if nothing changes at all.
///
/// # Errors
/// When it can't be read or written.
pub async fn edit(cx: &StepContext<'_>, change: impl Fn(&mut Value) + Send + Sync) -> Result<(), StepError> {
    cx.edit(&place(), None, |map| {
        let was = parse(map)?;
        let mut now = was.clone();
        change(&mut now);
        if now == was {
            return Ok(None);
        }
        let document = serde_saphyr::to_string(&now)
            .map_err(|e| StepError::Failed(format!("kubeadm's configuration can't be written: {e}")))?;
        Ok(Some(json!({"data": {"ClusterConfiguration": document}})))
    })
    .await
    .map(drop)
}

/// An extra argument of the controller-manager, in either of kubeadm's formats.
pub fn argument(configuration: &Value, name: &str) -> Option<String> {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match &configuration["controllerManager"]["extraArgs"] {
        Value::Object(map) => map.get(name).map(plain),
        Value::Array(list) => list.iter().find(|e| e["name"] == name).map(|e| plain(&e["value"])),
        _ => None,
    }
}

/// Sets an extra argument of the controller-manager, or takes it away, in the format that is there.
pub fn set_argument(configuration: &mut Value, name: &str, value: Option<&str>) {
    let listed = text(configuration, "/apiVersion").ends_with("/v1beta4");
    if argument(configuration, name).is_none() && value.is_none() {
        return;
    }
    if !configuration["controllerManager"].is_object() {
        configuration["controllerManager"] = json!({});
    }
    let arguments = &mut configuration["controllerManager"]["extraArgs"];
    if arguments.is_null() {
        *arguments = if listed { json!([]) } else { Value::Object(Map::new()) };
    }
    match arguments {
        Value::Object(map) => {
            match value {
                Some(value) => map.insert(name.to_owned(), json!(value)),
                None => map.remove(name),
            };
        }
        Value::Array(list) => {
            // An argument may be given more than once; the last one counts, so only one is left.
            list.retain(|e| e["name"] != name);
            if let Some(value) = value {
                list.push(json!({"name": name, "value": value}));
            }
        }
        _ => {}
    }
}
