//! Does an outer IP packet of a given size reach the peer? An INFORMATIONAL request as large as that tells, if no router may fragment it: it is
//! answered or, where ICMP does not come through, it is not. Then the very same request goes out again in a form that every path takes (RFC 7383
//! section 2.5.2), and is a liveness check from then on. So a narrow path costs a moment of the window and nothing else. It goes out in fragments of
//! IKE and also as a whole that IP may cut. Where neither gets through the window is blocked for good: a retransmission has to say the same (RFC
//! 7296 section 2.1). Then another IKE SA is made beside this one before it dies of it, and only what nearly all paths take is tried for a while.
//!
//! What makes it large is one status notification of zeros, of a type that no peer knows and every peer has to ignore (RFC 7296 section 3.10.1).
use crate::ike::common::Cx;
use crate::ike::endpoint::Endpoint;
use crate::ike::event::{Event, Host, IkeId};
use crate::ike::sa::{self, Core, Established, IkeSa, Phase, Standing, Task};
use crate::ike::size;
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType};
use std::time::Duration;

/// Of the range for private use.
const PADDING: NotifyType = NotifyType(0xdf00);
/// Octets of the notification without its data.
const NOTIFY_LEN: usize = 8;
/// Larger packets are not tried: no path between two gateways takes them, and peers have limits that hold for the sum of the fragments, too
/// (strongSwan: 10,000 octets).
const LARGEST: u16 = 9216;
/// A request of full size is sent twice, and each time the answer has twice a round trip, but at least and at most so long.
const LEAST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_millis(1500);
/// Nothing larger is tried for this time than the next of these that is smaller, where a probe may have been the end of an IKE SA.
const CAUTION: Duration = Duration::from_secs(3600);
const CAUTIOUS: [u16; 3] = [1380, 1280, 576];
/// As long as nothing is known of the round trip.
const USUAL: Duration = Duration::from_millis(500);

/// Somebody wants to know it. There is an answer now or later.
pub(in crate::ike) fn ask(cx: &mut Cx<'_>, sa: &mut IkeSa, size: u16) {
    let core = &mut sa.core;
    match &mut sa.phase {
        Phase::Established(est) if est.may_be_probed() => {
            est.queue.push_back(Task::Probe(size));
            est.pump(cx, core);
        }
        _ => tell(cx, core.id, (size, size), None),
    }
}
impl Endpoint {
    /// The same, from outside.
    pub(in crate::ike) fn probe(&mut self, now: Duration, host: &mut dyn Host, ike: IkeId, size: u16) {
        if !self.sas.contains_key(&ike) {
            return self.common.emit(Event::Probed { ike, size, sent: size, fits: None });
        }
        self.step(now, host, ike, |cx, sa| {
            ask(cx, sa, size);
            Ok(())
        });
    }
}
impl Established {
    /// It stays, and so does the path.
    fn may_be_probed(&self) -> bool {
        let rekeyed = self.rekeys_ike() || self.queue.contains(&Task::RekeyIke);
        self.standing == Standing::Current && self.closing.is_none() && !rekeyed
    }
}
/// Sends the request in its full size: with an AEAD exactly, with a block cipher as much of it as whole blocks are. `None`: there is no request
/// of this size, or no path to try it on, or it is not risked and counts as one that does not fit.
pub(in crate::ike) fn request(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established, size: u16) -> Option<sa::Asked> {
    let moves = core.mobile.proven.is_some() || !core.mobile.trying.is_empty();
    let Some((padding, room)) = padding(cx, core, est, size).filter(|_| size <= LARGEST && !moves) else {
        tell(cx, core.id, (size, size), None);
        return None;
    };
    if size > core.size.proven && is_risky(cx, est, size) {
        tell(cx, core.id, (size, size), Some(false));
        return None;
    }
    let header = core.header(ExchangeType::INFORMATIONAL, core.window.next_id(), false);
    let sealed = est.channel.seal_whole(header, &[Payload::Notify(Notify::new(PADDING, vec![0; padding]))]);
    let missing = sealed.datagrams().first().map_or(0, |whole| room.saturating_sub(whole.len()));
    core.request(cx, ExchangeType::INFORMATIONAL, sealed);
    let wait = core.size.round_trip.map_or(USUAL, |time| (2 * time).clamp(LEAST, MOST));
    core.window.insist(cx.now, wait);
    Some(sa::Asked::Probe { size, sent: size.saturating_sub(u16::try_from(missing).unwrap_or(u16::MAX)) })
}
/// One hardly larger may have been the end of an IKE SA of late.
fn is_risky(cx: &Cx<'_>, est: &Established, size: u16) -> bool {
    let fragile = cx.common.links.get(&est.connection.name).and_then(|link| link.fragile);
    fragile.is_some_and(|(most, until)| size > most && until > cx.now)
}
/// So many octets of data make the message as long as it has to be, and that long.
fn padding(cx: &Cx<'_>, core: &Core, est: &Established, size: u16) -> Option<(usize, usize)> {
    let marked = core.local.port() == cx.policy().ports.natt;
    let room = size::message_in(size, core.remote, marked)?;
    Some((est.channel.most_in_one(room).checked_sub(NOTIFY_LEN)?, room))
}

