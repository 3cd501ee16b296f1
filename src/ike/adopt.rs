//! A new policy takes the place of the one before, connection by connection and child by child, with no more disturbance than the protocol
//! makes necessary: what carries packets goes when its successor is there.
//!
//! | what differs | what happens to what is up |
//! | --- | --- |
//! | times, limits, what to do at the start, at the end or about a dead peer, secrets, certificates | it takes that on as it is |
//! | suites of a child, and the one in use is not among them any more | the child is rekeyed |
//! | selectors or mode of a child | another child is made, then the one before goes |
//! | where and who the ends are, suites of the IKE SA, what IKE_SA_INIT and IKE_AUTH negotiate | if the IKE SA is as it would be now, nothing; if not, another one is made from scratch, with all children, then the one before goes |
//! | the child, or the connection, is not there any more | a Delete |
//!
//! Comparisons take the structs to pieces, so that a new field does not compile before somebody has decided what it does.
use super::child::{Child, ChildState};
use super::common::{Cx, How, Redundant, Step};
use super::directory::{Directory, fits, id_of};
use super::endpoint::{Endpoint, Owner};
use super::event::{ChildId, Ended, Host, IkeId};
use super::life::By;
use super::link::Link;
use super::negotiate::{KeRule, choose};
use super::policy::{ChildPolicy, Connection, EncapPolicy, Policy, Remote};
use super::sa::{CLOSING_TIME, Core, Established, IkeSa, Phase, RELIEF_TIME, Standing, Task};
use super::{resources, ways};
use crate::wire::payload::Proposal;
use crate::wire::registry::ProtocolId;
use crate::wire::selector::{Selector, is_subset};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What a new policy has begun with a connection: the worst of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// It has taken on what is new, and all its SAs are what they were.
    Live,
    /// These children are rekeyed.
    RekeyChild(Vec<Arc<str>>),
    /// These children are made anew, or taken down.
    RestartChild(Vec<Arc<str>>),
    /// An IKE SA is made anew, with its children.
    RestartIke,
    /// It is not configured any more.
    Gone,
    /// It was not configured before.
    New,
}
impl Grade {
    /// For people; `live`, `rekey_child`, `restart_child` and `restart_ike` as in a plan.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::RekeyChild(_) => "rekey_child",
            Self::RestartChild(_) => "restart_child",
            Self::RestartIke => "restart_ike",
            Self::Gone => "gone",
            Self::New => "new",
        }
    }
    /// The children that it is about.
    pub fn children(&self) -> &[Arc<str>] {
        match self {
            Self::RekeyChild(children) | Self::RestartChild(children) => children,
            Self::Live | Self::RestartIke | Self::Gone | Self::New => &[],
        }
    }
}

/// What is begun with the SAs of one connection.
#[derive(Default)]
struct Effects {
    rekeyed: Vec<Arc<str>>,
    restarted: Vec<Arc<str>>,
    anew: bool,
}
impl Effects {
    fn grade(self) -> Grade {
        match self {
            Self { anew: true, .. } => Grade::RestartIke,
            Self { restarted, .. } if !restarted.is_empty() => Grade::RestartChild(restarted),
            Self { rekeyed, .. } if !rekeyed.is_empty() => Grade::RekeyChild(rekeyed),
            _ => Grade::Live,
        }
    }
}
/// A connection that is not as it was: before, now, and what came of it.
type Change = (Arc<Connection>, Arc<Connection>, Effects);

