//! What comes in while a secret is being computed.
use super::*;
use crate::ike::sa::Phase;

const ROLES: [(&str, &str); 2] = [(ALICE, BOB), (BOB, ALICE)];

/// With a key exchange for the child, and computations that wait for somebody to do them.
fn tunnel() -> World {
    let pfs = |policy| with_child(policy, |c| c.proposals = esp("aes128gcm16-x25519"));
    let mut world = tunnel_of(pfs(alice()), pfs(bob()));
    (world.a.held, world.b.held) = (Some(Vec::new()), Some(Vec::new()));
    world
}

/// R10: the user takes the child down while the peer's rekey of it is being computed.
#[test]
fn r10_what_is_taken_down_meanwhile_is_not_rekeyed() {
    for (a, b) in ROLES {
        for answered in [false, true] {
            let mut world = tunnel();
            world.command(b, rekey(Some("lan")));
            world.pass_on(b);
            world.command(a, Command::Down { connection: "net".into(), child: Some("lan".into()) });
            let delete = world.catch(a);
            if answered {
                world.deliver(&delete);
                world.pass_on(b);
                assert!(world.peer(a).children().is_empty());
            }
            world.compute(a);
            let ups = world.peer(a).events.iter().filter(|e| matches!(e, Event::ChildUp(_))).count();
            assert_eq!(ups, 1, "TEMPORARY_FAILURE");
            world.pass_on(a);
            if !answered {
                world.deliver(&delete);
            }
            world.pass(seconds(5));
            assert_eq!((world.a.children().len(), world.b.children().len()), (0, 0));
            for peer in [&world.a, &world.b] {
                let Phase::Established(est) = &peer.endpoint.sas.values().next().unwrap().phase else { panic!() };
                assert!(est.children.is_empty() && est.asked.is_none() && peer.host.spis.is_empty());
            }
        }
    }
}
