//! What the embedded server hands over as it is says the same as what it would write.

use futures::{Stream, StreamExt};
use http::Request;
use kube::client::Body;
use serde_json::{Value, json};

use crate::Clock;
use crate::machines::api::{Api, ApiFailure, Change, Patch};
use crate::server::Server;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const PLANKS: &str = "/apis/ship.example/v1/planks";

/// A client as over a connection: nothing but bytes gets through.
fn over_a_wire(server: &Server) -> Api {
    let client = server.client("story");
    let service = tower::service_fn(move |mut request: Request<Body>| {
        request.extensions_mut().clear();
        let client = client.clone();
        async move { client.send(request).await.map_err(tower::BoxError::from) }
    });
    Api::new(kube::Client::new(service, "default"))
}

fn without_managers(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    object
}

async fn told(
    changes: impl Stream<Item = Result<Change, ApiFailure>>,
    count: usize,
) -> Vec<(&'static str, Value)> {
    let changes = changes.take(count).map(|change| match change.unwrap() {
        Change::Applied(object) => ("applied", without_managers((*object).clone())),
        Change::Deleted(object) => ("deleted", without_managers((*object).clone())),
        Change::Bookmark(version) => ("bookmark", json!(version)),
    });
    changes.collect().await
}

#[tokio::test(start_paused = true)]
async fn a_watch_tells_the_same_in_process_and_over_a_wire() {
    let server = Server::new(Clock::fixed(), 1);
    let (near, far) = (Api::new(server.client("story")), over_a_wire(&server));
    let (_, version) = near.list(MAPS).await.unwrap();
    let nears = Box::pin(near.watch(MAPS, "labelSelector=seen", &version).await.unwrap());
    let fars = Box::pin(far.watch(MAPS, "labelSelector=seen", &version).await.unwrap());
    let path = format!("{MAPS}/a");
    let made = json!({"metadata": {"name": "a", "labels": {"seen": ""}}, "data": {"a": "1"}});
    near.create(MAPS, &made).await.unwrap();
    near.patch(&path, Patch::Merge, &json!({"data": {"a": "2"}})).await.unwrap();
    // It leaves the selection, and comes back.
    for label in [Value::Null, json!("")] {
        let patch = json!({"metadata": {"labels": {"seen": label}}});
        near.patch(&path, Patch::Merge, &patch).await.unwrap();
    }
    far.delete(&path, &json!({})).await.unwrap();
    let (seen, written) = (told(nears, 5).await, told(fars, 5).await);
    assert_eq!(seen, written);
    let kinds: Vec<&str> = seen.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["applied", "applied", "deleted", "applied", "deleted"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_goes_too_far_back_fails_alike() {
    let server = Server::new(Clock::fixed(), 1);
    for number in 0..3 {
        let map = json!({"metadata": {"name": format!("m{number}")}});
        Api::new(server.client("story")).create(MAPS, &map).await.unwrap();
    }
    server.compact();
    let mut codes = Vec::new();
    for api in [Api::new(server.client("story")), over_a_wire(&server)] {
        let mut changes = Box::pin(api.watch(MAPS, "", "1").await.unwrap());
        codes.push(changes.next().await.unwrap().unwrap_err().code());
    }
    assert_eq!(codes, [410, 410]);
}

#[tokio::test(start_paused = true)]
async fn objects_lists_and_refusals_are_the_same_in_process_and_over_a_wire() {
    let server = Server::new(Clock::fixed(), 1);
    let (near, far) = (Api::new(server.client("story")), over_a_wire(&server));
    let definition = json!({
        "metadata": {"name": "planks.ship.example"},
        "spec": {
            "group": "ship.example", "scope": "Cluster", "names": {"plural": "planks", "kind": "Plank"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    });
    near.create(DEFINITIONS, &definition).await.unwrap();
    for name in ["keel", "mast"] {
        let plank = json!({"apiVersion": "ship.example/v1", "kind": "Plank", "metadata": {"name": name}});
        near.create(PLANKS, &plank).await.unwrap();
    }
    let mut said = Vec::new();
    for api in [&near, &far] {
        let (planks, version) = api.list(PLANKS).await.unwrap();
        let planks: Vec<Value> = planks.iter().map(|plank| without_managers((**plank).clone())).collect();
        let keel = without_managers(api.get(&format!("{PLANKS}/keel")).await.unwrap());
        let missing = api.get(&format!("{PLANKS}/sail")).await.unwrap_err();
        said.push((planks, version, keel, missing.code(), missing.to_string()));
    }
    assert_eq!(said[0], said[1]);
    assert_eq!((said[0].0.len(), said[0].3), (2, 404));
}
