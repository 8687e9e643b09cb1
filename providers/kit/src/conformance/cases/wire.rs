//! The lines themselves.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use super::super::wire::Wire;
use replank_provider_protocol::ErrorCode;
use replank_provider_protocol::rpc::{Response, RpcError};
use serde_json::{Value, json};
use std::collections::BTreeSet;

cases!("wire", []; an_unknown_verb_is_refused, a_line_that_is_no_json_is_answered,
    parameters_that_do_not_fit_are_refused, unknown_fields_are_ignored, a_long_line_is_read,
    large_ids_come_back_whole, several_requests_may_be_in_flight,
    the_end_of_its_input_ends_it [Process], user_data_is_not_told [Destructive, Like, Fresh]);

/// A whole number that no double can hold exactly.
const LARGE_ID: u64 = 9_007_199_254_740_993;

/// How many requests are written before an answer is read.
const IN_FLIGHT: u64 = 24;

/// How long the long line is: under the bound with what stands around it.
const LONG: usize = 7 * 1024 * 1024;

async fn greeted(stage: &Stage<'_>) -> Result<Wire, Stop> {
    let mut wire = stage.subject.wire().map_err(|e| Stop::failed(format!("it can't be started: {e}")))?;
    let params = json!({"protocolVersions": [1], "settings": stage.subject.settings()});
    let response = wire.ask(1, "initialize", params).await?;
    ensure(response.result.is_some(), || format!("it refused initialize: {response:?}"))?;
    Ok(wire)
}

fn empty_list(stage: &Stage<'_>) -> Value {
    json!({"cluster": stage.cluster, "run": stage.run})
}

fn code(response: &Response) -> Option<i64> {
    response.error.as_ref().map(|e| e.code)
}

/// It must still answer after what it was just given.
async fn still_serves(wire: &mut Wire, stage: &Stage<'_>) -> Result<(), Stop> {
    let response = wire.ask(77, "list", empty_list(stage)).await?;
    ensure(response.result.is_some(), || format!("afterwards it did not answer list: {response:?}"))
}

async fn an_unknown_verb_is_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut wire = greeted(stage).await?;
    let response = wire.ask(2, "defragment", json!({})).await?;
    ensure(code(&response) == Some(RpcError::METHOD_NOT_FOUND), || {
        format!("the verb `defragment` must be refused with {}: {response:?}", RpcError::METHOD_NOT_FOUND)
    })?;
    still_serves(&mut wire, stage).await
}

async fn a_line_that_is_no_json_is_answered(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut wire = greeted(stage).await?;
    wire.write(b"{\"jsonrpc\":").await?;
    let response = wire.read().await?;
    ensure(code(&response) == Some(RpcError::PARSE) && response.id == 0, || {
        format!("half a line must be answered with {} and id 0: {response:?}", RpcError::PARSE)
    })?;
    still_serves(&mut wire, stage).await
}

async fn parameters_that_do_not_fit_are_refused(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut wire = greeted(stage).await?;
    for (verb, params) in [("get", json!({})), ("list", json!({"run": "x"})), ("create", json!({"spec": 1}))]
    {
        let response = wire.ask(2, verb, params).await?;
        let invalid = response.error.as_ref().is_some_and(|e| {
            e.code == RpcError::INVALID_PARAMS
                || e.data.as_ref().is_some_and(|d| d.code == ErrorCode::Invalid)
        });
        ensure(invalid, || {
            let wanted = RpcError::INVALID_PARAMS;
            format!("{verb} without its parameters must be refused with {wanted} or `invalid`: {response:?}")
        })?;
    }
    still_serves(&mut wire, stage).await
}

async fn unknown_fields_are_ignored(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut wire = greeted(stage).await?;
    let mut params = empty_list(stage);
    params["aFieldOfALaterVersion"] = json!({"deep": [1, {"deeper": null}]});
    let line = json!({"jsonrpc": "2.0", "id": 2, "method": "list", "params": params, "later": true});
    wire.write(line.to_string().as_bytes()).await?;
    let response = wire.read().await?;
    ensure(response.result.is_some(), || format!("list with an unknown field was refused: {response:?}"))
}

