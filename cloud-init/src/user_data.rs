//! Finished user-data: our document and the user's snippets, in one of the forms that cloud-init reads.

use crate::config::CloudConfig;
use crate::merge::{MergeError, Merging};
use crate::snippet::{Content, Snippet};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};
use serde_json::{Map, Value};
use std::fmt;
use std::fmt::Write as _;
use std::io::Write as _;

/// How our document is put over the user's: after theirs, and nothing of theirs is lost.
const AFTER_THEIRS: &str = "dict(no_replace,recurse_array)+list(append)+str()";

/// The longest line that mail takes unencoded.
const LONGEST_LINE: usize = 998;

/// A form of user-data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One `#cloud-config` document: there must be no scripts.
    CloudConfig,
    /// MIME multi-part: the document and the scripts.
    Mime,
    /// The usual form, packed.
    Gzip,
}

/// The most that a platform takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// EC2: 16 KiB, counted before base64 (of a packed form: the packed bytes).
    Ec2,
}

impl Limit {
    /// The most, in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Ec2 => 16 * 1024,
        }
    }

    fn platform(self) -> &'static str {
        match self {
            Self::Ec2 => "EC2",
        }
    }

    /// Whether finished user-data, as it is before base64, can be given.
    ///
    /// # Errors
    /// When it is too large.
    pub fn check(self, user_data: &[u8]) -> Result<(), UserDataError> {
        if user_data.len() <= self.bytes() {
            return Ok(());
        }
        let (platform, bytes, most) = (self.platform(), user_data.len(), self.bytes());
        Err(UserDataError::TooLarge { platform, bytes, most })
    }
}

/// Why there is no user-data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserDataError {
    /// A snippet could not be put over those before it.
    #[error("{snippet} can't be merged: {source}")]
    Merge {
        /// Whose.
        snippet: String,
        /// Why.
        source: MergeError,
    },
    /// A snippet would write a file that the join needs.
    #[error("{path} is written by replank too; take it out of your user-data")]
    File {
        /// The file.
        path: String,
    },
    /// Scripts have no place in a document.
    #[error("{script} is a script, and one #cloud-config document can't hold it; use MIME multi-part")]
    Script {
        /// The first.
        script: String,
    },
    /// The platform would refuse it.
    #[error(
        "the user-data is {bytes} bytes, and {platform} takes at most {most}; make the files smaller, or let the \
         machine fetch them"
    )]
    TooLarge {
        /// Which platform.
        platform: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        most: usize,
    },
}

/// What a machine's first boot is told. It may hold secrets, so `Debug` shows names only.
#[derive(Clone, PartialEq, Eq)]
pub struct UserData {
    document: Map<String, Value>,
    programs: Vec<Program>,
}

#[derive(Clone, PartialEq, Eq)]
struct Program {
    /// Begins with a number: programs run in the order of their names, and before `runcmd`.
    name: String,
    kind: &'static str,
    text: String,
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let programs: Vec<&str> = self.programs.iter().map(|p| p.name.as_str()).collect();
        f.debug_struct("UserData")
            .field("keys", &self.document.keys().collect::<Vec<_>>())
            .field("programs", &programs)
            .finish()
    }
}

