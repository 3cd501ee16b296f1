//! What ICMP says of our outer packets, in small portions: a flood of it is the kernel's to drop, and the engine has other things to do.
use crate::io::fds::Poll;
use crate::io::icmp_watch::{IcmpWatch, Report};
use std::io;
use std::time::Duration;

/// Messages that are read at a time, of each family.
const AT_ONCE: usize = 64;
/// When there were more, nothing is read for so long.
const REST: Duration = Duration::from_millis(100);

/// The sockets that hear them.
#[derive(Debug)]
pub struct Hints {
    ears: Vec<Ear>,
}

#[derive(Debug)]
struct Ear {
    watch: IcmpWatch,
    token: u64,
    /// It is not waited for until then.
    rests: Option<Duration>,
}

impl Hints {
    /// Listens with both families, each under a token of its own; without the right to (CAP_NET_RAW), or without IPv6, not: probes find out by
    /// themselves, later.
    pub fn open(poll: &Poll, tokens: [u64; 2]) -> io::Result<Self> {
        let mut ears = Vec::new();
        for (token, ipv6) in tokens.into_iter().zip([false, true]) {
            match IcmpWatch::open(ipv6) {
                Ok(watch) => {
                    poll.add(&watch, token)?;
                    ears.push(Ear { watch, token, rests: None });
                }
                Err(error) => tracing::debug!(%error, ipv6, "ICMP about our packets will not be heard"),
            }
        }
        Ok(Self { ears })
    }

    /// What has come on those that are ready.
    pub fn read(&mut self, now: Duration, poll: &Poll, ready: &[u64]) -> Vec<Report> {
        let mut reports = Vec::new();
        for ear in self.ears.iter_mut().filter(|ear| ready.contains(&ear.token)) {
            let all = ear.watch.read(AT_ONCE, |report| reports.push(report));
            if !all && poll.remove(&ear.watch).is_ok() {
                ear.rests = Some(now + REST);
            }
        }
        reports
    }

    /// Waits again for those that have rested.
    pub fn tick(&mut self, now: Duration, poll: &Poll) {
        for ear in self.ears.iter_mut().filter(|ear| ear.rests.is_some_and(|until| until <= now)) {
            ear.rests = match poll.add(&ear.watch, ear.token) {
                Ok(()) => None,
                Err(_) => Some(now + REST),
            };
        }
    }

    /// When `tick` is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.ears.iter().filter_map(|ear| ear.rests).min()
    }
}
