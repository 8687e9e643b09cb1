//! The machine API: repeatable, fenced, recorded.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::world::World;
use crate::faults::Fault;
use crate::machines::{Caller, CreateMachine, ErrorCode, MachineRole, MachineState, SnapshotState};

async fn call(world: &World, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = Request::builder()
        .method(method)
        .uri(format!("/machines/v1{path}"))
        .header("user-agent", "story")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = world.datacenter.router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let bytes =
        response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

#[tokio::test(start_paused = true)]
async fn creating_twice_makes_one_machine() {
    let world = World::new();
    let order = json!({"operationId": "op-1", "name": "w1", "run": "r1", "epoch": 1, "cluster": "c"});
    let (status, first) = call(&world, "POST", "/machines", order.clone()).await;
    assert_eq!((status, first["state"].as_str()), (201, Some("pending")));
    world.server.faults().raise(Fault::named("machine-api-lost-response").count(1));
    assert_eq!(call(&world, "POST", "/machines", order.clone()).await.1, Value::Null);
    let (_, again) = call(&world, "POST", "/machines", order).await;
    assert_eq!(again["id"], first["id"]);
    let other = json!({"operationId": "op-1", "name": "w2", "run": "r1", "epoch": 1, "cluster": "c"});
    let (status, refusal) = call(&world, "POST", "/machines", other).await;
    assert_eq!((status, refusal["code"].as_str()), (409, Some("already_exists")));
    assert_eq!(world.datacenter.effects().len(), 1);
    assert_eq!(
        call(&world, "GET", "/machines?run=r1", json!({})).await.1["items"].as_array().unwrap().len(),
        1
    );
    assert_eq!(call(&world, "GET", "/machines?run=r2", json!({})).await.1["items"], json!([]));
    let path = format!("/machines/{}?operationId=d&epoch=1", first["id"].as_str().unwrap());
    assert_eq!(call(&world, "DELETE", &path, json!({})).await.0, 200);
    assert_eq!(call(&world, "DELETE", &path, json!({})).await.0, 200);
    assert_eq!(world.datacenter.effects().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_older_epoch_is_denied() {
    let world = World::new();
    let machine = world.create("w1", MachineRole::Worker, "", "true");
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(call(&world, "POST", "/fence", json!({"cluster": "c", "epoch": 3})).await.0, 200);
    let stop = |epoch: u64| json!({"operationId": format!("stop-{epoch}"), "epoch": epoch});
    let path = format!("/machines/{}/stop", machine.id);
    let (status, refusal) = call(&world, "POST", &path, stop(2)).await;
    assert_eq!((status, refusal["code"].as_str()), (403, Some("denied")));
    let file = format!("/machines/{}/host/file?path=/etc/x", machine.id);
    assert_eq!(call(&world, "PUT", &file, json!({"content": "aGk=", "mode": 384, "epoch": 2})).await.0, 403);
    assert_eq!(call(&world, "PUT", &file, json!({"content": "aGk=", "mode": 384, "epoch": 3})).await.0, 200);
    assert_eq!(call(&world, "GET", &file, json!({})).await.1, json!({"content": "aGk=", "mode": 384}));
    assert_eq!(call(&world, "POST", &path, stop(3)).await.1["state"], "stopping");
    assert_eq!(call(&world, "POST", "/fence", json!({"cluster": "c", "epoch": 2})).await.0, 403);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(world.machine("w1").state, MachineState::Stopped);
    let run = format!("/machines/{}/host/run", machine.id);
    assert_eq!(
        call(&world, "POST", &run, json!({"argv": ["hostname"], "epoch": 3})).await.1["code"],
        "unavailable"
    );
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_brings_a_disk_back() {
    let world = World::new();
    let machine = world.create("w1", MachineRole::Worker, "old", "true");
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.write("w1", "/etc/state", "before");
    let caller = |operation| Caller { operation, ..Caller::default() };
    world.server.faults().raise(Fault::named("snapshot-fails").count(1));
    let failed = world.datacenter.snapshot(&machine.id, Some("r1"), caller("snap-0")).unwrap();
    let snapshot = world.datacenter.snapshot(&machine.id, Some("r1"), caller("snap-1")).unwrap();
    assert_eq!(world.datacenter.snapshot(&machine.id, Some("r1"), caller("snap-1")).unwrap().id, snapshot.id);
    assert_eq!(snapshot.state, SnapshotState::Pending);
    world.write("w1", "/etc/state", "after");
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(world.datacenter.snapshot_of(&failed.id).unwrap().state, SnapshotState::Failed);
    let refusal = world.datacenter.restore(&snapshot.id, &machine.id, caller("back")).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Invalid);
    world.datacenter.stop(&machine.id, caller("stop")).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.datacenter.restore(&snapshot.id, &machine.id, caller("back-2")).unwrap();
    world.datacenter.start(&machine.id, caller("start")).unwrap();
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.run("w1", "cat /etc/state").await, (0, "before".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn boots_go_wrong_on_demand() {
    let world = World::new();
    let faults = world.server.faults().clone();
    faults.raise(Fault::named("machine-create-fails").subject("none").count(1));
    let order = CreateMachine { operation_id: "x".into(), name: "none".into(), ..CreateMachine::default() };
    assert_eq!(world.datacenter.create(&order, "story").unwrap_err().code, ErrorCode::Exhausted);
    faults.raise(Fault::named("machine-boot-fails").subject("bad"));
    faults.raise(Fault::named("machine-never-boots").subject("slow").delay(Duration::from_secs(100)));
    for name in ["bad", "slow", "good"] {
        world.create(name, MachineRole::Worker, "", "true");
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.machine("bad").state, MachineState::Failed);
    assert_eq!(world.machine("slow").state, MachineState::Pending);
    assert_eq!(world.machine("good").state, MachineState::Running);
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(world.machine("slow").state, MachineState::Running);
    faults.raise(Fault::named("machine-vanishes").subject("good").count(1));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.machine("good").state, MachineState::Failed);
    assert_eq!(world.run("slow", "hostname && no-such-thing").await.0, 127);
}
