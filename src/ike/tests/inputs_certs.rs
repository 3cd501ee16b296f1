//! The inputs of the catalogue (protocol.md section 3) that are about certificates and signatures: each at its stage, with the answer that it must get.
use super::certs::{Pki, with_credentials};
use super::wire::World;
use super::*;
use crate::crypto::cert::tests::{CertificateParams, key, rcgen};
use crate::crypto::cert::{Certificate, Revocation};
use crate::crypto::sign::{Hash, Scheme, SigningKey};
use crate::crypto::work::{Done, Work};
use crate::ike::event::Input;
use crate::ike::policy::OwnCredential;
use crate::wire::registry::ExchangeType;

/// Alice with this credential and identity asks Bob; what she signs with is changed by `forge`. Bob's word about it.
fn bob_says(pki: &Pki, own: OwnCredential, id: Id, forge: impl Fn(Vec<u8>) -> Vec<u8>) -> (&'static str, World) {
    let alice = with(with_credentials(alice(), own, pki.peer(vec![])), |c| c.local_id = Some(id));
    let mut world = World::new(alice, with_credentials(bob(), pki.own("bob", |_| {}), pki.peer(vec![])));
    world.a.held = Some(Vec::new());
    world.command_a(up());
    for _ in 0..8 {
        world.pass(Duration::from_millis(10));
        for (job, work) in world.a.held.replace(Vec::new()).unwrap() {
            let signs = matches!(work, Work::Sign { .. });
            let done = match work.run() {
                Done::Signed(Some(signature)) if signs => Done::Signed(Some(forge(signature))),
                done => done,
            };
            world.input_a(Input::Computed { job, done });
        }
    }
    let code = world.b.failures().last().copied().unwrap_or("up");
    (code, world)
}
/// The same; and Bob's answer is AUTHENTICATION_FAILED: nothing of his is left but a half-open IKE SA that remembers it.
#[track_caller]
fn refused(own: OwnCredential, pki: &Pki, id: Id, code: &str) {
    let (said, world) = bob_says(pki, own, id, |signature| signature);
    assert_eq!(said, code);
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    assert_eq!(world.a.failures(), ["auth.failed"]);
    // One answer to one request, in however many fragments that came.
    let answered = world.sent_by(BOB).iter().filter(|d| d.is(ExchangeType::IKE_AUTH, true)).count();
    assert_eq!(answered, 1);
}
fn rsa(pki: &Pki) -> OwnCredential {
    let text = std::str::from_utf8(crate::crypto::sign::tests::RSA_2048).unwrap();
    let (pair, key) = (rcgen::KeyPair::from_pem(text).unwrap(), SigningKey::read(text.as_bytes()).unwrap());
    pki.own_with((&pair, Arc::new(key)), "alice", |_| {})
}

#[test]
fn the_way_of_these_tests_is_the_good_one() {
    let pki = Pki::new();
    let (said, world) = bob_says(&pki, rsa(&pki), name_id("alice"), |signature| signature);
    assert_eq!((said, world.b.ikes()), ("up", 1));
}

/// CVE-2013-6075: an identity of type DER_ASN1_DN whose name is cut off.
#[test]
fn input_15_a_distinguished_name_that_is_cut_off() {
    let pki = Pki::new();
    let dn: Id = "CN=alice, O=Sandhog".parse().unwrap();
    for len in 1..dn.data.len() {
        let cut = Id { data: dn.data[..len].to_vec(), ..dn.clone() };
        refused(pki.own("alice", |_| {}), &pki, cut, "auth.id");
    }
}

/// CVE-2014-2891 and 2026-47895: one of no length, also where anybody may come.
#[test]
fn inputs_16_82_an_identity_without_content() {
    let pki = Pki::new();
    for kind in [IdType::DER_ASN1_DN, IdType::FQDN, IdType::KEY_ID, IdType::IPV4_ADDR] {
        let empty = Id { kind, data: Vec::new() };
        refused(pki.own("alice", |p| p.subject_alt_names.clear()), &pki, empty.clone(), "auth.id");
        let own = pki.own("alice", |p: &mut CertificateParams| {
            p.subject_alt_names.clear();
            p.distinguished_name = rcgen::DistinguishedName::new();
        });
        let alice = with(with_credentials(alice(), own, pki.peer(vec![])), |c| c.local_id = Some(empty));
        let anybody = with_credentials(bob(), pki.own("bob", |_| {}), pki.peer(vec![]));
        let mut world = World::new(alice, with(anybody, |c| c.remote_id = IdMatch::Any));
        world.command_a(up());
        world.pass(seconds(1));
        assert_eq!(world.b.last_failure().unwrap().code, "auth.id");
    }
}

