//! The databases (RFC 4301 section 4.4): policies, SAs, paths, and the snapshots of them that workers read.
pub mod path;
pub mod sad;
pub mod spd;
pub mod tables;
