//! Packets of one flow to super-packets for the TUN, payloads gathered where they lie (pure).
//!
//! What is merged is written with a partial checksum, which the kernel takes for a right one: so the checksums of every packet
//! are verified before it is merged. The ICV does not stand in for that: it protects from gateway to gateway, the checksum from
//! host to host. Packets that find no neighbour go out alone, untouched.
use super::segment::{get16, get32, put16};
use crate::io::{Gso, VnetHeader};
use crate::wire::ip::{Packet, checksum_add, checksum_fold};
use std::io::IoSlice;

/// Most packets in one super-packet: what Linux takes as one USO super-packet, and more than a TCP one of 64 KiB has at 1400 octets.
pub const MAX_PARTS: usize = 64;
/// How many flows are looked at for a neighbour.
const LOOKBACK: usize = 8;
/// Largest IP packet.
const MAX_LEN: usize = 65_535;

const TCP: u8 = 6;
const UDP: u8 = 17;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Collects the packets of one run and writes them as few super-packets. Keeps the order within a flow, not between flows.
#[derive(Debug)]
pub struct Merge {
    pieces: Vec<Piece>,
    groups: Vec<Group>,
    /// The groups that were touched last, the latest first; `len` of them are in use.
    recent: [usize; LOOKBACK],
    len: usize,
}

/// One packet in the buffer.
#[derive(Clone, Copy, Debug)]
struct Piece {
    at: usize,
    len: usize,
    /// The next of the same group.
    next: usize,
}

/// Packets that go out as one.
#[derive(Clone, Copy, Debug)]
struct Group {
    first: usize,
    last: usize,
    shape: Option<Shape>,
    parts: usize,
    /// Octets of the super-packet.
    total: usize,
    /// Takes no more.
    closed: bool,
    push: bool,
    /// Sums of the first packet: not looked at yet, or what came out.
    sound: Option<bool>,
}

/// What merging must know of a TCP or UDP packet behind a plain IP header.
#[derive(Clone, Copy, Debug)]
struct Shape {
    ipv4: bool,
    tcp: bool,
    l4: usize,
    /// Octets of all headers.
    headers: usize,
    /// Octets of payload.
    payload: usize,
    /// May be merged at all: has payload, and no flag but ACK and PSH; UDP: has a checksum.
    willing: bool,
    push: bool,
}

impl Merge {
    /// With room for `packets` before it must allocate.
    pub fn new(packets: usize) -> Self {
        Self { pieces: Vec::with_capacity(packets), groups: Vec::with_capacity(packets), recent: [0; LOOKBACK], len: 0 }
    }

    /// Nothing was pushed since the last `write`.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes the packet at `buf[at..]` that was parsed to `packet`. `offloads`: what the device takes, TCP and UDP super-packets.
    pub fn push(&mut self, buf: &[u8], at: usize, packet: &Packet, offloads: (bool, bool)) {
        let data = &buf[at..at + packet.len];
        let piece = self.pieces.len();
        self.pieces.push(Piece { at, len: packet.len, next: usize::MAX });
        let wanted = match packet.flow.proto {
            TCP => offloads.0,
            UDP => offloads.1,
            _ => false,
        };
        let Some(shape) = shape(data, packet).filter(|_| wanted) else {
            if wanted {
                self.close(buf, data, packet);
            }
            self.groups.push(Group::alone(piece, packet.len));
            return;
        };
        let neighbour = (0..self.len).find(|&i| {
            let group = &self.groups[self.recent[i]];
            let first = self.pieces[group.first];
            group.shape.is_some_and(|s| same_flow(&buf[first.at..first.at + first.len], &s, data, &shape))
        });
        if let Some(i) = neighbour {
            let g = self.recent[i];
            self.recent[..=i].rotate_right(1);
            if self.append(buf, g, piece, data, &shape) {
                return;
            }
            // Whatever comes later must not overtake this packet.
            self.recent[0] = self.groups.len();
        } else {
            self.len = (self.len + 1).min(LOOKBACK);
            self.recent[..self.len].rotate_right(1);
            self.recent[0] = self.groups.len();
        }
        self.groups.push(Group {
            first: piece,
            last: piece,
            shape: Some(shape),
            parts: 1,
            total: packet.len,
            closed: !shape.willing || shape.push,
            push: shape.push,
            sound: None,
        });
    }

