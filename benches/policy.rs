//! Tables with 10,000 and 100,000 children on one device: the policy of a packet to a uniformly random destination without any flow cache, a
//! rekey, a child that comes and one that goes, each against its bar; and the whole way of a small packet, beside that with one child.
#![allow(missing_docs, reason = "criterion's macros make an undocumented function")]
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use sandhog::crypto::cipher::Cipher;
use sandhog::crypto::rng::SystemRng;
use sandhog::crypto::secret::Secret;
use sandhog::daemon::clock;
use sandhog::daemon::install::Installer;
use sandhog::daemon::places::{Key, Places};
use sandhog::dataplane::home::Team;
use sandhog::dataplane::stats::WorkerStats;
use sandhog::dataplane::worker::{Ends, Shared, Socket, Source, Worker};
use sandhog::esp::SaParams;
use sandhog::esp::drop::Drop;
use sandhog::esp::inbound::InboundSa;
use sandhog::esp::outbound::OutboundSa;
use sandhog::ike::event::{ChildId, ChildUp, DirectionKeys, Ended, IkeId, IkePath};
use sandhog::io::{Datagrams, Destination, ReceiveBatch, Tun, VnetHeader};
use sandhog::ipsec::path::Encap;
use sandhog::ipsec::sad::{InboundEntry, Mode};
use sandhog::ipsec::spd::{Action, DeviceId, PolicyEntry, Slot, Spd};
use sandhog::ipsec::tables::{OutboundEntry, Tables, Traffic};
use sandhog::wire::ip::Flow;
use sandhog::wire::payload::Proposal;
use sandhog::wire::registry::ProtocolId;
use sandhog::wire::selector::Selector;
use std::hint::black_box;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

const DEVICE: DeviceId = DeviceId(0);
const NOW: Duration = Duration::from_secs(1000);
/// Children, and how long a lookup, a rekey, and a child that comes or goes may take.
const SIZES: [(u32, Duration); 2] = [(10_000, Duration::from_nanos(100)), (100_000, Duration::from_nanos(150))];
const REKEY: Duration = Duration::from_micros(20);
const CHILD: Duration = Duration::from_millis(5);

/// A host in the network of a child: each has a /24, or a /40, scattered over the address space or over 2000::/8.
fn host(ipv6: bool, child: u32, host: u8) -> IpAddr {
    let network = child.wrapping_mul(0x9e37_79b1) % (1 << 24);
    match ipv6 {
        false => (network << 8 | u32::from(host)).to_be_bytes().into(),
        true => (0x20 << 120 | u128::from(network) << 96 | u128::from(host)).to_be_bytes().into(),
    }
}

fn remote(ipv6: bool, child: u32) -> Selector {
    Selector::prefix(host(ipv6, child, 0), if ipv6 { 32 } else { 24 })
}

/// Our side of all children, and a host there.
fn local(ipv6: bool) -> (Selector, IpAddr) {
    let (network, len, host) = if ipv6 { ("fd00::", 16, "fd00::1") } else { ("10.0.0.0", 8, "10.1.2.3") };
    (Selector::prefix(network.parse().expect("an address"), len), host.parse().expect("an address"))
}

fn spd(ipv6: bool, children: u32) -> Spd {
    let local: Arc<[Selector]> = [local(ipv6).0].into();
    Spd::new((0..children).map(|child| {
        let policy = PolicyEntry {
            name: "office/lan".into(),
            local: local.clone(),
            remote: [remote(ipv6, child)].into(),
            priority: 0,
            action: Action::Protect(Slot(child)),
        };
        (DEVICE, policy)
    }))
}

/// Runs `once` many times and tells the median of the samples against `bar`.
fn against(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, bar: Duration, mut run: impl FnMut(u64) -> Duration) {
    let mut samples = Vec::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            let taken = run(times);
            samples.push(taken.as_nanos() as f64 / times as f64);
            taken
        });
    });
    samples.sort_unstable_by(f64::total_cmp);
    let Some(&median) = samples.get(samples.len() / 2) else { return };
    let bar = bar.as_nanos() as f64;
    println!("{name}: {median:.0} ns of at most {bar:.0} ns, {:.0} %\n", median / bar * 100.0);
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    for (family, ipv6) in [("IPv4", false), ("IPv6", true)] {
        for (children, bar) in SIZES {
            let spd = spd(ipv6, children);
            let src = local(ipv6).1;
            let mut random = 1u64;
            let mut once = || {
                let child = next(&mut random, children);
                let dst = host(ipv6, child, (random >> 24) as u8);
                let flow = Flow { src, dst, proto: 6, sport: 40_000, dport: 443, later_fragment: false };
                black_box(spd.lookup(DEVICE, black_box(&flow)).map(|found| found.action))
            };
            against(&mut group, &format!("{family}, {children} children"), bar, |times| {
                let begin = clock::now();
                (0..times).for_each(|_| _ = once());
                clock::now() - begin
            });
        }
    }
    group.finish();
}

