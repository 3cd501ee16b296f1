//! Questions about what is configured and what went wrong: which child would carry a packet, the last failures.
use super::extract::{Document, Params, Segments};
use super::problem::Problem;
use super::request::Request;
use super::resources::{Kind, Method, Operation, Parameter, Role, json};
use super::routes::Api;
use super::types::{Diagnoses, Why};
use crate::ipsec::spd::{Action, DeviceId, Found};
use crate::ipsec::tables::Tables;
use crate::wire::ip::Flow;
use axum::Json;
use axum::extract::State;
use axum::routing::on;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use utoipa::ToSchema;

/// What is served here.
pub const OPERATIONS: &[Operation] = &[
    Operation::new(
        (Method::Post, "/v1/match"),
        Role::Observe,
        "Which child would carry this packet, and why: the policies are asked as for a packet",
        |verb| on(verb, matching),
    )
    .reads()
    .takes(json::<Packet>().example(r#"{"src":"10.1.0.7","dst":"10.2.0.9","protocol":"tcp","port":443}"#), 4096)
    .answers(json::<Matches>())
    .fails(&[
        (400, "The body is no packet: `src` and `dst` are addresses of one family"),
        (415, "The body is no JSON"),
    ]),
    Operation::new(
        (Method::Get, "/v1/connections/{name}/why"),
        Role::Observe,
        "What is wrong with a connection now, the worst first; nothing, if it is as it should be",
        |verb| on(verb, why),
    )
    .answers(json::<Why>())
    .fails(&[(404, "There is no such connection")]),
    Operation::new(
        (Method::Get, "/v1/diagnoses"),
        Role::Observe,
        "What went wrong lately, of all connections and of strangers, the newest first",
        |verb| on(verb, diagnoses),
    )
    .with(&[Parameter::query("connection", Kind::Text(""), "Of this one alone")])
    .answers(json::<Diagnoses>()),
];

/// A packet as hosts behind us send it.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Packet {
    #[schema(value_type = String, example = "10.1.0.7")]
    pub src: IpAddr,
    #[schema(value_type = String, example = "10.2.0.9")]
    pub dst: IpAddr,
    /// A number, or `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, `gre`, `ospf`; ICMP unless said.
    pub protocol: Option<Protocol>,
    /// Destination port.
    #[serde(default)]
    pub port: u16,
    /// Source port.
    #[serde(default)]
    pub source_port: u16,
}
/// An upper-layer protocol.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Protocol {
    /// By its number.
    Number(u8),
    /// By its name.
    Name(Name),
}
/// The names that are known.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Name {
    Icmp,
    Tcp,
    Udp,
    Gre,
    Icmpv6,
    Ospf,
    Sctp,
}

/// What becomes of a packet: on the gateway's device, and on devices of connections' own, if routes lead it there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Matches {
    pub matches: Vec<Match>,
    /// In a sentence: what is decided on what.
    pub why: String,
}
/// The policy that a packet meets on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Match {
    /// The connection whose own device it is; `null`: the gateway's.
    pub device_of: Option<String>,
    pub connection: String,
    pub child: String,
    /// `protect`, `pass` or `drop`.
    pub action: String,
    pub priority: i32,
    pub local_ts: Vec<String>,
    pub remote_ts: Vec<String>,
    /// Of `protect`: there is an SA, and what was negotiated for it takes this packet, or `no_sa`, or why not.
    pub verdict: String,
}

impl Packet {
    fn flow(&self) -> Option<Flow> {
        let proto = match self.protocol {
            Some(Protocol::Number(number)) => number,
            Some(Protocol::Name(name)) => name.number(),
            None if self.src.is_ipv4() => Name::Icmp.number(),
            None => Name::Icmpv6.number(),
        };
        let Self { src, dst, port: dport, source_port: sport, .. } = *self;
        let flow = Flow { src, dst, proto, sport, dport, later_fragment: false };
        (src.is_ipv4() == dst.is_ipv4()).then_some(flow)
    }
}
impl Name {
    fn number(self) -> u8 {
        match self {
            Self::Icmp => 1,
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Gre => 47,
            Self::Icmpv6 => 58,
            Self::Ospf => 89,
            Self::Sctp => 132,
        }
    }
}

async fn matching(State(api): State<Api>, Document(packet): Document<Packet>) -> Result<Json<Matches>, Problem> {
    let flow = packet.flow().ok_or_else(|| Problem::body("`src` and `dst` are of different families"))?;
    Ok(Json(ask(&api.tables, &flow)))
}

