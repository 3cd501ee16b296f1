//! Per-resource children (RFC 9611): several children with the same selectors, each for one resource of its end (a worker, here), so that it
//! need not share the sequence numbers that it sends with. What comes in on any of them any resource may open. The first one, the fallback, is for
//! whoever has none of its own. In its exchange both ends say that they know of this (SA_RESOURCE_INFO); then the end that has asked for it asks for the others, one after the other, until there are
//! as many as its configuration says, or the peer wants no more (TS_MAX_QUEUE).
//!
//! Each end decides by itself which resource of its own a child is for: what it tells the other end is for people. Each child is rekeyed
//! by itself and stays for the same resource. The fallback is there as long as any of them: if it goes, they go.
use super::child::{self, Child, ChildState, Mismatch, Offer};
use super::common::Cx;
use super::diagnose::{Failure, Phase as Where};
use super::error::Refusal;
use super::event::Ended;
use super::exchange::Contents;
use super::exchange::create_child::{self, Making, Pending};
use super::link::Retry;
use super::negotiate::groups;
use super::policy::ChildPolicy;
use super::sa::{self, Core, Established, Standing, Task};
use crate::frozen::frozen;
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::NotifyType;
use std::sync::Arc;
use std::time::Duration;

/// Never more children beside one fallback than this.
pub(super) const MAX: u32 = 16;

/// What a fallback knows of the children beside it. A rekey hands it on.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// The others are ours to ask for.
    asks: bool,
    /// The peer wants no more of them, as long as this IKE SA lives.
    full: bool,
    /// What was put off is asked for again then.
    wait: Option<Duration>,
    failures: u32,
}
frozen! { struct Group { asks, full, wait, failures } }
impl Group {
    /// Of a fallback that we ask for.
    pub(super) fn of_ours() -> Box<Self> {
        Box::new(Self { asks: true, ..Self::default() })
    }
    /// When something is to be done about it.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.wait
    }
    /// More of them are to be asked for, if there are too few.
    pub(super) fn is_open(&self) -> bool {
        self.asks && !self.full
    }
    fn put_off(&mut self, now: Duration) {
        let mut retry = Retry { at: now, failures: self.failures };
        retry.failed(now);
        (self.wait, self.failures) = (Some(retry.at), retry.failures);
    }
}

/// At most so many children beside a fallback of ours; 0: there is no such thing.
pub(super) fn most(cx: &Cx<'_>, policy: &ChildPolicy) -> u32 {
    let limit = u32::try_from(cx.common.directory.policy.limits.per_resource).unwrap_or(u32::MAX);
    policy.resources.min(limit).min(cx.host.resources()).min(MAX)
}
/// SA_RESOURCE_INFO (RFC 9611 section 5.1): what the child is for, in our own words; nothing for a fallback.
pub(super) fn info(resource: Option<u32>) -> Payload {
    let name = resource.map_or_else(String::new, |resource| format!("worker {resource}"));
    Payload::Notify(Notify::new(NotifyType::SA_RESOURCE_INFO, name.into_bytes()))
}

/// Asks for the next child beside a fallback; nothing if none is wanted any more.
pub(super) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, name: &str) -> Option<sa::Asked> {
    let connection = est.connection.clone();
    let fallback = est.fallback(name).filter(|c| c.group.as_ref().is_some_and(|group| group.is_open()))?;
    let resource = est.free_resource(name, most(cx, &fallback.policy))?;
    let Some(offer) = Offer::beside(cx, core, &connection, fallback, est.peer, resource) else {
        let policy = fallback.policy.clone();
        failed(cx, core, est, &policy, Failure::new(cx.now, Where::CreateChild, true, "limit.spis"));
        return None;
    };
    let group = groups(&offer.proposals).first().copied();
    Some(create_child::ask(cx, core, est, Making::Child { offer, rival: None }, group, 0))
}
/// The peer refuses one. What there is goes on, and unless it was only put off nobody asks again.
pub(super) fn refused(cx: &mut Cx<'_>, core: &Core, est: &mut Established, offer: &Offer, notify: &Notify) {
    cx.host.release_spi(offer.spi_in);
    let name = &offer.policy.name;
    match notify.kind {
        NotifyType::TEMPORARY_FAILURE => est.change_group(name, |group| group.put_off(cx.now)),
        NotifyType::TS_MAX_QUEUE => est.wants_no_more(name),
        _ => failed(cx, core, est, &offer.policy, offer.refused(cx.now, Where::CreateChild, notify)),
    }
}
/// It could not be made. A limit of ours passes, other reasons stay.
pub(super) fn failed(cx: &mut Cx<'_>, core: &Core, est: &mut Established, policy: &ChildPolicy, failure: Failure) {
    match failure.code {
        "limit.spis" | "limit.compute_queue" => est.change_group(&policy.name, |group| group.put_off(cx.now)),
        _ => est.wants_no_more(&policy.name),
    }
    cx.fail(Failure { remote: Some(core.remote), ..failure }, Some(&est.connection));
}

