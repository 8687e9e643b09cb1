//! `snapshot` and `restore`.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::verbs::{Deletable, HostFile, HostReadParams, HostWriteParams, RestoreParams};
use replank_provider_protocol::{ErrorCode, MachineId, MachineState, SnapshotId, SnapshotState};

cases!("snapshot", [Destructive, Like, Fresh]; ends_ready_and_is_listed [Snapshots], twice_takes_one [Snapshots],
    twice_at_once_takes_one [Snapshots], again_of_another_machine_is_refused [Snapshots],
    of_an_unknown_machine_is_not_found [Snapshots], tells_clusters_apart [Snapshots],
    delete_takes_it_away_and_again_is_done [Snapshots], restore_keeps_the_machine [Snapshots, Keeping],
    restore_brings_the_disk_back [Snapshots, Keeping, Hosts], restore_again_has_no_effect [Snapshots, Keeping],
    restore_of_a_running_machine_is_invalid [Snapshots, Keeping],
    restore_to_an_unknown_snapshot_is_not_found [Snapshots, Keeping],
    restore_to_another_machines_snapshot_is_invalid [Snapshots, Keeping], is_invalid_without_it [NoSnapshots]);

fn restore_params(stage: &Stage<'_>, machine: &MachineId, snapshot: &SnapshotId) -> RestoreParams {
    RestoreParams {
        mutation: stage.mutation("restore"),
        machine: machine.clone(),
        snapshot: snapshot.clone(),
    }
}

async fn restore(stage: &Stage<'_>, params: &RestoreParams) -> Result<(), Stop> {
    let ask = async || stage.provider().restore(params.clone()).await;
    let machine = stage.settle("restore", ask).await?;
    ensure(machine.id == params.machine, || {
        format!("restore of machine {} was answered with {}", params.machine, machine.id)
    })
}

async fn listed(stage: &Stage<'_>, wanted: &[&SnapshotId]) -> Result<(), Stop> {
    let mut ids: Vec<_> = stage.listed().await?.snapshots.into_iter().map(|s| s.id).collect();
    let mut wanted: Vec<_> = wanted.iter().map(|id| (*id).clone()).collect();
    ids.sort();
    wanted.sort();
    ensure(ids == wanted, || format!("there must be the snapshots {wanted:?}, and there are {ids:?}"))
}

async fn ends_ready_and_is_listed(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let snapshot = stage.snapshot("snapshot", &machine.id).await?;
    ensure(snapshot.state == SnapshotState::Ready, || {
        format!("snapshot was done with the snapshot {:?}", snapshot.state)
    })?;
    ensure(snapshot.machine == machine.id && snapshot.run.as_ref() == Some(&stage.run), || {
        format!("it is of machine {} in run {}, and says {snapshot:?}", machine.id, stage.run)
    })?;
    listed(stage, &[&snapshot.id]).await
}

async fn twice_takes_one(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let first = stage.snapshot("snapshot", &machine.id).await?;
    let second = stage.snapshot("snapshot", &machine.id).await?;
    ensure(first.id == second.id, || format!("asked twice, it took {} and {}", first.id, second.id))?;
    listed(stage, &[&first.id]).await
}

async fn twice_at_once_takes_one(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let (first, second) =
        futures::join!(stage.snapshot("snapshot", &machine.id), stage.snapshot("snapshot", &machine.id));
    let (first, second) = (first?, second?);
    ensure(first.id == second.id, || format!("asked twice at once, it took {} and {}", first.id, second.id))?;
    listed(stage, &[&first.id]).await
}

async fn again_of_another_machine_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = (stage.machine("one").await?, stage.machine("two").await?);
    let snapshot = stage.snapshot("snapshot", &first.id).await?;
    let ask = async || stage.provider().snapshot(stage.on("snapshot", &second.id)).await;
    let what = "snapshot of another machine under the same operation id";
    stage.refused(what, ErrorCode::AlreadyExists, ask).await?;
    listed(stage, &[&snapshot.id]).await
}

async fn of_an_unknown_machine_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    let ask = async || stage.provider().snapshot(stage.on("snapshot", &"rp-check-never-was".into())).await;
    stage.refused("snapshot of an unknown machine", ErrorCode::NotFound, ask).await.map(drop)
}

async fn tells_clusters_apart(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    stage.snapshot("snapshot", &machine.id).await?;
    let others = stage.list(&stage.other_cluster, None).await?.snapshots;
    ensure(others.is_empty(), || {
        format!("cluster {} has no snapshot, and its list holds {others:?}", stage.other_cluster)
    })
}

async fn delete_takes_it_away_and_again_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let snapshot = stage.snapshot("snapshot", &machine.id).await?;
    for operation in ["delete", "delete", "delete-too"] {
        stage.delete(operation, Deletable::Snapshot(snapshot.id.clone())).await?;
    }
    stage.delete("delete-unknown", Deletable::Snapshot("rp-check-never-was".into())).await?;
    listed(stage, &[]).await?;
    stage.only_machine(&machine.id).await
}

