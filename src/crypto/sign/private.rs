//! Private keys, from files to signatures.
use super::{Hash, KeyFault, KeyKind, MIN_RSA, PublicKey, Scheme};
use ring::rand::SystemRandom;
use ring::signature::{self as ring_sign, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use x509_cert::der::asn1::{OctetStringRef, UintRef};
use x509_cert::der::{Decode, Reader, SliceReader};
use zeroize::Zeroizing;

const FORMS: &str = "expected an unencrypted private key: PKCS#8, PKCS#1 or SEC1, in PEM or DER";

/// A key that signs. What it holds is never printed.
pub struct SigningKey {
    kind: KeyKind,
    pair: Pair,
}
enum Pair {
    Rsa(Box<RsaKeyPair>),
    /// For method 14, and for methods 9 and 10: ring fixes the form of the signature with the key.
    Ecdsa {
        asn1: Box<EcdsaKeyPair>,
        raw: Box<EcdsaKeyPair>,
    },
    Ed25519(Box<Ed25519KeyPair>),
}
impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kind)
    }
}

impl SigningKey {
    /// Reads a private key, RSA of 2,048 to 4,096 bits, ECDSA P-256 or P-384, or Ed25519: PKCS#8, PKCS#1 or SEC1, in PEM or DER.
    ///
    /// # Errors
    /// What is wrong, in words that show none of the key.
    pub fn read(file: &[u8]) -> Result<Self, String> {
        let text = file.windows(11).any(|w| w == b"-----BEGIN ");
        if text {
            if file.windows(9).any(|w| w == b"ENCRYPTED") {
                return Err("the private key is encrypted; remove its passphrase".into());
            }
            let der = Zeroizing::new(PrivateKeyDer::from_pem_slice(file).map_err(|_| FORMS.to_owned())?);
            Self::of(&der)
        } else {
            Self::of(&PrivateKeyDer::try_from(file).map_err(|_| FORMS.to_owned())?)
        }
    }
    fn of(der: &PrivateKeyDer<'_>) -> Result<Self, String> {
        match der {
            PrivateKeyDer::Pkcs8(key) => Self::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => {
                RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(|e| rejected(&e)).and_then(Self::rsa)
            }
            PrivateKeyDer::Sec1(key) => Self::from_sec1(key.secret_sec1_der()),
            _ => Err(FORMS.into()),
        }
    }
    /// What it can do.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }
    /// The scheme for a peer that has announced these hash functions (RFC 7427 section 4), or nothing: then the methods from before
    /// them. `pss`: which padding an RSA key uses. `None`: with this key nothing that the peer could verify.
    pub fn scheme_for(&self, announced: Option<&[u16]>, pss: bool) -> Option<Scheme> {
        let Some(announced) = announced else {
            return matches!(self.kind, KeyKind::P256 | KeyKind::P384).then_some(Scheme::EcdsaRaw);
        };
        let rsa = |hash| if pss { Scheme::Pss(hash) } else { Scheme::Pkcs1(hash) };
        let ours = match self.kind {
            KeyKind::Rsa(_) => Hash::ALL.map(rsa).to_vec(),
            KeyKind::P256 => vec![Scheme::Ecdsa(Hash::Sha256)],
            KeyKind::P384 => vec![Scheme::Ecdsa(Hash::Sha384)],
            KeyKind::Ed25519 => vec![Scheme::Ed25519],
        };
        ours.into_iter().find(|scheme| scheme.hash().is_some_and(|hash| announced.contains(&hash)))
    }
    /// Signs; `None` if the key cannot sign that way. RSA and ECDSA take the system's randomness.
    pub fn sign(&self, scheme: Scheme, message: &[u8]) -> Option<Vec<u8>> {
        let rng = SystemRandom::new();
        match (&self.pair, scheme) {
            (Pair::Rsa(pair), Scheme::Pkcs1(_) | Scheme::Pss(_)) => {
                let padding: &dyn ring_sign::RsaEncoding = match scheme {
                    Scheme::Pkcs1(Hash::Sha256) => &ring_sign::RSA_PKCS1_SHA256,
                    Scheme::Pkcs1(Hash::Sha384) => &ring_sign::RSA_PKCS1_SHA384,
                    Scheme::Pkcs1(_) => &ring_sign::RSA_PKCS1_SHA512,
                    Scheme::Pss(Hash::Sha256) => &ring_sign::RSA_PSS_SHA256,
                    Scheme::Pss(Hash::Sha384) => &ring_sign::RSA_PSS_SHA384,
                    _ => &ring_sign::RSA_PSS_SHA512,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &rng, message, &mut signature).ok()?;
                Some(signature)
            }
            (Pair::Ecdsa { raw, .. }, Scheme::EcdsaRaw) => Some(raw.sign(&rng, message).ok()?.as_ref().to_vec()),
            (Pair::Ecdsa { asn1, .. }, Scheme::Ecdsa(hash)) => {
                let fits = matches!((self.kind, hash), (KeyKind::P256, Hash::Sha256) | (KeyKind::P384, Hash::Sha384));
                Some(asn1.sign(&rng, message).ok().filter(|_| fits)?.as_ref().to_vec())
            }
            (Pair::Ed25519(pair), Scheme::Ed25519) => Some(pair.sign(message).as_ref().to_vec()),
            _ => None,
        }
    }
    /// Its other half, in the form of its kind.
    pub fn public(&self) -> &[u8] {
        match &self.pair {
            Pair::Rsa(pair) => pair.public_key().as_ref(),
            Pair::Ecdsa { asn1, .. } => asn1.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }
    /// True if this is the other half of a public key.
    pub fn belongs_to(&self, public: &PublicKey) -> bool {
        self.kind == public.kind && self.public() == public.octets
    }

    fn rsa(pair: RsaKeyPair) -> Result<Self, String> {
        let public = PublicKey { kind: KeyKind::Rsa(0), octets: pair.public_key().as_ref().to_vec() };
        let bits = super::modulus_bits(&public.octets).ok_or("a malformed RSA key")?;
        if bits < MIN_RSA {
            return Err(KeyFault::Size(bits).to_string());
        }
        Ok(Self { kind: KeyKind::Rsa(bits), pair: Pair::Rsa(Box::new(pair)) })
    }
    fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        let ecdsa = |kind, asn1, raw| {
            let rng = SystemRandom::new();
            let asn1 = Box::new(EcdsaKeyPair::from_pkcs8(asn1, der, &rng).ok()?);
            let raw = Box::new(EcdsaKeyPair::from_pkcs8(raw, der, &rng).ok()?);
            Some(Self { kind, pair: Pair::Ecdsa { asn1, raw } })
        };
        let p256 = (&ring_sign::ECDSA_P256_SHA256_ASN1_SIGNING, &ring_sign::ECDSA_P256_SHA256_FIXED_SIGNING);
        let p384 = (&ring_sign::ECDSA_P384_SHA384_ASN1_SIGNING, &ring_sign::ECDSA_P384_SHA384_FIXED_SIGNING);
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self { kind: KeyKind::Ed25519, pair: Pair::Ed25519(Box::new(pair)) });
        }
        if let Some(key) = ecdsa(KeyKind::P256, p256.0, p256.1).or_else(|| ecdsa(KeyKind::P384, p384.0, p384.1)) {
            return Ok(key);
        }
        RsaKeyPair::from_pkcs8(der).map_err(|e| rejected(&e)).and_then(Self::rsa)
    }
    /// RFC 5915, which OpenSSL and strongSwan write by default. The number alone tells the curve; the point is checked by the reader of PKCS#8.
    fn from_sec1(der: &[u8]) -> Result<Self, String> {
        let scalar = || {
            let mut reader = SliceReader::new(der).ok()?;
            let length = reader.sequence(|inner| {
                UintRef::decode(inner)?;
                let scalar = <&OctetStringRef>::decode(inner)?.as_bytes().len();
                inner.read_slice(inner.remaining_len())?;
                Ok::<_, x509_cert::der::Error>(scalar)
            });
            length.ok()
        };
        let curve: &[u8] = match scalar() {
            Some(32) => &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
            Some(48) => &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
            _ => return Err("an elliptic-curve key of another curve than P-256 and P-384".into()),
        };
        let algorithm = [&[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], curve].concat();
        let inside = [&[0x02, 0x01, 0x00][..], &tagged(0x30, &algorithm), &tagged(0x04, der)].concat();
        Self::from_pkcs8(&tagged(0x30, &Zeroizing::new(inside)))
    }
}

/// DER of at most 65,535 octets.
fn tagged(tag: u8, inside: &[u8]) -> Zeroizing<Vec<u8>> {
    let [high, low] = u16::try_from(inside.len()).unwrap_or(u16::MAX).to_be_bytes();
    // Never moved, so that nothing of it stays behind.
    let mut out = Zeroizing::new(Vec::with_capacity(inside.len() + 4));
    match inside.len() {
        0..=0x7f => out.extend([tag, low]),
        0x80..=0xff => out.extend([tag, 0x81, low]),
        _ => out.extend([tag, 0x82, high, low]),
    }
    out.extend_from_slice(inside);
    out
}
fn rejected(error: &ring::error::KeyRejected) -> String {
    format!("the private key cannot be used: {error}")
}
