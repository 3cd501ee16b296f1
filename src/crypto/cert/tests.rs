//! Chains of all kinds, issued here, and judged at a fixed time.
use super::*;
use crate::crypto::sign::{Hash, Scheme, SigningKey};
pub use rcgen::{self, CertificateParams, CrlDistributionPoint, KeyPair, SanType, date_time_ymd};
use rcgen::{
    BasicConstraints, CertificateRevocationListParams, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, NameConstraints, RevokedCertParams, SerialNumber,
};
use std::sync::Arc;

/// 22 November 2026, the wall clock of all tests.
pub const NOW: Duration = Duration::from_secs(1_795_305_600);

/// An authority of a test.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate.
    pub der: Vec<u8>,
}
impl Authority {
    /// A root from 2020 to 2040.
    pub fn root(name: &str) -> Self {
        let (params, key) = (authority(name), KeyPair::generate().unwrap());
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }
    /// An authority below this one.
    pub fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (authority(name), KeyPair::generate().unwrap());
        change(&mut params);
        let der = params.signed_by(&key, &self.issuer()).unwrap().der().to_vec();
        Self { params, key, der }
    }
    /// A certificate with serial number 7 from 2026 to 2027 for `name` as a DNS name, with `CN=name, O=Sandhog` as its subject.
    pub fn issue(&self, key: &KeyPair, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, "Sandhog");
        params.serial_number = Some(SerialNumber::from(7));
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        change(&mut params);
        params.signed_by(key, &self.issuer()).unwrap().der().to_vec()
    }
    /// A revocation list of October 2026 that is good until this year's end.
    pub fn crl(&self, serials: &[u64]) -> Crl {
        self.crl_until(serials, 2027)
    }
    /// The same, until the beginning of a year.
    pub fn crl_until(&self, serials: &[u64], year: i32) -> Crl {
        Crl::parse(&self.crl_der(serials, year)).unwrap()
    }
    /// The same in DER.
    pub fn crl_der(&self, serials: &[u64], year: i32) -> Vec<u8> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2026, 2, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(year - 1, 10, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().der().to_vec()
    }
    /// Whoever believes this authority.
    pub fn trust(&self, crls: Vec<Crl>, revocation: Revocation) -> Arc<Trust> {
        Arc::new(Trust::new(vec![Certificate::parse(&self.der).unwrap()], crls, revocation).unwrap())
    }
    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }
}
fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = Default::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2040, 1, 1));
    params
}
/// An ECDSA key as rcgen and as we have it.
pub fn key() -> (KeyPair, Arc<SigningKey>) {
    let pair = KeyPair::generate().unwrap();
    let key = SigningKey::read(pair.serialize_pem().as_bytes()).unwrap();
    (pair, Arc::new(key))
}

/// A claim by ECDSA with `chain`, signed with `key`.
fn claim(chain: &[&[u8]], key: &SigningKey, trust: Arc<Trust>) -> Verify {
    let scheme = Scheme::Ecdsa(Hash::Sha256);
    Verify {
        chain: chain.iter().map(|der| Certificate::parse(der).unwrap()).collect(),
        trust,
        fetched: Vec::new(),
        now: NOW,
        scheme,
        message: b"message".to_vec(),
        signature: key.sign(scheme, b"message").unwrap(),
    }
}
/// What becomes of a certificate changed like this, under a root.
fn judged(change: impl FnOnce(&mut CertificateParams)) -> Result<Verified, &'static str> {
    let (root, (pair, key)) = (Authority::root("root"), key());
    let der = root.issue(&pair, "gw.example", change);
    claim(&[&der], &key, root.trust(Vec::new(), Revocation::None)).run().map_err(|fault| fault.code)
}

