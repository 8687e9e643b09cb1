//! Requests by path with plain JSON, over [`kube::Client`].
//!
//! Kubelets touch many kinds and few fields of each; typed round trips would drop fields that
//! this code does not know. An embedded server hands objects over as they are, any other as JSON.

use crate::server::Object;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use kube::core::WatchEvent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::server::Status;
use crate::server::passing::{Accepts, Passed, Told};

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

impl From<Status> for ApiFailure {
    fn from(status: Status) -> Self {
        ApiFailure::Status { code: status.code, reason: status.reason, message: status.message }
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
pub(crate) enum Change<T = Object> {
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

    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        kind: &str,
    ) -> Result<Answer, ApiFailure> {
        self.answered(request(method, path, body, kind, PLAIN)?).await
    }

    async fn answered(&self, request: Request<Vec<u8>>) -> Result<Answer, ApiFailure> {
        let mut request = request.map(Body::from);
        request.extensions_mut().insert(Accepts);
        let mut response = self.client.send(request).await?;
        match response.extensions_mut().remove::<Passed>() {
            Some(Passed::Object(object)) => Ok(Answer::Object(object)),
            Some(Passed::List(items, revision)) => Ok(Answer::List(items, revision)),
            _ if is_failure(&response) => Err(failure_of(response).await),
            _ => Ok(Answer::Json(body_of(response).await?)),
        }
    }

    async fn send(&self, method: Method, path: &str, body: Vec<u8>, kind: &str) -> Result<Value, ApiFailure> {
        match self.answer(method, path, body, kind).await? {
            Answer::Object(object) => Ok(object.into_value()),
            Answer::List(items, revision) => {
                let items: Vec<&Value> = items.iter().map(|item| &**item).collect();
                Ok(json!({"metadata": {"resourceVersion": revision.to_string()}, "items": items}))
            }
            Answer::Json(text) => parsed(&text),
        }
    }

    /// The same for answers that nobody reads: a status, but no object, is taken from them.
    async fn tell(&self, method: Method, path: &str, body: Vec<u8>, kind: &str) -> Result<(), ApiFailure> {
        // The object is not parsed: of all that a kubelet writes it would be the largest part.
        self.answer(method, path, body, kind).await.map(|_| ())
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
    pub(crate) async fn list(&self, path: &str) -> Result<(Vec<Object>, String), ApiFailure> {
        listed(self.answer(Method::GET, path, Vec::new(), PLAIN).await?)
    }

    /// The same with the objects' metadata only, for who needs no more than their names; a server in the same
    /// process hands over the whole objects, since they are there.
    pub(crate) async fn list_metadata(&self, path: &str) -> Result<(Vec<Object>, String), ApiFailure> {
        listed(self.answered(request(Method::GET, path, Vec::new(), PLAIN, METADATA)?).await?)
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
        match self.answer(Method::GET, path, Vec::new(), PLAIN).await? {
            Answer::List(items, revision) => {
                let items = items.iter().map(|item| T::deserialize(&**item)).collect::<Result<_, _>>();
                Ok((items.map_err(unreadable)?, revision.to_string()))
            }
            Answer::Object(object) => {
                let list = Typed::<T>::deserialize(&*object).map_err(unreadable)?;
                Ok((list.items, list.metadata.resource_version))
            }
            Answer::Json(text) => {
                let list = parsed::<Typed<T>>(&text)?;
                Ok((list.items, list.metadata.resource_version))
            }
        }
    }

    /// Follows a collection from a resource version on; `query` is added to the path.
    pub(crate) async fn watch(
        &self,
        path: &str,
        query: &str,
        version: &str,
    ) -> Result<impl Stream<Item = Result<Change, ApiFailure>> + Send + use<>, ApiFailure> {
        let told = |object: Object| Ok(object);
        self.events(path, query, version, told).await
    }

    /// The same with the objects as far as a type knows them.
    pub(crate) async fn watch_as<T: Clone + DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        query: &str,
        version: &str,
    ) -> Result<impl Stream<Item = Result<Change<T>, ApiFailure>> + Send + use<T>, ApiFailure> {
        let told = |object: Object| T::deserialize(&*object).map_err(unreadable);
        self.events(path, query, version, told).await
    }

    async fn events<T: DeserializeOwned + Send + 'static>(
        &self,
        path: &str,
        query: &str,
        version: &str,
        told: fn(Object) -> Result<T, ApiFailure>,
    ) -> Result<BoxStream<'static, Result<Change<T>, ApiFailure>>, ApiFailure> {
        let joint = if query.is_empty() { "" } else { "&" };
        let uri =
            format!("{path}?watch=true&allowWatchBookmarks=true&resourceVersion={version}{joint}{query}");
        let mut request = request(Method::GET, &uri, Vec::new(), PLAIN, PLAIN)?.map(Body::from);
        request.extensions_mut().insert(Accepts);
        let mut response = self.client.send(request).await?;
        if let Some(Passed::Watch(events)) = response.extensions_mut().remove::<Passed>() {
            let events = events.lock().expect("nothing panics while it holds a watch").take();
            let events = events.into_iter().map(|events| events.map(futures::stream::iter).flatten());
            return Ok(futures::stream::iter(events).flatten().map(move |event| handed(event, told)).boxed());
        }
        if is_failure(&response) {
            return Err(failure_of(response).await);
        }
        Ok(lines(response.into_body()).map(|line| read(&line?)).boxed())
    }
}

