//! The example and the documentation say what the provider does.

use replank_provider_aws::settings::Settings;
use std::collections::BTreeSet;
use std::path::Path;

fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn settings(text: &str) -> serde_json::Value {
    let document: serde_json::Value = serde_saphyr::from_str(text).expect("it is YAML");
    document["provider"]["settings"].clone()
}

#[test]
fn the_example_is_understood_as_it_is_and_with_every_line_that_is_commented_out() {
    let example = text("examples/aws.yaml");
    Settings::read(settings(&example)).expect("the example");
    let mut tried = 0;
    for (number, line) in example.lines().enumerate() {
        // A sentence begins with a capital letter or goes on in the middle of one; a setting is `name: value`.
        let Some((indent, setting)) = line.split_once("# ").filter(|(indent, _)| indent.trim().is_empty())
        else {
            continue;
        };
        let is_setting = setting.split_once(": ").is_some_and(|(name, _)| {
            name.chars().all(char::is_alphanumeric) && name.starts_with(char::is_lowercase)
        });
        if !is_setting || indent.is_empty() {
            continue;
        }
        let mut lines: Vec<String> = example.lines().map(str::to_owned).collect();
        lines[number] = format!("{indent}{setting}");
        let settings = settings(&lines.join("\n"));
        Settings::read(settings).unwrap_or_else(|e| panic!("line {}: {e}", number + 1));
        tried += 1;
    }
    assert!(tried > 12, "{tried} settings were tried");
}

#[test]
fn every_call_that_is_made_is_in_the_policy_and_none_besides() {
    let documented = text("docs/aws.md");
    let policy =
        documented.split("```json").nth(1).and_then(|rest| rest.split("```").next()).expect("a policy");
    let policy: serde_json::Value = serde_json::from_str(policy).expect("it is JSON");
    let mut allowed = BTreeSet::new();
    for statement in policy["Statement"].as_array().expect("statements") {
        match &statement["Action"] {
            serde_json::Value::Array(actions) => {
                allowed.extend(actions.iter().filter_map(|a| a.as_str()).map(str::to_owned));
            }
            action => allowed.extend(action.as_str().map(str::to_owned)),
        }
    }
    assert!(allowed.remove("iam:PassRole"), "RunInstances with a profile needs it");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut called = BTreeSet::new();
    for file in std::fs::read_dir(source).expect("the sources").flatten() {
        let text = std::fs::read_to_string(file.path()).expect("a source");
        // Every call names the action that it needs.
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for service in ["ec2", "autoscaling", "elasticloadbalancing"] {
            let start = format!("\"{service}:");
            let named = code.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
            called.extend(named.map(|action| format!("{service}:{action}")));
        }
    }
    assert_eq!(called, allowed);
}
