//! Before there are keys: anybody can send these.
use super::*;
use crate::wire::encap;

/// Sends an IKE_SA_INIT with these payloads to a fresh Bob.
fn opens_with(change: impl FnOnce(&mut Vec<Payload>)) -> (World, Answer) {
    let mut world = world();
    let mut stranger = Stranger::like_alice();
    let mut payloads = stranger.opening();
    change(&mut payloads);
    let answer = stranger.sends(&mut world, &stranger.init(payloads));
    (world, answer)
}
/// It is refused so, nothing is kept, and the next one comes in.
fn refused(change: impl FnOnce(&mut Vec<Payload>), kind: NotifyType) {
    let (mut world, answer) = opens_with(change);
    assert_eq!(answer.error(), Some(kind), "{answer:?}");
    assert!(untouched(&world));
    still_works(&mut world);
}
/// Nothing is answered, nothing is kept.
fn silence(data: &[u8]) {
    let mut world = world();
    assert_eq!(Stranger::like_alice().sends(&mut world, data), Answer::Silence, "{data:02x?}");
    assert!(untouched(&world));
}
/// Alice's place, with this SPI of Bob.
fn with_spi_r(spi_r: IkeSpi) -> Stranger {
    let mut stranger = Stranger::like_alice();
    stranger.spi_r = spi_r;
    stranger
}
/// The proposal with other transforms of a type.
fn with_transforms(payloads: &mut [Payload], kind: TransformType, ids: &[u16]) {
    let Payload::Sa(proposals) = &mut payloads[0] else { panic!("SA is the first") };
    let transforms = &mut proposals[0].transforms;
    transforms.retain(|t| t.kind != kind);
    transforms.extend(ids.iter().map(|id| Transform { kind, id: *id, key_bits: None, foreign: false }));
}
fn ke(payloads: &mut [Payload], group: u16, data: Vec<u8>) {
    payloads[1] = Payload::Ke(Ke { group: KeId(group), data });
}
/// An IKE_SA_INIT that Bob takes.
fn good() -> Vec<u8> {
    let stranger = Stranger::like_alice();
    stranger.init(stranger.opening())
}
fn wrong_length(mut data: Vec<u8>, length: u32) -> Vec<u8> {
    data[24..28].copy_from_slice(&length.to_be_bytes());
    data
}

#[test]
fn input_01_group_of_the_private_range() {
    refused(|p| ke(p, 1025, vec![7; 32]), NotifyType::INVALID_KE_PAYLOAD);
    refused(
        |p| {
            with_transforms(p, TransformType::KE, &[1025]);
            ke(p, 1025, vec![7; 32]);
        },
        NotifyType::NO_PROPOSAL_CHOSEN,
    );
    let (_, answer) = opens_with(|p| ke(p, 1025, vec![7; 32]));
    assert_eq!(answer.notify().data, KeId::CURVE25519.0.to_be_bytes(), "our group, not theirs");
}

#[test]
fn input_02_payload_types_of_ikev1() {
    // 1 to 13 are those of IKEv1: in IKEv2 they are unknown.
    for kind in 1..=13 {
        let (world, answer) = opens_with(|p| p.push(Payload::Unknown(PayloadType(kind))));
        assert_eq!(
            (answer.error(), answer.payloads().len(), world.b.endpoint.sas.len()),
            (None, 4, 1),
            "{kind}: SA, KE, Nr, and that children may come later"
        );
    }
    // IKEv2's in a message of IKEv1.
    let mut data = good();
    data[17] = 0x10;
    silence(&data);
}

#[test]
fn input_03_public_value_of_zeros() {
    for (suite, group, len) in
        [("modp2048", 14, 256), ("modp3072", 15, 384), ("modp4096", 16, 512), ("ecp256", 19, 64), ("ecp384", 20, 96)]
    {
        let mut world =
            World::new(alice(), with(bob(), |c| c.proposals = ike(&format!("aes128gcm16-prfsha256-{suite}"))));
        let mut stranger = Stranger::like_alice().with(&format!("aes128gcm16-prfsha256-{suite}"));
        let mut payloads = stranger.opening();
        ke(&mut payloads, group, vec![0; len]);
        let answer = stranger.sends(&mut world, &stranger.init(payloads));
        assert_eq!(answer.error(), Some(NotifyType::INVALID_SYNTAX), "{suite}");
        assert!(untouched(&world));
    }
}

