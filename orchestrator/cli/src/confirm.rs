//! Asking before something is changed.

use crate::output;
use std::io::{BufRead, IsTerminal};

/// Nobody said yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unconfirmed {
    /// Nobody can be asked.
    #[error("this changes the cluster, and there is no terminal to ask at: give --yes")]
    NoTerminal,
    /// The answer was another one.
    #[error("the answer was not `yes`; nothing was done")]
    Refused,
}

/// Goes on only with `--yes`, or with `yes` typed at a terminal.
///
/// # Errors
/// When neither is given.
pub(crate) fn confirmed(yes: bool, question: &str) -> Result<(), Unconfirmed> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Unconfirmed::NoTerminal);
    }
    output::ask(&format!("{question} Type yes to go on: "));
    let mut line = String::new();
    // A terminal that can't be read says no.
    let _ = std::io::stdin().lock().read_line(&mut line);
    if line.trim() == "yes" { Ok(()) } else { Err(Unconfirmed::Refused) }
}
