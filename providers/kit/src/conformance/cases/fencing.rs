//! Epochs: a run that has lost the lock changes nothing any more.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::{EPOCH, Stage};
use replank_provider_protocol::verbs::{
    Deletable, HostFile, HostReadParams, HostRunParams, HostWriteParams, MachineParams, Mutation,
    RestoreParams,
};
use replank_provider_protocol::{Epoch, ErrorCode, Machine, MachineState};

cases!("epochs", [Destructive, Like, Fresh]; an_older_one_can_not_create, an_older_one_can_not_delete,
    an_older_one_can_not_stop [Keeping], an_older_one_can_not_start [Keeping],
    an_older_one_can_not_take_a_snapshot [Snapshots], an_older_one_can_not_restore [Snapshots, Keeping],
    an_older_one_can_not_touch_the_load_balancer [LoadBalancer], an_older_one_can_not_write_to_a_host [Hosts],
    an_older_one_can_not_run_on_a_host [Hosts], another_process_knows_it_too,
    it_is_denied_before_anything_else, a_denied_operation_can_be_done_later, the_same_one_goes_on,
    one_cluster_does_not_fence_another);

/// The epoch of a run that has lost the lock.
fn older(mut mutation: Mutation) -> Mutation {
    mutation.epoch = Epoch(EPOCH - 1);
    mutation
}

fn older_on(stage: &Stage<'_>, operation: &str, machine: &Machine) -> MachineParams {
    let mut params = stage.on(operation, &machine.id);
    params.mutation = older(params.mutation);
    params
}

async fn an_older_one_can_not_create(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let mut params = stage.create_params("two")?;
    params.mutation = older(params.mutation);
    let ask = async || stage.provider().create(params.clone()).await;
    stage.refused("create under an older epoch", ErrorCode::Denied, ask).await?;
    stage.only_machine(&machine.id).await
}

async fn an_older_one_can_not_delete(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let mut params = stage.delete_params("delete", Deletable::Machine(machine.id.clone()));
    params.mutation = older(params.mutation);
    let ask = async || stage.provider().delete(params.clone()).await;
    stage.refused("delete under an older epoch", ErrorCode::Denied, ask).await?;
    stage.only_machine(&machine.id).await
}

async fn is(stage: &Stage<'_>, machine: &Machine, state: MachineState) -> Result<(), Stop> {
    let now = stage.get(&machine.id).await?.state;
    ensure(now == state, || format!("a denied call made machine {} {now:?}", machine.id))
}

async fn an_older_one_can_not_stop(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let ask = async || stage.provider().stop(older_on(stage, "stop", &machine)).await;
    stage.refused("stop under an older epoch", ErrorCode::Denied, ask).await?;
    is(stage, &machine, MachineState::Running).await
}

async fn an_older_one_can_not_start(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let ask = async || stage.provider().start(older_on(stage, "start", &machine)).await;
    stage.refused("start under an older epoch", ErrorCode::Denied, ask).await?;
    is(stage, &machine, MachineState::Stopped).await
}

async fn an_older_one_can_not_take_a_snapshot(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let ask = async || stage.provider().snapshot(older_on(stage, "snapshot", &machine)).await;
    stage.refused("snapshot under an older epoch", ErrorCode::Denied, ask).await?;
    let taken = stage.listed().await?.snapshots;
    ensure(taken.is_empty(), || format!("a denied call took {taken:?}"))
}

async fn an_older_one_can_not_restore(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let snapshot = stage.snapshot("snapshot", &machine.id).await?;
    let params = RestoreParams {
        mutation: older(stage.mutation("restore")),
        machine: machine.id.clone(),
        snapshot: snapshot.id,
    };
    let ask = async || stage.provider().restore(params.clone()).await;
    stage.refused("restore under an older epoch", ErrorCode::Denied, ask).await.map(drop)
}

