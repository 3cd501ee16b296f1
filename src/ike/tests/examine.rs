//! What does the peer take (`ike::examine`)? A peer for each thing that may differ, and what is found out about it within the limits.
use super::super::diagnose::{Certainty, Failure};
use super::super::event::{Command, Event, Input};
use super::super::examine::{Examined, NotNow};
use super::super::policy::{IdMatch, Policy, Remote, StartAction};
use super::wire::{Datagram, World};
use super::{
    ALICE, BOB, SECRET, addr, alice, bob, esp, ike, is_denial, name_id, seconds, secret, tunnel_of, up, with,
    with_child,
};
use crate::wire::message::{Header, IkeSpi, Message};
use crate::wire::payload::{Notify, Payload};
use crate::wire::registry::{ExchangeType, NotifyType, PayloadType};
use std::net::SocketAddr;
use std::time::Duration;

fn examine() -> Command {
    Command::Examine { connection: "net".into() }
}
impl World {
    /// Alice examines Bob: what came of it.
    fn examined(&mut self) -> Examined {
        self.a.events.clear();
        self.command_a(examine());
        self.pass(seconds(130));
        self.result()
    }
    fn result(&self) -> Examined {
        let mut results = self.a.events.iter().filter_map(|event| match event {
            Event::Examined(examined) => Some((**examined).clone()),
            _ => None,
        });
        let result = results.next().unwrap_or_else(|| panic!("no result: {:?}", self.a.events));
        assert!(results.next().is_none(), "two results");
        result
    }
    fn refused(&self) -> Vec<NotNow> {
        let why = |event: &Event| if let Event::NotExamined { why, .. } = event { Some(*why) } else { None };
        self.a.events.iter().filter_map(why).collect()
    }
    /// When Alice has sent what nobody had authenticated yet: IKE_SA_INIT, and messages of IKEv1.
    fn openings(&self) -> Vec<Duration> {
        let opens =
            |d: &Datagram| d.from.ip() == addr(ALICE) && (d.data[17] == 0x10 || d.is(ExchangeType::IKE_SA_INIT, false));
        self.log.iter().filter(|(_, d)| opens(d)).map(|(at, _)| *at).collect()
    }
}
/// The failure, with its code, certainty and what differs.
fn found(examined: &Examined) -> (&'static str, bool, Vec<&'static str>) {
    let failure = examined.failure.as_ref().unwrap_or_else(|| panic!("nothing found: {:?}", examined.questions));
    (failure.code, failure.certainty == Certainty::Proven, failure.differing.clone())
}
fn peers(failure: &Failure, what: &str) -> Vec<String> {
    failure.peer.get(what).to_vec()
}
/// Two gateways with these IKE suites.
fn suites(ours: &str, theirs: &str) -> World {
    World::new(with(alice(), |c| c.proposals = ike(ours)), with(bob(), |c| c.proposals = ike(theirs)))
}
const OURS: &str = "aes256-sha256-modp2048";

