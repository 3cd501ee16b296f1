//! The guard against clear text from outside: one nftables table that drops packets which should have come through a tunnel.
use std::io;
use std::net::IpAddr;

/// An address and the length of its prefix.
pub type Prefix = (IpAddr, u8);

/// A pair of prefixes of one family, as an inbound packet carries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Of the source address (a child's remote_ts).
    pub source: Prefix,
    /// Of the destination address (a child's local_ts).
    pub destination: Prefix,
}

/// What the table holds. In order: packets that came in by one of `devices` or by `lo` pass; `exceptions` pass; `protected` are counted and dropped; the rest passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guard {
    /// Names of our TUN devices.
    pub devices: Vec<String>,
    /// Pairs that may come in the clear (`mode = "pass"`).
    pub exceptions: Vec<Pair>,
    /// Pairs that may not.
    pub protected: Vec<Pair>,
}

/// Puts the table `name` of family inet into place, instead of what it held before, in one transaction. A prefix longer than its family
/// allows and a pair of two families are `InvalidInput`; `Unsupported` if the kernel has no nftables.
pub fn replace(name: &str, guard: &Guard) -> io::Result<()> {
    let _ = (name, guard);
    todo!()
}
/// Removes the table `name`. False if there was none.
pub fn delete(name: &str) -> io::Result<bool> {
    let _ = name;
    todo!()
}
/// Whether there is a table `name` of family inet.
pub fn exists(name: &str) -> io::Result<bool> {
    let _ = name;
    todo!()
}
