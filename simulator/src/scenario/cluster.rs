//! Building a cluster.

use super::builtin::{self, Shape};
use super::joining::Joining;
use super::waiting::until;
use super::{ClusterSpec, ScenarioError, apply, bystanders, workloads};
use crate::clock::Clock;
use crate::families::Families;
use crate::machines::{Datacenter, MachineRole, urls};
use crate::observer::Inventory;
use crate::schema::Resource;
use crate::schema::builtin::{CONFIG_MAPS, DAEMON_SETS, DEPLOYMENTS, NAMESPACES, NODES, PODS, STATEFUL_SETS};
use crate::server::{Object, Server};
use crate::{agents, controllers};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// A running cluster.
pub struct Cluster {
    /// Its API server.
    pub server: Server,
    /// Its machines.
    pub datacenter: Datacenter,
    /// What it was built from.
    pub spec: ClusterSpec,
    /// Every object before the network came.
    pub before_network: Vec<(Resource, Object)>,
    /// Every object once the network was there, before anything ran on it.
    pub with_network: Vec<(Resource, Object)>,
    /// Every object once workloads and bystanders were there too.
    pub before_run: Vec<(Resource, Object)>,
}

impl Cluster {
    /// Builds it, and returns once every node and every pod is ready.
    ///
    /// # Errors
    /// When a manifest is refused, or something does not become ready within half an hour of the
    /// cluster's own time.
    pub async fn build(spec: ClusterSpec, clock: Clock) -> Result<Self, ScenarioError> {
        if !(1..=7).contains(&spec.control_planes) {
            return Err(ScenarioError::ControlPlanes(spec.control_planes));
        }
        let server = Server::new(clock, spec.seed);
        server.set_etcd_timeout(spec.durations.etcd_timeout);
        agents::serve_calico_api(&server);
        server.set_policy_evaluator(builtin::policy_evaluator());
        let programs = agents::programs().and(controllers::programs());
        let services = spec.service_subnet.split(',').filter_map(|range| range.trim().parse().ok());
        server.set_service_ranges(services.collect());
        let families = spec.calico.families;
        let datacenter =
            Datacenter::embedded_with(&server, programs, spec.durations.clone(), spec.seed, families);
        let mut cluster = Self {
            server,
            datacenter,
            spec,
            before_network: Vec::new(),
            with_network: Vec::new(),
            before_run: Vec::new(),
        };
        cluster.machines().await?;
        cluster.before_network = cluster.objects();
        cluster.network().await?;
        cluster.all_ready("every node and system pod").await?;
        cluster.with_network = cluster.objects();
        cluster.workloads().await?;
        cluster.before_run = cluster.objects();
        Ok(cluster)
    }

    /// A client of its API and of its machines'.
    pub fn client(&self, user_agent: &'static str) -> kube::Client {
        let router = self.router();
        let agent = http::HeaderValue::from_static(user_agent);
        let service = tower::service_fn(move |mut request: http::Request<kube::client::Body>| {
            request.headers_mut().entry(http::header::USER_AGENT).or_insert_with(|| agent.clone());
            tower::ServiceExt::oneshot(router.clone(), request)
        });
        kube::Client::new(service, "default")
    }

    /// Both APIs on one router.
    pub fn router(&self) -> axum::Router {
        self.datacenter.router().merge(self.server.router())
    }

