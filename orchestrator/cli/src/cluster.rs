//! The way to the cluster: kubectl's own flags and files.

use crate::output;
use clap::Args;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use std::path::{Path, PathBuf};

/// How requests are known in the cluster's audit log.
const USER_AGENT: &str = concat!("replank/", env!("CARGO_PKG_VERSION"));

/// Which cluster.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClusterArguments {
    /// The kubeconfig; without it the files that KUBECONFIG names, then ~/.kube/config, then the
    /// service account of the pod that replank runs in.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// A context other than the kubeconfig's current one.
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub(crate) context: Option<String>,
}

/// Why the cluster can't be reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The file that was named.
    #[error("the kubeconfig {path} can't be used: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KubeconfigError,
    },
    /// The files that were found.
    #[error("no usable kubeconfig was found: {0}; give --kubeconfig FILE, or set KUBECONFIG")]
    Found(KubeconfigError),
    /// There is a configuration, but no client can be made of it.
    #[error("no client can be made for {server}: {source}")]
    Client {
        /// The API server.
        server: String,
        /// Why.
        source: kube::Error,
    },
}

/// A cluster to talk to.
#[derive(Clone)]
pub(crate) struct Connected {
    /// The client; it retries nothing by itself.
    pub(crate) client: Client,
    /// The context's name.
    context: String,
    /// The API server's address.
    server: String,
}

impl Connected {
    /// The cluster in a few words, for whoever has to be sure that it is the right one.
    pub(crate) fn shown(&self) -> String {
        format!("context {} at {}", self.context, self.server)
    }

    /// Says on stderr which cluster is about to be changed.
    pub(crate) fn announce(&self) {
        output::say(&format!("cluster: {}", self.shown()));
    }
}

impl ClusterArguments {
    /// Whether a cluster was asked for, rather than found.
    pub(crate) fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some()
    }

    /// Reads the configuration and makes a client; asks the server nothing.
    ///
    /// # Errors
    /// When there is no usable configuration.
    pub(crate) async fn connect(&self) -> Result<Connected, ConnectError> {
        // Another provider that a dependency chose first serves as well.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (mut config, context) = self.config().await?;
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(USER_AGENT)));
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        match replank_execution::world::client(config) {
            Ok(client) => Ok(Connected { client, context, server }),
            Err(source) => Err(ConnectError::Client { server, source }),
        }
    }

    async fn config(&self) -> Result<(kube::Config, String), ConnectError> {
        let explain = |source| match &self.kubeconfig {
            Some(path) => ConnectError::File { path: path.clone(), source },
            None => ConnectError::Found(source),
        };
        let read = match &self.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let kubeconfig = match read {
            Ok(kubeconfig) => kubeconfig,
            Err(error) => {
                let in_cluster = kube::Config::incluster().ok().filter(|_| self.kubeconfig.is_none());
                return in_cluster.map(|c| (c, "in-cluster".to_owned())).ok_or_else(|| explain(error));
            }
        };
        let context = self.context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(explain)?;
        Ok((config, context))
    }

    /// The kubeconfig's path for a program that we start, where it is one file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        match &self.kubeconfig {
            Some(path) => Some(absolute(path)),
            // A program that we start sees KUBECONFIG itself.
            None if std::env::var_os("KUBECONFIG").is_some_and(|value| !value.is_empty()) => None,
            None => std::env::home_dir().map(|home| home.join(".kube/config")),
        }
    }

    /// The flags again, for a command that someone can copy.
    pub(crate) fn flags(&self) -> String {
        let mut text = String::new();
        if let Some(path) = &self.kubeconfig {
            text.push_str(&format!(" --kubeconfig {}", output::quoted(&path.display().to_string())));
        }
        if let Some(context) = &self.context {
            text.push_str(&format!(" --context {}", output::quoted(context)));
        }
        text
    }
}
