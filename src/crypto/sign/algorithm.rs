//! Hash functions and AlgorithmIdentifiers of RFC 7427.

/// A hash function of the registry "IKEv2 Hash Algorithms". SHA-1 has none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Hash {
    Sha256,
    Sha384,
    Sha512,
}
impl Hash {
    /// All, the one that everybody must have first (RFC 8247 section 3.2).
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];
    /// The number of "Identity": the signature hashes by itself (RFC 8420).
    pub const IDENTITY: u16 = 5;
    /// Its number.
    pub const fn number(self) -> u16 {
        match self {
            Self::Sha256 => 2,
            Self::Sha384 => 3,
            Self::Sha512 => 4,
        }
    }
    /// Octets of a digest.
    pub const fn octets(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

/// How a signature is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5.
    Pkcs1(Hash),
    /// RSASSA-PSS, MGF1 with the same hash, a salt as long as the hash.
    Pss(Hash),
    /// ECDSA, the signature in ASN.1.
    Ecdsa(Hash),
    /// Ed25519.
    Ed25519,
    /// Authentication methods 9 and 10: the hash goes with the curve, the signature is r | s (RFC 4754).
    EcdsaRaw,
    /// Authentication method 1 with SHA-1: verified for old peers, never made.
    Pkcs1Sha1,
}
impl std::fmt::Display for Scheme {
    /// As swanctl writes it: `rsa/pss-sha256`, `rsa/pkcs1-sha256`, `ecdsa-sha384`, `ed25519`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pkcs1(hash) => write!(f, "rsa/pkcs1-{}", hash.name()),
            Self::Pss(hash) => write!(f, "rsa/pss-{}", hash.name()),
            Self::Ecdsa(hash) => write!(f, "ecdsa-{}", hash.name()),
            Self::Ed25519 => f.write_str("ed25519"),
            Self::EcdsaRaw => f.write_str("ecdsa"),
            Self::Pkcs1Sha1 => f.write_str("rsa/pkcs1-sha1"),
        }
    }
}

// Object identifiers, DER with tag and length.
const RSA_PKCS1: [u8; 10] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
const ECDSA_SHA2: [u8; 9] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
const SHA2: [u8; 10] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
const ED25519: [u8; 5] = [0x06, 0x03, 0x2b, 0x65, 0x70];
const NULL: [u8; 2] = [0x05, 0x00];
const TRAILER_FIELD: [u8; 5] = [0xa3, 0x03, 0x02, 0x01, 0x01];

impl Scheme {
    /// What method 14 can say.
    const NAMED: [Self; 10] = [
        Self::Pkcs1(Hash::Sha256),
        Self::Pkcs1(Hash::Sha384),
        Self::Pkcs1(Hash::Sha512),
        Self::Pss(Hash::Sha256),
        Self::Pss(Hash::Sha384),
        Self::Pss(Hash::Sha512),
        Self::Ecdsa(Hash::Sha256),
        Self::Ecdsa(Hash::Sha384),
        Self::Ecdsa(Hash::Sha512),
        Self::Ed25519,
    ];
    /// The scheme that an AlgorithmIdentifier names. There is no parser to be deceived: it is one of ours octet for octet, or it is
    /// refused; so PSS with empty or default parameters (SHA-1, RFC 8247 section 3.2), with another salt length or another hash for MGF1 is.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        Self::NAMED.into_iter().find(|scheme| scheme.encodings().iter().any(|known| known == der))
    }
    /// Its AlgorithmIdentifier, as RFC 7427 appendix A has it; `None` for what only the older methods have.
    pub fn to_der(self) -> Option<Vec<u8>> {
        self.encodings().into_iter().next()
    }
    /// The number of the hash function that the verifier must have announced; `None` for what goes to who has announced nothing.
    pub fn hash(self) -> Option<u16> {
        match self {
            Self::Pkcs1(hash) | Self::Pss(hash) | Self::Ecdsa(hash) => Some(hash.number()),
            Self::Ed25519 => Some(Hash::IDENTITY),
            Self::EcdsaRaw | Self::Pkcs1Sha1 => None,
        }
    }
    /// All ways to write it, ours first: in PSS the parameters of the hashes and the default trailer may be left out.
    fn encodings(self) -> Vec<Vec<u8>> {
        match self {
            Self::Pkcs1(hash) => vec![sequence(&[&RSA_PKCS1, &[10 + tail(hash)], &NULL])],
            Self::Ecdsa(hash) => vec![sequence(&[&ECDSA_SHA2, &[1 + tail(hash)]])],
            Self::Ed25519 => vec![sequence(&[&ED25519])],
            Self::Pss(hash) => {
                let variants = [(true, true), (true, false), (false, true), (false, false)];
                let pss = |trailer: &'static [u8]| {
                    variants.map(|(hash_null, mgf_null)| pss(hash, hash_null, mgf_null, trailer))
                };
                // strongSwan leaves the trailer out, RFC 7427 and FortiGate write it.
                [pss(&TRAILER_FIELD), pss(&[])].concat()
            }
            Self::EcdsaRaw | Self::Pkcs1Sha1 => Vec::new(),
        }
    }
}

