//! Who holds a lab up, and takes it down whatever happens to the one who wanted it.
//!
//! A supervisor is a process of its own. Its standard input is a pipe from its user: when that ends
//! before the word `stay` has come, because the user is done, panicked or was killed, the lab ends. The
//! lab's first process dies with the supervisor, and every other process of the lab with the first: that
//! is the kernel's doing, so that not even a killed supervisor leaves one behind.

use crate::balancer;
use crate::build::Built;
use crate::error::{LabError, Result};
use crate::machine::life::{remove_cgroups, wait};
use crate::machine::network::GATEWAY;
use crate::place::Place;
use crate::run::{command, succeed};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// The word that lets a lab outlive its maker.
const STAY: &str = "stay\n";

/// How long a lab may take to its first process and load balancer.
const START: Duration = Duration::from_secs(20);
/// How long a supervisor may take to take everything down. A whole cluster takes about 3 s.
const END: Duration = Duration::from_secs(60);

/// The scripts that the lab and its machines run.
const GUEST: &[(&str, &str)] = &[
    ("lab.sh", include_str!("../guest/lab.sh")),
    ("machine.sh", include_str!("../guest/machine.sh")),
    ("boot.sh", include_str!("../guest/boot.sh")),
    ("init.sh", include_str!("../guest/init.sh")),
    ("systemctl", include_str!("../guest/systemctl")),
];

/// What a lab tells of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its supervisor.
    pub supervisor: u32,
    /// Where the load balancer listens on the outer loopback.
    pub port: u16,
}

/// A lab that ends when this is dropped, and when this process ends in any way.
#[derive(Debug)]
pub struct Held {
    place: Place,
    supervisor: Child,
    /// Its end tells the supervisor.
    pipe: Option<ChildStdin>,
}

impl Held {
    /// Starts a lab without machines. `program` is `replank-lab`, which serves as its supervisor.
    ///
    /// # Errors
    /// When one is up in that place, or it does not start.
    pub fn start(program: &Path, place: Place, built: &Built) -> Result<Self> {
        if crate::lab::Lab::open(place.clone()).is_ok() {
            return Err(LabError::AlreadyUp(place.folder().to_owned()));
        }
        let log = place.folder().with_extension("supervisor.log");
        if let Some(parent) = log.parent() {
            std::fs::create_dir_all(parent).map_err(LabError::file(parent))?;
        }
        let file = std::fs::File::create(&log).map_err(LabError::file(&log))?;
        let mut supervise = Command::new(program);
        supervise.arg("supervise").arg(place.folder()).arg(&built.bin).arg(&built.images);
        supervise.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(file);
        let started = |source| LabError::Start { program: program.display().to_string(), source };
        let mut supervisor = supervise.spawn().map_err(started)?;
        let pipe = supervisor.stdin.take();
        let mut held = Self { place, supervisor, pipe };
        let place = held.place.clone();
        wait(START, "the start of the lab", || {
            if place.join("about.json").exists() {
                return None;
            }
            Some(match held.supervisor.try_wait() {
                Ok(Some(status)) => format!("its supervisor ended: {status}; see {}", log.display()),
                _ => format!("see {}", log.display()),
            })
        })?;
        Ok(held)
    }

    /// Lets the lab outlive this process.
    ///
    /// # Errors
    /// When its supervisor is gone.
    pub fn stay(mut self) -> Result<()> {
        let path = self.place.folder().to_owned();
        if let Some(mut pipe) = self.pipe.take() {
            pipe.write_all(STAY.as_bytes()).map_err(LabError::file(&path))?;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Whoever let it stay has taken the pipe.
        if self.pipe.take().is_some() {
            let _ = self.supervisor.wait();
        }
    }
}

/// What a lab tells of itself.
///
/// # Errors
/// When none is up.
pub fn about(place: &Place) -> Result<About> {
    crate::place::read(&place.join("about.json"))?.ok_or_else(|| LabError::NoLab(place.folder().to_owned()))
}

/// Ends a lab, and waits until nothing of it is left. What a killed supervisor left goes as well.
///
/// # Errors
/// When it does not end.
pub fn down(place: &Place) -> Result<()> {
    let about = about(place)?;
    let line = std::fs::read(format!("/proc/{}/cmdline", about.supervisor)).unwrap_or_default();
    let is_it = line.split(|b| *b == 0).any(|w| w == place.folder().as_os_str().as_encoded_bytes());
    let pid = rustix::process::Pid::from_raw(about.supervisor.cast_signed()).filter(|_| is_it);
    let Some(pid) = pid else { return clear(place) };
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let folder = place.folder().to_owned();
    wait(END, "the end of the lab", || {
        folder.exists().then(|| format!("{} is still there", folder.display()))
    })
}

/// A supervisor's whole life. Answers when the lab is gone.
///
/// # Errors
/// When the lab does not start, or something of it can't be removed.
pub fn supervise(place: &Place, built: &Built) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(LabError::file(place.folder()))?;
    // A session of its own: the Ctrl-C of whoever is before the terminal is not for it; it hears of the
    // end of its user by the pipe.
    let _ = rustix::process::setsid();
    let held = runtime.block_on(hold(place, built));
    // A read of the pipe that still waits must not keep the process.
    runtime.shutdown_background();
    // Somebody else's folder stays.
    let cleared = if place.join("guest/lab.sh").exists() { clear(place) } else { Ok(()) };
    held.and(cleared)
}

