//! Attackers with no keys, garbage, floods.
use super::super::event::Input;
use super::*;
use crate::ike::status::State;
use crate::wire::message::{Header, IkeSpi, Message};
use crate::wire::payload::{Ke, Notify, Payload};
use crate::wire::registry::{ExchangeType, KeId, NotifyType, PayloadType};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use wire::Datagram;

/// A well-formed IKE_SA_INIT of anybody.
pub(super) fn newcomer(world: &mut World, from: SocketAddr) -> Datagram {
    let spi_i = IkeSpi(world.random().to_be_bytes());
    let mut nonce = vec![0; 32];
    nonce[..8].copy_from_slice(&world.random().to_be_bytes());
    let header = header(spi_i, ExchangeType::IKE_SA_INIT);
    let mut proposals = ike("aes128gcm16-prfsha256-x25519,aes256-sha256-modp2048");
    proposals[1].number = 2;
    let payloads = vec![
        Payload::Sa(proposals),
        Payload::Ke(Ke { group: KeId::CURVE25519, data: vec![9; 32] }),
        Payload::Nonce(nonce),
        Payload::Notify(Notify::new(NotifyType::NAT_DETECTION_SOURCE_IP, [0; 20])),
        Payload::Notify(Notify::new(NotifyType::NAT_DETECTION_DESTINATION_IP, [0; 20])),
    ];
    Datagram { from, to: (addr(BOB), 500).into(), data: Message { header, payloads }.encode(), dont_fragment: false }
}
fn header(spi_i: IkeSpi, exchange: ExchangeType) -> Header {
    Header {
        spi_i,
        spi_r: IkeSpi::NONE,
        first: PayloadType::NONE,
        version: (2, 0),
        exchange,
        initiator: true,
        response: false,
        id: 0,
        length: 0,
    }
}
/// An answer that anybody can forge who has seen the request.
fn forged(request: &Datagram, payloads: Vec<Payload>) -> Datagram {
    let header = Header { spi_r: IkeSpi([7; 8]), initiator: false, response: true, ..request.header() };
    Datagram { from: request.to, to: request.from, data: Message { header, payloads }.encode(), dont_fragment: false }
}
pub(super) fn anybody() -> Policy {
    with(bob(), |c| c.remote_addrs = vec![Remote::Any])
}

#[test]
fn forged_answers_never_end_an_attempt() {
    let kinds: Vec<NotifyType> = (0..=50).chain([16389, 16404, 24576, 65535]).map(NotifyType).collect();
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    let request = world.hold().remove(0);
    for kind in kinds {
        for data in [vec![], vec![0, 14], vec![0, 31], vec![0; 64]] {
            world.deliver(&forged(&request, vec![Payload::Notify(Notify::new(kind, data))]));
        }
    }
    let mut wrong = ike("aes256gcm16-prfsha384-x25519");
    let ke = Payload::Ke(Ke { group: KeId::CURVE25519, data: vec![9; 32] });
    let answer = |sa, ke| vec![Payload::Sa(sa), ke, Payload::Nonce(vec![1; 32])];
    world.deliver(&forged(&request, answer(wrong.clone(), ke.clone())));
    wrong = ike("aes128gcm16-prfsha256-x25519");
    world.deliver(&forged(
        &request,
        answer(wrong.clone(), Payload::Ke(Ke { group: KeId::CURVE25519, data: vec![0; 32] })),
    ));
    world.deliver(&forged(
        &request,
        answer(wrong.clone(), Payload::Ke(Ke { group: KeId::CURVE25519, data: vec![9; 31] })),
    ));
    world.deliver(&forged(
        &request,
        answer(wrong.clone(), Payload::Ke(Ke { group: KeId::MODP_2048, data: vec![9; 256] })),
    ));
    world.deliver(&forged(&request, answer([wrong.clone(), wrong].concat(), ke)));
    assert_eq!(world.a.failures().len(), 1, "told once: {:?}", world.a.failures());
    world.pass(seconds(5));
    assert_one_tunnel(&world);
}

