//! What is wrong with a configuration file, with the lines it stands on.

use super::places::Place;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// How alike two words must be for one to be taken for a slip of the other.
const ALIKE: f64 = 0.75;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file can't be read.
    #[error("{path} could not be read: {source}", path = .path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Lines of it make no sense.
    #[error("{0}")]
    Wrong(String),
}

/// Something wrong, and where.
pub(super) struct Wrong {
    pub(super) place: Option<Place>,
    pub(super) message: String,
}

impl ConfigError {
    /// Shows every fault with its line.
    pub(super) fn wrong(path: &Path, text: &str, wrong: Vec<Wrong>) -> Self {
        let shown = wrong.iter().map(|one| show(path, text, one)).collect::<Vec<_>>();
        Self::Wrong(shown.join("\n"))
    }
}

fn show(path: &Path, text: &str, wrong: &Wrong) -> String {
    let Some(Place { line, column }) = wrong.place else {
        return format!("{}: {}", path.display(), wrong.message);
    };
    let mut out = format!("{}:{line}:{column}: {}", path.display(), wrong.message);
    if let Some(source) = line.checked_sub(1).and_then(|at| text.lines().nth(at)) {
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(column.saturating_sub(1));
        let marks = "^".repeat(word_at(source, column));
        // Writing to a String can't fail.
        let _ = write!(out, "\n {margin} |\n {number} | {source}\n {margin} | {indent}{marks}");
    }
    out
}

/// How many columns the word takes that begins at a column; one at least.
fn word_at(source: &str, column: usize) -> usize {
    let rest = source.chars().skip(column.saturating_sub(1));
    rest.take_while(|c| !c.is_whitespace() && !matches!(c, ':' | ',' | ']' | '}')).count().max(1)
}

/// The reader's own sentence, with what was probably meant.
pub(super) fn plain(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = match text.split_once(" at line ") {
        // Lines and columns stand in front already.
        Some((sentence, _)) => sentence.to_owned(),
        None => text,
    };
    if let Some(number) = text.strip_prefix("invalid ").filter(|kind| matches!(*kind, "u32" | "u64" | "i64"))
    {
        let least = if number.starts_with('u') { ", 0 or more" } else { "" };
        return format!("a whole number is wanted here{least}");
    }
    let said = text.split('`').nth(1).unwrap_or_default();
    let known = text.split_once("expected one of ").map_or("", |(_, known)| known).split(", ");
    let near = known.map(|word| (strsim::jaro_winkler(said, word), word));
    let meant =
        near.filter(|(alike, _)| *alike >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, word)| word);
    match meant {
        Some(word) => format!("{text}; did you mean `{word}`?"),
        None => text,
    }
}
