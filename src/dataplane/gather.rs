//! Packets that the host has cut because they are longer than its device's MTU, of children in transport mode: ESP there carries whole
//! packets only, so who stands behind the cut puts them together again (RFC 4303 section 3.1.1), and cuts outside. Pure.
//!
//! What leaves in transport mode is the host's own, whose fragments come one behind the other; what comes otherwise is given up. All of a packet
//! come by one queue of the device, since the kernel hashes them without ports, and go on to their child's home worker; only where two children
//! with different homes share their addresses and differ in ports, later fragments go to the home of the one that is looked up first, and may be
//! dropped there.
use super::segment::{get16, get32, put16};
use crate::ipsec::spd::DeviceId;
use crate::wire::ip::{Packet, checksum_add, checksum_fold};
use std::net::IpAddr;
use std::time::Duration;

/// Packets of one worker that wait for their next fragment.
pub const MAX_OPEN: usize = 16;
/// So long they wait.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// Longest packet.
const MAX_LEN: usize = 65_535;

const V6_HEADER: usize = 40;
/// Next header of an IPv6 fragment header, and octets of that.
const FRAGMENT: u8 = 44;
const FRAGMENT_HEADER: usize = 8;
const MORE_V4: u16 = 0x2000;
const OFFSET_V4: u16 = 0x1fff;

/// What has come so far.
#[derive(Debug, Default)]
pub struct Gathering(Vec<Open>);

/// A fragment, and what became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// Its packet's first fragment was not kept: it is like any other packet.
    Unknown,
    /// More must come.
    Waits,
    /// The last one: the packet.
    Whole(Vec<u8>),
    /// It does not go on where the one before it ended. The packet is given up.
    Broken,
}

/// RFC 791 section 3.2, RFC 8200 section 4.5; and the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    device: DeviceId,
    ends: (IpAddr, IpAddr),
    proto: u8,
    id: u32,
}

#[derive(Debug)]
struct Open {
    key: Key,
    until: Duration,
    /// Octets of the IP header.
    header: usize,
    /// The header, and the payload so far.
    packet: Vec<u8>,
}

impl Gathering {
    /// Keeps a first fragment; false if there is no room for it, or if it is none that is gathered here.
    pub fn begin(&mut self, now: Duration, device: DeviceId, data: &[u8], parsed: &Packet) -> bool {
        let Some(piece) = Piece::new(device, data, parsed).filter(|piece| piece.offset == 0 && piece.more) else {
            return false;
        };
        self.0.retain(|open| open.key != piece.key);
        if self.0.len() >= MAX_OPEN {
            return false;
        }
        let mut packet = [piece.header, piece.payload].concat();
        if parsed.flow.src.is_ipv6() {
            packet[6] = piece.key.proto;
        }
        self.0.push(Open { key: piece.key, until: now + PATIENCE, header: piece.header.len(), packet });
        true
    }

    /// Adds a later fragment.
    pub fn add(&mut self, device: DeviceId, data: &[u8], parsed: &Packet) -> Added {
        let piece = Piece::new(device, data, parsed).filter(|piece| piece.offset > 0);
        let place = piece.as_ref().and_then(|piece| self.0.iter().position(|open| open.key == piece.key));
        let (Some(piece), Some(place)) = (piece, place) else { return Added::Unknown };
        let open = &mut self.0[place];
        let follows = open.packet.len() - open.header == piece.offset;
        if !follows || open.packet.len() + piece.payload.len() > MAX_LEN {
            self.0.swap_remove(place);
            return Added::Broken;
        }
        open.packet.extend_from_slice(piece.payload);
        if piece.more {
            return Added::Waits;
        }
        Added::Whole(self.0.swap_remove(place).whole())
    }

    /// Forgets those whose patience has ended; how many.
    pub fn expire(&mut self, now: Duration) -> u64 {
        self.drop_where(|open| open.until <= now)
    }

    /// Forgets what came from a device; how many.
    pub fn forget(&mut self, device: DeviceId) -> u64 {
        self.drop_where(|open| open.key.device == device)
    }

    fn drop_where(&mut self, which: impl Fn(&Open) -> bool) -> u64 {
        let before = self.0.len();
        self.0.retain(|open| !which(open));
        (before - self.0.len()) as u64
    }
}

impl Open {
    /// With the header of a packet that was never cut.
    fn whole(mut self) -> Vec<u8> {
        let len = self.packet.len();
        if self.packet[0] >> 4 == 6 {
            put16(&mut self.packet, 4, (len - V6_HEADER) as u16);
        } else {
            put16(&mut self.packet, 2, len as u16);
            put16(&mut self.packet, 6, 0);
            put16(&mut self.packet, 10, 0);
            let sum = checksum_fold(checksum_add(0, &self.packet[..self.header]));
            put16(&mut self.packet, 10, !sum);
        }
        self.packet
    }
}

/// One fragment.
struct Piece<'a> {
    key: Key,
    /// Where its payload belongs.
    offset: usize,
    more: bool,
    header: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Piece<'a> {
    /// `None` for an IPv6 packet with other extension headers in front of its fragment header: hosts do not send such to each other.
    fn new(device: DeviceId, data: &'a [u8], parsed: &Packet) -> Option<Self> {
        let packet = data.get(..parsed.len)?;
        let ends = (parsed.flow.src, parsed.flow.dst);
        let key = |proto, id| Key { device, ends, proto, id };
        if parsed.flow.src.is_ipv4() {
            let (header, payload) = packet.split_at_checked(parsed.l4)?;
            let place = get16(header, 6);
            let (offset, more) = (usize::from(place & OFFSET_V4) * 8, place & MORE_V4 != 0);
            return Some(Self { key: key(header[9], get16(header, 4).into()), offset, more, header, payload });
        }
        let (header, rest) = packet.split_at_checked(V6_HEADER).filter(|(header, _)| header[6] == FRAGMENT)?;
        let (fragment, payload) = rest.split_at_checked(FRAGMENT_HEADER)?;
        let place = get16(fragment, 2);
        let key = key(fragment[0], get32(fragment, 4));
        Some(Self { key, offset: usize::from(place & !7), more: place & 1 != 0, header, payload })
    }
}
