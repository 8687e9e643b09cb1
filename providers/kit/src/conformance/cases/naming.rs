//! Names as long as they may be.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::{ErrorCode, OperationId};

cases!("naming", [Destructive, Like, Fresh]; a_name_of_63_characters_is_kept_whole,
    a_name_of_253_characters_is_kept_whole_or_refused, names_that_differ_at_their_end_are_two_machines,
    operation_ids_that_differ_at_their_end_are_two, an_operation_id_may_hold_any_characters,
    labels_with_prefixes_and_empty_values_are_kept);

/// The longest host name.
const LABEL: usize = 63;

/// The longest name of a Node.
const SUBDOMAIN: usize = 253;

fn long(stage: &Stage<'_>, length: usize, end: &str) -> String {
    let begin = stage.name("");
    let fill = length - begin.len() - end.len();
    format!("{begin}{}{end}", "x".repeat(fill))
}

async fn named(stage: &Stage<'_>, what: &str, name: String) -> Result<(), Stop> {
    let mut params = stage.create_params(what)?;
    params.spec.name = name;
    let machine = stage.create(&params).await?;
    let shown = [machine.name.clone(), stage.get(&machine.id).await?.name];
    let cut = shown.iter().find(|shown| **shown != params.spec.name);
    ensure(cut.is_none(), || format!("a name of {} characters became {cut:?}", params.spec.name.len()))
}

async fn a_name_of_63_characters_is_kept_whole(stage: &Stage<'_>) -> Result<(), Stop> {
    named(stage, "one", long(stage, LABEL, "z")).await
}

async fn a_name_of_253_characters_is_kept_whole_or_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let parts: Vec<String> = ["a", "b", "c"].iter().map(|p| p.repeat(LABEL)).collect();
    let rest = SUBDOMAIN - parts.iter().map(|p| p.len() + 1).sum::<usize>();
    let name = format!("{}.{}", long(stage, rest, "y"), parts.join("."));
    let mut params = stage.create_params("one")?;
    params.spec.name.clone_from(&name);
    match stage.provider().create(params).await {
        Err(error) if error.code == ErrorCode::Invalid => Ok(()),
        _ => named(stage, "one", name).await,
    }
}

async fn names_that_differ_at_their_end_are_two_machines(stage: &Stage<'_>) -> Result<(), Stop> {
    named(stage, "one", long(stage, LABEL, "1")).await?;
    named(stage, "two", long(stage, LABEL, "2")).await?;
    two(stage).await
}

async fn two(stage: &Stage<'_>) -> Result<(), Stop> {
    let listed = stage.listed().await?.machines;
    ensure(listed.len() == 2, || format!("there must be two machines, and there are {}", listed.len()))
}

async fn operation_ids_that_differ_at_their_end_are_two(stage: &Stage<'_>) -> Result<(), Stop> {
    for end in ["1", "2"] {
        let mut params = stage.create_params(end)?;
        let operation = format!("{}/{}/{end}", stage.run, "long".repeat(100));
        params.mutation.operation = OperationId::new(operation);
        stage.create(&params).await?;
        stage.create(&params).await?;
    }
    two(stage).await
}

async fn an_operation_id_may_hold_any_characters(stage: &Stage<'_>) -> Result<(), Stop> {
    for (what, odd) in [("a", "../../x y?&=%2F#\"'$(id)`*"), ("b", "../../x y?&=/#\"'$(id)`*")] {
        let mut params = stage.create_params(what)?;
        params.mutation.operation = OperationId::new(format!("{}/{odd}ä", stage.run));
        stage.create(&params).await?;
        stage.create(&params).await?;
    }
    two(stage).await
}

async fn labels_with_prefixes_and_empty_values_are_kept(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut params = stage.create_params("one")?;
    params.spec.labels.insert("node-role.kubernetes.io/ingress".into(), String::new());
    params.spec.labels.insert("topology.example.com/rack_no.7".into(), "R-7_b.2".into());
    let machine = stage.create(&params).await?;
    let shown = stage.get(&machine.id).await?.labels;
    let lost: Vec<_> = params.spec.labels.iter().filter(|(k, v)| shown.get(*k) != Some(v)).collect();
    ensure(lost.is_empty(), || format!("the labels {lost:?} are not in {shown:?}"))
}
