//! `cargo xtask bench`: what a migration on the embedded cluster costs, in figures that mean something on a machine
//! that others use too: processor time and ratios of it, requests, versions of objects. Real time is told beside them.

use crate::command::{cargo, target_folder};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Workers of the clusters that are migrated, beside three control planes; each has some 31 pods.
const SIZES: &[u32] = &[17, 47, 97];

/// Linux counts processor time in this many ticks a second, whatever the kernel's own.
const TICKS: f64 = 100.0;

/// What was asked for.
pub(crate) struct Wish {
    sizes: Vec<u32>,
    against: Option<PathBuf>,
}

/// Reads `[--against BINARY] [WORKERS]…`.
pub(crate) fn parse(words: &[String]) -> Result<Wish, String> {
    let mut wish = Wish { sizes: Vec::new(), against: None };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--against" {
            let path = words.next().ok_or("--against wants the path of another replank")?;
            wish.against = Some(PathBuf::from(path));
        } else {
            let workers = word.parse().ok().filter(|workers| *workers > 0);
            wish.sizes.push(workers.ok_or_else(|| format!("{word:?} is no number of workers"))?);
        }
    }
    if wish.sizes.is_empty() {
        wish.sizes = SIZES.to_vec();
    }
    Ok(wish)
}

/// One migration.
struct Run {
    pods: u64,
    requests: u64,
    versions: u64,
    written: u64,
    cpu: f64,
    wall: f64,
}

/// Builds replank as people run it, and migrates clusters of growing size.
pub(crate) fn run(wish: &Wish) -> ExitCode {
    match measure(wish) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(wish: &Wish) -> Result<(), String> {
    let ours = build()?;
    println!("workers   pods  requests/pod  versions/pod  kB/pod     cpu s  cpu ms/pod  ratio    real s");
    let mut first: Option<f64> = None;
    for workers in &wish.sizes {
        // Side by side: whatever else the machine does meanwhile strikes both.
        let other = wish.against.as_ref().map(|other| migrate(other, *workers)).transpose()?;
        let run = migrate(&ours, *workers)?;
        let each = |total: u64| total as f64 / run.pods.max(1) as f64;
        let cost = run.cpu * 1000.0 / run.pods.max(1) as f64;
        println!(
            "{workers:>7} {:>6} {:>13.1} {:>13.1} {:>7.1} {:>9.1} {cost:>11.2} {:>6.2} {:>9.1}",
            run.pods,
            each(run.requests),
            each(run.versions),
            each(run.written) / 1000.0,
            run.cpu,
            cost / first.get_or_insert(cost).max(f64::EPSILON),
            run.wall,
        );
        if let Some(other) = other {
            println!(
                "        {:.2} of the other's {:.1} s",
                run.cpu / other.cpu.max(f64::EPSILON),
                other.cpu
            );
        }
    }
    println!("ratio: processor time for each pod moved, against the first line's");
    Ok(())
}

fn build() -> Result<PathBuf, String> {
    let arguments =
        ["build", "--release", "--package", "replank", "--bin", "replank", "--message-format", "json"];
    println!("building replank as people run it");
    let output =
        cargo(&arguments).stderr(Stdio::inherit()).output().map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err("replank could not be built".to_owned());
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut built = messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    built.next_back().ok_or_else(|| "cargo did not say where replank is".to_owned())
}

fn migrate(replank: &Path, workers: u32) -> Result<Run, String> {
    let before = children_ticks()?;
    let began = Instant::now();
    let mut command = Command::new(replank);
    let kept = target_folder().join("xtask/bench");
    std::fs::create_dir_all(&kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    // The journal that the account names is kept: here beside the figures, and no longer than they take.
    command.env("TMPDIR", &kept);
    command.args(["demo", "--speed", "max", "--output", "json", "--control-planes", "3"]);
    command.args(["--workers", &workers.to_string(), "--pods", &(workers * 31).to_string()]);
    let output = command.stderr(Stdio::null()).output();
    let output = output.map_err(|error| format!("{} could not be run: {error}", replank.display()))?;
    let wall = began.elapsed().as_secs_f64();
    let cpu = (children_ticks()? - before) as f64 / TICKS;
    let _ = std::fs::remove_dir_all(&kept);
    let account: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("the account of {workers} workers can't be read: {error}"))?;
    if account["result"] != "succeeded" {
        return Err(format!(
            "the migration of {workers} workers: {} ({})",
            account["result"], account["reason"]
        ));
    }
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    Ok(Run {
        pods: number(&account["pods"]["moved"]),
        requests: number(&account["requests"]["total"]),
        versions: number(&account["requests"]["versions"]),
        written: number(&account["requests"]["bytes"]),
        cpu,
        wall,
    })
}

/// The processor time of all children that have ended, user's and system's.
fn children_ticks() -> Result<u64, String> {
    let stat =
        std::fs::read_to_string("/proc/self/stat").map_err(|error| format!("/proc/self/stat: {error}"))?;
    // The program's name, in parentheses, may hold anything; behind it are fields 3 and on.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).and_then(|field| field.parse::<u64>().ok());
    match (field(16), field(17)) {
        (Some(user), Some(system)) => Ok(user + system),
        _ => Err("/proc/self/stat has no times of children".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn sizes_and_another_build_can_be_named() {
        let wish = parse(&words("9 --against /tmp/replank 20")).unwrap();
        assert_eq!((wish.sizes, wish.against), (vec![9, 20], Some(PathBuf::from("/tmp/replank"))));
        assert_eq!(parse(&[]).unwrap().sizes, SIZES);
        assert!(parse(&words("many")).is_err() && parse(&words("--against")).is_err());
    }

    #[test]
    fn the_time_of_a_child_is_counted_when_it_has_ended() {
        let before = children_ticks().unwrap();
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(Command::new("sh").args(["-c", busy]).status().unwrap().success());
        assert!(children_ticks().unwrap() > before);
    }
}
