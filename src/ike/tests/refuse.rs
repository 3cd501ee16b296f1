//! Everything that must fail, with its code on both sides.
use super::*;
use crate::ike::diagnose::{Certainty, Failure, Phase};
use crate::ike::status::State;
use crate::wire::registry::NotifyType;

/// Alice tries once; returns both last failures.
fn fails(alice: Policy, bob: Policy) -> (World, Failure, Failure) {
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    let (a, b) = (world.a.last_failure().expect("Alice knows"), world.b.last_failure().expect("Bob knows"));
    (world, a, b)
}

#[test]
fn the_wrong_secret() {
    let mut alice = alice();
    alice.secrets = vec![secret(&["bob"], "something else")];
    let (world, a, b) = fails(alice, bob());
    assert_eq!((a.code, a.certainty, a.phase), ("auth.failed", Certainty::Likely, Phase::IkeAuth));
    assert_eq!(a.notify.as_deref(), Some("AUTHENTICATION_FAILED"));
    assert!(a.candidates.contains(&"auth.psk") && a.candidates.contains(&"auth.id"));
    assert_eq!((b.code, b.certainty), ("auth.psk", Certainty::Proven));
    assert_eq!((world.a.state(), world.b.state()), (State::Failed, State::Down));
    assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
    assert_eq!(world.log.len(), 4, "it ends at once");
}

#[test]
fn a_refusal_that_is_lost_is_sent_again_octet_for_octet() {
    let mut alice = alice();
    alice.secrets = vec![secret(&["bob"], "something else")];
    let mut world = World::new(alice, bob());
    world.drop = |d| d.is(crate::wire::registry::ExchangeType::IKE_AUTH, true);
    world.command_a(up());
    world.pass(seconds(1));
    world.drop = |_| false;
    world.pass(seconds(2));
    assert_eq!((world.a.failures(), world.b.failures()), (vec!["auth.failed"], vec!["auth.psk"]));
    let refusals = &world.sent_by(BOB)[1..];
    assert!(refusals.len() >= 2 && refusals.iter().all(|d| d.data == refusals[0].data));
    world.pass(seconds(31));
    assert!(world.b.endpoint.sas.is_empty());
}

#[test]
fn an_identity_that_bob_does_not_know_gets_the_same_answer_as_a_wrong_secret() {
    let alice_as = |id: &str| {
        let mut alice = with(alice(), |c| c.local_id = Some(name_id(id)));
        alice.secrets = vec![secret(&["bob"], "something else")];
        alice
    };
    let (unknown, _, b) = fails(alice_as("malice"), bob());
    assert_eq!(b.code, "auth.id");
    assert_eq!((b.local.get("local_id"), b.peer.get("local_id")), (&["bob".to_string()][..], &["bob".to_string()][..]));
    assert_eq!(b.local.get("remote_id"), ["alice"]);
    assert_eq!(b.peer.get("remote_id"), ["malice"]);
    let (wrong, ..) = fails(alice_as("alice"), bob());
    let answer = |w: &World| w.sent_by(BOB)[1].data.len();
    assert_eq!(answer(&unknown), answer(&wrong));
}

#[test]
fn bob_under_another_name() {
    // Alice asks for "bob", and Bob has no such name.
    let (_, a, b) = fails(alice(), with(bob(), |c| c.local_id = Some(name_id("rob"))));
    assert_eq!((a.code, b.code), ("auth.failed", "auth.id"));
    // Alice does not ask, and does not like what she hears: she says so.
    let mut alice = with(alice(), |c| c.remote_id = IdMatch::Any);
    alice.secrets = vec![SharedSecret { ids: vec![IdMatch::Any], ..secret(&["x"], "of another") }];
    let mut bob = bob();
    bob.secrets = vec![secret(&["alice"], SECRET)];
    let (_, a, b) = fails(alice, bob);
    assert_eq!((a.code, b.code), ("auth.failed", "auth.psk"));
}

