//! The moment at which an IKE SA is established.
use crate::ike::auth::Authenticated;
use crate::ike::common::Cx;
use crate::ike::event::Event;
use crate::ike::exchange::liveness::Signs;
use crate::ike::keys::HandshakeKeys;
use crate::ike::life::Life;
use crate::ike::link::Sibling;
use crate::ike::policy::Connection;
use crate::ike::sa::{Core, Established, Standing};
use crate::ike::siblings;
use crate::ike::virtuals::Virtuals;
use crate::wire::payload::{Id, Proposal};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A responder leaves the first word about further children to the initiator for this long.
const RESPONDER_PATIENCE: Duration = Duration::from_secs(5);
/// The only way to an established IKE SA is a proof.
pub(super) fn establish(
    cx: &mut Cx<'_>,
    core: &mut Core,
    proof: &Authenticated,
    keys: HandshakeKeys,
    connection: Arc<Connection>,
    (local_id, remote_id): (Id, Id),
    proposal: Proposal,
) -> Established {
    let (keys, channel) = keys.established(proof);
    let (now, id) = (cx.now, core.id);
    let sibling = Sibling {
        ike: id,
        local: local_id.clone(),
        created: core.created,
        since: now,
        spi_i: core.spi_i,
        initiator: core.initiator,
    };
    siblings::one_of_two(cx, &sibling, &connection, &remote_id);
    core.connection = Some(connection.name.clone());
    core.window.widen();
    core.size.agreed &= connection.fragmentation;
    let connection = cx.common.count(connection);
    let peer = cx.common.links.get_mut(&connection.name).map_or(0, |link| {
        if !core.initiator {
            for wish in &mut link.wishes {
                wish.retry.at = wish.retry.at.max(now + RESPONDER_PATIENCE);
            }
        }
        link.established(sibling, &remote_id)
    });
    cx.emit(Event::IkeUp { ike: id, connection: connection.name.clone(), peer });
    cx.touch(&connection);
    if let Some(old) = core.replaces {
        cx.common.relieved.push((old, id));
    }
    let life = Life::of_ike(cx, &connection);
    let authentication = Life::of_authentication(cx, &connection, core.initiator);
    Established {
        connection,
        permitted: None,
        unsettled: true,
        peer,
        local_id,
        remote_id,
        virtuals: Virtuals::default(),
        proposal,
        keys,
        channel,
        since: now,
        signs: Signs::new(now),
        children: Vec::new(),
        queue: VecDeque::new(),
        asked: None,
        answering: None,
        fresh: Vec::new(),
        half_done: Vec::new(),
        ppk: false,
        closing: None,
        life,
        authentication,
        standing: Standing::Current,
        leave_at: None,
        older: None,
        relieves: None,
        put_off: None,
        unheard: None,
    }
}
