//! IKE fragmentation (RFC 7383): what is cut, how it is put together again, and what a hostile wire can do about it.
use super::*;
use crate::wire::fragment::SKF_HEADER_LEN;
use crate::wire::message::{HEADER_LEN, Header, MAX_PAYLOADS, Message};
use crate::wire::payload::{Notify, Payload, Skf};
use crate::wire::registry::{ExchangeType, NotifyType, PayloadType};
use std::collections::BTreeSet;
use wire::{Datagram, Weather};

/// The longest messages in IP datagrams of 1280 and 576 octets, with UDP and marker.
const USUAL: usize = 1280 - 20 - 12;
const SMALL: usize = 576 - 20 - 12;

/// A policy with so many selectors that IKE_AUTH becomes long.
fn wordy(policy: Policy) -> Policy {
    with_child(policy, |c| {
        let alice = c.local_ts[0] == "10.1.0.0/16".parse().unwrap();
        for i in 0..200 {
            let ours = format!("192.168.{i}.0/24").parse().unwrap();
            if alice { c.local_ts.push(ours) } else { c.remote_ts.push(ours) }
        }
    })
}
fn tunnel() -> World {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world.log.clear();
    world
}
fn of(exchange: ExchangeType, response: bool) -> impl Fn(&&Datagram) -> bool {
    move |d| d.is(exchange, response)
}
fn is_fragment(d: &Datagram) -> bool {
    d.header().first == PayloadType::SKF
}
/// Number and total of a fragment.
fn numbers(d: &Datagram) -> (u16, u16) {
    let Some(Payload::Fragment(skf)) = Message::parse(&d.data).unwrap().payloads.pop() else { panic!("no fragment") };
    (skf.number, skf.total)
}
/// Something long to say that means nothing.
fn long(len: usize) -> Vec<Payload> {
    vec![Payload::Notify(Notify::new(NotifyType(40_000), vec![7; len]))]
}
/// What Bob keeps of messages that are not whole.
fn kept(world: &mut World) -> usize {
    world.bobs().1.inbox.octets()
}
fn answers(sent: &[Datagram]) -> usize {
    sent.iter().filter(|d| d.is(ExchangeType::INFORMATIONAL, true)).count()
}

#[test]
fn what_the_path_does_not_take_leaves_in_fragments_in_both_directions() {
    let mut world = World::new(wordy(alice()), wordy(bob()));
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert_eq!(world.a.children()[0].local_ts.len(), 201);
    let mut ivs = BTreeSet::new();
    for (from, response) in [(ALICE, false), (BOB, true)] {
        let sent: Vec<_> = world.sent_by(from).into_iter().filter(of(ExchangeType::IKE_AUTH, response)).collect();
        assert_eq!(sent.len(), 3, "3,3 kilobytes");
        for (i, d) in (1..).zip(&sent) {
            assert!(is_fragment(d) && d.data.len() <= USUAL);
            assert_eq!(numbers(d), (i, 3));
            assert!(i == 3 || d.data.len() > USUAL - 16, "as long as can be");
            // Type of the first payload: in the first fragment only (section 2.5).
            assert_eq!(d.data[HEADER_LEN] != 0, i == 1);
            let at = HEADER_LEN + SKF_HEADER_LEN;
            assert!(ivs.insert((response, d.data[at..at + 8].to_vec())), "each with an IV of its own");
        }
    }
}

#[test]
fn only_if_both_ends_have_said_that_they_can() {
    for (ours, theirs) in [(false, true), (true, false)] {
        let alice = with(wordy(alice()), |c| c.fragmentation = ours);
        let bob = with(wordy(bob()), |c| c.fragmentation = theirs);
        let mut world = World::new(alice, bob);
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        assert!(!world.log.iter().any(|(_, d)| is_fragment(d)));
        assert!(world.log.iter().any(|(_, d)| d.data.len() > 3000));
    }
}

