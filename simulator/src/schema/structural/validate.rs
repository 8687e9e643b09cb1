//! Whether an object keeps the rules of its schema, in the API server's words.

use super::cel::Outcome;
use super::path::Path;
use super::rules::Rules;
use super::schema::{Kind, ListType, Schema};
use serde_json::Value;

/// One thing wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// The field it is about.
    pub field: String,
    /// The machine-readable reason, such as `FieldValueInvalid`.
    pub reason: &'static str,
    /// What a person reads, without the field.
    pub message: String,
}

/// What a validation found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What is wrong.
    pub errors: Vec<FieldError>,
    /// Rules that could not be evaluated, and why.
    pub unevaluated: Vec<String>,
}

/// Validates `value`, which replaces `before` if that is given.
pub fn validate(schema: &Schema, value: &Value, before: Option<&Value>) -> Findings {
    let mut findings = Findings::default();
    walk(schema, value, before, &Path::Root, &mut findings);
    findings
}

/// A value as messages quote it.
fn quoted(value: &Value) -> String {
    match value {
        Value::Object(_) => "\"object\"".to_owned(),
        Value::Array(_) => "\"array\"".to_owned(),
        other => other.to_string(),
    }
}

fn say(findings: &mut Findings, path: &Path<'_>, reason: &'static str, message: String) {
    findings.errors.push(FieldError { field: path.to_string(), reason, message });
}

fn invalid(findings: &mut Findings, path: &Path<'_>, value: &Value, why: &str) {
    let message = format!("Invalid value: {}: {why}", quoted(value));
    say(findings, path, "FieldValueInvalid", message);
}

fn walk(schema: &Schema, value: &Value, before: Option<&Value>, path: &Path<'_>, findings: &mut Findings) {
    let schema = schema.resolve();
    if value.is_null() && schema.nullable {
        return;
    }
    if !fits(&schema.kind, value) {
        let name = match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "boolean".to_owned(),
            Value::Number(number) if number.is_f64() => "number".to_owned(),
            Value::Number(_) => "integer".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
        };
        let message = format!(
            "Invalid value: \"{name}\": {path} in body must be of type {}: \"{name}\"",
            schema.type_name()
        );
        say(findings, path, "FieldValueTypeInvalid", message);
        return;
    }
    match (&schema.kind, value) {
        (Kind::Object(properties), Value::Object(map)) => {
            for name in &schema.required {
                if !map.contains_key(name) {
                    let place = Path::Field(path, name);
                    say(findings, &place, "FieldValueRequired", "Required value".to_owned());
                }
            }
            for (name, field) in map {
                if let Some(known) = properties.get(name) {
                    let old = before.and_then(|b| b.get(name));
                    walk(known, field, old, &Path::Field(path, name), findings);
                }
            }
        }
        (Kind::Map(values), Value::Object(map)) => {
            for (key, entry) in map {
                let old = before.and_then(|b| b.get(key));
                walk(values, entry, old, &Path::Key(path, key), findings);
            }
        }
        (Kind::List(items), Value::Array(list)) => {
            for (index, item) in list.iter().enumerate() {
                walk(items, item, None, &Path::Index(path, index), findings);
            }
            duplicates(&schema.list_type, list, path, findings);
        }
        _ => {}
    }
    if let Some(rules) = &schema.rules {
        keep(rules, value, before, path, findings);
    }
}

fn fits(kind: &Kind, value: &Value) -> bool {
    match kind {
        Kind::Any | Kind::Reference(_) => true,
        Kind::Object(_) | Kind::Map(_) => value.is_object(),
        Kind::List(_) => value.is_array(),
        Kind::String => value.is_string(),
        Kind::Integer => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0),
        Kind::Number => value.is_number(),
        Kind::Boolean => value.is_boolean(),
        Kind::IntOrString => value.is_i64() || value.is_u64() || value.is_string(),
    }
}