#[test]
fn the_suite_that_the_peer_takes_is_found_and_proven() {
    for (theirs, code, differing) in [
        ("aes128-sha256-modp2048", "proposal.encr", vec!["encr"]),
        ("aes256-sha512-prfsha256-modp2048", "proposal.integ", vec!["integ"]),
        ("aes256-sha256-prfsha384-modp2048", "proposal.prf", vec!["prf"]),
        ("aes256-sha256-ecp256", "proposal.ke", vec!["ke"]),
        ("aes128gcm16-prfsha512-x25519", "proposal.encr", vec!["encr", "prf", "ke"]),
    ] {
        let mut world = suites(OURS, theirs);
        let examined = world.examined();
        assert_eq!(found(&examined), (code, true, differing), "{theirs}: {:?}", examined.questions);
        let failure = examined.failure.unwrap();
        assert_eq!(peers(&failure, "proposals").len(), 1);
        assert!(peers(&failure, "proposals")[0].starts_with(theirs.split('-').next().unwrap()), "{failure:?}");
        // It is the connection's last word, and nothing is left of the questions.
        assert_eq!(world.a.last_failure().map(|f| f.code), Some(code));
        assert!(world.a.endpoint.sas.is_empty() && world.a.host.spis.is_empty());
    }
}
#[test]
fn what_is_asked_keeps_the_pace_and_the_number_over_repeated_commands() {
    let mut world = suites(OURS, "aes128gcm16-prfsha512-x25519");
    let mut results = 0;
    for _ in 0..60 {
        world.command_a(examine());
        world.pass(seconds(10));
        results = world.a.events.iter().filter(|e| matches!(e, Event::Examined(_))).count();
    }
    let sent = world.openings();
    assert!(results >= 3 && sent.len() > 24, "{results} {}", sent.len());
    assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= seconds(5)), "{sent:?}");
    assert!(sent.windows(13).all(|some| some[12] - some[0] >= seconds(120)), "{sent:?}");
    let refused = world.refused();
    assert!(refused.contains(&NotNow::UnderWay));
    let later = |why: &&NotNow| matches!(why, NotNow::Later(wait) if *wait > Duration::ZERO && *wait <= seconds(120));
    assert!(refused.iter().any(|why| later(&why)), "{refused:?}");
}
/// The same peer under another name is the same peer.
#[test]
fn the_number_counts_by_address() {
    let mut policy = with(alice(), |c| c.proposals = ike(OURS));
    let mut other = (*policy.connections[0]).clone();
    other.name = "again".into();
    policy.connections.push(other.into());
    let mut world = World::new(policy, with(bob(), |c| c.proposals = ike("aes128gcm16-prfsha512-x25519")));
    world.command_a(examine());
    world.pass(seconds(3));
    world.command_a(Command::Examine { connection: "again".into() });
    world.pass(seconds(110));
    let sent = world.openings();
    assert!(sent.len() <= 12 && sent.windows(2).all(|pair| pair[1] - pair[0] >= seconds(5)), "{sent:?}");
}
#[test]
fn an_attempt_is_held_back_while_its_peer_is_examined_and_goes_on_afterwards() {
    let mut world = suites(OURS, "aes256-sha256-ecp256");
    world.command_a(up());
    world.pass(seconds(3));
    let before = world.openings().len();
    world.command_a(examine());
    world.pass(seconds(8));
    world.command_a(up());
    world.pass(seconds(2));
    assert_eq!(world.openings().len() - before, 3, "own, widest, and widest with the group");
    world.pass(seconds(20));
    assert!(world.openings().len() - before > 5, "it tries on");
}
#[test]
fn nothing_differs_and_it_comes_up() {
    let mut world = World::new(wanted(alice()), bob());
    let examined = world.examined();
    assert_eq!(examined.failure, None);
    let asked: Vec<_> = examined.questions.iter().map(|q| (q.exchange, q.asked)).collect();
    assert_eq!(asked, [("IKE_SA_INIT", "own"), ("IKE_AUTH", "own")]);
    super::assert_one_tunnel(&world);
    // Once it is up there is nothing to ask.
    world.log.clear();
    assert!(world.examined().questions.is_empty() && world.openings().is_empty());
}
#[test]
fn what_was_taken_down_or_nobody_wants_does_not_stay_up() {
    for (down, policy) in [(true, wanted(alice())), (false, alice())] {
        let mut world = World::new(policy, bob());
        if down {
            world.command_a(super::down());
        }
        assert_eq!(world.examined().failure, None);
        assert_eq!((world.a.ikes(), world.b.ikes()), (0, 0));
    }
    // What the peer has made is not ours to end.
    let mut world = World::new(alice(), bob());
    world.command_b(up());
    world.pass(seconds(1));
    assert_eq!(world.examined().failure, None);
    assert_eq!((world.a.endpoint.sas.len(), world.b.endpoint.sas.len(), world.b.children().len()), (1, 1, 1));
}
/// It is up if we have a say in it.
fn wanted(policy: Policy) -> Policy {
    with_child(policy, |c| c.start = StartAction::Start)
}
#[test]
fn who_takes_it_down_meanwhile_ends_it() {
    for order in [super::down(), Command::Hold { connection: "net".into() }] {
        let mut world = World::new(wanted(alice()), with(bob(), |c| c.proposals = ike("aes128gcm16-prfsha512-x25519")));
        world.command_a(examine());
        world.pass(seconds(2));
        world.command_a(order);
        assert_eq!(world.refused(), [NotNow::BrokenOff]);
        world.log.clear();
        world.command_b(Command::SetPolicy(bob().into()));
        world.pass(seconds(130));
        assert_eq!((world.openings().len(), world.a.ikes()), (0, 0));
    }
}
/// Nobody looked at the time until long after the end of it, while an answer to the first question may still be contradicted.
#[test]
fn a_leap_past_the_end_ends_it() {
    let mut world = suites(OURS, "aes128gcm16-prfsha512-x25519");
    world.command_a(examine());
    world.pass(seconds(4));
    world.drop = |_| true;
    world.pass(seconds(2));
    assert_eq!(world.openings().len(), 2, "own, widest");
    world.now += seconds(200);
    world.input_a(Input::Timer);
    world.pass(seconds(5));
    assert_eq!(world.refused(), [NotNow::BrokenOff], "nothing is known yet");
}
/// An end that comes with a message, and not with the time, is an end as well.
#[test]
fn what_is_wanted_is_tried_on_after_every_end() {
    let theirs = Policy { secrets: vec![secret(&["alice", "bob"], "another")], ..bob() };
    let mut world = World::new(wanted(alice()), theirs);
    assert_eq!(found(&world.examined()).0, "auth.failed");
    let before = world.openings().len();
    world.pass(seconds(130));
    assert!(world.openings().len() > before);
}

