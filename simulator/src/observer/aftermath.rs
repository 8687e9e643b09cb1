//! What must hold of a run's traces.

use super::Violation;
use crate::machines::{Datacenter, MachineState};
use crate::schema::builtin::NODES;
use crate::server::Server;
use std::collections::{BTreeMap, BTreeSet};

/// Pods leave by eviction: a plain delete asks no budget, of one pod or of many.
pub fn evictions(server: &Server, client: &str) -> Vec<Violation> {
    let bypassed = server.requests().select(|request| {
        request.client.split('/').next() == Some(client)
            && ["delete", "deletecollection"].contains(&request.verb)
            && &*request.resource == "pods"
            && request.status < 300
    });
    let told = bypassed.into_iter().map(|request| Violation {
        invariant: "pdb",
        seen: format!("{} was deleted past its budget", request.url.split('?').next().unwrap_or_default()),
    });
    told.collect()
}

/// Each effect happened once: no machine's name was made twice, no operation done twice.
pub fn effects(datacenter: &Datacenter) -> Vec<Violation> {
    let mut made: BTreeMap<(String, String), usize> = BTreeMap::new();
    for machine in datacenter.machines() {
        *made.entry(("create".to_owned(), machine.name)).or_default() += 1;
    }
    for effect in datacenter.effects().into_iter().filter(|e| !e.operation.is_empty() && e.effect != "create")
    {
        *made.entry((effect.effect, format!("{} by {}", effect.subject, effect.operation))).or_default() += 1;
    }
    made.into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|((effect, subject), times)| Violation {
            invariant: "effect-once",
            seen: format!("{effect} of {subject} happened {times} times"),
        })
        .collect()
}

/// After a run every running machine is some Node's.
pub fn orphans(server: &Server, datacenter: &Datacenter) -> Vec<Violation> {
    let nodes: BTreeSet<String> = server
        .direct("observer")
        .list(&NODES, None)
        .iter()
        .filter_map(|node| node["status"]["nodeInfo"]["systemUUID"].as_str().map(str::to_owned))
        .collect();
    let orphaned = datacenter
        .machines()
        .into_iter()
        .filter(|machine| machine.state == MachineState::Running && !nodes.contains(&machine.system_uuid));
    let told = orphaned.map(|machine| Violation {
        invariant: "no-orphan",
        seen: format!("machine {} ({}) runs and is no Node's", machine.id, machine.name),
    });
    told.collect()
}

/// Of the machines that there were, none was destroyed.
pub fn destroyed(datacenter: &Datacenter, before: &BTreeSet<String>) -> Vec<Violation> {
    let there: BTreeSet<String> = datacenter.machines().into_iter().map(|machine| machine.id).collect();
    let gone = before.difference(&there).map(|id| Violation {
        invariant: "kept-until-finalize",
        seen: format!("machine {id} was destroyed before anyone finalized the run"),
    });
    gone.collect()
}

/// No secret stands in a text that a run left: no bootstrap token, whole.
pub fn secrets(texts: &[(String, String)]) -> Vec<Violation> {
    let told = texts.iter().filter(|(_, text)| holds_token(text)).map(|(name, _)| Violation {
        invariant: "no-secret-written",
        seen: format!("{name} holds a bootstrap token with its secret half"),
    });
    told.collect()
}

/// Whether a text holds six letters or digits, a dot and sixteen more, as kubeadm's tokens have it.
fn holds_token(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.split(|c: char| !word(c) && c != '.').any(|part| {
        let Some((id, secret)) = part.split_once('.') else { return false };
        id.len() == 6 && secret.len() == 16 && id.chars().chain(secret.chars()).all(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_shape() {
        let text = |text: &str| vec![("journal".to_owned(), text.to_owned())];
        assert_eq!(secrets(&text(r#"{"id":"abcdef.0123456789abcdef"}"#)).len(), 1);
        assert!(
            secrets(&text(r#"{"id":"abcdef","version":"v1.34.4","group":"crd.projectcalico.org"}"#))
                .is_empty()
        );
    }
}
