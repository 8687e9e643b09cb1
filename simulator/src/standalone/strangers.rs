//! What is not the Kubernetes API asks for credentials too: whoever may not read a pod must not stop a
//! machine either.

use crate::machines::{ErrorCode, MachineError};
use crate::server::Server;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Json, Response};

/// Lets a request through that shows a certificate or a token of this cluster.
pub(super) async fn refuse(State(server): State<Server>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if server.knows(&parts) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let refusal = MachineError::new(
        ErrorCode::Denied,
        "no client certificate and no valid token; use the kubeconfig that the simulator wrote",
    );
    (StatusCode::UNAUTHORIZED, Json(refusal)).into_response()
}
