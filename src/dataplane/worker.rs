//! One thread of the data path: a set of devices, a set of sockets, and a loop that waits for them.
use super::Upcall;
use super::devices::{self, Devices, Generation, Order};
use super::home::Team;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::stats::WorkerStats;
use super::tap::{self, Tap};
use crate::io::fds::{EventFd, Poll};
use crate::io::raw_esp::RawEsp;
use crate::io::udp::UdpSocket;
use crate::io::{Datagrams, Destination, ReceiveBatch, Tun};
use crate::ipsec::path::Encap;
use crate::ipsec::spd::{DeviceId, Slot};
use crate::ipsec::tables::Tables;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A socket for outer packets.
#[derive(Debug)]
pub struct Socket<D> {
    /// What its datagrams are.
    pub encap: Encap,
    /// Where it is bound; its family is the family of what it carries.
    pub local: IpAddr,
    /// The socket.
    pub io: D,
}

/// What a worker reads and writes.
#[derive(Debug)]
pub struct Ends<D, T> {
    /// Outer sockets.
    pub sockets: Vec<Socket<D>>,
    /// The worker's queue of each device.
    pub devices: Devices<T>,
}

impl<D, T> Ends<D, T> {
    /// The socket to send from: of the right kind and family, bound to the address, or to any.
    pub fn socket_for(&self, encap: Encap, local: SocketAddr, remote: SocketAddr) -> Option<usize> {
        let fits = |s: &Socket<D>| {
            s.encap == encap
                && s.local.is_ipv4() == remote.is_ipv4()
                && (s.local.is_unspecified() || s.local == local.ip())
        };
        self.sockets.iter().position(fits)
    }
}

/// What a worker shares with the rest of the daemon.
#[derive(Clone, Debug)]
pub struct Shared {
    /// What the engine publishes.
    pub tables: Arc<Tables>,
    /// To the engine.
    pub upcalls: SyncSender<Upcall>,
    /// Counters of this worker.
    pub stats: Arc<WorkerStats>,
    /// What the engine wants of any of the workers.
    pub orders: Arc<Orders>,
    /// The other workers.
    pub team: Team,
    /// Who captures.
    pub tap: Arc<Tap>,
}

/// What the engine wants of any worker, whichever comes first.
#[derive(Debug, Default)]
pub struct Orders {
    announce: Mutex<Vec<Slot>>,
    /// How many there are, so that who finds none need not take the lock. The signal that follows an order makes it seen.
    count: AtomicUsize,
}

impl Orders {
    /// The peer shall hear that the present SA of this child is in use. Wake a worker then.
    pub fn announce(&self, slot: Slot) {
        let mut announce = self.announce.lock().unwrap_or_else(PoisonError::into_inner);
        announce.push(slot);
        self.count.store(announce.len(), Ordering::Relaxed);
    }

    /// Those that `ours` says of that they are for this worker.
    fn take(&self, ours: impl Fn(Slot) -> bool) -> Vec<Slot> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return Vec::new();
        }
        let mut announce = self.announce.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = announce.extract_if(.., |slot| ours(*slot)).collect();
        self.count.store(announce.len(), Ordering::Relaxed);
        taken
    }
}

impl Shared {
    /// Tells the engine, or counts that it could not be told. Never waits.
    pub fn tell(&self, upcall: Upcall) {
        if self.upcalls.try_send(upcall).is_err() {
            self.stats.count_lost_upcall();
        }
    }

    /// For the packets of a burst, if somebody captures.
    pub(super) fn open_tap(&self, now: Duration) -> Option<tap::Open> {
        self.tap.open(now, self.team.index())
    }
}

/// So often, for each socket, a full send buffer may be waited for: a slow link keeps its worker from the others for a tenth of the time at most.
pub const PATIENCE: Duration = Duration::from_millis(10);

/// One of the things a worker reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Index among the sockets.
    Socket(usize),
    /// A device.
    Device(DeviceId),
}

/// One worker. It has no clock and no thread of its own; `run` is what a thread does with it.
#[derive(Debug)]
pub struct Worker<D, T> {
    /// What it reads and writes. Sockets change only while it does not run.
    pub ends: Ends<D, T>,
    shared: Shared,
    inbound: Inbound,
    outbound: Outbound,
    /// When the sockets' patience is renewed.
    renewal: Duration,
    /// Devices of which nobody knows yet that they are not served any more.
    lost: Vec<(DeviceId, Generation)>,
}

