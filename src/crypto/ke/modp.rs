//! MODP groups: arithmetic modulo a safe prime with generator 2 (RFC 7296 appendix B, RFC 3526), in constant time.
use super::{BadPublic, WRONG_LENGTH};
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd, Resize};
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// Group 2.
pub(super) static MODP_1024: LazyLock<Modp> = LazyLock::new(|| Modp::new(P_1024, 256));
/// Group 5.
pub(super) static MODP_1536: LazyLock<Modp> = LazyLock::new(|| Modp::new(P_1536, 256));
/// Group 14.
pub(super) static MODP_2048: LazyLock<Modp> = LazyLock::new(|| Modp::new(P_2048, 256));
/// Group 15.
pub(super) static MODP_3072: LazyLock<Modp> = LazyLock::new(|| Modp::new(P_3072, 320));
/// Group 16.
pub(super) static MODP_4096: LazyLock<Modp> = LazyLock::new(|| Modp::new(P_4096, 384));

/// A group. Exponents are short: what finds an exponent of n bits takes 2^(n/2) steps, so twice the group's own
/// strength is enough. SP 800-57 puts the strength at 80 bits for 1024, 112 for 2048, 128 for 3072 and about 152 for
/// 4096; ours are whole words above twice that and above RFC 7919 appendix A's (225, 275, 325). That is sound because p
/// is a safe prime: no small subgroup tells parts of an exponent.
pub(super) struct Modp {
    params: BoxedMontyParams,
    /// The largest value that is refused.
    p_minus_1: BoxedUint,
    exponent_bits: u32,
}

impl Modp {
    fn new(p: &str, exponent_bits: u32) -> Self {
        let bits = 4 * u32::try_from(p.len()).expect("a short constant");
        let p = BoxedUint::from_be_hex(p, bits).expect("a constant");
        let p_minus_1 = p.wrapping_sub(BoxedUint::one_with_precision(bits));
        let p = Odd::new(p).expect("an odd constant");
        // Not our secret: "vartime" in the prime alone.
        Self { params: BoxedMontyParams::new_vartime(p), p_minus_1, exponent_bits }
    }

    /// Octets of a public value and of the shared secret.
    pub(super) fn len(&self) -> usize {
        self.params.bits_precision() as usize / 8
    }

    #[cfg(test)]
    pub(super) fn prime(&self) -> Vec<u8> {
        self.params.modulus().to_be_bytes().to_vec()
    }

    /// The top bit is set, so that no broken source of randomness makes a tiny exponent.
    pub(super) fn private(&self, rng: &mut dyn Rng) -> Secret {
        let mut exponent = vec![0; self.exponent_bits as usize / 8];
        rng.fill(&mut exponent);
        exponent[0] |= 0x80;
        Secret::new(exponent)
    }

    /// 2^private, full length.
    pub(super) fn public(&self, private: &Secret) -> Vec<u8> {
        let two = BoxedUint::from(2u8).resize(self.params.bits_precision());
        self.pow(two, private).to_vec()
    }

    /// 1 < y < p-1 and the exact length (RFC 7296 section 3.4, RFC 6989 section 2.1).
    pub(super) fn check(&self, public: &[u8]) -> Result<BoxedUint, BadPublic> {
        if public.len() != self.len() {
            return Err(WRONG_LENGTH);
        }
        let y = BoxedUint::from_be_slice(public, self.params.bits_precision()).map_err(|_| WRONG_LENGTH)?;
        if y <= BoxedUint::one() || y >= self.p_minus_1 {
            return Err(BadPublic("out of range"));
        }
        Ok(y)
    }

    /// public^private, full length.
    pub(super) fn agree(&self, private: &Secret, public: &[u8]) -> Result<Secret, BadPublic> {
        let shared = self.pow(self.check(public)?, private);
        Ok(Secret::new(shared.to_vec()))
    }

    /// Takes the same time for all exponents of one length. Panics if `private` is empty or longer than p.
    fn pow(&self, base: BoxedUint, private: &Secret) -> Zeroizing<Box<[u8]>> {
        assert!((1..=self.len()).contains(&private.len()), "a private value of this group");
        let bits = 8 * private.len() as u32;
        let exponent = BoxedUint::from_be_slice(private.expose(), bits).expect("that many bits");
        let exponent = Zeroizing::new(exponent);
        let power = BoxedMontyForm::new(base, &self.params).pow_bounded_exp(&exponent, bits);
        let power = Zeroizing::new(Zeroizing::new(power).retrieve());
        Zeroizing::new(power.to_be_bytes())
    }
}

/// RFC 7296 appendix B.2: 2^1024 - 2^960 - 1 + 2^64 * ([2^894 pi] + 129093).
const P_1024: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
    020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
    4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF";
/// RFC 3526 section 2: 2^1536 - 2^1472 - 1 + 2^64 * ([2^1406 pi] + 741804).
const P_1536: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
    020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
    4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
    98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
    9ED529077096966D670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF";
/// RFC 3526 section 3: 2^2048 - 2^1984 - 1 + 2^64 * ([2^1918 pi] + 124476).
const P_2048: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
    020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
    4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
    98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
    9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718\
    3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF";
/// RFC 3526 section 4: 2^3072 - 2^3008 - 1 + 2^64 * ([2^2942 pi] + 1690314).
const P_3072: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
    020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
    4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
    98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
    9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718\
    3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33\
    A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
    ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864\
    D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2\
    08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF";
/// RFC 3526 section 5: 2^4096 - 2^4032 - 1 + 2^64 * ([2^3966 pi] + 240904).
const P_4096: &str = "\
    FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
    020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
    4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
    EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
    98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
    9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
    E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718\
    3995497CEA956AE515D2261898FA051015728E5A8AAAC42DAD33170D04507A33\
    A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
    ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864\
    D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E2\
    08E24FA074E5AB3143DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D7\
    88719A10BDBA5B2699C327186AF4E23C1A946834B6150BDA2583E9CA2AD44CE8\
    DBBBC2DB04DE8EF92E8EFC141FBECAA6287C59474E6BC05D99B2964FA090C3A2\
    233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA9\
    93B4EA988D8FDDC186FFB7DC90A6C08F4DF435C934063199FFFFFFFFFFFFFFFF";
