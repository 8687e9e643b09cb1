//! What plays a node's kubelet: one task with a queue of wake-ups, and beside it one that renews
//! the Lease and one that watches the pods.
//!
//! The pods' workers outlive the kubelet's process, as containers do: a restarted kubelet finds
//! them again. They end with the machine's power.

mod config;
mod containers;
mod environment;
mod events;
mod lease;
mod node;
mod pod;
mod pod_status;
mod source;
mod static_pods;
mod sync;
mod volumes;

use crate::server::Object;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::config::KubeletConfig;
use self::node::Session;
pub(crate) use self::node::VERSION;
use self::pod::{PodWorker, WorkerKind};
use super::api::text;
use super::machine::Machine;

/// What reaches the kubelet's task.
#[derive(Debug)]
enum Message {
    /// All pods of the node, after a list.
    Listed(Vec<Object>),
    /// One pod came or changed.
    Applied(Object),
    /// One pod is gone.
    Deleted(Object),
    /// The node's Lease was renewed after it could not be for long.
    Heard,
    /// A program ended.
    Exited { pod: String, container: String, run: u64, code: i32 },
    /// A program's readiness changed.
    Ready { pod: String, container: String, run: u64, ready: bool },
}

/// What the kubelet wakes up for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wake {
    /// Registering the node.
    Register,
    /// Looking at the CNI configuration.
    Network,
    /// Looking at the static manifests.
    Manifests,
    /// Reporting the node's status.
    Status,
    /// Moving one pod on.
    Pod(String),
}

/// A node's kubelet with what it and the container runtime know of the pods.
pub(crate) struct Kubelet {
    machine: Arc<Machine>,
    power: CancellationToken,
    pods: BTreeMap<String, PodWorker>,
    sender: mpsc::UnboundedSender<Message>,
    receiver: mpsc::UnboundedReceiver<Message>,
    wakes: BTreeSet<(Instant, Wake)>,
}

