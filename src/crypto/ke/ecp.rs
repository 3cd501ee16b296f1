//! ECP groups (RFC 5903): a public value is x and y without a prefix, the shared secret is x alone.
use super::{BadPublic, WRONG_LENGTH};
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crypto_bigint::BitOps;
use p256::elliptic_curve::array::typenum::Unsigned;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey, SecretKey};

/// SEC 1's mark of an uncompressed point, which IKE leaves out.
const UNCOMPRESSED: u8 = 4;
/// Room for the longest point with its mark.
const MAX_POINT: usize = 1 + 2 * 66;

/// Octets of a public value.
pub(super) fn public_len<C: CurveArithmetic>() -> usize {
    2 * FieldBytesSize::<C>::USIZE
}

/// Draws until the value lies in 1..n: almost always the first does, as no more bits are drawn than n has.
pub(super) fn private<C: CurveArithmetic>(rng: &mut dyn Rng) -> Secret {
    let len = FieldBytesSize::<C>::USIZE;
    let excess = 8 * len as u32 - C::ORDER.as_ref().bits_vartime();
    loop {
        let mut candidate = vec![0; len];
        rng.fill(&mut candidate);
        candidate[0] &= 0xff >> excess;
        let candidate = Secret::new(candidate);
        if SecretKey::<C>::from_slice(candidate.expose()).is_ok() {
            return candidate;
        }
    }
}

/// Our public value.
pub(super) fn public<C>(private: &Secret) -> Vec<u8>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let point = scalar::<C>(private).public_key().to_sec1_point(false);
    point.as_bytes()[1..].to_vec()
}

/// The peer's point: on the curve (RFC 6989 section 2.3); the identity cannot be written so.
pub(super) fn check<C>(public: &[u8]) -> Result<PublicKey<C>, BadPublic>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    if public.len() != public_len::<C>() {
        return Err(WRONG_LENGTH);
    }
    let mut point = [UNCOMPRESSED; MAX_POINT];
    let point = &mut point[..=public.len()];
    point[1..].copy_from_slice(public);
    PublicKey::from_sec1_bytes(point).map_err(|_| BadPublic("not a point of the curve"))
}

/// The x coordinate of the common point.
pub(super) fn agree<C>(private: &Secret, public: &[u8]) -> Result<Secret, BadPublic>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let public = check::<C>(public)?;
    let shared = scalar::<C>(private).diffie_hellman(&public);
    Ok(Secret::new(shared.raw_secret_bytes().to_vec()))
}

fn scalar<C: CurveArithmetic>(private: &Secret) -> SecretKey<C> {
    assert_eq!(private.len(), FieldBytesSize::<C>::USIZE, "a private value of this group");
    SecretKey::from_slice(private.expose()).expect("a private value of this group")
}
