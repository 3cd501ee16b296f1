//! Two IKE SAs with one peer that were begun at the same time, and both have come up: which of them goes.
use super::common::Cx;
use super::link::Sibling;
use super::policy::{Connection, Unique};
use super::sa::{Core, Established};
use crate::wire::payload::Id;

/// Both ends have begun an IKE SA at the same time, and both have come up. Where there shall be one, the one with the lower SPI of its
/// initiator goes, and its initiator deletes it; so both ends, if both do so, keep the same. Not before the peer, which may still be asking
/// for our answer, has the other one with all children.
pub(super) fn one_of_two(cx: &mut Cx<'_>, this: &Sibling, connection: &Connection, remote_id: &Id) {
    if connection.unique != Unique::Replace {
        return;
    }
    let with_peer = cx.common.links.get(&connection.name).map_or(Vec::new(), |l| l.of_pair(&this.local, remote_id));
    for other in with_peer {
        let concurrent = other.initiator != this.initiator && other.since >= this.created;
        let (loser, winner) = if other.spi_i < this.spi_i { (&other, this) } else { (this, &other) };
        if concurrent && loser.initiator {
            cx.common.relieved.push((loser.ike, winner.ike));
        }
    }
}
/// We have begun both, on two ways, as the peer took its time. The first one goes: if the peer was told with this one that there is no other
/// (`first_contact`), it has forgotten that one by now; if not, it shall hear of it.
pub(super) fn one_of_ours(cx: &mut Cx<'_>, core: &mut Core, est: &Established, first_contact: bool) {
    let Some(link) = cx.common.links.get(&est.connection.name) else { return };
    // One that takes the place of another is no rival of it.
    if core.replaces.is_some_and(|old| link.sas.contains(&old)) {
        return;
    }
    let with_peer = link.of_pair(&est.local_id, &est.remote_id);
    let rival = |other: &&Sibling| other.ike != core.id && other.initiator && other.since >= core.created;
    if let Some(other) = with_peer.iter().rfind(rival) {
        (core.replaces, core.abandons) = (Some(other.ike).filter(|_| first_contact), first_contact);
        cx.common.relieved.push((other.ike, core.id));
    }
}
