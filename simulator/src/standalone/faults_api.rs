//! Raising and lifting faults over HTTP, under `/simulator/v1/faults`.
//!
//! `GET` lists the names and what is raised. `POST /simulator/v1/faults/NAME` raises one;
//! conditions follow the name as they do on the command line, `NAME:key=value:key=value`.
//! `DELETE /simulator/v1/faults/NAME` lifts all of that name.

use crate::faults::{Fault, Faults};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Json;
use axum::routing::{get, post};
use serde_json::{Value, json};

/// The faults' API.
pub(super) fn router(faults: Faults) -> Router {
    Router::new()
        .route("/simulator/v1/faults", get(list).delete(lift_all))
        .route("/simulator/v1/faults/{name}", post(raise).delete(lift))
        .with_state(faults)
}

async fn list(State(faults): State<Faults>) -> Json<Value> {
    let names: Vec<Value> =
        Faults::names().iter().map(|(name, what)| json!({"name": name, "description": what})).collect();
    let raised: Vec<Value> = faults
        .raised()
        .into_iter()
        .map(|(id, fault)| {
            json!({
                "id": id.to_string(), "name": fault.name, "client": fault.client, "verb": fault.verb,
                "resource": fault.resource, "subject": fault.subject, "rate": fault.rate,
                "count": fault.count, "delaySeconds": fault.delay.map(|delay| delay.as_secs_f64()),
                "struck": faults.struck(&fault.name),
            })
        })
        .collect();
    Json(json!({"faults": names, "raised": raised}))
}

async fn raise(State(faults): State<Faults>, Path(text): Path<String>) -> (StatusCode, Json<Value>) {
    match text.parse::<Fault>() {
        Ok(fault) => {
            let name = fault.name.clone();
            let id = faults.raise(fault);
            (StatusCode::CREATED, Json(json!({"id": id.to_string(), "name": name})))
        }
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({"error": error.to_string()}))),
    }
}

async fn lift(State(faults): State<Faults>, Path(name): Path<String>) -> (StatusCode, Json<Value>) {
    if !Faults::names().iter().any(|(known, _)| *known == name) {
        return (StatusCode::NOT_FOUND, Json(json!({"error": format!("no fault is named `{name}`")})));
    }
    (StatusCode::OK, Json(json!({"lifted": faults.lift_named(&name)})))
}

async fn lift_all(State(faults): State<Faults>) -> Json<Value> {
    let lifted = faults.raised().len();
    faults.lift_all();
    Json(json!({"lifted": lifted}))
}
