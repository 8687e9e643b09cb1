//! Killed in the middle of a verb, and asked again by another process.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use crate::Provider;
use replank_provider_protocol::verbs::{
    Deletable, HostFile, HostReadParams, HostWriteParams, Progress, RestoreParams,
};
use replank_provider_protocol::{MachineState, ProviderError};
use std::time::Duration;

cases!("killed", [Destructive, Like, Fresh]; during_create, during_stop [Keeping], during_start [Keeping],
    during_delete, during_snapshot [Snapshots], during_restore [Snapshots, Keeping],
    during_delete_of_a_snapshot [Snapshots], during_deregister [LoadBalancer], during_host_write [Hosts]);

/// How long after the call the provider is killed: before it has read it, in the middle of what fast
/// and slow backends do, and when it is done already.
const AFTER: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(4),
    Duration::from_millis(15),
    Duration::from_millis(60),
    Duration::from_millis(250),
];

/// Asks a provider of its own and kills it after a time.
async fn cut<T>(
    stage: &Stage<'_>,
    after: Duration,
    ask: &impl AsyncFn(&dyn Provider) -> Result<Progress<T>, ProviderError>,
) -> Result<(), Stop> {
    let session = stage.another().await?;
    tokio::select! {
        biased;
        _ = ask(session.provider()) => {}
        () = tokio::time::sleep(after) => {}
    }
    session.kill().await;
    Ok(())
}

/// Cuts a call off at every instant in turn, then asks for it to the end.
async fn cut_often<T>(
    stage: &Stage<'_>,
    what: &str,
    ask: impl AsyncFn(&dyn Provider) -> Result<Progress<T>, ProviderError>,
) -> Result<T, Stop> {
    for after in AFTER {
        cut(stage, after, &ask).await?;
    }
    stage.settle(what, async || ask(stage.provider()).await).await
}

async fn during_create(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut made = Vec::new();
    for (number, after) in AFTER.into_iter().enumerate() {
        let params = stage.create_params(&number.to_string())?;
        cut(stage, after, &async |p: &dyn Provider| p.create(params.clone()).await).await?;
        let machine = stage.create(&params).await?;
        ensure(machine.name == params.spec.name, || {
            format!("{} was asked for, and {} answered", params.spec.name, machine.name)
        })?;
        made.push(machine.id);
    }
    let listed = stage.listed().await?.machines;
    let strange: Vec<_> = listed.iter().filter(|m| !made.contains(&m.id)).collect();
    ensure(strange.is_empty(), || format!("beside the machines that were answered there are {strange:?}"))?;
    ensure(listed.len() == AFTER.len(), || {
        format!("{} machines were made, and {} are listed", AFTER.len(), listed.len())
    })?;
    for id in &made {
        stage.until(id, MachineState::Running).await?;
    }
    Ok(())
}

async fn during_stop(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let params = stage.on("stop", &machine.id);
    cut_often(stage, "stop", async |p| p.stop(params.clone()).await).await?;
    stage.until(&machine.id, MachineState::Stopped).await.map(drop)
}

async fn during_start(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let params = stage.on("start", &machine.id);
    cut_often(stage, "start", async |p| p.start(params.clone()).await).await?;
    stage.until(&machine.id, MachineState::Running).await.map(drop)
}

async fn during_delete(stage: &Stage<'_>) -> Result<(), Stop> {
    for (number, after) in AFTER.into_iter().enumerate() {
        let machine = stage.machine(&number.to_string()).await?;
        let operation = format!("delete/{number}");
        let params = stage.delete_params(&operation, Deletable::Machine(machine.id.clone()));
        cut(stage, after, &async |p: &dyn Provider| p.delete(params.clone()).await).await?;
        stage.settle("delete", async || stage.provider().delete(params.clone()).await).await?;
        stage.is_gone(&machine.id).await?;
    }
    let left = stage.left().await?;
    ensure(left.is_empty(), || format!("left over: {}", left.join(", ")))
}

async fn during_snapshot(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let mut taken = Vec::new();
    for (number, after) in AFTER.into_iter().enumerate() {
        let operation = format!("snapshot/{number}");
        let params = stage.on(&operation, &machine.id);
        cut(stage, after, &async |p: &dyn Provider| p.snapshot(params.clone()).await).await?;
        taken.push(stage.snapshot(&operation, &machine.id).await?.id);
    }
    let mut listed: Vec<_> = stage.listed().await?.snapshots.into_iter().map(|s| s.id).collect();
    listed.sort();
    taken.sort();
    ensure(listed == taken, || format!("{taken:?} were answered, and {listed:?} are there"))
}

async fn during_restore(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let snapshot = stage.snapshot("snapshot", &machine.id).await?;
    let params = RestoreParams {
        mutation: stage.mutation("restore"),
        machine: machine.id.clone(),
        snapshot: snapshot.id.clone(),
    };
    let restored = cut_often(stage, "restore", async |p| p.restore(params.clone()).await).await?;
    ensure(restored.id == machine.id, || format!("{} was restored, and {} told", machine.id, restored.id))?;
    let params = stage.on("start", &machine.id);
    stage.settle("start", async || stage.provider().start(params.clone()).await).await?;
    stage.until(&machine.id, MachineState::Running).await.map(drop)
}

async fn during_delete_of_a_snapshot(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let snapshot = stage.snapshot("snapshot", &machine.id).await?;
    let params = stage.delete_params("delete", Deletable::Snapshot(snapshot.id));
    cut_often(stage, "delete", async |p| p.delete(params.clone()).await).await?;
    let left = stage.listed().await?.snapshots;
    ensure(left.is_empty(), || format!("left over: {left:?}"))
}

async fn during_deregister(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let params = stage.on("out", &machine.id);
    cut_often(stage, "deregister", async |p| p.deregister(params.clone()).await).await
}

async fn during_host_write(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let file = HostFile { content: "aGVsbG8K".repeat(1000), mode: 0o600 };
    let params = HostWriteParams {
        mutation: stage.mutation("write"),
        machine: machine.id.clone(),
        path: "/root/replank-check".into(),
        file: Some(file.clone()),
    };
    let done = |()| Progress::Done { value: () };
    cut_often(stage, "host_write", async |p| p.host_write(params.clone()).await.map(done)).await?;
    let params = HostReadParams { machine: machine.id.clone(), path: "/root/replank-check".into() };
    let there =
        stage.answered("host_read", async || stage.provider().host_read(params.clone()).await).await?;
    ensure(there.as_ref() == Some(&file), || "the file is not what was written".into())
}
