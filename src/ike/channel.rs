//! Protected messages: one direction seals, the other opens (RFC 7296 section 3.14, RFC 5282).
use crate::crypto::cipher::{Cipher, PacketKey};
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crate::wire::message::{HEADER_LEN, Header, ParseError, encode_chain, parse_chain};
use crate::wire::payload::{Encrypted, Payload};
use crate::wire::registry::PayloadType;

/// Seals our messages and opens the peer's (RFC 7296 section 3.14, RFC 5282).
pub(super) struct Channel {
    pub(super) seal: PacketKey,
    /// Never repeats under `seal`: the IV of an AEAD, or what a CBC IV is made of.
    counter: u64,
    open: PacketKey,
}
/// Why a protected message is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    /// Not from the peer, or damaged: as if it had never come.
    Icv,
    /// From the peer, but what is inside does not parse.
    Inside(ParseError),
}
impl Channel {
    pub(super) fn new(cipher: Cipher, ours: (&Secret, &Secret), theirs: (&Secret, &Secret), rng: &mut dyn Rng) -> Self {
        let mut iv_key = [0; 16];
        rng.fill(&mut iv_key);
        Self {
            seal: PacketKey::new(cipher, ours.0.expose(), ours.1.expose(), iv_key),
            counter: 0,
            open: PacketKey::new(cipher, theirs.0.expose(), theirs.1.expose(), [0; 16]),
        }
    }
    /// One message with SK as its only payload. The header's length and first payload are filled in.
    pub(super) fn seal(&mut self, mut header: Header, payloads: &[Payload]) -> Vec<u8> {
        const SK_HEADER: usize = 4;
        let cipher = self.seal.cipher();
        let (first, inside) = encode_chain(payloads);
        let block = if cipher.is_aead() { 1 } else { cipher.block() };
        let pad = (block - (inside.len() + 1) % block) % block;
        let body = cipher.iv_len() + inside.len() + pad + 1 + cipher.icv_len();
        header.first = PayloadType::SK;
        header.length = (HEADER_LEN + SK_HEADER + body) as u32;
        let mut message = Vec::with_capacity(HEADER_LEN + SK_HEADER + body);
        message.extend_from_slice(&header.encode());
        message.extend_from_slice(&[first.0, 0]);
        message.extend_from_slice(&((SK_HEADER + body) as u16).to_be_bytes());
        message.resize(message.len() + cipher.iv_len(), 0);
        message.extend_from_slice(&inside);
        message.resize(message.len() + pad, 0);
        message.push(pad as u8);
        message.resize(message.len() + cipher.icv_len(), 0);
        let (aad, buf) = message.split_at_mut(HEADER_LEN + SK_HEADER);
        self.seal.seal(self.counter, aad, buf, &[]);
        self.counter += 1;
        message
    }
    /// Opens the SK payload at the end of `data`. The padding is not looked at (RFC 7296 section 3.14), only its length.
    pub(super) fn open(&self, data: &[u8], sk: &Encrypted) -> Result<Vec<Payload>, OpenError> {
        let at = data.len().checked_sub(sk.body.len()).ok_or(OpenError::Icv)?;
        let mut buf = sk.body.clone();
        let plain = self.open.open(&data[..at], &mut buf, &[]).map_err(|_| OpenError::Icv)?;
        let plain = &buf[plain];
        let pad = *plain.last().ok_or(OpenError::Inside(ParseError::Syntax("no pad length")))? as usize;
        let inside = plain.len().checked_sub(1 + pad).ok_or(OpenError::Inside(ParseError::Syntax("pad length")))?;
        parse_chain(sk.first, &plain[..inside]).map_err(OpenError::Inside)
    }
}
