//! From a peer that has proven who it is. What it says under the keys is still hostile.
use super::*;
use crate::wire::message::{encode_chain, parse_chain};

/// Alice, inside.
fn inside() -> (World, Stranger) {
    let mut world = world();
    let stranger = Stranger::like_alice().enters(&mut world);
    (world, stranger)
}
/// Asks with any octets inside.
fn asks_octets(
    world: &mut World,
    stranger: &mut Stranger,
    exchange: ExchangeType,
    first: PayloadType,
    octets: &[u8],
) -> Answer {
    let id = stranger.next_id();
    let header = stranger.header(exchange, false, id);
    let data = stranger.seal_octets(header, first, octets.to_vec(), usize::MAX).remove(0);
    stranger.sends(world, &data)
}
/// INVALID_SYNTAX, and the IKE SA is gone with its children (R30).
fn fatal(exchange: ExchangeType, first: PayloadType, octets: &[u8]) {
    let (mut world, mut stranger) = inside();
    let answer = asks_octets(&mut world, &mut stranger, exchange, first, octets);
    assert_eq!(answer.error(), Some(NotifyType::INVALID_SYNTAX), "{octets:02x?}");
    assert!(world.b.ikes() == 0 && untouched(&world));
    still_works(&mut world);
}
/// A further child with one payload of its request changed, as octets.
fn create_with(change: impl Fn(&mut Vec<Payload>)) -> Vec<Payload> {
    let mut payloads = [child(0x4712), vec![Payload::Nonce(vec![1; 32])]].concat();
    change(&mut payloads);
    payloads
}
/// The only child of Bob is as it was.
fn one_child(world: &World) {
    assert_eq!((world.b.ikes(), world.b.children().len(), world.b.host.spis.len()), (1, 1, 1));
}
fn raw(kind: PayloadType, body: &[u8]) -> (PayloadType, Vec<u8>) {
    (kind, [&[0, 0][..], &(body.len() as u16 + 4).to_be_bytes(), body].concat())
}
/// Makes this the first payload of a chain.
fn before((kind, mut octets): (PayloadType, Vec<u8>), rest: &[Payload]) -> (PayloadType, Vec<u8>) {
    let (first, behind) = encode_chain(rest);
    octets[0] = first.0;
    (kind, [octets, behind].concat())
}

#[test]
fn input_37_selectors_that_end_before_they_begin() {
    let range = |ports: [u16; 2], from: [u8; 4], to: [u8; 4]| {
        let ports = ports.map(u16::to_be_bytes).concat();
        [&[1, 0, 0, 0, 7, 0, 0, 16][..], &ports, &from, &to].concat()
    };
    let ff = [255; 4];
    for body in
        [range([0, 65535], ff, [0; 4]), range([80, 79], [10, 2, 0, 0], [10, 2, 0, 9]), range([65535, 1], ff, [0; 4])]
    {
        let (first, octets) = before(raw(PayloadType::TSR, &body), &create_with(|p| drop(p.remove(2))));
        let (mut world, mut stranger) = inside();
        let answer = asks_octets(&mut world, &mut stranger, ExchangeType::CREATE_CHILD_SA, first, &octets);
        let kind = answer.error().expect("an error");
        assert!([NotifyType::TS_UNACCEPTABLE, NotifyType::INVALID_SYNTAX].contains(&kind), "{answer:?}");
        assert!(world.b.children().len() <= 1);
    }
    // Ports 65535 to 0 are no such mistake: they mean OPAQUE (RFC 7296 section 3.13.1), and get no more than they ask for.
    let body = range([65535, 0], [10, 2, 0, 0], [10, 2, 255, 255]);
    let (first, octets) = before(raw(PayloadType::TSR, &body), &create_with(|p| drop(p.remove(2))));
    let (mut world, mut stranger) = inside();
    let answer = asks_octets(&mut world, &mut stranger, ExchangeType::CREATE_CHILD_SA, first, &octets);
    let granted = answer.payloads().iter().find_map(|p| if let Payload::TsR(ts) = p { Some(&ts.ranges) } else { None });
    let asked = encode_chain(&[Payload::TsR(crate::wire::payload::TrafficSelectors {
        ranges: granted.cloned().unwrap_or_default(),
        unknown: 0,
    })]);
    assert!(granted.is_none() || asked.1[4..] == body[..], "{answer:?}");
}

#[test]
fn input_38_more_selectors_than_anybody_has_and_counts_that_lie() {
    for count in [1, 16, 17, 100, 255] {
        let (mut world, mut stranger) = inside();
        let many: Vec<String> = (0..count).map(|i| format!("10.2.{i}.0/24")).collect();
        let request = create_with(|p| p[2] = Payload::TsR(ts(&many.join(","))));
        let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request);
        assert_eq!((answer.error(), world.b.children().len()), (None, 2), "{count}");
        assert_eq!(world.b.children()[1].local_ts.len(), count);
    }
    let one = [&[7, 0, 0, 16][..], &[0, 0, 255, 255], &[10, 2, 0, 0], &[10, 2, 255, 255]].concat();
    for count in [0, 2, 17, 255] {
        let body = [&[count, 0, 0, 0][..], &one].concat();
        let (first, octets) = before(raw(PayloadType::TSR, &body), &create_with(|p| drop(p.remove(2))));
        fatal(ExchangeType::CREATE_CHILD_SA, first, &octets);
    }
}

