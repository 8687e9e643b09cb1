//! The tiers of tests.

use crate::setup::{self, Unfit};

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
    /// Also the tests that are marked as ignored: every combination of what a migration can be, hosts that are joined
    /// again in place, a virtual machine that becomes a node.
    Full,
}

impl Tier {
    /// Every tier, in the order in which they run.
    pub(crate) const ALL: [Self; 4] = [Self::Fast, Self::Processes, Self::Providers, Self::Lab];

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
            // Most of their time they wait for Leases and the like: more of them than cores run at once.
            Self::Processes => vec![Invocation::of(&["processes"], &["--test-threads", "6"])],
            Self::Providers => providers(extent),
            Self::Lab => lab(extent),
        }
    }

    /// Whether some of its tests need a lab.
    pub(crate) fn has_labs(self) -> bool {
        self.invocations(Extent::Usual).iter().any(|one| one.place == Place::Lab)
    }

    /// Tries what it needs of the machine, by doing it.
    pub(crate) fn probe(self) -> Result<(), Unfit> {
        match self {
            Self::Fast => Ok(()),
            Self::Processes | Self::Providers => setup::loopback().map_err(Unfit::Lacks),
            Self::Lab => crate::lab::probe(),
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

/// Always the whole workspace: by the packages that are named cargo chooses the features of what they build on, and
/// with another choice it builds most of that again.
const TESTS: [&str; 3] = ["test", "--workspace", "--no-fail-fast"];

impl Invocation {
    /// Test programs by their names, wherever their tier runs, and words for them.
    fn of(programs: &[&'static str], words: &[&'static str]) -> Self {
        let named = programs.iter().flat_map(|name| ["--test", *name]);
        let arguments = TESTS.into_iter().chain(named).chain(["--"]).chain(words.iter().copied()).collect();
        Self { arguments, place: Place::Anywhere }
    }

    /// Tests that come with the code itself.
    fn within(targets: &[&'static str]) -> Self {
        Self { arguments: [&TESTS[..], targets].concat(), place: Place::Anywhere }
    }

    fn in_labs(self) -> Self {
        Self { place: Place::Lab, ..self }
    }
}

fn fast() -> Vec<Invocation> {
    vec![
        Invocation::within(&["--lib", "--bins"]),
        Invocation::of(&IN_ONE_PROCESS, &[]),
        // The contract with a real server belongs to the tier that has one.
        Invocation::of(&["contract"], &["--skip", REAL]),
        Invocation::within(&["--doc"]),
    ]
}

/// Each against what it is for, at last as part of a real cluster.
fn providers(extent: Extent) -> Vec<Invocation> {
    let more: &[&str] = match extent {
        Extent::Usual => &[],
        Extent::Full => &["--include-ignored"],
    };
    let words = [&OF_PROVIDERS[..], &["--test-threads", LABS_WITH_GUEST], more].concat();
    vec![Invocation::of(&OF_EACH_PROVIDER, &[]), Invocation::of(&["lab"], &words).in_labs()]
}

fn lab(extent: Extent) -> Vec<Invocation> {
    let others = OF_PROVIDERS.iter().flat_map(|name| ["--skip", *name]);
    let words: Vec<&str> = match extent {
        Extent::Usual => others.chain(["--test-threads", LABS]).collect(),
        // One at a time: what they take is published.
        Extent::Full => others.chain(["--test-threads", "1", "--include-ignored"]).collect(),
    };
    [Invocation::of(&["contract"], &[REAL]), Invocation::of(&["lab"], &words)].map(Invocation::in_labs).into()
}

/// Test programs of the first tier.
const IN_ONE_PROCESS: [&str; 11] = [
    "documentation",
    "engine",
    "fast",
    "merging",
    "plugin",
    "provider_list",
    "seed",
    "simulator_contract",
    "ssh",
    "sweeps",
    "user_data",
];
/// Test programs of the providers.
const OF_EACH_PROVIDER: [&str; 7] =
    ["acceleration", "cleaning", "conformance", "disks", "example", "in_place", "suite"];
/// The contract's tests against a real server.
const REAL: &str = "a_real_server";
/// The lab's scenarios that are about a provider other than the lab's own.
const OF_PROVIDERS: [&str; 2] = ["hosts::", "virtual_machines::"];
/// As many as there are: those with labs wait for room by themselves, and the largest must be among those that wait.
const LABS: &str = "16";
/// The same, where one of them has a virtual machine that is emulated, which takes a processor for itself.
const LABS_WITH_GUEST: &str = "2";

/// Reads tier names; none means all. With `--full` all of a tier is run.
pub(crate) fn parse(words: &[String]) -> Result<Selection, String> {
    let (full, names): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| *word == "--full");
    let extent = if full.is_empty() { Extent::Usual } else { Extent::Full };
    if names.is_empty() {
        return Ok(Selection { tiers: Tier::ALL.to_vec(), named: false, extent });
    }
    let find = |name: &String| Tier::ALL.into_iter().find(|t| t.name() == name).ok_or_else(|| name.clone());
    Ok(Selection { tiers: names.into_iter().map(find).collect::<Result<_, _>>()?, named: true, extent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::cargo;
    use std::collections::BTreeSet;

    #[test]
    fn without_a_name_all_tiers_are_meant() {
        let selection = parse(&[]).unwrap();
        assert_eq!(selection.tiers, Tier::ALL);
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
    fn every_test_program_of_the_workspace_is_run_by_a_tier() {
        let metadata =
            cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]).output().unwrap();
        let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let targets =
            metadata["packages"].as_array().unwrap().iter().flat_map(|p| p["targets"].as_array().unwrap());
        let programs: BTreeSet<&str> =
            targets.filter(|t| t["kind"][0] == "test").map(|t| t["name"].as_str().unwrap()).collect();

        let invocations = Tier::ALL.into_iter().flat_map(|tier| tier.invocations(Extent::Usual));
        let arguments: Vec<Vec<&str>> = invocations.map(|one| one.arguments).collect();
        let named = arguments.iter().flat_map(|all| all.windows(2)).filter(|pair| pair[0] == "--test");
        assert_eq!(programs, named.map(|pair| pair[1]).collect());
    }

    #[test]
    fn an_unknown_tier_is_named() {
        assert_eq!(parse(&["fats".into()]).err(), Some("fats".into()));
    }
}
