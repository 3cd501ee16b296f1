//! Requests in flight at the same time: a window above one as responder (RFC 7296 section 2.3).
use super::*;
use crate::wire::payload::{Delete, Notify, Payload, TrafficSelectors};
use crate::wire::registry::{ExchangeType, NotifyType};
use wire::Datagram;

fn tunnel() -> World {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world.log.clear();
    world
}
/// Alice's request with this id.
fn request(world: &mut World, exchange: ExchangeType, id: u32, payloads: &[Payload]) -> Datagram {
    let (core, channel) = world.alices();
    let header = core.header(exchange, id, false);
    let (from, to) = (core.local, core.remote);
    let data = channel.seal(header, payloads, usize::MAX).datagrams()[0].clone();
    Datagram { from, to, data, dont_fragment: false }
}
fn ids(sent: &[Datagram]) -> Vec<u32> {
    sent.iter().filter(|d| d.header().response).map(|d| d.header().id).collect()
}

#[test]
fn requests_that_come_out_of_order_are_answered_in_the_order_of_their_ids() {
    let mut world = tunnel();
    let asked: Vec<_> = (2..9).map(|id| request(&mut world, ExchangeType::INFORMATIONAL, id, &[])).collect();
    for (i, answered) in [(2, vec![]), (1, vec![]), (1, vec![]), (4, vec![]), (6, vec![]), (0, vec![2, 3, 4])] {
        let sent = world.bob_gets(&asked[i]);
        assert_eq!(ids(&sent), answered, "id {}", asked[i].header().id);
    }
    // 6 was beyond the window when it came.
    assert_eq!(ids(&world.bob_gets(&asked[3])), [5]);
    assert_eq!(ids(&world.bob_gets(&asked[4])), [6]);
    // Four answers are remembered, and stay as they are (R24).
    assert!(world.bob_gets(&asked[0]).is_empty());
    for again in &asked[1..5] {
        let once = world.bob_gets(again);
        assert_eq!(ids(&once), [again.header().id]);
        assert_eq!(world.bob_gets(again), once);
    }
}

/// A child is made by one request and deleted by the next: the other way round there would be one left.
#[test]
fn what_requests_do_happens_in_the_order_of_their_ids() {
    let mut world = tunnel();
    let mut proposals = esp("aes128gcm16");
    proposals[0].spi = vec![0, 0, 0x47, 0x11];
    let ts = |s: &str| TrafficSelectors { ranges: vec![s.parse().unwrap()], unknown: 0 };
    let create = [
        Payload::Sa(proposals),
        Payload::Nonce(vec![7; 32]),
        Payload::TsI(ts("10.1.0.0/16")),
        Payload::TsR(ts("10.2.0.0/16")),
    ];
    let delete = [Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![0x4711] })];
    let create = request(&mut world, ExchangeType::CREATE_CHILD_SA, 2, &create);
    let delete = request(&mut world, ExchangeType::INFORMATIONAL, 3, &delete);
    assert!(world.bob_gets(&delete).is_empty());
    assert_eq!(ids(&world.bob_gets(&create)), [2, 3]);
    assert_eq!(world.b.children().len(), 1, "the first child");
}

#[test]
fn a_request_before_its_turn_counts_only_with_its_icv_and_within_the_limit() {
    let mut bob = bob();
    bob.limits.reassembly_bytes = 1000;
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(1));
    let long = [Payload::Notify(Notify::new(NotifyType(40_000), vec![7; 600]))];
    let asked: Vec<_> = (2..6).map(|id| request(&mut world, ExchangeType::INFORMATIONAL, id, &long)).collect();
    let mut bad = asked[1].clone();
    *bad.data.last_mut().unwrap() ^= 1;
    world.bob_gets(&bad);
    assert_eq!(world.bobs().1.inbox.octets(), 0);
    for early in &asked[1..] {
        world.bob_gets(early);
        assert!(world.bobs().1.inbox.octets() <= 1000);
    }
    assert_eq!(ids(&world.bob_gets(&asked[0])), [2, 3], "there was room for one");
    assert_eq!(ids(&world.bob_gets(&asked[2])), [4]);
}

/// The window is one until IKE_AUTH is done.
#[test]
fn the_window_is_one_at_first() {
    let mut world = World::new(alice(), bob());
    world.drop = |d| d.is(ExchangeType::IKE_AUTH, true);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let next = request(&mut world, ExchangeType::INFORMATIONAL, 2, &[]);
    assert_eq!(ids(&world.bob_gets(&next)), [2], "Bob has answered IKE_AUTH");
    let mut world = World::new(alice(), bob());
    world.drop = |d| d.is(ExchangeType::IKE_AUTH, false);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    let next = request(&mut world, ExchangeType::INFORMATIONAL, 2, &[]);
    assert!(world.bob_gets(&next).is_empty(), "and here he has not");
}
