//! Custom resources.

use super::cases;
use crate::peer::{Peer, refused, text};
use serde_json::{Value, json};

cases![
    a_definition_is_served,
    defaults_are_filled_in,
    required_fields_are_missed,
    types_are_checked,
    unknown_fields_are_pruned,
    unknown_fields_are_kept_where_said,
    a_custom_status_has_an_address_of_its_own,
    a_definition_takes_its_objects_along,
    a_definition_is_held_by_its_objects_finalizers,
    a_custom_list_merges_by_its_keys,
    a_strategic_patch_is_for_built_in_kinds,
    rules_are_kept,
    enums_and_bounds_are_kept,
    items_of_custom_lists_have_a_kind_of_their_own,
    a_definition_is_named_after_its_plural_and_group,
    a_definition_goes_past_its_objects_webhook,
    a_custom_scale_has_numbers_of_its_own,
];

struct Kind {
    group: String,
    definition: String,
    objects: String,
}

/// A kind of its own, served.
async fn kind(peer: &Peer, spec: Value) -> Kind {
    kind_with(peer, spec, json!({"status": {}})).await
}

/// The same with these subresources.
async fn kind_with(peer: &Peer, spec: Value, subresources: Value) -> Kind {
    let group = format!("{}.example", peer.name("crd"));
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let schema = json!({
        "type": "object",
        "properties": {
            "spec": spec,
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        },
    });
    let definition = json!({
        "metadata": {"name": format!("pools.{group}")},
        "spec": {
            "group": group, "scope": "Cluster", "names": {"plural": "pools", "kind": "Pool"},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": subresources,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    });
    peer.made(definitions, &definition).await;
    let definition = format!("{definitions}/pools.{group}");
    let established = |d: &Value| {
        d["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| c["type"] == "Established" && c["status"] == "True")
    };
    peer.becomes(&definition, "the definition to be established", established).await;
    let objects = format!("/apis/{group}/v1/pools");
    peer.until("the kind to be served", async || peer.api.get(&objects).await.ok()).await;
    Kind { group, definition, objects }
}

impl Kind {
    fn object(&self, spec: Value) -> Value {
        json!({
            "apiVersion": format!("{}/v1", self.group), "kind": "Pool", "metadata": {"name": "p"}, "spec": spec,
        })
    }

    async fn make(&self, peer: &Peer, spec: Value) -> Value {
        peer.made(&self.objects, &self.object(spec)).await
    }

    fn path(&self) -> String {
        format!("{}/p", self.objects)
    }
}

fn free() -> Value {
    json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

async fn a_definition_is_served(peer: &Peer) {
    let kind = kind(peer, free()).await;
    kind.make(peer, json!({"a": 1})).await;
    assert_eq!(peer.get(&kind.path()).await["spec"]["a"], 1);
    let resources = peer.get(&format!("/apis/{}/v1", kind.group)).await;
    let names: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().map(|r| text(r, "/name")).collect();
    assert_eq!(names, ["pools", "pools/status"]);
}

async fn defaults_are_filled_in(peer: &Peer) {
    let schema = json!({"type": "object", "properties": {"size": {"type": "integer", "default": 26}}});
    let kind = kind(peer, schema).await;
    assert_eq!(kind.make(peer, json!({})).await["spec"]["size"], 26);
}

async fn required_fields_are_missed(peer: &Peer) {
    let schema = json!({"type": "object", "required": ["cidr"], "properties": {"cidr": {"type": "string"}}});
    let kind = kind(peer, schema).await;
    let error = refused(peer.create(&kind.objects, &kind.object(json!({}))).await);
    assert_eq!((error.code, error.reason.as_str()), (422, "Invalid"));
    assert_eq!(error.causes[0].0, "FieldValueRequired");
}

async fn types_are_checked(peer: &Peer) {
    let schema = json!({"type": "object", "properties": {"size": {"type": "integer"}}});
    let kind = kind(peer, schema).await;
    let error = refused(peer.create(&kind.objects, &kind.object(json!({"size": "large"}))).await);
    assert_eq!((error.code, error.causes[0].0.as_str()), (422, "FieldValueTypeInvalid"));
}

async fn unknown_fields_are_pruned(peer: &Peer) {
    let schema = json!({"type": "object", "properties": {"size": {"type": "integer"}}});
    let kind = kind(peer, schema).await;
    let made = kind.make(peer, json!({"size": 1, "colour": "red"})).await;
    assert_eq!(made["spec"], json!({"size": 1}));
}

async fn unknown_fields_are_kept_where_said(peer: &Peer) {
    let kind = kind(peer, free()).await;
    assert_eq!(kind.make(peer, json!({"colour": "red"})).await["spec"]["colour"], "red");
}

async fn a_custom_status_has_an_address_of_its_own(peer: &Peer) {
    let kind = kind(peer, free()).await;
    let mut object = kind.object(json!({"a": 1}));
    object["status"] = json!({"ready": true});
    let made = peer.made(&kind.objects, &object).await;
    assert!(made.get("status").is_none(), "{made}");
    let both = json!({"spec": {"a": 2}, "status": {"ready": true}});
    peer.merge(&format!("{}/status", kind.path()), &both).await.unwrap();
    let after = peer.get(&kind.path()).await;
    assert_eq!((&after["spec"]["a"], &after["status"]["ready"]), (&json!(1), &json!(true)));
    assert_eq!(after["metadata"]["generation"], 1);
}

async fn a_definition_takes_its_objects_along(peer: &Peer) {
    let kind = kind(peer, free()).await;
    kind.make(peer, json!({})).await;
    peer.delete(&kind.definition, &json!({})).await.unwrap();
    peer.gone(&kind.definition).await;
    assert_eq!(refused(peer.api.get(&kind.path()).await).code, 404);
}

async fn a_definition_is_held_by_its_objects_finalizers(peer: &Peer) {
    let kind = kind(peer, free()).await;
    let mut held = kind.object(json!({}));
    held["metadata"]["finalizers"] = json!(["x.example/hold"]);
    peer.made(&kind.objects, &held).await;
    peer.delete(&kind.definition, &json!({})).await.unwrap();
    let ending = |d: &Value| {
        d["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| c["type"] == "Terminating" && c["status"] == "True")
    };
    peer.becomes(&kind.definition, "the definition to end", ending).await;
    let object_ends = |o: &Value| !text(o, "/metadata/deletionTimestamp").is_empty();
    peer.becomes(&kind.path(), "the object to end", object_ends).await;
    peer.merge(&kind.path(), &json!({"metadata": {"finalizers": null}})).await.unwrap();
    peer.gone(&kind.definition).await;
}

async fn a_custom_list_merges_by_its_keys(peer: &Peer) {
    let item = json!({
        "type": "object", "required": ["name"],
        "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
    });
    let list = json!({
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": item,
    });
    let kind = kind(peer, json!({"type": "object", "properties": {"list": list}})).await;
    let with = |name: &str| kind.object(json!({"list": [{"name": name, "value": "1"}]}));
    peer.apply(&kind.path(), "one", &with("a")).await.unwrap();
    let after = peer.apply(&kind.path(), "two", &with("b")).await.unwrap();
    let names: Vec<&str> =
        after["spec"]["list"].as_array().unwrap().iter().map(|i| text(i, "/name")).collect();
    assert_eq!(names, ["a", "b"]);
}

async fn a_strategic_patch_is_for_built_in_kinds(peer: &Peer) {
    let kind = kind(peer, free()).await;
    kind.make(peer, json!({})).await;
    let error = refused(peer.strategic(&kind.path(), &json!({"spec": {"a": 1}})).await);
    assert_eq!((error.code, error.reason.as_str()), (415, "UnsupportedMediaType"));
}

async fn rules_are_kept(peer: &Peer) {
    let schema = json!({
        "type": "object", "properties": {"size": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.size < 10", "message": "too large"}],
    });
    let kind = kind(peer, schema).await;
    kind.make(peer, json!({"size": 3})).await;
    let error = refused(peer.merge(&kind.path(), &json!({"spec": {"size": 30}})).await);
    assert_eq!(error.code, 422);
    assert!(error.message.contains("too large"), "{}", error.message);
}

async fn enums_and_bounds_are_kept(peer: &Peer) {
    let schema = json!({
        "type": "object",
        "properties": {
            "mode": {"type": "string", "enum": ["Always", "Never"]},
            "size": {"type": "integer", "minimum": 1, "maximum": 32},
            "cidr": {"type": "string", "pattern": "^10\\."},
        },
    });
    let kind = kind(peer, schema).await;
    for bad in [json!({"mode": "Perhaps"}), json!({"size": 33}), json!({"cidr": "192.168.0.0/16"})] {
        assert_eq!(refused(peer.create(&kind.objects, &kind.object(bad.clone())).await).code, 422, "{bad}");
    }
    kind.make(peer, json!({"mode": "Always", "size": 32, "cidr": "10.0.0.0/8"})).await;
}

async fn items_of_custom_lists_have_a_kind_of_their_own(peer: &Peer) {
    let kind = kind(peer, free()).await;
    kind.make(peer, json!({})).await;
    let list = peer.get(&kind.objects).await;
    assert_eq!((text(&list, "/kind"), text(&list, "/items/0/kind")), ("PoolList", "Pool"));
}

async fn a_definition_is_named_after_its_plural_and_group(peer: &Peer) {
    let kind = kind(peer, free()).await;
    let mut other = peer.get(&kind.definition).await;
    other["metadata"] = json!({"name": "wrong"});
    let answer = peer.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &other).await;
    assert_eq!(refused(answer).code, 422);
}

async fn a_definition_goes_past_its_objects_webhook(peer: &Peer) {
    let kind = kind(peer, free()).await;
    kind.make(peer, json!({})).await;
    let rule = json!({
        "apiGroups": [kind.group], "apiVersions": ["v1"], "operations": ["DELETE"], "resources": ["pools"],
    });
    let hook = peer.deaf_webhook(&peer.namespace().await, rule).await;
    assert_eq!(refused(peer.delete(&kind.path(), &json!({})).await).code, 500);
    peer.delete(&kind.definition, &json!({})).await.unwrap();
    peer.gone(&kind.definition).await;
    peer.delete(&hook, &json!({})).await.unwrap();
}

async fn a_custom_scale_has_numbers_of_its_own(peer: &Peer) {
    let paths = json!({
        "specReplicasPath": ".spec.workers.wanted", "statusReplicasPath": ".status.running",
        "labelSelectorPath": ".status.chooses",
    });
    let kind = kind_with(peer, free(), json!({"status": {}, "scale": paths})).await;
    kind.make(peer, json!({"workers": {"wanted": 3, "of": "steel"}})).await;
    let status = json!({"status": {"running": 2, "chooses": "app=pool"}});
    peer.merge(&format!("{}/status", kind.path()), &status).await.unwrap();
    let scale = format!("{}/scale", kind.path());
    let shown = peer.get(&scale).await;
    assert_eq!((text(&shown, "/kind"), text(&shown, "/status/selector")), ("Scale", "app=pool"));
    assert_eq!((&shown["spec"]["replicas"], &shown["status"]["replicas"]), (&json!(3), &json!(2)));
    let scaled = peer.merge(&scale, &json!({"spec": {"replicas": 5}})).await.unwrap();
    assert_eq!(scaled["spec"]["replicas"], 5);
    let after = peer.get(&kind.path()).await;
    assert_eq!(after["spec"], json!({"workers": {"wanted": 5, "of": "steel"}}));
    assert_eq!(after["metadata"]["generation"], 2);
}
