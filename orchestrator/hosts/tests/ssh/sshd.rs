//! A host for tests: a real sshd on loopback with keys of its own, in a mount namespace of its own, so that
//! what it keeps in /var/lib, /run, /etc/kubernetes and /root is its own too.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Why there can be no host here, if there can't.
pub fn missing() -> Option<String> {
    let sshd = Path::new("/usr/sbin/sshd").exists() && Path::new("/usr/bin/ssh-keygen").exists();
    let private = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    match (sshd, private) {
        (false, _) => Some("there is no /usr/sbin/sshd: install openssh-server".into()),
        (true, Ok(status)) if status.success() => None,
        (true, _) => Some("no mount namespace can be made: run it as root".into()),
    }
}

/// What the hosts of one test share: the user's key and configuration.
pub struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Self {
        let site = Self { folder: tempfile::tempdir().expect("a folder") };
        site.key("user");
        std::fs::copy(site.path("user.pub"), site.path("authorized_keys")).expect("the key is copied");
        std::fs::write(site.path("config"), "").expect("the configuration is written");
        site
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("config")
    }

    fn key(&self, name: &str) {
        let path = self.path(name);
        let _ = std::fs::remove_file(&path);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&path)
            .status()
            .expect("ssh-keygen starts");
        assert!(made.success(), "no key was made");
    }

    /// A host that the user's configuration knows by this name, and whose key it knows.
    pub fn host(&self, name: &str) -> Sshd {
        self.host_as(name, "root", "")
    }

    /// The same, with another user, and more lines in the configuration.
    pub fn host_as(&self, name: &str, user: &str, more: &str) -> Sshd {
        self.key(&format!("{name}.key"));
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let entry = format!(
            "Host {name}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {}\n  \
             IdentitiesOnly yes\n  UserKnownHostsFile {}\n  GlobalKnownHostsFile /dev/null\n  HostKeyAlias {name}\n{more}",
            self.path("user").display(),
            self.path(&format!("{name}.known")).display(),
        );
        let mut config = std::fs::OpenOptions::new().append(true).open(self.config()).expect("it opens");
        config.write_all(entry.as_bytes()).expect("it is written");
        let mut host = Sshd { name: name.into(), port, folder: self.folder.path().to_owned(), running: None };
        host.trust();
        host.start();
        host
    }
}

/// An agent that holds the user's key, which is on no disk any more.
pub struct Agent(Child);

impl Agent {
    pub fn start(site: &Site) -> Self {
        let socket = site.path("agent");
        let agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        let agent = Self(agent.expect("ssh-agent starts"));
        let begun = Instant::now();
        while !socket.exists() {
            assert!(begun.elapsed() < Duration::from_secs(20), "the agent's socket does not appear");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut add = Command::new("ssh-add");
        add.arg("-q").arg(site.path("user")).env("SSH_AUTH_SOCK", &socket);
        assert!(add.status().expect("ssh-add starts").success());
        std::fs::remove_file(site.path("user")).expect("the key was there");
        agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host.
pub struct Sshd {
    pub name: String,
    pub port: u16,
    folder: PathBuf,
    running: Option<Child>,
}

impl Sshd {
    fn path(&self, what: &str) -> PathBuf {
        self.folder.join(format!("{}.{what}", self.name))
    }

    /// Writes the host's key where the user's ssh looks for it.
    pub fn trust(&self) {
        let key = std::fs::read_to_string(self.path("key.pub")).expect("the host's key");
        std::fs::write(self.path("known"), format!("{} {key}", self.name)).expect("it is written");
    }

    pub fn distrust(&self) {
        std::fs::remove_file(self.path("known")).expect("it was known");
    }

    /// The host is installed anew: it has another key.
    pub fn change_key(&mut self) {
        self.stop();
        std::fs::remove_file(self.path("key")).expect("it had a key");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(self.path("key"))
            .status();
        assert!(made.expect("ssh-keygen starts").success());
        self.start();
    }

    /// Starts it, with what it kept on its disk.
    pub fn start(&mut self) {
        let disk = self.path("disk");
        let config = self.path("sshd");
        // What a test puts into /root/bin goes before the outer machine's programs.
        let text = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nPermitRootLogin yes\nPasswordAuthentication no\n\
             SetEnv PATH=/root/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
            self.port,
            self.path("key").display(),
            self.folder.join("authorized_keys").display(),
        );
        std::fs::write(&config, text).expect("it is written");
        std::fs::write(self.path("id"), format!("{:032x}\n", self.port)).expect("it is written");
        // Another at every start, as a kernel's is.
        let boot = std::fs::read("/proc/sys/kernel/random/uuid").expect("the kernel makes one");
        std::fs::write(self.path("boot"), boot).expect("it is written");
        // One folder of the disk for each that the host has for itself; /run is empty after every start.
        let script = r#"set -e
            for kept in /var/lib /etc/kubernetes /etc/cni /root; do
                mkdir -p "$1$kept" "$kept"
                mount --bind "$1$kept" "$kept"
            done
            # People who log in: the same on every host, whoever they are on the outer machine.
            mkdir -p "$1/etc"
            for file in passwd shadow group; do cp "/etc/$file" "$1/etc/$file"; done
            id=7000
            for user in asked trusted; do
                id=$((id + 1))
                echo "$user:x:$id:$id::/:/bin/sh" >>"$1/etc/passwd"
                echo "$user:*:20000:0:99999:7:::" >>"$1/etc/shadow"
            done
            for file in passwd shadow group; do mount --bind "$1/etc/$file" "/etc/$file"; done
            if [ -d /etc/sudoers.d ]; then
                mount -t tmpfs -o mode=0750 sudoers /etc/sudoers.d
                echo 'trusted ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/trusted
                echo 'asked ALL=(ALL) ALL' >/etc/sudoers.d/asked
                chmod 0440 /etc/sudoers.d/*
            fi
            for id in /etc/machine-id /sys/class/dmi/id/product_uuid; do
                [ ! -e "$id" ] || mount --bind "$3" "$id"
            done
            mount --bind "$4" /proc/sys/kernel/random/boot_id
            mount -t tmpfs run /run
            mkdir /run/sshd
            exec /usr/sbin/sshd -D -e -f "$2""#;
        let log = std::fs::File::create(self.path("log")).expect("a log");
        let child = Command::new("unshare")
            // The whole host ends with its first process, whatever was started in it.
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh"])
            .arg(&disk)
            .arg(&config)
            .arg(self.path("id"))
            .arg(self.path("boot"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("unshare starts");
        self.running = Some(child);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Pulls the plug.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.running.take() {
            child.kill().expect("it is there");
            child.wait().expect("it ends");
        }
    }

    /// Ends every connection there is, and leaves what was started over them.
    pub fn cut(&self) -> usize {
        let first = self.running.as_ref().expect("it runs").id();
        let mut cut = 0;
        for sshd in children(first) {
            for session in children(sshd) {
                let killed = Command::new("kill").args(["-9", &session.to_string()]).status();
                cut += usize::from(killed.expect("kill starts").success());
            }
        }
        cut
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// A path of the host's as the test sees it.
    pub fn on_disk(&self, path: &str) -> PathBuf {
        self.path("disk").join(path.trim_start_matches('/'))
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn children(of: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}
