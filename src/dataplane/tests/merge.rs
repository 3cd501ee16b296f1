use super::build::*;
use super::segment::segments;
use crate::dataplane::merge::{MAX_PARTS, Merge};
use crate::dataplane::oracle;
use crate::io::VnetHeader;
use crate::wire::ip;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Written = (VnetHeader, Vec<u8>, usize);

/// What is written for these packets: header, octets, how many packets it counts as.
fn merge(packets: &[Vec<u8>], offloads: (bool, bool)) -> Vec<Written> {
    let mut buf: Vec<u8> = packets.concat();
    let mut merge = Merge::new(0);
    let mut at = 0;
    for packet in packets {
        merge.push(&buf, at, &ip::parse(packet).expect("a packet"), offloads);
        at += packet.len();
    }
    let mut out = Vec::new();
    merge.write(&mut buf, |header, parts, count| {
        out.push((*header, parts.iter().flat_map(|part| part.iter()).copied().collect(), count));
    });
    assert!(merge.is_empty());
    out
}

fn alone(packets: &[Vec<u8>]) -> Vec<Written> {
    packets.iter().map(|packet| (VnetHeader::default(), packet.clone(), 1)).collect()
}

fn cut(build: &Build, size: usize) -> Vec<Vec<u8>> {
    segments(&build.gso(size), &build.partial()).expect("possible")
}

