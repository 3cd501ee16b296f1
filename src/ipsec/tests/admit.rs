//! Which packets an SA takes (RFC 4301 sections 5.1, 5.2 and 7.3).
use super::super::path::{Encap, Path};
use super::super::sad::InboundEntry;
use super::super::spd::Slot;
use super::super::tables::OutboundEntry;
use super::*;
use crate::esp::drop::Drop;
use crate::esp::outbound::OutboundSa;
use arc_swap::ArcSwap;

fn entry(local: &[&str], remote: &[&str], check_fragments: bool) -> InboundEntry {
    InboundEntry {
        spi: 0x100,
        sa: InboundSa::new(&sa_params(0x100), 64),
        child: child(Slot(0)),
        local_ts: selectors(local).into(),
        remote_ts: selectors(remote).into(),
        check_fragments,
        mode: Mode::Tunnel,
        traffic: Traffic::default(),
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

#[test]
fn inbound_the_source_is_remote_and_the_destination_local() {
    let entry = entry(&["10.1.0.0/16", "10.9.0.5"], &["10.2.0.0/16"], true);
    assert_eq!(entry.admits(&flow("10.2.0.1", "10.1.0.1", TCP, 1, 2)), Ok(()));
    assert_eq!(entry.admits(&flow("10.2.0.1", "10.9.0.5", UDP, 1, 2)), Ok(()));
    for (src, dst) in
        [("10.1.0.1", "10.2.0.1"), ("10.3.0.1", "10.1.0.1"), ("10.2.0.1", "10.9.0.6"), ("fd00::1", "fd00::2")]
    {
        assert_eq!(entry.admits(&flow(src, dst, TCP, 1, 2)), Err(Drop::SelectorMismatch), "{src} {dst}");
    }
    assert_eq!(entry.admits(&later(flow("10.2.0.1", "10.1.0.1", TCP, 1, 2))), Ok(()), "no ports, no harm");
    assert_eq!(entry.admits(&later(flow("10.3.0.1", "10.1.0.1", TCP, 1, 2))), Err(Drop::SelectorMismatch));
}

#[test]
fn ports_belong_to_their_end() {
    let entry = entry(&["10.1.0.0/16[tcp/443]"], &["10.2.0.0/16[tcp]"], true);
    assert_eq!(entry.admits(&flow("10.2.0.1", "10.1.0.1", TCP, 5000, 443)), Ok(()));
    assert_eq!(entry.admits(&flow("10.2.0.1", "10.1.0.1", TCP, 443, 5000)), Err(Drop::SelectorMismatch));
    assert_eq!(entry.admits(&flow("10.2.0.1", "10.1.0.1", UDP, 5000, 443)), Err(Drop::SelectorMismatch));
}

#[test]
fn a_later_fragment_is_dropped_by_name_where_ports_were_negotiated() {
    let fragment = later(flow("10.2.0.1", "10.1.0.1", TCP, 0, 0));
    let other = later(flow("10.2.0.1", "10.1.0.1", UDP, 0, 0));
    let strict = entry(&["10.1.0.0/16[tcp/443]"], &["10.2.0.0/16"], true);
    assert_eq!(strict.admits(&fragment), Err(Drop::LaterFragment));
    assert_eq!(strict.admits(&other), Err(Drop::SelectorMismatch), "its protocol is known");
    let agreed = entry(&["10.1.0.0/16[tcp/443]"], &["10.2.0.0/16"], false);
    assert_eq!(agreed.admits(&fragment), Ok(()));
    assert_eq!(agreed.admits(&other), Err(Drop::SelectorMismatch));
    assert_eq!(
        agreed.admits(&flow("10.2.0.1", "10.1.0.1", TCP, 1, 444)),
        Err(Drop::SelectorMismatch),
        "ports that are known count"
    );
}

#[test]
fn outbound_the_source_is_local_and_the_destination_remote() {
    let path = Path {
        local: "192.0.2.1:4500".parse().unwrap(),
        remote: "203.0.113.7:4500".parse().unwrap(),
        encap: Encap::Udp,
        may_move: false,
        mtu: 1500,
    };
    let entry = OutboundEntry {
        sa: OutboundSa::new(&sa_params(0x200), [0; 16]),
        local_ts: selectors(&["10.1.0.0/24"]).into(),
        remote_ts: selectors(&["10.2.0.0/16[udp/53]"]).into(),
        path: Arc::new(ArcSwap::from_pointee(path)),
        transport: false,
        traffic: Traffic::default(),
    };
    assert_eq!(entry.admits(&flow("10.1.0.1", "10.2.0.1", UDP, 5000, 53)), Ok(()));
    assert_eq!(
        entry.admits(&flow("10.1.1.1", "10.2.0.1", UDP, 5000, 53)),
        Err(Drop::SelectorMismatch),
        "narrowed away"
    );
    assert_eq!(entry.admits(&flow("10.1.0.1", "10.2.0.1", UDP, 53, 5000)), Err(Drop::SelectorMismatch));
    assert_eq!(entry.admits(&later(flow("10.1.0.1", "10.2.0.1", UDP, 0, 0))), Err(Drop::LaterFragment));
}
