//! The worker as a whole, over queues in memory; and what the tests of the pure parts share.
pub mod build;
mod copies;
mod fit;
mod fragment;
mod gateway;
mod icmp;
mod inbound;
mod merge;
mod order;
mod outbound;
mod refusals;
mod run;
pub mod segment;
mod tenants;
mod translate;
mod transport;
mod tunnel;
mod wait;
