use super::build::*;
use crate::dataplane::oracle;
use crate::dataplane::segment::{Impossible, Pieces, Segments};
use crate::io::{Gso, VnetHeader};
use crate::wire::ip;
use proptest::prelude::*;

/// All segments, or the refusal.
pub fn segments(header: &VnetHeader, packet: &[u8]) -> Result<Vec<Vec<u8>>, Impossible> {
    let parsed = ip::parse(packet).expect("a packet");
    let segments = Segments::new(header, packet, &parsed)?;
    Ok(all(&segments))
}

pub fn all(pieces: &impl Pieces) -> Vec<Vec<u8>> {
    (0..pieces.count())
        .map(|i| {
            let mut out = vec![0xaa; pieces.len_of(i)];
            pieces.write(i, &mut out);
            out
        })
        .collect()
}

pub fn packets() -> impl Strategy<Value = Build> {
    let shape = (any::<bool>(), any::<bool>(), 0usize..=10, any::<bool>(), any::<bool>());
    let numbers = (any::<u32>(), any::<u16>(), any::<u8>(), any::<u8>());
    (shape, numbers, 1usize..6000, any::<u8>()).prop_map(
        |((ipv6, tcp, options, extension, dont_fragment), (seq, id, flags, tos), payload, salt)| {
            let mut build = Build::tcp(ipv6, payload);
            build.payload.iter_mut().for_each(|octet| *octet = octet.wrapping_mul(salt));
            let options = if tcp { vec![1; options * 4] } else { Vec::new() };
            Build { tcp, options, extension, dont_fragment, seq, id, flags, tos, ..build }
        },
    )
}

proptest! {
    #[test]
    fn the_segments_are_those_of_tun_rs(build in packets(), size in 1usize..1500) {
        let size = size.max(build.payload.len() / 60);
        let header = build.gso(size);
        let ours = segments(&header, &build.partial()).expect("possible");
        prop_assert_eq!(&ours, &oracle::cut(&header, &build.partial()));
        let payload: Vec<u8> = ours.iter().flat_map(|s| &s[build.headers()..]).copied().collect();
        prop_assert_eq!(payload, build.payload.clone());
        ours.iter().for_each(|segment| assert_sound(segment));
    }
}

#[test]
fn flags_numbers_and_ids_count_over_their_ends() {
    let build = Build {
        flags: ACK | FIN | PSH | CWR,
        seq: u32::MAX - 100,
        id: 0xffff,
        dont_fragment: false,
        ..Build::tcp(false, 250)
    };
    let out = segments(&build.gso(100), &build.partial()).unwrap();
    let fields = |s: &[u8]| {
        let seq = u32::from_be_bytes(s[24..28].try_into().unwrap());
        (s.len(), u16::from_be_bytes([s[4], s[5]]), seq, s[33])
    };
    let expected = [(140, 0xffff, u32::MAX - 100, ACK | CWR), (140, 0, u32::MAX, ACK), (90, 1, 99, ACK | FIN | PSH)];
    assert_eq!(out.iter().map(|s| fields(s)).collect::<Vec<_>>(), expected);
}

#[test]
fn the_largest_packets_are_cut() {
    for build in
        [Build::tcp(false, 65_495), Build::udp(false, 65_507), Build::tcp(true, 65_515), Build::udp(true, 65_527)]
    {
        let out = segments(&build.gso(1400), &build.partial()).unwrap();
        assert_eq!(out.len(), build.payload.len().div_ceil(1400));
        out.iter().for_each(|segment| assert_sound(segment));
    }
}

#[test]
fn one_that_fits_is_one_segment() {
    let build = Build::tcp(true, 99);
    assert_eq!(segments(&build.gso(100), &build.partial()).unwrap(), [build.packet()]);
    assert_eq!(segments(&build.gso(99), &build.partial()).unwrap(), [build.packet()]);
    let empty = Build::tcp(true, 0);
    assert_eq!(segments(&empty.gso(100), &empty.partial()).unwrap(), [empty.packet()]);
}

#[test]
fn a_complete_packet_is_not_touched() {
    let mut packet = Build::udp(false, 20).packet();
    packet[27] ^= 1;
    assert_eq!(segments(&VnetHeader::default(), &packet).unwrap(), [packet]);
}

