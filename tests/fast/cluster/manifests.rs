//! Upstream's manifests, installed as `kubectl create -f` does.

use std::path::Path;

use serde_json::Value;

use super::{Cluster, text};

impl Cluster {
    /// Creates every object of a manifest, in order.
    pub(crate) async fn install(&self, folder: &Path, manifest: &str) {
        let content = std::fs::read_to_string(folder.join(manifest)).expect("the manifest can be read");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&content).expect("the manifest is YAML");
        for document in documents.into_iter().filter(Value::is_object) {
            self.create(document).await;
        }
    }

    /// Creates an object. One without a namespace is taken for one of the whole cluster.
    pub(crate) async fn create(&self, object: Value) {
        let collection = collection(&object);
        let name = text(&object, "/metadata/name");
        let made = self.send("POST", &collection, object.to_string().into_bytes()).await;
        made.unwrap_or_else(|error| panic!("{collection}/{name}: {error}"));
    }
}

/// The collection that an object belongs to.
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
