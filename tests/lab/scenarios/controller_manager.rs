//! The controller-managers, watched: each end of one, with why, and what kubeadm would render for one that joins.

use replank_execution::api::{Api, Follow};
use replank_lab::Lab;
use replank_lab::cluster::Cluster;
use replank_lab::machine::{Power, Role};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const PODS: &str = "/api/v1/namespaces/kube-system/pods";
const LABEL: &str = "labelSelector=component%3Dkube-controller-manager";
const MANIFEST: &str = "root/etc/kubernetes/manifests/kube-controller-manager.yaml";
const ALLOCATES: &str = "allocate-node-cidrs";
const RANGE: &str = "cluster-cidr";
/// Between two looks at the files, which tell nobody that they changed.
const LOOK: Duration = Duration::from_millis(500);

/// Why one ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// It could not renew its lease in time.
    LeaseLost,
    /// It was told to: its manifest changed, or its machine went.
    Told,
    /// Anything else, in its own last words.
    Said(String),
}

/// What was seen until the watch was stopped.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By container: of which pod, and why it ended.
    pub(crate) ends: BTreeMap<String, (String, Why)>,
    /// Moments at which a manifest had what kubeadm's record did not say, nor had said.
    pub(crate) ahead: Vec<String>,
}

/// A watch that goes on until it is asked what it saw.
pub(crate) struct Watch {
    stop: CancellationToken,
    ends: JoinHandle<BTreeMap<String, (String, Why)>>,
    flags: JoinHandle<Vec<String>>,
}

impl Watch {
    pub(crate) fn begin(cluster: &Cluster, client: kube::Client) -> Self {
        let stop = CancellationToken::new();
        let ends = tokio::spawn(ends(Api::new(client.clone()), cluster.clone(), stop.clone()));
        let flags = tokio::spawn(flags(Api::new(client), cluster.lab().clone(), stop.clone()));
        Self { stop, ends, flags }
    }

    pub(crate) async fn ended(self) -> Seen {
        self.stop.cancel();
        let ends = self.ends.await.expect("the watch of ends goes on");
        Seen { ends, ahead: self.flags.await.expect("the watch of flags goes on") }
    }
}

async fn ends(api: Api, cluster: Cluster, stop: CancellationToken) -> BTreeMap<String, (String, Why)> {
    let mut seen = BTreeMap::new();
    let mut follow = Follow::new(api, PODS, LABEL);
    loop {
        let advanced = tokio::select! {
            () = stop.cancelled() => return seen,
            advanced = follow.advance() => advanced,
        };
        if advanced.is_err() {
            // The API servers are replaced too.
            tokio::time::sleep(LOOK).await;
            continue;
        }
        for pod in follow.items() {
            let status = &pod["status"]["containerStatuses"][0];
            for state in [&status["lastState"]["terminated"], &status["state"]["terminated"]] {
                let Some(id) = state["containerID"].as_str() else { continue };
                let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                if !seen.contains_key(id) {
                    seen.insert(id.to_owned(), (name.to_owned(), why(&cluster, name, state)));
                }
            }
        }
    }
}

fn why(cluster: &Cluster, pod: &str, terminated: &Value) -> Why {
    if [0, 2, 137, 143].contains(&terminated["exitCode"].as_i64().unwrap_or(-1)) {
        return Why::Told;
    }
    let words = ["--namespace", "kube-system", "logs", "--previous", "--tail=20", pod];
    let log = cluster.kubectl(&words, None).unwrap_or_else(|error| error.to_string());
    if log.contains("leaderelection lost") || log.contains("lost lease") {
        return Why::LeaseLost;
    }
    Why::Said(format!("{terminated} {log}"))
}

/// Both flags, as a manifest or a record has them.
type Flags = (Option<String>, Option<String>);

/// Watches that no manifest has flags that kubeadm's record never had before.
async fn flags(api: Api, lab: Lab, stop: CancellationToken) -> Vec<String> {
    let mut recorded: Vec<Flags> = Vec::new();
    let mut ahead = Vec::new();
    loop {
        // The manifests first: a record that is newer than they are is as it should be.
        let manifests = manifests(&lab);
        if let Ok(config) = api.get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config").await {
            let now = record(config["data"]["ClusterConfiguration"].as_str().unwrap_or_default());
            if recorded.last() != Some(&now) {
                recorded.push(now);
            }
            for (node, flags) in manifests {
                if !recorded.contains(&flags) {
                    ahead.push(format!("{node} has {flags:?}, and kubeadm's record had {recorded:?}"));
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return ahead,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn manifests(lab: &Lab) -> Vec<(String, Flags)> {
    let machines = lab.machines().unwrap_or_default().into_iter();
    let planes = machines.filter(|m| m.role == Role::ControlPlane);
    let on = planes.filter(|m| lab.power(&m.name).is_ok_and(|power| power == Power::On));
    on.filter_map(|m| {
        let text = std::fs::read_to_string(lab.place().machine(&m.name).join(MANIFEST)).ok()?;
        let flag = |name: &str| {
            let start = format!("- --{name}=");
            text.lines().find_map(|line| line.trim().strip_prefix(&start)).map(str::to_owned)
        };
        Some((m.name, (flag(ALLOCATES), flag(RANGE))))
    })
    .collect()
}

/// The flags that kubeadm would render from its record.
fn record(configuration: &str) -> Flags {
    let whole: Value = serde_saphyr::from_str(configuration).unwrap_or_default();
    let given = whole["controllerManager"]["extraArgs"].as_array().cloned().unwrap_or_default();
    let flag = |name: &str| {
        let set = given.iter().find(|argument| argument["name"] == name);
        set.and_then(|argument| argument["value"].as_str()).map(str::to_owned)
    };
    let subnet = whole["networking"]["podSubnet"].as_str().map(str::to_owned);
    let allocates = subnet.is_some().then(|| "true".to_owned());
    (flag(ALLOCATES).or(allocates), flag(RANGE).or(subnet))
}
