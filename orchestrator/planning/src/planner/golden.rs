//! Whole plans of a small cluster, step by step.

use super::given::Given;
use crate::intent::Strategy;
use crate::plan::{Plan, PlannedStep};
use serde_json::{Map, Value};
use std::fmt::Write as _;

#[test]
fn a_rolling_migration_of_three_nodes() {
    insta::assert_snapshot!(told(&plan(Strategy::Rolling)));
}

#[test]
fn a_cutover_of_three_nodes() {
    insta::assert_snapshot!(told(&plan(Strategy::Cutover)));
}

#[test]
fn the_same_input_gives_the_same_plan() {
    let digest = || plan(Strategy::Rolling).digest().unwrap();
    assert_eq!(digest(), digest());
}

fn plan(strategy: Strategy) -> Plan {
    let mut given = Given::cluster();
    given.intent.strategy = strategy;
    given.plan()
}

fn told(plan: &Plan) -> String {
    let mut text = String::new();
    for step in &plan.steps {
        tell(&mut text, step);
    }
    text
}

/// A step with everything it holds, but for the bodies of objects that have goldens of their own.
fn tell(text: &mut String, step: &PlannedStep) {
    let after: Vec<&str> = step.after.iter().map(crate::ids::StepId::as_str).collect();
    let undo = serde_json::to_value(&step.undo).unwrap();
    writeln!(text, "{} <- {}", step.id, after.join(", ")).unwrap();
    let Value::Object(action) = serde_json::to_value(&step.action).unwrap() else { return };
    writeln!(text, "    {}, undo: {}", word(&action["action"]), word(&undo["undo"])).unwrap();
    for (key, value) in action.iter().filter(|(key, _)| *key != "action") {
        writeln!(text, "    {key}: {}", short(value)).unwrap();
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A value on one line, with objects and nodes by their names.
fn short(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(short).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => named(map).unwrap_or_else(|| {
            let fields = map.iter().map(|(key, value)| format!("{key}: {}", short(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }),
        Value::String(text) => text.replace('\n', " "),
        other => other.to_string(),
    }
}

fn named(map: &Map<String, Value>) -> Option<String> {
    if let (Some(object), Some(_)) = (map.get("object"), map.get("body")) {
        return Some(short(object));
    }
    if let (Some(side), Some(slot)) = (map.get("node"), map.get("slot")) {
        return Some(format!("{} {}", word(side), word(slot)));
    }
    map.get("plural")?;
    let of = |key: &str| map.get(key).map_or("", word);
    let parts = [of("kind"), of("namespace"), of("name")];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    Some(parts.join(" "))
}
