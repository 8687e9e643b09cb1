//! The command line.

use crate::commands::{
    ApplyArguments, CheckArguments, FinalizeArguments, PauseArguments, PlanArguments, RbacArguments,
    ResumeArguments, RollbackArguments, StatusArguments,
};
use crate::demo::DemoArguments;
use clap::{Parser, Subcommand};

/// Changes a Kubernetes cluster's pod network from Calico to Flannel by replacing nodes.
#[derive(Debug, Parser)]
#[command(name = "replank", version, propagate_version = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The configuration file: its schema, and one to start from.
    Config(crate::commands::ConfigArguments),
    /// The whole story on an embedded cluster: no cluster is needed.
    Demo(Box<DemoArguments>),
    /// Can this cluster be migrated? Findings, each with a code, a why and a fix. Exit status 3 if
    /// something stands in the way.
    Check(Box<CheckArguments>),
    /// What exactly will be done; bound to this cluster as it is now.
    Plan(Box<PlanArguments>),
    /// Carries a plan out. Ctrl-C pauses at a safe point; the same command goes on.
    Apply(Box<ApplyArguments>),
    /// Where a run stands, what it waits for and since when.
    Status(Box<StatusArguments>),
    /// Asks the run that works on this cluster, wherever it is, to pause at its next safe point.
    Pause(PauseArguments),
    /// Lets a run go on that waits after `replank pause`.
    Resume(ResumeArguments),
    /// Undoes what the journal says was done, in reverse order.
    Rollback(Box<RollbackArguments>),
    /// Gives up the way back: deletes retained machines, snapshots and the run's backup.
    Finalize(Box<FinalizeArguments>),
    /// The least rights: to look at a cluster, or with a plan to carry it out; as manifests for kubectl.
    Rbac(RbacArguments),
    /// What new machines are told at their first boot.
    CloudInit(crate::commands::CloudInitArguments),
    /// Providers: the programs that make, stop and delete machines.
    Provider(crate::commands::ProviderArguments),
}
