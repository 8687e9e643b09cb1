//! `create`: a domain that replank can always find again, then its volumes, then its start.

use crate::acceleration::Chosen;
use crate::definition::Definition;
use crate::domain::{Domain, Power};
use crate::hypervisor::Hypervisor;
use crate::mark::{Made, Mark, Phase};
use crate::volumes::{New, Part, name};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_cloud_init::{MetaData, Seed};
use replank_provider_protocol::verbs::{CreateParams, MachineSpec, Mutation, Progress};
use replank_provider_protocol::{ErrorCode, MachineId, ProviderError};
use sha2::{Digest as _, Sha256};

fn invalid(message: String) -> ProviderError {
    ProviderError::lasting(ErrorCode::Invalid, message)
}

/// The id of the machine that an operation makes: whoever asks again means the same one.
pub fn id(mutation: &Mutation) -> MachineId {
    id_of(&format!("{}\n{}", mutation.cluster, mutation.operation))
}

/// A UUID that a text leads to.
pub(crate) fn id_of(text: &str) -> MachineId {
    let digest = Sha256::digest(text);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    // Version 8 of RFC 9562: made by a rule of one's own.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    MachineId::new(parts.join("-"))
}

/// The volume that carries the user-data.
fn seed(id: &MachineId, params: &CreateParams) -> Result<Vec<u8>, ProviderError> {
    let user_data = STANDARD.decode(&params.user_data);
    let user_data = user_data.map_err(|_| invalid("the user-data is not base64".into()))?;
    let meta_data = MetaData {
        // No other machine ever had it.
        instance_id: id.to_string(),
        local_hostname: params.spec.name.clone(),
    };
    Seed { user_data, meta_data, network_config: None }.image().map_err(|e| invalid(e.to_string()))
}

impl Hypervisor {
    /// Whether a machine of this shape could be made.
    ///
    /// # Errors
    /// When there is no model, or the name is taken.
    pub async fn can_be_made(&self, spec: &MachineSpec) -> Result<(), ProviderError> {
        let domains = self.domains().await?;
        if !domains.iter().any(|d| d.id == spec.like) {
            return Err(crate::hypervisor::no_machine(&spec.like));
        }
        name_is_free(&domains, None, &spec.name)?;
        self.image_capacity().await.map(drop)
    }

    /// Makes a machine and starts it, or does what is left to do of that.
    ///
    /// # Errors
    /// When libvirt refuses it, or there is one of another making.
    pub async fn create(&self, params: &CreateParams) -> Result<Progress<MachineId>, ProviderError> {
        let id = id(&params.mutation);
        let seed = seed(&id, params)?;
        let domains = self.domains().await?;
        if !domains.iter().any(|d| d.id == params.spec.like) {
            return Err(crate::hypervisor::no_machine(&params.spec.like));
        }
        let (made, power) = match domains.iter().find(|d| d.id == id) {
            Some(known) => match known.mark.made.as_ref().filter(|made| is_of(made, known, params)) {
                Some(made) if made.phase == Phase::Started => return Ok(Progress::Done { value: id }),
                Some(made) => (made.clone(), known.power),
                None => return Err(of_another_making(params)),
            },
            None => {
                name_is_free(&domains, Some(&id), &params.spec.name)?;
                match self.announce(&id, params).await? {
                    Progress::Done { value: made } => (made, Power::Off),
                    Progress::Pending { message } => return Ok(Progress::Pending { message }),
                }
            }
        };
        if power == Power::Off {
            self.furnish(&id, &seed).await?;
            self.virsh.run(&["start", id.as_str()]).await?;
        }
        let made = Made { phase: Phase::Started, ..made };
        self.keep(&id, Power::On, &Mark { made: Some(made), snapshots: Vec::new() }).await?;
        Ok(Progress::Done { value: id })
    }

