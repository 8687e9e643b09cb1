//! `kubeadm init`: the first control plane.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::config::{documents, field, node_name};
use super::files::{kubeconfig, kubelet_config};
use super::{Done, Failure, Kubeadm, flag, pki};
use crate::machines::api::{Api, ApiFailure, Patch, core};
use crate::machines::urls::https;

/// The name of the label and taint of control planes.
pub(super) const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

impl Kubeadm<'_> {
    /// Makes this machine the first control plane of a cluster.
    pub(super) async fn init(&self, flags: &[&str]) -> Done {
        let files = self.machine.host.files();
        let given = match flag(flags, "--config") {
            Some(path) => {
                let missing = || {
                    format!("unable to read config from \"{path}\": open {path}: no such file or directory")
                };
                documents(&files.read_text(path).ok_or_else(missing)?)?
            }
            None => documents("kind: none")?,
        };
        let none = Value::Null;
        let init = given.get("InitConfiguration").unwrap_or(&none);
        let mut cluster = given.get("ClusterConfiguration").cloned().unwrap_or_else(|| json!({}));
        complete(&mut cluster);
        if files.exists("/etc/kubernetes/manifests/kube-apiserver.yaml") {
            return Err(Failure::from(
                "preflight: [ERROR FileAvailable--etc-kubernetes-manifests-kube-apiserver.yaml]: \
                 /etc/kubernetes/manifests/kube-apiserver.yaml already exists",
            ));
        }
        self.pause(self.machine.site.durations.kubeadm).await;
        let registration = &init["nodeRegistration"];
        let name = node_name(registration, &self.machine.host.identity().hostname);
        pki::make_shared(&self.machine.site, files)?;
        pki::make_own(&self.machine.site, files, &self.machine.id)?;
        let endpoint = self.endpoint(&cluster);
        let local = self.local_endpoint();
        for (file, server, user) in [
            ("admin.conf", &endpoint, "kubernetes-admin"),
            ("super-admin.conf", &endpoint, "kubernetes-super-admin"),
            ("kubelet.conf", &local, "system:node"),
            ("controller-manager.conf", &local, "system:kube-controller-manager"),
            ("scheduler.conf", &local, "system:kube-scheduler"),
        ] {
            self.write_kubeconfig(file, server, user)?;
        }
        let kubelet = kubelet_config(
            field(&cluster, "/networking/serviceSubnet", "10.96.0.0/12"),
            field(&cluster, "/networking/dnsDomain", "cluster.local"),
            given.get("KubeletConfiguration"),
        )?;
        let address = self.machine.host.address();
        self.machine.site.etcd.bootstrap(&name, &self.machine.id, &address.to_string());
        self.write_etcd(&cluster, &name, &format!("{name}={}", https(&address.to_string(), 2380)))?;
        self.write_control_plane(&cluster)?;
        self.write_kubelet_files(
            &kubelet,
            &name,
            &json!({"kubeletExtraArgs": registration["kubeletExtraArgs"]}),
        )?;
        self.machine.order_kubelet(true, true);
        let api = &self.api;
        self.until(
            "the control plane",
            || async move { api.get("/api/v1/namespaces/kube-system").await.is_ok() },
        )
        .await?;
        self.upload(&cluster, &kubelet, &endpoint).await?;
        let path = core("", "nodes", &name);
        let node = &path;
        self.until("the Node", || async move { api.get(node).await.is_ok() }).await?;
        self.mark_control_plane(&name, registration).await?;
        self.addons(&cluster).await?;
        if flags.contains(&"--upload-certs") {
            let key = field(init, "/certificateKey", "").to_owned();
            let key = if key.is_empty() { self.machine.site.hex_id("certificate-key") } else { key };
            self.store_certs(&key).await?;
        }
        Ok("Your Kubernetes control-plane has initialized successfully!\n".to_owned())
    }

    /// `https://` and the cluster's endpoint, or this machine's own without one.
    pub(super) fn endpoint(&self, cluster: &Value) -> String {
        match field(cluster, "/controlPlaneEndpoint", "") {
            "" => self.local_endpoint(),
            endpoint if endpoint.contains(':') => format!("https://{endpoint}"),
            endpoint => format!("https://{endpoint}:{}", super::files::PORT),
        }
    }

    /// Puts the configuration where later joins find it.
    async fn upload(&self, cluster: &Value, kubelet: &str, endpoint: &str) -> Result<(), Failure> {
        for name in ["kube-system", "kube-public", "kube-node-lease"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            let api = &self.api;
            let namespace = &namespace;
            self.patiently("namespaces", || async move { api.ensure("/api/v1/namespaces", namespace).await })
                .await?;
        }
        let authority = self.machine.host.files().read_text("/etc/kubernetes/pki/ca.crt").unwrap_or_default();
        let mut public = kubeconfig(endpoint, &authority, "");
        public["users"] = json!(null);
        public["contexts"] = json!(null);
        public["current-context"] = json!("");
        public["clusters"][0]["name"] = json!("");
        let configmap = |namespace: &str, name: &str, key: &str, value: String| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": namespace}, "data": {key: value},
            })
        };
        let maps = [
            configmap(
                "kube-system",
                "kubeadm-config",
                "ClusterConfiguration",
                serde_saphyr::to_string(cluster)?,
            ),
            configmap("kube-system", "kubelet-config", "kubelet", kubelet.to_owned()),
            configmap("kube-public", "cluster-info", "kubeconfig", serde_saphyr::to_string(&public)?),
        ];
        for map in maps {
            let namespace = map["metadata"]["namespace"].as_str().unwrap_or_default();
            self.api.create_or_replace(&core(namespace, "configmaps", ""), &map).await?;
        }
        bootstrap_rights(&self.api).await
    }

    /// Gives the Node the control planes' labels and taints.
    pub(super) async fn mark_control_plane(&self, name: &str, registration: &Value) -> Result<(), Failure> {
        let taints = match &registration["taints"] {
            Value::Array(taints) => json!(taints),
            _ => json!([{"key": CONTROL_PLANE, "effect": "NoSchedule"}]),
        };
        let path = core("", "nodes", name);
        let durations = self.machine.site.durations.clone();
        let until = Instant::now() + durations.kubeadm_timeout;
        // Whatever goes wrong, a conflict included, is tried again from the start, as the real one does.
        while let Err(failure) = self.mark(&path, &taints).await {
            if Instant::now() >= until {
                return Err(Failure(format!("mark-control-plane: {failure}")));
            }
            self.pause(durations.kubeadm_poll).await;
        }
        Ok(())
    }

    /// Adds the labels and taints of a control plane to a Node.
    async fn mark(&self, path: &str, taints: &Value) -> Result<(), ApiFailure> {
        let node = self.api.get(path).await?;
        let mut all = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        for taint in taints.as_array().into_iter().flatten() {
            if !all.iter().any(|other| other["key"] == taint["key"] && other["effect"] == taint["effect"]) {
                all.push(taint.clone());
            }
        }
        let patch = json!({
            "metadata": {"labels": {
                CONTROL_PLANE: "",
                "node.kubernetes.io/exclude-from-external-load-balancers": "",
            }},
            "spec": {"taints": all},
        });
        self.api.patch(path, Patch::Merge, &patch).await
    }
}

