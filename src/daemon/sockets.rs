//! The outer sockets: two of the engine for each address (plain IKE, and IKE beside ESP), and those of the workers.
use super::lanes::Lanes;
use super::patience::Patience;
use crate::config::Gateway;
use crate::dataplane::worker::{Outer, Socket};
use crate::ike::endpoint::Endpoint;
use crate::ike::policy::{EncapPolicy, Policy};
use crate::io::raw_esp::{RawEsp, Share};
use crate::io::udp::{Options, UdpSocket};
use crate::io::{Datagrams, ReceiveBatch};
use crate::ipsec::path::Encap;
use crate::wire::encap::{self, Datagram, NON_ESP_MARKER};
use crate::wire::message::HEADER_LEN;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Datagrams or trains that one receive call brings.
const BATCH: usize = 16;
/// What the log and the API say of a daemon without raw sockets.
pub const NO_RAW_ESP: &str = "raw ESP is unavailable: CAP_NET_RAW is missing, so ESP goes in UDP only, as with encap = \"always\"; a peer that cannot do that needs a gateway that has it";
/// Receive calls for one socket before the next has its turn.
const ROUNDS: usize = 16;

/// The engine's sockets.
#[derive(Debug)]
pub struct Sockets {
    list: Vec<UdpSocket>,
    natt_port: u16,
    batch: ReceiveBatch,
    /// The workers have raw ones: ESP may travel as protocol 50.
    pub raw_esp: bool,
    /// Datagrams that the system did not take.
    pub unsent: u64,
}
/// All sockets: the engine's, and those of each worker.
pub type Bound = (Sockets, Vec<Vec<Socket<Outer>>>);

/// Binds everything for `workers` (1 to 16). The ports of a daemon that was killed are taken for a moment longer than its lock.
///
/// # Errors
/// A sentence that names the port and says what to do.
pub fn bind(gateway: &Gateway, workers: u8, patience: &Patience) -> Result<Bound, String> {
    let in_the_way = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
    let mut list = Vec::new();
    let mut of_workers: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    let mark = Some(gateway.mark);
    let mut raw = true;
    for &addr in gateway.listen.iter().filter(|addr| usable(**addr)) {
        let taken = |port: u16| move |error: io::Error| failed(addr, port, &error);
        let (ike, natt) = (gateway.ports.ike, gateway.ports.natt);
        let options = Options { mark, gro: false };
        let plain = patience.wait(|| UdpSocket::bind(SocketAddr::new(addr, ike), options), in_the_way);
        list.push(plain.map_err(taken(ike))?);
        let options = Options { mark, gro: true };
        let group = patience.wait(|| UdpSocket::bind_group(SocketAddr::new(addr, natt), options, workers), in_the_way);
        let group = group.map_err(taken(natt))?;
        let mut group = group.into_iter();
        list.extend(group.next());
        for (index, (socket, sockets)) in (0..).zip(group.zip(&mut of_workers)) {
            sockets.push(Socket { encap: Encap::Udp, local: addr, io: Outer::Udp(socket) });
            let share = Share { index, workers };
            let esp = RawEsp::open(addr, share, mark).map_err(|error| failed(addr, 0, &error))?;
            raw &= esp.is_some();
            sockets.extend(esp.map(|esp| Socket { encap: Encap::Raw, local: addr, io: Outer::Raw(esp) }));
        }
    }
    if list.is_empty() {
        return Err("there is no address to listen on: the host has no IPv6, and `listen` names nothing else".into());
    }
    if !raw {
        tracing::warn!("{NO_RAW_ESP}");
    }
    Ok((Sockets::adopt(list, gateway.ports.natt, raw), of_workers))
}

fn in_udp(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    let apart = policy.connections.iter_mut().filter(|connection| connection.encap != EncapPolicy::Always);
    apart.for_each(|connection| Arc::make_mut(connection).encap = EncapPolicy::Always);
    policy
}

/// Where the engine's sockets are, in their order.
pub fn wanted(gateway: &Gateway) -> impl Iterator<Item = SocketAddr> {
    let ports = gateway.ports;
    let there = gateway.listen.iter().filter(|addr| usable(**addr));
    there.flat_map(move |addr| [ports.ike, ports.natt].map(|port| SocketAddr::new(*addr, port)))
}

/// A host without IPv6 still has the default `listen`.
fn usable(addr: IpAddr) -> bool {
    addr.is_ipv4() || !addr.is_unspecified() || std::path::Path::new("/proc/net/if_inet6").exists()
}

fn failed(addr: IpAddr, port: u16, error: &io::Error) -> String {
    let what = if port == 0 { format!("ESP on {addr}") } else { format!("UDP port {port} on {addr}") };
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "{what} is taken: another IKE daemon (strongSwan, libreswan, another sandhogd) runs here. Stop it, or set other `ports` or `listen`"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("{what} is not allowed: start sandhogd as root or with CAP_NET_BIND_SERVICE and CAP_NET_RAW")
        }
        io::ErrorKind::AddrNotAvailable => format!("{what}: the host has no such address; see `listen`"),
        _ => format!("{what}: {error}"),
    }
}

