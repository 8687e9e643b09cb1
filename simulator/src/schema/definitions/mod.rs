//! The definitions of the built-in kinds: their JSON schemas and the compiled form, made once when
//! first asked for.
//!
//! - [`mod@generate`]: the JSON schemas, from the client library's types.
//! - [`merging`]: how their lists and maps merge.

pub mod generate;
pub mod merging;

use super::structural::{Schema, compile};
use generate::{Generated, generate};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::LazyLock;

struct Definitions {
    generated: Generated,
    index: BTreeMap<String, usize>,
    compiled: Vec<Schema>,
}

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    let generated = generate();
    let index: BTreeMap<String, usize> =
        generated.definitions.keys().enumerate().map(|(at, name)| (name.clone(), at)).collect();
    let find = |name: &str| index.get(name).copied();
    let compiled = generated.definitions.values().map(|json| compile(json, &find)).collect();
    Definitions { generated, index, compiled }
});

static OBJECT_META: LazyLock<usize> = LazyLock::new(|| {
    let name = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
    DEFINITIONS.index.get(name).copied().expect("every object has metadata")
});

/// The compiled definition at an index that a schema refers to.
pub fn at(index: usize) -> &'static Schema {
    &DEFINITIONS.compiled[index]
}

/// The index of a built-in kind's definition.
pub fn index_of(group: &str, version: &str, kind: &str) -> Option<usize> {
    DEFINITIONS.index.get(name_of(group, version, kind)?).copied()
}

/// The name of a built-in kind's definition.
pub fn name_of(group: &str, version: &str, kind: &str) -> Option<&'static str> {
    let known = &DEFINITIONS.generated.kinds;
    known.iter().find(|(key, _)| **key == (group, version, kind)).map(|(_, name)| name.as_str())
}

/// The definition of the metadata every object has.
pub fn object_meta() -> &'static Schema {
    at(*OBJECT_META)
}

/// The JSON schemas of all definitions, by name.
pub fn json() -> &'static BTreeMap<String, Value> {
    &DEFINITIONS.generated.definitions
}
