//! `replank provider list`.

use super::{CheckError, Configured, Format};
use crate::exit::Exit;
use crate::output;
use clap::Args;
use futures::{StreamExt, stream};
use replank_planning::intent::{API_VERSION, ProviderChoice};
use replank_provider_kit::PluginProvider;
use replank_provider_kit::discovery::SearchPath;
use replank_provider_kit::escape::escape_line;
use replank_provider_protocol::verbs::InitializeResult;
use replank_provider_protocol::{Capabilities, Keeping, Replacement, SnapshotKind};
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How many plugins are started at once: each is a program of its own, perhaps a heavy one.
const AT_ONCE: usize = 4;

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// The configuration file with the settings of one provider; the others are started without any.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the list is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

/// A plugin that was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    /// By its file's name.
    plugin: String,
    path: PathBuf,
    #[serde(flatten)]
    answer: Answer,
}

/// What came of starting it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Greeting(Box<InitializeResult>),
    Broken { error: String },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: &'static str,
    kind: &'static str,
    providers: Vec<Found>,
}

/// Starts every plugin that is found, greets it, and tells what it answered. One that does not work is part of
/// the answer, not a failure.
pub(super) fn run(arguments: &ListArguments) -> Exit {
    let choice = match arguments.config.as_deref().map(choice).transpose() {
        Ok(choice) => choice.unwrap_or_default(),
        Err(error) => {
            output::error(&error);
            return Exit::Usage;
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&error);
            return Exit::Failed;
        }
    };
    let program = std::env::current_exe().ok();
    let search = SearchPath::new(program.as_deref(), std::env::var_os("PATH").as_deref());
    let greetings = stream::iter(search.all()).map(|(name, path)| greeted(name, path, &choice));
    let providers: Vec<Found> = runtime.block_on(greetings.buffered(AT_ONCE).collect());
    match arguments.output {
        Format::Json => {
            let document = Document { api_version: API_VERSION, kind: "ProviderList", providers };
            match serde_json::to_string_pretty(&document) {
                Ok(text) => output::data(&text),
                Err(error) => {
                    output::error(&error);
                    return Exit::Failed;
                }
            }
        }
        Format::Table if providers.is_empty() => {
            output::say("there are no plugins (replank-provider-NAME) beside this program or on PATH");
        }
        Format::Table => output::data(&providers.iter().map(shown).collect::<Vec<_>>().join("\n")),
    }
    Exit::Done
}

fn choice(path: &Path) -> Result<ProviderChoice, CheckError> {
    super::configured(path).map(|Configured { provider }| provider)
}

async fn greeted(plugin: String, path: PathBuf, choice: &ProviderChoice) -> Found {
    let settings = if choice.name == plugin && !choice.settings.is_empty() {
        Value::from_iter(choice.settings.clone())
    } else {
        Value::Null
    };
    let answer = match PluginProvider::start(&plugin, path.clone(), settings).await {
        Ok(started) => {
            let greeting = started.greeting().clone();
            started.close().await;
            Answer::Greeting(Box::new(greeting))
        }
        Err(error) => Answer::Broken { error: error.to_string() },
    };
    Found { plugin, path, answer }
}

fn shown(found: &Found) -> String {
    let plugin = escape_line(&found.plugin, 60);
    let path = escape_line(&found.path.display().to_string(), 1000);
    match &found.answer {
        Answer::Broken { error } => format!("{plugin}: does not work\n  {path}\n  {error}"),
        Answer::Greeting(greeting) => format!(
            "{plugin}: {name} {version}, protocol {protocol}\n  {path}\n  {can}",
            name = greeting.name,
            version = greeting.version,
            protocol = greeting.protocol_version,
            can = capabilities(&greeting.capabilities),
        ),
    }
}

fn capabilities(can: &Capabilities) -> String {
    let mut words = vec![
        match can.replacement {
            Replacement::Fresh => "fresh machines",
            Replacement::InPlace => "rejoined in place",
        },
        match can.keeping {
            Keeping::Stopped => "keeps stopped ones",
            Keeping::Lost => "loses stopped ones",
        },
        match can.snapshot {
            SnapshotKind::Volumes => "snapshots of volumes",
            SnapshotKind::Disk => "snapshots of the disk",
            SnapshotKind::None => "no snapshots",
        },
    ];
    words.extend(can.hosts.then_some("hosts"));
    words.extend(can.load_balancer.then_some("load balancer"));
    words.join(", ")
}
