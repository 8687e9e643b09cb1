//! Faults that can be raised and lifted by name while the cluster runs.
//!
//! Some are faults of the API server's answers; the others belong to machines and kubelets, which
//! ask [`Faults::strikes`] at the moment they could fail. All are listed in [`Faults::names`].

use crate::server::names::Names;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Every fault by name, with what it does.
const NAMES: &[(&str, &str)] = &[
    ("too-many-requests", "the API server answers 429 and does nothing"),
    ("internal-error", "the API server answers 500 and does nothing"),
    ("unavailable", "the API server answers 503 and does nothing"),
    ("conflict", "the API server answers 409 to a write and does nothing"),
    ("dropped-connection", "the connection breaks before the request is carried out"),
    ("lost-response", "the request is carried out, then the connection breaks before the answer"),
    ("watch-ends", "all watches end now, and every `delay` from then on if one is given"),
    ("slow", "the API server takes `delay` longer to answer"),
    ("no-answer", "the API server takes requests and gives no answer, and watches fall silent"),
    ("api-server-away", "the API server is gone: connections are refused, and those that there are break"),
    ("machine-create-fails", "the machine API refuses to create a machine: no capacity"),
    ("machine-never-boots", "a machine stays pending, or boots `delay` later if one is given"),
    ("image-lacks-bridge", "a machine is made of an image without the CNI plugin bridge"),
    ("image-lacks-br-netfilter", "a machine is made of an image whose kernel has no br_netfilter"),
    ("image-lacks-portmap", "a machine is made of an image without the CNI plugin portmap"),
    ("machine-boot-fails", "a machine ends failed instead of booting"),
    ("machine-vanishes", "a running machine fails"),
    ("machine-api-unavailable", "the machine API answers unavailable"),
    ("machine-api-slow", "the machine API takes `delay` longer before it changes a machine or a snapshot"),
    ("machine-api-lost-response", "the machine API acts, and its answer is lost"),
    ("kubelet-never-joins", "the kubelet of a machine never registers its Node"),
    ("kubelet-stops", "the kubelet of a machine goes silent"),
    ("image-pull-fails", "a kubelet can't pull images"),
    ("pod-never-ready", "pods on a node start and never become ready"),
    ("pod-stuck-terminating", "pods on a node never finish ending"),
    ("host-command-fails", "commands on a host fail"),
    ("host-unreachable", "a host can't be reached for files and commands"),
    ("etcd-slow-learner", "a joining etcd member takes long to catch up"),
    ("snapshot-fails", "a snapshot of a machine fails"),
];

/// A fault: what strikes, whom, and how often.
///
/// Written as `NAME[:key=value]…` with the keys `client` (a prefix of the User-Agent), `verb`,
/// `resource` (`pods`, `pods/eviction`, `nodes`), `subject` (a machine, node or host), `rate`
/// (0 to 1), `count` and `delay` (`5s`, `200ms`, `2m`).
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// One of [`Faults::names`].
    pub name: String,
    /// Only clients whose User-Agent starts so.
    pub client: Option<String>,
    /// Only this API verb.
    pub verb: Option<String>,
    /// Only this resource, with `/subresource` if it is about one.
    pub resource: Option<String>,
    /// Only this machine, node or host.
    pub subject: Option<String>,
    /// The probability that it strikes where it could.
    pub rate: f64,
    /// How often it strikes before it lifts itself.
    pub count: Option<u32>,
    /// How long, for faults that take time.
    pub delay: Option<Duration>,
}

impl Fault {
    /// A fault that always strikes everybody.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            client: None,
            verb: None,
            resource: None,
            subject: None,
            rate: 1.0,
            count: None,
            delay: None,
        }
    }

    /// Only clients whose User-Agent starts so.
    pub fn client(mut self, prefix: &str) -> Self {
        self.client = Some(prefix.to_owned());
        self
    }

    /// Only this API verb.
    pub fn verb(mut self, verb: &str) -> Self {
        self.verb = Some(verb.to_owned());
        self
    }

    /// Only this resource, with `/subresource` if it is about one.
    pub fn resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Only this machine, node or host.
    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// Strikes with this probability.
    pub fn rate(mut self, rate: f64) -> Self {
        self.rate = rate;
        self
    }

    /// Strikes so often, then lifts itself.
    pub fn count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// How long, for faults that take time.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    fn covers(&self, call: &Call<'_>) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
        self.client.as_deref().is_none_or(|prefix| call.client.starts_with(prefix))
            && is(&self.verb, call.verb)
            && is(&self.resource, call.resource)
    }
}

