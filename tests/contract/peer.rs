//! A server under test, and what every case needs of it.

use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use replank_execution::api::{Api, ApiError};
use replank_simulator::Clock;
use replank_simulator::scenario::{Cluster, ClusterSpec};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long something that controllers do may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A server under test.
pub(crate) struct Peer {
    pub(crate) who: &'static str,
    pub(crate) api: Api,
    client: kube::Client,
    names: AtomicU32,
    store: Store,
}

/// What keeps the objects.
pub(crate) enum Store {
    /// The simulator's own.
    Simulated(Box<Cluster>),
    /// An etcd, asked through its own client.
    Etcd {
        /// The folder with `etcdctl`.
        bin: PathBuf,
        /// Where it listens.
        url: String,
    },
}

/// What came of a request: the document, or the refusal.
pub(crate) type Answer = Result<Value, ApiError>;

impl Peer {
    /// A cluster in this process, with one control plane, one worker and next to nothing on them.
    pub(crate) async fn simulated() -> Self {
        let spec = ClusterSpec { control_planes: 1, workers: 1, pods: 0, ..ClusterSpec::default() };
        let cluster = Cluster::build(spec, Clock::fixed()).await.expect("the cluster comes up");
        let client = cluster.client("contract");
        Self::new("the simulator", client, Store::Simulated(Box::new(cluster)))
    }

    pub(crate) fn new(who: &'static str, client: kube::Client, store: Store) -> Self {
        Self { who, api: Api::new(client.clone()), client, names: AtomicU32::new(0), store }
    }

    /// Compacts the store: what was before now can't be asked for any more.
    pub(crate) async fn forget_history(&self) {
        match &self.store {
            Store::Simulated(cluster) => cluster.server.compact(),
            Store::Etcd { bin, url } => {
                let list = self.get("/api/v1/namespaces?limit=1").await;
                let mut etcdctl = std::process::Command::new(bin.join("etcdctl"));
                etcdctl.args(["--endpoints", url, "compact", text(&list, "/metadata/resourceVersion")]);
                let ran = etcdctl.output().expect("etcdctl runs");
                let said = String::from_utf8_lossy(&ran.stderr);
                // Another case may have compacted further just now.
                assert!(ran.status.success() || said.contains("has been compacted"), "{said}");
            }
        }
    }

    /// A name that nobody else uses.
    pub(crate) fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// A namespace of the case's own, ready for pods.
    pub(crate) async fn namespace(&self) -> String {
        let name = self.name("contract");
        self.made("/api/v1/namespaces", &json!({"metadata": {"name": name}})).await;
        let account = format!("/api/v1/namespaces/{name}/serviceaccounts/default");
        self.until("the namespace's account", async || self.api.find(&account).await.unwrap()).await;
        name
    }

    pub(crate) async fn send(&self, method: Method, path: &str, content: &str, body: &Value) -> Answer {
        self.api.send(method, path, content, Some(body)).await
    }

    pub(crate) async fn create(&self, collection: &str, body: &Value) -> Answer {
        self.send(Method::POST, collection, "application/json", body).await
    }

    /// Creates what must be accepted.
    pub(crate) async fn made(&self, collection: &str, body: &Value) -> Value {
        self.create(collection, body).await.unwrap_or_else(|e| panic!("{collection}: {e:?}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.api.get(path).await.unwrap_or_else(|e| panic!("{path}: {e:?}"))
    }

    pub(crate) async fn find(&self, path: &str) -> Option<Value> {
        self.api.find(path).await.unwrap_or_else(|e| panic!("{path}: {e:?}"))
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::PUT, path, "application/json", body).await
    }

    pub(crate) async fn merge(&self, path: &str, patch: &Value) -> Answer {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch).await
    }

    pub(crate) async fn strategic(&self, path: &str, patch: &Value) -> Answer {
        self.send(Method::PATCH, path, "application/strategic-merge-patch+json", patch).await
    }

    pub(crate) async fn json_patch(&self, path: &str, patch: &Value) -> Answer {
        self.send(Method::PATCH, path, "application/json-patch+json", patch).await
    }

    /// Server-side apply under a manager's name.
    pub(crate) async fn apply(&self, path: &str, manager: &str, object: &Value) -> Answer {
        let path = format!("{path}?fieldManager={manager}");
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", object).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.send(Method::DELETE, path, "application/json", options).await
    }

