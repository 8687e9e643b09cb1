//! Addresses in URLs: IPv6 stands in brackets.

use std::net::{IpAddr, SocketAddr};

/// `https://ADDRESS:PORT`.
pub(crate) fn https(address: &str, port: u16) -> String {
    match address.parse::<IpAddr>() {
        Ok(ip) => format!("https://{}", SocketAddr::new(ip, port)),
        Err(_) => format!("https://{address}:{port}"),
    }
}

/// The loopback address of the same family.
pub(crate) fn loopback(address: &str) -> &'static str {
    if address.contains(':') { "::1" } else { "127.0.0.1" }
}
