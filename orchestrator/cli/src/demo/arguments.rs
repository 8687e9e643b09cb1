//! The demo's flags.

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use std::path::PathBuf;
use std::str::FromStr;

/// The flags of `replank demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// How many control planes the cluster has.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=7))]
    pub(crate) control_planes: u8,
    /// How many workers.
    #[arg(long, default_value_t = 9, value_name = "N", value_parser = clap::value_parser!(u16).range(0..=500))]
    pub(crate) workers: u16,
    /// About how many pods of workloads.
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20_000))]
    pub(crate) pods: u32,
    /// What everything random derives from: the same seed tells the same story.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// How the networks change places.
    #[arg(long, value_enum, default_value_t = StrategyName::Rolling)]
    pub(crate) strategy: StrategyName,
    /// How much faster than real time the cluster lives: a factor, or `max`.
    #[arg(long, default_value = "40", value_name = "FACTOR")]
    pub(crate) speed: Speed,
    /// A network to install instead of the built-in Calico; may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub(crate) cni_manifest: Vec<PathBuf>,
    /// The new pod network; a free range is chosen if it is left out. One of each family at most.
    #[arg(long, value_name = "CIDR", value_delimiter = ',')]
    pub(crate) pod_cidr: Vec<IpNet>,
    /// How Flannel's nodes reach each other.
    #[arg(long, value_enum, default_value_t = BackendName::Vxlan)]
    pub(crate) backend: BackendName,
    /// The MTU of pod interfaces, in bytes; Flannel finds it if it is left out.
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u32>,
    /// Flannel's image.
    #[arg(long, value_name = "IMAGE")]
    pub(crate) flannel_image: Option<String>,
    /// A Flannel manifest of your own.
    #[arg(long, value_name = "FILE")]
    pub(crate) flannel_manifest: Option<PathBuf>,
    /// A fault to raise while the run is under way; `list` prints their names. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) fault: Vec<String>,
    /// A guard to take away, to see what it guards; `list` prints their names. May be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) without_guard: Vec<String>,
    /// Keeps the cluster up afterwards and serves it there, with a kubeconfig for kubectl.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) serve: Option<std::net::SocketAddr>,
    /// Keeps plan, journal, requests and inventories in this directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) record: Option<PathBuf>,
    /// The account's format.
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
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

/// A format of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// How much faster than real time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speed {
    /// As fast as the machine can.
    Max,
    /// By a factor.
    Factor(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(Self::Factor(factor)),
            _ => Err("give a number above 0, or `max`".to_owned()),
        }
    }
}
