//! IKEv2 without IO (RFC 7296): `endpoint.handle(now, input, host)`, drain `endpoint.poll()`, then `endpoint.next_deadline()`.
//!
//! Time is a `Duration` since an epoch that the caller chooses and that never goes back.
pub mod diagnose;
pub mod endpoint;
pub mod event;
pub mod policy;
pub mod status;

mod admission;
pub mod adopt;
mod auth;
mod calls;
mod channel;
mod child;
mod claim;
mod common;
mod demand;
mod directory;
mod error;
pub mod examine;
mod exchange;
mod frozen;
mod heir;
mod ikev1;
mod inbox;
mod keys;
mod lease;
mod life;
mod link;
mod nat;
mod negotiate;
mod one_peer;
mod ppk;
mod report;
mod resources;
mod sa;
mod siblings;
mod size;
mod spi;
mod stray;
mod timer;
mod traffic;
mod transport;
mod unheard;
mod virtuals;
mod ways;
mod window;

#[cfg(any(test, feature = "fuzzing"))]
pub use frozen::thaw_any;
#[cfg(any(test, feature = "fuzzing"))]
pub mod sim;
#[cfg(test)]
mod tests;
