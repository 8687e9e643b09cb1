//! The part of kubectl's JSONPath that printer columns use: fields, indexes, `[*]` and one filter.

use serde_json::Value;

/// The values at a path such as `.status.conditions[?(@.type=="Ready")].status`.
pub fn find<'a>(path: &str, object: &'a Value) -> Vec<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim_start_matches(['{', '$']).trim_end_matches('}');
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = field_end(after);
            let name = after[..end].replace("\\.", ".");
            if !name.is_empty() {
                found = found.into_iter().filter_map(|value| value.get(&name)).collect();
            }
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix('[') {
            let Some(end) = after.find(']') else { return Vec::new() };
            found = found.into_iter().flat_map(|value| bracket(&after[..end], value)).collect();
            rest = &after[end + 1..];
        } else {
            return Vec::new();
        }
    }
    found
}

/// Where a field's name ends: at an unescaped dot or a bracket.
fn field_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            '\\' => escaped = !escaped,
            '.' | '[' if !escaped => return at,
            _ => escaped = false,
        }
    }
    text.len()
}

fn bracket<'a>(inside: &str, value: &'a Value) -> Vec<&'a Value> {
    let quoted = inside.trim_matches(['\'', '"']);
    if inside == "*" {
        return match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
    }
    if let Some(filter) = inside.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        let Some((left, right)) = filter.split_once("==") else { return Vec::new() };
        let path = left.trim().trim_start_matches('@');
        let wanted = right.trim().trim_matches(['\'', '"']);
        let holds = |item: &&Value| {
            find(path, item).first().is_some_and(|found| match found {
                Value::String(text) => text == wanted,
                other => *other == wanted,
            })
        };
        return value.as_array().into_iter().flatten().filter(holds).collect();
    }
    if let (Ok(index), Value::Array(list)) = (inside.parse::<usize>(), value) {
        return list.get(index).into_iter().collect();
    }
    value.get(quoted).into_iter().collect()
}