async fn a_long_line_is_read(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut wire = greeted(stage).await?;
    let mut params = empty_list(stage);
    params["padding"] = json!("x".repeat(LONG));
    let response = wire.ask(2, "list", params).await?;
    ensure(response.result.is_some(), || format!("list in a line of {LONG} bytes was refused: {response:?}"))
}

async fn large_ids_come_back_whole(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut wire = greeted(stage).await?;
    wire.ask(LARGE_ID, "list", empty_list(stage)).await.map(drop)
}

async fn several_requests_may_be_in_flight(stage: &Stage<'_>) -> Result<(), Stop> {
    let mut wire = greeted(stage).await?;
    for id in 100..100 + IN_FLIGHT {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "list", "params": empty_list(stage)});
        wire.write(request.to_string().as_bytes()).await?;
    }
    let mut open: BTreeSet<u64> = (100..100 + IN_FLIGHT).collect();
    while !open.is_empty() {
        let response = wire.read().await?;
        ensure(open.remove(&response.id), || {
            format!("it answered id {}, which was answered already or never asked", response.id)
        })?;
        ensure(response.result.is_some(), || format!("one of many lists was refused: {response:?}"))?;
    }
    Ok(())
}

async fn the_end_of_its_input_ends_it(stage: &Stage<'_>) -> Result<(), Stop> {
    let wire = greeted(stage).await?;
    match wire.end().await? {
        Some((status, _)) => ensure(status.success(), || {
            format!("the end of its input must end it with status 0, and it ended with {status}")
        }),
        None => Ok(()),
    }
}

async fn user_data_is_not_told(stage: &Stage<'_>) -> Result<(), Stop> {
    // In base64 the same three bytes at the same place look the same: both forms are looked for.
    const SECRET: &str = "cmVwbGFuay1zZWNyZXQtcmVwbGFuay1zZWNyZXQt";
    const PLAIN: &str = "replank-secret-replank-secret-";
    let told = |text: &str| text.contains(SECRET) || text.contains(PLAIN);
    let mut params = stage.create_params("secret")?;
    params.user_data = format!("I2Nsb3VkLWNvbmZpZwoj{SECRET}Cnt9Cg==");
    let mut wire = greeted(stage).await?;
    let asked = serde_json::to_value(&params).map_err(|e| Stop::failed(e.to_string()))?;
    let created = wire.ask(2, "create", asked.clone()).await?;
    let machine = stage.create(&params).await?;
    let mut other = asked;
    other["spec"]["name"] = json!(stage.name("other"));
    let answers = [
        ("create", created),
        ("create with other arguments", wire.ask(3, "create", other).await?),
        ("get", wire.ask(4, "get", json!({"machine": machine.id})).await?),
        ("list", wire.ask(5, "list", empty_list(stage)).await?),
    ];
    for (what, answer) in &answers {
        let text = serde_json::to_string(answer).map_err(|e| Stop::failed(e.to_string()))?;
        ensure(!told(&text), || format!("the answer to {what} holds the user-data"))?;
    }
    #[cfg(target_os = "linux")]
    ensure(!told(&argument_lists()), || "an argument list of a process holds the user-data".into())?;
    match wire.end().await? {
        Some((_, log)) => {
            ensure(!told(&String::from_utf8_lossy(&log)), || "its standard error holds the user-data".into())
        }
        None => Ok(()),
    }
}

/// The argument lists of all processes, where everybody can read them.
#[cfg(target_os = "linux")]
fn argument_lists() -> String {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lists = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lists.map(|list| String::from_utf8_lossy(&list).replace('\0', " ")).collect::<Vec<_>>().join("\n")
}