#[test]
fn a_good_certificate_proves_its_names_until_its_end() {
    let verified = judged(|_| {}).unwrap();
    assert_eq!(date(verified.not_after()), "2027-01-01T00:00:00Z");
    let names: Vec<_> = verified.certificate().names().iter().map(|n| (n.kind, n.data.as_slice())).collect();
    assert_eq!(names, [(IdType::FQDN, &b"gw.example"[..])]);
    assert_eq!(verified.missing(), None);
}

#[test]
fn time_counts_at_both_ends() {
    let set = |p: &mut CertificateParams, from: i32, to: i32| {
        (p.not_before, p.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    };
    assert_eq!(judged(|p| set(p, 2020, 2026)).unwrap_err(), "auth.cert.expired");
    assert_eq!(judged(|p| set(p, 2027, 2028)).unwrap_err(), "auth.cert.not_yet_valid");
    let root = Authority::root("root");
    let (pair, key) = key();
    let der = root.issue(&pair, "gw.example", |p| set(p, 2026, 2050));
    let mut claim = claim(&[&der], &key, root.trust(Vec::new(), Revocation::None));
    claim.now = Certificate::parse(&der).unwrap().not_before();
    assert!(claim.run().is_ok());
    claim.now -= Duration::from_secs(1);
    let early = claim.run().unwrap_err();
    assert_eq!((early.code, early.differing), ("auth.cert.not_yet_valid", vec!["clock"]), "two clocks that differ");
    claim.now -= Duration::from_secs(2 * 24 * 3600);
    assert!(claim.run().unwrap_err().differing.is_empty(), "or a certificate for later");
    claim.now = Duration::ZERO;
    let early = claim.run().unwrap_err();
    assert_eq!((early.code, early.differing), ("auth.cert.not_yet_valid", vec!["clock"]), "before its authority");
    assert_eq!(early.values[0].1, ["now 1970-01-01T00:00:00Z"]);
    // The authority itself ends in 2040.
    claim.now = Certificate::parse(&root.der).unwrap().not_after() + Duration::from_secs(1);
    assert_eq!(claim.run().unwrap_err().code, "auth.cert.expired");
}

#[test]
fn intermediates_lead_to_the_root_in_any_order() {
    let root = Authority::root("root");
    let one = root.below("one", |_| {});
    let two = one.below("two", |_| {});
    let (pair, key) = key();
    let der = two.issue(&pair, "gw.example", |_| {});
    let trust = root.trust(Vec::new(), Revocation::None);
    assert!(claim(&[&der, &two.der, &one.der], &key, trust.clone()).run().is_ok());
    assert!(claim(&[&der, &one.der, &root.der, &two.der], &key, trust.clone()).run().is_ok());
    for broken in [&[&der[..]][..], &[&der, &two.der], &[&der, &one.der]] {
        assert_eq!(claim(broken, &key, trust.clone()).run().unwrap_err().code, "auth.cert.unknown_ca");
    }
    // One of the same name with another key is not it.
    let stranger = Authority::root("root");
    let trust = stranger.trust(Vec::new(), Revocation::None);
    let fault = claim(&[&der, &two.der, &one.der], &key, trust).run().unwrap_err();
    assert_eq!((fault.code, &fault.values[0].1), ("auth.cert.unknown_ca", &vec!["CN=root".to_owned()]));
}

#[test]
fn only_authorities_sign_and_no_further_than_they_may() {
    let root = Authority::root("root");
    let (pair, key) = key();
    let trust = root.trust(Vec::new(), Revocation::None);
    let fake = root.below("fake", |p| {
        p.is_ca = IsCa::ExplicitNoCa;
        p.key_usages = Vec::new();
    });
    let der = fake.issue(&pair, "gw.example", |_| {});
    assert_eq!(claim(&[&der, &fake.der], &key, trust.clone()).run().unwrap_err().code, "auth.cert.unknown_ca");
    let short = root.below("short", |p| p.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let below = short.below("below", |_| {});
    let der = below.issue(&pair, "gw.example", |_| {});
    let fault = claim(&[&der, &below.der, &short.der], &key, trust.clone()).run().unwrap_err();
    assert_eq!(fault.code, "auth.cert.usage");
    // An authority is no peer.
    let sub = root.below("sub", |_| {});
    let scheme = Scheme::Ecdsa(Hash::Sha256);
    let mut own = claim(&[&sub.der], &key, trust.clone());
    let sub_key = SigningKey::read(sub.key.serialize_pem().as_bytes()).unwrap();
    own.signature = sub_key.sign(scheme, b"message").unwrap();
    assert_eq!(own.run().unwrap_err().code, "auth.cert.usage");
    assert!(Trust::new(vec![Certificate::parse(&fake.der).unwrap()], Vec::new(), Revocation::None).is_err());
}

#[test]
fn usage_is_for_ike_or_for_tls_or_not_said() {
    let eku = |list: Vec<ExtendedKeyUsagePurpose>| judged(|p| p.extended_key_usages = list).map(|_| ());
    use ExtendedKeyUsagePurpose::{Any, ClientAuth, CodeSigning, EmailProtection, Other, ServerAuth};
    let ike = || Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 17]);
    for good in [vec![], vec![Any], vec![ServerAuth], vec![ClientAuth], vec![ike()], vec![CodeSigning, ike()]] {
        assert_eq!(eku(good), Ok(()));
    }
    for bad in [vec![CodeSigning], vec![EmailProtection, CodeSigning], vec![Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 18])]] {
        assert_eq!(eku(bad), Err("auth.cert.usage"));
    }
    let usage = |list: Vec<KeyUsagePurpose>| judged(|p| p.key_usages = list).map(|_| ());
    assert_eq!(usage(vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment]), Ok(()));
    assert_eq!(usage(vec![KeyUsagePurpose::ContentCommitment]), Ok(()));
    assert_eq!(usage(vec![KeyUsagePurpose::KeyEncipherment]), Err("auth.cert.usage"));
}

