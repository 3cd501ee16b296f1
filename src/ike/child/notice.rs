//! What a child does not carry of what an end is configured for: it is up, and still there is something to be told.
use super::Agreed;
use super::mismatch::networks;
use crate::ike::common::Cx;
use crate::ike::diagnose::{Failure, Phase};
use crate::ike::policy::{ChildPolicy, Remote};
use crate::ike::sa::{Core, Established};
use crate::wire::selector::Selector;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is compared: our configuration, what the peer has asked for or answered, and what became of both.
struct Compared<'a> {
    policy: &'a ChildPolicy,
    theirs: (&'a [Selector], &'a [Selector]),
    made: (&'a [Selector], &'a [Selector]),
}
impl Compared<'_> {
    /// Of either side's networks: the child does not carry all that one of the ends has.
    fn differing(&self, peers_choice: bool) -> Vec<&'static str> {
        let less = |ours: &[Selector], theirs: &[Selector], made: &[Selector]| {
            !covers(made, theirs) || (peers_choice && !covers(made, ours))
        };
        let mut differing = Vec::new();
        if less(&self.policy.local_ts, self.theirs.0, self.made.0) {
            differing.push("local_ts");
        }
        if less(&self.policy.remote_ts, self.theirs.1, self.made.1) {
            differing.push("remote_ts");
        }
        differing
    }
    /// We have offered several pairs of networks, and the peer has taken the first of them and no other.
    fn is_first_pair(&self) -> bool {
        let several = self.policy.local_ts.len() > 1 || self.policy.remote_ts.len() > 1;
        let first = |ours: &[Selector], made: &[Selector]| made.len() == 1 && ours.first() == made.first();
        several && first(&self.policy.local_ts, self.made.0) && first(&self.policy.remote_ts, self.made.1)
    }
}

/// All of this is in those, be it in several of them.
fn covers(parts: &[Selector], whole: &[Selector]) -> bool {
    whole.iter().all(|whole| {
        let slice = |part: &Selector| Selector { start: part.start, end: part.end, ..*whole };
        let mut of_it: Vec<_> = parts.iter().filter(|part| part.contains(&slice(part))).collect();
        of_it.sort_unstable_by_key(|part| part.start);
        let mut next = Some(whole.start);
        for part in of_it {
            if next.is_some_and(|next| part.start <= next && next <= part.end) {
                next = after(part.end);
            }
        }
        next.is_none_or(|next| next > whole.end)
    })
}
/// The next address; none after the last one.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(ip) => ip.to_bits().checked_add(1).map(|bits| Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(ip) => ip.to_bits().checked_add(1).map(|bits| Ipv6Addr::from_bits(bits).into()),
    }
}

/// A new child is about to be installed. Whoever comes from anywhere, and asks for less than everybody may, has what is meant for it.
pub(super) fn look(cx: &mut Cx<'_>, core: &Core, est: &Established, agreed: &Agreed, initiator: bool) {
    if agreed.replaces.is_some() || agreed.resource.is_some() || agreed.policy.transport {
        return;
    }
    let of_one = !est.connection.remote_addrs.contains(&Remote::Any);
    let compared = Compared {
        policy: &agreed.policy,
        theirs: (&agreed.theirs.0, &agreed.theirs.1),
        made: (&agreed.local_ts, &agreed.remote_ts),
    };
    let differing = compared.differing(initiator || of_one);
    let name = agreed.policy.name.clone();
    if differing.is_empty() {
        return cx.settled(&est.connection, &name);
    }
    let phase = if est.since == cx.now { Phase::IkeAuth } else { Phase::CreateChild };
    let one_pair = initiator && compared.is_first_pair();
    let code = if one_pair { "ts.single_pair" } else { "ts.narrowed" };
    let failure = Failure::new(cx.now, phase, initiator, code);
    let failure = if one_pair { failure.or_else(&["ts.single_pair", "ts.narrowed"]) } else { failure };
    let values = networks((&agreed.policy.local_ts, &agreed.policy.remote_ts), compared.theirs);
    let failure = Failure { child: Some(name), differing, remote: Some(core.remote), ..failure.compared(values) };
    cx.notice(failure, &est.connection);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_several_pieces_is_whole() {
        let list = |text: &str| text.split(',').map(|s| s.parse().unwrap()).collect::<Vec<Selector>>();
        for (parts, whole, covered) in [
            ("10.1.0.0/16", "10.1.0.0/16", true),
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.1.128.0/17,10.1.0.0/17", "10.1.0.0/16", true),
            ("10.1.0.0/17,10.1.129.0/24", "10.1.0.0/16", false),
            ("10.1.0.0/17", "10.1.0.0/16", false),
            ("0.0.0.0/1,128.0.0.0/1", "0.0.0.0/0", true),
            ("0.0.0.0/1,128.0.0.0/2", "0.0.0.0/0", false),
            ("0.0.0.0/0", "::/0", false),
            ("::/0", "::/0", true),
            ("10.1.0.0/16[tcp]", "10.1.0.0/16", false),
            ("10.1.0.0/16", "10.1.0.0/16[tcp/443]", true),
            ("10.1.0.0/16[tcp/80]", "10.1.0.0/16[tcp/443]", false),
            ("10.1.0.0/16,10.2.0.0/16", "10.2.0.0/16,10.3.0.0/16", false),
        ] {
            assert_eq!(covers(&list(parts), &list(whole)), covered, "{parts} {whole}");
        }
    }
}
