//! `replank provider list`, with plugins that work and plugins that don't.
#![cfg(unix)]

use assert_cmd::Command;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn plugin(folder: &Path, name: &str, body: &str) {
    let path = folder.join(format!("replank-provider-{name}"));
    std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn list(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let mut command = Command::cargo_bin("replank").unwrap();
    command.env("PATH", path).args(["provider", "list"]).args(arguments).output().unwrap()
}

#[test]
fn what_works_is_shown_with_what_it_can_do_and_what_does_not_with_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let greeting = r#"{"protocolVersion":1,"name":"good","version":"0.3\u001b[2J","capabilities":{"snapshot":"disk","replacement":"fresh","keeping":"stopped","hosts":true}}"#;
    plugin(
        folder.path(),
        "zz-good",
        &format!(
            r#"read -r line
printf '%s\n' '{{"jsonrpc":"2.0","id":2,"result":{greeting}}}'
read -r line"#
        ),
    );
    plugin(folder.path(), "zz-dying", "echo no region >&2; exit 3");
    plugin(
        folder.path(),
        "zz-old",
        r#"read -r line
printf '%s\n' '{"jsonrpc":"2.0","id":2,"result":{"protocolVersion":7,"name":"old","version":"1","capabilities":{"snapshot":"none","replacement":"fresh","keeping":"lost"}}}'
read -r line"#,
    );
    std::fs::write(folder.path().join("replank-provider-zz-no-program"), "").unwrap();

    let output = list(folder.path(), &["-o", "json"]);
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["kind"], "ProviderList");
    let found: Vec<&Value> = document["providers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|p| p["plugin"].as_str().unwrap().starts_with("zz-"))
        .collect();
    let names: Vec<&str> = found.iter().map(|p| p["plugin"].as_str().unwrap()).collect();
    assert_eq!(names, ["zz-dying", "zz-good", "zz-old"]);
    let error = found[0]["error"].as_str().unwrap();
    assert!(error.contains("zz-dying") && error.ends_with("and said: no region"), "{error}");
    assert_eq!(found[1]["version"], "0.3\\u{1b}[2J");
    assert_eq!(found[1]["protocolVersion"], 1);
    assert_eq!(found[1]["capabilities"]["snapshot"], "disk");
    assert!(found[2]["error"].as_str().unwrap().contains("version 7"), "{}", found[2]);

    let text = String::from_utf8(list(folder.path(), &[]).stdout).unwrap();
    assert!(text.contains("zz-good: good 0.3\\u{1b}[2J, protocol 1\n"), "{text}");
    assert!(text.contains("  fresh machines, keeps stopped ones, snapshots of the disk, hosts\n"), "{text}");
    assert!(text.contains("zz-dying: does not work\n"), "{text}");
}
