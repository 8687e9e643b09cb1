//! Domains, as libvirt has them.

use crate::acceleration::Trial;
use crate::domain::{Domain, Power};
use crate::mark::{Mark, NAMESPACE, PREFIX};
use crate::settings::Settings;
use crate::virsh::{Virsh, VirshError};
use crate::xml::child;
use replank_provider_protocol::{ErrorCode, MachineId, ProviderError};
use std::collections::BTreeMap;
use std::io::Write as _;

/// How many domains are asked for in one command: an argument's length has a bound.
const CHUNK: usize = 500;

/// One libvirt, and what the settings say of it.
#[derive(Debug)]
pub struct Hypervisor {
    /// Its client.
    pub virsh: Virsh,
    /// What the user wants.
    pub settings: Settings,
    /// Where the pool's volumes lie on libvirt's host.
    pub(crate) folder: String,
    /// A trial of KVM that is under way.
    pub(crate) trial: Trial,
}

/// Whether a text is a UUID as libvirt writes it; nothing else is ever a word of a command.
fn is_uuid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match dashes.contains(&at) {
            true => b == b'-',
            false => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}

/// What every verb answers about a machine that is not there.
pub fn no_machine(id: &MachineId) -> ProviderError {
    ProviderError::lasting(ErrorCode::NotFound, format!("there is no machine {id}"))
}

fn internal(message: String) -> ProviderError {
    ProviderError::lasting(ErrorCode::Internal, message)
}

impl Hypervisor {
    /// Looks for libvirt, the pool and the image.
    ///
    /// # Errors
    /// When one of them is not there.
    pub async fn open(settings: Settings) -> Result<Self, ProviderError> {
        let virsh = Virsh::new(settings.uri.clone());
        uuids(&virsh).await?;
        let pool = virsh.run(&["pool-dumpxml", "--pool", &settings.pool]).await;
        let pool = pool.map_err(|e| wrong("pool", &settings.pool, e))?;
        let document = roxmltree::Document::parse(&pool).map_err(|e| internal(e.to_string()))?;
        let folder = child(document.root_element(), "target").and_then(|t| child(t, "path"));
        let kind = document.root_element().attribute("type").unwrap_or_default();
        let (Some(folder), "dir" | "fs" | "netfs") = (folder.and_then(|p| p.text()), kind) else {
            let message = format!(
                "provider.settings.pool: the volumes of {}, a pool of type {kind}, are no files; name one of type dir, fs or netfs",
                settings.pool
            );
            return Err(ProviderError::lasting(ErrorCode::Invalid, message));
        };
        let folder = folder.trim_end_matches('/').to_owned();
        let opened = Self { virsh, settings, folder, trial: Trial::default() };
        let image =
            opened.virsh.run(&["vol-path", "--pool", &opened.settings.pool, &opened.settings.image]).await;
        image.map_err(|e| wrong("image", &opened.settings.image, e))?;
        Ok(opened)
    }

    /// Every domain, in order of id.
    ///
    /// # Errors
    /// When libvirt can't be asked, or a domain can't be read: a list is whole, or none.
    pub async fn domains(&self) -> Result<Vec<Domain>, ProviderError> {
        let ids = uuids(&self.virsh).await?;
        let mut domains = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            domains.extend(self.read(chunk).await?);
        }
        domains.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(domains)
    }

    /// One domain; none if libvirt answers and has none.
    ///
    /// # Errors
    /// As [`Self::domains`].
    pub async fn look(&self, id: &MachineId) -> Result<Option<Domain>, ProviderError> {
        if !is_uuid(id.as_str()) || !uuids(&self.virsh).await?.iter().any(|known| known == id.as_str()) {
            return Ok(None);
        }
        Ok(self.read(&[id.to_string()]).await?.pop())
    }

    /// One domain.
    ///
    /// # Errors
    /// When there is none, or as [`Self::domains`].
    pub async fn domain(&self, id: &MachineId) -> Result<Domain, ProviderError> {
        self.look(id).await?.ok_or_else(|| no_machine(id))
    }

    /// A domain as it will be at its next start, with the passwords that it holds.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn next_start(&self, id: &MachineId) -> Result<Domain, ProviderError> {
        let xml = self.virsh.run(&["dumpxml", "--inactive", "--security-info", id.as_str()]).await?;
        Domain::read(&xml, None).map_err(|e| internal(format!("domain {id}: {e}")))
    }

    /// Defines a domain, or gives it another definition.
    ///
    /// # Errors
    /// When libvirt refuses it.
    pub async fn define(&self, xml: &str) -> Result<(), VirshError> {
        self.give("define", xml).await
    }

    /// Starts a domain that libvirt forgets when it ends.
    ///
    /// # Errors
    /// When libvirt refuses it, or QEMU does not start.
    pub async fn run_once(&self, xml: &str) -> Result<(), VirshError> {
        self.give("create", xml).await
    }

    async fn give(&self, command: &str, xml: &str) -> Result<(), VirshError> {
        // Of this user alone: a definition may hold a password for a console.
        let file = tempfile::NamedTempFile::new().and_then(|mut file| {
            file.write_all(xml.as_bytes())?;
            Ok(file)
        });
        let file = file.map_err(VirshError::File)?;
        self.virsh.run(&[command, &file.path().display().to_string()]).await.map(drop)
    }

    /// Keeps something with a domain, now and after its next start.
    ///
    /// # Errors
    /// When it is gone, or was switched on or off at this moment.
    pub async fn keep(&self, id: &MachineId, power: Power, mark: &Mark) -> Result<(), VirshError> {
        let xml = mark.bare_element().render();
        let mut words = vec!["metadata", id.as_str(), NAMESPACE, "--key", PREFIX, "--set", &xml, "--config"];
        if power != Power::Off {
            words.push("--live");
        }
        self.virsh.run(&words).await.map(drop)
    }

    async fn read(&self, ids: &[String]) -> Result<Vec<Domain>, ProviderError> {
        let mut commands: Vec<String> = vec![format!("domstats --state --raw {}", ids.join(" "))];
        commands.extend(ids.iter().map(|id| format!("dumpxml {id}")));
        let said = self.virsh.lines(&commands).await?;
        let states = states(&said);
        let read = |xml: &str| {
            let domain = Domain::read(xml, None)?;
            let state = states.get(&domain.name).copied();
            Domain::read(xml, state)
        };
        documents(&said).map(|xml| read(xml).map_err(internal)).collect()
    }
}