impl Sockets {
    /// Those that are bound. `raw_esp`: the workers have raw ones.
    pub fn adopt(list: Vec<UdpSocket>, natt_port: u16, raw_esp: bool) -> Self {
        Self { list, natt_port, batch: ReceiveBatch::new(BATCH), raw_esp, unsent: 0 }
    }
    /// The policy that these sockets can carry: where there are no raw ones every peer is made to put ESP in UDP.
    pub fn carry(&self, policy: &Arc<Policy>) -> Arc<Policy> {
        if self.raw_esp { policy.clone() } else { Arc::new(in_udp(policy)) }
    }
    /// The sockets, to wait for.
    pub fn iter(&self) -> impl Iterator<Item = &UdpSocket> {
        self.list.iter()
    }
    /// Takes what is there from a socket into the lanes.
    pub fn receive(&mut self, index: usize, lanes: &mut Lanes, endpoint: &Endpoint) {
        let Some(socket) = self.list.get_mut(index) else { return };
        for _ in 0..ROUNDS {
            // An ICMP error of an earlier datagram is reported here; the endpoint's timers know better.
            if socket.receive(&mut self.batch).is_err() || self.batch.datagrams.is_empty() {
                return;
            }
            for train in &self.batch.datagrams {
                let Some(data) = self.batch.buf.get(train.offset..train.offset + train.len) else { continue };
                for data in data.chunks(train.segment.max(1)) {
                    match message(data, train.local.port() == self.natt_port) {
                        Ok(Some(data)) => lanes.push(endpoint.is_ours(data), train.local, train.remote, data),
                        Ok(None) => {}
                        Err(Junk) => lanes.junk += 1,
                    }
                }
            }
        }
    }
    /// Sends an IKE message, with the marker where ESP shares the port.
    pub fn send(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8], dont_fragment: bool) {
        if local.port() == self.natt_port {
            let marked = [&NON_ESP_MARKER, data].concat();
            self.send_raw(local, remote, &marked, dont_fragment);
        } else {
            self.send_raw(local, remote, data, dont_fragment);
        }
    }
    /// Sends octets as they are.
    pub fn send_raw(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8], dont_fragment: bool) {
        let fits = |socket: &&mut UdpSocket| {
            let bound = socket.local_addr();
            bound.port() == local.port()
                && bound.is_ipv4() == remote.is_ipv4()
                && (bound.ip().is_unspecified() || bound.ip() == local.ip())
        };
        let sent =
            self.list.iter_mut().find(fits).map(|socket| socket.send_to(local.ip(), remote, data, dont_fragment));
        if !matches!(sent, Some(Ok(()))) {
            self.unsent += 1;
            tracing::debug!(%local, %remote, result = ?sent, "a datagram was not sent");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Junk;

/// The IKE message in a datagram; none in a keepalive.
fn message(data: &[u8], natt: bool) -> Result<Option<&[u8]>, Junk> {
    if !natt {
        return if data.len() < HEADER_LEN { Err(Junk) } else { Ok(Some(data)) };
    }
    match encap::classify(data) {
        Datagram::Ike(message) => Ok(Some(message)),
        Datagram::Keepalive => Ok(None),
        // ESP is the workers'.
        Datagram::Esp(_) | Datagram::Junk => Err(Junk),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_belongs_to_the_shared_port_only() {
        let ike = [7; HEADER_LEN];
        let marked = [&NON_ESP_MARKER[..], &ike].concat();
        assert_eq!(message(&ike, false), Ok(Some(&ike[..])));
        assert_eq!(message(&marked, true), Ok(Some(&ike[..])));
        assert_eq!(message(&ike, true), Err(Junk));
        assert_eq!(message(&[0xff], true), Ok(None));
        assert_eq!(message(&[0xff], false), Err(Junk));
        assert_eq!(message(&[], true), Err(Junk));
    }

    #[test]
    fn without_raw_sockets_everything_goes_in_udp() {
        let text = "[connections.a]\nremote_addrs = [\"192.0.2.9\"]\n[connections.a.children.b]\nlocal_ts = [\"10.1.0.0/24\"]\nremote_ts = [\"10.2.0.0/24\"]\n\
                    [secrets.s]\nid = [\"192.0.2.9\"]\nsecret = \"correct horse battery staple\"\n";
        let source = crate::config::Source { name: "a.toml".into(), text: text.into() };
        let policy = crate::config::parse(&[source], &crate::config::secret::System).unwrap().policy;
        assert_eq!(policy.connections[0].encap, EncapPolicy::Auto);
        let carried = |raw| Sockets::adopt(Vec::new(), 4500, raw).carry(&policy);
        assert!(Arc::ptr_eq(&carried(true), &policy));
        assert_eq!(carried(false).connections[0].encap, EncapPolicy::Always);
    }

    #[test]
    fn a_taken_port_is_told_with_what_to_do() {
        let text = failed([0, 0, 0, 0].into(), 500, &io::ErrorKind::AddrInUse.into());
        assert!(text.contains("UDP port 500") && text.contains("Stop it"), "{text}");
    }
}