/// A fault that can't be read from its text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultSyntax {
    /// Nobody knows this name.
    #[error("no fault is named `{0}`")]
    UnknownName(String),
    /// A part is not `key=value` with a key that exists and a value that can be read.
    #[error("`{0}` is not a condition of a fault")]
    BadCondition(String),
}

impl FromStr for Fault {
    type Err = FaultSyntax;

    fn from_str(text: &str) -> Result<Self, FaultSyntax> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or("");
        if !NAMES.iter().any(|(known, _)| *known == name) {
            return Err(FaultSyntax::UnknownName(name.to_owned()));
        }
        let mut fault = Self::named(name);
        for part in parts {
            let bad = || FaultSyntax::BadCondition(part.to_owned());
            let (key, value) = part.split_once('=').ok_or_else(bad)?;
            match key {
                "client" => fault.client = Some(value.to_owned()),
                "verb" => fault.verb = Some(value.to_owned()),
                "resource" => fault.resource = Some(value.to_owned()),
                "subject" => fault.subject = Some(value.to_owned()),
                "rate" => fault.rate = value.parse().map_err(|_| bad())?,
                "count" => fault.count = Some(value.parse().map_err(|_| bad())?),
                "delay" => fault.delay = Some(duration(value).ok_or_else(bad)?),
                _ => return Err(bad()),
            }
        }
        Ok(fault)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..digits].parse().ok()?;
    match &text[digits..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

/// The number under which a fault was raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FaultId(u64);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A request to the API server, as faults are matched against it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) client: &'a str,
    pub(crate) verb: &'a str,
    pub(crate) resource: &'a str,
}

struct Raised {
    faults: BTreeMap<FaultId, (Fault, u32)>,
    next: u64,
    names: Names,
    struck: BTreeMap<String, u64>,
}

/// The faults raised now; cheap to clone.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<Raised>>, tokio::sync::watch::Sender<u64>);

impl Faults {
    /// No fault; rates are decided by this seed.
    pub fn new(seed: u64) -> Self {
        let raised = Raised {
            faults: BTreeMap::new(),
            next: 0,
            names: Names::new(seed, "faults"),
            struck: BTreeMap::new(),
        };
        Self(Arc::new(Mutex::new(raised)), tokio::sync::watch::channel(0).0)
    }

    /// Every fault by name, with what it does.
    pub fn names() -> &'static [(&'static str, &'static str)] {
        NAMES
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Raised> {
        self.0.lock().expect("the faults' lock is never poisoned")
    }

    /// Raises a fault; it strikes from now on.
    pub fn raise(&self, fault: Fault) -> FaultId {
        let id = {
            let mut raised = self.lock();
            raised.next += 1;
            let id = FaultId(raised.next);
            raised.faults.insert(id, (fault, 0));
            id
        };
        self.1.send_modify(|version| *version += 1);
        id
    }

    /// Lifts a fault. Lifting one that has lifted itself is fine.
    pub fn lift(&self, id: FaultId) {
        self.lock().faults.remove(&id);
        self.1.send_modify(|version| *version += 1);
    }

    /// Lifts every fault of a name; answers how many there were.
    pub fn lift_named(&self, name: &str) -> usize {
        let lifted = {
            let mut raised = self.lock();
            let before = raised.faults.len();
            raised.faults.retain(|_, (fault, _)| fault.name != name);
            before - raised.faults.len()
        };
        self.1.send_modify(|version| *version += 1);
        lifted
    }

    /// Lifts every fault.
    pub fn lift_all(&self) {
        self.lock().faults.clear();
        self.1.send_modify(|version| *version += 1);
    }

    /// The faults raised now.
    pub fn raised(&self) -> Vec<(FaultId, Fault)> {
        self.lock().faults.iter().map(|(id, (fault, _))| (*id, fault.clone())).collect()
    }

    /// How often faults of this name have struck.
    pub fn struck(&self, name: &str) -> u64 {
        self.lock().struck.get(name).copied().unwrap_or(0)
    }

