//! `replank provider`.

mod gc;
mod list;

use crate::exit::Exit;
use crate::output;
use clap::{Args, Subcommand, ValueEnum};
use replank_planning::intent::{API_VERSION, ProviderChoice};
use replank_provider_kit::conformance::{CaseReport, Options, Outcome, Report, Subject, check, names};
use replank_provider_kit::discovery::{NotFound, PREFIX, SearchPath};
use replank_provider_protocol::MachineId;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Providers: the programs that make, stop and delete machines.
#[derive(Debug, Args)]
pub(crate) struct ProviderArguments {
    #[command(subcommand)]
    command: ProviderCommand,
}

#[derive(Debug, Subcommand)]
enum ProviderCommand {
    /// Holds a provider to the protocol, case by case.
    ///
    /// Without --destructive only what changes nothing is tried. With it, machines and snapshots are
    /// made under clusters of their own, and taken away again; what was there before is never
    /// changed.
    Check(CheckArguments),
    /// Shows what runs made on this cluster that no Node is and no run remembers; deletes it with
    /// --delete.
    Gc(gc::GcArguments),
    /// The plugins beside this program and on PATH, with their versions and what they can do.
    List(list::ListArguments),
}

#[derive(Debug, Args)]
struct CheckArguments {
    /// The provider's name (`replank-provider-NAME`) or the path of its executable.
    #[arg(value_name = "NAME|PATH", required_unless_present = "list")]
    provider: Option<String>,
    /// The configuration file with the provider's settings.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Allows to make machines and snapshots, and to delete those again.
    #[arg(long)]
    destructive: bool,
    /// The machine that new ones are modelled on; the provider's own example if not given. With a provider that joins
    /// the same machine again it is this one that is cleaned, and none if not given.
    #[arg(long, value_name = "MACHINE")]
    like: Option<String>,
    /// Only cases with this in their name; may be repeated.
    #[arg(long, value_name = "PART")]
    case: Vec<String>,
    /// Prints the names of all cases and checks nothing.
    #[arg(long)]
    list: bool,
    /// How many seconds `pending` may last.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    /// How many machines make a long list.
    #[arg(long, value_name = "N", default_value_t = 12)]
    many: usize,
    /// How the account is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line a case.
    Table,
    /// One JSON document.
    Json,
}

/// The part of a configuration file that matters here.
#[derive(Debug, Default, Deserialize)]
struct Configured {
    #[serde(default)]
    provider: ProviderChoice,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
enum CheckError {
    #[error("{path} could not be read: {source}", path = .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is no configuration: {reason}", path = .path.display())]
    Configuration { path: PathBuf, reason: String },
    #[error(transparent)]
    NotFound(#[from] NotFound),
}

/// The account as a document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    report: &'a Report,
}

/// Runs it.
pub(crate) fn run(arguments: &ProviderArguments) -> Exit {
    match &arguments.command {
        ProviderCommand::Check(arguments) if arguments.list => {
            output::data(&names().join("\n"));
            Exit::Done
        }
        ProviderCommand::Check(arguments) => check_one(arguments),
        ProviderCommand::List(arguments) => list::run(arguments),
        ProviderCommand::Gc(arguments) => super::in_real_time(gc::run(arguments)),
    }
}

fn check_one(arguments: &CheckArguments) -> Exit {
    let subject = match subject(arguments) {
        Ok(subject) => subject,
        Err(error) => {
            output::error(&error);
            return Exit::Usage;
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&error);
            return Exit::Failed;
        }
    };
    let options = Options {
        destructive: arguments.destructive,
        like: arguments.like.as_deref().map(MachineId::from),
        seed: seed(),
        patience: Duration::from_secs(arguments.patience),
        many: arguments.many,
        only: arguments.case.clone(),
    };
    let table = arguments.output == Format::Table;
    let report = runtime.block_on(check(&subject, &options, |case| {
        if table {
            output::data(&line(case));
        } else {
            output::say(&line(case));
        }
    }));
    let summary = report.summary;
    if table {
        output::data(&format!(
            "{} passed, {} failed, {} skipped",
            summary.passed, summary.failed, summary.skipped
        ));
    } else {
        let document = Document { api_version: API_VERSION, kind: "ProviderCheck", report: &report };
        match serde_json::to_string_pretty(&document) {
            Ok(text) => output::data(&text),
            Err(error) => {
                output::error(&error);
                return Exit::Failed;
            }
        }
    }
    if summary.passed == 0 && summary.failed == 0 {
        output::say("no case ran: that proves nothing");
        return Exit::Failed;
    }
    if summary.failed == 0 { Exit::Done } else { Exit::Failed }
}

fn line(case: &CaseReport) -> String {
    match case.result {
        Outcome::Passed => format!("passed   {}", case.name),
        result => format!("{:<8} {}\n         {}", result.word(), case.name, case.reason),
    }
}

fn subject(arguments: &CheckArguments) -> Result<Subject, CheckError> {
    let provider = arguments.provider.clone().unwrap_or_default();
    let settings = match &arguments.config {
        Some(path) => settings(path)?,
        None => Value::Null,
    };
    let program = std::env::current_exe().ok();
    let search = SearchPath::new(program.as_deref(), std::env::var_os("PATH").as_deref());
    let path = search.find(&provider)?;
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = file.strip_prefix(PREFIX).map_or(file.clone(), str::to_owned);
    Ok(Subject::Plugin { name, path, settings })
}

fn settings(path: &Path) -> Result<Value, CheckError> {
    let settings = configured(path)?.provider.settings;
    Ok(if settings.is_empty() { Value::Null } else { Value::from_iter(settings) })
}

fn configured(path: &Path) -> Result<Configured, CheckError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| CheckError::Read { path: path.to_owned(), source })?;
    serde_saphyr::from_str(&text)
        .map_err(|error| CheckError::Configuration { path: path.to_owned(), reason: error.to_string() })
}

/// Tells this check from every other one on the same backend, also from one that was killed.
fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_nanos() as u64) ^ (u64::from(std::process::id()) << 48)
}
