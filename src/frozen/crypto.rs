//! Values of the transforms. Keys are read straight into a [`Secret`]; a key that signs never leaves its process, and neither does whom we trust:
//! they are named, and found again in what the other process has read from its own configuration.
use super::{Frozen, Reader, Thaw, Writer, frozen};
use crate::crypto::cert::{Certificate, Fault, Revocation, Trust, Verify};
use crate::crypto::cipher::Cipher;
use crate::crypto::integ::Integ;
use crate::crypto::ke::{Group, Method};
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
use crate::crypto::sign::{Hash, Scheme, SigningKey};
use crate::crypto::work::Work;
use crate::wire::registry::{EncrId, IntegId, KeId, PrfId};
use std::sync::Arc;

/// What a process knows by itself.
#[derive(Debug, Default)]
pub struct Known {
    /// Keys that sign.
    pub keys: Vec<Arc<SigningKey>>,
    /// Whom it believes.
    pub trusts: Vec<Arc<Trust>>,
}

impl Frozen for Secret {
    fn freeze(&self, out: &mut Writer) {
        out.count(self.len());
        out.put(self.expose());
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let len = input.count()?;
        Ok(Self::new(input.take(len)?.to_vec()))
    }
}
impl Frozen for Cipher {
    fn freeze(&self, out: &mut Writer) {
        let integ = self.integ().map(|integ| integ.id().0);
        (self.encr_id().0, self.key_bits(), integ).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (encr, key_bits, integ) = <(u16, Option<u16>, Option<u16>)>::thaw(input)?;
        let unknown = Thaw::Value("cipher");
        let integ = match integ {
            Some(id) => Some(Integ::from_id(IntegId(id)).ok_or_else(|| unknown.clone())?),
            None => None,
        };
        Self::new(EncrId(encr), key_bits, integ).ok_or(unknown)
    }
}
impl Frozen for Prf {
    fn freeze(&self, out: &mut Writer) {
        self.id().0.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Self::from_id(PrfId(u16::thaw(input)?)).ok_or(Thaw::Value("prf"))
    }
}
impl Frozen for Group {
    fn freeze(&self, out: &mut Writer) {
        self.id().freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Self::from_id(KeId::thaw(input)?).ok_or(Thaw::Value("group"))
    }
}
impl Frozen for Method {
    fn freeze(&self, out: &mut Writer) {
        self.id().freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Self::from_id(KeId::thaw(input)?).ok_or(Thaw::Value("key exchange method"))
    }
}
frozen! {
    enum Hash { 0 = Sha256, 1 = Sha384, 2 = Sha512 }
    enum Scheme { 0 = Pkcs1(hash), 1 = Pss(hash), 2 = Ecdsa(hash), 3 = Ed25519, 4 = EcdsaRaw, 5 = Pkcs1Sha1 }
    enum Revocation { 0 = Relaxed, 1 = Strict, 2 = None }
    struct Fault { code, values, differing, candidates }
    enum Work {
        0 = Agree { group, private, public },
        1 = Answer { method, private, public },
        2 = Conclude { method, private, public },
        3 = Sign { key, scheme, message },
        4 = Verify(verify),
        5 = Which { prf, keys, message, auth },
    }
}
impl Frozen for Certificate {
    fn freeze(&self, out: &mut Writer) {
        out.count(self.der().len());
        out.put(self.der());
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let len = input.count()?;
        Self::parse(input.take(len)?).map_err(|_| Thaw::Value("certificate"))
    }
}
impl Frozen for Arc<SigningKey> {
    fn freeze(&self, out: &mut Writer) {
        self.public().to_vec().freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let public = Vec::<u8>::thaw(input)?;
        let key = input.known.keys.iter().find(|key| key.public() == public);
        key.cloned().ok_or(Thaw::Unknown("private key"))
    }
}
impl Frozen for Arc<Trust> {
    fn freeze(&self, out: &mut Writer) {
        self.revocation().freeze(out);
        let authorities: Vec<Vec<u8>> = self.authorities().map(|one| one.der().to_vec()).collect();
        authorities.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (revocation, authorities) = <(Revocation, Vec<Vec<u8>>)>::thaw(input)?;
        let same = |trust: &&Self| {
            trust.revocation() == revocation
                && trust.authorities().map(Certificate::der).eq(authorities.iter().map(|der| &**der))
        };
        match input.known.trusts.iter().find(same) {
            Some(trust) => Ok(trust.clone()),
            // Nobody at all.
            None if authorities.is_empty() => Ok(Self::default()),
            None => Err(Thaw::Unknown("certificate authority")),
        }
    }
}
/// Revocation lists that were fetched are fetched again.
impl Frozen for Verify {
    fn freeze(&self, out: &mut Writer) {
        let Self { chain, trust, fetched: _, now, scheme, message, signature } = self;
        chain.freeze(out);
        trust.freeze(out);
        now.freeze(out);
        scheme.freeze(out);
        message.freeze(out);
        signature.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Ok(Self {
            chain: Frozen::thaw(input)?,
            trust: Frozen::thaw(input)?,
            fetched: Vec::new(),
            now: Frozen::thaw(input)?,
            scheme: Frozen::thaw(input)?,
            message: Frozen::thaw(input)?,
            signature: Frozen::thaw(input)?,
        })
    }
}
