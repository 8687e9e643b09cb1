//! A schema compiled for walking objects: one form for built-in kinds and for CRDs.

use super::rules::Rules;
use crate::schema::definitions;
use serde_json::Value;
use std::collections::BTreeMap;

/// How the items of a list are told apart when two writers' lists are merged.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum ListType {
    /// The list is one value.
    #[default]
    Atomic,
    /// The items are scalars, each its own.
    Set,
    /// The items are objects, told apart by these fields.
    Map(Vec<String>),
}

/// How a strategic merge patch treats a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PatchStrategy {
    /// Lists are merged (by [`Schema::merge_key`], or as sets of scalars) instead of replaced.
    pub merge: bool,
    /// `$retainKeys` may name the only fields to keep.
    pub retain_keys: bool,
}

/// What kind of value a schema allows.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Anything, kept as it is.
    Any,
    /// An object of known fields.
    Object(BTreeMap<String, Schema>),
    /// An object whose keys are free and whose values are alike.
    Map(Box<Schema>),
    /// A list.
    List(Box<Schema>),
    /// A text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// true or false.
    Boolean,
    /// A whole number or a text.
    IntOrString,
    /// A built-in definition, by its index.
    Reference(usize),
}

/// A compiled schema.
#[derive(Clone, Debug)]
pub struct Schema {
    /// What values it allows.
    pub kind: Kind,
    /// Fields that must be there, of an object.
    pub required: Vec<String>,
    /// Whether null is a value.
    pub nullable: bool,
    /// Whether fields without a schema are kept.
    pub preserve_unknown: bool,
    /// Whether the object is a Kubernetes object itself, with `apiVersion`, `kind` and `metadata`.
    pub embedded: bool,
    /// The value of an absent field.
    pub default: Option<Value>,
    /// How lists merge in server-side apply.
    pub list_type: ListType,
    /// Whether a map or object is one value in server-side apply.
    pub atomic: bool,
    /// How a strategic merge patch treats it.
    pub strategy: PatchStrategy,
    /// The field that tells a list's items apart in a strategic merge patch.
    pub merge_key: Option<String>,
    /// Further rules, of CRDs.
    pub rules: Option<Box<Rules>>,
}

impl Schema {
    /// A schema of a kind, without anything further.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            required: Vec::new(),
            nullable: false,
            preserve_unknown: false,
            embedded: false,
            default: None,
            list_type: ListType::Atomic,
            atomic: false,
            strategy: PatchStrategy::default(),
            merge_key: None,
            rules: None,
        }
    }

    /// A schema that allows everything.
    pub fn any() -> Self {
        Self { preserve_unknown: true, nullable: true, ..Self::of(Kind::Any) }
    }

    /// The schema itself, references followed.
    pub fn resolve(&self) -> &Self {
        match self.kind {
            Kind::Reference(index) => definitions::at(index),
            _ => self,
        }
    }

    /// The schema of a field of an object, or of a value of a map.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match &self.resolve().kind {
            Kind::Object(properties) => properties.get(name),
            Kind::Map(values) => Some(values),
            _ => None,
        }
    }

    /// The schema of a list's items.
    pub fn items(&self) -> Option<&Self> {
        match &self.resolve().kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// Whether server-side apply takes a map or object as one value.
    pub fn is_atomic(&self) -> bool {
        self.atomic || self.resolve().atomic
    }

    /// How values of this schema are called in messages, as Go names them.
    pub fn type_name(&self) -> &'static str {
        match self.resolve().kind {
            Kind::Any => "any",
            Kind::Object(_) | Kind::Map(_) => "object",
            Kind::List(_) => "array",
            Kind::String => "string",
            Kind::Integer => "integer",
            Kind::Number => "number",
            Kind::Boolean => "boolean",
            Kind::IntOrString => "integer or string",
            Kind::Reference(_) => "object",
        }
    }
}
