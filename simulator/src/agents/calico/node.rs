//! calico-node's life.

use std::time::Duration;

use super::{datastore, startup, token};
use crate::agents::support::{Doing, Fatal, unless_stopped};
use crate::machines::ProgramContext;
use crate::machines::cni::calico::Datastore;
use crate::machines::{HostHandle, Interface};

/// How long the hook that runs before the container stops may wait for the API.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// Between two tries to renew the CNI plugin's token.
const TOKEN_RETRY: Duration = Duration::from_secs(5);

/// Starts up, serves, and shuts down as its pod's hook says.
pub(super) async fn run(context: &ProgramContext) -> Result<(), Fatal> {
    let Some(datastore) = datastore::wait(context).await else { return Ok(()) };
    let node = match context.env.get("NODENAME").filter(|name| !name.is_empty()) {
        Some(name) => name.clone(),
        None => context.node.clone(),
    };
    let Some(started) = unless_stopped(context, start(context, &datastore, &node)).await else {
        return Ok(());
    };
    started?;
    context.set_ready(true);
    unless_stopped(context, keep_token(context, &datastore)).await;
    if hooked(context) && startup::is_network(context) {
        // The hook does not outlive its own timeout, and nobody hears of its failure.
        let _ = tokio::time::timeout(SHUTDOWN, startup::set_network(context, &datastore, &node, false)).await;
    }
    Ok(())
}

async fn start(context: &ProgramContext, datastore: &Datastore, node: &str) -> Result<(), Fatal> {
    tokio::time::sleep(context.durations.probe).await;
    startup::defaults(context, datastore).await.doing("failed to write Calico's defaults")?;
    startup::announce(context, datastore, node).await.doing("unable to set node resource configuration")?;
    // The CNI plugin looks for the node's name there.
    let written = context.files.write("/var/lib/calico/nodename", node, 0o644);
    written.map_err(|error| Fatal::Because(format!("unable to write nodename: {error}")))?;
    if startup::is_network(context) {
        startup::set_network(context, datastore, node, true)
            .await
            .doing("unable to set NetworkUnavailable to False")?;
        make_device(context, &context.host);
    }
    // Felix is in sync a moment later.
    tokio::time::sleep(context.durations.probe).await;
    Ok(())
}

fn make_device(context: &ProgramContext, host: &HostHandle) {
    let (name, kind) = match context.env.get("CALICO_NETWORKING_BACKEND").map(String::as_str) {
        Some("vxlan") => ("vxlan.calico", "vxlan"),
        _ => ("tunl0", "ipip"),
    };
    host.set_interface(name, Interface { kind: kind.to_owned(), up: true, ..Interface::default() });
}

/// Whether the container has the hook that tells of its end.
fn hooked(context: &ProgramContext) -> bool {
    let containers = context.pod["spec"]["containers"].as_array().into_iter().flatten();
    let mut own = containers.filter(|container| container["name"] == context.container);
    own.any(|container| {
        let command = container["lifecycle"]["preStop"]["exec"]["command"].as_array().into_iter().flatten();
        command.into_iter().any(|word| word == "-shutdown")
    })
}

/// Renews the CNI plugin's token in time, for ever. Only who mounts the directory can.
async fn keep_token(context: &ProgramContext, datastore: &Datastore) {
    loop {
        match token::request(context, &datastore.api).await {
            Ok(token) => {
                let kubeconfig = token::kubeconfig(context, &token);
                if let Err(error) = context.files.write(token::KUBECONFIG, kubeconfig, 0o600) {
                    tracing::warn!(node = %context.node, "failed to write the CNI kubeconfig: {error}");
                }
                tokio::time::sleep(token::renewal()).await;
            }
            Err(failure) => {
                tracing::debug!(node = %context.node, "failed to update the CNI token: {failure}");
                tokio::time::sleep(TOKEN_RETRY).await;
            }
        }
    }
}
