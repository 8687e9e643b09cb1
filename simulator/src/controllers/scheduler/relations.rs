//! What a pod wants of the pods around it: affinity, anti-affinity and an even spread.

use super::cache::{Cache, NodeInfo, PodInfo};
use crate::controllers::context::Cx;
use crate::controllers::objects::{items, name_of, namespace_of, number, text};
use crate::controllers::placement::node_wanted;
use crate::schema::builtin::NAMESPACES;
use crate::server::LabelSelector;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One term of pod affinity or anti-affinity.
struct Term {
    selector: LabelSelector,
    namespaces: Option<BTreeSet<String>>,
    key: String,
}

impl Term {
    fn read(cx: &Cx, term: &Value, own: &Value) -> Self {
        let mut selector = term["labelSelector"].clone();
        for key in items(term, "/matchLabelKeys").iter().filter_map(Value::as_str) {
            if let Some(value) = own["metadata"]["labels"].get(key) {
                selector["matchLabels"][key] = value.clone();
            }
        }
        let named: BTreeSet<String> =
            items(term, "/namespaces").iter().filter_map(|one| one.as_str().map(str::to_owned)).collect();
        let by_labels = &term["namespaceSelector"];
        let namespaces = if by_labels.is_null() {
            Some(if named.is_empty() { BTreeSet::from([namespace_of(own).to_owned()]) } else { named })
        } else {
            let wanted = LabelSelector::from_object(by_labels);
            (!wanted.is_everything()).then(|| {
                let all = cx.direct.list(&NAMESPACES, None);
                let matching = all.iter().filter(|one| wanted.matches(&one["metadata"]["labels"]));
                named.into_iter().chain(matching.map(|one| name_of(one).to_owned())).collect()
            })
        };
        Self {
            selector: LabelSelector::from_object(&selector),
            namespaces,
            key: text(term, "/topologyKey").to_owned(),
        }
    }

    fn matches(&self, pod: &Value) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.contains(namespace_of(pod)))
            && self.selector.matches(&pod["metadata"]["labels"])
    }

    /// How many matching pods each value of the topology key has.
    fn counts(&self, cache: &Cache) -> BTreeMap<String, i64> {
        let mut counts = BTreeMap::new();
        for info in cache.nodes.values() {
            let Some(value) = info.label(&self.key) else { continue };
            let here = info.pods.values().filter(|one| self.matches(&one.pod)).count();
            *counts.entry(value.to_owned()).or_default() += i64::try_from(here).unwrap_or(0);
        }
        counts
    }
}

/// A constraint on the spread of pods that look alike.
struct Spread {
    key: String,
    max_skew: i64,
    hard: bool,
    own: i64,
    counts: BTreeMap<String, i64>,
    least: i64,
}

/// All that a pod's neighbours say about where it may and should go.
#[derive(Default)]
pub(super) struct Relations {
    together: Vec<(Term, BTreeMap<String, i64>)>,
    /// A pod that matches its own affinity may be the first of its group.
    first_of_group: bool,
    apart: Vec<(Term, BTreeMap<String, i64>)>,
    /// Topology keys and values that other pods keep this one from.
    repelled: BTreeSet<(String, String)>,
    spreads: Vec<Spread>,
    preferred: Vec<(i64, Term, BTreeMap<String, i64>)>,
}

impl Relations {
    pub(super) fn of(cx: &Cx, cache: &Cache, pod: &PodInfo) -> Self {
        let read = |term: &Value| {
            let term = Term::read(cx, term, &pod.pod);
            let counts = term.counts(cache);
            (term, counts)
        };
        let together: Vec<_> = pod.required("podAffinity").iter().map(read).collect();
        let nobody = together.iter().all(|(_, counts)| counts.values().all(|count| *count == 0));
        let first_of_group = nobody && together.iter().all(|(term, _)| term.matches(&pod.pod));
        Self {
            first_of_group,
            apart: pod.required("podAntiAffinity").iter().map(read).collect(),
            together,
            repelled: repelled(cx, cache, pod),
            spreads: spreads(cache, pod),
            preferred: preferred(cx, cache, pod),
        }
    }

