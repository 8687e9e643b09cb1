//! An answer made fit for terminal and journal before anything else sees it.

use super::fault::PluginFault;
use crate::escape::{escape, escape_line};
use replank_provider_protocol::rpc::Verb;
use serde_json::{Map, Value};

/// The longest id, name, address or label, in characters: none that is real comes near.
const LONGEST_TEXT: usize = 4096;
/// How much of a message is shown, in characters.
const LONGEST_MESSAGE: usize = 2000;
/// How much of a console is shown, in bytes from its end.
const LONGEST_CONSOLE: usize = 64 * 1024;

/// Bytes in base64, whose bound is the line's: nobody shows them as they are.
const BYTES: [&str; 3] = ["content", "stdout", "stderr"];

/// Writes out what is not plain text in every text of an answer, keys included. Messages are cut;
/// anything else that is too long could not be cut without becoming another thing, and is a fault.
pub(super) fn clean(value: Value) -> Result<Value, PluginFault> {
    match value {
        Value::Object(fields) => {
            let cleaned = fields.into_iter().map(|(key, value)| {
                let value = match value {
                    // Only the console is a text by itself, and it has lines.
                    Value::String(text) if key == "result" => Value::String(console(&text)),
                    other => field(&key, other)?,
                };
                Ok((escape_line(&key, LONGEST_TEXT), value))
            });
            cleaned.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        other => field("", other),
    }
}

fn field(key: &str, value: Value) -> Result<Value, PluginFault> {
    Ok(match value {
        Value::String(text) if key == "message" => Value::String(escape_line(&text, LONGEST_MESSAGE)),
        Value::String(text) if BYTES.contains(&key) => Value::String(escape_line(&text, usize::MAX)),
        Value::String(text) if text.len() > LONGEST_TEXT => {
            let field = escape_line(key, 100);
            return Err(PluginFault::LongText { field, bytes: text.len(), most: LONGEST_TEXT });
        }
        Value::String(text) => Value::String(escape_line(&text, usize::MAX)),
        Value::Array(items) => {
            items.into_iter().map(|item| field(key, item)).collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| Ok((escape_line(&key, LONGEST_TEXT), field(&key, value)?)))
            .collect::<Result<Map<_, _>, _>>()?
            .into(),
        other => other,
    })
}

fn console(text: &str) -> String {
    let cut = text.len().saturating_sub(LONGEST_CONSOLE);
    let from = (cut..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(cut);
    escape(&text[from..])
}

/// Why an answer is none of this verb's, for a sentence: serde's own may quote all of the answer.
pub(super) fn misfit(verb: Verb, error: &serde_json::Error) -> String {
    format!("answered {} with something else: {}", verb.name(), escape_line(&error.to_string(), 400))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nothing_hides_deep_inside_an_answer() {
        let value = json!({ "result": { "a\u{7}": ["\u{1b}]0;x"], "name": "two\nlines" } });
        let expected = json!({ "result": { "a\\u{7}": ["\\u{1b}]0;x"], "name": "two\\nlines" } });
        assert_eq!(clean(value).unwrap(), expected);
    }

    #[test]
    fn a_console_keeps_its_lines_and_its_end() {
        let text = format!("{}ä\nlast\u{1b}c\n", "x".repeat(LONGEST_CONSOLE));
        let cleaned = clean(json!({ "result": text })).unwrap();
        let shown = cleaned["result"].as_str().unwrap();
        assert!(shown.ends_with("xä\nlast\\u{1b}c\n"), "{shown}");
        assert!(shown.len() < LONGEST_CONSOLE + 10, "{}", shown.len());
    }

    #[test]
    fn messages_are_cut_files_are_not_and_a_name_of_a_megabyte_is_a_fault() {
        let long = "x".repeat(1024 * 1024);
        let message = clean(json!({ "error": { "message": long } })).unwrap();
        assert!(message["error"]["message"].as_str().unwrap().ends_with("(1048576 bytes in all)"));
        let file = json!({ "result": { "content": long, "mode": 384 } });
        assert_eq!(clean(file.clone()).unwrap(), file);
        let fault = clean(json!({ "result": { "machines": [{ "name": long }] } })).unwrap_err();
        let expected = "it sent a text of 1048576 bytes as name, where at most 4096 make sense";
        assert_eq!(fault.to_string(), expected);
    }
}
