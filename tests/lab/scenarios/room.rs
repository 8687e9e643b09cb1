//! How many labs are up at once: as much as two cores carry without clusters that miss their own deadlines.

use replank_lab::cluster::Shape;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Three control planes with two workers, and one small cluster beside them.
const WHOLE: usize = 11;

/// The machine's capacity. The largest cluster for which there is room is served first: it takes longest, and would be
/// the last, alone.
struct Rooms {
    free: usize,
    came: u64,
    waiting: BTreeSet<(usize, Reverse<u64>)>,
}

static ROOMS: Mutex<Rooms> = Mutex::new(Rooms { free: WHOLE, came: 0, waiting: BTreeSet::new() });
static CHANGED: Condvar = Condvar::new();
/// All tests begin at once, and the first to come is as a rule not the largest: nobody is served before all are there.
static DOORS: LazyLock<Instant> = LazyLock::new(|| Instant::now() + Duration::from_secs(1));

/// A cluster's part of the machine, given back when this is dropped.
pub(crate) struct Room(usize);

impl Room {
    pub(crate) fn take(shape: Shape) -> Self {
        // An API server with its etcd does the work of two workers.
        let part = (2 * shape.control_planes + shape.workers).min(WHOLE);
        let mine = queue(part);
        std::thread::sleep(DOORS.saturating_duration_since(Instant::now()));
        let waits = |rooms: &mut Rooms| rooms.next() != Some(mine);
        let rooms = ROOMS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rooms = CHANGED.wait_while(rooms, waits).unwrap_or_else(PoisonError::into_inner);
        rooms.waiting.remove(&mine);
        rooms.free -= part;
        CHANGED.notify_all();
        Self(part)
    }
}

fn queue(part: usize) -> (usize, Reverse<u64>) {
    let mut rooms = ROOMS.lock().unwrap_or_else(PoisonError::into_inner);
    let mine = (part, Reverse(rooms.came));
    rooms.came += 1;
    rooms.waiting.insert(mine);
    mine
}

impl Rooms {
    fn next(&self) -> Option<(usize, Reverse<u64>)> {
        self.waiting.iter().rev().find(|(part, _)| *part <= self.free).copied()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        ROOMS.lock().unwrap_or_else(PoisonError::into_inner).free += self.0;
        CHANGED.notify_all();
    }
}
