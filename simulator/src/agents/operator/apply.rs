//! Bringing objects into the shape that the operator wants.

use serde_json::{Map, Value, json};

use crate::machines::api::{Api, ApiFailure, path, text};

/// Writes objects in the name of one custom resource.
pub(super) struct Applier<'a> {
    pub(super) api: &'a Api,
    owner: Option<Value>,
}

/// Base path, plural, and whether the kind lives in namespaces.
fn place(object: &Value) -> (String, &'static str) {
    let version = text(object, "/apiVersion");
    let base = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let plural = match text(object, "/kind") {
        "Namespace" => "namespaces",
        "ServiceAccount" => "serviceaccounts",
        "ConfigMap" => "configmaps",
        "Secret" => "secrets",
        "Service" => "services",
        "DaemonSet" => "daemonsets",
        "Deployment" => "deployments",
        "ClusterRole" => "clusterroles",
        "ClusterRoleBinding" => "clusterrolebindings",
        "Role" => "roles",
        "RoleBinding" => "rolebindings",
        "PodDisruptionBudget" => "poddisruptionbudgets",
        "CSIDriver" => "csidrivers",
        "APIService" => "apiservices",
        "NetworkPolicy" => "networkpolicies",
        "PriorityClass" => "priorityclasses",
        "Tier" => "tiers",
        "TigeraStatus" => "tigerastatuses",
        "FelixConfiguration" => "felixconfigurations",
        _ => "ippools",
    };
    (base, plural)
}

/// The collection that an object belongs to.
pub(super) fn collection(object: &Value) -> String {
    let (base, plural) = place(object);
    path(&base, text(object, "/metadata/namespace"), plural, "")
}

/// The path of an object.
pub(super) fn path_of(object: &Value) -> String {
    format!("{}/{}", collection(object), text(object, "/metadata/name"))
}

impl<'a> Applier<'a> {
    /// In the name of this custom resource; of none, objects have no owner.
    pub(super) fn new(api: &'a Api, owner: Option<&Value>) -> Self {
        let owner = owner.map(|owner| {
            json!({
                "apiVersion": owner["apiVersion"], "kind": owner["kind"],
                "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
                "controller": true, "blockOwnerDeletion": true,
            })
        });
        Self { api, owner }
    }

