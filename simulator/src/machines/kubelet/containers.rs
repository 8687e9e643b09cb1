//! Starting containers in order, watching their probes, starting those again that ended.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Message;
use super::environment;
use super::node::Session;
use super::pod::{ContainerState, PodWorker, ProgramTask, Running, end};
use crate::machines::api::{ApiFailure, text};
use crate::machines::program::{ContainerSpecView, Exit, Program, ProgramContext};
use crate::machines::runtime::ContainerRow;

/// An ordinary container of a Job works as long as so many init containers.
const JOB_WORKS: u32 = 10;

/// Moves the pod's containers on; when to look again, if time alone will change something.
pub(super) async fn progress(
    session: &mut Session,
    worker: &mut PodWorker,
    sender: &mpsc::UnboundedSender<Message>,
) -> Option<Instant> {
    let mut next: Option<Instant> = None;
    let mut soonest = |at: Option<Instant>| {
        if let Some(at) = at {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
    };
    let inits = worker.containers.iter().filter(|container| container.init).count();
    for index in 0..inits {
        if !worker.containers[index].completed() || worker.containers[index].sidecar {
            soonest(step(session, worker, index, sender).await);
        }
        let container = &worker.containers[index];
        if !(container.completed() || (container.sidecar && container.is_running())) {
            return next;
        }
    }
    for index in inits..worker.containers.len() {
        soonest(step(session, worker, index, sender).await);
    }
    next
}

/// Moves one container on as far as it goes now.
async fn step(
    session: &mut Session,
    worker: &mut PodWorker,
    index: usize,
    sender: &mpsc::UnboundedSender<Message>,
) -> Option<Instant> {
    let durations = session.machine.site.durations.clone();
    loop {
        let now = Instant::now();
        let restarts = restarts(worker, index);
        let unready = suffers(session, worker, "pod-never-ready");
        let container = &mut worker.containers[index];
        match &mut container.state {
            ContainerState::Waiting => {
                if let Some(at) = container.retry_at.filter(|at| *at > now) {
                    return Some(at);
                }
                container.retry_at = None;
                let until = match session.machine.runtime.has_image(&container.image) {
                    true => None,
                    false => Some(now + durations.image_pull),
                };
                container.state = match until {
                    Some(until) => ContainerState::Pulling { until },
                    None => ContainerState::Starting { until: now + durations.container_start },
                };
            }
            ContainerState::Pulling { until } | ContainerState::Starting { until } if *until > now => {
                return Some(*until);
            }
            ContainerState::Pulling { .. } => {
                if session.machine.site.strikes("image-pull-fails", &session.machine.name).is_some() {
                    let message = format!("Back-off pulling image \"{}\"", container.image);
                    container.trouble = Some(("ImagePullBackOff", message));
                    container.state = ContainerState::Pulling { until: now + durations.crash_back_off };
                    continue;
                }
                session.machine.runtime.add_image(&container.image);
                container.state = ContainerState::Starting { until: now + durations.container_start };
            }
            ContainerState::Starting { .. } => {
                if let Err(failure) = start(session, worker, index, sender).await {
                    let container = &mut worker.containers[index];
                    container.trouble = Some(("CreateContainerConfigError", failure.to_string()));
                    container.state = ContainerState::Waiting;
                    container.retry_at = Some(Instant::now() + durations.api_retry * 5);
                }
            }
            ContainerState::Running(running) => {
                if let Some((at, code)) = running.exit {
                    if at > now {
                        return Some(at);
                    }
                    end(container, code, &session.machine.site.clock.now_rfc3339(), &session.machine.runtime);
                    continue;
                }
                return match running.ready_at {
                    Some(at) if at > now => Some(at),
                    Some(_) if unready => Some(now + durations.api_retry),
                    Some(_) => {
                        container.ready = true;
                        running.ready_at = None;
                        None
                    }
                    None => None,
                };
            }
            ContainerState::Exited(exited) => {
                if !restarts {
                    return None;
                }
                if exited.ran >= durations.crash_back_off_reset {
                    container.back_off = Duration::ZERO;
                }
                let at = *container.retry_at.get_or_insert(exited.at + container.back_off);
                if at > now {
                    return Some(at);
                }
                container.last = Some((container.id.clone(), exited.clone()));
                container.restarts += 1;
                container.back_off = match container.back_off {
                    Duration::ZERO => durations.crash_back_off,
                    back_off => (back_off * 2).min(durations.crash_back_off_max),
                };
                container.retry_at = None;
                container.state = ContainerState::Waiting;
            }
        }
    }
}

/// Whether a lasting fault is raised for the pod, its machine or its node.
pub(super) fn suffers(session: &Session, worker: &PodWorker, fault: &str) -> bool {
    let site = &session.machine.site;
    let pod = text(&worker.pod, "/metadata/name");
    [pod, &session.machine.name, &session.node].iter().any(|subject| site.suffers(fault, subject))
}

/// Whether a container that ended is started again.
fn restarts(worker: &PodWorker, index: usize) -> bool {
    let container = &worker.containers[index];
    let policy = worker.pod["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    if container.init && !container.sidecar {
        return policy != "Never" && !container.completed();
    }
    container.sidecar || policy == "Always" || (policy == "OnFailure" && !container.completed())
}

/// The phase that a pod ended in, if all of it has ended for good.
pub(super) fn final_phase(worker: &PodWorker) -> Option<&'static str> {
    let ended = |index: usize| match &worker.containers[index].state {
        ContainerState::Exited(exited) if !restarts(worker, index) => Some(exited.code),
        _ => None,
    };
    let failed_init = (0..worker.containers.len())
        .filter(|index| worker.containers[*index].init && !worker.containers[*index].sidecar)
        .any(|index| ended(index).is_some_and(|code| code != 0));
    if failed_init {
        return Some("Failed");
    }
    let main: Vec<Option<i32>> =
        (0..worker.containers.len()).filter(|index| !worker.containers[*index].init).map(ended).collect();
    if main.is_empty() || main.iter().any(Option::is_none) {
        return None;
    }
    Some(if main.iter().all(|code| *code == Some(0)) { "Succeeded" } else { "Failed" })
}

