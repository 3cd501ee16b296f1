//! AES-CBC (RFC 3602) with unpredictable IVs, under a MAC over what it made (encrypt, then MAC). A block is also the length of the IV
//! that travels (RFC 3602 sections 2.4 and 3).
use super::aes::{Aes, BLOCK};
use super::chains::{self, CHAINS, Chain};
use super::cipher::{BadIcv, Body};
use super::integ::Integ;
use super::mac::MacKey;
use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, BlockModeDecrypt, InOutBuf, InnerIvInit, KeyInit};
use std::array::from_fn;

/// Expanded keys: encryption, integrity, and the one that makes IVs.
pub(super) struct CbcKey {
    aes: Aes,
    /// RFC 3602 section 3 wants IVs that nobody can foresee, and no counters: so they are a counter, encrypted under a
    /// key of their own.
    iv: Aes128Enc,
    mac: MacKey,
    icv_len: usize,
}

impl CbcKey {
    /// Panics if a key has not the length of an AES key or of the integrity algorithm.
    pub(super) fn new(encr: &[u8], integ: Integ, integ_key: &[u8], iv_key: [u8; BLOCK]) -> Self {
        assert_eq!(integ_key.len(), integ.key_len(), "integrity key length");
        Self {
            aes: Aes::new(encr),
            iv: Aes128Enc::new(&iv_key.into()),
            mac: MacKey::new(integ.mac(), integ_key),
            icv_len: integ.icv_len(),
        }
    }

    /// Seals bodies = room for the IV, plaintext of whole blocks, room for the ICV; side by side as far as that goes.
    pub(super) fn seal(&self, bodies: &mut [Body<'_>]) {
        for bodies in bodies.chunks_mut(CHAINS) {
            self.encrypt(bodies);
            self.authenticate(bodies, |body, icv| {
                let (_, room) = body.buf.split_at_mut(body.buf.len() - icv.len());
                room.copy_from_slice(icv);
            });
        }
    }

    /// Opens bodies = IV, ciphertext, ICV. `opened` hears of each, in their order; nothing of a wrong one is decrypted.
    pub(super) fn open(&self, bodies: &mut [Body<'_>], mut opened: impl FnMut(&mut Body<'_>, Result<(), BadIcv>)) {
        self.authenticate(bodies, |body, ours| {
            let text = body.buf.split_at_mut_checked(body.buf.len().saturating_sub(ours.len()));
            let result = text.ok_or(BadIcv).and_then(|(sent, icv)| {
                if !sent.len().is_multiple_of(BLOCK) || !super::constant_time_eq(ours, icv) {
                    return Err(BadIcv);
                }
                let (iv, text) = sent.split_first_chunk_mut::<BLOCK>().ok_or(BadIcv)?;
                decrypt(&self.aes, iv, text);
                Ok(())
            });
            opened(body, result);
        });
    }

    /// At most `CHAINS`.
    fn encrypt(&self, bodies: &mut [Body<'_>]) {
        let count = bodies.len();
        let mut ivs = [aes::Block::default(); CHAINS];
        for (iv, body) in ivs.iter_mut().zip(&*bodies) {
            *iv = u128::from(body.counter).to_be_bytes().into();
        }
        self.iv.encrypt_blocks(&mut ivs[..count]);
        let mut bodies = bodies.iter_mut().zip(ivs);
        let mut chains: [Chain<'_>; CHAINS] = from_fn(|_| {
            let Some((body, iv)) = bodies.next() else { return Chain::default() };
            let (sent, _) = body.buf.split_at_mut(body.buf.len() - self.icv_len);
            let (room, text) = sent.split_first_chunk_mut().expect("room for the IV");
            *room = iv.into();
            Chain::new(room, text)
        });
        chains::encrypt(&self.aes, &mut chains[..count]);
    }

    /// Hands each body with its ICV to `with`, in order.
    fn authenticate(&self, bodies: &mut [Body<'_>], mut with: impl FnMut(&mut Body<'_>, &[u8])) {
        // Two at a time are what keeps the processor busy.
        for pair in bodies.chunks_mut(2) {
            match pair {
                [a, b] => {
                    let [icv_a, icv_b] = self.mac.macs([&self.covered(a), &self.covered(b)]);
                    with(a, &icv_a[..self.icv_len]);
                    with(b, &icv_b[..self.icv_len]);
                }
                others => {
                    for body in others {
                        let [icv] = self.mac.macs([&self.covered(body)]);
                        with(body, &icv[..self.icv_len]);
                    }
                }
            }
        }
    }

    /// All that the ICV covers.
    fn covered<'b>(&self, body: &'b Body<'_>) -> [&'b [u8]; 3] {
        [body.aad, &body.buf[..body.buf.len().saturating_sub(self.icv_len)], body.tail]
    }
}

/// AES-CBC of whole blocks, in place.
#[cfg(test)]
pub(super) fn encrypt(aes: &Aes, iv: &[u8; BLOCK], text: &mut [u8]) {
    chains::encrypt(aes, &mut [Chain::new(iv, text)]);
}
/// The other way. The blocks do not wait for each other: the ciphertext that each is mixed with is there.
pub(super) fn decrypt(aes: &Aes, iv: &[u8; BLOCK], text: &mut [u8]) {
    let (blocks, rest) = InOutBuf::from(text).into_chunks();
    assert!(rest.is_empty(), "a ciphertext of whole blocks");
    cbc::Decryptor::inner_iv_init(aes, iv.into()).decrypt_blocks_inout(blocks);
}
