//! The other end's configuration, from ours: [`Facing`] is the mirror of a connection, and each [`Format`] writes it for one kind of gateway.
//!
//! `Facing` knows of no format, and a format is a pure function from it to text. What a format cannot say is a [`Refusal`] with a way out, never left
//! out in silence. Texts of the configuration are quoted for the grammar at hand, or refused: an identity never becomes a command. No format sees the
//! secret: it leaves a mark where one stands, which [`Facing::render`] fills with a placeholder or, where it was asked for, with the secret.
mod aliyun;
mod aws;
mod azure;
mod cisco;
mod cisco_asa;
mod fit;
mod fortigate;
mod gcp;
mod h3c;
mod hcl;
mod huawei;
mod juniper;
mod lines;
mod mikrotik;
mod sandhog;
mod sheets;
mod strongswan;
mod tencent;
#[cfg(test)]
mod tests;
mod text;

pub(in crate::config) use text::{PLACEHOLDER, PPK_PLACEHOLDER};

use super::{ChildConfig, Config, Interface, Mode};
use crate::crypto::secret::Secret;
use crate::ike::policy::{self, AuthKind, Childless, EncapPolicy, IdMatch, Ports, RekeyBy, Remote, StartAction};
use crate::ipsec::fitting::Mss;
use crate::wire::payload::{Id, Proposal};
use crate::wire::registry::IdType;
use crate::wire::selector::Selector;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Inner packets of this size fit whatever the suite, with UDP around it, on a path of 1500 octets.
const USUAL_MTU: u16 = 1400;
/// IP and TCP headers.
const HEADERS: u16 = 40;

/// What cannot be written, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {way_out}")]
pub struct Refusal {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub way_out: String,
}
fn refuse<T>(what: impl Into<String>, way_out: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { what: what.into(), way_out: way_out.into() })
}

/// A kind of configuration that can be written.
#[derive(Debug)]
pub struct Format {
    /// How it is named in commands.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// What it is, for help texts.
    pub title: &'static str,
    write: fn(&Facing) -> Result<String, Refusal>,
    /// The target takes this secret.
    takes: fn(&Secret) -> Result<(), Refusal>,
    /// A secret, or the placeholder, as the grammar has it.
    quote: fn(&Secret) -> Secret,
}
/// All formats.
pub const FORMATS: &[Format] = &[
    strongswan::FORMAT,
    sandhog::FORMAT,
    h3c::FORMAT,
    sheets::H3C_ER,
    huawei::FORMAT,
    cisco::FORMAT,
    cisco_asa::FORMAT,
    juniper::FORMAT,
    fortigate::FORMAT,
    mikrotik::FORMAT,
    sheets::PFSENSE,
    aliyun::JSON,
    aliyun::TERRAFORM,
    tencent::JSON,
    tencent::TERRAFORM,
    aws::JSON,
    aws::TERRAFORM,
    azure::FORMAT,
    gcp::FORMAT,
];

/// The format with this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name || format.aliases.contains(&name))
}

/// Where an end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At an address.
    Addr(IpAddr),
    /// Wherever this name leads.
    Name(String),
    /// Nobody knows, or only an address behind a NAT is known: it has to be filled in.
    Unknown,
}

/// One end of the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Where it is, seen by the other one; never empty.
    pub places: Vec<Place>,
    /// Who it says that it is; `None`: its address, which is not known.
    pub id: Option<Id>,
    /// How it proves that.
    pub auth: AuthKind,
}
impl End {
    /// Its one IPv4 or IPv6 address, if it has one.
    pub fn addr(&self) -> Option<IpAddr> {
        match self.places[..] {
            [Place::Addr(addr), ..] => Some(addr),
            _ => None,
        }
    }
}

/// How long an SA lives, by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// We rekey after this; zero: never.
    pub ours: Duration,
    /// The other end shall come first.
    pub peer_first: bool,
}

