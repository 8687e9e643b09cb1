//! `delete` of machines.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::ErrorCode;
use replank_provider_protocol::verbs::{Deletable, Progress};

cases!("delete", [Destructive, Like, Fresh]; takes_a_machine_away, takes_a_stopped_machine_away [Keeping],
    again_is_done, under_another_operation_is_done, twice_at_once_is_done, of_what_never_was_is_done,
    again_of_another_machine_is_refused, of_one_machine_leaves_the_others);

async fn takes_a_machine_away(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.running("one").await?;
    stage.delete("delete", Deletable::Machine(machine.id.clone())).await?;
    stage.is_gone(&machine.id).await
}

async fn takes_a_stopped_machine_away(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    stage.delete("delete", Deletable::Machine(machine.id.clone())).await?;
    stage.is_gone(&machine.id).await
}

async fn again_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    for _ in 0..2 {
        stage.delete("delete", Deletable::Machine(machine.id.clone())).await?;
    }
    stage.is_gone(&machine.id).await
}

async fn under_another_operation_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    stage.delete("delete", Deletable::Machine(machine.id.clone())).await?;
    let params = stage.delete_params("delete-too", Deletable::Machine(machine.id.clone()));
    let answer = stage.answered("delete", async || stage.provider().delete(params.clone()).await).await?;
    ensure(matches!(answer, Progress::Done { .. }), || {
        format!("delete of what is gone must be done at once: {answer:?}")
    })
}

async fn twice_at_once_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let target = || Deletable::Machine(machine.id.clone());
    let (first, second) =
        futures::join!(stage.delete("delete", target()), stage.delete("delete-too", target()));
    first.and(second)?;
    stage.is_gone(&machine.id).await
}

async fn of_what_never_was_is_done(stage: &Stage<'_>) -> Result<(), Stop> {
    stage.delete("delete", Deletable::Machine("rp-check-never-was".into())).await
}

async fn again_of_another_machine_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = (stage.machine("one").await?, stage.machine("two").await?);
    stage.delete("delete", Deletable::Machine(first.id)).await?;
    let params = stage.delete_params("delete", Deletable::Machine(second.id.clone()));
    let ask = async || stage.provider().delete(params.clone()).await;
    let what = "delete of another machine under the same operation id";
    stage.refused(what, ErrorCode::AlreadyExists, ask).await?;
    stage.only_machine(&second.id).await
}

async fn of_one_machine_leaves_the_others(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = (stage.running("one").await?, stage.running("two").await?);
    stage.delete("delete", Deletable::Machine(first.id)).await?;
    let now = stage.get(&second.id).await?;
    ensure(now.state == second.state, || {
        format!("another machine was deleted, and {} became {:?}", second.id, now.state)
    })
}
