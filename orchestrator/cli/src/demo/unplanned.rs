//! What came that the plan does not name: the simulator's look, held against the plan.

use replank_planning::plan::{Action, Plan};
use replank_simulator::observer::{Inventory, came, inventory};
use replank_simulator::scenario::Cluster;
use std::collections::BTreeSet;

/// Objects that are there after a run and were not before it, and that are none of the plan's. While a run
/// is under way there are others, such as a join token: this is for when it is over.
pub(super) fn objects(cluster: &Cluster, plan: &Plan, after: &Inventory) -> Vec<String> {
    came(&Inventory::of(&cluster.before_run), after, &named(plan))
}

/// The objects that a plan installs, as inventories name them.
fn named(plan: &Plan) -> BTreeSet<String> {
    let installs = plan.steps.iter().filter_map(|step| match &step.action {
        Action::InstallObjects(install) => Some(&install.objects),
        _ => None,
    });
    let places = installs.flatten().map(|new| &new.object);
    places.map(|o| inventory::key(&o.kind.group, &o.kind.kind, &o.namespace, &o.name)).collect()
}
