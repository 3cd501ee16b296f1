//! The block functions of SHA-1 and SHA-2 and where they begin (RFC 6234 sections 5 and 6). The crates find the processor's instructions.
use sha2::block_api::{compress256, compress512};
use zeroize::Zeroize;

/// A hash whose blocks have so many octets.
pub(super) trait Hash<const BLOCK: usize> {
    /// What goes from block to block.
    type State: Copy + Zeroize;
    /// In front of the first block.
    const START: Self::State;
    /// Octets of output.
    const LEN: usize;
    /// Octets that the message's length takes at its end.
    const LENGTH: usize = BLOCK / 8;
    /// Takes blocks in.
    fn compress(state: &mut Self::State, blocks: &[[u8; BLOCK]]);
    /// As far as `out` goes, which is no longer than [`Hash::LEN`].
    fn write(state: &Self::State, out: &mut [u8]);
}

/// SHA-1.
pub(super) struct Sha1;
/// SHA-256.
pub(super) struct Sha256;
/// SHA-384.
pub(super) struct Sha384;
/// SHA-512.
pub(super) struct Sha512;

impl Hash<64> for Sha1 {
    type State = [u32; 5];
    const START: [u32; 5] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
    const LEN: usize = 20;

    fn compress(state: &mut [u32; 5], blocks: &[[u8; 64]]) {
        sha1::block_api::compress(state, blocks);
    }
    fn write(state: &[u32; 5], out: &mut [u8]) {
        write32(state, out);
    }
}

impl Hash<64> for Sha256 {
    type State = [u32; 8];
    const START: [u32; 8] =
        [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
    const LEN: usize = 32;

    fn compress(state: &mut [u32; 8], blocks: &[[u8; 64]]) {
        compress256(state, blocks);
    }
    fn write(state: &[u32; 8], out: &mut [u8]) {
        write32(state, out);
    }
}

impl Hash<128> for Sha384 {
    type State = [u64; 8];
    const START: [u64; 8] = [
        0xcbbb9d5dc1059ed8,
        0x629a292a367cd507,
        0x9159015a3070dd17,
        0x152fecd8f70e5939,
        0x67332667ffc00b31,
        0x8eb44a8768581511,
        0xdb0c2e0d64f98fa7,
        0x47b5481dbefa4fa4,
    ];
    const LEN: usize = 48;

    fn compress(state: &mut [u64; 8], blocks: &[[u8; 128]]) {
        compress512(state, blocks);
    }
    fn write(state: &[u64; 8], out: &mut [u8]) {
        write64(state, out);
    }
}

impl Hash<128> for Sha512 {
    type State = [u64; 8];
    const START: [u64; 8] = [
        0x6a09e667f3bcc908,
        0xbb67ae8584caa73b,
        0x3c6ef372fe94f82b,
        0xa54ff53a5f1d36f1,
        0x510e527fade682d1,
        0x9b05688c2b3e6c1f,
        0x1f83d9abfb41bd6b,
        0x5be0cd19137e2179,
    ];
    const LEN: usize = 64;

    fn compress(state: &mut [u64; 8], blocks: &[[u8; 128]]) {
        compress512(state, blocks);
    }
    fn write(state: &[u64; 8], out: &mut [u8]) {
        write64(state, out);
    }
}

fn write32(words: &[u32], out: &mut [u8]) {
    for (out, word) in out.chunks_mut(size_of::<u32>()).zip(words) {
        out.copy_from_slice(&word.to_be_bytes()[..out.len()]);
    }
}

fn write64(words: &[u64], out: &mut [u8]) {
    for (out, word) in out.chunks_mut(size_of::<u64>()).zip(words) {
        out.copy_from_slice(&word.to_be_bytes()[..out.len()]);
    }
}
