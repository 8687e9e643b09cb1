//! Defaults of pods and pod templates.

use super::set::{default, drop_zero, existing, items, object};
use serde_json::{Value, json};

/// Fills in a pod's or pod template's spec.
pub fn spec(spec: &mut Value) {
    default(spec, "restartPolicy", "Always");
    default(spec, "terminationGracePeriodSeconds", 30);
    default(spec, "dnsPolicy", "ClusterFirst");
    default(spec, "securityContext", json!({}));
    default(spec, "schedulerName", "default-scheduler");
    for field in ["hostNetwork", "hostPID", "hostIPC", "nodeName", "priorityClassName"] {
        drop_zero(spec, field);
    }
    same_service_account(spec);
    let host_network = spec["hostNetwork"] == true;
    for field in ["containers", "initContainers", "ephemeralContainers"] {
        for one in items(spec, field) {
            container(one, host_network);
        }
    }
    for one in items(spec, "volumes") {
        volume(one);
    }
    for toleration in items(spec, "tolerations") {
        drop_zero(toleration, "value");
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always shown.
fn same_service_account(spec: &mut Value) {
    let name = match (&spec["serviceAccountName"], &spec["serviceAccount"]) {
        (Value::String(name), _) | (_, Value::String(name)) if !name.is_empty() => name.clone(),
        _ => return,
    };
    spec["serviceAccountName"] = json!(name);
    spec["serviceAccount"] = json!(name);
}

fn container(container: &mut Value, host_network: bool) {
    let image = container["image"].as_str().unwrap_or_default().to_owned();
    default(container, "imagePullPolicy", if is_latest(&image) { "Always" } else { "IfNotPresent" });
    default(container, "terminationMessagePath", "/dev/termination-log");
    default(container, "terminationMessagePolicy", "File");
    default(container, "resources", json!({}));
    for field in ["stdin", "stdinOnce", "tty"] {
        drop_zero(container, field);
    }
    for port in items(container, "ports") {
        default(port, "protocol", "TCP");
        if host_network && port.get("hostPort").is_none() {
            port["hostPort"] = port["containerPort"].clone();
        }
    }
    for variable in items(container, "env") {
        drop_zero(variable, "value");
        field_reference(variable.get_mut("valueFrom"));
    }
    for mount in items(container, "volumeMounts") {
        drop_zero(mount, "readOnly");
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(found) = existing(container, field) {
            probe(found);
        }
    }
    if let Some(lifecycle) = existing(container, "lifecycle") {
        for field in ["postStart", "preStop"] {
            if let Some(get) = existing(lifecycle, field).and_then(|hook| existing(hook, "httpGet")) {
                http_get(get);
            }
        }
    }
}

/// Whether an image names no tag or `latest`: those are pulled every time.
fn is_latest(image: &str) -> bool {
    if image.contains('@') {
        return false;
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').is_none_or(|(_, tag)| tag == "latest")
}

fn probe(probe: &mut Value) {
    default(probe, "timeoutSeconds", 1);
    default(probe, "periodSeconds", 10);
    default(probe, "successThreshold", 1);
    default(probe, "failureThreshold", 3);
    drop_zero(probe, "initialDelaySeconds");
    if let Some(get) = existing(probe, "httpGet") {
        http_get(get);
    }
    if let Some(grpc) = existing(probe, "grpc") {
        default(grpc, "service", "");
    }
}

fn http_get(get: &mut Value) {
    default(get, "path", "/");
    default(get, "scheme", "HTTP");
}

fn field_reference(source: Option<&mut Value>) {
    if let Some(reference) = source.and_then(|source| existing(source, "fieldRef")) {
        default(reference, "apiVersion", "v1");
    }
}

fn volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|map| map.len() == 1 && map.contains_key("name")) {
        volume["emptyDir"] = json!({});
    }
    for field in ["configMap", "secret", "projected", "downwardAPI"] {
        if let Some(source) = existing(volume, field) {
            default(source, "defaultMode", 0o644);
        }
    }
    if let Some(host_path) = existing(volume, "hostPath") {
        default(host_path, "type", "");
    }
    if let Some(downward) = existing(volume, "downwardAPI") {
        items(downward, "items").for_each(|item| field_reference(Some(item)));
    }
    if let Some(projected) = existing(volume, "projected") {
        for source in items(projected, "sources") {
            if let Some(token) = existing(source, "serviceAccountToken") {
                default(token, "expirationSeconds", 3600);
            }
            if let Some(downward) = existing(source, "downwardAPI") {
                items(downward, "items").for_each(|item| field_reference(Some(item)));
            }
        }
    }
}

/// Requests that are not given are the limits, in pods (not in templates).
pub fn requests_from_limits(spec: &mut Value) {
    for field in ["containers", "initContainers"] {
        for container in items(spec, field) {
            let limits = container["resources"]["limits"].clone();
            let Some(limits) = limits.as_object() else { continue };
            let requests = object(&mut container["resources"], "requests");
            for (name, amount) in limits {
                default(requests, name, amount.clone());
            }
        }
    }
}

/// What admission adds to a new pod: an account, its token, a priority, and patience with nodes
/// that fail.
pub fn admit(pod: &mut Value) {
    let seed = format!("{}/{}", pod["metadata"]["namespace"], pod["metadata"]["name"]);
    let mirror = pod["metadata"]["annotations"].get("kubernetes.io/config.mirror").is_some();
    let spec = &mut pod["spec"];
    default(spec, "enableServiceLinks", true);
    if !mirror {
        default(spec, "serviceAccountName", "default");
        same_service_account(spec);
        mount_token(spec, &seed);
    }
    match spec["priorityClassName"].as_str() {
        Some("system-cluster-critical") => default(spec, "priority", 2_000_000_000),
        Some("system-node-critical") => default(spec, "priority", 2_000_001_000),
        Some(_) => {}
        None => default(spec, "priority", 0),
    }
    default(spec, "preemptionPolicy", "PreemptLowerPriority");
    for condition in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        tolerate(spec, condition);
    }
    let class = quality_of_service(spec);
    let status = object(pod, "status");
    default(status, "phase", "Pending");
    default(status, "qosClass", class);
}