impl UserData {
    /// Merges the user's documents, in order and by cloud-init's rules, and puts ours behind them: their commands
    /// run first, and none of ours is lost.
    ///
    /// # Errors
    /// When they can't be merged, or would write files that are ours.
    pub fn new(ours: &CloudConfig, snippets: &[Snippet]) -> Result<Self, UserDataError> {
        let mut theirs = Value::Object(Map::new());
        let mut programs = Vec::new();
        for (at, snippet) in snippets.iter().enumerate() {
            let merge = |source| UserDataError::Merge { snippet: snippet.name.clone(), source };
            let (kind, text) = match &snippet.content {
                Content::CloudConfig { document, merging } => {
                    let document = Value::Object(document.clone());
                    theirs = merging.merge(theirs, document).map_err(merge)?;
                    continue;
                }
                Content::Script(text) => ("x-shellscript", text),
                Content::Boothook(text) => ("cloud-boothook", text),
            };
            let name = format!("{at:03}-{}", file_name(&snippet.name));
            programs.push(Program { name, kind, text: text.clone() });
        }
        let written = theirs.pointer("/write_files").and_then(Value::as_array).into_iter().flatten();
        let mut written = written.filter_map(|file| file["path"].as_str());
        if let Some(path) = written.find(|path| ours.write_files.iter().any(|file| file.path == *path)) {
            return Err(UserDataError::File { path: path.to_owned() });
        }
        let document = Merging::written(AFTER_THEIRS)
            .and_then(|after| after.merge(theirs, ours.document()))
            .map_err(|source| UserDataError::Merge { snippet: "replank's own part".into(), source })?;
        let document = match document {
            Value::Object(document) => document,
            _ => Map::new(),
        };
        Ok(Self { document, programs })
    }

    /// The simplest form that holds everything.
    pub fn usual(&self) -> Form {
        if self.programs.is_empty() { Form::CloudConfig } else { Form::Mime }
    }

    /// The finished bytes, the same each time.
    ///
    /// # Errors
    /// When the form can't hold everything.
    pub fn render(&self, form: Form) -> Result<Vec<u8>, UserDataError> {
        match (form, self.programs.first()) {
            (Form::CloudConfig, Some(program)) => Err(UserDataError::Script { script: program.name.clone() }),
            (Form::CloudConfig, None) => Ok(self.cloud_config().into_bytes()),
            (Form::Mime, _) => Ok(self.mime().into_bytes()),
            (Form::Gzip, _) => Ok(packed(&self.render(self.usual())?)),
        }
    }

    /// The document. It is JSON, which is YAML too, so that no reader has to guess whether `0600` is a number
    /// or where a line ends.
    fn cloud_config(&self) -> String {
        format!("#cloud-config\n{:#}\n", Value::Object(self.document.clone()))
    }

    fn mime(&self) -> String {
        let document = self.cloud_config();
        let mut parts = vec![("replank.cfg", "cloud-config", document.as_str())];
        parts.extend(self.programs.iter().map(|p| (p.name.as_str(), p.kind, p.text.as_str())));
        let mut boundary = "replank-part".to_owned();
        while parts.iter().any(|(_, _, text)| text.contains(&boundary)) {
            boundary.push('-');
        }
        let mut out =
            format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
        for (name, kind, text) in parts {
            // Writing to a String can't fail.
            let _ = write!(
                out,
                "--{boundary}\nContent-Type: text/{kind}; charset=\"utf-8\"\nMIME-Version: 1.0\n\
                 Content-Disposition: attachment; filename=\"{name}\"\n"
            );
            if text.is_ascii() && text.lines().all(|line| line.len() <= LONGEST_LINE) {
                let _ = write!(out, "Content-Transfer-Encoding: 7bit\n\n{text}\n");
            } else {
                out.push_str("Content-Transfer-Encoding: base64\n\n");
                // Base64 is ASCII, so any cut is between letters.
                for line in STANDARD.encode(text).as_bytes().chunks(76) {
                    out.push_str(&String::from_utf8_lossy(line));
                    out.push('\n');
                }
            }
        }
        let _ = writeln!(out, "--{boundary}--");
        out
    }
}

/// Packs finished user-data; cloud-init unpacks it by its first bytes. No time and no name go in, so that the
/// same bytes come out each time.
pub fn packed(user_data: &[u8]) -> Vec<u8> {
    let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    // A Vec takes whatever is written to it.
    let _ = packer.write_all(user_data);
    packer.finish().unwrap_or_default()
}

/// A name that needs no quoting in a header and is no path.
fn file_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}
