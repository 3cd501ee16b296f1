//! TOML of a Sandhog at the other end: read back by our own reader in the tests.
use super::lines::Lines;
use super::text::{self, OUR_ADDRESS, PEER_ADDRESS, PPK, PSK};
use super::{End, Facing, Format, Inner, Lifetime, Place, Refusal, Tunnel};
use crate::crypto::secret::Secret;
use crate::ike::policy::{AuthKind, Childless, RekeyBy, StartAction};
use crate::wire::keyword;
use crate::wire::payload::{Id, Proposal};
use crate::wire::registry::IdType;
use crate::wire::selector::Selector;
use std::fmt::Write as _;

pub(super) const FORMAT: Format = Format {
    name: "sandhog",
    aliases: &[],
    title: "TOML of a Sandhog at the other end",
    write,
    takes: text::takes_any,
    quote,
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    let name = key(&facing.name);
    let mut lines = Lines::with_header("#", facing, "configuration of a Sandhog at the other end");
    lines.note("Save it as /etc/sandhog/conf.d/NAME.toml: root:sandhogd, mode 0640, because of the secret. Then: sandhog reload");
    if facing.ports != crate::ike::policy::Ports::default() {
        let crate::ike::policy::Ports { ike, natt } = facing.ports;
        lines.block("Both ends have the same ports: this belongs to the main file.");
        lines.put("[gateway]");
        lines.put(format!("ports = {{ ike = {ike}, natt = {natt} }}"));
    }
    lines.block("Where both are, who they are, and what they speak.");
    lines.put(format!("[connections.{name}]"));
    ends(facing, &mut lines);
    life(facing, &mut lines);
    device(facing, &mut lines);
    facing.children.iter().for_each(|tunnel| child(tunnel, &name, &mut lines));
    secrets(facing, &name, &mut lines);
    Ok(lines.text())
}

fn ends(facing: &Facing, lines: &mut Lines) {
    let list = |end: &End, placeholder| {
        let all: Vec<String> = end.places.iter().map(|place| string(&text::place(place, placeholder))).collect();
        format!("[{}]", all.join(", "))
    };
    match facing.peer.addr() {
        Some(_) if facing.peer.places.iter().all(|place| matches!(place, Place::Addr(_))) => {
            lines.note("This gateway's outer address; leave it out if that is behind a NAT or changes.");
            lines.put(format!("local_addrs = {}", list(&facing.peer, PEER_ADDRESS)));
        }
        _ => {}
    }
    lines.put(format!("remote_addrs = {}", list(&facing.us, OUR_ADDRESS)));
    lines.put(format!("proposals = {}", proposals(&facing.proposals)));
    let id = |end: &End| end.id.as_ref().map(|id| format!(", id = {}", string(&id.to_string()))).unwrap_or_default();
    match facing.peer.auth {
        AuthKind::Psk => lines.put(format!("local = {{ auth = \"psk\"{} }}", id(&facing.peer))),
        AuthKind::PublicKey => {
            lines.note("This gateway's certificate and key.");
            let files = format!(
                "certs = [{}], key = {}",
                string(&format!("{}.pem", facing.name)),
                string(&format!("{}.key", facing.name))
            );
            lines.put(format!("local = {{ auth = \"pubkey\", {files}{} }}", id(&facing.peer)));
        }
    }
    match (facing.us.auth, &facing.us.id) {
        (AuthKind::Psk, None) if facing.us.addr().is_none() => {
            lines.put(format!("remote = {{ auth = \"psk\", id = {} }}", string(OUR_ADDRESS)));
        }
        (AuthKind::Psk, _) => lines.put(format!("remote = {{ auth = \"psk\"{} }}", id(&facing.us))),
        (AuthKind::PublicKey, _) => {
            lines.note("The authority of the other end's certificate.");
            let files = format!("cacerts = [{}]", string(&format!("{}-ca.pem", facing.name)));
            lines.put(format!("remote = {{ auth = \"pubkey\", {files}{} }}", id(&facing.us)));
        }
    }
}

fn life(facing: &Facing, lines: &mut Lines) {
    rekey_time(facing.life, lines);
    match facing.rekey {
        RekeyBy::Both => {}
        RekeyBy::Us => lines.put("rekey = \"peer\""),
        RekeyBy::Peer => lines.put("rekey = \"us\""),
    }
    lines.put(format!("dpd_delay = \"{}s\"", facing.dpd.as_secs()));
    if facing.encap {
        lines.put("encap = \"always\"");
    }
    if facing.mobike {
        lines.put("mobike = true");
    }
    match facing.childless {
        Childless::Force => lines.put("childless = \"force\""),
        Childless::Never => lines.put("childless = \"never\""),
        Childless::Allow | Childless::Prefer => {}
    }
    if let Some(ppk) = &facing.ppk {
        let id = Id { kind: IdType::KEY_ID, data: ppk.id.clone() };
        lines.put(format!("ppk = {{ id = {}, required = {} }}", string(&id.to_string()), ppk.required));
    }
    if facing.gives.contains(&true) {
        let families =
            facing.gives.iter().zip(["\"0.0.0.0\"", "\"::\""]).filter(|(gives, _)| **gives).map(|(_, any)| any);
        lines.put(format!("vips = [{}]", families.collect::<Vec<_>>().join(", ")));
    }
    if !facing.vips.is_empty() {
        lines.put(format!("pools = [{}]", string(&facing.name)));
    }
}