    /// Asks in a representation of one's own choice; the status and the body.
    pub(crate) async fn ask_for(&self, path: &str, accept: &str) -> (StatusCode, Value) {
        let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty()).unwrap();
        let answer = self.client.send(request).await.unwrap();
        let status = answer.status();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// The events of a watch until the server ends it or enough have come.
    pub(crate) async fn events(&self, path: &str, query: &str, enough: usize) -> Vec<Value> {
        let request = Request::get(format!("{path}?watch=1&{query}")).body(Body::empty()).unwrap();
        let answer = self.client.send(request).await.unwrap();
        if !answer.status().is_success() {
            let bytes = answer.into_body().collect().await.unwrap().to_bytes();
            return vec![
                json!({"type": "REFUSED", "object": serde_json::from_slice::<Value>(&bytes).unwrap()}),
            ];
        }
        let mut body = answer.into_body();
        let mut text = Vec::new();
        let mut events = Vec::new();
        while events.len() < enough {
            let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("an event, or the end");
            let Some(frame) = frame else { break };
            text.extend_from_slice(frame.unwrap().data_ref().map_or(&[][..], |data| data));
            while let Some(at) = text.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = text.drain(..=at).collect();
                events.push(serde_json::from_slice(&line).unwrap());
            }
        }
        events
    }

    /// Waits until a look finds something.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        let looking = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        match tokio::time::timeout(PATIENCE, looking).await {
            Ok(found) => found,
            Err(late) => panic!("{}: waited in vain for {what}: {late}", self.who),
        }
    }

    /// Waits until an object is as it should be.
    pub(crate) async fn becomes(&self, path: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        self.until(what, async || self.find(path).await.filter(|object| is(object))).await
    }

    /// Waits until an object is gone.
    pub(crate) async fn gone(&self, path: &str) {
        self.until(&format!("{path} to go"), async || self.find(path).await.is_none().then_some(())).await;
    }

    /// A Node without a machine behind it.
    pub(crate) async fn node(&self, change: Value) -> (String, Value) {
        let name = self.name("bare");
        let mut node = json!({"metadata": {"name": name}});
        if let (Value::Object(node), Value::Object(change)) = (&mut node, change) {
            node.extend(change);
        }
        (format!("/api/v1/nodes/{name}"), self.made("/api/v1/nodes", &node).await)
    }

    /// A pod bound to a Node without a machine, so that no kubelet touches it; its path.
    pub(crate) async fn bound_pod(&self, namespace: &str, labels: Value) -> String {
        let (_, node) = self.node(json!({})).await;
        let mut pod = pod(&self.name("pod"));
        pod["metadata"]["labels"] = labels;
        pod["spec"]["nodeName"] = node["metadata"]["name"].clone();
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let made = self.made(&pods, &pod).await;
        format!("{pods}/{}", made["metadata"]["name"].as_str().unwrap())
    }

    /// A webhook that nobody answers and that is asked about what a rule names, in one namespace or in none; its path.
    pub(crate) async fn deaf_webhook(&self, namespace: &str, rule: Value) -> String {
        let name = self.name("deaf");
        let canary = json!({
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"],
        });
        let webhook = json!({
            "name": "deaf.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": {"service": {"namespace": namespace, "name": "gone"}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "rules": [canary, rule],
        });
        let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
        self.made(hooks, &json!({"metadata": {"name": name}, "webhooks": [webhook]})).await;
        // A real server asks a new webhook a moment later.
        let secrets = format!("/api/v1/namespaces/{namespace}/secrets?dryRun=All");
        let refused = async || self.create(&secrets, &json!({"metadata": {"name": "canary"}})).await.err();
        self.until("the webhook to be asked", refused).await;
        format!("{hooks}/{name}")
    }

    /// What a kubelet would say of a pod that runs.
    pub(crate) async fn ready(&self, pod: &str) {
        let status = json!({"status": {
            "phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
        }});
        self.merge(&format!("{pod}/status"), &status).await.unwrap();
    }
}

/// A pod's manifest.
pub(crate) fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}]},
    })
}

/// A ConfigMap's manifest.
pub(crate) fn map(name: &str, data: Value) -> Value {
    json!({"metadata": {"name": name}, "data": data})
}

/// The refusal of a request that must not be accepted.
pub(crate) fn refused(answer: Answer) -> ApiError {
    match answer {
        Err(error) => error,
        Ok(document) => panic!("accepted: {document}"),
    }
}

/// A text by JSON pointer; empty if there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
