//! Key exchange: the private value is given as octets (design: handover, known answers).
mod ecp;
mod method;
mod mlkem;
mod modp;
#[cfg(test)]
mod tests;

use super::rng::Rng;
use super::secret::Secret;
use crate::wire::registry::KeId;
pub use method::Method;
pub use mlkem::MlKem;
use modp::Modp;
use p256::NistP256;
use p384::NistP384;
use p521::NistP521;
use std::sync::LazyLock;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// A group that we have: 31, 19, 20, 21, 14 to 18, and 2 and 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group(KeId);

/// A peer's public value that must not be used (RFC 6989 section 2, RFC 7748 section 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid public value: {0}")]
pub struct BadPublic(pub &'static str);
const WRONG_LENGTH: BadPublic = BadPublic("wrong length");

impl Group {
    /// From its number.
    pub fn from_id(id: KeId) -> Option<Self> {
        Kind::of(id).map(|_| Self(id))
    }
    /// Its number.
    pub fn id(self) -> KeId {
        self.0
    }
    /// Octets of a public value on the wire.
    pub fn public_len(self) -> usize {
        match self.kind() {
            Kind::Modp(group) => group.len(),
            Kind::P256 => ecp::public_len::<NistP256>(),
            Kind::P384 => ecp::public_len::<NistP384>(),
            Kind::P521 => ecp::public_len::<NistP521>(),
            Kind::X25519 => X25519_LEN,
            #[cfg(any(test, feature = "fuzzing"))]
            Kind::Null => null::LEN,
        }
    }
    /// A private value in range from fresh randomness.
    pub fn private(self, rng: &mut dyn Rng) -> Secret {
        match self.kind() {
            Kind::Modp(group) => group.private(rng),
            Kind::P256 => ecp::private::<NistP256>(rng),
            Kind::P384 => ecp::private::<NistP384>(rng),
            Kind::P521 => ecp::private::<NistP521>(rng),
            Kind::X25519 => Secret::random(X25519_LEN, rng),
            #[cfg(any(test, feature = "fuzzing"))]
            Kind::Null => Secret::random(null::LEN, rng),
        }
    }
    /// Our public value, full length, leading zeros kept. Panics if `private` is not one that [`Group::private`] could
    /// have made.
    pub fn public(self, private: &Secret) -> Vec<u8> {
        match self.kind() {
            Kind::Modp(group) => group.public(private),
            Kind::P256 => ecp::public::<NistP256>(private),
            Kind::P384 => ecp::public::<NistP384>(private),
            Kind::P521 => ecp::public::<NistP521>(private),
            Kind::X25519 => PublicKey::from(&x25519_private(private)).to_bytes().to_vec(),
            #[cfg(any(test, feature = "fuzzing"))]
            Kind::Null => private.expose().to_vec(),
        }
    }
    /// Length and range of a peer's value, cheaply (1 < y < p-1; on the curve): before any expensive step.
    pub fn check(self, public: &[u8]) -> Result<(), BadPublic> {
        match self.kind() {
            Kind::Modp(group) => group.check(public).map(drop),
            Kind::P256 => ecp::check::<NistP256>(public).map(drop),
            Kind::P384 => ecp::check::<NistP384>(public).map(drop),
            Kind::P521 => ecp::check::<NistP521>(public).map(drop),
            Kind::X25519 => x25519_public(public).map(drop),
            #[cfg(any(test, feature = "fuzzing"))]
            Kind::Null => null::check(public),
        }
    }
    /// g^ir, full length, leading zeros kept (RFC 7296 section 2.14; x coordinate for ECP). The check is repeated here.
    /// Panics if `private` is not one that [`Group::private`] could have made.
    pub fn agree(self, private: &Secret, public: &[u8]) -> Result<Secret, BadPublic> {
        match self.kind() {
            Kind::Modp(group) => group.agree(private, public),
            Kind::P256 => ecp::agree::<NistP256>(private, public),
            Kind::P384 => ecp::agree::<NistP384>(private, public),
            Kind::P521 => ecp::agree::<NistP521>(private, public),
            Kind::X25519 => x25519_agree(private, public),
            #[cfg(any(test, feature = "fuzzing"))]
            Kind::Null => null::agree(private, public),
        }
    }
    fn kind(self) -> Kind {
        Kind::of(self.0).expect("from_id admits no other")
    }
}

/// The arithmetic behind a group.
enum Kind {
    Modp(&'static LazyLock<Modp>),
    P256,
    P384,
    P521,
    X25519,
    #[cfg(any(test, feature = "fuzzing"))]
    Null,
}
impl Kind {
    fn of(id: KeId) -> Option<Self> {
        match id {
            KeId::MODP_1024 => Some(Self::Modp(&modp::MODP_1024)),
            KeId::MODP_1536 => Some(Self::Modp(&modp::MODP_1536)),
            KeId::MODP_2048 => Some(Self::Modp(&modp::MODP_2048)),
            KeId::MODP_3072 => Some(Self::Modp(&modp::MODP_3072)),
            KeId::MODP_4096 => Some(Self::Modp(&modp::MODP_4096)),
            KeId::MODP_6144 => Some(Self::Modp(&modp::MODP_6144)),
            KeId::MODP_8192 => Some(Self::Modp(&modp::MODP_8192)),
            KeId::ECP_256 => Some(Self::P256),
            KeId::ECP_384 => Some(Self::P384),
            KeId::ECP_521 => Some(Self::P521),
            KeId::CURVE25519 => Some(Self::X25519),
            #[cfg(any(test, feature = "fuzzing"))]
            id if NULL_GROUPS.contains(&id) => Some(Self::Null),
            _ => None,
        }
    }
}

/// Groups without arithmetic, for the simulator: of numbers for private use, and in no build that anybody runs.
#[cfg(any(test, feature = "fuzzing"))]
pub const NULL_GROUPS: [KeId; 2] = [KeId(0xff00), KeId(0xff01)];
#[cfg(any(test, feature = "fuzzing"))]
mod null {
    use super::{BadPublic, Secret, WRONG_LENGTH};

    pub(super) const LEN: usize = 32;
    pub(super) fn check(public: &[u8]) -> Result<(), BadPublic> {
        if public.len() == LEN { Ok(()) } else { Err(WRONG_LENGTH) }
    }
    /// The public value is the private one; both of them make the secret.
    pub(super) fn agree(private: &Secret, public: &[u8]) -> Result<Secret, BadPublic> {
        check(public)?;
        let mut both = [private.expose(), public];
        both.sort_unstable();
        Ok(Secret::new(both.concat()))
    }
}

const X25519_LEN: usize = 32;

/// X25519 itself masks the top bit of the peer's value and takes values of p and above (RFC 8031 section 3.2). A secret
/// of zeros, known to anybody, is refused (RFC 7748 section 6.1).
fn x25519_agree(private: &Secret, public: &[u8]) -> Result<Secret, BadPublic> {
    let shared = x25519_private(private).diffie_hellman(&x25519_public(public)?);
    if !shared.was_contributory() {
        return Err(BadPublic("a point of small order"));
    }
    Ok(Secret::new(shared.as_bytes().to_vec()))
}
fn x25519_private(private: &Secret) -> StaticSecret {
    let octets: Zeroizing<[u8; X25519_LEN]> =
        Zeroizing::new(private.expose().try_into().expect("a private value of this group"));
    StaticSecret::from(*octets)
}
fn x25519_public(public: &[u8]) -> Result<PublicKey, BadPublic> {
    <[u8; X25519_LEN]>::try_from(public).map(PublicKey::from).map_err(|_| WRONG_LENGTH)
}
