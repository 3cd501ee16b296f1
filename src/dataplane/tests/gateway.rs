//! Two gateways back to back: 10.1.0.0/24 and fd01::/64 behind the left one, 10.2.0.0/24 and fd02::/64 behind the right one.
use super::segment::segments;
use crate::crypto::secret::Secret;
use crate::dataplane::Upcall;
use crate::dataplane::home::Team;
use crate::dataplane::stats::WorkerStats;
use crate::dataplane::tap::Tap;
use crate::dataplane::worker::{Ends, Orders, Shared, Socket, Worker};
use crate::esp::drop::Drop;
use crate::esp::inbound::InboundSa;
use crate::esp::outbound::OutboundSa;
use crate::esp::{Cipher, SaParams};
use crate::io::VnetHeader;
use crate::io::memory::{Device, Knobs, Port, Train};
use crate::ipsec::fitting::Fitting;
use crate::ipsec::path::{Encap, Path};
use crate::ipsec::sad::{InboundEntry, Mode};
use crate::ipsec::settings::Settings;
use crate::ipsec::spd::{Action, DeviceId, PolicyEntry, Slot, Spd};
use crate::ipsec::tables::{Child, OutboundEntry, Tables, Traffic};
use crate::ipsec::translate::Translation;
use crate::wire::selector::Selector;
use arc_swap::ArcSwap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

pub const DEVICE: DeviceId = DeviceId(3);
pub const SLOT: Slot = Slot(5);

/// What the two have in common.
#[derive(Clone, Debug)]
pub struct Setup {
    pub ipv6_outer: bool,
    pub encap: Encap,
    pub cipher: Cipher,
    pub esn: bool,
    pub mtu: u16,
    pub copy_dscp: bool,
    pub may_move: bool,
    pub offloads: (bool, bool),
    pub knobs: Knobs,
    /// Selectors of the left and the right side, in the tables of both.
    pub left: Vec<Selector>,
    pub right: Vec<Selector>,
    /// First sequence number.
    pub first: u64,
    /// Packets wait for an SA.
    pub waits: bool,
    /// The worker that alone seals.
    pub home: Option<u8>,
    /// Workers that may have an SA of their own.
    pub resources: u32,
    pub mode: Mode,
    pub fitting: Fitting,
    /// Names that the left side's hosts use.
    pub translation: Option<Translation>,
}

pub fn selectors(all: &[&str]) -> Vec<Selector> {
    all.iter().map(|s| s.parse().expect("a selector")).collect()
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            ipv6_outer: false,
            encap: Encap::Udp,
            cipher: Cipher::AesGcm256,
            esn: false,
            mtu: 1500,
            copy_dscp: true,
            may_move: false,
            offloads: (true, true),
            knobs: Knobs::default(),
            left: selectors(&["10.1.0.0/24", "fd01::/64"]),
            right: selectors(&["10.2.0.0/24", "fd02::/64"]),
            first: 1,
            waits: false,
            home: None,
            resources: 0,
            mode: Mode::Tunnel,
            fitting: Fitting::default(),
            translation: None,
        }
    }
}

pub struct Gateway {
    pub worker: Worker<Port, Device>,
    /// The host's side of the device.
    pub host: Device,
    pub port: Port,
    pub upcalls: Receiver<Upcall>,
    pub tables: Arc<Tables>,
    pub child: Arc<Child>,
    pub stats: Arc<WorkerStats>,
    pub orders: Arc<Orders>,
    pub tap: Arc<Tap>,
    pub path: Arc<ArcSwap<Path>>,
    pub now: Duration,
    setup: Setup,
    left: bool,
}

pub const LEFT_SPI: u32 = SLOT.0 << 4 | 0x1000_0000;
pub const RIGHT_SPI: u32 = SLOT.0 << 4 | 0x2000_0000;

pub fn params(setup: &Setup, spi: u32) -> SaParams {
    let secret = |len: usize| Secret::new((0..len).map(|i| (i as u32 * 7 + (spi >> 28)) as u8).collect());
    let (encr, integ) = (setup.cipher.encr_key_len(), setup.cipher.integ_key_len());
    SaParams { spi, cipher: setup.cipher, encr: secret(encr), integ: secret(integ), esn: setup.esn }
}

pub fn pair(setup: &Setup) -> (Gateway, Gateway) {
    let (left, right) = Port::pair(setup.knobs);
    let left = Gateway::new(setup, true, left);
    let right = Gateway::new(setup, false, right);
    left.send_on(RIGHT_SPI);
    left.receive_on(LEFT_SPI);
    right.send_on(LEFT_SPI);
    right.receive_on(RIGHT_SPI);
    (left, right)
}

