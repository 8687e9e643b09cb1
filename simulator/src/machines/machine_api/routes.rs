//! The machine API over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::types::{CreateMachine, ErrorCode, MachineError};
use crate::machines::datacenter::{Caller, Datacenter};

type Query_ = Query<BTreeMap<String, String>>;
type Answer = Result<Response, MachineError>;

impl IntoResponse for MachineError {
    fn into_response(self) -> Response {
        let status = match self.code {
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::AlreadyExists => StatusCode::CONFLICT,
            ErrorCode::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::Denied => StatusCode::FORBIDDEN,
            ErrorCode::Invalid => StatusCode::BAD_REQUEST,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(json!({"code": self.code, "message": self.message, "retryable": self.retryable})))
            .into_response()
    }
}

/// What a call that changes something carries beside its path.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Order {
    operation_id: String,
    epoch: u64,
    cluster: Option<String>,
    run: Option<String>,
    machine: String,
    argv: Vec<String>,
    stdin: Option<String>,
    content: String,
    mode: Option<u32>,
}

impl Order {
    fn of_query(query: &BTreeMap<String, String>) -> Self {
        Self {
            operation_id: query.get("operationId").cloned().unwrap_or_default(),
            epoch: query.get("epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default(),
            cluster: query.get("cluster").cloned(),
            ..Self::default()
        }
    }

    fn caller<'a>(&'a self, client: &'a str) -> Caller<'a> {
        Caller { operation: &self.operation_id, epoch: self.epoch, cluster: self.cluster.as_deref(), client }
    }
}

fn client(headers: &HeaderMap) -> &str {
    headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The answer, or a connection that breaks off if the fault was asked for.
fn answer(datacenter: &Datacenter, machine: &str, status: StatusCode, body: Value) -> Response {
    if datacenter.loses_answer(machine) {
        let broken = futures::stream::once(async {
            Err::<bytes::Bytes, _>(std::io::Error::new(
                std::io::ErrorKind::ConnectionReset,
                "connection reset by peer",
            ))
        });
        return (status, Body::from_stream(broken)).into_response();
    }
    (status, Json(body)).into_response()
}

fn parsed<T: for<'a> Deserialize<'a> + Default>(body: &[u8]) -> Result<T, MachineError> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| MachineError::new(ErrorCode::Invalid, error.to_string()))
}

fn decoded(text: &str) -> Result<Vec<u8>, MachineError> {
    STANDARD.decode(text).map_err(|error| MachineError::new(ErrorCode::Invalid, format!("base64: {error}")))
}

/// The routes of the machine API.
pub(crate) fn router(datacenter: Datacenter) -> Router {
    let machine = "/machines/v1/machines/{id}";
    Router::new()
        .route("/machines/v1/machines", get(list).post(create))
        .route(machine, get(show).delete(delete))
        .route(&format!("{machine}/stop"), post(stop))
        .route(&format!("{machine}/start"), post(start))
        .route(&format!("{machine}/register"), post(register))
        .route(&format!("{machine}/deregister"), post(deregister))
        .route(&format!("{machine}/console"), get(console))
        .route(&format!("{machine}/snapshots"), post(snapshot))
        .route(&format!("{machine}/host/run"), post(host_run))
        .route(&format!("{machine}/host/file"), get(read_file).put(write_file).delete(remove_file))
        .route("/machines/v1/snapshots", get(list_snapshots))
        .route("/machines/v1/snapshots/{id}", get(show_snapshot).delete(delete_snapshot))
        .route("/machines/v1/snapshots/{id}/restore", post(restore))
        .route("/machines/v1/fence", post(fence))
        .route("/machines/v1/effects", get(effects))
        .route_layer(middleware::from_fn_with_state(datacenter.clone(), slowly))
        .with_state(datacenter)
}

/// Holds a call that changes machines or snapshots back while a fault says so.
async fn slowly(State(datacenter): State<Datacenter>, request: Request, next: Next) -> Response {
    let changes = *request.method() != Method::GET && !request.uri().path().contains("/host/");
    if changes && let Some(fault) = datacenter.faults().strikes("machine-api-slow", "") {
        tokio::time::sleep(fault.delay.unwrap_or(Duration::from_secs(1))).await;
    }
    next.run(request).await
}

async fn list(State(datacenter): State<Datacenter>, Query(query): Query_) -> Response {
    let run = query.get("run");
    let items: Vec<_> = datacenter
        .machines()
        .into_iter()
        .filter(|machine| run.is_none_or(|run| machine.run.as_ref() == Some(run)))
        .collect();
    Json(json!({ "items": items })).into_response()
}

async fn create(State(datacenter): State<Datacenter>, headers: HeaderMap, body: bytes::Bytes) -> Answer {
    let order: CreateMachine = parsed(&body)?;
    let machine = datacenter.create(&order, client(&headers))?;
    Ok(answer(&datacenter, &order.name, StatusCode::CREATED, json!(machine)))
}

async fn show(State(datacenter): State<Datacenter>, Path(id): Path<String>) -> Answer {
    Ok(Json(datacenter.machine(&id)?).into_response())
}

