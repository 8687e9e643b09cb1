//! Findings, for people and for scripts.

use super::wrap::wrapped;
use replank_planning::checks::{Consent, Finding, Severity};
use replank_planning::intent::API_VERSION;
use serde::Serialize;

/// Findings as a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FindingsDocument {
    api_version: &'static str,
    kind: &'static str,
    findings: Vec<Found>,
}

/// A finding, and whether it was accepted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    #[serde(flatten)]
    finding: Finding,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<bool>,
}

impl Found {
    /// Whether a plan can't be made because of it.
    fn stands_in_the_way(&self) -> bool {
        self.finding.severity == Severity::Blocker || self.accepted == Some(false)
    }
}

/// Whether a finding belongs to a group.
type Belongs = fn(&Found) -> bool;

impl FindingsDocument {
    /// All findings, with the consents that were given.
    pub(crate) fn new(findings: &[Finding], consents: &[Consent]) -> Self {
        let found = findings.iter().map(|finding| Found {
            accepted: (finding.severity == Severity::Consent)
                .then(|| consents.iter().any(|consent| consent.covers(finding))),
            finding: finding.clone(),
        });
        Self { api_version: API_VERSION, kind: "Findings", findings: found.collect() }
    }

    /// Whether a plan can't be made.
    pub(crate) fn blocked(&self) -> bool {
        self.findings.iter().any(Found::stands_in_the_way)
    }

    /// The findings by severity, weightiest first.
    pub(crate) fn text(&self) -> String {
        let mut parts = Vec::new();
        let groups: [(&str, Belongs); 5] = [
            ("Blockers: no plan is made while one stands", |f| f.finding.severity == Severity::Blocker),
            ("Consent needed: accept each with --accept CODE[:OBJECT]", |f| f.accepted == Some(false)),
            ("Accepted", |f| f.accepted == Some(true)),
            ("Warnings", |f| f.finding.severity == Severity::Warning),
            ("Notes", |f| f.finding.severity == Severity::Note),
        ];
        for (title, belongs) in groups {
            let found: Vec<&Found> = self.findings.iter().filter(|f| belongs(f)).collect();
            if !found.is_empty() {
                parts.push(group(title, &found));
            }
        }
        parts.push(self.verdict());
        parts.join("\n\n")
    }

    fn verdict(&self) -> String {
        let count = |test: Belongs| self.findings.iter().filter(|f| test(f)).count();
        let blockers = count(|f| f.finding.severity == Severity::Blocker);
        let open = count(|f| f.accepted == Some(false));
        match (blockers, open) {
            (0, 0) => "Nothing stands in the way of a plan.".to_owned(),
            (0, open) => {
                format!("A plan can be made once {} accepted.", things(open, "finding is", "findings are"))
            }
            (blockers, 0) => format!("No plan can be made: {}.", things(blockers, "blocker", "blockers")),
            (blockers, open) => format!(
                "No plan can be made: {}, and {} to accept.",
                things(blockers, "blocker", "blockers"),
                things(open, "finding", "findings")
            ),
        }
    }
}

/// One or many.
fn things(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// The findings of one group. Those that say the same of several objects are told once.
fn group(title: &str, found: &[&Found]) -> String {
    let mut text = format!("{title} ({})", found.len());
    let mut rest = found;
    while let Some(first) = rest.first() {
        let alike = |f: &&&Found| {
            (f.finding.code, &f.finding.message, &f.finding.fix)
                == (first.finding.code, &first.finding.message, &first.finding.fix)
        };
        let same = rest.iter().take_while(alike).count();
        for each in &rest[..same] {
            text.push_str(&format!("\n  {}: {}", each.finding.code, each.finding.object));
        }
        text.push('\n');
        text.push_str(&wrapped("      ", "      ", &first.finding.message));
        text.push('\n');
        text.push_str(&wrapped("      -> ", "         ", &first.finding.fix));
        rest = &rest[same..];
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use replank_planning::checks::Code;

    fn finding(severity: Severity, code: Code, object: &str) -> Finding {
        Finding {
            severity,
            code,
            object: object.into(),
            message: "it is so, and this sentence is long enough not to fit into one line of a terminal."
                .into(),
            fix: "Do something about it.".into(),
        }
    }

    #[test]
    fn findings_are_told_by_severity_and_the_same_once() {
        let findings = [
            finding(Severity::Blocker, Code::ControlPlaneEndpoint, "cluster"),
            finding(Severity::Consent, Code::BarePod, "Pod default/a"),
            finding(Severity::Consent, Code::BarePod, "Pod default/b"),
            finding(Severity::Consent, Code::Unbridged, "cluster"),
            finding(Severity::Note, Code::FeatureLost, "cluster"),
        ];
        let document = FindingsDocument::new(
            &findings,
            &[Consent { code: Code::Unbridged, object: Some("cluster".into()) }],
        );
        assert!(document.blocked());
        insta::assert_snapshot!(document.text());
        insta::assert_json_snapshot!(serde_json::to_value(&document).unwrap()["findings"][1]);
    }

    #[test]
    fn a_consent_for_one_object_leaves_the_other_open() {
        let findings = [
            finding(Severity::Consent, Code::BarePod, "Pod default/a"),
            finding(Severity::Consent, Code::BarePod, "Pod default/b"),
        ];
        let one = Consent { code: Code::BarePod, object: Some("Pod default/a".into()) };
        assert!(FindingsDocument::new(&findings, std::slice::from_ref(&one)).blocked());
        let all = Consent { code: Code::BarePod, object: None };
        let accepted = FindingsDocument::new(&findings, &[all]);
        assert!(!accepted.blocked());
        assert!(accepted.text().ends_with("Nothing stands in the way of a plan."));
    }
}
