//! What a seed makes: who talks to whom, with what in the configuration, in which weather, and what is done to them.
use super::dice::Dice;
use crate::crypto::ke::NULL_GROUPS;
use crate::crypto::secret::Secret;
use crate::ike::policy::{
    ChildPolicy, Connection, DpdAction, EncapPolicy, IdMatch, Limits, Policy, Ports, RekeyBy, Remote, Retransmit,
    SharedSecret, StartAction, Unique,
};
use crate::wire::keyword;
use crate::wire::payload::{Id, Proposal, Transform};
use crate::wire::registry::{IdType, ProtocolId, TransformType};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

/// What the wire does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Percent.
    pub loss: u64,
    /// Percent.
    pub duplicate: u64,
    /// Milliseconds at least.
    pub delay: u64,
    /// Up to so many milliseconds more, which reorders.
    pub jitter: u64,
}
/// A run.
#[derive(Debug)]
pub(super) struct Plan {
    /// Only rekeys, and nothing is lost: no packet may be lost either.
    pub fair: bool,
    /// The hub first.
    pub hosts: Vec<Place>,
    pub weather: Weather,
    /// So long things happen.
    pub storm: Duration,
    /// Between two of them.
    pub pace: Duration,
    /// The path is probed, and takes IKE messages of so many octets.
    pub narrow: Option<usize>,
    /// Configurations change.
    pub edits: bool,
}
/// One host of the plan.
#[derive(Debug)]
pub(super) struct Place {
    pub name: &'static str,
    pub addr: IpAddr,
    /// Behind a translator with this address.
    pub outside: Option<IpAddr>,
    /// Thousandths of the true speed of time.
    pub rate: u32,
    pub policy: Policy,
}

/// Address of host number `i`.
fn addr(i: usize) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 10 + i as u8).into()
}
fn outside(i: usize) -> IpAddr {
    Ipv4Addr::new(203, 0, 113, 10 + i as u8).into()
}
const NAMES: [&str; 3] = ["hub", "alice", "bob"];

/// Everything that both ends of a connection have in common.
struct Terms {
    children: usize,
    pfs: bool,
    /// The hub knows where the spoke is.
    known: bool,
    rekey_child: Duration,
    rekey_ike: Duration,
    packets: u64,
}

impl Plan {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let fair = dice.percent(30);
        let spokes = if dice.percent(20) { 2 } else { 1 };
        let worst = if dice.percent(20) { 2500 } else { 400 };
        let weather = if fair {
            Weather { loss: 0, duplicate: dice.below(21), delay: 1 + dice.below(150), jitter: dice.below(300) }
        } else {
            Weather {
                loss: dice.below(21),
                duplicate: dice.below(21),
                delay: 1 + dice.below(200),
                jitter: dice.below(worst),
            }
        };
        let nat: Vec<bool> = (0..spokes).map(|_| dice.percent(25)).collect();
        let terms: Vec<Terms> = (0..spokes).map(|i| Terms::new(dice, fair, !nat[i])).collect();
        let of_hub = (0..spokes).map(|i| {
            let peer = if nat[i] { outside(i + 1) } else { addr(i + 1) };
            connection(dice, &terms[i], (0, i + 1), peer)
        });
        let of_hub = of_hub.collect();
        let mut policies = vec![policy(dice, of_hub)];
        for (i, terms) in terms.iter().enumerate() {
            let own = connection(dice, terms, (i + 1, 0), addr(0));
            policies.push(policy(dice, vec![own]));
        }
        let hosts = policies.into_iter().enumerate().map(|(i, policy)| Place {
            name: NAMES[i],
            addr: addr(i),
            outside: (i > 0 && nat[i - 1]).then_some(outside(i)),
            rate: if dice.percent(30) { 900 + dice.below(201) as u32 } else { 1000 },
            policy,
        });
        let mut hosts: Vec<Place> = hosts.collect();
        let (storm, pace) = (dice.millis(40_000..150_000), dice.millis(500..8000));
        // By dice of their own: a run without them is what it was before there were any.
        let mut own = Dice::seeded((storm.as_millis() * 10_000 + pace.as_millis()) as u64);
        resources(&mut own, &mut hosts);
        let narrow = own.percent(35).then(|| 500 + own.below(1000) as usize);
        let edits = own.percent(40);
        Self { fair, hosts, weather, storm, pace, narrow, edits }
    }
}
impl Terms {
    fn new(dice: &mut Dice, fair: bool, known: bool) -> Self {
        // A child ends a tenth after it should have been rekeyed: in a fair run that is time enough for two attempts.
        let child = if fair { 60_000..120_000 } else { 3000..30_000 };
        Self {
            children: 1 + dice.below(3) as usize,
            pfs: dice.percent(40),
            known: known && (fair || dice.percent(70)),
            rekey_child: if dice.percent(80) { dice.millis(child) } else { Duration::ZERO },
            rekey_ike: if dice.percent(70) { dice.millis(7000..40_000) } else { Duration::ZERO },
            packets: if dice.percent(20) { 300 + dice.below(500) } else { 0 },
        }
    }
}

