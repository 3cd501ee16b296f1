//! What is told without anybody asking: of a secret written in another way, of what works though not as configured, and of what never came.
use super::established::{asking, granted};
use super::ppk::{ppk, using};
use super::stranger::Stranger;
use super::*;
use crate::ike::diagnose::{Certainty, Failure};
use crate::wire::payload::{Delete, Notify, Payload, TrafficSelectors};
use crate::wire::registry::{AuthMethod, ExchangeType, NotifyType};

/// Told of what works.
fn noticed(peer: &Peer) -> Vec<Failure> {
    let notice = |e: &Event| if let Event::Noticed(failure) = e { Some((**failure).clone()) } else { None };
    peer.events.iter().filter_map(notice).collect()
}
fn codes(failures: &[Failure]) -> Vec<&'static str> {
    failures.iter().map(|failure| failure.code).collect()
}
/// What is true now.
fn notices(peer: &Peer) -> Vec<&'static str> {
    codes(&peer.endpoint.status().remove(0).notices)
}
/// Alice, under this name, has this secret and tries once: what Bob says.
fn bob_of(mut alice: Policy, theirs: &str, bob: Policy) -> Failure {
    alice.secrets = vec![secret(&["bob"], theirs)];
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_eq!(world.log.len(), 4, "whatever it is, it is refused once");
    assert_eq!(world.b.failures().len(), 1);
    world.b.last_failure().expect("Bob knows")
}

#[test]
fn another_form_of_our_secret_is_named() {
    for (theirs, word) in [
        (format!("{SECRET}\n"), "secret.newline"),
        (format!("{SECRET} "), "secret.space"),
        (format!("\"{SECRET}\""), "secret.quotes"),
        (format!("0x{}", hex::encode(SECRET)), "secret.hex"),
    ] {
        let told = bob_of(alice(), &theirs, bob());
        assert_eq!((told.code, told.certainty), ("auth.psk", Certainty::Proven));
        assert_eq!(told.differing, [word]);
        assert!(!format!("{told:?}").contains(SECRET));
    }
    assert!(bob_of(alice(), "something else", bob()).differing.is_empty());
}
/// Only the secret of this pair: what is told of one connection says nothing about another's.
#[test]
fn the_secret_of_another_connection_is_never_compared() {
    let both = || {
        let mut bob = bob();
        let carol =
            Connection { name: "carol".into(), remote_id: IdMatch::Exact(name_id("carol")), ..connection(BOB, ALICE) };
        bob.connections.push(Arc::new(carol));
        bob.secrets.push(secret(&["carol"], "the secret of carol"));
        bob
    };
    let told = bob_of(alice(), "the secret of carol\n", both());
    assert_eq!((told.code, told.connection.as_deref()), ("auth.psk", Some("net")));
    assert!(told.differing.is_empty());
    // Nor for somebody unknown, who is told of the connection that he comes nearest to.
    let malice = with(alice(), |c| c.local_id = Some(name_id("malice")));
    let told = bob_of(malice, &format!("{SECRET}\n"), both());
    assert_eq!((told.code, told.connection.as_deref(), told.differing), ("auth.id", Some("net"), vec!["remote.id"]));
}
/// Known or not, it is the same work, and none of it is done before the answer has left.
#[test]
fn the_forms_are_compared_behind_the_answer_whoever_asks() {
    let work = |id: &str| {
        let mut alice = with(alice(), |c| c.local_id = Some(name_id(id)));
        alice.secrets = vec![secret(&["bob"], "something else")];
        let mut world = World::new(alice, bob());
        world.command_a(up());
        world.pass(seconds(1));
        world.b.computed
    };
    assert_eq!((work("alice"), work("malice")), (2, 2), "g^ir, and the comparison");
}
#[test]
fn a_connection_is_found_by_what_speaks_for_it() {
    // One that takes anybody stands beside it, and the peer asks for neither name.
    let mut bob = bob();
    let hub = Connection {
        name: "hub".into(),
        remote_addrs: vec![Remote::Any],
        local_id: Some(name_id("hub")),
        remote_id: IdMatch::Any,
        ..connection(BOB, ALICE)
    };
    bob.connections.insert(0, Arc::new(hub));
    for (asked, is, differing) in [
        ("rob", "alice", vec!["local.id"]),
        ("bob", "malice", vec!["remote.id"]),
        ("rob", "malice", vec!["local.id", "remote.id"]),
    ] {
        let mut alice = with(alice(), |c| {
            (c.local_id, c.remote_id) = (Some(name_id(is)), IdMatch::Exact(name_id(asked)));
        });
        alice.secrets = vec![secret(&[asked], SECRET)];
        let mut world = World::new(alice, bob.clone());
        world.command_a(up());
        world.pass(seconds(1));
        let told = world.b.endpoint.status_of("net").unwrap().last_failure.expect("told of net");
        assert_eq!((told.code, told.differing), ("auth.id", differing));
    }
}

