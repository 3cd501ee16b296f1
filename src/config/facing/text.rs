//! Texts of the configuration in the grammars of others: names, identities, addresses, secrets.
use super::{End, Facing, Place, Refusal, id_addr, refuse};
use crate::crypto::secret::Secret;
use crate::ike::policy::AuthKind;
use crate::wire::payload::Id;
use crate::wire::registry::IdType;
use crate::wire::selector::{ANY_PORTS, Selector};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

/// Where a format has the pre-shared key. No other text can have this character: all are sanitised.
pub(super) const PSK: char = '\u{1}';
/// Where it has the post-quantum one.
pub(super) const PPK: char = '\u{2}';
/// Stands in the place of the secret. The spaces make most targets refuse it.
pub(in crate::config) const PLACEHOLDER: &str = "REPLACE WITH THE PRE-SHARED KEY";
/// Stands in the place of the post-quantum one.
pub(in crate::config) const PPK_PLACEHOLDER: &str = "REPLACE WITH THE POST-QUANTUM KEY";
/// Stands in the place of our address.
pub(super) const OUR_ADDRESS: &str = "REPLACE-WITH-ADDRESS-OF-SANDHOG";
/// Stands in the place of the other end's address.
pub(super) const PEER_ADDRESS: &str = "REPLACE-WITH-ADDRESS-OF-THIS-GATEWAY";

/// A name of ours for a target that takes fewer characters or shorter names: dots become hyphens.
pub(super) fn name(given: &str, longest: usize, target: &str) -> Result<String, Refusal> {
    let name = given.replace('.', "-");
    if name.len() > longest {
        let what = format!("`{given}` is longer than the {longest} characters that names have in {target}");
        return refuse(what, "say another name with --as NAME, or give the child a shorter one");
    }
    // Some take a name that begins so for a number or an option.
    Ok(if name.starts_with(|c: char| c.is_ascii_alphabetic()) { name } else { format!("c{name}") })
}

/// Letters, digits and what is harmless in every grammar: for targets that have no way to quote.
pub(super) fn word(text: &str, what: &str, target: &str) -> Result<String, Refusal> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-@:/+".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) && !text.starts_with('-') {
        return Ok(text.to_owned());
    }
    let what = format!("{target} cannot be told the {what} {text:?}");
    refuse(what, "use letters, digits and . _ - @ only, at both ends")
}

/// Who an end says that it is, for targets that know four kinds of identities. The texts are as they are: quote them, or have [`word`] look at them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Or the placeholder of one.
    Address(String),
    Fqdn(String),
    Email(String),
    KeyId(String),
}
impl Who {
    /// The text, whatever its kind.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Address(text) | Self::Fqdn(text) | Self::Email(text) | Self::KeyId(text) => text,
        }
    }
    /// The same with a text that needs no quotes.
    pub(super) fn plain(self, target: &str) -> Result<Self, Refusal> {
        match self {
            Self::Address(text) => Ok(Self::Address(text)),
            Self::Fqdn(text) => word(&text, "identity", target).map(Self::Fqdn),
            Self::Email(text) => word(&text, "identity", target).map(Self::Email),
            Self::KeyId(text) => word(&text, "identity", target).map(Self::KeyId),
        }
    }
}
/// An end's identity; its address, or `placeholder`, where it has none of its own.
pub(super) fn who(end: &End, placeholder: &str, target: &str) -> Result<Who, Refusal> {
    let Some(id) = &end.id else {
        return Ok(Who::Address(end.addr().map_or_else(|| placeholder.to_owned(), |addr| addr.to_string())));
    };
    let out = "use an address, a name or user@name, at both ends";
    let text = match (id_addr(id), std::str::from_utf8(&id.data)) {
        (Some(addr), _) => return Ok(Who::Address(addr.to_string())),
        (None, Ok(text)) if text.chars().all(|c| !c.is_control()) && !text.is_empty() => text.to_owned(),
        _ => return refuse(format!("{target} cannot be told the identity {id}"), out),
    };
    match id.kind {
        IdType::FQDN => Ok(Who::Fqdn(text)),
        IdType::RFC822_ADDR => Ok(Who::Email(text)),
        IdType::KEY_ID => Ok(Who::KeyId(text)),
        _ => refuse(format!("the identity {id} is of a kind that is not written for {target}"), out),
    }
}

