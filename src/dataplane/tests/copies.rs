//! The same packets several times over, in any train of any worker, among others.
use super::build::*;
use super::gateway::*;
use crate::dataplane::Upcall;
use crate::dataplane::stats::WorkerStats;
use crate::dataplane::worker::{Ends, Socket, Worker};
use crate::esp::drop::Drop;
use crate::io::memory::{Device, Knobs, Port};
use crate::ipsec::path::Encap;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

const OTHER_SPI: u32 = RIGHT_SPI | 0x0100_0000;

/// One worker of several of the right gateway, with a port and counters of its own. All write to one host.
struct Colleague {
    worker: Worker<Port, Device>,
    port: Port,
    stats: Arc<WorkerStats>,
    told: Receiver<Upcall>,
}

fn colleagues<const N: usize>(right: &Gateway) -> [Colleague; N] {
    std::array::from_fn(|_| {
        let (port, _) = Port::pair(Knobs::default());
        let local = right.worker.ends.sockets[0].local;
        let ends = Ends {
            sockets: vec![Socket { encap: Encap::Udp, local, io: port.clone() }],
            devices: [(DEVICE, right.host.clone())].into_iter().collect(),
        };
        let stats = Arc::new(WorkerStats::default());
        let (shared, told) = right.share(stats.clone());
        Colleague { worker: Worker::new(ends, shared), port, stats, told }
    })
}

impl Colleague {
    /// Takes what has been injected, a batch at a time.
    fn turns(&mut self, trains: usize) {
        (0..trains / 16 + 1).for_each(|_| self.worker.turn(std::time::Duration::ZERO));
    }
}

/// To the right side, each a flow of its own, so that nothing merges.
pub fn inner(i: u8) -> Vec<u8> {
    Build { sport: i.into(), ..Build::udp(false, 64) }.packet()
}

/// Of the packets that arrived, some several times, the host has got each once. How many were copies.
pub fn assert_each_once(right: &mut Gateway, arrived: &[u8]) -> u64 {
    let mut once: Vec<Vec<u8>> = arrived.iter().map(|i| inner(*i)).collect();
    once.sort();
    once.dedup();
    let mut delivered = right.delivered();
    delivered.sort();
    assert_eq!(delivered, once);
    (arrived.len() - once.len()) as u64
}

/// What a train is made of, all of one length.
#[derive(Clone, Copy, Debug)]
enum Item {
    /// Packet of one of two SAs.
    Good(u8),
    /// The same with its ICV, or its SPI, spoiled.
    BadIcv(u8),
    UnknownSpi(u8),
    ReservedSpi,
    Ike,
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        12 => (0..40u8).prop_map(Item::Good),
        1 => (0..40u8).prop_map(Item::BadIcv),
        1 => (0..40u8).prop_map(Item::UnknownSpi),
        1 => Just(Item::ReservedSpi),
        1 => Just(Item::Ike),
    ]
}

/// The packets with even numbers are of one SA, the others of another.
fn sealed(right: &Gateway, i: u8) -> Vec<u8> {
    let sa = if i.is_multiple_of(2) { right.peer_sa() } else { right.peer_sa_of(OTHER_SPI) };
    right.forge(&sa, u64::from(i) + 1, &inner(i), 4)
}

fn octets(right: &Gateway, item: Item) -> Vec<u8> {
    match item {
        Item::Good(i) => sealed(right, i),
        Item::BadIcv(i) => {
            let mut packet = sealed(right, i);
            *packet.last_mut().unwrap() ^= 1;
            packet
        }
        Item::UnknownSpi(i) => [&[9; 4], &sealed(right, i)[4..]].concat(),
        Item::ReservedSpi => [&[0, 0, 0, 255], &sealed(right, 0)[4..]].concat(),
        Item::Ike => [&[0; 4], &sealed(right, 0)[4..]].concat(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_packet_is_delivered_once_whoever_gets_it(
        // Which worker, and what: the last one of a train is marked.
        items in prop::collection::vec((0..2usize, item(), prop::bool::weighted(0.1)), 1..400),
        copies in prop::collection::vec((0..40u8, 1..=8usize), 0..20),
    ) {
        let (_, mut right) = pair(&Setup::default());
        right.receive_on(OTHER_SPI);
        let mut workers = colleagues::<2>(&right);
        // Beside what is drawn: the same packet up to eight times in one train.
        let mut all = items;
        for (i, count) in copies {
            let at = usize::from(i) * 7 % all.len();
            let worker = all[at].0;
            all.splice(at..at, std::iter::repeat_n((worker, Item::Good(i), false), count));
        }
        let (mut trains, mut injected) = ([vec![], vec![]], [0, 0]);
        for (worker, item, last) in &all {
            trains[*worker].push(octets(&right, *item));
            if *last || trains[*worker].len() == 64 {
                workers[*worker].port.inject(right.train(&std::mem::take(&mut trains[*worker])));
                injected[*worker] += 1;
                if *last {
                    workers[*worker].turns(injected[*worker]);
                }
            }
        }
        for (worker, train) in trains.iter().enumerate().filter(|(_, train)| !train.is_empty()) {
            workers[worker].port.inject(right.train(train));
        }
        workers.iter_mut().for_each(|worker| worker.turns(all.len()));

        let count = |which: fn(&Item) -> bool| all.iter().filter(|(_, item, _)| which(item)).count() as u64;
        let arrived: Vec<u8> =
            all.iter().filter_map(|(_, item, _)| if let Item::Good(i) = item { Some(*i) } else { None }).collect();
        let copies = assert_each_once(&mut right, &arrived);
        let drops = |reason| workers.iter().map(|worker| worker.stats.drops(reason)).sum::<u64>();
        // A spoiled copy is refused as a copy where the good one came before it.
        let spoiled = count(|item| matches!(item, Item::BadIcv(_)));
        prop_assert_eq!(drops(Drop::Replayed) + drops(Drop::BadIcv), copies + spoiled);
        prop_assert!(drops(Drop::BadIcv) <= spoiled);
        prop_assert_eq!(drops(Drop::UnknownSpi), count(|item| matches!(item, Item::UnknownSpi(_))));
        prop_assert_eq!(workers.iter().map(|w| w.stats.junk()).sum::<u64>(), count(|item| matches!(item, Item::ReservedSpi)));
        let told: Vec<Upcall> = workers.iter().flat_map(|worker| worker.told.try_iter()).collect();
        let ike = told.iter().filter(|told| matches!(told, Upcall::Ike { .. })).count() as u64;
        prop_assert_eq!(ike, count(|item| matches!(item, Item::Ike)));
        let first = told.iter().filter(|told| matches!(told, Upcall::FirstPacket { .. })).count();
        prop_assert_eq!(first, [0, 1].iter().filter(|odd| arrived.iter().any(|i| i % 2 == **odd)).count());
    }
}

/// The same with threads that run at the same time.
#[test]
fn threads_that_get_the_same_trains_deliver_each_packet_once() {
    let (_, mut right) = pair(&Setup::default());
    right.receive_on(OTHER_SPI);
    let trains: Vec<_> = (0..100u8).map(|i| right.train(&vec![sealed(&right, i); 1 + usize::from(i % 8)])).collect();
    let mut workers = colleagues::<3>(&right);
    for worker in &workers {
        trains.iter().for_each(|train| worker.port.inject(train.clone()));
    }
    std::thread::scope(|scope| {
        for worker in &mut workers {
            scope.spawn(move || worker.turns(100));
        }
    });
    assert_each_once(&mut right, &(0..100).collect::<Vec<_>>());
}
