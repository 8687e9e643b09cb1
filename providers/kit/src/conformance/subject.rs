//! The provider under test: as a plugin's process, or within this one.

use super::wire::Wire;
use crate::plugin::StartError;
use crate::{PluginProvider, Provider};
use replank_provider_protocol::rpc::VERSIONS;
use replank_provider_protocol::verbs::{InitializeParams, InitializeResult};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// Makes a provider that knows nothing of the ones made before it, but has the same backend.
pub type Maker = Box<dyn Fn() -> Arc<dyn Provider> + Send + Sync>;

/// What is checked, and how more of it are started.
pub enum Subject {
    /// A plugin: every session is a process of its own.
    Plugin {
        /// Its name.
        name: String,
        /// Its executable.
        path: PathBuf,
        /// Its settings, as the configuration file has them.
        settings: Value,
    },
    /// A provider within this process. Killing a session drops the call that is under way.
    InProcess {
        /// Makes one.
        make: Maker,
        /// Its settings.
        settings: Value,
    },
}

/// A provider in service.
pub enum Session {
    /// A plugin's process.
    Plugin(PluginProvider),
    /// One within this process.
    InProcess(Arc<dyn Provider>, Box<InitializeResult>),
}

impl Subject {
    /// Whether a session has a process of its own.
    pub fn is_process(&self) -> bool {
        matches!(self, Self::Plugin { .. })
    }

    /// Its settings.
    pub fn settings(&self) -> &Value {
        match self {
            Self::Plugin { settings, .. } | Self::InProcess { settings, .. } => settings,
        }
    }

    /// Starts one and greets it.
    ///
    /// # Errors
    /// When it can't be started or refuses `initialize`.
    pub async fn start(&self) -> Result<Session, StartError> {
        match self {
            Self::Plugin { name, path, settings } => {
                Ok(Session::Plugin(PluginProvider::start(name, path.clone(), settings.clone()).await?))
            }
            Self::InProcess { make, settings } => {
                let provider = make();
                let params =
                    InitializeParams { protocol_versions: VERSIONS.to_vec(), settings: settings.clone() };
                let greeting = provider.initialize(params).await?;
                Ok(Session::InProcess(provider, Box::new(greeting)))
            }
        }
    }

    /// Starts one that is not greeted, for lines as they are.
    pub(super) fn wire(&self) -> std::io::Result<Wire> {
        match self {
            Self::Plugin { path, .. } => Wire::process(path),
            Self::InProcess { make, .. } => Ok(Wire::in_process(make())),
        }
    }
}

impl Session {
    /// The provider to ask.
    pub fn provider(&self) -> &dyn Provider {
        match self {
            Self::Plugin(plugin) => plugin,
            Self::InProcess(provider, _) => provider.as_ref(),
        }
    }

    /// What it answered to `initialize`.
    pub fn greeting(&self) -> &InitializeResult {
        match self {
            Self::Plugin(plugin) => plugin.greeting(),
            Self::InProcess(_, greeting) => greeting,
        }
    }

    /// Ends it at once, whatever it does, and waits until it is dead.
    pub async fn kill(self) {
        match self {
            Self::Plugin(plugin) => plugin.kill().await,
            Self::InProcess(..) => {}
        }
    }

    /// Ends it in good order.
    pub async fn close(self) {
        match self {
            Self::Plugin(plugin) => plugin.close().await,
            Self::InProcess(..) => {}
        }
    }
}