#[test]
fn a_signature_by_another_key_or_over_another_message_is_none() {
    let (root, (pair, own)) = (Authority::root("root"), key());
    let der = root.issue(&pair, "gw.example", |_| {});
    let trust = root.trust(Vec::new(), Revocation::None);
    let good = claim(&[&der], &own, trust.clone());
    assert!(good.run().is_ok());
    assert_eq!(Verify { message: b"massage".to_vec(), ..good.clone() }.run().unwrap_err().code, "auth.signature");
    assert_eq!(claim(&[&der], &key().1, trust).run().unwrap_err().code, "auth.signature");
    assert_eq!(Verify { signature: Vec::new(), ..good }.run().unwrap_err().code, "auth.signature");
}

#[test]
fn a_critical_extension_that_nobody_knows_refuses_the_certificate() {
    let extension = |critical| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99999, 1], vec![5, 0]);
        extension.set_criticality(critical);
        judged(|p| p.custom_extensions.push(extension)).map(|_| ())
    };
    assert_eq!(extension(false), Ok(()));
    assert_eq!(extension(true), Err("auth.cert.malformed"));
}

/// Name constraints of an authority below the root, on a certificate with this DNS name.
fn constrained(permitted: &[&str], excluded: &[&str], name: &str) -> Result<(), &'static str> {
    let root = Authority::root("root");
    let list = |names: &[&str]| names.iter().map(|n| GeneralSubtree::DnsName((*n).into())).collect();
    let sub = root.below("sub", |p| {
        p.name_constraints =
            Some(NameConstraints { permitted_subtrees: list(permitted), excluded_subtrees: list(excluded) })
    });
    let (pair, key) = key();
    let der = sub.issue(&pair, name, |_| {});
    let run = claim(&[&der, &sub.der], &key, root.trust(Vec::new(), Revocation::None)).run();
    run.map(|_| ()).map_err(|fault| fault.code)
}

