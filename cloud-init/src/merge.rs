//! How cloud-init puts one document over another: its own rules, which a part may choose with `merge_how`.
//!
//! What cloud-init itself would give up half-way, with a warning in a log that nobody reads, is an error here.

use serde_json::{Map, Value};

/// What a part without `merge_how` is merged by: keys that both have are replaced whole.
const USUAL: &str = "dict(replace)+list()+str()";

/// Why two documents can't be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The rules are not as cloud-init writes them.
    #[error("{0:?} is no way of merging; write for example \"dict(recurse_array)+list(append)+str()\"")]
    Rule(String),
    /// There is no such merger.
    #[error("there is no merger {0:?}; cloud-init has dict, list and str")]
    Unknown(String),
    /// A list or text can only be continued by its like.
    #[error("{merger}({method}) can't put {given} after what stands there")]
    Unlike {
        /// The merger.
        merger: &'static str,
        /// Its method.
        method: &'static str,
        /// What was to be merged.
        given: &'static str,
    },
}

/// How parts are merged: cloud-init's mergers with their settings, in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merging(Vec<Merger>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Merger {
    Dict { replace: bool, recurse_str: bool, recurse_array: bool, allow_delete: bool },
    List { method: ListMethod, recurse_str: bool, recurse_dict: bool, recurse_array: bool },
    Str { append: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListMethod {
    Append,
    Prepend,
    Replace,
    NoReplace,
}

impl Default for Merging {
    fn default() -> Self {
        Self::written(USUAL).unwrap_or(Self(Vec::new()))
    }
}

impl Merging {
    /// Takes the rules out of a document, as cloud-init does before it merges it.
    ///
    /// # Errors
    /// When they are not understood.
    pub fn take(document: &mut Map<String, Value>) -> Result<Self, MergeError> {
        let rules = match document.remove("merge_how") {
            None | Some(Value::Null) => document.remove("merge_type"),
            rules => rules,
        };
        let merging = match rules {
            None | Some(Value::Null) => return Ok(Self::default()),
            Some(Value::String(text)) => Self::written(&text)?,
            Some(Value::Array(items)) => Self(items.iter().map(listed).collect::<Result<_, _>>()?),
            Some(other) => return Err(MergeError::Rule(other.to_string())),
        };
        // Rules that name no merger are none.
        Ok(if merging.0.is_empty() { Self::default() } else { merging })
    }

    /// Reads rules such as `dict(recurse_array)+list(append)`.
    ///
    /// # Errors
    /// When they are not understood.
    pub fn written(text: &str) -> Result<Self, MergeError> {
        let mut mergers = Vec::new();
        for rule in text.split('+') {
            let rule = rule.trim().to_lowercase().replace('-', "_");
            if rule.is_empty() {
                continue;
            }
            let (name, settings) = rule
                .strip_suffix(')')
                .and_then(|open| open.split_once('('))
                .filter(|(name, _)| !name.is_empty())
                .ok_or_else(|| MergeError::Rule(text.to_owned()))?;
            let settings: Vec<&str> = settings.split(',').map(str::trim).filter(|s| !s.is_empty()).collect();
            mergers.push(Merger::new(name, &settings)?);
        }
        Ok(Self(mergers))
    }

    /// Puts `new` over `old`.
    ///
    /// # Errors
    /// When a list or text would have to be continued by something else.
    pub fn merge(&self, old: Value, new: Value) -> Result<Value, MergeError> {
        let fits = |merger: &&Merger| {
            matches!(
                (merger, &old),
                (Merger::Dict { .. }, Value::Object(_))
                    | (Merger::List { .. }, Value::Array(_))
                    | (Merger::Str { .. }, Value::String(_))
            )
        };
        match (self.0.iter().find(fits), old) {
            (Some(merger @ Merger::Dict { .. }), Value::Object(old)) => self.dict(merger, old, new),
            (Some(merger @ Merger::List { .. }), Value::Array(old)) => self.list(merger, old, new),
            (Some(Merger::Str { append: true }), Value::String(old)) => match new {
                Value::String(new) => Ok(Value::String(old + &new)),
                other => Err(MergeError::Unlike { merger: "str", method: "append", given: kind(&other) }),
            },
            (Some(_), Value::String(_)) => Ok(new),
            // What no merger is for stays as it is.
            (_, old) => Ok(old),
        }
    }

    fn dict(&self, merger: &Merger, mut old: Map<String, Value>, new: Value) -> Result<Value, MergeError> {
        let Merger::Dict { replace, recurse_str, recurse_array, allow_delete } = *merger else {
            return Ok(Value::Object(old));
        };
        let Value::Object(new) = new else { return Ok(Value::Object(old)) };
        for (key, value) in new {
            let Some(there) = old.remove(&key) else {
                old.insert(key, value);
                continue;
            };
            if value.is_null() && allow_delete {
                continue;
            }
            let into = match &value {
                _ if replace => false,
                Value::Array(_) => recurse_array,
                Value::String(_) => recurse_str,
                Value::Object(_) => true,
                _ => false,
            };
            let merged = match (replace, into) {
                (true, _) => value,
                (false, true) => self.merge(there, value)?,
                (false, false) => there,
            };
            old.insert(key, merged);
        }
        Ok(Value::Object(old))
    }

    fn list(&self, merger: &Merger, mut old: Vec<Value>, new: Value) -> Result<Value, MergeError> {
        let Merger::List { method, recurse_str, recurse_dict, recurse_array } = *merger else {
            return Ok(Value::Array(old));
        };
        let mut new = match (new, method) {
            (Value::Array(new), _) => new,
            (other, ListMethod::Replace) => return Ok(other),
            (other, _) => {
                let method = match method {
                    ListMethod::Append => "append",
                    ListMethod::Prepend => "prepend",
                    ListMethod::Replace | ListMethod::NoReplace => "no_replace",
                };
                return Err(MergeError::Unlike { merger: "list", method, given: kind(&other) });
            }
        };
        match method {
            ListMethod::Append => old.append(&mut new),
            ListMethod::Prepend => {
                new.append(&mut old);
                old = new;
            }
            ListMethod::NoReplace => {}
            // Place by place; a longer list keeps its end, a longer newcomer loses it.
            ListMethod::Replace => {
                for (there, value) in old.iter_mut().zip(new) {
                    let into = match &value {
                        Value::Array(_) => recurse_array,
                        Value::String(_) => recurse_str,
                        Value::Object(_) => recurse_dict,
                        _ => false,
                    };
                    *there = if into { self.merge(there.take(), value)? } else { value };
                }
            }
        }
        Ok(Value::Array(old))
    }
}

impl Merger {
    fn new(name: &str, settings: &[&str]) -> Result<Self, MergeError> {
        let has = |setting: &str| settings.contains(&setting);
        let recurse_array = has("recurse_array") || has("recurse_list");
        Ok(match name.strip_prefix("m_").unwrap_or(name) {
            "dict" => Self::Dict {
                replace: has("replace"),
                recurse_str: has("recurse_str"),
                recurse_array,
                allow_delete: has("allow_delete"),
            },
            "list" => Self::List {
                method: match () {
                    () if has("append") => ListMethod::Append,
                    () if has("prepend") => ListMethod::Prepend,
                    () if has("no_replace") && !has("replace") => ListMethod::NoReplace,
                    () => ListMethod::Replace,
                },
                recurse_str: has("recurse_str"),
                recurse_dict: has("recurse_dict"),
                recurse_array,
            },
            "str" => Self::Str { append: has("append") },
            _ => return Err(MergeError::Unknown(name.to_owned())),
        })
    }
}

/// `{name: list, settings: [append]}` or `[list, append]`.
fn listed(item: &Value) -> Result<Merger, MergeError> {
    let wrong = || MergeError::Rule(item.to_string());
    let (name, settings) = match item {
        Value::Object(fields) => {
            let settings = fields.get("settings").and_then(Value::as_array).ok_or_else(wrong)?;
            (fields.get("name").and_then(Value::as_str).ok_or_else(wrong)?, &settings[..])
        }
        Value::Array(words) => {
            let (name, settings) = words.split_first().ok_or_else(wrong)?;
            (name.as_str().ok_or_else(wrong)?, settings)
        }
        _ => return Err(wrong()),
    };
    let settings: Option<Vec<&str>> = settings.iter().map(Value::as_str).collect();
    Merger::new(&name.trim().replace('-', "_"), &settings.ok_or_else(wrong)?)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a yes or no",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}