impl Gateway {
    fn new(setup: &Setup, left: bool, port: Port) -> Self {
        let addr = |host: u8| -> SocketAddr {
            let ip = if setup.ipv6_outer { format!("2001:db8::{host}") } else { format!("192.0.2.{host}") };
            SocketAddr::new(ip.parse::<IpAddr>().unwrap(), 4500)
        };
        let (local, remote) = if left { (addr(1), addr(2)) } else { (addr(2), addr(1)) };
        let Setup { encap, may_move, mtu, .. } = *setup;
        let tables = Arc::new(Tables::new());
        let child = Child::new(SLOT, "office/lan".into(), DEVICE, setup.copy_dscp);
        child.make_room(setup.resources);
        let Setup { copy_dscp, waits, home, fitting, .. } = *setup;
        let live = Settings { copy_dscp, waits, home, fitting }.into();
        let translation = setup.translation.filter(|_| left);
        let child = Arc::new(Child { live, translation, ..child });
        let (orders, tap) = (Arc::new(Orders::default()), Arc::new(Tap::default()));
        tables.insert_child(child.clone());
        let host = Device::new(setup.offloads);
        let any: IpAddr = if setup.ipv6_outer { "::" } else { "0.0.0.0" }.parse().unwrap();
        let ends = Ends {
            sockets: vec![Socket { encap, local: any, io: port.clone() }],
            devices: [(DEVICE, host.clone())].into_iter().collect(),
        };
        let (sender, upcalls) = sync_channel(64);
        let stats = Arc::new(WorkerStats::default());
        let shared = Shared {
            tables: tables.clone(),
            upcalls: sender,
            stats: stats.clone(),
            orders: orders.clone(),
            team: Team::default(),
            tap: tap.clone(),
        };
        let gateway = Self {
            worker: Worker::new(ends, shared),
            host,
            port,
            upcalls,
            tables,
            child,
            stats,
            orders,
            tap,
            path: Arc::new(ArcSwap::from_pointee(Path { local, remote, encap, may_move, mtu })),
            now: Duration::ZERO,
            setup: setup.clone(),
            left,
        };
        gateway.policies(Action::Protect(SLOT));
        gateway
    }

    pub fn policies(&self, action: Action) {
        let (mut local, mut remote) = self.sides();
        if let Some(names) = &self.child.translation {
            local = local.iter().filter_map(|ts| names.local_here(ts)).collect();
            remote = remote.iter().filter_map(|ts| names.remote_here(ts)).collect();
        }
        let entry =
            PolicyEntry { name: "office/lan".into(), local: local.into(), remote: remote.into(), priority: 0, action };
        self.tables.publish_policies(Spd::new([(DEVICE, entry)]));
    }

    fn sides(&self) -> (Vec<Selector>, Vec<Selector>) {
        let (left, right) = (self.setup.left.clone(), self.setup.right.clone());
        if self.left { (left, right) } else { (right, left) }
    }

    pub fn send_on(&self, spi: u32) {
        self.tables.swap_outbound(SLOT, Some(self.entry(spi)));
    }

    pub fn entry(&self, spi: u32) -> Arc<OutboundEntry> {
        let (local, remote) = self.sides();
        Arc::new(OutboundEntry {
            sa: OutboundSa::resume(&params(&self.setup, spi), [9; 16], self.setup.first),
            local_ts: local.into(),
            remote_ts: remote.into(),
            path: self.path.clone(),
            transport: self.setup.mode != Mode::Tunnel,
            traffic: Traffic::default(),
        })
    }

    pub fn receive_on(&self, spi: u32) {
        let (local, remote) = self.sides();
        self.tables.publish_inbound(Arc::new(InboundEntry {
            spi,
            sa: InboundSa::new(&params(&self.setup, spi), 4096),
            child: self.child.clone(),
            local_ts: local.into(),
            remote_ts: remote.into(),
            check_fragments: true,
            mode: self.setup.mode,
            traffic: Traffic::default(),
        }));
    }

    pub fn turn(&mut self) {
        self.worker.turn(self.now);
    }

    /// The host sends, the worker takes it; what went out.
    pub fn send(&mut self, header: VnetHeader, packet: Vec<u8>) -> Vec<Train> {
        self.host.push(header, packet);
        self.turn();
        self.port.sent()
    }

    /// What came to the host, super-packets cut again.
    pub fn delivered(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.host.pop())
            .flat_map(|(header, packet)| segments(&header, &packet).expect("possible"))
            .collect()
    }

    /// A packet as our peer would seal it for us, whatever is in it.
    pub fn forge(&self, sa: &OutboundSa, seq: u64, inner: &[u8], next_header: u8) -> Vec<u8> {
        let mut packet = vec![0; sa.sealed_len(inner.len())];
        packet[sa.head()..sa.head() + inner.len()].copy_from_slice(inner);
        sa.seal(seq, &mut packet, inner.len(), next_header);
        packet
    }

    /// The sending half of the SA that we receive on.
    pub fn peer_sa(&self) -> OutboundSa {
        self.peer_sa_of(if self.left { LEFT_SPI } else { RIGHT_SPI })
    }

    /// The same of another of our SPIs.
    pub fn peer_sa_of(&self, spi: u32) -> OutboundSa {
        OutboundSa::new(&params(&self.setup, spi), [9; 16])
    }

    /// As if it had come from the peer.
    pub fn train(&self, datagrams: &[Vec<u8>]) -> Train {
        let path = self.path.load();
        Train {
            source: path.remote,
            destination: path.local,
            tos: 0,
            dont_fragment: true,
            segment: datagrams[0].len(),
            data: datagrams.concat(),
        }
    }

    /// What one more worker shares with the rest, and what it tells.
    pub fn share(&self, stats: Arc<WorkerStats>) -> (Shared, Receiver<Upcall>) {
        let (upcalls, told) = sync_channel(4096);
        let (tables, orders) = (self.tables.clone(), self.orders.clone());
        (Shared { tables, upcalls, stats, orders, team: Team::default(), tap: Arc::default() }, told)
    }

    pub fn drops(&self) -> Vec<(Drop, u64)> {
        Drop::ALL.iter().map(|reason| (*reason, self.stats.drops(*reason))).filter(|(_, n)| *n > 0).collect()
    }

    pub fn told(&self) -> Vec<Upcall> {
        self.upcalls.try_iter().collect()
    }
}
