//! What there is in the account.

use crate::balancers::{Classic, TargetGroup};
use crate::faults::Faults;
use crate::groups::Group;
use crate::request::No;
use crate::storage::{Snapshot, Volume};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The region that everything is in.
pub const REGION: &str = "eu-central-1";

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// From pending to running.
    pub boot: Duration,
    /// From running to stopped.
    pub stop: Duration,
    /// From the word to terminated.
    pub end: Duration,
    /// Until a snapshot is complete, or a volume there.
    pub copy: Duration,
    /// How long connections drain from a load balancer.
    pub drain: Duration,
    /// Until a change is shown.
    pub unseen: Duration,
    /// How many things a page holds at most, whatever is asked for.
    pub page: usize,
}

impl Default for Pace {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self { boot: ms(60), stop: ms(60), end: ms(40), copy: ms(80), drain: ms(80), unseen: ms(40), page: 5 }
    }
}

/// The names that things have in EC2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Being made or starting.
    Pending,
    /// On.
    Running,
    /// Going off.
    Stopping,
    /// Off.
    Stopped,
    /// Going for good.
    ShuttingDown,
    /// Gone, and still told of.
    Terminated,
}

impl State {
    /// Its number and its name.
    pub fn shown(self) -> (u16, &'static str) {
        match self {
            Self::Pending => (0, "pending"),
            Self::Running => (16, "running"),
            Self::ShuttingDown => (32, "shutting-down"),
            Self::Terminated => (48, "terminated"),
            Self::Stopping => (64, "stopping"),
            Self::Stopped => (80, "stopped"),
        }
    }
}

/// Tags with the times of their changes: a change is not shown at first.
#[derive(Clone, Debug, Default)]
pub struct Tags(Vec<(Instant, String, Option<String>)>);

impl Tags {
    /// Sets one, or takes it away.
    pub fn change(&mut self, at: Instant, key: &str, value: Option<&str>) {
        self.0.push((at, key.to_owned(), value.map(str::to_owned)));
    }

    /// Those that are shown, given what was changed until then.
    pub fn until(&self, until: Option<Instant>) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::new();
        for (at, key, value) in &self.0 {
            match value {
                _ if until.is_some_and(|until| *at > until) => {}
                Some(value) => drop(shown.insert(key.clone(), value.clone())),
                None => drop(shown.remove(key)),
            }
        }
        shown
    }

    /// All as they truly are.
    pub fn now(&self) -> BTreeMap<String, String> {
        self.until(None)
    }
}

/// A disk on a machine.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// The device.
    pub device: String,
    /// The volume.
    pub volume: String,
    /// Whether it goes with the machine.
    pub goes_with_it: bool,
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its image.
    pub image: String,
    /// Its type.
    pub kind: String,
    /// Its subnet.
    pub subnet: String,
    /// Its address.
    pub address: String,
    /// Its security groups.
    pub groups: Vec<String>,
    /// Its key pair.
    pub key: Option<String>,
    /// Its IAM profile, by ARN.
    pub profile: Option<String>,
    /// Whether its network checks sources and destinations.
    pub source_dest_check: bool,
    /// Whether tokens are required by its metadata service, and how far its answers go.
    pub metadata: (String, i64),
    /// Whether it is a spot machine.
    pub spot: bool,
    /// Where it is in its life.
    pub state: State,
    /// Why it ended.
    pub reason: Option<(String, String)>,
    /// Its disks.
    pub disks: Vec<Attachment>,
    /// Its tags.
    pub tags: Tags,
    /// Its user-data, base64.
    pub user_data: Option<String>,
    /// When it was asked for.
    pub(crate) born: Instant,
    /// What it becomes, and when.
    pub(crate) next: Option<(Instant, State)>,
}

/// A subnet.
#[derive(Clone, Debug)]
pub struct Subnet {
    /// Its VPC.
    pub vpc: String,
    /// Its zone.
    pub zone: String,
    /// Its range.
    pub cidr: String,
}

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// When it was made, as EC2 writes it.
    pub created: String,
    /// Its root device.
    pub root: String,
}

/// Who may send what to the machines of a security group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// `udp`, `tcp`, or `-1` for everything.
    pub protocol: String,
    /// The first and the last port.
    pub ports: Option<(i64, i64)>,
    /// From or to these groups.
    pub groups: Vec<String>,
    /// From or to these ranges.
    pub ranges: Vec<String>,
}

/// A security group.
#[derive(Clone, Debug, Default)]
pub struct SecurityGroup {
    /// Its VPC.
    pub vpc: String,
    /// What may come in.
    pub ingress: Vec<Rule>,
    /// What may go out.
    pub egress: Vec<Rule>,
}

