//! Prefix translation, of packets and between two gateways. What comes out is compared with packets whose every checksum was made anew.
use super::build::*;
use super::gateway::*;
use super::segment::packets;
use crate::dataplane::icmp::{self, MAX_ANSWER, Reason};
use crate::esp::drop::Drop;
use crate::io::VnetHeader;
use crate::io::memory::Train;
use crate::ipsec::spd::{Action, PolicyEntry, Spd};
use crate::ipsec::translate::{Names, Prefix, Translation, Way};
use crate::wire::ip;
use proptest::prelude::*;
use std::net::IpAddr;

fn prefix(text: &str) -> Prefix {
    let (addr, len) = text.split_once('/').expect("a prefix");
    (addr.parse().expect("an address"), len.parse().expect("a length"))
}

/// `here=wire`; an empty text has no names.
fn names(text: &str) -> Option<Names> {
    let (here, wire) = text.split_once('=')?;
    Some(Names { here: prefix(here), wire: prefix(wire) })
}

fn translation(local: &str, remote: &str) -> Translation {
    Translation::new(names(local), names(remote)).expect("prefixes that fit")
}

fn octets(addr: &str) -> Vec<u8> {
    match addr.parse().expect("an address") {
        IpAddr::V4(addr) => addr.octets().into(),
        IpAddr::V6(addr) => addr.octets().into(),
    }
}

/// The packet between other ends, with all of its checksums made anew.
fn between(packet: &[u8], src: &str, dst: &str) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let parsed = ip::parse(&packet).expect("a packet");
    let ends = [octets(src), octets(dst)].concat();
    let ipv4 = ends.len() == 8;
    let at = if ipv4 { 12 } else { 8 };
    packet[at..at + ends.len()].copy_from_slice(&ends);
    if ipv4 {
        packet[10..12].fill(0);
        let sum = !sum16(&packet[..usize::from(packet[0] & 15) * 4], 0);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    sum_upper(&mut packet, &parsed, &ends);
    packet
}