/// Starts a container: its program, or nothing but the passing of time.
async fn start(
    session: &mut Session,
    worker: &mut PodWorker,
    index: usize,
    sender: &mpsc::UnboundedSender<Message>,
) -> Result<(), ApiFailure> {
    let site = session.machine.site.clone();
    let container = &worker.containers[index];
    let key = if container.init { "initContainers" } else { "containers" };
    let spec = worker.pod["spec"][key][container.index].clone();
    let program = site.programs.find(&ContainerSpecView::of(&spec, container.init));
    let run = container.run + 1;
    let name = container.name.clone();
    let task = match program {
        Some(program) => Some(spawn(session, worker, index, &spec, program, run, sender).await?),
        None => None,
    };
    let pod = worker.full_name();
    let identity = format!("container/{}/{}/{name}/{run}", session.machine.boot_id(), worker.uid());
    let now = Instant::now();
    let job = worker.pod["spec"]["restartPolicy"].as_str().is_some_and(|policy| policy != "Always");
    let container = &mut worker.containers[index];
    let ordinary_end = match (task.is_some(), container.init && !container.sidecar) {
        (true, _) => None,
        (false, init) => ordinary_end(&spec, init, job, site.durations.init_container),
    };
    let probed = !spec["readinessProbe"].is_null();
    let delay = spec["readinessProbe"]["initialDelaySeconds"].as_u64().unwrap_or(0).min(u64::from(u32::MAX));
    let delay = Duration::from_secs(delay);
    let delay = delay.mul_f64(site.durations.probe_delay);
    let ready_at = match (&task, probed) {
        (_, false) => Some(now),
        (Some(_), true) => None,
        (None, true) => Some(now + site.durations.probe + delay),
    };
    container.run = run;
    container.id = site.hex_id(&identity);
    container.trouble = None;
    container.ready = false;
    session.machine.runtime.put(ContainerRow {
        id: container.id.clone(),
        name: container.name.clone(),
        image: container.image.clone(),
        pod: pod.1,
        namespace: pod.0,
        running: true,
        attempt: container.restarts,
    });
    container.state = ContainerState::Running(Running {
        since: site.clock.now_rfc3339(),
        at: now,
        ready_at,
        exit: ordinary_end.map(|(after, code)| (now + after, code)),
        task,
    });
    Ok(())
}

