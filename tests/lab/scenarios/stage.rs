//! A lab with a cluster and everything that a run needs of the outside.

use crate::program::path_of;
use crate::room::Room;
use replank_execution::world::client;
use replank_lab::Lab;
use replank_lab::build::{self, report::Progress};
use replank_lab::cluster::{Cluster, Shape};
use replank_lab::error::Result;
use replank_lab::place::Place;
use replank_lab::supervisor::Held;
use serde_json::Value;
use std::time::Instant;

/// Workloads of the lab's own.
pub(crate) const WORKLOADS: &str = include_str!("../manifests/workloads.yaml");

/// A lab of one test. It ends when this is dropped, after a panic too.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    /// None for a developer's own lab, which stays.
    _held: Option<(Held, Room)>,
}

#[allow(clippy::print_stderr, reason = "a test's own output")]
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}

impl Stage {
    /// A cluster with nothing on it but its network. Where `REPLANK_LAB` names a lab that is up, that one.
    pub(crate) fn with(name: &str, shape: Shape) -> Self {
        Self::made(name, shape, |lab, progress| Cluster::make(lab, shape, progress))
    }

    /// The same, its network made by this manifest.
    pub(crate) fn with_manifest(name: &str, shape: Shape, manifest: &str) -> Self {
        Self::made(name, shape, |lab, progress| Cluster::make_with(lab, shape, &[manifest], progress))
    }

    fn made(name: &str, shape: Shape, make: impl FnOnce(Lab, &mut Progress<'_>) -> Result<Cluster>) -> Self {
        if std::env::var_os(replank_lab::place::FOLDER).is_some() {
            let lab = Lab::open(Place::find()).unwrap_or_else(|error| panic!("{error}"));
            let cluster = Cluster::open(lab).unwrap_or_else(|error| panic!("{error}"));
            return Self { cluster, _held: None };
        }
        replank_lab::needs::kernel().unwrap_or_else(|error| panic!("{error}"));
        let mut listener = say;
        let mut progress = Progress::new(&mut listener);
        let built = build::build(&mut progress).unwrap_or_else(|error| panic!("{error}"));
        let room = Room::take(shape);
        // Not in the build's folder: a socket's path must be short.
        let place = Place::new(std::env::temp_dir().join(format!("replank-{name}-{}", std::process::id())));
        let began = Instant::now();
        let held = Held::start(&path_of("replank-lab"), place.clone(), &built)
            .unwrap_or_else(|error| panic!("{error}"));
        let lab = Lab::open(place).expect("it was started");
        let cluster = make(lab, &mut progress).unwrap_or_else(|error| panic!("{error}"));
        say(&format!("the cluster was ready after {:.0} s", began.elapsed().as_secs_f64()));
        Self { cluster, _held: Some((held, room)) }
    }

    /// A connection as replank makes it.
    pub(crate) async fn client(&self) -> kube::Client {
        let text = std::fs::read_to_string(self.cluster.kubeconfig()).expect("the lab wrote it");
        let kubeconfig = kube::config::Kubeconfig::from_yaml(&text).expect("it is a kubeconfig");
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options);
        client(config.await.expect("it can be used")).expect("a client can be made")
    }

    /// Puts workloads on the cluster and waits until they are ready.
    pub(crate) fn furnish(&self, manifest: &str) {
        self.cluster.kubectl(&["apply", "-f", "-"], Some(manifest)).unwrap_or_else(|e| panic!("{e}"));
        let nodes = self.cluster.list("nodes").expect("nodes can be listed").len();
        self.cluster.settled(nodes).unwrap_or_else(|e| panic!("{e}"));
    }

    /// Objects of a kind, of all namespaces.
    pub(crate) fn list(&self, resource: &str) -> Vec<Value> {
        self.cluster.list(resource).unwrap_or_else(|error| panic!("{error}"))
    }
}
