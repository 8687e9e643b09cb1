//! The tiers of tests.

use crate::setup::{self, Missing};

/// One tier: what it runs and what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    /// Everything in one process.
    Fast,
    /// Programs of their own on loopback.
    Processes,
    /// Providers against what they are for, or against what stands for it.
    Providers,
    /// A real cluster on machines made of namespaces.
    Lab,
}

/// The tiers to run, and whether they were named on the command line.
pub(crate) struct Selection {
    pub(crate) tiers: Vec<Tier>,
    /// A named tier must run; one that was not may lack what it needs.
    pub(crate) named: bool,
    pub(crate) extent: Extent,
}

/// How much of a tier is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What fits into its time.
    Usual,
    /// Also the tests that are marked as ignored: every combination of what a migration can be, in the lab.
    Full,
}

impl Tier {
    /// Every tier.
    pub(crate) const ALL: [Self; 4] = [Self::Fast, Self::Processes, Self::Providers, Self::Lab];
    /// Those that run when none is named.
    pub(crate) const USUAL: [Self; 3] = [Self::Fast, Self::Processes, Self::Providers];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Processes => "processes",
            Self::Providers => "providers",
            Self::Lab => "lab",
        }
    }

    /// The cargo invocations that run it.
    pub(crate) fn commands(self, extent: Extent) -> Vec<Vec<&'static str>> {
        match self {
            Self::Fast => vec![
                vec![
                    "test",
                    "--workspace",
                    "--exclude",
                    "replank-tests",
                    "--exclude",
                    "xtask",
                    // The tier of providers runs them.
                    "--exclude",
                    "replank-provider-ssh",
                    "--exclude",
                    "replank-provider-libvirt",
                    "--exclude",
                    "replank-provider-aws",
                    "--no-fail-fast",
                ],
                vec![
                    "test",
                    "--package",
                    "xtask",
                    "--package",
                    "replank-tests",
                    "--bins",
                    "--lib",
                    "--test",
                    "fast",
                    "--no-fail-fast",
                ],
                // The contract with a real server belongs to the tier that has one.
                vec![
                    "test",
                    "--package",
                    "replank-tests",
                    "--test",
                    "contract",
                    "--",
                    "--skip",
                    "a_real_server",
                ],
            ],
            Self::Processes => {
                let tests = ["test", "--package", "replank-tests", "--test", "processes", "--no-fail-fast"];
                // Most of their time they wait for Leases and the like: more of them than cores run at once.
                vec![[&tests[..], &["--", "--test-threads", "6"]].concat()]
            }
            Self::Providers => vec![
                vec![
                    "test",
                    "--package",
                    "replank-provider-ssh",
                    "--package",
                    "replank-provider-libvirt",
                    "--no-fail-fast",
                ],
                vec!["test", "--package", "replank-provider-aws", "--no-fail-fast"],
            ],
            Self::Lab => {
                let tests = ["test", "--package", "replank-tests", "--test", "lab", "--no-fail-fast"];
                // One cluster fills two cores.
                let mut migrations = [&tests[..], &["--", "--test-threads", "1"]].concat();
                if extent == Extent::Full {
                    migrations.push("--include-ignored");
                }
                let contract =
                    ["test", "--package", "replank-tests", "--test", "contract", "--", "a_real_server"];
                vec![contract.to_vec(), migrations]
            }
        }
    }

    /// Programs that its tests start and that must be built first.
    pub(crate) fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Fast | Self::Providers => &[],
            Self::Processes => &["replank", "replank-simulator", "replank-provider-simulator"],
            Self::Lab => &[
                "replank",
                "replank-lab",
                "replank-provider-lab",
                "replank-provider-libvirt",
                "replank-provider-ssh",
            ],
        }
    }

    /// Tries what it needs of the machine, by doing it.
    pub(crate) fn probe(self) -> Result<(), Missing> {
        match self {
            Self::Fast => Ok(()),
            Self::Processes | Self::Providers => setup::loopback(),
            Self::Lab => setup::lab(),
        }
    }
}

/// Reads tier names; none means the usual ones. With `--full` all of a tier is run.
pub(crate) fn parse(words: &[String]) -> Result<Selection, String> {
    let (full, names): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| *word == "--full");
    let extent = if full.is_empty() { Extent::Usual } else { Extent::Full };
    if names.is_empty() {
        return Ok(Selection { tiers: Tier::USUAL.to_vec(), named: false, extent });
    }
    let find = |name: &String| Tier::ALL.into_iter().find(|t| t.name() == name).ok_or_else(|| name.clone());
    Ok(Selection { tiers: names.into_iter().map(find).collect::<Result<_, _>>()?, named: true, extent })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_name_the_usual_tiers_are_meant() {
        let selection = parse(&[]).unwrap();
        assert_eq!(selection.tiers, Tier::USUAL);
        assert!(!selection.named);
    }

    #[test]
    fn full_adds_the_tests_that_are_ignored() {
        let selection = parse(&["lab".into(), "--full".into()]).unwrap();
        assert_eq!((selection.tiers, selection.extent), (vec![Tier::Lab], Extent::Full));
        let ignored = |extent| Tier::Lab.commands(extent).concat().contains(&"--include-ignored");
        assert!(ignored(Extent::Full) && !ignored(Extent::Usual));
    }

    #[test]
    fn an_unknown_tier_is_named() {
        assert_eq!(parse(&["fats".into()]).err(), Some("fats".into()));
    }
}
