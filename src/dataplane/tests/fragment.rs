use super::build::*;
use super::segment::all;
use crate::dataplane::fragment::Fragments;
use crate::wire::ip;
use etherparse::defrag::{IpDefragPayloadVec, IpDefragPool};
use etherparse::{IpNumber, SlicedPacket};

pub fn fragments(packet: &[u8], mtu: usize) -> Option<Vec<Vec<u8>>> {
    let parsed = ip::parse(packet).expect("a packet");
    Some(all(&Fragments::new(packet, &parsed, mtu)?))
}

/// The payload as etherparse puts it together.
pub fn reassemble(fragments: &[Vec<u8>]) -> Option<IpDefragPayloadVec> {
    let mut pool: IpDefragPool<u8, u8> = IpDefragPool::new();
    let mut whole = None;
    for fragment in fragments {
        assert_eq!(sum16(&fragment[..usize::from(fragment[0] & 15) * 4], 0), 0xffff, "header checksum");
        whole =
            pool.process_sliced_packet(&SlicedPacket::from_ip(fragment).expect("a packet"), 0, 0).expect("a fragment");
    }
    whole
}

#[test]
fn fragments_make_the_packet_again() {
    for payload in [1300, 1473, 3000, 65_507] {
        for mtu in [28, 68, 576, 1399, 1400] {
            let build = Build { dont_fragment: false, ..Build::udp(false, payload) };
            let packet = build.packet();
            let out = fragments(&packet, mtu).expect("may be fragmented");
            assert!(out.iter().all(|fragment| fragment.len() <= mtu && fragment[4..6] == packet[4..6]));
            if out.len() == 1 {
                assert_eq!(out[0], packet);
                continue;
            }
            let whole = reassemble(&out).expect("complete");
            assert_eq!((whole.ip_number, &whole.payload[..]), (IpNumber::UDP, &packet[20..]));
        }
    }
}

#[test]
fn a_fragment_is_cut_once_more() {
    let packet = Build { dont_fragment: false, ..Build::udp(false, 6000) }.packet();
    let coarse = fragments(&packet, 3000).unwrap();
    let fine: Vec<Vec<u8>> = coarse.iter().flat_map(|fragment| fragments(fragment, 1000).unwrap()).collect();
    assert_eq!(coarse.len(), 3);
    assert!(fine.iter().all(|fragment| fragment.len() <= 1000));
    assert_eq!(reassemble(&fine).expect("complete").payload, packet[20..]);
}

/// RFC 791 section 3.1: a router alert (copied) stands in all fragments, a timestamp in the first.
#[test]
fn options_are_copied_as_their_first_bit_says() {
    let mut packet = Build { dont_fragment: false, extension: true, ..Build::udp(false, 2000) }.packet();
    packet[0] = 0x48;
    packet.splice(24..24, [0x44, 4, 5, 0, 1, 1, 1, 0]);
    let len = packet.len() as u16;
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    let out = fragments(&packet, 1000).unwrap();
    assert_eq!(out[0][20..32], [0x94, 4, 0, 0, 0x44, 4, 5, 0, 1, 1, 1, 0]);
    assert_eq!(out[1][20..32], [0x94, 4, 0, 0, 1, 1, 1, 1, 1, 1, 1, 0]);
    assert_eq!(reassemble(&out).expect("complete").payload, packet[32..]);
    for options in [[0x44, 0, 0, 0], [0x44, 1, 0, 0], [0x44, 200, 0, 0], [1, 1, 1, 0x44]] {
        let mut broken = Build { dont_fragment: false, extension: true, ..Build::udp(false, 2000) }.packet();
        broken[20..24].copy_from_slice(&options);
        assert_eq!(fragments(&broken, 1000).unwrap()[1][20..24], [1; 4]);
    }
}

#[test]
fn what_may_not_be_fragmented_is_not() {
    let may = Build { dont_fragment: false, ..Build::udp(false, 2000) };
    assert_eq!(fragments(&may.packet(), 27), None);
    assert_eq!(fragments(&Build { dont_fragment: true, ..may.clone() }.packet(), 1000), None);
    assert_eq!(fragments(&Build { ipv6: true, ..may }.packet(), 1280), None);
}
