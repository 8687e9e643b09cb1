//! Machines around the embedded API server: the way to it, and the health that it depends on.

use kube::Client;

use super::access::ApiAccess;
use super::datacenter::{Datacenter, DatacenterConfig};
use super::durations::Durations;
use super::etcd::Etcd;
use super::program::Programs;
use crate::families::Families;
use crate::server::{EtcdHealth, Server};

impl ApiAccess for Server {
    fn client(&self, user_agent: &str) -> Client {
        Server::client(self, user_agent)
    }

    fn client_with_token(&self, user_agent: &str, token: &str) -> Client {
        Server::client_with_token(self, user_agent, token)
    }

    fn server(&self) -> Option<Server> {
        Some(self.clone())
    }
}

impl Datacenter {
    /// The machines of the embedded server's cluster. From the first control plane on, the server
    /// answers only while etcd has a majority and some registered API server runs.
    pub fn embedded(server: &Server, programs: Programs, durations: Durations, seed: u64) -> Self {
        Self::embedded_with(server, programs, durations, seed, Families::V4)
    }

    /// The same with machines that have addresses of these families.
    pub fn embedded_with(
        server: &Server,
        programs: Programs,
        durations: Durations,
        seed: u64,
        families: Families,
    ) -> Self {
        let access = std::sync::Arc::new(server.clone());
        let config = DatacenterConfig::new(access, *server.clock(), seed);
        let datacenter = Self::new(DatacenterConfig { durations, programs, families, ..config });
        let server = server.clone();
        datacenter.etcd().on_change(move |etcd: &Etcd| {
            let health = if etcd.api_available() { EtcdHealth::Quorum } else { EtcdHealth::Lost };
            server.set_etcd_health(health);
        });
        datacenter
    }
}
