//! Reads a finished plan again, as a reviewer would, without knowing how it was made.
//!
//! A plan from the planner never fails here; a plan that was edited by hand may.

#[cfg(test)]
mod tests;

use crate::cidr;
use crate::ids::StepId;
use crate::intent::{API_VERSION, Strategy};
use crate::plan::{Action, Plan};
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

/// Something that is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its `apiVersion` or `kind` is not ours.
    #[error(
        "the document is {api_version} {kind}, not {API_VERSION} Plan; make it again with this version's `replank plan`"
    )]
    NotAPlan {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// Two steps have one name.
    #[error("two steps are named {0}")]
    SameName(StepId),
    /// A step waits for one that does not come before it.
    #[error("step {step} waits for {after}, which does not come before it")]
    OutOfOrder {
        /// The step.
        step: StepId,
        /// What it waits for.
        after: StepId,
    },
    /// A step speaks of a slot that the plan does not have.
    #[error("step {0} speaks of a slot that the plan does not have")]
    NoSuchSlot(StepId),
    /// Two podCIDRs meet, or one lies outside the new network.
    #[error("podCIDR {range} of slot {slot} {problem}")]
    Range {
        /// The slot.
        slot: String,
        /// The range.
        range: IpNet,
        /// What is wrong with it.
        problem: String,
    },
    /// Pod CIDRs are not held before the first replacement comes.
    #[error(
        "step {0} brings a Node before every control plane holds the podCIDRs: the controller-manager would not start again"
    )]
    NotHeld(StepId),
    /// In a rolling migration Calico is removed while a Node needs it.
    #[error("step {0} removes Calico before every old Node is gone: pods on them could not be torn down")]
    RemovedTooEarly(StepId),
}

/// Everything that is wrong with a plan.
pub fn faults(plan: &Plan) -> Vec<Fault> {
    if plan.api_version != API_VERSION || plan.kind != "Plan" {
        return vec![Fault::NotAPlan { api_version: plan.api_version.clone(), kind: plan.kind.clone() }];
    }
    let mut found = order(plan);
    found.extend(ranges(plan));
    found.extend(held(plan));
    found.extend(removal(plan));
    found
}

fn order(plan: &Plan) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for step in &plan.steps {
        for after in step.after.iter().filter(|after| !seen.contains(*after)) {
            found.push(Fault::OutOfOrder { step: step.id.clone(), after: after.clone() });
        }
        if !seen.insert(&step.id) {
            found.push(Fault::SameName(step.id.clone()));
        }
        if step.slot.as_ref().is_some_and(|slot| plan.slot(slot).is_none()) {
            found.push(Fault::NoSuchSlot(step.id.clone()));
        }
    }
    found
}

fn ranges(plan: &Plan) -> Vec<Fault> {
    let mut found = Vec::new();
    let mut seen: Vec<IpNet> = Vec::new();
    let networks = networks(plan);
    for slot in &plan.slots {
        for range in &slot.new.pod_cidrs {
            let mut fault = |problem: String| {
                found.push(Fault::Range { slot: slot.id.to_string(), range: *range, problem });
            };
            if let Some(other) = cidr::first_overlap(range, &seen) {
                fault(format!("meets {other} of another slot"));
            }
            if let Some(network) = networks.iter().find(|n| !n.iter().any(|wide| wide.contains(range))) {
                let network = cidr::join(network);
                fault(format!("lies outside {network}, with which no controller-manager would start"));
            }
            seen.push(*range);
        }
    }
    found
}

/// What controller-managers are told of the new network, each different word once.
fn networks(plan: &Plan) -> BTreeSet<Vec<IpNet>> {
    let told = plan.steps.iter().filter_map(|step| flags(&step.action)?.get("cluster-cidr"));
    told.map(|list| cidr::parse_list(list)).collect()
}

/// Every step that must be over before `step` begins.
fn before<'a>(plan: &'a Plan, step: &'a StepId) -> BTreeSet<&'a StepId> {
    let after: BTreeMap<&StepId, &Vec<StepId>> = plan.steps.iter().map(|s| (&s.id, &s.after)).collect();
    let mut found = BTreeSet::new();
    let mut open = vec![step];
    while let Some(next) = open.pop() {
        for earlier in after.get(next).into_iter().flat_map(|list| list.iter()) {
            if found.insert(earlier) {
                open.push(earlier);
            }
        }
    }
    found
}

fn held(plan: &Plan) -> Vec<Fault> {
    let holds: Vec<&StepId> = plan.steps.iter().filter(|s| holds_cidrs(&s.action)).map(|s| &s.id).collect();
    let creates = plan.steps.iter().filter(|s| matches!(s.action, Action::CreateMachine(_)));
    creates
        .filter(|create| {
            let before = before(plan, &create.id);
            holds.is_empty() || !holds.iter().all(|hold| before.contains(hold))
        })
        .map(|create| Fault::NotHeld(create.id.clone()))
        .collect()
}

fn holds_cidrs(action: &Action) -> bool {
    flags(action).is_some_and(|set| set.get("allocate-node-cidrs").is_some_and(|value| value == "false"))
}

/// The flags that a step gives to controller-managers, or to their record.
fn flags(action: &Action) -> Option<&BTreeMap<String, String>> {
    match action {
        Action::SetControllerManagerFlags(act) => Some(&act.set),
        Action::RecordControllerManagerFlags(act) => Some(&act.set),
        _ => None,
    }
}

fn removal(plan: &Plan) -> Vec<Fault> {
    if plan.intent.strategy == Strategy::Cutover {
        return Vec::new();
    }
    let deletes: Vec<&StepId> =
        plan.steps.iter().filter(|s| matches!(s.action, Action::DeleteNode(_))).map(|s| &s.id).collect();
    let removals = plan.steps.iter().filter(|s| matches!(s.action, Action::RemoveObjects(_)));
    removals
        .filter(|removal| {
            let before = before(plan, &removal.id);
            !deletes.iter().all(|delete| before.contains(delete))
        })
        .map(|removal| Fault::RemovedTooEarly(removal.id.clone()))
        .collect()
}
