//! Policies that nobody enforces once Calico is gone, by name.

use super::{Code, Finding, Severity, Situation};
use crate::cni::calico::detect::Api;
use crate::object::ObjectRef;

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    unenforced(situation)
        .map(|policy| {
            let kind = &policy.kind;
            let group = if kind.group.is_empty() { "the core group" } else { &kind.group };
            Finding::new(
                Severity::Consent,
                Code::PolicyUnenforced,
                policy.to_string(),
                format!(
                    "Flannel enforces no policies: what this {} ({group}) forbids will be allowed.",
                    kind.kind
                ),
                "Install a policy engine for the new network, or accept policy-unenforced for it.",
            )
        })
        .collect()
}

/// The policies, without those of Calico's own pods and without what an aggregated API shows twice.
pub(super) fn unenforced<'a>(situation: &'a Situation<'_>) -> impl Iterator<Item = &'a ObjectRef> {
    let twice = situation.install().is_some_and(|i| i.api == Api::Aggregated);
    let own = |namespace: &str| situation.calico.namespaces.iter().any(|n| n.object.name == namespace);
    situation
        .state
        .policies
        .iter()
        .map(|policy| &policy.object)
        .filter(move |policy| !(twice && policy.kind.group == "projectcalico.org"))
        .filter(move |policy| !own(&policy.namespace) && !situation.calico.holds(policy))
}