#[test]
fn an_initiator_that_rejects_the_responder_says_so() {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    while world.b.ikes() == 0 {
        assert!(world.turn(seconds(2000)));
    }
    // The answer is on its way, and Alice learns of another secret: this Bob is not Bob.
    let mut other = alice();
    other.secrets = vec![secret(&["bob"], "something else")];
    world.command_a(Command::SetPolicy(Arc::new(other)));
    world.pass(seconds(1));
    assert_eq!((world.a.failures(), world.b.failures()), (vec!["auth.psk"], vec!["auth.failed"]));
    assert_eq!((world.a.ikes(), world.b.ikes(), world.b.children().len()), (0, 0, 0));
    assert!(world.a.host.spis.is_empty() && world.b.host.spis.is_empty());
}

#[test]
fn no_common_proposal_names_the_transform() {
    for (ours, code, differing) in [
        ("aes256gcm16-prfsha256-x25519", "proposal.encr", "encr"),
        ("aes128gcm16-prfsha512-x25519", "proposal.prf", "prf"),
        ("aes128gcm16-prfsha256-modp2048", "proposal.ke", "ke"),
    ] {
        let (world, a, b) = fails(with(alice(), |c| c.proposals = ike(ours)), bob());
        assert_eq!((a.code, a.certainty), ("proposal.ike", Certainty::Likely));
        assert!(a.candidates.contains(&code));
        assert_eq!((b.code, b.differing.as_slice()), (code, &[differing][..]));
        assert_eq!(b.peer.get("proposals"), [ours]);
        assert_eq!(world.a.state(), State::Connecting, "nobody has authenticated the refusal: Alice goes on");
        assert_eq!(world.a.failures().len(), 1, "and has told already");
    }
}

#[test]
fn after_the_last_retransmission_the_noted_cause_is_the_failure() {
    let mut world = World::new(with(alice(), |c| c.proposals = ike("aes256gcm16-prfsha256-x25519")), bob());
    world.command_a(up());
    world.pass(seconds(120));
    assert_eq!(world.a.failures(), ["proposal.ike", "proposal.ike"]);
    assert_eq!(world.a.state(), State::Failed);
    assert_eq!(world.sent_by(ALICE).len(), 15, "one request and 14 retransmissions");
}

#[test]
fn nobody_answers() {
    let mut world = World::new(alice(), bob());
    world.drop = |_| true;
    world.command_a(up());
    world.pass(seconds(120));
    assert_eq!(world.a.failures(), ["net.no_response"]);
    let first = world.log[0].1.data.clone();
    assert!(world.log.iter().all(|(_, d)| d.data == first), "the same octets each time");
    assert_eq!(world.log.len(), 15);
}

#[test]
fn no_common_selectors_leave_the_ike_sa_up_and_are_tried_again() {
    let bob = with_child(bob(), |c| c.local_ts = vec!["10.99.0.0/16".parse().unwrap()]);
    let alice = with_child(alice(), |c| c.start = StartAction::Start);
    let (mut world, a, b) = fails(alice, bob);
    assert_eq!(
        (a.code, a.notify.as_deref(), a.child.as_deref()),
        ("ts.mismatch", Some("TS_UNACCEPTABLE"), Some("lan"))
    );
    assert_eq!((b.code, b.certainty), ("ts.mismatch", Certainty::Proven));
    assert_eq!(b.peer.line(), "local_ts 10.2.0.0/16; remote_ts 10.1.0.0/16");
    assert_eq!((world.a.ikes(), world.b.ikes(), world.a.children().len()), (1, 1, 0), "{:#?}", world.a.events);
    let before = world.log.len();
    world.pass(seconds(20));
    let retries = (world.log.len() - before) / 2;
    assert!((3..=5).contains(&retries), "with back-off: {retries}");
    // Bob is put right: another connection for him, so they begin anew.
    world.command_b(Command::SetPolicy(Arc::new(super::bob())));
    world.pass(seconds(100));
    assert_eq!((world.a.children().len(), world.b.children().len()), (1, 1));
}

