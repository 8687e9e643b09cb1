//! What the API server demands of built-in kinds, as far as tools run into it.

use crate::schema::registry::ResourceInfo;
use crate::server::Status;
use serde_json::Value;

type Errors = Vec<(String, &'static str, String)>;

const REQUIRED: &str = "FieldValueRequired";
const INVALID: &str = "FieldValueInvalid";
const DUPLICATE: &str = "FieldValueDuplicate";
const FORBIDDEN: &str = "FieldValueForbidden";

/// Checks a built-in object against what it must have, and against what of `old` may change.
///
/// # Errors
/// 422 naming every field that breaks a rule.
pub fn check(info: &ResourceInfo, object: &Value, old: Option<&Value>) -> Result<(), Status> {
    let mut errors = Errors::new();
    required(info, object, &mut errors);
    if let Some(old) = old {
        unchanged(info, object, old, &mut errors);
    }
    if errors.is_empty() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let listed: Vec<(&str, &str, String)> =
        errors.iter().map(|(field, reason, message)| (field.as_str(), *reason, message.clone())).collect();
    Err(Status::invalid(&info.resource, name, &listed))
}

fn need(errors: &mut Errors, field: &str) {
    errors.push((field.to_owned(), REQUIRED, "Required value".to_owned()));
}

fn required(info: &ResourceInfo, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    match (&*info.resource.group, &*info.resource.kind) {
        ("", "Pod") => pod(spec, "spec", errors),
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet") => {
            workload(spec, errors);
        }
        ("batch", "Job") => pod(&spec["template"]["spec"], "spec.template.spec", errors),
        ("batch", "CronJob") if spec["schedule"].as_str().is_none_or(str::is_empty) => {
            need(errors, "spec.schedule");
        }
        ("", "Service") => service(spec, errors),
        ("", "Node") => taints(spec, errors),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding")
            if object["roleRef"]["name"].as_str().is_none_or(str::is_empty) =>
        {
            need(errors, "roleRef.name");
        }
        ("storage.k8s.io", "StorageClass") if object["provisioner"].as_str().is_none_or(str::is_empty) => {
            need(errors, "provisioner");
        }
        ("discovery.k8s.io", "EndpointSlice") if object["addressType"].as_str().is_none_or(str::is_empty) => {
            need(errors, "addressType");
        }
        ("policy", "PodDisruptionBudget")
            if spec.get("minAvailable").is_some() && spec.get("maxUnavailable").is_some() =>
        {
            let message =
                format!("Invalid value: {spec}: minAvailable and maxUnavailable cannot be both set");
            errors.push(("spec".to_owned(), INVALID, message));
        }
        _ => {}
    }
}

/// A key has each effect once.
fn taints(spec: &Value, errors: &mut Errors) {
    let mut seen = std::collections::BTreeSet::new();
    for (index, taint) in spec["taints"].as_array().into_iter().flatten().enumerate() {
        let (key, effect) =
            (taint["key"].as_str().unwrap_or_default(), taint["effect"].as_str().unwrap_or_default());
        if !seen.insert((key, effect)) {
            let message = format!("Duplicate value: {taint}: taints must be unique by key and effect pair");
            errors.push((format!("metadata.taints[{index}]"), DUPLICATE, message));
        }
    }
}

fn pod(spec: &Value, at: &str, errors: &mut Errors) {
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        need(errors, &format!("{at}.containers"));
    }
    for field in ["initContainers", "containers"] {
        let mut names = std::collections::BTreeSet::new();
        for (index, container) in spec[field].as_array().into_iter().flatten().enumerate() {
            for wanted in ["name", "image"] {
                // Pod templates are not asked for an image by every kind, pods are.
                if container[wanted].as_str().is_none_or(str::is_empty) {
                    need(errors, &format!("{at}.{field}[{index}].{wanted}"));
                }
            }
            let name = container["name"].as_str().unwrap_or_default();
            if !names.insert(name) {
                let message = format!("Duplicate value: {name:?}");
                errors.push((format!("{at}.{field}[{index}].name"), "FieldValueDuplicate", message));
            }
        }
    }
}

fn workload(spec: &Value, errors: &mut Errors) {
    if spec["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
        need(errors, "spec.selector");
    } else if !selects(&spec["selector"], &spec["template"]["metadata"]["labels"]) {
        let labels = &spec["template"]["metadata"]["labels"];
        let message = format!("Invalid value: {labels}: `selector` does not match template `labels`");
        errors.push(("spec.template.metadata.labels".to_owned(), INVALID, message));
    }
    pod(&spec["template"]["spec"], "spec.template.spec", errors);
    let policy = spec["template"]["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    if policy != "Always" {
        let message = format!("Unsupported value: {policy:?}: supported values: \"Always\"");
        errors.push(("spec.template.spec.restartPolicy".to_owned(), "FieldValueNotSupported", message));
    }
}

/// Whether a selector's `matchLabels` are all among the labels; expressions are left to controllers.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value))
}