#[test]
fn every_suite_fills_its_fragments_and_puts_them_together() {
    for suite in ["aes256-sha512-prfsha256-x25519", "aes128-sha1-x25519", "chacha20poly1305-prfsha512-x25519"] {
        let suited = |policy| with(wordy(policy), |c| c.proposals = ike(suite));
        let mut world = World::new(suited(alice()), suited(bob()));
        world.command_a(up());
        world.pass(seconds(1));
        assert_one_tunnel(&world);
        let longest = world.log.iter().map(|(_, d)| d.data.len()).max().unwrap();
        assert!((USUAL - 16..=USUAL).contains(&longest), "{suite}: {longest}");
    }
}

#[test]
fn loss_reordering_and_copies_do_not_matter() {
    for seed in 0..20 {
        let mut world = World::seeded(seed, wordy(alice()), wordy(bob()));
        world.weather = Weather { loss: 20, duplicate: 20, delay: 20, jitter: 300 };
        world.command_a(up());
        world.pass(seconds(60));
        assert_one_tunnel(&world);
    }
}

#[test]
fn a_path_that_takes_576_octets_gets_smaller_fragments_when_nobody_answers() {
    let mut world = World::new(wordy(alice()), wordy(bob()));
    world.drop = |d| d.data.len() > SMALL;
    world.command_a(up());
    world.pass(seconds(8));
    assert_one_tunnel(&world);
    let totals = |from, response| -> Vec<u16> {
        let sent = world.sent_by(from).into_iter().filter(of(ExchangeType::IKE_AUTH, response));
        sent.filter(|d| is_fragment(d)).map(|d| numbers(d).1).collect()
    };
    assert_eq!(totals(ALICE, false)[..9], [3; 9], "three times as it was");
    assert!(totals(ALICE, false)[9..].iter().all(|total| *total == 7), "a greater total tells them apart");
    // The responder takes the size from the request.
    assert!(totals(BOB, true).iter().all(|total| *total == 7));
    // And both remember.
    assert_eq!(world.alices().0.size.room((addr(BOB), 500).into()), SMALL);
}

#[test]
fn an_answer_that_is_too_large_becomes_smaller_when_it_is_asked_for_again() {
    // Only what Bob sends has to take the narrow path, and Alice's request is short.
    let mut world = tunnel();
    let request = world.alice_cuts(2, &[Payload::Notify(Notify::new(NotifyType::COOKIE2, vec![1; 900]))], USUAL);
    let first = world.bob_gets(&request[0]);
    assert_eq!((request.len(), first.len()), (1, 1));
    let again: Vec<_> = (0..3).map(|_| world.bob_gets(&request[0])).collect();
    assert_eq!((&again[0], &again[1]), (&first, &first), "octet for octet");
    assert_eq!(again[2].len(), 2);
    assert!(again[2].iter().all(|d| is_fragment(d) && d.data.len() <= SMALL));
}

#[test]
fn r24_of_a_retransmitted_request_only_the_first_fragment_asks_for_the_answer() {
    let mut world = tunnel();
    let request = world.alice_cuts(2, &long(1500), SMALL);
    assert_eq!(request.len(), 4);
    let sent: Vec<usize> = request.iter().map(|d| world.bob_gets(d).len()).collect();
    assert_eq!(sent, [0, 0, 0, 1]);
    let stored = world.bob_gets(&request[0]);
    assert_eq!(answers(&stored), 1);
    for d in &request[1..] {
        assert!(world.bob_gets(d).is_empty(), "the others ask for nothing");
    }
    assert_eq!(world.bob_gets(&request[0]), stored, "octet for octet");
    let mut bad = request[0].clone();
    *bad.data.last_mut().unwrap() ^= 1;
    assert!(world.bob_gets(&bad).is_empty(), "never by the header alone");
    assert_eq!(kept(&mut world), 0);
}

/// Unknown payloads in front of SKF, up to the limit of payloads and one more.
#[test]
fn input_33_unknown_payloads_around_a_fragment() {
    for (unknown, taken) in [(0, true), (MAX_PAYLOADS - 2, true), (MAX_PAYLOADS - 1, true), (MAX_PAYLOADS, false)] {
        let mut world = tunnel();
        let (core, channel) = world.alices();
        let header = core.header(ExchangeType::INFORMATIONAL, 2, false);
        let (from, to) = (core.local, core.remote);
        let skf = Skf { first: PayloadType::NONE, number: 1, total: 1, body: vec![0; 8 + 1 + 16] };
        let mut payloads = vec![Payload::Unknown(PayloadType(200)); unknown];
        payloads.push(Payload::Fragment(skf));
        let mut data = Message { header, payloads }.encode();
        let at = data.len() - 25;
        let (aad, buf) = data.split_at_mut(at);
        channel.sealing().seal(1000, aad, buf, &[]);
        let sent = world.bob_gets(&Datagram { from, to, data, dont_fragment: false });
        assert_eq!(answers(&sent), usize::from(taken), "{unknown}");
        assert_eq!(kept(&mut world), 0);
    }
}

