//! Plugins that behave and plugins that don't, as small scripts.
#![cfg(unix)]

use replank_provider_kit::{PluginProvider, Provider};
use replank_provider_protocol::verbs::GetParams;
use replank_provider_protocol::{ErrorCode, Machine, ProviderError};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Answers `initialize`; every other call goes to `$1`'s text.
const GREETING: &str = r#"
id() { printf '%s' "$line" | sed 's/.*"id":\([0-9]*\).*/\1/'; }
say() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$1" "$2"; }
machine='{"id":"m-1","name":"one","state":"running","future":true}'
greet='{"protocolVersion":1,"name":"test","version":"1","capabilities":{"snapshot":"none","replacement":"fresh","keeping":"stopped","news":1}}'
read -r line; say "$(id)" "$greet"
"#;

struct Script {
    _folder: tempfile::TempDir,
    path: PathBuf,
    folder: PathBuf,
}

fn script(body: &str) -> Script {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replank-provider-test");
    let text = format!("#!/bin/sh\ncd '{}'\n{GREETING}\n{body}\n", folder.path().display());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Script { path, folder: folder.path().to_path_buf(), _folder: folder }
}

async fn get(script: &Script) -> Result<Machine, ProviderError> {
    let plugin = PluginProvider::start("test", script.path.clone(), Value::Null).await.expect("it greets");
    plugin.get(GetParams { machine: "m-1".into() }).await
}

#[tokio::test]
async fn a_plugin_that_answers_is_heard_and_unknown_fields_are_ignored() {
    let machine = get(&script(r#"while read -r line; do say "$(id)" "$machine"; done"#)).await.unwrap();
    assert_eq!(machine.name, "one");
}

#[tokio::test]
async fn answers_may_come_in_another_order() {
    let script = script(
        r#"read -r line; a=$(id); read -r line; b=$(id); say "$b" "\"second\""; say "$a" "\"first\""; read -r line"#,
    );
    let plugin = PluginProvider::start("test", script.path.clone(), Value::Null).await.unwrap();
    let log = || plugin.console_log(GetParams { machine: "m-1".into() });
    let (first, second) = tokio::join!(log(), log());
    assert_eq!((first.unwrap().as_str(), second.unwrap().as_str()), ("first", "second"));
}

#[tokio::test]
async fn a_plugin_that_dies_is_started_again_and_asked_again() {
    let script = script(
        r#"read -r line; printf '%s\n' "$line" >> asked; if [ -e died ]; then say "$(id)" "$machine"; read -r line; else : > died; exit 7; fi"#,
    );
    let machine = get(&script).await.unwrap();
    assert_eq!(machine.id.as_str(), "m-1");
    let asked = std::fs::read_to_string(script.folder.join("asked")).unwrap();
    assert_eq!(asked.lines().count(), 2, "the same call, twice: {asked}");
}

#[tokio::test]
async fn a_plugin_that_keeps_dying_is_named_with_its_last_words() {
    let error = get(&script(r"read -r line; printf 'no \033[31mdisk\n' >&2; exit 7")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Internal);
    let expected = r"provider plugin test failed: it ended (exit status: 7) 4 times during get and said: no \u{1b}[31mdisk";
    // Its log and its end come by two ways, so the last words may be missed, but never half read.
    assert!(expected.starts_with(&error.message), "{}", error.message);
}

#[tokio::test]
async fn rubbish_is_named_and_escaped() {
    let error = get(&script(r"read -r line; printf 'hello \033[2J\n'; read -r line")).await.unwrap_err();
    assert_eq!(
        error.message,
        r"provider plugin test failed: it printed a line that is no JSON-RPC answer: hello \u{1b}[2J"
    );
}

#[tokio::test]
async fn an_answer_to_nobody_is_named() {
    let error = get(&script(r#"read -r line; say 4711 "$machine"; read -r line"#)).await.unwrap_err();
    assert_eq!(error.message, "provider plugin test failed: it answered id 4711, which was not asked");
}

#[tokio::test]
async fn a_line_without_an_end_is_named() {
    let error = get(&script(r"read -r line; exec yes '' | tr '\n' 'x'")).await.unwrap_err();
    assert!(error.message.contains("a line of more than"), "{}", error.message);
}

#[tokio::test]
async fn a_flood_is_named() {
    let error = get(&script(r"read -r line; yes flood >&2")).await.unwrap_err();
    assert!(error.message.contains("bytes a second to its standard error"), "{}", error.message);
}

#[tokio::test]
async fn one_that_does_not_answer_is_named() {
    let script = script(r"read -r line; exec sleep 600");
    let plugin = PluginProvider::start("test", script.path.clone(), Value::Null).await.unwrap();
    let mut call = Box::pin(plugin.get(GetParams { machine: "m-1".into() }));
    // The call is on its way; then its time passes at once.
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), &mut call).await;
    assert!(early.is_err());
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(40)).await;
    let error = call.await.unwrap_err();
    assert_eq!(error.message, "provider plugin test failed: it did not answer get within 30 s");
}

#[tokio::test]
async fn escape_sequences_in_an_answer_are_written_out() {
    let log = script(r#"read -r line; say "$(id)" '"a\u001b]0;x"'; read -r line"#);
    let plugin = PluginProvider::start("test", log.path.clone(), Value::Null).await.unwrap();
    let text = plugin.console_log(GetParams { machine: "m-1".into() }).await.unwrap();
    assert_eq!(text, r"a\u{1b}]0;x");
}

#[tokio::test]
async fn the_end_of_the_input_ends_the_plugin() {
    let script = script(r#"while read -r line; do say "$(id)" "$machine"; done; : > ended"#);
    let plugin = PluginProvider::start("test", script.path.clone(), Value::Null).await.unwrap();
    plugin.get(GetParams { machine: "m-1".into() }).await.unwrap();
    plugin.close().await;
    assert!(script.folder.join("ended").exists());
}