/// The last arc of the hash's own object identifier; those of signatures are at a fixed distance.
fn tail(hash: Hash) -> u8 {
    match hash {
        Hash::Sha256 => 1,
        Hash::Sha384 => 2,
        Hash::Sha512 => 3,
    }
}
fn pss(hash: Hash, hash_null: bool, mgf_null: bool, trailer: &[u8]) -> Vec<u8> {
    let digest = |null: bool| sequence(&[&SHA2, &[tail(hash)], if null { &NULL } else { &[] }]);
    let of_hash = tagged(0xa0, &[&digest(hash_null)]);
    let mgf = tagged(0xa1, &[&sequence(&[&RSA_PKCS1, &[8], &digest(mgf_null)])]);
    let salt = [0xa2, 0x03, 0x02, 0x01, hash.octets() as u8];
    sequence(&[&RSA_PKCS1, &[10], &sequence(&[&of_hash, &mgf, &salt, trailer])])
}
fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, parts)
}
/// Everything here is shorter than 128 octets.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inside = parts.concat();
    let mut out = vec![tag, inside.len() as u8];
    out.extend(inside);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7427 appendix A.
    #[test]
    fn the_identifiers_are_those_of_the_rfc() {
        for (scheme, text) in [
            (Scheme::Pkcs1(Hash::Sha256), "300d06092a864886f70d01010b0500"),
            (Scheme::Pkcs1(Hash::Sha384), "300d06092a864886f70d01010c0500"),
            (Scheme::Pkcs1(Hash::Sha512), "300d06092a864886f70d01010d0500"),
            (Scheme::Ecdsa(Hash::Sha256), "300a06082a8648ce3d040302"),
            (Scheme::Ecdsa(Hash::Sha384), "300a06082a8648ce3d040303"),
            (Scheme::Ecdsa(Hash::Sha512), "300a06082a8648ce3d040304"),
            (Scheme::Ed25519, "300506032b6570"),
            (
                Scheme::Pss(Hash::Sha256),
                "304606092a864886f70d01010a3039a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120a303020101",
            ),
        ] {
            assert_eq!(hex::encode(scheme.to_der().unwrap()), text, "{scheme}");
        }
        assert_eq!((Scheme::EcdsaRaw.to_der(), Scheme::Pkcs1Sha1.to_der()), (None, None));
    }

    #[test]
    fn each_is_read_as_it_is_written_and_nothing_else_is() {
        for scheme in Scheme::NAMED {
            for der in scheme.encodings() {
                assert_eq!(Scheme::from_der(&der), Some(scheme));
                for i in 0..der.len() {
                    let mut other = der.clone();
                    other[i] ^= 0x80;
                    assert_eq!(Scheme::from_der(&other), None, "{scheme}, octet {i}");
                    assert_eq!(Scheme::from_der(&der[..i]), None, "{scheme}, {i} octets");
                }
                assert_eq!(Scheme::from_der(&[&der[..], &[0]].concat()), None);
            }
        }
        assert_eq!(Scheme::from_der(&[]), None);
    }
}
