//! Tests of more than one file, and those whose files are compiled twice.
mod delivery;
mod hostile;
mod inputs;
mod loom;
mod replay;
mod runs;
mod sequence;
mod vectors;

use super::inbound::InboundSa;
use super::outbound::OutboundSa;
use super::{Cipher, SaParams};
use crate::crypto::secret::Secret;
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

/// The same cases in every run.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        rng_seed: RngSeed::Fixed(4303),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Parameters with keys of no meaning.
fn params(cipher: Cipher, esn: bool) -> SaParams {
    let key = |len: usize, seed: u8| Secret::new((0..len).map(|i| seed ^ i as u8).collect());
    let (encr, integ) = (key(cipher.encr_key_len(), 0x5a), key(cipher.integ_key_len(), 0xc3));
    SaParams { spi: 0xc1a2_b3c4, cipher, encr, integ, esn }
}

/// Both halves of one SA with the same keys; `first` is the first number that is sent.
fn pair(params: &SaParams, first: u64, window: u32) -> (OutboundSa, InboundSa) {
    (OutboundSa::resume(params, [7; 16], first), InboundSa::new(params, window))
}

/// Seals one packet of these octets.
fn sealed(sa: &OutboundSa, seq: u64, inner: &[u8], next_header: u8) -> Vec<u8> {
    let mut packet = vec![0; sa.sealed_len(inner.len())];
    packet[sa.head()..sa.head() + inner.len()].copy_from_slice(inner);
    sa.seal(seq, &mut packet, inner.len(), next_header);
    packet
}