impl<D: Datagrams, T: Tun> Worker<D, T> {
    /// With all buffers that it needs: about 1.5 MiB.
    pub fn new(ends: Ends<D, T>, shared: Shared) -> Self {
        Self {
            ends,
            shared,
            inbound: Inbound::new(),
            outbound: Outbound::new(),
            renewal: Duration::ZERO,
            lost: Vec::new(),
        }
    }

    /// One turn: a batch from each source, taken to its end. `now` counts from any fixed point and never goes back.
    pub fn turn(&mut self, now: Duration) {
        self.wake(now);
        for socket in 0..self.ends.sockets.len() {
            let _ = self.serve(now, Source::Socket(socket));
        }
        let mut next = self.ends.devices.next(0);
        while let Some(device) = next {
            let _ = self.serve(now, Source::Device(device));
            next = device.0.checked_add(1).and_then(|behind| self.ends.devices.next(behind));
        }
    }

    /// Looks whether what was waited for is there: SAs for packets that came before them, packets from other workers, and orders; and gives
    /// up what waited for too long.
    pub fn wake(&mut self, now: Duration) {
        // Whoever lives on what others hand over is never served.
        self.renew_patience(now);
        self.inbound.release(now, &mut self.ends, &self.shared);
        self.outbound.release(now, &mut self.ends, &self.shared);
        self.outbound.take_over(now, &mut self.ends, &self.shared);
        let children = self.shared.tables.children.load();
        // All workers are woken for an order, so the home worker comes for its own.
        let ours = |slot| children.get(slot).is_none_or(|child| self.shared.team.home(child).is_none());
        for slot in self.shared.orders.take(ours) {
            self.outbound.announce(now, slot, &mut self.ends, &self.shared);
        }
    }

    /// When `wake` is due though nobody has signalled: at once, if others have handed over more than one turn takes.
    pub fn deadline(&self) -> Option<Duration> {
        self.inbound.deadline().into_iter().chain(self.outbound.deadline()).min()
    }

    /// One batch from one source. An error is a device's end: it should not be read again.
    pub fn serve(&mut self, now: Duration, source: Source) -> io::Result<()> {
        self.renew_patience(now);
        match source {
            Source::Socket(socket) => {
                self.inbound.serve(now, socket, &mut self.ends, &self.shared);
                Ok(())
            }
            Source::Device(device) => self.outbound.serve(now, device, &mut self.ends, &self.shared),
        }
    }

    /// Sends all that others have handed over. For when none of the workers runs any more.
    pub fn finish(&mut self, now: Duration) {
        while self.outbound.take_over(now, &mut self.ends, &self.shared) {}
    }

    /// Nothing that came from this device is carried any more.
    pub(super) fn leave(&mut self, device: DeviceId) -> Option<T> {
        self.outbound.forget(device, &self.shared);
        self.ends.devices.remove(device)
    }

    /// What is said of a packet another packet may say again. The end of a device is said once, so it waits until the engine has room for it: true
    /// if it has to.
    fn tell_lost(&mut self) -> bool {
        let upcalls = &self.shared.upcalls;
        self.lost.retain(|&(device, generation)| {
            matches!(upcalls.try_send(Upcall::DeviceLost { device, generation }), Err(TrySendError::Full(_)))
        });
        !self.lost.is_empty()
    }

    fn renew_patience(&mut self, now: Duration) {
        if now < self.renewal {
            return;
        }
        let sockets = &mut self.ends.sockets;
        self.renewal = now + PATIENCE * sockets.len() as u32;
        sockets.iter_mut().for_each(|socket| socket.io.renew_patience());
    }
}

/// What the engine had no room for is said again after this time.
const AGAIN: Duration = Duration::from_millis(100);

const CONTROL: u64 = u64::MAX;
const DEVICE: u64 = 1 << 32;
/// Above that bit a token has the generation of its device.
const GENERATION: u32 = 33;

