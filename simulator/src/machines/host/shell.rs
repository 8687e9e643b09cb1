//! `sh -c` for simple lists of commands: `&&`, `||`, `;`, quotes, and output into a file.

use std::sync::Arc;

use super::commands::{CommandOutput, run as run_command};
use crate::machines::machine::Machine;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    And,
    Or,
    Then,
    /// `>` (false) or `>>` (true).
    Into(bool),
    /// `2>`, `2>>` and `2>&1`: messages are kept apart anyway.
    Discard,
}

/// Runs a script; anything beyond the simple is refused.
pub(super) async fn run(machine: &Arc<Machine>, script: &str, stdin: &[u8]) -> CommandOutput {
    let tokens = match tokens(script) {
        Ok(tokens) => tokens,
        Err(message) => return CommandOutput::fail(2, format!("sh: {message}")),
    };
    let mut total = CommandOutput::default();
    let mut joint = Token::Then;
    let mut at = 0;
    while at < tokens.len() {
        let end = tokens[at..]
            .iter()
            .position(|token| matches!(token, Token::And | Token::Or | Token::Then))
            .map_or(tokens.len(), |offset| at + offset);
        let skip = match joint {
            Token::And => total.status != 0,
            Token::Or => total.status == 0,
            _ => false,
        };
        if end > at && !skip {
            let output = simple(machine, &tokens[at..end], stdin).await;
            total.status = output.status;
            total.stdout.extend(output.stdout);
            total.stderr.extend(output.stderr);
        }
        joint = tokens.get(end).cloned().unwrap_or(Token::Then);
        at = end + 1;
    }
    total
}

async fn simple(machine: &Arc<Machine>, tokens: &[Token], stdin: &[u8]) -> CommandOutput {
    let mut words = Vec::new();
    let mut target = None;
    let mut discard = false;
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            Token::Word(word) => words.push(word.clone()),
            Token::Into(append) => {
                if let Some(Token::Word(path)) = tokens.next() {
                    target = Some((path.clone(), *append));
                }
            }
            Token::Discard => discard = true,
            Token::And | Token::Or | Token::Then => {}
        }
    }
    // `set -e` and the like change nothing that matters here.
    if words.first().is_some_and(|word| word == "set") {
        return CommandOutput::default();
    }
    let mut output = run_command(machine, &words, stdin).await;
    if discard {
        output.stderr.clear();
    }
    if let Some((path, append)) = target {
        if path == "/dev/null" {
            output.stdout.clear();
            return output;
        }
        let files = machine.host.files();
        let mut content = if append { files.read(&path).map(|file| file.content.to_vec()) } else { None }
            .unwrap_or_default();
        content.append(&mut output.stdout);
        if let Err(error) = files.write(&path, content, 0o644) {
            return CommandOutput::fail(1, format!("sh: {error}"));
        }
    }
    output
}

fn tokens(script: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = script.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(inner) => word.push(inner),
                        None => return Err("unterminated quoted string".to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => word.extend(chars.next()),
                        Some(inner) => word.push(inner),
                        None => return Err("unterminated quoted string".to_owned()),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(next) => word.get_or_insert_default().push(next),
                None => {}
            },
            '#' if word.is_none() => while chars.next_if(|next| *next != '\n').is_some() {},
            '&' | '|' | ';' | '\n' | '>' => {
                let number = word.as_deref() == Some("2") && char == '>';
                if number {
                    word = None;
                }
                tokens.extend(word.take().map(Token::Word));
                let doubled = chars.next_if_eq(&char).is_some();
                tokens.push(match (char, doubled) {
                    ('&', true) => Token::And,
                    ('|', true) => Token::Or,
                    (';' | '\n', _) => Token::Then,
                    ('>', _) if number => {
                        while chars.next_if(|next| !next.is_whitespace() && *next != ';').is_some() {}
                        Token::Discard
                    }
                    ('>', append) => Token::Into(append),
                    _ => return Err(format!("{char} is not understood")),
                });
            }
            char if char.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            char => word.get_or_insert_default().push(char),
        }
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_cut_into_commands() {
        let words = |script: &str| tokens(script).unwrap();
        let word = |text: &str| Token::Word(text.to_owned());
        assert_eq!(
            words("mkdir -p '/a b' && echo \"x\" 2>/dev/null || true; ls > /tmp/x"),
            [
                word("mkdir"),
                word("-p"),
                word("/a b"),
                Token::And,
                word("echo"),
                word("x"),
                Token::Discard,
                Token::Or,
                word("true"),
                Token::Then,
                word("ls"),
                Token::Into(false),
                word("/tmp/x"),
            ]
        );
        assert!(tokens("a | b").is_err());
        assert!(tokens("'open").is_err());
    }
}
