//! Telling a run to whoever watches: a live view or plain lines for people, one document a line for scripts.

use crate::output::{self, Format, View, lines};
use replank_execution::RunEvent;
use replank_planning::journal::RunState;
use replank_planning::plan::Plan;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

/// What is told while a run goes on.
#[derive(Debug)]
pub(crate) enum Told {
    /// Something happened in the run.
    Event(RunEvent),
    /// A sentence from elsewhere in this process.
    Said(String),
}

/// Passes events on until the run has dropped its sender; then nobody tells anything any more.
pub(crate) async fn forward(mut happened: UnboundedReceiver<RunEvent>, told: UnboundedSender<Told>) {
    while let Some(event) = happened.recv().await {
        // Nobody listens once the program ends.
        let _ = told.send(Told::Event(event));
    }
}

/// Who tells it.
pub(crate) struct Narrator {
    format: Format,
    view: View,
}

impl Narrator {
    /// One that tells of this plan from where its journal stands.
    pub(crate) fn new(format: Format, plan: &Plan, state: RunState) -> Self {
        let mut view = match format {
            Format::Text => View::on_stderr(),
            Format::Json => View::in_lines(),
        };
        view.planned(plan.clone(), state);
        Self { format, view }
    }

    /// Tells everything that comes until all senders are gone.
    pub(crate) async fn follow(mut self, mut inbox: UnboundedReceiver<Told>) {
        let format = self.format;
        self.view
            .follow(&mut inbox, |view, told| match (told, format) {
                (Told::Said(text), _) => view.said(&text),
                // Of the run itself there is no record while it waits for its lock.
                (Told::Event(event @ RunEvent::Recorded(_)), Format::Json) => {
                    if let Some(document) = lines::document(&event) {
                        output::document_line(&document);
                    }
                }
                (Told::Event(event), _) => view.event(&event),
            })
            .await;
        self.view.close();
    }
}