/// The UUIDs of all domains. The one question that fails only when libvirt can't be asked.
async fn uuids(virsh: &Virsh) -> Result<Vec<String>, ProviderError> {
    match virsh.run(&["list", "--all", "--uuid"]).await {
        Ok(said) => Ok(said.lines().map(str::trim).filter(|line| is_uuid(line)).map(str::to_owned).collect()),
        Err(VirshError::Failed { said, .. }) => {
            let message = format!("libvirt at {} can't be asked: {said}", virsh.uri());
            Err(ProviderError::passing(ErrorCode::Unavailable, message))
        }
        Err(error) => Err(error.into()),
    }
}

fn wrong(setting: &str, value: &str, error: VirshError) -> ProviderError {
    match error {
        VirshError::Failed { said, .. } => {
            let message = format!("provider.settings.{setting}: {value} can't be used: {said}");
            ProviderError::lasting(ErrorCode::Invalid, message)
        }
        error => error.into(),
    }
}

/// The numbers of the states, by the names of the domains.
fn states(said: &str) -> BTreeMap<String, u32> {
    let mut states = BTreeMap::new();
    let mut name = None;
    for line in said.lines() {
        if let Some(quoted) = line.strip_prefix("Domain: '").and_then(|rest| rest.strip_suffix('\'')) {
            name = Some(quoted.to_owned());
        } else if let Some(state) = line.trim().strip_prefix("state.state=")
            && let (Some(name), Ok(state)) = (name.take(), state.parse())
        {
            states.insert(name, state);
        }
    }
    states
}

/// The documents of domains in what several commands printed.
fn documents(said: &str) -> impl Iterator<Item = &str> {
    const END: &str = "\n</domain>";
    let mut rest = said;
    std::iter::from_fn(move || {
        let begin = match rest.starts_with("<domain ") {
            true => 0,
            false => rest.find("\n<domain ")? + 1,
        };
        let end = begin + rest[begin..].find(END)? + END.len();
        let document = &rest[begin..end];
        rest = &rest[end..];
        Some(document)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_commands_printed_is_told_apart() {
        let said = "Domain: 'a b'\n  state.state=5\n  state.reason=1\n\n<domain type='kvm'>\n  <x/>\n</domain>\n\
                    \n<domain type='qemu' id='3'>\n</domain>";
        assert_eq!(states(said), [("a b".to_owned(), 5)].into());
        let documents: Vec<_> = documents(said).collect();
        let wanted = ["<domain type='kvm'>\n  <x/>\n</domain>", "<domain type='qemu' id='3'>\n</domain>"];
        assert_eq!(documents, wanted);
    }

    #[test]
    fn nothing_but_a_uuid_becomes_a_word() {
        assert!(is_uuid("e9daf64d-0173-4467-b45c-eb3d3988e7b4"));
        for odd in
            ["", "--all", "e9daf64d-0173-4467-b45c-eb3d3988e7b4 ", "E9DAF64D-0173-4467-B45C-EB3D3988E7B4"]
        {
            assert!(!is_uuid(odd), "{odd}");
        }
    }
}
