//! The members of the control planes' etcd, and which API servers stand on them.
//!
//! Health follows the machines: a member is up while its static pod's container runs. The API
//! answers while a majority of the voters is up and some API server that is in the load balancer
//! runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sha2::{Digest, Sha256};
use tokio::sync::watch;

/// One member as `etcdctl member list` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// The host name of its machine.
    pub name: String,
    /// The machine that it runs on.
    pub machine: String,
    /// The address of its machine.
    pub address: String,
    /// Whether it does not vote yet.
    pub learner: bool,
    /// Whether its process has ever started.
    pub started: bool,
    /// Whether its process runs now.
    pub up: bool,
}

/// Why a change of the membership was refused; the texts are etcd's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EtcdError {
    /// No majority.
    #[error("context deadline exceeded")]
    NoQuorum,
    /// No such member.
    #[error("etcdserver: member not found")]
    NotFound,
    /// One learner is the most.
    #[error("etcdserver: too many learner members in cluster")]
    TooManyLearners,
    /// The learner lags.
    #[error("etcdserver: can only promote a learner member which is in sync with leader")]
    NotReady,
    /// It votes already.
    #[error("etcdserver: can only promote a learner member")]
    NotLearner,
    /// The rest would have no majority.
    #[error("etcdserver: re-configuration failed due to not enough started members")]
    WouldLoseQuorum,
    /// The target can't lead.
    #[error("etcdserver: bad leader transferee")]
    BadTransferee,
    /// Only the leader itself hands its lead over.
    #[error("no leader endpoint given")]
    NotLeader,
    /// A member with this peer address is there.
    #[error("etcdserver: Peer URLs already exists")]
    PeerExists,
}

#[derive(Default)]
struct State {
    members: Vec<Member>,
    leader: Option<u64>,
    term: u64,
    revision: u64,
    /// Machines whose API server's container runs.
    apiservers: BTreeMap<String, bool>,
    /// Machines that the load balancer does not send to.
    deregistered: BTreeMap<String, bool>,
    /// Whether any control plane machine was ever made here.
    managed: bool,
}

/// The control planes' shared state. Clones see the same one.
#[derive(Clone)]
pub struct Etcd {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
    listener: Arc<OnceLock<Listener>>,
}

type Listener = Box<dyn Fn(&Etcd) + Send + Sync>;

impl Default for Etcd {
    fn default() -> Self {
        Self { state: Arc::default(), changes: watch::channel(0).0, listener: Arc::default() }
    }
}

