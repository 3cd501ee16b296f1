//! The control API: HTTP/1.1 and JSON over a Unix socket (interface.md, "Control API"). `curl --unix-socket` is enough to use all of it.
//!
//! It runs on a thread of its own and shares nothing with the engine but a bounded channel of [`request::Request`]s, the [`board::Board`] that
//! the engine hands out, and a ring of [`events`], so that slow clients never delay a retransmission.
pub mod access;
pub mod asked;
pub mod board;
pub mod capture;
pub mod config;
pub mod events;
pub mod extract;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fake;
pub mod gate;
pub mod lists;
pub mod metrics;
pub mod openapi;
pub mod probing;
pub mod problem;
pub mod profiles;
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
