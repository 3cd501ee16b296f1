//! A child SA: what is offered, chosen, checked and installed, whichever exchange carries it (RFC 7296 sections 2.9, 2.17 and 3.3).
mod frozen;
mod mismatch;
mod notice;
pub(super) use self::mismatch::Mismatch;
use self::mismatch::{mode, networks, words};

use super::common::Cx;
use super::error::Refusal;
use super::event::{ChildId, ChildUp, Ended, Event};
use super::exchange::Contents;
use super::life::Life;
use super::negotiate::{self, EspSuite, KeRule, check_answer, choose};
use super::policy::{ChildPolicy, Connection};
use super::resources::{self, Group};
use super::sa::{Core, Established};
use super::transport::{Hosts, Seen};
use crate::crypto::secret::Secret;
use crate::wire::payload::{Notify, Payload, Proposal, TrafficSelectors};
use crate::wire::registry::{NotifyType, ProtocolId};
use crate::wire::selector::{Selector, is_subset, narrow};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The number of selectors in one payload is an octet.
const MAX_SELECTORS: usize = 255;

/// An installed child.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub id: ChildId,
    pub policy: Arc<ChildPolicy>,
    pub spi_in: u32,
    pub spi_out: u32,
    pub since: Duration,
    pub state: ChildState,
    /// What it took the place of.
    pub replaces: Option<ChildId>,
    /// What is in use: a rekey offers the same (RFC 7296 section 2.8).
    pub proposal: Proposal,
    pub local_ts: Vec<Selector>,
    pub remote_ts: Vec<Selector>,
    pub life: Life,
    /// It is rekeyed to see whether the groups fit.
    pub rehearsal: bool,
    /// The resource of ours that it is for (RFC 9611).
    pub resource: Option<u32>,
    /// It may have children beside it, each for a resource.
    pub group: Option<Box<Group>>,
    /// It had lost a collision when it came up: the host never sends on it.
    pub inbound_only: bool,
    /// The configuration has changed: it goes when another one is there that is as it says now, and so does what the peer makes of it.
    pub outdated: bool,
    /// The peer has rekeyed its predecessor much earlier than we would have: after so long.
    pub early: Option<Duration>,
}
/// How far a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildState {
    /// It carries traffic.
    Up,
    /// The peer has rekeyed it, or it has lost a collision: the peer will delete it. If it has not until then, we do.
    Replaced { until: Duration },
    /// Our Delete waits for the window.
    Leaving(Ended),
    /// We have asked the peer to delete it.
    Closing(Ended),
}
impl Child {
    /// It has this name, and is for this resource or for none.
    pub(super) fn is_as(&self, name: &str, resource: Option<u32>) -> bool {
        &*self.policy.name == name && self.resource == resource
    }
    /// It is being deleted by us, or will be as soon as the window is free.
    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.state, ChildState::Leaving(_) | ChildState::Closing(_))
    }
    /// When something is to be done about it.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            ChildState::Up => {
                let group = self.group.as_ref().and_then(|group| group.deadline());
                self.life.deadline().into_iter().chain(group).min()
            }
            ChildState::Replaced { until } => self.life.end.into_iter().chain([until]).min(),
            ChildState::Leaving(_) | ChildState::Closing(_) => self.life.end,
        }
    }
}