/// CVE-2018-17540, 2017-9022 and 2026-14957: RSA keys that are none, in a certificate that our authority has signed. The modulus of the
/// good one is of 256 octets behind its first zero, the exponent is 65537.
#[test]
fn inputs_18_19_32_a_certificate_with_an_rsa_key_that_is_none() {
    let pki = Pki::new();
    let good = rsa(&pki);
    let der = good.chain[0].der().to_vec();
    let exponent = der.windows(5).position(|w| w == [0x02, 0x03, 0x01, 0x00, 0x01]).unwrap() + 2;
    // The authority's signature does not cover what we change, so the chain breaks first; the key itself is `crypto::sign`'s test.
    for (at, octet, code) in [
        (exponent, 0, "auth.cert.weak"),
        (exponent + 2, 0, "auth.cert.unknown_ca"),
        (exponent - 3, 0x02, "auth.cert.unknown_ca"),
    ] {
        let mut changed = der.clone();
        changed[at] = octet;
        if octet == 0 && at == exponent {
            changed[at + 2] = 0;
        }
        let own = OwnCredential { chain: vec![Certificate::parse(&changed).unwrap()], ..rsa(&pki) };
        refused(own, &pki, name_id("alice"), code);
    }
    let small = include_bytes!("../../crypto/testdata/rsa1024.der");
    let own = OwnCredential { chain: vec![Certificate::parse(small).unwrap()], ..rsa(&pki) };
    refused(own, &pki, name_id("alice"), "auth.cert.weak");
}

/// CVE-2017-9023: names within names, as deep as a payload holds.
#[test]
fn input_20_an_extension_that_nests_without_end() {
    let mut nested = vec![0x30, 0x00];
    while nested.len() < 16_000 {
        let [high, low] = u16::try_from(nested.len()).unwrap().to_be_bytes();
        nested.splice(0..0, [0xa4, 0x82, high, low]);
    }
    let pki = Pki::new();
    let content = move |p: &mut CertificateParams| {
        p.subject_alt_names.clear();
        p.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 17], nested));
    };
    let (pair, _) = key();
    assert!(Certificate::parse(&pki.root.issue(&pair, "alice", content)).is_err());
}

/// CVE-2017-11185, 2018-16151, 2026-50721 and 2026-50722: signatures that are the modulus, too short, too long, or something else.
#[test]
fn inputs_17_21_31_signatures_that_are_none() {
    let pki = Pki { pss: false, ..Pki::new() };
    let modulus = {
        let der = rsa(&pki).chain[0].der().to_vec();
        let end = der.windows(5).position(|w| w == [0x02, 0x03, 0x01, 0x00, 0x01]).unwrap();
        der[end - 256..end].to_vec()
    };
    let forgeries: [&dyn Fn(Vec<u8>) -> Vec<u8>; 9] = [
        &|_| modulus.clone(),
        &|_| Vec::new(),
        &|_| vec![0; 256],
        &|_| vec![0xff; 256],
        &|s| s[..16].to_vec(),
        &|s| s[..40].to_vec(),
        &|s| s[..255].to_vec(),
        &|s| [&s[..], &[0]].concat(),
        &|s| s.into_iter().rev().collect(),
    ];
    for forge in forgeries {
        let (said, world) = bob_says(&pki, rsa(&pki), name_id("alice"), forge);
        assert_eq!((said, world.b.ikes()), ("auth.signature", 0));
    }
}

