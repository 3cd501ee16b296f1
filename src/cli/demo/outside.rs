//! What travels between the gateways, seen by somebody on the cable.
use super::Failure;
use super::place::INNER;
use crate::io::fds::{EventFd, Poll};
use crate::io::netlink::Netlink;
use crate::io::netns::Namespace;
use crate::io::packet::{Frame, Sniffer};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

/// Frames by what they are; trains that the kernel moves in one piece count once.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// ESP, in UDP or not.
    pub esp: u64,
    /// IKE.
    pub ike: u64,
    /// ARP, and IPv6's neighbour and group protocols.
    pub housekeeping: u64,
    /// Packets with an address that is to be protected.
    pub clear: u64,
    /// Anything else.
    pub other: u64,
    /// Frames that went by while we looked at others.
    pub missed: u64,
}
impl std::fmt::Display for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { esp, ike, housekeeping, clear, other, missed } = self;
        write!(
            f,
            "{esp} frames of ESP, {ike} of IKE, {housekeeping} of ARP and the like, {other} others, {clear} in the clear"
        )?;
        if *missed > 0 { write!(f, " ({missed} too fast to look at)") } else { Ok(()) }
    }
}

/// Counts from now on.
pub struct Watch {
    stop: Arc<EventFd>,
    thread: JoinHandle<io::Result<io::Result<Seen>>>,
}
impl Watch {
    /// Starts to look at a device inside of a namespace.
    pub fn start(namespace: &Namespace, device: &str) -> Result<Self, Failure> {
        let start = || -> io::Result<Self> {
            let sniffer = namespace.run(|| Sniffer::open(Netlink::open()?.link(device)?.index))??;
            let stop = Arc::new(EventFd::new()?);
            let until = stop.clone();
            Ok(Self { stop, thread: namespace.spawn(move || count(sniffer, &until))? })
        };
        start().map_err(Failure::at("packet socket"))
    }

    /// What was seen.
    pub fn finish(self) -> Result<Seen, Failure> {
        self.stop.signal();
        let result = self.thread.join().map_err(|_| Failure::Failed("packet socket".into()))?;
        result.and_then(|seen| seen).map_err(Failure::at("packet socket"))
    }
}

fn count(mut sniffer: Sniffer, until: &EventFd) -> io::Result<Seen> {
    let (poll, mut ready) = (Poll::new()?, Vec::new());
    poll.add(&sniffer, 0)?;
    poll.add(until, 1)?;
    let mut seen = Seen::default();
    // Headers are enough.
    let mut buf = [0; 64];
    while !ready.contains(&1) {
        poll.wait(&mut ready, None)?;
        while let Some(frame) = sniffer.next(&mut buf)? {
            let counter = match classify(&frame, &buf) {
                Kind::Esp => &mut seen.esp,
                Kind::Ike => &mut seen.ike,
                Kind::Housekeeping => &mut seen.housekeeping,
                Kind::Clear => &mut seen.clear,
                Kind::Other => &mut seen.other,
            };
            *counter += 1;
        }
    }
    seen.missed = sniffer.missed()?;
    Ok(seen)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Esp,
    Ike,
    Housekeeping,
    Clear,
    Other,
}

fn classify(frame: &Frame, buf: &[u8]) -> Kind {
    let packet = buf.get(..frame.len).unwrap_or(buf);
    match frame.protocol {
        0x0806 => Kind::Housekeeping,
        0x0800 => classify_ipv4(packet).unwrap_or(Kind::Other),
        // Neighbour discovery, and group membership behind a hop-by-hop header.
        0x86dd if matches!(packet.get(6), Some(58 | 0)) => Kind::Housekeeping,
        _ => Kind::Other,
    }
}

fn classify_ipv4(packet: &[u8]) -> Option<Kind> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let addresses: [&[u8]; 2] = [packet.get(12..16)?, packet.get(16..20)?];
    if addresses.iter().any(|address| INNER.iter().any(|inner| inner.octets() == **address)) {
        return Some(Kind::Clear);
    }
    let ports: [u8; 4] = *packet.get(header..)?.first_chunk()?;
    let ports = [u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]])];
    let marker = packet.get(header + 8..header + 12) == Some(&[0; 4]);
    Some(match packet.get(9)? {
        50 => Kind::Esp,
        17 if ports.contains(&500) || ports.contains(&4500) && marker => Kind::Ike,
        17 if ports.contains(&4500) => Kind::Esp,
        _ => Kind::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;

    fn udp(from: [u8; 4], to: [u8; 4], port: u16, data: &[u8]) -> Kind {
        let mut packet = Vec::new();
        PacketBuilder::ipv4(from, to, 64).udp(4500, port).write(&mut packet, data).expect("packet");
        classify(&Frame { protocol: 0x0800, outgoing: false, len: packet.len().min(64) }, &packet)
    }

    #[test]
    fn frames_are_told_apart() {
        let (a, b, inner) = ([192, 0, 2, 1], [192, 0, 2, 2], INNER[1].octets());
        assert_eq!(udp(a, b, 4500, &[1; 100]), Kind::Esp);
        assert_eq!(udp(a, b, 4500, &[0; 100]), Kind::Ike);
        assert_eq!(udp(a, b, 500, &[1; 100]), Kind::Ike);
        assert_eq!(udp(a, inner, 4500, &[1; 100]), Kind::Clear);
        assert_eq!(udp(inner, b, 4500, &[1; 100]), Kind::Clear);
        let other = Frame { protocol: 0x0800, outgoing: false, len: 19 };
        assert_eq!(classify(&other, &[0x45; 64]), Kind::Other);
        assert_eq!(classify(&Frame { protocol: 0x0806, ..other }, &[]), Kind::Housekeeping);
        let mut esp = [0x45; 64];
        esp[9] = 50;
        assert_eq!(classify(&Frame { len: 64, ..other }, &esp), Kind::Esp);
        assert_eq!(classify(&Frame { protocol: 0x88cc, ..other }, &esp), Kind::Other);
    }
}
