//! Plans as the planner makes them, and edited by hand.

use super::{Fault, faults};
use crate::ids::{SlotId, StepId};
use crate::intent::Strategy;
use crate::plan::{Action, Plan, PlannedStep};
use crate::planner::given::Given;

fn plan(strategy: Strategy) -> Plan {
    let mut given = Given::cluster();
    given.intent.strategy = strategy;
    given.plan()
}

/// What is said of a plan after this edit.
fn edited(edit: impl FnOnce(&mut Plan)) -> Vec<String> {
    let mut plan = plan(Strategy::Rolling);
    edit(&mut plan);
    faults(&plan).iter().map(ToString::to_string).collect()
}

fn step<'a>(plan: &'a mut Plan, id: &str) -> &'a mut PlannedStep {
    plan.steps.iter_mut().find(|step| step.id.as_str() == id).unwrap()
}

#[test]
fn a_plan_of_the_planner_has_no_fault() {
    for strategy in [Strategy::Rolling, Strategy::Cutover] {
        assert_eq!(faults(&plan(strategy)), []);
    }
}

#[test]
fn another_document_is_no_plan() {
    let said = edited(|plan| plan.kind = "Recipe".into());
    assert!(said.len() == 1 && said[0].contains("Recipe, not replank.dev/v1alpha1 Plan"), "{said:?}");
}

#[test]
fn steps_have_names_of_their_own_and_wait_for_earlier_ones_only() {
    let twice = |plan: &mut Plan| step(plan, "w2/drain").id = StepId::new("w1/drain");
    let said = edited(twice);
    assert!(said.contains(&"two steps are named w1/drain".to_owned()), "{said:?}");
    assert!(said.contains(&"step w2/detach waits for w2/drain, which does not come before it".to_owned()));
    let later = |plan: &mut Plan| step(plan, "w1/drain").after.push(StepId::new("verify"));
    assert_eq!(edited(later), ["step w1/drain waits for verify, which does not come before it"]);
}

#[test]
fn steps_speak_of_slots_that_there_are() {
    let strange = |plan: &mut Plan| step(plan, "w1/drain").slot = Some(SlotId::new("w9"));
    assert_eq!(edited(strange), ["step w1/drain speaks of a slot that the plan does not have"]);
}

#[test]
fn ranges_of_nodes_meet_no_other_and_lie_in_the_network() {
    let give = |at: usize, range: &'static str| {
        edited(move |plan| plan.slots[at].new.pod_cidrs = vec![range.parse().unwrap()])
    };
    assert_eq!(
        give(1, "10.244.0.0/25"),
        ["podCIDR 10.244.0.0/25 of slot w2 meets 10.244.0.0/24 of another slot"]
    );
    let outside = "podCIDR 10.9.0.0/24 of slot w2 lies outside 10.244.0.0/16, with which no controller-manager would \
                   start";
    assert_eq!(give(1, "10.9.0.0/24"), [outside]);
}

#[test]
fn no_node_comes_before_every_control_plane_holds_the_ranges() {
    let early = |plan: &mut Plan| step(plan, "w1/create").after.clear();
    assert!(edited(early)[0].starts_with("step w1/create brings a Node before"));
    let unheld = |plan: &mut Plan| {
        for step in &mut plan.steps {
            match &mut step.action {
                Action::SetControllerManagerFlags(act) => act.set.remove("allocate-node-cidrs"),
                Action::RecordControllerManagerFlags(act) => act.set.remove("allocate-node-cidrs"),
                _ => None,
            };
        }
    };
    assert_eq!(edited(unheld).len(), 3, "none of the three nodes may come");
}

#[test]
fn calico_stays_as_long_as_an_old_node_needs_it() {
    let mut plan = plan(Strategy::Rolling);
    step(&mut plan, "remove-calico/agents").after.clear();
    // What only comes after the removal of the agents is too early with it.
    let early = ["remove-calico/agents", "remove-calico/records"];
    assert_eq!(faults(&plan), early.map(|id| Fault::RemovedTooEarly(StepId::new(id))));
}