#[test]
fn input_39_deletes_with_counts_and_lengths_that_lie() {
    let spi = 0x4711u32.to_be_bytes();
    for (size, count) in [(4u8, 0xffffu16), (4, 2), (4, 0), (0, 1), (255, 1), (8, 1), (3, 1)] {
        let body = [&[3, size][..], &count.to_be_bytes(), &spi].concat();
        let (first, octets) = raw(PayloadType::DELETE, &body);
        fatal(ExchangeType::INFORMATIONAL, first, &octets);
    }
}

#[test]
fn input_40_nonces_too_short_and_too_long() {
    for len in [0, 1, 7, 15, 257, 1000] {
        let (first, octets) = before(raw(PayloadType::NONCE, &vec![3; len]), &child(0x4712));
        fatal(ExchangeType::CREATE_CHILD_SA, first, &octets);
    }
    for len in [16, 256] {
        let (mut world, mut stranger) = inside();
        let request = create_with(|p| p[3] = Payload::Nonce(vec![3; len]));
        assert_eq!(stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request).error(), None, "{len}");
    }
}

#[test]
fn input_41_rekey_sa_with_a_protocol_of_no_sense() {
    let spi = [0, 0, 0x47, 0x11];
    for protocol in [0, 1, 2, 4, 255] {
        for spi in [&[][..], &spi, &[1; 8]] {
            let (mut world, mut stranger) = inside();
            let rekey =
                Notify { protocol: ProtocolId(protocol), spi: spi.to_vec(), ..Notify::new(NotifyType::REKEY_SA, []) };
            let request = create_with(|p| p.insert(0, Payload::Notify(rekey.clone())));
            let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request);
            let notify = answer.notify();
            assert_eq!(notify.kind, NotifyType::CHILD_SA_NOT_FOUND, "{protocol}");
            assert_eq!((notify.protocol, notify.spi.len()), (ProtocolId::ESP, 4), "never copied");
            one_child(&world);
        }
    }
}

#[test]
fn input_42_several_deletes_and_that_of_the_ike_sa_last() {
    let (mut world, mut stranger) = inside();
    let delete = |protocol, spis: &[u32]| Payload::Delete(Delete { protocol, spis: spis.to_vec() });
    let all = [delete(ProtocolId::ESP, &[0x4711]), delete(ProtocolId(2), &[7]), delete(ProtocolId::IKE, &[])];
    assert_eq!(stranger.asks(&mut world, ExchangeType::INFORMATIONAL, &all), Answer::Sealed(Vec::new()));
    assert!(untouched(&world));
}

#[test]
fn input_44_a_child_that_failed_leaves_nothing_for_the_next_one() {
    let (mut world, mut stranger) = inside();
    // Refused for its selectors, although its suite was fine; refused for its suite, although its selectors were.
    let elsewhere = create_with(|p| p[2] = Payload::TsR(ts("172.16.0.0/16")));
    let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &elsewhere);
    assert_eq!(answer.error(), Some(NotifyType::TS_UNACCEPTABLE));
    let other = create_with(|p| {
        let mut proposals = esp("aes256gcm16");
        proposals[0].spi = vec![0, 0, 0x47, 0x12];
        p[0] = Payload::Sa(proposals);
    });
    let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &other);
    assert_eq!(answer.error(), Some(NotifyType::NO_PROPOSAL_CHOSEN));
    one_child(&world);
    // And the SPI that was refused cannot be rekeyed.
    let rekey =
        Notify { protocol: ProtocolId::ESP, spi: vec![0, 0, 0x47, 0x12], ..Notify::new(NotifyType::REKEY_SA, []) };
    let request = create_with(|p| p.insert(0, Payload::Notify(rekey.clone())));
    let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request);
    assert_eq!(answer.error(), Some(NotifyType::CHILD_SA_NOT_FOUND));
    one_child(&world);
}

#[test]
fn input_45_many_peers_die_at_once() {
    let mut bob =
        with(bob(), |c| (c.remote_addrs, c.remote_id, c.unique) = (vec![Remote::Any], IdMatch::Any, Unique::Never));
    bob.limits.per_identity = 100;
    bob.limits.cookie_per_source = 100;
    bob.limits.half_open_per_source = 100;
    let mut world = World::new(alice(), bob);
    for n in 1..=20 {
        let mut stranger = Stranger::like_alice();
        (stranger.spi_i, stranger.nonce) = (IkeSpi([n; 8]), vec![n; 32]);
        stranger.enters(&mut world);
    }
    assert_eq!((world.b.ikes(), world.b.children().len()), (20, 20));
    // One is taken down in the middle of it.
    world.pass(seconds(60));
    world.command_b(down());
    world.pass(seconds(300));
    assert!(untouched(&world), "{:?}", world.b.endpoint);
}

