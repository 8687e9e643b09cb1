//! What is printed, and where: data on stdout, the rest on stderr.
//!
//! - [`lines`]: a run's events, one a line.
//! - [`findings`]: what was found; [`plan`]: a plan for its reviewer; [`status`]: where a run stands.
//! - [`wrap`]: long sentences in narrow terminals.

mod board;
pub(crate) mod findings;
mod frame;
pub(crate) mod lines;
pub(crate) mod plan;
pub(crate) mod status;
mod view;
pub(crate) mod wrap;

pub(crate) use view::View;

use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, Write};

/// A format of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// JSON documents.
    Json,
}

/// Prints data. A reader that went away ends nothing but the printing.
pub(crate) fn data(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
}

/// Prints a JSON document.
pub(crate) fn document<T: Serialize>(document: &T) {
    match serde_json::to_string_pretty(document) {
        Ok(text) => data(&text),
        Err(error) => self::error(&error),
    }
}

/// Prints a JSON document on one line.
pub(crate) fn document_line<T: Serialize>(document: &T) {
    match serde_json::to_string(document) {
        Ok(text) => data(&text),
        Err(error) => self::error(&error),
    }
}

/// Prints a message for people.
pub(crate) fn say(text: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{text}");
}

/// Prints a question; the cursor stays behind it.
pub(crate) fn ask(text: &str) {
    let mut err = io::stderr().lock();
    let _ = write!(err, "{text}").and_then(|()| err.flush());
}

/// Prints an error with its causes.
pub(crate) fn error(error: &dyn std::error::Error) {
    let mut text = format!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str("\n  because: ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    say(&text);
}

/// A word that a shell reads as it is.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | ':' | '=' | '@' | ',' | '+')
    };
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
