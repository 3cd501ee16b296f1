//! A file of packets as Wireshark reads it (draft-ietf-opsawg-pcapng), made block by block: one section, an interface for each plane that something was
//! seen on, enhanced packets with their direction, and at the end what each interface has seen and missed. Little-endian, and IP without a link
//! layer.
use crate::dataplane::tap::Plane;
use std::collections::BTreeMap;
use std::time::Duration;

/// LINKTYPE_RAW: IPv4 or IPv6.
const RAW: u16 = 101;
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
/// 10^-9 s.
const NANOSECONDS: u8 = 9;
/// Octets of the statistics of one interface.
const STATISTICS_LEN: u64 = 76;

const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const DESCRIPTION: u16 = 3;
const RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;
const START: u16 = 2;
const END: u16 = 3;
const RECEIVED: u16 = 4;
const DROPPED: u16 = 5;

/// A packet, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Where it was seen.
    pub plane: &'a Plane,
    /// Since 1970.
    pub at: Duration,
    /// We sent it.
    pub outgoing: bool,
    /// How long it was.
    pub len: usize,
    /// What there is of it.
    pub data: &'a [u8],
}

/// Makes a file. What is ready is taken away piece by piece.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    /// Octets that were taken away.
    taken: u64,
    limit: u64,
    snaplen: u32,
    started: Duration,
    interfaces: BTreeMap<Plane, Interface>,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    number: u32,
    packets: u64,
}

impl Writer {
    /// `limit`: octets of the whole file; `started`: since 1970.
    pub fn new(limit: u64, snaplen: usize, started: Duration) -> Self {
        let (out, interfaces) = (Vec::new(), BTreeMap::new());
        let snaplen = u32::try_from(snaplen).unwrap_or(u32::MAX);
        let mut writer = Self { out, taken: 0, limit, snaplen, started, interfaces };
        let comment = "The outer IP and UDP headers are made anew from what the sockets tell: identification, TTL and some checksums are not those of the wire. \
                       What is sent is shown whether or not the system took it.";
        writer.block(SECTION, |block| {
            block.u32(0x1a2b_3c4d);
            block.u16(1);
            block.u16(0);
            // The section ends with the file.
            block.u64(u64::MAX);
            block.option(COMMENT, comment.as_bytes());
            block.option(APPLICATION, concat!("sandhogd ", env!("CARGO_PKG_VERSION")).as_bytes());
            block.end_of_options();
        });
        writer
    }

    /// Octets until now.
    pub fn written(&self) -> u64 {
        self.taken + self.out.len() as u64
    }

    /// Octets that were not taken away yet.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Whole blocks, in their order.
    pub fn take(&mut self) -> Vec<u8> {
        self.taken += self.out.len() as u64;
        std::mem::take(&mut self.out)
    }

    /// False, and nothing is written, if the file would become too long.
    pub fn packet(&mut self, packet: &Packet<'_>) -> bool {
        let before = self.out.len();
        let known = self.interfaces.contains_key(packet.plane);
        let number = self.interface(packet.plane);
        self.block(PACKET, |block| {
            block.u32(number);
            block.time(packet.at);
            block.u32(packet.data.len() as u32);
            block.u32(packet.len as u32);
            block.padded(packet.data);
            // The lowest two bits: 1 came in, 2 went out.
            block.option(FLAGS, &(1 + u32::from(packet.outgoing)).to_le_bytes());
            block.end_of_options();
        });
        if self.written() + STATISTICS_LEN * self.interfaces.len() as u64 > self.limit {
            self.out.truncate(before);
            if !known {
                self.interfaces.remove(packet.plane);
            }
            return false;
        }
        if let Some(interface) = self.interfaces.get_mut(packet.plane) {
            interface.packets += 1;
        }
        true
    }

    /// What was seen and missed.
    pub fn finish(&mut self, missed: &BTreeMap<Plane, u64>, now: Duration) {
        // Something was there, if nothing of it could be kept.
        for plane in missed.keys() {
            self.interface(plane);
        }
        let mut interfaces: Vec<_> = self.interfaces.clone().into_iter().collect();
        interfaces.sort_by_key(|(_, interface)| interface.number);
        for (plane, Interface { number, packets }) in interfaces {
            let missed = missed.get(&plane).copied().unwrap_or(0);
            let started = self.started;
            self.block(STATISTICS, |block| {
                block.u32(number);
                block.time(now);
                block.option(START, &time(started));
                block.option(END, &time(now));
                block.option(RECEIVED, &(packets + missed).to_le_bytes());
                block.option(DROPPED, &missed.to_le_bytes());
                block.end_of_options();
            });
        }
    }

    /// The number of a plane's interface, which is described before it is used first.
    fn interface(&mut self, plane: &Plane) -> u32 {
        if let Some(interface) = self.interfaces.get(plane) {
            return interface.number;
        }
        let number = self.interfaces.len() as u32;
        let (name, text) = match plane {
            Plane::Outer => ("outer".to_owned(), "ESP and IKE between the gateways"),
            Plane::Inner(child) => (format!("inner:{child}"), "in the clear, as it stands inside of ESP"),
        };
        let snaplen = self.snaplen;
        self.block(INTERFACE, |block| {
            block.u16(RAW);
            block.u16(0);
            block.u32(snaplen);
            block.option(NAME, name.as_bytes());
            block.option(DESCRIPTION, text.as_bytes());
            block.option(RESOLUTION, &[NANOSECONDS]);
            block.end_of_options();
        });
        self.interfaces.insert(plane.clone(), Interface { number, packets: 0 });
        number
    }

