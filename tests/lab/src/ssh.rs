//! How this machine's ssh reaches the lab's machines, whose network it is not in.

use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::machine::life::wait;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// How long a machine may take to the key of its sshd at its first boot.
const KEY: Duration = Duration::from_secs(20);

impl Lab {
    /// Writes an ssh configuration by which `ssh NAME` gets into each of these machines as root, and knows its key.
    ///
    /// # Errors
    /// When there is no such machine, or it has no key yet.
    pub fn ssh_config(&self, names: &[String]) -> Result<PathBuf> {
        let (config, known) = (self.place().join("ssh_config"), self.place().join("known_hosts"));
        let (mut hosts, mut keys) = (String::new(), String::new());
        for name in names {
            let address = self.machine(name)?.address;
            let key = self.host_key(name)?;
            let _ = writeln!(hosts, "Host {name}\n  HostName {address}\n  HostKeyAlias {name}");
            let _ = writeln!(keys, "{name} {}", key.trim());
        }
        let _ = write!(
            hosts,
            "Host *\n  User root\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  \
             GlobalKnownHostsFile /dev/null\n  ProxyCommand nsenter --net=/proc/{}/ns/net socat - TCP:%h:%p\n",
            self.place().join("key").display(),
            known.display(),
            self.first_process(),
        );
        std::fs::write(&known, keys).map_err(LabError::file(&known))?;
        std::fs::write(&config, hosts).map_err(LabError::file(&config))?;
        Ok(config)
    }

    fn host_key(&self, name: &str) -> Result<String> {
        let path = self.place().machine(name).join("root/etc/ssh/ssh_host_ed25519_key.pub");
        wait(KEY, &format!("the host key of {name}"), || {
            let written = std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n'));
            (!written).then(|| format!("see {}", path.display()))
        })?;
        std::fs::read_to_string(&path).map_err(LabError::file(&path))
    }
}
