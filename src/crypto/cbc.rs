//! AES-CBC (RFC 3602) with unpredictable IVs, under a MAC over what it made (encrypt, then MAC). A block is also the length of the IV
//! that travels (RFC 3602 sections 2.4 and 3).
use super::aes::{Aes, BLOCK};
use super::chains::{self, CHAINS, Chain, FEW};
use super::cipher::{BadIcv, Body};
use super::integ::Integ;
use super::mac::{MAX_LEN, MacKey, WAYS};
use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
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
            match bodies.len() {
                1 => self.encrypt::<1>(bodies),
                ..=FEW => self.encrypt::<FEW>(bodies),
                _ => self.encrypt::<CHAINS>(bodies),
            }
            self.authenticate(bodies, |bodies, icvs| {
                for (body, icv) in bodies.iter_mut().zip(icvs) {
                    let (_, room) = body.buf.split_at_mut(body.buf.len() - icv.len());
                    room.copy_from_slice(icv);
                }
            });
        }
    }

    /// Opens bodies = IV, ciphertext, ICV. `opened` hears of each, in their order; nothing of a wrong one is decrypted.
    pub(super) fn open(&self, bodies: &mut [Body<'_>], mut opened: impl FnMut(&mut Body<'_>, Result<(), BadIcv>)) {
        self.authenticate(bodies, |bodies, icvs| {
            let mut right = bodies.iter_mut().zip(icvs).map(|(body, icv)| authentic(body.buf, icv));
            let mut right: [_; WAYS] = from_fn(|_| right.next().unwrap_or(Err(BadIcv)));
            chains::decrypt(&self.aes, right.iter_mut().flatten().map(|sent| &mut **sent));
            let results = right.map(|sent| sent.map(drop));
            for (body, result) in bodies.iter_mut().zip(results) {
                opened(body, result);
            }
        });
    }

    /// At most `MOST`, which is at most `CHAINS`.
    fn encrypt<const MOST: usize>(&self, bodies: &mut [Body<'_>]) {
        let count = bodies.len();
        let mut ivs = [aes::Block::default(); MOST];
        for (iv, body) in ivs.iter_mut().zip(&*bodies) {
            *iv = u128::from(body.counter).to_be_bytes().into();
        }
        self.iv.encrypt_blocks(&mut ivs[..count]);
        let mut bodies = bodies.iter_mut().zip(ivs);
        let mut chains: [Chain<'_>; MOST] = from_fn(|_| {
            let Some((body, iv)) = bodies.next() else { return Chain::default() };
            let (sent, _) = body.buf.split_at_mut(body.buf.len() - self.icv_len);
            let (room, text) = sent.split_first_chunk_mut().expect("room for the IV");
            *room = iv.into();
            Chain::new(room, text)
        });
        chains::encrypt(&self.aes, &mut chains[..count]);
    }

    /// Hands bodies with their ICVs to `with`, in order: as many together as a MAC gains from, and none alone if that can be.
    fn authenticate(&self, bodies: &mut [Body<'_>], mut with: impl FnMut(&mut [Body<'_>], &[&[u8]])) {
        let mut icvs = [[0; MAX_LEN]; WAYS];
        let mut rest = bodies;
        while !rest.is_empty() {
            let count = rest.len().div_ceil(rest.len().div_ceil(WAYS));
            let (bodies, later) = rest.split_at_mut(count);
            let covered: [_; WAYS] = from_fn(|i| bodies.get(i).map_or([&[][..]; 3], |body| self.covered(body)));
            self.mac.macs(&covered[..count], &mut icvs);
            with(bodies, &icvs.each_ref().map(|icv| &icv[..self.icv_len])[..count]);
            rest = later;
        }
    }

    /// All that the ICV covers.
    fn covered<'b>(&self, body: &'b Body<'_>) -> [&'b [u8]; 3] {
        [body.aad, &body.buf[..body.buf.len().saturating_sub(self.icv_len)], body.tail]
    }
}

/// IV and ciphertext, if they may be decrypted: of whole blocks, under the right ICV.
fn authentic<'b>(buf: &'b mut [u8], ours: &[u8]) -> Result<&'b mut [[u8; BLOCK]], BadIcv> {
    let (sent, icv) = buf.split_at_mut(buf.len().saturating_sub(ours.len()));
    let (blocks, rest) = sent.as_chunks_mut();
    let right = !blocks.is_empty() && rest.is_empty() && super::constant_time_eq(ours, icv);
    right.then_some(blocks).ok_or(BadIcv)
}
