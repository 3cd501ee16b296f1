//! What the endpoint asks of its host: randomness, SPIs, addresses, names.
use super::clock;
use super::names::Names;
use super::network::Addresses;
use super::places::{Key, Places};
use crate::crypto::rng::{Rng, SystemRng};
use crate::ike::event::Host;
use crate::io::fds::EventFd;
use crate::io::udp;
use crate::ipsec::tables::Tables;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The host of the one endpoint.
#[derive(Debug)]
pub struct DaemonHost {
    /// Slots and SPIs.
    pub places: Places,
    /// The addresses of this host.
    pub addresses: Addresses,
    tables: Arc<Tables>,
    rng: SystemRng,
    mark: u32,
    names: Names,
}
impl DaemonHost {
    /// `mark` is that of our own packets; `wake` is signalled when a name was resolved.
    pub fn new(places: Places, tables: Arc<Tables>, mark: u32, wake: Arc<EventFd>) -> std::io::Result<Self> {
        let names = Names::start(mark, wake)?;
        Ok(Self { places, addresses: Addresses::default(), tables, rng: SystemRng, mark, names })
    }
    /// The names that were resolved since the last time, or could not be.
    pub fn resolved(&mut self) -> Vec<String> {
        self.names.collect(clock::now())
    }
}
impl Host for DaemonHost {
    fn random(&mut self, out: &mut [u8]) {
        self.rng.fill(out);
    }
    fn allocate_spi(&mut self, connection: &str, child: &str, peer: u32, resource: Option<u32>) -> Option<u32> {
        let mut random = [0; 4];
        self.rng.fill(&mut random);
        let key = Key { connection: connection.into(), child: child.into(), peer };
        let random = u32::from_ne_bytes(random);
        match resource {
            Some(worker) => self.places.allocate_spi_for(&key, worker, random),
            None => self.places.allocate_spi(&key, random),
        }
    }
    fn resources(&self) -> u32 {
        self.places.workers()
    }
    fn release_spi(&mut self, spi: u32) {
        self.tables.larvae.remove(spi);
        self.places.release_spi(spi);
    }
    fn local_addr(&mut self, remote: IpAddr) -> Option<IpAddr> {
        udp::route_to(remote, Some(self.mark)).ok().map(|route| route.source)
    }
    fn local_addrs(&mut self) -> Vec<IpAddr> {
        self.addresses.outer.clone()
    }
    fn is_ours(&mut self, addr: IpAddr) -> bool {
        addr.is_loopback() || self.addresses.all.contains(&addr)
    }
    fn reaches(&mut self, local: IpAddr, remote: IpAddr) -> bool {
        !self.addresses.unplugged.contains(&local) && udp::reaches(local, remote, Some(self.mark))
    }
    fn resolve(&mut self, name: &str) -> Vec<IpAddr> {
        self.names.get(name, clock::now())
    }
    fn resolve_again(&mut self, name: &str) -> bool {
        self.names.again(name, clock::now())
    }
    fn unix_time(&mut self) -> Duration {
        clock::unix()
    }
}
