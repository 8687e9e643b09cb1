//! How many labs are up at once: as much as two cores carry without clusters that miss their own deadlines.

use replank_lab::cluster::Shape;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};

/// Three control planes with two workers, and one control plane with two beside them.
const WHOLE: usize = 12;

/// The machine's capacity. Whoever needs most is served first: it takes longest, and would wait for ever behind small
/// ones, and be the last, alone.
struct Rooms {
    free: usize,
    came: u64,
    waiting: BTreeSet<(usize, Reverse<u64>)>,
}

static ROOMS: Mutex<Rooms> = Mutex::new(Rooms { free: WHOLE, came: 0, waiting: BTreeSet::new() });
static CHANGED: Condvar = Condvar::new();

/// A cluster's part of the machine, given back when this is dropped.
pub(crate) struct Room(usize);

impl Room {
    pub(crate) fn take(shape: Shape) -> Self {
        // An API server with its etcd does the work of two workers.
        let part = (2 * shape.control_planes + shape.workers).min(WHOLE);
        let mut rooms = ROOMS.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = (part, Reverse(rooms.came));
        rooms.came += 1;
        rooms.waiting.insert(mine);
        let waits = |rooms: &mut Rooms| rooms.waiting.last() != Some(&mine) || rooms.free < part;
        let mut rooms = CHANGED.wait_while(rooms, waits).unwrap_or_else(PoisonError::into_inner);
        rooms.waiting.remove(&mine);
        rooms.free -= part;
        CHANGED.notify_all();
        Self(part)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        ROOMS.lock().unwrap_or_else(PoisonError::into_inner).free += self.0;
        CHANGED.notify_all();
    }
}
