//! Several workers, one SA, and receivers whose replay windows are as narrow as peers have them. What the workers do is interleaved by a seed.
use super::build::*;
use super::gateway::*;
use super::transport::cut;
use crate::crypto::rng::{Rng, SeededRng};
use crate::dataplane::home::{self, Team};
use crate::dataplane::stats::{Direction, WorkerStats};
use crate::dataplane::worker::{Ends, Shared, Socket, Worker};
use crate::esp::drop::Drop;
use crate::io::fds::EventFd;
use crate::io::memory::{Device, Knobs, Port, Train};
use crate::io::{Datagrams, Destination, ReceiveBatch, VnetHeader};
use crate::ipsec::path::Encap;
use crate::ipsec::sad::Mode;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A receiver's window (RFC 4303 section 3.4.3), by plain sets.
struct Receiver {
    window: u64,
    highest: u64,
    seen: HashSet<u64>,
    dropped: u64,
}

impl Receiver {
    fn new(window: u64) -> Self {
        Self { window, highest: 0, seen: HashSet::new(), dropped: 0 }
    }

    fn hear(&mut self, seq: u64) {
        let old = seq + self.window <= self.highest;
        if old || !self.seen.insert(seq) {
            self.dropped += 1;
        }
        self.highest = self.highest.max(seq);
    }
}

/// Workers of one gateway; each has its queue of the device and its way to the peer.
struct Crew {
    left: Gateway,
    right: Gateway,
    workers: Vec<Worker<Port, Device>>,
    hosts: Vec<Device>,
    ports: Vec<Port>,
    stats: Vec<Arc<WorkerStats>>,
    /// What is on each worker's way.
    flying: Vec<VecDeque<Train>>,
    /// What has come to the peer, in order.
    came: Vec<Train>,
    rng: SeededRng,
}

impl Crew {
    fn new(seed: u64, workers: usize, home: Option<u8>) -> Self {
        Self::of(seed, workers, Setup { home, resources: workers as u32, ..Setup::default() })
    }

    fn of(seed: u64, workers: usize, setup: Setup) -> Self {
        let (left, right) = pair(&setup);
        let bells: Vec<_> = (0..workers).map(|_| Arc::new(EventFd::new().unwrap())).collect();
        let mut crew = Self {
            left,
            right,
            workers: Vec::new(),
            hosts: Vec::new(),
            ports: Vec::new(),
            stats: Vec::new(),
            flying: vec![VecDeque::new(); workers],
            came: Vec::new(),
            rng: SeededRng::new(seed),
        };
        for (team, host) in Team::of(&bells).into_iter().zip(Device::queues(workers, (true, true))) {
            let (port, _) = Port::pair(Knobs::default());
            let local = "0.0.0.0".parse().unwrap();
            let sockets = vec![Socket { encap: Encap::Udp, local, io: port.clone() }];
            let ends = Ends { sockets, devices: [(DEVICE, host.clone())].into_iter().collect() };
            let (tables, orders, stats) = (crew.left.tables.clone(), crew.left.orders.clone(), Arc::default());
            let shared = Shared {
                tables,
                upcalls: sync_channel(8).0,
                stats: Arc::clone(&stats),
                orders,
                team,
                tap: Arc::default(),
            };
            crew.workers.push(Worker::new(ends, shared));
            crew.hosts.push(host);
            crew.ports.push(port);
            crew.stats.push(stats);
        }
        crew
    }

    fn draw(&mut self, below: usize) -> usize {
        let mut octets = [0; 4];
        self.rng.fill(&mut octets);
        u32::from_le_bytes(octets) as usize % below
    }

    /// The host sends on a flow, which has one queue. How many packets that are on the wire.
    fn send(&mut self, flow: usize, number: u16) -> u64 {
        let queue = flow % self.workers.len();
        let payload = [1, 64, 700, 1300, 20_000, 60_000][self.draw(6)];
        let build =
            Build { sport: flow as u16, seq: u32::from(number) << 16, id: number, ..Build::tcp(false, payload) };
        let (header, segments) =
            if payload > 1340 { (build.gso(1340), payload.div_ceil(1340)) } else { (build.needs_csum(), 1) };
        self.hosts[queue].push(header, build.partial());
        segments as u64
    }

