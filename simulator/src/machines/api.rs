//! Requests by path with plain JSON, over [`kube::Client`].
//!
//! Kubelets touch many kinds and few fields of each; typed round trips would drop fields that
//! this code does not know.

use futures::{Stream, StreamExt};
use http::{Method, Request};
use kube::Client;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a request brought nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiFailure {
    /// The server answered with an error.
    #[error("{message}")]
    Status {
        /// The HTTP status.
        code: u16,
        /// The machine-readable reason.
        reason: String,
        /// What the server said.
        message: String,
    },
    /// No answer came.
    #[error("{0}")]
    Unreachable(String),
}

impl ApiFailure {
    /// The HTTP status, 0 if there was no answer.
    pub(crate) fn code(&self) -> u16 {
        match self {
            ApiFailure::Status { code, .. } => *code,
            ApiFailure::Unreachable(_) => 0,
        }
    }

    /// Whether the object (or its whole kind) is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code() == 404
    }

    /// Whether another write came first, or the name is taken.
    pub(crate) fn is_conflict(&self) -> bool {
        self.code() == 409
    }
}

impl From<kube::Error> for ApiFailure {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => ApiFailure::Status {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            },
            other => ApiFailure::Unreachable(other.to_string()),
        }
    }
}

/// The patch kinds that kubelets use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patch {
    /// RFC 7386.
    Merge,
    /// Kubernetes' own, with list keys.
    Strategic,
}

/// One change that a watch told of.
#[derive(Clone, Debug)]
pub(crate) enum Change<T = Value> {
    /// The object is there like this.
    Applied(T),
    /// The object is gone; this was its last state.
    Deleted(T),
    /// Nothing but a newer resource version.
    Bookmark(String),
}

/// A client for requests by path.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
}

/// `base` with `namespaces/NS/` before the plural if there is a namespace.
pub(crate) fn path(base: &str, namespace: &str, plural: &str, name: &str) -> String {
    let mut path = base.to_owned();
    if !namespace.is_empty() {
        path.push_str("/namespaces/");
        path.push_str(namespace);
    }
    path.push('/');
    path.push_str(plural);
    if !name.is_empty() {
        path.push('/');
        path.push_str(name);
    }
    path
}

/// A path of the core group.
pub(crate) fn core(namespace: &str, plural: &str, name: &str) -> String {
    path("/api/v1", namespace, plural, name)
}

/// Whole objects.
const PLAIN: &str = "application/json";
/// Objects' metadata only.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

fn request(
    method: Method,
    path: &str,
    body: Vec<u8>,
    kind: &str,
    accept: &str,
) -> Result<Request<Vec<u8>>, ApiFailure> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, kind)
        .header(http::header::ACCEPT, accept)
        .body(body)
        .map_err(|error| ApiFailure::Unreachable(error.to_string()))
}

