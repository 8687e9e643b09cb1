//! How answers look on the wire: plain JSON, tables for kubectl, or metadata only.

use super::kinds::Kind;
use super::object::Entry;
use super::read::{Page, at_version};
use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

/// What the client accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Objects as they are.
    Json,
    /// `meta.k8s.io` tables, with as much of each object in a row as the client wants.
    Table(TableRows),
    /// `PartialObjectMetadata`.
    Metadata,
}

/// How much of each object a table's row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableRows {
    Metadata,
    Object,
    Nothing,
}

impl Form {
    /// Reads the Accept header and the `includeObject` parameter.
    pub(crate) fn of(accept: &str, include: &str) -> Self {
        for media in accept.split(',') {
            let media = media.trim();
            if !media.starts_with("application/json") && !media.starts_with("*/*") {
                continue;
            }
            if media.contains("as=Table") {
                return Self::Table(match include {
                    "Object" => TableRows::Object,
                    "None" => TableRows::Nothing,
                    _ => TableRows::Metadata,
                });
            }
            if media.contains("as=PartialObjectMetadata") {
                return Self::Metadata;
            }
            return Self::Json;
        }
        Self::Json
    }

    /// One object.
    pub(crate) fn one(self, kind: &Kind, entry: &Entry) -> Bytes {
        match self {
            Self::Json => entry.json(),
            Self::Metadata => partial(entry).to_string().into(),
            Self::Table(rows) => {
                let mut table = kind.table(std::slice::from_ref(&entry.object));
                fill(&mut table, rows, std::slice::from_ref(entry));
                table["metadata"] = json!({"resourceVersion": entry.revision.to_string()});
                table.to_string().into()
            }
        }
    }

    /// A page of a list.
    pub(crate) fn list(self, kind: &Kind, page: &Page) -> Bytes {
        if let Self::Table(rows) = self {
            let objects: Vec<_> =
                page.entries.iter().map(|entry| at_version(kind, entry).object.clone()).collect();
            let mut table = kind.table(&objects);
            fill(&mut table, rows, &page.entries);
            table["metadata"] = page.metadata();
            return table.to_string().into();
        }
        let (api_version, list_kind) = match self {
            Self::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned()),
            _ => (kind.resource.api_version(), kind.info.list_kind.clone()),
        };
        let item = |entry: &Entry| {
            let entry = at_version(kind, entry);
            let typed = self == Self::Json && !kind.custom;
            if typed { entry.item() } else { self.one(kind, &entry) }
        };
        let items: Vec<Bytes> = page.entries.iter().map(item).collect();
        let head = format!(
            "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{},\"items\":[",
            json!(list_kind),
            json!(api_version),
            page.metadata()
        );
        let size: usize = items.iter().map(|item| item.len() + 1).sum();
        let mut out = BytesMut::with_capacity(head.len() + size + 2);
        out.put_slice(head.as_bytes());
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                out.put_u8(b',');
            }
            out.put_slice(item);
        }
        out.put_slice(b"]}");
        out.freeze()
    }
}

fn partial(entry: &Entry) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": entry.metadata()})
}

fn fill(table: &mut Value, rows: TableRows, entries: &[Entry]) {
    let Some(list) = table.get_mut("rows").and_then(Value::as_array_mut) else { return };
    for (row, entry) in list.iter_mut().zip(entries) {
        match rows {
            TableRows::Metadata => row["object"] = partial(entry),
            TableRows::Object => row["object"] = entry.whole(),
            TableRows::Nothing => {
                if let Some(row) = row.as_object_mut() {
                    row.remove("object");
                }
            }
        }
    }
}