#[test]
fn an_answer_that_was_not_offered_is_named() {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    let request = world.hold().remove(0);
    let ke = Payload::Ke(Ke { group: KeId::CURVE25519, data: vec![9; 32] });
    let sa = Payload::Sa(ike("aes256gcm16-prfsha384-x25519"));
    world.deliver(&forged(&request, vec![sa, ke, Payload::Nonce(vec![1; 32])]));
    assert_eq!(world.a.failures(), ["answer.not_offered"]);
}

#[test]
fn cookies_and_groups_are_followed_three_times_at_most() {
    for kind in [NotifyType::COOKIE, NotifyType::INVALID_KE_PAYLOAD] {
        let alice = with(alice(), |c| c.proposals = ike("aes128gcm16-prfsha256-x25519-modp2048"));
        let mut world = World::new(alice, bob());
        world.command_a(up());
        for i in 0..20 {
            let Some(request) = world.hold().pop() else { break };
            let data = if i % 2 == 0 { vec![0, 14] } else { vec![0, 31] };
            world.deliver(&forged(&request, vec![Payload::Notify(Notify::new(kind, data))]));
        }
        assert_eq!(world.log.len(), 4, "{kind}");
        assert_eq!(world.a.state(), State::Connecting);
    }
}

#[test]
fn a_group_that_was_not_offered_or_was_just_sent_is_not_followed() {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    let request = world.hold().remove(0);
    for group in [31u16, 14, 1, 1025, 0] {
        let notify = Notify::new(NotifyType::INVALID_KE_PAYLOAD, group.to_be_bytes());
        world.deliver(&forged(&request, vec![Payload::Notify(notify)]));
    }
    assert_eq!(world.log.len(), 1);
    assert_eq!(world.a.failures(), ["proposal.ke"]);
}

#[test]
fn a_wrong_icv_in_ike_auth_does_not_touch_the_half_open_ike_sa() {
    let mut world = World::new(alice(), bob());
    world.drop = |d| d.is(ExchangeType::IKE_AUTH, false) && d.from.ip() == addr(ALICE);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let auth = world.sent_by(ALICE)[1].clone();
    world.drop = |_| false;
    for i in (28..auth.data.len()).step_by(7) {
        let mut bad = auth.clone();
        bad.data[i] ^= 0x80;
        world.deliver(&bad);
        assert_eq!(world.b.endpoint.sas.len(), 1);
    }
    assert_eq!(world.b.computed, 1, "g^ir once");
    assert!(world.b.failures().is_empty());
    world.deliver(&auth);
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}

/// Every exchange type, request and response, sealed with garbage or in the clear, in every phase of both ends: nothing changes.
#[test]
fn every_exchange_in_every_phase() {
    for phase in 0..4 {
        let mut world = World::new(alice(), bob());
        world.drop = [
            (|d: &Datagram| d.is(ExchangeType::IKE_SA_INIT, true)) as fn(&Datagram) -> bool,
            |d| d.is(ExchangeType::IKE_AUTH, false),
            |d| d.is(ExchangeType::IKE_AUTH, true),
            |_| false,
        ][phase];
        world.command_a(up());
        world.pass(Duration::from_millis(100));
        let sample = world.log.last().unwrap().1.header();
        let before = (world.a.events.len(), world.b.events.len(), world.a.state(), world.b.endpoint.sas.len());
        world.drop = |_| false;
        let log = world.log.len();
        for exchange in 30..48 {
            for (response, id) in [(false, 0), (false, 1), (false, 2), (true, 0), (true, 1), (true, 2)] {
                for payloads in [
                    vec![],
                    vec![Payload::Notify(Notify::new(NotifyType::AUTHENTICATION_FAILED, []))],
                    vec![Payload::Delete(crate::wire::payload::Delete { protocol: ProtocolId::IKE, spis: vec![] })],
                    vec![Payload::Encrypted(crate::wire::payload::Encrypted {
                        first: PayloadType::NOTIFY,
                        body: vec![0; 64],
                    })],
                    vec![Payload::Fragment(crate::wire::payload::Skf {
                        first: PayloadType::NOTIFY,
                        number: 1,
                        total: 1,
                        body: vec![0; 64],
                    })],
                ] {
                    for initiator in [true, false] {
                        let exchange = ExchangeType(exchange);
                        if exchange == ExchangeType::IKE_SA_INIT {
                            continue;
                        }
                        let header = Header { exchange, response, id, initiator, ..sample };
                        let data = Message { header, payloads: payloads.clone() }.encode();
                        let (a, b) = ((addr(ALICE), 500).into(), (addr(BOB), 500).into());
                        let (from, to) = if initiator { (a, b) } else { (b, a) };
                        world.deliver(&Datagram { from, to, data, dont_fragment: false });
                    }
                }
            }
        }
        let after = (world.a.events.len(), world.b.events.len(), world.a.state(), world.b.endpoint.sas.len());
        assert_eq!(before, after, "phase {phase}");
        assert_eq!(world.log.len(), log, "phase {phase}: nothing is answered");
        world.pass(seconds(5));
        assert_one_tunnel(&world);
    }
}

