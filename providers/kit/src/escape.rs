//! Text from outside, made fit for a terminal and a journal.

use serde_json::Value;

/// Writes control characters out, so that no sequence of them reaches a terminal. Line feeds and
/// tabs stay.
pub fn escape(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// The same for one line of a message: line feeds and tabs are written out too, and a long text is
/// cut with a word about it.
pub fn escape_line(text: &str, most: usize) -> String {
    let whole: String = text
        .chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect();
    match whole.char_indices().nth(most) {
        Some((cut, _)) => format!("{}… ({} bytes in all)", &whole[..cut], text.len()),
        None => whole,
    }
}

/// Escapes every text inside a value, keys included.
pub fn escape_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(escape(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(escape_value).collect()),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(k, v)| (escape(&k), escape_value(v))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_terminal_sequence_becomes_plain_text() {
        assert_eq!(escape("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert_eq!(escape_line("a\nb", 80), "a\\nb");
        assert_eq!(escape_line("abcdef", 3), "abc… (6 bytes in all)");
    }

    #[test]
    fn nothing_hides_deep_inside_a_value() {
        let value = json!({ "a\u{7}": ["\u{1b}]0;x"] });
        assert_eq!(escape_value(value), json!({ "a\\u{7}": ["\\u{1b}]0;x"] }));
    }
}
