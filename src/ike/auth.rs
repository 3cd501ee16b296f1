//! Authentication of the IKE SA by a pre-shared key or a signature (RFC 7296 section 2.15, RFC 7427). Only a verified AUTH makes an `Authenticated`,
//! and only that makes an established IKE SA.
use crate::crypto::cert::{Fault, Verified};
use crate::crypto::constant_time_eq;
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
use crate::crypto::sign::Scheme;
use crate::frozen::frozen;
use crate::wire::payload::{Auth, IdPayload};
use crate::wire::registry::AuthMethod;

/// Proof that the peer's AUTH payload was verified under the secret, or a certificate, of its identity.
#[derive(Debug)]
pub(super) struct Authenticated(());
// A proof is handed over to the process that goes on: it was made where it comes from.
frozen! { struct Authenticated(nothing) }
impl Authenticated {
    /// By a signature, and a chain that leads to an authority of ours. That the certificate is for this identity the caller has seen.
    pub(super) fn by(_: &Verified) -> Self {
        Self(())
    }
}

/// What one side signs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signed<'a> {
    /// The negotiated PRF.
    pub prf: Prf,
    /// That side's IKE_SA_INIT message, as last sent.
    pub message: &'a [u8],
    /// The other side's nonce.
    pub nonce: &'a [u8],
    /// That side's SK_p.
    pub sk_p: &'a Secret,
    /// That side's identity, as its payload has it.
    pub id: &'a IdPayload,
    /// IntAuth of the intermediate exchanges (RFC 9242 section 3.3.2), the same for both sides; empty if there were none.
    pub int_auth: &'a [u8],
}

impl Signed<'_> {
    /// InitiatorSignedOctets or ResponderSignedOctets: message | nonce | prf(SK_p, rest of the ID payload) [| IntAuth].
    pub(super) fn octets(&self) -> Vec<u8> {
        let id = self.prf.mac(self.sk_p.expose(), &[&self.id.header(), &self.id.id.data]);
        [self.message, self.nonce, id.expose(), self.int_auth].concat()
    }
}

/// Our AUTH payload with a signature: method 14 names the algorithm, the older ones are the algorithm.
pub(super) fn signed(scheme: Scheme, signature: Vec<u8>) -> Auth {
    let Some(algorithm) = scheme.to_der() else {
        let method = if signature.len() == 64 { AuthMethod::ECDSA_256 } else { AuthMethod::ECDSA_384 };
        return Auth { method, data: signature };
    };
    // Never longer than 255: RFC 7427 section 3 counts it in one octet.
    let data = [&[algorithm.len() as u8][..], &algorithm, &signature].concat();
    Auth { method: AuthMethod::DIGITAL_SIGNATURE, data }
}
/// How a peer has signed, and its signature. `announced`: both sides have announced hash functions; then only method 14 will do (R40).
pub(super) fn signature(auth: &Auth, announced: bool) -> Result<(Scheme, &[u8]), Fault> {
    let method = |ours: &str| Err(Fault::new("auth.method", "auth", ours, auth.method.to_string()));
    let scheme = match (auth.method, announced) {
        (AuthMethod::DIGITAL_SIGNATURE, true) => {
            let parts = auth.data.split_first().and_then(|(len, rest)| rest.split_at_checked(usize::from(*len)));
            let (algorithm, signature) =
                parts.ok_or_else(|| Fault::new("auth.signature", "signature", "RFC 7427", "too short"))?;
            let scheme = Scheme::from_der(algorithm).ok_or_else(|| {
                let ours = "PKCS#1, PSS with the hash's own length, ECDSA with SHA-2, Ed25519";
                Fault::new("auth.hash", "hashes", ours, format!("AlgorithmIdentifier {}", hex::encode(algorithm)))
            })?;
            return Ok((scheme, signature));
        }
        (AuthMethod::RSA, false) => Scheme::Pkcs1Sha1,
        (AuthMethod::ECDSA_256, false) if auth.data.len() == 64 => Scheme::EcdsaRaw,
        (AuthMethod::ECDSA_384, false) if auth.data.len() == 96 => Scheme::EcdsaRaw,
        (_, true) => return method("DIGITAL_SIGNATURE"),
        (_, false) => return method("RSA, ECDSA_256, ECDSA_384"),
    };
    Ok((scheme, &auth.data))
}

/// Our AUTH payload with a shared key.
pub(super) fn sign(signed: &Signed<'_>, secret: &Secret) -> Auth {
    Auth { method: AuthMethod::SHARED_KEY, data: mac(signed, secret).expose().to_vec() }
}

/// Checks the peer's AUTH payload. Without a secret the same work is done and the answer is no.
pub(super) fn verify(signed: &Signed<'_>, secret: Option<&Secret>, auth: &Auth) -> Option<Authenticated> {
    let nobody = Secret::new(vec![0; 32]);
    let expected = mac(signed, secret.unwrap_or(&nobody));
    let equal = constant_time_eq(expected.expose(), &auth.data);
    (equal && secret.is_some() && auth.method == AuthMethod::SHARED_KEY).then_some(Authenticated(()))
}

fn mac(signed: &Signed<'_>, secret: &Secret) -> Secret {
    signed.prf.by_shared_key(secret, &signed.octets())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::payload::Id;
    use crate::wire::registry::IdType;

    #[test]
    fn every_part_of_what_is_signed_counts() {
        let id = IdPayload::from(Id { kind: IdType::FQDN, data: b"a.example".to_vec() });
        let other = IdPayload::from(Id { kind: IdType::KEY_ID, ..id.id.clone() });
        let reserved = IdPayload { reserved: [0, 0, 1], ..id.clone() };
        let (sk_p, sk_q) = (Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
        let secret = Secret::new(b"secret".to_vec());
        let right = Signed {
            prf: Prf::HmacSha256,
            message: b"message",
            nonce: b"nonce",
            sk_p: &sk_p,
            id: &id,
            int_auth: b"int",
        };
        let auth = sign(&right, &secret);
        assert!(verify(&right, Some(&secret), &auth).is_some());
        assert!(verify(&right, None, &auth).is_none());
        assert!(verify(&right, Some(&Secret::new(b"Secret".to_vec())), &auth).is_none());
        assert!(verify(&right, Some(&secret), &Auth { method: AuthMethod::NULL, ..auth.clone() }).is_none());
        assert!(verify(&right, Some(&secret), &Auth { data: Vec::new(), ..auth.clone() }).is_none());
        for wrong in [
            Signed { message: b"massage", ..right },
            Signed { nonce: b"once", ..right },
            Signed { sk_p: &sk_q, ..right },
            Signed { id: &other, ..right },
            Signed { id: &reserved, ..right },
            Signed { int_auth: b"IntAuth", ..right },
        ] {
            assert!(verify(&wrong, Some(&secret), &auth).is_none());
        }
    }

    #[test]
    fn without_a_secret_even_the_all_zero_key_does_not_open() {
        let id = IdPayload::from(Id { kind: IdType::FQDN, data: Vec::new() });
        let sk_p = Secret::new(vec![1; 32]);
        let signed = Signed { prf: Prf::HmacSha256, message: b"", nonce: b"", sk_p: &sk_p, id: &id, int_auth: b"" };
        let auth = sign(&signed, &Secret::new(vec![0; 32]));
        assert!(verify(&signed, None, &auth).is_none());
    }
}
