//! What belongs to no SA of ours: the peer may have lost an SA that we have, or we have lost one that it has, as after a crash (RFC 7296
//! sections 1.5 and 2.21.4). We say so in the clear, and not more often than `admission` allows. Whoever hears it believes nothing: it asks
//! the peer on the IKE SA itself, and if that is not answered but denied, too, begins another one beside it.
use super::admission::Lost;
use super::endpoint::Endpoint;
use super::event::{Host, IkeId, Output};
use super::exchange::{Arrival, liveness};
use super::sa::{IkeSa, Phase};
use crate::wire::message::{Header, IkeSpi, Message};
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType, PayloadType};
use std::net::SocketAddr;
use std::time::Duration;

/// Octets of an IKE header and a notification without data: no answer is larger than what it answers.
const DENIAL: usize = 28 + 8;

impl Endpoint {
    /// An IKE message with an SPI that is not ours.
    pub(super) fn on_stray(&mut self, now: Duration, host: &mut dyn Host, header: &Header, from: &Arrival<'_>) {
        if header.response || self.shutdown.is_some() {
            return;
        }
        if let Some(spi) = lost_esp(header, from.data) {
            return self.on_lost_esp(now, host, spi, from.remote);
        }
        // What only an established IKE SA says. Attempts are answered by silence: they are not worth a doubt.
        let says = [ExchangeType::INFORMATIONAL, ExchangeType::CREATE_CHILD_SA].contains(&header.exchange);
        if says
            && header.first == PayloadType::SK
            && !header.spi_i.is_none()
            && !header.spi_r.is_none()
            && from.data.len() >= DENIAL
            && self.may_deny(now, host, Lost::Ike, (from.local, from.remote))
        {
            let answer = Header { initiator: !header.initiator, response: true, ..*header };
            self.deny(answer, Notify::new(NotifyType::INVALID_IKE_SPI, Vec::new()), from.local, from.remote);
        }
    }
    /// An ESP packet that is larger than what we say about it came with an SPI that is not ours.
    pub(super) fn on_unknown_spi(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        spi: u32,
        (local, remote): (SocketAddr, SocketAddr),
    ) {
        let port = self.common.directory.policy.ports.ike;
        // Raw ESP has no ports.
        let end = |end: SocketAddr| if end.port() == 0 { SocketAddr::new(end.ip(), port) } else { end };
        let (local, remote) = (end(local), end(remote));
        if self.shutdown.is_some() || !self.may_deny(now, host, Lost::Esp, (local, remote)) {
            return;
        }
        let header = Header {
            spi_i: IkeSpi::NONE,
            spi_r: IkeSpi::NONE,
            first: PayloadType::NONE,
            version: (2, 0),
            exchange: ExchangeType::INFORMATIONAL,
            initiator: true,
            response: false,
            id: 0,
            length: 0,
        };
        self.deny(header, Notify::new(NotifyType::INVALID_SPI, spi.to_be_bytes()), local, remote);
    }
    /// Only somebody whom a connection could be with is told, and not too many.
    fn may_deny(
        &mut self,
        now: Duration,
        host: &mut dyn Host,
        lost: Lost,
        (local, remote): (SocketAddr, SocketAddr),
    ) -> bool {
        let listed = self.common.directory.has_peer_at(now, remote.ip(), host);
        self.common.admission.denials.take(now, lost, listed)
            && !self.common.directory.between(local.ip(), remote.ip(), host).is_empty()
    }
    fn deny(&mut self, header: Header, notify: Notify, local: SocketAddr, remote: SocketAddr) {
        let header = Header { first: PayloadType::NONE, version: (2, 0), length: 0, ..header };
        let data = Message { header, payloads: vec![Payload::Notify(notify)] }.encode();
        self.common.out.push_back(Output::Transmit { local, remote, data, dont_fragment: false });
    }
    /// Somebody says that the peer has lost the SA that we send on.
    fn on_lost_esp(&mut self, now: Duration, host: &mut dyn Host, spi: u32, remote: SocketAddr) {
        if !self.common.admission.hints.take(now) {
            return;
        }
        self.common.admission.hints.pay(self.sas.len());
        let sends = |(id, sa): (&IkeId, &IkeSa)| match &sa.phase {
            Phase::Established(est) if sa.core.remote.ip() == remote.ip() => {
                est.children.iter().any(|child| child.spi_out == spi).then_some(*id)
            }
            _ => None,
        };
        let Some(id) = self.sas.iter().find_map(sends) else { return };
        self.step(now, host, id, |cx, sa| {
            if let Phase::Established(est) = &mut sa.phase {
                liveness::doubt(cx, &mut sa.core, est);
            }
            Ok(())
        });
    }
}

/// The outbound SPI that an INVALID_SPI in the clear is about.
fn lost_esp(header: &Header, data: &[u8]) -> Option<u32> {
    if header.exchange != ExchangeType::INFORMATIONAL || header.first != PayloadType::NOTIFY {
        return None;
    }
    match Message::parse(data).ok()?.payloads.first()? {
        Payload::Notify(notify) if notify.kind == NotifyType::INVALID_SPI => {
            notify.data.as_slice().try_into().ok().map(u32::from_be_bytes)
        }
        _ => None,
    }
}
