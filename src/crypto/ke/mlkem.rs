//! ML-KEM (FIPS 203). The initiator's public value is an encapsulation key, the responder's a ciphertext; all randomness is an argument.
use super::{BadPublic, WRONG_LENGTH};
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crate::wire::registry::KeId;
use ml_kem::array::Array;
use ml_kem::array::typenum::{U32, U64, Unsigned};
use ml_kem::kem::{
    Ciphertext, Decapsulate, Decapsulator, EncapsulationKey, Kem, Key, KeyExport, KeyInit, KeySizeUser, TryKeyInit,
};
use ml_kem::{B32, MlKem512, MlKem768, MlKem1024, SharedKey};
use zeroize::{Zeroize, Zeroizing};

/// What the initiator draws: the seed d | z of its key pair (FIPS 203 section 7.1).
const SEED_LEN: usize = 64;
/// What the responder draws: m (FIPS 203 section 7.2).
const MESSAGE_LEN: usize = 32;
/// Octets of the seed at the end of an encapsulation key; before it two coefficients stand in three octets each time.
const RHO_LEN: usize = 32;
/// The modulus of the coefficients (FIPS 203 section 2.4.1).
const Q: u16 = 3329;
const OUT_OF_RANGE: BadPublic = BadPublic("coefficients out of range");

/// A parameter set of ML-KEM. It is only ever an additional key exchange, never the first or the only one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MlKem {
    /// ML-KEM-512.
    Set512,
    /// ML-KEM-768.
    Set768,
    /// ML-KEM-1024.
    Set1024,
}
impl MlKem {
    /// From its number.
    pub(super) fn from_id(id: KeId) -> Option<Self> {
        Some(match id {
            KeId::ML_KEM_512 => Self::Set512,
            KeId::ML_KEM_768 => Self::Set768,
            KeId::ML_KEM_1024 => Self::Set1024,
            _ => return None,
        })
    }
    /// Its number.
    pub(super) fn id(self) -> KeId {
        match self {
            Self::Set512 => KeId::ML_KEM_512,
            Self::Set768 => KeId::ML_KEM_768,
            Self::Set1024 => KeId::ML_KEM_1024,
        }
    }
    /// Octets of an encapsulation key, or of a ciphertext.
    pub(super) fn public_len(self, initiator: bool) -> usize {
        match (self, initiator) {
            (Self::Set512, true) => key_len::<MlKem512>(),
            (Self::Set768, true) => key_len::<MlKem768>(),
            (Self::Set1024, true) => key_len::<MlKem1024>(),
            (Self::Set512, false) => <MlKem512 as Kem>::CiphertextSize::USIZE,
            (Self::Set768, false) => <MlKem768 as Kem>::CiphertextSize::USIZE,
            (Self::Set1024, false) => <MlKem1024 as Kem>::CiphertextSize::USIZE,
        }
    }
    /// What that side draws.
    pub(super) fn private(self, initiator: bool, rng: &mut dyn Rng) -> Secret {
        Secret::random(if initiator { SEED_LEN } else { MESSAGE_LEN }, rng)
    }
    /// The encapsulation key of a seed.
    pub(super) fn public(self, seed: &Secret) -> Vec<u8> {
        match self {
            Self::Set512 => public::<MlKem512>(seed),
            Self::Set768 => public::<MlKem768>(seed),
            Self::Set1024 => public::<MlKem1024>(seed),
        }
    }
    /// The checks that FIPS 203 asks for before the value is used: of an encapsulation key its length and that its coefficients are
    /// reduced (section 7.2), of a ciphertext its length (section 7.3).
    pub(super) fn check(self, initiator: bool, public: &[u8]) -> Result<(), BadPublic> {
        if public.len() != self.public_len(initiator) {
            return Err(WRONG_LENGTH);
        }
        // All of a ciphertext's bits are in use.
        if initiator && !is_reduced(public) { Err(OUT_OF_RANGE) } else { Ok(()) }
    }
    /// The responder's step: a ciphertext for that encapsulation key, and the secret in it.
    pub(super) fn answer(self, message: &Secret, public: &[u8]) -> Result<(Vec<u8>, Secret), BadPublic> {
        let m: Zeroizing<[u8; MESSAGE_LEN]> =
            Zeroizing::new(message.expose().try_into().expect("what `private` draws"));
        let m = Zeroizing::new(B32::from(*m));
        Ok(match self {
            Self::Set512 => parts::<MlKem512>(key::<MlKem512>(public)?.encapsulate_deterministic(&m)),
            Self::Set768 => parts::<MlKem768>(key::<MlKem768>(public)?.encapsulate_deterministic(&m)),
            Self::Set1024 => parts::<MlKem1024>(key::<MlKem1024>(public)?.encapsulate_deterministic(&m)),
        })
    }
    /// The initiator's last step. A ciphertext that was made for another key gives a secret that nobody else has (FIPS 203 section 6.3),
    /// not an error.
    pub(super) fn agree(self, seed: &Secret, ciphertext: &[u8]) -> Result<Secret, BadPublic> {
        match self {
            Self::Set512 => agree::<MlKem512>(seed, ciphertext),
            Self::Set768 => agree::<MlKem768>(seed, ciphertext),
            Self::Set1024 => agree::<MlKem1024>(seed, ciphertext),
        }
    }
}

/// What `key` finds out, too, but only after it has hashed everything: the coefficients are reduced. Behind them stands a seed.
fn is_reduced(public: &[u8]) -> bool {
    let (coefficients, _) = public.split_at(public.len().saturating_sub(RHO_LEN));
    coefficients.as_chunks::<3>().0.iter().fold(true, |all, &[a, b, c]| {
        let [a, b, c] = [a, b, c].map(u16::from);
        all & (a | (b & 0xf) << 8 < Q) & (b >> 4 | c << 4 < Q)
    })
}
fn key_len<K: Kem>() -> usize {
    <EncapsulationKey<K> as KeySizeUser>::KeySize::USIZE
}
fn key<K: Kem>(public: &[u8]) -> Result<EncapsulationKey<K>, BadPublic> {
    let octets: &Key<EncapsulationKey<K>> = public.try_into().map_err(|_| WRONG_LENGTH)?;
    EncapsulationKey::<K>::new(octets).map_err(|_| OUT_OF_RANGE)
}
fn public<K: Kem<DecapsulationKey: KeyInit<KeySize = U64> + Decapsulate<Kem = K>>>(seed: &Secret) -> Vec<u8> {
    pair::<K>(seed).encapsulation_key().to_bytes().to_vec()
}
fn agree<K>(seed: &Secret, ciphertext: &[u8]) -> Result<Secret, BadPublic>
where
    K: Kem<SharedKeySize = U32, DecapsulationKey: KeyInit<KeySize = U64> + Decapsulate<Kem = K>>,
{
    let ciphertext: &Ciphertext<K> = ciphertext.try_into().map_err(|_| WRONG_LENGTH)?;
    Ok(secret(pair::<K>(seed).decapsulate(ciphertext)))
}
fn pair<K: Kem<DecapsulationKey: KeyInit<KeySize = U64>>>(seed: &Secret) -> K::DecapsulationKey {
    let seed: &Array<u8, U64> = seed.expose().try_into().expect("what `private` draws");
    K::DecapsulationKey::new(seed)
}
fn parts<K: Kem>((ciphertext, shared): (Ciphertext<K>, SharedKey)) -> (Vec<u8>, Secret) {
    (ciphertext.to_vec(), secret(shared))
}
fn secret(mut shared: SharedKey) -> Secret {
    let secret = Secret::new(shared.to_vec());
    shared.as_mut_slice().zeroize();
    secret
}