#[test]
fn a_narrower_child_is_told_of_at_both_ends_and_nothing_has_failed() {
    let narrow = with_child(bob(), |c| c.local_ts = vec!["10.2.128.0/17".parse().unwrap()]);
    let mut world = World::new(alice(), narrow);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    let (a, b) = (noticed(&world.a), noticed(&world.b));
    assert_eq!((codes(&a), codes(&b)), (vec!["ts.narrowed"], vec!["ts.narrowed"]));
    assert_eq!((&a[0].differing, &b[0].differing), (&vec!["remote_ts"], &vec!["local_ts"]));
    assert_eq!(
        (a[0].local.get("remote_ts"), a[0].peer.get("remote_ts")),
        (&["10.2.0.0/16".to_string()][..], &["10.2.128.0/17".to_string()][..])
    );
    assert_eq!(
        (b[0].local.get("local_ts"), b[0].peer.get("local_ts")),
        (&["10.2.128.0/17".to_string()][..], &["10.2.0.0/16".to_string()][..])
    );
    assert!(a.iter().chain(&b).all(|told| told.certainty == Certainty::Proven && told.child.as_deref() == Some("lan")));
    assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
    assert_eq!((world.a.last_failure(), world.b.last_failure()), (None, None));
    // A rekey says nothing new, and when the child goes, so does what was told of it.
    world.command_a(rekey(Some("lan")));
    world.pass(seconds(5));
    assert_eq!((noticed(&world.a).len(), notices(&world.a)), (1, vec!["ts.narrowed"]));
    world.command_a(down());
    world.pass(seconds(5));
    assert!(notices(&world.a).is_empty() && notices(&world.b).is_empty());
}
#[test]
fn whoever_may_come_from_anywhere_may_ask_for_less_than_everybody_may() {
    let hub = |remote: &str| {
        let bob = with(bob(), |c| c.remote_addrs = vec![Remote::Any]);
        with_child(bob, |c| c.remote_ts = vec![remote.parse().unwrap()])
    };
    let told = |bob| {
        let world = tunnel_of(alice(), bob);
        (codes(&noticed(&world.a)), codes(&noticed(&world.b)))
    };
    assert_eq!(told(hub("10.0.0.0/8")), (vec![], vec![]));
    // Not for more than that.
    assert_eq!(told(hub("10.1.0.0/24")), (vec!["ts.narrowed"], vec!["ts.narrowed"]));
}
#[test]
fn a_peer_that_takes_the_first_pair_alone_takes_one_in_each_child_as_it_seems() {
    let several = with_child(alice(), |c| c.local_ts.push("10.3.0.0/16".parse().unwrap()));
    let world = tunnel_of(several, bob());
    let told = noticed(&world.a);
    assert_eq!((told[0].code, told[0].certainty), ("ts.single_pair", Certainty::Likely));
    assert_eq!(told[0].candidates, ["ts.single_pair", "ts.narrowed"]);
    assert_eq!(told[0].local.get("local_ts"), ["10.1.0.0/16", "10.3.0.0/16"]);
    assert_eq!(told[0].peer.get("local_ts"), ["10.1.0.0/16"]);
}
/// A peer that narrows to nothing has answered, and made something: it is told to delete it.
#[test]
fn a_child_that_is_narrowed_to_nothing_is_refused_and_disowned() {
    for (at, what) in [(2, "local_ts"), (3, "remote_ts")] {
        let (mut world, request) = asking(alice(), bob());
        let mut answer = granted();
        let nothing = TrafficSelectors { ranges: Vec::new(), unknown: 0 };
        answer[at] = if at == 2 { Payload::TsI(nothing) } else { Payload::TsR(nothing) };
        world.bob_answers(&request, &answer);
        let told = world.a.last_failure().expect("it is told");
        assert_eq!((told.code, told.certainty, told.differing), ("ts.mismatch", Certainty::Proven, vec![what]));
        assert!(told.peer.get(what).is_empty() && !told.local.get(what).is_empty());
        assert!(world.a.children().is_empty());
        assert!(world.hold()[0].is(ExchangeType::INFORMATIONAL, false));
    }
}
#[test]
fn networks_that_do_not_meet_are_named_by_their_side() {
    let bob = with_child(bob(), |c| c.remote_ts = vec!["10.9.0.0/16".parse().unwrap()]);
    let mut world = World::new(alice(), bob);
    world.command_a(up());
    world.pass(seconds(1));
    let told = world.b.last_failure().unwrap();
    assert_eq!((told.code, told.differing), ("ts.mismatch", vec!["remote_ts"]));
    assert_eq!(
        (told.local.get("remote_ts"), told.peer.get("remote_ts")),
        (&["10.9.0.0/16".to_string()][..], &["10.1.0.0/16".to_string()][..])
    );
}

