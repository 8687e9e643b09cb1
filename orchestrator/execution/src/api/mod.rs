//! The Kubernetes API as this crate uses it: whole objects as JSON, errors by what can be done about
//! them, no retries of its own (the steps own every retry).
//!
//! - [`path`]: where objects live.
//! - [`error`]: refusals and failures.
//! - [`follow`]: a collection kept up to date by a watch.

pub mod error;
pub mod follow;
pub mod path;

pub use error::ApiError;
pub use follow::Follow;

use futures::stream::{BoxStream, StreamExt};
use http::{Method, Request, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use std::time::Duration;

/// How many objects one page of a list holds: small enough that a page of large objects stays in the
/// low megabytes, large enough that 5,000 pods are ten requests.
const PAGE: u32 = 500;

/// How long an answer may take. The API server itself gives up after 60 s; a connection that says
/// nothing for longer is dead.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// How long the server shall keep one watch: below the load balancers' usual five minutes.
const WATCH_SECONDS: u32 = 290;

/// Who owns fields that server-side apply sets.
pub const FIELD_MANAGER: &str = "replank";

/// Whole objects.
const PLAIN: &str = "application/json";
/// Objects' metadata, where the server can; whole objects where it can't.
const METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// How the server's audit log names us.
const AGENT: &str = concat!("replank/", env!("CARGO_PKG_VERSION"));

/// How a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// JSON merge patch.
    Merge,
    /// Strategic merge patch; only for built-in types.
    Strategic,
    /// Server-side apply, without force: a field that someone else owns is a conflict.
    Apply,
}

/// A client that knows no types.
#[derive(Clone)]
pub struct Api {
    client: kube::Client,
}

