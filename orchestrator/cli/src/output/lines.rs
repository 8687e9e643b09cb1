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

/// An event as a document of one line.
pub(crate) fn document(event: &RunEvent) -> Option<serde_json::Value> {
    let RunEvent::Recorded(entry) = event else { return None };
    let mut document = serde_json::to_value(&entry.record).ok()?;
    let map = document.as_object_mut()?;
    // What was captured can be large, and is in the journal.
    map.remove("before");
    map.remove("after");
    map.insert("apiVersion".into(), replank_planning::intent::API_VERSION.into());
    map.insert("kind".into(), "RunEvent".into());
    map.insert("time".into(), entry.time.clone().into());
    map.insert("sequence".into(), entry.sequence.into());
    if let Some(line) = line(event) {
        map.insert("message".into(), line.get(9..).unwrap_or(&line).into());
    }
    Some(document)
}
