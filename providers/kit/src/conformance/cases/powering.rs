//! `stop` and `start`.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::verbs::MachineParams;
use replank_provider_protocol::{ErrorCode, Machine, MachineState};

cases!("power", [Destructive, Like, Fresh]; stop_ends_stopped [Keeping], stop_keeps_the_machine_as_it_was [Keeping],
    stop_of_a_stopped_machine_is_done [Keeping], stop_twice_at_once_is_done [Keeping],
    stop_again_after_a_start_has_no_effect [Keeping], stop_again_of_another_machine_is_refused [Keeping],
    stop_of_an_unknown_machine_is_not_found [Keeping], start_ends_running [Keeping],
    start_of_a_running_machine_is_done [Keeping], start_again_after_a_stop_has_no_effect [Keeping],
    start_again_of_another_machine_is_refused [Keeping], start_of_an_unknown_machine_is_not_found [Keeping],
    stop_is_invalid_where_nothing_is_kept [NoKeeping]);

async fn stop(stage: &Stage<'_>, params: &MachineParams) -> Result<Machine, Stop> {
    let machine = stage.settle("stop", async || stage.provider().stop(params.clone()).await).await?;
    is_on(&machine, &params.machine)?;
    Ok(machine)
}

async fn start(stage: &Stage<'_>, params: &MachineParams) -> Result<Machine, Stop> {
    let machine = stage.settle("start", async || stage.provider().start(params.clone()).await).await?;
    is_on(&machine, &params.machine)?;
    Ok(machine)
}

fn is_on(machine: &Machine, asked: &replank_provider_protocol::MachineId) -> Result<(), Stop> {
    ensure(machine.id == *asked, || format!("machine {asked} was asked for, and {} answered", machine.id))
}

async fn is(stage: &Stage<'_>, machine: &Machine, state: MachineState) -> Result<Machine, Stop> {
    let now = stage.get(&machine.id).await?;
    ensure(now.state == state, || {
        format!("machine {} must be {state:?} and is {:?}", machine.id, now.state)
    })?;
    Ok(now)
}

async fn stop_ends_stopped(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let stopped = stop(stage, &stage.on("stop", &machine.id)).await?;
    ensure(stopped.state == MachineState::Stopped, || {
        format!("stop was done with the machine {:?}", stopped.state)
    })?;
    is(stage, &machine, MachineState::Stopped).await.map(drop)
}

async fn stop_keeps_the_machine_as_it_was(stage: &Stage<'_>) -> Result<(), Stop> {
    let before = stage.running("one").await?;
    stop(stage, &stage.on("stop", &before.id)).await?;
    start(stage, &stage.on("start", &before.id)).await?;
    let after = stage.get(&before.id).await?;
    let kept = |m: &Machine| {
        (m.name.clone(), m.provider_id.clone(), m.system_uuid.clone(), m.run.clone(), m.labels.clone())
    };
    ensure(kept(&before) == kept(&after), || {
        format!("stopped and started again, {before:?} has become {after:?}")
    })
}

async fn stop_of_a_stopped_machine_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let answer =
        stage.answered("stop", async || stage.provider().stop(stage.on("stop-again", &machine.id)).await);
    let answer = answer.await?;
    let done = matches!(answer, replank_provider_protocol::verbs::Progress::Done { .. });
    ensure(done, || format!("stop of a stopped machine must be done at once: {answer:?}"))
}

async fn stop_twice_at_once_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let params = stage.on("stop", &machine.id);
    let (first, second) = futures::join!(stop(stage, &params), stop(stage, &params));
    first.and(second)?;
    is(stage, &machine, MachineState::Stopped).await.map(drop)
}

async fn stop_again_after_a_start_has_no_effect(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let params = stage.on("stop", &machine.id);
    stop(stage, &params).await?;
    start(stage, &stage.on("start", &machine.id)).await?;
    stop(stage, &params).await?;
    is(stage, &machine, MachineState::Running).await.map(drop)
}

async fn stop_again_of_another_machine_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = (stage.running("one").await?, stage.running("two").await?);
    stop(stage, &stage.on("stop", &first.id)).await?;
    let ask = async || stage.provider().stop(stage.on("stop", &second.id)).await;
    let what = "stop of another machine under the same operation id";
    stage.refused(what, ErrorCode::AlreadyExists, ask).await?;
    is(stage, &second, MachineState::Running).await.map(drop)
}

async fn stop_of_an_unknown_machine_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    let ask = async || stage.provider().stop(stage.on("stop", &"rp-check-never-was".into())).await;
    stage.refused("stop of an unknown machine", ErrorCode::NotFound, ask).await.map(drop)
}

async fn start_ends_running(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let started = start(stage, &stage.on("start", &machine.id)).await?;
    ensure(started.state == MachineState::Running, || {
        format!("start was done with the machine {:?}", started.state)
    })?;
    is(stage, &machine, MachineState::Running).await.map(drop)
}

async fn start_of_a_running_machine_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    let answer =
        stage.answered("start", async || stage.provider().start(stage.on("start", &machine.id)).await);
    let answer = answer.await?;
    let done = matches!(answer, replank_provider_protocol::verbs::Progress::Done { .. });
    ensure(done, || format!("start of a running machine must be done at once: {answer:?}"))
}

async fn start_again_after_a_stop_has_no_effect(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    let params = stage.on("start", &machine.id);
    start(stage, &params).await?;
    stop(stage, &stage.on("stop", &machine.id)).await?;
    start(stage, &params).await?;
    is(stage, &machine, MachineState::Stopped).await.map(drop)
}

async fn start_again_of_another_machine_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = (stage.stopped("one").await?, stage.stopped("two").await?);
    start(stage, &stage.on("start", &first.id)).await?;
    let ask = async || stage.provider().start(stage.on("start", &second.id)).await;
    let what = "start of another machine under the same operation id";
    stage.refused(what, ErrorCode::AlreadyExists, ask).await?;
    is(stage, &second, MachineState::Stopped).await.map(drop)
}

async fn start_of_an_unknown_machine_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    let ask = async || stage.provider().start(stage.on("start", &"rp-check-never-was".into())).await;
    stage.refused("start of an unknown machine", ErrorCode::NotFound, ask).await.map(drop)
}

async fn stop_is_invalid_where_nothing_is_kept(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let ask = async || stage.provider().stop(stage.on("stop", &machine.id)).await;
    stage.refused("stop with capability keeping `lost`", ErrorCode::Invalid, ask).await.map(drop)
}
