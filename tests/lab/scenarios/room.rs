//! How many labs are up at once: as much as two cores carry without clusters that miss their own deadlines.

use replank_lab::cluster::Shape;
use std::sync::{Condvar, Mutex, PoisonError};

/// Three control planes and what runs beside them fill two cores; of small clusters, three do.
const WHOLE: usize = 12;

static FREE: Mutex<usize> = Mutex::new(WHOLE);
static FREED: Condvar = Condvar::new();

/// A cluster's part of the machine, given back when this is dropped. A small one may overtake one that waits for more:
/// every test ends, so that its turn comes.
pub(crate) struct Room(usize);

impl Room {
    pub(crate) fn take(shape: Shape) -> Self {
        // An API server with its etcd does the work of two workers.
        let part = (2 * shape.control_planes + shape.workers).min(WHOLE);
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = FREED.wait_while(free, |free| *free < part).unwrap_or_else(PoisonError::into_inner);
        *free -= part;
        Self(part)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        FREED.notify_all();
    }
}