/// When an ordinary container ends by itself, and with which status. `sleep N`, `exit N`, `true`
/// and `false` are understood; beyond that init containers and those of Jobs end after a while.
fn ordinary_end(spec: &Value, init: bool, job: bool, init_time: Duration) -> Option<(Duration, i32)> {
    let line: Vec<&str> = ["command", "args"]
        .iter()
        .filter_map(|key| spec[*key].as_array())
        .flatten()
        .filter_map(Value::as_str)
        .flat_map(str::split_whitespace)
        .collect();
    let number = |word: &str| {
        let at = line.iter().position(|other| *other == word)?;
        line.get(at + 1)?.trim_end_matches(';').parse::<u64>().ok()
    };
    let sleep = number("sleep").map(Duration::from_secs);
    let code = match line.first() {
        Some(&"false") => Some(1),
        Some(&"true") => Some(0),
        _ => number("exit").map(|code| code as i32),
    };
    match (code, sleep, init, job) {
        (Some(code), sleep, ..) => Some((sleep.unwrap_or(init_time), code)),
        (None, Some(sleep), ..) => Some((sleep, 0)),
        (None, None, true, _) => Some((init_time, 0)),
        (None, None, false, true) if !line.contains(&"infinity") => Some((init_time * JOB_WORKS, 0)),
        _ => None,
    }
}

/// Starts a program's task, which tells the kubelet of readiness and end.
async fn spawn(
    session: &mut Session,
    worker: &mut PodWorker,
    index: usize,
    spec: &Value,
    program: Arc<dyn Program>,
    run: u64,
    sender: &mpsc::UnboundedSender<Message>,
) -> Result<ProgramTask, ApiFailure> {
    let machine = session.machine.clone();
    let site = machine.site.clone();
    let surroundings = environment::of(session, worker, spec).await?;
    let name = text(spec, "/name").to_owned();
    let uid = worker.uid().to_owned();
    let stop = CancellationToken::new();
    let kill = machine.power().child_token();
    let (ready, readiness) = watch::channel(false);
    let context = ProgramContext {
        client: surroundings.client,
        node: session.node.clone(),
        pod: worker.pod.clone(),
        container: name.clone(),
        image: text(spec, "/image").to_owned(),
        command: surroundings.command,
        args: surroundings.args,
        env: surroundings.env,
        files: surroundings.files,
        host: machine.host.clone(),
        ready,
        stop: stop.clone(),
        clock: site.clock,
        seed: site.seed_of(&format!("program/{}/{uid}/{name}/{run}", machine.id)),
        durations: site.durations.clone(),
        server: if worker.is_static() { site.access.server() } else { None },
        keyspace: site.keyspace.clone(),
    };
    let probed = !spec["readinessProbe"].is_null();
    debug_assert!(worker.containers[index].name == name, "the index is the container's");
    let task = ProgramTask { stop, kill: kill.clone() };
    let sender = sender.clone();
    site.tasks.spawn(async move {
        let tell = |ready: bool| {
            let _ = sender.send(Message::Ready { pod: uid.clone(), container: name.clone(), run, ready });
        };
        let exit = tokio::select! {
            biased;
            () = kill.cancelled() => Exit::Code(137),
            exit = program.run(context) => exit,
            () = follow(readiness, probed, tell) => Exit::Code(137),
        };
        let _ = sender.send(Message::Exited {
            pod: uid.clone(),
            container: name.clone(),
            run,
            code: exit.code(),
        });
    });
    Ok(task)
}

/// Passes a program's readiness on, for ever.
async fn follow(mut readiness: watch::Receiver<bool>, probed: bool, tell: impl Fn(bool)) {
    if probed {
        loop {
            let ready = *readiness.borrow_and_update();
            tell(ready);
            if readiness.changed().await.is_err() {
                break;
            }
        }
    }
    std::future::pending().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ordinary_containers_end_as_their_command_says() {
        let second = Duration::from_secs(1);
        let of = |command: Value, init, job| ordinary_end(&json!({ "command": command }), init, job, second);
        assert_eq!(
            of(json!(["sh", "-c", "sleep 7; exit 3"]), false, false),
            Some((Duration::from_secs(7), 3))
        );
        assert_eq!(of(json!(["false"]), false, false), Some((second, 1)));
        assert_eq!(of(json!(["serve"]), true, false), Some((second, 0)));
        assert_eq!(of(json!(["sleep", "infinity"]), false, true), None);
        assert_eq!(of(json!(["work"]), false, true), Some((second * JOB_WORKS, 0)));
        assert_eq!(of(json!(["serve"]), false, false), None);
    }
}
