//! The addresses of a machine: what its guest agent tells, or a lease that answers.
//!
//! A list of leases is no answer by itself: a guest with a new machine-id gets a new lease for the same MAC
//! address, and the old one stays in the list, often as the first.

use crate::domain::{Domain, Power};
use crate::hypervisor::Hypervisor;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;

/// Doors that a node has. Whether they are open is no matter: a refusal is an answer of the machine's, too.
const DOORS: [u16; 2] = [10250, 22];

/// How long a machine on a network of this computer's may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);

impl Hypervisor {
    /// The addresses of a machine, as far as they are known for sure.
    pub async fn addresses(&self, domain: &Domain) -> Vec<IpAddr> {
        if domain.power != Power::On {
            return Vec::new();
        }
        if domain.agent {
            let told = self.told(domain, "agent").await;
            if !told.is_empty() {
                return told;
            }
        }
        let leases = self.told(domain, "lease").await;
        let answers = futures::future::join_all(leases.iter().map(|address| answers(*address))).await;
        leases.into_iter().zip(answers).filter(|(_, answers)| *answers).map(|(address, _)| address).collect()
    }

    async fn told(&self, domain: &Domain, source: &str) -> Vec<IpAddr> {
        let words = ["domifaddr", domain.id.as_str(), "--full", "--source", source];
        match self.virsh.run(&words).await {
            Ok(said) => read(&said, &domain.macs),
            // The agent does not answer, or its network is none of libvirt's.
            Err(error) => {
                tracing::debug!(%error, source, "no addresses");
                Vec::new()
            }
        }
    }
}

/// The addresses of a domain's own interfaces. Those of bridges and tunnels inside of it are pods', or Docker's.
fn read(said: &str, macs: &[String]) -> Vec<IpAddr> {
    let address = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, mac, _, address] = words[..] else { return None };
        let address: IpAddr = address.split('/').next()?.parse().ok()?;
        let reaches_far = match address {
            IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local(),
            IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
        };
        (reaches_far && macs.iter().any(|own| own.eq_ignore_ascii_case(mac))).then_some(address)
    };
    said.lines().filter_map(address).collect()
}

async fn answers(address: IpAddr) -> bool {
    let knocks = DOORS.map(|door| async move {
        let knock = TcpStream::connect(SocketAddr::new(address, door));
        match tokio::time::timeout(PATIENCE, knock).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            Err(_) => false,
        }
    });
    futures::future::join_all(knocks).await.contains(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_machines_own_interfaces_are_told() {
        let said = " lo         00:00:00:00:00:00    ipv4         127.0.0.1/8\n \
                    eth0       52:54:00:77:00:01    ipv4         10.77.0.154/24\n \
                    eth0       52:54:00:77:00:01    ipv6         fe80::1/64\n \
                    eth0       52:54:00:77:00:01    ipv6         fd00::7/64\n \
                    cni0       aa:bb:cc:00:00:01    ipv4         10.244.1.1/24\n \
                    eth1       52:54:00:77:00:02    N/A          N/A";
        let wanted: Vec<IpAddr> = ["10.77.0.154", "fd00::7"].map(|a| a.parse().expect("it is one")).into();
        assert_eq!(read(said, &["52:54:00:77:00:01".to_owned()]), wanted);
    }

    #[tokio::test]
    async fn a_machine_that_refuses_answers_and_an_address_that_leads_nowhere_does_not() {
        assert!(answers(IpAddr::from([127, 0, 0, 1])).await, "loopback refuses at least");
        assert!(!answers(IpAddr::from([255, 255, 255, 255])).await);
    }
}
