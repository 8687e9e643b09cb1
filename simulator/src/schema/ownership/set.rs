//! Sets of fields, as `managedFields` writes them (`fieldsV1`).

use crate::schema::structural::{Kind, ListType, Schema};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// One step into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field: `f:name`.
    Field(String),
    /// An item of a list, by the values of its keys: `k:{"name":"x"}`.
    Item(String),
    /// An item of a set, by its value: `v:"x"`.
    Member(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, "f:{name}"),
            Self::Item(keys) => write!(f, "k:{keys}"),
            Self::Member(value) => write!(f, "v:{value}"),
        }
    }
}

impl Step {
    fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => Some(Self::Item(rest.to_owned())),
            "v" => Some(Self::Member(rest.to_owned())),
            _ => None,
        }
    }

    /// The step to a list's item, by its keys' values; absent keys take their schema's default.
    pub fn item(keys: &[String], item: &Value, schema: Option<&Schema>) -> Self {
        let mut named = Map::new();
        for key in keys {
            let value = item.get(key).cloned().or_else(|| key_default(key, schema));
            if let Some(value) = value {
                named.insert(key.clone(), value);
            }
        }
        Self::Item(Value::Object(named).to_string())
    }
}

/// The default of a list key: a CRD's own, or the one key of built-in lists that has one.
fn key_default(key: &str, schema: Option<&Schema>) -> Option<Value> {
    let own = schema.and_then(|items| items.field(key)).and_then(|field| field.default.clone());
    own.or_else(|| (key == "protocol").then(|| Value::String("TCP".to_owned())))
}

/// A set of fields, as a tree.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FieldSet {
    /// Whether this very place is a member (`.`, or a leaf).
    pub member: bool,
    /// What is below.
    pub children: BTreeMap<Step, FieldSet>,
}

impl FieldSet {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    /// A place that is a member, and nothing below it.
    pub fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    /// Reads a `fieldsV1`.
    pub fn parse(json: &Value) -> Self {
        let mut set = Self::default();
        let Some(map) = json.as_object() else { return set };
        for (name, below) in map {
            if name == "." {
                set.member = true;
            } else if let Some(step) = Step::parse(name) {
                let mut child = Self::parse(below);
                if child.is_empty() {
                    child.member = true;
                }
                set.children.insert(step, child);
            }
        }
        set
    }

