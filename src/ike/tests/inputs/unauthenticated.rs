//! After IKE_SA_INIT there are keys, and still nobody knows who holds them: anybody who can receive our answers can send these.
use super::*;
use crate::ike::channel::OpenError;
use crate::wire::payload::{Auth, Cfg, MAX_ID};
use crate::wire::registry::{AuthMethod, IdType};

/// Bob gets this as IKE_AUTH, with an AUTH that is right for the identity in it, and answers so. Nobody comes in.
fn refused(change: impl FnOnce(&Stranger, &mut Vec<Payload>), kind: NotifyType) {
    let mut world = world();
    let mut stranger = Stranger::like_alice().meets(&mut world);
    let mut payloads = stranger.proof();
    change(&stranger, &mut payloads);
    let answer = stranger.asks(&mut world, ExchangeType::IKE_AUTH, &payloads);
    assert_eq!(answer.error(), Some(kind), "{answer:?}");
    nobody_came_in(&mut world);
}
fn nobody_came_in(world: &mut World) {
    assert!(world.b.ikes() == 0 && world.b.children().is_empty() && world.b.host.spis.is_empty());
    world.pass(seconds(31));
    assert!(untouched(world), "the half-open IKE SA ends after 30 s");
    still_works(world);
}
fn without(payloads: &mut Vec<Payload>, kind: PayloadType) {
    payloads.retain(|p| p.kind() != kind);
}
/// With another identity of this type, AUTH made for it.
fn as_id(stranger: &Stranger, payloads: &mut [Payload], kind: IdType, data: Vec<u8>) {
    let id = IdPayload::from(Id { kind, data });
    payloads[1] = Payload::Auth(stranger.auth(&id));
    payloads[0] = Payload::IdI(id);
}

#[test]
fn input_12_ike_auth_without_one_of_the_selectors() {
    for kind in [PayloadType::TSI, PayloadType::TSR, PayloadType::SA] {
        refused(|_, p| without(p, kind), NotifyType::INVALID_SYNTAX);
    }
    refused(|_, p| without(p, PayloadType::IDI), NotifyType::INVALID_SYNTAX);
}

/// The exchange comes under the right keys, where only IKE_AUTH may. `as_bob`: from the responder that Alice has asked.
fn ignored_before_auth(exchange: ExchangeType, payloads: impl Fn() -> Vec<Payload>) {
    let mut world = world();
    let mut stranger = Stranger::like_alice().meets(&mut world);
    for id in [0, 1, 2] {
        for response in [false, true] {
            let data = stranger.seal_as(stranger.header(exchange, response, id), &payloads());
            assert_eq!(stranger.sends(&mut world, &data), Answer::Silence, "{exchange} {id} {response}");
        }
    }
    assert_eq!(world.b.computed, 0, "not even keys are made for it");
    let proof = stranger.proof();
    let answer = stranger.asks(&mut world, ExchangeType::IKE_AUTH, &proof);
    assert!(answer.payloads().len() > 4 && world.b.ikes() == 1, "and the half-open IKE SA is as it was");

    let mut world = super::world();
    world.command_a(up());
    let mut bob = Stranger::like_bob();
    let sent = bob.answers(&mut world, |_| {});
    let (events, log) = (world.a.events.len(), world.log.len());
    for id in [0, 1, 2] {
        for response in [false, true] {
            let data = bob.seal_as(bob.header(exchange, response, id), &payloads());
            world.deliver(&bob.datagram(data));
        }
    }
    assert_eq!(
        (world.a.ikes(), world.a.events.len(), world.log.len()),
        (0, events, log),
        "Alice says and does nothing"
    );
    let proof = bob.proof();
    bob.replies(&mut world, &sent[0], &proof);
    assert_eq!(world.a.ikes(), 1);
}
fn rekey_of_the_ike_sa() -> Vec<Payload> {
    let mut proposals = ike("aes128gcm16-prfsha256-x25519");
    (proposals[0].spi, proposals[0].number) = (vec![9; 8], 1);
    let ke = Ke { group: KeId::CURVE25519, data: vec![9; 32] };
    vec![Payload::Sa(proposals), Payload::Nonce(vec![1; 32]), Payload::Ke(ke)]
}
#[test]
fn input_13_rekey_of_an_ike_sa_that_nobody_has_authenticated() {
    ignored_before_auth(ExchangeType::CREATE_CHILD_SA, rekey_of_the_ike_sa);
}
#[test]
fn input_14_informational_in_place_of_ike_auth() {
    ignored_before_auth(ExchangeType::INFORMATIONAL, Vec::new);
    ignored_before_auth(ExchangeType::INFORMATIONAL, || {
        vec![Payload::Delete(Delete { protocol: ProtocolId::IKE, spis: Vec::new() })]
    });
    ignored_before_auth(ExchangeType::INFORMATIONAL, || {
        vec![Payload::Notify(Notify::new(NotifyType::AUTHENTICATION_FAILED, []))]
    });
}
#[test]
fn input_79_create_child_sa_on_an_ike_sa_that_is_not_established() {
    ignored_before_auth(ExchangeType::CREATE_CHILD_SA, || [child(0x4711), vec![Payload::Nonce(vec![1; 32])]].concat());
    // On one that is closing: not now.
    let mut world = super::world();
    let mut stranger = Stranger::like_alice().enters(&mut world);
    world.command_b(down());
    let request = [child(0x4712), vec![Payload::Nonce(vec![1; 32])]].concat();
    let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request);
    assert_eq!(answer.error(), Some(NotifyType::TEMPORARY_FAILURE));
}

