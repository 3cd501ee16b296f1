//! Endpoints against each other and against attackers, over a simulated wire with a virtual clock; one file per topic.
//!
//! A test reads as a play: `World::new(alice, bob)`, then who does what, which message is held back, and who must win.
mod adopt;
mod certs;
mod child_collisions;
mod childless;
mod computing;
mod configuration;
mod create_child;
mod delete;
mod establish;
mod established;
mod examine;
mod flood;
mod fragments;
mod give_way;
mod held;
mod hostile;
mod ike_collisions;
mod inputs;
mod inputs_certs;
mod interleave;
mod intermediate;
mod lifetimes;
mod limits;
mod mobike;
mod moves;
mod multi_ke;
mod one_peer;
mod ppk;
mod probe;
mod reauth;
mod refuse;
mod rekey_child;
mod rekey_ike;
mod resources;
mod siblings;
mod silence;
mod stranger;
mod stray;
mod told;
mod transport;
mod ways;
mod windows;
mod wire;

use super::event::{ChildUp, Command, Event};
use super::policy::{
    self, ChildPolicy, Connection, DpdAction, EncapPolicy, IdMatch, Limits, Policy, Ports, Remote, Retransmit,
    SharedSecret, StartAction, Unique,
};
use crate::crypto::secret::Secret;
use crate::wire::keyword;
use crate::wire::payload::Id;
use crate::wire::registry::{IdType, ProtocolId};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use wire::{Peer, World};

const ALICE: &str = "192.0.2.1";
const BOB: &str = "203.0.113.7";
const SECRET: &str = "a secret of both";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
fn name_id(name: &str) -> Id {
    Id { kind: IdType::FQDN, data: name.as_bytes().to_vec() }
}

/// A connection with one child `lan` from 10.1.0.0/16 to 10.2.0.0/16, as one side has it.
fn connection(local: &str, remote: &str) -> Connection {
    let ids = |addr: &str| name_id(if addr == ALICE { "alice" } else { "bob" });
    Connection {
        name: "net".into(),
        local_addrs: vec![local.parse().unwrap()],
        remote_addrs: vec![Remote::Addr(remote.parse().unwrap())],
        proposals: ike("aes128gcm16-prfsha256-x25519"),
        local_id: Some(ids(local)),
        remote_id: IdMatch::Exact(ids(remote)),
        encap: EncapPolicy::Auto,
        dpd_delay: seconds(30),
        keepalive: seconds(20),
        rekey_time: seconds(4 * 3600),
        local_auth: Default::default(),
        remote_auth: Default::default(),
        reauth_time: Duration::ZERO,
        over_time: Duration::ZERO,
        rand_time: None,
        rekey: Default::default(),
        fragmentation: true,
        mobike: false,
        childless: Default::default(),
        rehearse: false,
        ppk: None,
        vips: Vec::new(),
        pools: Vec::new(),
        keylog: false,
        unique: Unique::Replace,
        children: vec![if local == ALICE {
            child("lan", "10.1.0.0/16", "10.2.0.0/16")
        } else {
            child("lan", "10.2.0.0/16", "10.1.0.0/16")
        }],
    }
}
fn alice() -> Policy {
    policy(connection(ALICE, BOB))
}
fn bob() -> Policy {
    policy(connection(BOB, ALICE))
}
fn policy(connection: Connection) -> Policy {
    Policy {
        ports: Ports::default(),
        retransmit: Retransmit::default(),
        limits: Limits::default(),
        connections: vec![Arc::new(connection)],
        secrets: vec![secret(&["alice", "bob"], SECRET)],
        credentials: Default::default(),
    }
}
fn secret(ids: &[&str], text: &str) -> SharedSecret {
    SharedSecret {
        name: ids.concat().into(),
        ids: ids.iter().map(|id| IdMatch::Exact(name_id(id))).collect(),
        secret: Secret::new(text.as_bytes().to_vec()),
    }
}
pub(super) fn child(name: &str, local: &str, remote: &str) -> Arc<ChildPolicy> {
    let list = |s: &str| s.split(',').map(|s| s.parse().unwrap()).collect();
    Arc::new(ChildPolicy {
        name: name.into(),
        local_ts: list(local),
        remote_ts: list(remote),
        proposals: esp("aes128gcm16"),
        start: StartAction::None,
        dpd: DpdAction::Restart,
        transport: false,
        rekey_time: seconds(3600),
        rekey_bytes: 0,
        rekey_packets: 0,
        resources: 0,
    })
}
fn ike(list: &str) -> Vec<crate::wire::payload::Proposal> {
    list.split(',').map(|s| keyword::parse(ProtocolId::IKE, s).unwrap()).collect()
}
fn esp(list: &str) -> Vec<crate::wire::payload::Proposal> {
    list.split(',').map(|s| keyword::parse(ProtocolId::ESP, s).unwrap()).collect()
}
/// The policy with its first connection changed.
fn with(mut policy: Policy, change: impl FnOnce(&mut Connection)) -> Policy {
    let mut connection = (*policy.connections[0]).clone();
    change(&mut connection);
    policy.connections[0] = Arc::new(connection);
    policy
}
/// The connection's first child changed.
fn with_child(policy: Policy, change: impl FnOnce(&mut ChildPolicy)) -> Policy {
    with(policy, |c| {
        let mut child = (*c.children[0]).clone();
        change(&mut child);
        c.children[0] = Arc::new(child);
    })
}
fn up() -> Command {
    Command::Up { connection: "net".into(), child: None }
}
fn rekey(child: Option<&str>) -> Command {
    Command::Rekey { connection: "net".into(), child: child.map(Into::into) }
}
fn down() -> Command {
    Command::Down { connection: "net".into(), child: None }
}

