//! `kube-controller-manager` and `kube-scheduler` as container programs.

use super::context::Cx;
use super::election::Election;
use super::objects::short_hash;
use super::runtime::{self, Task};
use super::{manager, scheduler};
use crate::machines::{ContainerSpecView, Exit, Program, ProgramContext};
use futures::FutureExt;
use futures::future::BoxFuture;

/// Whether a container runs this binary.
fn runs(container: &ContainerSpecView<'_>, binary: &str) -> bool {
    let first = container.command.first().map(|word| word.rsplit('/').next().unwrap_or_default());
    !container.init && first.map_or(container.image_name() == binary, |word| word == binary)
}

/// The controllers, of which one leads.
pub(super) struct ControllerManager;

impl Program for ControllerManager {
    fn name(&self) -> &'static str {
        "kube-controller-manager"
    }

    fn matches(&self, container: &ContainerSpecView<'_>) -> bool {
        runs(container, self.name())
    }

    fn run(&self, context: ProgramContext) -> BoxFuture<'static, Exit> {
        async move {
            lead(context, "kube-controller-manager", |cx, context| {
                let flag = |name: &str| context.flag(name);
                manager::tasks(cx, &flag, &context.durations)
            })
            .await
        }
        .boxed()
    }
}

/// The scheduler, of which one leads.
pub(super) struct Scheduler;

impl Program for Scheduler {
    fn name(&self) -> &'static str {
        "kube-scheduler"
    }

    fn matches(&self, container: &ContainerSpecView<'_>) -> bool {
        runs(container, self.name())
    }

    fn run(&self, context: ProgramContext) -> BoxFuture<'static, Exit> {
        async move {
            lead(context, "kube-scheduler", |_, context| Ok(vec![scheduler::task(context.seed)])).await
        }
        .boxed()
    }
}

/// Waits for the lead, then runs what the leader runs until the lead or the process ends.
async fn lead(
    context: ProgramContext,
    name: &'static str,
    tasks: impl FnOnce(&Cx, &ProgramContext) -> Result<Vec<Box<dyn Task>>, String> + Send,
) -> Exit {
    let Some(server) = context.server.clone() else {
        // Outside of the embedded cluster the real ones run.
        context.set_ready(true);
        context.stop.cancelled().await;
        return Exit::OK;
    };
    let stop = context.stop.clone();
    tokio::select! {
        biased;
        () = stop.cancelled() => Exit::OK,
        exit = leading(context, server, name, tasks) => exit,
    }
}

async fn leading(
    context: ProgramContext,
    server: crate::server::Server,
    name: &'static str,
    tasks: impl FnOnce(&Cx, &ProgramContext) -> Result<Vec<Box<dyn Task>>, String> + Send,
) -> Exit {
    tokio::time::sleep(context.durations.control_plane_start).await;
    context.set_ready(true);
    let cx = Cx::new(&server, name);
    let elects = context.flag("leader-elect").as_deref() != Some("false");
    let identity =
        format!("{}_{}", context.node, short_hash(&[name, &context.seed.to_string(), &cx.stamp()]));
    let mut election = Election::new(context.client.clone(), name, identity, context.clock);
    if elects {
        election.win().await;
    }
    let tasks = match tasks(&cx, &context) {
        Ok(tasks) => tasks,
        Err(error) => {
            tracing::error!(node = %context.node, %error, "{name} can't start");
            return Exit::Code(1);
        }
    };
    if !elects {
        runtime::run(&cx, tasks).await;
        return Exit::OK;
    }
    tokio::select! {
        biased;
        () = election.hold() => {
            tracing::error!(node = %context.node, "{name}: leader election lost");
            Exit::Code(1)
        }
        () = runtime::run(&cx, tasks) => Exit::OK,
    }
}
