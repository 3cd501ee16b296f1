//! Bodies of the fuzz targets: no input may panic, and what comes out keeps its promises.
use super::fragment::Fragments;
use super::icmp::{self, Reason};
use super::merge::{MAX_PARTS, Merge};
use super::mss;
use super::oracle;
use super::segment::{Pieces, Segments};
use crate::io::{Gso, VnetHeader};
use crate::ipsec::translate::{Names, Translation, Way};
use crate::wire::ip::{self, Flow, Packet};
use std::collections::HashMap;

/// Pieces that are written of each packet; more say nothing new.
const PIECES: usize = 100;

/// Offload header (10 octets) and packet, as a kernel might give them that means us ill.
pub fn segment(data: &[u8]) {
    let Some((head, packet)) = data.split_first_chunk::<10>() else { return };
    let Ok(parsed) = ip::parse(packet) else { return };
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let header = VnetHeader {
        needs_csum: head[0] & 1 != 0,
        gso: match head[1] % 4 {
            0 => Gso::None,
            1 => Gso::TcpV4,
            2 => Gso::TcpV6,
            _ => Gso::UdpL4,
        },
        hdr_len: word(2),
        gso_size: word(4),
        csum_start: word(6),
        csum_offset: word(8),
    };
    check_adapted(&header, packet, &parsed);
    if let Ok(segments) = Segments::new(&header, packet, &parsed) {
        check_pieces(&segments, packet.len());
        match header.gso {
            Gso::None => check_sum(&header, packet, &segments),
            _ => check_segments(&header, packet, &parsed),
        }
    }
    if let Some(fragments) = Fragments::new(packet, &parsed, header.gso_size.into()) {
        check_pieces(&fragments, header.gso_size.into());
    }
    let mut out = [0; icmp::MAX_ANSWER];
    if let Some(len) = icmp::answer(Reason::TooBig(header.gso_size), packet, &parsed, &mut out) {
        assert_eq!(ip::parse(&out[..len]).map(|answer| answer.len), Ok(len));
    }
}

/// With other names and a lower MSS it is the same packet otherwise; and taken back it has its old ends.
fn check_adapted(header: &VnetHeader, packet: &[u8], parsed: &Packet) {
    let Flow { src, dst, .. } = parsed.flow;
    let len = if src.is_ipv4() { 32 } else { 128 };
    let names = |here, wire| Some(Names { here: (here, len), wire: (wire, len) });
    let (Some(there), Some(back)) =
        (Translation::new(names(src, dst), names(dst, src)), Translation::new(names(dst, src), names(src, dst)))
    else {
        return;
    };
    let mut other = packet.to_vec();
    let partial = header.is_partial(parsed.l4);
    if mss::announces(&other, parsed) {
        mss::clamp(&mut other[parsed.l4..parsed.len], 1000, partial);
    }
    let Some(flow) = there.packet(Way::Outward, &mut other, parsed, partial) else {
        assert!(ip::is_led_on(packet, parsed), "both ends have names");
        return;
    };
    assert_eq!(ip::parse(&other), Ok(Packet { flow, ..*parsed }));
    assert_eq!((flow.src, flow.dst), (dst, src));
    back.packet(Way::Inward, &mut other, &Packet { flow, ..*parsed }, partial).expect("both ends have names");
    assert_eq!(ip::parse(&other), Ok(*parsed));
}

fn check_pieces(pieces: &impl Pieces, largest: usize) {
    let (count, first) = (pieces.count(), pieces.len_of(0));
    assert!(count > 0 && first <= largest);
    for i in (0..count.min(PIECES)).chain([count - 1]) {
        let mut out = vec![0; pieces.len_of(i)];
        pieces.write(i, &mut out);
        assert!(out.len() == first || i == count - 1);
        assert_eq!(ip::parse(&out).map(|piece| piece.len), Ok(out.len()), "piece {i} of {count}");
    }
}

