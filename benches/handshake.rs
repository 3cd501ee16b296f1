//! What one new peer costs the responder: IKE_SA_INIT, IKE_AUTH and what is between them, with all public-key work, a child and its keys.
//! Everything but the socket. It is processor time, so that what else the machine does counts as little as can be.
#![allow(missing_docs, reason = "criterion's macros make an undocumented function")]
mod pair;

use criterion::{Criterion, criterion_group, criterion_main};
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

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("responder");
    for (name, ike) in [
        ("psk x25519 aes256gcm16", "aes256gcm16-prfsha384-x25519"),
        ("psk x25519 aes256-sha256", "aes256-sha256-x25519"),
        ("psk x25519 mlkem768", "aes256gcm16-prfsha384-x25519-ke1_mlkem768"),
    ] {
        let suite = Suite { ike, esp: "aes256gcm16" };
        if ike.contains("mlkem")
            && sandhog::wire::keyword::parse(sandhog::wire::registry::ProtocolId::IKE, ike).is_err()
        {
            continue;
        }
        group.bench_function(name, |bencher| bencher.iter_custom(|times| (0..times).map(|_| handshake(suite)).sum()));
    }
    group.finish();
}

criterion_group!(handshake_group, benches);
criterion_main!(handshake_group);