/// Serves what is ready until `stop` is true. Set it, then signal `control`. After that the worker holds no packet but those that wait for
/// an SA: what it has read it has sent, delivered or handed over; for what others hand over until they stop see [`Worker::finish`]. A signal alone
/// makes it look for new SAs, for packets that were handed over to it and for orders, those about its devices first. `clock` is read once per turn.
pub fn run<D, T>(
    worker: &mut Worker<D, T>,
    orders: &devices::Orders<T>,
    control: &EventFd,
    stop: &AtomicBool,
    clock: fn() -> Duration,
) -> io::Result<()>
where
    D: Datagrams + AsFd,
    T: Tun + AsFd,
{
    let poll = Poll::new()?;
    poll.add(control, CONTROL)?;
    for (i, socket) in worker.ends.sockets.iter().enumerate() {
        poll.add(&socket.io, i as u64)?;
    }
    for (id, generation, tun) in worker.ends.devices.iter() {
        poll.add(tun, token(id, generation))?;
    }
    let mut ready = Vec::new();
    loop {
        // Level-triggered: a source that was not read to its end is ready again at once, behind the others.
        let again = worker.tell_lost().then_some(AGAIN);
        let timeout = worker.deadline().map(|at| at.saturating_sub(clock())).into_iter().chain(again).min();
        poll.wait(&mut ready, timeout)?;
        let now = clock();
        let rung = ready.contains(&CONTROL) && control.drain();
        if rung && obey(worker, orders, &poll)? {
            // They may be those of other devices by now.
            ready.retain(|token| token & DEVICE == 0);
        }
        if rung || worker.deadline().is_some_and(|at| at <= now) {
            worker.wake(now);
        }
        for &token in ready.iter().filter(|token| **token != CONTROL) {
            let (source, generation) = (source(token), (token >> GENERATION) as Generation);
            if worker.serve(now, source).is_err()
                && let Source::Device(device) = source
                && let Some(tun) = worker.leave(device)
            {
                poll.remove(&tun)?;
                drop(tun);
                worker.lost.push((device, generation));
            }
        }
        if stop.load(Ordering::Acquire) {
            return Ok(());
        }
    }
}

fn token(device: DeviceId, generation: Generation) -> u64 {
    u64::from(generation) << GENERATION | DEVICE | u64::from(device.0)
}

/// What a token stands for.
fn source(token: u64) -> Source {
    // Both are as wide as what was put in.
    if token & DEVICE == 0 { Source::Socket(token as usize) } else { Source::Device(DeviceId(token as u16)) }
}

/// Takes devices on and leaves others, as the engine wants it; whether it wanted any of it.
fn obey<D, T>(worker: &mut Worker<D, T>, orders: &devices::Orders<T>, poll: &Poll) -> io::Result<bool>
where
    D: Datagrams,
    T: Tun + AsFd,
{
    let orders = orders.take();
    let any = !orders.is_empty();
    for order in orders {
        let (Order::Serve(id, ..) | Order::Leave(id)) = order;
        // The engine knows, or wants it no more.
        worker.lost.retain(|(device, _)| *device != id);
        if let Some(before) = worker.leave(id) {
            poll.remove(&before)?;
        }
        if let Order::Serve(id, generation, tun) = order {
            if poll.add(&tun, token(id, generation)).is_ok() {
                worker.ends.devices.insert(id, generation, tun);
            } else {
                // One connection's trouble is not that of all.
                worker.lost.push((id, generation));
            }
        }
    }
    Ok(any)
}

/// Either kind of outer socket.
#[derive(Debug)]
pub enum Outer {
    /// ESP in UDP, and IKE.
    Udp(UdpSocket),
    /// IP protocol 50.
    Raw(RawEsp),
}

impl Datagrams for Outer {
    fn receive(&mut self, batch: &mut ReceiveBatch) -> io::Result<()> {
        match self {
            Outer::Udp(socket) => socket.receive(batch),
            Outer::Raw(socket) => socket.receive(batch),
        }
    }
    fn send(&mut self, to: &Destination, data: &[u8], segment: usize) -> io::Result<usize> {
        match self {
            Outer::Udp(socket) => socket.send(to, data, segment),
            Outer::Raw(socket) => socket.send(to, data, segment),
        }
    }
    fn renew_patience(&mut self) {
        match self {
            Outer::Udp(socket) => socket.renew_patience(),
            Outer::Raw(socket) => socket.renew_patience(),
        }
    }
}

impl AsFd for Outer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Outer::Udp(socket) => socket.as_fd(),
            Outer::Raw(socket) => socket.as_fd(),
        }
    }
}
