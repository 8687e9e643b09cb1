//! calico-kube-controllers.

use std::time::Duration;

use serde_json::json;

use super::{datastore, ipam_gc};
use crate::agents::support::{Attention, Fatal, unless_stopped};
use crate::machines::ProgramContext;
use crate::machines::cni::calico::Datastore;

/// Between two full looks at all allocations.
const RECONCILE: Duration = Duration::from_secs(300);
/// How soon to look again at a node whose pods are still there.
const AGAIN: Duration = Duration::from_secs(30);

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
    let mut attention =
        Attention::to(&datastore.api, &[("/api/v1/nodes", "")], context.durations.program_retry);
    let mut known = None;
    let mut again = RECONCILE;
    loop {
        let timed_out =
            tokio::time::timeout(again, attention.next(Duration::from_millis(200))).await.is_err();
        let Ok((nodes, _)) = datastore.api.list("/api/v1/nodes").await else {
            again = context.durations.program_retry;
            continue;
        };
        let names = ipam_gc::names(&nodes);
        // Heartbeats change no names, and only a node that went leaves anything behind.
        if !timed_out && known.as_ref() == Some(&names) {
            continue;
        }
        again = match ipam_gc::collect(datastore, &names).await {
            Ok(true) => RECONCILE,
            Ok(false) => AGAIN,
            Err(failure) => {
                tracing::debug!("calico-kube-controllers: {failure}");
                context.durations.program_retry
            }
        };
        known = Some(names);
    }
}

/// Makes the controllers' own configuration.
async fn configure(datastore: &Datastore) -> Result<(), crate::machines::api::ApiFailure> {
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
