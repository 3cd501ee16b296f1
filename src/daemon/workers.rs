//! The workers' threads, and the way of their upcalls to the engine.
use super::clock;
use super::devices::Inbox;
use crate::dataplane::Upcall;
use crate::dataplane::home::Team;
use crate::dataplane::stats::WorkerStats;
use crate::dataplane::tap::Tap;
use crate::dataplane::worker::{self, Ends, Orders, Outer, Shared, Socket, Worker};
use crate::io::fds::EventFd;
use crate::io::host;
use crate::io::tun::Queue;
use crate::ipsec::spd::{DeviceId, Slot};
use crate::ipsec::tables::Tables;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Upcalls that wait; what does not fit is counted by its worker.
pub const UPCALLS: usize = 1024;
/// A worker's time slice. With the usual one, of some milliseconds, whoever else has work on its core fills our queues meanwhile, and we then their
/// sockets' buffers: a flood of small datagrams lost most of itself so.
const SLICE: Duration = Duration::from_micros(300);

/// One for each worker.
pub fn inboxes(workers: u8) -> io::Result<Vec<Inbox>> {
    (0..workers).map(|_| Ok(Inbox { orders: Arc::default(), bell: Arc::new(EventFd::new()?) })).collect()
}

/// No worker is at work: what is frozen now is what they have left.
#[derive(Debug)]
pub struct Paused(());

type Thread = JoinHandle<Option<Worker<Outer, Queue>>>;

/// The running workers; they stop when this is dropped, and their devices go with them.
#[derive(Debug)]
pub struct Workers {
    stop: Arc<AtomicBool>,
    inboxes: Vec<Inbox>,
    /// They give their workers back, unless one ended that was not told to.
    threads: Vec<Thread>,
    /// Those that have stopped, in their order.
    idle: Vec<Worker<Outer, Queue>>,
    pin: bool,
    device: DeviceId,
    sender: Option<SyncSender<Upcall>>,
    /// Takes upcalls to the engine.
    forwarder: Option<JoinHandle<()>>,
    /// Counters of each worker.
    pub stats: Vec<Arc<WorkerStats>>,
    /// Where their packets can be seen. What they do not see themselves has the lane behind theirs.
    pub tap: Arc<Tap>,
    orders: Arc<Orders>,
    upcalls: Receiver<Upcall>,
}
impl Workers {
    /// One worker for each queue of the device, with its sockets and its inbox, idle until [`Self::go_on`]; each stays on a core of its own with `pin`, if there are enough
    /// that this process may use. `wake` is signalled when there is an upcall.
    pub fn new(
        tables: &Arc<Tables>,
        device: DeviceId,
        queues: Vec<Queue>,
        sockets: Vec<Vec<Socket<Outer>>>,
        inboxes: Vec<Inbox>,
        pin: bool,
        wake: Arc<EventFd>,
    ) -> io::Result<Self> {
        let (sender, received) = mpsc::sync_channel(UPCALLS);
        let (forward, upcalls) = mpsc::sync_channel(UPCALLS);
        let mut workers = Self {
            stop: Arc::new(AtomicBool::new(false)),
            inboxes,
            threads: Vec::new(),
            idle: Vec::new(),
            pin: pin && queues.len() <= host::usable_cores(),
            device,
            sender: Some(sender.clone()),
            forwarder: None,
            stats: Vec::new(),
            tap: Arc::default(),
            orders: Arc::default(),
            upcalls,
        };
        let bells: Vec<_> = workers.inboxes.iter().map(|inbox| inbox.bell.clone()).collect();
        for ((queue, sockets), team) in queues.into_iter().zip(sockets).zip(Team::of(&bells)) {
            let stats = Arc::new(WorkerStats::default());
            let (tables, upcalls, orders) = (tables.clone(), sender.clone(), workers.orders.clone());
            let shared = Shared { tables, upcalls, stats: stats.clone(), orders, team, tap: workers.tap.clone() };
            let ends = Ends { sockets, devices: [(device, queue)].into_iter().collect() };
            workers.stats.push(stats);
            workers.idle.push(Worker::new(ends, shared));
        }
        drop(sender);
        // Ends with the last worker's sender.
        workers.forwarder = Some(Builder::new().name("upcalls".into()).spawn(move || {
            for upcall in received {
                if forward.send(upcall).is_err() {
                    return;
                }
                wake.signal();
            }
        })?);
        Ok(workers)
    }
    /// Those that are idle begin, or go on as if they had never stopped.
    pub fn go_on(&mut self) -> io::Result<()> {
        self.stop.store(false, Ordering::Release);
        for (index, worker) in std::mem::take(&mut self.idle).into_iter().enumerate() {
            let Some(thread) = self.spawn(index, worker)? else { break };
            self.threads.push(thread);
        }
        Ok(())
    }
    fn spawn(&self, index: usize, mut worker: Worker<Outer, Queue>) -> io::Result<Option<Thread>> {
        let (Some(inbox), Some(upcalls)) = (self.inboxes.get(index).cloned(), self.sender.clone()) else {
            return Ok(None);
        };
        let (stop, pin) = (self.stop.clone(), self.pin);
        let ending = Ending { stop: stop.clone(), upcalls, device: self.device };
        let thread = Builder::new().name(format!("worker{index}")).spawn(move || {
            let _ending = ending;
            // Also keeps order: what one thread sends from two cores may overtake itself in the kernel's queues.
            if pin && let Err(error) = host::pin_to_core(index) {
                tracing::warn!(%error, index, "a worker cannot be kept on its core");
            }
            if let Err(error) = host::shorten_slice(SLICE) {
                tracing::debug!(%error, index, "a worker's time slices stay as they are");
            }
            let end = worker::run(&mut worker, &inbox.orders, &inbox.bell, &stop, clock::now);
            end.inspect_err(|error| tracing::error!(%error, index, "a worker ended")).ok().map(|()| worker)
        })?;
        Ok(Some(thread))
    }
    /// All stop and wait for `go_on`; what they have read they have sent. From here on nothing is sealed by any thread. Nothing if one of them is gone.
    pub fn pause(&mut self) -> Option<Paused> {
        self.stop.store(true, Ordering::Release);
        self.inboxes.iter().for_each(|inbox| inbox.bell.signal());
        let all = self.threads.len();
        self.idle.extend(self.threads.drain(..).filter_map(|thread| thread.join().ok().flatten()));
        // Whoever stopped later may have handed over to who was gone.
        self.idle.iter_mut().for_each(|worker| worker.finish(clock::now()));
        (self.idle.len() == all).then_some(Paused(()))
    }
    /// While they are idle: what waited for what has been installed since goes, and peers hear that it is in use.
    pub fn finish(&mut self) {
        self.idle.iter_mut().for_each(|worker| worker.wake(clock::now()));
        self.idle.iter_mut().for_each(|worker| worker.finish(clock::now()));
    }
    /// While they are idle: all that they have said, and nobody has heard, in order; some of it is on its way yet.
    pub fn last_words(&self) -> Vec<Upcall> {
        let mut all = Vec::new();
        let Some(sender) = &self.sender else { return all };
        while let Err(TrySendError::Full(_)) = sender.try_send(Upcall::Mark) {
            all.extend(self.upcalls.recv());
        }
        // Whoever takes them there ends with the last sender, so one of both comes.
        while let Ok(upcall) = self.upcalls.recv() {
            if matches!(upcall, Upcall::Mark) {
                break;
            }
            all.push(upcall);
        }
        all
    }
    /// The sockets of each worker, while they are idle.
    pub fn sockets(&self) -> impl Iterator<Item = &[Socket<Outer>]> {
        self.idle.iter().map(|worker| &worker.ends.sockets[..])
    }
    /// The queues of the gateway's device, one of each worker, while they are idle.
    pub fn queues(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let all = self.idle.iter().flat_map(|worker| worker.ends.devices.iter());
        all.filter(|(id, ..)| *id == self.device).map(|(.., queue)| queue.as_fd())
    }
    /// There is a new SA: packets may have waited for it. The peer is told that we use it if its `slot` is named.
    pub fn installed(&self, announce: Option<Slot>) {
        if let Some(slot) = announce {
            self.orders.announce(slot);
        }
        self.inboxes.iter().for_each(|inbox| inbox.bell.signal());
    }
    /// What a worker has to say.
    pub fn next(&self) -> Option<Upcall> {
        self.upcalls.try_recv().ok()
    }
}
impl Drop for Workers {
    fn drop(&mut self) {
        // The one that forwards must not wait for a channel that nobody reads any more.
        self.upcalls = mpsc::sync_channel(0).1;
        self.pause();
        self.idle.clear();
        self.sender = None;
        // It ends with the last worker.
        if let Some(forwarder) = self.forwarder.take() {
            let _ = forwarder.join();
        }
    }
}

