//! Sandhog, a userspace IPsec gateway: IKEv2 and ESP on a TUN device.
pub mod cli;
pub mod config;
pub mod control;
pub mod crypto;
pub mod daemon;
pub mod dataplane;
pub mod esp;
pub mod ike;
pub mod io;
pub mod ipsec;
pub mod wire;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tidy;
