use super::*;
use crate::crypto::rng::SeededRng;

const GROUPS: [KeId; 11] = [
    KeId::CURVE25519,
    KeId::ECP_256,
    KeId::ECP_384,
    KeId::ECP_521,
    KeId::MODP_2048,
    KeId::MODP_3072,
    KeId::MODP_4096,
    KeId::MODP_6144,
    KeId::MODP_8192,
    KeId::MODP_1024,
    KeId::MODP_1536,
];

fn groups() -> impl Iterator<Item = Group> {
    GROUPS.into_iter().map(|id| Group::from_id(id).expect("a group that we have"))
}

#[test]
fn two_parties_agree_in_every_group() {
    for group in groups() {
        let rng = &mut SeededRng::new(1);
        let (a, b) = (group.private(rng), group.private(rng));
        let (ga, gb) = (group.public(&a), group.public(&b));
        assert_eq!((ga.len(), gb.len()), (group.public_len(), group.public_len()));
        assert_ne!(ga, gb);
        group.check(&ga).unwrap();
        let (ours, theirs) = (group.agree(&a, &gb).unwrap(), group.agree(&b, &ga).unwrap());
        assert_eq!(ours.expose(), theirs.expose(), "{group:?}");
        let ecp = matches!(group.id(), KeId::ECP_256 | KeId::ECP_384 | KeId::ECP_521);
        assert_eq!(ours.len(), if ecp { ga.len() / 2 } else { ga.len() });
    }
}

/// Values that Python computed (`testdata/leading_zeros.py`): an ordinary exchange, one whose shared secret and one
/// whose public value begins with 00, for every group.
#[test]
fn agrees_with_python_and_keeps_leading_zeros() {
    let cases: Vec<serde_json::Value> = serde_json::from_str(include_str!("../testdata/leading_zeros.json")).unwrap();
    for case in &cases {
        let value = |name: &str| hex::decode(case[name].as_str().unwrap()).unwrap();
        let group = Group::from_id(KeId(case["group"].as_u64().unwrap() as u16)).unwrap();
        let (ours, theirs) = (Secret::new(value("private")), Secret::new(value("their_private")));
        assert_eq!(group.public(&ours), value("public"), "{group:?}");
        assert_eq!(group.public(&theirs), value("their_public"), "{group:?}");
        for (private, public) in [(&ours, value("their_public")), (&theirs, value("public"))] {
            assert_eq!(group.agree(private, &public).unwrap().expose(), value("shared"), "{group:?}");
        }
        match case["name"].as_str().unwrap() {
            "shared_begins_with_00" => assert_eq!(value("shared")[0], 0),
            "public_begins_with_00" => assert_eq!(value("public")[0], 0),
            name => assert_eq!(name, "ordinary"),
        }
    }
    assert_eq!(cases.len(), 3 * GROUPS.len());
}

/// RFC 6989 section 2.1. The primes themselves are Python's, by their formula, in the test above.
#[test]
fn modp_values_lie_between_1_and_p_minus_1() {
    for group in groups().filter(|group| matches!(group.kind(), Kind::Modp(_))) {
        let Kind::Modp(modp) = group.kind() else { unreachable!() };
        let len = group.public_len();
        let number = |value: u8| [vec![0; len - 1], vec![value]].concat();
        let p = modp.prime();
        let p_minus = |less: u8| [&p[..len - 1], &[p[len - 1] - less]].concat();
        assert_eq!(p[len - 1], 0xff);
        for (value, good) in [
            (number(0), false),
            (number(1), false),
            (number(2), true),
            (p_minus(2), true),
            (p_minus(1), false),
            (p.clone(), false),
            (vec![0xff; len], false),
        ] {
            assert_eq!(group.check(&value).is_ok(), good, "{group:?} {}", hex::encode(&value));
            let private = Secret::new(vec![3; 32]);
            assert_eq!(group.agree(&private, &value).is_ok(), good, "{group:?} {}", hex::encode(&value));
        }
    }
}

#[test]
fn public_values_of_a_wrong_length_are_refused() {
    for group in groups() {
        let public = group.public(&group.private(&mut SeededRng::new(2)));
        group.check(&public).unwrap();
        for wrong in [&public[1..], &public[..public.len() - 1], &[], &[&[0], &public[..]].concat()] {
            assert_eq!(group.check(wrong), Err(WRONG_LENGTH), "{group:?}");
            assert!(group.agree(&group.private(&mut SeededRng::new(3)), wrong).is_err(), "{group:?}");
        }
    }
}

#[test]
fn a_point_off_the_curve_is_refused() {
    for id in [KeId::ECP_256, KeId::ECP_384, KeId::ECP_521] {
        let group = Group::from_id(id).unwrap();
        let mut public = group.public(&group.private(&mut SeededRng::new(4)));
        *public.last_mut().unwrap() ^= 1;
        assert!(group.check(&public).is_err());
    }
}

/// RFC 7748 section 6.1; the other values of small order come with Wycheproof.
#[test]
fn x25519_refuses_a_shared_secret_of_zeros() {
    let group = Group::from_id(KeId::CURVE25519).unwrap();
    let private = group.private(&mut SeededRng::new(5));
    for low in [0, 1] {
        let mut public = [0; 32];
        public[0] = low;
        group.check(&public).unwrap();
        assert!(group.agree(&private, &public).is_err());
    }
}

/// RFC 8031 section 3.2: the top bit of a public value does not count.
#[test]
fn x25519_masks_the_top_bit() {
    let group = Group::from_id(KeId::CURVE25519).unwrap();
    let private = group.private(&mut SeededRng::new(6));
    let public = group.public(&group.private(&mut SeededRng::new(7)));
    let mut masked = public.clone();
    masked[31] |= 0x80;
    assert_ne!(masked, public);
    assert_eq!(group.agree(&private, &public).unwrap().expose(), group.agree(&private, &masked).unwrap().expose());
}

/// Twice the strength that SP 800-57 part 1 gives the group, at least, and never a tiny exponent.
#[test]
fn modp_exponents_are_long_enough() {
    struct Zeros;
    impl Rng for Zeros {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(0);
        }
    }
    let strengths = [(2, 80), (5, 96), (14, 112), (15, 128), (16, 152), (17, 176), (18, 200)];
    for (id, strength) in strengths {
        let private = Group::from_id(KeId(id)).unwrap().private(&mut Zeros);
        assert!(private.len() * 8 >= 2 * strength);
        assert_eq!(private.expose()[0], 0x80);
    }
}

#[test]
fn private_scalars_are_drawn_until_they_are_in_range() {
    /// All ones and all zeros first, which are no scalars, then 5.
    struct Bad(u8);
    impl Rng for Bad {
        fn fill(&mut self, out: &mut [u8]) {
            self.0 += 1;
            out.fill(if self.0 == 1 { 0xff } else { 0 });
            *out.last_mut().unwrap() = if self.0 == 3 { 5 } else { out[0] };
        }
    }
    for id in [KeId::ECP_256, KeId::ECP_384, KeId::ECP_521] {
        let group = Group::from_id(id).unwrap();
        let private = group.private(&mut Bad(0));
        assert_eq!(private.expose().last(), Some(&5));
        assert_eq!(private.len() * 2, group.public_len());
    }
}

#[test]
fn other_groups_are_none_of_ours() {
    for id in [KeId::NONE, KeId::MODP_768, KeId::ECP_224, KeId::MODP_1024_160, KeId::CURVE448, KeId(1000)] {
        assert_eq!(Group::from_id(id), None);
    }
}
