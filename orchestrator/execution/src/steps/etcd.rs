//! etcd, asked and changed through `etcdctl` in a member's own container.

use super::support::{items, text};
use crate::engine::StepError;
use crate::engine::host::{HostHandle, Ran};
use replank_planning::yaml;
use serde_json::Value;
use std::collections::BTreeMap;

const PKI: [&str; 3] = [
    "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
    "--cert=/etc/kubernetes/pki/etcd/server.crt",
    "--key=/etc/kubernetes/pki/etcd/server.key",
];

const MANIFEST: &str = "/etc/kubernetes/manifests/etcd.yaml";

/// The loopback URL that a member's manifest says it listens on: kubeadm writes `[::1]` where the host's
/// own address is one of IPv6.
fn own_endpoint(manifest: &[u8]) -> String {
    const USUAL: &str = "https://127.0.0.1:2379";
    let pod = yaml::read_file(manifest).unwrap_or_default();
    let words = items(&pod, "/spec/containers").iter().flat_map(|container| items(container, "/command"));
    let mut lists = words.filter_map(|word| word.as_str()?.strip_prefix("--listen-client-urls="));
    let own = lists.next().and_then(|list| list.split(',').find(|url| url.contains("//[::1]:")));
    own.unwrap_or(USUAL).to_owned()
}

/// `etcdctl` on one host.
pub struct Etcdctl<'h, 'c, 'a> {
    host: &'h HostHandle<'c, 'a>,
    container: String,
    /// Where the member listens for its own host.
    endpoint: String,
}

/// A member of etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name: the Node's. Empty until it has started.
    pub name: String,
    /// Whether it does not vote yet.
    pub learner: bool,
    /// Where clients reach it.
    pub client: String,
    /// Where peers reach it.
    pub peer: String,
}

/// etcd as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// Every member.
    pub all: Vec<Member>,
    /// Whether a member's client address answers; absent is unknown.
    pub healthy: BTreeMap<String, bool>,
    /// The leader.
    pub leader: Option<u64>,
    /// Whether an alarm is raised.
    pub alarm: bool,
}

impl<'h, 'c, 'a> Etcdctl<'h, 'c, 'a> {
    /// Finds the running member on a host; the inner error says why there is none.
    ///
    /// # Errors
    /// When the host can't be used.
    pub async fn on(host: &'h HostHandle<'c, 'a>) -> Result<Result<Self, String>, StepError> {
        let found = host.ask(&["crictl", "ps", "--name", "^etcd$", "--state", "running", "-q"]).await?;
        if found.status != 0 {
            return Ok(Err(format!("crictl: {}", found.stderr.trim())));
        }
        Ok(match found.stdout.split_whitespace().next() {
            Some(container) => {
                let manifest = host.read(MANIFEST).await?.map(|(content, _)| content).unwrap_or_default();
                let endpoint = format!("--endpoints={}", own_endpoint(&manifest));
                Ok(Self { host, container: container.to_owned(), endpoint })
            }
            None => Err("no etcd container runs there".to_owned()),
        })
    }

