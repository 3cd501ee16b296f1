//! The databases (RFC 4301 section 4.4): policies, SAs, paths, and the snapshots of them that workers read.
mod admit;
pub mod fitting;
mod frozen;
pub mod larval;
pub mod path;
pub mod pmtu;
mod prefix;
mod rules;
pub mod sad;
pub mod spd;
pub mod tables;
#[cfg(test)]
mod tests;
pub mod translate;
