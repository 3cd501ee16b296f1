//! The worker as a whole, over queues in memory; and what the tests of the pure parts share.
mod build;
mod fragment;
mod gateway;
mod icmp;
mod inbound;
mod merge;
mod outbound;
mod segment;
mod tunnel;
