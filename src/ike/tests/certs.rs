//! Certificates on one side or both: who comes in, who does not, and with which words.
use super::wire::{Peer, World};
use super::*;
use crate::crypto::cert::tests::rcgen;
use crate::crypto::cert::tests::{
    Authority, CertificateParams, CrlDistributionPoint, KeyPair, NOW, SanType, date_time_ymd, key,
};
use crate::crypto::cert::{Certificate, Crl, Revocation};
use crate::crypto::sign::SigningKey;
use crate::ike::event::Input;
use crate::ike::policy::{AuthKind, Credentials, OwnCredential, PeerCredential};
use crate::wire::registry::ExchangeType;

/// Both sides' certificates come from one root.
pub(super) struct Pki {
    pub root: Authority,
    pub revocation: Revocation,
    pub pss: bool,
}
impl Pki {
    pub(super) fn new() -> Self {
        Self { root: Authority::root("root"), revocation: Revocation::None, pss: true }
    }
    /// Whom both believe.
    pub(super) fn peer(&self, crls: Vec<Crl>) -> PeerCredential {
        PeerCredential { trust: self.root.trust(crls, self.revocation), crl_hosts: Arc::default() }
    }
    /// A certificate for a name.
    pub(super) fn own(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> OwnCredential {
        let (pair, key) = key();
        self.own_with((&pair, key), name, change)
    }
    /// A certificate for a name, with this key.
    pub(super) fn own_with(
        &self,
        (pair, key): (&KeyPair, Arc<SigningKey>),
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> OwnCredential {
        let der = self.root.issue(pair, name, change);
        OwnCredential { chain: vec![Certificate::parse(&der).unwrap()], key, pss: self.pss }
    }
    /// Alice and Bob with these.
    pub(super) fn world(&self, alice_has: OwnCredential, bob_has: OwnCredential) -> World {
        let trust = || self.peer(Vec::new());
        World::new(with_credentials(alice(), alice_has, trust()), with_credentials(bob(), bob_has, trust()))
    }
}
/// The policy with its connection authenticated by certificates on both sides.
pub(super) fn with_credentials(policy: Policy, own: OwnCredential, peer: PeerCredential) -> Policy {
    let mut policy = with(policy, |c| (c.local_auth, c.remote_auth) = (AuthKind::PublicKey, AuthKind::PublicKey));
    policy.secrets.clear();
    policy.credentials.insert("net".into(), Arc::new(Credentials { local: Some(own), remote: Some(peer) }));
    policy
}
fn start(world: &mut World) {
    world.command_a(up());
    world.pass(seconds(1));
}
fn warnings(peer: &Peer) -> Vec<&'static str> {
    peer.events.iter().filter_map(|e| if let Event::Warning { code, .. } = e { Some(*code) } else { None }).collect()
}

#[test]
fn both_have_certificates() {
    let pki = Pki::new();
    let mut world = pki.world(pki.own("alice", |_| {}), pki.own("bob", |_| {}));
    start(&mut world);
    assert_one_tunnel(&world);
    // Two for the keys, one each for the signatures and their verification.
    assert_eq!((world.a.computed, world.b.computed), (3, 3));
    assert!(warnings(&world.a).is_empty());
}

#[test]
fn every_kind_of_key() {
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};
    let rsa = String::from_utf8(crate::crypto::sign::tests::RSA_2048.to_vec()).unwrap();
    let pairs = [
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        KeyPair::from_pem(&rsa).unwrap(),
    ];
    for pair in &pairs {
        for pss in [true, false] {
            let pki = Pki { pss, ..Pki::new() };
            let key = || Arc::new(SigningKey::read(&pair.serialize_der()).unwrap());
            let mut world =
                pki.world(pki.own_with((pair, key()), "alice", |_| {}), pki.own_with((pair, key()), "bob", |_| {}));
            start(&mut world);
            assert_one_tunnel(&world);
        }
    }
}

#[test]
fn one_side_has_a_certificate_and_the_other_a_secret() {
    let pki = Pki::new();
    for alice_signs in [true, false] {
        let kinds = |signs| if signs { AuthKind::PublicKey } else { AuthKind::Psk };
        let mixed = |policy: Policy, name: &str, signs: bool| {
            let mut policy = with(policy, |c| (c.local_auth, c.remote_auth) = (kinds(signs), kinds(!signs)));
            let credentials = if signs {
                Credentials { local: Some(pki.own(name, |_| {})), remote: None }
            } else {
                Credentials { local: None, remote: Some(pki.peer(Vec::new())) }
            };
            policy.credentials.insert("net".into(), Arc::new(credentials));
            policy
        };
        let mut world = World::new(mixed(alice(), "alice", alice_signs), mixed(bob(), "bob", !alice_signs));
        start(&mut world);
        assert_one_tunnel(&world);
    }
}

