//! `create`, and create again.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::{EPOCH, Stage};
use futures::future::join_all;
use replank_provider_protocol::verbs::{CreateParams, Deletable, Progress};
use replank_provider_protocol::{Epoch, ErrorCode, Machine, MachineState, Role, RunId};
use std::collections::BTreeSet;

cases!("create", [Destructive, Like, Fresh]; makes_what_was_asked_for, what_it_made_comes_to_run,
    an_answer_is_the_machine_that_get_shows, twice_makes_one_machine, twice_from_two_processes_makes_one_machine,
    at_once_twice_makes_one_machine, at_once_from_two_processes_makes_one_machine, at_once_makes_every_machine,
    again_with_another_name_is_refused, again_with_other_labels_is_refused, again_with_another_role_is_refused,
    again_with_another_model_is_refused, again_for_another_run_is_refused, again_with_other_user_data_is_the_same,
    again_under_a_higher_epoch_is_the_same, again_after_delete_makes_nothing,
    like_an_unknown_machine_is_not_found, user_data_may_be_any_bytes, user_data_that_is_no_base64_is_refused);

async fn makes_what_was_asked_for(stage: &Stage<'_>) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let machine = stage.create(&params).await?;
    ensure(machine.name == params.spec.name, || {
        format!("it was to be named {} and is named {}", params.spec.name, machine.name)
    })?;
    ensure(machine.run.as_ref() == Some(&stage.run), || {
        format!("it belongs to run {} and says {:?}", stage.run, machine.run)
    })?;
    ensure(machine.state != MachineState::Failed, || format!("machine {} has failed", machine.id))?;
    let missing: Vec<_> =
        params.spec.labels.iter().filter(|(key, value)| machine.labels.get(*key) != Some(value)).collect();
    ensure(missing.is_empty(), || format!("it lacks the labels {missing:?}"))?;
    stage.only_machine(&machine.id).await
}

async fn what_it_made_comes_to_run(stage: &Stage<'_>) -> Result<(), Stop> {
    stage.running("one").await.map(drop)
}

async fn an_answer_is_the_machine_that_get_shows(stage: &Stage<'_>) -> Result<(), Stop> {
    let made = stage.machine("one").await?;
    same(&made, &stage.get(&made.id).await?)
}

fn same(first: &Machine, second: &Machine) -> Result<(), Stop> {
    let identity = |m: &Machine| (m.id.clone(), m.name.clone(), m.provider_id.clone(), m.system_uuid.clone());
    ensure(identity(first) == identity(second) && first.run == second.run, || {
        format!("the same machine is told once as {first:?}, once as {second:?}")
    })
}

async fn twice_makes_one_machine(stage: &Stage<'_>) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let (first, second) = (stage.create(&params).await?, stage.create(&params).await?);
    same(&first, &second)?;
    stage.only_machine(&first.id).await
}

async fn twice_from_two_processes_makes_one_machine(stage: &Stage<'_>) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let first = stage.create(&params).await?;
    let another = stage.another().await?;
    let ask = async || another.provider().create(params.clone()).await;
    let second = stage.settle("create from another process", ask).await?;
    another.close().await;
    same(&first, &second)?;
    stage.only_machine(&first.id).await
}

async fn at_once_twice_makes_one_machine(stage: &Stage<'_>) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let (first, second) = futures::join!(stage.create(&params), stage.create(&params));
    let first = first?;
    same(&first, &second?)?;
    stage.only_machine(&first.id).await
}

async fn at_once_from_two_processes_makes_one_machine(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = stage.created_at_once_elsewhere_too("one").await?;
    same(&first, &second)?;
    stage.only_machine(&first.id).await
}

async fn at_once_makes_every_machine(stage: &Stage<'_>) -> Result<(), Stop> {
    let wanted = ["a", "b", "c", "d"];
    let params = wanted.iter().map(|what| stage.create_params(what)).collect::<Result<Vec<_>, _>>()?;
    let made = join_all(params.iter().map(|p| stage.create(p))).await;
    let made = made.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (params, machine) in params.iter().zip(&made) {
        ensure(params.spec.name == machine.name, || {
            format!("the create of {} was answered with {}", params.spec.name, machine.name)
        })?;
    }
    let made: BTreeSet<_> = made.into_iter().map(|m| m.id).collect();
    let listed: BTreeSet<_> = stage.listed().await?.machines.into_iter().map(|m| m.id).collect();
    ensure(made.len() == wanted.len() && made == listed, || {
        format!("four creates at once gave {made:?}, and the list is {listed:?}")
    })
}