/// A quarter longer than ours, or a fifth shorter, so that it is plain who comes first.
fn rekey_time(life: Lifetime, lines: &mut Lines) {
    if !life.ours.is_zero() {
        lines.put(format!("rekey_time = \"{}s\"", life.rekey_for_peer().as_secs()));
    }
}

fn device(facing: &Facing, lines: &mut Lines) {
    let Some(interface) = &facing.interface else { return };
    let address = |inner: &Inner| inner.peers.map(|addr| string(&format!("{addr}/{}", inner.len)));
    let addresses: Vec<String> = facing.inner.iter().filter_map(address).collect();
    lines.note("Its own device: routes or BGP say what goes in.");
    if addresses.len() < facing.inner.len() {
        lines.note("Add this end's address inside the tunnel to `addresses`.");
    }
    lines.put(format!("interface = {{ name = {}, addresses = [{}] }}", string(&interface.name), addresses.join(", ")));
}

fn child(tunnel: &Tunnel, connection: &str, lines: &mut Lines) {
    let list = |all: &[Selector]| all.iter().map(|ts| string(&ts.to_string())).collect::<Vec<_>>().join(", ");
    lines.block("What travels.");
    lines.put(format!("[connections.{connection}.children.{}]", key(&tunnel.name)));
    lines.put(format!("local_ts = [{}]", list(&tunnel.peer_ts)));
    lines.put(format!("remote_ts = [{}]", list(&tunnel.our_ts)));
    lines.put(format!("esp_proposals = {}", proposals(&tunnel.proposals)));
    if tunnel.transport {
        lines.put("mode = \"transport\"");
    }
    rekey_time(tunnel.life, lines);
    if tunnel.resources > 0 {
        lines.put(format!("per_resource_sas = {}", tunnel.resources));
    }
    let (start, dpd) = match tunnel.start {
        StartAction::Start => ("none", "clear"),
        StartAction::Trap => ("trap", "trap"),
        StartAction::None => ("start", "restart"),
    };
    lines.note(if start == "none" { "The other end calls." } else { "The other end does not call by itself." });
    lines.put(format!("start_action = \"{start}\""));
    lines.put(format!("dpd_action = \"{dpd}\""));
}

fn secrets(facing: &Facing, name: &str, lines: &mut Lines) {
    if facing.has_psk() {
        let id = match (&facing.us.id, facing.us.addr()) {
            (Some(id), _) => id.to_string(),
            (None, Some(addr)) => addr.to_string(),
            (None, None) => OUR_ADDRESS.to_owned(),
        };
        lines.block("The secret is the same at both ends.");
        lines.put(format!("[secrets.{}]", key(&format!("ike-{}", name.trim_matches('"')))));
        lines.put(format!("id = [{}]", string(&id)));
        lines.put(format!("secret = {PSK}"));
    }
    if let Some(ppk) = &facing.ppk {
        let id = Id { kind: IdType::KEY_ID, data: ppk.id.clone() };
        lines.block("The post-quantum secret, too.");
        lines.put(format!("[secrets.{}]", key(&format!("ppk-{}", name.trim_matches('"')))));
        lines.put(format!("id = [{}]", string(&id.to_string())));
        lines.put(format!("secret = {PPK}"));
    }
    if !facing.vips.is_empty() {
        lines.block("The other end asks for an address.");
        lines.put(format!("[pools.{name}]"));
        lines.put("addrs = \"REPLACE-WITH-A-NETWORK\"");
    }
}

fn proposals(list: &[Proposal]) -> String {
    format!("[{}]", list.iter().map(|p| string(&keyword::proposal(p))).collect::<Vec<_>>().join(", "))
}

/// A key of TOML: names may have dots in them.
fn key(name: &str) -> String {
    if name.contains('.') { string(name) } else { name.to_owned() }
}

/// A basic string on one line.
fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\U{:08X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// In double quotes, or in hexadecimal digits.
fn quote(secret: &Secret) -> Secret {
    let octets = secret.expose();
    let coded = octets.starts_with(b"0x") || octets.starts_with(b"0s");
    if !coded && octets.iter().all(|octet| text::is_printable(*octet)) {
        return text::quoted(secret, b"\"\\");
    }
    Secret::concat(&[b"\"0x", secret.hex().expose(), b"\""])
}