#[test]
fn intermediates_travel_along() {
    let pki = Pki::new();
    let middle = pki.root.below("middle", |_| {});
    let (pair, key) = key();
    let chain = [&middle.issue(&pair, "alice", |_| {}), &middle.der, &pki.root.der];
    let chain = chain.map(|der| Certificate::parse(der).unwrap()).to_vec();
    let mut world = pki.world(OwnCredential { chain, key, pss: true }, pki.own("bob", |_| {}));
    start(&mut world);
    assert_one_tunnel(&world);
}

#[test]
fn identities_are_names_addresses_or_the_whole_subject() {
    let pki = Pki::new();
    let san = |san: SanType| move |p: &mut CertificateParams| p.subject_alt_names = vec![san];
    let dn: Id = "CN=alice, O=Sandhog".parse().unwrap();
    let ids = [
        (pki.own("alice", san(SanType::IpAddress(addr(ALICE)))), crate::ike::directory::id_of(addr(ALICE))),
        (pki.own("x", san(SanType::IpAddress(addr("2001:db8::1")))), "2001:db8::1".parse().unwrap()),
        (pki.own("x", san(SanType::Rfc822Name("alice@example".try_into().unwrap()))), "alice@example".parse().unwrap()),
        (pki.own("ALICE", |_| {}), name_id("alice")),
        (pki.own("alice", |_| {}), dn),
    ];
    for (own, id) in ids {
        let mut world = World::new(
            with(with_credentials(alice(), own, pki.peer(vec![])), |c| c.local_id = Some(id.clone())),
            with(with_credentials(bob(), pki.own("bob", |_| {}), pki.peer(vec![])), |c| {
                c.remote_id = IdMatch::Exact(id.clone())
            }),
        );
        start(&mut world);
        assert_one_tunnel(&world);
    }
}

/// Bob's word about Alice's certificate, and what she hears.
fn refused(own: OwnCredential, pki: &Pki) -> &'static str {
    let mut world = pki.world(own, pki.own("bob", |_| {}));
    start(&mut world);
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    assert_eq!(world.a.failures().first(), Some(&"auth.failed"));
    assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
    let failure = world.b.last_failure().unwrap();
    assert!(!failure.peer.is_empty(), "{failure:?}");
    failure.code
}

#[test]
fn bad_certificates_are_refused_with_their_reason() {
    let pki = Pki::new();
    let until = |from: i32, to: i32| {
        move |p: &mut CertificateParams| {
            (p.not_before, p.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        }
    };
    assert_eq!(refused(pki.own("alice", until(2020, 2026)), &pki), "auth.cert.expired");
    assert_eq!(refused(pki.own("alice", until(2027, 2028)), &pki), "auth.cert.not_yet_valid");
    assert_eq!(refused(Pki::new().own("alice", |_| {}), &pki), "auth.cert.unknown_ca");
    assert_eq!(refused(pki.own("mallory", |_| {}), &pki), "auth.cert.name");
    let usage = |p: &mut CertificateParams| p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::CodeSigning];
    assert_eq!(refused(pki.own("alice", usage), &pki), "auth.cert.usage");
    // A common name is no identity.
    let no_san = |p: &mut CertificateParams| p.subject_alt_names.clear();
    assert_eq!(refused(pki.own("alice", no_san), &pki), "auth.cert.name");
    let other_key = OwnCredential { key: key().1, ..pki.own("alice", |_| {}) };
    assert_eq!(refused(other_key, &pki), "auth.signature");
    let crl = Pki { revocation: Revocation::Relaxed, ..Pki::new() };
    let bob = with_credentials(bob(), crl.own("bob", |_| {}), crl.peer(vec![crl.root.crl(&[7])]));
    let alice = with_credentials(alice(), crl.own("alice", |p| p.serial_number = Some(7u64.into())), crl.peer(vec![]));
    let mut world = World::new(alice, bob);
    start(&mut world);
    assert_eq!(world.b.last_failure().unwrap().code, "auth.cert.revoked");
}

#[test]
fn an_initiator_refuses_the_responder_and_says_so() {
    let pki = Pki::new();
    let mut world = pki.world(pki.own("alice", |_| {}), pki.own("mallory", |_| {}));
    start(&mut world);
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    assert_eq!(world.a.failures(), ["auth.cert.name"]);
    let sent = world.sent_by(ALICE);
    assert!(sent.last().unwrap().is(ExchangeType::INFORMATIONAL, false));
}

#[test]
fn without_a_certificate_there_is_no_proof() {
    let pki = Pki::new();
    let bare = OwnCredential { chain: Vec::new(), ..pki.own("alice", |_| {}) };
    assert_eq!(refused_bare(bare, &pki), "auth.cert.missing");
}
fn refused_bare(own: OwnCredential, pki: &Pki) -> &'static str {
    let mut world = pki.world(own, pki.own("bob", |_| {}));
    start(&mut world);
    world.b.last_failure().unwrap().code
}