#[test]
fn a_peer_that_says_nothing_is_asked_a_few_times_and_no_more() {
    let mut world = World::new(alice(), bob());
    world.drop = |d| d.from.ip() == addr(ALICE);
    let examined = world.examined();
    assert_eq!(found(&examined), ("net.no_response", false, vec![]));
    let to: Vec<u16> = world.sent_by(ALICE).iter().map(|d| d.to.port()).collect();
    assert_eq!(to, [500, 500, 500, 4500, 4500, 4500]);
}
#[test]
fn only_the_port_for_ike_is_closed() {
    let mut world = World::new(alice(), bob());
    world.drop = |d| d.to.port() == 500 && d.from.ip() == addr(ALICE);
    assert_eq!(found(&world.examined()), ("net.filtered", false, vec![]));
}
/// A gateway that has had enough says nothing any more: it is left alone, and that is what is told.
#[test]
fn a_peer_that_falls_silent_is_left_alone() {
    let mut world = suites(OURS, "aes128gcm16-prfsha512-x25519");
    world.command_a(examine());
    world.pass(seconds(4));
    world.drop = |d| d.from.ip() == addr(BOB);
    world.pass(seconds(120));
    assert_eq!(found(&world.result()), ("net.blacklisted", false, vec![]));
    assert_eq!(world.openings().len(), 3, "one that was answered, two that were not");
}
/// Behind a NAT everything after IKE_SA_INIT goes by the other port.
#[test]
fn the_port_for_nat_traversal_is_closed() {
    let mut world = World::new(alice(), with(bob(), |c| c.remote_addrs = vec![Remote::Any]));
    world.nat = Some((addr("198.51.100.9"), 0));
    world.drop = |d| d.to.port() == 4500;
    assert_eq!(found(&world.examined()), ("net.natt_blocked", false, vec![]));
    let candidates = world.a.last_failure().unwrap().candidates;
    assert!(candidates.contains(&"net.natt_blocked"));
}