#[test]
fn input_04_a_point_of_small_order_makes_no_keys() {
    // With Curve25519 it shows when g^ir is computed, at the first IKE_AUTH: then the half-open IKE SA goes, and nobody is authenticated.
    let low: [[u8; 32]; 2] = [[0; 32], std::array::from_fn(|i| u8::from(i == 0))];
    for public in low {
        let (mut world, answer) = opens_with(|p| ke(p, 31, public.to_vec()));
        assert_eq!(answer.payloads().len(), 4, "SA, KE, Nr, and that children may come later");
        let spi_r = *world.b.endpoint.common.by_spi.keys().next().expect("half-open");
        let mut stranger = with_spi_r(spi_r);
        let sk = Payload::Encrypted(Encrypted { first: PayloadType::IDI, body: vec![0; 64] });
        let data = Message { header: stranger.header(ExchangeType::IKE_AUTH, false, 1), payloads: vec![sk] }.encode();
        assert_eq!(stranger.sends(&mut world, &data), Answer::Silence);
        assert!(untouched(&world));
    }
}

#[test]
fn input_05_public_values_at_the_edges_of_the_group() {
    let suite = "aes128gcm16-prfsha256-modp2048";
    let mut stranger = Stranger::like_alice().with(suite);
    // 2 to the 2048th is, modulo a prime of that length, what the prime is short of it.
    let group = crate::crypto::ke::Group::from_id(KeId::MODP_2048).expect("group 14");
    let short: Vec<u8> = group.public(&crate::crypto::secret::Secret::new(vec![8, 0]));
    let mut carry = true;
    let mut prime: Vec<u8> = short.iter().map(|b| !b).collect();
    for octet in prime.iter_mut().rev() {
        (*octet, carry) = octet.overflowing_add(u8::from(carry));
    }
    // It begins and ends with 64 ones (RFC 3526 section 3).
    assert!(prime[..8] == [0xff; 8] && prime[248..] == [0xff; 8]);
    let changed = |by: i8| {
        let mut value = prime.clone();
        value[255] = value[255].wrapping_add_signed(by);
        value
    };
    let small = |n: u8| [vec![0; 255], vec![n]].concat();
    let above = vec![0xff; 256];
    for (value, fine) in [
        (small(0), false),
        (small(1), false),
        (small(2), true),
        (changed(-2), true),
        (changed(-1), false),
        (changed(0), false),
        (above, false),
    ] {
        let mut world = World::new(alice(), with(bob(), |c| c.proposals = ike(suite)));
        let mut payloads = stranger.opening();
        ke(&mut payloads, 14, value.clone());
        let answer = stranger.sends(&mut world, &stranger.init(payloads));
        assert_eq!(answer.error(), (!fine).then_some(NotifyType::INVALID_SYNTAX), "..{:02x?}", &value[250..]);
        assert_eq!(untouched(&world), !fine);
    }
}

#[test]
fn input_06_public_value_longer_or_shorter_than_the_group() {
    for len in [0, 1, 31, 33, 64, 1024] {
        let (mut world, answer) = opens_with(|p| ke(p, 31, vec![9; len]));
        assert!(matches!(answer.error(), Some(NotifyType::INVALID_SYNTAX)), "{len}: {answer:?}");
        assert!(untouched(&world));
        still_works(&mut world);
    }
}

#[test]
fn input_07_proposal_without_ke() {
    refused(|p| with_transforms(p, TransformType::KE, &[]), NotifyType::NO_PROPOSAL_CHOSEN);
    refused(|p| with_transforms(p, TransformType::KE, &[0]), NotifyType::NO_PROPOSAL_CHOSEN);
}

