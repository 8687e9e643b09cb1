//! What looking at a cluster needs.

use super::{Resource, Right, Rights, Verb, Which};
use crate::cni::calico::GROUPS;
use crate::state::common_kinds;
use std::collections::BTreeSet;

/// Policies that are nobody's alone.
const SHARED_POLICIES: &str = "policy.networking.k8s.io";

/// The rights of `check` and `plan`: reading. Secrets are listed for what they are called and whom they
/// belong to; their data is never asked for, but the right to list can't be told apart from it.
pub fn observation() -> BTreeSet<Right> {
    let mut rights = Rights::default();
    let namespace = Resource::everywhere("", "namespaces");
    rights.on(&namespace, &Which::Named("kube-system".into()), &[Verb::Get]);
    let more = ["nodes", "pods", "persistentvolumes", "persistentvolumeclaims"];
    for resource in more {
        rights.any(&Resource::everywhere("", resource), &[Verb::List]);
    }
    rights.any(&Resource::everywhere("storage.k8s.io", "csinodes"), &[Verb::List]);
    for kind in common_kinds() {
        rights.any(&Resource::of_kind(&kind), &[Verb::List]);
    }
    for group in GROUPS.into_iter().chain([SHARED_POLICIES]) {
        rights.any(&Resource::everywhere(group, "*"), &[Verb::List]);
    }
    rights.covered()
}
