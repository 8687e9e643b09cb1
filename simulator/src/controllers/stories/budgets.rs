//! PodDisruptionBudgets and evictions.

use super::world::{World, template, workload};
use crate::controllers::objects::{condition, controller_reference, name_of, text};
use crate::schema::Resource;
use crate::schema::builtin::{
    CUSTOM_RESOURCE_DEFINITIONS, DAEMON_SETS, DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS,
};
use serde_json::{Value, json};

fn budget(world: &World, name: &str, rule: &Value) {
    let mut spec = json!({"selector": {"matchLabels": {"app": name}}});
    json_patch::merge(&mut spec, rule);
    world.make(&POD_DISRUPTION_BUDGETS, name, spec);
}

fn numbers(world: &World, name: &str) -> Vec<i64> {
    let status = world.status(&POD_DISRUPTION_BUDGETS, name);
    ["expectedPods", "desiredHealthy", "currentHealthy", "disruptionsAllowed"]
        .iter()
        .map(|field| status[*field].as_i64().unwrap_or(-1))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn numbers_follow_rules_in_pods_and_percent() {
    let world = World::new(&["n1"]);
    for (name, rule, wanted) in [
        ("a", json!({"minAvailable": 2}), [3, 2, 3, 1]),
        ("b", json!({"minAvailable": "50%"}), [3, 2, 3, 1]),
        ("c", json!({"maxUnavailable": 1}), [3, 2, 3, 1]),
        ("d", json!({"maxUnavailable": "34%"}), [3, 1, 3, 2]),
        ("e", json!({"maxUnavailable": 0}), [3, 3, 3, 0]),
    ] {
        budget(&world, name, &rule);
        world.make(&DEPLOYMENTS, name, workload(name, 3));
        world.until(name, |world| numbers(world, name) == wanted).await;
        let status = world.status(&POD_DISRUPTION_BUDGETS, name);
        assert_eq!(status["observedGeneration"], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_eviction_waits_until_the_replacement_is_ready() {
    let world = World::new(&["n1", "n2"]);
    budget(&world, "web", &json!({"minAvailable": 2}));
    world.make(&DEPLOYMENTS, "web", workload("web", 3));
    world.until("three pods", |world| numbers(world, "web") == [3, 2, 3, 1]).await;
    let pods = world.pods("web");
    assert!(world.evict(name_of(&pods[0])).is_ok());
    let refused = world.evict(name_of(&pods[1])).unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (429, "TooManyRequests"));
    world.until("the replacement", |world| numbers(world, "web") == [3, 2, 3, 1]).await;
    assert!(world.get(&PODS, name_of(&pods[0])).is_none());
    assert!(world.evict(name_of(&pods[1])).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_budget_over_what_has_no_scale_fails_safe() {
    let world = World::new(&["n1"]);
    budget(&world, "agent", &json!({"maxUnavailable": 1}));
    let mut spec = workload("agent", 1);
    spec.as_object_mut().unwrap().remove("replicas");
    world.make(&DAEMON_SETS, "agent", spec);
    world
        .until("the failure", |world| {
            let budget = world.get(&POD_DISRUPTION_BUDGETS, "agent").unwrap();
            let failed = condition(&budget, "DisruptionAllowed").map(|one| text(one, "/reason").to_owned());
            failed.as_deref() == Some("SyncFailed") && budget["status"]["disruptionsAllowed"] == 0
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_custom_owner_wants_what_its_definition_says() {
    let world = World::new(&["n1"]);
    let schema = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let scale = json!({"specReplicasPath": ".spec.crew.size", "statusReplicasPath": ".status.aboard"});
    let version = json!({
        "name": "v1", "served": true, "storage": true, "schema": schema, "subresources": {"scale": scale},
    });
    let crd = json!({
        "metadata": {"name": "ships.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": [version],
            "names": {"plural": "ships", "kind": "Ship"},
        },
    });
    world.create(&CUSTOM_RESOURCE_DEFINITIONS, crd);
    let ships = Resource::new("example.com", "v1", "ships", "Ship", true);
    let ship = world.make(&ships, "argo", json!({"crew": {"size": 3}}));
    budget(&world, "crew", &json!({"maxUnavailable": 1}));
    for name in ["jason", "orpheus"] {
        let mut pod = template("crew");
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["namespace"] = json!("default");
        pod["metadata"]["ownerReferences"] = json!([controller_reference(&ships, &ship)]);
        world.create(&PODS, pod);
    }
    world.until("the crew", |world| numbers(world, "crew") == [3, 2, 2, 0]).await;
}
