//! Plain hashes that the protocol itself prescribes.
use sha1::{Digest, Sha1};

/// SHA-1 over the parts, for NAT detection and the names of authorities (RFC 7296 sections 2.23 and 3.7): no secret depends on it.
pub fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut hash = Sha1::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
