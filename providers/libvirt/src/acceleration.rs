//! Whether the processor helps: chosen by the user, or by a boot.
//!
//! libvirt offers KVM wherever there is a `/dev/kvm`, and on some hosts no kernel ever comes up with it. So its
//! "no" is believed, and its "yes" is tried once: the image is started with KVM, without a network, and must
//! write to its disk in time. A firmware never does that. What came of it is the name of a volume in the pool.

use crate::definition::Definition;
use crate::domain::Domain;
use crate::hypervisor::Hypervisor;
use crate::mark::Mark;
use crate::settings::{Acceleration, Settings};
use crate::virsh::VirshError;
use crate::volumes::{New, OURS};
use crate::xml::child;
use replank_cloud_init::{MetaData, Seed};
use replank_provider_kit::ledger::short;
use replank_provider_protocol::verbs::Progress;
use replank_provider_protocol::{ErrorCode, MachineId, ProviderError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How the names of trials begin.
pub const TRIAL: &str = "replank-trial-";

/// Whether the processor helps, once that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// KVM.
    Kvm,
    /// QEMU's emulation.
    Emulated,
}

/// Since when a trial has been under way. Should this be forgotten, its time begins anew.
#[derive(Debug, Default)]
pub struct Trial(Mutex<Option<Instant>>);

impl Chosen {
    /// The type of a domain.
    pub fn domain_type(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulated => "qemu",
        }
    }

    /// The mode of its processor: everything that there is.
    pub fn processor(self) -> &'static str {
        match self {
            Self::Kvm => "host-passthrough",
            Self::Emulated => "maximum",
        }
    }
}

impl Trial {
    /// How long it has been under way.
    fn lasted(&self) -> Duration {
        let mut begun = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        begun.get_or_insert_with(Instant::now).elapsed()
    }