/// What an authenticated peer may send before it is authenticated: only IKE_AUTH, even under the right keys (CVE-2014-2338, 2019-12312).
#[test]
fn on_a_half_open_ike_sa_only_ike_auth_counts_even_under_the_right_keys() {
    let mut world = World::new(alice(), bob());
    world.drop = |d| d.is(ExchangeType::IKE_AUTH, true);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let auth = world.sent_by(ALICE)[1].clone();
    // Bob forgets that he has seen it.
    world.b = Peer::new(addr(BOB), 99);
    world.command_b(Command::SetPolicy(Arc::new(bob())));
    for exchange in [ExchangeType::CREATE_CHILD_SA, ExchangeType::INFORMATIONAL, ExchangeType::IKE_INTERMEDIATE] {
        let mut other = auth.clone();
        other.data[18] = exchange.0;
        world.deliver(&other);
    }
    assert_eq!((world.b.computed, world.b.events.len()), (0, 0));
}

#[test]
fn garbage_of_every_kind_is_dropped_or_answered_no_larger() {
    let mut world = World::new(alice(), anybody());
    world.command_a(up());
    world.pass(seconds(1));
    let good: Vec<Datagram> = world.log.iter().map(|(_, d)| d.clone()).collect();
    world.log.clear();
    let mut received = 0;
    for i in 0..20_000u64 {
        let r = world.random();
        let mut d = good[(r % good.len() as u64) as usize].clone();
        match r >> 8 & 3 {
            0 => {
                let at = (r >> 16) as usize % d.data.len();
                d.data[at] = (r >> 48) as u8;
            }
            1 => d.data.truncate((r >> 16) as usize % d.data.len()),
            2 => {
                let len = (r >> 16) as usize % 600;
                d.data = (0..len).map(|j| (r.rotate_left(j as u32) as u8).wrapping_mul(j as u8 | 1)).collect();
            }
            _ => {
                let at = 20 + (r >> 16) as usize % (d.data.len() - 20);
                d.data[at..].iter_mut().for_each(|b| *b ^= (r >> 40) as u8);
            }
        }
        // Its length made good, so that it gets further.
        if i % 2 == 0 && d.data.len() >= 28 {
            let len = d.data.len() as u32;
            d.data[24..28].copy_from_slice(&len.to_be_bytes());
        }
        if d.to.ip() == addr(BOB) {
            d.from = SocketAddr::new(Ipv4Addr::from_bits(0xc633_6400 + (i % 4096) as u32).into(), 500);
            received += d.data.len();
        }
        world.deliver(&d);
    }
    let sent: usize = world.sent_by(BOB).iter().map(|d| d.data.len()).sum();
    assert!(sent <= received, "{sent} > {received}");
    assert_eq!((world.a.children().len(), world.b.children().len()), (1, 1), "the tunnel stands");
}

