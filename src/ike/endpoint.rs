//! All IKE SAs: lookup, half-open limits, cookies.
use super::event::{Host, Input, Output};
use super::status::ConnectionStatus;
use std::time::Duration;
/// The IKE endpoint: one per daemon.
pub struct Endpoint;
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Endpoint")
    }
}
impl Endpoint {
    /// Without a policy, until `Command::SetPolicy`.
    pub fn new(now: Duration, host: &mut dyn Host) -> Self {
        let _ = (now, host);
        todo!()
    }
    /// One way in.
    pub fn handle(&mut self, now: Duration, input: Input<'_>, host: &mut dyn Host) {
        let _ = (now, input, host);
        todo!()
    }
    /// One way out; drain it after each `handle`.
    pub fn poll(&mut self) -> Option<Output> {
        todo!()
    }
    /// When `Input::Timer` is due.
    pub fn next_deadline(&self) -> Option<Duration> {
        todo!()
    }
    /// All configured connections.
    pub fn status(&self) -> Vec<ConnectionStatus> {
        todo!()
    }
    /// True for a message of an IKE SA that we may know (our SPI carries a keyed tag): the lane that is served first.
    pub fn is_ours(&self, message: &[u8]) -> bool {
        let _ = message;
        todo!()
    }
}
