//! A new policy is taken over while tunnels are up: what does not have to go stays, what has to goes when its successor is there.
use super::*;
use crate::ike::adopt::Grade;
use crate::ike::event::Ended;
use crate::wire::registry::ExchangeType;

/// Both ends as they will be.
type Edit = fn(&mut Connection);

fn adopt(world: &mut World, who: &str, policy: Policy) -> Vec<Grade> {
    drop(world.peer_mut(who).endpoint.adopted());
    world.command(who, Command::SetPolicy(Arc::new(policy)));
    world.peer_mut(who).endpoint.adopted().into_iter().map(|(_, grade)| grade).collect()
}
fn spis(peer: &Peer) -> Vec<(String, u32)> {
    peer.children().iter().map(|c| (c.child.to_string(), c.spi_in)).collect()
}
/// Our SPIs of the IKE SAs that are established.
fn ikes(peer: &Peer) -> Vec<crate::wire::message::IkeSpi> {
    let sas = peer.endpoint.status().remove(0).sas;
    sas.iter().filter(|sa| sa.since.is_some()).map(|sa| if sa.initiator { sa.spi_i } else { sa.spi_r }).collect()
}
/// Runs for some time; all the time each end has at least one `lan` that the other end has, too.
fn pass_without_a_gap(world: &mut World, time: Duration) {
    let end = world.now + time;
    while world.turn(end) {
        let shared = world.a.children().iter().any(|a| {
            world.b.children().iter().any(|b| *a.child == *b.child && (a.spi_in, a.spi_out) == (b.spi_out, b.spi_in))
        });
        assert!(shared, "at {:?}: {:?} {:?}", world.now, world.a.events, world.b.events);
    }
    world.now = end;
}
fn edited(policy: Policy, edit: Edit) -> Policy {
    with(policy, edit)
}
fn edit_child(c: &mut Connection, edit: impl FnOnce(&mut ChildPolicy)) {
    edit(Arc::make_mut(&mut c.children[0]));
}
fn lan(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

/// Nothing of what is up is touched by these, and nothing is said about them.
#[test]
fn what_is_only_done_otherwise_from_now_on_is_live() {
    let edits: &[(&str, Edit)] = &[
        ("dpd_delay", |c| c.dpd_delay = seconds(5)),
        ("keepalive", |c| c.keepalive = seconds(5)),
        ("rekey_time", |c| c.rekey_time = seconds(7200)),
        ("reauth_time", |c| c.reauth_time = seconds(7200)),
        ("over_time", |c| c.over_time = seconds(100)),
        ("rand_time", |c| c.rand_time = Some(seconds(1))),
        ("rekey", |c| c.rekey = policy::RekeyBy::Us),
        ("fragmentation", |c| c.fragmentation = false),
        ("mobike", |c| c.mobike = true),
        ("a group", |c| edit_child(c, |p| p.proposals = esp("aes128gcm16-x25519"))),
        ("childless", |c| c.childless = policy::Childless::Never),
        ("rehearse", |c| c.rehearse = true),
        ("unique", |c| c.unique = Unique::Keep),
        ("keylog", |c| c.keylog = true),
        ("further addresses", |c| c.remote_addrs.push(Remote::Addr(addr("198.51.100.9")))),
        ("any of our addresses", |c| c.local_addrs.clear()),
        ("further suites", |c| c.proposals = ike("aes256gcm16-prfsha384-x25519,aes128gcm16-prfsha256-x25519")),
        ("any identity", |c| c.remote_id = IdMatch::Any),
        ("start", |c| edit_child(c, |p| p.start = StartAction::Trap)),
        ("dpd", |c| edit_child(c, |p| p.dpd = DpdAction::Clear)),
        ("a child's rekey_time", |c| edit_child(c, |p| p.rekey_time = seconds(600))),
        ("a child's rekey_bytes", |c| edit_child(c, |p| p.rekey_bytes = 1 << 30)),
        ("a child's rekey_packets", |c| edit_child(c, |p| p.rekey_packets = 1 << 30)),
        ("a child's further suites", |c| edit_child(c, |p| p.proposals = esp("aes256gcm16,aes128gcm16"))),
        ("a child that nobody wants", |c| c.children.push(child("more", "10.3.0.0/16", "10.4.0.0/16"))),
    ];
    for (what, edit) in edits {
        let mut world = tunnel_of(alice(), bob());
        let before = (spis(&world.a), ikes(&world.a));
        for (who, policy) in [(ALICE, edited(alice(), *edit)), (BOB, edited(bob(), |_| {}))] {
            let grades = adopt(&mut world, who, policy);
            assert_eq!(grades, if who == ALICE { vec![Grade::Live] } else { vec![] }, "{what}");
        }
        world.pass(seconds(2));
        assert_eq!((spis(&world.a), ikes(&world.a)), before, "{what}");
        assert!(world.log.is_empty(), "{what}: {:?}", world.log.len());
    }
}

/// As soon as it is said: the timers are set anew, also of what is up.
#[test]
fn times_count_from_the_beginning_of_what_is_up() {
    let quiet = |p: Policy| with(p, |c| (c.dpd_delay, c.rand_time) = (Duration::ZERO, Some(Duration::ZERO)));
    let mut world = tunnel_of(quiet(alice()), quiet(bob()));
    let born = world.now;
    world.pass(seconds(100));
    adopt(&mut world, ALICE, with(quiet(alice()), |c| c.dpd_delay = seconds(5)));
    world.pass(seconds(2));
    assert_eq!(world.log.len(), 2, "it has asked whether Bob lives");
    let child_time = |time| with_child(quiet(alice()), move |p| p.rekey_time = seconds(time));
    adopt(&mut world, ALICE, child_time(300));
    let rekeyed =
        |world: &World| world.a.events.iter().any(|e| matches!(e, Event::ChildUp(up) if up.replaces.is_some()));
    world.pass(seconds(300) - (world.now - born) - seconds(3));
    assert!(!rekeyed(&world));
    world.pass(seconds(6));
    assert!(rekeyed(&world), "300 s after it had come up");
    // What is over by the new time is renewed soon, and nothing is cut off.
    world.pass(seconds(200));
    let before = spis(&world.a);
    adopt(&mut world, ALICE, child_time(60));
    pass_without_a_gap(&mut world, seconds(20));
    assert_ne!(spis(&world.a), before);
    let ended = |e: &&Event| matches!(e, Event::ChildDown { why: Ended::Expired, .. });
    assert_eq!(world.a.events.iter().find(ended).map(|_| ()), None);
}

#[test]
fn a_suite_that_is_not_allowed_any_more_is_rekeyed_away() {
    let strong = |p: Policy| with_child(p, |p| p.proposals = esp("aes256gcm16"));
    let both = |p: Policy| with_child(p, |p| p.proposals = esp("aes128gcm16,aes256gcm16"));
    let mut world = tunnel_of(alice(), both(bob()));
    let ike = ikes(&world.a);
    assert_eq!(adopt(&mut world, ALICE, strong(alice())), [Grade::RekeyChild(lan(&["lan"]))]);
    pass_without_a_gap(&mut world, seconds(10));
    assert_one_tunnel(&world);
    assert_eq!(world.a.children()[0].cipher, crate::crypto::cipher::Cipher::AesGcm256);
    assert_eq!(ikes(&world.a), ike);
    // Bob does not want it yet: what is there goes on.
    let mut world = tunnel_of(alice(), bob());
    adopt(&mut world, ALICE, strong(alice()));
    pass_without_a_gap(&mut world, seconds(10));
    assert!(world.a.failures().iter().all(|code| *code == "proposal.esp"), "{:?}", world.a.failures());
    assert_eq!(adopt(&mut world, BOB, strong(bob())), [Grade::RekeyChild(lan(&["lan"]))]);
    pass_without_a_gap(&mut world, seconds(60));
    assert_eq!(world.a.children()[0].cipher, crate::crypto::cipher::Cipher::AesGcm256);
}

/// The child of IKE_AUTH has no group of its own, so it does not show which one is meant.
#[test]
fn another_group_counts_from_the_next_rekey_on() {
    let pfs = |p: Policy| with_child(p, |p| p.proposals = esp("aes128gcm16-x25519"));
    let mut world = tunnel_of(alice(), bob());
    adopt(&mut world, BOB, pfs(bob()));
    assert_eq!(adopt(&mut world, ALICE, pfs(alice())), [Grade::Live]);
    world.command_a(rekey(Some("lan")));
    pass_without_a_gap(&mut world, seconds(10));
    assert_one_tunnel(&world);
    assert!(crate::wire::keyword::proposal(&world.a.children()[0].proposal).contains("x25519"));
}

#[test]
fn other_selectors_are_there_before_the_old_ones_go() {
    let wide = |p: Policy| {
        with_child(p, |p| {
            let grow = |ts: &mut Vec<crate::wire::selector::Selector>| ts.push("10.77.0.0/16".parse().unwrap());
            grow(if p.local_ts[0].start == addr("10.1.0.0") { &mut p.local_ts } else { &mut p.remote_ts });
        })
    };
    for first in [ALICE, BOB] {
        let mut world = tunnel_of(alice(), bob());
        let (before, ike) = (spis(&world.a), ikes(&world.a));
        let second = if first == ALICE { BOB } else { ALICE };
        let policy = |who: &str| wide(if who == ALICE { alice() } else { bob() });
        assert_eq!(adopt(&mut world, first, policy(first)), [Grade::RestartChild(lan(&["lan"]))]);
        pass_without_a_gap(&mut world, seconds(3));
        adopt(&mut world, second, policy(second));
        pass_without_a_gap(&mut world, seconds(60));
        assert_one_tunnel(&world);
        assert_eq!(world.a.children()[0].local_ts.len(), 2, "{first}");
        assert_ne!(spis(&world.a), before);
        assert_eq!(ikes(&world.a), ike);
        assert!(world.a.failures().is_empty() && world.b.failures().is_empty());
    }
}

/// The new one is refused: the old one goes after a while, as the configuration does not have it any more.
#[test]
fn what_the_peer_refuses_leaves_the_old_one_for_a_while() {
    let other = |p: Policy| {
        with_child(p, |p| {
            p.remote_ts = vec!["10.88.0.0/16".parse().unwrap()];
            p.start = StartAction::Start;
        })
    };
    let mut world = tunnel_of(alice(), bob());
    adopt(&mut world, ALICE, other(alice()));
    pass_without_a_gap(&mut world, seconds(9));
    world.pass(seconds(5));
    assert_eq!((world.a.children().len(), world.b.children().len(), world.a.ikes()), (0, 0, 1));
    assert_eq!(world.a.last_failure().unwrap().code, "ts.mismatch");
    // Bob follows, and it comes up by itself.
    adopt(&mut world, BOB, with_child(bob(), |p| p.local_ts = vec!["10.88.0.0/16".parse().unwrap()]));
    world.pass(seconds(30));
    assert_one_tunnel(&world);
}

#[test]
fn children_come_and_go_alone() {
    let two = |p: Policy, l, r| {
        with(p, |c| {
            let mut more = child("two", l, r);
            Arc::make_mut(&mut more).start = StartAction::Start;
            c.children.push(more);
        })
    };
    let mut world = tunnel_of(alice(), bob());
    let (before, ike) = (spis(&world.a), ikes(&world.a));
    assert_eq!(adopt(&mut world, BOB, two(bob(), "10.4.0.0/16", "10.3.0.0/16")), [Grade::Live]);
    assert_eq!(adopt(&mut world, ALICE, two(alice(), "10.3.0.0/16", "10.4.0.0/16")), [Grade::Live]);
    world.pass(seconds(30));
    assert_eq!(world.a.children().len(), 2);
    assert_eq!((spis(&world.a)[0].clone(), ikes(&world.a)), (before[0].clone(), ike.clone()));
    world.log.clear();
    assert_eq!(adopt(&mut world, ALICE, alice()), [Grade::RestartChild(lan(&["two"]))]);
    assert_eq!(adopt(&mut world, BOB, bob()), [Grade::RestartChild(lan(&["two"]))]);
    world.pass(seconds(30));
    assert_eq!((spis(&world.a), ikes(&world.a)), (before, ike));
    assert_one_tunnel(&world);
}

/// Another IKE SA is made beside the one that is not permitted any more.
#[test]
fn what_was_negotiated_otherwise_is_made_before_the_old_one_goes() {
    let edits: &[(&str, Edit, Edit)] = &[
        (
            "suites",
            |c| c.proposals = ike("aes256gcm16-prfsha384-x25519"),
            |c| c.proposals = ike("aes128gcm16-prfsha256-x25519,aes256gcm16-prfsha384-x25519"),
        ),
        ("our name", |c| c.local_id = Some(name_id("carol")), |c| c.remote_id = IdMatch::Any),
        ("encap", |c| c.encap = EncapPolicy::Always, |_| {}),
    ];
    for (what, ours, theirs) in edits {
        let theirs = with(bob(), *theirs);
        let theirs = Policy { secrets: vec![secret(&["alice", "bob", "carol"], SECRET)], ..theirs };
        let mut world = tunnel_of(alice(), theirs);
        let (before, ike) = (spis(&world.a), ikes(&world.a));
        world.weather.delay = 20;
        let changed = Policy { secrets: vec![secret(&["alice", "bob", "carol"], SECRET)], ..with(alice(), *ours) };
        assert_eq!(adopt(&mut world, ALICE, changed), [Grade::RestartIke], "{what}");
        pass_without_a_gap(&mut world, seconds(30));
        assert_one_tunnel(&world);
        assert!(ikes(&world.a) != ike && spis(&world.a) != before, "{what}");
        assert!(world.a.failures().is_empty(), "{what}: {:?}", world.a.failures());
    }
}

/// Bob does not permit it: then the old one goes, and comes back as soon as he does.
#[test]
fn what_cannot_be_made_anew_goes_when_that_is_known() {
    let strong = |p: Policy| {
        with(p, |c| {
            c.proposals = ike("aes256gcm16-prfsha384-x25519");
            edit_child(c, |p| p.start = StartAction::Start);
        })
    };
    let mut world = tunnel_of(alice(), bob());
    assert_eq!(adopt(&mut world, ALICE, strong(alice())), [Grade::RestartIke]);
    let failed = |world: &World| world.a.failures().contains(&"proposal.ike");
    while !failed(&world) {
        assert_eq!(world.a.ikes(), 1);
        assert!(world.turn(world.now + seconds(300)));
    }
    let begin = world.now;
    while world.a.ikes() > 0 {
        assert!(world.turn(begin + seconds(300)));
    }
    world.pass(seconds(10));
    assert_eq!((world.a.ikes(), world.b.ikes(), world.b.children().len()), (0, 0, 0));
    adopt(&mut world, BOB, strong(bob()));
    world.pass(seconds(300));
    assert_one_tunnel(&world);
}

/// A peer that cannot be called comes again by itself.
#[test]
fn who_cannot_be_called_is_told_to_go() {
    let any = |p: Policy| with(p, |c| c.remote_addrs = vec![Remote::Any]);
    let persistent = with_child(alice(), |p| p.start = StartAction::Start);
    let mut world = World::new(persistent, any(bob()));
    world.pass(seconds(2));
    assert_one_tunnel(&world);
    let both = ike("aes256gcm16-prfsha384-x25519,aes128gcm16-prfsha256-x25519");
    let changed = with(any(bob()), |c| (c.proposals, c.encap) = (both.clone(), EncapPolicy::Always));
    assert_eq!(adopt(&mut world, BOB, changed), [Grade::RestartIke]);
    world.pass(seconds(20));
    assert_one_tunnel(&world);
}

#[test]
fn connections_come_and_go_and_the_others_do_not_notice() {
    let more = |p: Policy| {
        let mut more = (*p.connections[0]).clone();
        (more.name, more.remote_addrs) = ("more".into(), vec![Remote::Addr(addr("198.51.100.7"))]);
        Policy { connections: [p.connections.clone(), vec![Arc::new(more)]].concat(), ..p }
    };
    let mut world = tunnel_of(alice(), bob());
    let before = (spis(&world.a), ikes(&world.a));
    assert_eq!(adopt(&mut world, ALICE, more(alice())), [Grade::New]);
    assert_eq!(adopt(&mut world, ALICE, alice()), [Grade::Gone]);
    world.pass(seconds(5));
    assert_eq!((spis(&world.a), ikes(&world.a)), before);
    assert!(world.log.is_empty());
    assert_eq!(adopt(&mut world, ALICE, Policy { connections: Vec::new(), ..alice() }), [Grade::Gone]);
    world.pass(seconds(1));
    assert_eq!((world.b.ikes(), world.b.children().len()), (0, 0));
}

/// The configuration changes while the answer to a rekey, or to the first request, is on its way.
#[test]
fn what_is_under_way_becomes_what_it_should_be() {
    let narrow = |p: Policy| {
        with_child(p, |p| {
            let shrink = |ts: &mut Vec<crate::wire::selector::Selector>| ts[0] = "10.1.7.0/24".parse().unwrap();
            shrink(if p.local_ts[0].start == addr("10.1.0.0") { &mut p.local_ts } else { &mut p.remote_ts });
        })
    };
    let mut world = tunnel_of(alice(), bob());
    world.weather.delay = 50;
    world.command_a(rekey(Some("lan")));
    assert_eq!(adopt(&mut world, ALICE, narrow(alice())), [Grade::RestartChild(lan(&["lan"]))]);
    pass_without_a_gap(&mut world, seconds(60));
    assert_one_tunnel(&world);
    assert_eq!(world.a.children()[0].local_ts[0].to_string(), "10.1.7.0/24");
    // Of an attempt.
    let mut world = World::new(alice(), bob());
    world.weather.delay = 50;
    world.command_a(up());
    world.pass(Duration::from_millis(120));
    assert_eq!(adopt(&mut world, ALICE, narrow(alice())), [Grade::Live]);
    world.pass(seconds(60));
    assert_one_tunnel(&world);
    assert_eq!(world.a.children()[0].local_ts[0].to_string(), "10.1.7.0/24");
    let inits = world.log.iter().filter(|(_, d)| d.is(ExchangeType::IKE_SA_INIT, false)).count();
    assert_eq!(inits, 1, "it went on");
}

/// Back before anything came of it: as if nothing had been.
#[test]
fn a_change_that_is_taken_back_leaves_what_was() {
    let strong = with(alice(), |c| c.proposals = ike("aes256gcm16-prfsha384-x25519"));
    let mut world = tunnel_of(alice(), bob());
    let before = (spis(&world.a), ikes(&world.a));
    world.weather.delay = 50;
    assert_eq!(adopt(&mut world, ALICE, strong), [Grade::RestartIke]);
    adopt(&mut world, ALICE, alice());
    pass_without_a_gap(&mut world, seconds(60));
    assert_eq!((spis(&world.a), ikes(&world.a)), before);
    assert_eq!(world.a.endpoint.common.links["net"].sas.len(), 1);
}

/// What a user took down stays down, unless the configuration now says otherwise.
#[test]
fn what_users_want_outlives_a_change() {
    let start = |p: Policy, start| with_child(p, move |p| p.start = start);
    let mut world = World::new(start(alice(), StartAction::Start), bob());
    world.pass(seconds(2));
    world.command_a(down());
    world.pass(seconds(2));
    adopt(&mut world, ALICE, with(start(alice(), StartAction::Start), |c| c.dpd_delay = seconds(7)));
    world.pass(seconds(70));
    assert_eq!(world.a.ikes(), 0);
    adopt(&mut world, ALICE, start(alice(), StartAction::Trap));
    world.pass(seconds(70));
    assert_eq!(world.a.ikes(), 0);
    adopt(&mut world, ALICE, start(alice(), StartAction::Start));
    world.pass(seconds(2));
    assert_one_tunnel(&world);
}