fn tolerate(spec: &mut Value, key: &str) {
    let tolerated = spec["tolerations"].as_array().into_iter().flatten().any(|toleration| {
        let fits = toleration["key"] == key || toleration.get("key").is_none();
        let effect = toleration["effect"].as_str().unwrap_or_default();
        fits && (effect.is_empty() || effect == "NoExecute")
    });
    if !tolerated {
        let toleration =
            json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
        match spec["tolerations"].as_array_mut() {
            Some(all) => all.push(toleration),
            None => spec["tolerations"] = json!([toleration]),
        }
    }
}

const TOKEN_PATH: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The volume with the service account's token, mounted where clients look for it.
fn mount_token(spec: &mut Value, seed: &str) {
    let unwanted = spec["automountServiceAccountToken"] == false;
    let present = spec["volumes"].as_array().is_some_and(|all| {
        all.iter().any(|v| v["name"].as_str().is_some_and(|n| n.starts_with("kube-api-access-")))
    });
    if unwanted || present {
        return;
    }
    let name = format!("kube-api-access-{}", suffix(seed));
    let mut mounted = false;
    for field in ["initContainers", "containers"] {
        for container in items(spec, field) {
            let taken = container["volumeMounts"]
                .as_array()
                .is_some_and(|all| all.iter().any(|mount| mount["mountPath"] == TOKEN_PATH));
            if taken {
                continue;
            }
            let mount = json!({ "name": name, "readOnly": true, "mountPath": TOKEN_PATH });
            match container["volumeMounts"].as_array_mut() {
                Some(all) => all.push(mount),
                None => container["volumeMounts"] = json!([mount]),
            }
            mounted = true;
        }
    }
    if !mounted {
        return;
    }
    let volume = json!({
        "name": name,
        "projected": { "defaultMode": 0o644, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "name": "kube-root-ca.crt", "items": [{ "key": "ca.crt", "path": "ca.crt" }] } },
            { "downwardAPI": { "items": [{
                "path": "namespace", "fieldRef": { "apiVersion": "v1", "fieldPath": "metadata.namespace" },
            }] } },
        ] },
    });
    match spec["volumes"].as_array_mut() {
        Some(all) => all.push(volume),
        None => spec["volumes"] = json!([volume]),
    }
}

/// Five letters that depend on the pod alone, so that a run can be repeated.
fn suffix(seed: &str) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hash = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let count = LETTERS.len() as u64;
    (0..5)
        .map(|_| {
            let letter = char::from(LETTERS[(hash % count) as usize]);
            hash /= count;
            letter
        })
        .collect()
}

fn quality_of_service(spec: &Value) -> &'static str {
    let containers = || {
        ["containers", "initContainers"]
            .into_iter()
            .flat_map(|field| spec[field].as_array().into_iter().flatten())
            .map(|container| &container["resources"])
    };
    let any = containers().any(|r| {
        ["requests", "limits"].iter().any(|kind| {
            r[kind].as_object().is_some_and(|m| m.contains_key("cpu") || m.contains_key("memory"))
        })
    });
    if !any {
        return "BestEffort";
    }
    let all_equal = containers().all(|r| {
        ["cpu", "memory"]
            .iter()
            .all(|name| !r["limits"][name].is_null() && r["limits"][name] == r["requests"][name])
    });
    if all_equal { "Guaranteed" } else { "Burstable" }
}