#[test]
fn no_common_esp_proposal() {
    let (world, a, b) = fails(alice(), with_child(bob(), |c| c.proposals = esp("aes256gcm16")));
    assert_eq!((a.code, a.notify.as_deref()), ("proposal.esp", Some("NO_PROPOSAL_CHOSEN")));
    assert_eq!((b.code, b.differing.as_slice()), ("proposal.encr", &["encr"][..]));
    assert_eq!(world.b.host.spis.len(), 0);
    assert_eq!(world.a.ikes(), 1);
    let (_, _, b) = fails(alice(), with_child(super::bob(), |c| c.proposals = esp("aes128gcm16-esn")));
    assert_eq!(b.code, "proposal.esn");
}

#[test]
fn the_suite_must_be_the_one_of_the_connection_of_the_identity() {
    // Two connections for one address: the suite is chosen before it is known who is there.
    let mut bob = bob();
    let mut other = (*bob.connections[0]).clone();
    other.name = "other".into();
    other.remote_id = IdMatch::Exact(name_id("carol"));
    other.proposals = ike("aes256gcm16-prfsha384-ecp384");
    bob.connections.push(Arc::new(other));
    let (_, a, b) = fails(with(alice(), |c| c.proposals = ike("aes256gcm16-prfsha384-ecp384")), bob);
    assert_eq!((a.code, b.code), ("auth.failed", "proposal.ike"));
}

/// Of what the initiator offers the responder takes what suits all connections that may be meant, though it prefers another group.
#[test]
fn a_suite_that_every_connection_allows_is_taken_before_others() {
    let mut bob = with(bob(), |c| c.proposals = ike("aes128gcm16-prfsha256-ecp256"));
    let mut other = (*bob.connections[0]).clone();
    other.name = "other".into();
    other.remote_id = IdMatch::Exact(name_id("carol"));
    other.proposals = ike("aes128gcm16-prfsha256-x25519-ecp256");
    bob.connections.insert(0, Arc::new(other));
    let alice = with(alice(), |c| c.proposals = ike("aes128gcm16-prfsha256-x25519-ecp256"));
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
    assert_eq!((world.a.children().len(), world.b.children().len()), (1, 1));
}

#[test]
fn a_stranger_is_told_that_there_is_no_proposal() {
    let bob = with(bob(), |c| c.remote_addrs = vec![Remote::Addr(addr("192.0.2.99"))]);
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(Duration::from_millis(100));
    assert_eq!(world.b.failures(), ["peer.unknown"]);
    assert_eq!(world.a.last_failure().unwrap().notify.as_deref(), Some("NO_PROPOSAL_CHOSEN"));
}

#[test]
fn names_that_are_not_configured() {
    let mut world = World::new(alice(), bob());
    world.command_a(Command::Up { connection: "nat".into(), child: None });
    world.command_a(Command::Up { connection: "net".into(), child: Some("wan".into()) });
    world.command_a(Command::Down { connection: "nat".into(), child: None });
    assert_eq!(world.a.failures(), ["config.unknown"; 3]);
    world.command_b(Command::SetPolicy(Arc::new(with(bob(), |c| c.remote_addrs = vec![Remote::Any]))));
    world.command_b(up());
    assert_eq!(world.b.failures(), ["config.respond_only"]);
}

#[test]
fn without_a_secret_alice_does_not_begin_to_prove_anything() {
    let mut alice = alice();
    alice.secrets.clear();
    let mut world = World::new(alice, bob());
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!(world.a.failures(), ["auth.psk"]);
    assert_eq!(world.log.len(), 2);
    world.pass(seconds(31));
    assert!(world.b.endpoint.sas.is_empty(), "Bob's half-open IKE SA ends after 30 s");
}

#[test]
fn five_wrong_proofs_a_minute_are_enough() {
    let mut alice = alice();
    alice.secrets = vec![secret(&["bob"], "something else")];
    let mut world = World::new(alice, bob());
    for _ in 0..8 {
        world.command_a(up());
        world.pass(seconds(2));
    }
    assert_eq!(world.b.failures(), ["auth.psk"; 5]);
    assert_eq!(world.b.computed, 10, "g^ir, and what it was compared with: who is barred gets neither");
    let mut good = super::alice();
    good.connections[0] = Arc::new(connection(ALICE, BOB));
    world.command_a(down());
    world.command_a(Command::SetPolicy(Arc::new(good)));
    world.pass(seconds(60));
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
}

