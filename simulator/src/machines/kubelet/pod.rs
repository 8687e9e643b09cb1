//! One pod of a node, as its kubelet and container runtime know it.

use crate::server::Object;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::machines::api::text;
use crate::machines::host::HostFiles;
use crate::machines::runtime::Runtime;

/// Where a pod comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WorkerKind {
    /// From the API.
    Ordinary,
    /// From a file of the host.
    Static {
        /// Its path.
        source: String,
    },
    /// A mirror whose file is gone.
    OrphanMirror,
}

/// How far a pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Just seen.
    New,
    /// Its volumes or the network are waited for, or a failed sandbox's next try.
    Waiting { not_before: Instant },
    /// Its sandbox is being made.
    Sandboxing { until: Instant },
    /// Making its sandbox failed, and so did taking the remains down.
    Cleaning { at: Instant },
    /// Its containers come and go.
    Running,
    /// All its containers have ended for good; its sandbox is taken down.
    Reaping { at: Instant },
    /// It ended by itself, and nothing of it is left but the object.
    Finished,
    /// It was asked to go; its sandbox is taken down.
    TearingDown { at: Instant },
    /// Nothing of it is left but the object.
    Gone,
}

/// A pod's network and its place in the runtime.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    pub(super) id: String,
    pub(super) addresses: Vec<IpAddr>,
}

/// A container's state.
#[derive(Debug)]
pub(super) enum ContainerState {
    /// Not begun.
    Waiting,
    /// Its image is pulled.
    Pulling { until: Instant },
    /// It is being started.
    Starting { until: Instant },
    /// It runs.
    Running(Running),
    /// It ended.
    Exited(Exited),
}

/// A container that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) since: String,
    pub(super) at: Instant,
    /// When the container's probe succeeds, if it is not ready yet.
    pub(super) ready_at: Option<Instant>,
    /// When an ordinary container ends, and how.
    pub(super) exit: Option<(Instant, i32)>,
    pub(super) task: Option<ProgramTask>,
}

/// A container that ended.
#[derive(Clone, Debug)]
pub(super) struct Exited {
    pub(super) code: i32,
    pub(super) started: String,
    pub(super) finished: String,
    pub(super) at: Instant,
    pub(super) ran: Duration,
}

/// The task of a program.
#[derive(Debug)]
pub(super) struct ProgramTask {
    pub(super) stop: CancellationToken,
    pub(super) kill: CancellationToken,
}

/// One container of a pod.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) index: usize,
    pub(super) init: bool,
    /// An init container that runs beside the others.
    pub(super) sidecar: bool,
    pub(super) state: ContainerState,
    pub(super) last: Option<(String, Exited)>,
    pub(super) id: String,
    pub(super) restarts: u32,
    pub(super) ready: bool,
    /// Grows with every start; an old task's messages are told apart by it.
    pub(super) run: u64,
    pub(super) back_off: Duration,
    /// Why it can't be started.
    pub(super) trouble: Option<(&'static str, String)>,
    pub(super) retry_at: Option<Instant>,
}

impl Container {
    pub(super) fn completed(&self) -> bool {
        matches!(&self.state, ContainerState::Exited(exited) if exited.code == 0)
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running(_))
    }
}

/// One pod of the node.
pub(super) struct PodWorker {
    pub(super) pod: Object,
    kind: WorkerKind,
    mirror: Option<Object>,
    /// The API object or the manifest is gone.
    gone: bool,
    unreadable_since: Option<Instant>,
    pub(super) stage: Stage,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) attempts: u64,
    pub(super) containers: Vec<Container>,
    pub(super) started: Option<String>,
    /// When what still runs is killed.
    pub(super) deadline: Option<Instant>,
    pub(super) conditions: BTreeMap<&'static str, (bool, String)>,
    pub(super) written: Option<Value>,
    /// When to write the status again because the object has another: somebody else wrote it, or the watch
    /// lags behind our own writes.
    doubted: Option<Instant>,
    /// Set once the pod ended.
    pub(super) final_phase: Option<&'static str>,
    pub(super) scratch: BTreeMap<String, HostFiles>,
    pub(super) client: Option<(kube::Client, String)>,
    pub(super) volumes: BTreeSet<String>,
    waits_for_network: bool,
}

