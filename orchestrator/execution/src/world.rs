//! Everything outside that a run can see and touch.

use crate::api::Api;
use crate::clock::{SystemClock, WallClock};
use crate::guards::Guards;
use replank_provider_kit::Provider;
use std::io::Read as _;
use std::sync::Arc;

/// Where secret bytes come from.
pub trait Entropy: Send + Sync {
    /// Fills a buffer.
    ///
    /// # Errors
    /// When there is no source.
    fn fill(&self, buffer: &mut [u8]) -> std::io::Result<()>;
}

/// The operating system's own source.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> std::io::Result<()> {
        std::fs::File::open("/dev/urandom")?.read_exact(buffer)
    }
}

/// A client as this crate wants it: whatever the configuration says, nobody retries but us.
///
/// # Errors
/// When the configuration can't be used, such as for an unreadable certificate.
pub fn client(mut config: kube::Config) -> Result<kube::Client, kube::Error> {
    config.default_retry = false;
    kube::Client::try_from(config)
}

/// The outside of a run.
#[derive(Clone)]
pub struct World {
    /// The cluster. Its own silent retries must be off (`Config::default_retry = false`).
    pub client: kube::Client,
    /// The machines. `initialize` has been called.
    pub provider: Arc<dyn Provider>,
    /// Wall time.
    pub clock: Arc<dyn WallClock>,
    /// Secrets' source.
    pub entropy: Arc<dyn Entropy>,
    /// What keeps the promises.
    pub guards: Guards,
}

impl World {
    /// The real world: the machine's clock and entropy, all guards.
    pub fn new(client: kube::Client, provider: Arc<dyn Provider>) -> Self {
        Self {
            client,
            provider,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
            guards: Guards::default(),
        }
    }

    /// The same world with another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same world with another source of secrets.
    #[must_use]
    pub fn with_entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// The same world with other guards.
    #[must_use]
    pub fn with_guards(mut self, guards: Guards) -> Self {
        self.guards = guards;
        self
    }

    /// The cluster's API.
    pub fn api(&self) -> Api {
        Api::new(self.client.clone())
    }
}
