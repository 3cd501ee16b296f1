//! Project Wycheproof's cases for ML-KEM, through both sides of an additional key exchange.
use crate::crypto::ke::Method;
use crate::crypto::rng::SeededRng;
use crate::crypto::secret::Secret;
use crate::wire::registry::KeId;
use wycheproof::TestResult;
use wycheproof::mlkem::{TestName, TestSet};

const SETS: [KeId; 3] = [KeId::ML_KEM_512, KeId::ML_KEM_768, KeId::ML_KEM_1024];

fn method(id: KeId) -> Method {
    Method::from_id(id).unwrap()
}

#[test]
fn key_generation() {
    use TestName::{MlKem512KeyGenSeed, MlKem768KeyGenSeed, MlKem1024KeyGenSeed};
    for (name, id) in [MlKem512KeyGenSeed, MlKem768KeyGenSeed, MlKem1024KeyGenSeed].into_iter().zip(SETS) {
        let mut count = 0;
        for test in TestSet::load(name).unwrap().test_groups.iter().flat_map(|g| &g.tests) {
            let (seed, key) = (test.seed.as_ref().unwrap(), test.encaps_key.as_ref().unwrap());
            assert_eq!(method(id).public(&Secret::new(seed.to_vec())), key[..], "{id} case {}", test.tc_id);
            count += 1;
        }
        assert!(count >= 25, "{id}: {count}");
    }
}

#[test]
fn encapsulation() {
    use TestName::{MlKem512Encaps, MlKem768Encaps, MlKem1024Encaps};
    for (name, id) in [MlKem512Encaps, MlKem768Encaps, MlKem1024Encaps].into_iter().zip(SETS) {
        let (mut valid, mut invalid) = (0, 0);
        for test in TestSet::load(name).unwrap().test_groups.iter().flat_map(|g| &g.tests) {
            let (m, key) = (test.msg.as_ref().unwrap(), test.encaps_key.as_ref().unwrap());
            let answer = method(id).answer(&Secret::new(m.to_vec()), key);
            if test.result == TestResult::Valid {
                let (ciphertext, shared) = answer.unwrap();
                assert_eq!(ciphertext, test.ct.as_ref().unwrap()[..], "{id} case {}", test.tc_id);
                assert_eq!(shared.expose(), &test.shared_secret.as_ref().unwrap()[..], "{id} case {}", test.tc_id);
                assert_eq!(method(id).check(true, key), Ok(()));
                valid += 1;
            } else {
                assert!(answer.is_err() && method(id).check(true, key).is_err(), "{id} case {}", test.tc_id);
                invalid += 1;
            }
        }
        assert!(valid >= 1 && invalid >= 1, "{id}: {valid} valid, {invalid} invalid");
    }
}

#[test]
fn decapsulation() {
    use TestName::{MlKem512, MlKem768, MlKem1024};
    for (name, id) in [MlKem512, MlKem768, MlKem1024].into_iter().zip(SETS) {
        let (mut valid, mut invalid) = (0, 0);
        for test in TestSet::load(name).unwrap().test_groups.iter().flat_map(|g| &g.tests) {
            let (Some(seed), Some(ciphertext)) = (&test.seed, &test.ct) else { continue };
            if seed.len() != 64 {
                continue;
            }
            let shared = method(id).agree(&Secret::new(seed.to_vec()), ciphertext);
            if test.result == TestResult::Valid {
                assert_eq!(shared.unwrap().expose(), &test.shared_secret.as_ref().unwrap()[..], "case {}", test.tc_id);
                valid += 1;
            } else {
                assert!(shared.is_err() && method(id).check(false, ciphertext).is_err(), "{id} case {}", test.tc_id);
                invalid += 1;
            }
        }
        assert!(valid >= 25 && invalid >= 1, "{id}: {valid} valid, {invalid} invalid");
    }
}

#[test]
fn two_parties_agree_in_every_method() {
    for id in SETS.into_iter().chain([KeId::CURVE25519, KeId::ECP_384, KeId::MODP_2048]) {
        let method = method(id);
        let rng = &mut SeededRng::new(1);
        let (ours, theirs) = (method.private(true, rng), method.private(false, rng));
        let public = method.public(&ours);
        let (answer, secret) = method.answer(&theirs, &public).unwrap();
        assert_eq!((public.len(), answer.len()), (method.public_len(true), method.public_len(false)), "{id}");
        assert_eq!(method.agree(&ours, &answer).unwrap().expose(), secret.expose(), "{id}");
        assert_eq!(method.id(), id);
        for (initiator, value) in [(true, &public), (false, &answer)] {
            assert_eq!(method.check(initiator, value), Ok(()));
            for wrong in [&value[1..], &value[..value.len() - 1], &[], &[&[0], &value[..]].concat()] {
                assert!(method.check(initiator, wrong).is_err(), "{id}");
            }
        }
        assert!(method.answer(&theirs, &public[1..]).is_err() && method.agree(&ours, &answer[1..]).is_err(), "{id}");
    }
}

/// FIPS 203 table 3.
#[test]
fn lengths_are_those_of_the_standard() {
    let lengths = SETS.map(|id| (method(id).public_len(true), method(id).public_len(false)));
    assert_eq!(lengths, [(800, 768), (1184, 1088), (1568, 1568)]);
}

/// The cheap check before the expensive step is no other than the one in it: each coefficient is below q (FIPS 203 section 7.2).
#[test]
fn the_early_check_of_a_key_is_that_of_its_use() {
    for (id, len) in SETS.into_iter().zip([800, 1184, 1568]) {
        let (method, rng) = (method(id), &mut SeededRng::new(3));
        let (ours, theirs) = (method.private(true, rng), method.private(false, rng));
        let public = method.public(&ours);
        for at in (0..len - 32).step_by(3) {
            for (low, high, sound) in [(3328, 3328, true), (3329, 0, false), (0, 3329, false), (4095, 4095, false)] {
                let mut public = public.clone();
                public[at..at + 3].copy_from_slice(&[low as u8, (low >> 8 | high << 4) as u8, (high >> 4) as u8]);
                assert_eq!(method.check(true, &public).is_ok(), sound, "{id}: {low} and {high} at {at}");
                if at % 99 == 0 || at + 3 == len - 32 {
                    assert_eq!(method.answer(&theirs, &public).err(), method.check(true, &public).err(), "{id}");
                }
            }
        }
        let mut public = public;
        public[len - 32..].fill(0xff);
        assert_eq!(method.check(true, &public), Ok(()), "{id}: behind them stands a seed");
    }
}