#[test]
fn input_15_a_distinguished_name_that_is_cut() {
    let name: Vec<u8> = "C=CH, O=Sandhog, CN=alice".parse::<Id>().expect("a name").data;
    for len in 1..name.len() {
        refused(|s, p| as_id(s, p, IdType::DER_ASN1_DN, name[..len].to_vec()), NotifyType::AUTHENTICATION_FAILED);
    }
}
#[test]
fn input_16_a_distinguished_name_of_no_octets() {
    refused(|s, p| as_id(s, p, IdType::DER_ASN1_DN, Vec::new()), NotifyType::AUTHENTICATION_FAILED);
}
#[test]
fn input_82_an_identity_of_no_octets() {
    for kind in [1, 2, 3, 5, 9, 10, 11, 0, 255] {
        refused(|s, p| as_id(s, p, IdType(kind), Vec::new()), NotifyType::AUTHENTICATION_FAILED);
    }
}
#[test]
fn input_51_a_long_identity() {
    for len in [520, 1024, MAX_ID] {
        refused(|s, p| as_id(s, p, IdType::FQDN, vec![b'a'; len]), NotifyType::AUTHENTICATION_FAILED);
    }
    for len in [MAX_ID + 1, 8000] {
        refused(|s, p| as_id(s, p, IdType::FQDN, vec![b'a'; len]), NotifyType::INVALID_SYNTAX);
    }
}

/// What is longer than any IKE_AUTH is not kept until there are keys, so it gets no answer.
#[test]
fn a_message_of_60_000_octets_is_worth_nothing() {
    let mut world = world();
    let mut stranger = Stranger::like_alice().meets(&mut world);
    let mut proof = stranger.proof();
    as_id(&stranger, &mut proof, IdType::FQDN, vec![b'a'; 60_000]);
    assert_eq!(stranger.asks(&mut world, ExchangeType::IKE_AUTH, &proof), Answer::Silence);
    assert_eq!(world.b.computed, 0);
    nobody_came_in(&mut world);
}

// EAP is not spoken: whoever begins or continues it is refused, whatever it contains.

