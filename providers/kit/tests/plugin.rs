//! Plugins that behave and plugins that don't, as small scripts.
#![cfg(unix)]

use replank_provider_kit::{PluginProvider, Provider};
use replank_provider_protocol::verbs::{GetParams, MachineParams, Mutation};
use replank_provider_protocol::{Epoch, ErrorCode, Machine, OperationId, ProviderError, RunId};
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
async fn a_change_is_asked_for_again_under_the_same_operation_id() {
    // Killed in the middle of its answer: what it printed until then is no answer.
    let script = script(
        r#"read -r line; printf '%s\n' "$line" >> asked; if [ -e died ]; then say "$(id)" '{"progress":"done","value":'"$machine"'}'; read -r line; else : > died; printf '{"jsonrpc":"2.0","id":%s,"resu' "$(id)"; kill -9 $$; fi"#,
    );
    let plugin = PluginProvider::start("test", script.path.clone(), Value::Null).await.unwrap();
    let mutation = Mutation {
        operation: OperationId::new("run/stop/1"),
        run: RunId::new("run"),
        cluster: "c".into(),
        epoch: Epoch(4),
    };
    plugin.stop(MachineParams { mutation, machine: "m-1".into() }).await.unwrap();
    let asked = std::fs::read_to_string(script.folder.join("asked")).unwrap();
    let asked: Vec<Value> = asked.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
    assert_eq!(asked[1]["params"]["operation"], "run/stop/1");
}

#[tokio::test]
async fn one_that_dies_while_it_is_greeted_is_greeted_again() {
    let body = r#"read -r line; if [ -e twice ]; then say "$(id)" "$machine"; read -r line; else [ -e once ] && : > twice; : > once; exit 7; fi"#;
    let script = script(body);
    // The second process dies before it has read its greeting.
    let text = std::fs::read_to_string(&script.path).unwrap();
    let text = text.replacen(
        "\nread -r line; say",
        "\n[ -e once ] && ! [ -e twice ] && : > twice && exit 9\nread -r line; say",
        1,
    );
    std::fs::write(&script.path, text).unwrap();
    assert_eq!(get(&script).await.unwrap().name, "one");
}

#[tokio::test]
async fn one_that_always_dies_while_it_is_greeted_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("replank-provider-test");
    std::fs::write(&path, "#!/bin/sh\necho no such region >&2\nexit 3\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = PluginProvider::start("test", path, Value::Null).await.err().unwrap();
    let expected = "provider plugin test failed: it ended (exit status: 3) 4 times during initialize and said: no \
                    such region";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn an_answer_given_twice_is_told_by_the_next_call_which_then_goes_on() {
    let script = script(
        r#"read -r line; say "$(id)" "$machine"; [ -e twice ] || { : > twice; say "$(id)" "$machine"; }; while read -r line; do say "$(id)" "$machine"; done"#,
    );
    let plugin = PluginProvider::start("test", script.path.clone(), Value::Null).await.unwrap();
    let call = || plugin.get(GetParams { machine: "m-1".into() });
    assert_eq!(call().await.unwrap().name, "one");
    let error = call().await.unwrap_err();
    assert_eq!(error.message, "provider plugin test failed: it answered id 3 again, which had been answered");
    assert_eq!(call().await.unwrap().name, "one", "it is started again");
}

#[tokio::test]
async fn a_plugin_that_keeps_dying_is_named_with_its_last_words() {
    let error = get(&script(r"read -r line; printf 'no \033[31mdisk\n' >&2; exit 7")).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Internal);
    let expected = r"provider plugin test failed: it ended (exit status: 7) 4 times during get and said: no \u{1b}[31mdisk";
    assert_eq!(error.message, expected);
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
async fn a_flood_of_its_output_is_named() {
    let error = get(&script(r"read -r line; exec yes flood")).await.unwrap_err();
    let expected = "provider plugin test failed: it printed a line that is no JSON-RPC answer: flood";
    assert_eq!(error.message, expected);
}

#[tokio::test]
async fn an_answer_with_both_a_result_and_an_error_or_neither_is_rubbish() {
    for answer in [r#""result":1,"error":{"code":1,"message":"x"}"#, r#""other":1"#] {
        let body =
            format!(r#"read -r line; printf '{{"jsonrpc":"2.0","id":%s,{answer}}}\n' "$(id)"; read -r line"#);
        let error = get(&script(&body)).await.unwrap_err();
        assert!(error.message.contains("no JSON-RPC answer"), "{}", error.message);
    }
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
async fn a_line_that_never_ended_is_told_of_one_that_hangs() {
    let script = script(r#"read -r line; printf '{"jsonrpc"'; exec sleep 600"#);
    let plugin = PluginProvider::start("test", script.path.clone(), Value::Null).await.unwrap();
    let mut call = Box::pin(plugin.get(GetParams { machine: "m-1".into() }));
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut call).await;
    assert!(early.is_err());
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(40)).await;
    let expected = "provider plugin test failed: it did not answer get within 30 s; it printed 10 bytes of a line and \
                    not its end";
    assert_eq!(call.await.unwrap_err().message, expected);
}

#[tokio::test]
async fn what_a_plugin_started_itself_ends_with_it() {
    let script = script(r"sleep 600 & printf '%s' $! > child; read -r line; printf 'rubbish\n'; wait");
    get(&script).await.unwrap_err();
    let child = std::fs::read_to_string(script.folder.join("child")).unwrap();
    let alive = || {
        // A zombie that nobody has reaped yet does nothing any more.
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    for _ in 0..50 {
        if !alive() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("process {child} is still there");
}

#[tokio::test]
async fn names_and_messages_are_shown_on_one_line_and_reordered_by_nobody() {
    let script = script(
        r#"read -r line; say "$(id)" '{"id":"m-1","name":"a\nb\u202ec","state":"running"}'; read -r line; printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32000,"message":"","data":{"code":"invalid","message":"x\\r\\ny\\u2066","retry":"will_not_help"}}}\n' "$(id)"; read -r line"#,
    );
    let plugin = PluginProvider::start("test", script.path.clone(), Value::Null).await.unwrap();
    let call = || plugin.get(GetParams { machine: "m-1".into() });
    assert_eq!(call().await.unwrap().name, r"a\nb\u{202e}c");
    assert_eq!(call().await.unwrap_err().message, r"x\r\ny\u{2066}");
}

#[tokio::test]
async fn an_answer_of_another_shape_is_named_and_not_quoted_whole() {
    let script = script(r#"read -r line; say "$(id)" "\"$(printf '%04000d' 7)\""; read -r line"#);
    let error = get(&script).await.unwrap_err();
    assert!(
        error.message.starts_with("provider plugin test answered get with something else: "),
        "{}",
        error.message
    );
    assert!(error.message.len() < 600, "{}", error.message.len());
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