impl Api {
    /// Requests through this client.
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client behind it.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>, kind: &str) -> Result<Value, ApiFailure> {
        Ok(self.client.request::<Value>(request(method, path, body, kind, PLAIN)?).await?)
    }

    /// The same for answers that nobody reads: a status, but no object, is taken from them.
    async fn tell(&self, method: Method, path: &str, body: Vec<u8>, kind: &str) -> Result<(), ApiFailure> {
        // The object is not parsed: of all that a kubelet writes it would be the largest part.
        Ok(self.client.request_text(request(method, path, body, kind, PLAIN)?).await.map(|_| ())?)
    }

    /// Reads an object or list.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, ApiFailure> {
        self.send(Method::GET, path, Vec::new(), "application/json").await
    }

    /// Reads an object that may be absent.
    pub(crate) async fn find(&self, path: &str) -> Result<Option<Value>, ApiFailure> {
        match self.get(path).await {
            Ok(object) => Ok(Some(object)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The items of a list, and the list's resource version.
    pub(crate) async fn list(&self, path: &str) -> Result<(Vec<Value>, String), ApiFailure> {
        Ok(taken_apart(self.get(path).await?))
    }

    /// The same with the objects' metadata only, for who needs no more than their names.
    pub(crate) async fn list_metadata(&self, path: &str) -> Result<(Vec<Value>, String), ApiFailure> {
        let request = request(Method::GET, path, Vec::new(), PLAIN, METADATA)?;
        Ok(taken_apart(self.client.request::<Value>(request).await?))
    }

    /// Creates an object in a collection.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<Value, ApiFailure> {
        self.send(Method::POST, path, object.to_string().into_bytes(), "application/json").await
    }

    /// Creates an object unless it is there.
    pub(crate) async fn ensure(&self, path: &str, object: &Value) -> Result<(), ApiFailure> {
        match self.create(path, object).await {
            Err(failure) if !failure.is_conflict() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Creates an object, or replaces what is there whatever its version.
    pub(crate) async fn create_or_replace(&self, collection: &str, object: &Value) -> Result<(), ApiFailure> {
        match self.create(collection, object).await {
            Err(failure) if failure.is_conflict() => {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                self.patch(&format!("{collection}/{name}"), Patch::Merge, object).await?;
                Ok(())
            }
            Err(failure) => Err(failure),
            Ok(_) => Ok(()),
        }
    }

    /// Replaces an object.
    pub(crate) async fn update(&self, path: &str, object: &Value) -> Result<Value, ApiFailure> {
        self.send(Method::PUT, path, object.to_string().into_bytes(), "application/json").await
    }

    /// Patches an object.
    pub(crate) async fn patch(&self, path: &str, kind: Patch, patch: &Value) -> Result<(), ApiFailure> {
        let kind = match kind {
            Patch::Merge => "application/merge-patch+json",
            Patch::Strategic => "application/strategic-merge-patch+json",
        };
        self.tell(Method::PATCH, path, patch.to_string().into_bytes(), kind).await
    }

    /// Deletes an object; absent ones are fine.
    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Result<(), ApiFailure> {
        match self.tell(Method::DELETE, path, options.to_string().into_bytes(), "application/json").await {
            Err(failure) if !failure.is_not_found() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Whether a request for reading is answered well; what it brings is of no interest.
    pub(crate) async fn answers(&self, path: &str) -> Result<(), ApiFailure> {
        self.tell(Method::GET, path, Vec::new(), PLAIN).await
    }

    /// The items of a list as far as a type knows them, and the list's resource version.
    pub(crate) async fn list_as<T: DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<(Vec<T>, String), ApiFailure> {
        let request = request(Method::GET, path, Vec::new(), PLAIN, PLAIN)?;
        let list = self.client.request::<Typed<T>>(request).await?;
        Ok((list.items, list.metadata.resource_version))
    }

    /// Follows a collection from a resource version on; `query` is added to the path.
    pub(crate) async fn watch(
        &self,
        path: &str,
        query: &str,
        version: &str,
    ) -> Result<impl Stream<Item = Result<Change, ApiFailure>> + Send + use<>, ApiFailure> {
        self.watch_as(path, query, version).await
    }

    /// The same with the objects as far as a type knows them.
    pub(crate) async fn watch_as<T: Clone + DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        query: &str,
        version: &str,
    ) -> Result<impl Stream<Item = Result<Change<T>, ApiFailure>> + Send + use<T>, ApiFailure> {
        let joint = if query.is_empty() { "" } else { "&" };
        let uri =
            format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}{joint}{query}");
        let request = Request::builder()
            .uri(uri)
            .body(Vec::new())
            .map_err(|error| ApiFailure::Unreachable(error.to_string()))?;
        let events = self.client.request_events::<T>(request).await?;
        Ok(events.map(|event| match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => Ok(Change::Applied(object)),
            WatchEvent::Deleted(object) => Ok(Change::Deleted(object)),
            WatchEvent::Bookmark(mark) => Ok(Change::Bookmark(mark.metadata.resource_version)),
            WatchEvent::Error(status) => Err(ApiFailure::Status {
                code: status.code,
                reason: status.reason.clone(),
                message: status.message.clone(),
            }),
        }))
    }
}

/// A list of objects that a type knows.
#[derive(Deserialize)]
struct Typed<T> {
    metadata: ListMetadata,
    items: Vec<T>,
}

#[derive(Deserialize)]
struct ListMetadata {
    #[serde(rename = "resourceVersion")]
    resource_version: String,
}

/// The items of a list, and its resource version.
fn taken_apart(mut list: Value) -> (Vec<Value>, String) {
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
    match list["items"].take() {
        Value::Array(items) => (items, version),
        _ => (Vec::new(), version),
    }
}

/// A text field by JSON pointer, empty if absent.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    crate::server::object::text(object, pointer)
}