/// An IPv4 or IPv6 address, a name, or the placeholder.
pub(super) fn place(place: &Place, placeholder: &str) -> String {
    match place {
        Place::Addr(addr) => addr.to_string(),
        // The configuration takes host names only.
        Place::Name(name) => name.clone(),
        Place::Unknown => placeholder.to_owned(),
    }
}
/// The first place of an end, for targets that have but one.
pub(super) fn first_place(end: &End, placeholder: &str) -> String {
    end.places.first().map_or_else(|| placeholder.to_owned(), |first| place(first, placeholder))
}

/// `255.255.0.0`, or `0.0.255.255` where bits that do not matter are set.
pub(super) fn mask(len: u8, wildcard: bool) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0);
    Ipv4Addr::from_bits(if wildcard { !mask } else { mask })
}

/// The one IPv4 network that a selector is.
pub(super) fn network_v4(ts: &Selector, target: &str) -> Result<(Ipv4Addr, u8), Refusal> {
    if ts.proto != 0 || ts.ports != ANY_PORTS {
        let what = format!("{ts} names a protocol or port, and that is not written for {target}");
        return refuse(what, "use whole networks as selectors, and a packet filter beside them");
    }
    match ts.as_prefix() {
        Some((IpAddr::V4(network), len)) => Ok((network, len)),
        Some(_) => refuse(format!("{ts} is IPv6, and that is not written for {target}"), "use IPv4 selectors"),
        None => refuse(format!("{ts} is no single network"), "write it as networks with a length, such as 10.0.0.0/24"),
    }
}

/// What hardly any target has.
pub(super) struct Needs<'a> {
    pub target: &'a str,
    /// Certificates can be said.
    pub certificates: bool,
    /// Our end may have a name instead of an address.
    pub names: bool,
}
/// Refuses what a format for devices and clouds cannot say.
pub(super) fn common(facing: &Facing, needs: &Needs<'_>) -> Result<(), Refusal> {
    let target = needs.target;
    if facing.ports.ike != 500 || facing.ports.natt != 4500 {
        let what = format!(
            "{target} calls UDP ports 500 and 4500 only, and ours are {} and {}",
            facing.ports.ike, facing.ports.natt
        );
        return refuse(what, "set ports = { ike = 500, natt = 4500 } in [gateway]");
    }
    if !needs.certificates && [facing.us.auth, facing.peer.auth].contains(&AuthKind::PublicKey) {
        return refuse(
            format!("certificates are not written for {target}"),
            "use auth = \"psk\", or enter certificates by hand",
        );
    }
    if facing.ppk.as_ref().is_some_and(|ppk| ppk.required) {
        return refuse(
            format!("{target} has no post-quantum pre-shared keys"),
            "set ppk = { required = false }, or leave ppk out",
        );
    }
    if facing.childless == crate::ike::policy::Childless::Force {
        return refuse(format!("{target} has no childless IKE SAs"), "set childless = \"allow\"");
    }
    if !facing.vips.is_empty() || facing.gives.contains(&true) {
        return refuse(
            format!("virtual addresses are not written for {target}"),
            "leave vips and pools out between gateways",
        );
    }
    if facing.us.places.iter().chain(&facing.peer.places).any(|place| matches!(place, Place::Addr(IpAddr::V6(_)))) {
        return refuse(format!("IPv6 outer addresses are not written for {target}"), "use IPv4 between the gateways");
    }
    if !needs.names
        && let Some(Place::Name(name)) = facing.us.places.first()
    {
        return refuse(format!("{target} calls addresses only, not `{name}`"), "say our address with --address ADDR");
    }
    if let Some(child) = facing.children.iter().find(|child| child.transport) {
        return refuse(
            format!("`{}` has transport mode, which is not written for {target}", child.name),
            "use mode = \"tunnel\"",
        );
    }
    Ok(())
}

