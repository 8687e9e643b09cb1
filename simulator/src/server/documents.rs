//! Discovery and schemas: what there is, of this server's own kinds and of delegated groups.

use super::aggregated;
use super::http::{Answer, Asked};
use super::object::{items, text};
use super::status::Status;
use crate::schema::builtin::API_SERVICES;
use crate::schema::documents::{discovery, openapi};
use ::http::{Request, header};
use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// The large documents, by path, each with the generation of kinds that it describes.
#[derive(Default)]
pub(crate) struct Cache(Mutex<BTreeMap<String, (u64, Bytes)>>);

/// A group and version that somebody else serves behind this server.
pub(crate) struct Foreign {
    group: String,
    version: String,
    /// Its `APIResourceList`, if its backend answers.
    list: Option<Value>,
}

/// What is delegated, for the paths that show it.
pub(crate) async fn foreign(asked: &Asked<'_>) -> Vec<Foreign> {
    let path = asked.parts.uri.path().trim_end_matches('/');
    // Only the lists of groups show what others serve; asking for any other path would make a
    // backend that asks its own server about itself go round for ever.
    let parts = path.split('/').filter(|part| !part.is_empty());
    if !matches!(parts.collect::<Vec<_>>().as_slice(), ["apis"] | ["apis", _]) {
        return Vec::new();
    }
    let delegated: Vec<(String, String, bool)> = {
        let state = asked.server.state();
        let services = state.store.list(&API_SERVICES, None);
        let foreign = services.iter().filter(|entry| entry.object["spec"]["service"].is_object());
        foreign
            .map(|entry| {
                let (group, version) =
                    (text(&entry.object, "/spec/group"), text(&entry.object, "/spec/version"));
                let up = !aggregated::is_unavailable(&state, group, version);
                (group.to_owned(), version.to_owned(), up)
            })
            .collect()
    };
    let mut found = Vec::new();
    for (group, version, up) in delegated {
        let list = if up { resources_of(asked, &group, &version).await } else { None };
        found.push(Foreign { group, version, list });
    }
    found
}

/// Asks a backend what it serves.
async fn resources_of(asked: &Asked<'_>, group: &str, version: &str) -> Option<Value> {
    let handler = {
        let handlers = asked.server.0.aggregated.lock().expect("the handlers' lock is never poisoned");
        handlers.get(&(group.to_owned(), version.to_owned())).cloned()?
    };
    let request = Request::get(format!("/apis/{group}/{version}"))
        .header(header::ACCEPT, "application/json")
        .body(Bytes::new())
        .ok()?;
    let response = handler(request).await;
    if !response.status().is_success() {
        return None;
    }
    let body = response.into_body().collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok()
}

/// Answers discovery and schema paths.
pub(crate) fn answer(asked: &Asked<'_>, path: &str, foreign: &[Foreign]) -> Result<Answer, Status> {
    let state = asked.server.state();
    let registry = &state.kinds.registry;
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let whole = wants_aggregated(asked.header("accept"));
    let found = match parts.as_slice() {
        [] => Some(
            json!({"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2",
            "/openapi/v3", "/readyz", "/version"]}),
        ),
        ["api"] if whole => return Ok(aggregated_answer(&discovery::aggregated(registry, true))),
        ["api"] => Some(discovery::core_versions()),
        ["apis"] if whole => {
            let mut document = discovery::aggregated(registry, false);
            for one in foreign {
                add_aggregated(&mut document, one);
            }
            return Ok(aggregated_answer(&document));
        }
        ["apis"] => {
            let mut document = discovery::groups(registry);
            for one in foreign {
                add_group(&mut document, one);
            }
            Some(document)
        }
        ["api", version] => discovery::resources(registry, "", version),
        ["apis", group] => discovery::group(registry, group).or_else(|| foreign_group(foreign, group)),
        ["apis", group, version] => discovery::resources(registry, group, version),
        ["openapi", "v2"] => {
            if !accepts_json(asked.header("accept")) {
                return Err(Status::new(406, "NotAcceptable", "only application/json is served here"));
            }
            return Ok(cached(asked, path, registry.generation(), || Some(openapi::v2(registry))));
        }
        ["openapi", "v3"] => Some(openapi::v3_index(registry)),
        ["openapi", "v3", "api", version] => {
            return present(registry.versions("").contains(version))
                .map(|()| cached(asked, path, registry.generation(), || openapi::v3(registry, "", version)));
        }
        ["openapi", "v3", "apis", group, version] => {
            return present(registry.versions(group).contains(version)).map(|()| {
                cached(asked, path, registry.generation(), || openapi::v3(registry, group, version))
            });
        }
        _ => None,
    };
    found.map(|document| Answer::Json(200, document.to_string().into())).ok_or_else(Status::no_such_path)
}

