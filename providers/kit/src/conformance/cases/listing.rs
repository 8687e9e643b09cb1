//! `list`: the way to what an earlier run has left.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::verbs::{Deletable, ListParams};
use replank_provider_protocol::{Machine, RunId};
use std::collections::BTreeSet;

cases!("list", [Destructive, Like, Fresh]; a_new_machine_is_in_it_at_once, a_long_list_is_whole_and_in_order,
    tells_runs_apart, tells_clusters_apart, is_the_same_from_another_process,
    holds_stopped_machines_too [Keeping], a_deleted_machine_is_out_of_it);

fn ids(machines: &[Machine]) -> Vec<String> {
    machines.iter().map(|m| m.id.to_string()).collect()
}

async fn a_new_machine_is_in_it_at_once(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.machine("one").await?;
    stage.only_machine(&machine.id).await?;
    let all = stage.list(&stage.cluster, None).await?.machines;
    ensure(all.len() == 1 && all[0].id == machine.id, || {
        format!("the list of the whole cluster must be {} and is {:?}", machine.id, ids(&all))
    })?;
    ensure(all[0].run.as_ref() == Some(&stage.run), || {
        format!("in the list its run is {:?}, and not {}", all[0].run, stage.run)
    })
}

async fn a_long_list_is_whole_and_in_order(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut made = BTreeSet::new();
    for number in 0..stage.options.many {
        made.insert(stage.machine(&format!("{number:04}")).await?.id.to_string());
    }
    let listed = ids(&stage.listed().await?.machines);
    let whole: BTreeSet<_> = listed.iter().cloned().collect();
    ensure(whole == made && listed.len() == made.len(), || {
        format!("{} machines were made, and the list holds {}: {listed:?}", made.len(), listed.len())
    })?;
    ensure(listed.is_sorted(), || format!("the list is not in order of id: {listed:?}"))
}

async fn tells_runs_apart(stage: &Stage<'_>) -> Result<(), Stop> {
    let first = stage.machine("one").await?;
    let mut params = stage.create_params("two")?;
    let other = RunId::new(format!("{}-b", stage.run));
    params.mutation.run = other.clone();
    let second = stage.create(&params).await?;
    stage.only_machine(&first.id).await?;
    let of_other = ids(&stage.list(&stage.cluster, Some(&other)).await?.machines);
    ensure(of_other == [second.id.to_string()], || {
        format!("the other run made {}: {of_other:?}", second.id)
    })?;
    let all = stage.list(&stage.cluster, None).await?.machines.len();
    ensure(all == 2, || format!("both runs of the cluster made two machines, and its list holds {all}"))
}

async fn tells_clusters_apart(stage: &Stage<'_>) -> Result<(), Stop> {
    let first = stage.machine("one").await?;
    let mut params = stage.create_params("two")?;
    params.mutation.cluster.clone_from(&stage.other_cluster);
    let second = stage.create(&params).await?;
    for (cluster, machine) in [(&stage.cluster, first), (&stage.other_cluster, second)] {
        let listed = ids(&stage.list(cluster, None).await?.machines);
        ensure(listed == [machine.id.to_string()], || {
            format!("cluster {cluster} has machine {}, and its list is {listed:?}", machine.id)
        })?;
    }
    Ok(())
}

async fn is_the_same_from_another_process(stage: &Stage<'_>) -> Result<(), Stop> {
    stage.machine("one").await?;
    stage.machine("two").await?;
    let another = stage.another().await?;
    let params = ListParams { cluster: stage.cluster.clone(), run: Some(stage.run.clone()) };
    let ask = async || another.provider().list(params.clone()).await;
    let elsewhere = ids(&stage.answered("list", ask).await?.machines);
    another.close().await;
    let here = ids(&stage.listed().await?.machines);
    ensure(here == elsewhere && here.len() == 2, || format!("one lists {here:?}, another {elsewhere:?}"))
}

async fn holds_stopped_machines_too(stage: &Stage<'_>) -> Result<(), Stop> {
    let machine = stage.stopped("one").await?;
    stage.only_machine(&machine.id).await
}

async fn a_deleted_machine_is_out_of_it(stage: &Stage<'_>) -> Result<(), Stop> {
    let (first, second) = (stage.machine("one").await?, stage.machine("two").await?);
    stage.delete("delete", Deletable::Machine(first.id)).await?;
    stage.only_machine(&second.id).await
}
