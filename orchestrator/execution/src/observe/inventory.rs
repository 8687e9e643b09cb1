//! Every object that could have to do with a network, whole but for what must not or need not be kept.

use super::ObserveError;
use super::control_plane::object;
use super::reader::Reader;
use crate::api::path;
use crate::steps::support::{items, text};
use replank_planning::object::{Kind, Scope};
use replank_planning::state::{Inventory, common_kinds};
use serde_json::{Value, json};

/// ConfigMaps with more data than this are kept without it: no network's configuration is that large.
const LARGE: usize = 64 * 1024;
/// kubectl's copy of what was applied: for a Secret it holds the secret.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The annotation of account tokens.
const ACCOUNT: &str = "kubernetes.io/service-account.name";

pub(super) async fn read(reader: &Reader<'_>) -> Result<Inventory, ObserveError> {
    let mut inventory = Inventory::default();
    let mut kinds = common_kinds();
    kinds.extend(of_network_groups(reader).await?);
    for kind in &kinds {
        let collection = path::collection(kind, "");
        let take = |body| inventory.insert(object(kind, slim(kind, body)));
        let read = if kind.kind == "Secret" {
            reader.each_metadata(&collection, take).await
        } else {
            reader.each(&collection, "", take).await
        };
        match read {
            // An aggregated API whose pods are away: what it shows lies in its own CRDs, which are read too.
            Err(ObserveError::Api { source, .. }) if source.code == 503 && aggregated(kind) => {
                tracing::warn!(%collection, "an aggregated API does not answer and is left out");
            }
            other => other?,
        }
    }
    Ok(inventory)
}

fn aggregated(kind: &Kind) -> bool {
    kind.group == "projectcalico.org"
}

/// Whether a group belongs to a network plugin, or to policies of one.
fn is_network_group(group: &str) -> bool {
    group.contains("projectcalico.org") || group.contains("tigera.io") || group == "policy.networking.k8s.io"
}

/// The kinds of those groups, at the version that the server prefers.
async fn of_network_groups(reader: &Reader<'_>) -> Result<Vec<Kind>, ObserveError> {
    let groups = match reader.get("/apis").await {
        Err(ObserveError::Api { source, .. }) if source.is_not_found() => Value::Null,
        other => other?,
    };
    let mut kinds = Vec::new();
    for group in items(&groups, "/groups") {
        let name = text(group, "/name");
        if !is_network_group(name) {
            continue;
        }
        let version = text(group, "/preferredVersion/groupVersion");
        let resources = match reader.get(&format!("/apis/{version}")).await {
            Ok(resources) => resources,
            Err(ObserveError::Api { source, .. }) if matches!(source.code, 404 | 503) => {
                tracing::warn!(group = name, "a group is announced but not served, and is left out");
                continue;
            }
            Err(error) => return Err(error),
        };
        kinds.extend(items(&resources, "/resources").iter().filter_map(|r| kind(name, version, r)));
    }
    Ok(kinds)
}

fn kind(group: &str, group_version: &str, resource: &Value) -> Option<Kind> {
    let plural = text(resource, "/name");
    let listed = items(resource, "/verbs").iter().any(|v| v == "list");
    if !listed || plural.contains('/') {
        return None;
    }
    let version = group_version.rsplit('/').next()?;
    let scope = if resource["namespaced"] == true { Scope::Namespaced } else { Scope::Cluster };
    let kind = match scope {
        Scope::Namespaced => Kind::namespaced(group, version, text(resource, "/kind"), plural),
        Scope::Cluster => Kind::cluster(group, version, text(resource, "/kind"), plural),
    };
    Some(kind)
}

/// An object without what the state does not keep.
fn slim(kind: &Kind, mut body: Value) -> Value {
    body["apiVersion"] = json!(kind.api_version());
    body["kind"] = json!(kind.kind);
    if let Some(metadata) = body["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    match kind.kind.as_str() {
        "Secret" if kind.group.is_empty() => {
            // Metadata tells nothing of a Secret's type, but the annotation that only one type has.
            if body["metadata"]["annotations"].get(ACCOUNT).is_some() {
                body["type"] = json!("kubernetes.io/service-account-token");
            }
            if let Some(secret) = body.as_object_mut() {
                secret.retain(|key, _| matches!(key.as_str(), "apiVersion" | "kind" | "metadata" | "type"));
            }
        }
        "ConfigMap" if kind.group.is_empty() => {
            let size: usize = body["data"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, v)| k.len() + v.as_str().map_or(0, str::len))
                .sum();
            if let Some(map) = body.as_object_mut()
                && size > LARGE
            {
                map.remove("data");
            }
        }
        "CustomResourceDefinition" => {
            for version in body["spec"]["versions"].as_array_mut().into_iter().flatten() {
                if let Some(version) = version.as_object_mut() {
                    version.remove("schema");
                    version.remove("additionalPrinterColumns");
                }
            }
        }
        _ => {}
    }
    body
}
