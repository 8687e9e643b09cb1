//! What came of the cases.

use replank_provider_protocol::Capabilities;
use serde::Serialize;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The provider does what the protocol asks for.
    Passed,
    /// It does not.
    Failed,
    /// The case could not run; its reason names what was missing.
    Skipped,
}

impl Outcome {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One case and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its name, `group/what_is_true`.
    pub name: String,
    /// How it ended.
    pub result: Outcome,
    /// Why it failed or was skipped; empty if it passed.
    pub reason: String,
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped.
    pub skipped: usize,
}

/// The provider that was checked, as it named itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// What it says that it can do.
    pub capabilities: Capabilities,
}

/// What came of all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Who was checked; none if it could not even be greeted.
    pub provider: Option<Checked>,
    /// Every case, in the order in which they ran.
    pub cases: Vec<CaseReport>,
    /// The counts.
    pub summary: Summary,
}

impl Report {
    pub(super) fn of(provider: Option<Checked>, cases: Vec<CaseReport>) -> Self {
        let count = |outcome| cases.iter().filter(|c| c.result == outcome).count();
        let summary = Summary {
            passed: count(Outcome::Passed),
            failed: count(Outcome::Failed),
            skipped: count(Outcome::Skipped),
        };
        Self { provider, cases, summary }
    }

    /// The cases that ended so.
    pub fn with(&self, outcome: Outcome) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(move |case| case.result == outcome)
    }
}