/// What we ask for as the initiator of an exchange.
pub(super) struct Offer {
    /// Of transport mode.
    hosts: Option<Hosts>,
    pub policy: Arc<ChildPolicy>,
    pub spi_in: u32,
    /// The child that shall be rekeyed.
    pub replaces: Option<ChildId>,
    pub proposals: Vec<Proposal>,
    ke: KeRule,
    local_ts: Vec<Selector>,
    remote_ts: Vec<Selector>,
    /// The first key exchange of a child that IKE_AUTH made without one: only now it shows whether the groups fit (peers.md).
    first_ke: bool,
    /// The resource of ours that it is for (RFC 9611).
    pub resource: Option<u32>,
    /// It may have children beside it, if the peer thinks so, too.
    group: Option<Box<Group>>,
}
/// Both ends agree, keys are missing.
#[derive(Debug)]
pub(super) struct Agreed {
    pub policy: Arc<ChildPolicy>,
    pub spi_in: u32,
    pub spi_out: u32,
    pub suite: EspSuite,
    pub proposal: Proposal,
    pub local_ts: Vec<Selector>,
    pub remote_ts: Vec<Selector>,
    /// What the peer has asked for or answered: of our networks, and of its own.
    pub theirs: (Vec<Selector>, Vec<Selector>),
    /// The child that it takes the place of.
    pub replaces: Option<ChildId>,
    /// Of transport mode behind a NAT: what the peer calls itself and us.
    pub sent: Option<(IpAddr, IpAddr)>,
    /// The resource of ours that it is for (RFC 9611).
    pub resource: Option<u32>,
    /// It may have children beside it.
    pub group: Option<Box<Group>>,
}
impl Offer {
    /// Takes an SPI for it; `None` if there is none. In IKE_AUTH no key exchange is offered (R31).
    pub(super) fn new(
        cx: &mut Cx<'_>,
        connection: &Connection,
        policy: &Arc<ChildPolicy>,
        peer: u32,
        (core, ke): (&Core, KeRule),
    ) -> Option<Self> {
        Self::for_resource(cx, connection, policy, peer, (core, ke), None)
    }
    fn for_resource(
        cx: &mut Cx<'_>,
        connection: &Connection,
        policy: &Arc<ChildPolicy>,
        peer: u32,
        (core, ke): (&Core, KeRule),
        resource: Option<u32>,
    ) -> Option<Self> {
        let spi_in = cx.host.allocate_spi(&connection.name, &policy.name, peer, resource)?;
        let proposals = match ke {
            KeRule::Ignore => negotiate::without_ke(&policy.proposals),
            KeRule::Prefer(_) => policy.proposals.clone(),
        };
        cx.emit(Event::Larval { spi: spi_in });
        let hosts = policy.transport.then(|| Hosts::of(core));
        let narrowed = hosts.map(|hosts| hosts.narrow(&policy.local_ts, &policy.remote_ts));
        let (local_ts, remote_ts) = match narrowed {
            Some((local, remote)) if !local.is_empty() && !remote.is_empty() => (local, remote),
            _ => (policy.local_ts.clone(), policy.remote_ts.clone()),
        };
        Some(Self {
            spi_in,
            replaces: None,
            proposals: negotiate::numbered(&proposals, &spi_in.to_be_bytes()),
            ke,
            hosts,
            local_ts,
            remote_ts,
            policy: policy.clone(),
            first_ke: false,
            resource,
            group: (resource.is_none() && resources::most(cx, policy) > 0).then(Group::of_ours),
        })
    }
    /// One more with the same selectors, for one of our resources (RFC 9611).
    pub(super) fn beside(
        cx: &mut Cx<'_>,
        core: &Core,
        connection: &Connection,
        fallback: &Child,
        peer: u32,
        resource: u32,
    ) -> Option<Self> {
        let ke = KeRule::Prefer(None);
        let fresh = Self::for_resource(cx, connection, &fallback.policy, peer, (core, ke), Some(resource))?;
        Some(Self { local_ts: fallback.local_ts.clone(), remote_ts: fallback.remote_ts.clone(), ..fresh })
    }
    /// To rekey a child: what is in use now, and no selectors of a packet in front (R1). Once this was refused, everything that our policy allows.
    pub(super) fn again(cx: &mut Cx<'_>, core: &Core, connection: &Connection, old: &Child, peer: u32) -> Option<Self> {
        let ke = KeRule::Prefer(None);
        let fresh = Self::for_resource(cx, connection, &old.policy, peer, (core, ke), old.resource)?;
        let ours = &old.policy.proposals;
        let proposals = match negotiate::allows(&old.proposal, ours) {
            true => negotiate::renewal(&old.proposal, ours, old.life.failures > 0),
            // The configuration is another one now.
            false => ours.clone(),
        };
        Some(Self {
            replaces: Some(old.id),
            proposals: negotiate::numbered(&proposals, &fresh.spi_in.to_be_bytes()),
            local_ts: old.local_ts.clone(),
            remote_ts: old.remote_ts.clone(),
            first_ke: !has_ke(&old.proposal) && proposals.iter().any(has_ke),
            group: old.group.clone(),
            ..fresh
        })
    }
    /// SA, TSi and TSr.
    pub(super) fn payloads(&self) -> Vec<Payload> {
        let mut payloads = vec![
            Payload::Sa(self.proposals.clone()),
            Payload::TsI(selectors(&self.local_ts)),
            Payload::TsR(selectors(&self.remote_ts)),
        ];
        payloads.extend(self.hosts.map(|_| use_transport_mode()));
        payloads.extend((self.resource.is_some() || self.group.is_some()).then(|| resources::info(self.resource)));
        payloads
    }
    /// Checks the responder's SA, TSi and TSr against what was asked (R32).
    pub(super) fn check(&self, answer: &Contents) -> Result<Agreed, Mismatch> {
        let wrong = |code| Mismatch::new(Refusal::Syntax, code, Some(&self.policy));
        let (Some(sa), Some(ts_i), Some(ts_r)) = (&answer.sa, &answer.ts_i, &answer.ts_r) else {
            return Err(wrong("answer.not_offered"));
        };
        // What was never asked for no responder may grant (RFC 7296 sections 1.3.1 and 2.22), and what we want is transport mode or nothing.
        let transport = answer.notify(NotifyType::USE_TRANSPORT_MODE).is_some();
        if self.hosts.is_some() && !transport {
            return Err(Mismatch { values: mode(true), ..wrong("child.mode") });
        }
        if transport != self.hosts.is_some() || answer.notify(NotifyType::IPCOMP_SUPPORTED).is_some() {
            return Err(wrong("answer.not_offered"));
        }
        let not_offered = || Mismatch {
            values: vec![("esp_proposals", words(&self.proposals), words(sa))],
            ..wrong("answer.not_offered")
        };
        let proposal = check_answer(sa, &self.proposals, self.ke).map_err(|_| not_offered())?;
        let suite = EspSuite::of(proposal).ok_or_else(not_offered)?;
        let spi_out = esp_spi(proposal).ok_or_else(not_offered)?;
        let other = |code| Mismatch {
            values: networks((&self.local_ts, &self.remote_ts), (&ts_i.ranges, &ts_r.ranges)),
            ..wrong(code)
        };
        let seen = match self.hosts {
            Some(hosts) => hosts.read(&ts_i.ranges, &ts_r.ranges).ok_or_else(|| other("ts.widened"))?,
            None => Seen { local: ts_i.ranges.clone(), remote: ts_r.ranges.clone(), sent: None },
        };
        // Narrowed to nothing.
        if seen.local.is_empty() || seen.remote.is_empty() {
            let named = [("local_ts", seen.local.is_empty()), ("remote_ts", seen.remote.is_empty())];
            let differing = named.into_iter().filter(|(_, empty)| *empty).map(|(what, _)| what).collect();
            return Err(Mismatch { differing, ..other("ts.mismatch") });
        }
        let unknown = ts_i.unknown + ts_r.unknown > 0;
        if unknown || !is_subset(&seen.local, &self.local_ts) || !is_subset(&seen.remote, &self.remote_ts) {
            return Err(other("ts.widened"));
        }
        // What travels on the old one must go on to travel (RFC 7296 section 2.9.2).
        let whole = is_subset(&self.local_ts, &seen.local) && is_subset(&self.remote_ts, &seen.remote);
        // And a worker sends on its own child all that the fallback would carry.
        if (self.replaces.is_some() || self.resource.is_some()) && !whole {
            return Err(other("ts.mismatch"));
        }
        if too_many(&self.policy, &seen.local, &seen.remote) {
            return Err(other("ts.mismatch"));
        }
        let knows = answer.notify(NotifyType::SA_RESOURCE_INFO).is_some() || self.replaces.is_some();
        Ok(Agreed {
            policy: self.policy.clone(),
            spi_in: self.spi_in,
            spi_out,
            suite,
            proposal: proposal.clone(),
            theirs: (seen.local.clone(), seen.remote.clone()),
            local_ts: seen.local,
            remote_ts: seen.remote,
            replaces: self.replaces,
            sent: seen.sent,
            resource: self.resource,
            group: self.group.clone().filter(|_| knows),
        })
    }
}

