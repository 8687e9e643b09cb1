//! What all machines of one datacenter share.

use std::sync::Arc;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::ApiAccess;
use super::cni::keyspace::Keyspace;
use super::durations::Durations;
use super::etcd::Etcd;
use super::program::Programs;
use crate::clock::Clock;
use crate::faults::{Fault, Faults};

/// The surroundings of every machine.
pub(crate) struct Site {
    pub(crate) access: Arc<dyn ApiAccess>,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) durations: Arc<Durations>,
    pub(crate) programs: Programs,
    pub(crate) etcd: Etcd,
    /// Calico's records where they are kept in etcd.
    pub(crate) keyspace: Keyspace,
    pub(crate) faults: Faults,
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
}

impl Site {
    /// Whether a fault strikes a machine (or a pod) now; it is known by its name.
    pub(crate) fn strikes(&self, fault: &str, subject: &str) -> Option<Fault> {
        self.faults.strikes(fault, subject)
    }

    /// Whether a lasting fault is raised for a machine (or a pod).
    pub(crate) fn suffers(&self, fault: &str, subject: &str) -> bool {
        self.faults.is_raised(fault, subject)
    }

    /// Random numbers of this name, the same in every run with the same seed.
    pub(crate) fn rng(&self, name: &str) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed_of(name))
    }

    /// A seed of this name.
    pub(crate) fn seed_of(&self, name: &str) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.digest(name)[..8]);
        u64::from_be_bytes(bytes)
    }

    /// A hex id of this name, 64 digits long.
    pub(crate) fn hex_id(&self, name: &str) -> String {
        hex::encode(self.digest(name))
    }

    /// A UUID (version 4 in shape) of this name.
    pub(crate) fn uuid(&self, name: &str) -> String {
        let mut bytes = self.digest(name);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let text = hex::encode(&bytes[..16]);
        format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
    }

    fn digest(&self, name: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.seed.to_be_bytes());
        hasher.update(name.as_bytes());
        hasher.finalize().into()
    }
}