#[test]
fn a_partial_checksum_is_completed() {
    for ipv6 in [false, true] {
        for extension in [false, true] {
            for payload in [0, 1, 2, 33, 1401] {
                for build in [Build::tcp(ipv6, payload), Build::udp(ipv6, payload)] {
                    let build = Build { extension, ..build };
                    assert_eq!(segments(&build.needs_csum(), &build.partial()).unwrap(), [build.packet()]);
                }
            }
        }
    }
}

/// The payload whose checksum comes out as zero, for each way a checksum is made.
#[test]
fn a_zero_checksum_of_udp_travels_as_ones() {
    for ipv6 in [false, true] {
        let mut build = Build { payload: vec![0; 2], ..Build::udp(ipv6, 0) };
        let rest = sum16(&build.partial()[build.l4()..], 0);
        build.payload = (!rest).to_be_bytes().to_vec();
        assert_eq!(sum16(&build.partial()[build.l4()..], 0), 0xffff);
        for header in [build.needs_csum(), build.gso(2)] {
            let out = segments(&header, &build.partial()).unwrap();
            assert_eq!(out[0][build.l4() + 6..build.l4() + 8], [0xff, 0xff]);
            assert_sound(&out[0]);
        }
    }
}

/// The pseudo-header of a packet with a routing header has the last destination, which only the kernel's sum knows: here fd02::1, behind fd02::6.
#[test]
fn the_pseudo_header_of_the_kernel_counts() {
    let build = Build::udp(true, 300);
    let mut super_packet = build.partial();
    super_packet[39] = 6;
    for segment in segments(&build.gso(100), &super_packet).unwrap() {
        let mut last = segment.clone();
        last[39] = 1;
        assert_sound(&last);
    }
}

#[test]
fn impossible_headers_are_refused() {
    let tcp = Build::tcp(false, 3000);
    let tcp6 = Build::tcp(true, 3000);
    let udp = Build::udp(false, 3000);
    let good = tcp.gso(1000);
    let mut fragment = tcp.partial();
    fragment[6] = 0x20;
    let mut short_offset = tcp.partial();
    short_offset[32] = 0x40;
    let mut long_offset = Build::tcp(false, 10).partial();
    long_offset[32] = 0xf0;
    let cases = [
        ("no segment size", VnetHeader { gso_size: 0, ..good }, tcp.partial()),
        ("no partial checksum", VnetHeader { needs_csum: false, ..good }, tcp.partial()),
        ("header beyond the packet", VnetHeader { hdr_len: 3041, ..good }, tcp.partial()),
        ("checksum start beyond", VnetHeader { csum_start: 4000, ..good }, tcp.partial()),
        ("checksum start elsewhere", VnetHeader { csum_start: 24, ..good }, tcp.partial()),
        ("checksum offset of UDP", VnetHeader { csum_offset: 6, ..good }, tcp.partial()),
        ("checksum offset of TCP", VnetHeader { csum_offset: 16, ..udp.gso(1000) }, udp.partial()),
        ("TCP/IPv4 says IPv6", VnetHeader { gso: Gso::TcpV6, ..good }, tcp.partial()),
        ("TCP/IPv6 says IPv4", VnetHeader { gso: Gso::TcpV4, ..tcp6.gso(1000) }, tcp6.partial()),
        ("TCP says UDP", VnetHeader { gso: Gso::UdpL4, csum_offset: 6, ..good }, tcp.partial()),
        ("UDP says TCP", VnetHeader { gso: Gso::TcpV4, csum_offset: 16, ..udp.gso(1000) }, udp.partial()),
        ("a fragment", good, fragment),
        ("a TCP header of 16 octets", good, short_offset),
        ("a TCP header longer than the packet", Build::tcp(false, 10).gso(5), long_offset),
        ("a checksum in the IP header", VnetHeader { csum_start: 10, ..tcp.needs_csum() }, tcp.partial()),
        ("a checksum past the end", VnetHeader { csum_start: 3039, csum_offset: 0, ..tcp.needs_csum() }, tcp.partial()),
        (
            "a checksum far past the end",
            VnetHeader { csum_start: 65_535, csum_offset: 65_535, ..tcp.needs_csum() },
            tcp.partial(),
        ),
    ];
    for (what, header, packet) in cases {
        assert_eq!(segments(&header, &packet), Err(Impossible), "{what}");
    }
    assert_eq!(segments(&good, &tcp.partial()).map(|s| s.len()), Ok(3));
    assert_eq!(segments(&VnetHeader { hdr_len: 0, ..good }, &tcp.partial()).map(|s| s.len()), Ok(3));
}