/// CVE-2018-6459 and 2021-41990: PSS without its hash or with a salt as long as one likes; also empty and default parameters (R40).
#[test]
fn inputs_22_23_pss_parameters_are_ours_or_none() {
    let good = Scheme::Pss(Hash::Sha256).to_der().unwrap();
    let hex = |text: &str| hex::decode(text).unwrap();
    let mut salt = good.clone();
    let at = salt.windows(4).position(|w| w == [0xa2, 0x03, 0x02, 0x01]).unwrap() + 4;
    salt[at] = 0x7f;
    for algorithm in [
        // RFC 7427 appendices A.4.1 and A.4.2.
        hex("300d06092a864886f70d01010a3000"),
        hex(
            "303e06092a864886f70d01010a3031a00b300906052b0e03021a0500a118301606092a864886f70d010108300906052b0e03021a0500a203020114a303020101",
        ),
        // MGF1 without its hash.
        hex("302a06092a864886f70d01010a301da10f300d06092a864886f70d0101083000a203020120a303020101"),
        hex("300b06092a864886f70d01010a"),
        salt,
        Vec::new(),
        vec![0x30],
        vec![0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
    ] {
        assert_eq!(Scheme::from_der(&algorithm), None, "{}", hex::encode(&algorithm));
        let data = [&[algorithm.len() as u8][..], &algorithm, &[0; 256]].concat();
        let auth = crate::wire::payload::Auth { method: crate::wire::registry::AuthMethod::DIGITAL_SIGNATURE, data };
        assert!(matches!(crate::ike::auth::signature(&auth, true), Err(fault) if fault.code == "auth.hash"));
    }
    // A length that is longer than what there is.
    for data in [vec![], vec![1], vec![255; 10]] {
        let auth = crate::wire::payload::Auth { method: crate::wire::registry::AuthMethod::DIGITAL_SIGNATURE, data };
        assert!(matches!(crate::ike::auth::signature(&auth, true), Err(fault) if fault.code == "auth.signature"));
    }
}

/// CVE-2021-41991: as many certificates of one name as a message holds. Nothing of them is kept, and the search for a way ends.
#[test]
fn input_24_many_certificates_of_one_name() {
    let pki = Pki::new();
    let (pair, key) = key();
    let mut chain = vec![Certificate::parse(&pki.root.below("m", |_| {}).issue(&pair, "alice", |_| {})).unwrap()];
    for _ in 0..15 {
        chain.push(Certificate::parse(&pki.root.below("m", |_| {}).der).unwrap());
    }
    refused(OwnCredential { chain, key, pss: true }, &pki, name_id("alice"), "auth.cert.unknown_ca");
}

/// CVE-2022-40617: an address of a revocation list in a certificate that nobody vouches for is not asked, by either end.
#[test]
fn input_26_nothing_is_fetched_for_a_stranger() {
    let pki = Pki { revocation: Revocation::Strict, ..Pki::new() };
    let stranger = Pki::new();
    let points = |p: &mut CertificateParams| {
        p.crl_distribution_points = vec![rcgen::CrlDistributionPoint { uris: vec!["http://crl.example/".into()] }];
    };
    let (said, world) = bob_says(&pki, stranger.own("alice", points), name_id("alice"), |s| s);
    assert_eq!((said, world.b.fetches.len()), ("auth.cert.unknown_ca", 0));
    // Nor for one of ours with a signature that it has not made.
    let (said, world) = bob_says(&pki, pki.own("alice", points), name_id("alice"), |_| vec![0; 64]);
    assert_eq!((said, world.b.fetches.len()), ("auth.signature", 0));
}

/// CVE-2025-9242: an identity of 520 octets and more.
#[test]
fn input_51_an_identity_longer_than_any_buffer() {
    let pki = Pki::new();
    for len in [520, 2048] {
        let id = Id { kind: IdType::FQDN, data: vec![b'a'; len] };
        refused(pki.own("alice", |_| {}), &pki, id, "auth.id");
    }
}

/// CVE-2025-14733: more than eight certificates, and one of more than 2,000 octets; both are fine here up to what the payload table allows.
#[test]
fn input_52_a_long_chain_and_a_large_certificate() {
    let pki = Pki::new();
    let (pair, key) = key();
    let large = |p: &mut CertificateParams| {
        let extension = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 2], vec![0x04; 4000]);
        p.custom_extensions.push(extension);
    };
    let first = Certificate::parse(&pki.root.issue(&pair, "alice", large)).unwrap();
    let other = Certificate::parse(&pki.root.below("other", |_| {}).der).unwrap();
    for (others, code) in [(7, "up"), (15, "up"), (16, "message.malformed")] {
        let chain = std::iter::once(first.clone()).chain((0..others).map(|_| other.clone())).collect();
        let own = OwnCredential { chain, key: key.clone(), pss: true };
        let (said, _) = bob_says(&pki, own, name_id("alice"), |s| s);
        assert_eq!(said, code, "{others} more");
    }
}

/// CVE-2013-2944: ECDSA signatures of zeros, of the order, and in the wrong form.
#[test]
fn input_64_ecdsa_signatures_that_are_none() {
    let pki = Pki::new();
    let zeros = |_: Vec<u8>| hex::decode("3006020100020100").unwrap();
    let forgeries: [&dyn Fn(Vec<u8>) -> Vec<u8>; 5] =
        [&zeros, &|_| vec![0; 64], &|_| Vec::new(), &|s| s[..s.len() - 1].to_vec(), &|s| [&s[..], &[0]].concat()];
    for forge in forgeries {
        let (said, world) = bob_says(&pki, pki.own("alice", |_| {}), name_id("alice"), forge);
        assert_eq!((said, world.b.ikes()), ("auth.signature", 0));
    }
}

/// CVE-2026-78134: whoever is admitted is who the certificate says, whatever else he says later; the identities are those of the proof.
#[test]
fn input_81_the_identity_is_the_one_that_was_proven() {
    let pki = Pki::new();
    let (said, world) = bob_says(&pki, pki.own("alice", |_| {}), name_id("ALICE"), |s| s);
    assert_eq!(said, "up");
    assert_eq!(world.b.endpoint.status()[0].sas[0].remote_id, Some(name_id("ALICE")));
    refused(pki.own("mallory", |_| {}), &pki, name_id("alice"), "auth.cert.name");
}
