//! Which controllers a kube-controller-manager runs, by its flags.

use super::cluster::accounts::Accounts;
use super::cluster::certificates::{Approver, Signer};
use super::cluster::garbage::Garbage;
use super::cluster::namespaces::Namespaces;
use super::cluster::tokens::Tokens;
use super::context::Cx;
use super::disruption::Disruption;
use super::nodes::ipam::{self, NodeIpam};
use super::nodes::lifecycle::{self, NodeLifecycle};
use super::nodes::pod_gc::PodGc;
use super::nodes::taint_eviction::TaintEviction;
use super::runtime::{Task, task};
use super::services::endpoints::Endpoints;
use super::services::slices::Slices;
use super::volumes::attach::AttachDetach;
use super::volumes::binder::Binder;
use super::workloads::daemon_sets::DaemonSets;
use super::workloads::deployments::Deployments;
use super::workloads::jobs::Jobs;
use super::workloads::replica_sets::ReplicaSets;
use super::workloads::stateful_sets::StatefulSets;
use crate::machines::Durations;
use std::time::Duration;

/// Controllers that run only when they are named.
const OFF_BY_DEFAULT: &[&str] = &["bootstrap-signer-controller", "token-cleaner-controller"];

/// Names that controllers had before, and still may be called.
const ALIASES: &[(&str, &str)] = &[
    ("deployment", "deployment-controller"),
    ("replicaset", "replicaset-controller"),
    ("daemonset", "daemonset-controller"),
    ("statefulset", "statefulset-controller"),
    ("job", "job-controller"),
    ("endpoint", "endpoints-controller"),
    ("endpointslice", "endpointslice-controller"),
    ("disruption", "disruption-controller"),
    ("garbagecollector", "garbage-collector-controller"),
    ("namespace", "namespace-controller"),
    ("serviceaccount", "serviceaccount-controller"),
    ("root-ca-cert-publisher", "root-ca-certificate-publisher-controller"),
    ("nodelifecycle", "node-lifecycle-controller"),
    ("podgc", "pod-garbage-collector-controller"),
    ("nodeipam", "node-ipam-controller"),
    ("attachdetach", "persistentvolume-attach-detach-controller"),
    ("persistentvolume-binder", "persistentvolume-binder-controller"),
    ("csrsigning", "certificatesigningrequest-signing-controller"),
    ("csrapproving", "certificatesigningrequest-approving-controller"),
    ("tokencleaner", "token-cleaner-controller"),
    ("bootstrapsigner", "bootstrap-signer-controller"),
    ("ttl-after-finished", "ttl-after-finished-controller"),
];

/// Whether `--controllers` names this one.
pub(super) fn enabled(list: &str, name: &str) -> bool {
    let canonical = |text: &str| -> String {
        ALIASES.iter().find(|(old, _)| *old == text).map_or(text, |(_, new)| new).to_owned()
    };
    let mut star = list.trim().is_empty();
    for word in list.split(',').map(str::trim) {
        if word == "*" {
            star = true;
        } else if let Some(off) = word.strip_prefix('-') {
            if canonical(off) == name {
                return false;
            }
        } else if canonical(word) == name {
            return true;
        }
    }
    star && !OFF_BY_DEFAULT.contains(&name)
}

/// The controllers of a controller-manager with these flags, or why it can't start.
pub(super) fn tasks(
    cx: &Cx,
    flag: &dyn Fn(&str) -> Option<String>,
    durations: &Durations,
) -> Result<Vec<Box<dyn Task>>, String> {
    let grace = flag("node-monitor-grace-period").and_then(|text| duration(&text));
    let mut tasks = vec![
        task(Deployments::new()),
        task(ReplicaSets::new()),
        task(DaemonSets::new()),
        task(StatefulSets),
        task(Jobs::default()),
        task(Endpoints::default()),
        task(Binder::default()),
        task(AttachDetach::default()),
        task(Approver),
        task(Signer),
        task(Slices::default()),
        task(Disruption::default()),
        task(Garbage::default()),
        task(Namespaces::default()),
        task(Accounts),
        task(Tokens),
        task(NodeLifecycle::new(grace.unwrap_or(lifecycle::GRACE))),
        task(TaintEviction::default()),
        task(PodGc::new(durations.pod_quarantine)),
    ];
    let list = flag("controllers").unwrap_or_default();
    if flag("allocate-node-cidrs").as_deref() == Some("true") && enabled(&list, "node-ipam-controller") {
        let mask = |name: &str| flag(name).and_then(|text| text.parse().ok()).filter(|mask| *mask != 0);
        let flags = ipam::Flags {
            cluster: flag("cluster-cidr").unwrap_or_default(),
            services: flag("service-cluster-ip-range").unwrap_or_default(),
            mask: mask("node-cidr-mask-size"),
            mask_v4: mask("node-cidr-mask-size-ipv4"),
            mask_v6: mask("node-cidr-mask-size-ipv6"),
        };
        tasks.push(task(NodeIpam::new(cx, &flags)?));
    }
    tasks.retain(|task| enabled(&list, task.name()));
    Ok(tasks)
}

/// A duration as Go writes it, such as `1m30s`.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_end = rest[end..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| end + at);
        let factor = match &rest[end..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += Duration::try_from_secs_f64(number * factor).ok()?;
        rest = &rest[unit_end..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_chosen_by_name_star_and_minus() {
        assert!(enabled("", "node-ipam-controller"));
        assert!(!enabled("*,-nodeipam", "node-ipam-controller"));
        assert!(!enabled("*", "token-cleaner-controller"));
        assert!(enabled("*,bootstrapsigner,tokencleaner", "token-cleaner-controller"));
        assert!(!enabled("deployment", "job-controller"));
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
    }
}