/// What is configured and offered, and cannot run, is not chosen.
fn cannot_run(kind: TransformType, ids: impl Iterator<Item = u16>) {
    for id in ids {
        let mut stranger_payloads = Stranger::like_alice().opening();
        with_transforms(&mut stranger_payloads, kind, &[id]);
        let Payload::Sa(offer) = &stranger_payloads[0] else { panic!("SA is the first") };
        if crate::ike::negotiate::IkeSuite::of(&offer[0]).is_some() {
            continue;
        }
        let mut world = World::new(alice(), with(bob(), |c| c.proposals = offer.clone()));
        let mut stranger = Stranger::like_alice();
        let answer = stranger.sends(&mut world, &stranger.init(stranger_payloads));
        assert_eq!(answer.error(), Some(NotifyType::NO_PROPOSAL_CHOSEN), "{kind:?} {id}");
        assert!(untouched(&world));
    }
}
#[test]
fn input_08_an_algorithm_that_we_cannot_run() {
    cannot_run(TransformType::INTEG, (0..20).chain([1024, 65535]));
    cannot_run(TransformType::ENCR, (0..40).chain([1024, 65535]));
}
#[test]
fn input_25_a_prf_that_we_cannot_run() {
    cannot_run(TransformType::PRF, (0..12).chain([1024, 65535]));
    let mut payloads = Stranger::like_alice().opening();
    with_transforms(&mut payloads, TransformType::PRF, &[crate::wire::registry::PrfId::HMAC_MD5.0]);
    let Payload::Sa(offer) = &payloads[0] else { panic!("SA is the first") };
    assert!(crate::ike::negotiate::IkeSuite::of(&offer[0]).is_none());
}

#[test]
fn input_09_a_mandatory_payload_is_missing_or_renumbered() {
    for i in 0..3 {
        refused(|p| drop(p.remove(i)), NotifyType::INVALID_SYNTAX);
        refused(|p| p[i] = Payload::Unknown(PayloadType(200)), NotifyType::INVALID_SYNTAX);
        // Twice is as wrong as never.
        refused(|p| p.push(p[i].clone()), NotifyType::INVALID_SYNTAX);
    }
    // IKE_AUTH: what is missing there has keys already, and is in `unauthenticated`.
}

#[test]
fn input_10_short_datagrams_versions_and_lengths() {
    let data = good();
    for len in 0..28 {
        silence(&data[..len]);
    }
    for length in [0, 1, 27, 28, data.len() as u32 - 1, data.len() as u32 + 1, u32::MAX] {
        silence(&wrong_length(data.clone(), length));
    }
    for major in [0u8, 1] {
        let mut other = data.clone();
        other[17] = major << 4;
        silence(&other);
    }
}

#[test]
fn input_11_malformed_opening_then_create_child_sa() {
    let (mut world, answer) = opens_with(|p| drop(p.remove(1)));
    assert_eq!(answer.error(), Some(NotifyType::INVALID_SYNTAX));
    for spi_r in [IkeSpi::NONE, IkeSpi([5; 8])] {
        let mut stranger = with_spi_r(spi_r);
        let data =
            Message { header: stranger.header(ExchangeType::CREATE_CHILD_SA, false, 0), payloads: child(1) }.encode();
        assert_eq!(stranger.sends(&mut world, &data), Answer::Silence);
    }
    assert!(untouched(&world));
    still_works(&mut world);
}

#[test]
fn input_36_a_fragment_comes_first() {
    for number in [1, 2] {
        let stranger = with_spi_r(IkeSpi([5; 8]));
        let skf = Payload::Fragment(Skf { first: PayloadType::IDI, number, total: 2, body: vec![0; 64] });
        for exchange in [ExchangeType::IKE_SA_INIT, ExchangeType::IKE_AUTH, ExchangeType::INFORMATIONAL] {
            let header = stranger.header(exchange, false, 1);
            silence(&Message { header, payloads: vec![skf.clone()] }.encode());
        }
    }
}

#[test]
fn input_43_an_unsolicited_announcement_of_intermediate_exchanges() {
    let mut world = world();
    let mut bob = Stranger::like_bob();
    world.command_a(up());
    let request = Message::parse(&world.log[0].1.data).expect("a message");
    let announced =
        |n: &Payload| matches!(n, Payload::Notify(n) if n.kind == NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED);
    assert!(!request.payloads.iter().any(announced), "Alice has no use for it");
    let sent = bob.answers(&mut world, |p| {
        p.push(Payload::Notify(Notify::new(NotifyType::INTERMEDIATE_EXCHANGE_SUPPORTED, [])));
    });
    let [auth] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(auth.header().exchange, ExchangeType::IKE_AUTH, "Alice goes on as if nothing had been said");
    assert!(bob.opens(auth).is_ok());
    let proof = bob.proof();
    bob.replies(&mut world, auth, &proof);
    assert_eq!((world.a.ikes(), world.a.children().len()), (1, 1));
}

