//! calico-kube-controllers.

use std::time::Duration;

use serde_json::json;

use super::{datastore, finalizers, ipam_gc};
use crate::agents::support::{Attention, Fatal, unless_stopped};
use crate::machines::ProgramContext;
use crate::machines::api::ApiFailure;
use crate::machines::cni::calico::Datastore;

/// Between two full looks at all allocations.
const RECONCILE: Duration = Duration::from_secs(300);
/// How soon to look again at a node whose pods are still there.
const AGAIN: Duration = Duration::from_secs(30);
/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(200);

/// Writes its configuration, then follows nodes.
pub(super) async fn run(context: &ProgramContext) -> Result<(), Fatal> {
    let Some(datastore) = datastore::wait(context).await else { return Ok(()) };
    unless_stopped(context, serve(context, &datastore)).await;
    Ok(())
}

async fn serve(context: &ProgramContext, datastore: &Datastore) {
    let enabled = context.env.get("ENABLED_CONTROLLERS").map_or("node", String::as_str);
    let follows_nodes = enabled.split(',').any(|name| name.trim() == "node");
    while let Err(failure) = configure(datastore).await {
        tracing::debug!("calico-kube-controllers: {failure}");
        tokio::time::sleep(context.durations.program_retry).await;
    }
    tokio::time::sleep(context.durations.probe).await;
    context.set_ready(true);
    if !follows_nodes {
        std::future::pending::<()>().await;
    }
    let retry = context.durations.program_retry;
    let (pools, tiers) = (format!("{}/ippools", datastore.group), format!("{}/tiers", datastore.group));
    let mut attention = Attention::to_goings(&datastore.api, &["/api/v1/nodes"], retry).and(Attention::to(
        &datastore.api,
        &[&pools, &tiers],
        retry,
    ));
    let mut wait = RECONCILE;
    loop {
        // A change, or the time for a full look: the same is done.
        let _ = tokio::time::timeout(wait, attention.next(SETTLE)).await;
        wait = match look(datastore).await {
            Ok(true) => RECONCILE,
            Ok(false) => AGAIN,
            Err(failure) => {
                tracing::debug!("calico-kube-controllers: {failure}");
                retry
            }
        };
    }
}

/// Looks at everything; `false` if something has to be looked at again soon.
async fn look(datastore: &Datastore) -> Result<bool, ApiFailure> {
    let (nodes, _) = datastore.api.list_metadata("/api/v1/nodes").await?;
    finalizers::guard(datastore).await?;
    let collected = ipam_gc::collect(datastore, &ipam_gc::names(&nodes)).await?;
    Ok(finalizers::release(datastore).await? && collected)
}

/// Makes the controllers' own configuration.
async fn configure(datastore: &Datastore) -> Result<(), ApiFailure> {
    let spec = json!({
        "controllers": {"node": {
            "hostEndpoint": {"autoCreate": "Disabled"},
            "leakGracePeriod": "15m0s",
            "reconcilerPeriod": "5m0s",
            "syncLabels": "Enabled",
        }},
        "etcdV3CompactionPeriod": "10m0s",
        "healthChecks": "Enabled",
        "logSeverityScreen": "Info",
        "prometheusMetricsPort": 9094,
    });
    let object = datastore::object(datastore, "KubeControllersConfiguration", "default", spec);
    datastore::ensure(datastore, "kubecontrollersconfigurations", &object).await
}
