//! What the witness saw, over HTTP.
//!
//! `GET /simulator/v1/violations`: invariants that were seen broken; and, true of a cluster whose
//! migration is over, machines that are no Node's, leftovers of the old network, bystanders that changed.
//! `GET /simulator/v1/effects`: machines, what was done to them and by which operation, calls denied
//! for an old epoch, pods sent away, objects made, changed and deleted by replank, and what of it
//! happened twice.

use super::witness::Witness;
use axum::Router;
use axum::extract::State;
use axum::response::Json;
use axum::routing::get;
use serde_json::Value;

/// The witness's API.
pub(super) fn router(witness: Witness) -> Router {
    Router::new()
        .route("/simulator/v1/violations", get(violations))
        .route("/simulator/v1/effects", get(effects))
        .with_state(witness)
}

async fn violations(State(witness): State<Witness>) -> Json<Value> {
    Json(witness.violations().await)
}

async fn effects(State(witness): State<Witness>) -> Json<Value> {
    Json(witness.effects().await)
}