fn service(spec: &Value, errors: &mut Errors) {
    let headless = spec["clusterIP"] == "None" || spec["type"] == "ExternalName";
    let ports = spec["ports"].as_array().map_or(0, Vec::len);
    if ports == 0 && !headless {
        need(errors, "spec.ports");
    }
    for (index, port) in spec["ports"].as_array().into_iter().flatten().enumerate() {
        if ports > 1 && port["name"].as_str().is_none_or(str::is_empty) {
            need(errors, &format!("spec.ports[{index}].name"));
        }
    }
}

fn unchanged(info: &ResourceInfo, new: &Value, old: &Value, errors: &mut Errors) {
    let mut fixed = |field: &str| {
        let pointer = format!("/{}", field.replace('.', "/"));
        let (now, before) = (new.pointer(&pointer), old.pointer(&pointer));
        if before.is_some() && now != before {
            let shown = now.map_or_else(|| "null".to_owned(), Value::to_string);
            let message = format!("Invalid value: {shown}: field is immutable");
            errors.push((field.to_owned(), INVALID, message));
        }
    };
    match (&*info.resource.group, &*info.resource.kind) {
        ("apps", "Deployment" | "DaemonSet" | "ReplicaSet") => fixed("spec.selector"),
        ("batch", "Job") => {
            fixed("spec.selector");
            if old["spec"]["suspend"] != true {
                fixed("spec.template");
            }
        }
        ("", "Secret") => {
            fixed("type");
            if old["immutable"] == true {
                fixed("data");
            }
        }
        ("", "ConfigMap") if old["immutable"] == true => fixed("data"),
        ("", "Service") if old["spec"]["clusterIP"].is_string() && new["spec"]["type"] != "ExternalName" => {
            fixed("spec.clusterIP");
        }
        ("discovery.k8s.io", "EndpointSlice") => fixed("addressType"),
        ("storage.k8s.io", "StorageClass") => fixed("provisioner"),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding")
            if new["roleRef"] != old["roleRef"] =>
        {
            let message = format!("Invalid value: {}: cannot change roleRef", new["roleRef"]);
            errors.push(("roleRef".to_owned(), INVALID, message));
        }
        ("apps", "StatefulSet") => stateful_set(new, old, errors),
        ("", "Node") => node(&new["spec"], &old["spec"], errors),
        ("", "Pod") => pod_update(&new["spec"], &old["spec"], errors),
        _ => {}
    }
}

fn stateful_set(new: &Value, old: &Value, errors: &mut Errors) {
    const FREE: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let fixed = |spec: &Value| {
        let mut spec = spec.as_object().cloned().unwrap_or_default();
        spec.retain(|field, _| !FREE.contains(&field.as_str()));
        spec
    };
    if fixed(&new["spec"]) != fixed(&old["spec"]) {
        let message = "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', \
                       'template', 'updateStrategy', 'revisionHistoryLimit', \
                       'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(("spec".to_owned(), FORBIDDEN, message.to_owned()));
    }
}

/// A Node's pod range and provider id are given once and for all.
fn node(new: &Value, old: &Value, errors: &mut Errors) {
    let list = |spec: &Value| spec["podCIDRs"].as_array().cloned().unwrap_or_default();
    if !list(old).is_empty() && list(old) != list(new) {
        let message = "Forbidden: node updates may not change podCIDR except from \"\" to valid".to_owned();
        errors.push(("spec.podCIDRs".to_owned(), FORBIDDEN, message));
    }
    let id = |spec: &Value| spec["providerID"].as_str().unwrap_or_default().to_owned();
    if !id(old).is_empty() && id(old) != id(new) {
        let message =
            "Forbidden: node updates may not change providerID except from \"\" to valid".to_owned();
        errors.push(("spec.providerID".to_owned(), FORBIDDEN, message));
    }
    for (index, cidr) in list(new).iter().enumerate() {
        if cidr.as_str().is_none_or(|text| text.parse::<ipnet::IpNet>().is_err()) {
            let message = format!(
                "Invalid value: {cidr}: must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            );
            errors.push((format!("spec.podCIDRs[{index}]"), INVALID, message));
        }
    }
}

fn pod_update(new: &Value, old: &Value, errors: &mut Errors) {
    if new == old {
        return;
    }
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        for field in ["containers", "initContainers"] {
            for container in spec[field].as_array_mut().into_iter().flatten() {
                if let Some(map) = container.as_object_mut() {
                    map.remove("image");
                    map.remove("imagePullPolicy");
                    map.remove("resources");
                }
            }
        }
        if let Some(map) = spec.as_object_mut() {
            for field in [
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
                "schedulingGates",
                "ephemeralContainers",
                "priority",
                "preemptionPolicy",
            ] {
                map.remove(field);
            }
            // Where a pod may go can be narrowed only while it is held back.
            if old["schedulingGates"].is_array() {
                map.remove("nodeSelector");
                map.remove("affinity");
            }
            // A pod is bound once.
            if old["nodeName"].is_null() {
                map.remove("nodeName");
            }
        }
        spec
    };
    if fixed(new) != fixed(old) {
        let message = "Forbidden: pod updates may not change fields other than \
                       `spec.containers[*].image`,`spec.initContainers[*].image`,\
                       `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing \
                       tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                       previously negative)";
        errors.push(("spec".to_owned(), FORBIDDEN, message.to_owned()));
    }
}
