//! Which families of addresses a cluster has.

/// The address families of a cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone.
    #[default]
    V4,
    /// IPv6 alone.
    V6,
    /// Both, IPv4 first.
    Dual,
}

impl Families {
    /// Whether there are IPv4 addresses.
    pub fn v4(self) -> bool {
        self != Self::V6
    }

    /// Whether there are IPv6 addresses.
    pub fn v6(self) -> bool {
        self != Self::V4
    }
}
