//! What the endpoint asks of its host: randomness, SPIs, addresses, names.
use super::clock;
use super::places::{Key, Places};
use crate::crypto::rng::{Rng, SystemRng};
use crate::ike::event::Host;
use crate::io::fds::EventFd;
use crate::io::udp;
use crate::ipsec::tables::Tables;
use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

/// Names are asked for again after this time.
const KEEP: Duration = Duration::from_secs(60);
/// Names that we remember, and addresses of each.
const MAX_NAMES: usize = 4096;
const MAX_ADDRESSES: usize = 16;

/// The host of the one endpoint.
#[derive(Debug)]
pub struct DaemonHost {
    /// Slots and SPIs.
    pub places: Places,
    /// Where peers can reach us, as far as the host's devices tell.
    pub addresses: Vec<IpAddr>,
    tables: Arc<Tables>,
    rng: SystemRng,
    mark: u32,
    names: Names,
}
impl DaemonHost {
    /// `mark` is that of our own packets; `wake` is signalled when a name was resolved.
    pub fn new(places: Places, tables: Arc<Tables>, mark: u32, wake: Arc<EventFd>) -> std::io::Result<Self> {
        Ok(Self { places, addresses: Vec::new(), tables, rng: SystemRng, mark, names: Names::start(wake)? })
    }
    /// Takes in what was resolved. True if any name has other addresses than before.
    pub fn resolved(&mut self) -> bool {
        self.names.collect()
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
        self.addresses.clone()
    }
    fn resolve(&mut self, name: &str) -> Vec<IpAddr> {
        self.names.get(name)
    }
    fn unix_time(&mut self) -> Duration {
        clock::unix()
    }
}

#[derive(Debug, Default)]
struct Known {
    addresses: Vec<IpAddr>,
    asked: Option<Duration>,
}

/// Names and a thread that asks for them with the system's resolver. Its questions carry no mark; so a name server that can be reached
/// through the tunnel only is no use for the name of the tunnel's own end.
#[derive(Debug)]
struct Names {
    known: HashMap<String, Known>,
    questions: SyncSender<String>,
    answers: Receiver<(String, Vec<IpAddr>)>,
}
impl Names {
    fn start(wake: Arc<EventFd>) -> std::io::Result<Self> {
        let (questions, to_ask) = mpsc::sync_channel::<String>(64);
        let (answer, answers) = mpsc::channel();
        thread::Builder::new().name("resolve".into()).spawn(move || {
            for name in to_ask {
                let found = (name.as_str(), 0).to_socket_addrs();
                let found = found.inspect_err(|error| tracing::warn!(name = ?name, %error, "a name was not resolved"));
                let addresses = found.into_iter().flatten().map(|addr| addr.ip()).take(MAX_ADDRESSES).collect();
                if answer.send((name, addresses)).is_err() {
                    return;
                }
                wake.signal();
            }
        })?;
        Ok(Self { known: HashMap::new(), questions, answers })
    }
    fn get(&mut self, name: &str) -> Vec<IpAddr> {
        let now = clock::now();
        if !self.known.contains_key(name) && self.known.len() >= MAX_NAMES {
            return Vec::new();
        }
        let known = self.known.entry(name.to_owned()).or_default();
        if known.asked.is_none_or(|asked| asked + KEEP <= now) && self.questions.try_send(name.to_owned()).is_ok() {
            known.asked = Some(now);
        }
        known.addresses.clone()
    }
    fn collect(&mut self) -> bool {
        let mut news = false;
        for (name, mut addresses) in self.answers.try_iter() {
            addresses.dedup();
            // Nothing at all is a failure of the name server, too: what was known stays.
            if let Some(known) = self.known.get_mut(&name).filter(|_| !addresses.is_empty()) {
                news |= known.addresses != addresses;
                known.addresses = addresses;
            }
        }
        news
    }
}