/// Asks the policies of every device.
fn ask(tables: &Tables, flow: &Flow) -> Matches {
    let (spd, children) = (tables.spd.load(), tables.children.load());
    let owner = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    let mut devices: BTreeMap<DeviceId, BTreeSet<String>> = BTreeMap::from([(DeviceId(0), BTreeSet::new())]);
    for child in children.iter() {
        devices.entry(child.device()).or_default().insert(owner(&child.name));
    }
    let of = |(device, owners): (&DeviceId, &BTreeSet<String>)| {
        let Found { action, policy } = spd.lookup(*device, flow)?;
        let (connection, child) = policy.name.split_once('/').unwrap_or((&policy.name, ""));
        let (action, verdict) = match action {
            Action::Pass => ("pass", "it leaves in the clear".into()),
            Action::Drop => ("drop", "policy_drop".into()),
            Action::Protect(slot) => {
                let sa = children.get(slot).and_then(|child| child.outbound.load_full());
                let verdict = sa.map_or(Err("no_sa"), |sa| sa.admits(flow).map_err(|drop| drop.name()));
                ("protect", verdict.err().unwrap_or("an SA takes it").to_owned())
            }
        };
        let texts = |list: &[_]| list.iter().map(ToString::to_string).collect();
        Some(Match {
            device_of: owners.first().filter(|_| device.0 != 0).cloned(),
            connection: connection.into(),
            child: child.into(),
            action: action.into(),
            priority: policy.priority,
            local_ts: texts(&policy.local),
            remote_ts: texts(&policy.remote),
            verdict,
        })
    };
    let matches: Vec<Match> = devices.iter().filter_map(of).collect();
    let why = match matches.as_slice() {
        [] => {
            "no policy has selectors for it (no_policy): in the tunnel's device it would be refused, and without a route to it it goes its own way"
        }
        [Match { device_of: None, .. }] => {
            "of the policies whose selectors take it, the one with the longest remote prefix has it, then the longest local one, then the highest priority"
        }
        _ => {
            "routes decide which device it comes to; on each, the longest remote prefix has it, then the longest local one, then the highest priority"
        }
    };
    Matches { matches, why: why.into() }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    connection: Option<String>,
}

async fn diagnoses(State(api): State<Api>, Params(of): Params<Of>) -> Result<Json<Diagnoses>, Problem> {
    let of = of.connection.as_deref().map(Into::into);
    Ok(Json(Diagnoses { diagnoses: api.engine.ask(|reply| Request::Diagnoses(of, reply)).await? }))
}

async fn why(State(api): State<Api>, Segments(name): Segments<String>) -> Result<Json<Why>, Problem> {
    let found = api.engine.ask(|reply| Request::Why(name.as_str().into(), reply)).await?;
    Ok(Json(*found.ok_or_else(|| Problem::unknown_connection(&name))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipsec::spd::{PolicyEntry, Slot, Spd};
    use crate::ipsec::tables::Child;
    use std::sync::Arc;

    fn policy(name: &str, local: &str, remote: &str, action: Action) -> PolicyEntry {
        let one = |text: &str| Arc::from([text.parse().unwrap()]);
        PolicyEntry { name: name.into(), local: one(local), remote: one(remote), priority: 0, action }
    }
    fn asked(tables: &Tables, src: &str, dst: &str) -> Vec<(Option<String>, String, String, String)> {
        let packet =
            Packet { src: src.parse().unwrap(), dst: dst.parse().unwrap(), protocol: None, port: 0, source_port: 0 };
        let found = ask(tables, &packet.flow().unwrap());
        found
            .matches
            .into_iter()
            .map(|m| (m.device_of, format!("{}/{}", m.connection, m.child), m.action, m.verdict))
            .collect()
    }

    #[test]
    fn the_longest_match_of_each_device_is_found_as_for_a_packet() {
        let tables = Tables::new();
        let policies = [
            (DeviceId(0), policy("a/wide", "10.0.0.0/8", "10.0.0.0/8", Action::Protect(Slot(1)))),
            (DeviceId(0), policy("b/hole", "10.0.0.0/8", "10.2.0.0/16", Action::Pass)),
            (DeviceId(3), policy("c/all", "0.0.0.0/0", "0.0.0.0/0", Action::Protect(Slot(2)))),
        ];
        tables.publish_policies(Spd::new(policies));
        for (slot, name, device) in [(1, "a/wide", 0), (2, "c/all", 3)] {
            tables.insert_child(Arc::new(Child::new(Slot(slot), name.into(), DeviceId(device), true)));
        }
        let own = (Some("c".into()), "c/all".into(), "protect".into(), "no_sa".into());
        let wide = (None, "a/wide".into(), "protect".into(), "no_sa".into());
        assert_eq!(asked(&tables, "10.1.0.1", "10.3.0.1"), [wide, own.clone()]);
        let hole = (None, "b/hole".into(), "pass".into(), "it leaves in the clear".into());
        assert_eq!(asked(&tables, "10.1.0.1", "10.2.0.1"), [hole, own]);
        assert_eq!(asked(&tables, "fd00::1", "fd00::2"), []);
    }
}
