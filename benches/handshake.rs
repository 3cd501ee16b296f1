//! What one new peer costs the responder: IKE_SA_INIT, IKE_AUTH and what is between them, with all public-key work, a child and its keys.
//! Everything but the socket. It is processor time, so that what else the machine does counts as little as can be.
#![allow(missing_docs, reason = "criterion's macros make an undocumented function")]
mod pair;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use nix::time::ClockId;
use pair::{Memory, RESPONDER, Side, Suite};
use std::net::IpAddr;
use std::time::Duration;

const INITIATOR: &str = "198.51.100.7";

/// Time that the responder takes for one peer.
fn handshake(suite: Suite) -> Duration {
    let (here, there): (IpAddr, IpAddr) =
        (RESPONDER.parse().expect("an address"), INITIATOR.parse().expect("an address"));
    let mut initiator = Side::new(pair::initiator(suite, 1).policy, Memory::new(there));
    let mut responder = Side::new(pair::responder(suite).policy, Memory::new(here));
    let mut messages = initiator.up();
    let mut spent = Duration::ZERO;
    while !messages.is_empty() {
        let begin = processor();
        let answers = responder.receive(&messages, there, here);
        spent += processor() - begin;
        messages = initiator.receive(&answers, here, there);
    }
    assert!(initiator.is_up() && responder.is_up(), "{:?} {:?}", initiator.events, responder.events);
    spent
}

/// What this thread has had of its processor.
fn processor() -> Duration {
    ClockId::CLOCK_THREAD_CPUTIME_ID.now().expect("every Linux has this clock").into()
}

/// What the additional key exchange of the second suite costs. The two take turns, and the middle one of the differences counts: the clock of a
/// processor wanders by more than this between two benchmarks.
fn added(without: Suite, with: Suite, times: u64) -> Duration {
    let pair = |_| (handshake(without), handshake(with));
    let mut differences: Vec<_> = (0..times).map(pair).map(|(less, more)| more.saturating_sub(less)).collect();
    differences.sort_unstable();
    let middle = differences.get(differences.len() / 2).copied().unwrap_or_default();
    middle * u32::try_from(times).expect("a sample of benchmarks")
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("responder");
    let suite = |ike| Suite { ike, esp: "aes256gcm16" };
    let gcm = suite("aes256gcm16-prfsha384-x25519");
    for (name, suite) in [("psk x25519 aes256gcm16", gcm), ("psk x25519 aes256-sha256", suite("aes256-sha256-x25519"))]
    {
        group.bench_function(name, |bencher| bencher.iter_custom(|times| (0..times).map(|_| handshake(suite)).sum()));
    }
    let kem = suite("aes256gcm16-prfsha384-x25519-ke1_mlkem768");
    // As many pairs in each sample, so that each has a middle.
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("mlkem768 adds", |bencher| bencher.iter_custom(|times| added(gcm, kem, times)));
    group.finish();
}

criterion_group!(handshake_group, benches);
criterion_main!(handshake_group);