    fn turn(&mut self, worker: usize) {
        self.workers[worker].turn(Duration::ZERO);
        self.flying[worker].extend(self.ports[worker].sent());
    }

    /// As many turns as a worker takes without a bell.
    fn catch_up(&mut self, worker: usize) -> usize {
        let due = |crew: &Self| crew.workers[worker].deadline() == Some(Duration::ZERO);
        std::iter::from_fn(|| due(self).then(|| self.turn(worker))).count()
    }

    /// One train arrives, of any worker's.
    fn arrive(&mut self) -> bool {
        let ways: Vec<_> = (0..self.flying.len()).filter(|way| !self.flying[*way].is_empty()).collect();
        if ways.is_empty() {
            return false;
        }
        let way = ways[self.draw(ways.len())];
        let train = self.flying[way].pop_front();
        self.came.extend(train);
        true
    }

    /// 40 rounds: the host sends, each worker has a turn, and what is on its way arrives, in any order. How many packets should have come.
    fn work(&mut self) -> u64 {
        let mut expected = 0;
        let mut sent = 0;
        for _ in 0..40 {
            for _ in 0..self.draw(12) {
                let flow = self.draw(8);
                expected += self.send(flow, sent);
                sent += 1;
            }
            let mut due: Vec<_> = (0..self.workers.len()).collect();
            while !due.is_empty() {
                let worker = due.swap_remove(self.draw(due.len()));
                self.turn(worker);
                for _ in 0..self.draw(4) {
                    self.arrive();
                }
            }
            while self.draw(16) != 0 && self.arrive() {}
        }
        (0..2 * self.workers.len()).for_each(|i| self.turn(i % self.hosts.len()));
        (0..self.workers.len()).for_each(|worker| assert!(self.catch_up(worker) < 40));
        while self.arrive() {}
        expected
    }

    fn numbers(&self) -> Vec<u64> {
        let number = |datagram: &[u8]| u32::from_be_bytes(datagram[4..8].try_into().unwrap()).into();
        self.came.iter().flat_map(Train::datagrams).map(number).collect()
    }

    /// Packets that receivers with such a window drop.
    fn dropped(&self, window: u64) -> u64 {
        let mut receiver = Receiver::new(window);
        self.numbers().into_iter().for_each(|seq| receiver.hear(seq));
        receiver.dropped
    }

    /// Opens all of it; within each flow nothing may have changed places.
    fn check_flows(&mut self) {
        let mut last = HashMap::new();
        for train in std::mem::take(&mut self.came) {
            self.right.port.inject(train);
            self.right.turn();
            for packet in self.right.delivered() {
                let flow = u16::from_be_bytes([packet[20], packet[21]]);
                let seq = u32::from_be_bytes(packet[24..28].try_into().unwrap());
                let before = last.insert(flow, seq);
                assert!(before.is_none_or(|before| before < seq), "flow {flow}: {seq} behind {before:?}");
            }
        }
        assert_eq!(self.right.drops(), []);
    }

    fn drops(&self) -> u64 {
        self.stats.iter().flat_map(|stats| Drop::ALL.iter().map(|reason| stats.drops(*reason))).sum()
    }
}

#[test]
fn towards_a_narrow_window_all_leaves_in_order() {
    for seed in 0..6 {
        for workers in [1, 2, 3, 16] {
            let home = seed as u8 % workers;
            let mut crew = Crew::new(seed, workers.into(), Some(home));
            let expected = crew.work();
            let numbers = crew.numbers();
            assert_eq!(numbers, (1..=expected).collect::<Vec<_>>(), "seed {seed}, {workers} workers");
            assert_eq!([crew.dropped(32), crew.dropped(64), crew.drops()], [0; 3]);
            let handed = crew.stats.iter().enumerate().filter(|(_, stats)| stats.batches(Direction::Handed) != [0; _]);
            let takers: Vec<_> = handed.map(|(worker, _)| worker).collect();
            assert_eq!(takers, if workers > 1 { vec![usize::from(home)] } else { vec![] });
            crew.check_flows();
        }
    }
}

