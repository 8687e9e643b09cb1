//! Text from outside, made fit for a terminal and a journal.

use std::borrow::Cow;

/// Writes out whatever is not plain text, so that it reaches no terminal. Line feeds and tabs stay.
pub fn escape(text: &str) -> String {
    written_out(text, |c| c == '\n' || c == '\t').into_owned()
}

/// The same for one line of a message: line feeds and tabs are written out too, and a long text is
/// cut after `most` characters with a word about it.
pub fn escape_line(text: &str, most: usize) -> String {
    // What is cut anyway need not be looked at: escaping makes nothing shorter.
    let head = text.char_indices().nth(most).map_or(text, |(cut, _)| &text[..cut]);
    let shown = written_out(head, |_| false);
    match shown.char_indices().nth(most) {
        Some((cut, _)) => format!("{}… ({} bytes in all)", &shown[..cut], text.len()),
        None if head.len() < text.len() => format!("{shown}… ({} bytes in all)", text.len()),
        None => shown.into_owned(),
    }
}

fn written_out(text: &str, kept: impl Fn(char) -> bool) -> Cow<'_, str> {
    let plain = |c: char| kept(c) || !(c.is_control() || disguises(c));
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if plain(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    Cow::Owned(shown)
}

/// Characters that show nothing themselves but change how others are shown or where a line ends: a text with
/// one of them can read as another text.
fn disguises(c: char) -> bool {
    matches!(c,
        // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
        '\u{ad}' | '\u{61c}' | '\u{180e}'
        // Zero-width characters and marks of direction.
        | '\u{200b}'..='\u{200f}'
        // Separators of lines and paragraphs, embeddings and overrides of direction.
        | '\u{2028}'..='\u{202e}'
        // Joiners, invisible operators, isolates of direction.
        | '\u{2060}'..='\u{206f}'
        // Byte order mark, annotations, tags.
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sequence_becomes_plain_text() {
        assert_eq!(escape("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert_eq!(escape("\u{9b}2J\r"), "\\u{9b}2J\\r");
        assert_eq!(escape_line("a\nb", 80), "a\\nb");
    }

    #[test]
    fn a_long_line_is_cut_and_says_so() {
        assert_eq!(escape_line("abcdef", 3), "abc… (6 bytes in all)");
        assert_eq!(escape_line("ab\n", 3), "ab\\… (3 bytes in all)");
        assert_eq!(escape_line("äöü", 3), "äöü");
    }

    #[test]
    fn text_that_would_read_as_another_is_written_out() {
        assert_eq!(escape("safe\u{202e}gpj.exe"), "safe\\u{202e}gpj.exe");
        assert_eq!(escape("node\u{200b}-1\u{2028}"), "node\\u{200b}-1\\u{2028}");
        assert_eq!(escape("Größe 5 µs → 6, 日本"), "Größe 5 µs → 6, 日本");
    }
}
