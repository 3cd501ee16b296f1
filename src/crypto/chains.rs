//! CBC encryption of several packets side by side (RFC 3602).
//!
//! In a chain each block waits until the one before it has passed through the whole cipher, and most of the processor waits with it.
//! Chains of different packets do not wait for each other: so block j of every packet is encrypted before block j + 1 of any.
use super::aes::{Aes, BLOCK};
use aes::Block;
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, InOutBuf};
use std::cmp::Reverse;
use std::ops::Range;

/// Most chains at a time: more than any processor has pipelines for, and their packets still fit into its nearest cache.
pub(super) const CHAINS: usize = 16;

/// What is to be encrypted of one packet.
#[derive(Default)]
pub(super) struct Chain<'p> {
    /// The IV, then the block of ciphertext that was made last.
    last: Block,
    text: &'p mut [[u8; BLOCK]],
}

impl<'p> Chain<'p> {
    /// Panics if `text` is no whole number of blocks.
    pub(super) fn new(iv: &[u8; BLOCK], text: &'p mut [u8]) -> Self {
        let (text, rest) = text.as_chunks_mut();
        assert!(rest.is_empty(), "a plaintext of whole blocks");
        Self { last: (*iv).into(), text }
    }
}

/// Encrypts each in place. Reorders them. Panics if there are more than [`CHAINS`].
pub(super) fn encrypt(aes: &Aes, chains: &mut [Chain<'_>]) {
    // The longest first, so that those that are left when the shortest ends stand together.
    chains.sort_unstable_by_key(|chain| Reverse(chain.text.len()));
    aes.encrypt_with_backend(SideBySide(chains));
}

struct SideBySide<'c, 'p>(&'c mut [Chain<'p>]);

impl BlockSizeUser for SideBySide<'_, '_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for SideBySide<'_, '_> {
    // Inlined, as is what it calls: only so does all of it know the processor's instructions that the backend has found.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self(mut chains) = self;
        let mut row = 0;
        while let Some(shortest) = chains.last().map(|chain| chain.text.len()) {
            encrypt_rows(backend, chains, row..shortest);
            row = shortest;
            let left = chains.partition_point(|chain| chain.text.len() > row);
            chains = &mut chains[..left];
        }
    }
}

/// A row is one block of each chain; all of them are that long.
#[inline(always)]
fn encrypt_rows<B: BlockCipherEncBackend<BlockSize = U16>>(backend: &B, chains: &mut [Chain<'_>], rows: Range<usize>) {
    let mut row = [Block::default(); CHAINS];
    let row = &mut row[..chains.len()];
    for (block, chain) in row.iter_mut().zip(&*chains) {
        *block = chain.last;
    }
    for j in rows {
        for (block, chain) in row.iter_mut().zip(&*chains) {
            *block = mixed(*block, chain.text[j]);
        }
        // As many at once as the backend takes. What it does one after the other still overlaps in the processor.
        let (full, rest) = InOutBuf::from(&mut *row).into_chunks::<B::ParBlocksSize>();
        full.into_iter().for_each(|blocks| backend.encrypt_par_blocks(blocks));
        rest.into_iter().for_each(|block| backend.encrypt_block(block));
        for (block, chain) in row.iter().zip(&mut *chains) {
            chain.text[j] = (*block).into();
        }
    }
    for (block, chain) in row.iter().zip(chains) {
        chain.last = *block;
    }
}

#[inline(always)]
fn mixed(a: Block, b: [u8; BLOCK]) -> Block {
    (u128::from_ne_bytes(a.into()) ^ u128::from_ne_bytes(b)).to_ne_bytes().into()
}