fn eap(code: u8, body: &[u8]) -> Payload {
    Payload::Eap([&[code, 7][..], &(body.len() as u16 + 4).to_be_bytes(), body].concat())
}
/// A responder that answers Alice's proof with EAP and without an AUTH of its own. It hears that it is not trusted, or nothing.
fn alice_refuses(payloads: Vec<Payload>) {
    let mut world = world();
    world.command_a(up());
    let mut bob = Stranger::like_bob();
    let sent = bob.answers(&mut world, |_| {});
    let answer = bob.replies(&mut world, &sent[0], &payloads);
    assert!(answer.iter().all(|d| d.header().exchange != ExchangeType::IKE_AUTH), "no second round: {answer:?}");
    assert_eq!((world.a.ikes(), world.a.children().len(), world.a.host.spis.len()), (0, 0, 0));
    assert_eq!(world.a.failures().len(), 1);
}
fn id_r() -> Payload {
    Payload::IdR(IdPayload::from(name_id("bob")))
}
#[test]
fn input_27_an_early_eap_success() {
    alice_refuses(vec![id_r(), eap(3, &[])]);
    refused(|_, p| p[1] = eap(3, &[]), NotifyType::AUTHENTICATION_FAILED);
}
#[test]
fn input_28_mschapv2_success_before_the_exchange() {
    let success = [&[26, 3, 0, 0, 42][..], &[b'S'; 38]].concat();
    alice_refuses(vec![id_r(), eap(1, &success)]);
    // With an AUTH of a method that nobody configured it is no better.
    let auth = Auth { method: AuthMethod::SHARED_KEY, data: vec![0; 32] };
    alice_refuses([vec![id_r(), Payload::Auth(auth), eap(1, &success)], child(0x4711)].concat());
}
#[test]
fn input_29_a_responder_of_another_method_gets_nothing_more_out_of_us() {
    // Alice sends her AUTH with the first message, so the responder must have proven itself in the first answer.
    alice_refuses(vec![id_r(), eap(1, &[1])]);
    for method in [1, 3, 9, 10, 11, 12, 13, 14, 200] {
        let mut world = world();
        world.command_a(up());
        let mut bob = Stranger::like_bob();
        let sent = bob.answers(&mut world, |_| {});
        let mut payloads = bob.proof();
        let Payload::Auth(auth) = &mut payloads[1] else { panic!("AUTH is the second") };
        auth.method = AuthMethod(method);
        let answer = bob.replies(&mut world, &sent[0], &payloads);
        assert_eq!(world.a.ikes(), 0, "method {method}");
        let [informational] = &answer[..] else { panic!("Alice says so: {answer:?}") };
        let inside = bob.opens(informational).expect("it is sealed");
        assert!(matches!(&inside[..], [Payload::Notify(n)] if n.kind == NotifyType::AUTHENTICATION_FAILED));
    }
}
#[test]
fn input_30_eap_with_lengths_of_zero() {
    for body in [&[13, 0][..], &[21, 0x80, 0, 0, 0, 0], &[18, 10, 0, 0, 7, 0], &[26, 4, 0, 0, 0], &[25; 200]] {
        for code in 0..6 {
            alice_refuses(vec![id_r(), eap(code, body)]);
        }
        refused(|_, p| p[1] = eap(2, body), NotifyType::AUTHENTICATION_FAILED);
    }
}
#[test]
fn input_65_an_eap_payload_of_four_octets_and_less() {
    for len in 0..=4 {
        let eap = Payload::Eap([2, 1, 0, 4][..len].to_vec());
        refused(|_, p| p[1] = eap.clone(), NotifyType::AUTHENTICATION_FAILED);
        alice_refuses(vec![id_r(), eap]);
    }
}

// Fragments. They are opened before anybody is known, so each lie must be cheap.