#[test]
fn input_48_the_opening_again_with_the_spi_of_an_error() {
    let mut stranger = Stranger::like_alice();
    for spi in [1, 0x80, 0xff] {
        stranger.spi_r = IkeSpi([spi; 8]);
        silence(&stranger.init(stranger.opening()));
    }
}

#[test]
fn input_49_informational_of_nobody() {
    for (spi_r, version) in [(IkeSpi::NONE, 2), (IkeSpi([5; 8]), 2), (IkeSpi::NONE, 1), (IkeSpi([5; 8]), 1)] {
        let stranger = with_spi_r(spi_r);
        for exchange in [5, 37] {
            let header = Header { version: (version, 0), ..stranger.header(ExchangeType(exchange), false, 0) };
            // R_U_THERE, DELETE.
            for kind in [36136, 16384] {
                let notify = Payload::Notify(Notify::new(NotifyType(kind), [0; 4]));
                silence(&Message { header, payloads: vec![notify] }.encode());
            }
        }
    }
}

#[test]
fn input_50_ikev1_with_wild_values() {
    let mut data = good();
    data[17] = 0x10;
    for exchange in [2, 4, 5, 6, 32] {
        data[18] = exchange;
        for first in [1, 15, 132, 255] {
            data[16] = first;
            // DOI and situation, where IKEv1 has them.
            data[32..40].fill(0xff);
            silence(&data);
        }
    }
}

#[test]
fn input_53_what_a_notification_holds_is_never_spoken() {
    let mut world = world();
    world.command_a(up());
    let mut bob = Stranger::like_bob();
    let request = world.log[0].1.clone();
    bob.spi_i = request.header().spi_i;
    for kind in [14, 24, 16389, 9999] {
        let evil = Notify::new(NotifyType(kind), *b"$(reboot);`reboot`%n%s\n\x1b]0;owned\x07");
        let data =
            Message { header: bob.header(ExchangeType::IKE_SA_INIT, true, 0), payloads: vec![Payload::Notify(evil)] };
        world.deliver(&bob.datagram(data.encode()));
    }
    let told = format!("{:?} {:?}", world.a.events, world.a.last_failure());
    assert!(world.a.failures().len() == 1 && !told.contains("reboot") && !told.contains("owned"), "{told}");
}

#[test]
fn input_54_the_dearest_offer_costs_no_computation() {
    use crate::wire::payload::{MAX_PROPOSALS, MAX_TRANSFORMS};
    let offer = |proposals: usize, transforms: usize| {
        let one = Transform { kind: TransformType::ENCR, id: 20, key_bits: Some(192), foreign: false };
        let spread = transforms / proposals;
        let all = (0..proposals).map(|i| Proposal {
            number: i as u8 + 1,
            protocol: ProtocolId::IKE,
            spi: Vec::new(),
            transforms: vec![one; if i == 0 { transforms - spread * (proposals - 1) } else { spread }],
        });
        Payload::Sa(all.collect())
    };
    for (proposals, transforms, kind) in [
        (MAX_PROPOSALS, MAX_TRANSFORMS, NotifyType::NO_PROPOSAL_CHOSEN),
        (MAX_PROPOSALS + 1, MAX_TRANSFORMS, NotifyType::INVALID_SYNTAX),
        (MAX_PROPOSALS, MAX_TRANSFORMS + 1, NotifyType::INVALID_SYNTAX),
    ] {
        let (world, answer) = opens_with(|p| p[0] = offer(proposals, transforms));
        assert_eq!(answer.error(), Some(kind), "{proposals} {transforms}");
        assert!(untouched(&world) && world.b.computed == 0);
    }
}

