//! What whoever captures sees of IKE.
use super::Engine;
use crate::dataplane::tap::Datagram;
use crate::ike::policy::Remote;
use crate::ipsec::path::Encap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

impl Engine {
    /// An IKE message, without the marker that it has on the port of ESP.
    pub(super) fn show(&self, now: Duration, outgoing: bool, (local, remote): (SocketAddr, SocketAddr), data: &[u8]) {
        let workers = &self.parts.workers;
        let Some(tap) = workers.tap.open(now, workers.stats.len()) else { return };
        let marked = local.port() == self.parts.config.policy.ports.natt;
        let datagram = Datagram { local, remote, encap: Encap::Udp, tos: 0, marked, data };
        tap.ike(|connection| self.is_at(connection, remote.ip()), outgoing, datagram);
    }

    /// Who speaks from there is a peer of this connection, or may become one.
    fn is_at(&self, connection: &str, ip: IpAddr) -> bool {
        let policy = &self.parts.config.policy;
        let configured = policy.connections.iter().find(|other| *other.name == *connection);
        configured.is_some_and(|configured| configured.remote_addrs.contains(&Remote::Addr(ip)))
            || (self.endpoint.status_of(connection))
                .is_some_and(|status| status.sas.iter().any(|sa| sa.remote.ip() == ip))
    }
}
