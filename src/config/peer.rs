//! Both ends of a connection: addresses, identities, and how they are proven.
use super::keys::{self, Fields};
use super::report::Report;
use super::secret::{self, Secrets};
use super::text::{At, Node};
use super::{credentials, value};
use crate::ike::policy::{AuthKind, Credentials, IdMatch, Remote};
use crate::wire::payload::Id;
use std::collections::HashSet;
use std::net::IpAddr;

/// What a connection says about its ends; `None` is broken or absent.
pub(super) struct Ends {
    pub local_addrs: Option<Vec<(IpAddr, At)>>,
    pub remote_addrs: Option<Vec<(Remote, At)>>,
    pub local_id: Option<Id>,
    pub remote_id: Option<IdMatch>,
    pub local_auth: AuthKind,
    pub remote_auth: AuthKind,
    pub credentials: Option<Credentials>,
}
impl Ends {
    /// All of the peer's addresses are `%any`.
    pub(super) fn respond_only(&self) -> bool {
        self.remote_addrs.as_ref().is_some_and(|list| list.iter().all(|(remote, _)| *remote == Remote::Any))
    }
}

/// Reads `local_addrs`, `remote_addrs`, `local` and `remote`.
pub(super) fn read(report: &mut Report<'_>, fields: &Fields<'_>, from: &dyn Secrets) -> Ends {
    let local_addrs = fields.read(report, "local_addrs", |r, n| value::list_of_some(r, n, local_addr));
    let remote_addrs = fields.read(report, "remote_addrs", |r, n| value::list_of_some(r, n, remote_addr));
    refuse_twice(report, local_addrs.iter().flatten().map(|(addr, at)| (addr.to_string(), *at)));
    refuse_twice(report, remote_addrs.iter().flatten().filter_map(|(remote, at)| Some((written(remote)?, *at))));
    if let Some(remotes) = &remote_addrs {
        check_remotes(report, remotes);
        check_pairs(report, local_addrs.as_deref().unwrap_or_default(), remotes);
    }
    let local = fields.read(report, "local", |r, n| side(r, n, &keys::LOCAL, local_id));
    let remote = fields.read(report, "remote", |r, n| side(r, n, &keys::REMOTE, secret::owner));
    let mut ends = Ends {
        local_id: None,
        remote_id: None,
        local_auth: local.as_ref().map_or(AuthKind::Psk, |side| side.auth),
        remote_auth: remote.as_ref().map_or(AuthKind::Psk, |side| side.auth),
        credentials: None,
        local_addrs,
        remote_addrs,
    };
    if let Some(side) = local {
        ends.local_id = side.id;
        if side.auth == AuthKind::PublicKey {
            let given = ends.local_id.take();
            if from.withholds() {
                ends.local_id = given.or_else(|| credentials::subject(report, &side.fields, side.at, from));
            } else {
                let own = credentials::own(report, &side.fields, side.at, from);
                let first = own.as_ref().and_then(|own| own.chain.first());
                ends.local_id = first.and_then(|first| credentials::identity(report, first, given, side.at));
                ends.credentials.get_or_insert_default().local = own;
            }
        } else {
            unused(report, &side.fields, &["certs", "key", "padding"]);
        }
    }
    if let Some(side) = remote {
        ends.remote_id = side.id;
        if side.auth == AuthKind::PublicKey && from.withholds() {
            // Whom we believe is nothing that anybody wants to know then.
        } else if side.auth == AuthKind::PublicKey {
            let peer = credentials::peer(report, &side.fields, side.at, from);
            ends.credentials.get_or_insert_default().remote = peer;
        } else {
            unused(report, &side.fields, &["cacerts", "crls", "revocation", "crl_hosts"]);
        }
    }
    ends.remote_id = ends.remote_id.or_else(|| default_id(ends.remote_addrs.as_deref()?));
    ends
}

/// What only certificates need means that they were meant.
fn unused(report: &mut Report<'_>, fields: &Fields<'_>, names: &[&str]) {
    if let Some(entry) = names.iter().find_map(|name| fields.entry(name)) {
        let message = format!("`{}` is for certificates, and this side has a pre-shared key", entry.key);
        report.error(entry.at, "credential.unused", message, "add auth = \"pubkey\", or leave it out");
    }
}

/// A single address is its own identity; anybody may be anyone; names and several addresses have none by themselves.
fn default_id(remotes: &[(Remote, At)]) -> Option<IdMatch> {
    match remotes {
        [(Remote::Addr(address), _)] => Some(IdMatch::Exact((*address).into())),
        [(Remote::Any, _)] => Some(IdMatch::Any),
        _ => None,
    }
}

