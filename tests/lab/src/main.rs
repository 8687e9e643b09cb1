//! The lab's program: what `cargo xtask lab` runs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to its user")]

use clap::{Parser, Subcommand, ValueEnum};
use replank_lab::build::{self, Built, report::Progress, vm};
use replank_lab::cluster::{Cluster, Cni, Install, Shape};
use replank_lab::error::{LabError, Result};
use replank_lab::place::Place;
use replank_lab::supervisor::{self, Held};
use replank_lab::{Lab, first_boot, needs};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A real Kubernetes cluster on machines made of Linux namespaces.
#[derive(Parser)]
#[command(name = "lab", bin_name = "cargo xtask lab")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Says what this machine lacks, if anything, with status 3; packages that are missing are installed first.
    Probe,
    /// Builds the programs and images once into the cache; prints the folder with the programs.
    Build {
        /// The image of a virtual machine too, where there can be any.
        #[arg(long)]
        virtual_machines: bool,
    },
    /// Makes a cluster; prints the path of its kubeconfig.
    Up(Up),
    /// Prints the path of the cluster's kubeconfig.
    Kubeconfig,
    /// Runs a command on a machine; a shell without one.
    Enter {
        /// The machine.
        node: String,
        /// The command and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Ends the lab; nothing of it is left.
    Down,
    /// Holds a lab up until its user is gone.
    #[command(hide = true)]
    Supervise { folder: PathBuf, bin: PathBuf, images: PathBuf },
    /// Carries out a machine's user-data.
    #[command(hide = true)]
    FirstBoot,
}

#[derive(clap::Args)]
struct Up {
    /// How many control planes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    control_planes: u8,
    /// How many workers.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=50))]
    workers: u8,
    /// The pod network.
    #[arg(long, value_enum, default_value = "calico")]
    cni: Network,
    /// How Calico is installed.
    #[arg(long, value_enum, default_value = "manifest")]
    install: By,
}

#[derive(Clone, Copy, ValueEnum)]
enum Network {
    Calico,
    Flannel,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Manifest,
    Operator,
}

/// The exit status that says what a machine lacks.
const LACKS: u8 = 3;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.chore {
        Chore::Probe => return probe(),
        Chore::Build { virtual_machines } => {
            let built = if virtual_machines { build_all() } else { build() };
            built.map(|built| println!("{}", built.bin.display()))
        }
        Chore::Up(up) => bring_up(&up),
        Chore::Kubeconfig => Lab::open(Place::find())
            .and_then(Cluster::open)
            .map(|cluster| println!("{}", cluster.kubeconfig().display())),
        Chore::Enter { node, command } => return enter(&node, &command),
        Chore::Down => supervisor::down(&Place::find()),
        Chore::Supervise { folder, bin, images } => {
            supervisor::supervise(&Place::new(folder), &Built { bin, images })
        }
        Chore::FirstBoot => first(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// What a machine lacks excuses those who would run labs on it; what could not be installed does not.
fn probe() -> ExitCode {
    let mut listener = |what: &str| eprintln!("{what}");
    match needs::machine(&mut Progress::new(&mut listener)).and_then(|()| needs::go()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ LabError::Missing(_)) => {
            failed(&error);
            ExitCode::from(LACKS)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &LabError) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}

fn build() -> Result<Built> {
    let mut listener = |what: &str| eprintln!("{what}");
    build::build(&mut Progress::new(&mut listener))
}

/// What all of the tests need.
fn build_all() -> Result<Built> {
    let built = build()?;
    let mut listener = |what: &str| eprintln!("{what}");
    match vm::build(&built, &mut Progress::new(&mut listener)) {
        Ok(_) => {}
        Err(LabError::Missing(what)) => {
            eprintln!("the image for virtual machines was not made: {}", what.join("; "));
        }
        Err(error) => return Err(error),
    }
    Ok(built)
}

fn bring_up(up: &Up) -> Result<()> {
    needs::machine(&mut Progress::new(&mut |what: &str| eprintln!("{what}")))?;
    let built = build()?;
    let own = std::env::current_exe().map_err(LabError::file(Path::new("/proc/self/exe")))?;
    let install = match up.install {
        By::Manifest => Install::Manifest,
        By::Operator => Install::Operator,
    };
    let cni = match up.cni {
        Network::Calico => Cni::Calico(install),
        Network::Flannel => Cni::Flannel,
    };
    let shape = Shape { control_planes: up.control_planes.into(), workers: up.workers.into(), cni };
    let place = Place::find();
    let held = Held::start(&own, place.clone(), &built)?;
    let mut listener = |what: &str| eprintln!("{what}");
    let cluster = Cluster::make(Lab::open(place)?, shape, &mut Progress::new(&mut listener))?;
    println!("{}", cluster.kubeconfig().display());
    held.stay()
}

fn enter(node: &str, words: &[String]) -> ExitCode {
    let words: Vec<&str> =
        if words.is_empty() { vec!["bash"] } else { words.iter().map(String::as_str).collect() };
    let ran = Lab::open(Place::find()).and_then(|lab| lab.enter(node, &words)).and_then(|mut command| {
        command.env("TERM", std::env::var_os("TERM").unwrap_or_default());
        command.status().map_err(|source| LabError::Start { program: "nsenter".into(), source })
    });
    match ran {
        Ok(status) => ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)),
        Err(error) => failed(&error),
    }
}

fn first() -> Result<()> {
    let path = Path::new(first_boot::SEED);
    let user_data = std::fs::read(path).map_err(LabError::file(path))?;
    first_boot::carry_out(&user_data, &mut |what| println!("{what}"))
}
