//! All cases, one after the other, and the account of them.

use super::case::{Case, Means, Stop};
use super::cases;
use super::report::{CaseReport, Checked, Outcome, Report};
use super::stage::Stage;
use super::subject::{Session, Subject};
use replank_provider_protocol::MachineId;
use replank_provider_protocol::verbs::GetParams;
use std::time::Duration;

/// How a provider is checked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether machines may be made, and those deleted again.
    pub destructive: bool,
    /// The machine that new ones are modelled on; never changed. The provider's own example if absent.
    pub like: Option<MachineId>,
    /// Tells this check's clusters from those of every other one.
    pub seed: u64,
    /// How long `pending` may last before it counts as endless.
    pub patience: Duration,
    /// How many machines a long list has.
    pub many: usize,
    /// Only cases whose name has one of these in it; all if empty.
    pub only: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let patience = Duration::from_secs(300);
        Self { destructive: false, like: None, seed: 0, patience, many: 12, only: Vec::new() }
    }
}

/// The names of all cases, in the order in which they run.
pub fn names() -> Vec<String> {
    cases::all().map(Case::full_name).collect()
}

/// Checks a provider. `told` hears of every case as it ends.
pub async fn check(subject: &Subject, options: &Options, mut told: impl FnMut(&CaseReport)) -> Report {
    let chosen: Vec<_> = cases::all().map(|case| (case.full_name(), case)).collect();
    let wanted = |name: &str| options.only.is_empty() || options.only.iter().any(|part| name.contains(part));
    let session = match subject.start().await {
        Ok(session) => session,
        Err(error) => {
            let reason = format!("the provider could not be taken into service: {error}");
            let cases = vec![CaseReport { name: "greeting/starts".into(), result: Outcome::Failed, reason }];
            cases.iter().for_each(&mut told);
            return Report::of(None, cases);
        }
    };
    let greeting = session.greeting();
    let like = options.like.clone().or_else(|| greeting.example.clone());
    let checked = Checked {
        name: greeting.name.clone(),
        version: greeting.version.clone(),
        capabilities: greeting.capabilities.clone(),
    };
    let means = Means {
        destructive: options.destructive,
        like: like.is_some(),
        named: options.like.is_some(),
        process: subject.is_process(),
        capabilities: &checked.capabilities,
    };
    let before = model(&session, like.as_ref()).await;
    let mut reports = Vec::new();
    let mut stages = Vec::new();
    for (number, (name, case)) in chosen.iter().enumerate().filter(|(_, (name, _))| wanted(name)) {
        let stage = Stage::new(subject, &session, options, like.as_ref(), number);
        let ended = match case.missing(&means) {
            Some(reason) => Err(Stop::Skipped(reason.into())),
            None => {
                let ended = (case.run)(&stage).await;
                stages.push(stage);
                match (ended, stages.last()) {
                    (ended, Some(stage)) if options.destructive => {
                        let cleaned = stage.clean().await;
                        // What the case found weighs more than what its cleaning did.
                        ended.and(cleaned)
                    }
                    (ended, _) => ended,
                }
            }
        };
        let report = report(name, ended);
        told(&report);
        reports.push(report);
    }
    for (name, ended) in closing(&session, &stages, like.as_ref(), before, &means).await {
        if wanted(name) {
            let report = report(name, ended);
            told(&report);
            reports.push(report);
        }
    }
    session.close().await;
    Report::of(Some(checked), reports)
}

fn report(name: &str, ended: Result<(), Stop>) -> CaseReport {
    let (result, reason) = match ended {
        Ok(()) => (Outcome::Passed, String::new()),
        Err(Stop::Failed(reason)) => (Outcome::Failed, reason),
        Err(Stop::Skipped(reason)) => (Outcome::Skipped, reason),
    };
    CaseReport { name: name.to_owned(), result, reason }
}

/// What the model machine is like; its addresses and such may change by themselves.
async fn model(session: &Session, like: Option<&MachineId>) -> Result<Option<String>, Stop> {
    let Some(id) = like else { return Ok(None) };
    let machine = session.provider().get(GetParams { machine: id.clone() }).await;
    let machine = machine.map_err(|e| Stop::refused(&format!("get of the model machine {id}"), &e))?;
    Ok(Some(format!("{} {} {:?} {:?}", machine.id, machine.name, machine.state, machine.run)))
}

/// The leak check: nothing of any case is left, and nothing of anybody else's is changed.
async fn closing(
    session: &Session,
    stages: &[Stage<'_>],
    like: Option<&MachineId>,
    before: Result<Option<String>, Stop>,
    means: &Means<'_>,
) -> Vec<(&'static str, Result<(), Stop>)> {
    let mut left = Vec::new();
    let mut unknown = None;
    for stage in stages {
        match stage.left().await {
            Ok(names) => left.extend(names),
            Err(stop) => unknown = Some(stop),
        }
    }
    let leaks = match unknown {
        _ if !means.destructive => Err(Stop::Skipped("nothing was made without --destructive".into())),
        Some(stop) => Err(stop),
        None if left.is_empty() => Ok(()),
        None => Err(Stop::Failed(format!("left over: {}", left.join(", ")))),
    };
    // Its cases are there to change it, and it is told of by another id since.
    if means.may_rejoin() {
        let reason = "capability replacement: with `in_place` the model itself was joined again";
        return vec![
            ("leaks/nothing_is_left", leaks),
            ("leaks/what_others_made_is_unchanged", Err(Stop::Skipped(reason.into()))),
        ];
    }
    let after = model(session, like).await;
    let unchanged = match (before, after) {
        (Ok(None), _) | (_, Ok(None)) => Err(Stop::Skipped("there is no model machine".into())),
        (Err(stop), _) | (_, Err(stop)) => Err(stop),
        (Ok(before), Ok(after)) if before == after => Ok(()),
        (Ok(before), Ok(after)) => Err(Stop::Failed(format!(
            "the machine {} was made by nobody here and has changed from {} to {}",
            like.map_or("", MachineId::as_str),
            before.unwrap_or_default(),
            after.unwrap_or_default()
        ))),
    };
    vec![("leaks/nothing_is_left", leaks), ("leaks/what_others_made_is_unchanged", unchanged)]
}