#[test]
fn input_55_half_open_ike_sas_do_not_keep_others_out() {
    let mut bob = bob();
    bob.limits.half_open_per_source = 4;
    bob.limits.cookie_per_source = 4;
    bob.limits.cookie_threshold = 8;
    let anybody = with(bob, |c| c.remote_addrs = vec![Remote::Any]);
    let mut world = World::new(alice(), anybody);
    for source in 0..50u8 {
        for n in 0..20u8 {
            let mut stranger = Stranger::like_alice();
            (stranger.here, stranger.spi_i, stranger.nonce) =
                ((addr(&format!("198.51.100.{source}")), 500).into(), IkeSpi([n + 1; 8]), vec![n; 32]);
            stranger.sends(&mut world, &stranger.init(stranger.opening()));
        }
    }
    assert_eq!(world.b.endpoint.sas.len(), 8, "then only who shows a cookie");
    assert_eq!(world.b.computed, 0);
    world.command_a(up());
    world.pass(seconds(2));
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
}

/// Every octet and pair of octets of a good request with the values that break parsers: no panic, no answer that is longer, and at most one
/// half-open IKE SA of each.
fn every_field(judge: impl Fn(&World, &Answer, &[u8])) {
    let good = good();
    for at in 0..good.len() {
        for value in [0, 1, good[at].wrapping_sub(1), good[at].wrapping_add(1), good[at] ^ 0x80, 0xff] {
            let mut data = good.clone();
            data[at] = value;
            let mut world = world();
            let answer = Stranger::like_alice().sends(&mut world, &data);
            judge(&world, &answer, &data);
        }
    }
}
#[test]
fn input_56_every_field_of_the_opening_with_wrong_values() {
    every_field(|world, answer, data| {
        let half_open = world.b.endpoint.sas.len();
        assert!(half_open <= 1 && half_open == world.b.endpoint.common.admission.half_open());
        assert_eq!(half_open == 1, answer.payloads().len() > 1, "{data:02x?}");
        assert!(world.b.ikes() == 0 && world.b.computed == 0);
    });
}
#[test]
fn input_57_payloads_in_any_order_number_and_absence() {
    // Each subset of the payloads, in both orders: taken if all three are there once, refused otherwise, and never a panic.
    let all = Stranger::like_alice().opening();
    for mask in 0..1 << all.len() {
        for backwards in [false, true] {
            let (world, answer) = opens_with(|p| {
                *p = all.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, p)| p.clone()).collect();
                if backwards {
                    p.reverse();
                }
            });
            let taken = mask & 7 == 7;
            // Without the padding the answer would be longer than the request: a cookie comes first.
            let cookie = answer.error() == Some(NotifyType::COOKIE);
            assert_eq!(untouched(&world), !taken || cookie, "{mask:04b}");
            assert!(taken || answer.error() == Some(NotifyType::INVALID_SYNTAX) || answer == Answer::Silence);
        }
    }
}

#[test]
fn input_58_fragments_of_ikev1() {
    let mut data = good();
    (data[17], data[16], data[18]) = (0x10, 132, 2);
    for flags in [0, 1, 0xff] {
        data[19] = flags;
        silence(&data);
    }
}

#[test]
fn input_59_every_truncation_of_the_opening() {
    let good = good();
    for len in 28..good.len() {
        let mut world = world();
        let cut = wrong_length(good[..len].to_vec(), len as u32);
        let answer = Stranger::like_alice().sends(&mut world, &cut);
        // The Vendor ID at the end may be missing, and up to three octets after a payload.
        assert!(untouched(&world) || len >= good.len() - 68, "{len}: {answer:?}");
    }
}

#[test]
fn input_60_an_unknown_payload_that_is_critical() {
    for kind in [1, 32, 49, 200, 255] {
        let critical = |set: bool| {
            let stranger = Stranger::like_alice();
            let mut payloads = stranger.opening();
            payloads.push(Payload::Unknown(PayloadType(kind)));
            let mut data = stranger.init(payloads);
            let at = data.len() - 3;
            data[at] = if set { 0x80 } else { 0x7f };
            data
        };
        let mut world = world();
        let mut stranger = Stranger::like_alice();
        let answer = stranger.sends(&mut world, &critical(true));
        assert_eq!(answer.notify().kind, NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD);
        assert_eq!(answer.notify().data, [kind], "one octet");
        assert!(untouched(&world));
        let answer = stranger.sends(&mut world, &critical(false));
        assert_eq!(answer.error(), None, "the other seven bits are reserved");
    }
}