/// The installer with children of so many peers, each with its SAs and its policy.
struct Gateway {
    tables: Arc<Tables>,
    installer: Installer,
    places: Places,
    ipv6: bool,
    next: u32,
}

impl Gateway {
    fn new(ipv6: bool, children: u32) -> Self {
        let tables = Arc::new(Tables::new());
        let installer = Installer::new(tables.clone(), DEVICE, |_, _| 1500, 0xdc);
        let mut gateway = Self { tables, installer, places: Places::new(1, &mut SystemRng), ipv6, next: 1 };
        for _ in 0..children {
            let up = gateway.offer();
            gateway.installer.child_up(NOW, &up, &mut gateway.places, &mut SystemRng);
        }
        gateway.installer.tick(NOW, &mut gateway.places);
        gateway
    }

    /// One more peer with its child.
    fn offer(&mut self) -> ChildUp {
        let peer = self.next;
        self.next += 1;
        let key = Key { connection: "office".into(), child: "lan".into(), peer };
        let end = |last| ([192, 0, 2, last], 4500).into();
        ChildUp {
            ike: IkeId(peer.into()),
            id: ChildId(peer.into()),
            spi_in: self.places.allocate_spi(&key, peer).expect("a free slot"),
            spi_out: 1000 + peer,
            connection: key.connection,
            child: key.child,
            peer,
            cipher: Cipher::AesGcm256,
            esn: true,
            keys_in: keys(),
            keys_out: keys(),
            transport: false,
            nat_original: None,
            local_ts: vec![local(self.ipv6).0],
            remote_ts: vec![remote(self.ipv6, peer)],
            path: IkePath { local: end(1), remote: end(2), udp: true, may_move: false },
            proposal: Proposal { number: 1, protocol: ProtocolId::ESP, spi: vec![], transforms: vec![] },
            initiator: false,
            replaces: None,
            resource: None,
            inbound_only: false,
        }
    }

    /// A child comes; until workers can use it.
    fn comes(&mut self) -> Duration {
        let up = self.offer();
        let begin = clock::now();
        self.installer.child_up(NOW, &up, &mut self.places, &mut SystemRng);
        self.installer.tick(NOW, &mut self.places);
        clock::now() - begin
    }

    /// The last that has come goes.
    fn goes(&mut self) -> Duration {
        self.next -= 1;
        let id = ChildId(self.next.into());
        let begin = clock::now();
        self.installer.child_down(NOW, id, Ended::ByPeer, &mut self.places);
        self.installer.tick(NOW, &mut self.places);
        clock::now() - begin
    }

    /// Other SAs for one of the children, without what it takes to make them.
    fn rekey(&self, slot: Slot) -> Duration {
        let present = self.tables.sad.slot(slot);
        let old = present.iter().next().expect("a child with an SA");
        let spi = old.spi ^ 1 << 28;
        let outbound = old.child.outbound.load();
        let outbound = outbound.as_ref().expect("a child that sends");
        let (local_ts, remote_ts) = (outbound.local_ts.clone(), outbound.remote_ts.clone());
        let params =
            |spi| SaParams { spi, cipher: Cipher::AesGcm256, encr: keys().encr, integ: keys().integ, esn: true };
        let inbound = Arc::new(InboundEntry {
            spi,
            sa: InboundSa::new(&params(spi), 4096),
            child: old.child.clone(),
            local_ts: local_ts.clone(),
            remote_ts: remote_ts.clone(),
            check_fragments: true,
            mode: Mode::Tunnel,
            traffic: Traffic::default(),
        });
        let outbound = Arc::new(OutboundEntry {
            sa: OutboundSa::new(&params(outbound.sa.spi() ^ 1 << 28), [0; 16]),
            local_ts,
            remote_ts,
            path: outbound.path.clone(),
            transport: false,
            traffic: Traffic::default(),
        });
        let old = old.spi;
        drop(present);
        let begin = clock::now();
        self.tables.publish_inbound(inbound);
        self.tables.swap_outbound(slot, Some(outbound));
        self.tables.retire_inbound(old);
        clock::now() - begin
    }
}

