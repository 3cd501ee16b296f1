//! What the 83 inputs have in common, as properties (a) to (g) of any input.
use super::*;
use crate::crypto::ke::Group;
use crate::ike::event::Input;
use crate::wire::encap;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(7296), failure_persistence: None, ..ProptestConfig::default() }
}
/// Good messages of every stage, from Alice to Bob.
fn good() -> Vec<Vec<u8>> {
    let mut world = world();
    let mut stranger = Stranger::like_alice();
    let init = stranger.init(stranger.opening());
    stranger = stranger.meets(&mut world);
    let proof = stranger.proof();
    let auth = stranger.seal(ExchangeType::IKE_AUTH, &proof);
    let further = [child(0x4712), vec![Payload::Nonce(vec![1; 32])]].concat();
    let create = stranger.seal(ExchangeType::CREATE_CHILD_SA, &further);
    let inform = stranger.seal(ExchangeType::INFORMATIONAL, &[]);
    vec![init, auth, create, inform]
}
/// Bob as he is after IKE_SA_INIT, or after IKE_AUTH.
fn bob_in_stage(stage: usize) -> (World, Stranger) {
    let mut world = world();
    let stranger = match stage {
        0 => Stranger::like_alice(),
        1 => Stranger::like_alice().meets(&mut world),
        _ => Stranger::like_alice().enters(&mut world),
    };
    (world, stranger)
}
/// Octets that Bob sends for these.
fn answered(world: &mut World, port: u16, data: &[u8]) -> usize {
    let input = Input::Datagram { local: (addr(BOB), port).into(), remote: (addr(ALICE), port).into(), data };
    world.b.handle(world.now, input).iter().map(|d| d.data.len()).sum()
}

