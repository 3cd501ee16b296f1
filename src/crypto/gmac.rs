//! AES-GMAC (RFC 4543): GCM that encrypts nothing, so that all of the packet is associated data.
use super::aes::{AesEnc, BLOCK};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;

/// An expanded key.
pub(super) struct GmacKey {
    aes: AesEnc,
    ghash: GHash,
}
impl GmacKey {
    /// Takes the expanded AES key.
    pub(super) fn new(aes: AesEnc) -> Self {
        let ghash = GHash::new(&aes.encrypt([0; BLOCK]).into());
        Self { aes, ghash }
    }

    /// The tag of the parts, one behind the other.
    pub(super) fn tag(&self, nonce: &[u8; 12], parts: &[&[u8]]) -> [u8; BLOCK] {
        let mut ghash = self.ghash.clone();
        // GHASH fills up with zeros after each call: it must get whole blocks, also where two parts meet.
        let (mut seam, mut filled) = ([0; BLOCK], 0);
        for part in parts {
            let (now, later) = part.split_at(part.len().min(BLOCK - filled));
            seam[filled..][..now.len()].copy_from_slice(now);
            filled += now.len();
            if filled == BLOCK {
                ghash.update_padded(&seam);
                let (whole, rest) = later.split_at(later.len() - later.len() % BLOCK);
                ghash.update_padded(whole);
                seam[..rest.len()].copy_from_slice(rest);
                filled = rest.len();
            }
        }
        ghash.update_padded(&seam[..filled]);
        let bits = 8 * parts.iter().map(|part| part.len() as u128).sum::<u128>();
        ghash.update(&[(bits << 64).to_be_bytes().into()]);

        let mut first = [0; BLOCK];
        first[..12].copy_from_slice(nonce);
        first[BLOCK - 1] = 1;
        let mut tag = self.aes.encrypt(first);
        tag.iter_mut().zip(ghash.finalize()).for_each(|(tag, hash)| *tag ^= hash);
        tag
    }
}
