//! What whoever captures sees of it.
use super::build::*;
use super::gateway::*;
use super::segment::segments;
use super::transport::{hosts, rebuilt, transport};
use crate::dataplane::tap::{Capture, Held, Plane, Wanted};
use crate::io::VnetHeader;
use crate::ipsec::path::Encap;
use std::sync::Arc;

/// Octets of a packet, and whether we sent it.
type Seen = Vec<(bool, Vec<u8>)>;

fn capture(gateway: &Gateway, wanted: Wanted) -> Arc<Capture> {
    let capture = Arc::new(Capture::new(wanted, 1));
    gateway.tap.add(capture.clone());
    capture
}

fn both() -> Wanted {
    Wanted { outer: true, inner: true, snaplen: 65_535, ..Wanted::default() }
}

/// What was seen outside and inside.
fn seen(capture: &Capture) -> (Seen, Seen) {
    let (mut held, mut outer, mut inner): (Vec<Held>, _, _) = (Vec::new(), Vec::new(), Vec::new());
    capture.take(&mut held);
    for Held { packets, octets } in held {
        let mut octets = &octets[..];
        for packet in packets {
            let (own, rest) = octets.split_at(packet.kept);
            octets = rest;
            match packet.plane {
                Plane::Outer => outer.push((packet.outgoing, own.to_vec())),
                Plane::Inner(name) => {
                    assert_eq!(&*name, "office/lan");
                    inner.push((packet.outgoing, own.to_vec()));
                }
            }
        }
    }
    (outer, inner)
}

#[test]
fn both_planes_of_both_ends_are_what_was_sent() {
    for encap in [Encap::Udp, Encap::Raw] {
        let (mut left, mut right) = pair(&Setup { encap, ..Setup::default() });
        let (ours, theirs) = (capture(&left, both()), capture(&right, both()));
        let large = Build { flags: ACK | PSH, id: 1000, ..Build::tcp(false, 4_000) };
        let plain = segments(&large.gso(1300), &large.partial()).unwrap();
        left.host.push(large.gso(1300), large.partial());
        left.turn();
        right.turn();
        let (outer, inner) = seen(&ours);
        assert_eq!(inner, plain.iter().map(|packet| (true, packet.clone())).collect::<Vec<_>>());
        assert!(outer.len() == plain.len() && outer.iter().all(|(outgoing, _)| *outgoing));
        let (outer_there, inner_there) = seen(&theirs);
        assert_eq!(inner_there, plain.into_iter().map(|packet| (false, packet)).collect::<Vec<_>>());
        // What one end sends, headers and all, the other one gets.
        assert_eq!(outer_there, outer.into_iter().map(|(_, packet)| (false, packet)).collect::<Vec<_>>());
    }
}

#[test]
fn transport_mode_shows_whole_packets() {
    let (mut left, mut right) = hosts(&transport(false));
    let (ours, theirs) = (capture(&left, both()), capture(&right, both()));
    let packet = Build::udp(false, 100).packet();
    left.host.push(VnetHeader::default(), packet.clone());
    left.turn();
    right.turn();
    let ((outer, sent), (_, came)) = (seen(&ours), seen(&theirs));
    assert_eq!((outer.len(), came), (1, vec![(false, rebuilt(&packet))]));
    assert_eq!(sent, [(true, packet)]);
}

#[test]
fn who_wants_another_connection_sees_nothing_of_this_one() {
    let (mut left, mut right) = pair(&Setup::default());
    let others = capture(&right, Wanted { connection: Some("of".into()), ..both() });
    left.host.push(VnetHeader::default(), Build::udp(false, 10).packet());
    left.turn();
    right.turn();
    assert_eq!(seen(&others), (Vec::new(), Vec::new()));
    // An unknown SPI is nobody's: only who wants everything sees it.
    let every = capture(&right, both());
    let stray = right.train(&[[0x77; 60].to_vec()]);
    right.port.inject(stray);
    right.turn();
    assert_eq!((seen(&every).0.len(), seen(&others).0.len()), (1, 0));
}

#[test]
fn a_copy_that_comes_twice_is_seen_twice_outside_and_once_inside() {
    let (mut left, mut right) = pair(&Setup::default());
    let theirs = capture(&right, both());
    let trains = left.send(VnetHeader::default(), Build::udp(false, 10).packet());
    for train in trains.iter().chain(&trains) {
        right.port.inject(train.clone());
    }
    right.turn();
    let (outer, inner) = seen(&theirs);
    assert_eq!((outer.len(), inner.len()), (2, 1));
}