fn present(there: bool) -> Result<(), Status> {
    if there { Ok(()) } else { Err(Status::no_such_path()) }
}

/// A document that is made once per generation of kinds.
fn cached(asked: &Asked<'_>, path: &str, generation: u64, make: impl FnOnce() -> Option<Value>) -> Answer {
    let mut cache = asked.server.0.documents.0.lock().expect("the documents' lock is never poisoned");
    if let Some((of, body)) = cache.get(path)
        && *of == generation
    {
        return Answer::Json(200, body.clone());
    }
    let body = Bytes::from(make().unwrap_or_default().to_string());
    cache.insert(path.to_owned(), (generation, body.clone()));
    Answer::Json(200, body)
}

fn wants_aggregated(accept: &str) -> bool {
    accept.split(',').any(|media| {
        media.contains("application/json")
            && media.contains("g=apidiscovery.k8s.io")
            && media.split(';').any(|part| part.trim() == "v=v2")
            && media.contains("as=APIGroupDiscoveryList")
    })
}

fn accepts_json(accept: &str) -> bool {
    accept.is_empty()
        || ["application/json", "application/*", "*/*"].iter().any(|media| accept.contains(media))
}

/// Clients look at the content type to tell the aggregated document from the others.
fn aggregated_answer(document: &Value) -> Answer {
    let mut response = ::http::Response::new(axum::body::Body::from(document.to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        ::http::HeaderValue::from_static(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        ),
    );
    Answer::Whole(response)
}

fn version_entry(one: &Foreign) -> Value {
    json!({"groupVersion": format!("{}/{}", one.group, one.version), "version": one.version})
}

fn add_group(document: &mut Value, one: &Foreign) {
    let Some(groups) = document["groups"].as_array_mut() else { return };
    let version = version_entry(one);
    match groups.iter_mut().find(|group| group["name"] == one.group.as_str()) {
        Some(group) => {
            if let Some(versions) = group["versions"].as_array_mut()
                && !versions.contains(&version)
            {
                versions.push(version);
            }
        }
        None => groups.push(json!({"name": one.group, "preferredVersion": version, "versions": [version]})),
    }
}

fn foreign_group(foreign: &[Foreign], group: &str) -> Option<Value> {
    let versions: Vec<Value> = foreign.iter().filter(|one| one.group == group).map(version_entry).collect();
    let first = versions.first()?.clone();
    Some(json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "preferredVersion": first,
        "versions": versions}))
}

/// Adds a delegated version; one whose backend is silent is there, empty and stale.
fn add_aggregated(document: &mut Value, one: &Foreign) {
    let Some(groups) = document["items"].as_array_mut() else { return };
    let version = match &one.list {
        Some(list) => json!({
            "version": one.version, "resources": aggregated_resources(one, list), "freshness": "Current",
        }),
        None => json!({"version": one.version, "freshness": "Stale"}),
    };
    match groups.iter_mut().find(|group| group["metadata"]["name"] == one.group.as_str()) {
        Some(group) => {
            if let Some(versions) = group["versions"].as_array_mut() {
                versions.retain(|other| other["version"] != one.version.as_str());
                versions.push(version);
            }
        }
        None => groups.push(json!({
            "metadata": {"name": one.group, "creationTimestamp": null}, "versions": [version],
        })),
    }
}

fn aggregated_resources(one: &Foreign, list: &Value) -> Vec<Value> {
    let kind =
        |resource: &Value| json!({"group": one.group, "version": one.version, "kind": resource["kind"]});
    let all = items(list, "/resources");
    let name = |resource: &Value| text(resource, "/name").to_owned();
    let mains = all.iter().filter(|resource| !name(resource).contains('/'));
    mains
        .map(|resource| {
            let mut entry = json!({
                "resource": resource["name"], "responseKind": kind(resource),
                "scope": if resource["namespaced"] == true { "Namespaced" } else { "Cluster" },
                "singularResource": resource["singularName"], "verbs": resource["verbs"],
            });
            for field in ["shortNames", "categories"] {
                if let Some(value) = resource.get(field) {
                    entry[field] = value.clone();
                }
            }
            let prefix = format!("{}/", name(resource));
            let subresources: Vec<Value> = all
                .iter()
                .filter_map(|sub| {
                    let own = text(sub, "/name").strip_prefix(&prefix)?;
                    Some(json!({"subresource": own, "responseKind": kind(sub), "verbs": sub["verbs"]}))
                })
                .collect();
            if !subresources.is_empty() {
                entry["subresources"] = json!(subresources);
            }
            entry
        })
        .collect()
}
