//! The loop of a thread, with a real socket and a device whose other end is the test.
use super::build::*;
use super::gateway::*;
use crate::dataplane::Upcall;
use crate::dataplane::devices::{Order, Orders};
use crate::dataplane::home::{Parcel, Team};
use crate::dataplane::worker::{Ends, Outer, Shared, Socket, Worker, run};
use crate::esp::drop::Drop;
use crate::io::fds::EventFd;
use crate::io::udp::{Options, UdpSocket};
use crate::io::{Tun, VnetHeader};
use crate::ipsec::path::{Encap, Path};
use crate::ipsec::spd::DeviceId;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// Long enough for any machine; a test that is right never waits for it.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// With something that nobody can wait for, if that is wanted.
struct Pipe(UnixDatagram, Option<File>);

impl Tun for Pipe {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<(VnetHeader, usize)> {
        match self.0.recv(buf)? {
            1 => Err(io::ErrorKind::NotConnected.into()),
            len => Ok((VnetHeader::default(), len)),
        }
    }
    fn write(&mut self, _header: &VnetHeader, parts: &[io::IoSlice<'_>]) -> io::Result<()> {
        self.0.send(&parts.iter().flat_map(|part| part.to_vec()).collect::<Vec<_>>()).map(|_| ())
    }
    fn offloads(&self) -> (bool, bool) {
        (false, false)
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.1.as_ref().map_or(self.0.as_fd(), File::as_fd)
    }
}

#[test]
fn a_thread_serves_until_it_is_stopped() {
    let (left, mut right) = pair(&Setup::default());
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let peer = std::net::UdpSocket::bind(any).unwrap();
    peer.set_read_timeout(PATIENCE).unwrap();
    let socket = UdpSocket::bind(any, Options { mark: None, gro: true }).unwrap();
    let ours = socket.local_addr();
    left.path.store(Arc::new(Path { local: ours, remote: peer.local_addr().unwrap(), ..**left.path.load() }));
    let (tun, mut host) = pipe();
    let ends = Ends {
        sockets: vec![Socket { encap: Encap::Udp, local: ours.ip(), io: Outer::Udp(socket) }],
        devices: [(DEVICE, tun)].into_iter().collect(),
    };
    let (control, bell) = (Arc::new(EventFd::new().unwrap()), Arc::new(EventFd::new().unwrap()));
    let [team, other] = Team::of(&[control.clone(), bell]).try_into().unwrap();
    let (upcalls, told) = sync_channel(8);
    let shared = Shared {
        tables: left.tables.clone(),
        upcalls,
        stats: left.stats.clone(),
        orders: left.orders.clone(),
        team,
        tap: Arc::default(),
    };
    let stop = Arc::new(AtomicBool::new(false));
    let orders = Arc::new(Orders::default());
    let thread = std::thread::spawn({
        let (control, stop, orders) = (control.clone(), stop.clone(), orders.clone());
        move || {
            let mut worker = Worker::new(ends, shared);
            run(&mut worker, &orders, &control, &stop, || Duration::ZERO)
        }
    });

    let mut buf = [0; 2000];
    left.orders.announce(SLOT);
    control.signal();
    let (len, _) = peer.recv_from(&mut buf).expect("a dummy");
    right.port.inject(right.train(&[buf[..len].to_vec()]));
    right.turn();
    assert_eq!(right.drops(), [(Drop::Dummy, 1)]);

    let packet = Build::udp(false, 200).packet();
    host.send(&packet).unwrap();
    let (len, from) = peer.recv_from(&mut buf).expect("an ESP packet");
    assert_eq!((from, &buf[..4]), (ours, &RIGHT_SPI.to_be_bytes()[..]));
    right.port.inject(right.train(&[buf[..len].to_vec()]));
    right.turn();
    assert_eq!(right.delivered(), std::slice::from_ref(&packet));

    // More than one turn takes, and one bell.
    let mut parcel = Parcel::default();
    (0..100).for_each(|_| parcel.push(SLOT, DEVICE, &VnetHeader::default(), &packet));
    other.hand_over(0, &mut parcel);
    for _ in 0..100 {
        peer.recv_from(&mut buf).expect("what was handed over");
    }

    // The answer: the same with source and destination exchanged, which no checksum notices.
    let mut answer = packet.clone();
    answer.copy_within(12..16, 16);
    answer[12..16].copy_from_slice(&packet[16..20]);
    let mut arrive = |seq, host: &UnixDatagram| {
        peer.send_to(&left.forge(&left.peer_sa(), seq, &answer, 4), ours).unwrap();
        let len = host.recv(&mut buf).expect("an inner packet");
        assert_eq!(&buf[..len], answer);
    };
    arrive(1, &host);
    assert!(matches!(told.recv(), Ok(Upcall::FirstPacket { spi: LEFT_SPI })));

    for (seq, generation) in [(2, 0), (3, 7)] {
        host.send(&[0]).unwrap();
        let Ok(Upcall::DeviceLost { device: DEVICE, generation: lost }) = told.recv() else { panic!() };
        assert_eq!(lost, generation);
        // A program that another test starts may have inherited it, until it runs.
        let is_gone = |_| {
            std::thread::yield_now();
            host.send(&packet).is_err()
        };
        assert!((0..100_000).any(is_gone), "the worker has let go of it");
        // Another one with its number.
        let (tun, other) = pipe();
        host = other;
        orders.give(Order::Serve(DEVICE, 7, tun));
        control.signal();
        host.send(&packet).unwrap();
        peer.recv_from(&mut [0; 2000]).expect("an ESP packet");
        arrive(seq, &host);
    }
    let (deaf, _) = pipe();
    orders.give(Order::Serve(DeviceId(5), 9, Pipe(deaf.0, Some(File::open("/dev/null").unwrap()))));
    control.signal();
    assert!(matches!(told.recv(), Ok(Upcall::DeviceLost { device: DeviceId(5), generation: 9 })));
    orders.give(Order::Leave(DEVICE));
    control.signal();
    // What is no packet is dropped, until its other end is closed.
    while host.send(&[0, 0]).is_ok() {}
    stop.store(true, Ordering::Release);
    control.signal();
    thread.join().unwrap().unwrap();
    assert_eq!(left.child.counters.packets_out.load(Ordering::Relaxed), 103);
}

/// A device is lost once, and whoever is to make it anew has no room for that news at the moment.
#[test]
fn the_end_of_a_device_is_told_late_rather_than_never() {
    let (left, _) = pair(&Setup::default());
    let control = Arc::new(EventFd::new().unwrap());
    let [team] = Team::of(std::slice::from_ref(&control)).try_into().unwrap();
    let (upcalls, told) = sync_channel(1);
    upcalls.send(Upcall::FirstPacket { spi: 1 }).unwrap();
    let shared = Shared {
        tables: left.tables.clone(),
        upcalls,
        stats: left.stats.clone(),
        orders: left.orders,
        team,
        tap: Arc::default(),
    };
    let (stop, orders) = (Arc::new(AtomicBool::new(false)), Arc::new(Orders::default()));
    let (tun, host) = pipe();
    let ends = Ends { sockets: Vec::<Socket<Outer>>::new(), devices: [(DEVICE, tun)].into_iter().collect() };
    let thread = std::thread::spawn({
        let (control, stop, orders) = (control.clone(), stop.clone(), orders.clone());
        move || run(&mut Worker::new(ends, shared), &orders, &control, &stop, || Duration::ZERO)
    });
    let (deaf, _) = pipe();
    orders.give(Order::Serve(DeviceId(5), 9, Pipe(deaf.0, Some(File::open("/dev/null").unwrap()))));
    control.signal();
    host.send(&[0]).unwrap();
    // Both are gone: nothing else wakes it.
    while host.send(&[0, 0]).is_ok() {}
    let news = |_| told.recv_timeout(PATIENCE.unwrap()).expect("news");
    let mut lost: Vec<_> = (0..3)
        .map(news)
        .filter_map(|upcall| match upcall {
            Upcall::DeviceLost { device, generation } => Some((device, generation)),
            _ => None,
        })
        .collect();
    lost.sort();
    assert_eq!(lost, [(DEVICE, 0), (DeviceId(5), 9)]);
    stop.store(true, Ordering::Release);
    control.signal();
    thread.join().unwrap().unwrap();
}

/// After an upgrade that has failed, for one: news of a device are those of the order that it came with, not of the first device.
#[test]
fn a_worker_that_goes_on_knows_its_devices_still() {
    let (left, _) = pair(&Setup::default());
    let control = EventFd::new().unwrap();
    let [team] = Team::of(&[Arc::new(EventFd::new().unwrap())]).try_into().unwrap();
    let (upcalls, told) = sync_channel(1);
    let (tables, stats, orders) = (left.tables.clone(), left.stats.clone(), left.orders);
    let shared = Shared { tables, upcalls, stats, orders, team, tap: Arc::default() };
    let ends = Ends { sockets: Vec::<Socket<Outer>>::new(), devices: [].into_iter().collect() };
    let mut worker = Worker::new(ends, shared);
    let orders = Orders::default();
    let (tun, host) = pipe();
    orders.give(Order::Serve(DeviceId(5), 9, tun));
    // One turn each time: it takes the device on, loses it, and says so.
    for what in ["serve", "lose", "tell"] {
        if what == "lose" {
            host.send(&[0]).unwrap();
        } else {
            control.signal();
        }
        run(&mut worker, &orders, &control, &AtomicBool::new(true), || Duration::ZERO).unwrap();
    }
    assert!(matches!(told.try_recv(), Ok(Upcall::DeviceLost { device: DeviceId(5), generation: 9 })));
}

/// A device, and its end at the host.
fn pipe() -> (Pipe, UnixDatagram) {
    let (tun, host) = UnixDatagram::pair().unwrap();
    tun.set_nonblocking(true).unwrap();
    host.set_read_timeout(PATIENCE).unwrap();
    (Pipe(tun, None), host)
}
