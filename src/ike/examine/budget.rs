//! How often a peer may be asked before it has proven who it is: a gateway that is asked too often stops answering, and then nothing works.
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One message, and then none for so long.
pub(super) const EACH: Duration = Duration::from_secs(5);
/// At most so many
pub(super) const MOST: usize = 12;
/// within this time.
pub(super) const WITHIN: Duration = Duration::from_secs(120);
/// An examination begins only where so many may follow: with fewer it would find nothing out.
const NEEDED: usize = 6;
const _: () = assert!(NEEDED <= MOST && EACH.as_secs() * (MOST as u64 - 1) < WITHIN.as_secs());

/// What was sent of late. It outlives the examinations: who asks again does not begin anew.
#[derive(Debug, Default)]
pub(super) struct Budget {
    sent: VecDeque<(Duration, Arc<str>, IpAddr)>,
}
impl Budget {
    /// When the next message for this connection, and to this address, may leave.
    pub(super) fn next_at(&self, now: Duration, connection: &str, remote: IpAddr) -> Duration {
        self.free_at(now, connection, remote, 1)
    }
    /// When an examination may begin.
    pub(super) fn begin_at(&self, now: Duration, connection: &str, remote: IpAddr) -> Duration {
        // The pace is kept anyway, and is no reason to come again.
        let paced = now + EACH;
        Some(self.free_at(now, connection, remote, NEEDED)).filter(|at| *at > paced).unwrap_or(now)
    }
    /// When `count` more may leave, at their pace.
    fn free_at(&self, now: Duration, connection: &str, remote: IpAddr, count: usize) -> Duration {
        let ours = |(at, name, addr): &&(Duration, Arc<str>, IpAddr)| {
            now < *at + WITHIN && (**name == *connection || *addr == remote)
        };
        let times: Vec<Duration> = self.sent.iter().filter(ours).map(|(at, ..)| *at).collect();
        let paced = times.last().map_or(now, |last| *last + EACH);
        let crowded = (times.len() + count).checked_sub(MOST + 1).and_then(|i| times.get(i)).map(|at| *at + WITHIN);
        now.max(paced).max(crowded.unwrap_or_default())
    }
    /// One leaves now.
    pub(super) fn spend(&mut self, now: Duration, connection: &Arc<str>, remote: IpAddr) {
        self.sent.retain(|(at, ..)| now < *at + WITHIN);
        self.sent.push_back((now, connection.clone(), remote));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }
    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 8));

    #[test]
    fn twelve_in_two_minutes_and_five_seconds_between_them() {
        let (mut budget, name) = (Budget::default(), Arc::from("net"));
        let mut now = seconds(1000);
        let mut sent = Vec::new();
        while now < seconds(1600) {
            now = budget.next_at(now, &name, PEER);
            budget.spend(now, &name, PEER);
            sent.push(now);
        }
        assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= EACH));
        assert!(sent.windows(MOST + 1).all(|some| some[MOST] - some[0] >= WITHIN));
        assert_eq!(sent.iter().filter(|at| **at < seconds(1120)).count(), MOST);
    }
    #[test]
    fn it_counts_by_connection_and_by_address() {
        let (mut budget, name): (_, Arc<str>) = (Budget::default(), "net".into());
        for i in 0..MOST as u64 {
            budget.spend(seconds(1000 + 5 * i), &name, PEER);
        }
        let now = seconds(1060);
        assert_eq!(budget.next_at(now, "net", OTHER), seconds(1120));
        assert_eq!(budget.next_at(now, "other", PEER), seconds(1120));
        assert_eq!(budget.next_at(now, "other", OTHER), now);
    }
    #[test]
    fn an_examination_begins_only_where_it_can_come_to_an_end() {
        let (mut budget, name): (_, Arc<str>) = (Budget::default(), "net".into());
        for i in 0..6 {
            budget.spend(seconds(1000 + 5 * i), &name, PEER);
        }
        let now = seconds(1027);
        assert_eq!(budget.begin_at(now, "net", PEER), now, "the pace is no reason to wait");
        budget.spend(seconds(1030), &name, PEER);
        assert_eq!(budget.begin_at(seconds(1031), "net", PEER), seconds(1120));
    }
}
