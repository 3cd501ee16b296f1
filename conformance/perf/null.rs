//! The yardstick: a gateway with one key for each direction that stands in this file, no policy, no window, no counters, no IKE. Otherwise
//! it does what a gateway must, in the same way: whole trains from the TUN, cut, sealed, sent; received, opened, merged, written. What ours
//! is slower than this is what its tables, windows and checks cost. Never to be used for anything else: it repeats its nonces at each start.
//! `null left|right OWN-ADDRESS PEER-ADDRESS` makes the device `null0` and serves it until it is killed.
use sandhog::crypto::cipher::Cipher;
use sandhog::crypto::secret::Secret;
use sandhog::dataplane::merge::Merge;
use sandhog::dataplane::segment::{Pieces, Segments};
use sandhog::esp::SaParams;
use sandhog::esp::inbound::{InboundSa, tunnel_payload};
use sandhog::esp::outbound::OutboundSa;
use sandhog::io::fds::Poll;
use sandhog::io::host;
use sandhog::io::tun::{Device, Queue};
use sandhog::io::udp::{Options, TRAIN_OCTETS, UdpSocket};
use sandhog::io::{Datagrams, Destination, ReceiveBatch, Tun};
use sandhog::wire::esp::{NEXT_HEADER_IPV4, NEXT_HEADER_IPV6, parse_header};
use sandhog::wire::ip;
use std::io::Result;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const PORT: u16 = 4500;
/// Datagrams of one train.
const DATAGRAMS: usize = 64;
/// Packets and octets that are read before the socket has its turn.
const BATCH: usize = 64;
const BATCH_OCTETS: usize = 1 << 18;
/// Trains that are received at once.
const SLOTS: usize = 16;

/// From the TUN to the wire.
struct Out {
    sa: OutboundSa,
    to: Destination,
    packet: Vec<u8>,
    train: Vec<u8>,
    len: usize,
    segment: usize,
}

impl Out {
    fn serve(&mut self, tun: &mut Queue, socket: &mut UdpSocket) {
        let mut octets = 0;
        for _ in 0..BATCH {
            let Ok((header, len)) = tun.read(&mut self.packet) else { break };
            octets += len;
            let packet = std::mem::take(&mut self.packet);
            if let Ok(parsed) = ip::parse(&packet[..len])
                && let Ok(segments) = Segments::new(&header, &packet[..len], &parsed)
            {
                let next = if parsed.flow.src.is_ipv4() { NEXT_HEADER_IPV4 } else { NEXT_HEADER_IPV6 };
                self.seal(&segments, next, socket);
            }
            self.packet = packet;
            if octets >= BATCH_OCTETS {
                break;
            }
        }
        self.send(socket);
    }

    fn seal(&mut self, segments: &Segments<'_>, next_header: u8, socket: &mut UdpSocket) {
        let numbers = self.sa.reserve(segments.count() as u32).expect("numbers for an hour");
        for (i, seq) in numbers.enumerate() {
            let inner = segments.len_of(i);
            let sealed = self.sa.sealed_len(inner);
            let full = self.len + sealed > TRAIN_OCTETS || self.len >= DATAGRAMS * self.segment;
            if full || sealed > self.segment || !self.len.is_multiple_of(self.segment) {
                self.send(socket);
                self.segment = sealed;
            }
            let out = &mut self.train[self.len..self.len + sealed];
            let head = self.sa.head();
            segments.write(i, &mut out[head..head + inner]);
            self.sa.seal(seq, out, inner, next_header);
            self.len += sealed;
        }
    }

    fn send(&mut self, socket: &mut UdpSocket) {
        if self.len > 0 {
            // What the socket does not take is lost, as on a wire.
            let _ = socket.send(&self.to, &self.train[..self.len], self.segment);
        }
        (self.len, self.segment) = (0, 0);
    }
}

/// From the wire to the TUN.
struct In {
    sa: InboundSa,
    batch: ReceiveBatch,
    merge: Merge,
}

impl In {
    fn serve(&mut self, tun: &mut Queue, socket: &mut UdpSocket) {
        let Self { sa, batch, merge } = self;
        let _ = socket.receive(batch);
        for received in &batch.datagrams {
            let end = received.offset + received.len;
            for at in (received.offset..end).step_by(received.segment.max(1)) {
                let packet = &mut batch.buf[at..end.min(at + received.segment)];
                let Some((_, seq)) = parse_header(packet) else { continue };
                if let Ok(opened) = sa.open(seq.into(), packet)
                    && let Ok(inner) = tunnel_payload(&opened, packet)
                {
                    merge.push(&batch.buf, at + inner.range.start, &inner.ip, tun.offloads());
                }
            }
        }
        merge.write(&mut batch.buf, |header, parts, _| {
            let _ = tun.write(header, parts);
        });
    }
}

fn params(octet: u8) -> SaParams {
    let (encr, integ) = (Secret::new(vec![octet; 36]), Secret::new(Vec::new()));
    SaParams { spi: 0x1000 + u32::from(octet), cipher: Cipher::AesGcm256, encr, integ, esn: false }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [side, own, peer] = &arguments[..] else { panic!("null left|right OWN-ADDRESS PEER-ADDRESS") };
    let (sends, receives) = if side == "left" { (1, 2) } else { (2, 1) };
    let address = |text: &String| SocketAddr::new(text.parse::<IpAddr>().expect("an address"), PORT);
    let (local, remote) = (address(own), address(peer));

    let mut tun = Device::create("null0", 1)?.pop().expect("one queue");
    let mut socket = UdpSocket::bind(local, Options { mark: None, gro: true })?;
    let to = Destination { local, remote, tos: 0, dont_fragment: true };
    let sa = OutboundSa::new(&params(sends), [0; 16]);
    let mut out = Out { sa, to, packet: vec![0; 65_536], train: vec![0; TRAIN_OCTETS], len: 0, segment: 0 };
    let merge = Merge::new(SLOTS * DATAGRAMS);
    let mut inward = In { sa: InboundSa::new(&params(receives), 64), batch: ReceiveBatch::new(SLOTS), merge };

    host::shorten_slice(Duration::from_micros(300))?;
    let poll = Poll::new()?;
    poll.add(&socket, 0)?;
    poll.add(&tun, 1)?;
    let mut ready = Vec::new();
    loop {
        poll.wait(&mut ready, None)?;
        for source in &ready {
            match source {
                0 => inward.serve(&mut tun, &mut socket),
                _ => out.serve(&mut tun, &mut socket),
            }
        }
    }
}
