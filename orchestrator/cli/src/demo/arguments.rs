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
    /// About how many pods of workloads; 300 if the workers have room for them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=20_000))]
    pub(crate) pods: Option<u32>,
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

/// A kubelet takes 110 pods; the system's own and a little air for moving leave this many a worker.
const PODS_PER_WORKER: u32 = 90;
/// How many pods there are where nobody said.
const USUAL_PODS: u32 = 300;

/// More pods than the workers take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{pods} pods do not fit on {workers} workers, which take {PODS_PER_WORKER} each: give --workers {needed} or \
     --pods {room}"
)]
pub(crate) struct NoRoom {
    pods: u32,
    workers: u16,
    needed: u32,
    room: u32,
}

impl DemoArguments {
    /// How many pods of workloads there are.
    ///
    /// # Errors
    /// When the workers have no room for as many as were asked for.
    pub(crate) fn wanted_pods(&self) -> Result<u32, NoRoom> {
        let room = u32::from(self.workers) * PODS_PER_WORKER;
        match self.pods {
            None => Ok(USUAL_PODS.min(room)),
            Some(pods) if pods <= room => Ok(pods),
            Some(pods) => {
                let needed = pods.div_ceil(PODS_PER_WORKER);
                Err(NoRoom { pods, workers: self.workers, needed, room })
            }
        }
    }
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