/// What the server answered.
enum Answer {
    /// An object that it handed over.
    Object(Object),
    /// The objects of a list, and its revision.
    List(Arc<[Object]>, u64),
    /// JSON.
    Json(Bytes),
}

fn is_failure(response: &Response<Body>) -> bool {
    response.status().is_client_error() || response.status().is_server_error()
}

async fn body_of(response: Response<Body>) -> Result<Bytes, ApiFailure> {
    let body = response.into_body().collect().await;
    Ok(body.map_err(|error| ApiFailure::Unreachable(error.to_string()))?.to_bytes())
}

async fn failure_of(response: Response<Body>) -> ApiFailure {
    let code = response.status().as_u16();
    let body = match body_of(response).await {
        Ok(body) => body,
        Err(failure) => return failure,
    };
    match serde_json::from_slice::<kube::core::Status>(&body) {
        Ok(status) => kube::Error::Api(status.boxed()).into(),
        // A proxy in between may answer with anything.
        Err(_) => ApiFailure::Status {
            code,
            reason: String::new(),
            message: String::from_utf8_lossy(&body).trim().to_owned(),
        },
    }
}

fn parsed<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiFailure> {
    serde_json::from_slice(text).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> ApiFailure {
    ApiFailure::Unreachable(error.to_string())
}

/// An event that was handed over.
fn handed<T>(event: Told, told: fn(Object) -> Result<T, ApiFailure>) -> Result<Change<T>, ApiFailure> {
    match event {
        Told::Applied(object) => Ok(Change::Applied(told(object)?)),
        Told::Deleted(object) => Ok(Change::Deleted(told(object)?)),
        Told::Bookmark(revision) => Ok(Change::Bookmark(revision.to_string())),
        Told::Failed(status) => Err(status.into()),
    }
}

/// An event that was written.
fn read<T: DeserializeOwned>(line: &[u8]) -> Result<Change<T>, ApiFailure> {
    match parsed::<WatchEvent<T>>(line)? {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => Ok(Change::Applied(object)),
        WatchEvent::Deleted(object) => Ok(Change::Deleted(object)),
        WatchEvent::Bookmark(mark) => Ok(Change::Bookmark(mark.metadata.resource_version)),
        WatchEvent::Error(status) => Err(kube::Error::Api(status).into()),
    }
}

/// The lines of a body; one that is not whole when the body ends or breaks off is none.
fn lines(body: Body) -> impl Stream<Item = Result<Bytes, ApiFailure>> + Send {
    futures::stream::unfold((body, BytesMut::new()), |(mut body, mut rest)| async move {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.split_to(end + 1).freeze().slice(..end);
                return Some((Ok(line), (body, rest)));
            }
            match body.frame().await? {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        rest.extend_from_slice(data);
                    }
                }
                Err(error) => {
                    let failure = ApiFailure::Unreachable(error.to_string());
                    return Some((Err(failure), (body, BytesMut::new())));
                }
            }
        }
    })
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
fn listed(answer: Answer) -> Result<(Vec<Object>, String), ApiFailure> {
    match answer {
        Answer::List(items, revision) => Ok((items.to_vec(), revision.to_string())),
        Answer::Object(object) => Ok(taken_apart(object.into_value())),
        Answer::Json(text) => Ok(taken_apart(parsed(&text)?)),
    }
}

fn taken_apart(mut list: Value) -> (Vec<Object>, String) {
    let version = list["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
    match list["items"].take() {
        Value::Array(items) => (items.into_iter().map(Object::from).collect(), version),
        _ => (Vec::new(), version),
    }
}

/// A text field by JSON pointer, empty if absent.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    crate::server::object::text(object, pointer)
}
