//! Discovery: which groups, versions and resources there are.

use crate::schema::registry::{Registry, ResourceInfo, SubresourceInfo, Verb};
use serde_json::{Value, json};

fn names(verbs: &[Verb]) -> Vec<&'static str> {
    verbs.iter().map(|verb| verb.name()).collect()
}

/// `group/version`, or the version alone for the core group.
fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// `/api`.
pub fn core_versions() -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [],
    })
}

/// `/apis`.
pub fn groups(registry: &Registry) -> Value {
    let groups: Vec<Value> = registry.groups().map(|name| group_body(registry, name)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// `/apis/GROUP`; none if there is no such group.
pub fn group(registry: &Registry, name: &str) -> Option<Value> {
    if registry.versions(name).is_empty() {
        return None;
    }
    let mut body = group_body(registry, name);
    body["kind"] = json!("APIGroup");
    body["apiVersion"] = json!("v1");
    Some(body)
}

fn group_body(registry: &Registry, name: &str) -> Value {
    let versions: Vec<Value> = registry
        .versions(name)
        .into_iter()
        .map(|version| json!({ "groupVersion": group_version(name, version), "version": version }))
        .collect();
    json!({ "name": name, "preferredVersion": versions.first(), "versions": versions })
}

/// `/api/v1` or `/apis/GROUP/VERSION`; none if there is no such version.
pub fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for info in registry.resources(group, version) {
        resources.push(resource(info));
        resources.extend(info.subresources.iter().map(|sub| subresource(info, sub)));
    }
    if resources.is_empty() {
        return None;
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version(group, version),
        "resources": resources,
    }))
}

fn resource(info: &ResourceInfo) -> Value {
    let mut json = json!({
        "name": info.resource.plural,
        "singularName": info.singular,
        "namespaced": info.resource.namespaced,
        "kind": info.resource.kind,
        "verbs": names(info.verbs),
    });
    if !info.short_names.is_empty() {
        json["shortNames"] = json!(info.short_names);
    }
    if !info.categories.is_empty() {
        json["categories"] = json!(info.categories);
    }
    json
}

fn subresource(info: &ResourceInfo, sub: &SubresourceInfo) -> Value {
    let mut json = json!({
        "name": format!("{}/{}", info.resource.plural, sub.name),
        "singularName": "",
        "namespaced": info.resource.namespaced,
        "kind": sub.kind.map_or(&*info.resource.kind, |(_, _, kind)| kind),
        "verbs": names(sub.verbs),
    });
    if let Some((group, version, _)) = sub.kind.filter(|(group, _, _)| *group != info.resource.group) {
        json["group"] = json!(group);
        json["version"] = json!(version);
    }
    json
}

/// The core group's, or all other groups', resources in one document:
/// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`.
pub fn aggregated(registry: &Registry, core: bool) -> Value {
    let groups: Vec<&str> = if core { vec![""] } else { registry.groups().collect() };
    let items: Vec<Value> = groups.into_iter().map(|group| aggregated_group(registry, group)).collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_group(registry: &Registry, group: &str) -> Value {
    let versions: Vec<Value> = registry
        .versions(group)
        .into_iter()
        .map(|version| {
            let resources: Vec<Value> =
                registry.resources(group, version).map(|info| aggregated_resource(info)).collect();
            json!({ "version": version, "resources": resources, "freshness": "Current" })
        })
        .collect();
    let metadata = if group.is_empty() {
        json!({ "creationTimestamp": null })
    } else {
        json!({ "name": group, "creationTimestamp": null })
    };
    json!({ "metadata": metadata, "versions": versions })
}

fn aggregated_resource(info: &ResourceInfo) -> Value {
    let resource = &info.resource;
    let kind =
        |group: &str, version: &str, kind: &str| json!({ "group": group, "version": version, "kind": kind });
    let own = kind(&resource.group, &resource.version, &resource.kind);
    let subresources: Vec<Value> = info
        .subresources
        .iter()
        .map(|sub| {
            let response =
                sub.kind.map_or_else(|| own.clone(), |(group, version, name)| kind(group, version, name));
            json!({ "subresource": sub.name, "responseKind": response, "verbs": names(sub.verbs) })
        })
        .collect();
    let mut json = json!({
        "resource": resource.plural,
        "responseKind": own,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": info.singular,
        "verbs": names(info.verbs),
    });
    for (name, list) in [("shortNames", &info.short_names), ("categories", &info.categories)] {
        if !list.is_empty() {
            json[name] = json!(list);
        }
    }
    if !subresources.is_empty() {
        json["subresources"] = json!(subresources);
    }
    json
}