/// Addresses inside of a routed tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Ours.
    pub ours: IpAddr,
    /// The other end's, if there can be but one.
    pub peers: Option<IpAddr>,
    /// Length of their network.
    pub len: u8,
}

/// One child.
#[derive(Clone, Debug, PartialEq)]
pub struct Tunnel {
    /// Its name in our configuration.
    pub name: Arc<str>,
    /// The other end's networks, as they are on the wire.
    pub peer_ts: Vec<Selector>,
    /// Ours.
    pub our_ts: Vec<Selector>,
    /// What we accept, in our order.
    pub proposals: Vec<Proposal>,
    /// How long an SA lives.
    pub life: Lifetime,
    /// Transport instead of tunnel mode.
    pub transport: bool,
    /// We bring it up.
    pub start: StartAction,
    /// Replay window that we reckon with at the other end.
    pub window: u32,
    /// Largest inner packet to plan with.
    pub mtu: u16,
    /// TCP's MSS to go with it.
    pub mss: u16,
    /// SAs for one worker each (RFC 9611).
    pub resources: u32,
}
impl Tunnel {
    /// Any address on both sides: routes say what goes in.
    pub fn is_any(&self) -> bool {
        let any =
            |ts: &Selector| ts.as_prefix().is_some_and(|(_, len)| len == 0) && *ts == Selector::prefix(ts.start, 0);
        self.peer_ts.iter().chain(&self.our_ts).all(any)
    }
    /// The only pair of selectors, the other end's first, where a target makes an SA for each.
    fn only_pair(&self, target: &str) -> Result<(&Selector, &Selector), Refusal> {
        match (&self.peer_ts[..], &self.our_ts[..]) {
            ([peer], [ours]) => Ok((peer, ours)),
            _ => {
                let what =
                    format!("{target} makes an SA for each pair of networks, and `{}` has several in one", self.name);
                refuse(what, "set ts_mode = \"per_pair\", or 0.0.0.0/0 on both sides and routes")
            }
        }
    }
    /// All pairs of selectors of one family, the other end's first.
    pub fn pairs(&self) -> impl Iterator<Item = (&Selector, &Selector)> {
        let same = |(peer, ours): &(&Selector, &Selector)| peer.start.is_ipv4() == ours.start.is_ipv4();
        self.peer_ts.iter().flat_map(|peer| self.our_ts.iter().map(move |ours| (peer, ours))).filter(same)
    }
}

/// What the other end has to be. "Ours" is this gateway's.
#[derive(Clone, Debug, PartialEq)]
pub struct Facing {
    /// What objects are called there; the connection's name unless another was asked for.
    pub name: Arc<str>,
    /// The connection's name here.
    pub connection: Arc<str>,
    /// The end that is written for.
    pub peer: End,
    /// This gateway.
    pub us: End,
    /// We have a private address, or none that is known: what the other end sees is told by the ID, or must be filled in.
    pub behind_nat: bool,
    /// IKE proposals that we accept, in our order.
    pub proposals: Vec<Proposal>,
    /// How long the IKE SA lives.
    pub life: Lifetime,
    /// Who rekeys, in our words.
    pub rekey: RekeyBy,
    /// Liveness checks after this much silence; zero: never.
    pub dpd: Duration,
    /// ESP in UDP, always.
    pub encap: bool,
    /// Our UDP ports.
    pub ports: Ports,
    /// MOBIKE.
    pub mobike: bool,
    /// Childless initiation.
    pub childless: Childless,
    /// A post-quantum pre-shared key.
    pub ppk: Option<policy::PpkPolicy>,
    /// Virtual addresses that we ask for.
    pub vips: Vec<IpAddr>,
    /// We hand out virtual addresses of these families: IPv4, IPv6.
    pub gives: [bool; 2],
    /// Our device, if the tunnel is routed here.
    pub interface: Option<Interface>,
    /// Addresses inside.
    pub inner: Vec<Inner>,
    /// What travels.
    pub children: Vec<Tunnel>,
}

