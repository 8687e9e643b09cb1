//! What can't reach what while both networks exist, since no bridge joins them yet.

use super::{Code, Finding, Severity, Situation};
use crate::state::{Webhook, WebhookFailure};

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    if !situation.rolling() {
        return vec![outage()];
    }
    let mut found = vec![sides(situation)];
    found.extend(situation.state.webhooks.iter().filter(|w| !is_calicos(situation, w)).filter_map(webhook));
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
            "from the first replacement to the last, pods on old nodes and pods on new nodes can't reach each other, directly or through a Service. CoreDNS keeps a replica on each side. {list}"
        ),
        "Accept unbridged if clients retry and each side can live by itself for that time.",
    )
}

fn is_calicos(situation: &Situation<'_>, webhook: &Webhook) -> bool {
    situation.calico.holds(&webhook.object)
}

fn webhook(webhook: &Webhook) -> Option<Finding> {
    if !webhook.on_pod_network {
        return None;
    }
    let kind = webhook.object.kind.kind.as_str();
    let (severity, message) = match (kind, webhook.failure) {
        ("APIService", _) => (
            Severity::Consent,
            format!(
                "it is served from pods of Service {}: while they and the API server are on different sides, this API is away and namespaces that are deleted hang.",
                webhook.service
            ),
        ),
        (_, WebhookFailure::Closed) => (
            Severity::Blocker,
            format!(
                "its webhook {} fails closed and is served from pods of Service {}: an API server on the other side can't reach them and refuses every request that it guards.",
                webhook.name, webhook.service
            ),
        ),
        (_, WebhookFailure::Open) => (
            Severity::Warning,
            format!(
                "its webhook {} is skipped while its pods (Service {}) and the API server are on different sides.",
                webhook.name, webhook.service
            ),
        ),
    };
    Some(Finding::new(
        severity,
        Code::PodServedWebhook,
        webhook.object.to_string(),
        message,
        "Serve it from the host network, let it fail open for the time of the run, or use the cutover strategy.",
    ))
}
