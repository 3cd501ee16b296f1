//! From the wire to the inner packet, in order: precheck, open, commit.
use super::SaParams;
use super::drop::Drop;
use super::replay::{Authentic, Window};
use std::ops::Range;
use std::sync::Mutex;
/// The receiving half of a child. Shared by workers.
#[derive(Debug)]
pub struct InboundSa {
    window: Mutex<Window>,
}
/// What `open` proved and found.
#[derive(Debug)]
pub struct Opened {
    /// For `commit`.
    pub proof: Authentic,
    /// Where the payload stands in the packet (TFC padding included, trailer excluded).
    pub payload: Range<usize>,
    /// Next header: 4, 41, 59 or a transport protocol.
    pub next_header: u8,
}
impl InboundSa {
    /// `window`: size of the replay window.
    pub fn new(params: &SaParams, window: u32) -> Self {
        let _ = (params, window);
        todo!()
    }
    /// The full sequence number of a packet, guessed for ESN (RFC 4303 appendix A2), not old and not replayed as far as can be seen now.
    pub fn precheck(&self, packet: &[u8]) -> Result<u64, Drop> {
        let _ = packet;
        todo!()
    }
    /// Verifies and decrypts `packet` (ESP header to ICV) in place.
    pub fn open(&self, seq: u64, packet: &mut [u8]) -> Result<Opened, Drop> {
        let _ = (seq, packet);
        todo!()
    }
    /// The window, taken once per run of packets of this SA; commit each proof to it.
    pub fn window(&self) -> std::sync::MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(|e| e.into_inner())
    }
}
