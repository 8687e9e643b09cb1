//! Container programs: what runs inside pods and matters to a cluster.
//!
//! A pod's container is matched to a program by its image, command and arguments, never by the
//! name of an object. A container that no program claims is an ordinary one: it starts, becomes
//! ready after its probe delay and stops within its grace time.

use crate::server::Object;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::cni::keyspace::Keyspace;
use super::container_files::ContainerFiles;
use super::durations::Durations;
use super::host::HostHandle;
use crate::clock::Clock;
use crate::server::Server;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The process ended by itself with this status; 0 means completed.
    Code(i32),
}

impl Exit {
    /// The process ended as it should.
    pub const OK: Exit = Exit::Code(0);

    /// The exit status as a container runtime reports it.
    pub fn code(self) -> i32 {
        let Exit::Code(code) = self;
        code
    }
}

/// What a program is recognised by.
#[derive(Clone, Debug, Default)]
pub struct ContainerSpecView<'a> {
    /// The image reference as the pod names it.
    pub image: &'a str,
    /// The name of the container within its pod.
    pub container: &'a str,
    /// The entry point, if the pod overrides the image's.
    pub command: Vec<&'a str>,
    /// The arguments.
    pub args: Vec<&'a str>,
    /// Names of the environment variables that are set.
    pub env: Vec<&'a str>,
    /// Whether it is an init container.
    pub init: bool,
}

impl<'a> ContainerSpecView<'a> {
    /// The view of one entry of `spec.containers` or `spec.initContainers`.
    pub fn of(container: &'a Value, init: bool) -> Self {
        let texts = |key: &str| -> Vec<&'a str> {
            container[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
        };
        Self {
            image: container["image"].as_str().unwrap_or_default(),
            container: container["name"].as_str().unwrap_or_default(),
            command: texts("command"),
            args: texts("args"),
            env: container["env"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|entry| entry["name"].as_str())
                .collect(),
            init,
        }
    }

    /// The image's path without registry, tag and digest, for example `flannel-io/flannel`.
    pub fn repository(&self) -> &'a str {
        let image = self.image.split_once('@').map_or(self.image, |(name, _)| name);
        let (registry, path) = match image.split_once('/') {
            Some((first, rest)) if first.contains('.') || first.contains(':') || first == "localhost" => {
                (first, rest)
            }
            _ => ("", image),
        };
        debug_assert!(!registry.contains('/'), "a registry is one component");
        match path.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => name,
            _ => path,
        }
    }

    /// The last component of the image's path, for example `flannel`.
    pub fn image_name(&self) -> &'a str {
        let repository = self.repository();
        repository.rsplit_once('/').map_or(repository, |(_, name)| name)
    }

    /// The image's tag, empty if it names none.
    pub fn tag(&self) -> &'a str {
        let image = self.image.split_once('@').map_or(self.image, |(name, _)| name);
        match image.rsplit_once(':') {
            Some((_, tag)) if !tag.contains('/') => tag,
            _ => "",
        }
    }

    /// Whether some word of command or arguments is, or ends in `/`, this one.
    pub fn mentions(&self, word: &str) -> bool {
        self.command
            .iter()
            .chain(&self.args)
            .flat_map(|text| text.split_whitespace())
            .any(|text| text == word || text.rsplit('/').next() == Some(word))
    }
}