    async fn machines(&self) -> Result<(), ScenarioError> {
        let joining = Joining { server: &self.server, datacenter: &self.datacenter };
        let name = |at: usize| format!("control-plane-{at}");
        joining.init(&name(1), &self.spec.pod_subnet, &self.spec.service_subnet)?;
        self.booted(&name(1), "initialized successfully").await?;
        joining.token().await?;
        for at in 2..=self.spec.control_planes {
            joining.upload_certificates(&name(1)).await?;
            joining.join(&name(at), MachineRole::ControlPlane).await?;
            self.booted(&name(at), "has joined the cluster").await?;
        }
        let width = self.spec.workers.to_string().len();
        for at in 1..=self.spec.workers {
            joining.join(&format!("worker-{at:0width$}"), MachineRole::Worker).await?;
        }
        let expected = self.spec.control_planes + self.spec.workers;
        let direct = self.server.direct("scenario");
        let joined = || direct.list(&NODES, None).len() == expected;
        until(&self.server, self.gap(), "every node to join", joined, || self.consoles()).await?;
        joining.forget_token().await;
        let published = || {
            let maps = direct.list(&CONFIG_MAPS, None);
            let of = |namespace: &Object| {
                let there = |map: &&Object| {
                    name_of(map) == ROOT_CA && map["metadata"]["namespace"] == namespace["metadata"]["name"]
                };
                maps.iter().any(|map| there(&map))
            };
            direct.list(&NAMESPACES, None).iter().all(of)
        };
        until(&self.server, self.gap(), "every namespace's certificate", published, String::new).await
    }

    /// Waits until a machine's first boot printed something.
    async fn booted(&self, machine: &str, sentence: &str) -> Result<(), ScenarioError> {
        let console = || self.console(machine);
        let what = format!("{machine} to boot");
        until(
            &self.server,
            self.gap(),
            &what,
            || console().contains(sentence),
            || format!(":\n{}", console()),
        )
        .await
    }

    /// How often the cluster is looked at while it comes up: as often as kubeadm looks.
    fn gap(&self) -> Duration {
        self.spec.durations.kubeadm_poll
    }

    fn console(&self, machine: &str) -> String {
        let found = self.datacenter.machines().into_iter().find(|m| m.name == machine);
        found.and_then(|m| self.datacenter.console(&m.id).ok()).unwrap_or_default()
    }

    fn consoles(&self) -> String {
        let registered: BTreeSet<String> =
            self.server.direct("scenario").list(&NODES, None).iter().map(|n| name_of(n)).collect();
        let missing = self.datacenter.machines().into_iter().find(|m| !registered.contains(&m.name));
        missing.map(|m| format!("; {}:\n{}", m.name, self.console(&m.name))).unwrap_or_default()
    }

    async fn network(&self) -> Result<(), ScenarioError> {
        if !self.spec.manifests.is_empty() {
            return apply::manifests(&self.server, &self.spec.manifests).await;
        }
        let calico = &self.spec.calico;
        apply::built_in(&self.server, calico.objects(&self.etcd())).await?;
        if calico.shape == Shape::Ebpf {
            apply::kube_proxy_off(&self.server).await?;
        }
        Ok(())
    }

    /// Where the control planes' etcd is reached.
    fn etcd(&self) -> String {
        let members = self.datacenter.etcd().members();
        members.iter().map(|m| urls::https(&m.address, 2379)).collect::<Vec<_>>().join(",")
    }

    async fn workloads(&self) -> Result<(), ScenarioError> {
        let mut objects = workloads::objects(self.spec.pods, self.spec.seed);
        if self.spec.calico.families == Families::Dual {
            objects.iter_mut().filter(|object| object["kind"] == "Service").for_each(|service| {
                service["spec"]["ipFamilyPolicy"] = Value::from("PreferDualStack");
            });
        }
        objects.extend(bystanders::objects());
        apply::objects_of(&self.server, "kubectl", objects).await?;
        apply::objects_of(&self.server, "kubectl", self.policies()).await?;
        self.all_ready("every workload").await
    }

    /// Calico's own policies, in the kinds that the cluster serves.
    fn policies(&self) -> Vec<Value> {
        let direct = self.server.direct("scenario");
        ["crd.projectcalico.org/v1", "projectcalico.org/v3"]
            .into_iter()
            .find(|version| direct.resource(version, "GlobalNetworkPolicy").is_some())
            .map(workloads::calico_policies)
            .unwrap_or_default()
    }

