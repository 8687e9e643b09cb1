//! The small texts that tables are made of.

use crate::clock::parse_rfc3339;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

/// How long ago a time was, as kubectl shows ages: `5s`, `3m20s`, `2d5h`.
pub fn age(now: Timestamp, at: &Value) -> String {
    match at.as_str().and_then(parse_rfc3339) {
        Some(at) => duration(now.as_second().saturating_sub(at.as_second())),
        None => "<unknown>".to_owned(),
    }
}

/// Seconds as kubectl shows durations.
pub fn duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let (days, years) = (hours / 24, hours / 24 / 365);
    let with_rest = |whole: i64, unit: char, rest: i64, small: char| {
        if rest == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{rest}{small}") }
    };
    match seconds {
        s if s < -1 => "<invalid>".to_owned(),
        s if s < 0 => "0s".to_owned(),
        s if s < 120 => format!("{s}s"),
        s if minutes < 10 => with_rest(minutes, 'm', s % 60, 's'),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => with_rest(hours, 'h', minutes % 60, 'm'),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => with_rest(days, 'd', hours % 24, 'h'),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => with_rest(years, 'y', days % 365, 'd'),
        _ => format!("{years}y"),
    }
}

/// A text, or another when it is absent or empty.
pub fn text_or(value: &Value, other: &str) -> String {
    match value {
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        _ => other.to_owned(),
    }
}

/// A number, 0 when absent.
pub fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

/// Texts joined by commas, `<none>` when there are none.
pub fn joined(texts: impl IntoIterator<Item = String>) -> String {
    let joined = texts.into_iter().collect::<Vec<_>>().join(",");
    if joined.is_empty() { "<none>".to_owned() } else { joined }
}

/// Labels as `a=b,c=d`.
pub fn labels(labels: &Value) -> String {
    joined(labels.as_object().into_iter().flatten().map(|(key, value)| match value.as_str() {
        Some(text) => format!("{key}={text}"),
        None => key.clone(),
    }))
}

/// A label selector as kubectl writes it.
pub fn selector(selector: &Value) -> String {
    let mut parts: Vec<String> = selector["matchLabels"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in list(&selector["matchExpressions"]) {
        let key = text_or(&expression["key"], "");
        let values = list(&expression["values"]).filter_map(Value::as_str).collect::<Vec<_>>().join(",");
        parts.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key,
        });
    }
    joined(parts)
}

/// The items of a list, none if it is none.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The names and images of a pod template's containers.
pub fn containers(template: &Value) -> (String, String) {
    let of = |field: &str| {
        list(&template["spec"]["containers"])
            .map(|container| text_or(&container[field], ""))
            .collect::<Vec<_>>()
            .join(",")
    };
    (of("name"), of("image"))
}

/// The status of a condition.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(&object["status"]["conditions"]).find(|condition| condition["type"] == kind)
}
