//! One value against one limit.
use super::{Given, Limit, May, Profile};
use crate::config::connection::Connection;
use crate::config::report::Report;
use crate::config::text::{At, Entry, Node, Value};
use crate::config::value;
use crate::ike::policy::{AuthKind, IdMatch, SharedSecret};
use crate::wire::keyword;
use crate::wire::payload::{Id, Proposal};
use crate::wire::registry::{IdType, KeId, ProtocolId, TransformType};
use crate::wire::selector::Selector;
use std::fmt;
use std::net::IpAddr;

/// A limit that is looked at.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub profile: &'static Profile,
    pub limit: &'static Limit,
    /// The child has several networks on a side.
    pub several: bool,
}
impl Found {
    fn refuse(&self, report: &mut Report<'_>, at: At, what: &str) {
        let Self { profile, limit, .. } = self;
        let message = format!("{what} contradicts profile {:?}: {} {}", profile.name, profile.title.en, limit.why);
        report.error(at, "profile.contradiction", message, self.instead());
    }
    fn instead(&self) -> String {
        let key = self.limit.key.rsplit('.').next().unwrap_or_default();
        match self.profile.setting(self.limit.key) {
            Some(setting) => format!("leave `{key}` out: the profile says {}", setting.value),
            None => format!("`{key}` may be {}", self.limit.may),
        }
    }
}

/// Whatever is no value of this key at all is another reader's to report.
pub(super) fn check(report: &mut Report<'_>, found: Found, node: &Node) {
    match found.limit.may {
        May::Be(values) => be(report, found, node, values),
        May::Shape(values) if found.several => be(report, found, node, values),
        May::Last(most) => {
            if value::time(node).is_some_and(|time| time.as_secs() >= most) {
                found.refuse(report, node.at, "so long a time");
            }
        }
        May::Suites { words, one, group } => suites(report, found, node, &Suites { words, one, group }),
        May::Count(most) => {
            if let Some(item) = node.value.items().get(most) {
                found.refuse(report, item.at, "one more");
            }
        }
        May::Avoid(networks) => avoid(report, found, node, networks),
        May::Id { most, address } => id(report, found, node, (most, address)),
        May::Shape(_) | May::Secret { .. } => {}
    }
}

fn be(report: &mut Report<'_>, found: Found, node: &Node, values: &[Given]) {
    let shown = match &node.value {
        Value::String(word) => format!("{word:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Bool(bool) => bool.to_string(),
        _ => return,
    };
    if !values.iter().any(|value| value.is(&node.value)) {
        found.refuse(report, node.at, &shown);
    }
}

struct Suites {
    words: &'static [&'static str],
    one: bool,
    group: bool,
}

fn suites(report: &mut Report<'_>, found: Found, node: &Node, may: &Suites) {
    let protocol = if found.limit.key == "proposals" { ProtocolId::IKE } else { ProtocolId::ESP };
    let items = node.value.items();
    for item in items {
        let Value::String(given) = &item.value else { continue };
        if given == "default" {
            found.refuse(report, item.at, "\"default\", which is several suites,");
        } else if let Ok(proposal) = keyword::parse(protocol, given) {
            suite(report, found, (item.at, given), &proposal, may);
        }
    }
    if let Some(second) = items.get(1).filter(|_| may.one) {
        found.refuse(report, second.at, "a second suite");
    }
}

fn suite(report: &mut Report<'_>, found: Found, (at, given): (At, &str), proposal: &Proposal, may: &Suites) {
    for transform in &proposal.transforms {
        let word = keyword::transform(transform);
        if word != "noesn" && !may.words.contains(&word.as_str()) {
            let place = tokens(given).find(|(_, token)| *token == word).map(|(offset, token)| (offset, token.len()));
            let at = place.map_or(at, |place| report.inside(at, given, place));
            return found.refuse(report, at, &format!("`{word}`"));
        }
    }
    let twice = proposal.transforms.windows(2).find(|pair| pair[0].kind == pair[1].kind);
    if let Some(pair) = twice.filter(|_| may.one) {
        return found.refuse(report, at, &format!("`{}` beside another one", keyword::transform(&pair[1])));
    }
    if may.group && !keyword::of(proposal, TransformType::KE).any(|t| t.id != KeId::NONE.0) {
        found.refuse(report, at, "a suite without a group");
    }
}

