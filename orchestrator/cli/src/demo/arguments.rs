//! The demo's flags.

use crate::output::Format;
use crate::wish::WishArguments;
use clap::Args;
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
    /// How much faster than real time the cluster lives: a factor, or `max`.
    #[arg(long, default_value = "40", value_name = "FACTOR")]
    pub(crate) speed: Speed,
    /// A network to install instead of the built-in Calico; may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub(crate) cni_manifest: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) wish: WishArguments,
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
