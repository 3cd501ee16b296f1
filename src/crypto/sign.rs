//! Signatures of IKE_AUTH (RFC 7296 section 2.15, RFC 7427, RFC 8420): who signs how, and what is verified.
mod algorithm;
mod private;
#[cfg(test)]
pub mod tests;
#[cfg(test)]
mod wycheproof;

pub use algorithm::{Hash, Scheme};
pub use private::SigningKey;

use p256::ecdsa::signature::hazmat::PrehashVerifier;
use ring::signature::{self as ring_sign, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoRef;

/// Smallest RSA modulus that is accepted, in bits (RFC 8247 section 4 has nothing smaller).
pub const MIN_RSA: usize = 2048;
/// Largest one, in bits: a larger one only costs time.
pub const MAX_RSA: usize = 8192;

/// What a key can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// ECDSA over P-256.
    P256,
    /// ECDSA over P-384.
    P384,
    /// EdDSA over edwards25519.
    Ed25519,
}
impl std::fmt::Display for KeyKind {
    /// `RSA-2048`, `ECDSA-256`, `Ed25519`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rsa(bits) => write!(f, "RSA-{bits}"),
            Self::P256 => f.write_str("ECDSA-256"),
            Self::P384 => f.write_str("ECDSA-384"),
            Self::Ed25519 => f.write_str("Ed25519"),
        }
    }
}

/// A public key that was taken out of a certificate. Its numbers are only looked at when it verifies: ring refuses an RSA modulus that is
/// even or of another size than 2,048 to 8,192 bits, an exponent that is even, below 3 or above 33 bits, and points off the curve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    /// As ring wants it: RSAPublicKey, an uncompressed point, or the 32 octets of EdDSA.
    octets: Vec<u8>,
}
/// Why a public key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Not DER, or not a key of its kind.
    Malformed,
    /// An RSA modulus of so many bits.
    Size(usize),
    /// An algorithm or curve that we do not have; its object identifier.
    Unknown(String),
}
impl std::fmt::Display for KeyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed => f.write_str("a malformed public key"),
            Self::Size(bits) => write!(f, "an RSA key of {bits} bits, not {MIN_RSA} to {MAX_RSA}"),
            Self::Unknown(oid) => write!(f, "a public key of the unknown kind {oid}"),
        }
    }
}
/// The signature is not that key's over that message, or the key cannot make such a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadSignature;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const CURVE_P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const CURVE_P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7), RSA of 2,048 to 8,192 bits, P-256, P-384 or Ed25519.
    pub fn from_spki(der: &[u8]) -> Result<Self, KeyFault> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyFault::Malformed)?;
        let octets = spki.subject_public_key.as_bytes().ok_or(KeyFault::Malformed)?.to_vec();
        let kind = match spki.algorithm.oid {
            RSA => match modulus_bits(&octets).ok_or(KeyFault::Malformed)? {
                bits @ MIN_RSA..=MAX_RSA => KeyKind::Rsa(bits),
                bits => return Err(KeyFault::Size(bits)),
            },
            EC => match spki.algorithm.parameters_oid().map_err(|_| KeyFault::Malformed)? {
                CURVE_P256 => KeyKind::P256,
                CURVE_P384 => KeyKind::P384,
                other => return Err(KeyFault::Unknown(other.to_string())),
            },
            ED25519 => KeyKind::Ed25519,
            other => return Err(KeyFault::Unknown(other.to_string())),
        };
        Ok(Self { kind, octets })
    }
    /// What it can do.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }
    /// Checks a signature over the whole message.
    pub fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if let Some(algorithm) = self.algorithm(scheme) {
            let key = UnparsedPublicKey::new(algorithm, &self.octets);
            return key.verify(message, signature).map_err(|_| BadSignature);
        }
        // The two that ring has not.
        let Scheme::Ecdsa(Hash::Sha512) = scheme else { return Err(BadSignature) };
        let digest = ring::digest::digest(&ring::digest::SHA512, message);
        let good = match self.kind {
            KeyKind::P256 => p256_verifies(&self.octets, digest.as_ref(), signature),
            KeyKind::P384 => p384_verifies(&self.octets, digest.as_ref(), signature),
            KeyKind::Rsa(_) | KeyKind::Ed25519 => None,
        };
        good.ok_or(BadSignature)
    }
    fn algorithm(&self, scheme: Scheme) -> Option<&'static dyn VerificationAlgorithm> {
        use Hash::{Sha256, Sha384, Sha512};
        Some(match (self.kind, scheme) {
            (KeyKind::Rsa(_), Scheme::Pkcs1(Sha256)) => &ring_sign::RSA_PKCS1_2048_8192_SHA256,
            (KeyKind::Rsa(_), Scheme::Pkcs1(Sha384)) => &ring_sign::RSA_PKCS1_2048_8192_SHA384,
            (KeyKind::Rsa(_), Scheme::Pkcs1(Sha512)) => &ring_sign::RSA_PKCS1_2048_8192_SHA512,
            (KeyKind::Rsa(_), Scheme::Pss(Sha256)) => &ring_sign::RSA_PSS_2048_8192_SHA256,
            (KeyKind::Rsa(_), Scheme::Pss(Sha384)) => &ring_sign::RSA_PSS_2048_8192_SHA384,
            (KeyKind::Rsa(_), Scheme::Pss(Sha512)) => &ring_sign::RSA_PSS_2048_8192_SHA512,
            (KeyKind::Rsa(_), Scheme::Pkcs1Sha1) => &ring_sign::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            (KeyKind::P256, Scheme::Ecdsa(Sha256)) => &ring_sign::ECDSA_P256_SHA256_ASN1,
            (KeyKind::P256, Scheme::Ecdsa(Sha384)) => &ring_sign::ECDSA_P256_SHA384_ASN1,
            (KeyKind::P384, Scheme::Ecdsa(Sha256)) => &ring_sign::ECDSA_P384_SHA256_ASN1,
            (KeyKind::P384, Scheme::Ecdsa(Sha384)) => &ring_sign::ECDSA_P384_SHA384_ASN1,
            (KeyKind::P256, Scheme::EcdsaRaw) => &ring_sign::ECDSA_P256_SHA256_FIXED,
            (KeyKind::P384, Scheme::EcdsaRaw) => &ring_sign::ECDSA_P384_SHA384_FIXED,
            (KeyKind::Ed25519, Scheme::Ed25519) => &ring_sign::ED25519,
            _ => return None,
        })
    }
}

fn p256_verifies(point: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
    let signature = p256::ecdsa::DerSignature::from_bytes(signature).ok()?;
    key.verify_prehash(digest, &signature).ok()
}
fn p384_verifies(point: &[u8], digest: &[u8], signature: &[u8]) -> Option<()> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(point).ok()?;
    let signature = p384::ecdsa::DerSignature::from_bytes(signature).ok()?;
    key.verify_prehash(digest, &signature).ok()
}

/// Bits of the modulus of an RSAPublicKey (RFC 8017 appendix A.1.1).
fn modulus_bits(der: &[u8]) -> Option<usize> {
    let mut reader = SliceReader::new(der).ok()?;
    let bits = reader
        .sequence(|inner| {
            let modulus = UintRef::decode(inner)?;
            UintRef::decode(inner)?;
            let octets = modulus.as_bytes();
            let zeros = octets.first().map_or(0, |first| first.leading_zeros() as usize);
            Ok::<_, x509_cert::der::Error>(octets.len() * 8 - zeros)
        })
        .ok()?;
    reader.is_finished().then_some(bits)
}