    /// Changes whenever a fault is raised or lifted.
    pub fn changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.1.subscribe()
    }

    /// Whether a fault of this name strikes the subject (a machine, node or host) now; a fault
    /// with a count is used up by it.
    pub fn strikes(&self, name: &str, subject: &str) -> Option<Fault> {
        self.strike(|fault| {
            fault.name == name && fault.subject.as_deref().is_none_or(|wanted| wanted == subject)
        })
    }

    /// Whether a fault of this name is raised for the subject, without using it up; it counts as struck.
    pub fn is_raised(&self, name: &str, subject: &str) -> bool {
        let mut raised = self.lock();
        let of_subject = |fault: &Fault| fault.subject.as_deref().is_none_or(|s| s == subject);
        let found = raised.faults.values().any(|(fault, _)| fault.name == name && of_subject(fault));
        if found {
            *raised.struck.entry(name.to_owned()).or_default() += 1;
        }
        found
    }

    /// The fault of one of these names that strikes a call to the API server.
    pub(crate) fn on_call(&self, names: &[&str], call: &Call<'_>) -> Option<Fault> {
        self.strike(|fault| names.contains(&fault.name.as_str()) && fault.covers(call))
    }

    /// How long a watch may last that begins now.
    pub(crate) fn watch_limit(&self, call: &Call<'_>) -> Option<Duration> {
        let raised = self.lock();
        let ending =
            raised.faults.values().filter(|(fault, _)| fault.name == "watch-ends" && fault.covers(call));
        ending.filter_map(|(fault, _)| fault.delay).min()
    }

    /// Whether a fault that ends the watch was raised after this one.
    pub(crate) fn watch_ended_since(&self, last: Option<FaultId>, call: &Call<'_>) -> bool {
        let raised = self.lock();
        raised.faults.iter().any(|(id, (fault, _))| {
            last.is_none_or(|last| *id > last)
                && ["watch-ends", "api-server-away"].contains(&fault.name.as_str())
                && fault.covers(call)
        })
    }

    /// Waits while a `no-answer` fault covers the call; says whether there was one.
    pub(crate) async fn silence(&self, call: &Call<'_>) -> bool {
        let mut changed = self.changed();
        let mut silent = false;
        while self.on_call(&["no-answer"], call).is_some() {
            silent = true;
            if changed.changed().await.is_err() {
                break;
            }
        }
        silent
    }

    /// Whether the API server is away for everybody, so that not even a connection is accepted.
    pub(crate) fn refuses_connections(&self) -> bool {
        let everybody = |fault: &Fault| {
            fault.name == "api-server-away"
                && fault.client.is_none()
                && fault.verb.is_none()
                && fault.resource.is_none()
                && fault.rate >= 1.0
        };
        self.lock().faults.values().any(|(fault, _)| everybody(fault))
    }

    fn strike(&self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut raised = self.lock();
        if raised.faults.is_empty() {
            return None;
        }
        let ids: Vec<FaultId> =
            raised.faults.iter().filter(|(_, (fault, _))| wanted(fault)).map(|(id, _)| *id).collect();
        for id in ids {
            let rate = raised.faults[&id].0.rate;
            if rate < 1.0 && !raised.names.chance(rate) {
                continue;
            }
            let (fault, times) = raised.faults.get_mut(&id)?;
            *times += 1;
            let struck = fault.clone();
            if fault.count.is_some_and(|count| *times >= count) {
                raised.faults.remove(&id);
            }
            *raised.struck.entry(struck.name.clone()).or_default() += 1;
            return Some(struck);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_from_its_text() {
        let fault: Fault =
            "slow:client=replank:verb=patch:resource=nodes:rate=0.5:count=3:delay=5s".parse().unwrap();
        let wanted = Fault::named("slow")
            .client("replank")
            .verb("patch")
            .resource("nodes")
            .rate(0.5)
            .count(3)
            .delay(Duration::from_secs(5));
        assert_eq!(fault, wanted);
        assert_eq!("rain".parse::<Fault>(), Err(FaultSyntax::UnknownName("rain".into())));
        assert_eq!("slow:5s".parse::<Fault>(), Err(FaultSyntax::BadCondition("5s".into())));
    }

    #[test]
    fn a_counted_fault_lifts_itself() {
        let faults = Faults::new(1);
        faults.raise(Fault::named("kubelet-stops").subject("n1").count(1));
        assert!(faults.strikes("kubelet-stops", "n2").is_none());
        assert!(faults.strikes("kubelet-stops", "n1").is_some());
        assert!(faults.strikes("kubelet-stops", "n1").is_none());
        assert_eq!(faults.struck("kubelet-stops"), 1);
    }
}