#[test]
fn a_wrong_group_of_the_child_is_told_with_both_groups() {
    let with_group = |policy, group: &str| with_child(policy, |c| c.proposals = esp(&format!("aes128gcm16{group}")));
    for (ours, theirs) in [("-modp2048", "-ecp256"), ("", "-ecp256"), ("-modp2048", "")] {
        let mut world = tunnel_of(with_group(alice(), ours), with_group(bob(), theirs));
        world.command_a(rekey(Some("lan")));
        world.pass(seconds(1));
        let (a, b) = (world.a.last_failure().unwrap(), world.b.last_failure().unwrap());
        assert_eq!((b.code, b.certainty, b.differing), ("pfs.mismatch", Certainty::Proven, vec!["ke"]));
        let word = |group: &str| vec![if group.is_empty() { "none".to_owned() } else { group[1..].to_owned() }];
        assert_eq!((b.local.get("groups"), b.peer.get("groups")), (&word(theirs)[..], &word(ours)[..]));
        if !ours.is_empty() {
            assert_eq!((a.code, a.certainty), ("pfs.mismatch", Certainty::Likely));
            assert_eq!(a.local.get("groups"), word(ours));
        }
        assert_eq!(world.b.children().len(), 1, "the child at hand is left alone");
    }
}

/// What an authenticated peer says of itself in so many words is proven.
#[test]
fn a_refusal_that_says_why_is_proven() {
    let with_group = |policy| with_child(policy, |c| c.proposals = esp("aes128gcm16-modp2048"));
    for (notify, code, what, peers) in [
        (Notify::new(NotifyType::SINGLE_PAIR_REQUIRED, []), "ts.single_pair", "groups", vec![]),
        (Notify::new(NotifyType::INVALID_KE_PAYLOAD, [0, 19]), "pfs.mismatch", "groups", vec!["ecp256"]),
    ] {
        let (mut world, request) = asking(with_group(alice()), with_group(bob()));
        world.bob_answers(&request, &[Payload::Notify(notify)]);
        let told = world.a.last_failure().expect("it is told");
        assert_eq!(
            (told.code, told.certainty, told.peer.get(what)),
            (code, Certainty::Proven, &peers.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
        );
        assert!(told.candidates.is_empty());
    }
    // That of a group which we do offer is none of these.
    let (mut world, request) = asking(with_group(alice()), with_group(bob()));
    world.bob_answers(&request, &[Payload::Notify(Notify::new(NotifyType::NO_PROPOSAL_CHOSEN, []))]);
    assert_eq!(world.a.last_failure().unwrap().certainty, Certainty::Likely);
}

#[test]
fn a_peer_that_rekeys_much_earlier_is_told_of_twice_at_most() {
    let mut world = tunnel_of(with_child(alice(), |c| c.rekey_time = seconds(600)), bob());
    world.pass(seconds(590));
    assert!(noticed(&world.b).is_empty() || noticed(&world.b).len() == 1);
    world.pass(seconds(4 * 600));
    let told = noticed(&world.b);
    assert_eq!(codes(&told), ["lifetime.peer_shorter"; 2]);
    assert_eq!((told[0].certainty, told[1].certainty), (Certainty::Likely, Certainty::Proven));
    assert_eq!((told[1].local.get("lifetime"), told[1].peer.get("lifetime").len()), (&["3600 s".to_string()][..], 2));
    assert!(noticed(&world.a).is_empty() && world.b.failures().is_empty());
}
#[test]
fn rekeys_at_uneven_distances_are_not_those_of_a_clock() {
    let mut world = tunnel_of(alice(), bob());
    for after in [300, 900, 100] {
        world.pass(seconds(after));
        world.command_a(rekey(Some("lan")));
        world.pass(seconds(10));
    }
    let told = noticed(&world.b);
    assert!(told.iter().all(|told| told.certainty == Certainty::Likely));
    assert_eq!(told.last().unwrap().differing, ["bytes"]);
    // Somebody who tries it at once tries it.
    let mut world = tunnel_of(alice(), bob());
    world.command_a(rekey(Some("lan")));
    world.pass(seconds(10));
    assert!(noticed(&world.b).is_empty());
}

/// Bob has answered IKE_SA_INIT, and nothing more comes.
#[test]
fn an_initiator_that_does_not_go_on_is_told_of() {
    let of = |alice: Policy| {
        let mut world = World::new(alice, bob());
        world.drop = |d| d.is(ExchangeType::IKE_AUTH, false);
        world.command_a(up());
        world.pass(seconds(20));
        let told = world.b.last_failure().expect("it is told");
        assert_eq!(
            (world.b.failures().len(), told.certainty, told.connection.as_deref()),
            (1, Certainty::Likely, Some("net"))
        );
        told.code
    };
    assert_eq!(of(alice()), "net.filtered");
    // It may also be that it insists on what we do not have.
    assert_eq!(of(using(alice(), ppk("one", true))), "auth.ppk");
}
#[test]
fn of_strangers_from_anywhere_nothing_is_told_if_they_fall_silent() {
    let mut world = World::new(alice(), with(bob(), |c| c.remote_addrs = vec![Remote::Any]));
    world.drop = |d| d.is(ExchangeType::IKE_AUTH, false);
    world.command_a(up());
    world.pass(seconds(20));
    assert!(world.b.failures().is_empty());
}
/// Both have proven who they are, and the peer deletes the IKE SA before there is a child on it.
/// A method that nobody has heard of says nothing about the secret.
#[test]
fn another_method_is_not_another_secret() {
    let mut world = World::new(alice(), bob());
    let mut stranger = Stranger::like_alice().meets(&mut world);
    let mut proof = stranger.proof();
    let Payload::Auth(auth) = &mut proof[1] else { panic!("AUTH is the second") };
    auth.method = AuthMethod(200);
    let answer = stranger.asks(&mut world, ExchangeType::IKE_AUTH, &proof);
    assert_eq!(answer.error(), Some(NotifyType::AUTHENTICATION_FAILED));
    assert_eq!(world.b.last_failure().map(|f| f.code), Some("auth.method"));
}
#[test]
fn a_peer_that_turns_away_at_once_is_told_of() {
    let turned = |after: u64, with_child: bool| {
        let mut world = World::new(alice(), bob());
        let mut stranger = Stranger::like_alice().meets(&mut world);
        let mut proof = stranger.proof();
        if !with_child {
            proof.retain(|payload| !matches!(payload, Payload::Sa(_) | Payload::TsI(_) | Payload::TsR(_)));
        }
        stranger.asks(&mut world, ExchangeType::IKE_AUTH, &proof);
        assert_eq!(world.b.ikes(), 1);
        world.pass(seconds(after));
        let delete = Payload::Delete(Delete { protocol: ProtocolId::IKE, spis: Vec::new() });
        stranger.asks(&mut world, ExchangeType::INFORMATIONAL, &[delete]);
        assert_eq!(world.b.ikes(), 0);
        world.b.last_failure()
    };
    let told = turned(0, false).expect("it is told");
    assert_eq!(
        (told.code, told.certainty, told.notify.as_deref()),
        ("peer.refused", Certainty::Likely, Some("DELETE"))
    );
    assert!(told.candidates.contains(&"auth.id"));
    // Who has had it for a while, or a child on it, just takes it down.
    assert_eq!((turned(4, false), turned(0, true)), (None, None));
}
/// With a post-quantum secret in the keys either of the two may be the wrong one, unless the peer has proven itself without it, too.
#[test]
fn which_of_two_secrets_differs_is_told_as_far_as_it_shows() {
    let other = |required| {
        let mut policy = using(alice(), ppk("one", required));
        policy.secrets.retain(|secret| !matches!(&secret.ids[0], IdMatch::Exact(id) if id.kind == IdType::KEY_ID));
        policy.secrets.push(SharedSecret {
            ids: vec![IdMatch::Exact(Id { kind: IdType::KEY_ID, data: b"one".to_vec() })],
            ..secret(&["x"], "not that")
        });
        policy
    };
    let told = |alice| {
        let mut world = World::new(alice, using(bob(), ppk("one", false)));
        world.command_a(up());
        world.pass(seconds(1));
        world.b.last_failure().unwrap()
    };
    let sure = told(other(false));
    assert_eq!((sure.code, sure.certainty), ("auth.ppk", Certainty::Proven));
    let open = told(other(true));
    assert_eq!((open.certainty, open.candidates), (Certainty::Likely, vec!["auth.psk", "auth.ppk"]));
}
/// What a peer calls itself is shown to people, and to their terminals.
#[test]
fn texts_of_the_peer_have_no_control_characters() {
    let evil = "\u{1b}[31mroot\r\n\u{7}";
    let alice = with(alice(), |c| c.local_id = Some(name_id(evil)));
    let told = bob_of(alice, "whatever", bob());
    let (_, shown) = told.peer.iter().next().expect("who it is");
    assert!(told.peer.iter().flat_map(|(_, values)| values).all(|text| !text.contains(char::is_control)), "{shown:?}");
    let mut world = World::new(using(super::alice(), ppk(evil, true)), using(bob(), ppk("one", true)));
    world.a.endpoint.status();
    world.command_a(up());
    world.pass(seconds(7));
    let told = world.b.last_failure().expect("it is told");
    assert!(told.peer.iter().flat_map(|(_, values)| values).all(|text| !text.contains(char::is_control)));
}