#[test]
fn a_flood_of_newcomers_costs_bounded_state_and_no_more_octets_than_it_brings() {
    let mut policy = anybody();
    policy.limits.half_open = 100;
    let mut world = World::new(alice(), policy);
    let (mut received, mut sent) = (0, 0);
    for i in 0..20_000u32 {
        let d = newcomer(&mut world, SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + i).into(), 500));
        received += d.data.len();
        let answers = world.b.handle(world.now, Input::Datagram { local: d.to, remote: d.from, data: &d.data });
        sent += answers.iter().map(|a| a.data.len()).sum::<usize>();
        assert!(answers.iter().all(|a| a.data.len() <= d.data.len()));
    }
    assert!(sent <= received);
    assert_eq!(world.b.endpoint.sas.len(), 64, "from the threshold on only cookies");
    assert_eq!(world.b.computed, 0, "g^ir is worth nothing of this");
    // An honest newcomer comes up meanwhile.
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
    world.pass(seconds(40));
    assert_eq!(world.b.endpoint.sas.len(), 1, "half-open ones end");
    assert_eq!(world.b.endpoint.common.admission.half_open(), 0);
    assert_eq!(world.b.endpoint.common.by_spi.len(), 1);
}

/// `sandhog health` asks so.
#[test]
fn this_host_is_answered_while_strangers_use_up_all_answers() {
    let mut world = World::new(alice(), anybody());
    let d = newcomer(&mut world, (addr(ALICE), 500).into());
    let mut later = d.data.clone();
    later[17] = 3 << 4;
    let mut ask =
        |remote: SocketAddr| world.b.handle(world.now, Input::Datagram { local: d.to, remote, data: &later }).len();
    let strangers = (0..1100u16).map(|port| ask((addr(ALICE), port).into()));
    assert_eq!(strangers.sum::<usize>(), 1000);
    for here in [IpAddr::from([127, 0, 0, 1]), "::1".parse().unwrap()] {
        assert_eq!(ask((here, 40_000).into()), 1);
    }
    assert_eq!(world.b.endpoint.sas.len(), 0);
}

#[test]
fn one_source_gets_cookies_early_and_has_a_limit() {
    let mut policy = anybody();
    policy.limits.half_open_per_source = 5;
    let mut world = World::new(alice(), policy);
    let from = SocketAddr::new(addr("198.51.100.1"), 500);
    let cookie_of = |answers: &[Datagram]| {
        let message = Message::parse(&answers.first()?.data).unwrap();
        match &message.payloads[0] {
            Payload::Notify(n) if n.kind == NotifyType::COOKIE => Some(n.data.clone()),
            _ => None,
        }
    };
    for i in 0..10 {
        let mut d = newcomer(&mut world, from);
        let now = world.now;
        let ask = |world: &mut World, d: &Datagram| {
            world.b.handle(now, Input::Datagram { local: d.to, remote: d.from, data: &d.data })
        };
        let answers = ask(&mut world, &d);
        assert_eq!(answers.len(), 1);
        let Some(cookie) = cookie_of(&answers) else {
            assert!(i < 3);
            continue;
        };
        assert!(i >= 3 && cookie.len() <= 64);
        let mut message = Message::parse(&d.data).unwrap();
        message.payloads.insert(0, Payload::Notify(Notify::new(NotifyType::COOKIE, cookie.clone())));
        d.data = message.encode();
        // For another SPI it is no cookie.
        let fresh = world.b.endpoint.sas.len();
        let mut other = Message::parse(&d.data).unwrap();
        other.header.spi_i.0[0] ^= 1;
        let other = Datagram { data: other.encode(), ..d.clone() };
        assert!(cookie_of(&ask(&mut world, &other)).is_some());
        assert_eq!(world.b.endpoint.sas.len(), fresh);
        let answers = ask(&mut world, &d);
        assert_eq!(answers.len(), usize::from(i < 5), "five, and no more");
    }
    assert_eq!(world.b.endpoint.sas.len(), 5);
}

