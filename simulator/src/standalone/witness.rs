//! Somebody who watches the cluster for as long as it is served, and can be asked what was seen.

use crate::machines::Datacenter;
use crate::observer::{self, Effects, Inventory, Observer, aftermath};
use crate::scenario::Cluster;
use crate::server::Server;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Whose effects are told: replank's own clients name themselves so.
const OPERATOR: &str = "replank";

/// How many questions may wait for their answers.
const QUEUE: usize = 16;

/// What the witness can be asked.
enum Question {
    Violations,
    Effects,
}

/// The way to the witness; the watching ends with the last of them.
#[derive(Clone)]
pub(super) struct Witness(mpsc::Sender<(Question, oneshot::Sender<Value>)>);

impl Witness {
    /// Begins to watch.
    pub(super) fn of(cluster: &Cluster) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let watching = Watching {
            server: cluster.server.clone(),
            datacenter: cluster.datacenter.clone(),
            observer: Observer::new(&cluster.server, &cluster.datacenter),
            effects: Effects::of(OPERATOR, &cluster.server),
            before_network: Inventory::of(&cluster.before_network),
            with_network: Inventory::of(&cluster.with_network),
            bystanders: cluster.bystanders(),
        };
        (Self(sender), tokio::spawn(watching.run(receiver)))
    }

    /// What was seen broken so far, and what is not as it should be once a run is over.
    pub(super) async fn violations(&self) -> Value {
        self.ask(Question::Violations).await
    }

    /// What was done so far.
    pub(super) async fn effects(&self) -> Value {
        self.ask(Question::Effects).await
    }

    async fn ask(&self, question: Question) -> Value {
        let (reply, answer) = oneshot::channel();
        // Nobody watches any more only when the cluster is going down.
        let _ = self.0.send((question, reply)).await;
        answer.await.unwrap_or(Value::Null)
    }
}

struct Watching {
    server: Server,
    datacenter: Datacenter,
    observer: Observer,
    effects: Effects,
    before_network: Inventory,
    with_network: Inventory,
    bystanders: Inventory,
}

impl Watching {
    async fn run(mut self, mut questions: mpsc::Receiver<(Question, oneshot::Sender<Value>)>) {
        // The observer stops at what no cluster goes on from; questions are answered all the same.
        let mut observing = true;
        loop {
            tokio::select! {
                biased;
                asked = questions.recv() => {
                    let Some((question, reply)) = asked else { return };
                    let _ = reply.send(self.answer(&question));
                }
                () = self.effects.follow() => {}
                () = self.observer.watch(), if observing => observing = false,
            }
        }
    }

    fn answer(&mut self, question: &Question) -> Value {
        match question {
            Question::Violations => self.violations(),
            Question::Effects => self.effects(),
        }
    }

    fn violations(&mut self) -> Value {
        let mut seen = self.observer.violations();
        seen.extend(aftermath::effects(&self.datacenter));
        let now = Inventory::of(&self.server.direct("observer").everything());
        json!({
            "apiVersion": super::API_VERSION, "kind": "Violations",
            "violations": seen,
            "orphans": aftermath::orphans(&self.server, &self.datacenter),
            "leftovers": observer::leftovers(&self.before_network, &self.with_network, &now),
            "changedBystanders": observer::changed(&self.bystanders, &now),
        })
    }

    fn effects(&mut self) -> Value {
        self.effects.catch_up();
        let objects: Vec<Value> = self
            .effects
            .objects()
            .map(|(object, effect, times)| json!({"object": object, "effect": effect, "times": times}))
            .collect();
        json!({
            "apiVersion": super::API_VERSION, "kind": "Effects",
            "machines": self.datacenter.machines(),
            "onMachines": self.datacenter.effects(),
            "denied": self.datacenter.denials(),
            "pods": self.effects.pods(),
            "objects": objects,
            "repeated": self.effects.repeated(),
        })
    }
}
