//! One capture on its way to its client.
use super::pcapng::{Packet, Writer};
use super::{Captures, PATIENCE, Run};
use crate::control::unread::Hangup;
use crate::dataplane::tap::Held;
use axum::body::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

/// So often the lanes are looked at.
const LOOK: Duration = Duration::from_millis(20);
/// A piece of the file that is sent at a time has about so many octets: others want to be served in between.
const PIECE: usize = 64 * 1024;

/// The file as it grows. While there is one, packets are copied.
#[derive(Debug)]
pub struct Stream {
    captures: Arc<Captures>,
    run: Arc<Run>,
    writer: Writer,
    /// From the workers' clock to the one of the wall.
    since: Duration,
    over: Pin<Box<Sleep>>,
    held: Vec<Held>,
    /// What of `held` is still to be written, the last first: the lane, which packet, and where its octets begin.
    order: Vec<(usize, usize, usize)>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Copying,
    /// No more packets are copied; what was is still to be written.
    Ending,
    /// The file is whole.
    Whole,
}

impl Stream {
    pub(super) fn new(captures: Arc<Captures>, run: Arc<Run>) -> Self {
        captures.tap.add(run.lanes.clone());
        let writer = Writer::new(run.terms.octets, run.terms.wanted.snaplen, run.started);
        let since = (captures.wall)().saturating_sub((captures.clock)());
        let over = Box::pin(sleep(Duration::from_secs(run.terms.seconds)));
        Self { captures, run, writer, since, over, held: Vec::new(), order: Vec::new(), phase: Phase::Copying }
    }

    /// Which capture it is.
    pub fn id(&self) -> u64 {
        self.run.id
    }

    /// Ends it when its time is over or somebody says so, however its client reads: that is not asked for pieces of it as long as it is busy with one.
    pub fn watch(&self, hangup: Hangup) -> impl Future<Output = ()> + use<> {
        let (captures, run, until) = (self.captures.clone(), self.run.clone(), self.over.deadline());
        async move {
            // Whoever has called is told apart from the time by what there is to do: nothing, if the file is whole.
            let _ = timeout_at(until, run.over.notified()).await;
            captures.tap.remove(&run.lanes);
            let last = Instant::now() + PATIENCE;
            while !run.is_gone() {
                if timeout_at(last, run.over.notified()).await.is_err() {
                    return hangup.pull();
                }
            }
        }
    }