/// One call that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its action.
    pub action: String,
    /// Its parameters without the user-data.
    pub params: BTreeMap<String, String>,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// How long things take.
    pub pace: Pace,
    /// What goes wrong.
    pub faults: Faults,
    /// Machines by id, gone ones too.
    pub instances: BTreeMap<String, Instance>,
    /// Volumes by id.
    pub volumes: BTreeMap<String, Volume>,
    /// Snapshots by id.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// Subnets by id.
    pub subnets: BTreeMap<String, Subnet>,
    /// Images by id.
    pub images: BTreeMap<String, Image>,
    /// Security groups by id.
    pub groups: BTreeMap<String, SecurityGroup>,
    /// Launch templates by name: parameters as `RunInstances` has them.
    pub templates: BTreeMap<String, BTreeMap<String, String>>,
    /// Groups that keep up a number of machines, by name.
    pub scaling: BTreeMap<String, Group>,
    /// Target groups by name.
    pub target_groups: BTreeMap<String, TargetGroup>,
    /// Classic load balancers by name.
    pub classic: BTreeMap<String, Classic>,
    /// Subnets and types that have no room.
    pub full: Vec<String>,
    /// Whether `DryRun` is understood.
    pub knows_dry_runs: bool,
    /// Every call that came, the first one first.
    pub calls: Vec<Call>,
    pub(crate) tokens: BTreeMap<String, (String, String)>,
    counter: u64,
}

impl World {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            faults: Faults::default(),
            instances: BTreeMap::new(),
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            subnets: BTreeMap::new(),
            images: BTreeMap::new(),
            groups: BTreeMap::new(),
            templates: BTreeMap::new(),
            scaling: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            classic: BTreeMap::new(),
            full: Vec::new(),
            knows_dry_runs: true,
            calls: Vec::new(),
            tokens: BTreeMap::new(),
            counter: 0,
        }
    }

    /// A new id of a kind, such as `i`.
    pub(crate) fn id(&mut self, kind: &str) -> String {
        self.counter += 1;
        // As EC2's: in no order that tells anything.
        let mixed = self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{kind}-{mixed:016x}{:x}", self.counter % 16)
    }

    /// Until when a change must have been made to be shown now.
    pub(crate) fn seen_until(&self) -> Option<Instant> {
        Instant::now().checked_sub(self.pace.unseen)
    }

    /// Whether what was made then is shown now.
    pub(crate) fn is_seen(&self, born: Instant) -> bool {
        self.seen_until().is_none_or(|until| born <= until)
    }

    /// Lets the time pass.
    pub(crate) fn settle(&mut self) {
        let now = Instant::now();
        let mut ended = Vec::new();
        for instance in self.instances.values_mut() {
            if let Some((at, state)) = instance.next
                && at <= now
            {
                instance.state = state;
                instance.next = None;
                if state == State::Terminated {
                    ended.append(&mut instance.disks);
                }
            }
        }
        for disk in ended {
            if disk.goes_with_it {
                self.volumes.remove(&disk.volume);
            } else if let Some(volume) = self.volumes.get_mut(&disk.volume) {
                volume.attached = None;
            }
        }
        self.settle_storage(now);
        self.settle_balancers(now);
        self.settle_groups();
    }

    /// A machine that is known.
    pub(crate) fn instance(&mut self, id: &str) -> Result<&mut Instance, No> {
        if !id.strip_prefix("i-").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit())) {
            return Err(No::new("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\"")));
        }
        let missing = || No::missing("InvalidInstanceID.NotFound", "instance", id);
        self.instances.get_mut(id).ok_or_else(missing)
    }

    /// A machine that others may be modelled on, as somebody made it long ago. Its id.
    pub fn somebodys_machine(&mut self, name: &str, kind: &str, subnet: &str) -> String {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(3600)).unwrap_or_else(Instant::now);
        let id = self.id("i");
        let mut tags = Tags::default();
        tags.change(long_ago, "Name", Some(name));
        let root = self.volume_of(subnet, 20, long_ago);
        let disks = vec![Attachment { device: "/dev/xvda".into(), volume: root.clone(), goes_with_it: true }];
        if let Some(volume) = self.volumes.get_mut(&root) {
            volume.attached = Some((id.clone(), "/dev/xvda".into()));
        }
        let number = self.instances.len() + 10;
        let instance = Instance {
            id: id.clone(),
            image: self.images.keys().next().cloned().unwrap_or_default(),
            kind: kind.into(),
            subnet: subnet.into(),
            address: format!("10.0.0.{number}"),
            groups: self.groups.keys().take(1).cloned().collect(),
            key: Some("ops".into()),
            profile: Some("arn:aws:iam::123456789012:instance-profile/node".into()),
            source_dest_check: true,
            metadata: ("optional".into(), 2),
            spot: false,
            state: State::Running,
            reason: None,
            disks,
            tags,
            user_data: None,
            born: long_ago,
            next: None,
        };
        self.instances.insert(id.clone(), instance);
        id
    }

    /// The machines that are there.
    pub fn alive(&self) -> Vec<&Instance> {
        let gone = |i: &&Instance| !matches!(i.state, State::Terminated | State::ShuttingDown);
        self.instances.values().filter(gone).collect()
    }

    /// How often an action was called.
    pub fn called(&self, action: &str) -> usize {
        self.calls.iter().filter(|call| call.action == action).count()
    }
}
