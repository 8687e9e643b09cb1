//! `replank check`.

use crate::cluster::ClusterArguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::findings::FindingsDocument;
use crate::output::{self, Format};
use crate::survey::{missing_rights, survey};
use crate::wish::{self, WishArguments};
use clap::Args;
use replank_planning::checks::Consent;
use replank_planning::intent::ProviderChoice;
use replank_planning::planner;

/// The flags of `replank check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The provider of machines: a name, or the path of its executable. Without it nothing is said of
    /// machines and hosts.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    #[command(flatten)]
    wish: WishArguments,
    /// Accepts a finding: for one object, or for all that there are now. May be repeated.
    #[arg(long, value_name = "CODE[:OBJECT]", value_parser = wish::consent)]
    accept: Vec<Consent>,
    /// The findings' format.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

/// Tells what is in the way of a migration; changes nothing.
pub(super) async fn run(arguments: &CheckArguments) -> Result<Exit, Failure> {
    let mut intent = arguments.wish.intent()?;
    intent.accept.extend(arguments.accept.iter().cloned());
    let filed = arguments.wish.config.is_some().then(|| intent.provider.clone());
    let named = arguments.provider.as_ref().map(|name| match &filed {
        Some(filed) if filed.name == *name => filed.clone(),
        _ => ProviderChoice { name: name.clone(), ..ProviderChoice::default() },
    });
    let state = survey(&arguments.cluster, named.or(filed).as_ref()).await?;
    let mut findings = planner::assess(&state, &intent).findings;
    findings.extend(missing_rights(&arguments.cluster, &state, &intent).await?);
    let document = FindingsDocument::new(&findings, &intent.accept);
    match arguments.output {
        Format::Json => output::document(&document),
        Format::Text => output::data(&document.text()),
    }
    Ok(if document.blocked() { Exit::Blocked } else { Exit::Done })
}
