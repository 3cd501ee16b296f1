//! The control API: HTTP/1.1 and JSON over a Unix socket (interface.md, "Control API"). `curl --unix-socket` is enough to use all of it.
//!
//! It runs on a thread of its own and shares nothing with the engine but a bounded channel of [`request::Request`]s and a broadcast of
//! events, so that slow clients never delay a retransmission.
pub mod access;
pub mod config;
pub mod extract;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fake;
pub mod gate;
pub mod metrics;
pub mod problem;
pub mod request;
pub mod resources;
pub mod routes;
pub mod routes_config;
pub mod seats;
pub mod server;
pub mod socket;
pub mod types;
pub mod unread;
pub mod upgrade;
