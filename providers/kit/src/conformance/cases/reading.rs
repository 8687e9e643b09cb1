//! What changes nothing.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::verbs::{FindParams, GetParams, MachineSpec};
use replank_provider_protocol::{ErrorCode, MachineId, NodeFacts, Role, RunId};

cases!("reading", []; get_of_an_unknown_machine_is_not_found, console_of_an_unknown_machine_is_refused,
    find_of_an_unknown_node_is_not_found, find_is_not_by_name_alone [Like], find_by_provider_id [Like],
    find_by_system_uuid [Like], list_of_an_unknown_cluster_is_empty, list_holds_only_what_replank_made [Like],
    validate_of_a_possible_machine [Like], validate_like_an_unknown_machine_is_not_found,
    get_is_the_same_from_another_process [Like]);

fn unknown() -> MachineId {
    MachineId::new("rp-check-never-was")
}

async fn get_of_an_unknown_machine_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    let ask = async || stage.provider().get(GetParams { machine: unknown() }).await;
    stage.refused("get of an unknown machine", ErrorCode::NotFound, ask).await.map(drop)
}

async fn console_of_an_unknown_machine_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    match stage.provider().console_log(GetParams { machine: unknown() }).await {
        Err(error) if matches!(error.code, ErrorCode::NotFound | ErrorCode::Invalid) => Ok(()),
        other => Err(Stop::failed(format!(
            "the console of an unknown machine is `not_found`, or `invalid` without consoles: {other:?}"
        ))),
    }
}

fn node(name: &str, provider_id: Option<String>, system_uuid: Option<String>) -> FindParams {
    FindParams { node: NodeFacts { name: name.into(), provider_id, system_uuid, addresses: Vec::new() } }
}

async fn find_of_an_unknown_node_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    for params in [
        node("rp-check-never-was", None, None),
        node("rp-check-never-was", Some("never:///was".into()), None),
        node("rp-check-never-was", None, Some("00000000-0000-4000-8000-000000000000".into())),
    ] {
        let ask = async || stage.provider().find(params.clone()).await;
        stage.refused("find of an unknown Node", ErrorCode::NotFound, ask).await?;
    }
    Ok(())
}

async fn find_is_not_by_name_alone(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.get(&stage.like()?).await?;
    let params = node(&machine.name, Some("another-cloud:///another-machine".into()), None);
    let ask = async || stage.provider().find(params.clone()).await;
    let what = "find of a Node with the name of a machine and the provider id of another";
    stage.refused(what, ErrorCode::NotFound, ask).await.map(drop)
}

async fn find(stage: &Stage<'_>, params: FindParams, wanted: &MachineId) -> Result<(), Stop> {
    let found = stage.answered("find", async || stage.provider().find(params.clone()).await).await?;
    ensure(found.machine.id == *wanted, || format!("it found {}, and not {wanted}", found.machine.id))
}

async fn find_by_provider_id(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.get(&stage.like()?).await?;
    match machine.provider_id {
        Some(id) => find(stage, node("another-name", Some(id), None), &machine.id).await,
        None => Err(Stop::Skipped("the machine carries no provider id".into())),
    }
}

async fn find_by_system_uuid(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.get(&stage.like()?).await?;
    match machine.system_uuid {
        Some(uuid) => find(stage, node("another-name", None, Some(uuid)), &machine.id).await,
        None => Err(Stop::Skipped("the machine's system uuid is not known".into())),
    }
}

async fn list_of_an_unknown_cluster_is_empty(stage: &Stage<'_>) -> Result<(), Stop> {
    for run in [None, Some(RunId::new("rp-check-never-was"))] {
        let listing = stage.list(&stage.cluster, run.as_ref()).await?;
        ensure(listing.machines.is_empty() && listing.snapshots.is_empty(), || {
            format!("nothing was made for cluster {}, and it lists {listing:?}", stage.cluster)
        })?;
    }
    Ok(())
}

async fn list_holds_only_what_replank_made(stage: &Stage<'_>) -> Result<(), Stop> {
    let like = stage.like()?;
    let listing = stage.list(&stage.cluster, None).await?;
    ensure(listing.machines.iter().all(|m| m.id != like), || {
        format!("machine {like} was not made for cluster {}, and is in its list", stage.cluster)
    })
}

async fn validate(
    stage: &Stage<'_>,
    like: MachineId,
) -> Result<(), replank_provider_protocol::ProviderError> {
    let name = stage.name("valid");
    stage
        .provider()
        .validate(MachineSpec { name, role: Role::Worker, like, labels: [("a".into(), "b".into())].into() })
        .await
}

async fn validate_of_a_possible_machine(stage: &Stage<'_>) -> Result<(), Stop> {
    let like = stage.like()?;
    stage.answered("validate", async || validate(stage, like.clone()).await).await
}

async fn validate_like_an_unknown_machine_is_not_found(stage: &Stage<'_>) -> Result<(), Stop> {
    let ask = async || validate(stage, unknown()).await;
    stage.refused("validate like an unknown machine", ErrorCode::NotFound, ask).await.map(drop)
}

async fn get_is_the_same_from_another_process(stage: &Stage<'_>) -> Result<(), Stop> {
    let like = stage.like()?;
    let first = stage.get(&like).await?;
    let another = stage.another().await?;
    let ask = async || another.provider().get(GetParams { machine: like.clone() }).await;
    let second = stage.answered("get", ask).await?;
    another.close().await;
    ensure(
        first.id == second.id && first.name == second.name && first.provider_id == second.provider_id,
        || format!("one process says {first:?}, another {second:?}"),
    )
}
