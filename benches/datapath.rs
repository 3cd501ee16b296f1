//! The data path against the bare AEAD: segment, checksum and seal of super-packets; open, commit, check and merge of trains. What the
//! operating system would do costs nothing here, so that the rest shows; `tunnel` is both together over queues in memory, with copies. At the end,
//! what two workers do on two cores, against one.
#![allow(missing_docs, reason = "criterion's macros make an undocumented function")]
mod share;

use arc_swap::ArcSwap;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sandhog::crypto::cipher::Cipher;
use sandhog::crypto::secret::Secret;
use sandhog::dataplane::home::Team;
use sandhog::dataplane::stats::WorkerStats;
use sandhog::dataplane::worker::{Ends, Shared, Socket, Worker};
use sandhog::esp::SaParams;
use sandhog::esp::drop::Drop;
use sandhog::esp::inbound::InboundSa;
use sandhog::esp::outbound::OutboundSa;
use sandhog::io::memory::{Device, Knobs, Port};
use sandhog::io::{Datagrams, Destination, Gso, ReceiveBatch, Received, Tun, VnetHeader, host};
use sandhog::ipsec::path::{Encap, Path};
use sandhog::ipsec::sad::{InboundEntry, Mode};
use sandhog::ipsec::spd::{Action, DeviceId, PolicyEntry, Slot, Spd};
use sandhog::ipsec::tables::{Child, OutboundEntry, Tables, Traffic};
use sandhog::wire::ip::{checksum_add, checksum_fold};
use sandhog::wire::selector::Selector;
use share::{median, share, timed};
use std::collections::VecDeque;
use std::hint::black_box;
use std::io::{ErrorKind, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

/// Segments of a super-packet, octets of payload in each, and of TCP/IPv4 headers with timestamps.
const SEGMENTS: usize = 45;
const PAYLOAD: usize = 1348;
const HEADERS: usize = 52;
const DEVICE: DeviceId = DeviceId(0);
const SUPER_PACKETS: usize = 8;

/// The one SPI of a child, both ways.
fn spi(slot: u32) -> u32 {
    0x1000_0000 | slot << 4
}

/// A TUN that is never empty for eight reads, and takes everything.
struct NullTun {
    packet: Vec<u8>,
    header: VnetHeader,
    left: usize,
    filled: bool,
}

impl Tun for NullTun {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<(VnetHeader, usize)> {
        self.left = self.left.checked_sub(1).ok_or(ErrorKind::WouldBlock)?;
        // The worker leaves its buffer as it was, so one copy lasts.
        if !std::mem::replace(&mut self.filled, true) {
            buf[..self.packet.len()].copy_from_slice(&self.packet);
        }
        Ok((self.header, self.packet.len()))
    }
    fn write(&mut self, header: &VnetHeader, parts: &[IoSlice<'_>]) -> std::io::Result<()> {
        black_box((header, parts));
        Ok(())
    }
    fn offloads(&self) -> (bool, bool) {
        (true, true)
    }
}

/// A socket that takes everything, and gives out batches that were made before.
#[derive(Default)]
struct NullSocket {
    ready: VecDeque<ReceiveBatch>,
    spent: Vec<ReceiveBatch>,
}

impl Datagrams for NullSocket {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> std::io::Result<()> {
        batch.datagrams.clear();
        if let Some(ready) = self.ready.pop_front() {
            self.spent.push(std::mem::replace(batch, ready));
        }
        Ok(())
    }
    fn send(&mut self, _to: &Destination, data: &[u8], segment: usize) -> std::io::Result<usize> {
        Ok(black_box(data).len().div_ceil(segment))
    }
}

/// A TCP super-packet from 10.1.0.1 to 10.2.0.1 with a partial checksum.
fn super_packet() -> (VnetHeader, Vec<u8>) {
    let len = HEADERS + SEGMENTS * PAYLOAD;
    let mut p = vec![0x45, 0];
    p.extend((len as u16).to_be_bytes());
    p.extend([0, 7, 0x40, 0, 63, 6, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
    let sum = !checksum_fold(checksum_add(0, &p));
    p[10..12].copy_from_slice(&sum.to_be_bytes());
    p.extend([0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 2, 0x80, 0x10, 2, 0, 0, 0, 0, 0]);
    p.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    let partial = checksum_fold(checksum_add((len - 20 + 6) as u64, &p[12..20]));
    p[36..38].copy_from_slice(&partial.to_be_bytes());
    p.extend((0..SEGMENTS * PAYLOAD).map(|i| (i * 31 % 251) as u8));
    let header = VnetHeader {
        needs_csum: true,
        gso: Gso::TcpV4,
        hdr_len: HEADERS as u16,
        gso_size: PAYLOAD as u16,
        csum_start: 20,
        csum_offset: 16,
    };
    (header, p)
}

fn params(slot: u32) -> SaParams {
    let (encr, integ) = (Secret::new((0..36).collect()), Secret::new(Vec::new()));
    SaParams { spi: spi(slot), cipher: Cipher::AesGcm256, encr, integ, esn: true }
}

fn path() -> Path {
    let (local, remote) = ("192.0.2.1:4500".parse().unwrap(), "192.0.2.2:4500".parse().unwrap());
    Path { local, remote, encap: Encap::Udp, may_move: false, mtu: 1500 }
}

/// Children that send from 10.1/16 to 10.2/16 and let in the same, each under one key. Packets from the device go to the first.
fn tables(children: u32) -> Arc<Tables> {
    let tables = Arc::new(Tables::new());
    let left: Selector = "10.1.0.0/16".parse().unwrap();
    let right: Selector = "10.2.0.0/16".parse().unwrap();
    for slot in 0..children {
        let child = Arc::new(Child::new(Slot(slot), "bench/bench".into(), DEVICE, true));
        child.outbound.store(Some(Arc::new(OutboundEntry {
            sa: OutboundSa::new(&params(slot), [0; 16]),
            local_ts: [left].into(),
            remote_ts: [right].into(),
            path: Arc::new(ArcSwap::from_pointee(path())),
            transport: false,
            traffic: Traffic::default(),
        })));
        tables.insert_child(child.clone());
        tables.publish_inbound(Arc::new(InboundEntry {
            spi: spi(slot),
            sa: InboundSa::new(&params(slot), 4096),
            child,
            local_ts: [right].into(),
            remote_ts: [left].into(),
            check_fragments: true,
            mode: Mode::Tunnel,
            traffic: Traffic::default(),
        }));
    }
    let policy = PolicyEntry {
        name: "bench/bench".into(),
        local: [left].into(),
        remote: [right].into(),
        priority: 0,
        action: Action::Protect(Slot(0)),
    };
    tables.publish_policies(Spd::new([(DEVICE, policy)]));
    tables
}

/// A worker with these tables.
fn worker_of<D: Datagrams, T: Tun>(tables: &Arc<Tables>, socket: D, tun: T) -> (Worker<D, T>, Arc<WorkerStats>) {
    let any = "0.0.0.0".parse().unwrap();
    let ends = Ends {
        sockets: vec![Socket { encap: Encap::Udp, local: any, io: socket }],
        devices: [(DEVICE, tun)].into_iter().collect(),
    };
    let stats = Arc::new(WorkerStats::default());
    let (upcalls, orders) = (sync_channel(8).0, Arc::default());
    let shared = Shared {
        tables: tables.clone(),
        upcalls,
        stats: stats.clone(),
        orders,
        team: Team::default(),
        tap: Arc::default(),
    };
    (Worker::new(ends, shared), stats)
}

/// A worker with one child.
fn worker<D: Datagrams, T: Tun>(socket: D, tun: T) -> (Worker<D, T>, Arc<WorkerStats>) {
    worker_of(&tables(1), socket, tun)
}

fn null_tun() -> NullTun {
    let (header, packet) = super_packet();
    NullTun { packet, header, left: 0, filled: false }
}

/// Eight trains of 45 packets, under the next numbers, of one SA after the other.
fn trains(sas: &[OutboundSa], batch: &mut ReceiveBatch) {
    use sandhog::dataplane::segment::{Pieces, Segments};
    let (header, packet) = super_packet();
    let parsed = sandhog::wire::ip::parse(&packet).unwrap();
    let segments = Segments::new(&header, &packet, &parsed).unwrap();
    let (inner, sealed) = (segments.len_of(0), sas[0].sealed_len(segments.len_of(0)));
    let Path { local, remote, .. } = path();
    batch.datagrams.clear();
    for (train, sa) in sas.iter().cycle().take(SUPER_PACKETS).enumerate() {
        let offset = train * 65_536;
        for (i, seq) in sa.reserve(SEGMENTS as u32).unwrap().enumerate() {
            let out = &mut batch.buf[offset + i * sealed..][..sealed];
            segments.write(i, &mut out[sa.head()..sa.head() + inner]);
            sa.seal(seq, out, inner, 4);
        }
        let len = SEGMENTS * sealed;
        batch.datagrams.push(Received { remote: local, local: remote, offset, len, segment: sealed, tos: 0 });
    }
}

/// Another batch to be received.
fn ready(sas: &[OutboundSa], socket: &mut NullSocket) {
    let mut batch = socket.spent.pop().unwrap_or_else(|| ReceiveBatch::new(16));
    trains(sas, &mut batch);
    socket.ready.push_back(batch);
}

fn datapath(c: &mut Criterion) {
    let mut group = c.benchmark_group("datapath");
    let octets = SUPER_PACKETS * SEGMENTS * (HEADERS + PAYLOAD);
    group.throughput(Throughput::Bytes(octets as u64));

    let bare = Bare::new();
    group.bench_function("bare-seal", |b| {
        let mut buf = vec![0; 65_536];
        b.iter(|| bare.seal(&mut buf));
    });
    group.bench_function("segment-checksum-seal", |b| {
        let (mut worker, stats) = worker(NullSocket::default(), null_tun());
        b.iter(|| {
            worker.ends.devices.get_mut(DEVICE).expect("a device").left = SUPER_PACKETS;
            while worker.ends.devices.get_mut(DEVICE).expect("a device").left > 0 {
                worker.turn(Duration::ZERO);
            }
        });
        assert_eq!(drops(&stats), []);
    });
    group.bench_function("bare-open", |b| {
        let sealed = bare.sealed();
        let open = |mut buf: Vec<u8>| {
            bare.open(&mut buf);
            buf
        };
        b.iter_batched(|| sealed.clone(), open, BatchSize::PerIteration);
    });
    group.bench_function("open-commit-merge", |b| {
        let (worker, stats) = worker(NullSocket::default(), null_tun());
        let worker = std::cell::RefCell::new(worker);
        let sa = [OutboundSa::new(&params(0), [0; 16])];
        let fresh = || ready(&sa, &mut worker.borrow_mut().ends.sockets[0].io);
        b.iter_batched(fresh, |()| worker.borrow_mut().turn(Duration::ZERO), BatchSize::PerIteration);
        assert_eq!(drops(&stats), []);
    });
    group.bench_function("tunnel", |b| {
        let (left_port, right_port) = Port::pair(Knobs::default());
        let (left_host, right_host) = (Device::new((true, true)), Device::new((true, true)));
        let (mut left, left_stats) = worker(left_port, left_host.clone());
        let (mut right, right_stats) = worker(right_port, right_host.clone());
        let (header, packet) = super_packet();
        b.iter(|| {
            for _ in 0..SUPER_PACKETS {
                left_host.push(header, packet.clone());
            }
            left.turn(Duration::ZERO);
            left.turn(Duration::ZERO);
            right.turn(Duration::ZERO);
            let mut came = 0;
            while right_host.pop().is_some() {
                came += 1;
            }
            assert_eq!(came, SUPER_PACKETS);
        });
        assert_eq!((drops(&left_stats), drops(&right_stats)), (vec![], vec![]));
    });
    group.finish();
}

/// What no data path can beat: the cipher alone, on as many packets of the same size, in as much memory.
struct Bare(LessSafeKey);

impl Bare {
    const TEXT: usize = HEADERS + PAYLOAD + 4;

    fn new() -> Self {
        Self(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap()))
    }
    fn nonce() -> Nonce {
        Nonce::assume_unique_for_key([1; 12])
    }
    /// Eight trains, one after the other in the same place.
    fn seal(&self, buf: &mut [u8]) {
        for _ in 0..SUPER_PACKETS {
            for packet in buf[..SEGMENTS * Self::TEXT].chunks_mut(Self::TEXT) {
                let icv = self.0.seal_in_place_separate_tag(Self::nonce(), Aad::from([0; 8]), packet);
                let _ = black_box(icv.unwrap());
            }
        }
    }
    /// Eight trains side by side.
    fn sealed(&self) -> Vec<u8> {
        let mut sealed = vec![0; SUPER_PACKETS * 65_536];
        for packet in Self::packets(&mut sealed) {
            let (data, icv) = packet.split_at_mut(Self::TEXT);
            let tag = self.0.seal_in_place_separate_tag(Self::nonce(), Aad::from([0; 8]), data).unwrap();
            icv.copy_from_slice(tag.as_ref());
        }
        sealed
    }
    fn open(&self, buf: &mut [u8]) {
        for packet in Self::packets(buf) {
            black_box(self.0.open_in_place(Self::nonce(), Aad::from([0; 8]), packet).unwrap());
        }
    }
    fn packets(buf: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
        const SEALED: usize = Bare::TEXT + 16;
        buf.chunks_mut(65_536).flat_map(|train| train[..SEGMENTS * SEALED].chunks_mut(SEALED))
    }
}

/// The data path beside the cipher alone.
fn shares(_: &mut Criterion) {
    let octets = SUPER_PACKETS * SEGMENTS * (HEADERS + PAYLOAD);
    let (bare, mut buf) = (Bare::new(), vec![0; 65_536]);
    let (mut sender, _) = worker(NullSocket::default(), null_tun());
    share(
        "segment, checksum, seal",
        octets,
        || timed(|| bare.seal(&mut buf)),
        || {
            sender.ends.devices.get_mut(DEVICE).expect("a device").left = SUPER_PACKETS;
            timed(|| {
                while sender.ends.devices.get_mut(DEVICE).expect("a device").left > 0 {
                    sender.turn(Duration::ZERO);
                }
            })
        },
    );
    let (sealed, mut buf) = (bare.sealed(), bare.sealed());
    let (mut receiver, stats) = worker(NullSocket::default(), null_tun());
    let sa = [OutboundSa::new(&params(0), [0; 16])];
    share(
        "open, commit, merge",
        octets,
        || {
            buf.copy_from_slice(&sealed);
            timed(|| bare.open(&mut buf))
        },
        || {
            ready(&sa, &mut receiver.ends.sockets[0].io);
            timed(|| receiver.turn(Duration::ZERO))
        },
    );
    assert_eq!(drops(&stats), []);
}

/// By name.
fn drops(stats: &WorkerStats) -> Vec<(&'static str, u64)> {
    let all = Drop::ALL.iter().map(|reason| (reason.name(), stats.drops(*reason)));
    all.filter(|(_, count)| *count > 0).collect()
}

/// Measurements. In each a worker has one batch of eight super-packets or trains, which lies in its core's cache as what the kernel has just
/// copied does.
const ROUNDS: usize = 2000;
/// Those of them before which nothing is warm.
const WARM_UP: usize = 50;

/// Octets per second that so many workers seal on one SA together, each on a core of its own.
fn outbound(workers: usize) -> f64 {
    let tables = tables(1);
    together(workers, |_| {
        let (mut worker, stats) = worker_of(&tables, NullSocket::default(), null_tun());
        worker.ends.devices.get_mut(DEVICE).expect("a device").left = SUPER_PACKETS;
        worker.turn(Duration::ZERO);
        move || {
            worker.ends.devices.get_mut(DEVICE).expect("a device").left = SUPER_PACKETS;
            while worker.ends.devices.get_mut(DEVICE).expect("a device").left > 0 {
                worker.turn(Duration::ZERO);
            }
            assert_eq!(drops(&stats), []);
            worker
        }
    })
}

/// Octets per second that so many workers open of eight SAs together, which are divided among them as steering does.
fn inbound(workers: usize) -> f64 {
    let tables = tables(8);
    together(workers, |index| {
        let (mut worker, stats) = worker_of(&tables, NullSocket::default(), null_tun());
        let own = (0..8).filter(|slot| slot % workers == index);
        let sas: Vec<_> = own.map(|slot| OutboundSa::new(&params(slot as u32), [0; 16])).collect();
        ready(&sas, &mut worker.ends.sockets[0].io);
        worker.turn(Duration::ZERO);
        ready(&sas, &mut worker.ends.sockets[0].io);
        move || {
            worker.turn(Duration::ZERO);
            assert_eq!(drops(&stats), []);
            worker
        }
    })
}

/// Makes a worker's job on each of so many cores, then lets all of them begin at once: octets per second.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn together<W, J: FnOnce() -> W>(workers: usize, job: impl Fn(usize) -> J + Sync) -> f64 {
    let (at_line, done, job) = (&AtomicUsize::new(0), &Barrier::new(workers), &job);
    let times: Vec<_> = std::thread::scope(|scope| {
        let run = |index| {
            host::pin_to_core(index).unwrap();
            let job = job(index);
            // To be woken would take one of them a while.
            at_line.fetch_add(1, Relaxed);
            while at_line.load(Relaxed) < workers {
                std::hint::spin_loop();
            }
            let begin = Instant::now();
            let worker = job();
            let end = Instant::now();
            // What it holds is given back when nobody measures any more.
            done.wait();
            drop(worker);
            (begin, end)
        };
        let threads: Vec<_> = (0..workers).map(|index| scope.spawn(move || run(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let begin = times.iter().map(|(begin, _)| *begin).min().unwrap();
    let end = times.iter().map(|(_, end)| *end).max().unwrap();
    (workers * SUPER_PACKETS * SEGMENTS * (HEADERS + PAYLOAD)) as f64 / (end - begin).as_secs_f64()
}

/// One worker and two, alternately. What else runs on the machine only makes them slower, so the best tenths tell what the cores can do;
/// but two cores are disturbed more often than one. What disturbs both of a pair does not show in the median of their ratios.
fn cores(_: &mut Criterion) {
    if host::usable_cores() < 2 {
        return println!("two workers: not measured, there is one core");
    }
    let rounds = if std::env::args().any(|arg| arg == "--test" || arg == "--list") { 1 } else { ROUNDS + WARM_UP };
    for (name, rate) in [("one SA outbound", outbound as fn(usize) -> f64), ("8 SAs inbound", inbound)] {
        let pairs = (0..rounds).map(|_| (rate(1), rate(2))).skip(WARM_UP.min(rounds - 1));
        let (mut one, mut two): (Vec<_>, Vec<_>) = pairs.unzip();
        let ratio = median(one.iter().zip(&two).map(|(one, two)| two / one).collect());
        let [one, two] = [&mut one, &mut two].map(|rates| {
            rates.sort_by(f64::total_cmp);
            rates[rates.len() * 9 / 10] / 1e9
        });
        let best = two / one;
        println!(
            "{name}: {one:.2} GB/s by one worker, {two:.2} by two, {best:.2}x (best tenths); {ratio:.2}x (median of pairs)"
        );
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = datapath, shares, cores
}
criterion_main!(benches);