impl Kubelet {
    /// The kubelet of a machine that has just got power.
    pub(crate) fn new(machine: Arc<Machine>, power: CancellationToken) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self { machine, power, pods: BTreeMap::new(), sender, receiver, wakes: BTreeSet::new() }
    }

    fn wake(&mut self, at: Instant, what: Wake) {
        self.wakes.insert((at, what));
    }

    /// Runs the kubelet's process until `ended`; containers run on after it.
    pub(crate) async fn run(&mut self, ended: impl Future<Output = ()>) {
        let mut ended = std::pin::pin!(ended);
        tokio::select! {
            biased;
            () = &mut ended => return,
            () = tokio::time::sleep(self.machine.site.durations.kubelet_start) => {}
        }
        self.wakes.clear();
        let config = match KubeletConfig::read(&self.machine) {
            Ok(config) => config,
            Err(error) => {
                self.machine.print(&format!("kubelet: {error}"));
                return ended.await;
            }
        };
        let stop = self.power.child_token();
        let _stop_with_process = stop.clone().drop_guard();
        let mut session = Session::new(self.machine.clone(), config, stop.clone());
        let files = self.machine.host.files().clone();
        let mut manifests = files.watch(&session.config.static_pod_path);
        let mut networks = files.watch(super::cni::CONFIGURATION);
        source::start(&session, self.sender.clone(), stop.clone());
        let now = Instant::now();
        self.wake(now, Wake::Manifests);
        self.wake(now, Wake::Network);
        self.wake(now, Wake::Register);
        for uid in self.pods.keys().cloned().collect::<Vec<_>>() {
            self.wake(now, Wake::Pod(uid));
        }
        let durations = self.machine.site.durations.clone();
        loop {
            let next = self.wakes.first().map(|(at, _)| *at);
            tokio::select! {
                biased;
                () = &mut ended => return,
                Some(message) = self.receiver.recv() => {
                    self.receive(message);
                    while let Ok(more) = self.receiver.try_recv() {
                        self.receive(more);
                    }
                }
                Ok(()) = manifests.changed() => {
                    self.wake(Instant::now() + durations.static_manifest, Wake::Manifests);
                }
                Ok(()) = networks.changed() => {
                    self.wake(Instant::now(), Wake::Network);
                }
                () = until(next) => self.fire(&mut session).await,
            }
        }
    }

    /// Carries out every wake-up that is due.
    async fn fire(&mut self, session: &mut Session) {
        let now = Instant::now();
        if self.machine.site.suffers("kubelet-stops", &self.machine.name) {
            // Silent: whatever is due waits until the fault is lifted.
            let due: Vec<_> = self.wakes.iter().take_while(|(at, _)| *at <= now).cloned().collect();
            for (at, wake) in due {
                self.wakes.remove(&(at, wake.clone()));
                self.wake(now + self.machine.site.durations.api_retry, wake);
            }
            return;
        }
        while let Some((at, _)) = self.wakes.first() {
            if *at > now {
                return;
            }
            let Some((_, wake)) = self.wakes.pop_first() else { return };
            match wake {
                Wake::Register => self.register(session).await,
                Wake::Network => self.look_at_network(session).await,
                Wake::Manifests => self.look_at_manifests(session),
                Wake::Status => self.report(session).await,
                Wake::Pod(uid) => self.sync(session, &uid).await,
            }
        }
    }

    async fn register(&mut self, session: &mut Session) {
        let durations = self.machine.site.durations.clone();
        if session.registered {
            return;
        }
        if self.machine.site.suffers("kubelet-never-joins", &self.machine.name) {
            self.wake(Instant::now() + durations.api_retry, Wake::Register);
            return;
        }
        match session.register().await {
            Ok(()) => {
                lease::start(session, self.sender.clone());
                let mut rng = self.machine.site.rng(&format!("status/{}", session.node));
                let jitter = rand::Rng::random_range(&mut rng, 0.5..1.0);
                self.wake(Instant::now() + durations.status_report.mul_f64(jitter), Wake::Status);
                self.wake_static_pods();
            }
            Err(failure) => {
                session.last_error(&failure);
                self.wake(Instant::now() + durations.api_retry, Wake::Register);
            }
        }
    }

    async fn look_at_network(&mut self, session: &mut Session) {
        if let Some(again) = session.look_at_network().await {
            self.wake(again, Wake::Network);
        } else {
            // Pods that waited for the network may go on.
            let waiting: Vec<String> = self
                .pods
                .iter()
                .filter(|(_, worker)| worker.waits_for_network())
                .map(|(uid, _)| uid.clone())
                .collect();
            for uid in waiting {
                self.wake(Instant::now(), Wake::Pod(uid));
            }
        }
    }

    async fn report(&mut self, session: &mut Session) {
        let durations = self.machine.site.durations.clone();
        let again = match session.report().await {
            Ok(()) => durations.status_report,
            Err(failure) => {
                session.last_error(&failure);
                durations.api_retry * 10
            }
        };
        self.wake(Instant::now() + again, Wake::Status);
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Listed(pods) => self.listed(pods),
            Message::Applied(pod) => self.applied(pod),
            Message::Deleted(pod) => self.deleted(&pod),
            Message::Heard => {
                // The controllers may have said of the silent node that nothing is known of it.
                self.wakes.retain(|(_, wake)| *wake != Wake::Status);
                self.wake(Instant::now(), Wake::Status);
            }
            Message::Exited { pod, container, run, code } => {
                let now = self.machine.site.clock.now_rfc3339();
                if let Some(worker) = self.pods.get_mut(&pod) {
                    worker.exited(&container, run, code, &now, &self.machine.runtime);
                    self.wake(Instant::now(), Wake::Pod(pod));
                }
            }
            Message::Ready { pod, container, run, ready } => {
                if let Some(worker) = self.pods.get_mut(&pod) {
                    worker.set_ready(&container, run, ready);
                    self.wake(Instant::now(), Wake::Pod(pod));
                }
            }
        }
    }

    fn listed(&mut self, pods: Vec<Object>) {
        let seen: BTreeSet<String> = pods.iter().map(|pod| text(pod, "/metadata/uid").to_owned()).collect();
        let gone: Vec<Value> = self
            .pods
            .values()
            .filter_map(PodWorker::api_object)
            .filter(|pod| !seen.contains(text(pod, "/metadata/uid")))
            .map(|pod| (*pod).clone())
            .collect();
        for pod in gone {
            self.deleted(&pod);
        }
        for pod in pods {
            self.applied(pod);
        }
    }

    fn applied(&mut self, pod: Object) {
        let now = Instant::now();
        if let Some(hash) = mirror_hash(&pod) {
            let hash = hash.to_owned();
            return self.mirror_applied(hash, pod);
        }
        let uid = text(&pod, "/metadata/uid").to_owned();
        match self.pods.get_mut(&uid) {
            Some(worker) => {
                let matters = worker.matters(&pod);
                worker.pod = pod;
                let doubted = worker.doubt(self.machine.site.durations.status_sync);
                if let Some(at) = doubted {
                    self.wake(at, Wake::Pod(uid.clone()));
                }
                if !matters {
                    return;
                }
            }
            None => {
                self.pods.insert(uid.clone(), PodWorker::new(pod, WorkerKind::Ordinary));
            }
        }
        self.wake(now, Wake::Pod(uid));
    }

    /// A mirror belongs to the static pod with its hash, or else to the one with its name.
    fn mirror_applied(&mut self, hash: String, pod: Object) {
        let name = (text(&pod, "/metadata/namespace").to_owned(), text(&pod, "/metadata/name").to_owned());
        let named = || {
            let found = self.pods.iter().find(|(_, worker)| worker.is_static_named(&name));
            found.map(|(uid, _)| uid.clone())
        };
        let target = if self.pods.contains_key(&hash) { Some(hash) } else { named() };
        let uid = if let Some(uid) = target {
            if let Some(worker) = self.pods.get_mut(&uid) {
                worker.see_mirror(Some(pod));
                let doubted = worker.doubt(self.machine.site.durations.status_sync);
                if let Some(at) = doubted {
                    self.wake(at, Wake::Pod(uid.clone()));
                }
            }
            uid
        } else {
            // A mirror without its manifest: all there is to do is to delete it.
            let uid = text(&pod, "/metadata/uid").to_owned();
            let worker = PodWorker::new(pod, WorkerKind::OrphanMirror);
            self.pods.insert(uid.clone(), worker);
            uid
        };
        self.wake(Instant::now(), Wake::Pod(uid));
    }

    fn deleted(&mut self, pod: &Value) {
        let uid = text(pod, "/metadata/uid").to_owned();
        if let Some(worker) = self.pods.get_mut(&uid) {
            worker.object_gone();
            self.wake(Instant::now(), Wake::Pod(uid));
            return;
        }
        let mirrored = self.pods.iter_mut().find(|(_, worker)| worker.mirror_uid() == Some(uid.as_str()));
        if let Some((uid, worker)) = mirrored {
            worker.see_mirror(None);
            let uid = uid.clone();
            self.wake(Instant::now(), Wake::Pod(uid));
        }
    }

    fn wake_static_pods(&mut self) {
        let uids: Vec<String> =
            self.pods.iter().filter(|(_, worker)| worker.is_static()).map(|(uid, _)| uid.clone()).collect();
        for uid in uids {
            self.wake(Instant::now(), Wake::Pod(uid));
        }
    }

    /// Moves a pod on as far as it goes now.
    async fn sync(&mut self, session: &mut Session, uid: &str) {
        let Some(mut worker) = self.pods.remove(uid) else { return };
        let blocked = worker.is_static() && self.predecessor_runs(&worker);
        if blocked {
            self.wake(
                Instant::now() + self.machine.site.durations.static_manifest,
                Wake::Pod(uid.to_owned()),
            );
            self.pods.insert(uid.to_owned(), worker);
            return;
        }
        let next = sync::advance(session, &mut worker, &self.sender).await;
        match next {
            sync::Next::Forget => {
                self.wakes.retain(|(_, wake)| !matches!(wake, Wake::Pod(other) if other == uid));
            }
            sync::Next::Wait => {
                self.pods.insert(uid.to_owned(), worker);
            }
            sync::Next::At(at) => {
                self.pods.insert(uid.to_owned(), worker);
                self.wake(at, Wake::Pod(uid.to_owned()));
            }
        }
    }

    /// Whether an older version of the same static pod still runs.
    fn predecessor_runs(&self, worker: &PodWorker) -> bool {
        let name = worker.full_name();
        self.pods.values().any(|other| other.is_static_named(&name) && other.is_ending())
            && !worker.is_ending()
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        for worker in self.pods.values_mut() {
            worker.kill_all();
        }
    }
}

fn mirror_hash(pod: &Value) -> Option<&str> {
    pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].as_str()
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