/// In some runs there are children for one resource each (RFC 9611), as many as the one end wants, or the other, which may have none.
fn resources(dice: &mut Dice, hosts: &mut [Place]) {
    if !dice.percent(35) {
        return;
    }
    for connection in hosts.iter_mut().flat_map(|host| &mut host.policy.connections) {
        for child in &mut Arc::make_mut(connection).children {
            Arc::make_mut(child).resources = dice.below(5) as u32;
        }
    }
}

/// The hub and a spoke with two children that nobody wants yet.
pub(super) fn two() -> [Place; 2] {
    let mut dice = Dice::seeded(0);
    let terms = Terms {
        children: 2,
        pfs: true,
        known: true,
        rekey_child: Duration::ZERO,
        rekey_ike: Duration::ZERO,
        packets: 0,
    };
    [0, 1].map(|i| {
        let mut connection = connection(&mut dice, &terms, (i, 1 - i), addr(1 - i));
        for child in &mut connection.children {
            *child = Arc::new(ChildPolicy { start: StartAction::None, ..(**child).clone() });
        }
        let policy = policy(&mut dice, vec![connection]);
        Place { name: NAMES[i], addr: addr(i), outside: None, rate: 1000, policy }
    })
}

/// A suite with groups that cost nothing. All have the first of them; some prefer the other, which costs a round more if the peer does not.
fn suite(dice: &mut Dice, protocol: ProtocolId, text: &str, groups: bool) -> Vec<Proposal> {
    let mut proposal = keyword::parse(protocol, text).expect("a keyword");
    proposal.transforms.retain(|t| t.kind != TransformType::KE);
    let order = dice.pick::<&[usize]>(&[&[0], &[0, 1], &[1, 0]]);
    let transform =
        |g: &usize| Transform { kind: TransformType::KE, id: NULL_GROUPS[*g].0, key_bits: None, foreign: false };
    proposal.transforms.extend(order.iter().map(transform).filter(|_| groups));
    vec![proposal]
}
fn id(i: usize) -> Id {
    Id { kind: IdType::FQDN, data: NAMES[i].as_bytes().to_vec() }
}
/// The connection between the hub and a spoke, as `ours` has it.
fn connection(dice: &mut Dice, terms: &Terms, (ours, theirs): (usize, usize), peer: IpAddr) -> Connection {
    let hub = ours == 0;
    let spoke = ours.max(theirs);
    let children = (0..terms.children).map(|n| Arc::new(child(dice, terms, (spoke, n), hub))).collect();
    Connection {
        name: format!("net{spoke}").into(),
        local_addrs: Vec::new(),
        remote_addrs: vec![if hub && !terms.known { Remote::Any } else { Remote::Addr(peer) }],
        proposals: suite(dice, ProtocolId::IKE, "aes128gcm16-prfsha256-x25519", true),
        local_id: Some(id(ours)),
        remote_id: IdMatch::Exact(id(theirs)),
        encap: EncapPolicy::Auto,
        dpd_delay: dice.millis(3000..20_000),
        keepalive: Duration::from_secs(20),
        local_auth: Default::default(),
        remote_auth: Default::default(),
        rekey_time: terms.rekey_ike,
        reauth_time: Duration::ZERO,
        over_time: Duration::from_secs(600),
        rand_time: Some(Duration::ZERO),
        rekey: *dice.pick(&[RekeyBy::Both, RekeyBy::Both, RekeyBy::Both, RekeyBy::Us]),
        fragmentation: true,
        mobike: false,
        childless: Default::default(),
        rehearse: false,
        ppk: None,
        vips: Vec::new(),
        pools: Vec::new(),
        keylog: false,
        unique: Unique::Replace,
        children,
    }
}
fn child(dice: &mut Dice, terms: &Terms, (spoke, n): (usize, usize), hub: bool) -> ChildPolicy {
    let at_hub = format!("10.0.{n}.0/24").parse().expect("a selector");
    let at_spoke = format!("10.{spoke}.{n}.0/24").parse().expect("a selector");
    let (local, remote) = if hub { (at_hub, at_spoke) } else { (at_spoke, at_hub) };
    let starts = [StartAction::Start, StartAction::Start, StartAction::Trap, StartAction::None];
    ChildPolicy {
        name: format!("lan{n}").into(),
        local_ts: vec![local],
        remote_ts: vec![remote],
        proposals: suite(dice, ProtocolId::ESP, "aes128gcm16", terms.pfs),
        start: *dice.pick(&starts),
        dpd: *dice.pick(&[DpdAction::Restart, DpdAction::Restart, DpdAction::Trap, DpdAction::Clear]),
        transport: false,
        rekey_time: terms.rekey_child,
        rekey_bytes: 0,
        rekey_packets: terms.packets,
        resources: 0,
    }
}
fn policy(dice: &mut Dice, connections: Vec<Connection>) -> Policy {
    let first = dice.millis(200..600);
    let tries = 5 + dice.below(3) as u32;
    Policy {
        ports: Ports::default(),
        retransmit: Retransmit { first, factor: 1.6, max: Duration::from_secs(3), tries },
        limits: Limits::default(),
        connections: connections.into_iter().map(Arc::new).collect(),
        secrets: vec![SharedSecret {
            name: "all".into(),
            ids: vec![IdMatch::Any],
            secret: Secret::new(b"a secret of all of them".to_vec()),
        }],
        credentials: Default::default(),
    }
}