/// The same without a home worker: a wide window bears it, and the narrow ones show that the test above can fail.
#[test]
fn towards_a_wide_window_any_worker_seals() {
    for seed in 0..6 {
        let mut crew = Crew::new(seed, 2, None);
        let expected = crew.work();
        let numbers: HashSet<_> = crew.numbers().into_iter().collect();
        assert_eq!(numbers, (1..=expected).collect(), "seed {seed}");
        assert_eq!([crew.dropped(4096), crew.drops()], [0; 2], "seed {seed}");
        assert!(crew.dropped(32) > 0 && crew.dropped(64) > 0, "seed {seed}");
        assert!(crew.stats.iter().all(|stats| stats.batches(Direction::Handed) == [0; _]));
        crew.check_flows();
    }
}

/// A home worker that does not come in time: the host's packets are dropped by name, and no number is spent on them.
#[test]
fn a_queue_between_workers_has_an_end() {
    let mut crew = Crew::new(1, 2, Some(1));
    let packet = Build::udp(false, 100);
    for _ in 0..home::MAX_PACKETS + 70 {
        crew.hosts[0].push(VnetHeader::default(), packet.packet());
    }
    (0..30).for_each(|_| crew.turn(0));
    assert_eq!(crew.stats[0].drops(Drop::QueueFull), 70);
    // Of super-packets each packet is counted.
    let large = Build::tcp(false, 13_400);
    crew.hosts[0].push(large.gso(1340), large.partial());
    crew.turn(0);
    assert_eq!(crew.stats[0].drops(Drop::QueueFull), 80);
    assert_eq!(crew.left.child.counters.dropped(Drop::QueueFull), 80);
    assert!(crew.flying[0].is_empty());
    // A batch in each turn, so that its sockets have theirs, and none of the turns but the first needs a bell.
    crew.turn(1);
    assert_eq!(crew.flying[1].iter().flat_map(Train::datagrams).count(), 64);
    assert_eq!(crew.catch_up(1), home::MAX_PACKETS / 64);
    while crew.arrive() {}
    assert_eq!(crew.numbers(), (1..=home::MAX_PACKETS as u64).collect::<Vec<_>>());
    let mut depth = [0; 16];
    depth[home::MAX_PACKETS.ilog2() as usize] = 1;
    assert_eq!(crew.stats[1].batches(Direction::Handed), depth);
}

/// When all have stopped, one of them has what the others handed over meanwhile, of which a part is on its way already.
#[test]
fn what_was_handed_over_is_sent_though_the_worker_has_stopped() {
    let mut crew = Crew::new(1, 3, Some(1));
    let build = Build::tcp(false, 60_000);
    for queue in [0, 0, 0, 0, 0, 0, 2, 2] {
        crew.hosts[queue].push(build.gso(1000), build.partial());
    }
    [0, 0, 1, 2].into_iter().for_each(|worker| crew.turn(worker));
    let before = crew.flying[1].iter().flat_map(Train::datagrams).count();
    assert!(before > 0 && before < 6 * 60, "{before}");
    crew.workers[1].finish(Duration::ZERO);
    let after: usize = crew.ports[1].sent().iter().map(|train| train.datagrams().count()).sum();
    assert_eq!((before + after, crew.drops()), (8 * 60, 0));
}