/// Fills in what kubeadm defaults.
fn complete(cluster: &mut Value) {
    for (key, value) in [
        ("apiVersion", json!("kubeadm.k8s.io/v1beta4")),
        ("kind", json!("ClusterConfiguration")),
        ("kubernetesVersion", json!("v1.34.4")),
        ("clusterName", json!("kubernetes")),
        ("certificatesDir", json!(pki::DIRECTORY)),
        ("imageRepository", json!("registry.k8s.io")),
        ("networking", json!({})),
    ] {
        if cluster[key].is_null() {
            cluster[key] = value;
        }
    }
    for (key, value) in [("dnsDomain", "cluster.local"), ("serviceSubnet", "10.96.0.0/12")] {
        if cluster["networking"][key].is_null() {
            cluster["networking"][key] = json!(value);
        }
    }
}

/// What bootstrap tokens may read.
async fn bootstrap_rights(api: &Api) -> Result<(), Failure> {
    let group = "/apis/rbac.authorization.k8s.io/v1";
    let role = |namespace: &str, name: &str, configmap: &str| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": name, "namespace": namespace},
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [configmap], "verbs": ["get"]}],
        })
    };
    let binding = |namespace: &str, name: &str, user: Value| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [user],
        })
    };
    let api_group = "rbac.authorization.k8s.io";
    let anyone = json!({"apiGroup": api_group, "kind": "User", "name": "system:anonymous"});
    let token = json!({"apiGroup": api_group, "kind": "Group", "name": "system:bootstrappers:kubeadm:default-node-token"});
    for (namespace, name, configmap, user) in [
        ("kube-public", "kubeadm:bootstrap-signer-clusterinfo", "cluster-info", anyone),
        ("kube-system", "kubeadm:nodes-kubeadm-config", "kubeadm-config", token.clone()),
        ("kube-system", "kubeadm:kubelet-config", "kubelet-config", token),
    ] {
        api.ensure(&format!("{group}/namespaces/{namespace}/roles"), &role(namespace, name, configmap))
            .await?;
        api.ensure(&format!("{group}/namespaces/{namespace}/rolebindings"), &binding(namespace, name, user))
            .await?;
    }
    Ok(())
}