    fn over(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Hypervisor {
    /// What new machines are started with.
    ///
    /// # Errors
    /// When libvirt can't be asked, or refuses what a trial needs.
    pub async fn acceleration(&self, like: &Domain) -> Result<Progress<Chosen>, ProviderError> {
        let done = |value| Ok(Progress::Done { value });
        match self.settings.acceleration {
            Acceleration::Kvm => return done(Chosen::Kvm),
            Acceleration::Emulated => return done(Chosen::Emulated),
            Acceleration::Auto => {}
        }
        let offered = self.virsh.run(&["domcapabilities", "--virttype", "kvm", "--arch", "x86_64"]).await;
        if matches!(offered, Err(VirshError::Failed { .. })) {
            return done(Chosen::Emulated);
        }
        offered?;
        let Settings { image, kernel, processor, .. } = &self.settings;
        let key = short(&format!("{}\n{:?}", self.host().await?, (image, kernel, processor)));
        let known = self.volumes().await?;
        for (chosen, word) in [(Chosen::Kvm, "kvm"), (Chosen::Emulated, "emulated")] {
            if known.contains(&format!("{OURS}acceleration-{key}-{word}")) {
                return done(chosen);
            }
        }
        let (lasted, most) = (self.trial.lasted(), Duration::from_secs(self.settings.trial_seconds));
        let chosen = match self.attempt(&key, like).await? {
            Attempt::Writes => Chosen::Kvm,
            Attempt::Ended => Chosen::Emulated,
            Attempt::Silent if lasted >= most => Chosen::Emulated,
            Attempt::Silent => {
                let message = format!(
                    "whether the image starts with KVM is tried, once: {} s of at most {} have passed",
                    lasted.as_secs(),
                    most.as_secs()
                );
                return Ok(Progress::Pending { message });
            }
        };
        if chosen == Chosen::Emulated {
            tracing::warn!("the image did not start with KVM: its machines are emulated, which is slow");
        }
        let word = if chosen == Chosen::Kvm { "kvm" } else { "emulated" };
        let name = format!("{OURS}acceleration-{key}-{word}");
        self.make(&New { name: &name, format: "raw", capacity: 0, over: None }).await?;
        self.end_trial(&key).await?;
        self.trial.over();
        done(chosen)
    }

    /// Which host libvirt runs on: several may share a pool.
    async fn host(&self) -> Result<String, ProviderError> {
        let said = self.virsh.run(&["capabilities"]).await?;
        let unreadable =
            |why: String| ProviderError::lasting(ErrorCode::Internal, format!("`virsh capabilities`: {why}"));
        let document = roxmltree::Document::parse(&said).map_err(|e| unreadable(e.to_string()))?;
        let uuid = child(document.root_element(), "host").and_then(|host| child(host, "uuid"));
        Ok(uuid.and_then(|u| u.text()).ok_or_else(|| unreadable("no uuid".into()))?.to_owned())
    }

    /// Starts a trial that is not under way, and looks at one that is.
    async fn attempt(&self, key: &str, like: &Domain) -> Result<Attempt, ProviderError> {
        let name = format!("{TRIAL}{key}");
        let domains = self.domains().await?;
        if let Some(domain) = domains.iter().find(|d| d.name == name) {
            let said = self.virsh.run(&["domblkstat", domain.id.as_str(), "vda"]).await;
            return Ok(match said {
                Ok(said) if writes(&said) => Attempt::Writes,
                Ok(_) => Attempt::Silent,
                // Its QEMU ended at this moment, or the domain with it.
                Err(VirshError::Failed { .. }) => Attempt::Ended,
                Err(error) => return Err(error.into()),
            });
        }
        let volumes = self.volumes().await?;
        let disk = format!("{name}-disk");
        if volumes.contains(&disk) {
            // It was started, and is gone.
            return Ok(Attempt::Ended);
        }
        let id = crate::create::id_of(&name);
        let (seed, console) = (format!("{name}-seed"), format!("{name}-console"));
        for volume in [&seed, &console] {
            self.remove(volume).await?;
        }
        let meta_data = MetaData { instance_id: id.to_string(), local_hostname: "trial".into() };
        let image =
            Seed { user_data: b"#cloud-config\n{}\n".to_vec(), meta_data, network_config: None }.image();
        let image = image.map_err(|e| ProviderError::lasting(ErrorCode::Internal, e.to_string()))?;
        self.make(&New { name: &seed, format: "raw", capacity: image.len() as u64, over: None }).await?;
        self.fill(&seed, &image).await?;
        self.make(&New { name: &console, format: "raw", capacity: 0, over: None }).await?;
        self.make_disk(&disk).await?;
        let settings = Settings { networks: Vec::new(), ..self.settings.clone() };
        let definition = Definition {
            id: &id,
            name: &name,
            mark: &Mark::default(),
            settings: &settings,
            acceleration: Chosen::Kvm,
            like: &Domain { interfaces: Vec::new(), ..like.clone() },
            disk: &self.path(&disk),
            seed: &self.path(&seed),
            console: &self.path(&console),
        };
        match self.run_once(&definition.xml()).await {
            Ok(()) => Ok(Attempt::Silent),
            // QEMU itself can't use it.
            Err(VirshError::Failed { said, .. }) => {
                tracing::debug!(said, "KVM");
                Ok(Attempt::Ended)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn end_trial(&self, key: &str) -> Result<(), ProviderError> {
        let name = format!("{TRIAL}{key}");
        let id: MachineId = crate::create::id_of(&name);
        if self.look(&id).await?.is_some() {
            self.switch_off(&id).await?;
        }
        for part in ["disk", "seed", "console"] {
            self.remove(&format!("{name}-{part}")).await?;
        }
        Ok(())
    }
}

/// How a trial looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// Its system runs.
    Writes,
    /// Nothing is to be seen of it yet.
    Silent,
    /// It did not even stay on.
    Ended,
}

/// Whether a disk was written to, by what `virsh domblkstat` says of it.
pub fn writes(said: &str) -> bool {
    let mut lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.any(|words| matches!(words[..], [.., "wr_req", number] if number != "0"))
}

#[cfg(test)]
mod tests {
    use super::writes;

    #[test]
    fn a_guest_that_writes_is_told_from_one_that_only_reads() {
        assert!(!writes("vda rd_req 7\nvda rd_bytes 512\nvda wr_req 0\nvda wr_bytes 0"));
        assert!(writes("vda rd_req 7\nvda wr_req 1\nvda wr_bytes 512"));
        assert!(!writes(""));
    }
}