    /// Hands all of it to `sink` in order: header, pieces, number of packets; and starts anew. `buf` is the one of `push`.
    pub fn write(&mut self, buf: &mut [u8], mut sink: impl FnMut(&VnetHeader, &[IoSlice<'_>], usize)) {
        for group in &self.groups {
            let first = self.pieces[group.first];
            let head = first.at..first.at + first.len;
            let Some(shape) = group.shape.filter(|_| group.parts > 1) else {
                sink(&VnetHeader::default(), &[IoSlice::new(&buf[head])], 1);
                continue;
            };
            let header = rewrite(&mut buf[head], group, &shape);
            let mut parts = [IoSlice::new(&[]); MAX_PARTS];
            let mut piece = first;
            let mut skip = 0;
            for part in &mut parts[..group.parts] {
                *part = IoSlice::new(&buf[piece.at + skip..piece.at + piece.len]);
                skip = shape.headers;
                piece = self.pieces.get(piece.next).copied().unwrap_or(piece);
            }
            sink(&header, &parts[..group.parts], group.parts);
        }
        self.pieces.clear();
        self.groups.clear();
        self.len = 0;
    }

    /// A packet that is never merged may be of any flow between its ends, as a fragment is: none that comes behind it may join a group that
    /// is in front of it.
    fn close(&mut self, buf: &[u8], data: &[u8], packet: &Packet) {
        let (ipv4, tcp) = (packet.flow.src.is_ipv4(), packet.flow.proto == TCP);
        let mut kept = 0;
        for i in 0..self.len {
            let group = self.groups[self.recent[i]];
            let first = self.pieces[group.first];
            let head = &buf[first.at..first.at + first.len];
            if !group.shape.is_some_and(|s| same_ends(head, &s, data, (ipv4, tcp))) {
                self.recent[kept] = self.recent[i];
                kept += 1;
            }
        }
        self.len = kept;
    }

    /// Puts a packet behind its neighbours if it may stand there.
    fn append(&mut self, buf: &[u8], g: usize, piece: usize, data: &[u8], shape: &Shape) -> bool {
        let group = &mut self.groups[g];
        let first = self.pieces[group.first];
        let head = &buf[first.at..first.at + first.len];
        let Some(ours) = group.shape else { return false };
        let fits = !group.closed
            && shape.willing
            && shape.headers == ours.headers
            && shape.payload <= ours.payload
            && group.total + shape.payload <= MAX_LEN
            && group.parts < MAX_PARTS
            && continues_ip(head, data, shape.ipv4, group.parts)
            && (!shape.tcp || continues_tcp(&head[ours.l4..], &data[shape.l4..], shape, group.total - ours.headers))
            && *group.sound.get_or_insert_with(|| sound(head, &ours))
            && sound(data, shape);
        if !fits {
            return false;
        }
        self.pieces[group.last].next = piece;
        group.last = piece;
        group.parts += 1;
        group.total += shape.payload;
        group.push |= shape.push;
        group.closed = shape.push || shape.payload < ours.payload;
        true
    }
}

impl Group {
    fn alone(piece: usize, len: usize) -> Self {
        Self { first: piece, last: piece, shape: None, parts: 1, total: len, closed: true, push: false, sound: None }
    }
}

/// `None` for anything but TCP and UDP right behind an IP header without options or extension headers.
fn shape(data: &[u8], packet: &Packet) -> Option<Shape> {
    let ipv4 = packet.flow.src.is_ipv4();
    let tcp = match packet.flow.proto {
        TCP => true,
        UDP => false,
        _ => return None,
    };
    if packet.fragment || packet.l4 != if ipv4 { 20 } else { 40 } {
        return None;
    }
    let l4 = data.get(packet.l4..)?;
    let header = if tcp { usize::from(l4.get(12)? >> 4) * 4 } else { 8 };
    if header > l4.len() || (tcp && header < 20) {
        return None;
    }
    let payload = l4.len() - header;
    let willing = payload > 0
        && if tcp { l4[13] & !PSH == ACK } else { usize::from(get16(l4, 4)) == l4.len() && get16(l4, 6) != 0 };
    Some(Shape {
        ipv4,
        tcp,
        l4: packet.l4,
        headers: packet.l4 + header,
        payload,
        willing,
        push: tcp && l4[13] & PSH != 0,
    })
}

/// Same protocol, addresses and ports.
fn same_flow(a: &[u8], shape_a: &Shape, b: &[u8], shape_b: &Shape) -> bool {
    let ports = shape_b.l4..shape_b.l4 + 4;
    same_ends(a, shape_a, b, (shape_b.ipv4, shape_b.tcp)) && a[ports.clone()] == b[ports]
}

/// Same protocol and addresses; `b` is IPv4, and TCP, or not.
fn same_ends(a: &[u8], shape_a: &Shape, b: &[u8], (ipv4, tcp): (bool, bool)) -> bool {
    let addresses = if ipv4 { 12..20 } else { 8..40 };
    (shape_a.ipv4, shape_a.tcp) == (ipv4, tcp) && a[addresses.clone()] == b[addresses]
}

/// The IP header is the one that segmenting would give the next packet: same TOS, TTL and DF, and the identification counts on.
/// With DF the identification means nothing (RFC 6864 section 4.1).
fn continues_ip(head: &[u8], next: &[u8], ipv4: bool, parts: usize) -> bool {
    if !ipv4 {
        return head[..4] == next[..4] && head[7] == next[7];
    }
    let dont_fragment = head[6] & 0x40 != 0;
    head[..2] == next[..2]
        && head[6..9] == next[6..9]
        && (dont_fragment || get16(next, 4) == get16(head, 4).wrapping_add(parts as u16))
}

/// Same acknowledgement, window, urgent pointer and options, and the sequence number behind `sent` octets of payload.
fn continues_tcp(head: &[u8], next: &[u8], shape: &Shape, sent: usize) -> bool {
    let header = shape.headers - shape.l4;
    get32(next, 4) == get32(head, 4).wrapping_add(sent as u32)
        && head[8..13] == next[8..13]
        && head[14..16] == next[14..16]
        && head[18..header] == next[18..header]
}

/// The checksums of the IPv4 header and of TCP or UDP are right.
fn sound(data: &[u8], shape: &Shape) -> bool {
    let ip = !shape.ipv4 || checksum_fold(checksum_add(0, &data[..shape.l4])) == 0xffff;
    ip && checksum_fold(checksum_add(pseudo(data, shape, data.len() - shape.l4), &data[shape.l4..])) == 0xffff
}

fn pseudo(data: &[u8], shape: &Shape, len: usize) -> u64 {
    let addresses = if shape.ipv4 { &data[12..20] } else { &data[8..40] };
    checksum_add(len as u64 + if shape.tcp { 6 } else { 17 }, addresses)
}

/// Makes the first packet's headers those of the super-packet.
fn rewrite(head: &mut [u8], group: &Group, shape: &Shape) -> VnetHeader {
    let l4_len = group.total - shape.l4;
    if shape.ipv4 {
        put16(head, 2, group.total as u16);
        put16(head, 10, 0);
        let sum = !checksum_fold(checksum_add(0, &head[..shape.l4]));
        put16(head, 10, sum);
    } else {
        put16(head, 4, (group.total - 40) as u16);
    }
    let partial = checksum_fold(pseudo(head, shape, l4_len));
    let csum_offset = if shape.tcp { 16 } else { 6 };
    put16(head, shape.l4 + csum_offset, partial);
    if !shape.tcp {
        put16(head, shape.l4 + 4, l4_len as u16);
    } else if group.push {
        head[shape.l4 + 13] |= PSH;
    }
    VnetHeader {
        needs_csum: true,
        gso: match (shape.tcp, shape.ipv4) {
            (false, _) => Gso::UdpL4,
            (true, true) => Gso::TcpV4,
            (true, false) => Gso::TcpV6,
        },
        hdr_len: shape.headers as u16,
        gso_size: shape.payload as u16,
        csum_start: shape.l4 as u16,
        csum_offset: csum_offset as u16,
    }
}