/// A responder's choice: of the connection's children the one whose selectors meet the request best, the first of equals, and of those the
/// first that shares a proposal. `only`: the child that is being rekeyed, of which nothing is narrowed away. The inbound SPI is still to be taken.
pub(super) fn answer(
    core: &Core,
    est: &Established,
    request: &Contents,
    ke: KeRule,
    only: Option<&Child>,
) -> Result<Agreed, Mismatch> {
    let (Some(sa), Some(ts_i), Some(ts_r)) = (&request.sa, &request.ts_i, &request.ts_r) else {
        return Err(Mismatch::new(Refusal::Syntax, "message.incomplete", None));
    };
    // Whose address comes from a pool has no child without it, or it would be the peer that chooses its addresses.
    if !est.connection.pools.is_empty() && est.virtuals.theirs.is_empty() {
        return Err(Mismatch::address(Refusal::NeedsConfiguration));
    }
    let children: Vec<_> = match only {
        Some(child) => vec![child.policy.clone()],
        None => est.connection.children.iter().map(|policy| est.virtuals.of(policy)).collect(),
    };
    // Transport mode is for those who ask for it, and those that are configured for it are for nothing else.
    let hosts = request.notify(NotifyType::USE_TRANSPORT_MODE).map(|_| Hosts::of(core));
    let seen = hosts.and_then(|hosts| hosts.read(&ts_r.ranges, &ts_i.ranges));
    let meet = |policy: &Arc<ChildPolicy>| match (policy.transport, hosts, &seen) {
        (true, Some(hosts), Some(seen)) => {
            let (local_ts, remote_ts) = hosts.narrow(&policy.local_ts, &policy.remote_ts);
            let policy = ChildPolicy { local_ts, remote_ts, ..(**policy).clone() };
            meet(&policy, &seen.local, &seen.remote)
        }
        (true, ..) => None,
        (false, ..) => meet(policy, &ts_r.ranges, &ts_i.ranges),
    };
    let mut fitting: Vec<_> = children.iter().filter_map(|c| meet(c).map(|m| (c, m))).collect();
    if let Some(old) = only {
        // In use stays in use (RFC 7296 section 2.9.2).
        fitting.retain(|(_, m)| is_subset(&old.local_ts, &m.local) && is_subset(&old.remote_ts, &m.remote));
    }
    fitting.sort_by_key(|(_, m)| std::cmp::Reverse(m.score));
    if fitting.is_empty() {
        return Err(Mismatch::selectors(&children, hosts.is_some(), (&ts_r.ranges, &ts_i.ranges)));
    }
    for (policy, met) in &fitting {
        let Some(proposal) = choose(sa, &policy.proposals, ProtocolId::ESP, ke) else { continue };
        let (Some(suite), Some(spi_out)) = (EspSuite::of(&proposal), esp_spi(&proposal)) else { continue };
        return Ok(Agreed {
            policy: (*policy).clone(),
            spi_in: 0,
            spi_out,
            suite,
            proposal,
            local_ts: met.local.clone(),
            remote_ts: met.remote.clone(),
            theirs: (ts_r.ranges.clone(), ts_i.ranges.clone()),
            replaces: only.map(|old| old.id),
            sent: if policy.transport { seen.as_ref().and_then(|seen| seen.sent) } else { None },
            resource: only.and_then(|old| old.resource),
            group: only.and_then(|old| old.group.clone()),
        });
    }
    Err(Mismatch::suites(fitting[0].0, sa, ke))
}
impl Agreed {
    /// What it takes the place of, or the name that it gets; `None`: nothing, it stands beside others (RFC 9611).
    pub(super) fn place(&self) -> Option<(Option<ChildId>, &str)> {
        (self.replaces.is_some() || self.resource.is_none()).then_some((self.replaces, &*self.policy.name))
    }
    /// As one more with the same selectors as this fallback (RFC 9611): what was asked for is narrowed to them, and may not be less.
    pub(super) fn beside(self, fallback: &Child) -> Result<Self, Mismatch> {
        let (local_ts, remote_ts) = (fallback.local_ts.clone(), fallback.remote_ts.clone());
        if is_subset(&local_ts, &self.local_ts) && is_subset(&remote_ts, &self.remote_ts) {
            return Ok(Self { local_ts, remote_ts, ..self });
        }
        let mismatch = Mismatch::new(Refusal::Selectors, "ts.mismatch", Some(&self.policy));
        let values = networks((&local_ts, &remote_ts), (&self.local_ts, &self.remote_ts));
        Err(Mismatch { values, ..mismatch })
    }
    /// SA, TSi and TSr of a responder's answer.
    pub(super) fn payloads(&self) -> Vec<Payload> {
        let proposal = Proposal { spi: self.spi_in.to_be_bytes().to_vec(), ..self.proposal.clone() };
        let mut payloads = vec![
            Payload::Sa(vec![proposal]),
            Payload::TsI(selectors(&self.remote_ts)),
            Payload::TsR(selectors(&self.local_ts)),
        ];
        payloads.extend(self.policy.transport.then(use_transport_mode));
        payloads.extend((self.resource.is_some() || self.group.is_some()).then(|| resources::info(self.resource)));
        payloads
    }
}