impl Etcd {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        let result = {
            let mut state = self.state();
            let result = act(&mut state);
            state.elect();
            result
        };
        if let Some(listener) = self.listener.get() {
            listener(self);
        }
        self.changes.send_modify(|generation| *generation += 1);
        result
    }

    /// Calls this after every change, before anyone else hears of it. Only the first counts.
    pub(crate) fn on_change(&self, listener: impl Fn(&Etcd) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Tells of every change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// All members in the order of their ids.
    pub fn members(&self) -> Vec<Member> {
        self.state().members.clone()
    }

    /// The member on a machine.
    pub fn member_on(&self, machine: &str) -> Option<Member> {
        self.state().members.iter().find(|member| member.machine == machine).cloned()
    }

    /// The leader's id, if there is a majority.
    pub fn leader(&self) -> Option<u64> {
        self.state().leader
    }

    /// The current term.
    pub fn term(&self) -> u64 {
        self.state().term
    }

    /// A number that grows with every change of the membership.
    pub fn revision(&self) -> u64 {
        self.state().revision
    }

    /// Whether more than half of the voters are up. True before the first control plane exists.
    pub fn has_quorum(&self) -> bool {
        self.state().quorum()
    }

    /// Whether a client that comes through the load balancer gets an answer.
    pub fn api_available(&self) -> bool {
        let state = self.state();
        !state.managed || (state.quorum() && state.serving().next().is_some())
    }

    /// Whether the API server on this very machine answers.
    pub fn api_on(&self, machine: &str) -> bool {
        let state = self.state();
        state.quorum() && state.apiservers.get(machine).copied().unwrap_or(false)
    }

    /// Machines whose API server gets requests from the load balancer.
    pub fn serving(&self) -> Vec<String> {
        self.state().serving().map(str::to_owned).collect()
    }

    /// Whether the load balancer knows this machine.
    pub fn is_registered(&self, machine: &str) -> bool {
        !self.state().deregistered.get(machine).copied().unwrap_or(false)
    }

    /// Puts a machine into or takes it out of the load balancer.
    pub fn set_registered(&self, machine: &str, registered: bool) {
        self.change(|state| {
            state.deregistered.insert(machine.to_owned(), !registered);
        });
    }

    /// The first member of a new cluster.
    pub fn bootstrap(&self, name: &str, machine: &str, address: &str) -> u64 {
        self.change(|state| {
            state.managed = true;
            state.revision += 1;
            state.insert(name, machine, address, false)
        })
    }

    /// Adds a member that does not vote yet.
    ///
    /// # Errors
    /// No majority, a learner is there already, or the address is taken.
    pub fn add_learner(&self, name: &str, machine: &str, address: &str) -> Result<u64, EtcdError> {
        self.change(|state| {
            if !state.quorum() {
                return Err(EtcdError::NoQuorum);
            }
            if state.members.iter().any(|member| member.address == address) {
                return Err(EtcdError::PeerExists);
            }
            if state.members.iter().any(|member| member.learner) {
                return Err(EtcdError::TooManyLearners);
            }
            state.managed = true;
            state.revision += 1;
            Ok(state.insert(name, machine, address, true))
        })
    }

    /// Gives a learner that is up its vote.
    ///
    /// # Errors
    /// No majority, no such member, it votes already, or it is not up.
    pub fn promote(&self, id: u64) -> Result<(), EtcdError> {
        self.change(|state| {
            if !state.quorum() {
                return Err(EtcdError::NoQuorum);
            }
            let member = state.members.iter_mut().find(|m| m.id == id).ok_or(EtcdError::NotFound)?;
            if !member.learner {
                return Err(EtcdError::NotLearner);
            }
            if !member.up {
                return Err(EtcdError::NotReady);
            }
            member.learner = false;
            state.revision += 1;
            Ok(())
        })
    }

    /// Removes a member; its process ends for good.
    ///
    /// # Errors
    /// No majority, no such member, or the rest would have no majority.
    pub fn remove(&self, id: u64) -> Result<Member, EtcdError> {
        self.change(|state| {
            if !state.quorum() {
                return Err(EtcdError::NoQuorum);
            }
            let at = state.members.iter().position(|m| m.id == id).ok_or(EtcdError::NotFound)?;
            if !state.members[at].learner {
                let rest = state.members.iter().filter(|m| !m.learner && m.id != id);
                let (voters, up) = rest.fold((0, 0), |(all, up), m| (all + 1, up + usize::from(m.up)));
                if up < voters / 2 + 1 {
                    return Err(EtcdError::WouldLoseQuorum);
                }
            }
            let member = state.members.remove(at);
            if state.leader == Some(id) {
                state.leader = None;
            }
            state.apiservers.remove(&member.machine);
            state.revision += 1;
            Ok(member)
        })
    }

    /// Hands the lead to another voter.
    ///
    /// # Errors
    /// No majority, or the target can't lead.
    pub fn move_leader(&self, to: u64) -> Result<(), EtcdError> {
        self.change(|state| {
            if !state.quorum() {
                return Err(EtcdError::NoQuorum);
            }
            let fit = state.members.iter().any(|m| m.id == to && !m.learner && m.up);
            if !fit {
                return Err(EtcdError::BadTransferee);
            }
            if state.leader != Some(to) {
                state.leader = Some(to);
                state.term += 1;
            }
            Ok(())
        })
    }

    /// The process of a machine's member started or ended. `false` if the machine has no member.
    pub fn set_up(&self, machine: &str, up: bool) -> bool {
        self.change(|state| {
            let Some(member) = state.members.iter_mut().find(|m| m.machine == machine) else {
                return false;
            };
            member.up = up;
            member.started |= up;
            true
        })
    }

    /// The API server's process on a machine started or ended.
    pub fn set_apiserver(&self, machine: &str, up: bool) {
        self.change(|state| {
            state.apiservers.insert(machine.to_owned(), up);
        });
    }

    /// The cluster's id as etcd would print it.
    pub fn cluster_id(&self) -> u64 {
        id_of("cluster")
    }
}

