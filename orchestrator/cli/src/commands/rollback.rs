//! `replank rollback`.

use super::apply::{Direction, Task};
use crate::cluster::ClusterArguments;
use crate::confirm::confirmed;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::runs;
use clap::Args;
use replank_execution::RunDir;
use replank_execution::engine::rollback;
use replank_planning::ids::StepId;
use replank_planning::journal::RunPhase;
use std::path::{Path, PathBuf};

/// The flags of `replank rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The run's directory; without it the only run on this machine that has begun.
    #[arg(long, value_name = "DIR")]
    run_dir: Option<PathBuf>,
    /// The last step that stays; everything if it is left out.
    #[arg(long, value_name = "STEP")]
    to: Option<String>,
    /// Doesn't ask.
    #[arg(long)]
    yes: bool,
    /// The format of events and account; as JSON, one document a line.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Undoes what the journal says was done, and says where the way back ends.
pub(super) async fn run(arguments: &RollbackArguments) -> Result<Exit, Failure> {
    let over = |phase: &RunPhase| matches!(phase, RunPhase::RolledBack | RunPhase::Finalized);
    let directory = runs::meant(arguments.run_dir.as_deref(), over)?;
    let (plan, journalled) = RunDir::look(&directory)?;
    let to = arguments.to.clone().map(StepId::new);
    if let Some(to) = &to {
        rollback::may_stay(&plan, &journalled.map(|j| j.state).unwrap_or_default(), to)?;
    }
    let next = again(&directory, to.as_ref(), &arguments.cluster.flags());
    let connected = arguments.cluster.connect().await?;
    connected.announce();
    confirmed(arguments.yes, &format!("This undoes the run in {}.", directory.display()))?;
    let task = Task { plan, directory, format: arguments.output, next };
    Box::pin(task.carry_out(&connected, &arguments.cluster, Direction::Back(to))).await
}

/// The command that goes on after a pause: as far as this one was to go, and no further.
fn again(directory: &Path, to: Option<&StepId>, flags: &str) -> String {
    let mut command =
        format!("replank rollback --run-dir {}", output::quoted(&directory.display().to_string()));
    if let Some(to) = to {
        command.push_str(&format!(" --to {}", output::quoted(to.as_str())));
    }
    command + flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_on_stops_at_the_same_step() {
        let to = StepId::new("worker-1/drain");
        let directory = Path::new("/runs/a b");
        assert_eq!(
            again(directory, Some(&to), " --context c"),
            "replank rollback --run-dir '/runs/a b' --to worker-1/drain --context c"
        );
        assert_eq!(again(directory, None, ""), "replank rollback --run-dir '/runs/a b'");
    }
}
