//! The planner: from a cluster's state and a wish to findings and a plan, purely.
//!
//! - [`mod@assess`]: what was found, decided and is in the way.
//! - [`network`]: the new network's ranges.
//! - [`slots`]: the order of nodes, and what each replacement is given.
//! - [`travel`]: which labels and taints go with a node.
//! - [`steps`]: the steps that a migration consists of; [`nodes`] those of one node.
//! - [`facts`]: the facts that a plan rests on, and how they are compared.

pub mod assess;
pub mod facts;
#[cfg(test)]
pub(crate) mod given;
#[cfg(test)]
mod golden;
pub mod network;
mod nodes;
mod slots;
mod steps;
mod swap;
mod travel;

pub use assess::{Assessment, assess};

use crate::checks::{Consent, Finding, Severity};
use crate::cidr::Exhausted;
use crate::intent::{self, API_VERSION, Intent, Problem};
use crate::plan::{Binding, Plan};
use crate::state::ClusterState;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum NotPlanned {
    /// What is wanted contradicts itself, whatever the cluster is like.
    #[error("this can't be meant:{}", listed(.0))]
    NotMeant(Vec<Problem>),
    /// Something must change first.
    #[error("{} blocker(s) stand in the way", .0.len())]
    Blocked(Vec<Finding>),
    /// Something needs the operator's word.
    #[error("{} finding(s) need consent", .0.len())]
    ConsentMissing(Vec<Finding>),
    /// The new network has too few free subnets.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The canary that was asked for is no worker.
    #[error("the canary {0} is no worker of this cluster; name one of its workers, or leave it out")]
    NoSuchCanary(String),
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {}: {}", problem.at.join("."), problem.message)).collect()
}

impl NotPlanned {
    /// The findings that stand in the way.
    pub fn findings(&self) -> &[Finding] {
        match self {
            Self::Blocked(findings) | Self::ConsentMissing(findings) => findings,
            Self::NotMeant(_) | Self::Exhausted(_) | Self::NoSuchCanary(_) => &[],
        }
    }
}

/// Makes the plan.
///
/// # Errors
/// When the wish can't be meant, a finding blocks it or lacks a consent, or the network is too small.
pub fn plan(state: &ClusterState, intent: &Intent, tool_version: &str) -> Result<Plan, NotPlanned> {
    let problems = intent::problems(intent);
    if !problems.is_empty() {
        return Err(NotPlanned::NotMeant(problems));
    }
    let assessment = assess(state, intent);
    let blockers = assessment.of(Severity::Blocker);
    if !blockers.is_empty() {
        return Err(NotPlanned::Blocked(blockers));
    }
    let open = assessment.unconsented(&intent.accept);
    if !open.is_empty() {
        return Err(NotPlanned::ConsentMissing(open));
    }
    // Without a blocker there is an install and a network.
    let (Some(install), Some(network)) = (&assessment.install, &assessment.network) else {
        return Err(NotPlanned::Blocked(assessment.findings));
    };
    let slots = slots::order(state, intent, network)?;
    let consents: Vec<Consent> = assessment
        .of(Severity::Consent)
        .into_iter()
        .map(|f| Consent { code: f.code, object: Some(f.object) })
        .collect();
    let context = steps::Context {
        state,
        intent,
        install,
        calico: &assessment.calico,
        network,
        slots: &slots,
        consents: &consents,
    };
    let steps = steps::all(&context);
    Ok(Plan {
        api_version: API_VERSION.to_owned(),
        kind: "Plan".to_owned(),
        tool_version: tool_version.to_owned(),
        cluster: Binding { uid: state.uid.clone(), facts: facts::of(state, &assessment) },
        intent: intent.clone(),
        findings: assessment.findings.clone(),
        consents,
        slots,
        steps,
    })
}