#[test]
fn a_cookie_lives_for_one_to_two_minutes() {
    let mut host = Peer::new(addr(BOB), 3).host;
    let mut admission = crate::ike::admission::Admission::new(seconds(0), &mut host);
    let (ip, spi, ni) = (addr(ALICE), IkeSpi([1; 8]), [5u8; 32]);
    let cookie = admission.cookie(seconds(59), ip, spi, &ni, &mut host);
    let mut good = |at, ip, spi, ni: &[u8]| admission.is_cookie(seconds(at), &cookie, ip, spi, ni, &mut host);
    assert!(good(59, ip, spi, &ni) && good(61, ip, spi, &ni) && good(119, ip, spi, &ni));
    assert!(!good(119, addr(BOB), spi, &ni) && !good(119, ip, IkeSpi([2; 8]), &ni) && !good(119, ip, spi, &[6; 32]));
    assert!(!good(125, ip, spi, &ni), "two secrets are alive, not three");
    let cookie = admission.cookie(seconds(130), ip, spi, &ni, &mut host);
    assert!(!admission.is_cookie(seconds(400), &cookie, ip, spi, &ni, &mut host), "silence ages both");
}

#[test]
fn a_small_request_gets_a_cookie_instead_of_a_larger_answer() {
    let mut world = World::new(alice(), anybody());
    let mut message = Message::parse(&newcomer(&mut world, (addr(ALICE), 500).into()).data).unwrap();
    message.payloads.truncate(2);
    message.payloads.push(Payload::Nonce(vec![3; 16]));
    if let Payload::Sa(proposals) = &mut message.payloads[0] {
        proposals.truncate(1);
    }
    let data = message.encode();
    let local = (addr(BOB), 500).into();
    let answers = world.b.handle(world.now, Input::Datagram { local, remote: (addr(ALICE), 500).into(), data: &data });
    assert_eq!(answers.len(), 1);
    assert!(answers[0].data.len() <= data.len());
    let answer = Message::parse(&answers[0].data).unwrap();
    let Payload::Notify(cookie) = &answer.payloads[0] else { panic!("{answer:?}") };
    assert_eq!(cookie.kind, NotifyType::COOKIE);
    assert!(world.b.endpoint.sas.is_empty());
    message.payloads.insert(0, Payload::Notify(cookie.clone()));
    let data = message.encode();
    let answers = world.b.handle(world.now, Input::Datagram { local, remote: (addr(ALICE), 500).into(), data: &data });
    assert_eq!(
        Message::parse(&answers[0].data).unwrap().payloads.len(),
        4,
        "proven: SA, KE, Nr, and that children may come later"
    );
}

#[test]
fn a_short_request_does_not_get_the_response_to_a_long_one() {
    let mut world = World::new(alice(), anybody());
    let long = newcomer(&mut world, (addr(ALICE), 500).into());
    let ask = |world: &mut World, d: &Datagram| {
        world.b.handle(world.now, Input::Datagram { local: d.to, remote: d.from, data: &d.data })
    };
    let first = ask(&mut world, &long);
    assert_eq!(first.len(), 1);
    assert_eq!(ask(&mut world, &long), first, "a retransmission");
    let mut message = Message::parse(&long.data).unwrap();
    message.payloads.truncate(3);
    let short = Datagram { data: message.encode(), ..long };
    assert!(ask(&mut world, &short).iter().all(|a| a.data.len() <= short.data.len()));
    assert_eq!(world.b.endpoint.sas.len(), 1);
}

#[test]
fn our_spis_are_known_without_a_table() {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    world.pass(seconds(1));
    for (_, d) in &world.log[1..] {
        let receiver = if d.to.ip() == addr(ALICE) { &world.a } else { &world.b };
        assert!(receiver.endpoint.is_ours(&d.data));
    }
    let mut d = world.log[3].1.clone();
    d.data[3] ^= 1;
    assert!(!world.a.endpoint.is_ours(&d.data));
    assert!(!world.b.endpoint.is_ours(&world.log[0].1.data) && !world.b.endpoint.is_ours(&[]));
}

