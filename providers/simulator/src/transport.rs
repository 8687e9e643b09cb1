//! One request to the machine API and its answer.

use crate::wire::WireError;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use kube::client::Body;
use replank_provider_protocol::{ErrorCode, ProviderError};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::{Arc, OnceLock};

/// Speaks to the machine API through a Kubernetes client: the same address and credentials serve
/// both.
#[derive(Clone)]
pub struct Transport {
    client: Arc<OnceLock<kube::Client>>,
}

impl Transport {
    /// A transport over a client of the embedded cluster.
    pub fn new(client: kube::Client) -> Self {
        Self { client: Arc::new(OnceLock::from(client)) }
    }

    /// A transport that has no client yet.
    pub fn unconnected() -> Self {
        Self { client: Arc::default() }
    }

    /// Whether it has a client.
    pub fn is_connected(&self) -> bool {
        self.client.get().is_some()
    }

    /// Gives it a client; one that it has already stays.
    pub fn connect(&self, client: kube::Client) {
        self.client.get_or_init(|| client);
    }

    fn client(&self) -> Result<&kube::Client, ProviderError> {
        self.client.get().ok_or_else(|| {
            ProviderError::lasting(ErrorCode::Invalid, "the provider was asked before it was initialized")
        })
    }

    /// Sends a request and reads its answer's JSON.
    ///
    /// # Errors
    /// The machine API's own refusal, or `unavailable` when it could not be asked.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ProviderError> {
        let bytes = self.bytes(method, path, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| {
            ProviderError::lasting(
                ErrorCode::Internal,
                format!("the machine API answered {path} unexpectedly: {error}"),
            )
        })
    }

    /// Sends a request and reads its answer as it is.
    ///
    /// # Errors
    /// As [`Transport::json`].
    pub async fn bytes(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, ProviderError> {
        let unavailable = |error: &dyn std::fmt::Display| {
            ProviderError::passing(
                ErrorCode::Unavailable,
                format!("the machine API could not be asked: {error}"),
            )
        };
        let request = request(method, path, body)?;
        let response = self.client()?.send(request).await.map_err(|e| unavailable(&e))?;
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(|e| unavailable(&e))?.to_bytes();
        if status.is_success() { Ok(bytes.to_vec()) } else { Err(refusal(status, &bytes)) }
    }
}

fn request(method: Method, path: &str, body: Option<&Value>) -> Result<Request<Body>, ProviderError> {
    let payload = body.map(|b| b.to_string().into_bytes()).unwrap_or_default();
    Request::builder()
        .method(method)
        .uri(format!("/machines/v1{path}"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Body::from(payload))
        .map_err(|error| ProviderError::lasting(ErrorCode::Invalid, format!("{path} is no path: {error}")))
}

fn refusal(status: StatusCode, bytes: &[u8]) -> ProviderError {
    match serde_json::from_slice::<WireError>(bytes) {
        Ok(error) => error.into(),
        // Something in between answered: a proxy, or the API server itself.
        Err(_) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            ProviderError::passing(ErrorCode::Unavailable, format!("the machine API answered {status}"))
        }
        Err(_) => ProviderError::lasting(ErrorCode::Internal, format!("the machine API answered {status}")),
    }
}
