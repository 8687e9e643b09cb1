//! What the cluster looks like, as plain JSON.

use std::time::Duration;

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
    async fn send(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Value, kube::Error> {
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

    /// Creates an object in a collection.
    pub(crate) async fn create(&self, collection: &str, object: &Value) {
        let answer = self.send("POST", collection, object.to_string().into_bytes()).await;
        answer.unwrap_or_else(|error| panic!("{collection}: {error}"));
    }

    /// Deletes an object in the background, if it is there.
    pub(crate) async fn delete(&self, path: &str) {
        let options = json!({"propagationPolicy": "Background"}).to_string();
        match self.send("DELETE", path, options.into_bytes()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{path}: {error}"),
            Ok(_) => {}
        }
    }

    /// Waits until something holds; after ten minutes it never will.
    pub(crate) async fn until<F>(&self, what: &str, holds: impl Fn() -> F)
    where
        F: Future<Output = bool>,
    {
        for _ in 0..600 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let unready = self.built.all_ready("everything").await.err().map(|error| error.to_string());
        panic!("waited in vain for {what}: {}", unready.unwrap_or_default());
    }
}