impl Facing {
    /// The mirror of a connection.
    ///
    /// # Errors
    /// There is no such connection, or it has no peer.
    pub fn of(config: &Config, name: &str) -> Result<Self, Refusal> {
        let Some(ours) = config.policy.connections.iter().find(|c| &*c.name == name) else {
            let known: Vec<&str> = config.policy.connections.iter().map(|c| &*c.name).collect();
            return match config.connections.iter().any(|c| &*c.name == name) {
                true => {
                    refuse(format!("`{name}` has no peer: all its children pass or drop"), "name another connection")
                }
                false => refuse(format!("there is no connection `{name}`"), format!("there are: {}", known.join(", "))),
            };
        };
        let installed = config.connections.iter().find(|c| &*c.name == name);
        let interface = installed.and_then(|c| c.interface.clone());
        let (us, behind_nat) = us(ours);
        let children = installed.map(|c| &c.children[..]).unwrap_or_default();
        Ok(Self {
            name: ours.name.clone(),
            connection: ours.name.clone(),
            peer: peer(ours),
            us,
            behind_nat,
            proposals: ours.proposals.clone(),
            life: Lifetime { ours: ours.rekey_time, peer_first: ours.rekey == RekeyBy::Peer },
            rekey: ours.rekey,
            dpd: ours.dpd_delay,
            encap: ours.encap == EncapPolicy::Always,
            ports: config.gateway.ports,
            mobike: ours.mobike,
            childless: ours.childless,
            ppk: ours.ppk.clone(),
            vips: ours.vips.clone(),
            gives: [true, false].map(|v4| ours.pools.iter().any(|pool| pool.first.is_ipv4() == v4)),
            inner: interface.iter().flat_map(|interface| &interface.addresses).map(inner).collect(),
            interface,
            children: ours.children.iter().filter_map(|child| tunnel(ours, child, children)).collect(),
        })
    }

    /// The same by another name at the other end.
    ///
    /// # Errors
    /// It cannot be a name.
    pub fn called(self, name: &str) -> Result<Self, Refusal> {
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        match plain && !name.is_empty() && name.len() <= 64 {
            true => Ok(Self { name: name.into(), ..self }),
            false => {
                refuse(format!("{name:?} cannot be a name"), "1 to 64 letters, digits, dots, hyphens or underscores")
            }
        }
    }

    /// The same with the address that the other end sees us at; our identity follows it where it is our address.
    pub fn seen_at(mut self, addr: IpAddr) -> Self {
        self.us.places = vec![Place::Addr(addr)];
        self.us.id.get_or_insert(addr.into());
        self
    }

    /// The text of a format. Without secrets there is a placeholder in their place.
    ///
    /// # Errors
    /// What the format cannot say.
    pub fn render(&self, format: &Format, secrets: Option<&Known>) -> Result<Written, Refusal> {
        if self.children.is_empty() {
            return refuse(format!("`{}` has no child that travels", self.connection), "name another connection");
        }
        let marked = (format.write)(self)?;
        let quoted = |secret: Option<&Secret>, placeholder: &str| match secrets {
            None => Ok((format.quote)(&Secret::new(placeholder.into()))),
            Some(_) => match secret {
                Some(secret) => (format.takes)(secret).map(|()| (format.quote)(secret)),
                None => refuse("the configuration has no secret of this peer", "leave --with-secret out"),
            },
        };
        let mut text = Secret::default();
        for piece in marked.split_inclusive([text::PSK, text::PPK]) {
            let plain = piece.trim_end_matches([text::PSK, text::PPK]);
            text.extend(plain.as_bytes());
            if piece.ends_with(text::PSK) {
                text.extend(quoted(secrets.and_then(|known| known.psk.as_ref()), text::PLACEHOLDER)?.expose());
            } else if piece.ends_with(text::PPK) {
                text.extend(quoted(secrets.and_then(|known| known.ppk.as_ref()), text::PPK_PLACEHOLDER)?.expose());
            }
        }
        Ok(Written(text))
    }