fn use_transport_mode() -> Payload {
    Payload::Notify(Notify::new(NotifyType::USE_TRANSPORT_MODE, Vec::new()))
}

/// The nonces of the exchange that made a child, what its own key exchanges gave, and who began.
#[derive(Clone, Copy, Default)]
pub(super) struct Made<'a> {
    pub ni: &'a [u8],
    pub nr: &'a [u8],
    pub secrets: &'a [Secret],
    pub initiator: bool,
    /// It has lost a collision: nothing is sent on it.
    pub lost: bool,
}
/// Derives the keys and tells the host.
pub(super) fn install(cx: &mut Cx<'_>, core: &Core, est: &mut Established, agreed: Agreed, made: &Made<'_>) -> ChildId {
    let (forth, back) = est.keys.child(agreed.suite.cipher, made.secrets, made.ni, made.nr);
    let (keys_out, keys_in) = if made.initiator { (forth, back) } else { (back, forth) };
    notice::look(cx, core, est, &agreed, made.initiator);
    let id = cx.new_child_id();
    let life = Life::of_child(cx, &est.connection, &agreed.policy);
    let old = agreed.replaces.and_then(|old| est.child(old));
    let takes_over = old.is_some_and(|old| !old.is_leaving());
    let outdated = old.filter(|old| old.outdated).map(|old| old.state);
    let group = old.map_or(agreed.group, |old| old.group.clone());
    est.children.reserve_exact(1);
    est.children.push(Child {
        id,
        policy: agreed.policy.clone(),
        spi_in: agreed.spi_in,
        spi_out: agreed.spi_out,
        since: cx.now,
        state: outdated.filter(|state| matches!(state, ChildState::Replaced { .. })).unwrap_or(ChildState::Up),
        replaces: agreed.replaces,
        proposal: agreed.proposal.clone(),
        local_ts: agreed.local_ts.clone(),
        remote_ts: agreed.remote_ts.clone(),
        life,
        rehearsal: false,
        resource: agreed.resource,
        group,
        inbound_only: made.lost,
        outdated: outdated.is_some(),
        early: None,
    });
    cx.common.by_child.insert(agreed.spi_in, core.id);
    cx.common.by_id.insert(id, core.id);
    if let Some(wish) = cx.common.links.get_mut(&est.connection.name).and_then(|l| l.wish(&agreed.policy.name)) {
        wish.retry = super::link::Retry::now(cx.now);
        // The user took it down while it was being made. What the peer has brought up again is no matter of his when we rekey it.
        if made.initiator && wish.down && !takes_over {
            est.leave(id, Ended::ByUs);
        }
    }
    if made.initiator && !made.lost && agreed.replaces.is_none() && agreed.resource.is_none() {
        est.supersede(id);
    }
    if agreed.resource.is_some() && est.fallback(&agreed.policy.name).is_none() {
        est.leave(id, Ended::ByUs);
    }
    cx.emit(Event::ChildUp(Box::new(ChildUp {
        ike: core.id,
        id,
        connection: est.connection.name.clone(),
        child: agreed.policy.name.clone(),
        peer: est.peer,
        spi_in: agreed.spi_in,
        spi_out: agreed.spi_out,
        cipher: agreed.suite.cipher,
        esn: agreed.suite.esn,
        keys_in,
        keys_out,
        transport: agreed.policy.transport,
        nat_original: agreed.sent,
        local_ts: agreed.local_ts,
        remote_ts: agreed.remote_ts,
        path: core.path(),
        proposal: agreed.proposal,
        initiator: made.initiator,
        replaces: agreed.replaces,
        resource: agreed.resource,
        inbound_only: made.lost,
    })));
    id
}