/// The fragments of a packet have one queue, so they come to the worker that puts them together one behind the other.
#[test]
fn fragments_for_transport_mode_are_put_together_at_home() {
    let (left, right) = (selectors(&["10.1.0.1"]), selectors(&["10.2.0.1[udp/443]"]));
    let mode = Mode::Transport { sent: None };
    let mut crew = Crew::of(1, 2, Setup { left, right, mode, home: Some(1), ..Setup::default() });
    for piece in cut(&Build { dont_fragment: false, ..Build::udp(false, 4000) }.packet(), 1368) {
        crew.hosts[0].push(VnetHeader::default(), piece);
        crew.turn(0);
    }
    assert!(crew.flying[0].is_empty());
    crew.turn(1);
    let datagrams: Vec<_> = crew.flying[1].iter().flat_map(Train::datagrams).collect();
    assert!(datagrams.len() == 1 && datagrams[0].len() > 4000);
    assert_eq!(crew.drops(), 0);
}

/// The dummy packet that says that an SA is in use is the home worker's to send, and what becomes of a packet without SA is its affair.
#[test]
fn orders_and_what_waits_are_the_home_workers() {
    let mut crew = Crew::new(1, 2, Some(1));
    crew.left.orders.announce(SLOT);
    crew.turn(0);
    assert!(crew.flying[0].is_empty());
    crew.turn(1);
    assert_eq!(crew.flying[1].len(), 1);
    let mut crew = Crew::new(1, 2, Some(1));
    crew.left.tables.swap_outbound(SLOT, None);
    // It does not wait, so that it shows who had it last.
    crew.hosts[0].push(VnetHeader::default(), Build::udp(false, 100).packet());
    crew.turn(0);
    crew.turn(1);
    assert_eq!([0, 1].map(|worker: usize| crew.stats[worker].drops(Drop::NoSa)), [0, 1]);
}

/// RFC 9611: whoever has an SA for itself alone seals on it, and the others hand over to the home worker as ever.
#[test]
fn whoever_has_an_sa_of_its_own_seals_on_it() {
    const OWN: u32 = RIGHT_SPI | 1;
    let mut crew = Crew::new(1, 3, Some(0));
    let entry = crew.left.entry(OWN);
    let spis = |crew: &mut Crew| {
        while crew.arrive() {}
        let trains = std::mem::take(&mut crew.came);
        let spi = |datagram: &[u8]| u32::from_be_bytes(datagram[..4].try_into().unwrap());
        let mut spis: Vec<_> = trains.iter().flat_map(Train::datagrams).map(spi).collect();
        spis.dedup();
        spis
    };
    for (own, queue, by_itself, at_home) in [
        (true, 0, vec![RIGHT_SPI], vec![]),
        (true, 1, vec![OWN], vec![]),
        (true, 2, vec![], vec![RIGHT_SPI]),
        (false, 1, vec![], vec![RIGHT_SPI]),
    ] {
        crew.left.tables.swap_resource(SLOT, 1, own.then(|| entry.clone()));
        crew.send(queue, 7);
        crew.turn(queue);
        assert_eq!(spis(&mut crew), by_itself, "{own} {queue}");
        crew.turn(0);
        assert_eq!(spis(&mut crew), at_home, "{own} {queue}");
    }
    assert_eq!(crew.drops(), 0);
    crew.left.tables.swap_resource(SLOT, 1, Some(entry));
    assert!(
        crew.left
            .tables
            .remove_child(SLOT)
            .is_some_and(|child| child.own(1).is_none() && child.outbound.load().is_none())
    );
}

/// The way of a worker that is slow: between the sealing of a train and its arrival another worker has a turn.
struct SlowWay {
    came: Arc<Mutex<Vec<u64>>>,
    /// The other worker, and its host.
    meanwhile: Option<(Device, Worker<SlowWay, Device>)>,
}

impl Datagrams for SlowWay {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> std::io::Result<()> {
        batch.datagrams.clear();
        Ok(())
    }

    fn send(&mut self, _to: &Destination, data: &[u8], segment: usize) -> std::io::Result<usize> {
        if let Some((host, other)) = &mut self.meanwhile {
            // Beside the 64 of the late train the window has room for these.
            let build = Build::tcp(false, 900 * 48);
            host.push(build.gso(48), build.partial());
            other.turn(Duration::ZERO);
        }
        let number = |datagram: &[u8]| u32::from_be_bytes(datagram[4..8].try_into().unwrap());
        self.came.lock().unwrap().extend(data.chunks(segment).map(|datagram| u64::from(number(datagram))));
        Ok(data.len().div_ceil(segment))
    }
}

