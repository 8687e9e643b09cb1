//! The simulator's flags.

use clap::Parser;
use replank_simulator::faults::Fault;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A Kubernetes cluster in memory with Calico as its network, served over TLS.
///
/// Prints one line of JSON, `SimulatorReady`, once every node and pod is ready; ends with SIGTERM
/// or SIGINT. Faults are raised and lifted while it runs with POST and DELETE on
/// /simulator/v1/faults/NAME, at its own address or, when a fault keeps the API server away, at the
/// one that `control` names in the line of JSON. GET /simulator/v1/violations and
/// /simulator/v1/effects tell what was seen broken and what replank did.
#[derive(Debug, Parser)]
#[command(name = "replank-simulator", version)]
pub(crate) struct Arguments {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Where to write a kubeconfig for the cluster.
    #[arg(long, value_name = "FILE", default_value = "simulator.kubeconfig")]
    pub(crate) kubeconfig: PathBuf,
    /// How many control planes the cluster has.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) control_planes: u8,
    /// How many workers.
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=500))]
    pub(crate) workers: u16,
    /// About how many pods of workloads.
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20_000))]
    pub(crate) pods: u32,
    /// What everything random derives from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// A network to install instead of the built-in Calico; may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub(crate) cni_manifest: Vec<PathBuf>,
    /// How much faster than in reality machines boot and pods start. Time itself is real.
    #[arg(long, default_value_t = 60.0, value_name = "FACTOR", value_parser = factor)]
    pub(crate) speed: f64,
    /// A fault to raise once the cluster is ready: NAME[:key=value]...; `list` prints their names.
    /// May be repeated.
    #[arg(long, value_name = "NAME", value_parser = fault)]
    pub(crate) fault: Vec<String>,
    /// Keeps every request in this directory, what there was before and after, and what was seen.
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
}

impl Arguments {
    /// The faults to raise.
    pub(crate) fn faults(&self) -> impl Iterator<Item = Fault> {
        self.fault.iter().filter_map(|text| text.parse().ok())
    }
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(factor),
        _ => Err("give a number above 0".to_owned()),
    }
}

fn fault(text: &str) -> Result<String, String> {
    if text == "list" {
        return Ok(text.to_owned());
    }
    match text.parse::<Fault>() {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}; `list` prints the names")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_make_sense() {
        Arguments::command().debug_assert();
        let read = |line: &str| Arguments::try_parse_from(line.split_whitespace());
        let given = read("replank-simulator --fault slow:delay=5s --speed 20").unwrap();
        assert_eq!(given.faults().count(), 1);
        assert!(read("replank-simulator --fault rain").is_err());
        assert!(read("replank-simulator --speed 0").is_err());
    }
}
