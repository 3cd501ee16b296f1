//! A key exchange method (RFC 9370 section 2.2.1): a group, where both sides do the same, or a KEM, where they do not.
use super::mlkem::MlKem;
use super::{BadPublic, Group};
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crate::wire::registry::KeId;

/// What an additional key exchange may run on. The first exchange of an SA takes a [`Group`], so that a KEM is never alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Diffie-Hellman.
    Group(Group),
    /// A key encapsulation mechanism.
    Kem(MlKem),
}
impl Method {
    /// From its number.
    pub fn from_id(id: KeId) -> Option<Self> {
        Group::from_id(id).map(Self::Group).or_else(|| MlKem::from_id(id).map(Self::Kem))
    }
    /// Its number.
    pub fn id(self) -> KeId {
        match self {
            Self::Group(group) => group.id(),
            Self::Kem(kem) => kem.id(),
        }
    }
    /// Octets of the public value of that side.
    pub fn public_len(self, initiator: bool) -> usize {
        match self {
            Self::Group(group) => group.public_len(),
            Self::Kem(kem) => kem.public_len(initiator),
        }
    }
    /// A private value of that side from fresh randomness; used for one exchange only.
    pub fn private(self, initiator: bool, rng: &mut dyn Rng) -> Secret {
        match self {
            Self::Group(group) => group.private(rng),
            Self::Kem(kem) => kem.private(initiator, rng),
        }
    }
    /// The initiator's public value. Panics if `private` is not one that [`Method::private`] could have made for it.
    pub fn public(self, private: &Secret) -> Vec<u8> {
        match self {
            Self::Group(group) => group.public(private),
            Self::Kem(kem) => kem.public(private),
        }
    }
    /// Length and range of the public value of that side, cheaply: before any expensive step.
    pub fn check(self, initiator: bool, public: &[u8]) -> Result<(), BadPublic> {
        match self {
            Self::Group(group) => group.check(public),
            Self::Kem(kem) => kem.check(initiator, public),
        }
    }
    /// The responder's step: its public value and the shared secret. The check is repeated here. Panics if `private` is not one that
    /// [`Method::private`] could have made for it.
    pub fn answer(self, private: &Secret, public: &[u8]) -> Result<(Vec<u8>, Secret), BadPublic> {
        match self {
            Self::Group(group) => Ok((group.public(private), group.agree(private, public)?)),
            Self::Kem(kem) => kem.answer(private, public),
        }
    }
    /// The initiator's last step: the shared secret. The check is repeated here. Panics if `private` is not one that
    /// [`Method::private`] could have made for it.
    pub fn agree(self, private: &Secret, public: &[u8]) -> Result<Secret, BadPublic> {
        match self {
            Self::Group(group) => group.agree(private, public),
            Self::Kem(kem) => kem.agree(private, public),
        }
    }
}