#[test]
fn a_wrong_secret_stays_one_of_several_possibilities() {
    let mut world = World::new(alice(), Policy { secrets: vec![secret(&["alice", "bob"], "another")], ..bob() });
    let examined = world.examined();
    assert_eq!(found(&examined), ("auth.failed", false, vec![]));
    assert!(examined.failure.unwrap().candidates.contains(&"auth.psk"));
    let asked: Vec<_> = examined.questions.iter().map(|q| (q.exchange, q.asked)).collect();
    let auth = |asked| ("IKE_AUTH", asked);
    assert_eq!(asked, [("IKE_SA_INIT", "own"), auth("own"), ("IKE_SA_INIT", "own"), auth("unnamed")]);
    assert_eq!(world.a.ikes(), 0);
}
/// The peer calls itself otherwise than we think. It proves that with the secret of this connection, and then nothing stays.
#[test]
fn another_name_of_the_peer_is_proven() {
    let theirs = Policy { secrets: vec![secret(&["alice", "robert"], SECRET)], ..bob() };
    let theirs = with(theirs, |c| c.local_id = Some(name_id("robert")));
    let mut world = World::new(alice(), theirs);
    let examined = world.examined();
    // The name is proven. That it is what was wrong is not: there may be another connection at the peer, of the name that we want.
    assert_eq!(found(&examined), ("auth.id", false, vec!["remote.id"]), "{:?}", examined.questions);
    let failure = examined.failure.unwrap();
    assert_eq!(failure.candidates, ["auth.id", "auth.psk"]);
    assert_eq!(
        (failure.local.get("remote_id"), failure.peer.get("remote_id")),
        (&["bob".into()][..], &["robert".into()][..])
    );
    assert_eq!((world.a.ikes(), world.b.ikes(), world.b.children().len()), (0, 0, 0), "nothing stays");
    assert!(!world.a.events.iter().any(|e| matches!(e, Event::IkeUp { .. } | Event::ChildUp(_))), "nor was anything");
    assert!(world.a.host.spis.is_empty());
}
/// Whoever answers without knowing the secret has proven nothing.
#[test]
fn a_name_that_is_not_proven_is_not_believed() {
    let theirs = Policy { secrets: vec![secret(&["alice", "robert"], "another")], ..bob() };
    let theirs = with(theirs, |c| c.local_id = Some(name_id("robert")));
    let examined = World::new(alice(), theirs).examined();
    assert_eq!(found(&examined), ("auth.failed", false, vec![]));
}

