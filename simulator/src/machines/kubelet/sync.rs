//! Moving one pod on: towards running, or towards its end.

use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::node::Session;
use super::pod::{ContainerState, PodWorker, Running, Sandbox, Stage};
use super::{Message, containers, pod_status, static_pods, volumes};
use crate::machines::api::{ApiFailure, Patch, core, text};
use crate::machines::cni;

/// When to look at the pod again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// When something happens.
    Wait,
    /// At this time at the latest.
    At(Instant),
    /// Never: nothing of it is left.
    Forget,
}

enum Step {
    /// Something changed; look again.
    Again,
    Until(Next),
}

type Sender = mpsc::UnboundedSender<Message>;

/// Moves a pod on as far as it goes now, and writes its status if that changed.
pub(super) async fn advance(session: &mut Session, worker: &mut PodWorker, sender: &Sender) -> Next {
    let retry = session.machine.site.durations.api_retry;
    if worker.is_orphan_mirror() {
        if worker.is_gone() {
            return Next::Forget;
        }
        return match delete_object(session, worker).await {
            Ok(()) => Next::Forget,
            Err(_) => Next::At(Instant::now() + retry),
        };
    }
    let mut mirrored = Ok(true);
    if worker.is_static() && !worker.is_ending() {
        mirrored = static_pods::keep_mirror(session, worker).await;
    }
    let mut next = loop {
        let step = match worker.is_ending() {
            true => towards_end(session, worker).await,
            false => towards_running(session, worker, sender).await,
        };
        match step {
            Step::Again => {}
            Step::Until(next) => break next,
        }
    };
    if next == Next::Forget {
        worker.kill_all();
        session.events.forget(worker.uid());
        return next;
    }
    let written = write_status(session, worker).await;
    // Before the Node is there, registering it wakes the static pods.
    if written.is_err() || mirrored.is_err() || (matches!(mirrored, Ok(false)) && session.registered) {
        next = sooner(next, Instant::now() + retry);
    }
    next
}

fn sooner(next: Next, at: Instant) -> Next {
    match next {
        Next::At(other) => Next::At(other.min(at)),
        _ => Next::At(at),
    }
}

async fn towards_running(session: &mut Session, worker: &mut PodWorker, sender: &Sender) -> Step {
    let durations = session.machine.site.durations.clone();
    let now = Instant::now();
    match worker.stage {
        Stage::New => {
            if matches!(text(&worker.pod, "/status/phase"), "Succeeded" | "Failed") {
                worker.stage = Stage::Finished;
                worker.written = Some(worker.pod["status"].clone());
                return Step::Until(Next::Wait);
            }
            let known = text(&worker.pod, "/status/startTime");
            worker.started = Some(match known {
                "" => session.machine.site.clock.now_rfc3339(),
                known => known.to_owned(),
            });
            worker.stage = Stage::Waiting { not_before: now };
            Step::Again
        }
        Stage::Waiting { not_before } if now < not_before => Step::Until(Next::At(not_before)),
        Stage::Waiting { .. } => {
            if !worker.host_network() && !session.network_ready {
                worker.set_waits_for_network(true);
                let message = "network is not ready: container runtime network not ready: NetworkReady=false \
                    reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";
                session.tell(&worker.pod.clone(), "Warning", "NetworkNotReady", message).await;
                return Step::Until(Next::Wait);
            }
            worker.set_waits_for_network(false);
            if let Err(message) = volumes::ready(session, worker).await {
                session.tell(&worker.pod.clone(), "Warning", "FailedMount", &message).await;
                return Step::Until(Next::At(now + durations.api_retry * 2));
            }
            worker.stage = Stage::Sandboxing { until: now + durations.sandbox };
            Step::Until(Next::At(now + durations.sandbox))
        }
        Stage::Sandboxing { until } if now < until => Step::Until(Next::At(until)),
        Stage::Sandboxing { .. } => make_sandbox(session, worker).await,
        Stage::Cleaning { at } if now < at => Step::Until(Next::At(at)),
        Stage::Cleaning { .. } => match take_down(session, worker).await {
            true => {
                worker.stage = Stage::Waiting { not_before: Instant::now() };
                Step::Again
            }
            false => {
                let at = now + durations.sandbox_retry;
                worker.stage = Stage::Cleaning { at };
                Step::Until(Next::At(at))
            }
        },
        Stage::Running => {
            let next = containers::progress(session, worker, sender).await;
            if let Some(phase) = containers::final_phase(worker) {
                worker.final_phase = Some(phase);
                worker.stage = Stage::Reaping { at: now + durations.sandbox_teardown };
                return Step::Until(Next::At(now + durations.sandbox_teardown));
            }
            Step::Until(next.map_or(Next::Wait, Next::At))
        }
        Stage::Reaping { at } if now < at => Step::Until(Next::At(at)),
        Stage::Reaping { .. } => match take_down(session, worker).await {
            true => {
                worker.stage = Stage::Finished;
                Step::Again
            }
            false => {
                let at = now + durations.sandbox_retry;
                worker.stage = Stage::Reaping { at };
                Step::Until(Next::At(at))
            }
        },
        Stage::Finished | Stage::TearingDown { .. } | Stage::Gone => Step::Until(Next::Wait),
    }
}

