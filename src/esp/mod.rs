//! ESP on one packet or one batch: no threads, sockets or tables (RFC 4303, 4106, 7634, 3602, 6479, 6040).
pub mod drop;
pub mod inbound;
pub mod outbound;
pub mod replay;
pub mod tos;

use crate::crypto::cipher::Cipher;
use crate::crypto::secret::Secret;

/// What one direction of a child needs to exist.
#[derive(Clone, Debug)]
pub struct SaParams {
    /// SPI on the wire.
    pub spi: u32,
    /// Suite.
    pub cipher: Cipher,
    /// Encryption key, an AEAD's salt at its end.
    pub encr: Secret,
    /// Integrity key, empty for an AEAD.
    pub integ: Secret,
    /// Extended sequence numbers.
    pub esn: bool,
}