impl Peer {
    fn children(&self) -> Vec<&ChildUp> {
        let mut up: Vec<&ChildUp> = Vec::new();
        for event in &self.events {
            match event {
                Event::ChildUp(child) => up.push(child),
                Event::ChildDown { id, .. } => up.retain(|c| c.id != *id),
                _ => {}
            }
        }
        up
    }
    fn ikes(&self) -> usize {
        let count = |f: fn(&Event) -> bool| self.events.iter().filter(|e| f(e)).count();
        count(|e| matches!(e, Event::IkeUp { .. })) - count(|e| matches!(e, Event::IkeDown { .. }))
    }
    fn failures(&self) -> Vec<&'static str> {
        self.events.iter().filter_map(|e| if let Event::Failed(f) = e { Some(f.code) } else { None }).collect()
    }
    fn last_failure(&self) -> Option<super::diagnose::Failure> {
        self.endpoint.status().remove(0).last_failure
    }
    fn state(&self) -> super::status::State {
        self.endpoint.status()[0].state
    }
}
/// A tunnel of Alice's making, and nothing in the log.
fn tunnel_of(alice: Policy, bob: Policy) -> World {
    let mut world = World::new(alice, bob);
    world.command_a(up());
    world.pass(seconds(1));
    assert_one_tunnel(&world);
    world.log.clear();
    world
}
/// It says in the clear that its sender has no such IKE SA, and nothing else.
fn is_denial(datagram: &wire::Datagram) -> bool {
    use crate::wire::{message::Message, payload::Payload, registry::NotifyType};
    let payloads = Message::parse(&datagram.data).map(|message| message.payloads).unwrap_or_default();
    matches!(&payloads[..], [Payload::Notify(notify)] if notify.kind == NotifyType::INVALID_IKE_SPI)
}
/// Both ends have the same one child, with each other's keys, SPIs and selectors.
fn assert_one_tunnel(world: &World) {
    let (a, b) = (world.a.children(), world.b.children());
    assert_eq!(
        (a.len(), b.len(), world.a.ikes(), world.b.ikes()),
        (1, 1, 1, 1),
        "{:?} {:?}",
        world.a.events,
        world.b.events
    );
    assert_mirrored(a[0], b[0]);
}
fn assert_mirrored(a: &ChildUp, b: &ChildUp) {
    assert_eq!((a.spi_in, a.spi_out), (b.spi_out, b.spi_in));
    assert_eq!((&a.local_ts, &a.remote_ts), (&b.remote_ts, &b.local_ts));
    assert_eq!((a.cipher, a.esn, a.path.udp), (b.cipher, b.esn, b.path.udp));
    let same = |x: &super::event::DirectionKeys, y: &super::event::DirectionKeys| {
        assert_eq!(x.encr.expose(), y.encr.expose());
        assert_eq!(x.integ.expose(), y.integ.expose());
        assert_eq!(x.encr.len(), a.cipher.encr_key_len());
    };
    same(&a.keys_in, &b.keys_out);
    same(&a.keys_out, &b.keys_in);
    assert_ne!(a.keys_in.encr.expose(), a.keys_out.encr.expose());
    assert_ne!(a.initiator, b.initiator);
}
fn addr(s: &str) -> IpAddr {
    s.parse().unwrap()
}
