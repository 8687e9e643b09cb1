//! One pod of a StatefulSet, with its name and its claims.

use super::pods;
use crate::controllers::context::Cx;
use crate::controllers::objects::{items, name_of, namespace_of, text};
use crate::schema::builtin::{PERSISTENT_VOLUME_CLAIMS, STATEFUL_SETS};
use crate::server::REVISION;
use crate::server::Status;
use serde_json::{Value, json};

/// Creates the pod with this ordinal, and its claims before it.
pub(super) fn create(cx: &Cx, set: &Value, at: i64, template: &Value, revision: &str) -> Result<(), Status> {
    let name = format!("{}-{at}", name_of(set));
    claims(cx, set, &name)?;
    let mut pod = pods::from_template(template, &STATEFUL_SETS, set);
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("generateName");
    }
    pod["metadata"]["name"] = json!(name);
    for (label, value) in [
        (REVISION, revision),
        ("statefulset.kubernetes.io/pod-name", &name),
        ("apps.kubernetes.io/pod-index", &at.to_string()),
    ] {
        pod["metadata"]["labels"][label] = json!(value);
    }
    pod["spec"]["hostname"] = json!(name);
    let service = text(set, "/spec/serviceName");
    if !service.is_empty() {
        pod["spec"]["subdomain"] = json!(service);
    }
    let own = |volume: &Value| {
        items(set, "/spec/volumeClaimTemplates").iter().any(|claim| name_of(claim) == text(volume, "/name"))
    };
    let mut volumes: Vec<Value> =
        items(&pod, "/spec/volumes").iter().filter(|volume| !own(volume)).cloned().collect();
    volumes.extend(items(set, "/spec/volumeClaimTemplates").iter().map(|template| {
        let claim = name_of(template);
        json!({"name": claim, "persistentVolumeClaim": {"claimName": format!("{claim}-{name}")}})
    }));
    if !volumes.is_empty() {
        pod["spec"]["volumes"] = Value::Array(volumes);
    }
    pods::create(cx, set, pod).map(|_| ())
}

/// The claims of one pod; they outlive it.
fn claims(cx: &Cx, set: &Value, pod: &str) -> Result<(), Status> {
    for template in items(set, "/spec/volumeClaimTemplates") {
        let name = format!("{}-{pod}", name_of(template));
        if cx.get(&PERSISTENT_VOLUME_CLAIMS, namespace_of(set), &name).is_some() {
            continue;
        }
        let mut labels = template["metadata"]["labels"].clone();
        if !labels.is_object() {
            labels = json!({});
        }
        for (key, value) in set["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten() {
            labels[key] = value.clone();
        }
        let claim = json!({
            "metadata": {
                "name": name, "namespace": namespace_of(set), "labels": labels,
                "annotations": template["metadata"]["annotations"],
            },
            "spec": template["spec"],
        });
        cx.direct.create(&PERSISTENT_VOLUME_CLAIMS, claim)?;
    }
    Ok(())
}