impl Endpoint {
    /// Connections that are as before are left alone.
    pub(super) fn set_policy(&mut self, now: Duration, host: &mut dyn Host, policy: Arc<Policy>) {
        let mut old = std::mem::take(&mut self.common.links);
        let mut links = HashMap::with_capacity(policy.connections.len());
        let (mut gone, mut changed): (Vec<IkeId>, HashMap<Arc<str>, Change>) = Default::default();
        let mut told: Vec<(Arc<str>, Grade)> = Vec::new();
        for connection in &policy.connections {
            let name = &connection.name;
            let link = match old.remove(name) {
                Some(link) if Arc::ptr_eq(&link.connection, connection) || link.connection == *connection => link,
                Some(mut link) if has_many(&link.connection) == has_many(connection) => {
                    let before = link.connection.clone();
                    let up: Vec<bool> = connection.children.iter().map(|c| self.has(&link, &c.name)).collect();
                    link.adopt(connection.clone(), now, &up);
                    changed.insert(name.clone(), (before, connection.clone(), Effects::default()));
                    self.common.touched.insert(name.clone());
                    link
                }
                other => {
                    let mut link = Link::new(connection.clone(), now);
                    if other.as_ref().is_some_and(|other| other.held.is_some()) {
                        link.hold();
                    }
                    told.push((name.clone(), if other.is_some() { Grade::RestartIke } else { Grade::New }));
                    gone.extend(other.into_iter().flat_map(|l| l.sas));
                    self.common.touched.insert(name.clone());
                    link
                }
            };
            links.insert(name.clone(), link);
        }
        for (name, link) in old {
            gone.extend(link.sas);
            self.timers.set(Owner::Link(name.clone()), None);
            told.push((name, Grade::Gone));
        }
        self.common.links = links;
        self.common.directory = Directory::new(policy);
        self.adopt(now, host, &mut changed);
        told.extend(changed.into_iter().map(|(name, (_, _, effects))| (name, effects.grade())));
        // The same order in every run.
        gone.sort_unstable();
        for id in gone {
            self.close(now, host, id, CLOSING_TIME);
        }
        told.sort_unstable();
        self.common.adopted.extend(told);
    }
    /// What the last policies have begun, connection by connection, since this was asked last.
    pub fn adopted(&mut self) -> Vec<(Arc<str>, Grade)> {
        std::mem::take(&mut self.common.adopted)
    }
    fn adopt(&mut self, now: Duration, host: &mut dyn Host, changed: &mut HashMap<Arc<str>, Change>) {
        if changed.is_empty() {
            return;
        }
        let of = |sa: &IkeSa| sa.core.connection.clone().filter(|name| changed.contains_key(name));
        let mut ids: Vec<(IkeId, Arc<str>)> = self.sas.iter().filter_map(|(id, sa)| Some((*id, of(sa)?))).collect();
        ids.sort_unstable();
        for (id, name) in ids {
            let Some((before, after, effects)) = changed.get_mut(&name) else { continue };
            self.step(now, host, id, |cx, sa| take_on(cx, sa, before, after, effects));
        }
    }
    /// What was to take the place of an IKE SA has failed. One that the configuration does not permit goes all the same, unless another one is
    /// on its way.
    pub(super) fn dismiss(&mut self, now: Duration, host: &mut dyn Host, id: IkeId) {
        let Some(IkeSa { phase: Phase::Established(est), .. }) = self.sas.get(&id) else { return };
        let comes = |other: &IkeId| self.sas.get(other).is_some_and(|sa| sa.core.replaces == Some(id));
        let link = self.common.links.get(&est.connection.name);
        if est.is_outdated() && !link.is_some_and(|link| link.sas.iter().any(comes)) {
            self.close(now, host, id, CLOSING_TIME);
        }
    }
}

/// Whom it is with, is one or many: each of many has a number, and so have its children.
fn has_many(connection: &Connection) -> bool {
    connection.remote_addrs.contains(&Remote::Any)
}

