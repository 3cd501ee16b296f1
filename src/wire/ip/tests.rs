use super::*;
use etherparse::{IpNumber, Ipv6RawExtHeader, PacketBuilder};
use proptest::prelude::*;

fn v4(proto: u8, place: u16, body: &[u8]) -> Vec<u8> {
    let mut p = vec![0x45, 0xb8, 0, 0, 0, 1, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    p[6..8].copy_from_slice(&place.to_be_bytes());
    p.extend_from_slice(body);
    let len = p.len() as u16;
    p[2..4].copy_from_slice(&len.to_be_bytes());
    p
}
fn v6(next: u8, body: &[u8]) -> Vec<u8> {
    let mut p = vec![0x6b, 0x80, 0, 0, 0, 0, next, 64];
    p[4..6].copy_from_slice(&(body.len() as u16).to_be_bytes());
    p.extend([0x20; 16]);
    p.extend([0x21; 16]);
    p.extend_from_slice(body);
    p
}
const PORTS: [u8; 8] = [0x01, 0xf4, 0x11, 0x94, 0, 8, 0, 0];

#[test]
fn ipv4() {
    let p = parse(&v4(17, 0, &PORTS)).unwrap();
    let flow = Flow {
        src: [10, 0, 0, 1].into(),
        dst: [10, 0, 0, 2].into(),
        proto: 17,
        sport: 500,
        dport: 4500,
        later_fragment: false,
    };
    assert_eq!(p, Packet { flow, len: 28, l4: 20, tos: 0xb8, dont_fragment: false, fragment: false });
    assert!(parse(&v4(17, 0x4000, &PORTS)).unwrap().dont_fragment);
}

#[test]
fn ipv4_options() {
    let mut p = v4(6, 0, &[7, 4, 4, 0]);
    p[0] = 0x46;
    p.extend(PORTS);
    p[3] = 32;
    let parsed = parse(&p).unwrap();
    assert_eq!((parsed.l4, parsed.flow.sport, parsed.flow.dport), (24, 500, 4500));
    for ihl in 0..5 {
        p[0] = 0x40 | ihl;
        assert_eq!(parse(&p), Err(Malformed), "{ihl}");
    }
    p[0] = 0x4f; // 60 octets of header in a packet of 32
    assert_eq!(parse(&p), Err(Malformed));
}

#[test]
fn padding_behind_the_packet_and_truncation() {
    for mut packet in [v4(17, 0, &PORTS), v6(17, &PORTS)] {
        let whole = parse(&packet).unwrap();
        assert_eq!(whole.len, packet.len());
        for len in 0..packet.len() {
            assert_eq!(parse(&packet[..len]), Err(Malformed), "{len}");
        }
        packet.extend([0; 100]);
        assert_eq!(parse(&packet), Ok(whole));
    }
    for version in (0..16).filter(|v| *v != 4 && *v != 6) {
        let mut p = v4(17, 0, &PORTS);
        p[0] = version << 4 | 5;
        assert_eq!(parse(&p), Err(Malformed));
    }
}

#[test]
fn total_length_shorter_than_the_header() {
    for len in [0u16, 1, 19, 21] {
        let mut p = v4(47, 0, &[]);
        p[2..4].copy_from_slice(&len.to_be_bytes());
        assert_eq!(parse(&p), Err(Malformed), "{len}");
    }
}

#[test]
fn fragments_of_ipv4() {
    let first = parse(&v4(17, 0x2000, &PORTS)).unwrap();
    assert!(first.fragment && !first.flow.later_fragment && first.flow.dport == 4500);
    for place in [0x2001, 0x0001, 0x00b9] {
        let later = parse(&v4(17, place, &PORTS)).unwrap();
        assert!(later.fragment && later.flow.later_fragment && later.flow.sport == 0 && later.flow.dport == 0);
    }
    assert!(parse(&v4(17, 0x0001, &[1])).is_ok(), "a short last fragment");
    assert_eq!(parse(&v4(17, 0x1fff, &PORTS)), Err(Malformed), "reassembled it would be longer than 65,535");
}

#[test]
fn ports_that_are_not_there() {
    for proto in [6, 17, 33, 132, 136, 1, 58, 135] {
        let need = if is_icmp(proto) {
            2
        } else if proto == 135 {
            3
        } else {
            4
        };
        for len in 0..8 {
            assert_eq!(parse(&v4(proto, 0, &PORTS[..len])).is_ok(), len >= need, "{proto} {len}");
            assert_eq!(parse(&v6(proto, &PORTS[..len])).is_ok(), len >= need, "{proto} {len}");
        }
    }
    assert_eq!(parse(&v4(50, 0, &PORTS)).unwrap().flow.sport, 0, "ESP has none");
}

#[test]
fn types_in_place_of_ports() {
    for (packet, value) in [(v4(1, 0, &[8, 3]), 0x0803), (v6(58, &[128, 1]), 0x8001), (v6(135, &[59, 0, 5, 0]), 0x0500)]
    {
        let flow = parse(&packet).unwrap().flow;
        assert_eq!((flow.sport, flow.dport), (value, value));
    }
}

#[test]
fn ipv6_extension_headers() {
    let chain = [
        &[60, 0, 0, 0, 0, 0, 0, 0][..],                     // hop-by-hop
        &[43, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // destination options of 16 octets
        &[44, 0, 0, 0, 0, 0, 0, 0],                         // routing
        &[60, 0, 0, 1, 0, 0, 0, 9],                         // fragment, the first
        &[17, 0, 0, 0, 0, 0, 0, 0],                         // destination options
        &PORTS,
    ]
    .concat();
    let p = parse(&v6(0, &chain)).unwrap();
    assert_eq!((p.l4, p.flow.proto, p.flow.sport, p.flow.dport), (40 + 48, 17, 500, 4500));
    assert!(p.fragment && !p.flow.later_fragment && p.dont_fragment && p.tos == 0xb8);
    for len in 0..chain.len() {
        assert_eq!(parse(&v6(0, &chain[..len])).is_ok(), len >= 52, "{len}");
    }
}

#[test]
fn later_fragments_of_ipv6() {
    let p = parse(&v6(44, &[17, 0, 0, 8 << 3 | 1, 0, 0, 0, 9, 1, 2])).unwrap();
    assert!(p.fragment && p.flow.later_fragment);
    assert_eq!((p.flow.proto, p.flow.sport, p.l4), (17, 0, 48));
    // In the middle of something, "destination options" is no header to walk.
    assert_eq!(parse(&v6(44, &[60, 0, 0, 8, 0, 0, 0, 9])).unwrap().flow.proto, 60);
    assert_eq!(parse(&v6(44, &[17, 0, 0xff, 0xf8, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0])), Err(Malformed));
    let atomic = parse(&v6(44, &[&[17, 0, 0, 0, 0, 0, 0, 9][..], &PORTS].concat())).unwrap();
    assert!(atomic.fragment && !atomic.flow.later_fragment && atomic.flow.sport == 500);
}

#[test]
fn chains_end() {
    let header = [0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(parse(&v6(0, &header.repeat(100))), Err(Malformed), "hop-by-hop for ever");
    let p = parse(&v6(59, &[1, 2, 3])).unwrap();
    assert_eq!((p.flow.proto, p.l4, p.len), (59, 43, 43));
    let esp = parse(&v6(60, &[50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0])).unwrap();
    assert_eq!((esp.flow.proto, esp.l4), (50, 48));
    assert_eq!(parse(&v6(60, &[17, 255, 0, 0, 0, 0, 0, 0])), Err(Malformed), "longer than the packet");
}

/// RFC 1071 section 3.
#[test]
fn checksums() {
    let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
    assert_eq!(checksum_fold(checksum_add(0, &data)), 0xddf2);
    assert_eq!(checksum_fold(checksum_add(0, &[])), 0);
    assert_eq!(checksum_fold(checksum_add(0, &[0xff])), 0xff00);
    assert_eq!(checksum_fold(checksum_add(u64::MAX, &[0xff; 65536])), 0xffff);
    assert_eq!(checksum_fold(checksum_copy(u64::MAX, &[0xff; 65536], &mut [0; 65536])), 0xffff);
}

proptest! {
    #[test]
    fn checksum_of_pieces(data in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>()) {
        let slow = data.chunks(2).map(|w| u64::from(u16::from_be_bytes([w[0], w.get(1).copied().unwrap_or(0)]))).sum();
        prop_assert_eq!(checksum_fold(checksum_add(0, &data)), checksum_fold(slow));
        let cut = cut.index(data.len() + 1) & !1;
        let (front, back) = data.split_at(cut);
        prop_assert_eq!(checksum_fold(checksum_add(checksum_add(0, front), back)), checksum_fold(slow));
        let mut copy = vec![0xee; back.len()];
        prop_assert_eq!(checksum_copy(checksum_add(0, front), back, &mut copy), checksum_add(checksum_add(0, front), back));
        prop_assert_eq!(copy, back);
    }
    #[test]
    fn never_panics(mut data in prop::collection::vec(any::<u8>(), 0..120), six in any::<bool>(), extension in prop::sample::select(vec![0u8, 43, 44, 60, 17])) {
        if let Some(first) = data.first_mut() { *first = if six { 0x60 } else { 0x45 } }
        if let (true, Some(next)) = (six, data.get_mut(6)) { *next = extension }
        if let Some(len) = data.get_mut(2..6) { len.copy_from_slice(&[0, 0x60, 0, 0x30]) }
        if let Ok(p) = parse(&data) {
            prop_assert!(p.l4 <= p.len && p.len <= data.len());
            prop_assert!(!p.flow.later_fragment || p.fragment);
        }
    }
    /// Packets that etherparse made are what they are.
    #[test]
    fn as_etherparse_made_them(src in any::<[u8; 16]>(), dst in any::<[u8; 16]>(), ports in any::<(u16, u16)>(), tcp in any::<bool>(), body in prop::collection::vec(any::<u8>(), 0..50)) {
        let (a, b) = (<[u8; 4]>::try_from(&src[..4]).unwrap(), <[u8; 4]>::try_from(&dst[..4]).unwrap());
        let mut four = Vec::new();
        let mut six = Vec::new();
        let extension = etherparse::Ipv6Extensions {
            destination_options: Some(Ipv6RawExtHeader::new_raw(IpNumber::UDP, &[0; 14]).unwrap()),
            ..Default::default()
        };
        let header = etherparse::Ipv6Header { source: src, destination: dst, hop_limit: 9, ..Default::default() };
        let with_extension = PacketBuilder::ip(etherparse::IpHeaders::Ipv6(header, extension));
        if tcp {
            PacketBuilder::ipv4(a, b, 9).tcp(ports.0, ports.1, 1, 2).write(&mut four, &body).unwrap();
            with_extension.tcp(ports.0, ports.1, 1, 2).write(&mut six, &body).unwrap();
        } else {
            PacketBuilder::ipv4(a, b, 9).udp(ports.0, ports.1).write(&mut four, &body).unwrap();
            with_extension.udp(ports.0, ports.1).write(&mut six, &body).unwrap();
        }
        let proto = if tcp { 6 } else { 17 };
        let flow = Flow { src: a.into(), dst: b.into(), proto, sport: ports.0, dport: ports.1, later_fragment: false };
        let p = parse(&four).unwrap();
        prop_assert_eq!((p.flow, p.len, p.l4), (flow, four.len(), 20));
        prop_assert_eq!(checksum_fold(checksum_add(0, &four[..20])), 0xffff);
        let p = parse(&six).unwrap();
        prop_assert_eq!((p.flow, p.len, p.l4), (Flow { src: src.into(), dst: dst.into(), ..flow }, six.len(), 56));
    }
}