/// How a child's selectors meet a request.
struct Met {
    local: Vec<Selector>,
    remote: Vec<Selector>,
    /// 3: it is the request; 2: all of it fits; 1: its first selectors do, which may be those of the packet that it is made for
    /// (RFC 7296 section 2.9).
    score: u8,
}
fn meet(child: &ChildPolicy, local: &[Selector], remote: &[Selector]) -> Option<Met> {
    let narrowed = |asked: &[Selector], ours: &[Selector]| {
        let mut n = narrow(asked, ours);
        n.truncate(MAX_SELECTORS);
        n
    };
    let met = (narrowed(local, &child.local_ts), narrowed(remote, &child.remote_ts));
    if met.0.is_empty() || met.1.is_empty() || too_many(child, &met.0, &met.1) {
        return None;
    }
    let exact = same(local, &child.local_ts) && same(remote, &child.remote_ts);
    let whole = is_subset(local, &met.0) && is_subset(remote, &met.1);
    let first = is_subset(&local[..1], &met.0) && is_subset(&remote[..1], &met.1);
    let score = match () {
        () if exact => 3,
        () if whole => 2,
        () => u8::from(first),
    };
    Some(Met { local: met.0, remote: met.1, score })
}
/// Each pair of a local and a remote prefix is a rule of the databases. A peer may make more of them than this only where our own policy does: a
/// range can be 254 prefixes, and there may be 255 ranges on either side.
const MAX_RULES: usize = 4096;
fn too_many(policy: &ChildPolicy, local: &[Selector], remote: &[Selector]) -> bool {
    let prefixes = |selectors: &[Selector]| selectors.iter().map(|s| s.prefixes().len()).sum::<usize>();
    let rules = |local, remote| prefixes(local) * prefixes(remote);
    rules(local, remote) > MAX_RULES.max(rules(&policy.local_ts, &policy.remote_ts))
}
fn has_ke(proposal: &Proposal) -> bool {
    !negotiate::groups(std::slice::from_ref(proposal)).is_empty()
}
fn same(a: &[Selector], b: &[Selector]) -> bool {
    is_subset(a, b) && is_subset(b, a)
}
fn selectors(ranges: &[Selector]) -> TrafficSelectors {
    TrafficSelectors { ranges: ranges.iter().copied().take(MAX_SELECTORS).collect(), unknown: 0 }
}
/// The peer's inbound SPI; 0 to 255 are reserved (RFC 4303 section 2.1).
fn esp_spi(proposal: &Proposal) -> Option<u32> {
    let spi = u32::from_be_bytes(proposal.spi.as_slice().try_into().ok()?);
    (spi > 255).then_some(spi)
}
#[cfg(test)]
mod tests {
    use super::*;

