//! The worker as a whole, over queues in memory; and what the tests of the pure parts share.
pub mod build;
mod fragment;
mod icmp;
mod merge;
mod segment;
