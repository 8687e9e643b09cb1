//! kube-proxy and CoreDNS.

use futures::FutureExt;
use serde_json::Value;

use super::images::starts;
use super::support::{Agent, Fatal, exit, patiently, unless_stopped};
use crate::machines::api::{Api, text};
use crate::machines::{HostHandle, ProgramContext, Programs};

/// The fact that a running kube-proxy publishes on its host: the cluster CIDR that it runs with.
pub const PROXY_CIDR: &str = "kube-proxy/cluster-cidr";

pub(super) fn programs() -> Programs {
    Programs::new()
        .with(Agent {
            name: "kube-proxy",
            matches: |container| {
                !container.init && (starts(container, "kube-proxy") || container.image_name() == "kube-proxy")
            },
            run: |context| {
                async move {
                    let outcome = proxy(&context).await;
                    exit(&context, "kube-proxy", outcome)
                }
                .boxed()
            },
        })
        .with(Agent {
            name: "coredns",
            matches: |container| !container.init && container.image_name() == "coredns",
            run: |context| {
                async move {
                    let outcome = dns(&context).await;
                    exit(&context, "coredns", outcome)
                }
                .boxed()
            },
        })
}

/// Takes a published fact back when the process ends, also by being killed.
struct Published(HostHandle, &'static str);

impl Drop for Published {
    fn drop(&mut self) {
        self.0.withdraw(self.1);
    }
}

/// Reads its configuration once, as the real one does for all that matters here.
async fn proxy(context: &ProgramContext) -> Result<(), Fatal> {
    let mut cidr = context.flag("cluster-cidr").unwrap_or_default();
    if let Some(path) = context.flag("config") {
        let content = context.files.read_text(&path);
        let content =
            content.ok_or_else(|| Fatal::Because(format!("open {path}: no such file or directory")))?;
        let config: Value = serde_saphyr::from_str(&content)
            .map_err(|error| Fatal::Because(format!("failed to decode {path}: {error}")))?;
        text(&config, "/clusterCIDR").clone_into(&mut cidr);
    }
    let api = Api::new(context.client.clone());
    let synced = patiently(context.durations.program_retry, || api.answers("/api/v1/services"));
    if unless_stopped(context, synced).await.is_none() {
        return Ok(());
    }
    context.host.publish(PROXY_CIDR, &cidr);
    let _published = Published(context.host.clone(), PROXY_CIDR);
    context.set_ready(true);
    context.stop.cancelled().await;
    Ok(())
}

/// Ready once it has seen the cluster's Services.
async fn dns(context: &ProgramContext) -> Result<(), Fatal> {
    let path = context.flag("conf").unwrap_or_else(|| "/etc/coredns/Corefile".to_owned());
    if context.files.read_text(&path).is_none() {
        return Err(Fatal::Because(format!("open {path}: no such file or directory")));
    }
    let api = Api::new(context.client.clone());
    let synced = patiently(context.durations.program_retry, || api.answers("/api/v1/services"));
    if unless_stopped(context, synced).await.is_none() {
        return Ok(());
    }
    tokio::time::sleep(context.durations.probe).await;
    context.set_ready(true);
    context.stop.cancelled().await;
    Ok(())
}
