//! Bodies of the fuzz targets: no input may panic, and what comes out keeps its promises.
use super::fragment::Fragments;
use super::icmp::{self, Reason};
use super::merge::{MAX_PARTS, Merge};
use super::segment::{Pieces, Segments};
use crate::io::{Gso, VnetHeader};
use crate::wire::ip;

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
    if let Ok(segments) = Segments::new(&header, packet, &parsed) {
        check_pieces(&segments, packet.len());
    }
    if let Some(fragments) = Fragments::new(packet, &parsed, header.gso_size.into()) {
        check_pieces(&fragments, header.gso_size.into());
    }
    let mut out = [0; icmp::MAX_ANSWER];
    if let Some(len) = icmp::answer(Reason::TooBig(header.gso_size), packet, &parsed, &mut out) {
        assert_eq!(ip::parse(&out[..len]).map(|answer| answer.len), Ok(len));
    }
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

/// Packets, each behind its length (2 octets). Whatever is merged can be cut again to packets of the sizes that went in.
pub fn merge(data: &[u8]) {
    let (mut buf, mut rest, mut lengths) = (Vec::new(), data, Vec::new());
    let mut merge = Merge::new(0);
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(tail.len());
        let (packet, tail) = tail.split_at(len);
        rest = tail;
        let at = buf.len();
        buf.extend_from_slice(packet);
        if let Ok(parsed) = ip::parse(packet) {
            lengths.push(parsed.len);
            merge.push(&buf, at, &parsed, (true, true));
        }
    }
    let mut again = Vec::new();
    merge.write(&mut buf, |header, parts, count| {
        let packet: Vec<u8> = parts.iter().flat_map(|part| part.iter()).copied().collect();
        let parsed = ip::parse(&packet).expect("what is written is a packet");
        assert!(parsed.len == packet.len() && parts.len() == count && count <= MAX_PARTS);
        let segments = Segments::new(header, &packet, &parsed).expect("what is written can be cut");
        assert_eq!(segments.count(), count);
        again.extend((0..count).map(|i| segments.len_of(i)));
    });
    lengths.sort_unstable();
    again.sort_unstable();
    assert_eq!(lengths, again);
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
