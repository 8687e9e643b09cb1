//! The OpenAPI documents. They are large: cache them by [`Registry::generation`].

use super::convert::{Version, definition_name, definitions_of, follow, reference};
use crate::schema::registry::{Registry, ResourceInfo};
use serde_json::{Map, Value, json};

fn info_block() -> Value {
    json!({ "title": "Kubernetes", "version": "v1.34.4" })
}

/// `/openapi/v2`.
pub fn v2(registry: &Registry) -> Value {
    let mut definitions = definitions_of(Version::V2, registry.iter().map(AsRef::as_ref));
    follow(Version::V2, "io.k8s.apimachinery.pkg.apis.meta.v1.Status", &mut definitions);
    let mut paths = Map::new();
    for info in registry.iter() {
        add_paths(Version::V2, info, &mut paths);
    }
    json!({ "swagger": "2.0", "info": info_block(), "paths": paths, "definitions": definitions })
}

/// `/openapi/v3`: where the documents of each version are.
pub fn v3_index(registry: &Registry) -> Value {
    let mut paths = Map::new();
    let hash = registry.generation();
    for (group, version) in group_versions(registry) {
        let path =
            if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
        let url = format!("/openapi/v3/{path}?hash={hash:016X}");
        paths.insert(path, json!({ "serverRelativeURL": url }));
    }
    json!({ "paths": paths })
}

fn group_versions(registry: &Registry) -> Vec<(String, String)> {
    std::iter::once("")
        .chain(registry.groups())
        .flat_map(|group| registry.versions(group).into_iter().map(move |v| (group.to_owned(), v.to_owned())))
        .collect()
}

/// `/openapi/v3/api/v1` or `/openapi/v3/apis/GROUP/VERSION`; none if there is no such version.
pub fn v3(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let infos: Vec<&ResourceInfo> = registry.resources(group, version).map(AsRef::as_ref).collect();
    if infos.is_empty() {
        return None;
    }
    let mut schemas = definitions_of(Version::V3, infos.iter().copied());
    follow(Version::V3, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", &mut schemas);
    let mut paths = Map::new();
    for info in infos {
        add_paths(Version::V3, info, &mut paths);
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": info_block(),
        "paths": paths,
        "components": { "schemas": schemas },
    }))
}

fn add_paths(version: Version, info: &ResourceInfo, paths: &mut Map<String, Value>) {
    let resource = &info.resource;
    let base = if resource.group.is_empty() {
        format!("/api/{}", resource.version)
    } else {
        format!("/apis/{}/{}", resource.group, resource.version)
    };
    let collection = if resource.namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("{base}/{}", resource.plural)
    };
    paths.insert(
        collection.clone(),
        json!({ "get": operation(version, info, "list"), "post": operation(version, info, "post") }),
    );
    if info.verbs.len() > 1 {
        let one = |action: &str| operation(version, info, action);
        paths.insert(
            format!("{collection}/{{name}}"),
            json!({ "get": one("get"), "put": one("put"), "patch": one("patch"), "delete": one("delete") }),
        );
    }
}

/// One operation: what clients look for are the kind, the query parameters and the media types.
fn operation(version: Version, info: &ResourceInfo, action: &str) -> Value {
    let resource = &info.resource;
    let mut parameters: Vec<Value> = Vec::new();
    if matches!(action, "post" | "put" | "patch") {
        parameters.extend(
            ["dryRun", "fieldManager", "fieldValidation"].map(|name| parameter(version, name, "string")),
        );
    }
    if action == "patch" {
        parameters.push(parameter(version, "force", "boolean"));
    }
    let mut media = vec!["application/json-patch+json", "application/merge-patch+json"];
    if info.is_strategic() {
        media.push("application/strategic-merge-patch+json");
    }
    media.push("application/apply-patch+yaml");
    let schema = reference(version, &definition_name(info));
    let answer = match version {
        Version::V2 => json!({ "200": { "description": "OK", "schema": schema } }),
        Version::V3 => {
            json!({ "200": { "description": "OK", "content": { "application/json": { "schema": schema } } } })
        }
    };
    let mut json = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind":
            { "group": resource.group, "kind": resource.kind, "version": resource.version },
        "responses": answer,
    });
    match (version, action) {
        (Version::V2, "patch") => json["consumes"] = json!(media),
        (Version::V3, "patch") => {
            let content: Map<String, Value> = media
                .into_iter()
                .map(|media| (media.to_owned(), json!({ "schema": { "type": "object" } })))
                .collect();
            json["requestBody"] = json!({ "content": content });
        }
        (Version::V3, "post" | "put") => {
            json["requestBody"] =
                json!({ "content": { "*/*": { "schema": reference(version, &definition_name(info)) } } });
        }
        _ => {}
    }
    if !parameters.is_empty() {
        json["parameters"] = json!(parameters);
    }
    json
}

fn parameter(version: Version, name: &str, kind: &str) -> Value {
    match version {
        Version::V2 => json!({ "name": name, "in": "query", "type": kind, "uniqueItems": true }),
        Version::V3 => {
            json!({ "name": name, "in": "query", "schema": { "type": kind, "uniqueItems": true } })
        }
    }
}
