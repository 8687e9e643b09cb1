//! What is wanted, as flags: each of them wins over the configuration file.

use crate::config::{self, ConfigError};
use clap::{Args, ValueEnum};
use ipnet::IpNet;
use replank_planning::checks::{Code, Consent};
use replank_planning::intent::{Backend, Intent, Problem, Strategy, problems};
use std::path::{Path, PathBuf};

/// The migration that is wanted.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct WishArguments {
    /// The configuration file; `replank config init` prints one to start from.
    #[arg(long, value_name = "FILE", help_heading = "Migration")]
    pub(crate) config: Option<PathBuf>,
    /// How the networks change places; rolling if it is left out.
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Migration")]
    pub(crate) strategy: Option<StrategyName>,
    /// The new pod network; a free range is chosen if it is left out. One of each family at most.
    #[arg(long, value_name = "CIDR", value_delimiter = ',', help_heading = "Migration")]
    pub(crate) pod_cidr: Vec<IpNet>,
    /// How Flannel's nodes reach each other; vxlan if it is left out.
    #[arg(long, value_enum, value_name = "NAME", help_heading = "Migration")]
    pub(crate) backend: Option<BackendName>,
    /// The MTU of pod interfaces, in bytes; Flannel finds it if it is left out.
    #[arg(long, value_name = "BYTES", help_heading = "Migration")]
    pub(crate) mtu: Option<u32>,
    /// Flannel's image.
    #[arg(long, value_name = "IMAGE", help_heading = "Migration")]
    pub(crate) flannel_image: Option<String>,
    /// A Flannel manifest of your own.
    #[arg(long, value_name = "FILE", help_heading = "Migration")]
    pub(crate) flannel_manifest: Option<PathBuf>,
}

/// A strategy, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyName {
    /// Calico stays on the old nodes until the last of them is gone.
    Rolling,
    /// Calico is removed whole first: an outage.
    Cutover,
}

/// A backend, by Flannel's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackendName {
    /// VXLAN, UDP port 8472.
    Vxlan,
    /// Plain routes: all nodes on one layer-2 segment.
    HostGw,
    /// WireGuard, UDP ports 51820 and 51821.
    Wireguard,
}

/// Why it is not known what is wanted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WishError {
    /// The configuration file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file that a flag names.
    #[error(transparent)]
    File(#[from] Unreadable),
    /// The flags, or flags and file together.
    #[error("this can't be meant:{}", shown(.0))]
    Problems(Vec<Problem>),
}

fn shown(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("\n  {}: {}", p.at.join("."), p.message)).collect()
}

/// A file that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{path} could not be read: {source}")]
pub(crate) struct Unreadable {
    /// Which.
    pub(crate) path: PathBuf,
    /// Why.
    pub(crate) source: std::io::Error,
}

/// Reads a text file.
///
/// # Errors
/// When it can't be read.
pub(crate) fn read(path: &Path) -> Result<String, Unreadable> {
    std::fs::read_to_string(path).map_err(|source| Unreadable { path: path.to_owned(), source })
}

impl WishArguments {
    /// What is wanted: what the file says, under what the flags say.
    ///
    /// # Errors
    /// When a file can't be used, or both together can't be meant.
    pub(crate) fn intent(&self) -> Result<Intent, WishError> {
        let filed = self.config.as_deref().map(config::load).transpose()?.unwrap_or_default();
        let intent = self.over(filed)?;
        let found = problems(&intent);
        if found.is_empty() { Ok(intent) } else { Err(WishError::Problems(found)) }
    }

    /// Puts what the flags say over what was wanted before.
    ///
    /// # Errors
    /// When the manifest can't be read.
    fn over(&self, mut intent: Intent) -> Result<Intent, Unreadable> {
        if let Some(strategy) = self.strategy {
            intent.strategy = match strategy {
                StrategyName::Rolling => Strategy::Rolling,
                StrategyName::Cutover => Strategy::Cutover,
            };
        }
        let network = &mut intent.network;
        if !self.pod_cidr.is_empty() {
            network.pod_cidrs.clone_from(&self.pod_cidr);
        }
        if let Some(backend) = self.backend {
            network.backend = match backend {
                BackendName::Vxlan => Backend::Vxlan,
                BackendName::HostGw => Backend::HostGw,
                BackendName::Wireguard => Backend::Wireguard,
            };
        }
        network.mtu = self.mtu.or(network.mtu);
        if let Some(image) = &self.flannel_image {
            network.image = Some(image.clone());
        }
        if let Some(path) = &self.flannel_manifest {
            network.manifest = Some(read(path)?);
        }
        Ok(intent)
    }
}

/// Reads `CODE` or `CODE:OBJECT`.
pub(crate) fn consent(text: &str) -> Result<Consent, String> {
    let (code, object) = match text.split_once(':') {
        Some((code, object)) => (code, Some(object.trim().to_owned())),
        None => (text, None),
    };
    if object.as_deref() == Some("") {
        return Err("name the object after the colon, or leave the colon out for all there are now".into());
    }
    let code: Code = serde_json::from_value(code.trim().into()).map_err(|_| {
        format!("there is no finding {code:?}; `replank check` shows the codes that matter here")
    })?;
    Ok(Consent { code, object })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_names_a_code_and_perhaps_an_object() {
        let all = consent("bare-pod").unwrap();
        assert_eq!(all, Consent { code: Code::BarePod, object: None });
        let one = consent("empty-dir:ReplicaSet default/web").unwrap();
        assert_eq!(one.object.as_deref(), Some("ReplicaSet default/web"));
        assert!(consent("rain").unwrap_err().contains("rain"));
        assert!(consent("bare-pod:").is_err());
    }

    #[test]
    fn flags_win_over_what_was_wanted_before_and_nothing_else_changes() {
        let mut before = Intent { strategy: Strategy::Cutover, ..Intent::default() };
        before.network.mtu = Some(1400);
        let none = WishArguments::default().over(before.clone()).unwrap();
        assert_eq!(none, before);
        let flags = WishArguments {
            strategy: Some(StrategyName::Rolling),
            pod_cidr: vec!["10.9.0.0/16".parse().unwrap()],
            ..WishArguments::default()
        };
        let after = flags.over(before).unwrap();
        assert_eq!((after.strategy, after.network.mtu), (Strategy::Rolling, Some(1400)));
        assert_eq!(after.network.pod_cidrs.len(), 1);
    }
}