/// CVE-2026-35331: an excluded name in capitals.
#[test]
fn input_83_name_constraints_do_not_mind_capitals() {
    assert_eq!(constrained(&["example"], &[], "gw.example"), Ok(()));
    assert_eq!(constrained(&["example"], &[], "gw.EXAMPLE"), Ok(()));
    assert_eq!(constrained(&["example"], &[], "gw.other"), Err("auth.cert.name"));
    assert_eq!(constrained(&[], &["example"], "gw.other"), Ok(()));
    for name in ["gw.example", "gw.EXAMPLE", "GW.Example", "example", "EXAMPLE"] {
        assert_eq!(constrained(&[], &["example"], name), Err("auth.cert.name"), "{name}");
        assert_eq!(constrained(&[], &["EXAMPLE"], name), Err("auth.cert.name"), "{name}");
    }
}

#[test]
fn revoked_is_refused_and_unknown_is_told() {
    let root = Authority::root("root");
    let sub = root.below("sub", |p| p.serial_number = Some(SerialNumber::from(9)));
    let (pair, key) = key();
    let points = CrlDistributionPoint {
        uris: vec!["http://crl.example/sub.crl".into(), "ldap://crl.example/".into(), "HTTP://b.example/".into()],
    };
    let der = sub.issue(&pair, "gw.example", |p| p.crl_distribution_points = vec![points]);
    let run = |crls: Vec<Crl>, revocation| {
        let verified = claim(&[&der, &sub.der], &key, root.trust(crls, revocation)).run();
        verified.map(|v| v.missing().map(<[String]>::to_vec)).map_err(|fault| fault.code)
    };
    let places = Some(vec!["http://crl.example/sub.crl".to_owned(), "HTTP://b.example/".to_owned()]);
    assert_eq!(run(vec![], Revocation::None), Ok(None));
    assert_eq!(run(vec![], Revocation::Relaxed), Ok(places.clone()));
    assert_eq!(run(vec![sub.crl(&[])], Revocation::Strict), Ok(places.clone()), "nothing is known of the authority");
    assert_eq!(run(vec![sub.crl(&[]), root.crl(&[])], Revocation::Strict), Ok(None));
    assert_eq!(run(vec![sub.crl(&[7]), root.crl(&[])], Revocation::Relaxed), Err("auth.cert.revoked"));
    assert_eq!(run(vec![sub.crl(&[7])], Revocation::Relaxed), Err("auth.cert.revoked"));
    assert_eq!(run(vec![root.crl(&[9])], Revocation::Strict), Err("auth.cert.revoked"), "the authority is");
    assert_eq!(run(vec![root.crl(&[7])], Revocation::Relaxed), Ok(places.clone()), "another authority's number 7");
    assert_eq!(run(vec![sub.crl(&[7])], Revocation::None), Ok(None));
    // A list of the same name by another key is no list, and does not stand before a good one.
    let stranger = Authority::root("sub");
    assert_eq!(run(vec![stranger.crl(&[7]), sub.crl(&[]), root.crl(&[])], Revocation::Strict), Ok(None));
    assert_eq!(run(vec![stranger.crl(&[7])], Revocation::Relaxed), Ok(places.clone()));
    // An old list does not tell that nothing was revoked since, but what it revokes stays revoked.
    let old = |serials| sub.crl_until(serials, 2026);
    assert_eq!(run(vec![old(&[]), root.crl(&[])], Revocation::Strict), Ok(places.clone()));
    assert_eq!(run(vec![old(&[]), sub.crl(&[]), root.crl(&[])], Revocation::Strict), Ok(None));
    assert_eq!(run(vec![old(&[7])], Revocation::Relaxed), Err("auth.cert.revoked"));
    assert_eq!(run(vec![sub.crl(&[8, 10, 70]), root.crl(&[])], Revocation::Strict), Ok(None));
}