/// The same operation id with other arguments: refused, and without effect.
async fn again_differently(
    stage: &Stage<'_>,
    what: &str,
    change: impl Fn(&mut CreateParams),
) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let machine = stage.create(&params).await?;
    let mut other = params.clone();
    change(&mut other);
    let ask = async || stage.provider().create(other.clone()).await;
    let what = format!("create under the same operation id with {what}");
    stage.refused(&what, ErrorCode::AlreadyExists, ask).await?;
    let machines = stage.list(&stage.cluster, None).await?.machines;
    ensure(machines.len() == 1 && machines[0].id == machine.id, || {
        format!("{what} was refused and had an effect: {machines:?}")
    })?;
    same(&machine, &stage.create(&params).await?)
}

async fn again_with_another_name_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let name = stage.name("another");
    again_differently(stage, "another name", |p| p.spec.name.clone_from(&name)).await
}

async fn again_with_other_labels_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    again_differently(stage, "other labels", |p| {
        p.spec.labels.insert("replank.dev/more".into(), "yes".into());
    })
    .await
}

async fn again_with_another_role_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    again_differently(stage, "another role", |p| p.spec.role = Role::ControlPlane).await
}

async fn again_with_another_model_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let model = stage.machine("model").await?;
    let params = stage.create_params("one")?;
    let machine = stage.create(&params).await?;
    let mut other = params.clone();
    other.spec.like = model.id;
    let ask = async || stage.provider().create(other.clone()).await;
    let what = "create under the same operation id like another machine";
    stage.refused(what, ErrorCode::AlreadyExists, ask).await?;
    same(&machine, &stage.create(&params).await?)
}

async fn again_for_another_run_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let run = RunId::new(format!("{}-b", stage.run));
    again_differently(stage, "another run", |p| p.mutation.run = run.clone()).await
}

async fn again_with_other_user_data_is_the_same(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut params = stage.create_params("one")?;
    let first = stage.create(&params).await?;
    // A join token that is made anew when the run is taken up again.
    params.user_data = "I2Nsb3VkLWNvbmZpZwp7fQo=".into();
    let second = stage.create(&params).await?;
    same(&first, &second)?;
    stage.only_machine(&first.id).await
}

async fn again_under_a_higher_epoch_is_the_same(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut params = stage.create_params("one")?;
    let first = stage.create(&params).await?;
    params.mutation.epoch = Epoch(EPOCH + 1);
    let second = stage.create(&params).await?;
    same(&first, &second)?;
    stage.only_machine(&first.id).await
}

async fn again_after_delete_makes_nothing(stage: &Stage<'_>) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let machine = stage.create(&params).await?;
    stage.delete("delete", Deletable::Machine(machine.id.clone())).await?;
    // What it answers about a machine that is gone is its own affair; a second one is not.
    let answer = stage.provider().create(params).await;
    let listed = stage.listed().await?.machines;
    ensure(listed.is_empty(), || {
        format!(
            "machine {} was deleted; its create, asked again, answered {answer:?} and made {listed:?}",
            machine.id
        )
    })
}

async fn like_an_unknown_machine_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut params = stage.create_params("one")?;
    params.spec.like = "rp-check-never-was".into();
    let ask = async || stage.provider().create(params.clone()).await;
    stage.refused("create like an unknown machine", ErrorCode::NotFound, ask).await?;
    let listed = stage.listed().await?.machines;
    ensure(listed.is_empty(), || format!("a refused create made {listed:?}"))
}

async fn user_data_may_be_any_bytes(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut params = stage.create_params("one")?;
    // The beginning of a gzip stream and every kind of byte: 12 KiB, as large clouds allow.
    params.user_data = format!("H4sI{}", "AAECA/z9/v+A".repeat(1024));
    stage.create(&params).await.map(drop)
}

async fn user_data_that_is_no_base64_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut params = stage.create_params("one")?;
    params.user_data = "%%% no base64 %%%".into();
    let ask = async || -> Result<Progress<Machine>, _> { stage.provider().create(params.clone()).await };
    stage.refused("create with user-data that is no base64", ErrorCode::Invalid, ask).await?;
    let listed = stage.listed().await?.machines;
    ensure(listed.is_empty(), || format!("a refused create made {listed:?}"))
}
