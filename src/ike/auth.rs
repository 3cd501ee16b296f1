//! Authentication of the IKE SA by a pre-shared key (RFC 7296 section 2.15). Only a verified AUTH makes an `Authenticated`,
//! and only that makes an established IKE SA.
use crate::crypto::constant_time_eq;
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
use crate::wire::payload::{Auth, IdPayload};
use crate::wire::registry::AuthMethod;

/// Proof that the peer's AUTH payload was verified under the secret of its identity.
#[derive(Debug)]
pub(super) struct Authenticated(());

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

/// Our AUTH payload.
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

/// prf(prf(secret, "Key Pad for IKEv2"), message | nonce | prf(SK_p, rest of the ID payload) [| IntAuth]).
fn mac(signed: &Signed<'_>, secret: &Secret) -> Secret {
    let id = signed.prf.mac(signed.sk_p.expose(), &[&signed.id.header(), &signed.id.id.data]);
    let key = signed.prf.mac(secret.expose(), &[b"Key Pad for IKEv2"]);
    signed.prf.mac(key.expose(), &[signed.message, signed.nonce, id.expose(), signed.int_auth])
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
            Signed { int_auth: b"", ..right },
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