    /// Waits until every node is ready and every pod runs, is ready or has ended.
    ///
    /// # Errors
    /// When that does not come about in half an hour of the cluster's own time.
    pub async fn all_ready(&self, what: &str) -> Result<(), ScenarioError> {
        until(
            &self.server,
            self.gap(),
            what,
            || self.unready(1).is_empty(),
            || format!("; not ready: {}", self.unready(12).join(", ")),
        )
        .await
    }

    /// Up to `limit` nodes, pods and workloads that are not as they should be.
    fn unready(&self, limit: usize) -> Vec<String> {
        let direct = self.server.direct("scenario");
        let nodes = direct.list(&NODES, None);
        let mut found: Vec<String> = nodes
            .iter()
            .filter(|n| !is_ready(n))
            .map(|n| format!("Node {}", name_of(n)))
            .take(limit)
            .collect();
        for (resource, wanted, actual) in READY_COUNTS {
            let behind = |o: &&Object| {
                o["metadata"]["generation"] != o["status"]["observedGeneration"]
                    || o.pointer(wanted).and_then(Value::as_i64).unwrap_or(1)
                        > o.pointer(actual).and_then(Value::as_i64).unwrap_or(0)
            };
            let list = direct.list(resource, None);
            found.extend(
                list.iter().filter(behind).map(|o| format!("{} {}", resource.kind, name_of(o))).take(limit),
            );
        }
        let pods = direct.list(&PODS, None);
        let waits = |p: &&Object| !is_ready(p) && p["status"]["phase"] != "Succeeded";
        found.extend(pods.iter().filter(waits).map(described).take(limit));
        found.truncate(limit);
        found
    }

    /// What nobody is to touch: everything but what the old network brought, its own policies, which end
    /// with it, and the nodes, which are replaced.
    pub fn bystanders(&self) -> Inventory {
        let (before, with) = (Inventory::of(&self.before_network), Inventory::of(&self.with_network));
        let old_networks = |key: &str| {
            let group = key.split('/').next().unwrap_or_default();
            let of_its_kinds = group.ends_with("projectcalico.org") || group.ends_with("tigera.io");
            of_its_kinds || (with.get(key).is_some() && before.get(key).is_none())
        };
        let nodes = ["core/Node/", "storage.k8s.io/CSINode/"];
        let of_node = |key: &str| nodes.iter().any(|kind| key.starts_with(kind));
        Inventory::of(&self.before_run).only(|key| !old_networks(key) && !of_node(key))
    }

    /// Every object of every kind, each with its kind.
    pub fn objects(&self) -> Vec<(Resource, Object)> {
        self.server.direct("scenario").everything()
    }
}

/// What the controllers put into every namespace.
const ROOT_CA: &str = "kube-root-ca.crt";

/// Workloads, with where they say how many pods they want and how many are ready.
const READY_COUNTS: [(&Resource, &str, &str); 3] = [
    (&DEPLOYMENTS, "/spec/replicas", "/status/readyReplicas"),
    (&STATEFUL_SETS, "/spec/replicas", "/status/readyReplicas"),
    (&DAEMON_SETS, "/status/desiredNumberScheduled", "/status/numberReady"),
];

fn described(pod: &Object) -> String {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    format!("Pod {namespace}/{} ({phase})", name_of(pod))
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|c| c["type"] == "Ready" && c["status"] == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_cluster_comes_up_with_calico_workloads_and_bystanders() {
        let spec = ClusterSpec { control_planes: 3, workers: 3, pods: 40, ..ClusterSpec::default() };
        let cluster = Cluster::build(spec, Clock::fixed()).await.unwrap();
        let direct = cluster.server.direct("test");
        assert_eq!(direct.list(&NODES, None).len(), 6);
        let web = direct.list(&PODS, Some("shop"));
        assert!(
            web.iter().all(|pod| pod["status"]["podIP"].as_str().unwrap_or_default().starts_with("192.168."))
        );
    }
}
