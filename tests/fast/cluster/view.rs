//! What the cluster looks like, as plain JSON.

use http::Request;
use serde_json::{Value, json};

use super::Cluster;

/// A text field by JSON pointer, empty if absent.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The status of a condition, `absent` if there is none.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let mut found = conditions.filter(|condition| condition["type"] == kind);
    found.next().and_then(|condition| condition["status"].as_str()).unwrap_or("absent")
}

/// An annotation, empty if absent.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["annotations"][key].as_str().unwrap_or_default()
}

impl Cluster {
    pub(super) async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Value, kube::Error> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(
            "content-type",
            if method == "PATCH" { "application/merge-patch+json" } else { "application/json" },
        );
        self.client.request(request.body(body).expect("the request is well-formed")).await
    }

    /// Reads an object or list; nothing if it is not there, or if the server can't answer yet.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        match self.send("GET", path, Vec::new()).await {
            Ok(object) => Some(object),
            Err(kube::Error::Api(status)) if status.code == 404 || status.code >= 500 => None,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// The items of a list.
    pub(crate) async fn list(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Changes an object by a merge patch.
    pub(crate) async fn patch(&self, path: &str, patch: Value) -> Value {
        let answer = self.send("PATCH", path, patch.to_string().into_bytes()).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Deletes an object in the background.
    pub(crate) async fn delete(&self, path: &str) {
        let options = json!({"propagationPolicy": "Background"}).to_string();
        let answer = self.send("DELETE", path, options.into_bytes()).await;
        answer.unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// A Node, once it is there.
    pub(crate) async fn node(&self, name: &str) -> Value {
        let path = format!("/api/v1/nodes/{name}");
        self.until(&path, || async { self.get(&path).await.is_some() }).await;
        self.get(&path).await.expect("it was there")
    }

    /// Waits until every Node is Ready, and every pod that should run is.
    pub(crate) async fn settled(&self) {
        self.until("a settled cluster", || async { self.troubles().await.is_empty() }).await;
    }

    /// What is not as it should be: a sentence for each Node, workload and pod.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        for node in self.list("/api/v1/nodes").await {
            if condition(&node, "Ready") != "True" {
                troubles.push(format!("Node {} is not Ready", text(&node, "/metadata/name")));
            }
        }
        for plural in ["daemonsets", "deployments"] {
            for object in self.list(&format!("/apis/apps/v1/{plural}")).await {
                let status = &object["status"];
                let number = |value: &Value| value.as_i64().unwrap_or(0);
                let wanted = match plural {
                    "daemonsets" => status["desiredNumberScheduled"].as_i64(),
                    _ => object["spec"]["replicas"].as_i64(),
                };
                let ready =
                    number(&status[if plural == "daemonsets" { "numberReady" } else { "readyReplicas" }]);
                let seen = number(&status["observedGeneration"]) >= number(&object["metadata"]["generation"]);
                if !seen || wanted != Some(ready) {
                    troubles
                        .push(format!("{plural} {}: {ready} of {wanted:?}", text(&object, "/metadata/name")));
                }
            }
        }
        for pod in self.list("/api/v1/pods").await {
            if condition(&pod, "Ready") != "True" && text(&pod, "/status/phase") != "Succeeded" {
                let name = text(&pod, "/metadata/name");
                let waiting = &pod["status"]["containerStatuses"][0]["state"];
                let init = &pod["status"]["initContainerStatuses"];
                troubles.push(format!(
                    "pod {name} on {}: {waiting} {init} {}",
                    text(&pod, "/spec/nodeName"),
                    pod["status"]["conditions"]
                ));
            }
        }
        if !troubles.is_empty() {
            for event in self.list("/api/v1/events").await {
                if event["type"] == "Warning" {
                    troubles.push(format!(
                        "event {}: {}",
                        text(&event, "/involvedObject/name"),
                        text(&event, "/message")
                    ));
                }
            }
        }
        troubles
    }
}