#[test]
fn the_kind_of_proof_is_the_one_that_is_configured() {
    let pki = Pki::new();
    let signs = with_credentials(alice(), pki.own("alice", |_| {}), pki.peer(vec![]));
    let expects = with_credentials(bob(), pki.own("bob", |_| {}), pki.peer(vec![]));
    for (a, b) in [(signs, bob()), (alice(), expects)] {
        let mut world = World::new(a, b);
        start(&mut world);
        assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
        assert_eq!(world.b.last_failure().unwrap().code, "auth.method");
    }
}

/// What comes meanwhile starts nothing, and what comes late is as good.
#[test]
fn a_retransmission_meanwhile_starts_no_second_verification() {
    let pki = Pki::new();
    let mut world = pki.world(pki.own("alice", |_| {}), pki.own("bob", |_| {}));
    world.command_a(up());
    while world.log.len() < 2 {
        world.turn(world.now + seconds(1));
    }
    world.b.held = Some(Vec::new());
    world.pass(seconds(6));
    let asked = world.sent_by(ALICE).iter().filter(|d| d.is(ExchangeType::IKE_AUTH, false)).count();
    assert!(asked >= 3, "{asked}");
    // g^ir, then the verification, then the signature: one of each, however often Alice asks.
    for _ in 0..3 {
        let held = world.b.held.replace(Vec::new()).unwrap();
        assert_eq!(held.len(), 1);
        for (job, work) in held {
            world.input_b(Input::Computed { job, done: work.run() });
        }
        world.pass(seconds(2));
    }
    assert_one_tunnel(&world);
    assert!(world.b.held.as_ref().unwrap().is_empty());
}

#[test]
fn too_much_to_compute_is_as_if_the_message_had_not_come() {
    let pki = Pki::new();
    let mut world = pki.world(pki.own("alice", |_| {}), pki.own("bob", |_| {}));
    world.command_a(up());
    while world.log.len() < 2 {
        world.turn(world.now + seconds(1));
    }
    world.b.held = Some(Vec::new());
    for _ in 0..2 {
        while world.b.held.as_ref().unwrap().is_empty() {
            assert!(world.turn(world.now + seconds(10)));
        }
        let (job, work) = world.b.held.as_mut().unwrap().remove(0);
        let refused = !matches!(work, crate::crypto::work::Work::Agree { .. });
        let done = if refused { crate::crypto::work::Done::Refused } else { work.run() };
        world.input_b(Input::Computed { job, done });
    }
    world.b.held = None;
    world.pass(seconds(10));
    assert_one_tunnel(&world);
}

#[test]
fn unknown_and_wrong_get_the_same_answer_after_the_same_work() {
    let pki = Pki::new();
    let run = |name: &str, own: OwnCredential| {
        let alice = with(with_credentials(alice(), own, pki.peer(vec![])), |c| c.local_id = Some(name_id(name)));
        let mut world = World::new(alice, with_credentials(bob(), pki.own("bob", |_| {}), pki.peer(vec![])));
        start(&mut world);
        let answer = world.sent_by(BOB).last().unwrap().data.len();
        (world.b.computed, answer, world.b.last_failure().unwrap().code)
    };
    let stranger = run("carol", pki.own("carol", |_| {}));
    let forger = run("alice", OwnCredential { key: key().1, ..pki.own("alice", |_| {}) });
    assert_eq!((stranger.0, stranger.1), (forger.0, forger.1));
    assert_eq!((stranger.2, forger.2), ("auth.id", "auth.signature"));
}

/// What is missing beside the proof is told after it, so that it tells nobody who is configured here.
#[test]
fn who_is_refused_for_something_else_has_to_prove_itself_first() {
    use crate::ike::policy::PpkPolicy;
    let pki = Pki::new();
    let with_ppk = |policy| with(policy, |c| c.ppk = Some(PpkPolicy { id: b"one".to_vec(), required: true }));
    let run = |name: &str| {
        let own = pki.own(name, |_| {});
        let alice = with(with_credentials(alice(), own, pki.peer(vec![])), |c| c.local_id = Some(name_id(name)));
        let bob = with_credentials(bob(), pki.own("bob", |_| {}), pki.peer(vec![]));
        let mut world = World::new(alice, with_ppk(bob));
        start(&mut world);
        (world.b.computed, world.b.last_failure().unwrap().code)
    };
    assert_eq!((run("carol"), run("alice")), ((2, "auth.id"), (2, "auth.ppk")));
}

