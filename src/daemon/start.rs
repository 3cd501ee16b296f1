//! What is made before there is an engine: the way of the packets, and the API's desk.
use super::{DEVICE, audits, ceiling, clock, devices, install, journal, places, workers};
use crate::config::Config;
use crate::control::capture::Captures;
use crate::control::config::{Keeper, Order};
use crate::control::gate;
use crate::control::metrics::listener::Listener;
use crate::control::metrics::meter::Meter;
use crate::control::request::{Engine, Request};
use crate::control::routes::Api;
use crate::crypto::rng::SystemRng;
use crate::io::fds::EventFd;
use crate::io::tun::Queue;
use crate::ipsec::tables::Tables;
use std::sync::{Arc, mpsc};

/// Requests of the API that wait.
const REQUESTS: usize = 256;
/// Orders to the keeper that wait.
const ORDERS: usize = 32;

/// What packets meet on their way, before there are workers.
pub struct PacketPath {
    pub tables: Arc<Tables>,
    pub inboxes: Vec<devices::Inbox>,
    pub devices: devices::Devices,
    pub installer: install::Installer,
    pub places: places::Places,
}

/// Lays it, as it is configured; without places where another daemon hands over its own.
pub fn lay(
    config: &Config,
    workers: usize,
    own: Vec<(Arc<str>, Vec<Queue>)>,
    taken: bool,
) -> Result<PacketPath, String> {
    let workers = u8::try_from(workers).unwrap_or(u8::MAX);
    let tables = Arc::new(Tables::new());
    let inboxes = workers::inboxes(workers).map_err(|error| format!("eventfd: {error}"))?;
    let mut devices = devices::Devices::new(inboxes.clone());
    let mut installer = install::Installer::new(tables.clone(), DEVICE, ceiling::of_new_path, config.gateway.mark);
    installer.follow_devices(devices.configure(clock::now(), config, &ceiling::of_own_devices(config)));
    own.into_iter().for_each(|(connection, queues)| devices.adopt(clock::now(), &connection, queues));
    let mut places = places::Places::new(workers, &mut SystemRng);
    // What another daemon has in its places comes first, when all else is ready.
    if !taken {
        installer.configure(config, &mut places);
    }
    Ok(PacketPath { tables, inboxes, devices, installer, places })
}

/// What the API works with, and where its requests and orders come out.
pub struct Desk {
    pub api: Api,
    pub from_api: mpsc::Receiver<Request>,
    pub from_clients: mpsc::Receiver<Order>,
    pub journal: journal::Journal,
}

pub fn desk(
    wake: &Arc<EventFd>,
    installer: &install::Installer,
    workers: &workers::Workers,
    metrics: Option<Arc<Listener>>,
) -> Desk {
    let (requests, from_api) = mpsc::sync_channel(REQUESTS);
    let (orders, from_clients) = mpsc::sync_channel(ORDERS);
    let journal = journal::Journal::default();
    let meter = Arc::new(Meter::default());
    meter.set_workers(workers.stats.clone());
    let (ring, audits) = (wake.clone(), audits::Audits::new(journal.ring()));
    // What the workers do not see themselves has the lane behind theirs.
    let lanes = workers.stats.len() + 1;
    let api = Api {
        engine: Engine::new(requests, Arc::new(move || ring.signal())),
        keeper: Keeper::new(orders),
        events: journal.ring(),
        clock: clock::now,
        audit: Arc::new(move |audit| audits.tell(clock::now(), audit)),
        large: gate::places(),
        tables: installer.tables().clone(),
        meter,
        captures: Arc::new(Captures::new(workers.tap.clone(), lanes, clock::now, clock::unix_exact)),
        metrics,
    };
    Desk { api, from_api, from_clients, journal }
}