#[test]
fn the_suite_of_a_child_is_found_inside_the_ike_sa() {
    for (ours, theirs, code, differing) in [
        ("aes256-sha256", "aes128-sha256", "proposal.encr", "encr"),
        ("aes256-sha256", "aes256-sha512", "proposal.integ", "integ"),
        ("aes256-sha256", "aes256-sha256-esn", "proposal.esn", "esn"),
    ] {
        let a = with_child(alice(), |c| c.proposals = esp(ours));
        let mut world = World::new(a, with_child(bob(), |c| c.proposals = esp(theirs)));
        let examined = world.examined();
        assert_eq!(found(&examined), (code, true, vec![differing]), "{theirs}: {:?}", examined.questions);
        let failure = examined.failure.unwrap();
        assert_eq!(
            (failure.child.as_deref(), peers(&failure, "esp_proposals")),
            (Some("lan"), vec![theirs.to_owned()])
        );
        nothing_installed(&world);
        assert_eq!(world.openings().len(), 1);
    }
}
/// What the peer has made for a question is gone, and was never ours.
fn nothing_installed(world: &World) {
    assert!(!world.a.events.iter().any(|e| matches!(e, Event::ChildUp(_))), "{:?}", world.a.events);
    assert!(world.b.children().is_empty() && world.a.host.spis.is_empty(), "{:?}", world.a.host.spis);
}
#[test]
fn the_selectors_of_the_peer_are_found_by_asking_for_everything() {
    let a = with_child(alice(), |c| c.proposals = esp("aes128gcm16-modp2048"));
    let theirs = with_child(bob(), |c| {
        c.remote_ts = vec!["10.9.0.0/16".parse().unwrap()];
        c.proposals = esp("aes128gcm16-modp3072");
    });
    let mut world = World::new(a, theirs);
    let examined = world.examined();
    assert_eq!(found(&examined), ("ts.mismatch", true, vec!["local_ts"]), "{:?}", examined.questions);
    let failure = examined.failure.unwrap();
    assert_eq!(
        (peers(&failure, "local_ts"), peers(&failure, "remote_ts")),
        (vec!["10.9.0.0/16".into()], vec!["10.2.0.0/16".into()])
    );
    nothing_installed(&world);
}
/// The child is up and stays up: what is asked about its group is about packets that nobody sends.
#[test]
fn a_wrong_group_for_rekeys_is_found_beside_the_child() {
    let a = with_child(with(alice(), |c| c.rehearse = true), |c| c.proposals = esp("aes128gcm16-modp2048"));
    let b = with_child(bob(), |c| c.proposals = esp("aes128gcm16-ecp256"));
    let mut world = tunnel_of(a, b);
    world.pass(seconds(20));
    assert_eq!(world.a.last_failure().map(|f| (f.code, f.certainty)), Some(("pfs.mismatch", Certainty::Likely)));
    let before = (world.a.children()[0].spi_in, world.b.children()[0].spi_in);
    // What happens to children from here on.
    let events = world.b.events.len();
    let examined = world.examined();
    assert_eq!(found(&examined), ("pfs.mismatch", true, vec!["ke"]), "{:?}", examined.questions);
    assert_eq!(peers(&examined.failure.unwrap(), "esp_proposals"), ["aes128gcm16-ecp256"]);
    assert_eq!(world.b.children().len(), 1);
    assert_eq!(world.b.children()[0].spi_in, before.1);
    let made = world.b.events[events..].iter().filter_map(|e| if let Event::ChildUp(up) = e { Some(up) } else { None });
    let made: Vec<_> = made.flat_map(|up| up.local_ts.iter().chain(&up.remote_ts)).map(|ts| ts.proto).collect();
    assert!(!made.is_empty() && made.iter().all(|proto| *proto == 253), "{made:?}");
}
/// It answers with a group that was not offered: a key of that group beside that offer would be no question.
#[test]
fn a_group_that_was_not_offered_is_an_answer() {
    let a = with_child(with(alice(), |c| c.rehearse = true), |c| c.proposals = esp("aes128gcm16-modp2048"));
    let mut world = tunnel_of(a, with_child(bob(), |c| c.proposals = esp("aes128gcm16-ecp256")));
    world.pass(seconds(20));
    world.a.events.clear();
    world.command_a(examine());
    let request = world.catch(ALICE);
    let wants = Notify::new(NotifyType::INVALID_KE_PAYLOAD, vec![0, 19]);
    world.bob_answers(&request, &[Payload::Notify(wants)]);
    world.pass(seconds(40));
    let examined = world.result();
    assert_eq!(found(&examined), ("pfs.mismatch", true, vec!["ke"]), "{:?}", examined.questions);
    let asked: Vec<_> = examined.questions.iter().map(|q| q.asked).take(2).collect();
    assert_eq!(asked, ["own", "widest"]);
}
/// AWS and the like: a second child would take the place of the first.
#[test]
fn where_a_second_child_is_not_for_the_peer_none_is_asked_for_beside_the_first() {
    let a = with_child(alice(), |c| c.proposals = esp("aes128gcm16-modp2048"));
    let mut world = tunnel_of(a, with_child(bob(), |c| c.proposals = esp("aes128gcm16-ecp256")));
    world.command_a(super::rekey(Some("lan")));
    world.pass(seconds(2));
    assert_eq!(world.a.last_failure().map(|f| f.code), Some("pfs.mismatch"));
    world.log.clear();
    let examined = world.examined();
    assert!(examined.questions.is_empty());
}

