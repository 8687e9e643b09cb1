//! Defaults of what a cluster is made of: services, storage, access, extensions.

use super::set::{default, drop_zero, existing, items, object};
use base64::Engine as _;
use serde_json::{Value, json};

/// A Service.
pub fn service(service: &mut Value) {
    let spec = object(service, "spec");
    default(spec, "type", "ClusterIP");
    default(spec, "sessionAffinity", "None");
    drop_zero(spec, "publishNotReadyAddresses");
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if spec["sessionAffinity"] == "ClientIP" {
        let client = object(object(spec, "sessionAffinityConfig"), "clientIP");
        default(client, "timeoutSeconds", 10_800);
    }
    for port in items(spec, "ports") {
        default(port, "protocol", "TCP");
        let same = port["port"].clone();
        if port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = same;
        } else {
            default(port, "targetPort", same);
        }
    }
    if kind != "ExternalName" {
        default(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "NodePort" || kind == "LoadBalancer" {
        default(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        default(spec, "allocateLoadBalancerNodePorts", true);
    }
    if kind != "ExternalName" {
        if let Some(first) = spec["clusterIPs"][0].as_str().map(str::to_owned) {
            default(spec, "clusterIP", first);
        }
        if let Some(address) = spec["clusterIP"].as_str().map(str::to_owned).filter(|ip| !ip.is_empty()) {
            let family = if address.contains(':') { "IPv6" } else { "IPv4" };
            default(spec, "clusterIPs", json!([address]));
            default(spec, "ipFamilies", json!([family]));
        }
        default(spec, "ipFamilyPolicy", "SingleStack");
    }
    default(object(service, "status"), "loadBalancer", json!({}));
}

/// A Namespace.
pub fn namespace(namespace: &mut Value) {
    let name = namespace["metadata"]["name"].clone();
    let labels = object(object(namespace, "metadata"), "labels");
    labels["kubernetes.io/metadata.name"] = name;
    // A namespace that is being deleted loses the finalizer for good.
    if namespace["metadata"].get("deletionTimestamp").is_none() {
        default(object(namespace, "spec"), "finalizers", json!(["kubernetes"]));
        default(object(namespace, "status"), "phase", "Active");
    }
}

/// A Secret: `stringData` is a way of writing only.
pub fn secret(secret: &mut Value) {
    default(secret, "type", "Opaque");
    let Some(Value::Object(plain)) = secret.as_object_mut().and_then(|map| map.remove("stringData")) else {
        return;
    };
    let data = object(secret, "data");
    for (key, text) in plain {
        let bytes = text.as_str().unwrap_or_default();
        data[key] = json!(base64::engine::general_purpose::STANDARD.encode(bytes));
    }
}

/// A Node.
pub fn node(node: &mut Value) {
    let spec = object(node, "spec");
    drop_zero(spec, "unschedulable");
    for taint in items(spec, "taints") {
        drop_zero(taint, "value");
    }
    // The first of podCIDRs and podCIDR are one and the same.
    match (spec["podCIDR"].as_str().map(str::to_owned), spec["podCIDRs"][0].as_str().map(str::to_owned)) {
        (Some(single), None) if !single.is_empty() => spec["podCIDRs"] = json!([single]),
        (None, Some(first)) => spec["podCIDR"] = json!(first),
        _ => {}
    }
}

/// A PersistentVolume.
pub fn persistent_volume(volume: &mut Value) {
    let spec = object(volume, "spec");
    default(spec, "persistentVolumeReclaimPolicy", "Retain");
    default(spec, "volumeMode", "Filesystem");
    if let Some(host_path) = existing(spec, "hostPath") {
        default(host_path, "type", "");
    }
    default(object(volume, "status"), "phase", "Pending");
}

/// A PersistentVolumeClaim.
pub fn persistent_volume_claim(claim: &mut Value) {
    default(object(claim, "spec"), "volumeMode", "Filesystem");
    default(object(claim, "status"), "phase", "Pending");
}

/// A StorageClass.
pub fn storage_class(class: &mut Value) {
    default(class, "reclaimPolicy", "Delete");
    default(class, "volumeBindingMode", "Immediate");
}

/// A CSIDriver.
pub fn csi_driver(driver: &mut Value) {
    let spec = object(driver, "spec");
    default(spec, "attachRequired", true);
    default(spec, "podInfoOnMount", false);
    default(spec, "storageCapacity", false);
    default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    default(spec, "volumeLifecycleModes", json!(["Persistent"]));
    default(spec, "requiresRepublish", false);
    default(spec, "seLinuxMount", false);
}

/// A NetworkPolicy's spec.
pub fn network_policy(spec: &mut Value) {
    let egress = spec.get("egress").is_some();
    default(spec, "policyTypes", if egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) });
    default(spec, "podSelector", json!({}));
    for direction in ["ingress", "egress"] {
        for rule in items(spec, direction) {
            items(rule, "ports").for_each(|port| default(port, "protocol", "TCP"));
        }
    }
}

