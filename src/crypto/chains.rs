//! CBC of several packets side by side (RFC 3602).
//!
//! In a chain each block waits until the one before it has passed through the whole cipher, and most of the processor waits with it.
//! Chains of different packets do not wait for each other: so block j of every packet is encrypted before block j + 1 of any. Of what is
//! decrypted no block waits for another.
use super::aes::{Aes, BLOCK};
use aes::Block;
use aes::cipher::consts::U16;
use aes::cipher::typenum::Unsigned;
use aes::cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncBackend, BlockCipherEncClosure,
    BlockCipherEncrypt, BlockSizeUser, InOutBuf,
};
use std::cmp::Reverse;
use std::ops::Range;

/// Most chains at a time: as many blocks as the widest backend takes at once, and their packets still fit into a near cache.
pub(super) const CHAINS: usize = 64;

/// Up to so many blocks go one after the other as fast as a whole row of the widest backend.
pub(super) const FEW: usize = 24;

/// Rows of a table: their blocks of one chain fill a line of the cache.
const ROWS: usize = 4;

type Row = [[u8; BLOCK]; CHAINS];

/// What is to be encrypted of one packet.
#[derive(Default)]
pub(super) struct Chain<'p> {
    /// The IV, then the block of ciphertext that was made last.
    last: [u8; BLOCK],
    text: &'p mut [[u8; BLOCK]],
}

impl<'p> Chain<'p> {
    /// Panics if `text` is no whole number of blocks.
    pub(super) fn new(iv: &[u8; BLOCK], text: &'p mut [u8]) -> Self {
        let (text, rest) = text.as_chunks_mut();
        assert!(rest.is_empty(), "a plaintext of whole blocks");
        Self { last: *iv, text }
    }
}

/// Encrypts each in place. Reorders them. Panics if there are more than [`CHAINS`].
pub(super) fn encrypt(aes: &Aes, chains: &mut [Chain<'_>]) {
    // The longest first, so that those that are left when the shortest ends stand together.
    chains.sort_unstable_by_key(|chain| Reverse(chain.text.len()));
    if chains.len() > FEW {
        aes.encrypt_with_backend(Many { chains, table: &mut [[[0; BLOCK]; CHAINS]; ROWS] });
    } else {
        aes.encrypt_with_backend(Few { chains, begin: 0 });
    }
}

/// The longest chains, from a row on that they all have.
struct Few<'c, 'p> {
    chains: &'c mut [Chain<'p>],
    begin: usize,
}

impl BlockSizeUser for Few<'_, '_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Few<'_, '_> {
    // Inlined, as is what it calls: only so does all of it know the processor's instructions that the backend has found.
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { mut chains, mut begin } = self;
        while let Some(shortest) = chains.last().map(|chain| chain.text.len()) {
            encrypt_few(backend, chains, begin..shortest);
            begin = shortest;
            chains = longer_than(chains, begin);
        }
    }
}

/// Any number of chains.
struct Many<'c, 'p> {
    chains: &'c mut [Chain<'p>],
    /// Room for some rows: a block of each chain stands in each.
    table: &'c mut [Row; ROWS],
}

impl BlockSizeUser for Many<'_, '_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Many<'_, '_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { mut chains, table } = self;
        let mut begin = 0;
        while chains.len() > FEW
            && let Some(shortest) = chains.last().map(|chain| chain.text.len())
        {
            let whole = begin + (shortest - begin) / ROWS * ROWS;
            encrypt_many(backend, chains, begin..whole, table);
            encrypt_many(backend, chains, whole..shortest, table.first_chunk_mut::<1>().expect("a row"));
            begin = shortest;
            chains = longer_than(chains, begin);
        }
        Few { chains, begin }.call(backend);
    }
}

fn longer_than<'c, 'p>(chains: &'c mut [Chain<'p>], rows: usize) -> &'c mut [Chain<'p>] {
    let left = chains.partition_point(|chain| chain.text.len() > rows);
    &mut chains[..left]
}