/// A forged certificate of the issuer's name that ended long ago leads nowhere, and must not hide what the good path shows.
#[test]
fn a_forged_helper_does_not_hide_that_a_certificate_is_revoked() {
    let root = Authority::root("root");
    let sub = root.below("sub", |_| {});
    let forged = |name: &str| {
        Authority::root("stranger").below(name, |p| {
            p.distinguished_name = authority(name).distinguished_name;
            (p.not_before, p.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        })
    };
    let (pair, key) = key();
    let (of_root, of_sub) = (root.issue(&pair, "gw.example", |_| {}), sub.issue(&pair, "gw.example", |_| {}));
    let (no_root, no_sub) = (forged("root"), forged("sub"));
    let run = |chain: &[&[u8]], crl: Crl, fetched: bool| {
        let (of_file, fetched) = if fetched { (vec![], vec![Arc::new(crl)]) } else { (vec![crl], vec![]) };
        let claim = claim(chain, &key, root.trust(of_file, Revocation::Relaxed));
        Verify { fetched, ..claim }.run().map_err(|fault| fault.code).unwrap_err()
    };
    for fetched in [false, true] {
        assert_eq!(run(&[&of_root, &no_root.der], root.crl(&[7]), fetched), "auth.cert.revoked");
        assert_eq!(run(&[&of_sub, &sub.der, &no_sub.der, &no_root.der], sub.crl(&[7]), fetched), "auth.cert.revoked");
        assert_eq!(run(&[&of_sub, &no_sub.der, &sub.der], sub.crl(&[7]), fetched), "auth.cert.revoked");
    }
}

/// Three locations of the first certificate leave one for the authority above it.
#[test]
fn every_certificate_of_the_path_has_its_first_location_asked() {
    let root = Authority::root("root");
    let points = |uris: &[&str]| {
        vec![CrlDistributionPoint { uris: uris.iter().map(|name| format!("http://{name}.example/")).collect() }]
    };
    let sub = root.below("sub", |p| p.crl_distribution_points = points(&["x", "y"]));
    let (pair, key) = key();
    let der = sub.issue(&pair, "gw.example", |p| p.crl_distribution_points = points(&["a", "b", "c"]));
    let verified = claim(&[&der, &sub.der], &key, root.trust(Vec::new(), Revocation::Relaxed)).run().unwrap();
    assert_eq!(verified.missing().unwrap(), ["http://a.example/", "http://x.example/", "http://b.example/"]);
}

#[test]
fn files_are_read_in_both_forms() {
    let root = Authority::root("root");
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    let two = pem("CERTIFICATE", &root.der) + &pem("CERTIFICATE", &root.der);
    assert_eq!(Certificate::read(two.as_bytes()).unwrap().len(), 2);
    assert_eq!(Certificate::read(&root.der).unwrap().len(), 1);
    for broken in
        [&b""[..], b"-----BEGIN CERTIFICATE-----\n", b"-----BEGIN X-----\nAA==\n-----END X-----\n", b"\x30\x00"]
    {
        assert!(Certificate::read(broken).is_err());
        assert!(Crl::read(broken).is_err());
    }
    assert!(Certificate::read(pem("CERTIFICATE", &root.der[1..]).as_bytes()).is_err());
    assert!(Certificate::read(&[&root.der[..], &[0]].concat()).is_err(), "nothing may follow");
}

#[test]
fn names_of_all_kinds_are_found_and_others_left_out() {
    let verified = judged(|p| {
        p.subject_alt_names = vec![
            SanType::DnsName("gw.example".try_into().unwrap()),
            SanType::Rfc822Name("gw@example".try_into().unwrap()),
            SanType::IpAddress("192.0.2.1".parse().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::URI("http://gw.example".try_into().unwrap()),
        ]
    });
    let verified = verified.unwrap();
    let kinds: Vec<IdType> = verified.certificate().names().iter().map(|n| n.kind).collect();
    assert_eq!(kinds, [IdType::FQDN, IdType::RFC822_ADDR, IdType::IPV4_ADDR, IdType::IPV6_ADDR]);
}
