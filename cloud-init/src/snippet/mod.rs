//! The user's own share of a machine's first boot: a `#cloud-config` document or a script, read strictly.
//!
//! cloud-init takes what it does not understand for nothing and goes on; a node that boots so is found out late.
//! So keys that cloud-init does not know are refused here, and those that would take the machine's name or the
//! join away from us.

mod known;

use crate::merge::Merging;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::fmt;

/// Keys that are ours, with what would go wrong.
const OURS: [(&str, &str); 7] = [
    ("hostname", "the machine's name is the Node's, and replank sets it"),
    ("fqdn", "the machine's name is the Node's, and replank sets it"),
    ("preserve_hostname", "the machine's name is the Node's, and replank sets it"),
    ("prefer_fqdn_over_hostname", "the machine's name is the Node's, and replank sets it"),
    ("cloud_init_modules", "without cloud-init's own list of modules the node would not join"),
    ("cloud_config_modules", "without cloud-init's own list of modules the node would not join"),
    ("cloud_final_modules", "without cloud-init's own list of modules the node would not join"),
];

/// Encodings of a file's content.
const ENCODINGS: [&str; 8] =
    ["gz", "gzip", "gz+base64", "gzip+base64", "gz+b64", "gzip+b64", "b64", "base64"];

/// One file of the user's.
#[derive(Clone, PartialEq, Eq)]
pub struct Snippet {
    /// What it is called in messages and on the machine: its file's name.
    pub name: String,
    /// What is in it.
    pub content: Content,
}

/// What a snippet is.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// A document, with the way in which it is put over those before it.
    CloudConfig {
        /// Without `merge_how`.
        document: Map<String, Value>,
        /// What `merge_how` says, or cloud-init's usual.
        merging: Merging,
    },
    /// A program, which runs before the node joins.
    Script(String),
    /// A program that runs on every boot, before the network is up.
    Boothook(String),
}

/// What is wrong in a snippet, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The keys that lead there; items of lists by their numbers from 0. Empty: the file as a whole.
    pub at: Vec<String>,
    /// What is wrong.
    pub message: String,
}

/// Its content may be secret.
impl fmt::Debug for Snippet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.content {
            Content::CloudConfig { .. } => "cloud-config",
            Content::Script(_) => "script",
            Content::Boothook(_) => "boothook",
        };
        write!(f, "{} ({kind})", self.name)
    }
}

impl Snippet {
    /// Reads a snippet.
    ///
    /// # Errors
    /// All its faults, with their places.
    pub fn parse(name: impl Into<String>, text: &str) -> Result<Self, Vec<Fault>> {
        let whole = |message: &str| vec![Fault { at: Vec::new(), message: message.to_owned() }];
        let first = text.lines().next().unwrap_or_default().trim_end();
        let content = match first {
            "#cloud-config" => cloud_config(text)?,
            "#cloud-boothook" => Content::Boothook(text.to_owned()),
            first if first.starts_with("#!") => Content::Script(text.to_owned()),
            first if first.starts_with("#include") => {
                return Err(whole("what it includes could not be checked; name the files themselves"));
            }
            first if first.starts_with("## template") => {
                return Err(whole("a template can't be checked before it is on the machine; write it out"));
            }
            _ => {
                return Err(whole(
                    "its first line must be #cloud-config, #cloud-boothook, or #! with a script's interpreter",
                ));
            }
        };
        Ok(Self { name: name.into(), content })
    }
}