/// A TUN with datagrams of 64 octets, each for one of so many children that is drawn, and a socket that takes them.
struct Flood {
    packet: [u8; 64],
    children: u32,
    left: u64,
    random: u64,
}

impl Flood {
    fn new(children: u32) -> Self {
        let mut packet = [0; 64];
        packet[..16].copy_from_slice(&[0x45, 0, 0, 64, 0, 1, 0x40, 0, 64, 17, 0, 0, 10, 1, 2, 3]);
        packet[20..26].copy_from_slice(&[0x9c, 0x40, 0, 53, 0, 44]);
        Self { packet, children, left: 0, random: 1 }
    }
}

impl Tun for Flood {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::WouldBlock)?;
        let child = next(&mut self.random, self.children);
        let IpAddr::V4(dst) = host(false, child + 1, 7) else { return Err(io::ErrorKind::Unsupported.into()) };
        self.packet[16..20].copy_from_slice(&dst.octets());
        buf[..64].copy_from_slice(&self.packet);
        Ok((VnetHeader::default(), 64))
    }
    fn write(&mut self, _header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        panic!("an answer: {parts:?}");
    }
    fn offloads(&self) -> (bool, bool) {
        (true, true)
    }
}

struct Sink;

impl Datagrams for Sink {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        batch.datagrams.clear();
        Ok(())
    }
    fn send(&mut self, _to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        Ok(black_box(data).len().div_ceil(segment))
    }
}

/// The whole way of a datagram of 64 octets to the socket, for so many of the children; they share no train.
fn packets(group: &mut BenchmarkGroup<'_, WallTime>, gateway: &Gateway, children: u32, all: u32) {
    let socket = Socket { encap: Encap::Udp, local: IpAddr::from([0; 4]), io: Sink };
    let ends = Ends { sockets: vec![socket], devices: [(DEVICE, Flood::new(children))].into_iter().collect() };
    let (stats, orders) = (Arc::new(WorkerStats::default()), Arc::default());
    let (upcalls, tables) = (sync_channel(8).0, gateway.tables.clone());
    let mut worker = Worker::new(
        ends,
        Shared { tables, upcalls, stats: stats.clone(), orders, team: Team::default(), tap: Arc::default() },
    );
    group.bench_function(format!("packet to {children} of {all} children"), |bencher| {
        bencher.iter_custom(|times| {
            worker.ends.devices.get_mut(DEVICE).expect("a device").left = times;
            let begin = clock::now();
            while worker.ends.devices.get_mut(DEVICE).expect("a device").left > 0 {
                worker.serve(NOW, Source::Device(DEVICE)).expect("a device");
            }
            clock::now() - begin
        });
    });
    assert!(Drop::ALL.iter().all(|reason| stats.drops(*reason) == 0));
}

fn next(random: &mut u64, below: u32) -> u32 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (((*random >> 32) * u64::from(below)) >> 32) as u32
}

fn keys() -> DirectionKeys {
    DirectionKeys { encr: Secret::new(vec![7; 36]), integ: Secret::default() }
}

fn changes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("change");
    group.sample_size(20);
    packets(&mut group, &Gateway::new(false, 1), 1, 1);
    for (family, ipv6) in [("IPv4", false), ("IPv6", true)] {
        for (children, _) in SIZES {
            let mut gateway = Gateway::new(ipv6, children);
            if !ipv6 {
                for some in [1, 64, children] {
                    packets(&mut group, &gateway, some, children);
                }
            }
            let name = |what| format!("{what}, {family}, {children} children");
            group.bench_function(name("look at all"), |bencher| bencher.iter(|| gateway.installer.look(NOW)));
            against(&mut group, &name("child comes"), CHILD, |times| {
                let mut once = || {
                    let taken = gateway.comes();
                    gateway.goes();
                    taken
                };
                (0..times).map(|_| once()).sum()
            });
            against(&mut group, &name("child goes"), CHILD, |times| {
                let mut once = || {
                    gateway.comes();
                    gateway.goes()
                };
                (0..times).map(|_| once()).sum()
            });
            // At last, for the installer does not know of it and holds on to what is replaced.
            let mut slot = 0;
            against(&mut group, &name("rekey"), REKEY, |times| {
                let mut once = || {
                    slot = (slot + 7919) % children;
                    gateway.rekey(Slot(slot))
                };
                (0..times).map(|_| once()).sum()
            });
        }
    }
    group.finish();
}

criterion_group!(policy, lookup, changes);
criterion_main!(policy);
