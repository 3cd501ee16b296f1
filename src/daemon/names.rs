//! Names of peers and their addresses: a thread asks the name servers by sockets with our mark, the engine remembers what they say.
use super::fetch::resolve::{Found, Names as Resolver};
use crate::io::fds::EventFd;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use tokio::sync::mpsc as channel;

/// A name's time to live counts from this
const SHORTEST: Duration = Duration::from_secs(5);
/// to this; what had none, or was not found, is good for the first.
const LONGEST: Duration = Duration::from_secs(3600);
/// Whoever has the name is silent: then it is asked for so often.
const AGAIN: Duration = Duration::from_secs(1);
/// Name servers have so long for one name.
const PATIENCE: Duration = Duration::from_secs(5);
/// Names that we remember.
const MAX_NAMES: usize = 4096;
/// Names that are asked for at a time; others wait for their turn.
const MAX_QUESTIONS: usize = 64;

/// What is known of names, and the thread that asks. It ends with this.
#[derive(Debug)]
pub struct Names {
    known: HashMap<String, Known>,
    questions: channel::UnboundedSender<String>,
    answers: Receiver<(String, Result<Found, String>)>,
}
#[derive(Debug, Default)]
struct Known {
    addresses: Vec<IpAddr>,
    /// A question is on its way.
    asking: bool,
    /// When it was asked for last, or answered.
    lately: Option<Duration>,
    /// What is known is good until then.
    until: Duration,
}
impl Names {
    /// `mark` is that of our own packets; `wake` is signalled when a name was resolved, or could not be.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub fn start(mark: u32, wake: Arc<EventFd>) -> std::io::Result<Self> {
        let (questions, to_ask) = channel::unbounded_channel();
        let (answer, answers) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new()
            .name("resolve".into())
            .spawn(move || runtime.block_on(serve(to_ask, mark, answer, wake)))?;
        Ok(Self { known: HashMap::new(), questions, answers })
    }
    /// The addresses of a name, as far as they are known; what is not known or too old is asked for.
    pub fn get(&mut self, name: &str, now: Duration) -> Vec<IpAddr> {
        let Some(known) = self.entry(name) else { return Vec::new() };
        let (old, addresses) = (known.until <= now, known.addresses.clone());
        if old {
            self.ask(name, now);
        }
        addresses
    }
    /// What is known may not be true any more: asks again, unless it is from a moment ago. True if an answer is to be expected.
    pub fn again(&mut self, name: &str, now: Duration) -> bool {
        match self.entry(name) {
            Some(known) if known.asking => true,
            Some(known) if known.lately.is_none_or(|lately| lately + AGAIN <= now) => self.ask(name, now),
            _ => false,
        }
    }
    /// Takes in what was resolved, or could not be. Returns the names.
    pub fn collect(&mut self, now: Duration) -> Vec<String> {
        let mut names = Vec::new();
        for (name, answer) in self.answers.try_iter() {
            let Some(known) = self.known.get_mut(&name) else { continue };
            (known.asking, known.lately) = (false, Some(now));
            known.until = now + SHORTEST;
            match answer {
                Ok(found) => {
                    let before = std::mem::replace(&mut known.addresses, found.addresses);
                    let known_now = known.addresses.len();
                    known.addresses.extend(before.into_iter().filter(found.unknown));
                    // What nobody could confirm is asked for again soon.
                    if known.addresses.len() == known_now {
                        known.until = now + found.good_for.clamp(SHORTEST, LONGEST);
                    }
                    known.addresses.sort_by_key(IpAddr::is_ipv6);
                }
                // What was known stays: it may be the name server that has failed.
                Err(error) => tracing::warn!(?name, %error, "a name was not resolved"),
            }
            names.push(name);
        }
        names
    }
    fn entry(&mut self, name: &str) -> Option<&mut Known> {
        if !self.known.contains_key(name) && self.known.len() >= MAX_NAMES {
            return None;
        }
        Some(self.known.entry(name.to_owned()).or_default())
    }
    fn ask(&mut self, name: &str, now: Duration) -> bool {
        let Some(known) = self.known.get_mut(name).filter(|known| !known.asking) else { return true };
        // As many as there are names at most: each once.
        known.asking = self.questions.send(name.to_owned()).is_ok();
        known.lately = Some(now);
        known.asking
    }
}