    /// Makes the object so, unless it is. One that is being deleted is left alone.
    pub(super) async fn put(&self, mut desired: Value) -> Result<(), ApiFailure> {
        if let Some(owner) = &self.owner {
            desired["metadata"]["ownerReferences"] = json!([owner]);
        }
        let Some(actual) = self.existing(&desired).await? else {
            return self.api.ensure(&collection(&desired), &desired).await;
        };
        if !actual["metadata"]["deletionTimestamp"].is_null() || is(&desired, &actual) {
            return Ok(());
        }
        carry(&mut desired, &actual);
        match self.api.update(&path_of(&desired), &desired).await {
            Err(failure) if failure.is_conflict() => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Makes the object unless one of its name is there.
    pub(super) async fn put_once(&self, mut desired: Value) -> Result<(), ApiFailure> {
        if self.existing(&desired).await?.is_some() {
            return Ok(());
        }
        if let Some(owner) = &self.owner {
            desired["metadata"]["ownerReferences"] = json!([owner]);
        }
        self.api.ensure(&collection(&desired), &desired).await
    }

    /// What is there; APIServices may only be listed.
    async fn existing(&self, desired: &Value) -> Result<Option<Value>, ApiFailure> {
        if desired["kind"] == "APIService" {
            let (all, _) = self.api.list(&collection(desired)).await?;
            let name = &desired["metadata"]["name"];
            let found = all.into_iter().find(|object| object["metadata"]["name"] == *name);
            // The items of a list don't say what they are.
            return Ok(found.map(|object| {
                let mut object = object.into_value();
                for field in ["apiVersion", "kind"] {
                    object[field] = desired[field].clone();
                }
                object
            }));
        }
        self.api.find(&path_of(desired)).await
    }

    /// Puts several objects, in order.
    pub(super) async fn put_all(&self, objects: Vec<Value>) -> Result<(), ApiFailure> {
        for object in objects {
            self.put(object).await?;
        }
        Ok(())
    }
}

/// Keys under which something that isn't wanted must not be.
const EXACT: [&str; 5] = ["nodeSelector", "affinity", "data", "matchLabels", "tolerations"];

/// Whether the actual object is as desired; what the API server adds does not count.
fn is(desired: &Value, actual: &Value) -> bool {
    let fields = desired.as_object().into_iter().flatten();
    let template = |object: &Value| object["spec"]["template"]["spec"].clone();
    let extra = ["nodeSelector", "affinity"].iter().any(|key| {
        let empty = |value: &Value| value.as_object().is_none_or(Map::is_empty);
        empty(&template(desired)[*key]) && !empty(&template(actual)[*key])
    });
    !extra
        && fields.into_iter().all(|(key, value)| match key.as_str() {
            "metadata" => metadata_is(value, &actual["metadata"]),
            _ => covers(key, value, &actual[key]),
        })
}

fn metadata_is(desired: &Value, actual: &Value) -> bool {
    let maps = ["labels", "annotations"].iter().all(|key| covers("", &desired[*key], &actual[*key]));
    let finalizers = desired["finalizers"].as_array().into_iter().flatten();
    let owners = desired["ownerReferences"].as_array().into_iter().flatten();
    let uids = |object: &Value| -> Vec<Value> {
        let owners = object["ownerReferences"].as_array().into_iter().flatten();
        owners.map(|owner| owner["uid"].clone()).collect()
    };
    maps && finalizers
        .into_iter()
        .all(|name| actual["finalizers"].as_array().is_some_and(|finalizers| finalizers.contains(name)))
        && owners.into_iter().all(|owner| uids(actual).contains(&owner["uid"]))
}

fn covers(key: &str, desired: &Value, actual: &Value) -> bool {
    match (desired, actual) {
        (Value::Null, _) => true,
        (Value::Object(desired), Value::Object(actual)) => {
            (!EXACT.contains(&key) || desired.len() == actual.len())
                && desired
                    .iter()
                    .all(|(key, value)| covers(key, value, actual.get(key).unwrap_or(&Value::Null)))
        }
        (Value::Array(desired), Value::Array(actual)) => {
            desired.len() == actual.len() && desired.iter().zip(actual).all(|(a, b)| covers("", a, b))
        }
        // What is empty may be left out by the server.
        (Value::Object(desired), Value::Null) => desired.is_empty(),
        (Value::Array(desired), Value::Null) => desired.is_empty(),
        (desired, actual) => desired == actual,
    }
}

/// Takes over what belongs to the object and is not the operator's.
fn carry(desired: &mut Value, actual: &Value) {
    for key in ["labels", "annotations"] {
        if let Some(known) = actual["metadata"][key].as_object() {
            let mut merged = known.clone();
            if let Some(own) = desired["metadata"].get(key).and_then(Value::as_object) {
                merged.extend(own.clone());
            }
            desired["metadata"][key] = Value::Object(merged);
        }
    }
    if let Some(known) = actual["metadata"]["finalizers"].as_array() {
        let mut merged = known.clone();
        for name in desired["metadata"]["finalizers"].as_array().into_iter().flatten() {
            if !merged.contains(name) {
                merged.push(name.clone());
            }
        }
        desired["metadata"]["finalizers"] = Value::Array(merged);
    }
    desired["metadata"]["resourceVersion"] = actual["metadata"]["resourceVersion"].clone();
    desired["metadata"]["uid"] = actual["metadata"]["uid"].clone();
    for key in ["clusterIP", "clusterIPs"] {
        if desired["kind"] == "Service" && desired["spec"][key].is_null() {
            desired["spec"][key] = actual["spec"][key].clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_seen_and_a_default_is_not() {
        let desired = json!({"kind": "DaemonSet", "metadata": {"name": "a"}, "spec": {"template": {"spec": {
            "nodeSelector": {"kubernetes.io/os": "linux"}, "containers": [{"name": "c", "env": []}],
        }}}});
        let mut actual = desired.clone();
        actual["spec"]["template"]["spec"]["dnsPolicy"] = json!("ClusterFirst");
        actual["status"] = json!({"numberReady": 3});
        assert!(is(&desired, &actual));
        actual["spec"]["template"]["spec"]["nodeSelector"]["old"] = json!("true");
        assert!(!is(&desired, &actual));
        actual = desired.clone();
        actual["spec"]["template"]["spec"]["affinity"] = json!({"nodeAffinity": {}});
        assert!(!is(&desired, &actual));
    }
}
