//! The load balancer before the control planes: haproxy, told over its socket.

use crate::error::{LabError, Result};
use crate::place::Place;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;

/// How many control planes can stand behind it. Kept and new ones count both.
pub const SLOTS: usize = 16;

/// haproxy's configuration: it listens in the lab's network, and on a socket of the outer loopback that
/// the supervisor hands in.
pub(crate) fn configuration(place: &Place, gateway: Ipv4Addr, outer: i32) -> String {
    let socket = place.join("run/haproxy.sock");
    format!(
        "global\n  stats socket {} mode 600 level admin\n\
         defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 1h\n  timeout server 1h\n  \
         timeout check 3s\n  retries 3\n  option redispatch\n\
         frontend api\n  bind {gateway}:6443\n  bind fd@{outer}\n  default_backend control-planes\n\
         backend control-planes\n  balance roundrobin\n  option httpchk GET /readyz\n  \
         http-check expect status 200\n  \
         default-server check check-ssl verify none inter 500ms fall 3 rise 1 \
         on-marked-down shutdown-sessions\n  \
         server-template slot 1-{SLOTS} 127.0.0.1:6443 disabled\n",
        socket.display()
    )
}

/// Puts a control plane into a slot.
///
/// # Errors
/// When the balancer does not answer or refuses.
pub fn register(place: &Place, slot: usize, address: Ipv4Addr) -> Result<()> {
    tell(place, &format!("set server control-planes/slot{slot} addr {address} port 6443"))?;
    tell(place, &format!("set server control-planes/slot{slot} state ready"))
}

/// Takes a control plane out; connections through it are closed.
///
/// # Errors
/// As [`register`].
pub fn deregister(place: &Place, slot: usize) -> Result<()> {
    tell(place, &format!("set server control-planes/slot{slot} state maint"))?;
    tell(place, &format!("shutdown sessions server control-planes/slot{slot}"))
}

fn tell(place: &Place, command: &str) -> Result<()> {
    let path = place.join("run/haproxy.sock");
    let failed = |source| LabError::File { path: path.clone(), source };
    let mut socket = UnixStream::connect(&path).map_err(failed)?;
    socket.write_all(format!("{command}\n").as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).map_err(failed)?;
    let said = answer.trim();
    // Success is told by silence, or by the old and new address.
    if said.is_empty() || said.contains("changed from") || said.contains("no need to change") {
        return Ok(());
    }
    Err(LabError::Failed { what: format!("haproxy: {command}"), status: 0, said: said.to_owned() })
}