#[test]
fn input_61_a_later_major_version() {
    for major in 3..16u8 {
        let mut data = good();
        data[17] = major << 4;
        let mut world = world();
        let mut stranger = Stranger::like_alice();
        let answer = stranger.sends(&mut world, &data);
        assert_eq!(answer.error(), Some(NotifyType::INVALID_MAJOR_VERSION));
        assert!(untouched(&world));
        // As a response it is answered with nothing.
        data[19] |= 0x20;
        assert_eq!(stranger.sends(&mut world, &data), Answer::Silence);
    }
    let mut minor = good();
    minor[17] = 0x2f;
    let mut world = world();
    assert_eq!(
        Stranger::like_alice().sends(&mut world, &minor).error(),
        None,
        "a later minor one is none of our business"
    );
}

#[test]
fn input_62_a_payload_is_announced_and_there_is_none() {
    for first in [33, 34, 40, 46, 53, 200] {
        let mut data = good()[..28].to_vec();
        data[16] = first;
        let data = wrong_length(data, 28);
        let mut world = world();
        let answer = Stranger::like_alice().sends(&mut world, &data);
        assert_eq!(answer, Answer::Silence, "the refusal would be longer than the request");
        assert!(untouched(&world));
    }
}

#[test]
fn input_75_what_is_no_ike_on_port_4500() {
    use encap::Datagram::{Esp, Junk, Keepalive};
    assert!(matches!(encap::classify(&[0xff]), Keepalive));
    for data in [&[][..], &[0], &[0, 0], &[0, 0, 0], &[0, 0, 0, 0], &[0xff, 0xff], &[0xfe]] {
        assert!(matches!(encap::classify(data), Junk), "{data:?}");
    }
    // A marker and an IKE message that is cut.
    for len in 0..28 {
        let data = [&[0; 4], &good()[..len]].concat();
        assert!(!matches!(encap::classify(&data), Esp(_)));
        silence(&good()[..len]);
    }
}

#[test]
fn input_76_payload_lengths_below_four_and_beyond_the_end() {
    let good = good();
    // The generic header of the first payload is at 28.
    for length in [0u16, 1, 2, 3, 4, 5, 7, good.len() as u16, u16::MAX] {
        let mut data = good.clone();
        data[30..32].copy_from_slice(&length.to_be_bytes());
        let mut world = world();
        let answer = Stranger::like_alice().sends(&mut world, &data);
        assert_eq!(answer.error(), Some(NotifyType::INVALID_SYNTAX), "{length}");
        assert!(untouched(&world));
    }
}

#[test]
fn input_77_the_sa_payload_is_longer_than_the_message() {
    let data = good();
    silence(&wrong_length(data.clone(), data.len() as u32 + 100));
    // Substructures: the proposal at 32, its first transform at 40.
    for at in [34, 42] {
        for length in [0u16, 1, 4, 7, 200, u16::MAX] {
            let mut bad = data.clone();
            bad[at..at + 2].copy_from_slice(&length.to_be_bytes());
            let mut world = world();
            let answer = Stranger::like_alice().sends(&mut world, &bad);
            assert_eq!(answer.error(), Some(NotifyType::INVALID_SYNTAX), "{at} {length}");
            assert!(untouched(&world));
        }
    }
}

#[test]
fn input_78_an_spi_of_zero_and_answers_that_nobody_asked_for() {
    let mut zero = Stranger::like_alice();
    zero.spi_i = IkeSpi::NONE;
    silence(&zero.init(zero.opening()));
    // A response gets none, and a response of ours is never sent again unasked.
    let mut world = world();
    let mut stranger = Stranger::like_alice().meets(&mut world);
    let response =
        Message { header: stranger.header(ExchangeType::IKE_SA_INIT, true, 0), payloads: stranger.opening() };
    assert_eq!(stranger.sends(&mut world, &response.encode()), Answer::Silence);
    world.pass(seconds(60));
    assert!(world.log.is_empty(), "Bob says nothing on his own");
}