async fn towards_end(session: &mut Session, worker: &mut PodWorker) -> Step {
    let durations = session.machine.site.durations.clone();
    let now = Instant::now();
    match worker.stage {
        Stage::New | Stage::Waiting { .. } | Stage::Sandboxing { .. } | Stage::Finished => {
            worker.stage = Stage::Gone;
            Step::Again
        }
        Stage::Cleaning { at } | Stage::Reaping { at } => {
            worker.stage = Stage::TearingDown { at };
            Step::Again
        }
        Stage::Running => match stop_containers(session, worker) {
            Some(at) => Step::Until(Next::At(at)),
            None => {
                let at = now + durations.sandbox_teardown;
                worker.stage = Stage::TearingDown { at };
                Step::Until(Next::At(at))
            }
        },
        Stage::TearingDown { at } if now < at => Step::Until(Next::At(at)),
        Stage::TearingDown { .. } => match take_down(session, worker).await {
            true => {
                worker.stage = Stage::Gone;
                Step::Again
            }
            false => {
                let at = now + durations.sandbox_retry;
                worker.stage = Stage::TearingDown { at };
                Step::Until(Next::At(at))
            }
        },
        Stage::Gone => finish(session, worker).await,
    }
}

/// Nothing runs any more: the object goes, too.
async fn finish(session: &mut Session, worker: &mut PodWorker) -> Step {
    let again = Step::Until(Next::At(Instant::now() + session.machine.site.durations.api_retry));
    if worker.is_static() {
        return match static_pods::keep_mirror(session, worker).await {
            // Without a connection the mirror stays behind; a kubelet that finds it removes it.
            Ok(_) => Step::Until(Next::Forget),
            Err(_) => again,
        };
    }
    if worker.is_gone() {
        return Step::Until(Next::Forget);
    }
    let failed = worker
        .containers
        .iter()
        .any(|c| matches!(&c.state, ContainerState::Exited(exited) if exited.code != 0));
    worker.final_phase.get_or_insert(if failed { "Failed" } else { "Succeeded" });
    if write_status(session, worker).await.is_err() || delete_object(session, worker).await.is_err() {
        return again;
    }
    Step::Until(Next::Forget)
}

async fn delete_object(session: &Session, worker: &PodWorker) -> Result<(), ApiFailure> {
    let (namespace, name) = worker.full_name();
    let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": worker.uid()}});
    // A conflict may be another pod of this name, which the watch will tell, or one that passes.
    session.api.delete(&core(&namespace, "pods", &name), &options).await
}

async fn make_sandbox(session: &mut Session, worker: &mut PodWorker) -> Step {
    let durations = session.machine.site.durations.clone();
    worker.attempts += 1;
    let attempt = format!("sandbox/{}/{}/{}", session.machine.boot_id(), worker.uid(), worker.attempts);
    let id = session.machine.site.hex_id(&attempt);
    if worker.host_network() {
        let addresses = session.machine.host.identity().addresses.clone();
        worker.sandbox = Some(Sandbox { id, addresses });
        worker.stage = Stage::Running;
        return Step::Again;
    }
    let attachment = cni::Attachment::new(&session.node, &worker.pod, &id);
    match cni::add(&session.machine, &attachment).await {
        Ok(addresses) => {
            worker.sandbox = Some(Sandbox { id, addresses });
            worker.stage = Stage::Running;
            Step::Again
        }
        Err(message) => {
            let message = format!("Failed to create pod sandbox: rpc error: code = Unknown desc = {message}");
            session.tell(&worker.pod.clone(), "Warning", "FailedCreatePodSandBox", &message).await;
            worker.sandbox = Some(Sandbox { id, addresses: Vec::new() });
            let at = Instant::now() + durations.sandbox_retry;
            worker.stage = match cni::del(&session.machine, &attachment).await {
                Ok(()) => {
                    worker.sandbox = None;
                    Stage::Waiting { not_before: at }
                }
                Err(_) => Stage::Cleaning { at },
            };
            Step::Until(Next::At(at))
        }
    }
}

