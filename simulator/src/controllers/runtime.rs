//! What drives controllers: events in, keys noted, keys brought in order.

use super::context::Cx;
use super::queue::Queue;
use crate::server::{Changes, Event, EventKind, Status};
use futures::FutureExt;
use std::fmt::Debug;
use std::time::Duration;
use tokio::time::Instant;

/// Keys that one controller handles before the others have their turn.
const TURN: usize = 64;

/// How long events about pods are gathered before anything is done about them: what their way to a controller takes
/// on a real cluster. A node's kubelet writes the statuses of all its pods in one go, and each looked at by itself
/// would have every Service, budget and DaemonSet counted anew.
const GATHERED: Duration = Duration::from_millis(20);

/// One control loop. It runs without awaiting anything: reads and writes are in process.
pub(crate) trait Controller: Send + 'static {
    /// What one piece of work is about.
    type Key: Ord + Clone + Send + Debug;

    /// The name that `--controllers` knows it by.
    fn name(&self) -> &'static str;

    /// Notes what an event concerns. At the start every object there is comes as an added one.
    fn notice(&mut self, cx: &Cx, event: &Event, queue: &mut Queue<Self::Key>);

    /// Brings one key in order.
    fn sync(&mut self, cx: &Cx, key: &Self::Key, queue: &mut Queue<Self::Key>) -> Result<(), Status>;
}

/// A controller with its queue, whatever its keys are.
pub(crate) trait Task: Send {
    fn name(&self) -> &'static str;
    fn notice(&mut self, cx: &Cx, event: &Event);
    /// Handles some keys; whether there were any.
    fn work(&mut self, cx: &Cx) -> bool;
    fn next_due(&self) -> Option<Instant>;
}

struct Queued<C: Controller> {
    controller: C,
    queue: Queue<C::Key>,
}

impl<C: Controller> Task for Queued<C> {
    fn name(&self) -> &'static str {
        self.controller.name()
    }

    fn notice(&mut self, cx: &Cx, event: &Event) {
        self.controller.notice(cx, event, &mut self.queue);
    }

    fn work(&mut self, cx: &Cx) -> bool {
        let mut any = false;
        for _ in 0..TURN {
            let Some(key) = self.queue.take() else { break };
            any = true;
            match self.controller.sync(cx, &key, &mut self.queue) {
                Ok(()) => self.queue.forget(&key),
                Err(status) => {
                    tracing::debug!(controller = self.controller.name(), ?key, %status, "will try again");
                    self.queue.retry(key);
                }
            }
        }
        any
    }

    fn next_due(&self) -> Option<Instant> {
        self.queue.next_due()
    }
}

/// A controller as a task.
pub(crate) fn task(controller: impl Controller) -> Box<dyn Task> {
    Box::new(Queued { controller, queue: Queue::default() })
}

/// Runs controllers until dropped.
pub(crate) async fn run(cx: &Cx, mut tasks: Vec<Box<dyn Task>>) {
    let mut changes = cx.direct.changes();
    for (resource, object) in cx.direct.everything() {
        let event = Event {
            resource,
            kind: EventKind::Added,
            old: None,
            new: Some(object),
            revision: 0,
            client: "".into(),
        };
        for task in &mut tasks {
            task.notice(cx, &event);
        }
    }
    loop {
        offer(cx, &mut tasks, changes.ready());
        let mut busy = false;
        for task in &mut tasks {
            busy |= task.work(cx);
        }
        if busy {
            tokio::task::yield_now().await;
            continue;
        }
        wait(cx, &mut tasks, &mut changes).await;
    }
}

fn offer(cx: &Cx, tasks: &mut [Box<dyn Task>], events: Vec<Event>) {
    for event in events {
        for task in tasks.iter_mut() {
            task.notice(cx, &event);
        }
    }
}

/// Whether an event may wait for others of its kind.
fn may_wait(event: &Event) -> bool {
    ["pods", "leases", "events"].contains(&event.resource.plural.as_ref())
}

/// Waits for an event, and for those that come with it, or for the first key that is due.
async fn wait(cx: &Cx, tasks: &mut [Box<dyn Task>], changes: &mut Changes) {
    let due = tasks.iter().filter_map(|task| task.next_due()).min();
    let sleep = match due {
        Some(at) => tokio::time::sleep_until(at).boxed(),
        None => futures::future::pending().boxed(),
    };
    let mut events = tokio::select! {
        biased;
        events = changes.next() => events,
        () = sleep => return,
    };
    let gathered = tokio::time::sleep(GATHERED);
    tokio::pin!(gathered);
    loop {
        let patient = events.iter().all(may_wait);
        offer(cx, tasks, events);
        if !patient {
            return;
        }
        events = tokio::select! {
            biased;
            () = &mut gathered => return,
            more = changes.next() => more,
        };
    }
}
