//! The operator's loop: look at everything, bring everything one step nearer, wait for a change.

use std::time::Duration;

use serde_json::{Value, json};

use super::apply::Applier;
use super::images::Images;
use super::objects::{self, Part, Surroundings};
use super::status::{self, Health};
use super::{GROUP, SYSTEM, defaults, pools, teardown};
use crate::agents::support::{Attention, Fatal, unless_stopped};
use crate::machines::ProgramContext;
use crate::machines::api::{Api, ApiFailure, text};

/// What the operator reacts to.
const WATCHED: [&str; 17] = [
    "/apis/operator.tigera.io/v1/installations",
    "/apis/operator.tigera.io/v1/apiservers",
    "/apis/operator.tigera.io/v1/goldmanes",
    "/apis/operator.tigera.io/v1/whiskers",
    "/apis/crd.projectcalico.org/v1/ippools",
    "/apis/apps/v1/namespaces/calico-system/daemonsets",
    "/apis/apps/v1/namespaces/calico-system/deployments",
    "/apis/apps/v1/namespaces/calico-apiserver/deployments",
    "/apis/apiregistration.k8s.io/v1/apiservices",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/storage.k8s.io/v1/csidrivers",
    "/api/v1/namespaces",
    "/api/v1/namespaces/calico-system/serviceaccounts",
    "/api/v1/namespaces/calico-system/configmaps",
    "/api/v1/namespaces/calico-system/secrets",
    "/api/v1/namespaces/calico-system/services",
];

/// Changes that come together are looked at together.
const SETTLE: Duration = Duration::from_millis(400);
/// At the latest it looks again after this time.
const RESYNC: Duration = Duration::from_secs(300);

/// Runs until it is asked to stop.
pub(super) async fn run(context: &ProgramContext) -> Result<(), Fatal> {
    let operator = Operator { api: Api::new(context.client.clone()), context };
    unless_stopped(context, operator.serve()).await;
    Ok(())
}

struct Operator<'a> {
    api: Api,
    context: &'a ProgramContext,
}