async fn restore_keeps_the_machine(stage: &Stage<'_>) -> Result<(), Stop> {
    let before = stage.running("one").await?;
    let snapshot = stage.snapshot("snapshot", &before.id).await?;
    let params = stage.on("stop", &before.id);
    stage.settle("stop", async || stage.provider().stop(params.clone()).await).await?;
    restore(stage, &restore_params(stage, &before.id, &snapshot.id)).await?;
    let params = stage.on("start", &before.id);
    stage.settle("start", async || stage.provider().start(params.clone()).await).await?;
    let after = stage.get(&before.id).await?;
    ensure(before.name == after.name && before.provider_id == after.provider_id, || {
        format!("restored, {before:?} has become {after:?}")
    })
}

const PATH: &str = "/root/replank-check";

async fn write(stage: &Stage<'_>, machine: &MachineId, text: &str, base64: &str) -> Result<(), Stop> {
    let params = HostWriteParams {
        mutation: stage.mutation(&format!("write/{text}")),
        machine: machine.clone(),
        path: PATH.into(),
        file: Some(HostFile { content: base64.into(), mode: 0o600 }),
    };
    stage.answered("host_write", async || stage.provider().host_write(params.clone()).await).await
}

async fn restore_brings_the_disk_back(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    write(stage, &machine.id, "before", "YmVmb3Jl").await?;
    let snapshot = stage.snapshot("snapshot", &machine.id).await?;
    write(stage, &machine.id, "after", "YWZ0ZXI=").await?;
    let params = stage.on("stop", &machine.id);
    stage.settle("stop", async || stage.provider().stop(params.clone()).await).await?;
    restore(stage, &restore_params(stage, &machine.id, &snapshot.id)).await?;
    let params = stage.on("start", &machine.id);
    stage.settle("start", async || stage.provider().start(params.clone()).await).await?;
    stage.until(&machine.id, MachineState::Running).await?;
    let params = HostReadParams { machine: machine.id.clone(), path: PATH.into() };
    let file = stage.answered("host_read", async || stage.provider().host_read(params.clone()).await).await?;
    let content = file.map(|f| f.content);
    ensure(content.as_deref() == Some("YmVmb3Jl"), || {
        format!("{PATH} held `before` when the snapshot was taken; restored, it holds {content:?} (base64)")
    })
}

async fn restore_again_has_no_effect(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let snapshot = stage.snapshot("snapshot", &machine.id).await?;
    let params = restore_params(stage, &machine.id, &snapshot.id);
    restore(stage, &params).await?;
    let start = stage.on("start", &machine.id);
    stage.settle("start", async || stage.provider().start(start.clone()).await).await?;
    // A machine that runs can't be restored; one that was already is told so.
    restore(stage, &params).await?;
    let now = stage.get(&machine.id).await?;
    ensure(now.state == MachineState::Running, || {
        format!("a restore that was asked again made machine {} {:?}", machine.id, now.state)
    })
}

async fn restore_of_a_running_machine_is_invalid(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let snapshot = stage.snapshot("snapshot", &machine.id).await?;
    let params = restore_params(stage, &machine.id, &snapshot.id);
    let ask = async || stage.provider().restore(params.clone()).await;
    stage.refused("restore of a running machine", ErrorCode::Invalid, ask).await?;
    let now = stage.get(&machine.id).await?;
    ensure(now.state == MachineState::Running, || format!("it is {:?} now", now.state))
}

async fn restore_to_an_unknown_snapshot_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let params = restore_params(stage, &machine.id, &"rp-check-never-was".into());
    let ask = async || stage.provider().restore(params.clone()).await;
    stage.refused("restore to an unknown snapshot", ErrorCode::NotFound, ask).await.map(drop)
}

async fn restore_to_another_machines_snapshot_is_invalid(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = (stage.stopped("one").await?, stage.stopped("two").await?);
    let snapshot = stage.snapshot("snapshot", &first.id).await?;
    let params = restore_params(stage, &second.id, &snapshot.id);
    let ask = async || stage.provider().restore(params.clone()).await;
    stage.refused("restore to another machine's snapshot", ErrorCode::Invalid, ask).await.map(drop)
}

async fn is_invalid_without_it(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let ask = async || stage.provider().snapshot(stage.on("snapshot", &machine.id)).await;
    stage.refused("snapshot with capability snapshot `none`", ErrorCode::Invalid, ask).await?;
    let params = restore_params(stage, &machine.id, &"rp-check-never-was".into());
    let ask = async || stage.provider().restore(params.clone()).await;
    stage.refused("restore with capability snapshot `none`", ErrorCode::Invalid, ask).await.map(drop)
}
