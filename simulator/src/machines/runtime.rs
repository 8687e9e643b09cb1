//! The container runtime's list of containers, as `crictl` sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One container of a host.
#[derive(Clone, Debug)]
pub(crate) struct ContainerRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) pod: String,
    pub(crate) namespace: String,
    pub(crate) running: bool,
    pub(crate) attempt: u32,
}

/// The containers of one host. Clones see the same ones.
#[derive(Clone, Default)]
pub(crate) struct Runtime {
    containers: Arc<Mutex<BTreeMap<String, ContainerRow>>>,
    /// Images on the host's disk: they outlive a power cut.
    images: Arc<Mutex<BTreeSet<String>>>,
}

impl Runtime {
    fn rows(&self) -> MutexGuard<'_, BTreeMap<String, ContainerRow>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, row: ContainerRow) {
        self.rows().insert(row.id.clone(), row);
    }

    fn images(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_image(&self, image: &str) -> bool {
        self.images().contains(image)
    }

    pub(crate) fn add_image(&self, image: &str) {
        self.images().insert(image.to_owned());
    }

    pub(crate) fn stopped(&self, id: &str) {
        if let Some(row) = self.rows().get_mut(id) {
            row.running = false;
        }
    }

    pub(crate) fn remove(&self, id: &str) {
        self.rows().remove(id);
    }

    pub(crate) fn clear(&self) {
        self.rows().clear();
    }

    pub(crate) fn list(&self) -> Vec<ContainerRow> {
        self.rows().values().cloned().collect()
    }

    /// The container whose id starts like this.
    pub(crate) fn find(&self, prefix: &str) -> Option<ContainerRow> {
        self.rows().values().find(|row| row.id.starts_with(prefix)).cloned()
    }
}