/// One IKE SA of a connection that is another now.
fn take_on(
    cx: &mut Cx<'_>,
    sa: &mut IkeSa,
    before: &Connection,
    after: &Arc<Connection>,
    effects: &mut Effects,
) -> Step<()> {
    let core = &mut sa.core;
    let est = match &mut sa.phase {
        Phase::Established(est) => est,
        // Nothing depends on an attempt: one that would be made otherwise now is.
        _ if negotiates_otherwise(before, after) => {
            effects.anew = true;
            return Err(Ended::ByUs);
        }
        _ => return Ok(()),
    };
    let was = est.permitted.take().unwrap_or_else(|| est.connection.clone());
    let permitted = permits(cx, core, est, &was, after);
    est.connection = after.clone();
    core.size.agreed &= after.fragmentation;
    est.permitted = (!permitted).then_some(was);
    if est.closing.is_some() || est.standing != Standing::Current {
        return Ok(());
    }
    if times(before) != times(after) {
        est.retime(cx, core);
    }
    if permitted {
        conform(cx, est, effects);
    } else {
        effects.anew = true;
        if cx.common.links.get(&after.name).is_some_and(Link::can_initiate) {
            cx.common.renew.push(core.id);
        } else {
            est.close(cx.now, Ended::ByUs, CLOSING_TIME);
        }
    }
    est.pump(cx, core);
    Ok(())
}
/// All that the lifetimes are made of.
fn times(connection: &Connection) -> impl PartialEq + use<> {
    let &Connection { rekey_time, reauth_time, over_time, rand_time, rekey, .. } = connection;
    (rekey_time, reauth_time, over_time, rand_time, rekey)
}
/// What stands in IKE_SA_INIT and IKE_AUTH is other than before.
fn negotiates_otherwise(before: &Connection, after: &Connection) -> bool {
    let live = Connection {
        dpd_delay: after.dpd_delay,
        keepalive: after.keepalive,
        rekey_time: after.rekey_time,
        reauth_time: after.reauth_time,
        over_time: after.over_time,
        rand_time: after.rand_time,
        rekey: after.rekey,
        rehearse: after.rehearse,
        keylog: after.keylog,
        unique: after.unique,
        children: after.children.clone(),
        ..before.clone()
    };
    live != *after
}
/// The IKE SA could be as it is if it were made now; it could when the connection was as it `was`.
fn permits(cx: &mut Cx<'_>, core: &Core, est: &Established, was: &Connection, new: &Connection) -> bool {
    let Connection {
        name: _,
        local_addrs,
        remote_addrs,
        proposals,
        local_id,
        remote_id,
        encap,
        local_auth,
        remote_auth,
        ppk,
        vips,
        // What it does from now on, and how the next one is made.
        fragmentation: _,
        mobike: _,
        pools: _,
        dpd_delay: _,
        keepalive: _,
        rekey_time: _,
        reauth_time: _,
        over_time: _,
        rand_time: _,
        rekey: _,
        childless: _,
        rehearse: _,
        keylog: _,
        unique: _,
        children: _,
    } = new;
    let (local, remote) = (core.local.ip(), core.remote.ip());
    let mut is_there = |at: &Remote| match at {
        Remote::Addr(addr) => *addr == remote,
        Remote::Name(name) => cx.host.resolve(name).contains(&remote),
        Remote::Any => true,
    };
    let own = || local_id.clone().unwrap_or_else(|| id_of(local));
    (*local_addrs == was.local_addrs || local_addrs.is_empty() || local_addrs.contains(&local))
        && (*remote_addrs == was.remote_addrs || remote_addrs.iter().any(&mut is_there))
        && (*proposals == was.proposals || is_allowed(&est.proposal, proposals))
        && (*local_id == was.local_id || own() == est.local_id)
        && (*remote_id == was.remote_id || fits(remote_id, &est.remote_id))
        && (*encap == was.encap || *encap == EncapPolicy::Auto || core.nat.udp())
        && (*local_auth, *remote_auth) == (was.local_auth, was.remote_auth)
        && (ppk.as_ref().map(|ppk| &ppk.id) == was.ppk.as_ref().map(|ppk| &ppk.id) && est.ppk
            || ppk.as_ref().is_none_or(|ppk| !ppk.required)
            || *ppk == was.ppk)
        && *vips == was.vips
}
/// This suite of an IKE SA is among those.
fn is_allowed(used: &Proposal, ours: &[Proposal]) -> bool {
    choose(std::slice::from_ref(used), ours, ProtocolId::IKE, KeRule::Prefer(None)).is_some()
}