fn id_of(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    // etcd's ids are 64 bits; keep the top bit set so that their hex form has a fixed width.
    u64::from_be_bytes(bytes) | 1 << 63
}

impl State {
    fn insert(&mut self, name: &str, machine: &str, address: &str, learner: bool) -> u64 {
        let id = id_of(&format!("{machine}/{address}/{}", self.revision));
        self.members.push(Member {
            id,
            name: name.to_owned(),
            machine: machine.to_owned(),
            address: address.to_owned(),
            learner,
            started: false,
            up: false,
        });
        self.members.sort_by_key(|member| member.id);
        id
    }

    fn quorum(&self) -> bool {
        let voters = self.members.iter().filter(|member| !member.learner);
        let (all, up) = voters.fold((0, 0), |(all, up), member| (all + 1, up + usize::from(member.up)));
        !self.managed || (all > 0 && up > all / 2)
    }

    fn serving(&self) -> impl Iterator<Item = &str> {
        self.apiservers
            .iter()
            .filter(|(machine, up)| **up && !self.deregistered.get(*machine).copied().unwrap_or(false))
            .map(|(machine, _)| machine.as_str())
    }

    fn elect(&mut self) {
        let fit = |id: u64| self.members.iter().any(|m| m.id == id && m.up && !m.learner);
        let leader = if !self.quorum() {
            None
        } else if let Some(leader) = self.leader.filter(|leader| fit(*leader)) {
            Some(leader)
        } else {
            self.members.iter().find(|m| m.up && !m.learner).map(|m| m.id)
        };
        if leader != self.leader {
            self.leader = leader;
            self.term += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (Etcd, Vec<u64>) {
        let etcd = Etcd::default();
        let mut ids = vec![etcd.bootstrap("cp1", "m1", "10.0.0.1")];
        etcd.set_up("m1", true);
        for n in 2..=3 {
            let id = etcd.add_learner(&format!("cp{n}"), &format!("m{n}"), &format!("10.0.0.{n}")).unwrap();
            assert_eq!(etcd.promote(id), Err(EtcdError::NotReady));
            etcd.set_up(&format!("m{n}"), true);
            etcd.promote(id).unwrap();
            ids.push(id);
        }
        (etcd, ids)
    }

    #[test]
    fn a_member_is_removed_only_while_the_rest_has_a_majority() {
        let (etcd, ids) = three();
        assert_eq!(etcd.leader(), Some(ids[0]));
        etcd.move_leader(ids[2]).unwrap();
        etcd.set_up("m2", false);
        assert!(etcd.has_quorum());
        assert_eq!(etcd.remove(ids[0]), Err(EtcdError::WouldLoseQuorum));
        etcd.remove(ids[1]).unwrap();
        etcd.remove(ids[0]).unwrap();
        assert_eq!(etcd.leader(), Some(ids[2]));
    }

    #[test]
    fn two_of_three_stopped_without_removal_is_a_lost_quorum() {
        let (etcd, ids) = three();
        etcd.set_apiserver("m3", true);
        assert!(etcd.api_available());
        etcd.set_up("m1", false);
        etcd.set_up("m2", false);
        assert!(!etcd.has_quorum() && !etcd.api_available());
        assert_eq!(etcd.remove(ids[0]), Err(EtcdError::NoQuorum));
        etcd.set_up("m1", true);
        assert!(etcd.api_available());
        etcd.set_registered("m3", false);
        assert!(!etcd.api_available());
    }
}
