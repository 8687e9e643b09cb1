//! Discovery, OpenAPI, versions, rights and tokens.

use super::cases;
use crate::peer::{Peer, text};
use serde_json::{Value, json};

cases![
    the_version_is_told,
    groups_are_told,
    the_eviction_is_told,
    list_keys_are_in_the_schema,
    every_group_has_a_schema,
    rights_are_told,
    a_bootstrap_token_is_a_secret,
    events_are_listed_by_their_object,
    an_account_gets_a_token,
];

async fn the_version_is_told(peer: &Peer) {
    let version = peer.get("/version").await;
    assert!(text(&version, "/gitVersion").starts_with("v1."), "{version}");
    assert_eq!(text(&version, "/major"), "1");
}

async fn groups_are_told(peer: &Peer) {
    let groups = peer.get("/apis").await;
    let names: Vec<&str> = groups["groups"].as_array().unwrap().iter().map(|g| text(g, "/name")).collect();
    for group in [
        "apps",
        "policy",
        "coordination.k8s.io",
        "apiextensions.k8s.io",
        "storage.k8s.io",
        "networking.k8s.io",
    ] {
        assert!(names.contains(&group), "{group}");
    }
    let apps = groups["groups"].as_array().unwrap().iter().find(|g| text(g, "/name") == "apps").unwrap();
    assert_eq!(text(apps, "/preferredVersion/groupVersion"), "apps/v1");
}

async fn the_eviction_is_told(peer: &Peer) {
    let core = peer.get("/api/v1").await;
    let eviction =
        core["resources"].as_array().unwrap().iter().find(|r| text(r, "/name") == "pods/eviction").unwrap();
    assert_eq!(
        (text(eviction, "/group"), text(eviction, "/version"), text(eviction, "/kind")),
        ("policy", "v1", "Eviction")
    );
}

/// Where a property of a definition says how its list merges.
fn list<'a>(document: &'a Value, definition: &str, property: &str) -> &'a Value {
    &document["components"]["schemas"][definition]["properties"][property]
}

async fn list_keys_are_in_the_schema(peer: &Peer) {
    let core = peer.get("/openapi/v3/api/v1").await;
    let keyed = |definition: &str, property: &str, keys: &[&str]| {
        let list = list(&core, &format!("io.k8s.api.core.v1.{definition}"), property);
        assert_eq!(list["x-kubernetes-list-type"], "map", "{definition}.{property}: {list}");
        assert_eq!(list["x-kubernetes-list-map-keys"], json!(keys), "{definition}.{property}");
    };
    keyed("PodSpec", "containers", &["name"]);
    keyed("PodSpec", "initContainers", &["name"]);
    keyed("PodSpec", "volumes", &["name"]);
    keyed("PodSpec", "hostAliases", &["ip"]);
    keyed("Container", "ports", &["containerPort", "protocol"]);
    keyed("Container", "env", &["name"]);
    keyed("Container", "volumeMounts", &["mountPath"]);
    keyed("ServiceSpec", "ports", &["port", "protocol"]);
    keyed("NodeStatus", "conditions", &["type"]);
    keyed("NodeStatus", "addresses", &["type"]);
    let atomic = |definition: &str, property: &str| {
        let list = list(&core, &format!("io.k8s.api.core.v1.{definition}"), property);
        assert_eq!(list["x-kubernetes-list-type"], "atomic", "{definition}.{property}: {list}");
    };
    atomic("PodSpec", "tolerations");
    atomic("NodeSpec", "taints");
    atomic("Container", "args");
    assert_eq!(list(&core, "io.k8s.api.core.v1.NodeSpec", "podCIDRs")["x-kubernetes-list-type"], "set");
    let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    assert_eq!(list(&core, meta, "finalizers")["x-kubernetes-list-type"], "set");
    assert_eq!(list(&core, meta, "ownerReferences")["x-kubernetes-list-map-keys"], json!(["uid"]));
}

async fn every_group_has_a_schema(peer: &Peer) {
    let index = peer.get("/openapi/v3").await;
    for path in [
        "api/v1",
        "apis/apps/v1",
        "apis/policy/v1",
        "apis/apiextensions.k8s.io/v1",
        "apis/coordination.k8s.io/v1",
    ] {
        let at = text(&index["paths"][path], "/serverRelativeURL");
        assert!(at.starts_with(&format!("/openapi/v3/{path}?hash=")), "{path}: {at}");
        assert!(text(&peer.get(at).await, "/openapi").starts_with("3."), "{path}");
    }
}

async fn rights_are_told(peer: &Peer) {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "delete", "resource": "nodes"}},
    });
    let answer = peer.made("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await;
    assert_eq!(answer["status"]["allowed"], true);
}

async fn a_bootstrap_token_is_a_secret(peer: &Peer) {
    let id = format!("{:06}", peer.name("t").rsplit('-').next().unwrap().parse::<u32>().unwrap());
    let name = format!("bootstrap-token-{id}");
    let secret = json!({
        "metadata": {"name": name}, "type": "bootstrap.kubernetes.io/token",
        "stringData": {
            "token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true",
            "expiration": "2000-01-01T00:00:00Z",
        },
    });
    peer.made("/api/v1/namespaces/kube-system/secrets", &secret).await;
    // It has expired: its cleaner takes it away.
    peer.gone(&format!("/api/v1/namespaces/kube-system/secrets/{name}")).await;
}

async fn events_are_listed_by_their_object(peer: &Peer) {
    let namespace = peer.namespace().await;
    let events = format!("/api/v1/namespaces/{namespace}/events");
    let event = |name: &str, object: &str| {
        json!({
            "metadata": {"name": name}, "reason": "FailedKillPod", "type": "Warning",
            "involvedObject": {"kind": "Pod", "namespace": namespace, "name": object},
        })
    };
    peer.made(&events, &event("a", "one")).await;
    peer.made(&events, &event("b", "two")).await;
    let list = peer.get(&format!("{events}?fieldSelector=involvedObject.name%3Dtwo")).await;
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|e| text(e, "/metadata/name")).collect();
    assert_eq!(names, ["b"]);
}

async fn an_account_gets_a_token(peer: &Peer) {
    let namespace = peer.namespace().await;
    let at = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default/token");
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600},
    });
    let answer = peer.made(&at, &request).await;
    assert_eq!(text(&answer, "/status/token").split('.').count(), 3, "a JSON Web Token");
}