/// A packet that is not cut: nothing but its checksum changes, and that completes the sum.
fn check_sum(header: &VnetHeader, packet: &[u8], segments: &Segments<'_>) {
    let mut out = vec![0; segments.len_of(0)];
    segments.write(0, &mut out);
    let mut expected = packet[..out.len()].to_vec();
    if header.needs_csum {
        let start = usize::from(header.csum_start);
        let at = start + usize::from(header.csum_offset);
        let sum = !sum16(0, &expected[start..]);
        let sum = if at - start == 6 && sum == 0 { 0xffff } else { sum };
        expected[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    }
    assert_eq!(out, expected);
}

/// A super-packet that the kernel has begun to sum: the segments are those that others make of it.
fn check_segments(header: &VnetHeader, packet: &[u8], parsed: &Packet) {
    let mut packet = packet[..parsed.len].to_vec();
    let l4 = parsed.l4;
    let addresses = if parsed.flow.src.is_ipv4() { 12..20 } else { 8..40 };
    let (proto, l4_header) = match header.gso {
        Gso::UdpL4 => (17, 8),
        _ => (6, usize::from(packet[l4 + 12] >> 4) * 4),
    };
    let headers = l4 + l4_header;
    if headers == packet.len() {
        return;
    }
    let sum = sum16((packet.len() - l4) as u64 + proto, &packet[addresses]);
    let at = l4 + usize::from(header.csum_offset);
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    let segments = Segments::new(header, &packet, parsed).expect("whatever its checksum");
    let ours = (0..segments.count()).map(|i| {
        let mut out = vec![0; segments.len_of(i)];
        segments.write(i, &mut out);
        out
    });
    let theirs = oracle::cut(&VnetHeader { hdr_len: headers as u16, ..*header }, &packet);
    assert!(ours.eq(theirs));
}

/// RFC 1071, word by word.
fn sum16(start: u64, data: &[u8]) -> u16 {
    let words = data.chunks(2).map(|word| u64::from(word[0]) << 8 | u64::from(*word.get(1).unwrap_or(&0)));
    let mut sum = start + words.sum::<u64>();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// Packets, each behind its length (2 octets). What others cut out of what was merged are the packets that went in, in the order of their
/// flow.
pub fn merge(data: &[u8]) {
    let (mut buf, mut rest, mut before) = (Vec::new(), data, Flows::new());
    let mut merge = Merge::new(0);
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(tail.len());
        let (packet, tail) = tail.split_at(len);
        rest = tail;
        let at = buf.len();
        buf.extend_from_slice(packet);
        if let Ok(parsed) = ip::parse(packet) {
            note(&mut before, &packet[..parsed.len]);
            merge.push(&buf, at, &parsed, (true, true));
        }
    }
    let mut after = Flows::new();
    merge.write(&mut buf, |header, parts, count| {
        let packet: Vec<u8> = parts.iter().flat_map(|part| part.iter()).copied().collect();
        assert!(parts.len() == count && count <= MAX_PARTS);
        if count == 1 {
            assert_eq!(*header, VnetHeader::default());
            return note(&mut after, &packet);
        }
        let cut = oracle::cut(header, &packet);
        assert_eq!(cut.len(), count);
        cut.iter().for_each(|packet| note(&mut after, packet));
    });
    assert_eq!(before, after);
}

/// The packets of each flow, in order.
type Flows = HashMap<Flow, Vec<Vec<u8>>>;

/// Adds a packet, without what may change on the way: the identification where DF makes it meaningless, and which of the two zeros of ones'
/// complement a checksum is.
fn note(flows: &mut Flows, packet: &[u8]) {
    let parsed = ip::parse(packet).expect("it is a packet");
    let mut packet = packet.to_vec();
    if packet[0] >> 4 == 4 {
        if parsed.dont_fragment {
            // Out of the header's checksum, too: one that is right shows as zero, a wrong one as what it is wrong by.
            let wrong_by = !sum16(0, &packet[..parsed.l4]);
            packet[10..12].copy_from_slice(&wrong_by.to_be_bytes());
            packet[4..6].fill(0);
        } else if packet[10..12] == [0xff; 2] {
            packet[10..12].fill(0);
        }
    }
    let tcp_checksum = packet.get_mut(parsed.l4 + 16..parsed.l4 + 18).filter(|_| parsed.flow.proto == 6);
    if let Some(octets @ [0xff, 0xff]) = tcp_checksum {
        octets.fill(0);
    }
    flows.entry(parsed.flow).or_default().push(packet);
}

#[cfg(test)]
pub(crate) mod tests {
    use crate::dataplane::tests::build::Build;
    use crate::dataplane::tests::segment::packets;
    use crate::io::{Gso, VnetHeader};
    use proptest::prelude::*;
    use proptest::sample::Index;

    fn header(header: &VnetHeader) -> Vec<u8> {
        let kind = match header.gso {
            Gso::None => 0,
            Gso::TcpV4 => 1,
            Gso::TcpV6 => 2,
            Gso::UdpL4 => 3,
        };
        let words = [header.hdr_len, header.gso_size, header.csum_start, header.csum_offset];
        [vec![header.needs_csum.into(), kind], words.iter().flat_map(|word| word.to_be_bytes()).collect()].concat()
    }

    /// Seeds of a target: packets of both versions, whole and to be cut.
    pub(crate) fn seeds(target: &str) -> Vec<Vec<u8>> {
        let builds = [Build::tcp(false, 5000), Build::tcp(true, 3000), Build::udp(false, 4000), Build::udp(true, 100)];
        let cut = |build: &Build| {
            let segments = crate::dataplane::tests::segment::segments(&build.gso(1200), &build.partial());
            segments
                .expect("it can be cut")
                .iter()
                .flat_map(|s| [&(s.len() as u16).to_be_bytes(), &s[..]].concat())
                .collect()
        };
        match target {
            "segment" => {
                let whole = builds.iter().map(|b| [header(&b.needs_csum()), b.partial()].concat());
                whole.chain(builds.iter().map(|b| [header(&b.gso(1200)), b.partial()].concat())).collect()
            }
            _ => builds.iter().map(cut).collect(),
        }
    }

    fn damage() -> impl Strategy<Value = Vec<(Index, u8)>> {
        prop::collection::vec((any::<Index>(), any::<u8>()), 0..6)
    }

    proptest! {
        #[test]
        fn no_bytes_break_segmenting(data in prop::collection::vec(any::<u8>(), 0..200)) {
            super::segment(&data);
        }

        #[test]
        fn no_damage_breaks_segmenting(build in packets(), size in 1usize..3000, whole: bool, damage in damage()) {
            let offload = if whole { build.needs_csum() } else { build.gso(size) };
            let mut data = [header(&offload), build.partial()].concat();
            let near = data.len().min(100);
            damage.iter().for_each(|(at, octet)| data[at.index(near)] = *octet);
            super::segment(&data);
        }

        #[test]
        fn no_damage_breaks_merging(
            flows in prop::collection::vec((packets(), 100usize..1500), 1..4),
            damage in damage(),
        ) {
            let mut data = Vec::new();
            for (build, size) in flows {
                for segment in crate::dataplane::tests::segment::segments(&build.gso(size), &build.partial()).unwrap() {
                    data.extend((segment.len() as u16).to_be_bytes());
                    data.extend(segment);
                }
            }
            damage.iter().for_each(|(at, octet)| *at.get_mut(&mut data) = *octet);
            super::merge(&data);
        }
    }
}
