//! The JSON Schema of every message, generated from the types.

use crate::rpc::{Request, Response, Verb};
use crate::verbs::{
    CreateParams, DeleteParams, FindParams, Found, GetParams, HostFile, HostOutput, HostReadParams,
    HostRunParams, HostWriteParams, InitializeParams, InitializeResult, ListParams, Listing, MachineParams,
    MachineSpec, Progress, RestoreParams,
};
use crate::{Machine, ProviderError, Snapshot};
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Value, json};

/// One document with the envelope, and for every verb its parameters and its result.
pub fn document() -> Value {
    let mut generator = SchemaGenerator::default();
    let verbs: serde_json::Map<String, Value> = Verb::ALL
        .into_iter()
        .map(|verb| {
            let (params, result) = verb_schemas(verb, &mut generator);
            (verb.name().to_owned(), json!({ "params": params, "result": result }))
        })
        .collect();
    let request = of::<Request>(&mut generator);
    let response = of::<Response>(&mut generator);
    let error = of::<ProviderError>(&mut generator);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "replank provider protocol, version 1",
        "request": request,
        "response": response,
        "error": error,
        "verbs": verbs,
        "$defs": generator.take_definitions(true),
    })
}

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn verb_schemas(verb: Verb, g: &mut SchemaGenerator) -> (Value, Value) {
    match verb {
        Verb::Initialize => (of::<InitializeParams>(g), of::<InitializeResult>(g)),
        Verb::Validate => (of::<MachineSpec>(g), of::<()>(g)),
        Verb::Find => (of::<FindParams>(g), of::<Found>(g)),
        Verb::List => (of::<ListParams>(g), of::<Listing>(g)),
        Verb::Snapshot => (of::<MachineParams>(g), of::<Progress<Snapshot>>(g)),
        Verb::Restore => (of::<RestoreParams>(g), of::<Progress<Machine>>(g)),
        Verb::Create => (of::<CreateParams>(g), of::<Progress<Machine>>(g)),
        Verb::Get => (of::<GetParams>(g), of::<Machine>(g)),
        Verb::Stop | Verb::Start => (of::<MachineParams>(g), of::<Progress<Machine>>(g)),
        Verb::Delete => (of::<DeleteParams>(g), of::<Progress<()>>(g)),
        Verb::Deregister | Verb::Register => (of::<MachineParams>(g), of::<Progress<()>>(g)),
        Verb::ConsoleLog => (of::<GetParams>(g), of::<String>(g)),
        Verb::HostRun => (of::<HostRunParams>(g), of::<HostOutput>(g)),
        Verb::HostRead => (of::<HostReadParams>(g), of::<Option<HostFile>>(g)),
        Verb::HostWrite => (of::<HostWriteParams>(g), of::<()>(g)),
    }
}
