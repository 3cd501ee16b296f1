//! An IKE_SA_INIT that is sent to hear what the peer says to it (`examine`): message for message the same as that of an ordinary attempt, but whoever asks
//! decides when it leaves, and what becomes of the answer.
use super::{MAX_RETRIES, Opening, Reply, choice, prepare, read_reply, take};
use crate::ike::common::Cx;
use crate::ike::exchange::Arrival;
use crate::ike::policy::Connection;
use crate::ike::sa::{Core, IkeSa, Phase};
use crate::wire::message::{Header, IkeSpi};
use crate::wire::payload::Proposal;
use crate::wire::registry::{ExchangeType, KeId, NotifyType};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// One question, with an SPI of its own.
pub(in crate::ike) struct Inquiry {
    pub core: Core,
    opening: Box<Opening>,
}
/// What the peer says to it. Nobody has authenticated it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ike) enum Said {
    /// Nothing that counts.
    Nothing,
    /// The same once more, with a cookie or another group; `send` will.
    Again(String),
    /// A choice from the offer.
    Chose(Proposal),
    /// A choice that is none.
    Unsound(Vec<Proposal>),
    /// A group that was not offered.
    Group(KeId),
    /// An error.
    Refused(NotifyType),
}

impl Inquiry {
    /// Nothing is sent yet. `None`: the offer has no group.
    pub(in crate::ike) fn new(
        cx: &mut Cx<'_>,
        connection: Arc<Connection>,
        child: Arc<str>,
        ends: (SocketAddr, SocketAddr),
        offer: &[Proposal],
    ) -> Option<Self> {
        let (core, opening) = prepare(cx, connection, child, ends, offer)?;
        Some(Self { core, opening })
    }
    /// Sends it, or sends it again.
    pub(in crate::ike) fn send(&mut self, cx: &mut Cx<'_>) {
        self.opening.send(cx, &mut self.core);
    }
    /// Reads an answer.
    pub(in crate::ike) fn read(&mut self, cx: &mut Cx<'_>, header: &Header, from: &Arrival<'_>) -> Said {
        let opening = &mut self.opening;
        let answers = header.exchange == ExchangeType::IKE_SA_INIT && header.response && !header.initiator;
        if from.remote != self.core.remote || !answers || header.id != 0 || opening.request.is_empty() {
            return Said::Nothing;
        }
        match read_reply(opening, header, from) {
            Reply::Accepted(a) => match choice(opening, &a.proposals, &a.ke, a.intermediate) {
                Some((chosen, _)) => Said::Chose(chosen),
                None => Said::Unsound(a.proposals),
            },
            // A second answer to an earlier transmission.
            Reply::Cookie(cookie) if opening.cookie.as_ref() == Some(&cookie) => Said::Nothing,
            Reply::Group(id) if opening.groups > 0 && id == opening.group.id() => Said::Nothing,
            Reply::Cookie(cookie) if opening.cookies < MAX_RETRIES => {
                opening.cookies += 1;
                opening.cookie = Some(cookie);
                Said::Again(NotifyType::COOKIE.to_string())
            }
            Reply::Group(id) if opening.takes(cx, id) => {
                Said::Again(format!("{} {id}", NotifyType::INVALID_KE_PAYLOAD))
            }
            Reply::Group(id) => Said::Group(id),
            Reply::Refused(kind) => Said::Refused(kind),
            Reply::Cookie(_) | Reply::Junk => Said::Nothing,
        }
    }
    /// What a stray answer to one that has been answered before amounts to: a choice, or none.
    pub(in crate::ike) fn contradicts(&self, chosen: bool, header: &Header, from: &Arrival<'_>) -> bool {
        from.remote == self.core.remote
            && header.response
            && match read_reply(&self.opening, header, from) {
                Reply::Accepted(_) => !chosen,
                Reply::Refused(_) => chosen,
                Reply::Cookie(_) | Reply::Group(_) | Reply::Junk => false,
            }
    }
    /// The answer was a choice from our own offer: an ordinary attempt goes on from it. `None`: too much is being computed.
    pub(in crate::ike) fn go_on(
        mut self,
        cx: &mut Cx<'_>,
        header: &Header,
        from: &Arrival<'_>,
        patience: Duration,
    ) -> Option<IkeSa> {
        let Reply::Accepted(accepted) = read_reply(&self.opening, header, from) else { return None };
        // Nothing is asked again while the secret is being computed.
        self.core.window.rest(cx.now + patience);
        let phase = take(cx, &mut self.core, self.opening, header, from, accepted);
        matches!(phase, Phase::Agreeing(_)).then_some(IkeSa { core: self.core, phase })
    }
    /// Our SPI.
    pub(in crate::ike) fn spi(&self) -> IkeSpi {
        self.core.spi_i
    }
}
