//! `kube-system/kubeadm-config`: what joining control planes are rendered from.

use super::support::text;
use crate::api::path;
use crate::engine::{StepContext, StepError};
use replank_planning::yaml;
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
    yaml::read(document).map_err(|e| unread(format!("its ClusterConfiguration is not YAML: {e}")))
}

/// The `ClusterConfiguration` as it stands in the ConfigMap, to be put back word for word.
///
/// # Errors
/// When it is not there.
pub async fn capture(cx: &StepContext<'_>) -> Result<Value, StepError> {
    let map = cx
        .find(&place())
        .await?
        .ok_or_else(|| StepError::changed("ConfigMap kube-system/kubeadm-config", "it is gone"))?;
    parse(&map)?;
    Ok(map["data"]["ClusterConfiguration"].clone())
}

/// Undoes a change: word for word where nothing else was changed since, else only what `back` takes back of
/// the former configuration.
///
/// # Errors
/// When it can't be read or written.
pub async fn put_back(
    cx: &StepContext<'_>,
    before: &Value,
    change: impl Fn(&mut Value) + Send + Sync,
    back: impl Fn(&mut Value, &Value) + Send + Sync,
) -> Result<(), StepError> {
    let document = before.as_str().unwrap_or_default();
    let was = yaml::read(document)
        .map_err(|e| StepError::Failed(format!("the journal's copy of kubeadm's configuration: {e}")))?;
    let mut made = was.clone();
    change(&mut made);
    cx.edit(&place(), None, |map| {
        let mut now = parse(map)?;
        let text = if now == made || now == was {
            document.to_owned()
        } else {
            back(&mut now, &was);
            written(&now)?
        };
        Ok((map["data"]["ClusterConfiguration"] != text.as_str())
            .then(|| json!({"data": {"ClusterConfiguration": text}})))
    })
    .await
    .map(drop)
}

fn written(configuration: &Value) -> Result<String, StepError> {
    yaml::write(configuration)
        .map_err(|e| StepError::Failed(format!("kubeadm's configuration can't be written: {e}")))
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
        Ok(Some(json!({"data": {"ClusterConfiguration": written(&now)?}})))
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