impl Api {
    /// An API over a client. The client's own silent retries must be off.
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }

    /// One object.
    ///
    /// # Errors
    /// As the server said, `not found` included.
    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.send(Method::GET, path, "", None).await
    }

    /// One object, if it is there.
    ///
    /// # Errors
    /// As the server said.
    pub async fn find(&self, path: &str) -> Result<Option<Value>, ApiError> {
        match self.get(path).await {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects of a collection, page by page, with the collection's version. `query` is ready for
    /// a URL, such as [`path::fields`] makes it.
    ///
    /// # Errors
    /// As the server said; an expired page begins anew once.
    pub async fn list(&self, path: &str, query: &str) -> Result<(Vec<Value>, String), ApiError> {
        let mut items = Vec::new();
        let version = self.pages(path, query, |page| items.extend(page)).await?;
        Ok((items, version))
    }

    /// Hands over a collection page by page. A list whose token expired is begun anew from its first
    /// page, so that `take` may see an object twice.
    ///
    /// # Errors
    /// As the server said.
    pub async fn pages(
        &self,
        path: &str,
        query: &str,
        take: impl FnMut(Vec<Value>),
    ) -> Result<String, ApiError> {
        self.pages_as(path, query, PLAIN, take).await
    }

    /// The same with the objects' metadata only: nothing else leaves the server.
    ///
    /// # Errors
    /// As the server said.
    pub async fn metadata_pages(
        &self,
        path: &str,
        query: &str,
        take: impl FnMut(Vec<Value>),
    ) -> Result<String, ApiError> {
        self.pages_as(path, query, METADATA, take).await
    }

    async fn pages_as(
        &self,
        path: &str,
        query: &str,
        accept: &str,
        mut take: impl FnMut(Vec<Value>),
    ) -> Result<String, ApiError> {
        let mut token = String::new();
        let mut restarted = false;
        loop {
            let url = path::with_query(path, &[&format!("limit={PAGE}"), query, &if_any("continue", &token)]);
            match self.send_as(Method::GET, &url, accept, "", None).await {
                Ok(mut page) => {
                    if let Value::Array(items) = page["items"].take() {
                        take(items);
                    }
                    let text = |key: &str| page["metadata"][key].as_str().unwrap_or_default().to_owned();
                    token = text("continue");
                    if token.is_empty() {
                        return Ok(text("resourceVersion"));
                    }
                }
                Err(error) if error.code == 410 && !restarted => {
                    restarted = true;
                    token.clear();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Creates an object in a collection.
    ///
    /// # Errors
    /// As the server said.
    pub async fn create(&self, collection: &str, body: &Value) -> Result<Value, ApiError> {
        let url = path::with_query(collection, &[&format!("fieldManager={FIELD_MANAGER}")]);
        self.send(Method::POST, &url, "application/json", Some(body)).await
    }

    /// Changes an object.
    ///
    /// # Errors
    /// As the server said.
    pub async fn patch(&self, path: &str, kind: PatchKind, body: &Value) -> Result<Value, ApiError> {
        let url = path::with_query(path, &[&format!("fieldManager={FIELD_MANAGER}")]);
        let content = match kind {
            PatchKind::Merge => "application/merge-patch+json",
            PatchKind::Strategic => "application/strategic-merge-patch+json",
            PatchKind::Apply => "application/apply-patch+yaml",
        };
        self.send(Method::PATCH, &url, content, Some(body)).await
    }

    /// Replaces an object.
    ///
    /// # Errors
    /// As the server said.
    pub async fn replace(&self, path: &str, body: &Value) -> Result<Value, ApiError> {
        let url = path::with_query(path, &[&format!("fieldManager={FIELD_MANAGER}")]);
        self.send(Method::PUT, &url, "application/json", Some(body)).await
    }

    /// Deletes one incarnation of an object; its dependents go in the background.
    ///
    /// # Errors
    /// As the server said.
    pub async fn delete(&self, path: &str, uid: &str) -> Result<Value, ApiError> {
        self.delete_as(path, uid, &json!({"propagationPolicy": "Background"})).await
    }

    /// Deletes one incarnation of an object that has no time left to end in.
    ///
    /// # Errors
    /// As the server said.
    pub async fn delete_at_once(&self, path: &str, uid: &str) -> Result<Value, ApiError> {
        self.delete_as(path, uid, &json!({"gracePeriodSeconds": 0})).await
    }

    /// Deletes one incarnation of an object, which stays until its dependents are gone.
    ///
    /// # Errors
    /// As the server said.
    pub async fn delete_with_dependents(&self, path: &str, uid: &str) -> Result<Value, ApiError> {
        self.delete_as(path, uid, &json!({"propagationPolicy": "Foreground"})).await
    }

    async fn delete_as(&self, path: &str, uid: &str, how: &Value) -> Result<Value, ApiError> {
        let mut options = how.clone();
        options["apiVersion"] = json!("v1");
        options["kind"] = json!("DeleteOptions");
        options["preconditions"] = json!({"uid": uid});
        self.send(Method::DELETE, path, "application/json", Some(&options)).await
    }

    /// Any request that is answered with one document.
    ///
    /// # Errors
    /// As the server said, or without a code when it could not be asked.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        self.send_as(method, path, PLAIN, content, body).await
    }

    async fn send_as(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        content: &str,
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, accept)
            .header(header::USER_AGENT, AGENT);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, content);
        }
        let payload = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
        let request =
            request.body(Body::from(payload)).map_err(|e| ApiError::unusable(format!("{path}: {e}")))?;
        match tokio::time::timeout(ANSWER_WITHIN, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ApiError::unanswered("the API server did not answer within a minute")),
        }
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Value, ApiError> {
        let response =
            self.client.send(request).await.map_err(|e| ApiError::unanswered(&error::sentence(&e)))?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.parse().ok());
        let bytes = response
            .into_body()
            .collect()
            .await
            .map_err(|e| ApiError::unanswered(&format!("the connection broke: {}", error::sentence(&e))))?
            .to_bytes();
        if status.is_success() {
            serde_json::from_slice(&bytes)
                // The body is not shown: it could be a Secret.
                .map_err(|_| ApiError::unanswered("the API server's answer was cut off or is not JSON"))
        } else {
            Err(ApiError::from_status(status.as_u16(), &bytes, retry_after))
        }
    }

    /// Changes of a collection after a version, each as the server's watch event.
    ///
    /// # Errors
    /// When the watch can't begin. Later errors come in the stream.
    pub async fn watch(
        &self,
        path: &str,
        query: &str,
        version: &str,
    ) -> Result<BoxStream<'static, Result<Value, ApiError>>, ApiError> {
        let url = path::with_query(
            path,
            &[
                "watch=1",
                "allowWatchBookmarks=true",
                &format!("timeoutSeconds={WATCH_SECONDS}"),
                &format!("resourceVersion={version}"),
                query,
            ],
        );
        let request = Request::get(&url)
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, AGENT)
            .body(Body::empty())
            .map_err(|e| ApiError::unusable(format!("{url}: {e}")))?;
        let response = match tokio::time::timeout(ANSWER_WITHIN, self.client.send(request)).await {
            Ok(answer) => answer.map_err(|e| ApiError::unanswered(&error::sentence(&e)))?,
            Err(_) => {
                return Err(ApiError::unanswered("the API server did not begin a watch within a minute"));
            }
        };
        let status = response.status();
        if !status.is_success() {
            let bytes = response
                .into_body()
                .collect()
                .await
                .map_err(|e| ApiError::unanswered(&error::sentence(&e)))?
                .to_bytes();
            return Err(ApiError::from_status(status.as_u16(), &bytes, None));
        }
        Ok(follow::lines(response.into_body()).boxed())
    }
}

fn if_any(key: &str, value: &str) -> String {
    if value.is_empty() { String::new() } else { format!("{key}={}", path::encode(value)) }
}