/// Super-packets of tiny segments have more numbers than a window; a train that is late lets others overtake one train's numbers only.
#[test]
fn a_late_train_keeps_few_numbers_back() {
    let (left, _) = pair(&Setup::default());
    let came = Arc::<Mutex<Vec<u64>>>::default();
    let worker = |host: &Device, meanwhile| {
        let io = SlowWay { came: came.clone(), meanwhile };
        let sockets = vec![Socket { encap: Encap::Udp, local: "0.0.0.0".parse().unwrap(), io }];
        let ends = Ends { sockets, devices: [(DEVICE, host.clone())].into_iter().collect() };
        Worker::new(ends, left.share(Arc::default()).0)
    };
    let (near, far) = (Device::new((true, true)), Device::new((true, true)));
    let other = worker(&far, None);
    let mut late = worker(&near, Some((far, other)));
    let build = Build::tcp(false, 65_400);
    (0..2).for_each(|_| near.push(build.gso(48), build.partial()));
    late.turn(Duration::ZERO);
    let mut receiver = Receiver::new(1024);
    let numbers = std::mem::take(&mut *came.lock().unwrap());
    numbers.iter().for_each(|seq| receiver.hear(*seq));
    let trains = 2 * 65_400_usize.div_ceil(48).div_ceil(64);
    assert_eq!((numbers.len(), receiver.dropped), (2 * 65_400_usize.div_ceil(48) + trains * 900, 0));
}

/// By flow, the queues that its packets are written to if this worker delivers them.
fn queues_of_flows(crew: &mut Crew, worker: usize) -> Vec<HashSet<usize>> {
    let sa = crew.left.peer_sa();
    let mut seq = 0;
    for round in 0..4 {
        for flow in 0..64 {
            // Three that are written as one, and not always.
            let sealed = [0, 1, 2].map(|i| {
                seq += 1;
                let build = Build { sport: flow, seq: round * 1000 + i * 100, ..Build::tcp(false, 100) };
                // From the other side, which no checksum notices.
                let mut packet = build.packet();
                packet[12..20].rotate_left(4);
                crew.left.forge(&sa, seq, &packet, 4)
            });
            let count = if round == 1 { 1 } else { 3 };
            crew.ports[worker].inject(crew.left.train(&sealed[..count]));
        }
        (0..64 / 16).for_each(|_| crew.turn(worker));
    }
    assert_eq!(crew.drops(), 0);
    let mut queues = vec![HashSet::new(); 64];
    for (queue, host) in crew.hosts.iter().enumerate() {
        for (_, packet) in std::iter::from_fn(|| host.pop()) {
            queues[usize::from(u16::from_be_bytes([packet[20], packet[21]]))].insert(queue);
        }
    }
    queues
}

/// The kernel brings a flow's answers to the queue that the flow is written to: so they come to all workers where any may seal, to the home
/// worker where one must, and to who has the SA where each has its own.
#[test]
fn flows_are_written_to_the_queue_of_who_shall_answer() {
    for (home, own, worker, spreads) in
        [(None, false, 1, true), (None, true, 1, false), (Some(2), false, 2, false), (Some(2), true, 3, false)]
    {
        let mut crew = Crew::of(1, 4, Setup { home, resources: 4, ..Setup::default() });
        if own {
            let sa = crew.left.tables.children.load().get(SLOT).and_then(|child| child.outbound.load_full());
            crew.left.tables.swap_resource(SLOT, 0, sa);
        }
        let queues = queues_of_flows(&mut crew, worker);
        assert!(queues.iter().all(|queues| queues.len() == 1), "{home:?} {own}: {queues:?}");
        let all: HashSet<_> = queues.into_iter().flatten().collect();
        let expected = if spreads { (0..4).collect() } else { HashSet::from([worker]) };
        assert_eq!(all, expected, "{home:?} {own}");
    }
}
