//! A plan, for its reviewer.

use super::wrap::wrapped;
use replank_planning::checks::Severity;
use replank_planning::cidr;
use replank_planning::intent::Strategy;
use replank_planning::plan::{Action, Plan, PlannedStep, Slot, Undo};
use replank_provider_protocol::{Keeping, Replacement, Role};
use std::collections::BTreeMap;

/// The plan in words: what for, which nodes, in which order, what can't be undone, what was accepted.
pub(crate) fn text(plan: &Plan) -> String {
    let mut parts = vec![heading(plan), nodes(plan), steps(plan), no_return(plan)];
    parts.extend(accepted(plan));
    parts.extend(warnings(plan));
    parts.join("\n\n")
}

fn heading(plan: &Plan) -> String {
    let run = plan.run_id().map(|run| run.to_string()).unwrap_or_default();
    let strategy = match plan.intent.strategy {
        Strategy::Rolling => "rolling: Calico stays on the old nodes until the last is gone",
        Strategy::Cutover => "cutover: Calico is removed whole first; an outage",
    };
    let fact = |name: &str| plan.cluster.facts.get(name).map_or("-", String::as_str);
    let mut lines = vec![
        format!("run         {run}"),
        format!("cluster     {}", plan.cluster.uid),
        format!("provider    {}", plan.intent.provider.name),
        format!("strategy    {strategy}"),
        format!("old network Calico, {}", fact("Calico's pools")),
        format!("new network Flannel, {}", network(plan)),
    ];
    lines.push(format!("steps       {} for {} nodes", plan.steps.len(), plan.slots.len()));
    lines.join("\n")
}

fn network(plan: &Plan) -> String {
    let ranges = plan.steps.iter().find_map(|step| match &step.action {
        Action::Verify(verify) => Some(cidr::join(&verify.network)),
        _ => None,
    });
    ranges.unwrap_or_else(|| "-".to_owned())
}

fn nodes(plan: &Plan) -> String {
    let rows: Vec<[String; 5]> = plan.slots.iter().map(row).collect();
    let head = ["NODE", "ROLE", "MACHINE", "BECOMES", "PODCIDR"].map(str::to_owned);
    let mut widths = [0; 5];
    for row in std::iter::once(&head).chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let lines: Vec<String> = std::iter::once(&head).chain(&rows).map(line).collect();
    format!("Nodes, in the order of their replacement\n{}", indented(&lines))
}

