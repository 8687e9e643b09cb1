//! What keeps a run's promises, each with a switch that takes it away.
//!
//! A check that can't fail proves nothing: with a guard switched off, the matching invariant must be
//! seen broken by whoever watches from outside.

use std::collections::BTreeSet;

/// One guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guard {
    /// The controller-manager could start at any instant: allocation is off before the range changes.
    ControllerManagerWouldStart,
    /// No two podCIDRs overlap, and none meets a block of the old network.
    PodCidrDisjoint,
    /// Pods leave by eviction, which asks their disruption budgets.
    Pdb,
    /// An old node goes only when its replacement is admitted.
    ReadyNodes,
    /// An etcd member is removed before its machine stops, and only if a quorum stays.
    EtcdQuorum,
    /// An effect that is asked for again is asked for under the same operation id.
    EffectOnce,
    /// A machine that an attempt made is taken over or deleted, never forgotten.
    NoOrphan,
    /// Old machines are stopped and kept, not deleted.
    KeptUntilFinalize,
    /// Only what the plan names is changed.
    OnlyPlannedChanges,
    /// The journal holds a token's public id, never the token.
    NoSecretWritten,
    /// Everything that the plan removes is removed.
    Removal,
}

const ALL: [(Guard, &str); 11] = [
    (Guard::ControllerManagerWouldStart, "controller-manager-would-start"),
    (Guard::PodCidrDisjoint, "pod-cidr-disjoint"),
    (Guard::Pdb, "pdb"),
    (Guard::ReadyNodes, "ready-nodes"),
    (Guard::EtcdQuorum, "etcd-quorum"),
    (Guard::EffectOnce, "effect-once"),
    (Guard::NoOrphan, "no-orphan"),
    (Guard::KeptUntilFinalize, "kept-until-finalize"),
    (Guard::OnlyPlannedChanges, "only-planned-changes"),
    (Guard::NoSecretWritten, "no-secret-written"),
    (Guard::Removal, "removal"),
];

/// A name that no guard has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no guard {0}; the guards are {names}", names = Guards::names().join(", "))]
pub struct UnknownGuard(String);

/// The guards of a run: all of them, unless some were taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    without: BTreeSet<Guard>,
}

impl Guards {
    /// Every guard's name.
    pub fn names() -> Vec<&'static str> {
        ALL.iter().map(|(_, name)| *name).collect()
    }

    /// All guards but these.
    ///
    /// # Errors
    /// When a name is no guard's.
    pub fn without<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, UnknownGuard> {
        let find = |name: &str| {
            ALL.iter().find(|(_, n)| *n == name).map(|(g, _)| *g).ok_or_else(|| UnknownGuard(name.to_owned()))
        };
        Ok(Self { without: names.into_iter().map(find).collect::<Result<_, _>>()? })
    }

    /// Whether a guard stands.
    pub fn holds(&self, guard: Guard) -> bool {
        !self.without.contains(&guard)
    }
}