    /// The child, if there is one and routes say what it carries.
    pub(crate) fn routed(&self) -> Option<&Tunnel> {
        match &self.children[..] {
            [only] if only.is_any() => Some(only),
            _ => None,
        }
    }
    /// The only child, where a target makes one SA for a connection.
    fn only_child(&self, target: &str) -> Result<&Tunnel, Refusal> {
        match &self.children[..] {
            [only] => Ok(only),
            all => {
                let what = format!("{target} has one SA for a connection, and there are {} children", all.len());
                refuse(what, "use one child with ts_mode = \"together\", or 0.0.0.0/0 on both sides")
            }
        }
    }
    /// The first child, where all have the same suites and lifetimes.
    fn alike(&self, target: &str) -> Result<&Tunnel, Refusal> {
        let Some(first) = self.children.first() else { return self.only_child(target) };
        let same = |other: &Tunnel| (&other.proposals, other.life) == (&first.proposals, first.life);
        match self.children.iter().all(same) {
            true => Ok(first),
            false => {
                let what = format!("{target} is told one suite and lifetime for all children, and these differ");
                refuse(what, "give all children the same esp_proposals and rekey_time")
            }
        }
    }
    /// A side proves itself with a pre-shared key.
    fn has_psk(&self) -> bool {
        [self.us.auth, self.peer.auth].contains(&AuthKind::Psk)
    }
}

/// Text for the other end's administrator; it may have a secret in it.
pub struct Written(Secret);
impl Written {
    /// All of it.
    pub fn octets(&self) -> &[u8] {
        self.0.expose()
    }
}

/// Secrets of a connection.
pub struct Known {
    psk: Option<Secret>,
    ppk: Option<Secret>,
}
impl Known {
    /// What a configuration has for a connection.
    pub fn of(config: &Config, facing: &Facing) -> Self {
        let same = |one: &IdMatch, id: &Id| matches!(one, IdMatch::Exact(one) if same_id(one, id));
        let peer = config.policy.connections.iter().find(|c| c.name == facing.connection).map(|c| &c.remote_id);
        let secrets = &config.policy.secrets;
        let best = |fits: &dyn Fn(&IdMatch) -> bool| {
            let of_peer: Vec<_> = secrets.iter().filter(|secret| secret.ids.iter().any(fits)).collect();
            let names_us = |ids: &[IdMatch]| facing.us.id.as_ref().is_some_and(|us| ids.iter().any(|id| same(id, us)));
            of_peer.iter().find(|secret| names_us(&secret.ids)).or(of_peer.first()).map(|secret| secret.secret.clone())
        };
        let of_peer = match peer {
            Some(IdMatch::Exact(peer)) => best(&|id| same(id, peer)),
            _ => None,
        };
        let of_ppk = |ppk: &policy::PpkPolicy| {
            let kinds = [IdType::KEY_ID, IdType::FQDN, IdType::RFC822_ADDR];
            kinds.into_iter().find_map(|kind| best(&|id| same(id, &Id { kind, data: ppk.id.clone() })))
        };
        Self { psk: of_peer.or_else(|| best(&|id| *id == IdMatch::Any)), ppk: facing.ppk.as_ref().and_then(of_ppk) }
    }
}

/// As IKE compares them: names without regard to case.
fn same_id(a: &Id, b: &Id) -> bool {
    let by_case = [IdType::FQDN, IdType::RFC822_ADDR].contains(&a.kind);
    a.kind == b.kind && (a.data == b.data || by_case && a.data.eq_ignore_ascii_case(&b.data))
}