async fn an_older_one_can_not_touch_the_load_balancer(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let ask = async || stage.provider().deregister(older_on(stage, "out", &machine)).await;
    stage.refused("deregister under an older epoch", ErrorCode::Denied, ask).await?;
    let ask = async || stage.provider().register(older_on(stage, "in", &machine)).await;
    stage.refused("register under an older epoch", ErrorCode::Denied, ask).await.map(drop)
}

const PATH: &str = "/root/replank-check";

async fn nothing_was_written(stage: &Stage<'_>, machine: &Machine) -> Result<(), Stop> {
    let params = HostReadParams { machine: machine.id.clone(), path: PATH.into() };
    let ask = async || stage.provider().host_read(params.clone()).await;
    let there = stage.answered("host_read", ask).await?;
    ensure(there.is_none(), || format!("a denied call wrote {PATH}: {there:?}"))
}

async fn an_older_one_can_not_write_to_a_host(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let params = HostWriteParams {
        mutation: older(stage.mutation("write")),
        machine: machine.id.clone(),
        path: PATH.into(),
        file: Some(HostFile { content: "aGVsbG8K".into(), mode: 0o600 }),
    };
    let ask = async || stage.provider().host_write(params.clone()).await;
    stage.refused("host_write under an older epoch", ErrorCode::Denied, ask).await?;
    nothing_was_written(stage, &machine).await
}

async fn an_older_one_can_not_run_on_a_host(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let params = HostRunParams {
        mutation: Some(older(stage.mutation("run"))),
        machine: machine.id.clone(),
        argv: vec!["touch".into(), PATH.into()],
        stdin: None,
    };
    let ask = async || stage.provider().host_run(params.clone()).await;
    stage.refused("host_run under an older epoch", ErrorCode::Denied, ask).await?;
    nothing_was_written(stage, &machine).await
}

async fn another_process_knows_it_too(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let another = stage.another().await?;
    let mut params = stage.create_params("two")?;
    params.mutation = older(params.mutation);
    let ask = async || another.provider().create(params.clone()).await;
    let what = "create under an older epoch, by the process of an old run";
    let refused = stage.refused(what, ErrorCode::Denied, ask).await;
    another.close().await;
    refused?;
    stage.only_machine(&machine.id).await
}

async fn it_is_denied_before_anything_else(stage: &Stage<'_>) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let machine = stage.create(&params).await?;
    let mut again = params.clone();
    again.mutation = older(again.mutation);
    let ask = async || stage.provider().create(again.clone()).await;
    stage.refused("create of what exists already under an older epoch", ErrorCode::Denied, ask).await?;
    again.spec.name = stage.name("other");
    let ask = async || stage.provider().create(again.clone()).await;
    stage.refused("create with other arguments under an older epoch", ErrorCode::Denied, ask).await?;
    let mut gone = stage.delete_params("gone", Deletable::Machine("rp-check-never-was".into()));
    gone.mutation = older(gone.mutation);
    let ask = async || stage.provider().delete(gone.clone()).await;
    stage.refused("delete of what never was under an older epoch", ErrorCode::Denied, ask).await?;
    stage.only_machine(&machine.id).await
}

async fn a_denied_operation_can_be_done_later(stage: &Stage<'_>) -> Result<(), Stop> {
    stage.machine("one").await?;
    let mut params = stage.create_params("two")?;
    params.mutation = older(params.mutation);
    let ask = async || stage.provider().create(params.clone()).await;
    stage.refused("create under an older epoch", ErrorCode::Denied, ask).await?;
    // The run got the lock back, with a higher epoch.
    params.mutation.epoch = Epoch(EPOCH + 1);
    stage.create(&params).await.map(drop)
}

async fn the_same_one_goes_on(stage: &Stage<'_>) -> Result<(), Stop> {
    stage.machine("one").await?;
    stage.machine("two").await.map(drop)
}

async fn one_cluster_does_not_fence_another(stage: &Stage<'_>) -> Result<(), Stop> {
    stage.machine("one").await?;
    let mut params = stage.create_params("two")?;
    params.mutation = older(params.mutation);
    params.mutation.cluster.clone_from(&stage.other_cluster);
    stage.create(&params).await.map(drop)
}