#[test]
fn an_ikev1_peer_is_named() {
    let mut world = World::new(alice(), bob());
    world.drop = |_| true;
    world.command_a(up());
    let mut v1 = world.log[0].1.clone();
    (v1.from, v1.to) = (v1.to, v1.from);
    v1.data[17] = 0x10;
    world.deliver(&v1);
    assert_eq!(world.a.failures(), ["version.ikev1_peer"]);
    assert_eq!(world.a.state(), State::Connecting, "unauthenticated, so Alice goes on");
    for _ in 0..1000 {
        v1.data[..8].copy_from_slice(&world.random().to_be_bytes());
        (v1.from, v1.to) = ((addr(ALICE), 500).into(), (addr(BOB), 500).into());
        world.deliver(&v1);
    }
    let told = world.b.failures();
    assert!(told.len() <= 20 && told.iter().all(|c| *c == "version.ikev1_peer"), "{}", told.len());
    assert_eq!(world.log.len(), 1, "nothing is answered");
}

#[test]
fn a_later_version_is_told_which_one_we_speak() {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    let mut v3 = world.hold().remove(0);
    v3.data[17] = 0x30;
    world.deliver(&v3);
    let answer = world.sent_by(BOB)[0].clone();
    assert_eq!(answer.header().version, (2, 0));
    assert!(matches!(&crate::wire::message::Message::parse(&answer.data).unwrap().payloads[..],
        [crate::wire::payload::Payload::Notify(n)] if n.kind == NotifyType::INVALID_MAJOR_VERSION));
    world.deliver(&answer);
    assert_eq!(world.a.failures(), ["version.ikev1_peer"]);
}

#[test]
fn a_limit_is_no_wrong_proof() {
    let mut world = World::new(alice(), with(bob(), |c| c.unique = Unique::Keep));
    world.command_a(up());
    world.pass(seconds(1));
    world.a = Peer::new(addr(ALICE), 78);
    world.command_a(Command::SetPolicy(Arc::new(with(alice(), |c| c.unique = Unique::Never))));
    for _ in 0..8 {
        world.command_a(up());
        world.pass(seconds(2));
    }
    assert_eq!(world.b.failures(), ["unique.keep"; 8]);
    assert_eq!(world.b.last_failure().unwrap().code, "unique.keep");
    // Who holds nothing any more leaves nothing to keep.
    world.a = Peer::new(addr(ALICE), 79);
    world.command_a(Command::SetPolicy(Arc::new(alice())));
    world.pass(seconds(31));
    world.command_a(up());
    world.pass(seconds(10));
    assert_one_tunnel(&world);
}

#[test]
fn a_stranger_does_not_have_the_last_word_on_a_connection_that_is_up() {
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    world.pass(seconds(1));
    world.a = Peer::new(addr(ALICE), 78);
    let mut other = alice();
    other.secrets = vec![secret(&["bob"], "something else")];
    world.command_a(Command::SetPolicy(Arc::new(other)));
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!(world.b.failures(), ["auth.psk"]);
    assert!(world.b.last_failure().is_none());
}

#[test]
fn the_silence_after_ike_sa_init_is_not_what_a_forger_said_before_it() {
    use crate::wire::message::{Header, IkeSpi, Message};
    use crate::wire::payload::{Notify, Payload};
    let mut world = World::new(alice(), bob());
    world.command_a(up());
    let request = world.hold().remove(0);
    let header = Header { spi_r: IkeSpi([7; 8]), initiator: false, response: true, ..request.header() };
    let payloads = vec![Payload::Notify(Notify::new(NotifyType::NO_PROPOSAL_CHOSEN, []))];
    let forged = wire::Datagram {
        from: request.to,
        to: request.from,
        data: Message { header, payloads }.encode(),
        dont_fragment: false,
    };
    world.deliver(&forged);
    world.drop = |d| d.is(crate::wire::registry::ExchangeType::IKE_AUTH, false);
    world.deliver(&request);
    world.pass(seconds(120));
    assert_eq!(world.a.failures(), ["proposal.ike", "net.no_response"]);
    assert_eq!(world.a.last_failure().unwrap().phase, Phase::IkeAuth);
}