/// Order, repeats, total 0, number 0, number above total, and totals that change.
#[test]
fn input_34_fragments_of_every_kind() {
    let mut world = tunnel();
    let request = world.alice_cuts(2, &long(1500), SMALL);
    // A number or total that cannot be, under an ICV that is right.
    for (number, total) in [(0, 0), (0, 4), (5, 4), (1, 0), (1, 257), (300, 300), (1, 65535)] {
        let (core, channel) = world.alices();
        let header = core.header(ExchangeType::INFORMATIONAL, 2, false);
        let (from, to) = (core.local, core.remote);
        let skf = Skf { first: PayloadType::NOTIFY, number, total, body: vec![0; 8 + 9 + 16] };
        let mut data = Message { header, payloads: vec![Payload::Fragment(skf)] }.encode();
        let at = data.len() - 33;
        let (aad, buf) = data.split_at_mut(at);
        channel.sealing().seal(2000 + u64::from(number) * 1000 + u64::from(total), aad, buf, &[]);
        assert!(world.bob_gets(&Datagram { from, to, data, dont_fragment: false }).is_empty());
        assert_eq!(kept(&mut world), 0, "{number} of {total}");
    }
    // Repeats are kept once; a finer cut takes the place of a coarser one, never the other way round.
    for _ in 0..3 {
        assert!(world.bob_gets(&request[1]).is_empty());
    }
    let once = kept(&mut world);
    let finer = world.alice_cuts(2, &long(1500), 300);
    assert!(world.bob_gets(&finer[2]).is_empty());
    assert!(kept(&mut world) < once, "the coarser ones are gone");
    for d in &request {
        assert!(world.bob_gets(d).is_empty(), "an earlier cut");
    }
    let mut order: Vec<usize> = (0..finer.len()).rev().filter(|i| *i != 2).collect();
    order.rotate_left(1);
    let sent: Vec<usize> = order.iter().map(|i| answers(&world.bob_gets(&finer[*i]))).collect();
    assert_eq!((sent.iter().sum::<usize>(), sent.last()), (1, Some(&1)));
    assert_eq!(kept(&mut world), 0);
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
}

#[test]
fn a_message_in_one_piece_ends_the_gathering_of_its_fragments() {
    let mut world = tunnel();
    let request = world.alice_cuts(2, &long(900), SMALL);
    assert!(world.bob_gets(&request[0]).is_empty());
    let whole = world.alice_cuts(2, &long(900), usize::MAX);
    assert_eq!((whole.len(), answers(&world.bob_gets(&whole[0]))), (1, 1));
    assert_eq!(kept(&mut world), 0);
    assert!(world.bob_gets(&request[1]).is_empty());
    assert_eq!(answers(&world.bob_gets(&request[0])), 1, "it is answered already: once more");
}

/// A fragment shorter than its own header.
#[test]
fn input_35_a_fragment_shorter_than_its_header() {
    let mut world = tunnel();
    for len in 4..=SKF_HEADER_LEN + 24 {
        let (core, _) = world.alices();
        let header = core.header(ExchangeType::INFORMATIONAL, 2, false);
        let (from, to) = (core.local, core.remote);
        let length = (HEADER_LEN + len) as u32;
        let mut data = Header { first: PayloadType::SKF, length, ..header }.encode().to_vec();
        data.extend([0, 0, 0, len as u8, 0, 1, 0, 1]);
        data.resize(HEADER_LEN + len, 0);
        assert!(world.bob_gets(&Datagram { from, to, data, dont_fragment: false }).is_empty(), "{len}");
    }
    assert_eq!(kept(&mut world), 0);
}