/// A signature is not guessed: whoever fails in somebody's name does not keep him out.
#[test]
fn failures_of_others_do_not_keep_out_who_signs() {
    let pki = Pki::new();
    let mut world = pki.world(pki.own("alice", |_| {}), pki.own("bob", |_| {}));
    let anywhere = with(bob(), |c| c.remote_addrs = vec![Remote::Any]);
    let anywhere = with_credentials(anywhere, pki.own("bob", |_| {}), pki.peer(vec![]));
    world.command_b(Command::SetPolicy(Arc::new(anywhere)));
    (0..1000).for_each(|_| world.b.endpoint.common.admission.failed_as(world.now, &name_id("alice")));
    start(&mut world);
    assert_one_tunnel(&world);
}

#[test]
fn credentials_change_under_an_sa_that_stays() {
    let pki = Pki::new();
    let mut world = pki.world(pki.own("alice", |_| {}), pki.own("bob", |_| {}));
    start(&mut world);
    let other = Pki::new();
    world.command_b(Command::SetPolicy(Arc::new(with_credentials(
        bob(),
        other.own("bob", |_| {}),
        other.peer(vec![]),
    ))));
    world.pass(seconds(60));
    assert_one_tunnel(&world);
    // For the next one they count.
    world.command_a(down());
    world.pass(seconds(1));
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!(world.b.last_failure().unwrap().code, "auth.cert.unknown_ca");
}

#[test]
fn revocation_lists_are_fetched_for_a_chain_that_is_good() {
    let points = || CrlDistributionPoint { uris: vec!["http://crl.example/root.crl".into()] };
    for (revocation, serials, code) in [
        (Revocation::Strict, Some(&[][..]), None),
        (Revocation::Relaxed, Some(&[]), None),
        (Revocation::Strict, Some(&[7]), Some("auth.cert.revoked")),
        (Revocation::Relaxed, Some(&[7]), Some("auth.cert.revoked")),
        (Revocation::Strict, None, Some("auth.cert.crl_missing")),
        (Revocation::Relaxed, None, None),
    ] {
        let pki = Pki { revocation, ..Pki::new() };
        let own = |name: &str, serial: u64| {
            pki.own(name, |p| {
                p.crl_distribution_points = vec![points()];
                p.serial_number = Some(serial.into());
            })
        };
        let mut world = pki.world(own("alice", 7), own("bob", 8));
        let list = |serials: &[u64]| Arc::new(pki.root.crl(serials));
        world.b.served = serials.iter().map(|serials| list(serials)).collect();
        world.a.served = vec![list(&[])];
        start(&mut world);
        assert_eq!(world.b.fetches, [["http://crl.example/root.crl"]]);
        match code {
            None => assert_one_tunnel(&world),
            Some(code) => assert_eq!(world.b.last_failure().unwrap().code, code),
        }
        let told = if serials.is_none() && code.is_none() { vec!["auth.cert.crl_missing"] } else { vec![] };
        assert_eq!(warnings(&world.b), told);
    }
    // Nothing is fetched for who is not believed.
    let (pki, other) = (Pki { revocation: Revocation::Strict, ..Pki::new() }, Pki::new());
    let own = other.own("alice", |p| p.crl_distribution_points = vec![points()]);
    let mut world = pki.world(own, pki.own("bob", |_| {}));
    start(&mut world);
    assert_eq!(world.b.last_failure().unwrap().code, "auth.cert.unknown_ca");
    assert!(world.b.fetches.is_empty());
}

#[test]
fn a_certificate_that_ends_soon_is_told_of() {
    let pki = Pki::new();
    let mut world = pki.world(pki.own("alice", |_| {}), pki.own("bob", |_| {}));
    world.b.host.clock = NOW + seconds(27 * 24 * 3600);
    start(&mut world);
    assert_one_tunnel(&world);
    assert_eq!((warnings(&world.a), warnings(&world.b)), (vec![], vec!["auth.cert.expires"]));
}

#[test]
fn a_host_without_a_clock_believes_no_certificate() {
    let pki = Pki::new();
    let mut world = pki.world(pki.own("alice", |_| {}), pki.own("bob", |_| {}));
    world.b.host.clock = Duration::ZERO;
    start(&mut world);
    assert_eq!(world.b.last_failure().unwrap().code, "auth.cert.not_yet_valid");
}

#[test]
fn any_certificate_of_the_authority_for_anybody() {
    let pki = Pki::new();
    let anybody =
        with(with_credentials(bob(), pki.own("bob", |_| {}), pki.peer(vec![])), |c| c.remote_id = IdMatch::Any);
    let mut world = World::new(with_credentials(alice(), pki.own("alice", |_| {}), pki.peer(vec![])), anybody);
    start(&mut world);
    assert_one_tunnel(&world);
    assert_eq!(world.b.endpoint.status()[0].sas[0].remote_id, Some(name_id("alice")));
}