    /// The next piece, which ends with a whole block; `None` at the end of the file.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.write();
            if self.writer.waiting() > 0 {
                let piece = self.writer.take();
                self.run.written.store(self.writer.written(), Relaxed);
                return Some(piece.into());
            }
            match self.phase {
                Phase::Whole => return None,
                // All that was copied is written.
                Phase::Ending => self.finish(),
                Phase::Copying if self.is_over() => self.end(),
                Phase::Copying => {
                    tokio::select! {
                        () = &mut self.over => {}
                        () = sleep(LOOK) => {}
                    }
                    self.look();
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.run.ended.load(Relaxed) || self.over.deadline() <= Instant::now()
    }

    fn end(&mut self) {
        self.captures.tap.remove(&self.run.lanes);
        self.look();
        self.phase = Phase::Ending;
    }

    fn finish(&mut self) {
        self.writer.finish(&self.run.lanes.missed(), (self.captures.wall)());
        self.phase = Phase::Whole;
    }

    /// Takes what has come, in the order of time: each lane is in order already.
    fn look(&mut self) {
        self.run.lanes.take(&mut self.held);
        self.order.clear();
        for (lane, held) in self.held.iter().enumerate() {
            let mut at = 0;
            for (number, packet) in held.packets.iter().enumerate() {
                self.order.push((lane, number, at));
                at += packet.kept;
            }
        }
        let held = &self.held;
        self.order.sort_by_key(|(lane, number, _)| held[*lane].packets[*number].at);
        self.order.reverse();
    }

    /// As much as is sent at a time.
    fn write(&mut self) {
        while self.writer.waiting() < PIECE
            && let Some((lane, number, at)) = self.order.pop()
        {
            let held = &self.held[lane];
            let packet = &held.packets[number];
            let data = &held.octets[at..at + packet.kept];
            let at = packet.at + self.since;
            let packet = Packet { plane: &packet.plane, at, outgoing: packet.outgoing, len: packet.len, data };
            if !self.writer.packet(&packet) {
                // The file is full.
                self.order.clear();
                self.captures.tap.remove(&self.run.lanes);
                self.phase = Phase::Ending;
                return;
            }
            self.run.packets.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.captures.tap.remove(&self.run.lanes);
        self.captures.runs().by_id.remove(&self.run.id);
        self.run.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Order;
    use super::*;
    use crate::dataplane::tap::Tap;

    fn paused<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
    }

    fn captures() -> (Arc<Tap>, Arc<Captures>) {
        let tap = Arc::new(Tap::default());
        let captures = Captures::new(tap.clone(), 2, || Duration::from_secs(100), || Duration::from_secs(1_000_000));
        (tap, Arc::new(captures))
    }

    fn order(seconds: u64, octets: u64) -> Order {
        Order { inner: true, seconds: Some(seconds), octets: Some(octets), ..Order::default() }
    }

    fn begin(captures: &Arc<Captures>, order: &Order) -> Stream {
        captures.begin(order.terms().unwrap(), 0).unwrap()
    }

    async fn rest(stream: &mut Stream) -> Vec<u8> {
        let mut file = Vec::new();
        while let Some(piece) = stream.next().await {
            file.extend(piece);
        }
        file
    }

    /// Their kinds, and of each packet when it was, in seconds since 1970.
    fn blocks(mut file: &[u8]) -> Vec<(u32, u64)> {
        let mut blocks = Vec::new();
        while !file.is_empty() {
            let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
            let time = if word(0) == 6 { u64::from(word(12)) << 32 | u64::from(word(16)) } else { 0 };
            blocks.push((word(0), time / 1_000_000_000));
            file = &file[word(4) as usize..];
        }
        blocks
    }

    #[test]
    fn packets_of_all_lanes_come_in_the_order_of_time_by_the_wall_clock() {
        paused(async {
            let (tap, captures) = captures();
            let mut stream = begin(&captures, &order(5, 1 << 20));
            for (lane, at) in [(0, 103), (1, 101), (0, 104), (1, 102)] {
                tap.open(Duration::from_secs(at), lane).unwrap().inner(&"a/b".into(), true, &[b"x"]);
            }
            let packet = |at: u64| (6, 1_000_000 + at);
            let begun = Instant::now();
            let expected = [(0x0a0d_0d0a, 0), (1, 0), packet(1), packet(2), packet(3), packet(4), (5, 0)];
            assert_eq!(blocks(&rest(&mut stream).await), expected);
            assert_eq!(begun.elapsed(), Duration::from_secs(5));
            assert!(tap.open(Duration::ZERO, 0).is_none(), "nothing is copied any more");
            assert_eq!(captures.list().captures[0].packets, 4);
        });
    }

    #[test]
    fn a_full_file_ends_and_so_does_what_somebody_ends() {
        paused(async {
            let (tap, captures) = captures();
            let mut stream = begin(&captures, &order(3600, 4096));
            for _ in 0..100 {
                tap.open(Duration::ZERO, 0).unwrap().inner(&"a/b".into(), true, &[&[0; 100]]);
            }
            let file = rest(&mut stream).await;
            assert!(file.len() <= 4096 && file.len() > 3800, "{}", file.len());
            assert_eq!(blocks(&file).last(), Some(&(5, 0)));
            let mut other = begin(&captures, &order(3600, 4096));
            assert!(other.next().await.is_some());
            tap.open(Duration::ZERO, 0).unwrap().inner(&"a/b".into(), true, &[b"the last one"]);
            assert!(captures.end(Some(2)) && !captures.end(Some(3)));
            let begun = Instant::now();
            assert_eq!(blocks(&rest(&mut other).await).iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), [1, 6, 5]);
            assert!(begun.elapsed() < Duration::from_secs(1));
        });
    }

    #[test]
    fn who_does_not_read_misses_and_is_told_of_it() {
        paused(async {
            let (tap, captures) = captures();
            let mut stream = begin(&captures, &order(1, 1 << 30));
            for _ in 0..20_000 {
                tap.open(Duration::ZERO, 0).unwrap().inner(&"a/b".into(), true, &[b"x"]);
            }
            let missed = captures.list().captures[0].missed;
            let file = rest(&mut stream).await;
            let there = blocks(&file).iter().filter(|(kind, _)| *kind == 6).count() as u64;
            assert_eq!((there + missed, missed > 0), (20_000, true));
            // The statistics end with what was dropped, the options' end, and the length.
            let at = file.len() - 16;
            assert_eq!(u64::from_le_bytes(file[at..at + 8].try_into().unwrap()), missed);
        });
    }

    /// What waits at its client keeps it from being asked for more.
    #[test]
    fn who_reads_nothing_more_is_hung_up_on_after_the_end() {
        for (seconds, deleted) in [(30, false), (3600, true)] {
            paused(async {
                let (tap, captures) = captures();
                let mut stream = begin(&captures, &order(seconds, 1 << 20));
                let hangup = Hangup::default();
                let begun = Instant::now();
                tokio::spawn(stream.watch(hangup.clone()));
                assert!(stream.next().await.is_some());
                if deleted {
                    sleep(Duration::from_secs(30)).await;
                    assert!(captures.end(Some(1)));
                }
                let hung_up = tokio::spawn(async move { hangup.pulled().await });
                sleep(Duration::from_secs(31) - begun.elapsed()).await;
                assert!(tap.open(Duration::ZERO, 0).is_none() && !hung_up.is_finished(), "nothing is copied any more");
                hung_up.await.unwrap();
                assert_eq!(begun.elapsed().as_secs(), 30 + PATIENCE.as_secs());
            });
        }
    }

    #[test]
    fn who_has_the_whole_file_keeps_its_connection() {
        paused(async {
            let (_, captures) = captures();
            let mut stream = begin(&captures, &order(1, 1 << 20));
            let hangup = Hangup::default();
            let watch = tokio::spawn(stream.watch(hangup.clone()));
            rest(&mut stream).await;
            drop(stream);
            watch.await.unwrap();
            let pulled = tokio::time::timeout(Duration::from_secs(99), hangup.pulled()).await;
            assert!(pulled.is_err());
        });
    }

    #[test]
    fn a_daemon_that_ends_lets_files_end() {
        paused(async {
            let (_, captures) = captures();
            let mut stream = begin(&captures, &order(3600, 1 << 20));
            let reader = tokio::spawn(async move { rest(&mut stream).await });
            captures.close().await;
            assert!(captures.list().captures.is_empty());
            assert_eq!(blocks(&reader.await.unwrap()), [(0x0a0d_0d0a, 0)]);
            let refused = captures.begin(order(1, 4096).terms().unwrap(), 0);
            assert_eq!(refused.unwrap_err().code, "daemon.busy");
        });
    }
}
