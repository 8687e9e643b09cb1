//! A small kubeadm cluster in this process, as the suites need it: virtual time, all controllers,
//! all agents, and nothing of ours.

mod view;

use std::path::Path;

use kube::Client;
use replank_simulator::Clock;
use replank_simulator::scenario::{self, ClusterSpec, Manifest};
use serde_json::Value;

pub(crate) use view::{annotation, condition, text};

/// The cluster of a story.
pub(crate) struct Cluster {
    built: scenario::Cluster,
    client: Client,
}

impl Cluster {
    /// One control plane and two workers with a few pods, on the network of upstream's manifests.
    pub(crate) async fn with(folder: &Path, manifests: &[&str], pod_subnet: &str) -> Self {
        let spec = ClusterSpec {
            control_planes: 1,
            workers: 2,
            pods: 12,
            seed: 11,
            manifests: manifests.iter().map(|name| manifest(folder, name)).collect(),
            pod_subnet: pod_subnet.to_owned(),
            ..ClusterSpec::default()
        };
        let built = scenario::Cluster::build(spec, Clock::fixed()).await;
        let built = built.unwrap_or_else(|error| panic!("{error}"));
        Self { client: built.client("story"), built }
    }

    /// Creates every object of a manifest, in order.
    pub(crate) async fn install(&self, folder: &Path, name: &str) {
        for object in manifest(folder, name).objects {
            self.create(&collection(&object), &object).await;
        }
    }

    /// Deletes every object of a manifest, in order.
    pub(crate) async fn uninstall(&self, folder: &Path, name: &str) {
        for object in manifest(folder, name).objects {
            self.delete(&format!("{}/{}", collection(&object), text(&object, "/metadata/name"))).await;
        }
    }
}

fn manifest(folder: &Path, name: &str) -> Manifest {
    let text = std::fs::read_to_string(folder.join(name)).expect("the manifest can be read");
    Manifest::read(name, &text).expect("it is a manifest")
}

/// The collection that an object belongs to. One without a namespace is taken for the cluster's.
fn collection(object: &Value) -> String {
    let version = text(object, "/apiVersion");
    let base = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let kind = text(object, "/kind").to_lowercase();
    let plural = match kind.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if kind.ends_with('s') => format!("{kind}es"),
        None => format!("{kind}s"),
    };
    match text(object, "/metadata/namespace") {
        "" => format!("{base}/{plural}"),
        namespace => format!("{base}/namespaces/{namespace}/{plural}"),
    }
}
