//! `replank demo`.

use crate::demo::{Account, DemoArguments, DemoError, Progress, Verdict, serve, tell};
use crate::exit::Exit;
use crate::output::{self, Format, View};
use replank_execution::Guards;
use replank_planning::journal::RunState;
use replank_simulator::faults::Faults;
use tokio_util::sync::CancellationToken;

/// Tells the story, or lists what may be named in it.
pub(crate) fn run(arguments: &DemoArguments) -> Exit {
    if arguments.without_guard.iter().any(|name| name == "list") {
        output::data(&Guards::names().join("\n"));
        return Exit::Done;
    }
    if arguments.fault.iter().any(|name| name == "list") {
        let lines = Faults::names().iter().map(|(name, what)| format!("{name:<26} {what}"));
        output::data(&lines.collect::<Vec<_>>().join("\n"));
        return Exit::Done;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    match runtime {
        Ok(runtime) => runtime.block_on(show(arguments)),
        Err(error) => {
            output::error(&error);
            Exit::Failed
        }
    }
}

async fn show(arguments: &DemoArguments) -> Exit {
    let (progress, mut inbox) = tokio::sync::mpsc::unbounded_channel();
    let pause = CancellationToken::new();
    // What Ctrl-C says goes the way of everything else; the view ends when the story does.
    let aside = progress.downgrade();
    let story = async {
        let told = Box::pin(tell(arguments, &progress, pause.clone())).await;
        drop(progress);
        told
    };
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_ok() {
            if let Some(progress) = aside.upgrade() {
                let text = "pausing at the next safe point; Ctrl-C again stops now".to_owned();
                let _ = progress.send(Progress::Said(text));
            }
            pause.cancel();
        }
        // A second one ends the program, and the cluster with it.
        let _ = tokio::signal::ctrl_c().await;
    };
    let mut view = View::on_stderr();
    let telling = async {
        let (told, ()) = tokio::join!(story, view.follow(&mut inbox, show_progress));
        view.close();
        told
    };
    let told = tokio::select! {
        biased;
        told = telling => told,
        () = interrupted => {
            output::say("stopped, and the demo's cluster with it");
            return Exit::Failed;
        }
    };
    match told {
        Ok(told) => {
            print(&told.account, arguments.output);
            if let Some(listen) = arguments.serve
                && let Err(error) = serve(&told.cluster, listen, arguments.record.as_deref()).await
            {
                output::error(&error);
                return Exit::Failed;
            }
            exit_of(&told.account)
        }
        Err(error) => refuse(&error),
    }
}

fn show_progress(view: &mut View, progress: Progress) {
    match progress {
        Progress::Said(text) => view.said(&text),
        Progress::Planned(plan) => view.planned(*plan, RunState::default()),
        Progress::Run(event) => view.event(&event),
    }
}

fn print(account: &Account, format: Format) {
    match format {
        Format::Json => output::document(account),
        Format::Text => output::data(&account.text()),
    }
}

fn exit_of(account: &Account) -> Exit {
    match account.result {
        Verdict::Succeeded => Exit::Done,
        Verdict::Paused => Exit::Paused,
        Verdict::Failed => Exit::Failed,
    }
}

fn refuse(error: &DemoError) -> Exit {
    output::error(error);
    if let DemoError::NotPlanned(not_planned) = error {
        for finding in not_planned.findings() {
            output::say(&format!(
                "  {} {}: {} {}",
                finding.code, finding.object, finding.message, finding.fix
            ));
        }
    }
    error.exit()
}