impl PodWorker {
    pub(super) fn new(pod: Object, kind: WorkerKind) -> Self {
        let containers = containers(&pod);
        Self {
            pod,
            kind,
            mirror: None,
            gone: false,
            unreadable_since: None,
            stage: Stage::New,
            sandbox: None,
            attempts: 0,
            containers,
            started: None,
            deadline: None,
            conditions: BTreeMap::new(),
            written: None,
            doubted: None,
            final_phase: None,
            scratch: BTreeMap::new(),
            client: None,
            volumes: BTreeSet::new(),
            waits_for_network: false,
        }
    }

    pub(super) fn uid(&self) -> &str {
        text(&self.pod, "/metadata/uid")
    }

    pub(super) fn full_name(&self) -> (String, String) {
        (text(&self.pod, "/metadata/namespace").to_owned(), text(&self.pod, "/metadata/name").to_owned())
    }

    pub(super) fn is_static(&self) -> bool {
        matches!(self.kind, WorkerKind::Static { .. })
    }

    pub(super) fn is_orphan_mirror(&self) -> bool {
        self.kind == WorkerKind::OrphanMirror
    }

    pub(super) fn is_static_named(&self, name: &(String, String)) -> bool {
        self.is_static() && self.full_name() == *name
    }

    /// The path of a static pod's manifest.
    pub(super) fn source(&self) -> Option<&str> {
        match &self.kind {
            WorkerKind::Static { source } => Some(source),
            _ => None,
        }
    }

    /// The object in the API that this worker came from, if it is there.
    pub(super) fn api_object(&self) -> Option<Object> {
        match self.kind {
            WorkerKind::Static { .. } => self.mirror.clone(),
            _ if self.gone => None,
            _ => Some(self.pod.clone()),
        }
    }

    pub(super) fn mirror(&self) -> Option<Object> {
        self.mirror.clone()
    }

    pub(super) fn mirror_uid(&self) -> Option<&str> {
        self.mirror.as_deref().map(|mirror| text(mirror, "/metadata/uid"))
    }

    pub(super) fn see_mirror(&mut self, mirror: Option<Object>) {
        let uid = |mirror: &Option<Object>| {
            mirror.as_deref().map(|mirror| text(mirror, "/metadata/uid").to_owned())
        };
        if uid(&self.mirror) != uid(&mirror) {
            self.written = None;
        }
        self.mirror = mirror;
    }

    /// Compares the object's conditions with those that were written last; when to write them again, if they
    /// differ since now.
    pub(super) fn doubt(&mut self, after: Duration) -> Option<Instant> {
        let status = |from: &Value, kind: &Value| {
            let conditions = from["conditions"].as_array();
            let found = conditions.into_iter().flatten().find(|one| one["type"] == *kind);
            found.map(|one| one["status"].clone())
        };
        let written = self.written.as_ref().and_then(|written| written["conditions"].as_array());
        let differs = self.api_object().is_some_and(|object| {
            let mut written = written.into_iter().flatten();
            written.any(|one| status(&object["status"], &one["type"]).as_ref() != Some(&one["status"]))
        });
        match (differs, self.doubted) {
            (true, None) => self.doubted = Some(Instant::now() + after),
            (true, Some(_)) => return None,
            (false, _) => self.doubted = None,
        }
        self.doubted
    }

    /// Whether what was written last is still to be found in the object, as far as is known.
    pub(super) fn has_written(&self, status: &Value) -> bool {
        self.written.as_ref() == Some(status) && self.doubted.is_none_or(|due| due > Instant::now())
    }

    /// Notes what was written.
    pub(super) fn wrote(&mut self, status: Value) {
        self.written = Some(status);
        self.doubted = None;
    }

