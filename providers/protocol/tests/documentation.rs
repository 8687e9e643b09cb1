//! The documentation and the schema say what the types say.

use replank_provider_protocol::rpc::{Request, Response, RpcError, Verb};
use replank_provider_protocol::verbs::{
    CreateParams, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput, HostReadParams,
    HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing, MachineParams,
    MachineSpec, Progress, RestoreParams,
};
use replank_provider_protocol::{ErrorCode, Machine, Snapshot, schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

fn page() -> String {
    std::fs::read_to_string(docs("provider-protocol.md")).expect("the page is there")
}

/// Set to anything, the schema is written instead of compared.
const UPDATE: &str = "UPDATE_SCHEMA";

#[test]
fn the_committed_schema_is_the_generated_one() {
    let generated = serde_json::to_string_pretty(&schema::document()).unwrap() + "\n";
    let path = docs("provider-protocol.schema.json");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/provider-protocol.schema.json is not what the types say: run the tests of \
         replank-provider-protocol once with {UPDATE}=1 and commit the file"
    );
}

#[test]
fn every_reference_in_the_schema_leads_somewhere() {
    let document = schema::document();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 20, "the verbs refer to definitions");
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("references stay inside");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|v| collect_references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| collect_references(v, found)),
        _ => {}
    }
}

/// One call of the page with its answer.
struct Example {
    verb: Verb,
    params: Value,
    answer: Response,
}

fn examples() -> Vec<Example> {
    let mut asked: BTreeMap<u64, (Verb, Value)> = BTreeMap::new();
    let mut examples = Vec::new();
    for line in page().lines().filter(|line| line.starts_with("{\"jsonrpc\"")) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        if value.get("method").is_some() {
            let request: Request = serde_json::from_value(value).unwrap();
            let verb = Verb::parse(&request.method).unwrap_or_else(|| panic!("no such verb: {line}"));
            assert!(asked.insert(request.id, (verb, request.params)).is_none(), "an id twice: {line}");
        } else {
            let answer: Response = serde_json::from_value(value).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(answer.result.is_some() != answer.error.is_some(), "one of both: {line}");
            // The one answer without a call is the example of an error.
            if let Some((verb, params)) = asked.remove(&answer.id) {
                examples.push(Example { verb, params, answer });
            }
        }
    }
    assert!(asked.is_empty(), "calls without an answer: {:?}", asked.keys());
    examples
}

/// Reads a value as `T`, and demands that nothing in it was ignored: a misspelt field of an example
/// would be.
fn read<T: Serialize + DeserializeOwned>(value: &Value) {
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|e| panic!("{e}: {value}"));
    let again = serde_json::to_value(typed).unwrap();
    assert!(covers(&again, value), "a field of {value} is unknown: {again}");
}

fn covers(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|w| covers(w, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() == part.len() && whole.iter().zip(part).all(|(w, p)| covers(w, p))
        }
        (whole, part) => whole == part,
    }
}

fn check<P, R>(example: &Example)
where
    P: Serialize + DeserializeOwned,
    R: Serialize + DeserializeOwned,
{
    read::<P>(&example.params);
    if let Some(result) = &example.answer.result {
        read::<R>(result);
    }
}

#[test]
fn every_example_of_the_page_is_a_message_of_the_protocol() {
    for example in &examples() {
        match example.verb {
            Verb::Initialize => check::<InitializeParams, InitializeResult>(example),
            Verb::Validate => check::<MachineSpec, ()>(example),
            Verb::Find => check::<FindParams, Found>(example),
            Verb::List => check::<ListParams, Listing>(example),
            Verb::Snapshot => check::<MachineParams, Progress<Snapshot>>(example),
            Verb::Restore => check::<RestoreParams, Progress<Machine>>(example),
            Verb::Create => check::<CreateParams, Progress<Machine>>(example),
            Verb::Get => check::<GetParams, Machine>(example),
            Verb::Stop | Verb::Start => check::<MachineParams, Progress<Machine>>(example),
            Verb::Delete => check::<DeleteParams, Progress<()>>(example),
            Verb::Deregister | Verb::Register => check::<MachineParams, Progress<()>>(example),
            Verb::ConsoleLog => check::<GetParams, String>(example),
            Verb::HostRun => check::<HostRunParams, HostOutput>(example),
            Verb::HostRead => check::<HostReadParams, Option<HostFile>>(example),
            Verb::HostWrite => check::<HostWriteParams, ()>(example),
        }
        if let Some(error) = &example.answer.error {
            assert_eq!(error.code, RpcError::PROVIDER);
            assert_eq!(error.data.as_ref().map(|d| &d.message), Some(&error.message));
        }
    }
}

#[test]
fn every_verb_has_a_heading_and_an_example_in_the_order_of_the_types() {
    let page = page();
    let headings: Vec<&str> =
        page.lines().filter_map(|l| l.strip_prefix("### `")?.strip_suffix('`')).collect();
    assert_eq!(headings, Verb::ALL.map(Verb::name));
    let shown: Vec<Verb> = examples().iter().map(|e| e.verb).collect();
    for verb in Verb::ALL {
        assert!(shown.contains(&verb), "{} has no example", verb.name());
    }
}

#[test]
fn every_error_code_is_described() {
    use ErrorCode::{AlreadyExists, Denied, Exhausted, Internal, Invalid, NotFound, Unavailable};
    for code in [NotFound, AlreadyExists, Exhausted, Denied, Invalid, Unavailable, Internal] {
        let name = serde_json::to_value(code).unwrap();
        let row = format!("| `{}` |", name.as_str().unwrap());
        assert!(page().contains(&row), "{row} is missing");
    }
}