    /// Writes a `fieldsV1`.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (step, child) in &self.children {
            map.insert(step.to_string(), child.to_json());
        }
        Value::Object(map)
    }

    /// The fields an object has.
    pub fn of(schema: &Schema, value: &Value) -> Self {
        Self { member: false, ..Self::below(Some(schema), value) }
    }

    /// The fields an object has below some of its fields.
    pub fn of_some(names: &[&str], schema: &Schema, value: &Value) -> Self {
        let below = |name: &&str| {
            let field = value.get(name)?;
            Some((Step::Field((*name).to_owned()), Self::below(schema.field(name), field)))
        };
        Self { member: false, children: names.iter().filter_map(below).collect() }
    }

    /// The fields that an applied configuration owns: of maps their entries and of lists their items, never the
    /// map or the list itself.
    pub fn applied(schema: &Schema, value: &Value) -> Self {
        Self { member: false, ..Self::applied_below(Some(schema), value) }
    }

    fn applied_below(schema: Option<&Schema>, value: &Value) -> Self {
        match value {
            Value::Object(map) if !map.is_empty() && !schema.is_some_and(Schema::is_atomic) => {
                let free = schema.is_none_or(|schema| matches!(schema.resolve().kind, Kind::Map(_)));
                let mut set = Self::default();
                for (name, field) in map {
                    let mut child = Self::applied_below(schema.and_then(|schema| schema.field(name)), field);
                    // An entry of a map is owned beside what is below it; a struct's field is not.
                    child.member |= free;
                    set.children.insert(Step::Field(name.clone()), child);
                }
                set
            }
            Value::Array(list) if !list.is_empty() => match schema.map(|schema| &schema.list_type) {
                Some(ListType::Set) => Self { member: false, ..Self::members(list) },
                Some(ListType::Map(keys)) => {
                    let items = schema.and_then(Schema::items);
                    let owned = |item: &Value| {
                        let below = Self { member: true, ..Self::applied_below(items, item) };
                        (Step::item(keys, item, items), below)
                    };
                    Self { member: false, children: list.iter().map(owned).collect() }
                }
                _ => Self::leaf(),
            },
            _ => Self::leaf(),
        }
    }

    /// The fields a value of an object has.
    pub fn below(schema: Option<&Schema>, value: &Value) -> Self {
        match value {
            Value::Object(map) if !map.is_empty() && !schema.is_some_and(Schema::is_atomic) => {
                // A map with free keys is itself owned beside its entries; a struct is not.
                let free = schema.is_none_or(|schema| matches!(schema.resolve().kind, Kind::Map(_)));
                let mut set = Self { member: free, children: BTreeMap::new() };
                for (name, field) in map {
                    let known = schema.and_then(|schema| schema.field(name));
                    set.children.insert(Step::Field(name.clone()), Self::below(known, field));
                }
                set
            }
            Value::Array(list) if !list.is_empty() => match schema.map(|schema| &schema.list_type) {
                Some(ListType::Set) => Self::members(list),
                Some(ListType::Map(keys)) => Self::items(keys, schema.and_then(Schema::items), list),
                _ => Self::leaf(),
            },
            _ => Self::leaf(),
        }
    }

    fn members(list: &[Value]) -> Self {
        let mut set = Self::leaf();
        for item in list {
            set.children.insert(Step::Member(item.to_string()), Self::leaf());
        }
        set
    }

    fn items(keys: &[String], schema: Option<&Schema>, list: &[Value]) -> Self {
        let mut set = Self::leaf();
        for item in list {
            let child = Self { member: true, ..Self::below(schema, item) };
            set.children.insert(Step::item(keys, item, schema), child);
        }
        set
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        let mut result = self.clone();
        result.member |= other.member;
        for (step, theirs) in &other.children {
            let merged = match result.children.get(step) {
                Some(ours) => ours.union(theirs),
                None => theirs.clone(),
            };
            result.children.insert(step.clone(), merged);
        }
        result
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        let mut result = Self { member: self.member && other.member, children: BTreeMap::new() };
        for (step, ours) in &self.children {
            if let Some(theirs) = other.children.get(step) {
                let both = ours.intersection(theirs);
                if !both.is_empty() {
                    result.children.insert(step.clone(), both);
                }
            }
        }
        result
    }

    /// Whether something is in both.
    pub fn meets(&self, other: &Self) -> bool {
        let common =
            |(step, ours): (&Step, &Self)| other.children.get(step).is_some_and(|theirs| ours.meets(theirs));
        self.member && other.member || self.children.iter().any(common)
    }

    /// Whether all that is in the other is in this.
    pub fn covers(&self, other: &Self) -> bool {
        let ours =
            |(step, theirs): (&Step, &Self)| self.children.get(step).is_some_and(|ours| ours.covers(theirs));
        (self.member || !other.member) && other.children.iter().all(ours)
    }

    /// What is in this and not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        let mut result = Self { member: self.member && !other.member, children: BTreeMap::new() };
        for (step, ours) in &self.children {
            let rest = match other.children.get(step) {
                Some(theirs) => ours.difference(theirs),
                None => ours.clone(),
            };
            if !rest.is_empty() {
                result.children.insert(step.clone(), rest);
            }
        }
        result
    }

    /// Takes a top-level field, or one below it, out of the set.
    pub fn remove(&mut self, path: &[&str]) {
        let [first, rest @ ..] = path else { return };
        let step = Step::Field((*first).to_owned());
        if rest.is_empty() {
            self.children.remove(&step);
        } else if let Some(child) = self.children.get_mut(&step) {
            child.remove(rest);
            if child.children.is_empty() {
                self.children.remove(&step);
            }
        }
    }

    /// The paths of all members, as conflict messages name them (`.spec.replicas`).
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(String::new(), &mut paths);
        paths
    }

    fn collect(&self, at: String, paths: &mut Vec<String>) {
        if self.member {
            paths.push(at.clone());
        }
        for (step, child) in &self.children {
            let next = match step {
                Step::Field(name) => format!("{at}.{name}"),
                Step::Item(keys) => format!("{at}[{}]", keys_shown(keys)),
                Step::Member(value) => format!("{at}[={value}]"),
            };
            child.collect(next, paths);
        }
    }
}

/// `{"name":"x","port":1}` as `name="x",port=1`.
fn keys_shown(keys: &str) -> String {
    let parsed: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
    parsed.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}
