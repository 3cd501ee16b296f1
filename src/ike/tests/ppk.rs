//! Post-quantum pre-shared keys (RFC 8784), and authentications that fail too often.
use super::certs::{Pki, with_credentials};
use super::*;
use crate::ike::event::Input;
use crate::ike::policy::PpkPolicy;
use crate::wire::registry::ExchangeType;

const KEY: &str = "what no quantum computer can guess";

pub(super) fn ppk(id: &str, required: bool) -> Option<PpkPolicy> {
    Some(PpkPolicy { id: id.as_bytes().to_vec(), required })
}
/// The policy with this PPK, and all the secrets that there are.
pub(super) fn using(policy: Policy, ppk: Option<PpkPolicy>) -> Policy {
    let mut policy = with(policy, |c| c.ppk = ppk);
    let of = |id: &str, text: &str| SharedSecret {
        ids: vec![IdMatch::Exact(Id { kind: IdType::KEY_ID, data: id.as_bytes().to_vec() })],
        ..secret(&["x"], text)
    };
    policy.secrets.extend([of("one", KEY), of("two", "another")]);
    policy
}
fn world(a: Option<PpkPolicy>, b: Option<PpkPolicy>) -> World {
    let mut world = World::new(using(alice(), a), using(bob(), b));
    world.command_a(up());
    world.pass(seconds(1));
    world
}
fn has_ppk(peer: &Peer) -> bool {
    peer.endpoint.status()[0].sas.iter().all(|sa| sa.ppk)
}

#[test]
fn r41_both_have_it() {
    let mut world = world(ppk("one", false), ppk("one", false));
    assert_one_tunnel(&world);
    assert!(has_ppk(&world.a) && has_ppk(&world.b));
    assert_eq!(world.log.len(), 4);
    // It is in what children grow from, also after rekeys.
    world.command_a(rekey(None));
    world.pass(seconds(1));
    world.command_b(rekey(Some("lan")));
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert!(has_ppk(&world.a) && has_ppk(&world.b));
}

#[test]
fn r41_where_it_is_required_the_ike_sa_is_rekeyed_at_once() {
    for (a, b) in [(true, true), (true, false), (false, true)] {
        let world = world(ppk("one", a), ppk("one", b));
        assert_one_tunnel(&world);
        assert!(has_ppk(&world.a) && has_ppk(&world.b));
        let rekeys: Vec<_> =
            world.log.iter().map(|(_, d)| d).filter(|d| d.is(ExchangeType::CREATE_CHILD_SA, false)).collect();
        assert_eq!(rekeys.len(), 1, "once");
        assert_eq!(rekeys[0].from.ip(), addr(if a { ALICE } else { BOB }));
    }
}

/// RFC 8784 table 1, and what the initiator does about it.
#[test]
fn r41_who_has_what() {
    let (none, optional, required) = (None, ppk("one", false), ppk("one", true));
    let (other, other_required) = (ppk("two", false), ppk("two", true));
    for (a, b, code) in [
        (&none, &optional, ""),
        (&optional, &none, ""),
        (&optional, &other, ""),
        (&none, &required, "auth.ppk"),
        (&optional, &other_required, "auth.ppk"),
        (&required, &other, "auth.ppk"),
        (&required, &none, ""),
    ] {
        let world = world(a.clone(), b.clone());
        let context = format!("{a:?} {b:?}");
        if code.is_empty() && a != &required {
            assert_one_tunnel(&world);
            assert!(!has_ppk(&world.a) && !has_ppk(&world.b), "{context}");
            continue;
        }
        assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0), "{context}");
        if b == &none {
            assert_eq!(world.a.failures(), ["auth.ppk"], "{context}");
        } else {
            assert_eq!((world.a.failures(), world.b.failures()), (vec!["auth.failed"], vec![code]), "{context}");
        }
    }
}

#[test]
fn another_secret_under_the_same_name_is_none() {
    let mut bob = using(bob(), ppk("one", false));
    bob.secrets.retain(|s| !s.ids.contains(&IdMatch::Exact(Id { kind: IdType::KEY_ID, data: b"one".to_vec() })));
    bob.secrets.push(SharedSecret {
        ids: vec![IdMatch::Exact(name_id("one"))],
        ..secret(&["x"], "what somebody has mistyped")
    });
    let mut world = World::new(using(alice(), ppk("one", false)), bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes(), world.b.failures()), (0, 0, vec!["auth.ppk"]));
}

#[test]
fn a_secret_that_is_missing_is_not_offered() {
    let mut alice = using(alice(), ppk("three", false));
    alice.secrets.truncate(1);
    let mut world = World::new(alice, using(bob(), ppk("one", false)));
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    assert!(!has_ppk(&world.a));
}

#[test]
fn with_certificates_and_additional_key_exchanges() {
    let pki = Pki::new();
    for (a, b, used) in [
        (ppk("one", false), ppk("one", false), true),
        (ppk("one", true), ppk("one", true), true),
        (ppk("one", false), ppk("two", false), false),
        (ppk("one", false), None, false),
    ] {
        let set = |policy, ppk| with(using(policy, ppk), |c| c.proposals = ike("aes256-sha384-x25519-ke1_mlkem512"));
        let trust = || pki.peer(Vec::new());
        let signing = |policy: Policy, name: &str, ppk| {
            let mut policy = with_credentials(policy, pki.own(name, |_| {}), trust());
            policy = set(policy, ppk);
            policy
        };
        let mut world = World::new(signing(alice(), "alice", a), signing(bob(), "bob", b));
        world.command_a(up());
        world.pass(seconds(2));
        assert_one_tunnel(&world);
        assert_eq!((has_ppk(&world.a), has_ppk(&world.b)), (used, used));
    }
}

/// Guessing from many places at once: after a while nobody is heard who claims to be this peer, but who is where it is at home.
#[test]
fn guesses_from_many_sources_are_bounded_by_identity() {
    let anywhere = with(bob(), |c| c.remote_addrs = vec![Remote::Addr(addr(ALICE)), Remote::Any]);
    let mut world = World::new(alice(), anywhere);
    let mut codes = Vec::new();
    for i in 0..60u32 {
        let guesser = std::net::Ipv4Addr::from_bits(0xc633_6401 + i);
        let mut policy = with(alice(), |c| c.local_addrs = vec![guesser.into()]);
        policy.secrets = vec![secret(&["alice", "bob"], &format!("guess {i}"))];
        let mut mallory = Peer::new(guesser.into(), 1000 + u64::from(i));
        mallory.handle(world.now, Input::Command(Command::SetPolicy(Arc::new(policy))));
        let mut sent = mallory.handle(world.now, Input::Command(up()));
        while let Some(d) = sent.pop() {
            let input = Input::Datagram { local: d.to, remote: d.from, data: &d.data };
            for answer in world.b.handle(world.now, input) {
                let input = Input::Datagram { local: answer.to, remote: answer.from, data: &answer.data };
                sent.extend(mallory.handle(world.now, input));
            }
        }
        codes.extend(world.b.failures().drain(codes.len()..));
    }
    assert_eq!(world.b.ikes(), 0);
    let limit = 8 * Limits::default().auth_failures_per_minute as usize;
    assert!(!world.b.endpoint.common.admission.is_guessed(world.now, &name_id("bob"), &Limits::default()));
    assert!(world.b.endpoint.common.admission.is_guessed(world.now, &name_id("ALICE"), &Limits::default()));
    assert!(codes.len() < limit && codes.iter().all(|code| *code == "auth.psk"), "reports are bounded, too: {codes:?}");
    // Alice is at home.
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!((world.a.ikes(), world.b.ikes()), (1, 1));
}