fn row(slot: &Slot) -> [String; 5] {
    let role = match slot.role {
        Role::Worker => "worker",
        Role::ControlPlane => "control plane",
    };
    let machine = match (slot.replacement, slot.old.keeping) {
        (Replacement::InPlace, _) => "in place",
        (Replacement::Fresh, Keeping::Stopped) => "kept",
        (Replacement::Fresh, Keeping::Lost) => "lost",
    };
    [
        slot.old.name.to_string(),
        role.to_owned(),
        machine.to_owned(),
        slot.new.machine_name.clone(),
        cidr::join(&slot.new.pod_cidrs),
    ]
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// The steps in order; those of nodes that are replaced alike are told once.
fn steps(plan: &Plan) -> String {
    let mut lines = Vec::new();
    let mut number = 0;
    let mut told: Vec<(Vec<&'static str>, String)> = Vec::new();
    let mut at = 0;
    while let Some(step) = plan.steps.get(at) {
        number += 1;
        let Some(slot) = &step.slot else {
            lines.push(wrapped(&format!("  {number:>3}. "), "       ", &line(step)));
            at += 1;
            continue;
        };
        let of_slot: Vec<&PlannedStep> =
            plan.steps[at..].iter().take_while(|s| s.slot.as_ref() == Some(slot)).collect();
        at += of_slot.len();
        let whats: Vec<&'static str> = of_slot.iter().map(|s| does(&s.action)).collect();
        let text = match told.iter().find(|(known, _)| *known == whats) {
            Some((_, first)) => format!("{slot}: as {first}"),
            None => format!("{slot}: {}", whats.join(", ")),
        };
        lines.push(wrapped(&format!("  {number:>3}. "), "       ", &text));
        if !told.iter().any(|(known, _)| *known == whats) {
            told.push((whats, slot.to_string()));
        }
    }
    format!("Steps, in order\n{}", lines.join("\n"))
}

fn line(step: &PlannedStep) -> String {
    let what = match &step.action {
        Action::PatchObjects(act) => act.purpose.clone(),
        Action::InstallObjects(act) => format!("install {} ({} objects)", act.purpose, act.objects.len()),
        Action::RemoveObjects(act) => act.purpose.clone(),
        Action::AnchorDeployment(act) => {
            format!(
                "keep {} of {}/{}",
                act.replicas, act.deployment.object.namespace, act.deployment.object.name
            )
        }
        Action::SetControllerManagerFlags(act) => format!("set {}", flags(&act.set)),
        Action::RecordControllerManagerFlags(act) => recorded(&act.set),
        action => does(action).to_owned(),
    };
    format!("{}: {what}", step.id)
}

/// Flags that are kubeadm's own need no record: what was recorded before is taken out.
fn recorded(set: &BTreeMap<String, String>) -> String {
    match set.is_empty() {
        true => "let kubeadm's own flags of the controller-manager count again".to_owned(),
        false => format!("record {} with kubeadm", flags(set)),
    }
}

fn flags(set: &BTreeMap<String, String>) -> String {
    set.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// What an action does, in a few words.
fn does(action: &Action) -> &'static str {
    match action {
        Action::Export(_) => "export everything that will be edited or removed",
        Action::SnapshotEtcd(_) => "save etcd on its host",
        Action::RecordControllerManagerFlags(_) => "record the controller-manager's flags with kubeadm",
        Action::SetControllerManagerFlags(_) => "set the controller-manager's flags",
        Action::PatchObjects(_) => "change objects",
        Action::InstallObjects(_) => "install objects",
        Action::AnchorDeployment(_) => "raise a Deployment's replicas",
        Action::SwapCni(_) => "swap the CNI configuration on the host",
        Action::SnapshotMachine(_) => "snapshot the old machine",
        Action::KeepHostFiles(_) => "read what kubeadm does not carry from the host",
        Action::CreateMachine(_) => "create the new machine",
        Action::AdmitNode(_) => "admit the new Node",
        Action::Fence(_) => "keep new pods off the old nodes",
        Action::Soak(_) => "watch the canary",
        Action::Cordon(_) => "cordon",
        Action::Drain(_) => "drain",
        Action::DetachVolumes(_) => "wait for volumes to be detached",
        Action::RegisterControlPlane(_) => "put the new machine into the load balancer",
        Action::DeregisterControlPlane(_) => "take the old machine out of the load balancer",
        Action::LeaveEtcd(_) => "leave etcd",
        Action::StopMachine(_) => "stop the old machine",
        Action::DeleteNode(_) => "delete the old Node",
        Action::ForgetPods(_) => "delete what is left of its pods",
        Action::RemoveObjects(_) => "remove objects",
        Action::SetKubeProxyCidr(_) => "tell kube-proxy the new range",
        Action::RecordPodSubnet(_) => "tell kubeadm the new range",
        Action::RepairNetworkCondition(_) => "repair the nodes' network condition",
        Action::Verify(_) => "verify the whole cluster",
    }
}

fn no_return(plan: &Plan) -> String {
    let lines: Vec<String> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.undo {
            Undo::PointOfNoReturn { reason } => {
                Some(wrapped("  ", "      ", &format!("{}: {reason}", step.id)))
            }
            _ => None,
        })
        .collect();
    if lines.is_empty() {
        return "Every step can be undone until `replank finalize`.".to_owned();
    }
    format!("Points of no return: what comes before them can't be undone after\n{}", lines.join("\n"))
}

fn accepted(plan: &Plan) -> Option<String> {
    let lines: Vec<String> = plan
        .consents
        .iter()
        .map(|consent| {
            wrapped(
                "  ",
                "      ",
                &format!("{}: {}", consent.code, consent.object.as_deref().unwrap_or("all")),
            )
        })
        .collect();
    (!lines.is_empty()).then(|| format!("Accepted ({})\n{}", lines.len(), lines.join("\n")))
}

fn warnings(plan: &Plan) -> Option<String> {
    let lines: Vec<String> = plan
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Warning)
        .map(|f| wrapped("  ", "      ", &format!("{}: {}: {}", f.code, f.object, f.message)))
        .collect();
    (!lines.is_empty()).then(|| format!("Warnings ({})\n{}", lines.len(), lines.join("\n")))
}