/// All that a running program can see and touch.
pub struct ProgramContext {
    /// A client with the pod's own identity.
    pub client: kube::Client,
    /// Name of the Node that the pod runs on.
    pub node: String,
    /// The pod as it was when the container started.
    pub pod: Object,
    /// The container's name.
    pub container: String,
    /// The container's image.
    pub image: String,
    /// The entry point, `$(VAR)` references expanded.
    pub command: Vec<String>,
    /// The arguments, `$(VAR)` references expanded.
    pub args: Vec<String>,
    /// The environment, with downward API, ConfigMap and Secret references resolved.
    pub env: BTreeMap<String, String>,
    /// Files as the container sees them through its mounts.
    pub files: ContainerFiles,
    /// The machine underneath, for what reaches beyond the container.
    pub host: HostHandle,
    /// Readiness: what the container's readiness probe would answer. It starts as `false`; the
    /// kubelet looks at it only when the container has a readiness probe.
    pub ready: watch::Sender<bool>,
    /// Cancelled when the container is asked to stop (SIGTERM). The program then has the pod's
    /// grace time, after which its future is dropped (SIGKILL).
    pub stop: CancellationToken,
    /// The simulation's time.
    pub clock: Clock,
    /// A seed that is the container's own.
    pub seed: u64,
    /// How long things take.
    pub durations: Arc<Durations>,
    /// The API server itself; only for static pods of the embedded cluster's control planes.
    pub server: Option<Server>,
    /// Calico's records in the control planes' etcd.
    pub keyspace: Keyspace,
}

impl ProgramContext {
    /// The value of `--name=value` or `--name value` in command or arguments; the last one wins.
    pub fn flag(&self, name: &str) -> Option<String> {
        let words: Vec<&String> = self.command.iter().chain(&self.args).collect();
        let mut found = None;
        for (at, word) in words.iter().enumerate() {
            let Some(rest) = word.trim_start_matches('-').strip_prefix(name) else { continue };
            if !word.starts_with('-') {
                continue;
            }
            if let Some(value) = rest.strip_prefix('=') {
                found = Some(value.to_owned());
            } else if rest.is_empty() {
                found = Some(match words.get(at + 1) {
                    Some(next) if !next.starts_with('-') => (*next).clone(),
                    _ => "true".to_owned(),
                });
            }
        }
        found
    }

    /// Marks the container ready or not.
    pub fn set_ready(&self, ready: bool) {
        self.ready.send_if_modified(|now| std::mem::replace(now, ready) != ready);
    }
}

/// One program that the cluster knows.
pub trait Program: Send + Sync {
    /// A name for logs, for example `flanneld`.
    fn name(&self) -> &'static str;
    /// Whether a container with this specification runs this program.
    fn matches(&self, container: &ContainerSpecView<'_>) -> bool;
    /// Runs it. Dropping the future kills it.
    fn run(&self, context: ProgramContext) -> BoxFuture<'static, Exit>;
}

/// The programs that a cluster's machines know, in order of preference.
#[derive(Clone, Default)]
pub struct Programs(Vec<Arc<dyn Program>>);

impl Programs {
    /// No program at all: every container is an ordinary one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a program behind the others.
    #[must_use]
    pub fn with(mut self, program: impl Program + 'static) -> Self {
        self.0.push(Arc::new(program));
        self
    }

    /// Adds all programs of another list behind these.
    #[must_use]
    pub fn and(mut self, others: Programs) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The first program that claims the container.
    pub fn find(&self, container: &ContainerSpecView<'_>) -> Option<Arc<dyn Program>> {
        self.0.iter().find(|program| program.matches(container)).cloned()
    }
}

impl FromIterator<Arc<dyn Program>> for Programs {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Program>>>(programs: I) -> Self {
        Self(programs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::ContainerSpecView;
    use serde_json::json;

    #[test]
    fn an_image_is_known_by_its_last_components() {
        for (image, repository, name, tag) in [
            ("docker.io/calico/node:v3.30.3", "calico/node", "node", "v3.30.3"),
            ("localhost:5000/a/flannel", "a/flannel", "flannel", ""),
            ("nginx", "nginx", "nginx", ""),
            ("ghcr.io/flannel-io/flannel@sha256:00", "flannel-io/flannel", "flannel", ""),
        ] {
            let spec = json!({"name": "c", "image": image});
            let view = ContainerSpecView::of(&spec, false);
            assert_eq!((view.repository(), view.image_name(), view.tag()), (repository, name, tag));
        }
    }
}
