//! The project's chores: `cargo xtask test [TIER…] [--full]`, `cargo xtask bench …`, `cargo xtask lab …`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a chore talks to its user")]

mod bench;
mod command;
mod lab;
mod report;
mod setup;
mod test;
mod tier;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask test [fast|processes|providers|lab]… [--full]
  test        formats, lints, documents and tests; without a tier, all of them
  fast        unit tests, goldens and the embedded cluster in one process
  processes   simulator, provider and replank as programs of their own
  providers   providers against real sshds, a real libvirtd and the like, at last in a real cluster; needs root
  lab         a real kubeadm cluster on machines made of namespaces; needs root
  --full      also what takes longer: a node in a virtual machine, hosts joined again in place, and in the lab
              migrations of every combination, one by one: more than an hour
usage: cargo xtask bench [--against BINARY] [WORKERS]…
  what migrations of growing clusters cost, beside those of another build if one is named
usage: cargo xtask lab build|up|kubeconfig|enter|down (docs/lab.md)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((chore, tiers)) if chore == "test" => match tier::parse(tiers) {
            Ok(tiers) => test::run(&tiers),
            Err(unknown) => usage(&format!("there is no tier {unknown:?}")),
        },
        Some((chore, words)) if chore == "bench" => match bench::parse(words) {
            Ok(wish) => bench::run(&wish),
            Err(problem) => usage(&problem),
        },
        Some((chore, words)) if chore == "lab" => lab::run(words),
        Some((chore, _)) => usage(&format!("there is no chore {chore:?}")),
        None => usage("no chore was named"),
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("{problem}\n{USAGE}");
    ExitCode::from(2)
}
