//! kubeadm: making a first control plane, joining further machines, renewing the certificates'
//! way through the API, and taking a machine out again.

mod addons;
mod config;
mod files;
mod init;
mod join;
mod manifests;
mod pki;
mod reset;
mod upload_certs;

pub(crate) use pki::pin;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::KUBELET_VERSION;
use super::api::{Api, ApiFailure};
use super::host::CommandOutput;
use super::machine::Machine;

/// Why kubeadm gave up: what it prints, and its exit status.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl<T: std::fmt::Display> From<T> for Failure {
    fn from(message: T) -> Self {
        Self(message.to_string())
    }
}

type Done = Result<String, Failure>;

/// A kubeadm at work on a machine.
pub(crate) struct Kubeadm<'a> {
    machine: &'a Arc<Machine>,
    api: Api,
}

/// Runs `kubeadm`.
pub(crate) async fn run(machine: &Arc<Machine>, arguments: &[&str]) -> CommandOutput {
    let client = machine.site.access.client(&format!("kubeadm/{KUBELET_VERSION} (linux/amd64)"));
    let kubeadm = Kubeadm { machine, api: Api::new(client) };
    let done = match arguments {
        ["init", "phase", "upload-certs", flags @ ..] => kubeadm.upload_certs(flags).await,
        ["init", flags @ ..] => kubeadm.init(flags).await,
        ["join", flags @ ..] => kubeadm.join(flags).await,
        ["reset", ..] => kubeadm.reset().await,
        ["version", ..] => Ok(format!("{KUBELET_VERSION}\n")),
        _ => Err(Failure(format!("unknown command \"{}\" for \"kubeadm\"", arguments.join(" ")))),
    };
    match done {
        Ok(output) => CommandOutput::ok(output),
        Err(Failure(message)) => CommandOutput::fail(1, format!("error execution phase: {message}")),
    }
}

/// The value of `--name value` or `--name=value`.
fn flag<'a>(flags: &[&'a str], name: &str) -> Option<&'a str> {
    flags.iter().enumerate().find_map(|(at, word)| {
        let rest = word.strip_prefix(name)?;
        match rest.strip_prefix('=') {
            Some(value) => Some(value),
            None if rest.is_empty() => flags.get(at + 1).copied(),
            None => None,
        }
    })
}

impl Kubeadm<'_> {
    /// Asks again until there is an answer that is not an error of the server's side.
    async fn patiently<T, F>(&self, what: &str, ask: impl Fn() -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, ApiFailure>>,
    {
        let durations = self.machine.site.durations.clone();
        let until = Instant::now() + durations.kubeadm_timeout;
        loop {
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(failure) if (400..429).contains(&failure.code()) && failure.code() != 408 => {
                    return Err(Failure(format!("{what}: {failure}")));
                }
                Err(failure) if Instant::now() >= until => return Err(Failure(format!("{what}: {failure}"))),
                Err(_) => tokio::time::sleep(durations.kubeadm_poll).await,
            }
        }
    }

    /// Waits until something is so.
    async fn until<F>(&self, what: &str, holds: impl Fn() -> F) -> Result<(), Failure>
    where
        F: Future<Output = bool>,
    {
        let durations = self.machine.site.durations.clone();
        let until = Instant::now() + durations.kubeadm_timeout;
        while !holds().await {
            if Instant::now() >= until {
                return Err(Failure(format!("timed out waiting for {what}")));
            }
            tokio::time::sleep(durations.kubeadm_poll).await;
        }
        Ok(())
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) -> Result<(), Failure> {
        Ok(self.machine.host.files().write(path, content, mode)?)
    }

    async fn pause(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
