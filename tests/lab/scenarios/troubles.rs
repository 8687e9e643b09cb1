//! What may happen to a run and to its cluster meanwhile.

use crate::operator::Operator;
use crate::program::Program;
use crate::requests;
use crate::stage::{Stage, say};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use replank_lab::machine::{Power, Role};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The variable that replays a run's moments.
const SEED: &str = "REPLANK_TEST_SEED";
/// How long a container may take to be stopped on a busy machine; crictl's own patience is two seconds.
const STOPS: &str = "60s";
/// How long a control plane is cut off.
const CUT_OFF: Duration = Duration::from_secs(60);

/// What happens to a run: at random moments, one after the other.
pub(crate) struct Story {
    /// How many moments there are.
    moments: u32,
    /// A moment comes at most so long after the last one: long enough to get on in between.
    latest: Duration,
    /// Whether the program is killed at each of them.
    killed: bool,
    /// What happens to the cluster, each once, when so many moments have been.
    troubles: &'static [(u32, Trouble)],
}

/// A program that is killed, on a cluster whose only control plane is not well, with a machine that dies.
pub(crate) const KILLED: Story = Story {
    moments: 20,
    latest: Duration::from_secs(12),
    killed: true,
    troubles: &[
        (2, Trouble::ControllerManagerRestarts),
        (4, Trouble::ApiServerRestarts),
        (6, Trouble::MachineDiesWhileJoining),
        (8, Trouble::ControllerManagerRestarts),
        (11, Trouble::EtcdRestarts),
        (14, Trouble::ControllerManagerRestarts),
    ],
};

/// Control planes that lose each other.
pub(crate) const PARTED: Story = Story {
    moments: 12,
    latest: Duration::from_secs(20),
    killed: false,
    troubles: &[
        (2, Trouble::EtcdLeaderStops),
        (5, Trouble::ControlPlaneCutOff),
        (9, Trouble::ApiServerRestarts),
    ],
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    ApiServerRestarts,
    EtcdRestarts,
    /// Of several members, the one that leads.
    EtcdLeaderStops,
    ControllerManagerRestarts,
    /// One of several control planes hears and says nothing for a minute.
    ControlPlaneCutOff,
    /// The next machine that is made is switched off as soon as it is there.
    MachineDiesWhileJoining,
}

pub(crate) struct Troubles<'s> {
    stage: &'s Stage,
    operator: &'s Operator<'s>,
    story: Story,
    chance: ChaCha8Rng,
    /// Machines that were there before the run, and those that were already looked at.
    known: BTreeSet<String>,
    /// A new machine shall die.
    waits_to_kill_a_machine: bool,
    /// The control plane that is cut off, and since when.
    cut_off: Option<(String, Instant)>,
}