/// Each word with its place.
fn tokens(given: &str) -> impl Iterator<Item = (usize, &str)> {
    given.split('-').scan(0, |next, token| {
        let at = *next;
        *next += token.len() + 1;
        Some((at, token))
    })
}

fn avoid(report: &mut Report<'_>, found: Found, node: &Node, networks: &[&str]) {
    for item in node.value.items() {
        let Value::String(given) = &item.value else { continue };
        // An address of a device has the length of its network behind it.
        let address = given.split_once('/').and_then(|(host, _)| host.parse::<IpAddr>().ok());
        let ts = match address.filter(|_| found.limit.key == "interface.addresses") {
            Some(address) => Ok(Selector::prefix(address, value::bits(address))),
            None => given.parse::<Selector>(),
        };
        let Ok(ts) = ts else { continue };
        let wide = ts.as_prefix().is_some_and(|(_, len)| len == 0);
        let meets = |network: &&&str| network.parse().is_ok_and(|network: Selector| network.intersect(&ts).is_some());
        if let Some(network) = networks.iter().find(meets).filter(|_| !wide) {
            found.refuse(report, item.at, &format!("{given:?}, which has addresses of {network},"));
        }
    }
}

fn id(report: &mut Report<'_>, found: Found, node: &Node, (most, address): (usize, bool)) {
    let Value::String(given) = &node.value else { return };
    if given.chars().count() > most {
        return found.refuse(report, node.at, "so long an identity");
    }
    let is_address = |id: Id| [IdType::IPV4_ADDR, IdType::IPV6_ADDR].contains(&id.kind);
    if address && given != "%any" && given.parse().is_ok_and(|id: Id| !is_address(id)) {
        found.refuse(report, node.at, &format!("{given:?}"));
    }
}

/// What the vendor cannot take as a secret. Nothing of it is told.
pub(in crate::config) fn secrets(
    report: &mut Report<'_>,
    connections: &[Connection],
    secrets: &[SharedSecret],
    entries: &[Entry],
) {
    let shared = |c: &&Connection| c.sound && c.negotiates && c.policy.local_auth == AuthKind::Psk;
    for connection in connections.iter().filter(shared) {
        let Some(profile) = connection.profile else { continue };
        let secret = |id: &IdMatch| secrets.iter().find(|secret| secret.ids.contains(id));
        let Some(secret) = secret(&connection.policy.remote_id).or_else(|| secret(&IdMatch::Any)) else { continue };
        for limit in profile.limits {
            let May::Secret { least, most, takes, .. } = limit.may else { continue };
            let octets = secret.secret.expose();
            if (least..=most).contains(&octets.len()) && takes(octets) {
                continue;
            }
            let name = &*connection.policy.name;
            let told = entries.iter().find(|entry| entry.key == *secret.name);
            let keys = ["secret", "secret_file", "secret_env"];
            let node = told.and_then(|entry| keys.iter().find_map(|key| entry.node.value.get(key)));
            let found = Found { profile, limit, several: false };
            found.refuse(report, node.map_or(connection.at, |entry| entry.node.at), &format!("the secret of `{name}`"));
        }
    }
}

impl fmt::Display for May {
    /// Behind "may be".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or = |values: &[Given]| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        match self {
            Self::Be(values) => write!(f, "{}", or(values)),
            Self::Shape(values) => write!(f, "{} where there are several networks", or(values)),
            Self::Last(most) => write!(f, "less than {most} s"),
            Self::Suites { words, one, group } => {
                let one = if *one { "one suite of " } else { "suites of " };
                let group = if *group { ", with a group" } else { "" };
                write!(f, "{one}{}{group}", words.join(" "))
            }
            Self::Count(most) => write!(f, "no more than {most}"),
            Self::Avoid(networks) => write!(f, "anything but {}", networks.join(" ")),
            Self::Id { most, address } => {
                let kind = if *address { "an address" } else { "an identity" };
                write!(f, "{kind} of at most {most} characters")
            }
            Self::Secret { least, most, said, .. } => write!(f, "{least} to {most} characters, {said}"),
        }
    }
}