/// A fragment for nobody, and of an exchange that has none.
#[test]
fn input_36_a_fragment_without_an_ike_sa() {
    let mut world = tunnel();
    let request = world.alice_cuts(2, &long(900), SMALL);
    let before = (world.b.events.len(), world.b.endpoint.sas.len());
    for (at, to) in [(8, 16), (0, 8), (0, 16)] {
        let mut d = request[0].clone();
        d.data[at..to].fill(9);
        assert!(world.bob_gets(&d).is_empty());
    }
    // IKE_SA_INIT is never protected, and so never cut.
    let mut d = request[0].clone();
    d.data[8..16].fill(0);
    (d.data[18], d.data[23]) = (ExchangeType::IKE_SA_INIT.0, 0);
    let sent = world.bob_gets(&d);
    assert!(sent.iter().all(|answer| answer.data.len() <= d.data.len()));
    assert_eq!((world.b.events.len(), world.b.endpoint.sas.len()), before);
}

#[test]
fn a_fragment_is_kept_only_after_its_own_icv_was_right() {
    let mut world = tunnel();
    let request = world.alice_cuts(2, &long(1500), SMALL);
    for d in &request {
        let mut bad = d.clone();
        *bad.data.last_mut().unwrap() ^= 1;
        assert!(world.bob_gets(&bad).is_empty());
        assert_eq!(kept(&mut world), 0);
        // Nor may a forged total throw away what is there.
        world.bob_gets(d);
        bad.data[HEADER_LEN + 7] = 200;
        world.bob_gets(&bad);
        if d != request.last().unwrap() {
            assert_ne!(kept(&mut world), 0);
            let (_, channel) = world.bobs();
            channel.tidy(Duration::MAX);
        }
    }
    let sent: usize = request.iter().map(|d| answers(&world.bob_gets(d))).sum();
    assert_eq!(sent, 1);
}

#[test]
fn what_is_kept_is_bounded_by_the_limit() {
    let mut bob = bob();
    bob.limits.reassembly_bytes = 2000;
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(1));
    // All that the window allows, at the same time, and all of it unfinished.
    for id in 2..6 {
        let request = world.alice_cuts(id, &long(1900), SMALL);
        for d in &request[1..] {
            world.bob_gets(d);
            assert!(kept(&mut world) <= 2000);
        }
    }
    world.pass(seconds(31));
    assert_eq!(kept(&mut world), 0, "and forgotten after a while");
    let sent = |world: &mut World, id, len| -> usize {
        let request = world.alice_cuts(id, &long(len), SMALL);
        request.iter().map(|d| answers(&world.bob_gets(d))).sum()
    };
    let next = world.bobs().0.window.expected_id();
    assert_eq!(sent(&mut world, next, 2100), 0, "too long");
    assert_eq!(sent(&mut world, next, 1900), 1);
}

/// Before anybody is authenticated the same holds of each half-open IKE SA, and what comes before there are keys is bounded, too.
#[test]
fn a_half_open_ike_sa_keeps_little() {
    let mut world = World::new(wordy(alice()), wordy(bob()));
    world.drop = |d| d.is(ExchangeType::IKE_AUTH, false);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let request: Vec<Datagram> =
        world.sent_by(ALICE).into_iter().filter(of(ExchangeType::IKE_AUTH, false)).cloned().collect();
    assert_eq!(request.len(), 3);
    let first = world.b.handle_only(world.now, &request[0]);
    assert_eq!(first, 1, "g^ir is being computed");
    // Everything that comes meanwhile, forged or not, is bounded.
    for i in 0..2000u16 {
        let mut forged = request[1].clone();
        forged.data[100..102].copy_from_slice(&i.to_be_bytes());
        world.b.handle_only(world.now, &forged);
    }
    let sa = world.b.endpoint.sas.values().next().unwrap();
    let super::super::sa::Phase::HalfOpen(half) = &sa.phase else { panic!("half-open") };
    assert!(half.parked.len() <= 32 && half.parked.iter().map(|p| p.data.len()).sum::<usize>() <= 16_384);
    world.drop = |_| false;
    world.b.finish(world.now);
    world.pass(seconds(2));
    assert_one_tunnel(&world);
}
