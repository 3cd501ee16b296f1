//! Blocks of a pcapng file as they come, so that whoever writes them has a whole file at any time; and what they say of themselves.
use std::io::{self, Read};

/// Larger than any block of ours: a packet of 64 KiB and its head.
const MAX_BLOCK: usize = 1 << 20;
/// Kind and length, and the length again.
const FRAME: usize = 12;

const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const NAME: u16 = 2;
const DROPPED: u16 = 5;
/// Where options begin in the body of an interface and of statistics.
const BEHIND_INTERFACE: usize = 8;
const BEHIND_STATISTICS: usize = 12;

/// The next block, or `None` at the end.
///
/// # Errors
/// When it breaks off, or is none.
pub fn next(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut block = vec![0; 8];
    let mut there = 0;
    while there < block.len() {
        match from.read(&mut block[there..]) {
            Ok(0) if there == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => there += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let len = word(&block, 4).map_or(0, |len| len as usize);
    if !(FRAME..=MAX_BLOCK).contains(&len) || !len.is_multiple_of(4) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not pcapng"));
    }
    block.resize(len, 0);
    from.read_exact(&mut block[8..])?;
    Ok(Some(block))
}

/// What one interface has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Interface {
    /// `outer`, or `inner:CONNECTION/CHILD`.
    pub name: String,
    /// Packets that are in the file.
    pub packets: u64,
    /// Packets that are not, because nobody read fast enough.
    pub missed: u64,
}

/// What a file has until now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In their order.
    pub interfaces: Vec<Interface>,
    /// Octets of all blocks.
    pub octets: u64,
    /// The statistics have come: the daemon has ended it.
    pub ended: bool,
}

impl Tally {
    /// Packets of all interfaces.
    pub fn packets(&self) -> u64 {
        self.interfaces.iter().map(|interface| interface.packets).sum()
    }

    /// Packets that are missing.
    pub fn missed(&self) -> u64 {
        self.interfaces.iter().map(|interface| interface.missed).sum()
    }

    /// One more block.
    pub fn add(&mut self, block: &[u8]) {
        self.octets += block.len() as u64;
        let body = block.get(8..block.len().saturating_sub(4)).unwrap_or_default();
        match word(block, 0) {
            Some(INTERFACE) => {
                let name = option(body, BEHIND_INTERFACE, NAME).unwrap_or_default();
                let name = String::from_utf8_lossy(name).into_owned();
                self.interfaces.push(Interface { name, ..Interface::default() });
            }
            Some(PACKET) => {
                if let Some(interface) = self.of(body) {
                    interface.packets += 1;
                }
            }
            Some(STATISTICS) => {
                self.ended = true;
                let missed = option(body, BEHIND_STATISTICS, DROPPED).and_then(|value| value.try_into().ok());
                if let (Some(interface), Some(missed)) = (self.of(body), missed) {
                    interface.missed = u64::from_le_bytes(missed);
                }
            }
            _ => {}
        }
    }

    fn of(&mut self, body: &[u8]) -> Option<&mut Interface> {
        self.interfaces.get_mut(word(body, 0)? as usize)
    }
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// The value of an option, if it is there.
fn option(body: &[u8], from: usize, wanted: u16) -> Option<&[u8]> {
    let mut rest = body.get(from..)?;
    loop {
        let half = |at: usize| rest.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
        let (code, len) = (half(0)?, usize::from(half(2)?));
        if code == 0 {
            return None;
        }
        if code == wanted {
            return rest.get(4..4 + len);
        }
        rest = rest.get(4 + len.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of this kind with this body.
    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &len, body, &len].concat()
    }

    fn file() -> Vec<u8> {
        let interface = |name: &str| {
            let mut body = b"\x65\0\0\0\xff\xff\0\0".to_vec();
            body.extend([3, 0, 1, 0, b'x', 0, 0, 0, 2, 0, name.len() as u8, 0]);
            body.extend(name.as_bytes());
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend([0; 4]);
            block(INTERFACE, &body)
        };
        let packet = |number: u32| block(PACKET, &[&number.to_le_bytes()[..], &[0; 20]].concat());
        let mut statistics = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        statistics.extend([5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let section = block(0x0a0d_0d0a, &[0; 16]);
        let statistics = block(STATISTICS, &statistics);
        [section, interface("outer"), packet(0), interface("inner:a/b"), packet(1), packet(1), statistics].concat()
    }

    fn tally(mut file: &[u8]) -> io::Result<Tally> {
        let mut tally = Tally::default();
        while let Some(block) = next(&mut file)? {
            tally.add(&block);
        }
        Ok(tally)
    }

    #[test]
    fn all_blocks_are_counted_where_they_belong() {
        let tally = tally(&file()).unwrap();
        let named = |name: &str, packets, missed| Interface { name: name.into(), packets, missed };
        assert_eq!(tally.interfaces, [named("outer", 1, 0), named("inner:a/b", 2, 7)]);
        assert_eq!((tally.packets(), tally.missed(), tally.ended, tally.octets), (3, 7, true, file().len() as u64));
    }

    #[test]
    fn what_breaks_off_or_is_none_is_an_error_and_never_a_panic() {
        let file = file();
        let whole: Vec<_> = std::iter::successors(Some(0), |at| {
            let len = word(&file, at + 4)? as usize;
            Some(at + len).filter(|at| *at < file.len())
        })
        .collect();
        for at in 1..file.len() {
            assert_eq!(tally(&file[..at]).is_ok(), whole.contains(&at), "{at}");
            let mut other = file.clone();
            for value in [0, 0x55, 0xff] {
                other[at] = value;
                let _ = tally(&other);
            }
        }
        assert!(tally(b"HTTP/1.1 200 OK\r\n").is_err());
    }
}
