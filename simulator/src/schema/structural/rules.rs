//! The value rules of a JSON schema: bounds, patterns, alternatives and CEL rules.

use super::cel::CelRule;
use super::compile::compile;
use super::schema::Schema;
use regex::Regex;
use serde_json::Value;

/// The value rules of one schema.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The only values allowed.
    pub one_of_values: Option<Vec<Value>>,
    /// The least number, and whether it is itself excluded.
    pub minimum: Option<(f64, bool)>,
    /// The greatest number, and whether it is itself excluded.
    pub maximum: Option<(f64, bool)>,
    /// What a number must be a multiple of.
    pub multiple_of: Option<f64>,
    /// Bounds of a text's length, in characters.
    pub length: (Option<u64>, Option<u64>),
    /// Bounds of a list's length.
    pub items: (Option<u64>, Option<u64>),
    /// Bounds of the number of an object's fields.
    pub properties: (Option<u64>, Option<u64>),
    /// Whether a list's items must differ.
    pub unique_items: bool,
    /// What a text must match; with the pattern as written.
    pub pattern: Option<(String, Option<Regex>)>,
    /// A named form of a text, such as `date-time`.
    pub format: Option<String>,
    /// Schemas that must all hold.
    pub all_of: Vec<Schema>,
    /// Schemas of which one must hold.
    pub any_of: Vec<Schema>,
    /// Schemas of which exactly one must hold.
    pub one_of: Vec<Schema>,
    /// A schema that must not hold.
    pub not: Option<Schema>,
    /// CEL rules.
    pub cel: Vec<CelRule>,
}

impl Rules {
    /// Reads the rules of a schema; none if it has none.
    pub fn read(json: &Value) -> Option<Self> {
        let number = |name: &str| json.get(name).and_then(Value::as_f64);
        let count = |name: &str| json.get(name).and_then(Value::as_u64);
        let excluded = |name: &str| json.get(name).and_then(Value::as_bool).unwrap_or(false);
        let list = |name: &str| json.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let nested = |json: &Value| compile(json, &|_| None);
        let schemas = |name: &str| list(name).iter().map(nested).collect::<Vec<_>>();
        let int_or_string = json.get("x-kubernetes-int-or-string").and_then(Value::as_bool).unwrap_or(false);
        let rules = Self {
            one_of_values: json.get("enum").and_then(Value::as_array).cloned(),
            minimum: number("minimum").map(|n| (n, excluded("exclusiveMinimum"))),
            maximum: number("maximum").map(|n| (n, excluded("exclusiveMaximum"))),
            multiple_of: number("multipleOf"),
            length: (count("minLength"), count("maxLength")),
            items: (count("minItems"), count("maxItems")),
            properties: (count("minProperties"), count("maxProperties")),
            unique_items: excluded("uniqueItems"),
            pattern: json["pattern"].as_str().map(|text| (text.to_owned(), Regex::new(text).ok())),
            format: json["format"].as_str().map(str::to_owned),
            all_of: schemas("allOf"),
            // int-or-string schemas say so once more as `anyOf: [integer, string]`.
            any_of: if int_or_string { Vec::new() } else { schemas("anyOf") },
            one_of: schemas("oneOf"),
            not: json.get("not").map(nested),
            cel: list("x-kubernetes-validations").iter().map(CelRule::read).collect(),
        };
        let empty = rules.one_of_values.is_none()
            && rules.minimum.is_none()
            && rules.maximum.is_none()
            && rules.multiple_of.is_none()
            && rules.length == (None, None)
            && rules.items == (None, None)
            && rules.properties == (None, None)
            && !rules.unique_items
            && rules.pattern.is_none()
            && rules.format.is_none()
            && rules.all_of.is_empty()
            && rules.any_of.is_empty()
            && rules.one_of.is_empty()
            && rules.not.is_none()
            && rules.cel.is_empty();
        (!empty).then_some(rules)
    }
}