/// Endpoints.
pub fn endpoints(endpoints: &mut Value) {
    for subset in items(endpoints, "subsets") {
        items(subset, "ports").for_each(|port| default(port, "protocol", "TCP"));
    }
}

/// An EndpointSlice.
pub fn endpoint_slice(slice: &mut Value) {
    for port in items(slice, "ports") {
        default(port, "name", "");
        default(port, "protocol", "TCP");
    }
}

/// A RoleBinding or ClusterRoleBinding.
pub fn role_binding(binding: &mut Value) {
    const GROUP: &str = "rbac.authorization.k8s.io";
    if let Some(role) = existing(binding, "roleRef") {
        default(role, "apiGroup", GROUP);
    }
    for subject in items(binding, "subjects") {
        if subject["kind"] == "ServiceAccount" {
            drop_zero(subject, "apiGroup");
        } else {
            default(subject, "apiGroup", GROUP);
        }
    }
}

/// A validating or mutating webhook configuration.
pub fn webhooks(configuration: &mut Value) {
    let mutating = configuration["kind"] == "MutatingWebhookConfiguration";
    for webhook in items(configuration, "webhooks") {
        default(webhook, "failurePolicy", "Fail");
        default(webhook, "matchPolicy", "Equivalent");
        default(webhook, "namespaceSelector", json!({}));
        default(webhook, "objectSelector", json!({}));
        default(webhook, "timeoutSeconds", 10);
        if mutating {
            default(webhook, "reinvocationPolicy", "Never");
        }
        items(webhook, "rules").for_each(|rule| default(rule, "scope", "*"));
        if let Some(service) = existing(webhook, "clientConfig").and_then(|c| existing(c, "service")) {
            default(service, "port", 443);
        }
    }
}

/// The spec of a validating or mutating admission policy.
pub fn admission_policy(spec: &mut Value) {
    default(spec, "failurePolicy", "Fail");
    if let Some(constraints) = existing(spec, "matchConstraints") {
        default(constraints, "matchPolicy", "Equivalent");
        default(constraints, "namespaceSelector", json!({}));
        default(constraints, "objectSelector", json!({}));
        items(constraints, "resourceRules").for_each(|rule| default(rule, "scope", "*"));
    }
}

/// A CustomResourceDefinition.
pub fn custom_resource_definition(crd: &mut Value) {
    let spec = object(crd, "spec");
    default(object(spec, "conversion"), "strategy", "None");
    let names = object(spec, "names");
    if let Some(kind) = names["kind"].as_str().map(str::to_owned) {
        default(names, "singular", kind.to_lowercase());
        default(names, "listKind", format!("{kind}List"));
    }
}

/// An APIService's spec.
pub fn api_service(spec: &mut Value) {
    if let Some(service) = existing(spec, "service") {
        default(service, "port", 443);
    }
}