#[test]
fn computations_are_bounded() {
    let mut policy = anybody();
    policy.limits.compute_queue = 4;
    policy.limits.cookie_threshold = 1000;
    policy.limits.cookie_per_source = 1000;
    let mut world = World::new(alice(), policy);
    let mut jobs = 0;
    for i in 0..50u32 {
        let d = newcomer(&mut world, SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + i).into(), 500));
        let answer =
            world.b.handle(world.now, Input::Datagram { local: d.to, remote: d.from, data: &d.data }).remove(0);
        let header =
            Header { exchange: ExchangeType::IKE_AUTH, initiator: true, response: false, id: 1, ..answer.header() };
        let sk = crate::wire::payload::Encrypted { first: PayloadType::IDI, body: vec![1; 80] };
        let data = Message { header, payloads: vec![Payload::Encrypted(sk)] }.encode();
        // Nobody brings the results.
        world.b.endpoint.handle(
            world.now,
            Input::Datagram { local: d.to, remote: d.from, data: &data },
            &mut world.b.host,
        );
        while let Some(output) = world.b.endpoint.poll() {
            jobs += usize::from(matches!(output, super::super::event::Output::Compute { .. }));
        }
    }
    assert_eq!(jobs, 4);
}

#[test]
fn a_demand_that_comes_twice_is_followed_once() {
    let mut bob = bob();
    bob.limits.cookie_threshold = 0;
    let alice = with(alice(), |c| c.proposals = ike("aes128gcm16-prfsha256-modp2048-x25519"));
    let mut world = World::new(alice, bob);
    world.command_a(up());
    for demand in 0..2 {
        let request = world.hold().remove(0);
        world.deliver(&request);
        let answer = world.hold().remove(0);
        for _ in 0..5 {
            world.deliver(&answer);
        }
        assert_eq!(world.sent_by(ALICE).len(), demand + 2, "the cookie, then the group");
    }
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert!(world.a.failures().is_empty(), "{:?}", world.a.failures());
}

#[test]
fn a_request_costs_no_more_for_a_thousand_connections_of_one_kind() {
    let mut policy = anybody();
    for i in 0..1000 {
        let mut more = (*policy.connections[0]).clone();
        more.name = format!("net{i}").into();
        policy.connections.push(Arc::new(more));
    }
    let mut world = World::new(with(alice(), |c| c.proposals = ike("aes256gcm16-prfsha256-x25519")), policy);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let failure = world.b.last_failure().unwrap();
    assert_eq!((failure.code, failure.local.get("proposals").len()), ("proposal.encr", 1));
}

#[test]
fn offers_that_are_refused_in_masses_need_a_cookie() {
    let mut world = World::new(alice(), with(anybody(), |c| c.proposals = ike("aes256gcm16-prfsha384-ecp384")));
    let mut cookies = 0;
    for i in 0..3000u32 {
        let d = newcomer(&mut world, SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + i).into(), 500));
        let answers = world.b.handle(world.now, Input::Datagram { local: d.to, remote: d.from, data: &d.data });
        let [answer] = &answers[..] else { panic!("one answer") };
        let message = Message::parse(&answer.data).unwrap();
        let Payload::Notify(notify) = &message.payloads[0] else { panic!("{message:?}") };
        cookies += usize::from(notify.kind == NotifyType::COOKIE);
    }
    assert_eq!(cookies, 2000, "1000 are refused at once");
    assert!(world.b.failures().len() <= 20);
    // Whose offer is fine comes up meanwhile, and is told which group: it has shown where it is. Nothing else is refused in this moment.
    let fine = with(alice(), |c| c.proposals = ike("aes256gcm16-prfsha384-ecp256-ecp384"));
    world.command_a(Command::SetPolicy(Arc::new(fine)));
    world.command_a(up());
    world.pass(Duration::ZERO);
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
}