    pub(super) fn object_gone(&mut self) {
        self.gone = true;
    }

    pub(super) fn manifest_gone(&mut self) {
        self.gone = true;
    }

    pub(super) fn unreadable_for(&mut self, now: Instant, limit: Duration) -> bool {
        now >= *self.unreadable_since.get_or_insert(now) + limit
    }

    /// Whether nothing in the API or on disk wants it any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Whether it is to end.
    pub(super) fn is_ending(&self) -> bool {
        self.gone || (!self.is_static() && !self.pod["metadata"]["deletionTimestamp"].is_null())
    }

    pub(super) fn set_waits_for_network(&mut self, waits: bool) {
        self.waits_for_network = waits;
    }

    pub(super) fn waits_for_network(&self) -> bool {
        self.waits_for_network
    }

    pub(super) fn host_network(&self) -> bool {
        self.pod["spec"]["hostNetwork"] == true
    }

    /// Whether a new version of the object is more than our own status coming back.
    pub(super) fn matters(&self, new: &Value) -> bool {
        let old = &self.pod;
        let meta = ["deletionTimestamp", "deletionGracePeriodSeconds"];
        meta.iter().any(|key| old["metadata"][*key] != new["metadata"][*key])
            || old["spec"] != new["spec"]
            || old["spec"]["readinessGates"].as_array().is_some_and(|gates| !gates.is_empty())
    }

    /// The seconds that the pod's processes have to end.
    pub(super) fn grace(&self) -> Duration {
        let metadata = &self.pod["metadata"]["deletionGracePeriodSeconds"];
        let spec = &self.pod["spec"]["terminationGracePeriodSeconds"];
        Duration::from_secs(metadata.as_u64().or(spec.as_u64()).unwrap_or(30))
    }

    /// A program ended.
    pub(super) fn exited(&mut self, container: &str, run: u64, code: i32, now: &str, runtime: &Runtime) {
        let found = self.containers.iter_mut().find(|c| c.name == container && c.run == run);
        if let Some(container) = found {
            end(container, code, now, runtime);
        }
    }

    pub(super) fn set_ready(&mut self, container: &str, run: u64, ready: bool) {
        let found = self.containers.iter_mut().find(|c| c.name == container && c.run == run);
        if let Some(Container { state: ContainerState::Running(running), ready: now, .. }) = found {
            *now &= ready;
            running.ready_at = ready.then(Instant::now);
        }
    }

    /// Kills every program at once.
    pub(super) fn kill_all(&mut self) {
        for container in &self.containers {
            if let ContainerState::Running(Running { task: Some(task), .. }) = &container.state {
                task.kill.cancel();
            }
        }
    }
}

/// Makes a running container one that ended.
pub(super) fn end(container: &mut Container, code: i32, now: &str, runtime: &Runtime) {
    let ContainerState::Running(running) = &container.state else { return };
    let exited = Exited {
        code,
        started: running.since.clone(),
        finished: now.to_owned(),
        at: Instant::now(),
        ran: running.at.elapsed(),
    };
    container.ready = false;
    container.retry_at = None;
    container.state = ContainerState::Exited(exited);
    runtime.stopped(&container.id);
}

fn containers(pod: &Value) -> Vec<Container> {
    let of = |key: &str, init: bool| -> Vec<Container> {
        pod["spec"][key]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
            .map(|(index, spec)| Container {
                name: text(spec, "/name").to_owned(),
                image: text(spec, "/image").to_owned(),
                index,
                init,
                sidecar: init && spec["restartPolicy"] == "Always",
                state: ContainerState::Waiting,
                last: None,
                id: String::new(),
                restarts: 0,
                ready: false,
                run: 0,
                back_off: Duration::ZERO,
                trouble: None,
                retry_at: None,
            })
            .collect()
    };
    let mut all = of("initContainers", true);
    all.extend(of("containers", false));
    all
}