async fn delete(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    Query(query): Query_,
    headers: HeaderMap,
) -> Answer {
    datacenter.delete(&id, Order::of_query(&query).caller(client(&headers)))?;
    Ok(answer(&datacenter, &datacenter.name_of(&id), StatusCode::OK, json!({})))
}

async fn stop(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    let order: Order = parsed(&body)?;
    let machine = datacenter.stop(&id, order.caller(client(&headers)))?;
    Ok(answer(&datacenter, &machine.name, StatusCode::OK, json!(machine)))
}

async fn start(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    let order: Order = parsed(&body)?;
    let machine = datacenter.start(&id, order.caller(client(&headers)))?;
    Ok(answer(&datacenter, &machine.name, StatusCode::OK, json!(machine)))
}

async fn register(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    let order: Order = parsed(&body)?;
    let machine = datacenter.set_registered(&id, true, order.caller(client(&headers)))?;
    Ok(answer(&datacenter, &machine.name, StatusCode::OK, json!(machine)))
}

async fn deregister(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    let order: Order = parsed(&body)?;
    let machine = datacenter.set_registered(&id, false, order.caller(client(&headers)))?;
    Ok(answer(&datacenter, &machine.name, StatusCode::OK, json!(machine)))
}

async fn console(State(datacenter): State<Datacenter>, Path(id): Path<String>) -> Answer {
    Ok(datacenter.console(&id)?.into_response())
}

async fn snapshot(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    let order: Order = parsed(&body)?;
    let snapshot = datacenter.snapshot(&id, order.run.as_deref(), order.caller(client(&headers)))?;
    Ok(answer(&datacenter, &datacenter.name_of(&id), StatusCode::CREATED, json!(snapshot)))
}

async fn list_snapshots(State(datacenter): State<Datacenter>, Query(query): Query_) -> Response {
    let run = query.get("run");
    let items: Vec<_> = datacenter
        .snapshots()
        .into_iter()
        .filter(|snapshot| run.is_none_or(|run| snapshot.run.as_ref() == Some(run)))
        .collect();
    Json(json!({ "items": items })).into_response()
}

async fn show_snapshot(State(datacenter): State<Datacenter>, Path(id): Path<String>) -> Answer {
    Ok(Json(datacenter.snapshot_of(&id)?).into_response())
}

async fn delete_snapshot(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    Query(query): Query_,
    headers: HeaderMap,
) -> Answer {
    datacenter.delete_snapshot(&id, Order::of_query(&query).caller(client(&headers)))?;
    Ok(answer(&datacenter, &datacenter.name_of(&id), StatusCode::OK, json!({})))
}

async fn restore(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    let order: Order = parsed(&body)?;
    let machine = datacenter.restore(&id, &order.machine, order.caller(client(&headers)))?;
    Ok(answer(&datacenter, &machine.name, StatusCode::OK, json!(machine)))
}

async fn host_run(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    datacenter.machine(&id)?;
    let order: Order = parsed(&body)?;
    let stdin = decoded(order.stdin.as_deref().unwrap_or_default())?;
    let output = datacenter.run(&id, &order.argv, &stdin, order.caller(client(&headers))).await?;
    let body = json!({
        "status": output.status,
        "stdout": STANDARD.encode(&output.stdout),
        "stderr": STANDARD.encode(&output.stderr),
    });
    Ok(answer(&datacenter, &datacenter.name_of(&id), StatusCode::OK, body))
}

fn path_of(query: &BTreeMap<String, String>) -> Result<&str, MachineError> {
    let path = query.get("path").filter(|path| path.starts_with('/'));
    path.map(String::as_str)
        .ok_or_else(|| MachineError::new(ErrorCode::Invalid, "an absolute path is needed"))
}

async fn read_file(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    Query(query): Query_,
) -> Answer {
    let path = path_of(&query)?;
    let file = datacenter.read_file(&id, path)?;
    Ok(Json(json!({"content": STANDARD.encode(&file.content), "mode": file.mode})).into_response())
}

async fn write_file(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    Query(query): Query_,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> Answer {
    let order: Order = parsed(&body)?;
    let content = decoded(&order.content)?;
    let mode = order.mode.unwrap_or(0o644);
    let caller = order.caller(client(&headers));
    datacenter.write_file(&id, path_of(&query)?, Some((&content, mode)), caller)?;
    Ok(answer(&datacenter, &datacenter.name_of(&id), StatusCode::OK, json!({})))
}

async fn remove_file(
    State(datacenter): State<Datacenter>,
    Path(id): Path<String>,
    Query(query): Query_,
    headers: HeaderMap,
) -> Answer {
    let order = Order::of_query(&query);
    datacenter.write_file(&id, path_of(&query)?, None, order.caller(client(&headers)))?;
    Ok(answer(&datacenter, &datacenter.name_of(&id), StatusCode::OK, json!({})))
}

#[derive(Default, Deserialize)]
struct Fence {
    cluster: String,
    epoch: u64,
}

async fn fence(State(datacenter): State<Datacenter>, body: bytes::Bytes) -> Answer {
    let fence: Fence = parsed(&body)?;
    datacenter.fence(&fence.cluster, fence.epoch)?;
    Ok(Json(json!({})).into_response())
}

async fn effects(State(datacenter): State<Datacenter>) -> Response {
    Json(json!({"items": datacenter.effects()})).into_response()
}