/// `local` or `remote`: how it proves itself, and who it is.
struct Side<'t, T> {
    auth: AuthKind,
    id: Option<T>,
    fields: Fields<'t>,
    at: At,
}
fn side<'t, T>(
    report: &mut Report<'_>,
    node: &'t Node,
    keys: &keys::Keys,
    id: impl FnOnce(&mut Report<'_>, &Node) -> Option<T>,
) -> Option<Side<'t, T>> {
    let fields = Fields::of_node(report, keys, node)?;
    let words = [("psk", AuthKind::Psk), ("pubkey", AuthKind::PublicKey)];
    let auth = fields.read(report, "auth", |r, n| value::choice(r, n, &words)).unwrap_or_default();
    let id = fields.read(report, "id", id);
    Some(Side { auth, id, fields, at: node.at })
}

fn local_id(report: &mut Report<'_>, node: &Node) -> Option<Id> {
    if value::string(report, node)? == "%any" {
        let hint = "name who we are, or leave it out: then it is our address";
        return report.refuse(node.at, "id.invalid", "%any is not an identity of ours", hint);
    }
    value::id(report, node)
}

fn local_addr(report: &mut Report<'_>, node: &Node) -> Option<IpAddr> {
    let address = value::address(report, node)?;
    if unusable(address) {
        let hint = "an address of this host, or leave local_addrs out: then it is what the route says";
        return report.refuse(node.at, "address.local", format!("{address} cannot be an address of ours"), hint);
    }
    Some(address)
}

fn remote_addr(report: &mut Report<'_>, node: &Node) -> Option<Remote> {
    let given = value::string(report, node)?;
    if given == "%any" {
        return Some(Remote::Any);
    }
    if given.parse::<IpAddr>().is_err() && is_name(given) {
        return Some(Remote::Name(given.into()));
    }
    let length = given.split_once('/').is_some_and(|(host, _)| host.parse::<IpAddr>().is_ok());
    if given.parse::<IpAddr>().is_err() && !length {
        let message = format!("{given:?} is neither an IP address nor the name of a host");
        let hint = "such as \"192.0.2.1\", \"2001:db8::1\", \"office.example\", or \"%any\"";
        return report.refuse(node.at, "value.address", message, hint);
    }
    let address = value::address(report, node)?;
    if unusable(address) {
        let hint = if address.is_unspecified() { "\"%any\" means anybody" } else { "the address of one host" };
        return report.refuse(node.at, "address.peer", format!("{address} cannot be the address of a peer"), hint);
    }
    Some(Remote::Addr(address))
}

/// Nothing to which or from which one host speaks. Link-local addresses of IPv6 mean nothing without their interface.
fn unusable(address: IpAddr) -> bool {
    address.is_unspecified()
        || address.is_multicast()
        || match address {
            IpAddr::V4(a) => a.is_broadcast() || a.octets()[0] == 0,
            IpAddr::V6(a) => a.is_unicast_link_local() || a.to_ipv4_mapped().is_some(),
        }
}

/// A host's name (RFC 1123 section 2.1), with underscores because they occur; the last label tells it from an address.
fn is_name(given: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let labels: Vec<&str> = given.strip_suffix('.').unwrap_or(given).split('.').collect();
    given.len() <= 253
        && labels.iter().all(|l| label(l))
        && labels.last().is_some_and(|last| !last.bytes().all(|b| b.is_ascii_digit()))
}

/// One address by its one text, one name in whatever case; `None`: it is no place.
fn written(remote: &Remote) -> Option<String> {
    match remote {
        Remote::Addr(addr) => Some(addr.to_string()),
        Remote::Name(name) => Some(name.trim_end_matches('.').to_ascii_lowercase()),
        Remote::Any => None,
    }
}

fn refuse_twice(report: &mut Report<'_>, all: impl Iterator<Item = (String, At)>) {
    let mut seen = HashSet::new();
    for (one, at) in all {
        let message = format!("{one} is listed twice");
        if !seen.insert(one) {
            report.error(at, "value.duplicate", message, "remove one of the two");
        }
    }
}

fn check_remotes(report: &mut Report<'_>, remotes: &[(Remote, At)]) {
    if remotes.len() > 1
        && let Some((_, at)) = remotes.iter().find(|(remote, _)| *remote == Remote::Any)
    {
        let hint = "\"%any\" alone to respond to everybody, or the addresses alone";
        report.error(*at, "address.any_mixed", "\"%any\" stands beside other addresses", hint);
    }
}

/// Each remote address needs a local one of its family that is not the same.
fn check_pairs(report: &mut Report<'_>, locals: &[(IpAddr, At)], remotes: &[(Remote, At)]) {
    for (remote, at) in remotes {
        let Remote::Addr(remote) = remote else { continue };
        if locals.iter().any(|(local, _)| local == remote) {
            let hint = "remote_addrs is where the peer is, local_addrs is where we are";
            report.error(*at, "address.same", format!("{remote} is on both sides"), hint);
        } else if !locals.is_empty() && !locals.iter().any(|(local, _)| local.is_ipv4() == remote.is_ipv4()) {
            let family = if remote.is_ipv4() { "IPv4" } else { "IPv6" };
            let hint = format!("add an {family} address to local_addrs, or leave local_addrs out");
            report.error(*at, "address.family", format!("no local address can reach {remote}"), hint);
        }
    }
}
