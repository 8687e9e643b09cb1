//! Budgets that no drain can get past.

use super::{Code, Finding, Severity, Situation};
use std::collections::BTreeMap;

pub(super) fn check(situation: &Situation<'_>) -> Vec<Finding> {
    let mut found = never_allows(situation);
    found.extend(two_budgets(situation));
    found
}

/// A budget that wants every pod it has, all of them healthy already: waiting changes nothing.
fn never_allows(situation: &Situation<'_>) -> Vec<Finding> {
    let stuck = situation.state.budgets.iter().filter(|b| {
        b.expected_pods > 0
            && b.desired_healthy >= b.expected_pods
            && b.disruptions_allowed == 0
            && !b.pods.is_empty()
    });
    stuck
        .map(|b| {
            Finding::new(
                Severity::Blocker,
                Code::BudgetNeverAllows,
                format!("PodDisruptionBudget {}/{}", b.namespace, b.name),
                format!(
                    "it wants {} healthy pods and selects {}, so it never allows an eviction: no node with one of its pods can be drained.",
                    b.desired_healthy, b.expected_pods
                ),
                "Raise the workload's replicas by one, or relax the budget for the time of the run.",
            )
        })
        .collect()
}

fn two_budgets(situation: &Situation<'_>) -> Vec<Finding> {
    let mut budgets: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for budget in &situation.state.budgets {
        for pod in &budget.pods {
            budgets.entry(pod).or_default().push(&budget.name);
        }
    }
    budgets
        .into_iter()
        .filter(|(_, names)| names.len() > 1)
        .map(|(pod, names)| {
            Finding::new(
                Severity::Blocker,
                Code::TwoBudgets,
                format!("Pod {pod}"),
                format!(
                    "the PodDisruptionBudgets {} both select it, and the eviction API refuses such pods for ever (500).",
                    names.join(" and ")
                ),
                "Change a selector so that one budget selects the pod.",
            )
        })
        .collect()
}