async fn serve(
    mut to_ask: channel::UnboundedReceiver<String>,
    mark: u32,
    answer: mpsc::Sender<(String, Result<Found, String>)>,
    wake: Arc<EventFd>,
) {
    let slots = Arc::new(tokio::sync::Semaphore::new(MAX_QUESTIONS));
    while let Some(name) = to_ask.recv().await {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (answer, wake) = (answer.clone(), wake.clone());
        tokio::spawn(async move {
            let asked = tokio::time::timeout(PATIENCE, one(&name, mark)).await;
            let found = asked.unwrap_or_else(|_| Err("the name servers do not answer".into()));
            // The engine may be gone.
            let _ = answer.send((name, found));
            wake.signal();
            drop(slot);
        });
    }
}
/// Whatever `/etc/resolv.conf` says now, and nothing from a cache: we ask because what was known is old.
async fn one(name: &str, mark: u32) -> Result<Found, String> {
    let mut found = Resolver::new(mark)?.look_up(name).await?;
    found.addresses.retain(|addr| can_be_a_peer(*addr));
    Ok(found)
}
/// One host's address, of a scope that needs no interface beside it. Our own are for `ike` to see.
fn can_be_a_peer(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => !(a.is_unspecified() || a.is_multicast() || a.is_broadcast() || a.octets()[0] == 0),
        IpAddr::V6(a) => {
            !(a.is_unspecified() || a.is_multicast() || a.is_unicast_link_local() || a.to_ipv4_mapped().is_some())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answers = mpsc::Sender<(String, Result<Found, String>)>;

    /// Without the thread: the questions, and where the answers go.
    fn names() -> (Names, channel::UnboundedReceiver<String>, Answers) {
        let (questions, asked) = channel::unbounded_channel();
        let (answer, answers) = mpsc::channel();
        (Names { known: HashMap::new(), questions, answers }, asked, answer)
    }
    fn found(addresses: &[&str], seconds: u64) -> Result<Found, String> {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Ok(Found { addresses, good_for: Duration::from_secs(seconds), unknown: |_| false })
    }
    const fn at(millis: u64) -> Duration {
        Duration::from_millis(1_000_000 + millis)
    }

    #[test]
    fn times_to_live_count_within_limits_and_silence_asks_before_they_end() {
        let (mut names, mut asked, answer) = names();
        assert!(names.get("gw", at(0)).is_empty());
        assert!(names.get("gw", at(1)).is_empty() && names.again("gw", at(2)), "it is being asked for");
        assert_eq!((asked.try_recv().as_deref(), asked.try_recv().is_err()), (Ok("gw"), true));
        answer.send(("gw".into(), found(&["192.0.2.1"], 0))).unwrap();
        assert_eq!((names.collect(at(10)), names.collect(at(10)).len()), (vec!["gw".to_owned()], 0));
        assert_eq!(names.get("gw", at(5000)).len(), 1);
        assert!(asked.try_recv().is_err(), "no shorter than 5 s");
        assert!(!names.again("gw", at(1009)) && names.again("gw", at(1010)), "not a moment after an answer");
        assert!(asked.try_recv().is_ok());
        answer.send(("gw".into(), found(&["192.0.2.2"], 1_000_000))).unwrap();
        names.collect(at(6000));
        assert_eq!(names.get("gw", at(3_605_000)), ["192.0.2.2".parse::<IpAddr>().unwrap()]);
        assert!(asked.try_recv().is_err());
        names.get("gw", at(3_606_000));
        assert!(asked.try_recv().is_ok(), "no longer than an hour");
    }

    #[test]
    fn what_was_known_outlives_a_failure_and_many_names_do_not_fill_the_memory() {
        let (mut names, mut asked, answer) = names();
        names.get("gw", at(0));
        answer.send(("gw".into(), found(&["192.0.2.1", "2001:db8::1"], 1))).unwrap();
        names.collect(at(1));
        assert!(names.again("gw", at(2000)));
        answer.send(("gw".into(), Err("no such name".into()))).unwrap();
        answer.send(("nobody".into(), found(&["192.0.2.9"], 1))).unwrap();
        assert_eq!(names.collect(at(2001)), ["gw"]);
        assert_eq!(names.get("gw", at(2002)).len(), 2);
        for n in 0..10_000 {
            names.get(&n.to_string(), at(3000));
            let _ = asked.try_recv();
        }
        assert!(names.known.len() == MAX_NAMES && !names.again("new", at(9000)));
        // Each of many has its turn.
        let (mut names, _asked, _answer) = self::names();
        let asked = (0..2 * MAX_QUESTIONS).filter(|n| names.again(&n.to_string(), at(20_000))).count();
        assert_eq!(asked, 2 * MAX_QUESTIONS);
    }

    #[test]
    fn addresses_of_a_family_outlive_a_failure_of_its_question_alone() {
        let (mut names, mut asked, answer) = names();
        let mut tell = |millis, said: &[&str], unknown: fn(&IpAddr) -> bool| {
            names.again("gw", at(millis));
            answer.send(("gw".into(), found(said, 100).map(|found| Found { unknown, ..found }))).unwrap();
            names.collect(at(millis));
            while asked.try_recv().is_ok() {}
            let known = names.get("gw", at(millis + 6000));
            (known.iter().map(ToString::to_string).collect::<Vec<_>>(), asked.try_recv().is_ok())
        };
        let (v4, other, v6) = ("192.0.2.1", "192.0.2.2", "2001:db8::1");
        let said = |addresses: &[&str], again| (addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), again);
        assert_eq!(tell(0, &[v4, v6], |_| false), said(&[v4, v6], false));
        assert_eq!(tell(10_000, &[other], IpAddr::is_ipv6), said(&[other, v6], true));
        assert_eq!(tell(20_000, &[v6], IpAddr::is_ipv4), said(&[other, v6], true));
        assert_eq!(tell(30_000, &[v4], |_| false), said(&[v4], false), "the other family has no more");
        assert_eq!(tell(40_000, &[v4], IpAddr::is_ipv6), said(&[v4], false), "there was nothing to keep");
    }

    #[test]
    fn what_can_be_no_peers_address_is_not_one() {
        for addr in ["0.0.0.0", "0.1.2.3", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "fe80::1", "::ffff:1.2.3.4"]
        {
            assert!(!can_be_a_peer(addr.parse().unwrap()), "{addr}");
        }
        for addr in ["192.0.2.1", "10.0.0.1", "127.0.0.1", "2001:db8::1"] {
            assert!(can_be_a_peer(addr.parse().unwrap()), "{addr}");
        }
    }
}
