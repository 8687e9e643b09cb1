//! Collections as the tables that kubectl prints.
//!
//! - [`columns`] and [`rows`]: built-in kinds; [`pods`]: pods and nodes.
//! - [`jsonpath`]: where custom kinds' columns find their values.
//! - [`cells`]: ages, selectors and other small texts.

pub mod cells;
pub mod columns;
pub mod jsonpath;
pub mod pods;
pub mod rows;

use super::registry::{ResourceInfo, crd::PrinterColumn};
use crate::server::Object;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// Objects of one kind as a `meta.k8s.io/v1` Table; `object` of every row is null, for the
/// caller to fill as its client asked.
pub fn table(info: &ResourceInfo, objects: &[Object], now: Timestamp) -> Value {
    let (columns, rows): (Vec<Value>, Vec<Vec<Value>>) = match &info.crd {
        Some(crd) if !crd.columns.is_empty() => (
            custom_columns(&crd.columns),
            objects.iter().map(|object| custom_row(&crd.columns, object, now)).collect(),
        ),
        _ => builtin(info, objects, now),
    };
    let rows: Vec<Value> = rows.into_iter().map(|cells| json!({ "cells": cells, "object": null })).collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn builtin(info: &ResourceInfo, objects: &[Object], now: Timestamp) -> (Vec<Value>, Vec<Vec<Value>>) {
    let (group, kind) = (&*info.resource.group, &*info.resource.kind);
    let known = if info.is_custom() { None } else { columns::of(group, kind) };
    let columns = known.unwrap_or(&[("Name", "string", false), ("Age", "string", false)]);
    let definitions =
        columns.iter().map(|(name, kind, wide)| column(name, kind, "", i64::from(*wide))).collect();
    let row = |object: &Object| match known {
        Some(_) => rows::of(group, kind, object, now),
        None => vec![
            object["metadata"]["name"].clone(),
            json!(cells::age(now, &object["metadata"]["creationTimestamp"])),
        ],
    };
    (definitions, objects.iter().map(row).collect())
}

fn column(name: &str, kind: &str, description: &str, priority: i64) -> Value {
    let format = if name == "Name" { "name" } else { "" };
    json!({
        "name": name, "type": kind, "format": format, "description": description, "priority": priority,
    })
}

fn custom_columns(columns: &[PrinterColumn]) -> Vec<Value> {
    let mut definitions = vec![column("Name", "string", "", 0)];
    definitions.extend(columns.iter().map(|own| {
        let mut definition = column(&own.name, &own.kind, &own.description, own.priority);
        definition["format"] = json!(own.format);
        definition
    }));
    definitions
}

fn custom_row(columns: &[PrinterColumn], object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![object["metadata"]["name"].clone()];
    for own in columns {
        let found = jsonpath::find(&own.json_path, object);
        let value = match (own.kind.as_str(), found.as_slice()) {
            (_, []) => Value::Null,
            ("date", [at, ..]) => json!(cells::age(now, at)),
            ("string", [Value::String(text), ..]) => json!(text),
            ("string", [other, ..]) => json!(other.to_string()),
            (_, [value, ..]) => (*value).clone(),
        };
        cells.push(value);
    }
    cells
}