/// What becomes of a child that shall be otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum OfChild {
    Live,
    Rekey,
    Restart,
}
fn compare(child: &Child, new: &ChildPolicy) -> OfChild {
    let ChildPolicy {
        name: _,
        local_ts,
        remote_ts,
        proposals,
        transport,
        resources,
        // Looked at when it is time.
        start: _,
        dpd: _,
        rekey_time: _,
        rekey_bytes: _,
        rekey_packets: _,
    } = new;
    let was = &*child.policy;
    let narrowed = || same(local_ts, &child.local_ts) && same(remote_ts, &child.remote_ts);
    let meant = same(local_ts, &was.local_ts) && same(remote_ts, &was.remote_ts);
    // Whether there may be others beside it is said when it is made (RFC 9611).
    let alone = *resources > 0 && child.group.is_none() && *resources != was.resources;
    if !(meant || narrowed()) || *transport != was.transport || alone && child.resource.is_none() {
        return OfChild::Restart;
    }
    // Another group counts from the next rekey on: a child of IKE_AUTH has none, so that none says what was meant.
    let used = std::slice::from_ref(&child.proposal);
    if *proposals != was.proposals && choose(used, proposals, ProtocolId::ESP, KeRule::Ignore).is_none() {
        return OfChild::Rekey;
    }
    OfChild::Live
}
fn same(a: &[Selector], b: &[Selector]) -> bool {
    a == b || is_subset(a, b) && is_subset(b, a)
}

/// The children of an IKE SA that stays become what the configuration says. What is being made meanwhile follows when it is there.
fn conform(cx: &mut Cx<'_>, est: &mut Established, effects: &mut Effects) {
    if est.closing.is_some() || est.standing != Standing::Current || est.is_outdated() {
        return;
    }
    est.unsettled = est.is_making();
    let connection = est.connection.clone();
    for id in est.children.iter().map(|c| c.id).collect::<Vec<_>>() {
        let Some(child) = est.child(id) else { continue };
        let Some(new) = connection.children.iter().find(|c| c.name == child.policy.name) else {
            effects.restarted.push(child.policy.name.clone());
            est.queue.retain(|task| *task != Task::RekeyChild(id));
            est.leave(id, Ended::ByUs);
            continue;
        };
        let new = est.virtuals.of(new);
        if child.state != ChildState::Up || child.policy == new {
            continue;
        }
        match compare(child, &new) {
            OfChild::Restart => {
                effects.restarted.push(new.name.clone());
                restart(cx, est, &new);
                continue;
            }
            OfChild::Rekey => {
                effects.rekeyed.push(new.name.clone());
                est.change_policy(cx, id, &new);
                est.plan(Task::RekeyChild(id));
            }
            OfChild::Live => est.change_policy(cx, id, &new),
        }
        trim(cx, est, &new);
    }
    for names in [&mut effects.rekeyed, &mut effects.restarted] {
        names.sort_unstable();
        names.dedup();
    }
}
/// Another child takes the place of this one, and of those beside it; until then they carry what they carried. If the peer does not want the new
/// one it is asked again for a while, as its configuration may be about to change, too; then the old one goes.
fn restart(cx: &mut Cx<'_>, est: &mut Established, new: &Arc<ChildPolicy>) {
    let until = cx.now + RELIEF_TIME;
    let mut old = Vec::new();
    for child in est.children.iter_mut().filter(|c| c.state == ChildState::Up && c.policy.name == new.name) {
        (child.state, child.outdated) = (ChildState::Replaced { until }, true);
        old.push(child.id);
    }
    let of_old = |task: &Task| match task {
        Task::RekeyChild(id) => old.contains(id),
        Task::CreateResource(name) => *name == new.name,
        _ => false,
    };
    est.queue.retain(|task| !of_old(task));
    est.plan(Task::CreateChild(new.name.clone()));
    if let Some(wish) = cx.common.links.get_mut(&est.connection.name).and_then(|l| l.wish(&new.name)) {
        wish.wanted |= !wish.down;
        wish.retry = super::link::Retry::now(cx.now);
    }
}
/// No more children stand beside one than there shall be now (RFC 9611).
fn trim(cx: &Cx<'_>, est: &mut Established, new: &ChildPolicy) {
    let most = resources::most(cx, new);
    let surplus = |c: &&Child| c.policy.name == new.name && c.resource.is_some_and(|resource| resource >= most);
    let surplus: Vec<ChildId> = est.children.iter().filter(surplus).map(|c| c.id).collect();
    surplus.into_iter().for_each(|id| est.leave(id, Ended::ByUs));
}