impl Operator<'_> {
    async fn serve(&self) {
        tokio::time::sleep(self.context.durations.probe).await;
        self.context.set_ready(true);
        let retry = self.context.durations.program_retry;
        let nodes = Attention::to_comings(&self.api, &["/api/v1/nodes"], retry);
        let mut attention = Attention::to(&self.api, &WATCHED, retry).and(nodes);
        loop {
            let wait = match self.pass().await {
                Ok(()) => RESYNC,
                Err(failure) => {
                    tracing::debug!("tigera-operator: {failure}");
                    self.context.host.publish("tigera-operator/error", &failure.to_string());
                    self.context.durations.program_retry
                }
            };
            // Whether something changed or the time is over: everything is looked at anew.
            let _ = tokio::time::timeout(wait, attention.next(SETTLE)).await;
        }
    }

    async fn pass(&self) -> Result<(), ApiFailure> {
        let path = format!("{GROUP}/installations/default");
        let Some(installation) = self.api.find(&path).await? else { return self.without().await };
        let ending = !installation["metadata"]["deletionTimestamp"].is_null();
        let known = pools::list(&self.api).await?;
        if ending {
            teardown::release_own(&self.api, &installation).await?;
        } else {
            let subnets = defaults::pod_subnets(&self.api).await?;
            if let Some(filled) = defaults::filled(&installation, &subnets, known.is_empty()) {
                match self.api.update(&path, &filled).await {
                    Err(failure) if !failure.is_conflict() => return Err(failure),
                    // The change brings the operator back here.
                    _ => return Ok(()),
                }
            }
            self.pools(&installation, &known, &subnets).await?;
            teardown::unblock(&self.api).await?;
        }
        let images = Images::of(&installation, &self.context.image);
        let (nodes, _) = self.api.list("/api/v1/nodes").await?;
        let surroundings = Surroundings { installation: &installation, images: &images, nodes: nodes.len() };
        let known = if ending { known } else { pools::list(&self.api).await? };
        let generation = &installation["metadata"]["generation"];
        let (api, clock) = (&self.api, &self.context.clock);
        if !pools::any_open(&known) {
            // Here the main controller stops, also when it should take everything down.
            let health = Health::Degraded("waiting for enabled IP pools to be created".to_owned());
            status::report(api, clock, "calico", generation, &health).await?;
            status::report_on(api, clock, &path, &installation, &health, json!({})).await?;
        } else if ending {
            teardown::calico(api, &installation).await?;
        } else {
            self.calico(&path, &surroundings).await?;
        }
        if installation["status"]["calicoVersion"].is_null() {
            // The parts wait for the main controller's first word.
            return Ok(());
        }
        for part in Part::ALL.into_iter().rev() {
            self.part(part, &surroundings).await?;
        }
        Ok(())
    }

    /// The pools, and how they fare.
    async fn pools(
        &self,
        installation: &Value,
        known: &[Value],
        subnets: &[String],
    ) -> Result<(), ApiFailure> {
        let server = self.api.find(&format!("{GROUP}/apiservers/default")).await.unwrap_or_default();
        let served = server.is_some_and(|server| server["status"]["state"] == "Ready");
        let outside = if known.is_empty() { defaults::outside(installation, subnets) } else { None };
        let trouble = match outside {
            Some(reason) => Some(reason),
            None => pools::reconcile(&self.api, installation, known, served).await?,
        };
        let health = trouble.map_or(Health::Available, Health::Degraded);
        let generation = &installation["metadata"]["generation"];
        status::report(&self.api, &self.context.clock, "ippools", generation, &health).await
    }

    /// Without an Installation nothing is made, and nothing is reported.
    async fn without(&self) -> Result<(), ApiFailure> {
        for name in ["calico", "ippools", "apiserver", "goldmane", "whisker"] {
            status::forget(&self.api, name).await?;
        }
        Ok(())
    }

    /// Calico itself, and how it fares.
    async fn calico(&self, path: &str, surroundings: &Surroundings<'_>) -> Result<(), ApiFailure> {
        let (api, clock, installation) = (&self.api, &self.context.clock, surroundings.installation);
        let generation = &installation["metadata"]["generation"];
        let applier = Applier::new(api, Some(installation));
        self.put(&applier, objects::calico(surroundings), objects::secrets()).await?;
        let workloads = [
            ("daemonsets", SYSTEM, "calico-node"),
            ("daemonsets", SYSTEM, "csi-node-driver"),
            ("deployments", SYSTEM, "calico-typha"),
            ("deployments", SYSTEM, "calico-kube-controllers"),
        ];
        let without_csi = installation["spec"]["kubeletVolumePluginPath"] == "None";
        let workloads: Vec<_> = workloads
            .into_iter()
            .filter(|(_, _, name)| !(without_csi && *name == "csi-node-driver"))
            .collect();
        let health = status::of(api, &workloads).await?;
        status::report(api, clock, "calico", generation, &health).await?;
        let more = json!({"variant": "Calico", "calicoVersion": surroundings.images.version, "mtu": 1450});
        status::report_on(api, clock, path, installation, &health, more).await
    }

    /// Namespaces and rights first, then certificates, then what mounts them.
    async fn put(
        &self,
        applier: &Applier<'_>,
        objects: Vec<Value>,
        secrets: Vec<Value>,
    ) -> Result<(), ApiFailure> {
        let workload =
            |object: &Value| matches!(text(object, "/kind"), "DaemonSet" | "Deployment" | "APIService");
        let (workloads, base): (Vec<Value>, Vec<Value>) = objects.into_iter().partition(workload);
        applier.put_all(base).await?;
        for secret in secrets {
            applier.put_once(secret).await?;
        }
        applier.put_all(workloads).await
    }

    /// An optional part, as its custom resource says.
    async fn part(&self, part: Part, surroundings: &Surroundings<'_>) -> Result<(), ApiFailure> {
        let (api, clock, installation) = (&self.api, &self.context.clock, surroundings.installation);
        let found = match api.list(&format!("{GROUP}/{}", part.plural())).await {
            Ok((found, _)) => found,
            // Versions before it know nothing of this part.
            Err(failure) if failure.is_not_found() => Vec::new(),
            Err(failure) => return Err(failure),
        };
        let Some(resource) = found.first() else {
            teardown::part(api, part, installation).await?;
            return status::forget(api, part.status()).await;
        };
        if !resource["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        let ending = !installation["metadata"]["deletionTimestamp"].is_null();
        let finalizers = installation["metadata"]["finalizers"].as_array();
        if !ending
            && !finalizers.is_some_and(|finalizers| finalizers.iter().any(|name| name == part.finalizer()))
        {
            let mut held = installation.clone();
            defaults::add_finalizers(&mut held, &[part.finalizer()]);
            let path = format!("{GROUP}/installations/default");
            match api.update(&path, &held).await {
                Err(failure) if !failure.is_conflict() => return Err(failure),
                // The change brings the operator back here.
                _ => return Ok(()),
            }
        }
        let applier = Applier::new(api, Some(resource));
        self.put(&applier, part.objects(surroundings, resource), part.secrets()).await?;
        let (namespace, name) = part.deployment();
        let health = status::of(api, &[("deployments", namespace, name)]).await?;
        let generation = &resource["metadata"]["generation"];
        status::report(api, clock, part.status(), generation, &health).await?;
        let path = format!("{GROUP}/{}/{}", part.plural(), text(resource, "/metadata/name"));
        let more = if part == Part::ApiServer { json!({"state": ready_state(&health)}) } else { json!({}) };
        status::report_on(api, clock, &path, resource, &health, more).await
    }
}

/// The word for it in `status.state`.
fn ready_state(health: &Health) -> &'static str {
    match health {
        Health::Available => "Ready",
        _ => "",
    }
}