fn duplicates(list_type: &ListType, list: &[Value], path: &Path<'_>, findings: &mut Findings) {
    let key = |item: &Value| match list_type {
        ListType::Atomic => None,
        ListType::Set => Some(item.to_string()),
        ListType::Map(keys) => {
            let parts: Vec<String> =
                keys.iter().map(|key| item.get(key).map_or_else(String::new, Value::to_string)).collect();
            Some(parts.join("\u{0}"))
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    for (index, item) in list.iter().enumerate() {
        if let Some(key) = key(item)
            && !seen.insert(key)
        {
            let message = format!("Duplicate value: {}", quoted(item));
            say(findings, &Path::Index(path, index), "FieldValueDuplicate", message);
        }
    }
}

fn keep(rules: &Rules, value: &Value, before: Option<&Value>, path: &Path<'_>, findings: &mut Findings) {
    if let Some(allowed) = &rules.one_of_values
        && !allowed.contains(value)
    {
        let listed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        let message =
            format!("Unsupported value: {}: supported values: {}", quoted(value), listed.join(", "));
        say(findings, path, "FieldValueNotSupported", message);
    }
    match value {
        Value::Number(_) => number(rules, value, path, findings),
        Value::String(text) => string(rules, value, text, path, findings),
        Value::Array(list) => array(rules, value, list, path, findings),
        Value::Object(map) => {
            let count = map.len() as u64;
            if rules.properties.0.is_some_and(|least| count < least) {
                let least = rules.properties.0.unwrap_or_default();
                invalid(
                    findings,
                    path,
                    value,
                    &format!("{path} in body should have at least {least} properties"),
                );
            }
            if rules.properties.1.is_some_and(|most| count > most) {
                let most = rules.properties.1.unwrap_or_default();
                let message = format!("Too many: {count}: must have at most {most} items");
                say(findings, path, "FieldValueTooMany", message);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
    alternatives(rules, value, path, findings);
    for rule in &rules.cel {
        match rule.holds(value, before) {
            Outcome::Holds => {}
            Outcome::Broken => invalid(findings, path, value, &rule.message),
            Outcome::Unknown(why) => findings.unevaluated.push(format!("{path}: {why}")),
        }
    }
}

fn number(rules: &Rules, value: &Value, path: &Path<'_>, findings: &mut Findings) {
    let number = value.as_f64().unwrap_or_default();
    if let Some((least, excluded)) = rules.minimum
        && (number < least || (excluded && number <= least))
    {
        let equal = if excluded { "" } else { " or equal to" };
        invalid(findings, path, value, &format!("{path} in body should be greater than{equal} {least}"));
    }
    if let Some((most, excluded)) = rules.maximum
        && (number > most || (excluded && number >= most))
    {
        let equal = if excluded { "" } else { " or equal to" };
        invalid(findings, path, value, &format!("{path} in body should be less than{equal} {most}"));
    }
    if let Some(unit) = rules.multiple_of
        && (number / unit).fract() != 0.0
    {
        invalid(findings, path, value, &format!("{path} in body should be a multiple of {unit}"));
    }
}

fn string(rules: &Rules, value: &Value, text: &str, path: &Path<'_>, findings: &mut Findings) {
    let length = text.chars().count() as u64;
    if let Some(least) = rules.length.0
        && length < least
    {
        invalid(findings, path, value, &format!("{path} in body should be at least {least} chars long"));
    }
    if let Some(most) = rules.length.1
        && length > most
    {
        let message = format!("Too long: may not be more than {most} bytes");
        say(findings, path, "FieldValueTooLong", message);
    }
    if let Some((pattern, Some(regex))) = &rules.pattern
        && !regex.is_match(text)
    {
        invalid(findings, path, value, &format!("{path} in body should match '{pattern}'"));
    }
    if let Some(format) = &rules.format
        && !is_of_format(format, text)
    {
        invalid(findings, path, value, &format!("{path} in body must be of type {format}: {text:?}"));
    }
}

/// The formats an API server checks that occur in the CRDs we meet; every other is taken as met.
fn is_of_format(format: &str, text: &str) -> bool {
    use base64::Engine as _;
    match format {
        "date-time" => crate::clock::parse_rfc3339(text).is_some(),
        "byte" => base64::engine::general_purpose::STANDARD.decode(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => text.parse::<ipnet::IpNet>().is_ok(),
        _ => true,
    }
}

fn array(rules: &Rules, value: &Value, list: &[Value], path: &Path<'_>, findings: &mut Findings) {
    let count = list.len() as u64;
    if let Some(least) = rules.items.0
        && count < least
    {
        invalid(findings, path, value, &format!("{path} in body should have at least {least} items"));
    }
    if let Some(most) = rules.items.1
        && count > most
    {
        let message = format!("Too many: {count}: must have at most {most} items");
        say(findings, path, "FieldValueTooMany", message);
    }
    if rules.unique_items {
        duplicates(&ListType::Set, list, path, findings);
    }
}

fn alternatives(rules: &Rules, value: &Value, path: &Path<'_>, findings: &mut Findings) {
    let holds = |schema: &Schema| {
        let mut inner = Findings::default();
        walk(schema, value, None, path, &mut inner);
        inner.errors.is_empty()
    };
    for schema in &rules.all_of {
        walk(schema, value, None, path, findings);
    }
    if !rules.any_of.is_empty() && !rules.any_of.iter().any(holds) {
        invalid(findings, path, value, &format!("{path} in body must validate at least one schema (anyOf)"));
    }
    if !rules.one_of.is_empty() && rules.one_of.iter().filter(|schema| holds(schema)).count() != 1 {
        invalid(
            findings,
            path,
            value,
            &format!("{path} in body must validate one and only one schema (oneOf)"),
        );
    }
    if rules.not.as_ref().is_some_and(holds) {
        invalid(findings, path, value, &format!("{path} in body must not validate the schema (not)"));
    }
}
