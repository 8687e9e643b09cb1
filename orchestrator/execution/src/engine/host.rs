//! A machine's host, through the provider.

use super::{StepContext, StepError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use replank_provider_kit::escape::{escape, escape_line};
use replank_provider_protocol::MachineId;
use replank_provider_protocol::verbs::{HostFile, HostReadParams, HostRunParams, HostWriteParams};

/// How much of a command's complaint is told, in characters.
const LONGEST_COMPLAINT: usize = 500;

/// A host that a step uses.
pub struct HostHandle<'c, 'a> {
    cx: &'c StepContext<'a>,
    machine: MachineId,
}

/// How a command on a host ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about, fit to be shown: it came from another machine.
    pub stderr: String,
}

impl Ran {
    /// Its output, or its complaint as a failure.
    ///
    /// # Errors
    /// When it did not succeed.
    pub fn success(self, what: &str) -> Result<String, StepError> {
        if self.status == 0 {
            return Ok(self.stdout);
        }
        let said = escape_line(self.stderr.trim(), LONGEST_COMPLAINT);
        Err(StepError::Failed(format!("{what} ended with status {}: {said}", self.status)))
    }
}

impl<'a> StepContext<'a> {
    /// The host of a machine.
    pub fn host<'c>(&'c self, machine: MachineId) -> HostHandle<'c, 'a> {
        HostHandle { cx: self, machine }
    }
}

impl HostHandle<'_, '_> {
    /// Runs a command that only reads.
    ///
    /// # Errors
    /// When the host can't be used.
    pub async fn ask(&self, argv: &[&str]) -> Result<Ran, StepError> {
        self.run(argv, None).await
    }

    /// Runs a command that changes something; the effect has one operation id.
    ///
    /// # Errors
    /// When the host can't be used.
    pub async fn act(&self, effect: &str, argv: &[&str]) -> Result<Ran, StepError> {
        self.run(argv, Some(effect)).await
    }

    async fn run(&self, argv: &[&str], effect: Option<&str>) -> Result<Ran, StepError> {
        let provider = &self.cx.running.world.provider;
        let output = self
            .cx
            .provider_at_once(
                &format!("run {} on {}", argv.first().unwrap_or(&"nothing"), self.machine),
                || {
                    provider.host_run(HostRunParams {
                        mutation: effect.map(|e| self.cx.mutation(&format!("{e}/{}", self.cx.attempt()))),
                        machine: self.machine.clone(),
                        argv: argv.iter().map(|w| (*w).to_owned()).collect(),
                        stdin: None,
                    })
                },
            )
            .await?;
        let text = |encoded: &str| {
            String::from_utf8_lossy(&STANDARD.decode(encoded).unwrap_or_default()).into_owned()
        };
        Ok(Ran { status: output.status, stdout: text(&output.stdout), stderr: escape(&text(&output.stderr)) })
    }

    /// A file's bytes and mode, if it is there.
    ///
    /// # Errors
    /// When the host can't be used.
    pub async fn read(&self, path: &str) -> Result<Option<(Vec<u8>, u32)>, StepError> {
        let provider = &self.cx.running.world.provider;
        let file = self
            .cx
            .provider_at_once(&format!("read {path} on {}", self.machine), || {
                provider.host_read(HostReadParams { machine: self.machine.clone(), path: path.to_owned() })
            })
            .await?;
        file.map(|file| {
            let content = STANDARD
                .decode(&file.content)
                .map_err(|_| StepError::Provider(format!("the provider sent {path} in no base64")))?;
            Ok((content, file.mode))
        })
        .transpose()
    }

    /// A text file, which must be there.
    ///
    /// # Errors
    /// When it is not, or the host can't be used.
    pub async fn read_text(&self, path: &str) -> Result<(String, u32), StepError> {
        let (content, mode) = self
            .read(path)
            .await?
            .ok_or_else(|| StepError::host(&self.machine, format!("there is no {path}")))?;
        let text = String::from_utf8(content)
            .map_err(|_| StepError::host(&self.machine, format!("{path} is not text")))?;
        Ok((text, mode))
    }

    /// Replaces a file as a whole, or removes it.
    ///
    /// # Errors
    /// When the host can't be used.
    pub async fn write(&self, effect: &str, path: &str, file: Option<(&[u8], u32)>) -> Result<(), StepError> {
        let provider = &self.cx.running.world.provider;
        self.cx
            .provider_at_once(&format!("write {path} on {}", self.machine), || {
                provider.host_write(HostWriteParams {
                    mutation: self.cx.mutation(effect),
                    machine: self.machine.clone(),
                    path: path.to_owned(),
                    file: file.map(|(content, mode)| HostFile { content: STANDARD.encode(content), mode }),
                })
            })
            .await
    }
}