/// Makes the checksum of the upper layer, unless there is none.
fn sum_upper(packet: &mut [u8], parsed: &ip::Packet, ends: &[u8]) {
    let proto = parsed.flow.proto;
    let at =
        parsed.l4 + [(6, 16), (17, 6), (33, 6), (136, 6), (58, 2), (1, 2)].iter().find(|p| p.0 == proto).unwrap().1;
    if parsed.flow.later_fragment || proto == 17 && packet[at..at + 2] == [0, 0] {
        return;
    }
    packet[at..at + 2].fill(0);
    let ends = if proto == 1 { 0 } else { sum16(ends, (packet.len() - parsed.l4) as u64 + u64::from(proto)) };
    let sum = match !sum16(&packet[parsed.l4..], ends.into()) {
        0 if [17, 136].contains(&proto) => 0xffff,
        sum => sum,
    };
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

#[track_caller]
fn translated(translation: &Translation, way: Way, packet: &[u8]) -> Vec<u8> {
    let mut out = packet.to_vec();
    let parsed = ip::parse(packet).expect("a packet");
    let flow = translation.packet(way, &mut out, &parsed, false).expect("names");
    assert_eq!(ip::parse(&out).map(|parsed| parsed.flow), Ok(flow));
    out
}

/// Build's networks behind other names: hosts, and the same hosts on the wire.
const V4: (&str, &str) = ("10.1.0.0/24=198.18.1.0/24", "10.2.0.0/24=10.9.0.0/24");
const V6: (&str, &str) = ("fd01::/64=fd77:1:2:3::/64", "fd02::/64=fdff:ffff::/64");

/// The same names seen from the other side.
fn turned(names: &str) -> String {
    names.split_once('=').map(|(here, wire)| format!("{wire}={here}")).expect("two prefixes")
}

fn both(ipv6: bool) -> Translation {
    let (local, remote) = if ipv6 { V6 } else { V4 };
    translation(local, remote)
}

fn on_the_wire(ipv6: bool, host: u8) -> (String, String) {
    match ipv6 {
        false => (format!("198.18.1.{host}"), format!("10.9.0.{host}")),
        true => (format!("fd77:1:2:3::{host:x}"), format!("fdff:ffff::{host:x}")),
    }
}

#[test]
fn addresses_keep_their_place_in_the_prefix() {
    let flow = |src: &str, dst: &str| crate::wire::ip::Flow {
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        proto: 6,
        sport: 1,
        dport: 2,
        later_fragment: false,
    };
    let example = translation("10.0.0.0/24=198.18.1.0/24", "172.31.2.0/24=10.0.0.0/24");
    let here = flow("10.0.0.3", "172.31.2.5");
    let wire = flow("198.18.1.3", "10.0.0.5");
    assert_eq!(example.flow(Way::Outward, &here), Some(wire));
    let answer = |flow: crate::wire::ip::Flow| crate::wire::ip::Flow { src: flow.dst, dst: flow.src, ..flow };
    assert_eq!(example.flow(Way::Inward, &answer(wire)), Some(answer(here)));
    for (src, dst) in [("10.0.1.3", "172.31.2.5"), ("10.0.0.3", "10.0.0.5"), ("fd00::1", "fd00::2")] {
        assert_eq!(example.flow(Way::Outward, &flow(src, dst)), None, "{src} {dst}");
    }
    assert_eq!(example.flow(Way::Inward, &flow("172.31.2.5", "10.0.0.3")), None);
    // Prefixes that end inside of an octet; one side only; all of an address.
    let odd = translation("10.0.32.0/19=172.20.224.0/19", "");
    assert_eq!(odd.flow(Way::Outward, &flow("10.0.63.9", "1.2.3.4")), Some(flow("172.20.255.9", "1.2.3.4")));
    assert_eq!(odd.flow(Way::Outward, &flow("10.0.64.9", "1.2.3.4")), None);
    let hosts = translation("", "fd00::1/128=fd00::2/128");
    assert_eq!(hosts.flow(Way::Outward, &flow("fd09::", "fd00::1")), Some(flow("fd09::", "fd00::2")));
    let [ten, wire_ts] =
        ["10.0.0.16-10.0.0.31[tcp/80]", "198.18.1.16-198.18.1.31[tcp/80]"].map(|ts| ts.parse().unwrap());
    assert_eq!((example.local_here(&wire_ts), example.local_here(&ten)), (Some(ten), None));
    assert_eq!(example.here(), [Some(prefix("10.0.0.0/24")), Some(prefix("172.31.2.0/24"))]);
    assert_eq!(hosts.here(), [None, Some(prefix("fd00::1/128"))]);
    for (local, remote) in [
        ("", ""),
        ("10.0.0.0/24=10.1.0.0/25", ""),
        ("10.0.0.0/24=fd00::/24", ""),
        ("10.0.0.0/24=10.1.0.0/24", "fd00::/64=fd01::/64"),
        ("0.0.0.0/0=0.0.0.0/0", ""),
    ] {
        assert_eq!(Translation::new(names(local), names(remote)), None, "{local} {remote}");
    }
}

proptest! {
    /// Whatever the packet and the length of the prefixes; and back again.
    #[test]
    fn checksums_follow_the_addresses(build in packets(), host: u8, bits: [u128; 2], len in 1u8..=128, one_side: bool) {
        let build = Build { src: host, dst: host.wrapping_add(7), ..build };
        let width = if build.ipv6 { 128 } else { 32 };
        let len = len.min(width);
        let packet = build.packet();
        let flow = ip::parse(&packet).unwrap().flow;
        let mask = u128::MAX << (width - len) & (u128::MAX >> (128 - width));
        let address = |bits: u128| -> IpAddr {
            if build.ipv6 { std::net::Ipv6Addr::from_bits(bits).into() } else { std::net::Ipv4Addr::from_bits(bits as u32).into() }
        };
        let number = |addr: IpAddr| match addr { IpAddr::V4(a) => u128::from(a.to_bits()), IpAddr::V6(a) => a.to_bits() };
        let side = |addr: IpAddr, bits: u128| {
            let names = Names { here: (address(number(addr) & mask), len), wire: (address(bits & mask), len) };
            (names, address(number(addr) & !mask | bits & mask).to_string())
        };
        let ((local, src), (remote, dst)) = (side(flow.src, bits[0]), side(flow.dst, bits[1]));
        let local = (!one_side).then_some(local);
        let src = if one_side { flow.src.to_string() } else { src };
        let there = translated(&Translation::new(local, Some(remote)).unwrap(), Way::Outward, &packet);
        prop_assert_eq!(&there, &between(&packet, &src, &dst));
        assert_sound(&there);
        // The same names seen from the other side.
        let back = translated(&Translation::new(Some(remote), local).unwrap(), Way::Inward, &there);
        prop_assert_eq!(back, packet);
    }

    /// What the kernel has not summed or cut is summed and cut afterwards.
    #[test]
    fn super_packets_are_translated_as_a_whole(build in packets(), size in 100usize..1500, whole: bool) {
        let header = if whole { build.needs_csum() } else { build.gso(size.max(build.payload.len() / 60)) };
        let mut packet = build.partial();
        let parsed = ip::parse(&packet).unwrap();
        both(build.ipv6).packet(Way::Outward, &mut packet, &parsed, header.is_partial(parsed.l4)).unwrap();
        let ends = (on_the_wire(build.ipv6, build.src).0, on_the_wire(build.ipv6, build.dst).1);
        let before = super::segment::segments(&header, &build.partial()).unwrap();
        let expected: Vec<_> = before.iter().map(|packet| between(packet, &ends.0, &ends.1)).collect();
        prop_assert_eq!(super::segment::segments(&header, &packet).unwrap(), expected);
    }

    /// A router there answers to what travelled; what comes back here is its answer to what was sent.
    #[test]
    fn errors_speak_of_the_packet_that_was_sent(build in packets(), too_big: bool, inbound: bool) {
        let reason = if too_big { Reason::TooBig(1280) } else { Reason::Prohibited };
        let sent = build.packet();
        if inbound {
            // A packet of a host there, about which one here has something to say.
            let (local, remote) = if build.ipv6 { V6 } else { V4 };
            let names = translation(&turned(remote), &turned(local));
            let error = answer(reason, &translated(&names, Way::Inward, &sent));
            prop_assert_eq!(translated(&names, Way::Outward, &error), answer(reason, &sent));
        } else {
            let names = both(build.ipv6);
            let error = answer(reason, &translated(&names, Way::Outward, &sent));
            prop_assert_eq!(translated(&names, Way::Inward, &error), answer(reason, &sent));
        }
    }

    #[test]
    fn no_octets_break_it(data in prop::collection::vec(any::<u8>(), 0..200), partial: bool, kind: u8, icmp: bool) {
        for ipv6 in [false, true] {
            let mut packet = Build::udp(ipv6, 0).partial();
            packet.truncate(if ipv6 { 40 } else { 20 });
            packet.extend(&data);
            let len = (packet.len() - if ipv6 { 40 } else { 0 }) as u16;
            packet[if ipv6 { 4..6 } else { 2..4 }].copy_from_slice(&len.to_be_bytes());
            packet[if ipv6 { 6 } else { 9 }] = match icmp {
                true if ipv6 => 58,
                true => 1,
                false => kind,
            };
            if let Ok(parsed) = ip::parse(&packet) {
                both(ipv6).packet(Way::Outward, &mut packet, &parsed, partial);
            }
        }
    }
}

fn answer(reason: Reason, packet: &[u8]) -> Vec<u8> {
    let mut out = [0; MAX_ANSWER];
    let len = icmp::answer(reason, packet, &ip::parse(packet).expect("a packet"), &mut out).expect("an answer");
    out[..len].to_vec()
}

/// An ICMP error of this type from a router, which quotes the first octets of a packet.
fn quoting(kind: u8, quote: &[u8], from: &str, to: &str) -> Vec<u8> {
    let ipv6 = from.contains(':');
    let mut packet = Build::udp(ipv6, quote.len()).packet();
    let l4 = if ipv6 { 40 } else { 20 };
    packet[if ipv6 { 6 } else { 9 }] = if ipv6 { 58 } else { 1 };
    packet[l4..l4 + 8].copy_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    packet[l4 + 8..].copy_from_slice(quote);
    between(&packet, from, to)
}

/// Echo request of this identity.
fn echo(ipv6: bool) -> Vec<u8> {
    let mut packet = Build::udp(ipv6, 56).packet();
    let l4 = if ipv6 { 40 } else { 20 };
    packet[if ipv6 { 6 } else { 9 }] = if ipv6 { 58 } else { 1 };
    packet[l4..l4 + 8].copy_from_slice(&[if ipv6 { 128 } else { 8 }, 0, 0, 0, 7, 7, 0, 1]);
    let (src, dst) = if ipv6 { ("fd01::1", "fd02::1") } else { ("10.1.0.1", "10.2.0.1") };
    between(&packet, src, dst)
}

#[test]
fn ping_and_what_has_no_checksum() {
    for ipv6 in [false, true] {
        let (src, dst) = (on_the_wire(ipv6, 1).0, on_the_wire(ipv6, 1).1);
        let there = translated(&both(ipv6), Way::Outward, &echo(ipv6));
        assert_eq!(there, between(&echo(ipv6), &src, &dst));
        assert_sound(&there);
        let at = Build::udp(ipv6, 9).l4() + 6;
        let mut without = Build::udp(ipv6, 9).packet();
        without[at..at + 2].fill(0);
        let there = translated(&both(ipv6), Way::Outward, &without);
        assert_eq!((&there[at..at + 2], &there), (&[0, 0][..], &between(&without, &src, &dst)));
        // UDP-Lite and DCCP have their checksums in the same place, SCTP has one that knows no addresses.
        for proto in [33, 136, 132, 47, 50] {
            let mut packet = Build::udp(ipv6, 30).packet();
            packet[if ipv6 { 6 } else { 9 }] = proto;
            let there = translated(&both(ipv6), Way::Outward, &packet);
            let upper = Build::udp(ipv6, 30).l4();
            if matches!(proto, 33 | 136) {
                let (src, dst) = if ipv6 { ("fd01::1", "fd02::1") } else { ("10.1.0.1", "10.2.0.1") };
                let sound = between(&packet, src, dst);
                let ends = (on_the_wire(ipv6, 1).0, on_the_wire(ipv6, 1).1);
                assert_eq!(translated(&both(ipv6), Way::Outward, &sound), between(&sound, &ends.0, &ends.1));
            } else {
                assert_eq!(there[upper..], packet[upper..], "{proto}");
            }
        }
    }
}

/// Of all payloads there is one whose sum is zero with the new addresses: it must not look like none.
#[test]
fn a_sum_of_zero_travels_as_ones() {
    for proto in [17, 136] {
        let mut ones = 0;
        for payload in 0..=u16::MAX {
            let mut packet = Build { payload: payload.to_be_bytes().into(), ..Build::udp(false, 0) }.packet();
            packet[9] = proto;
            let packet = between(&packet, "10.1.0.1", "10.2.0.1");
            let there = translated(&both(false), Way::Outward, &packet);
            assert_ne!(there[26..28], [0, 0], "{payload}");
            if there[26..28] == [0xff, 0xff] {
                assert_eq!(there, between(&packet, "198.18.1.1", "10.9.0.1"));
                ones += 1;
            }
        }
        assert!(ones > 0, "the case is among them");
    }
}

/// A UDP packet with a routing header of type 0 that names one address, and so many segments left.
fn led_on(left: u8) -> Vec<u8> {
    let build = Build::udp(true, 9).packet();
    let mut packet = [&build[..40], &[17, 2, 0, left, 0, 0, 0, 0], &octets("fd02::9"), &build[40..]].concat();
    let len = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet[6] = 43;
    packet
}

/// Its checksum is that of a packet to the last of the addresses, which would stay as it is.
#[test]
fn what_a_routing_header_leads_on_is_refused() {
    for way in [Way::Outward, Way::Inward] {
        let (local, remote) = V6;
        let names = if way == Way::Outward { both(true) } else { translation(&turned(remote), &turned(local)) };
        for left in [1, 255] {
            let mut packet = led_on(left);
            let parsed = ip::parse(&packet).expect("a packet");
            assert_eq!(names.packet(way, &mut packet, &parsed, false), None);
            assert_eq!(packet, led_on(left));
        }
        let (src, dst) = on_the_wire(true, 1);
        let arrived = translated(&names, way, &led_on(0));
        assert_eq!(arrived, between(&led_on(0), &src, &dst));
    }
    let (local, remote) = V6;
    let (mut left, _) = gateways(local, remote);
    assert_eq!(left.send(VnetHeader::default(), led_on(1)), []);
    assert_eq!(left.drops(), [(Drop::SelectorMismatch, 1)]);
    assert_eq!(left.send(VnetHeader::default(), led_on(0)).len(), 1);
}

/// Only the first fragment has the upper layer's checksum, which is that of the whole packet.
#[test]
fn fragments_make_the_whole_packet_again() {
    let build = Build { dont_fragment: false, ..Build::udp(false, 3000) };
    let fragments = super::fragment::fragments(&build.packet(), 1000).expect("may be fragmented");
    assert!(fragments.len() > 2);
    let there: Vec<_> = fragments.iter().map(|fragment| translated(&both(false), Way::Outward, fragment)).collect();
    let payload = super::fragment::reassemble(&there).expect("all of them").payload;
    assert_eq!(payload, between(&build.packet(), "198.18.1.1", "10.9.0.1")[20..]);

    let build = Build::udp(true, 2000);
    let fragment = |range: std::ops::Range<usize>, more: u8| {
        let [high, low] = (range.start as u16).to_be_bytes();
        let mut packet =
            [&build.packet()[..40], &[17, 0, high, low | more, 0, 0, 0, 9], &build.packet()[40..][range]].concat();
        let len = (packet.len() - 40) as u16;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
        packet[6] = 44;
        packet
    };
    let there = [fragment(0..1000, 1), fragment(1000..2008, 0)].map(|f| translated(&both(true), Way::Outward, &f));
    let (src, dst) = on_the_wire(true, 1);
    let payload = [&there[0][48..], &there[1][48..]].concat();
    assert_eq!(payload, between(&build.packet(), &src, &dst)[40..]);
    assert_eq!(there[1][8..40], [octets(&src), octets(&dst)].concat());
}

/// However short the quote, the error's own checksum is right, and what is quoted whole is what was sent.
#[test]
fn quotes_of_any_length() {
    for ipv6 in [false, true] {
        let (_, router) = on_the_wire(ipv6, 99);
        let (host, _) = on_the_wire(ipv6, 1);
        let (here, at_home) = if ipv6 { ("fd01::1", "fd02::63") } else { ("10.1.0.1", "10.2.0.99") };
        let kinds: &[u8] = if ipv6 { &[1, 2, 3, 4] } else { &[3, 4, 11, 12] };
        let tcp = Build { extension: true, ..Build::tcp(ipv6, 40) };
        for (sent, checksum) in [
            (tcp.packet(), tcp.l4() + 16),
            (Build::udp(ipv6, 40).packet(), if ipv6 { 46 } else { 26 }),
            (echo(ipv6), if ipv6 { 42 } else { 0 }),
        ] {
            let header = if ipv6 { 40 } else { 20 };
            let there = translated(&both(ipv6), Way::Outward, &sent);
            for len in 0..=sent.len() {
                let kind = kinds[len % kinds.len()];
                let error = quoting(kind, &there[..len], &router, &host);
                let back = translated(&both(ipv6), Way::Inward, &error);
                let sound = between(&back, at_home, here);
                assert_eq!(back, sound, "{len}");
                // Half a checksum, or half an address, tells nobody anything.
                if len >= header && len != checksum + 1 {
                    assert_eq!(back[header + 8..], sent[..len], "{ipv6} {kind} {len}");
                }
            }
        }
    }
}

/// A query that happens to look like an error inside is not touched; a quote of somebody else's packet keeps its ends.
#[test]
fn only_errors_and_only_what_has_names() {
    for ipv6 in [false, true] {
        let (host, router) = on_the_wire(ipv6, 1);
        let packet = translated(&both(ipv6), Way::Outward, &Build::tcp(ipv6, 40).packet());
        let header = if ipv6 { 40 } else { 20 };
        let (here, at_home) = if ipv6 { ("fd01::1", "fd02::1") } else { ("10.1.0.1", "10.2.0.1") };
        let reply = quoting(if ipv6 { 129 } else { 0 }, &packet, &router, &host);
        assert_eq!(translated(&both(ipv6), Way::Inward, &reply), between(&reply, at_home, here));
        let foreign = Build::tcp(ipv6, 40).packet();
        let error = quoting(if ipv6 { 1 } else { 3 }, &foreign, &router, &host);
        let back = translated(&both(ipv6), Way::Inward, &error);
        assert_eq!((&back[header + 8..], &back), (&foreign[..], &between(&error, at_home, here)));
    }
}

/// The left gateway has names of its own for both networks, the right one has none.
fn gateways(local: &str, remote: &str) -> (Gateway, Gateway) {
    let wire = |text: &str| text.split_once('=').map(|(_, wire)| wire.to_owned()).expect("names");
    let setup = Setup { left: selectors(&[&wire(local)]), right: selectors(&[&wire(remote)]), ..Setup::default() };
    let (_, right) = pair(&setup);
    let (left, _) = pair(&Setup { translation: Some(translation(local, remote)), ..setup });
    (left, right)
}

fn carry(trains: Vec<Train>, to: &mut Gateway) -> Vec<Vec<u8>> {
    trains.into_iter().for_each(|train| to.port.inject(train));
    to.turn();
    to.delivered()
}

#[test]
fn each_side_knows_its_own_names() {
    for (ipv6, (local, remote)) in [(false, V4), (true, V6)] {
        let (mut left, mut right) = gateways(local, remote);
        let (src, dst) = on_the_wire(ipv6, 1);
        for build in [Build::tcp(ipv6, 9000), Build::udp(ipv6, 5000), Build::udp(ipv6, 50)] {
            let (header, packet) = match build.payload.len() {
                50 => (VnetHeader::default(), build.packet()),
                _ => (build.gso(1000), build.partial()),
            };
            let sent = super::segment::segments(&header, &packet).unwrap();
            let expected: Vec<_> = sent.iter().map(|packet| between(packet, &src, &dst)).collect();
            let delivered = carry(left.send(header, packet), &mut right);
            assert_eq!(delivered, expected);
            // And the other way, from there to here: ends and ports turned, in trains that are merged here.
            let answers: Vec<_> = delivered.iter().map(|packet| between(packet, &dst, &src)).collect();
            let (here, there) = if ipv6 { ("fd01::1", "fd02::1") } else { ("10.1.0.1", "10.2.0.1") };
            let expected: Vec<_> = answers.iter().map(|packet| between(packet, there, here)).collect();
            answers.into_iter().for_each(|packet| right.host.push(VnetHeader::default(), packet));
            right.turn();
            let trains = right.port.sent();
            trains.into_iter().for_each(|train| left.port.inject(train));
            left.turn();
            assert_eq!(left.delivered(), expected);
        }
        assert_eq!((left.drops(), right.drops()), (vec![], vec![]));
    }
}

/// Who sends what is too big hears of it by the names that they used.
#[test]
fn answers_are_about_the_packet_that_was_sent() {
    let (mut left, _) = gateways(V4.0, V4.1);
    let packet = Build::tcp(false, 1500).packet();
    assert_eq!(left.send(VnetHeader::default(), packet.clone()), []);
    let mtu = left.path.load().inner_mtu(Setup::default().cipher);
    assert_eq!(left.delivered(), [answer(Reason::TooBig(mtu), &packet)]);
    assert_eq!(left.drops(), [(Drop::TooBig, 1)]);
}

/// Nothing leaves or comes in by a name that is not one of its side, whatever policies say.
#[test]
fn what_has_no_name_is_refused() {
    let (mut left, mut right) = gateways(V4.0, V4.1);
    let any = selectors(&["0.0.0.0/0"]);
    let (name, priority, action) = ("office/lan".into(), 0, Action::Protect(SLOT));
    let policy = PolicyEntry { name, local: any.clone().into(), remote: any.into(), priority, action };
    left.tables.publish_policies(Spd::new([(DEVICE, policy)]));
    let packet = Build::udp(false, 50).packet();
    for (src, dst) in
        [("198.18.1.1", "10.9.0.1"), ("10.1.0.1", "10.9.0.1"), ("198.18.1.1", "10.2.0.1"), ("10.1.1.1", "10.2.0.1")]
    {
        assert_eq!(left.send(VnetHeader::default(), between(&packet, src, dst)), [], "{src} {dst}");
    }
    assert_eq!(left.drops(), [(Drop::SelectorMismatch, 4)]);
    // As if the peer called us what we are called here: by the wire's selectors that is somebody else.
    let forged = right.forge(&left.peer_sa(), 1, &between(&packet, "10.2.0.1", "10.1.0.1"), 4);
    let train = right.train(&[forged]);
    left.delivered();
    left.port.inject(train);
    left.turn();
    assert_eq!((left.delivered(), left.drops()), (vec![], vec![(Drop::SelectorMismatch, 5)]));
    right.turn();
}

/// The SA's selectors are the wire's: what it was narrowed to there is what may be sent from here.
#[test]
fn a_narrower_sa_is_looked_at_by_the_names_of_the_wire() {
    let setup = Setup {
        left: selectors(&["198.18.1.0/24"]),
        right: selectors(&["10.9.0.0/28"]),
        translation: Some(both(false)),
        ..Setup::default()
    };
    let (mut left, _) = pair(&setup);
    let to = |dst: u8| Build { dst, ..Build::udp(false, 50) }.packet();
    assert_eq!(left.send(VnetHeader::default(), to(15)).len(), 1);
    assert_eq!(left.send(VnetHeader::default(), to(16)), []);
    assert_eq!(left.drops(), [(Drop::NoPolicy, 1)]);
}

/// An MSS is lowered in a packet that is translated, too, and both changes are in its checksum.
#[test]
fn a_syn_is_translated_and_lowered() {
    let (mut left, mut right) = gateways(V4.0, V4.1);
    let syn = |mss: u16| {
        let [high, low] = mss.to_be_bytes();
        Build { flags: SYN, options: vec![1, 2, 4, high, low, 0, 0, 0], ..Build::tcp(false, 0) }
    };
    for (header, packet) in [(VnetHeader::default(), syn(1460).packet()), (syn(1460).needs_csum(), syn(1460).partial())]
    {
        let delivered = carry(left.send(header, packet), &mut right);
        assert_eq!(delivered, [between(&syn(1398).packet(), "198.18.1.1", "10.9.0.1")]);
    }
}