/// The end that is written for, as we know it.
fn peer(ours: &policy::Connection) -> End {
    let place = |remote: &Remote| match remote {
        Remote::Addr(addr) => Place::Addr(*addr),
        Remote::Name(name) => Place::Name(name.clone()),
        Remote::Any => Place::Unknown,
    };
    let id = match &ours.remote_id {
        IdMatch::Exact(id) => Some(id.clone()),
        IdMatch::Any => None,
    };
    let mut places: Vec<Place> = ours.remote_addrs.iter().map(place).collect();
    if places.is_empty() {
        places.push(Place::Unknown);
    }
    End { places, id, auth: ours.remote_auth }
}

/// This gateway as the other end sees it, and whether that is told by something else than our addresses: behind a NAT our ID is the public address, where
/// it is one.
fn us(ours: &policy::Connection) -> (End, bool) {
    let id_addr = ours.local_id.as_ref().and_then(id_addr);
    let out = |remote: &Remote| matches!(remote, Remote::Addr(addr) if is_private(*addr));
    let near = ours.remote_addrs.iter().any(out);
    let hidden = ours.local_addrs.is_empty() || !near && ours.local_addrs.iter().all(|addr| is_private(*addr));
    let places = match (hidden, id_addr) {
        (false, _) => ours.local_addrs.iter().map(|addr| Place::Addr(*addr)).collect(),
        (true, Some(public)) if near || !is_private(public) => vec![Place::Addr(public)],
        (true, _) => vec![Place::Unknown],
    };
    let own = match ours.local_addrs[..] {
        [addr] => Some(Id::from(addr)),
        _ => None,
    };
    let id = ours.local_id.clone().or(own);
    (End { places, id, auth: ours.local_auth }, hidden)
}

/// The address that an identity is.
fn id_addr(id: &Id) -> Option<IpAddr> {
    match id.kind {
        IdType::IPV4_ADDR => <[u8; 4]>::try_from(&id.data[..]).ok().map(IpAddr::from),
        IdType::IPV6_ADDR => <[u8; 16]>::try_from(&id.data[..]).ok().map(IpAddr::from),
        _ => None,
    }
}

/// No address that the other end can see across the Internet (RFC 1918, RFC 6598, RFC 3927, RFC 4193).
fn is_private(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => {
            let [first, second, ..] = a.octets();
            a.is_private() || a.is_link_local() || a.is_loopback() || first == 100 && second & 0xc0 == 64
        }
        IpAddr::V6(a) => a.is_unique_local() || a.is_unicast_link_local() || a.is_loopback(),
    }
}

/// In a network of two hosts the other one is the peer's.
fn inner((ours, len): &(IpAddr, u8)) -> Inner {
    let peers = match (*ours, len) {
        (IpAddr::V4(a), 31) => Some((a.to_bits() ^ 1).to_be_bytes().into()),
        (IpAddr::V4(a), 30) => Some((a.to_bits() ^ 3).to_be_bytes().into()),
        (IpAddr::V6(a), 127) => Some((a.to_bits() ^ 1).to_be_bytes().into()),
        (IpAddr::V6(a), 126) => Some((a.to_bits() ^ 3).to_be_bytes().into()),
        _ => None,
    };
    Inner { ours: *ours, peers, len: *len }
}

fn tunnel(ours: &policy::Connection, child: &policy::ChildPolicy, installed: &[ChildConfig]) -> Option<Tunnel> {
    let config = installed.iter().find(|config| config.name == child.name)?;
    let mtu = config.mtu.unwrap_or(USUAL_MTU);
    Some(Tunnel {
        name: child.name.clone(),
        peer_ts: child.remote_ts.clone(),
        our_ts: child.local_ts.clone(),
        proposals: child.proposals.clone(),
        life: Lifetime { ours: child.rekey_time, peer_first: ours.rekey == RekeyBy::Peer },
        transport: config.mode == Mode::Transport,
        start: child.start,
        window: config.peer_window,
        mtu,
        mss: if let Mss::Most(most) = config.mss { most } else { mtu.saturating_sub(HEADERS) },
        resources: child.resources,
    })
}