#[test]
fn input_47_a_suite_that_is_no_encryption_where_encryption_is_asked() {
    // NULL with and without integrity, GMAC, DES, 3DES.
    for (encr, bits, integ) in
        [(11, None, None), (11, None, Some(12)), (21, Some(128), None), (2, None, Some(2)), (3, None, Some(2))]
    {
        refuses_suite(encr, bits, integ);
    }
}
#[test]
fn input_68_null_without_integrity() {
    for integ in [None, Some(0)] {
        refuses_suite(11, None, integ);
        refuses_suite(2, None, integ);
        // AES-CBC without integrity protects nothing either.
        refuses_suite(12, Some(128), integ);
    }
}
fn refuses_suite(encr: u16, key_bits: Option<u16>, integ: Option<u16>) {
    let (mut world, mut stranger) = inside();
    let transform = |kind, id, key_bits| Transform { kind, id, key_bits, foreign: false };
    let mut transforms = vec![transform(TransformType::ENCR, encr, key_bits), transform(TransformType::ESN, 0, None)];
    transforms.extend(integ.map(|id| transform(TransformType::INTEG, id, None)));
    let proposal = Proposal { number: 1, protocol: ProtocolId::ESP, spi: vec![0, 0, 0x47, 0x12], transforms };
    let request = create_with(|p| p[0] = Payload::Sa(vec![proposal.clone()]));
    let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request);
    assert_eq!(answer.error(), Some(NotifyType::NO_PROPOSAL_CHOSEN), "{encr} {integ:?}");
    one_child(&world);
}

#[test]
fn input_67_an_answer_without_a_proposal() {
    // A second child for Alice to ask for.
    let two = |policy: Policy, local: &str, remote: &str| {
        with(policy, |c| c.children.push(super::super::child("dmz", local, remote)))
    };
    let mut world = World::new(two(alice(), "10.3.0.0/16", "10.4.0.0/16"), two(bob(), "10.4.0.0/16", "10.3.0.0/16"));
    world.command_a(Command::Up { connection: "net".into(), child: Some("lan".into()) });
    let mut bob = Stranger::like_bob();
    let sent = bob.answers(&mut world, |_| {});
    let proof = bob.proof();
    bob.replies(&mut world, &sent[0], &proof);
    world.command_a(Command::Up { connection: "net".into(), child: Some("dmz".into()) });
    let request =
        world.hold().into_iter().rfind(|d| d.header().exchange == ExchangeType::CREATE_CHILD_SA).expect("Alice asks");
    let empty = [
        Payload::Sa(Vec::new()),
        Payload::Nonce(vec![1; 32]),
        Payload::TsI(ts("10.3.0.0/16")),
        Payload::TsR(ts("10.4.0.0/16")),
    ];
    let (first, octets) = encode_chain(&empty);
    assert!(parse_chain(first, &octets).is_err(), "it does not parse");
    let next = bob.replies(&mut world, &request, &empty);
    assert_eq!(
        world.a.children().len(),
        usize::from(world.a.ikes() == 1),
        "no child comes of it: {:?}",
        world.a.events
    );
    // Its sender believes that all is well: it gets a Delete.
    let [delete] = &next[..] else { panic!("{next:?}") };
    assert!(bob.opens(delete).expect("it is sealed").iter().any(|p| matches!(p, Payload::Delete(_))));
    world.pass(seconds(20));
    assert!(world.a.children().is_empty() && world.a.host.spis.is_empty());
}

#[test]
fn input_80_what_names_a_child_that_has_just_gone() {
    // A rekey that names a child, the delete of it, and the rekey again, in every order of arrival that the ids allow: names are never reused,
    // so nothing is found that is gone.
    let (mut world, mut stranger) = inside();
    let rekey =
        Notify { protocol: ProtocolId::ESP, spi: vec![0, 0, 0x47, 0x11], ..Notify::new(NotifyType::REKEY_SA, []) };
    let request = create_with(|p| p.insert(0, Payload::Notify(rekey.clone())));
    let delete = [Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![0x4711] })];
    assert_eq!(stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request).error(), None);
    let ids: Vec<_> = world.b.children().iter().map(|c| c.id).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1]);
    stranger.asks(&mut world, ExchangeType::INFORMATIONAL, &delete);
    let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request);
    assert_eq!(answer.error(), Some(NotifyType::CHILD_SA_NOT_FOUND));
    stranger.asks(&mut world, ExchangeType::INFORMATIONAL, &delete);
    assert_eq!(world.b.children().iter().map(|c| c.id).collect::<Vec<_>>(), ids[1..]);
}
