//! What a case is and what it needs.

use super::stage::Stage;
use futures::future::LocalBoxFuture;
use replank_provider_protocol::{Capabilities, Keeping, ProviderError, Replacement, SnapshotKind};

/// Why a case ended before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The provider does not do what the protocol asks for.
    Failed(String),
    /// Something is missing, named.
    Skipped(String),
}

impl Stop {
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self::Failed(reason.into())
    }

    pub(super) fn refused(what: &str, error: &ProviderError) -> Self {
        Self::Failed(format!("{what} was refused: {} ({:?})", error.message, error.code))
    }
}

/// Fails with a reason unless something is so.
pub(super) fn ensure(is_so: bool, reason: impl FnOnce() -> String) -> Result<(), Stop> {
    if is_so { Ok(()) } else { Err(Stop::Failed(reason())) }
}

/// What a case needs beside a provider that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The word to make machines, and to delete them again.
    Destructive,
    /// A machine to model others on.
    Like,
    /// Machines that have never been a node: the one that they are modelled on stays as it is.
    Fresh,
    /// Machines that are joined again.
    InPlace,
    /// A machine that somebody has named, so that it may be joined again.
    Named,
    /// Snapshots.
    Snapshots,
    /// A provider without snapshots.
    NoSnapshots,
    /// Machines that can be stopped and kept.
    Keeping,
    /// Machines that are lost when they stop.
    NoKeeping,
    /// Host access.
    Hosts,
    /// A provider without host access.
    NoHosts,
    /// A load balancer.
    LoadBalancer,
    /// A provider without a load balancer.
    NoLoadBalancer,
    /// A process of its own.
    Process,
}

/// What there is.
pub(super) struct Means<'a> {
    pub(super) destructive: bool,
    pub(super) like: bool,
    /// Whether it was named by who began the check.
    pub(super) named: bool,
    pub(super) process: bool,
    pub(super) capabilities: &'a Capabilities,
}

impl Means<'_> {
    /// Whether the model may be cleaned and joined again.
    pub(super) fn may_rejoin(&self) -> bool {
        self.destructive && self.named && self.capabilities.replacement == Replacement::InPlace
    }
}

impl Need {
    /// Why it is not there, if it is not.
    pub(super) fn missing(self, means: &Means<'_>) -> Option<&'static str> {
        let capabilities = means.capabilities;
        let snapshots = capabilities.snapshot != SnapshotKind::None;
        let fresh = capabilities.replacement == Replacement::Fresh;
        let keeping = capabilities.keeping == Keeping::Stopped;
        let (there, reason) = match self {
            Self::Destructive => (
                means.destructive,
                "it makes machines of its own and deletes them: give --destructive to allow that",
            ),
            Self::Like => (means.like, "there is no machine to model others on: name one with --like"),
            Self::Fresh => {
                (fresh, "capability replacement: this provider has `in_place`; the case is for `fresh`")
            }
            Self::InPlace => {
                (!fresh, "capability replacement: this provider has `fresh`; the case is for `in_place`")
            }
            Self::Named => (
                means.named,
                "it cleans the very machine that it is told of: name one that may be, with --like",
            ),
            Self::Snapshots => (snapshots, "capability snapshot: this provider has `none`"),
            Self::NoSnapshots => {
                (!snapshots, "capability snapshot: this provider has one; the case is for `none`")
            }
            Self::Keeping => (keeping, "capability keeping: a machine of this provider that stops is `lost`"),
            Self::NoKeeping => {
                (!keeping, "capability keeping: this provider has `stopped`; the case is for `lost`")
            }
            Self::Hosts => (capabilities.hosts, "capability hosts: this provider has none"),
            Self::NoHosts => {
                (!capabilities.hosts, "capability hosts: this provider has it; the case is for those without")
            }
            Self::LoadBalancer => {
                (capabilities.load_balancer, "capability loadBalancer: this provider has none")
            }
            Self::NoLoadBalancer => (
                !capabilities.load_balancer,
                "capability loadBalancer: this provider has it; the case is for those without",
            ),
            Self::Process => (means.process, "the provider runs within this process and has none of its own"),
        };
        (!there).then_some(reason)
    }
}

/// How a case runs.
pub(super) type Run = for<'a> fn(&'a Stage<'a>) -> LocalBoxFuture<'a, Result<(), Stop>>;

/// One thing that must be true of a provider.
pub(super) struct Case {
    pub(super) group: &'static str,
    pub(super) name: &'static str,
    /// What all of its group need.
    pub(super) needs: &'static [Need],
    /// What it needs beside that.
    pub(super) more: &'static [Need],
    pub(super) run: Run,
}

impl Case {
    /// Why it can't run, if something is not there.
    pub(super) fn missing(&self, means: &Means<'_>) -> Option<&'static str> {
        self.needs.iter().chain(self.more).find_map(|need| need.missing(means))
    }

    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

/// The cases of one group: each a function's name, and what all of them need.
macro_rules! cases {
    ($group:literal, $needs:tt; $($name:ident $([$($more:ident),*])?),+ $(,)?) => {
        pub(in crate::conformance) const CASES: &[$crate::conformance::case::Case] = &[$(
            $crate::conformance::case::Case {
                group: $group,
                name: stringify!($name),
                needs: {
                    #[allow(unused_imports, reason = "some groups need nothing")]
                    use $crate::conformance::case::Need::*;
                    &$needs
                },
                more: &[$($($crate::conformance::case::Need::$more),*)?],
                run: |stage| Box::pin($name(stage)),
            }
        ),+];
    };
}
pub(super) use cases;