/// The fragments of a good IKE_AUTH; Bob has had none of them.
fn fragments(world: &mut World) -> (Stranger, Vec<Vec<u8>>) {
    let mut stranger = Stranger::like_alice().meets(world);
    let (first, octets) = crate::wire::message::encode_chain(&stranger.proof());
    let header = stranger.header(ExchangeType::IKE_AUTH, false, 1);
    let all = stranger.seal_octets(header, first, octets, 120);
    assert!(all.len() >= 3);
    (stranger, all)
}
#[test]
fn input_33_a_fragment_behind_unknown_payloads_up_to_the_limit() {
    use crate::wire::message::MAX_PAYLOADS;
    for (count, kept) in [
        (0, true),
        (MAX_PAYLOADS - 2, true),
        (MAX_PAYLOADS - 1, true),
        (MAX_PAYLOADS, false),
        (MAX_PAYLOADS + 1, false),
    ] {
        let mut world = world();
        let (mut stranger, all) = fragments(&mut world);
        let unknown = (0..count).map(|_| Payload::Unknown(PayloadType(200)));
        let skf = Message::parse(&all[0]).expect("a fragment").payloads;
        let header = Message::parse(&all[0]).expect("a fragment").header;
        let message = Message { header, payloads: unknown.chain(skf).collect() };
        // Its ICV does not cover the payloads in front, so none of them opens; and none is too much to look at.
        let answer = stranger.sends(&mut world, &message.encode());
        assert_eq!(answer, Answer::Silence, "{count}");
        assert_eq!(Message::parse(&message.encode()).is_ok(), kept, "{count}");
        all.iter().for_each(|d| drop(stranger.sends(&mut world, d)));
        assert_eq!(world.b.ikes(), 1, "the good ones count");
    }
}
#[test]
fn input_34_fragments_in_any_order_more_than_once() {
    for seed in 0..50u64 {
        let mut world = world();
        let (mut stranger, all) = fragments(&mut world);
        let mut rng = crate::crypto::rng::SeededRng::new(seed);
        let mut random = || {
            let mut octet = [0];
            crate::crypto::rng::Rng::fill(&mut rng, &mut octet);
            usize::from(octet[0])
        };
        let mut train: Vec<_> = all.iter().chain(&all).chain(&all).cloned().collect();
        for i in (1..train.len()).rev() {
            train.swap(i, random() % (i + 1));
        }
        train.iter().for_each(|d| drop(stranger.sends(&mut world, d)));
        assert_eq!((world.b.ikes(), world.b.children().len(), world.b.host.spis.len()), (1, 1, 1), "seed {seed}");
    }
}
#[test]
fn input_35_fragments_with_numbers_and_lengths_that_cannot_be() {
    for numbers in [(0, 0), (0, 1), (1, 0), (2, 1), (0xffff, 1), (1, 0xffff), (0xffff, 0xffff), (3, 2)] {
        let mut world = world();
        let (mut stranger, all) = fragments(&mut world);
        let header = stranger.header(ExchangeType::IKE_AUTH, false, 1);
        for plain in [&[][..], &[0; 200]] {
            let lie = stranger.seal_fragment(header, PayloadType::IDI, numbers, plain);
            assert_eq!(stranger.sends(&mut world, &lie), Answer::Silence, "{numbers:?}");
            for cut in [0, 1, 3, 4, 7, 8] {
                let mut short = lie[..28 + cut].to_vec();
                short[24..28].copy_from_slice(&(28 + cut as u32).to_be_bytes());
                if cut >= 4 {
                    short[30..32].copy_from_slice(&(cut as u16).to_be_bytes());
                }
                assert_eq!(stranger.sends(&mut world, &short), Answer::Silence, "{numbers:?} {cut}");
            }
        }
        assert!(world.b.ikes() == 0);
        // A total that is no longer true is corrected by a larger one alone; otherwise the good ones count.
        if numbers != (1, 0xffff) && numbers != (0xffff, 0xffff) {
            all.iter().for_each(|d| drop(stranger.sends(&mut world, d)));
            assert_eq!(world.b.ikes(), 1, "{numbers:?}");
        }
    }
}

#[test]
fn input_46_no_secret_and_ike_auth_again_and_again() {
    let mut bob = bob();
    bob.secrets.clear();
    let mut world = World::new(alice(), bob);
    let mut stranger = Stranger::like_alice().meets(&mut world);
    let proof = stranger.proof();
    let request = stranger.seal(ExchangeType::IKE_AUTH, &proof);
    let first = stranger.sends(&mut world, &request);
    assert_eq!(first.error(), Some(NotifyType::AUTHENTICATION_FAILED));
    for _ in 0..10 {
        assert_eq!(stranger.sends(&mut world, &request), first, "the same answer");
    }
    // g^ir, and what the proof is compared with once the answer has left.
    assert_eq!((world.b.computed, world.b.failures().len()), (2, 1), "and the work once");
    world.pass(seconds(31));
    assert!(untouched(&world));
}

