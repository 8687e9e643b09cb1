//! `initialize`.

use super::super::case::{Stop, cases, ensure};
use super::super::stage::Stage;
use replank_provider_protocol::ErrorCode;
use replank_provider_protocol::rpc::{Response, RpcError};
use serde_json::{Value, json};

cases!("greeting", []; says_who_it_is, says_the_same_every_time, takes_a_version_it_speaks,
    refuses_versions_it_does_not_speak);

async fn says_who_it_is(stage: &Stage<'_>) -> Result<(), Stop> {
    let greeting = stage.session.greeting();
    ensure(!greeting.name.trim().is_empty(), || "its name is empty".into())?;
    ensure(!greeting.version.trim().is_empty(), || "its version is empty".into())?;
    ensure(greeting.protocol_version == 1, || {
        format!("it chose protocol version {} out of [1]", greeting.protocol_version)
    })
}

async fn says_the_same_every_time(stage: &Stage<'_>) -> Result<(), Stop> {
    let another = stage.another().await?;
    let (first, second) = (stage.session.greeting(), another.greeting());
    let same = first.capabilities == second.capabilities && first.name == second.name;
    let ended =
        ensure(same, || format!("first it said {:?}, then {:?}", first.capabilities, second.capabilities));
    another.close().await;
    ended
}

async fn greet(stage: &Stage<'_>, versions: Value) -> Result<Response, Stop> {
    let mut wire = stage.subject.wire().map_err(|e| Stop::failed(format!("it can't be started: {e}")))?;
    let params = json!({"protocolVersions": versions, "settings": stage.subject.settings()});
    wire.ask(1, "initialize", params).await
}

async fn takes_a_version_it_speaks(stage: &Stage<'_>) -> Result<(), Stop> {
    let response = greet(stage, json!([4711, 1])).await?;
    let version = response.result.as_ref().and_then(|r| r.get("protocolVersion")).and_then(Value::as_u64);
    ensure(version == Some(1), || format!("of the versions [4711, 1] it must take 1: {response:?}"))
}

async fn refuses_versions_it_does_not_speak(stage: &Stage<'_>) -> Result<(), Stop> {
    let response = greet(stage, json!([4711])).await?;
    let error = response.error.as_ref();
    let invalid = error.is_some_and(|e| {
        e.code == RpcError::PROVIDER && e.data.as_ref().is_some_and(|d| d.code == ErrorCode::Invalid)
    });
    ensure(invalid, || format!("only version 4711 was offered, which must be `invalid`: {response:?}"))
}
