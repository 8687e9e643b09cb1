//! What can't reach what while both networks exist, or while there is none: no bridge joins them yet.

use super::{Code, Finding, Severity, Situation};
use crate::state::{Webhook, WebhookFailure};

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let mut found = vec![if situation.rolling() { sides(situation) } else { outage() }];
    let webhooks = situation.state.webhooks.iter().filter(|w| !is_calicos(situation, w));
    found.extend(webhooks.filter_map(|w| webhook(situation, w)));
    found
}

fn outage() -> Finding {
    Finding::new(
        Severity::Consent,
        Code::Outage,
        "cluster",
        "a cutover removes Calico before any node is replaced: from then until its node is replaced, a pod that starts on an old node gets no network, and pods on different old nodes may lose each other.",
        "Use the rolling strategy, or accept outage in a maintenance window.",
    )
}

fn sides(situation: &Situation<'_>) -> Finding {
    let mut names: Vec<String> = situation
        .state
        .services
        .iter()
        .filter(|s| !s.pods.is_empty())
        .map(|s| format!("{}/{}", s.namespace, s.name))
        .collect();
    names.sort();
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(5);
    let list = match (names.len(), more) {
        (0, _) => "No Service has pods behind it.".to_owned(),
        (_, 0) => format!("Services that then have backends on both sides: {shown}."),
        (_, more) => format!("Services that then have backends on both sides: {shown} and {more} more."),
    };
    Finding::new(
        Severity::Consent,
        Code::Unbridged,
        "cluster",
        format!(
            "from the first replacement to the last, pods on old nodes and pods on new nodes can't reach each other, directly or through a Service. The cluster's DNS gets a replica on the new side with the first replacement; pods on old nodes have none once its other replicas are drained. {list}"
        ),
        "Accept unbridged if clients retry and each side can live by itself for that time.",
    )
}

fn is_calicos(situation: &Situation<'_>, webhook: &Webhook) -> bool {
    situation.calico.holds(&webhook.object)
}

/// API servers live on hosts, and reach the pods of a network whose agents run there.
fn webhook(situation: &Situation<'_>, webhook: &Webhook) -> Option<Finding> {
    if !webhook.on_pod_network {
        return None;
    }
    let Webhook { name, service, .. } = webhook;
    let unreached = if situation.rolling() {
        "while they and an API server are on different sides, it can't reach them"
    } else {
        "from Calico's removal until the last control plane is replaced, API servers may not reach them"
    };
    let (severity, message) = match (webhook.object.kind.kind.as_str(), webhook.failure) {
        ("APIService", _) => (
            Severity::Consent,
            format!(
                "it is served from pods of Service {service}: {unreached}; this API is away then, and namespaces that are deleted hang."
            ),
        ),
        (_, WebhookFailure::Closed) => (
            Severity::Blocker,
            format!(
                "its webhook {name} fails closed and is served from pods of Service {service}: {unreached}, and every request that it guards is refused."
            ),
        ),
        (_, WebhookFailure::Open) => (
            Severity::Warning,
            format!(
                "its webhook {name} is served from pods of Service {service}: {unreached}, and it is skipped."
            ),
        ),
    };
    Some(Finding::new(
        severity,
        Code::PodServedWebhook,
        webhook.object.to_string(),
        message,
        "Serve it from the host network, or let it fail open for the time of the run.",
    ))
}
