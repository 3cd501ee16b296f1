//! Vendors' gateways: how each of them likes to be spoken to, as data.
//!
//! A connection with `profile = "aliyun"` has all of a profile's settings that it does not give itself ([`expand`]); nobody else knows of profiles: whoever reads a
//! configuration sees the keys. What a vendor cannot do is a [`Limit`]: a key that is given and contradicts one is refused (`profile.contradiction`).
//!
//! One file for each vendor or few. Whoever changes a value names where it is from, and whether that was read ([`Source`]).
mod alibaba;
mod amazon;
mod cisco;
mod clouds;
mod devices;
mod expand;
mod h3c;
mod judge;
mod limits;
mod open;
mod shown;
#[cfg(test)]
mod tests;

pub(super) use expand::expand;
pub(super) use limits::secrets;

use super::report::Report;
use super::text::{At, Node, Value};
use std::fmt;

/// Each profile, by name: clouds first.
pub static ALL: &[&Profile] = &[
    &alibaba::ALIYUN,
    &h3c::H3C,
    &h3c::H3C_ER,
    &clouds::HUAWEI,
    &clouds::TENCENT_PROFILE,
    &amazon::AWS,
    &clouds::AZURE,
    &clouds::GCP,
    &cisco::IOS_XE,
    &cisco::ASA,
    &devices::FORTIGATE,
    &devices::JUNIPER_SRX,
    &devices::MIKROTIK,
    &open::PFSENSE,
    &open::STRONGSWAN,
    &open::SANDHOG,
];

/// The profile of that name.
pub fn find(name: &str) -> Option<&'static Profile> {
    ALL.iter().copied().find(|profile| profile.name == name)
}

/// What a connection to one kind of gateway has to be.
#[derive(Debug)]
pub struct Profile {
    /// As the configuration writes it.
    pub name: &'static str,
    /// The product.
    pub title: Text,
    /// Who begins.
    pub role: Role,
    /// It knows us by an address: behind a NAT that is not the one that we have.
    pub needs_id: bool,
    /// Keys that the connection has unless it gives them.
    pub settings: &'static [Setting],
    /// What it cannot do.
    pub limits: &'static [Limit],
    /// What surprises people.
    pub traps: &'static [Text],
    /// What its administrator has to set, where that is not its default.
    pub theirs: &'static [Theirs],
}
impl Profile {
    /// The setting of a key, `children.*.rekey_time` for one of a child.
    pub fn setting(&self, key: &str) -> Option<&'static Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

/// In both languages.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Text {
    pub en: &'static str,
    pub zh: &'static str,
}
const fn text(en: &'static str, zh: &'static str) -> Text {
    Text { en, zh }
}

/// Who begins a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We do: it waits, or calls only when there is traffic. If it calls, it is answered.
    Initiator,
    /// Whoever is first.
    Either,
}
impl Role {
    /// `initiator`, `either`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Either => "either",
        }
    }
}

/// Where something is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The document, by its public name.
    pub name: &'static str,
    /// It was read there, and not only remembered.
    pub checked: bool,
}
const fn read_in(name: &'static str) -> Source {
    Source { name, checked: true }
}
const fn unread(name: &'static str) -> Source {
    Source { name, checked: false }
}
/// What depends on nothing at the other end.
const OURS: Source = read_in("Sandhog: holds towards any peer");

/// A key with the value that it has if it is not given.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// `proposals`, or `children.*.esp_proposals` for one of each child that is negotiated.
    pub key: &'static str,
    /// What it is.
    pub value: Given,
    /// Why.
    pub why: &'static str,
    /// Where that is from.
    pub source: &'static str,
    /// It was read there.
    pub checked: bool,
}
const fn set(key: &'static str, value: Given, why: &'static str, source: Source) -> Setting {
    Setting { key, value, why, source: source.name, checked: source.checked }
}

/// A value as TOML has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of TOML")]
pub enum Given {
    Word(&'static str),
    Words(&'static [&'static str]),
    Number(i64),
    Bool(bool),
}
impl Given {
    /// As if it stood in a file.
    fn node(self, at: At) -> Node {
        let word = |word: &str| Value::String(word.to_owned());
        let value = match self {
            Self::Word(one) => word(one),
            Self::Words(words) => Value::Array(words.iter().map(|one| Node { at, value: word(one) }).collect()),
            Self::Number(number) => Value::Integer(number.into()),
            Self::Bool(bool) => Value::Bool(bool),
        };
        Node { at, value }
    }
    /// The word, if it is one.
    pub(in crate::config) fn word(self) -> Option<&'static str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }
    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Word(word), Value::String(given)) => word == given,
            (Self::Number(number), Value::Integer(given)) => i128::from(number) == *given,
            (Self::Bool(bool), Value::Bool(given)) => bool == *given,
            _ => false,
        }
    }
}
impl fmt::Display for Given {
    /// As TOML.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{word:?}"),
            Self::Words(words) => write!(f, "{words:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(bool) => write!(f, "{bool}"),
        }
    }
}