fn cloud_config(text: &str) -> Result<Content, Vec<Fault>> {
    let whole = |message: String| vec![Fault { at: Vec::new(), message }];
    let read: Value =
        serde_saphyr::from_str(text).map_err(|error| whole(error.without_snippet().to_string()))?;
    let mut document = match read {
        Value::Object(document) => document,
        Value::Null => return Err(whole("it is empty".into())),
        _ => return Err(whole("it must be a map of keys".into())),
    };
    let mut faults = Faults::default();
    let merging = Merging::take(&mut document)
        .map_err(|error| vec![Fault { at: vec!["merge_how".into()], message: error.to_string() }])?;
    for key in document.keys() {
        if let Some((_, why)) = OURS.iter().find(|(ours, _)| ours == key) {
            faults.add(&[key], (*why).to_owned());
        } else if !known::TOP.contains(&key.as_str()) {
            faults.add(&[key], unknown(key, known::TOP));
        }
    }
    for (path, keys) in known::BELOW {
        faults.below(&Value::Object(document.clone()), path, keys, &mut Vec::new());
    }
    if let Some(files) = document.get("write_files") {
        faults.files(files);
    }
    for key in ["runcmd", "bootcmd"] {
        if let Some(commands) = document.get(key) {
            faults.commands(key, commands);
        }
    }
    if faults.0.is_empty() { Ok(Content::CloudConfig { document, merging }) } else { Err(faults.0) }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let near = known.iter().map(|word| (strsim::jaro_winkler(key, word), word));
    // Below this two words have little in common.
    let near = near.filter(|(alike, _)| *alike >= 0.85).max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, word)) => format!("cloud-init does not know {key:?}; did you mean {word:?}?"),
        None => format!("cloud-init does not know {key:?}"),
    }
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, at: &[&str], message: String) {
        self.0.push(Fault { at: at.iter().map(|key| (*key).to_owned()).collect(), message });
    }

    /// Looks for unknown keys of the maps that a path of [`known::BELOW`] leads to.
    fn below(&mut self, value: &Value, path: &str, keys: &[&str], at: &mut Vec<String>) {
        if path.is_empty() {
            for key in value.as_object().into_iter().flat_map(Map::keys) {
                if !keys.contains(&key.as_str()) {
                    let at = at.iter().cloned().chain([key.clone()]).collect();
                    self.0.push(Fault { at, message: unknown(key, keys) });
                }
            }
        } else if let Some(rest) = path.strip_prefix("[]") {
            for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                at.push(number.to_string());
                self.below(item, rest, keys, at);
                at.pop();
            }
        } else {
            let path = path.trim_start_matches('.');
            let end = path.find(['.', '[']).unwrap_or(path.len());
            if let Some(inner) = value.get(&path[..end]) {
                at.push(path[..end].to_owned());
                self.below(inner, &path[end..], keys, at);
                at.pop();
            }
        }
    }

    fn files(&mut self, files: &Value) {
        let Some(files) = files.as_array() else {
            return self.add(&["write_files"], "a list of files is wanted here".into());
        };
        for (number, file) in files.iter().enumerate() {
            let number = number.to_string();
            let at = |key: &'static str| ["write_files", number.as_str(), key];
            match file.get("path").and_then(Value::as_str) {
                Some(path) if path.starts_with('/') => {}
                _ => self.add(&["write_files", &number], "a file needs a path from the root".into()),
            }
            if let Some(mode) = file.get("permissions")
                && mode.as_str().is_none_or(|mode| u32::from_str_radix(mode, 8).is_err())
            {
                self.add(&at("permissions"), "write permissions in quotes, such as '0644'".into());
            }
            let encoding = file.get("encoding").map(|encoding| encoding.as_str().unwrap_or_default());
            let content = file.get("content").and_then(Value::as_str).unwrap_or_default();
            match encoding {
                None | Some("text/plain") => {}
                Some(known) if ENCODINGS.contains(&known) => {
                    let packed: String = content.split_whitespace().collect();
                    if known.contains("64") && STANDARD.decode(packed).is_err() {
                        self.add(&at("content"), "this is not base64".into());
                    }
                }
                Some(other) => self.add(&at("encoding"), unknown(other, &ENCODINGS)),
            }
        }
    }

    fn commands(&mut self, key: &str, commands: &Value) {
        let Some(commands) = commands.as_array() else {
            return self.add(&[key], "a list of commands is wanted here".into());
        };
        for (number, command) in commands.iter().enumerate() {
            let fine = match command {
                Value::String(_) | Value::Null => true,
                Value::Array(words) => words.iter().all(Value::is_string),
                _ => false,
            };
            if !fine {
                let message = "a command is a text, or a list of texts: put numbers and yes or no in quotes";
                self.add(&[key, &number.to_string()], message.into());
            }
        }
    }
}
