//! `replank plan`.

use crate::cluster::ClusterArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::findings::FindingsDocument;
use crate::output::{self, Format};
use crate::survey::survey;
use crate::wish::{self, WishArguments};
use clap::Args;
use replank_planning::checks::{Consent, Severity};
use replank_planning::intent::{Intent, ProviderChoice};
use replank_planning::plan::Plan;
use replank_planning::planner::{self, NotPlanned};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The flags of `replank plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The provider of machines: a name, or the path of its executable.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    #[command(flatten)]
    wish: WishArguments,
    /// Accepts a finding: for one object, or for all that there are now; recorded in the plan. May be
    /// repeated.
    #[arg(long, value_name = "CODE[:OBJECT]", value_parser = wish::consent)]
    accept: Vec<Consent>,
    /// Where to write the plan that `replank apply` carries out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The format of what is printed.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Makes a plan; changes nothing in the cluster.
pub(super) async fn run(arguments: &PlanArguments) -> Result<Exit, Failure> {
    let mut intent = intent(&arguments.wish, arguments.provider.as_deref())?;
    intent.accept.extend(arguments.accept.iter().cloned());
    let state = survey(&arguments.cluster, Some(&intent.provider)).await?;
    match planner::plan(&state, &intent, env!("CARGO_PKG_VERSION")) {
        Ok(plan) => tell(arguments, &plan),
        Err(NotPlanned::Blocked(_) | NotPlanned::ConsentMissing(_)) => {
            let found = FindingsDocument::new(&planner::assess(&state, &intent).findings, &intent.accept);
            match arguments.output {
                Format::Json => output::document(&found),
                Format::Text => output::data(&found.text()),
            }
            Ok(Exit::Blocked)
        }
        Err(error) => Err(error.into()),
    }
}

/// What is wanted, of a provider that must be named.
fn intent(wish: &WishArguments, provider: Option<&str>) -> Result<Intent, Failure> {
    let mut intent = wish.intent()?;
    match provider {
        Some(name) if name != intent.provider.name => {
            intent.provider = ProviderChoice { name: name.to_owned(), ..ProviderChoice::default() };
        }
        // The file names it, with its settings.
        None if wish.config.is_none() => return Err(Failure::NoProvider),
        _ => {}
    }
    Ok(intent)
}

/// A plan to look at, with every consent that it needs: nothing is carried out by it.
///
/// # Errors
/// When the cluster can't be looked at, or no plan can be made.
pub(super) async fn made(
    cluster: &ClusterArguments,
    wish: &WishArguments,
    provider: Option<&str>,
) -> Result<Plan, Failure> {
    let mut intent = intent(wish, provider)?;
    let state = survey(cluster, Some(&intent.provider)).await?;
    let needed = planner::assess(&state, &intent).of(Severity::Consent).into_iter();
    let given: Vec<Consent> = needed.map(|f| Consent { code: f.code, object: Some(f.object) }).collect();
    intent.accept.extend(given);
    Ok(planner::plan(&state, &intent, env!("CARGO_PKG_VERSION"))?)
}

fn tell(arguments: &PlanArguments, plan: &Plan) -> Result<Exit, Failure> {
    if let Some(path) = &arguments.out {
        write(path, plan).map_err(|source| Failure::Unwritten { path: path.clone(), source })?;
    }
    match arguments.output {
        Format::Json => output::document(plan),
        Format::Text => output::data(&output::plan::text(plan)),
    }
    output::say(&match &arguments.out {
        Some(path) => format!(
            "\ncarry it out with\n  replank apply {}{}",
            output::quoted(&path.display().to_string()),
            arguments.cluster.flags()
        ),
        None => "\nkeep it with --out plan.json".to_owned(),
    });
    Ok(Exit::Done)
}

/// A file that is whole or not there.
fn write(path: &Path, plan: &Plan) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, &plan)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