proptest! {
    #![proptest_config(cases(400))]

    /// (a) Any octets, on either port, in any stage: no panic, and no more octets in answer than came.
    #[test]
    fn a_any_octets(data in prop::collection::vec(any::<u8>(), 0..400), stage in 0..3usize) {
        let (mut world, _) = bob_in_stage(stage);
        prop_assert!(answered(&mut world, 500, &data) <= data.len());
        if let encap::Datagram::Ike(ike) = encap::classify(&data) {
            prop_assert!(answered(&mut world, 4500, ike) <= data.len());
        }
    }
    /// (a) Good messages with some octets changed, and a length that is right again.
    #[test]
    fn a_damaged_messages(
        which in 0..4usize,
        stage in 0..3usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut data = good().swap_remove(which);
        for (at, octet) in damage {
            let at = at.index(data.len());
            data[at] = octet;
        }
        data.truncate(28 + cut.index(data.len() - 27));
        let len = data.len() as u32;
        data[24..28].copy_from_slice(&len.to_be_bytes());
        let (mut world, _) = bob_in_stage(stage);
        prop_assert!(answered(&mut world, 500, &data) <= data.len().max(300));
        prop_assert!(world.b.endpoint.sas.len() <= 2);
    }
    /// (d) Every length and count inside a sealed message with values that lie: an answer or silence, and never a second child by accident.
    #[test]
    fn d_lengths_and_counts_under_the_keys(which in 0..3usize, at in any::<prop::sample::Index>(), kind in 0..5u8, wide in any::<bool>()) {
        let payloads = match which {
            0 => [child(0x4712), vec![Payload::Nonce(vec![1; 32])]].concat(),
            1 => vec![Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![0x4711, 0x4712] })],
            _ => vec![Payload::Notify(Notify::new(NotifyType::COOKIE2, [1; 16]))],
        };
        let (first, mut octets) = crate::wire::message::encode_chain(&payloads);
        let at = at.index(octets.len() - 1);
        if wide {
            let old = u16::from_be_bytes([octets[at], octets[at + 1]]);
            let new = [0, 1, old.wrapping_sub(1), old.wrapping_add(1), u16::MAX][usize::from(kind)];
            octets[at..at + 2].copy_from_slice(&new.to_be_bytes());
        } else {
            octets[at] = [0, 1, octets[at].wrapping_sub(1), octets[at].wrapping_add(1), 255][usize::from(kind)];
        }
        let (mut world, mut stranger) = bob_in_stage(2);
        let exchange = if which == 0 { ExchangeType::CREATE_CHILD_SA } else { ExchangeType::INFORMATIONAL };
        let id = stranger.next_id();
        let data = stranger.seal_octets(stranger.header(exchange, false, id), first, octets, usize::MAX).remove(0);
        let answer = stranger.sends(&mut world, &data);
        prop_assert!(matches!(answer, Answer::Sealed(_)), "an authentic request has an answer");
        let children = world.b.children().len();
        prop_assert!(children <= 2 && world.b.host.spis.len() == children);
        if answer.error() == Some(NotifyType::INVALID_SYNTAX) {
            prop_assert_eq!(world.b.ikes(), 0);
        }
    }
    /// (e) An error holds nothing that was copied unchecked: each kind has the length that its RFC gives it, and values of ours.
    #[test]
    fn e_errors_hold_nothing_of_the_peers(
        protocol in any::<u8>(),
        spi in prop::collection::vec(any::<u8>(), 0..9),
        data in prop::collection::vec(any::<u8>(), 0..40),
        group in any::<u16>(),
    ) {
        let (mut world, mut stranger) = bob_in_stage(2);
        let rekey = Notify { protocol: ProtocolId(protocol), spi: spi.clone(), ..Notify::new(NotifyType::REKEY_SA, data) };
        let ke = Payload::Ke(Ke { group: KeId(group), data: vec![1; 32] });
        let request = [vec![Payload::Notify(rekey), ke], child(0x4712), vec![Payload::Nonce(vec![1; 32])]].concat();
        let answer = stranger.asks(&mut world, ExchangeType::CREATE_CHILD_SA, &request);
        if let Some(kind) = answer.error() {
            let notify = answer.notify();
            match kind {
                NotifyType::CHILD_SA_NOT_FOUND => {
                    let named: Vec<u8> = if spi.len() == 4 { spi } else { vec![0; 4] };
                    prop_assert_eq!((notify.protocol, &notify.spi, notify.data.len()), (ProtocolId::ESP, &named, 0));
                }
                NotifyType::INVALID_KE_PAYLOAD => prop_assert!(notify.data != group.to_be_bytes() && notify.data.len() == 2),
                _ => prop_assert!(notify.data.is_empty() && notify.spi.is_empty()),
            }
        }
    }
    /// (f) A public value of any length but the right one is refused, in every group.
    #[test]
    fn f_every_length_of_a_public_value(len in 0..700usize, octet in any::<u8>()) {
        for id in (1..=36).map(KeId) {
            let Some(group) = Group::from_id(id) else { continue };
            if len != group.public_len() {
                prop_assert!(group.check(&vec![octet; len]).is_err(), "{} {}", id, len);
            }
        }
    }
    /// (g) Fragments in any order, more than once, with totals that change: one message comes of them, or none.
    #[test]
    fn g_fragments(order in prop::collection::vec((0..8usize, 0..3usize), 1..40)) {
        let (mut world, mut stranger) = bob_in_stage(1);
        let (first, octets) = crate::wire::message::encode_chain(&stranger.proof());
        let header = stranger.header(ExchangeType::IKE_AUTH, false, 1);
        let cuts: Vec<Vec<Vec<u8>>> = [100, 140, usize::MAX]
            .iter()
            .map(|room| stranger.seal_octets(header, first, octets.clone(), *room))
            .collect();
        for (at, cut) in order {
            let train = &cuts[cut];
            stranger.sends(&mut world, &train[at % train.len()]);
            prop_assert!(world.b.ikes() <= 1 && world.b.children().len() <= 1);
        }
        for datagram in &cuts[0] {
            stranger.sends(&mut world, datagram);
        }
        prop_assert_eq!((world.b.ikes(), world.b.children().len(), world.b.host.spis.len()), (1, 1, 1));
    }
}

/// (b) Above the threshold nothing is remembered of whoever has not shown a cookie.
#[test]
fn b_no_state_before_a_cookie() {
    let mut bob = bob();
    bob.limits.cookie_threshold = 5;
    let mut world = World::new(alice(), with(bob, |c| c.remote_addrs = vec![Remote::Any]));
    let newcomer = |world: &mut World, n: u32| {
        let mut stranger = Stranger::like_alice();
        stranger.here = (std::net::IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)), 500).into();
        (stranger.spi_i, stranger.nonce) =
            (IkeSpi((n + 1).to_be_bytes().repeat(2).try_into().expect("eight octets")), n.to_be_bytes().repeat(8));
        stranger.sends(world, &stranger.init(stranger.opening()))
    };
    for n in 0..5 {
        assert_eq!(newcomer(&mut world, n).payloads().len(), 4, "SA, KE, Nr, and that children may come later");
    }
    let admission = |world: &World| {
        (
            world.b.endpoint.sas.len(),
            world.b.endpoint.common.by_spi.len(),
            world.b.endpoint.common.admission.half_open(),
        )
    };
    let before = admission(&world);
    for n in 5..500 {
        assert_eq!(newcomer(&mut world, n).error(), Some(NotifyType::COOKIE));
        assert_eq!(admission(&world), before);
    }
    assert_eq!(before, (5, 5, 5));
}

// (c) is the table in `exchanges`.
