//! Reauthentication (RFC 7296 section 2.8.3, RFC 4478): an IKE SA from scratch with all children, and then the old one is deleted.
use super::{Contents, probe};
use crate::ike::adopt;
use crate::ike::calls::Caller;
use crate::ike::child::ChildState;
use crate::ike::common::{Cx, How, Redundant};
use crate::ike::demand::Attempt;
use crate::ike::endpoint::Endpoint;
use crate::ike::event::{Ended, Host, IkeId};
use crate::ike::policy::{Connection, IdMatch, Unique};
use crate::ike::sa::{CLOSING_TIME, Core, Established, IkeSa, Phase, Standing, Task};
use crate::ike::ways;
use crate::wire::payload::{Id, Notify, Payload};
use crate::wire::registry::NotifyType;
use std::time::Duration;

/// A responder that wants to be authenticated again says so: only the initiator can do it (RFC 4478).
pub(in crate::ike) fn lifetime(connection: &Connection) -> Option<Payload> {
    let seconds = u32::try_from(connection.reauth_time.as_secs()).unwrap_or(u32::MAX);
    (seconds > 0).then(|| Payload::Notify(Notify::new(NotifyType::AUTH_LIFETIME, seconds.to_be_bytes())))
}
/// The peer wants that of us.
pub(in crate::ike) fn hear(cx: &mut Cx<'_>, est: &mut Established, contents: &Contents) {
    let said = contents.notify(NotifyType::AUTH_LIFETIME).and_then(|n| n.data.as_slice().try_into().ok());
    if let Some(seconds) = said.map(u32::from_be_bytes) {
        est.authentication.shorten(cx, Duration::from_secs(seconds.into()));
    }
}

/// R36: we hold nothing else with this pair of identities but what is lost, and no other connection could.
pub(in crate::ike) fn is_first_contact(cx: &Cx<'_>, core: &Core, connection: &Connection, local_id: &Id) -> bool {
    let IdMatch::Exact(remote_id) = &connection.remote_id else { return false };
    let held = cx.common.links.get(&connection.name).map_or(Vec::new(), |l| l.of_pair(local_id, remote_id));
    let none = held.iter().all(|sa| sa.ike == core.id || core.abandons && core.replaces == Some(sa.ike));
    connection.unique != Unique::Never && none && !cx.common.directory.shares_ids(connection)
}

impl Endpoint {
    /// Begins IKE SAs in the place of others, and lets those go on that are established.
    pub(in crate::ike) fn renew(&mut self, now: Duration, host: &mut dyn Host) {
        for old in std::mem::take(&mut self.common.renew) {
            self.renew_one(now, host, old, false);
        }
        for old in std::mem::take(&mut self.common.lost) {
            self.renew_one(now, host, old, true);
        }
        for (old, new) in std::mem::take(&mut self.common.relieved) {
            self.relieve(now, host, old, new);
        }
    }
    /// `lost`: the old one will not be heard any more.
    pub(in crate::ike) fn renew_one(&mut self, now: Duration, host: &mut dyn Host, old: IkeId, lost: bool) {
        let Some(IkeSa { core, phase: Phase::Established(est) }) = self.sas.get(&old) else { return };
        let Some(link) = self.common.links.get(&est.connection.name).filter(|link| link.can_initiate()) else { return };
        let comes = |id: &IkeId| self.sas.get(id).is_some_and(|sa| sa.core.replaces == Some(old));
        if est.closing.is_some() || est.standing != Standing::Current || link.sas.iter().any(comes) {
            return;
        }
        let connection = est.connection.clone();
        let up = est.children.iter().find(|c| c.state == ChildState::Up).map(|c| c.policy.name.clone());
        let Some(child) = up.or_else(|| connection.children.first().map(|c| c.name.clone())) else { return };
        // The peer has said that it has lost it where it was asked, which may be somewhere else.
        let (local, remote) = core.mobile.trying.first().filter(|_| lost).copied().unwrap_or((core.local, core.remote));
        let here = (local.ip(), remote.ip());
        let mut cx = Cx { now, host, common: &mut self.common };
        let way = match est.is_outdated() {
            true => match adopt::way(&mut cx, core, est) {
                Some(way) => way,
                None => return,
            },
            false => ways::leaving(&mut cx, core, est).map_or(here, |(way, _)| way),
        };
        if self.common.calls.may_begin(way.1, Caller::Renewal(old, lost)) {
            self.attempt(now, host, &connection.name, Attempt { child, way, replaces: Some(old), abandons: lost });
        }
    }
    /// The new one is established: it makes the other children, too, and then the old one is deleted. One that is lost goes at once. A peer that
    /// has begun the new one shall show that it has it.
    fn relieve(&mut self, now: Duration, host: &mut dyn Host, old: IkeId, new: IkeId) {
        let Some(IkeSa { phase: Phase::Established(est), .. }) = self.sas.get(&old) else { return };
        let up = est.children.iter().filter(|c| c.state == ChildState::Up && c.resource.is_none());
        let since = est.since;
        let mut names: Vec<_> = up.map(|c| c.policy.name.clone()).collect();
        names.dedup();
        let (mut forgotten, mut unanswered) = (None, false);
        self.step(now, host, new, |cx, sa| {
            if let Phase::Established(est) = &mut sa.phase {
                let lost = sa.core.abandons;
                let told = is_first_contact(cx, &sa.core, &est.connection, &est.local_id);
                forgotten = lost.then_some((told, (sa.core.local, sa.core.remote)));
                unanswered = lost && since < sa.core.created;
                est.relieves = Some(old).filter(|_| !lost);
                if !sa.core.initiator {
                    est.plan(Task::Liveness);
                }
                names.into_iter().filter(|name| !est.has(name)).collect::<Vec<_>>().into_iter().for_each(|name| {
                    est.plan(Task::CreateChild(name));
                });
                est.pump(cx, &mut sa.core);
            }
            Ok(())
        });
        // Had it been the path, the old one would have been answered, too, unless what it asked is what the path does not take.
        if unanswered {
            self.step(now, host, old, |cx, sa| {
                if let Phase::Established(est) = &mut sa.phase {
                    probe::died(cx, &sa.core, est);
                }
                Ok(())
            });
        }
        match forgotten {
            Some((true, _)) => self.common.redundant.push(Redundant { ike: old, how: How::Silently }),
            // The peer keeps it until it hears otherwise, which it does where it can be reached.
            Some((false, ends)) => self.step(now, host, old, |cx, sa| {
                (sa.core.local, sa.core.remote) = ends;
                sa.core.mobile.trying.clear();
                sa.core.window.again(cx.now);
                if let Phase::Established(est) = &mut sa.phase {
                    est.close(cx.now, Ended::Replaced, CLOSING_TIME);
                    est.pump(cx, &mut sa.core);
                }
                Ok(())
            }),
            None => {}
        }
    }
}