    /// Defines the domain before anything of it exists: at no time is there something that `list` does not show.
    async fn announce(&self, id: &MachineId, params: &CreateParams) -> Result<Progress<Made>, ProviderError> {
        let Mutation { operation, run, cluster, .. } = &params.mutation;
        let made = Made {
            cluster: cluster.clone(),
            run: run.clone(),
            operation: operation.clone(),
            role: params.spec.role,
            labels: params.spec.labels.clone(),
            phase: Phase::Defined,
        };
        let like = self.next_start(&params.spec.like).await?;
        let template = self.template()?;
        let acceleration = match &template {
            // It says so itself.
            Some(_) => Chosen::Kvm,
            None => match self.acceleration(&like).await? {
                Progress::Done { value } => value,
                Progress::Pending { message } => return Ok(Progress::Pending { message }),
            },
        };
        let file = |part| self.path(&name(id, part));
        let definition = Definition {
            id,
            name: &params.spec.name,
            mark: &Mark { made: Some(made.clone()), snapshots: Vec::new() },
            settings: &self.settings,
            acceleration,
            like: &like,
            disk: &file(Part::Disk),
            seed: &file(Part::Seed),
            console: &file(Part::Console),
        };
        let xml = match &template {
            Some((path, text)) => crate::template::fill(text, &definition)
                .map_err(|e| invalid(format!("provider.settings.template: {path} can't be used: {e}")))?,
            None => definition.xml(),
        };
        self.define(&xml).await.map_err(|error| match error {
            error if error.says(&["already exists with uuid"]) => of_another_making(params),
            error => error.into(),
        })?;
        Ok(Progress::Done { value: made })
    }

    /// The user's template and where it lies, if there is one.
    fn template(&self) -> Result<Option<(String, String)>, ProviderError> {
        let Some(path) = &self.settings.template else { return Ok(None) };
        let shown = path.display().to_string();
        let unreadable = |e| invalid(format!("provider.settings.template: {shown} can't be read: {e}"));
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Ok(Some((shown, text)))
    }

    /// Makes a disk over the image.
    pub(crate) async fn make_disk(&self, name: &str) -> Result<(), ProviderError> {
        let capacity = match self.settings.disk_gib {
            Some(size) => size * 1024 * 1024 * 1024,
            None => self.image_capacity().await?,
        };
        let (path, format) = (self.path(&self.settings.image), self.settings.image_format.name());
        let over = Some((path.as_str(), format));
        Ok(self.make(&New { name, format: "qcow2", capacity, over }).await?)
    }

    /// Makes the volumes anew. What an ended attempt left may be half of one, and was never used.
    async fn furnish(&self, id: &MachineId, seed: &[u8]) -> Result<(), ProviderError> {
        let known = self.volumes().await?;
        let (disk, volume, console) = (name(id, Part::Disk), name(id, Part::Seed), name(id, Part::Console));
        for name in [&disk, &volume, &console] {
            if known.contains(name) {
                self.remove(name).await?;
            }
        }
        self.make_disk(&disk).await?;
        let capacity = seed.len() as u64;
        self.make(&New { name: &volume, format: "raw", capacity, over: None }).await?;
        self.fill(&volume, seed).await?;
        self.make(&New { name: &console, format: "raw", capacity: 0, over: None }).await?;
        Ok(())
    }
}

/// Whether a domain is what these arguments make.
fn is_of(made: &Made, domain: &Domain, params: &CreateParams) -> bool {
    let (spec, mutation) = (&params.spec, &params.mutation);
    domain.name == spec.name
        && made.role == spec.role
        && made.labels == spec.labels
        && made.run == mutation.run
}

fn of_another_making(params: &CreateParams) -> ProviderError {
    let message = format!("there is a domain {} already, of another making", params.spec.name);
    ProviderError::lasting(ErrorCode::AlreadyExists, message)
}

fn name_is_free(domains: &[Domain], own: Option<&MachineId>, name: &str) -> Result<(), ProviderError> {
    match domains.iter().find(|d| d.name == name && Some(&d.id) != own) {
        None => Ok(()),
        Some(domain) => {
            let message = format!("there is a domain {name} already, with the uuid {}", domain.id);
            Err(ProviderError::lasting(ErrorCode::AlreadyExists, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use replank_provider_protocol::Epoch;

    #[test]
    fn an_operation_has_one_machine_in_each_cluster() {
        let mutation = |cluster: &str| Mutation {
            operation: "run-1/create/a".into(),
            run: "run-1".into(),
            cluster: cluster.into(),
            epoch: Epoch(1),
        };
        let one = id(&mutation("c1"));
        assert_eq!(one, id(&mutation("c1")));
        assert_ne!(one, id(&mutation("c2")));
        assert_eq!((&one.as_str()[14..15], one.as_str().len()), ("8", 36));
    }
}
