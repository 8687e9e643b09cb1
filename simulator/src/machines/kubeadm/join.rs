//! `kubeadm join`: a further worker or control plane.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::config::{documents, field, node_name};
use super::{Done, Failure, Kubeadm, flag, pki};
use crate::clock::parse_rfc3339;
use crate::machines::api::{core, text};
use crate::machines::urls::https;

/// How much longer a slow learner takes unless the fault says so.
const SLOW_LEARNER: Duration = Duration::from_secs(60);

impl Kubeadm<'_> {
    /// Makes this machine a member of a cluster.
    pub(super) async fn join(&self, flags: &[&str]) -> Done {
        let files = self.machine.host.files();
        let path = flag(flags, "--config")
            .ok_or("discovery: Invalid value: \"\": bootstrapToken or file must be set")?;
        let content = files.read_text(path).ok_or_else(|| {
            format!("unable to read config from \"{path}\": open {path}: no such file or directory")
        })?;
        let documents = documents(&content)?;
        let join = documents.get("JoinConfiguration").ok_or("no JoinConfiguration in the file")?;
        self.preflight_files()?;
        self.pause(self.machine.site.durations.kubeadm).await;
        let (server, authority) = self.discover(join).await?;
        let name = node_name(&join["nodeRegistration"], &self.machine.host.identity().hostname);
        self.refuse_ready_namesake(&name).await?;
        let cluster = self.stored("kubeadm-config", "ClusterConfiguration").await?;
        let cluster: Value = serde_saphyr::from_str(&cluster)?;
        let kubelet = self.stored("kubelet-config", "kubelet").await?;
        self.write("/etc/kubernetes/pki/ca.crt", &authority, 0o644)?;
        let control_plane = join.get("controlPlane").filter(|section| !section.is_null());
        if let Some(section) = control_plane {
            if field(&cluster, "/controlPlaneEndpoint", "").is_empty() {
                return Err(Failure::from(
                    "preflight: unable to add a new control plane instance to a cluster that doesn't have a stable \
                     controlPlaneEndpoint address",
                ));
            }
            self.fetch_certs(text(section, "/certificateKey")).await?;
            pki::make_own(&self.machine.site, files, &self.machine.id)?;
            let (endpoint, local) = (self.endpoint(&cluster), self.local_endpoint());
            self.write_kubeconfig("admin.conf", &endpoint, "kubernetes-admin")?;
            self.write_kubeconfig("controller-manager.conf", &local, "system:kube-controller-manager")?;
            self.write_kubeconfig("scheduler.conf", &local, "system:kube-scheduler")?;
            self.write_control_plane(&cluster)?;
        }
        self.write_kubeconfig("bootstrap-kubelet.conf", &server, "tls-bootstrap-token-user")?;
        // The certificate request of the first contact is approved and answered at once.
        self.write_kubeconfig("kubelet.conf", &server, "system:node")?;
        self.write_kubelet_files(&kubelet, &name, &registration(join, control_plane.is_some()))?;
        self.machine.order_kubelet(true, true);
        let (api, path) = (&self.api, &core("", "nodes", &name));
        self.until("the kubelet to register its Node", || async move { api.get(path).await.is_ok() }).await?;
        files.remove("/etc/kubernetes/bootstrap-kubelet.conf");
        if control_plane.is_some() {
            self.join_etcd(&cluster, &name).await?;
            self.mark_control_plane(&name, &join["nodeRegistration"]).await?;
        }
        Ok("This node has joined the cluster.\n".to_owned())
    }

    fn preflight_files(&self) -> Result<(), Failure> {
        let files = self.machine.host.files();
        for path in ["/etc/kubernetes/kubelet.conf", "/etc/kubernetes/pki/ca.crt"] {
            if files.exists(path) {
                return Err(Failure(format!("preflight: [ERROR FileAvailable]: {path} already exists")));
            }
        }
        // Hidden files are not manifests; foreign static pods may lie there before a join.
        let own = ["etcd.yaml", "kube-apiserver.yaml", "kube-controller-manager.yaml", "kube-scheduler.yaml"];
        match own.iter().find(|name| files.exists(&format!("{}/{name}", super::manifests::MANIFESTS))) {
            Some(name) => Err(Failure(format!("preflight: [ERROR FileAvailable]: {name} already exists"))),
            None => Ok(()),
        }
    }

    /// The cluster's endpoint and CA, from where the configuration says.
    async fn discover(&self, join: &Value) -> Result<(String, String), Failure> {
        let discovery = &join["discovery"];
        let token_section = &discovery["bootstrapToken"];
        let file = text(discovery, "/file/kubeConfigPath");
        let token = [text(discovery, "/tlsBootstrapToken"), text(token_section, "/token")]
            .into_iter()
            .find(|token| !token.is_empty())
            .unwrap_or_default();
        if token_section.is_null() && file.is_empty() {
            return Err(Failure::from("discovery: Invalid value: \"\": bootstrapToken or file must be set"));
        }
        if !token.is_empty() {
            self.check_token(token).await?;
        }
        let document = if file.is_empty() {
            let (api, path) = (&self.api, core("kube-public", "configmaps", "cluster-info"));
            let path = &path;
            let map = self
                .patiently("couldn't validate the identity of the API Server", || async move {
                    api.get(path).await
                })
                .await?;
            text(&map, "/data/kubeconfig").to_owned()
        } else {
            let missing = || {
                format!(
                    "couldn't validate the identity of the API Server: open {file}: no such file or directory"
                )
            };
            self.machine.host.files().read_text(file).ok_or_else(missing)?
        };
        let config: Value = serde_saphyr::from_str(&document)?;
        let cluster = &config["clusters"][0]["cluster"];
        let authority = STANDARD.decode(text(cluster, "/certificate-authority-data"))?;
        let authority = String::from_utf8_lossy(&authority).into_owned();
        if file.is_empty() && token_section["unsafeSkipCAVerification"] != true {
            let pin = pki::pin(&authority);
            let pins = token_section["caCertHashes"].as_array();
            let known =
                pins.into_iter().flatten().any(|known| known.as_str() == pin.as_deref() && pin.is_some());
            if !known {
                return Err(Failure::from(
                    "couldn't validate the identity of the API Server: cluster CA found in cluster-info ConfigMap \
                     is invalid: none of the public keys are pinned",
                ));
            }
        }
        Ok((text(cluster, "/server").to_owned(), authority))
    }

    async fn check_token(&self, token: &str) -> Result<(), Failure> {
        let invalid = || {
            let id = token.split('.').next().unwrap_or_default();
            format!(
                "couldn't validate the identity of the API Server: could not find a JWS signature in the \
                 cluster-info ConfigMap for token ID \"{id}\""
            )
        };
        let (id, secret) = token.split_once('.').ok_or_else(invalid)?;
        let (api, path) = (&self.api, core("kube-system", "secrets", &format!("bootstrap-token-{id}")));
        let path = &path;
        let found =
            self.patiently("discovery", || async move { api.find(path).await }).await?.ok_or_else(invalid)?;
        let field = |key: &str| {
            let bytes = STANDARD.decode(found["data"][key].as_str().unwrap_or_default()).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let expiry = field("expiration");
        let expired = !expiry.is_empty()
            && parse_rfc3339(&expiry).is_none_or(|expiry| expiry <= self.machine.site.clock.now());
        let good = found["type"] == "bootstrap.kubernetes.io/token"
            && field("token-secret") == secret
            && field("usage-bootstrap-authentication") == "true"
            && !expired;
        if good { Ok(()) } else { Err(Failure(invalid())) }
    }

    async fn refuse_ready_namesake(&self, name: &str) -> Result<(), Failure> {
        let (api, path) = (&self.api, &core("", "nodes", name));
        let node = self.patiently("preflight", || async move { api.find(path).await }).await?;
        let ready = node
            .iter()
            .filter_map(|node| node["status"]["conditions"].as_array())
            .flatten()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        if ready {
            return Err(Failure(format!(
                "kubelet-start: a Node with name \"{name}\" and status \"Ready\" already exists in the cluster. You \
                 must delete the existing Node or change the name of this new joining Node"
            )));
        }
        Ok(())
    }

    /// A configuration that `kubeadm init` stored.
    pub(super) async fn stored(&self, name: &str, key: &str) -> Result<String, Failure> {
        let (api, path) = (&self.api, core("kube-system", "configmaps", name));
        let path = &path;
        let map = self
            .patiently("unable to fetch the kubeadm-config ConfigMap", || async move { api.get(path).await })
            .await?;
        Ok(map["data"][key].as_str().unwrap_or_default().to_owned())
    }

    /// Adds this machine's etcd member, as a learner first, and waits for its API server.
    async fn join_etcd(&self, cluster: &Value, name: &str) -> Result<(), Failure> {
        let site = &self.machine.site;
        let address = self.machine.host.address().to_string();
        let until = tokio::time::Instant::now() + site.durations.kubeadm_timeout;
        let id = loop {
            match site.etcd.add_learner(name, &self.machine.id, &address) {
                Ok(id) => break id,
                Err(error) if tokio::time::Instant::now() >= until => {
                    return Err(Failure(format!("etcd-join: {error}")));
                }
                Err(_) => self.pause(site.durations.kubeadm_poll).await,
            }
        };
        let peers: Vec<String> = site
            .etcd
            .members()
            .iter()
            .map(|member| format!("{}={}", member.name, https(&member.address, 2380)))
            .collect();
        self.write_etcd(cluster, name, &peers.join(","))?;
        let machine = &self.machine.id;
        let up = || async move { site.etcd.member_on(machine).is_some_and(|member| member.up) };
        self.until("the etcd member to start", up).await?;
        let slow = site.strikes("etcd-slow-learner", &self.machine.name);
        let extra = slow.map(|fault| fault.delay.unwrap_or(SLOW_LEARNER)).unwrap_or_default();
        self.pause(site.durations.etcd_catch_up + extra).await;
        let promoted = || async move { site.etcd.promote(id).is_ok() };
        self.until("the etcd learner to be promoted", promoted).await?;
        self.until("the API server of this machine", || async move { site.etcd.api_on(machine) }).await?;
        // From now on the kubelet speaks to the API server beside it.
        self.write_kubeconfig("kubelet.conf", &self.local_endpoint(), "system:node")?;
        self.machine.order_kubelet(true, true);
        Ok(())
    }
}

/// The registration with the taints that the kubelet itself sets: a control plane's are set later.
fn registration(join: &Value, control_plane: bool) -> Value {
    let mut registration = join["nodeRegistration"].clone();
    if control_plane && registration.is_object() {
        registration["taints"] = Value::Null;
    }
    registration
}
