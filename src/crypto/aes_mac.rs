//! AES-CMAC (RFC 4493) and AES-XCBC-MAC (RFC 3566): both chain the blocks as CBC does, and mix a second key into the last block
//! if it is whole, a third one if it had to be padded. They differ in where the three keys come from.
use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::Zeroizing;

/// Octets of a key, of a block and of the MAC before it is cut.
pub(super) const LEN: usize = 16;
type Block = [u8; LEN];

/// The three keys.
pub(super) struct AesMac {
    chain: Aes128Enc,
    whole: Zeroizing<Block>,
    padded: Zeroizing<Block>,
}

impl AesMac {
    /// The second key is the encrypted zero doubled in GF(2^128), the third is that doubled again (RFC 4493 section 2.3).
    pub(super) fn cmac(key: &Block) -> Self {
        let chain = Aes128Enc::new(key.into());
        let whole = doubled(&encrypted(&chain, [0; LEN]));
        let padded = doubled(&whole);
        Self { chain, whole, padded }
    }

    /// All three are blocks of ones, twos and threes under the key (RFC 3566 section 4).
    pub(super) fn xcbc(key: &Block) -> Self {
        let key = Aes128Enc::new(key.into());
        let chain = Aes128Enc::new((&*encrypted(&key, [1; LEN])).into());
        Self { chain, whole: encrypted(&key, [2; LEN]), padded: encrypted(&key, [3; LEN]) }
    }

    /// The MAC of the parts, one behind the other, cut to the length of `out`, which is at most [`LEN`].
    pub(super) fn mac(&self, parts: &[&[u8]], out: &mut [u8]) {
        // The chained value, and so much of the next block as has been mixed into it. In the end it is the MAC, which may become a key.
        let mut state = Zeroizing::new([0; LEN]);
        let mut filled = 0;
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                // Not before more is to come: the last block is another case.
                if filled == LEN {
                    self.chain.encrypt_block((&mut *state).into());
                    filled = 0;
                }
                let (now, later) = rest.split_at(rest.len().min(LEN - filled));
                mix(&mut state[filled..], now);
                filled += now.len();
                rest = later;
            }
        }
        if filled == LEN {
            mix(&mut *state, &*self.whole);
        } else {
            state[filled] ^= 0x80;
            mix(&mut *state, &*self.padded);
        }
        self.chain.encrypt_block((&mut *state).into());
        out.copy_from_slice(&state[..out.len()]);
    }
}

fn mix(into: &mut [u8], octets: &[u8]) {
    into.iter_mut().zip(octets).for_each(|(into, octet)| *into ^= octet);
}

fn encrypted(key: &Aes128Enc, mut block: Block) -> Zeroizing<Block> {
    key.encrypt_block((&mut block).into());
    Zeroizing::new(block)
}

/// Times x in GF(2^128), in constant time.
fn doubled(block: &Block) -> Zeroizing<Block> {
    let number = u128::from_be_bytes(*block);
    Zeroizing::new(((number << 1) ^ (0x87 * (number >> 127))).to_be_bytes())
}