#[test]
fn nobody_is_asked_but_a_configured_address() {
    for remote in [vec![Remote::Any], vec![Remote::Addr(addr(BOB)), Remote::Any]] {
        let mut world = World::new(with(alice(), |c| c.remote_addrs.clone_from(&remote)), bob());
        world.command_a(examine());
        world.pass(seconds(10));
        assert_eq!((world.refused(), world.log.len()), (vec![NotNow::RespondOnly], 0));
    }
    let mut world = World::new(alice(), bob());
    world.command_a(Command::Examine { connection: "other".into() });
    assert_eq!(world.refused(), [NotNow::Unknown]);
}
/// An answer in the clear, to Alice's first message.
fn forged(to: &Datagram, version: (u8, u8), from: SocketAddr, payloads: Vec<Payload>) -> Datagram {
    let asked = to.header();
    let header = Header { spi_r: IkeSpi([9; 8]), version, initiator: false, response: true, ..asked };
    let header = if version.0 == 1 { Header { exchange: ExchangeType(2), id: 0, ..header } } else { header };
    let mut data = Message { header, payloads }.encode();
    if version.0 == 1 {
        data[16] = 1;
    }
    Datagram { from, to: to.from, data, dont_fragment: false }
}
fn refusal() -> Vec<Payload> {
    says(NotifyType::NO_PROPOSAL_CHOSEN)
}
fn says(kind: NotifyType) -> Vec<Payload> {
    vec![Payload::Notify(Notify::new(kind, Vec::new()))]
}
#[test]
fn an_answer_counts_only_from_whom_was_asked() {
    let mut world = World::new(alice(), bob());
    world.command_a(examine());
    let request = world.catch(ALICE);
    let stranger = SocketAddr::new(addr("198.51.100.66"), 500);
    world.deliver(&forged(&request, (2, 0), stranger, refusal()));
    world.deliver(&request);
    world.pass(seconds(130));
    assert_eq!(world.result().failure, None);
}
/// Somebody on the way answers before the peer does, which it cannot keep from answering: then nothing is proven.
#[test]
fn two_answers_that_differ_prove_nothing() {
    let mut world = suites(OURS, "aes128-sha256-modp2048");
    world.command_a(examine());
    world.pass(seconds(4));
    world.weather.delay = 300;
    world.pass(seconds(1));
    world.pass(Duration::from_millis(100));
    let widest = world.sent_by(ALICE).last().copied().unwrap().clone();
    let peer = SocketAddr::new(addr(BOB), 500);
    world.deliver(&forged(&widest, (2, 0), peer, refusal()));
    world.pass(seconds(130));
    let (code, proven, _) = found(&world.result());
    assert!(!proven, "{code}");
}
/// Nothing of IKEv2 is taken: one message of IKEv1, and who answers it in that version speaks it. Who has answered in IKEv2, too, speaks that as well.
#[test]
fn a_peer_of_the_version_before_is_recognised() {
    before(NotifyType::INVALID_MAJOR_VERSION, true);
    before(NotifyType::NO_PROPOSAL_CHOSEN, false);
}
fn before(refuses: NotifyType, proven: bool) {
    let mut world = suites(OURS, OURS);
    world.drop = |_| true;
    world.command_a(examine());
    let peer = SocketAddr::new(addr(BOB), 500);
    let mut seen = 0;
    while world.a.events.iter().all(|e| !matches!(e, Event::Examined(_))) && world.now < seconds(1130) {
        world.pass(Duration::from_millis(500));
        let sent: Vec<_> = world.sent_by(ALICE).into_iter().skip(seen).cloned().collect();
        seen += sent.len();
        for d in sent {
            let answer = match d.data[17] {
                0x10 => forged(&d, (1, 0), peer, Vec::new()),
                _ => forged(&d, (2, 0), peer, says(refuses)),
            };
            world.deliver(&answer);
        }
    }
    assert_eq!(found(&world.result()), ("version.ikev1_peer", proven, vec![]));
    let old: Vec<_> = world.sent_by(ALICE).into_iter().filter(|d| d.data[17] == 0x10).collect();
    assert_eq!((old.len(), old[0].header().first), (1, PayloadType(1)));
}
/// A peer that takes nothing and does not speak the version before either: that is all that can be said.
#[test]
fn a_peer_that_takes_nothing_proves_nothing() {
    let mut world = World::new(alice(), with(bob(), |c| c.remote_addrs = vec![Remote::Addr(addr("198.51.100.1"))]));
    let examined = world.examined();
    let (code, proven, _) = found(&examined);
    assert!(!proven && code == "peer.unknown", "{code}");
    assert!(examined.failure.unwrap().candidates.contains(&"version.ikev1_peer"));
    assert_eq!(examined.questions.last().map(|q| q.asked), Some("main_mode"));
}
/// A reload that changes the connection makes the rest of the questions pointless.
#[test]
fn another_configuration_ends_it() {
    let mut world = suites(OURS, "aes128gcm16-prfsha512-x25519");
    world.command_a(examine());
    world.pass(seconds(2));
    world.command_a(Command::SetPolicy(with(alice(), |c| c.remote_id = IdMatch::Any).into()));
    assert_eq!(world.refused(), [NotNow::BrokenOff], "which is not that nothing is wrong");
    world.log.clear();
    world.pass(seconds(60));
    assert!(world.log.iter().all(|(_, d)| !is_denial(d)));
    assert_eq!(world.openings().len(), 0, "nobody wants it up");
}
