//! Long sentences in narrow terminals.

/// How wide text is: what every terminal shows.
pub(crate) const WIDTH: usize = 80;

/// A text in lines of at most [`WIDTH`] columns: the first begins with `first`, the others with `rest`.
/// A word that is longer than a line stays whole, so that it can be copied.
pub(crate) fn wrapped(first: &str, rest: &str, text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        let gap = usize::from(!empty);
        if !empty && line.chars().count() + gap + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_a_terminal_but_a_word_that_has_to_be() {
        let text = "word ".repeat(60);
        let shown = wrapped("  * ", "    ", &text);
        assert!(shown.lines().all(|line| line.chars().count() <= WIDTH), "{shown}");
        assert!(shown.starts_with("  * word") && shown.lines().nth(1).unwrap().starts_with("    word"));
        assert_eq!(shown.split_whitespace().filter(|w| *w == "word").count(), 60);
        let long = "x".repeat(100);
        assert_eq!(wrapped("- ", "  ", &long), format!("- {long}"));
    }
}
