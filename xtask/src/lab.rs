//! `cargo xtask lab`: the lab's own program, built and run.

use crate::command::{cargo, target_folder};
use crate::setup::{Missing, Unfit};
use crate::tier::Extent;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// The lab's own program, and the name of its package.
const PROGRAM: &str = "replank-lab";
/// The exit status by which it says what the machine lacks.
const LACKS: i32 = 3;
/// Where in the target folder a build in the background says what it does.
const SAID: &str = "xtask/lab-build";

/// The lab's program with these words, built if it is not.
pub(crate) fn command(words: &[&str]) -> Result<Command, Missing> {
    // Not `cargo run`, which would choose other features for what tests have built already, and build it again.
    let mut build = cargo(&["build", "--quiet", "--workspace", "--bin", PROGRAM]);
    let built = build.status();
    let built = built.map_err(|error| Missing(format!("cargo could not be started: {error}")))?;
    if !built.success() {
        return Err(Missing("the lab's program does not build; the compiler said why above".to_owned()));
    }
    let mut command = Command::new(target_folder().join("debug").join(PROGRAM));
    command.args(words);
    Ok(command)
}

/// Builds what the lab runs, once; answers the folder with the programs.
pub(crate) fn build(extent: Extent) -> Result<PathBuf, Missing> {
    println!(
        "+ {PROGRAM} build (it waits for one that was begun before; {SAID} in the target folder tells how far it is)"
    );
    let built = command(words(extent))?.stderr(Stdio::inherit()).output().map_err(not_started)?;
    if !built.status.success() {
        return Err(Missing("what the lab runs does not build; it said why above".to_owned()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&built.stdout).trim()))
}

/// What the lab's program is asked to build.
fn words(extent: Extent) -> &'static [&'static str] {
    match extent {
        Extent::Usual => &["build"],
        Extent::Full => &["build", "--virtual-machines"],
    }
}

/// The same, begun and not waited for; whoever needs it calls [`build`], which waits and says what failed. Ends with
/// this.
pub(crate) struct Building(Option<Child>);

impl Building {
    /// Begins, with what other programs leave of the processors; what is said goes into a file in the target folder.
    pub(crate) fn begin(extent: Extent, target: &Path) -> Self {
        let begun = || {
            std::fs::create_dir_all(target.join("xtask")).ok()?;
            let said = File::create(target.join(SAID)).ok()?;
            let build = command(words(extent)).ok()?;
            let mut niced = Command::new("nice");
            niced.args(["-n", "19"]).arg(build.get_program()).args(build.get_args());
            niced.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn().ok()
        };
        Self(begun())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It has ended, unless nobody needed it.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Whether the lab can be on this machine: its own program installs what can be installed, tries, and says what is
/// missing.
pub(crate) fn probe() -> Result<(), Unfit> {
    let tried = command(&["probe"]).and_then(|mut command| command.output().map_err(not_started));
    let tried = tried.map_err(Unfit::Broken)?;
    let said = || Missing(String::from_utf8_lossy(&tried.stderr).trim().to_owned());
    match tried.status.code() {
        Some(0) => Ok(()),
        Some(LACKS) => Err(Unfit::Lacks(said())),
        _ => Err(Unfit::Broken(said())),
    }
}

fn not_started(error: std::io::Error) -> Missing {
    Missing(format!("the lab's program could not be started: {error}"))
}

/// Hands its words on.
pub(crate) fn run(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = command(&words).and_then(|mut command| command.status().map_err(not_started));
    match ended {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|c| u8::try_from(c).ok()).unwrap_or(1)),
        Err(Missing(why)) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