/// CNI DEL and the end of the sandbox; `false` if it has to be tried again.
async fn take_down(session: &mut Session, worker: &mut PodWorker) -> bool {
    let Some(sandbox) = worker.sandbox.clone() else { return true };
    if containers::suffers(session, worker, "pod-stuck-terminating") {
        return false;
    }
    if !worker.host_network() {
        let attachment = cni::Attachment::new(&session.node, &worker.pod, &sandbox.id);
        if let Err(message) = cni::del(&session.machine, &attachment).await {
            let message = format!(
                "error killing pod: failed to \"KillPodSandbox\" for \"{}\" with KillPodSandboxError: \
                 \"rpc error: code = Unknown desc = {}\"",
                worker.uid(),
                message.replace('"', "\\\""),
            );
            session.tell(&worker.pod.clone(), "Warning", "FailedKillPod", &message).await;
            return false;
        }
    }
    worker.sandbox = None;
    for container in &worker.containers {
        session.machine.runtime.remove(&container.id);
    }
    volumes::release(session, worker).await;
    true
}

/// Asks every container to stop, kills what outlives its grace; `None` once all have ended.
fn stop_containers(session: &mut Session, worker: &mut PodWorker) -> Option<Instant> {
    let now = Instant::now();
    let clock = session.machine.site.clock;
    let quick = session.machine.site.durations.container_stop;
    let grace = worker.grace();
    let deadline = match worker.deadline {
        // A shorter grace in a later delete counts.
        Some(deadline) => deadline.min(now + grace),
        None => now + grace,
    };
    let first = worker.deadline.replace(deadline).is_none();
    let mut next = None;
    for container in &mut worker.containers {
        match &mut container.state {
            ContainerState::Running(Running { task: Some(task), .. }) => {
                if first {
                    task.stop.cancel();
                }
                if now >= deadline {
                    task.kill.cancel();
                    super::pod::end(container, 137, &clock.now_rfc3339(), &session.machine.runtime);
                } else {
                    next = Some(deadline);
                }
            }
            ContainerState::Running(running) => {
                if first {
                    running.exit = Some((deadline.min(now + quick), 0));
                }
                let exit = running.exit.map_or(deadline, |(at, _)| at);
                if now >= exit {
                    super::pod::end(container, 0, &clock.now_rfc3339(), &session.machine.runtime);
                } else {
                    next = Some(next.map_or(exit, |next: Instant| next.min(exit)));
                }
            }
            _ => {}
        }
    }
    next
}

/// Writes the pod's status if it differs from what was written last.
async fn write_status(session: &mut Session, worker: &mut PodWorker) -> Result<(), ApiFailure> {
    let Some(object) = worker.api_object() else { return Ok(()) };
    if matches!(worker.stage, Stage::Finished) && worker.final_phase.is_none() {
        return Ok(());
    }
    let status = pod_status::render(session, worker);
    if worker.has_written(&status) {
        return Ok(());
    }
    let (namespace, name) = worker.full_name();
    let patch = json!({"metadata": {"uid": object["metadata"]["uid"]}, "status": status});
    let path = format!("{}/status", core(&namespace, "pods", &name));
    match session.api.patch(&path, Patch::Strategic, &patch).await {
        Ok(()) => {}
        // The pod is gone: the watch will say so. So it will where another has its name; any other conflict
        // passes.
        Err(failure) if failure.is_not_found() => {}
        Err(failure) => {
            session.last_error(&failure);
            return Err(failure);
        }
    }
    worker.wrote(status);
    Ok(())
}