impl Established {
    /// The configuration does not permit it any more: another one is being made in its place.
    pub(super) fn is_outdated(&self) -> bool {
        self.permitted.is_some()
    }
    /// A child is on its way that may be as an older configuration says.
    fn is_making(&self) -> bool {
        self.asked.is_some() || self.answering.is_some() || !self.half_done.is_empty()
    }
    /// The configuration has changed while children were being made, and now they are there.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) {
        if self.unsettled && !self.is_making() {
            conform(cx, self, &mut Effects::default());
        }
    }
    /// Another child has come up that we have asked for: what it was made instead of goes.
    pub(super) fn supersede(&mut self, new: ChildId) {
        let Some(name) = self.child(new).map(|c| c.policy.name.clone()) else { return };
        let outdated = self.children.iter().filter(|c| c.outdated && c.policy.name == name).map(|c| c.id);
        outdated.collect::<Vec<_>>().into_iter().for_each(|id| self.leave(id, Ended::Replaced));
    }
    fn change_policy(&mut self, cx: &mut Cx<'_>, id: ChildId, new: &Arc<ChildPolicy>) {
        let Some(child) = self.child_mut(id) else { return };
        let before = std::mem::replace(&mut child.policy, new.clone());
        if before.rekey_time != new.rekey_time {
            self.retime_child(cx, id);
        }
    }
    /// Its lifetimes, and those of its children, are other ones.
    fn retime(&mut self, cx: &mut Cx<'_>, core: &Core) {
        let connection = self.connection.clone();
        let busy = self.rekeys_ike() || self.queue.contains(&Task::RekeyIke);
        let by = if busy { By::Nobody } else { By::of(&connection) };
        let (rand, over) = (connection.rand_time, connection.over_time);
        self.life.retime(cx, core.created, (connection.rekey_time, rand, over), by);
        let by = if core.initiator { By::Us } else { By::Nobody };
        self.authentication.retime(cx, self.since, (connection.reauth_time, rand, over), by);
        for id in self.children.iter().filter(|c| c.state == ChildState::Up).map(|c| c.id).collect::<Vec<_>>() {
            self.retime_child(cx, id);
        }
    }
    fn retime_child(&mut self, cx: &mut Cx<'_>, id: ChildId) {
        let busy = self.rekeys(id) || self.queue.contains(&Task::RekeyChild(id));
        let (by, rand) = (if busy { By::Nobody } else { By::of(&self.connection) }, self.connection.rand_time);
        let Some(child) = self.child_mut(id) else { return };
        let rehearsal = child.life.renew.filter(|_| child.rehearsal);
        child.life.retime(cx, child.since, (child.policy.rekey_time, rand, Duration::ZERO), by);
        if rehearsal.is_some() {
            child.life.renew = child.life.renew.into_iter().chain(rehearsal).min();
        }
    }
}

/// Where the successor of an IKE SA is that the configuration does not permit any more: here, if that is still right. If there is no way to
/// anywhere, the IKE SA goes at once.
pub(super) fn way(cx: &mut Cx<'_>, core: &Core, est: &Established) -> Option<ways::Way> {
    let here = (core.local.ip(), core.remote.ip());
    let list = ways::Ways::of(&est.connection, cx.host).list;
    let way = list.iter().find(|way| **way == here).or(list.first()).copied();
    if way.is_none() {
        cx.common.redundant.push(Redundant { ike: core.id, how: How::Outdated });
    }
    way
}