    /// A policy with these selectors on our side, any protocol or only one.
    fn policy(local: &str) -> Arc<ChildPolicy> {
        let list = |text: &str| text.split(',').map(|s| s.parse().unwrap()).collect();
        Arc::new(ChildPolicy {
            local_ts: list(local),
            ..(*crate::ike::tests::child("lan", "0.0.0.0/0", "10.0.0.0/8")).clone()
        })
    }
    fn awkward(count: u8) -> Vec<Selector> {
        let range: Selector = "0.0.0.1-255.255.255.254".parse().unwrap();
        (1..=count).map(|proto| Selector { proto, ..range }).collect()
    }

    /// Ranges cost as many rules as they have prefixes, on both sides.
    #[test]
    fn a_peer_cannot_make_millions_of_rules_of_a_child() {
        let remote: Vec<Selector> = vec!["10.9.9.9/32".parse().unwrap()];
        let meets = |policy: &ChildPolicy, local: &[Selector]| meet(policy, local, &remote).is_some();
        assert_eq!(awkward(1)[0].prefixes().len(), 62);
        assert!(meets(&policy("0.0.0.0/0"), &awkward(66)));
        assert!(!meets(&policy("0.0.0.0/0"), &awkward(67)));
        assert!(!meets(&policy("0.0.0.0/0"), &awkward(255)));
    }
    /// What our own policy says is ours to decide.
    #[test]
    fn as_many_rules_as_our_own_policy_has_are_fine() {
        let own: Vec<String> = (0..100).map(|net| format!("10.{net}.0.1-10.{net}.255.254")).collect();
        let policy = policy(&own.join(","));
        let remote: Vec<Selector> = (0..2).map(|net| format!("10.1.{net}.1-10.1.{net}.254").parse().unwrap()).collect();
        let product = |policy: &ChildPolicy, remote: &[Selector]| {
            let count = |s: &[Selector]| s.iter().map(|s| s.prefixes().len()).sum::<usize>();
            count(&policy.local_ts) * count(remote)
        };
        assert!(product(&policy, &remote) > MAX_RULES);
        let wide = ChildPolicy { remote_ts: remote.clone(), ..(*policy).clone() };
        assert!(meet(&wide, &policy.local_ts, &remote).is_some());
        assert!(meet(&policy, &policy.local_ts, &remote).is_none());
    }
}