/// Rows that all the chains have. Blocks one after the other still overlap in the processor.
#[inline(always)]
fn encrypt_few<B: BlockCipherEncBackend<BlockSize = U16>>(backend: &B, chains: &mut [Chain<'_>], rows: Range<usize>) {
    let mut row = [[0; BLOCK]; FEW];
    let row = &mut row[..chains.len()];
    for (block, chain) in row.iter_mut().zip(&*chains) {
        *block = chain.last;
    }
    for j in rows {
        for (block, chain) in row.iter_mut().zip(&*chains) {
            mix(block, &chain.text[j]);
        }
        encrypt_row(backend, row);
        for (block, chain) in row.iter().zip(&mut *chains) {
            chain.text[j] = *block;
        }
    }
    for (block, chain) in row.iter().zip(chains) {
        chain.last = *block;
    }
}

/// Rows that all the chains have, as many at a time as the table has, which divides them. In the table a row lies together: all of it is
/// mixed and encrypted at once.
#[inline(always)]
fn encrypt_many<B: BlockCipherEncBackend<BlockSize = U16>, const ROWS: usize>(
    backend: &B,
    chains: &mut [Chain<'_>],
    rows: Range<usize>,
    table: &mut [Row; ROWS],
) {
    // Filled up with anything, so that the backend takes all of it at once.
    let width = chains.len().next_multiple_of(B::ParBlocksSize::USIZE).min(CHAINS);
    let mut last = [[0; BLOCK]; CHAINS];
    for (block, chain) in last.iter_mut().zip(&*chains) {
        *block = chain.last;
    }
    for j in rows.step_by(ROWS) {
        for (i, chain) in chains.iter().enumerate() {
            let text: &[_; ROWS] = chain.text[j..].first_chunk().expect("rows that it has");
            for (row, block) in table.iter_mut().zip(text) {
                row[i] = *block;
            }
        }
        for row in &mut *table {
            mix(row.as_flattened_mut(), last.as_flattened());
            encrypt_row(backend, &mut row[..width]);
            last = *row;
        }
        for (i, chain) in chains.iter_mut().enumerate() {
            let text: &mut [_; ROWS] = chain.text[j..].first_chunk_mut().expect("rows that it has");
            for (block, row) in text.iter_mut().zip(&*table) {
                *block = row[i];
            }
        }
    }
    for (block, chain) in last.iter().zip(chains) {
        chain.last = *block;
    }
}

/// As many at once as the backend takes.
#[inline(always)]
fn encrypt_row<B: BlockCipherEncBackend<BlockSize = U16>>(backend: &B, row: &mut [[u8; BLOCK]]) {
    let (full, rest) = InOutBuf::from(Block::cast_slice_from_core_mut(row)).into_chunks::<B::ParBlocksSize>();
    full.into_iter().for_each(|blocks| backend.encrypt_par_blocks(blocks));
    rest.into_iter().for_each(|block| backend.encrypt_block(block));
}

#[inline(always)]
fn mix(into: &mut [u8], octets: &[u8]) {
    into.iter_mut().zip(octets).for_each(|(into, octet)| *into ^= octet);
}

/// Decrypts packets = IV and ciphertext, in place; the IV stays.
pub(super) fn decrypt<'p>(aes: &Aes, packets: impl Iterator<Item = &'p mut [[u8; BLOCK]]>) {
    aes.decrypt_with_backend(Decrypt(packets));
}

struct Decrypt<P>(P);

impl<P> BlockSizeUser for Decrypt<P> {
    type BlockSize = U16;
}

impl<'p, P: Iterator<Item = &'p mut [[u8; BLOCK]]>> BlockCipherDecClosure for Decrypt<P> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = U16>>(self, backend: &B) {
        let Self(packets) = self;
        for packet in packets {
            decrypt_packet(backend, packet);
        }
    }
}

/// From the end on: so the block in front, which each is mixed with, is still there.
#[inline(always)]
fn decrypt_packet<B: BlockCipherDecBackend<BlockSize = U16>>(backend: &B, packet: &mut [[u8; BLOCK]]) {
    let mut row = [[0; BLOCK]; CHAINS];
    let mut end = packet.len();
    while end > 1 {
        let begin = end.saturating_sub(CHAINS).max(1);
        let text = &mut row[..end - begin];
        decrypt_row(backend, &packet[begin..end], text);
        mix(text.as_flattened_mut(), packet[begin - 1..end - 1].as_flattened());
        packet[begin..end].copy_from_slice(text);
        end = begin;
    }
}

/// As many at once as the backend takes, the rest one after the other.
#[inline(always)]
fn decrypt_row<B: BlockCipherDecBackend<BlockSize = U16>>(backend: &B, from: &[[u8; BLOCK]], to: &mut [[u8; BLOCK]]) {
    let (from, to) = (Block::cast_slice_from_core(from), Block::cast_slice_from_core_mut(to));
    let (full, rest) = InOutBuf::new(from, to).expect("as many").into_chunks::<B::ParBlocksSize>();
    full.into_iter().for_each(|blocks| backend.decrypt_par_blocks(blocks));
    rest.into_iter().for_each(|block| backend.decrypt_block(block));
}