/// Something that the vendor cannot do.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// The key that it is about; `children` for their number, `secret` for the pre-shared key.
    pub key: &'static str,
    /// What it may be.
    pub may: May,
    /// Why, as the end of a sentence that begins with the product's name.
    pub why: &'static str,
    /// Where that is from.
    pub source: &'static str,
    /// It was read there.
    pub checked: bool,
}
const fn limit(key: &'static str, may: May, why: &'static str, source: Source) -> Limit {
    Limit { key, may, why, source: source.name, checked: source.checked }
}

/// What a key may be.
#[derive(Clone, Copy, Debug)]
pub enum May {
    /// One of these.
    Be(&'static [Given]),
    /// One of these, where a child has several networks on a side: a single pair is the same in any shape.
    Shape(&'static [Given]),
    /// A time of less than so many seconds: whoever shall be earlier cannot be as late.
    Last(u64),
    /// Suites of these transforms alone.
    Suites {
        /// In strongSwan's keywords.
        words: &'static [&'static str],
        /// One suite, and in it one transform of each kind.
        one: bool,
        /// Each has a group.
        group: bool,
    },
    /// At most so many in a list, or so many children.
    Count(usize),
    /// None of these networks, unless everything is meant.
    Avoid(&'static [&'static str]),
    /// An identity of at most so many characters; `address`: it is an address.
    Id {
        #[allow(missing_docs, reason = "as above")]
        most: usize,
        #[allow(missing_docs, reason = "as above")]
        address: bool,
    },
    /// A pre-shared key of so many characters, all of which `takes` takes.
    Secret {
        #[allow(missing_docs, reason = "as above")]
        least: usize,
        #[allow(missing_docs, reason = "as above")]
        most: usize,
        /// All of the secret.
        takes: fn(&[u8]) -> bool,
        /// What that takes, in words.
        said: &'static str,
    },
}

/// What is set at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Theirs {
    /// As it is called there.
    pub what: &'static str,
    /// To this.
    pub set: &'static str,
    /// Why, and what it is there unless it is set.
    pub why: &'static str,
}
const fn theirs(what: &'static str, set: &'static str, why: &'static str) -> Theirs {
    Theirs { what, set, why }
}

/// What nearly everybody has in common.
const KEEPALIVE: Setting =
    set("keepalive", Given::Word("20s"), "Only while we are behind a NAT: most forget a mapping after 30 s.", OURS);
const ENCAP: Setting = set(
    "encap",
    Given::Word("auto"),
    "NAT is detected; where there is one, both sides go on in UDP 4500, which its firewall has to let in.",
    OURS,
);
const FRAGMENTATION: Setting =
    set("fragmentation", Given::Bool(true), "Used only if the peer announces it (RFC 7383).", OURS);
const NO_MOBIKE: Setting =
    set("mobike", Given::Bool(false), "Both ends have fixed addresses, which the peer's policy names.", OURS);
const REHEARSE: Setting =
    set("rehearse", Given::Word("auto"), "A wrong PFS group is found at once, not at the first rekey.", OURS);
const BOTH: Setting = set("rekey", Given::Word("both"), "Either side may rekey; ours comes first by its times.", OURS);
const START: Setting =
    set("children.*.start_action", Given::Word("start"), "We call: so it does not matter whether it ever does.", OURS);
const RESTART: Setting =
    set("children.*.dpd_action", Given::Word("restart"), "A peer that is gone is called until it answers.", OURS);
const ONE_SA: Setting = set(
    "children.*.per_resource_sas",
    Given::Number(0),
    "It takes one SA for each pair of selectors, not one for each core (RFC 9611).",
    OURS,
);
const ONLY_ONE_SA: Limit = limit(
    "children.*.per_resource_sas",
    May::Be(&[Given::Number(0)]),
    "does not know RFC 9611: a second SA replaces the first one",
    unread("RFC 9611: announced by nobody but Linux and us"),
);
const TUNNEL_ONLY: May = May::Be(&[Given::Word("tunnel")]);
const TOGETHER: Given = Given::Word("together");
const PER_PAIR: Given = Given::Word("per_pair");

/// `profile` of a connection.
pub(super) fn read(report: &mut Report<'_>, node: &Node) -> Option<&'static Profile> {
    let words: Vec<(&str, &'static Profile)> = ALL.iter().map(|profile| (profile.name, *profile)).collect();
    super::value::choice(report, node, &words)
}
