//! A run as plain lines, one an event, each with its time.

use replank_execution::RunEvent;
use replank_planning::journal::{Entry, Record};

/// The line for an event; none for what only a machine wants to know.
pub(crate) fn line(event: &RunEvent) -> Option<String> {
    let RunEvent::Recorded(entry) = event else { return None };
    let text = match &entry.record {
        Record::Resumed => "the run is taken up".to_owned(),
        Record::Started { step, attempt: 1, .. } => format!("{step}: begins"),
        Record::Started { step, attempt, .. } => format!("{step}: begins again (attempt {attempt})"),
        Record::Waiting { step: Some(step), waiting } => format!("{step}: waits: {waiting}"),
        Record::Waiting { step: None, waiting } => format!("waits: {waiting}"),
        Record::Learned { .. } => return None,
        Record::Succeeded { step, .. } => format!("{step}: done"),
        Record::Failed { step, reason } => format!("{step}: failed: {reason}"),
        Record::UndoStarted { step, .. } => format!("{step}: is being undone"),
        Record::UndoSucceeded { step } => format!("{step}: undone"),
        Record::UndoFailed { step, reason } => format!("{step}: could not be undone: {reason}"),
        Record::Paused { reason, .. } => format!("paused: {reason}"),
        Record::Finished => "finished".to_owned(),
        Record::RolledBack => "rolled back".to_owned(),
        Record::Finalized => "finalized".to_owned(),
    };
    Some(format!("{} {text}", time(entry)))
}

/// An entry's time of day.
pub(super) fn time(entry: &Entry) -> &str {
    entry.time.get(11..19).unwrap_or(&entry.time)
}
