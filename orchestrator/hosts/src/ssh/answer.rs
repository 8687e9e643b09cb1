//! What the scripts on a host say: one line that begins with a mark, then bytes of the length it names.

use crate::Output;

/// A mark that no login script prints by chance.
pub(super) fn mark() -> String {
    format!("replank-{:016x}", random())
}

/// A number that no other process has: the standard library's hash seeds come from the system.
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// The line after a mark, and what follows it.
pub(super) struct Answer<'a> {
    words: Vec<&'a str>,
    rest: &'a [u8],
}

impl<'a> Answer<'a> {
    /// Finds the mark: a login script may have printed something before it.
    pub(super) fn find(printed: &'a [u8], mark: &str) -> Option<Self> {
        let at = printed.windows(mark.len()).position(|w| w == mark.as_bytes())?;
        let line = &printed[at + mark.len()..];
        let end = line.iter().position(|byte| *byte == b'\n')?;
        let words = std::str::from_utf8(&line[..end]).ok()?.split_whitespace().collect();
        Some(Self { words, rest: &line[end + 1..] })
    }

    /// Its words, for a match.
    pub(super) fn words(&self) -> &[&'a str] {
        &self.words
    }

    /// The bytes after the line, if they are as many as they should be.
    pub(super) fn bytes(&self, length: &str) -> Option<&'a [u8]> {
        (length.parse() == Ok(self.rest.len())).then_some(self.rest)
    }

    /// How a command ended, if its output is whole.
    pub(super) fn output(&self, status: &str, out: &str, err: &str) -> Option<Output> {
        let (status, out, err) =
            (status.parse().ok()?, out.parse::<usize>().ok()?, err.parse::<usize>().ok()?);
        if out.checked_add(err)? != self.rest.len() {
            return None;
        }
        let (stdout, stderr) = self.rest.split_at(out);
        Some(Output { status, stdout: stdout.to_vec(), stderr: stderr.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_before_the_mark_is_passed_over() {
        let answer = Answer::find(b"Welcome!\nreplank-1 ended 3 2 1\nabc", "replank-1").expect("an answer");
        assert_eq!(answer.words(), ["ended", "3", "2", "1"]);
        let output = answer.output("3", "2", "1").expect("it is whole");
        assert_eq!(output, Output { status: 3, stdout: b"ab".to_vec(), stderr: b"c".to_vec() });
    }

    #[test]
    fn what_was_cut_is_no_answer() {
        assert!(Answer::find(b"replank-1 ended 3 2", "replank-1").is_none());
        let answer = Answer::find(b"replank-1 ended 3 2 1\nab", "replank-1").expect("an answer");
        assert_eq!(answer.output("3", "2", "1"), None);
        assert_eq!(answer.bytes("3"), None);
    }
}