impl<'s> Troubles<'s> {
    pub(crate) fn new(stage: &'s Stage, operator: &'s Operator<'s>, test: &str, story: Story) -> Self {
        let seed = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.subsec_nanos().into());
        let seed: u64 = seed.unwrap_or_else(now);
        say(&format!("{test}: {SEED}={seed} replays its moments"));
        let machines = stage.cluster.lab().machines().expect("machines can be listed");
        Self {
            stage,
            operator,
            story,
            chance: ChaCha8Rng::seed_from_u64(seed),
            known: machines.into_iter().map(|m| m.name).collect(),
            waits_to_kill_a_machine: false,
            cut_off: None,
        }
    }

    /// Carries a run out to its end, however often it must be started again.
    pub(crate) fn carry_out(mut self, mut run: Program, most: Duration) {
        let until = Instant::now() + most;
        let mut moments = 0;
        let mut troubles = self.story.troubles.iter().peekable();
        loop {
            assert!(Instant::now() < until, "after {moments} moments it does not end: {}", run.err());
            if let Some((_, trouble)) = troubles.next_if(|(after, _)| *after <= moments) {
                self.make(*trouble);
            }
            self.wait(&mut run);
            if run.has_ended() {
                let ended = run.ends_within(Duration::ZERO);
                match ended.status {
                    0 => break,
                    // Paused, with its reason: the same command goes on.
                    4 => say(&format!("it paused: {}", last(&ended.err))),
                    _ => panic!("after {moments} moments: {ended:?}"),
                }
                run = self.operator.apply();
            } else if moments < self.story.moments {
                moments += 1;
                if self.story.killed {
                    run.kill();
                    run = self.operator.apply();
                }
            }
        }
        let left: Vec<_> = troubles.map(|(_, trouble)| trouble).collect();
        say(&format!("{moments} moments had come when it ended"));
        assert!(left.is_empty(), "it was over before {left:?}");
        assert!(!self.waits_to_kill_a_machine, "no machine was made any more that could die");
        self.reconnect();
    }

    /// Waits for a random moment; meanwhile a machine may have to die.
    fn wait(&mut self, run: &mut Program) {
        let most = u64::try_from(self.story.latest.as_millis()).unwrap_or(u64::MAX);
        let until = Instant::now() + Duration::from_millis(self.chance.random_range(0..most));
        while Instant::now() < until && !run.has_ended() {
            if self.waits_to_kill_a_machine {
                self.kill_a_new_machine();
            }
            if self.cut_off.as_ref().is_some_and(|(_, since)| since.elapsed() > CUT_OFF) {
                self.reconnect();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn kill_a_new_machine(&mut self) {
        let lab = self.stage.cluster.lab();
        let machines = lab.machines().expect("machines can be listed");
        let new = machines.iter().find(|m| !self.known.contains(&m.name));
        let Some(new) = new.filter(|m| lab.power(&m.name).is_ok_and(|power| power == Power::On)) else {
            return;
        };
        // It has begun to join by then.
        let console = lab.console(&new.name).unwrap_or_default();
        if !console.contains("kubeadm") {
            return;
        }
        lab.stop(&new.name).unwrap_or_else(|error| panic!("{error}"));
        say(&format!("{} died while it joined", new.name));
        self.waits_to_kill_a_machine = false;
    }

    fn make(&mut self, trouble: Trouble) {
        say(&format!("{trouble:?}"));
        match trouble {
            Trouble::ApiServerRestarts => self.restart(&self.plane(), "kube-apiserver"),
            Trouble::EtcdRestarts => self.restart(&self.plane(), "etcd"),
            Trouble::EtcdLeaderStops => self.restart(&self.leader(), "etcd"),
            Trouble::ControllerManagerRestarts => self.restart(&self.plane(), "kube-controller-manager"),
            Trouble::ControlPlaneCutOff => {
                let plane = self.plane();
                self.on(&plane, &cut("-I"));
                self.cut_off = Some((plane, Instant::now()));
            }
            Trouble::MachineDiesWhileJoining => {
                let machines = self.stage.cluster.lab().machines().expect("machines can be listed");
                self.known.extend(machines.into_iter().map(|m| m.name));
                self.waits_to_kill_a_machine = true;
            }
        }
    }

    /// The first control plane that is on.
    fn plane(&self) -> String {
        self.planes().into_iter().next().expect("there is a control plane")
    }

    fn planes(&self) -> Vec<String> {
        let lab = self.stage.cluster.lab();
        let machines = lab.machines().expect("machines can be listed").into_iter();
        let on = |name: &str| lab.power(name).is_ok_and(|power| power == Power::On);
        machines.filter(|m| m.role == Role::ControlPlane && on(&m.name)).map(|m| m.name).collect()
    }

    /// The control plane whose etcd leads; members that just come or go have no say.
    fn leader(&self) -> String {
        const ASK: &str = "crictl exec $(crictl ps --name '^etcd$' --quiet) etcdctl \
            --cacert /etc/kubernetes/pki/etcd/ca.crt --cert /etc/kubernetes/pki/etcd/peer.crt \
            --key /etc/kubernetes/pki/etcd/peer.key endpoint status --write-out json";
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            for plane in self.planes() {
                let said = self.stage.cluster.lab().host_run(&plane, &["sh", "-c", ASK], None);
                let said = said.ok().and_then(|said| serde_json::from_slice::<Value>(&said.stdout).ok());
                let status = said.map(|said| said[0]["Status"].clone()).unwrap_or_default();
                if status["leader"].is_u64() && status["leader"] == status["header"]["member_id"] {
                    say(&format!("{plane} leads"));
                    return plane;
                }
            }
            std::thread::sleep(Duration::from_secs(1));
        }
        panic!("no etcd member leads");
    }

    /// Stops a static pod's container; the kubelet starts it again.
    fn restart(&self, plane: &str, component: &str) {
        let script = format!(
            "crictl ps --name '^{component}$' --quiet | \
                xargs --no-run-if-empty crictl --timeout {STOPS} stop --timeout 1"
        );
        self.on(plane, &script);
    }

    fn on(&self, machine: &str, script: &str) {
        let done = self.stage.cluster.lab().host_run(machine, &["sh", "-c", script], None);
        let done = done.unwrap_or_else(|error| panic!("{error}"));
        assert!(done.status.success(), "{script} on {machine}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Ends what cut a control plane off; the machine may be off by now.
    fn reconnect(&mut self) {
        let Some((plane, _)) = self.cut_off.take() else { return };
        if self.stage.cluster.lab().power(&plane).is_ok_and(|power| power == Power::On) {
            self.on(&plane, &cut("-D"));
        }
        say(&format!("{plane} is reached again"));
    }
}

/// The last line that is for people.
fn last(err: &str) -> &str {
    err.lines().rfind(|line| !requests::is_one(line)).unwrap_or_default()
}

/// Rules that let nothing in or out but over the loopback, inserted (`-I`) or deleted (`-D`).
fn cut(verb: &str) -> String {
    let rule = |chain: &str, direction: &str| format!("iptables -w {verb} {chain} ! {direction} lo -j DROP");
    format!("{} && {}", rule("INPUT", "-i"), rule("OUTPUT", "-o"))
}