    /// Its length stands before and behind it.
    fn block(&mut self, kind: u32, fill: impl FnOnce(&mut Block<'_>)) {
        let at = self.out.len();
        let mut block = Block(&mut self.out);
        block.u32(kind);
        block.u32(0);
        fill(&mut block);
        let len = (self.out.len() - at + 4) as u32;
        self.out[at + 4..at + 8].copy_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(&len.to_le_bytes());
    }
}

/// High and low half, as they stand in options, too.
fn time(at: Duration) -> [u8; 8] {
    let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    let mut halves = [0; 8];
    halves[..4].copy_from_slice(&((nanoseconds >> 32) as u32).to_le_bytes());
    halves[4..].copy_from_slice(&(nanoseconds as u32).to_le_bytes());
    halves
}

struct Block<'a>(&'a mut Vec<u8>);

impl Block<'_> {
    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn time(&mut self, at: Duration) {
        self.0.extend_from_slice(&time(at));
    }
    /// To the next multiple of four.
    fn padded(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
        let padding = octets.len().next_multiple_of(4) - octets.len();
        self.0.extend_from_slice(&[0; 3][..padding]);
    }
    /// What is too long for one is cut.
    fn option(&mut self, code: u16, value: &[u8]) {
        let value = &value[..value.len().min(usize::from(u16::MAX))];
        self.u16(code);
        self.u16(value.len() as u16);
        self.padded(value);
    }
    fn end_of_options(&mut self) {
        self.u32(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut blocks = Vec::new();
        let word = |octets: &[u8]| u32::from_le_bytes(octets[..4].try_into().unwrap());
        while !file.is_empty() {
            let len = word(&file[4..]) as usize;
            assert_eq!((len % 4, word(&file[len - 4..]) as usize), (0, len));
            blocks.push((word(file), file[8..len - 4].to_vec()));
            file = &file[len..];
        }
        blocks
    }

    fn packet<'a>(plane: &'a Plane, data: &'a [u8]) -> Packet<'a> {
        Packet { plane, at: Duration::new(0x1_0000, 7), outgoing: true, len: data.len() + 1, data }
    }

    #[test]
    fn a_file_octet_by_octet() {
        let (outer, inner) = (Plane::Outer, Plane::Inner("a/b".into()));
        let mut writer = Writer::new(1 << 20, 96, Duration::ZERO);
        assert!(writer.packet(&packet(&inner, b"abcde")) && writer.packet(&packet(&inner, b"")));
        writer.finish(&[(outer, 3), (inner, 4)].into(), Duration::from_secs(1));
        let written = writer.written();
        let file = writer.take();
        assert_eq!((file.len() as u64, writer.written(), writer.take().len()), (written, written, 0));
        let blocks = blocks(&file);
        let kinds: Vec<_> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, PACKET, INTERFACE, STATISTICS, STATISTICS]);
        assert_eq!(blocks[0].1[..16], [0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(blocks[1].1[..24], *b"\x65\0\0\0\x60\0\0\0\x02\0\x09\0inner:a/b\0\0\0");
        assert!(blocks[1].1.ends_with(b"\x09\0\x01\0\x09\0\0\0\0\0\0\0"));
        let nanoseconds = 0x1_0000_u64 * 1_000_000_000 + 7;
        let mut expected = 0_u32.to_le_bytes().to_vec();
        for word in [(nanoseconds >> 32) as u32, nanoseconds as u32, 5, 6] {
            expected.extend(word.to_le_bytes());
        }
        expected.extend(*b"abcde\0\0\0\x02\0\x04\0\x02\0\0\0\0\0\0\0");
        assert_eq!(blocks[2].1, expected);
        let counts = |at: usize| {
            let block: &[u8] = &blocks[at].1;
            let number = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().unwrap());
            (block[0], number(40), number(52))
        };
        assert_eq!((counts(5), counts(6)), ((0, 6, 4), (1, 3, 3)));
        assert_eq!(blocks[5].1.len() as u64 + 12, STATISTICS_LEN);
    }

    #[test]
    fn a_packet_that_comes_in_says_so() {
        let mut writer = Writer::new(1 << 20, 96, Duration::ZERO);
        writer.take();
        assert!(writer.packet(&Packet { outgoing: false, ..packet(&Plane::Outer, b"abcd") }));
        assert!(writer.take().ends_with(b"abcd\x02\0\x04\0\x01\0\0\0\0\0\0\0\x30\0\0\0"));
    }

    #[test]
    fn a_file_is_never_longer_than_it_may_be_and_always_whole() {
        let plane = Plane::Inner("a/b".into());
        for limit in (700..2000).step_by(7) {
            let mut writer = Writer::new(limit, 96, Duration::ZERO);
            let mut count = 0;
            while writer.packet(&packet(&plane, &[7; 50])) {
                count += 1;
            }
            assert!(!writer.packet(&packet(&Plane::Outer, &[7; 50])), "there is no room for a new interface, either");
            writer.finish(&BTreeMap::new(), Duration::ZERO);
            let file = writer.take();
            assert!(file.len() as u64 <= limit, "{} of {limit}", file.len());
            let blocks = blocks(&file);
            assert_eq!(blocks.iter().filter(|(kind, _)| *kind == PACKET).count(), count);
            assert_eq!(blocks.iter().filter(|(kind, _)| *kind == STATISTICS).count(), 1);
            assert!(count > 0);
        }
    }
}
