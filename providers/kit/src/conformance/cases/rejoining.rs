//! `create` where the replacement is the same machine, joined again: capability replacement `in_place`.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::verbs::{CreateParams, Deletable, FindParams, GetParams};
use replank_provider_protocol::{ErrorCode, Machine, MachineId, NodeFacts};

cases!("in_place", [InPlace, Destructive, Named]; the_machine_itself_is_joined_again, twice_joins_it_once,
    at_once_from_two_processes_joins_it_once, it_is_found_as_what_it_is_now, no_other_operation_takes_it_away,
    once_deleted_it_can_be_joined_again);

/// The same hardware, whatever it is by now.
fn hardware(machine: &Machine) -> (Option<&str>, Vec<String>) {
    (machine.system_uuid.as_deref(), machine.addresses.iter().map(ToString::to_string).collect())
}

/// The machine as it is before it is joined again. After an earlier case that may have another id, or none: a host
/// that is reset answers to its old one, a machine that was deleted does not.
async fn model(stage: &Stage<'_>, id: &MachineId) -> Result<Option<Machine>, Stop> {
    match stage.provider().get(GetParams { machine: id.clone() }).await {
        Ok(machine) => Ok(Some(machine)),
        Err(error) if error.code == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(Stop::refused("get of the machine to be joined again", &error)),
    }
}

async fn the_machine_itself_is_joined_again(stage: &Stage<'_>) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let before = model(stage, &params.spec.like).await?;
    let before = before.ok_or_else(|| Stop::failed(format!("there is no machine {}", params.spec.like)))?;
    let machine = stage.create(&params).await?;
    ensure(hardware(&machine) == hardware(&before), || {
        format!("{before:?} itself was to be joined again, and {machine:?} is another one")
    })?;
    ensure(machine.id != before.id, || format!("it is another machine now, under the old id {}", before.id))?;
    ensure(machine.name == params.spec.name && machine.run.as_ref() == Some(&stage.run), || {
        format!("it was to be {} of run {} and is {machine:?}", params.spec.name, stage.run)
    })?;
    stage.is_gone(&before.id).await?;
    stage.only_machine(&machine.id).await
}

async fn twice_joins_it_once(stage: &Stage<'_>) -> Result<(), Stop> {
    let params = stage.create_params("one")?;
    let (first, second) = (stage.create(&params).await?, stage.create(&params).await?);
    same(&first, &second)?;
    stage.only_machine(&first.id).await
}

fn same(first: &Machine, second: &Machine) -> Result<(), Stop> {
    ensure(first.id == second.id && hardware(first) == hardware(second), || {
        format!("the same create gave {first:?}, and then {second:?}")
    })
}

async fn at_once_from_two_processes_joins_it_once(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = stage.created_at_once_elsewhere_too("one").await?;
    same(&first, &second)?;
    stage.only_machine(&first.id).await
}

async fn it_is_found_as_what_it_is_now(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let missing = || Stop::Skipped("the machine's system uuid is not known".into());
    let system_uuid = Some(machine.system_uuid.clone().ok_or_else(missing)?);
    let node =
        NodeFacts { name: machine.name.clone(), provider_id: None, system_uuid, addresses: Vec::new() };
    let params = FindParams { node };
    let found = stage.answered("find", async || stage.provider().find(params.clone()).await).await?;
    ensure(found.machine.id == machine.id, || {
        format!("it is {}, and found as {}", machine.id, found.machine.id)
    })
}

async fn no_other_operation_takes_it_away(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    let mut other = stage.create_params("two")?;
    other.spec.name.clone_from(&machine.name);
    // That it is another's, or that there is no such machine any more: both are true.
    match stage.provider().create(other).await {
        Err(error) if matches!(error.code, ErrorCode::AlreadyExists | ErrorCode::NotFound) => {}
        answer => {
            return Err(Stop::failed(format!(
                "{} was joined again by one operation; another one that asks for it must be refused: {answer:?}",
                machine.id
            )));
        }
    }
    stage.only_machine(&machine.id).await
}

async fn once_deleted_it_can_be_joined_again(stage: &Stage<'_>) -> Result<(), Stop> {
    let first = stage.machine("one").await?;
    stage.delete("give-up", Deletable::Machine(first.id.clone())).await?;
    stage.is_gone(&first.id).await?;
    let params: CreateParams = stage.create_params("two")?;
    let second = stage.create(&params).await?;
    ensure(second.id != first.id, || format!("{} was deleted, and is told of again", first.id))?;
    stage.only_machine(&second.id).await
}