/// For targets that know others by their addresses only.
pub(super) fn address_ids(facing: &Facing, target: &str) -> Result<(), Refusal> {
    for (end, key, placeholder) in [(&facing.us, "local", OUR_ADDRESS), (&facing.peer, "remote", PEER_ADDRESS)] {
        let who = who(end, placeholder, target)?;
        let place = first_place(end, placeholder);
        if who.text() != place && (!matches!(who, Who::Address(_)) || !place.starts_with("REPLACE")) {
            let what = format!("in {target} an identity is an address, and {key}.id is {} at {place}", who.text());
            return refuse(what, format!("set {key} = {{ id = ... }} to the public address of that end"));
        }
    }
    Ok(())
}

/// What an administrator has to know before anything else.
pub(super) fn advice(facing: &Facing) -> Vec<String> {
    let mut advice = Vec::new();
    if facing.us.places.contains(&Place::Unknown) {
        advice.push(format!("{OUR_ADDRESS}: the address that this gateway sees of Sandhog, the public one where a NAT is between (--address ADDR writes it)."));
    } else if facing.behind_nat {
        advice
            .push("Sandhog seems to be behind a NAT: its address here is that of its ID. UDP 4500 has to pass.".into());
    }
    if facing.peer.places.contains(&Place::Unknown) {
        advice.push(format!("{PEER_ADDRESS}: this gateway's own outer address. Sandhog waits for its call."));
    }
    if facing.us.id.is_none() {
        advice.push(
            "Sandhog's identity is its own address; where a NAT is between, give it one: local = { id = \"...\" }."
                .into(),
        );
    }
    if let [_, _, ..] = &facing.us.places[..] {
        let all: Vec<String> = facing.us.places.iter().map(|p| place(p, OUR_ADDRESS)).collect();
        advice.push(format!("Sandhog may call from each of {}.", all.join(", ")));
    }
    if let Some(ppk) = facing.ppk.as_ref().filter(|ppk| !ppk.required) {
        let id = Id { kind: IdType::KEY_ID, data: ppk.id.clone() };
        advice.push(format!("Sandhog would use the post-quantum key {id}, and does without."));
    }
    advice
}

/// Whatever a secret is, it can be written.
pub(super) fn takes_any(_: &Secret) -> Result<(), Refusal> {
    Ok(())
}
/// Only secrets of some length, of some characters.
pub(super) fn takes(
    secret: &Secret,
    target: &str,
    len: RangeInclusive<usize>,
    fits: impl Fn(u8) -> bool,
) -> Result<(), Refusal> {
    if !len.contains(&secret.len()) {
        let what = format!(
            "a secret has {} to {} characters in {target}, and this one has {}",
            len.start(),
            len.end(),
            secret.len()
        );
        return refuse(what, "use another one at both ends: 40 letters and digits fit everywhere");
    }
    match secret.expose().iter().all(|octet| fits(*octet)) {
        true => Ok(()),
        false => refuse(
            format!("the secret has characters that {target} does not take"),
            "make another one with `sandhog secret`, for both ends",
        ),
    }
}
/// In double quotes; a backslash takes the meaning from `special`.
pub(super) fn quoted(secret: &Secret, special: &[u8]) -> Secret {
    let mut out = Secret::new(Vec::with_capacity(2 * secret.len() + 2));
    out.extend(b"\"");
    for octet in secret.expose() {
        if special.contains(octet) {
            out.extend(b"\\");
        }
        out.extend(&[*octet]);
    }
    out.extend(b"\"");
    out
}
/// Printable ASCII, with the space.
pub(super) fn is_printable(octet: u8) -> bool {
    (b' '..=b'~').contains(&octet)
}
/// Printable ASCII, without the space.
pub(super) fn is_graphic(octet: u8) -> bool {
    octet.is_ascii_graphic()
}
