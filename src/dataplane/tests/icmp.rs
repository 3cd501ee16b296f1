use super::build::*;
use crate::dataplane::icmp::{MAX_ANSWER, Reason, answer};
use crate::wire::ip;
use etherparse::{Icmpv4Type, Icmpv6Type, SlicedPacket, TransportSlice, icmpv4, icmpv6};

fn answered(reason: Reason, packet: &[u8]) -> Option<Vec<u8>> {
    let mut out = [0xaa; MAX_ANSWER];
    let len = answer(reason, packet, &ip::parse(packet).expect("a packet"), &mut out)?;
    Some(out[..len].to_vec())
}

#[test]
fn the_sender_learns_why() {
    let packet = Build::tcp(false, 1400).packet();
    for (reason, expected) in [
        (Reason::Prohibited, icmpv4::DestUnreachableHeader::FilterProhibited),
        (Reason::TooBig(1234), icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1234 }),
    ] {
        let out = answered(reason, &packet).expect("an answer");
        assert_sound(&out);
        assert_eq!((out.len(), &out[12..20]), (576, &[10, 2, 0, 1, 10, 1, 0, 1][..]));
        let sliced = SlicedPacket::from_ip(&out).unwrap();
        let Some(TransportSlice::Icmpv4(icmp)) = sliced.transport else { panic!("not ICMP") };
        assert_eq!(icmp.icmp_type(), Icmpv4Type::DestinationUnreachable(expected));
        assert_eq!(icmp.payload(), &packet[..548]);
    }
    let packet = Build::udp(true, 1400).packet();
    for (reason, expected) in [
        (Reason::Prohibited, Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Prohibited)),
        (Reason::TooBig(1280), Icmpv6Type::PacketTooBig { mtu: 1280 }),
    ] {
        let out = answered(reason, &packet).expect("an answer");
        assert_sound(&out);
        assert_eq!((out.len(), &out[8..24], &out[24..40]), (1280, &packet[24..40], &packet[8..24]));
        let sliced = SlicedPacket::from_ip(&out).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = sliced.transport else { panic!("not ICMPv6") };
        assert_eq!(icmp.icmp_type(), expected);
        assert_eq!(icmp.payload(), &packet[..1232]);
    }
}

#[test]
fn a_short_packet_is_quoted_whole() {
    for ipv6 in [false, true] {
        let packet = Build::udp(ipv6, 1).packet();
        let out = answered(Reason::Prohibited, &packet).expect("an answer");
        assert_sound(&out);
        assert!(out.ends_with(&packet));
    }
}

/// An ICMP message of this type.
fn icmp(ipv6: bool, kind: u8) -> Vec<u8> {
    let mut packet = Build::udp(ipv6, 20).packet();
    if ipv6 {
        (packet[6], packet[40]) = (58, kind);
    } else {
        (packet[9], packet[20]) = (1, kind);
    }
    packet
}

#[test]
fn errors_are_never_answered() {
    for (ipv6, silent, answers) in [
        (false, &[3, 4, 5, 11, 12, 200][..], &[0, 8, 13, 14][..]),
        (true, &[1, 2, 3, 4, 100, 137][..], &[128, 129, 135][..]),
    ] {
        for kind in silent {
            assert_eq!(answered(Reason::Prohibited, &icmp(ipv6, *kind)), None, "ipv6 {ipv6}, type {kind}");
        }
        for kind in answers {
            assert!(answered(Reason::Prohibited, &icmp(ipv6, *kind)).is_some(), "ipv6 {ipv6}, type {kind}");
        }
    }
}

#[test]
fn only_one_hosts_packets_are_answered() {
    let v4 = Build::udp(false, 20).packet();
    for (at, addr) in [
        (12, [0, 0, 0, 0]),
        (12, [127, 0, 0, 1]),
        (12, [224, 0, 0, 1]),
        (12, [255, 255, 255, 255]),
        (12, [240, 0, 0, 1]),
        (12, [0, 9, 9, 9]),
        (16, [224, 0, 0, 251]),
        (16, [255, 255, 255, 255]),
    ] {
        let mut packet = v4.clone();
        packet[at..at + 4].copy_from_slice(&addr);
        assert_eq!(answered(Reason::Prohibited, &packet), None, "{addr:?}");
    }
    let mut later = v4.clone();
    later[7] = 10;
    assert_eq!(answered(Reason::Prohibited, &later), None);
    let v6 = Build::udp(true, 20).packet();
    for (at, first, last) in [(8, 0, 0), (8, 0, 1), (8, 0xff, 1), (24, 0xff, 1)] {
        let mut packet = v6.clone();
        packet[at..at + 16].fill(0);
        (packet[at], packet[at + 15]) = (first, last);
        assert_eq!(answered(Reason::Prohibited, &packet), None);
    }
}
