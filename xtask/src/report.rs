//! What was counted: passed, failed, skipped with reasons.

use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// A test or tier that did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Skip {
    pub(crate) what: String,
    pub(crate) reason: String,
}

/// What a check or a tier took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Took {
    pub(crate) what: String,
    pub(crate) seconds: u64,
}

/// The counts of a whole run.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Report {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: Vec<Skip>,
    /// Names of checks and tiers that failed as a whole.
    pub(crate) failures: Vec<String>,
    pub(crate) took: Vec<Took>,
}

impl Report {
    /// Takes in the closing lines of a test runner; answers how many tests it ran.
    pub(crate) fn take_lines(&mut self, lines: &[String]) -> u64 {
        let mut ran = 0;
        for line in lines.iter().filter_map(|l| l.trim().strip_prefix("test result:")) {
            let passed = count(line, "passed");
            let failed = count(line, "failed");
            self.passed += passed;
            self.failed += failed;
            ran += passed + failed;
        }
        ran
    }

    /// Takes in the skips that tests reported: they ran as far as finding out, and count as skipped.
    pub(crate) fn take_skips(&mut self, text: &str) {
        for line in text.lines() {
            let (what, reason) = line.split_once('\t').unwrap_or((line, ""));
            self.skipped.push(Skip { what: what.into(), reason: reason.into() });
            self.passed = self.passed.saturating_sub(1);
        }
    }

    /// A check or tier that failed as a whole.
    pub(crate) fn fail(&mut self, what: &str) {
        self.failed += 1;
        self.failures.push(what.into());
    }

    /// Does a part of the run, and takes down how long it took.
    pub(crate) fn timed<T>(&mut self, what: &str, act: impl FnOnce(&mut Self) -> T) -> T {
        let begun = Instant::now();
        let outcome = act(self);
        self.took.push(Took { what: what.into(), seconds: begun.elapsed().as_secs() });
        outcome
    }

    /// Prints the account and writes it as JSON beside the build.
    pub(crate) fn close(&self, target: &Path) {
        for Took { what, seconds } in &self.took {
            println!("took {seconds:>5} s: {what}");
        }
        for failure in &self.failures {
            println!("failed: {failure}");
        }
        for skip in &self.skipped {
            println!("skipped: {}: {}", skip.what, skip.reason);
        }
        self.write(target);
        println!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped.len());
    }

    fn write(&self, target: &Path) {
        let folder = target.join("xtask");
        let written = std::fs::create_dir_all(&folder)
            .and_then(|()| serde_json::to_vec_pretty(self).map_err(std::io::Error::other))
            .and_then(|json| std::fs::write(folder.join("summary.json"), json));
        if let Err(error) = written {
            eprintln!("summary.json could not be written to {}: {error}", folder.display());
        }
    }
}

fn count(line: &str, word: &str) -> u64 {
    let part = line.split([';', '.']).find_map(|p| p.trim().strip_suffix(word));
    part.and_then(|p| p.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut report = Report::default();
        let lines = [
            "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s"
                .to_owned(),
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out".to_owned(),
        ];
        assert_eq!(report.take_lines(&lines), 10);
        assert_eq!((report.passed, report.failed), (7, 3));
    }

    #[test]
    fn a_test_that_skipped_is_not_counted_as_passed() {
        let mut report = Report { passed: 2, ..Report::default() };
        report.take_skips("manifests\tthere is no folder with manifests\n");
        assert_eq!(report.passed, 1);
        assert_eq!(report.skipped.len(), 1);
        assert_eq!(report.skipped[0].reason, "there is no folder with manifests");
    }
}