async fn hold(place: &Place, built: &Built) -> Result<()> {
    let failed = |source| LabError::File { path: place.folder().to_owned(), source };
    if place.folder().exists() {
        if !place.join("guest/lab.sh").exists() {
            let why = "it exists and is no lab's folder: name another in REPLANK_LAB, or remove it".into();
            return Err(LabError::Content { path: place.folder().to_owned(), why });
        }
        clear(place)?;
    }
    furnish(place, built)?;
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).map_err(|e| failed(e.into()))?;
    let haproxy = place.join("haproxy.cfg");
    std::fs::write(&haproxy, balancer::configuration(place, GATEWAY, listener.as_raw_fd()))
        .map_err(LabError::file(&haproxy))?;

    let mut first = tokio::process::Command::new("setpriv");
    first.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "bash",
    ]);
    first.arg(place.join("guest/lab.sh")).arg(place.folder()).arg(GATEWAY.to_string());
    first.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let mut first = first.spawn().map_err(|source| LabError::Start { program: "setpriv".into(), source })?;
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;

    let announce = async {
        let (pid, socket) = (place.join("run/init.pid"), place.join("run/haproxy.sock"));
        while !(pid.exists() && socket.exists()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        crate::place::write(&place.join("about.json"), &About { supervisor: std::process::id(), port })?;
        abandoned().await;
        Ok(())
    };
    let ended = tokio::select! {
        announced = announce => announced,
        _ = terminated.recv() => Ok(()),
        _ = interrupted.recv() => Ok(()),
        status = first.wait() => Err(LabError::Failed {
            what: "the lab's first process".into(),
            status: status.ok().and_then(|s| s.code()).unwrap_or(-1),
            said: "the load balancer or the set-up of its network ended".into(),
        }),
    };
    let _ = first.kill().await;
    ended
}

/// Returns when the user is gone without having said that the lab stays.
async fn abandoned() {
    let mut said = String::new();
    let heard = tokio::io::stdin().read_to_string(&mut said).await;
    if heard.is_ok() && said == STAY {
        std::future::pending::<()>().await;
    }
}

/// Everything that lies there before the first process starts.
fn furnish(place: &Place, built: &Built) -> Result<()> {
    for folder in ["run", "guest", "machines", "snapshots", "operations"] {
        let path = place.join(folder);
        std::fs::create_dir_all(&path).map_err(LabError::file(&path))?;
    }
    for (name, script) in GUEST {
        let path = place.join("guest").join(name);
        std::fs::write(&path, script).map_err(LabError::file(&path))?;
    }
    let own = std::env::current_exe().map_err(LabError::file(Path::new("/proc/self/exe")))?;
    let copy = place.join("guest/replank-lab");
    std::fs::copy(&own, &copy).map_err(LabError::file(&copy))?;
    let guest = place.join("guest");
    succeed("making scripts executable", command("chmod", &["-R", "0755"]).arg(&guest))?;
    for (name, target) in [("bin", &built.bin), ("images", &built.images)] {
        let link = place.join(name);
        std::os::unix::fs::symlink(target, &link).map_err(LabError::file(&link))?;
    }
    let key = place.join("key");
    succeed("ssh-keygen", command("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)).map(drop)
}

/// Removes what no process holds any more.
fn clear(place: &Place) -> Result<()> {
    let group = place.cgroup();
    remove_cgroups(&group)?;
    let folder = place.folder();
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LabError::file(folder)(error)),
        _ => Ok(()),
    }
}