/// Tells the engine when a worker ends that was not told to, whatever the reason: nobody would serve its queues any more.
struct Ending {
    stop: Arc<AtomicBool>,
    upcalls: SyncSender<Upcall>,
    device: DeviceId,
}
impl Drop for Ending {
    fn drop(&mut self) {
        if !self.stop.load(Ordering::Acquire) {
            // Waits for room, unlike a worker: there is nothing else left to do.
            let _ = self.upcalls.send(Upcall::DeviceLost { device: self.device, generation: 0 });
        }
    }
}

#[cfg(test)]
impl Workers {
    /// One more, that ends by itself.
    pub fn add_a_lost_one(&mut self) {
        self.threads.push(std::thread::spawn(|| None));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Workers {
        let (tables, wake) = (Arc::new(Tables::new()), Arc::new(EventFd::new().unwrap()));
        Workers::new(&tables, DeviceId(0), Vec::new(), Vec::new(), Vec::new(), false, wake).unwrap()
    }

    /// On their way they are in two channels, and in the hands of who takes them from one to the other.
    #[test]
    fn all_that_workers_have_said_is_heard_while_they_rest() {
        let workers = none();
        let all = 0..UPCALLS as u32 * 2;
        for spi in all.clone() {
            workers.sender.as_ref().unwrap().send(Upcall::FirstPacket { spi }).unwrap();
        }
        let spis = workers.last_words().into_iter().map(|upcall| match upcall {
            Upcall::FirstPacket { spi } => spi,
            other => panic!("{other:?}"),
        });
        assert!(spis.eq(all));
        assert!(workers.last_words().is_empty() && workers.next().is_none());
    }

    #[test]
    fn who_is_lost_in_a_pause_is_missed() {
        let mut workers = none();
        assert!(workers.pause().is_some());
        workers.go_on().unwrap();
        workers.add_a_lost_one();
        assert!(workers.pause().is_none());
    }

    #[test]
    fn a_worker_that_ends_by_itself_is_missed() {
        for (told, panics, missed) in [(false, true, true), (false, false, true), (true, false, false)] {
            let (upcalls, received) = mpsc::sync_channel(1);
            let ending = Ending { stop: Arc::new(AtomicBool::new(told)), upcalls, device: DeviceId(3) };
            let worker = std::thread::spawn(move || {
                let _ending = ending;
                assert!(!panics, "as a worker might");
            });
            assert_eq!(worker.join().is_err(), panics);
            let lost = matches!(received.try_recv(), Ok(Upcall::DeviceLost { device: DeviceId(3), .. }));
            assert_eq!(lost, missed);
        }
    }
}
