//! The picture of the endpoint, one connection at a time: whoever keeps one has to look again only at what [`Endpoint::changed`] names.
use super::calls::Caller;
use super::child::ChildState;
use super::endpoint::Endpoint;
use super::event::IkeId;
use super::link::Link;
use super::sa::{IkeSa, Phase, Standing};
use super::status::{ChildStatus, ConnectionStatus, Counts, IkeStatus, State};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

impl Endpoint {
    /// What was counted.
    pub fn counts(&self) -> Counts {
        let (half_open, established) = (self.common.admission.half_open() as u64, self.common.established as u64);
        Counts { half_open, established, ..self.common.counts }
    }
    /// When the first message of an IKE SA left or came, and whether it was ours.
    pub fn begun(&self, ike: IkeId) -> Option<(Duration, bool)> {
        self.sas.get(&ike).map(|sa| (sa.core.created, sa.core.initiator))
    }
    /// All configured connections, in the order of the configuration.
    pub fn status(&self) -> Vec<ConnectionStatus> {
        self.common.directory.policy.connections.iter().filter_map(|c| self.status_of(&c.name)).collect()
    }
    /// Those whose status may be another one than when this was last asked.
    pub fn changed(&mut self) -> HashSet<Arc<str>> {
        std::mem::take(&mut self.common.shown)
    }
    /// One connection.
    pub fn status_of(&self, connection: &str) -> Option<ConnectionStatus> {
        let link = self.common.links.get(connection)?;
        let sas = link.sas.iter().filter_map(|id| self.sas.get(id));
        let sas: Vec<_> = sas.map(|sa| ike(sa, link.connection.local_id.as_ref())).collect();
        let any = |state| sas.iter().any(|sa: &IkeStatus| sa.state == state);
        let state = match () {
            () if any(State::Up) => State::Up,
            () if any(State::Connecting) => State::Connecting,
            () if any(State::Closing) => State::Closing,
            () if self.has_its_turn_coming(link) => State::Connecting,
            () if link.failed => State::Failed,
            () => State::Down,
        };
        let (name, last_failure) = (link.connection.name.clone(), link.last_failure.clone());
        Some(ConnectionStatus { name, state, sas, last_failure, notices: link.notices.clone() })
    }
    /// It would be connecting if not so many others were.
    fn has_its_turn_coming(&self, link: &Link) -> bool {
        let wanted = link.wishes.iter().any(|wish| wish.wanted);
        wanted && self.common.calls.keeps_waiting(&Caller::Link(link.connection.name.clone()))
    }
}
fn ike(sa: &IkeSa, local_id: Option<&crate::wire::payload::Id>) -> IkeStatus {
    let core = &sa.core;
    let mut status = IkeStatus {
        id: core.id,
        peer: 0,
        state: State::Connecting,
        since: None,
        local: core.local,
        remote: core.remote,
        local_id: local_id.cloned(),
        remote_id: None,
        spi_i: core.spi_i,
        spi_r: core.spi_r,
        initiator: core.initiator,
        proposal: None,
        nat: core.nat.name(),
        udp: core.nat.udp(),
        ppk: false,
        rekey_at: None,
        children: Vec::new(),
    };
    if let Phase::Established(est) = &sa.phase {
        status.peer = est.peer;
        status.state = match est.standing {
            _ if est.closing.is_some() => State::Closing,
            Standing::Current => State::Up,
            Standing::Rival(_) => State::Connecting,
            Standing::Succeeded => State::Closing,
        };
        status.rekey_at = est.life.renew;
        status.since = Some(est.since);
        status.ppk = est.ppk;
        status.local_id = Some(est.local_id.clone());
        status.remote_id = Some(est.remote_id.clone());
        status.proposal = Some(est.proposal.clone());
        status.children = est
            .children
            .iter()
            .map(|c| ChildStatus {
                id: c.id,
                name: c.policy.name.clone(),
                resource: c.resource,
                closing: c.state != ChildState::Up,
                connecting: false,
                rekeying: est.rekeys(c.id),
                spi_in: c.spi_in,
                spi_out: c.spi_out,
                since: c.since,
                rekey_at: c.life.renew,
            })
            .collect();
    }
    status
}