    fn argv<'w>(&'w self, words: &[&'w str]) -> Vec<&'w str> {
        let mut argv = vec!["crictl", "exec", &self.container, "etcdctl"];
        argv.push(&self.endpoint);
        argv.extend(PKI);
        argv.extend(words);
        argv
    }

    /// Runs a command that only reads.
    ///
    /// # Errors
    /// When the host can't be used.
    pub async fn ask(&self, words: &[&str]) -> Result<Ran, StepError> {
        self.host.ask(&self.argv(words)).await
    }

    /// Runs a command that changes something.
    ///
    /// # Errors
    /// When the host can't be used.
    pub async fn act(&self, effect: &str, words: &[&str]) -> Result<Ran, StepError> {
        self.host.act(effect, &self.argv(words)).await
    }

    /// Everything there is to know before a member goes. The inner error is why it is not known.
    ///
    /// # Errors
    /// When the host can't be used.
    pub async fn members(&self) -> Result<Result<Members, String>, StepError> {
        let list = self.ask(&["member", "list", "-w", "json"]).await?;
        if list.status != 0 {
            return Ok(Err(last_line(&list.stderr)));
        }
        let Ok(list) = serde_json::from_str::<Value>(&list.stdout) else {
            return Ok(Err("etcdctl's list of members is not JSON".to_owned()));
        };
        let all: Vec<Member> = items(&list, "/members").iter().map(member).collect();
        // Both exit with a failure when a member does not answer, and still print what they know.
        let health = self.ask(&["endpoint", "health", "--cluster", "-w", "json"]).await?;
        let status = self.ask(&["endpoint", "status", "--cluster", "-w", "json"]).await?;
        let alarms = self.ask(&["alarm", "list", "-w", "json"]).await?;
        let health: Value = serde_json::from_str(&health.stdout).unwrap_or_default();
        let status: Value = serde_json::from_str(&status.stdout).unwrap_or_default();
        let raised: Value = serde_json::from_str(&alarms.stdout).unwrap_or_default();
        let healthy = health
            .as_array()
            .into_iter()
            .flatten()
            .map(|e| (text(e, "/endpoint").to_owned(), e["health"] == true))
            .collect();
        let leader = status
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|e| e["Status"]["leader"].as_u64())
            .find(|id| *id != 0);
        let alarm = alarms.status != 0 || !items(&raised, "/alarms").is_empty();
        Ok(Ok(Members { all, healthy, leader, alarm }))
    }
}

impl Members {
    /// Whether a member is known to be well.
    pub fn is_healthy(&self, member: &Member) -> bool {
        self.healthy.get(&member.client) == Some(&true)
    }

    /// Why a member can't go now; `None` if it can. Unknown counts as lost.
    pub fn why_not_remove(&self, going: &Member) -> Option<String> {
        if self.alarm {
            return Some("an alarm is raised, or the alarms are not known".into());
        }
        if let Some(learner) = self.all.iter().find(|m| m.learner) {
            return Some(format!("member {} is still a learner", learner.name));
        }
        let others: Vec<&Member> = self.all.iter().filter(|m| m.id != going.id).collect();
        if others.is_empty() {
            return Some(format!("{} is the only member", going.name));
        }
        let well = others.iter().filter(|m| self.is_healthy(m)).count();
        if well < others.len() / 2 + 1 {
            return Some(format!(
                "of the {} members that would be left only {well} are known to be healthy",
                others.len()
            ));
        }
        if let Some(ill) = others.iter().find(|m| !self.is_healthy(m)) {
            return Some(format!("member {} is not known to be healthy", ill.name));
        }
        None
    }
}

fn member(entry: &Value) -> Member {
    let first =
        |pointer: &str| items(entry, pointer).first().and_then(Value::as_str).unwrap_or_default().to_owned();
    Member {
        id: entry["ID"].as_u64().unwrap_or(0),
        name: text(entry, "/name").to_owned(),
        learner: entry["isLearner"] == true,
        client: first("/clientURLs"),
        peer: first("/peerURLs"),
    }
}

fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or("etcdctl failed").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(states: &[Option<bool>]) -> Members {
        let all: Vec<Member> = (1..=states.len() as u64)
            .map(|id| Member {
                id,
                name: format!("cp{id}"),
                learner: false,
                client: format!("https://{id}:2379"),
                peer: String::new(),
            })
            .collect();
        let known = all.iter().zip(states).filter_map(|(m, s)| Some((m.client.clone(), (*s)?)));
        Members { healthy: known.collect(), all, leader: Some(1), alarm: false }
    }

    #[test]
    fn unknown_counts_as_lost() {
        let three = members(&[Some(true), Some(true), None]);
        assert!(three.why_not_remove(&three.all[0]).is_some());
        assert!(three.why_not_remove(&three.all[2]).is_none(), "the one that is lost may go");
        let well = members(&[Some(true); 4]);
        assert_eq!(well.why_not_remove(&well.all[0]), None);
    }

    #[test]
    fn the_last_member_stays_and_a_learner_is_waited_for() {
        let one = members(&[Some(true)]);
        assert!(one.why_not_remove(&one.all[0]).unwrap().contains("only member"));
        let mut two = members(&[Some(true); 2]);
        two.all[1].learner = true;
        assert!(two.why_not_remove(&two.all[0]).unwrap().contains("learner"));
    }
}
