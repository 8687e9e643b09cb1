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
    /// Every tier, in the order in which they run.
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

    /// The cargo invocations that run it, in their order.
    pub(crate) fn invocations(self, extent: Extent) -> Vec<Invocation> {
        match self {
            Self::Fast => fast(),
            Self::Processes => {
                let tests = ["test", "--package", "replank-tests", "--test", "processes", "--no-fail-fast"];
                // Most of their time they wait for Leases and the like: more of them than cores run at once.
                vec![Invocation::anywhere(&[&tests[..], &["--", "--test-threads", "6"]].concat())]
            }
            Self::Providers => providers(),
            Self::Lab => lab(extent),
        }
    }

    /// Programs that its tests start and that must be built first.
    pub(crate) fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Fast => &[],
            Self::Processes => &["replank", "replank-simulator", "replank-provider-simulator"],
            Self::Providers | Self::Lab => &[
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

/// What of its own cargo is asked for, and what it needs beside what the tier needs.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) arguments: Vec<&'static str>,
    pub(crate) place: Place,
}

/// Where tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Wherever their tier does.
    Anywhere,
    /// On the lab's machines.
    Lab,
}

impl Invocation {
    fn anywhere(arguments: &[&'static str]) -> Self {
        Self { arguments: arguments.to_vec(), place: Place::Anywhere }
    }

    /// Tests of the lab's scenarios, chosen by these words.
    fn scenarios(words: &[&'static str]) -> Self {
        let tests = ["test", "--package", "replank-tests", "--test", "lab", "--no-fail-fast", "--"];
        Self { arguments: [&tests[..], words].concat(), place: Place::Lab }
    }
}

fn fast() -> Vec<Invocation> {
    vec![
        Invocation::anywhere(&[
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
        ]),
        Invocation::anywhere(&[
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
        ]),
        // The contract with a real server belongs to the tier that has one.
        Invocation::anywhere(&[
            "test",
            "--package",
            "replank-tests",
            "--test",
            "contract",
            "--",
            "--skip",
            "a_real_server",
        ]),
    ]
}

/// Each against what it is for, at last as part of a real cluster.
fn providers() -> Vec<Invocation> {
    let ssh_and_libvirt = [
        "test",
        "--package",
        "replank-provider-ssh",
        "--package",
        "replank-provider-libvirt",
        "--no-fail-fast",
    ];
    vec![
        Invocation::anywhere(&ssh_and_libvirt),
        Invocation::anywhere(&["test", "--package", "replank-provider-aws", "--no-fail-fast"]),
        Invocation::scenarios(&[&OF_PROVIDERS[..], &["--test-threads", LABS_WITH_GUEST]].concat()),
    ]
}

fn lab(extent: Extent) -> Vec<Invocation> {
    let contract = ["test", "--package", "replank-tests", "--test", "contract", "--", "a_real_server"];
    let others = OF_PROVIDERS.iter().flat_map(|name| ["--skip", *name]);
    let words: Vec<&str> = match extent {
        Extent::Usual => others.chain(["--test-threads", LABS]).collect(),
        // One at a time: what they take is published.
        Extent::Full => others.chain(["--test-threads", "1", "--include-ignored"]).collect(),
    };
    vec![Invocation { arguments: contract.to_vec(), place: Place::Lab }, Invocation::scenarios(&words)]
}

/// The lab's scenarios that are about a provider other than the lab's own.
const OF_PROVIDERS: [&str; 2] = ["hosts::", "virtual_machines::"];
/// How many tests with labs run at once: one alone leaves half of two cores idle, while it waits for machines and pods.
/// Large labs wait for the room of several.
const LABS: &str = "3";
/// The same, where one of them is a virtual machine that is emulated.
const LABS_WITH_GUEST: &str = "2";

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
        let ignored = |extent| {
            Tier::Lab.invocations(extent).iter().any(|one| one.arguments.contains(&"--include-ignored"))
        };
        assert!(ignored(Extent::Full) && !ignored(Extent::Usual));
    }

    #[test]
    fn every_scenario_of_the_lab_is_in_one_tier() {
        let of = |tier: Tier| -> Vec<Vec<&str>> {
            let all = tier.invocations(Extent::Usual).into_iter();
            all.filter(|one| one.place == Place::Lab).map(|one| one.arguments).collect()
        };
        let (providers, lab) = (of(Tier::Providers).concat(), of(Tier::Lab).concat());
        for name in OF_PROVIDERS {
            assert!(providers.contains(&name));
            let left_out = lab.windows(2).any(|words| words == ["--skip", name]);
            assert!(left_out, "{name} {lab:?}");
        }
    }

    #[test]
    fn an_unknown_tier_is_named() {
        assert_eq!(parse(&["fats".into()]).err(), Some("fats".into()));
    }
}