/// What a child is that the peer asks for: the fallback, or one beside it, for the first resource of ours that has none.
///
/// The request for a fallback may have crossed our own: that is a collision, and none of those beside it. Nor is one that names no resource
/// and has other selectors: the peer has several children where we have one.
pub(super) fn admit(
    cx: &Cx<'_>,
    est: &Established,
    request: &Contents,
    agreed: child::Agreed,
) -> Result<child::Agreed, Mismatch> {
    let most = most(cx, &agreed.policy);
    let Some(info) = request.notify(NotifyType::SA_RESOURCE_INFO).filter(|_| most > 0 && agreed.replaces.is_none())
    else {
        return Ok(agreed);
    };
    let beside = |c: &&Child| c.group.is_some() && !(info.data.is_empty() && est.is_fresh(c.id));
    let Some(fallback) = est.fallback(&agreed.policy.name).filter(beside) else {
        return Ok(child::Agreed { group: Some(Box::default()), ..agreed });
    };
    let same = agreed.local_ts == fallback.local_ts && agreed.remote_ts == fallback.remote_ts;
    if info.data.is_empty() && !same {
        return Ok(agreed);
    }
    match est.free_resource(&agreed.policy.name, most) {
        Some(resource) => Ok(child::Agreed { resource: Some(resource), ..agreed.beside(fallback)? }),
        None => Err(Mismatch::quiet(Refusal::MaxQueue)),
    }
}

impl Established {
    /// The child that is for no resource in particular, and in use.
    pub(super) fn fallback(&self, name: &str) -> Option<&Child> {
        let named = || self.children.iter().filter(|c| c.resource.is_none() && &*c.policy.name == name);
        let replaced = || named().find(|c| matches!(c.state, ChildState::Replaced { .. }));
        named().find(|c| c.state == ChildState::Up).or_else(replaced)
    }
    /// Plans what is missing beside our fallbacks.
    pub(super) fn complete_groups(&mut self, cx: &Cx<'_>) {
        if self.closing.is_some() || self.standing != Standing::Current {
            return;
        }
        let mut open: Vec<Arc<ChildPolicy>> = Vec::new();
        for child in self.children.iter_mut().filter(|c| c.state == ChildState::Up) {
            let Some(group) = &mut child.group else { continue };
            group.wait.take_if(|at| *at <= cx.now);
            if group.is_open() && group.wait.is_none() {
                open.push(child.policy.clone());
            }
        }
        for policy in open {
            if self.free_resource(&policy.name, most(cx, &policy)).is_some() {
                self.plan(Task::CreateResource(policy.name.clone()));
            }
        }
    }
    /// More of them are still to be asked for.
    pub(super) fn wants_more(&self, name: &str) -> bool {
        self.fallback(name).and_then(|c| c.group.as_ref()).is_some_and(|group| group.is_open())
    }
    /// The peer wants no more children beside this fallback.
    pub(super) fn wants_no_more(&mut self, name: &str) {
        self.change_group(name, |group| group.full = true);
    }
    /// One more is there.
    pub(super) fn has_one_more(&mut self, name: &str) {
        self.change_group(name, |group| group.failures = 0);
    }
    /// The fallback is gone, and nothing has its place: so the others go (RFC 9611 section 4).
    pub(super) fn follow_fallback(&mut self, name: &str, why: Ended) {
        if self.fallback(name).is_none() {
            let beside = self.children.iter().filter(|c| c.resource.is_some() && &*c.policy.name == name);
            let ids: Vec<_> = beside.map(|c| c.id).collect();
            ids.into_iter().for_each(|id| self.leave(id, why));
        }
    }
    /// The first resource without a child, also none that is on its way.
    fn free_resource(&self, name: &str, most: u32) -> Option<u32> {
        let there = self.children.iter().filter(|c| &*c.policy.name == name && !c.is_leaving());
        let asked = self.offer().filter(|offer| &*offer.policy.name == name).and_then(|offer| offer.resource);
        let answered = self.answering.iter().map(|answering| &answering.pending);
        let answered = answered.chain(self.half_done.iter().map(|half| half.pending()));
        let mut taken = [false; MAX as usize];
        for resource in there
            .filter_map(|c| c.resource)
            .chain(asked)
            .chain(answered.filter_map(|pending| resource_of(pending, name)))
        {
            if let Some(taken) = taken.get_mut(resource as usize) {
                *taken = true;
            }
        }
        (0..).zip(taken).take(most as usize).find(|(_, taken)| !taken).map(|(resource, _)| resource)
    }
    fn change_group(&mut self, name: &str, change: impl Fn(&mut Group)) {
        let named = self.children.iter_mut().filter(|c| &*c.policy.name == name);
        named.filter_map(|c| c.group.as_deref_mut()).for_each(change);
    }
}
fn resource_of(pending: &Pending, name: &str) -> Option<u32> {
    match &pending.agreed {
        create_child::Agreed::Child(agreed) if &*agreed.policy.name == name => agreed.resource,
        _ => None,
    }
}
