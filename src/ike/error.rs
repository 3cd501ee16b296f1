//! Why we refuse a request: whose fault it was, and the one place that turns it into a Notify (RFC 7296 section 2.21).
use crate::crypto::ke::Group;
use crate::wire::message::ParseError;
use crate::wire::payload::Notify;
use crate::wire::registry::{NotifyType, PayloadType, ProtocolId};

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The peer's message breaks the format: after authentication the IKE SA ends with it.
    Syntax,
    /// The peer demands a payload that we do not know.
    Critical(PayloadType),
    /// Policies have no suite in common.
    NoProposal,
    /// The suite is fine, the public value is of another group: try this one.
    WrongGroup(Group),
    /// Not telling why.
    Authentication,
    /// Policies have no selectors in common.
    Selectors,
    /// Its address comes from a pool, and it has not asked for one.
    NeedsConfiguration,
    /// Ours: no address is left in the pools.
    NoAddress,
    /// Ours: a limit, or something that we do not do on this IKE SA.
    NoAdditionalSas,
    /// Ours: the child is there for as many resources as there shall be (RFC 9611).
    MaxQueue,
    /// Ours: not now.
    Temporary,
    /// The peer goes on with what we do not know, or no longer.
    NoState,
    /// The peer names a child that we do not have; the SPI is the one that it named.
    NoChild(u32),
}
impl Refusal {
    /// The notification that says so.
    pub(super) fn notify(self) -> Notify {
        match self {
            Self::Syntax => Notify::new(NotifyType::INVALID_SYNTAX, []),
            Self::Critical(kind) => Notify::new(NotifyType::UNSUPPORTED_CRITICAL_PAYLOAD, [kind.0]),
            Self::NoProposal => Notify::new(NotifyType::NO_PROPOSAL_CHOSEN, []),
            Self::WrongGroup(group) => Notify::new(NotifyType::INVALID_KE_PAYLOAD, group.id().0.to_be_bytes()),
            Self::Authentication => Notify::new(NotifyType::AUTHENTICATION_FAILED, []),
            Self::Selectors => Notify::new(NotifyType::TS_UNACCEPTABLE, []),
            Self::NeedsConfiguration => Notify::new(NotifyType::FAILED_CP_REQUIRED, []),
            Self::NoAddress => Notify::new(NotifyType::INTERNAL_ADDRESS_FAILURE, []),
            Self::NoAdditionalSas => Notify::new(NotifyType::NO_ADDITIONAL_SAS, []),
            Self::MaxQueue => Notify::new(NotifyType::TS_MAX_QUEUE, []),
            Self::Temporary => Notify::new(NotifyType::TEMPORARY_FAILURE, []),
            Self::NoState => Notify::new(NotifyType::STATE_NOT_FOUND, []),
            Self::NoChild(spi) => Notify {
                protocol: ProtocolId::ESP,
                spi: spi.to_be_bytes().to_vec(),
                ..Notify::new(NotifyType::CHILD_SA_NOT_FOUND, [])
            },
        }
    }
}
impl From<&ParseError> for Refusal {
    fn from(error: &ParseError) -> Self {
        match error {
            ParseError::Truncated | ParseError::Syntax(_) => Self::Syntax,
            ParseError::Critical(kind) => Self::Critical(*kind),
        }
    }
}
