//! Which queue of the device a flow is written to where any worker may serve it (pure). The kernel brings what the host sends on a flow to the
//! queue that the flow was last written to: whoever wrote all to one queue would have one worker seal all the answers.
use std::io::IoSlice;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// MF and the offset of IPv4.
const FRAGMENT: u16 = 0x3fff;
/// 2^64 by the golden ratio: neighbours come far from each other.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number that is the same for all packets of a flow: of its addresses, and its ports if it is TCP or UDP. Fragments, of which only the first
/// has ports, and IPv6 packets with extension headers have that of their addresses. `parts` are one packet, whose IP header is in the first.
pub fn flow(parts: &[IoSlice<'_>]) -> u32 {
    let head = parts.first().map_or(&[][..], |first| first);
    let octet = |at: usize| head.get(at).copied().unwrap_or(0);
    let (addresses, proto, l4, fragment) = if octet(0) >> 4 == 4 {
        let place = u16::from_be_bytes([octet(6), octet(7)]);
        (12..20, octet(9), usize::from(octet(0) & 0xf) * 4, place & FRAGMENT != 0)
    } else {
        (8..40, octet(6), 40, false)
    };
    let addresses = head.get(addresses).unwrap_or_default().as_chunks().0;
    let mut hash = addresses.iter().fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    if matches!(proto, TCP | UDP) && !fragment {
        // In transport mode the header is a part by itself.
        let own = head.get(l4..).filter(|behind| !behind.is_empty());
        let behind = own.or(parts.get(1).map(|second| &**second));
        if let Some(ports) = behind.and_then(|behind| behind.first_chunk()) {
            hash = mix(hash, u32::from_le_bytes(*ports).into());
        }
    }
    (hash >> 32) as u32
}

fn mix(hash: u64, word: u64) -> u64 {
    let product = (hash ^ word).wrapping_mul(MIX);
    product ^ product >> 32
}

#[cfg(test)]
mod tests {
    use super::super::tests::build::Build;
    use super::*;
    use std::collections::HashSet;

    fn of(packet: &[u8]) -> u32 {
        flow(&[IoSlice::new(packet)])
    }

    #[test]
    fn a_flow_has_one_number_and_others_have_others() {
        for (ipv6, tcp) in [(false, false), (false, true), (true, false), (true, true)] {
            let base = Build { tcp, ..Build::tcp(ipv6, 100) };
            let number = of(&base.packet());
            let later =
                Build { seq: 9, ack: 8, id: 55, window: 3, tos: 2, ttl: 9, payload: vec![1; 7], ..base.clone() };
            assert_eq!(of(&later.packet()), number);
            // As a super-packet, whose first part is the first packet with other lengths; and in transport mode.
            let (partial, at) = (base.partial(), base.l4());
            assert_eq!(flow(&[IoSlice::new(&partial), IoSlice::new(&[7; 50])]), number);
            assert_eq!(flow(&[IoSlice::new(&partial[..at]), IoSlice::new(&partial[at..])]), number);
            let others = [
                Build { src: 2, ..base.clone() },
                Build { dst: 2, ..base.clone() },
                Build { sport: 40_001, ..base.clone() },
                Build { dport: 444, ..base.clone() },
            ];
            let numbers: HashSet<_> = others.iter().map(|other| of(&other.packet())).chain([number]).collect();
            assert_eq!(numbers.len(), 5);
        }
        // Options are no ports.
        let base = Build { extension: true, ..Build::udp(false, 9) };
        assert_ne!(of(&base.packet()), of(&Build { sport: 1, ..base }.packet()));
    }

    #[test]
    fn fragments_go_by_their_addresses() {
        let numbers = [(0x20, 0), (0, 185), (0x20, 185)].map(|place| {
            let ports = [1, 2].map(|sport| {
                let mut packet = Build { sport, ..Build::udp(false, 100) }.packet();
                (packet[6], packet[7]) = place;
                of(&packet)
            });
            assert_eq!(ports[0], ports[1]);
            ports[0]
        });
        assert_eq!(HashSet::from(numbers).len(), 1);
        let extension = |sport| of(&Build { sport, extension: true, ..Build::udp(true, 100) }.packet());
        assert_eq!(extension(1), extension(2));
    }

    #[test]
    fn flows_are_spread_evenly() {
        for ipv6 in [false, true] {
            for bits in 1..=4 {
                let mut of_queue = vec![0; 1 << bits];
                for sport in 0..1 << (6 + bits) {
                    let number = of(&Build { sport: 32_768 + sport, ..Build::udp(ipv6, 1) }.packet());
                    of_queue[(number >> (32 - bits)) as usize] += 1;
                }
                assert!(of_queue.iter().all(|count| (32..=128).contains(count)), "{of_queue:?}");
            }
        }
    }

    #[test]
    fn anything_has_a_number() {
        let packet = Build::udp(true, 4).packet();
        (0..packet.len()).for_each(|len| _ = of(&packet[..len]));
        assert_eq!(flow(&[]), of(&[]));
    }
}