    /// Why the neighbours forbid a node.
    pub(super) fn refusal(&self, _: &Cache, info: &NodeInfo) -> Option<&'static str> {
        for spread in self.spreads.iter().filter(|spread| spread.hard) {
            let Some(value) = info.label(&spread.key) else {
                return Some("node(s) didn't match pod topology spread constraints (missing required label)");
            };
            let here = spread.counts.get(value).copied().unwrap_or(0);
            if here + spread.own - spread.least > spread.max_skew {
                return Some("node(s) didn't match pod topology spread constraints");
            }
        }
        let count = |term: &Term, counts: &BTreeMap<String, i64>| {
            info.label(&term.key).map(|value| counts.get(value).copied().unwrap_or(0))
        };
        for (term, counts) in &self.together {
            let found = count(term, counts);
            if found.is_none() || found == Some(0) && !self.first_of_group {
                return Some("node(s) didn't match pod affinity rules");
            }
        }
        if self.apart.iter().any(|(term, counts)| count(term, counts).is_some_and(|count| count > 0)) {
            return Some("node(s) didn't match pod anti-affinity rules");
        }
        let repelled = self.repelled.iter().any(|(key, value)| info.label(key) == Some(value));
        repelled.then_some("node(s) didn't satisfy existing pods anti-affinity rules")
    }

    /// How much the neighbours speak for a node.
    pub(super) fn preference(&self, info: &NodeInfo) -> i64 {
        let liked: i64 = self
            .preferred
            .iter()
            .filter_map(|(weight, term, counts)| {
                Some(weight * counts.get(info.label(&term.key)?).copied().unwrap_or(0))
            })
            .sum();
        let crowd: i64 = self
            .spreads
            .iter()
            .filter(|spread| !spread.hard)
            .map(|spread| {
                let value = info.label(&spread.key);
                value.map_or(100, |value| 10 * spread.counts.get(value).copied().unwrap_or(0))
            })
            .sum();
        liked - crowd
    }
}

fn repelled(cx: &Cx, cache: &Cache, pod: &PodInfo) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for key in &cache.repelling {
        let Some((node, other)) = cache.find(key) else { continue };
        for term in other.required("podAntiAffinity") {
            let term = Term::read(cx, term, &other.pod);
            if let Some(value) = node.label(&term.key)
                && term.matches(&pod.pod)
            {
                found.insert((term.key.clone(), value.to_owned()));
            }
        }
    }
    found
}

fn spreads(cache: &Cache, pod: &PodInfo) -> Vec<Spread> {
    let constraints = items(&pod.pod, "/spec/topologySpreadConstraints");
    constraints.iter().map(|constraint| spread(cache, pod, constraint)).collect()
}

fn spread(cache: &Cache, pod: &PodInfo, constraint: &Value) -> Spread {
    let mut selector = constraint["labelSelector"].clone();
    for key in items(constraint, "/matchLabelKeys").iter().filter_map(Value::as_str) {
        if let Some(value) = pod.pod["metadata"]["labels"].get(key) {
            selector["matchLabels"][key] = value.clone();
        }
    }
    let selector = LabelSelector::from_object(&selector);
    let key = text(constraint, "/topologyKey").to_owned();
    let namespace = namespace_of(&pod.pod);
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for info in cache.nodes.values().filter(|info| node_wanted(&pod.pod["spec"], &info.node)) {
        let Some(value) = info.label(&key) else { continue };
        let here = info.pods.values().filter(|other| {
            namespace_of(&other.pod) == namespace
                && other.pod["metadata"]["deletionTimestamp"].is_null()
                && selector.matches(&other.pod["metadata"]["labels"])
        });
        *counts.entry(value.to_owned()).or_default() += i64::try_from(here.count()).unwrap_or(0);
    }
    let domains = i64::try_from(counts.len()).unwrap_or(0);
    let enough = domains >= number(constraint, "/minDomains", 1);
    Spread {
        max_skew: number(constraint, "/maxSkew", 1),
        hard: text(constraint, "/whenUnsatisfiable") != "ScheduleAnyway",
        own: i64::from(selector.matches(&pod.pod["metadata"]["labels"])),
        least: if enough { counts.values().copied().min().unwrap_or(0) } else { 0 },
        counts,
        key,
    }
}

fn preferred(cx: &Cx, cache: &Cache, pod: &PodInfo) -> Vec<(i64, Term, BTreeMap<String, i64>)> {
    let mut found = Vec::new();
    for (sort, sign) in [("podAffinity", 1), ("podAntiAffinity", -1)] {
        let path = format!("/spec/affinity/{sort}/preferredDuringSchedulingIgnoredDuringExecution");
        for weighted in items(&pod.pod, &path) {
            let term = Term::read(cx, &weighted["podAffinityTerm"], &pod.pod);
            let counts = term.counts(cache);
            found.push((sign * number(weighted, "/weight", 1), term, counts));
        }
    }
    found
}