#[test]
fn what_was_cut_comes_together_again() {
    for ipv6 in [false, true] {
        for dont_fragment in [false, true] {
            for payload in [999, 1000, 1001, 2000, 2001, 45_678] {
                let timestamps = vec![1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
                for build in [
                    Build::tcp(ipv6, payload),
                    Build { options: timestamps, flags: ACK | PSH, ..Build::tcp(ipv6, payload) },
                    Build::udp(ipv6, payload),
                ] {
                    let build = Build { dont_fragment, tos: 0x8a, id: 0xfffe, ..build };
                    let whole = match payload.div_ceil(1000) {
                        1 => (VnetHeader::default(), build.packet(), 1),
                        count => (build.gso(1000), build.partial(), count),
                    };
                    assert_eq!(merge(&cut(&build, 1000), (true, true)), [whole]);
                }
            }
        }
    }
}

#[test]
fn without_offloads_every_packet_is_alone() {
    let (tcp, udp) = (cut(&Build::tcp(false, 3000), 1000), cut(&Build::udp(true, 3000), 1000));
    assert_eq!(merge(&tcp, (false, true)), alone(&tcp));
    assert_eq!(merge(&udp, (true, false)), alone(&udp));
    assert_eq!((merge(&tcp, (true, false)).len(), merge(&udp, (false, true)).len()), (1, 1));
}

/// One field of the second of two packets differs.
#[test]
fn whatever_differs_stays_apart() {
    let tcp = |ipv6| Build { options: vec![1; 4], ..Build::tcp(ipv6, 100) };
    type Change = (&'static str, fn(&mut Build));
    let tcp_changes: [Change; 15] = [
        ("gap", |b| b.seq += 1),
        ("repeated", |b| b.seq -= 100),
        ("ack", |b| b.ack += 1),
        ("window", |b| b.window += 1),
        ("option", |b| b.options[3] = 0),
        ("more options", |b| b.options.extend([1; 4])),
        ("syn", |b| b.flags |= SYN),
        ("fin", |b| b.flags |= FIN),
        ("rst", |b| b.flags |= 0x04),
        ("urg", |b| b.flags |= 0x20),
        ("ece", |b| b.flags |= 0x40),
        ("cwr", |b| b.flags |= CWR),
        ("no ack", |b| b.flags = 0),
        ("longer", |b| b.payload.push(0)),
        ("empty", |b| b.payload.clear()),
    ];
    let udp_changes: [Change; 2] = [("longer", |b| b.payload.push(0)), ("empty", |b| b.payload.clear())];
    let ip_changes: [Change; 7] = [
        ("source", |b| b.src += 1),
        ("destination", |b| b.dst += 1),
        ("source port", |b| b.sport += 1),
        ("destination port", |b| b.dport += 1),
        ("tos", |b| b.tos ^= 3),
        ("ttl", |b| b.ttl -= 1),
        ("extension", |b| b.extension = true),
    ];
    let v4_changes: [Change; 2] = [("id", |b| b.id += 1), ("df", |b| b.dont_fragment = true)];
    for ipv6 in [false, true] {
        for is_tcp in [true, false] {
            let first = if is_tcp { tcp(ipv6) } else { Build::udp(ipv6, 100) };
            let first = Build { dont_fragment: false, ..first };
            let next = Build { seq: first.seq + 100, id: first.id + 1, ..first.clone() };
            assert_eq!(merge(&[first.packet(), next.packet()], (true, true)).len(), 1);
            let of_l4 = if is_tcp { &tcp_changes[..] } else { &udp_changes[..] };
            let of_version = if ipv6 { &[][..] } else { &v4_changes[..] };
            for (what, change) in of_l4.iter().chain(&ip_changes).chain(of_version) {
                let mut other = next.clone();
                change(&mut other);
                let packets = [first.packet(), other.packet()];
                assert_eq!(merge(&packets, (true, true)), alone(&packets), "ipv6 {ipv6}, tcp {is_tcp}: {what}");
            }
        }
    }
}

/// With DF the identification says nothing (RFC 6864).
#[test]
fn atomic_datagrams_need_no_identification() {
    let first = Build { id: 0, ..Build::udp(false, 100) };
    assert_eq!(merge(&[first.packet(), first.packet()], (true, true)).len(), 1);
}

#[test]
fn a_wrong_checksum_reaches_the_host_as_it_is() {
    for ipv6 in [false, true] {
        for build in [Build::tcp(ipv6, 4000), Build::udp(ipv6, 4000)] {
            let good = cut(&build, 1000);
            for bad in 0..4 {
                let mut packets = good.clone();
                *packets[bad].last_mut().unwrap() ^= 1;
                let out = merge(&packets, (true, true));
                let alone = (VnetHeader::default(), packets[bad].clone(), 1);
                assert_eq!(out.iter().filter(|written| **written == alone).count(), 1, "packet {bad}");
                assert_eq!(out.iter().map(|written| written.2).sum::<usize>(), 4);
            }
        }
    }
    let mut packets = cut(&Build::tcp(false, 2000), 1000);
    packets[0][8] ^= 1;
    packets[1][8] ^= 1;
    assert_eq!(merge(&packets, (true, true)), alone(&packets), "IPv4 header checksum");
}

#[test]
fn udp_without_checksum_stays_without() {
    for sum_is_zero in [false, true] {
        let mut build = Build { payload: vec![0; 2], ..Build::udp(false, 0) };
        if sum_is_zero {
            let rest = sum16(&build.partial()[20..], 0);
            build.payload = (!rest).to_be_bytes().to_vec();
        }
        let mut packet = build.packet();
        packet[26..28].fill(0);
        let packets = [packet.clone(), packet];
        assert_eq!(merge(&packets, (true, true)), alone(&packets));
    }
}

#[test]
fn fragments_stay_alone() {
    let mut packet = Build::udp(false, 104).packet();
    packet[6] = 0x20;
    packet[10..12].fill(0);
    let sum = !sum16(&packet[..20], 0);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut next = packet.clone();
    next[5] += 1;
    next[11] -= 1;
    assert_eq!(sum16(&next[..20], 0), 0xffff);
    let packets = [packet, next];
    assert_eq!(merge(&packets, (true, true)), alone(&packets));
}

#[test]
fn a_shorter_packet_and_a_push_are_the_last() {
    let build = Build::tcp(false, 100);
    let at = |i: u32, payload: usize, flags: u8| {
        let all = Build::tcp(false, 100).payload;
        Build { seq: build.seq + i * 100, flags, payload: all[..payload].to_vec(), ..build.clone() }.packet()
    };
    let counts = |packets: &[Vec<u8>]| merge(packets, (true, true)).iter().map(|w| w.2).collect::<Vec<_>>();
    assert_eq!(counts(&[at(0, 100, ACK), at(1, 100, ACK | PSH), at(2, 100, ACK), at(3, 100, ACK)]), [2, 2]);
    assert_eq!(counts(&[at(0, 100, ACK | PSH), at(1, 100, ACK)]), [1, 1]);
    let mut packets = vec![at(0, 100, ACK), at(1, 99, ACK)];
    packets.push(Build { seq: build.seq + 199, ..build.clone() }.packet());
    assert_eq!(counts(&packets), [2, 1]);
}

#[test]
fn flows_merge_side_by_side() {
    let flows: Vec<Vec<Vec<u8>>> = (0..4)
        .map(|flow| cut(&Build { sport: 1000 + flow, ..Build::tcp(flow % 2 == 0, 5000) }, 1000))
        .chain((0..4).map(|flow| cut(&Build { dport: 2000 + flow, ..Build::udp(flow % 2 == 0, 5000) }, 1000)))
        .collect();
    let mixed: Vec<Vec<u8>> = (0..5).flat_map(|i| flows.iter().map(move |flow| flow[i].clone())).collect();
    assert_eq!(merge(&mixed, (true, true)).iter().map(|w| w.2).collect::<Vec<_>>(), [5; 8]);
}

#[test]
fn a_super_packet_has_its_limits() {
    let build = Build { options: vec![1; 40], ..Build::tcp(false, 64_400) };
    let more = Build { seq: build.seq + 64_400, id: build.id + 46, ..build.clone() };
    let packets = [cut(&build, 1400), cut(&more, 1400)].concat();
    let lengths: Vec<usize> = merge(&packets, (true, true)).iter().map(|w| w.1.len()).collect();
    assert_eq!(lengths, [64_480, 64_480]);
    let small = cut(&Build::udp(true, 200), 1);
    let counts: Vec<usize> = merge(&small, (true, true)).iter().map(|w| w.2).collect();
    assert_eq!(counts, [MAX_PARTS, MAX_PARTS, MAX_PARTS, 8]);
}

/// A packet that cannot be merged is not overtaken by later ones of its flow.
#[test]
fn the_order_within_a_flow_stays() {
    let build = Build::tcp(false, 100);
    let next = Build { seq: build.seq + 100, ..build.clone() };
    let ack = Build { payload: Vec::new(), seq: build.seq + 100, ack: 99, ..build.clone() };
    let packets = [build.packet(), ack.packet(), next.packet()];
    assert_eq!(merge(&packets, (true, true)), alone(&packets));
}

/// Nor is one of a kind that is never merged: fragments of one datagram between others of their flow, a packet with options.
#[test]
fn nothing_overtakes_a_fragment() {
    for ipv6 in [false, true] {
        for tcp in [false, true] {
            let first = Build { tcp, dont_fragment: false, ..Build::tcp(ipv6, 100) };
            let apart = Build { extension: true, id: first.id + 1, ..first.clone() };
            let next = Build { seq: first.seq + 100, id: first.id + 1, ..first.clone() };
            let packets = [first.packet(), apart.packet(), next.packet()];
            assert_eq!(merge(&packets, (true, true)), alone(&packets), "ipv6 {ipv6}, tcp {tcp}");
            // Others go on.
            let elsewhere = Build { src: 2, ..apart.clone() }.packet();
            let lengths = |packets: &[Vec<u8>]| merge(packets, (true, true)).iter().map(|w| w.2).collect::<Vec<_>>();
            assert_eq!(lengths(&[first.packet(), elsewhere, next.packet()]), [2, 1]);
            let other_kind = Build { tcp: !tcp, ..apart }.packet();
            assert_eq!(lengths(&[first.packet(), other_kind, next.packet()]), [2, 1]);
        }
    }
    let build = Build { dont_fragment: false, ..Build::udp(false, 100) };
    let mut later = Build { dont_fragment: false, ..Build::udp(false, 200) }.packet();
    later[7] = 10;
    later[10..12].fill(0);
    let sum = !sum16(&later[..20], 0);
    later[10..12].copy_from_slice(&sum.to_be_bytes());
    let packets = [build.packet(), later, Build { id: build.id + 1, ..build }.packet()];
    assert_eq!(merge(&packets, (true, true)), alone(&packets));
}

/// One octet of the second packet differs that no other test names; its checksums are right.
#[test]
fn what_no_name_is_for_stays_apart_too() {
    let resum = |packet: &mut [u8], l4: usize| {
        if l4 == 20 {
            packet[10..12].fill(0);
            let sum = !sum16(&packet[..20], 0);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let addresses = packet[if l4 == 20 { 12..20 } else { 8..40 }].to_vec();
        packet[l4 + 16..l4 + 18].fill(0);
        let pseudo = sum16(&addresses, (packet.len() - l4) as u64 + 6);
        let sum = !sum16(&packet[l4..], pseudo.into());
        packet[l4 + 16..l4 + 18].copy_from_slice(&sum.to_be_bytes());
    };
    for (ipv6, l4) in [(false, 20), (true, 40)] {
        let first = Build { dont_fragment: false, ..Build::tcp(ipv6, 100) };
        let next = Build { seq: first.seq + 100, id: first.id + 1, ..first.clone() }.packet();
        let of_ip = if ipv6 { ("flow label", 3, 1) } else { ("reserved bit", 6, 0x80) };
        for (what, at, bits) in [of_ip, ("urgent pointer", l4 + 19, 1), ("reserved bits", l4 + 12, 2)] {
            let mut other = next.clone();
            other[at] ^= bits;
            resum(&mut other, l4);
            let packets = [first.packet(), other];
            assert_eq!(merge(&packets, (true, true)), alone(&packets), "ipv6 {ipv6}: {what}");
        }
    }
}

/// A data offset that says less than a header, or more than there is; and a UDP length that is not the packet's.
#[test]
fn lengths_that_lie_stay_alone() {
    for (ipv6, l4) in [(false, 20), (true, 40)] {
        for offset in [0, 4, 0xf] {
            let mut packet = Build { options: vec![1; 4], ..Build::tcp(ipv6, 30) }.packet();
            packet[l4 + 12] = offset << 4;
            let packets = [packet.clone(), packet];
            assert_eq!(merge(&packets, (true, true)), alone(&packets), "{offset}");
        }
        for len in [0, 7, 107, 109, 0xffff_u16] {
            let mut packet = Build::udp(ipv6, 100).packet();
            packet[l4 + 4..l4 + 6].copy_from_slice(&len.to_be_bytes());
            // The sum is right: the length counts in it once for itself.
            let sum = u16::from_be_bytes([packet[l4 + 6], packet[l4 + 7]]);
            let sum = !sum16(&(!sum).to_be_bytes(), u64::from(!108_u16) + u64::from(len));
            packet[l4 + 6..l4 + 8].copy_from_slice(&sum.to_be_bytes());
            let packets = [packet.clone(), packet];
            assert_eq!(merge(&packets, (true, true)), alone(&packets), "{len}");
        }
    }
}

/// A batch of some flows, in order within each but interleaved, with some packets damaged.
fn batches() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let flow = (super::segment::packets(), 200usize..1500);
    let pick = prop::collection::vec((any::<prop::sample::Index>(), 0u8..20), 1..200);
    (prop::collection::vec(flow, 1..12), pick).prop_map(|(flows, picks)| {
        let mut queues: Vec<_> = flows
            .into_iter()
            .enumerate()
            .map(|(i, (build, size))| {
                let flags = if build.flags & 1 == 0 { ACK } else { build.flags };
                cut(&Build { flags, sport: i as u16, ..build }, size).into_iter()
            })
            .collect();
        picks
            .into_iter()
            .filter_map(|(index, damage)| {
                let mut packet = index.get_mut(&mut queues).next()?;
                if damage == 0 {
                    *packet.last_mut().unwrap() ^= 0x40;
                }
                Some(packet)
            })
            .collect()
    })
}

/// Flow, by its source port, to packets; identifications left out where DF makes them meaningless.
fn by_flow(packets: impl Iterator<Item = Vec<u8>>) -> BTreeMap<u16, Vec<Vec<u8>>> {
    let mut flows: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
    for mut packet in packets {
        let parsed = ip::parse(&packet).expect("a packet");
        if packet[0] >> 4 == 4 && parsed.dont_fragment {
            packet[4..6].fill(0);
            packet[10..12].fill(0);
        }
        flows.entry(parsed.flow.sport).or_default().push(packet);
    }
    flows
}

proptest! {
    /// What the host makes of the super-packets is what the peer's host sent.
    #[test]
    fn cutting_again_gives_the_same_packets(packets in batches()) {
        let out = merge(&packets, (true, true));
        prop_assert_eq!(out.iter().map(|w| w.2).sum::<usize>(), packets.len());
        let again = out.iter().flat_map(|(header, packet, _)| segments(header, packet).expect("possible"));
        prop_assert_eq!(by_flow(again), by_flow(packets.iter().cloned()));
        let by_others = out.iter().flat_map(|(header, packet, count)| match count {
            1 => vec![packet.clone()],
            _ => oracle::cut(header, packet),
        });
        prop_assert_eq!(by_flow(by_others), by_flow(packets.into_iter()));
    }
}

/// One run of one flow that may be merged: no options of IP, no flag but ACK and, at the end, PSH.
fn runs() -> impl Strategy<Value = (Build, usize)> {
    (super::segment::packets(), 1usize..1500).prop_map(|(build, size)| {
        let size = size.max(build.payload.len().div_ceil(MAX_PARTS));
        (Build { extension: false, flags: build.flags & PSH | ACK, ..build }, size)
    })
}

proptest! {
    /// tun-rs merges the same packets to the same octets, under the same offload header.
    #[test]
    fn super_packets_are_those_of_tun_rs((build, size) in runs()) {
        let packets = cut(&build, size);
        let ours: Vec<_> = merge(&packets, (true, true)).into_iter().map(|(header, packet, _)| (header, packet)).collect();
        prop_assert_eq!(ours, oracle::merge(&packets));
    }

    /// Merging takes back what cutting did, to the octet.
    #[test]
    fn what_was_cut_is_what_comes_together((build, size) in runs()) {
        let packets = cut(&build, size);
        let whole = match packets.len() {
            1 => (VnetHeader::default(), build.packet(), 1),
            count => (build.gso(size), build.partial(), count),
        };
        prop_assert_eq!(merge(&packets, (true, true)), [whole]);
    }

    /// Whatever the packet is, and however it comes together: the payload is the same.
    #[test]
    fn no_octet_is_lost_on_the_way(build in super::segment::packets(), size in 1usize..1500) {
        let out = merge(&cut(&build, size), (true, true));
        let payload: Vec<u8> = out.iter().flat_map(|(_, packet, _)| &packet[build.headers()..]).copied().collect();
        prop_assert_eq!(payload, build.payload);
    }
}
