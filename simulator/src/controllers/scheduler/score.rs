//! Which of the possible nodes is best.

use super::cache::{NodeInfo, PodInfo};
use super::relations::Relations;
use crate::controllers::objects::{items, name_of, number};
use crate::controllers::placement::{term_matches, tolerates};
use serde_json::Value;

/// What a container counts for that asks for no cpu, in thousandths.
const SMALL_CPU: i64 = 100;
/// What a container counts for that asks for no memory, in bytes.
const SMALL_MEMORY: i64 = 200 << 20;

/// The raw points of one node, by question.
struct Points {
    room: i64,
    taints: i64,
    affinity: i64,
    neighbours: i64,
    alike: i64,
    pods: i64,
}

type Question = fn(&Points) -> i64;

fn points(pod: &PodInfo, info: &NodeInfo, relations: &Relations) -> Points {
    let tolerations = items(&pod.pod, "/spec/tolerations");
    let bad = items(&info.node, "/spec/taints").iter().filter(|taint| {
        taint["effect"] == "PreferNoSchedule" && !tolerations.iter().any(|one| tolerates(one, taint))
    });
    let path = "/spec/affinity/nodeAffinity/preferredDuringSchedulingIgnoredDuringExecution";
    let affinity = items(&pod.pod, path)
        .iter()
        .filter(|one| term_matches(&one["preference"], &info.node))
        .map(|one| number(one, "/weight", 0))
        .sum();
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let alike = if pod.owner.is_empty() { 0 } else { info.owners.get(&pod.owner).copied().unwrap_or(0) };
    Points {
        room: room(pod, info),
        taints: -count(bad.count()),
        affinity,
        neighbours: relations.preference(info),
        alike: -count(alike),
        pods: -count(info.pods.len()),
    }
}

/// The share of cpu and memory that stays free, in percent.
fn room(pod: &PodInfo, info: &NodeInfo) -> i64 {
    let share = |name: &str, small: i64| {
        let total = info.room.get(name);
        let wanted = info.used.get(name) + pod.requests.get(name).max(small);
        if total <= 0 || wanted > total { 0 } else { i128::from(total - wanted) * 100 / i128::from(total) }
    };
    let percent = i128::midpoint(share("cpu", SMALL_CPU), share("memory", SMALL_MEMORY));
    i64::try_from(percent).unwrap_or(0)
}

/// Scales what the nodes got to 0..=100.
fn normalise(values: &[i64]) -> Vec<i64> {
    let (low, high) = (values.iter().copied().min().unwrap_or(0), values.iter().copied().max().unwrap_or(0));
    values.iter().map(|value| if high == low { 100 } else { (value - low) * 100 / (high - low) }).collect()
}

/// The best of these nodes; equals are told apart by a hash of seed and names.
pub(super) fn best<'a>(
    pod: &PodInfo,
    nodes: &[&'a NodeInfo],
    relations: &Relations,
    seed: u64,
) -> Option<&'a NodeInfo> {
    let raw: Vec<Points> = nodes.iter().map(|info| points(pod, info, relations)).collect();
    let mut total: Vec<i64> = raw.iter().map(|points| points.room).collect();
    let questions: [(i64, Question); 5] = [
        (3, |points| points.taints),
        (2, |points| points.affinity),
        (2, |points| points.neighbours),
        (2, |points| points.alike),
        (1, |points| points.pods),
    ];
    for (weight, question) in questions {
        let values: Vec<i64> = raw.iter().map(question).collect();
        for (sum, value) in total.iter_mut().zip(normalise(&values)) {
            *sum += weight * value;
        }
    }
    let ranked = nodes.iter().zip(total);
    ranked
        .max_by_key(|(info, points)| (*points, tie(seed, &pod.pod, name_of(&info.node))))
        .map(|(info, _)| *info)
}

fn tie(seed: u64, pod: &Value, node: &str) -> u64 {
    let words = [name_of(pod), "@", node];
    words.iter().flat_map(|word| word.bytes()).fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