#[test]
fn input_63_a_pad_length_beyond_the_plaintext() {
    for suite in ["aes128-sha256-x25519", "aes128gcm16-prfsha256-x25519"] {
        for pad in [16, 48, 200, 255] {
            let mut world = World::new(alice(), with(bob(), |c| c.proposals = ike(suite)));
            let mut stranger = Stranger::like_alice().with(suite).meets(&mut world);
            let header = stranger.header(ExchangeType::IKE_AUTH, false, 1);
            let data = stranger.seal_padded(header, PayloadType::IDI, &[0; 15], pad);
            let answer = stranger.sends(&mut world, &data);
            assert!(matches!(answer.error(), Some(NotifyType::INVALID_SYNTAX)), "{suite} {pad}: {answer:?}");
            assert!(world.b.ikes() == 0 && world.b.host.spis.is_empty());
        }
    }
}

#[test]
fn input_66_a_requested_address_of_one_to_three_octets() {
    let request = |len: usize| {
        let mut body = vec![1, 0, 0, 0, 0, 1];
        body.extend((len as u16).to_be_bytes());
        body.extend(vec![0; len]);
        body
    };
    for len in [1, 2, 3, 5, 8] {
        let mut world = world();
        let mut stranger = Stranger::like_alice().meets(&mut world);
        let (first, mut octets) = crate::wire::message::encode_chain(&stranger.proof());
        octets = [&[first.0, 0][..], &(request(len).len() as u16 + 4).to_be_bytes(), &request(len), &octets].concat();
        let header = stranger.header(ExchangeType::IKE_AUTH, false, 1);
        let data = stranger.seal_octets(header, PayloadType::CP, octets, usize::MAX).remove(0);
        let answer = stranger.sends(&mut world, &data);
        assert_eq!(answer.error(), Some(NotifyType::INVALID_SYNTAX), "{len}");
        nobody_came_in(&mut world);
    }
    let fine = crate::wire::message::parse_chain(PayloadType::CP, &[&[0, 0, 0, 12][..], &request(0)].concat());
    assert!(matches!(fine.as_deref(), Ok([Payload::Cfg(Cfg { .. })])), "{fine:?}");
}

#[test]
fn input_81_the_identities_are_those_of_the_proof() {
    // AUTH for Alice, and another name beside it.
    refused(|_, p| p[0] = Payload::IdI(IdPayload::from(name_id("carol"))), NotifyType::AUTHENTICATION_FAILED);
    // The reserved octets are signed, too (RFC 7296 section 2.15).
    refused(
        |_, p| {
            let Payload::IdI(id) = &mut p[0] else { panic!("IDi is the first") };
            id.reserved = [0, 0, 1];
        },
        NotifyType::AUTHENTICATION_FAILED,
    );
    // An IDr that is not Bob's.
    refused(|_, p| p.push(Payload::IdR(IdPayload::from(name_id("carol")))), NotifyType::AUTHENTICATION_FAILED);
    // Once inside, an identity means nothing any more.
    let mut world = world();
    let mut stranger = Stranger::like_alice().enters(&mut world);
    let other = Payload::IdI(IdPayload::from(name_id("carol")));
    let answer = stranger.asks(&mut world, ExchangeType::INFORMATIONAL, &[other]);
    assert_eq!(answer, Answer::Sealed(Vec::new()));
    assert_eq!(world.b.endpoint.status()[0].sas[0].remote_id, Some(name_id("alice")));
}

/// What does not open is as if it had never come.
#[test]
fn what_is_sealed_under_other_keys_is_ignored() {
    let mut world = world();
    let mut stranger = Stranger::like_alice().meets(&mut world);
    let proof = stranger.proof();
    let mut data = stranger.seal(ExchangeType::IKE_AUTH, &proof);
    let last = data.len() - 1;
    data[last] ^= 1;
    assert_eq!(stranger.sends(&mut world, &data), Answer::Silence);
    data[last] ^= 1;
    assert!(stranger.sends(&mut world, &data).payloads().len() > 4);
    let here = stranger.here;
    assert_eq!(
        stranger.opens(&Datagram { from: here, to: here, data, dont_fragment: false }),
        Err(OpenError::Icv),
        "reflected"
    );
}