/// The request in flight is answered. Whatever the answer says, the request has arrived.
pub(in crate::ike) fn answered(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) {
    let fits = core.window.is_whole();
    if let (Some(true), Some(sa::Asked::Probe { size, .. })) = (fits, &est.asked) {
        core.size.proven = core.size.proven.max(*size);
    }
    conclude(cx, core.id, est, fits);
}
/// The path becomes another one, or the IKE SA ends: nothing will be known of the old path, and what is in flight is not to be held up by its
/// size.
pub(in crate::ike) fn stop(cx: &mut Cx<'_>, core: &mut Core, est: &mut Established) {
    core.relent(cx.now, &mut est.channel);
    cancel(cx, core.id, est);
}
/// Nothing will be known any more.
pub(in crate::ike) fn cancel(cx: &mut Cx<'_>, id: IkeId, est: &mut Established) {
    conclude(cx, id, est, None);
    est.queue.retain(|task| match task {
        Task::Probe(size) => {
            tell(cx, id, (*size, *size), None);
            false
        }
        _ => true,
    });
}
/// It is time for retransmissions. One that is not answered in any form may be all that is wrong: then another IKE SA takes the place of this one.
pub(in crate::ike) fn waited(cx: &mut Cx<'_>, core: &Core, est: &Established) {
    if core.window.is_silent() && may_be_lost(core, est).is_some() {
        cx.common.lost.push(core.id);
    }
}
/// The peer has not answered at all, or only on the IKE SA that takes the place of this one.
pub(in crate::ike) fn died(cx: &mut Cx<'_>, core: &Core, est: &Established) {
    if let Some(size) = may_be_lost(core, est)
        && let Some(link) = cx.common.links.get_mut(&est.connection.name)
    {
        let most = CAUTIOUS.into_iter().find(|most| *most < size).unwrap_or(0);
        link.fragile = Some((most, cx.now + CAUTION));
    }
}
/// The size of the request in flight, if the peer has never answered such a one: it may be alive, and no form of it gets through.
fn may_be_lost(core: &Core, est: &Established) -> Option<u16> {
    match est.asked {
        Some(sa::Asked::Probe { size, .. }) if size > core.size.proven => Some(size),
        _ => None,
    }
}
/// Tells what is known. The request in flight is a liveness check from now on.
fn conclude(cx: &mut Cx<'_>, id: IkeId, est: &mut Established, fits: Option<bool>) {
    if let Some(sa::Asked::Probe { size, sent }) = est.asked {
        est.asked = Some(sa::Asked::Liveness);
        tell(cx, id, (size, sent), fits);
    }
}
fn tell(cx: &mut Cx<'_>, ike: IkeId, (size, sent): (u16, u16), fits: Option<bool>) {
    cx.emit(Event::Probed { ike, size, sent, fits });
}
