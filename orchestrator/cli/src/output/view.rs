//! A run as people watch it: a live table on a terminal, plain lines with their times elsewhere.

use super::board::Board;
use super::frame::Frame;
use super::{lines, say};
use replank_execution::RunEvent;
use replank_planning::journal::{Record, RunState};
use replank_planning::plan::Plan;
use replank_provider_protocol::Replacement;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::MissedTickBehavior;

/// How often a live view looks at the clock and the terminal's size: it shows whole seconds.
const BEAT: Duration = Duration::from_secs(1);

/// What shows a run on stderr. To use it:
///
/// ```ignore
/// let mut view = View::on_stderr();
/// view.planned(plan, state);                       // RunState::default() for a new run
/// // Drive the engine beside it; this ends when the engine has dropped its sender.
/// view.follow(&mut events, |view, event| view.event(&event)).await;
/// view.close();                                    // before anything else is printed
/// ```
///
/// While it is open nothing else writes to stderr but through [`View::said`]; a message from elsewhere goes
/// through the channel that is followed. Dropping it without [`View::close`] leaves the table where it is,
/// with the cursor below it.
pub(crate) struct View {
    surface: Surface,
    board: Option<Board>,
}

enum Surface {
    Live(Frame),
    /// The last waiting of the run itself: its progress is no news.
    Lines(Option<String>),
}

impl View {
    /// The view that fits stderr.
    pub(crate) fn on_stderr() -> Self {
        let surface = Frame::on_stderr().map_or(Surface::Lines(None), Surface::Live);
        Self { surface, board: None }
    }

    /// Lines, wherever stderr goes.
    pub(crate) fn in_lines() -> Self {
        Self { surface: Surface::Lines(None), board: None }
    }

    /// Says a sentence that stays.
    pub(crate) fn said(&mut self, text: &str) {
        match &mut self.surface {
            Surface::Lines(_) => say(text),
            Surface::Live(frame) => {
                frame.above(text);
                self.draw();
            }
        }
    }

    /// From now on it shows this run, which stands where its journal says.
    pub(crate) fn planned(&mut self, plan: Plan, state: RunState) {
        self.board = Some(Board::new(plan, state));
        self.draw();
    }

    /// Takes in what happened in the run.
    pub(crate) fn event(&mut self, event: &RunEvent) {
        if let Some(board) = &mut self.board {
            board.take(event);
        }
        match &mut self.surface {
            Surface::Lines(waiting) => {
                let line = match event {
                    RunEvent::Waiting { step: None, waiting: now } => Some(now.to_string())
                        .filter(|text| waiting.replace(text.clone()).as_ref() != Some(text)),
                    _ => lines::line(event),
                };
                if let Some(line) = line {
                    say(&line);
                }
            }
            Surface::Live(_) => match self.lasting(event) {
                Some(line) => self.said(&line),
                None => self.draw(),
            },
        }
    }

    /// Shows everything that comes until all senders are gone.
    pub(crate) async fn follow<T>(
        &mut self,
        inbox: &mut UnboundedReceiver<T>,
        mut take: impl FnMut(&mut Self, T),
    ) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let live = matches!(self.surface, Surface::Live(_));
        loop {
            tokio::select! {
                biased;
                got = inbox.recv() => match got {
                    Some(got) => take(self, got),
                    None => return,
                },
                _ = beat.tick(), if live => self.draw(),
            }
        }
    }

    /// Takes the table away; what was said stays.
    pub(crate) fn close(&mut self) {
        if let Surface::Live(frame) = &mut self.surface {
            frame.erase();
        }
        self.board = None;
    }

    /// The line about an event that is worth keeping above the table.
    fn lasting(&self, event: &RunEvent) -> Option<String> {
        let RunEvent::Recorded(entry) = event else { return None };
        match &entry.record {
            Record::Resumed
            | Record::Failed { .. }
            | Record::UndoFailed { .. }
            | Record::Paused { .. }
            | Record::Finished
            | Record::RolledBack
            | Record::Finalized => lines::line(event),
            Record::Succeeded { .. } => {
                let (slot, new) = self.board.as_ref()?.replaced_by(event)?;
                let became = match slot.replacement {
                    Replacement::Fresh => format!("is replaced by {new}"),
                    Replacement::InPlace => "has joined again in place".to_owned(),
                };
                Some(format!("{} {} {became}", lines::time(entry), slot.old.name))
            }
            _ => None,
        }
    }

    fn draw(&mut self) {
        let (Surface::Live(frame), Some(board)) = (&mut self.surface, &self.board) else { return };
        if !frame.is_fresh() {
            let (rows, columns) = frame.room();
            frame.draw(&board.rows(rows, columns));
        }
    }
}
