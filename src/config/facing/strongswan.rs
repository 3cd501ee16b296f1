//! swanctl.conf of strongSwan 5.9 and later. Checked against the swanctl.conf manual page of 5.9.8, and loaded by it in conformance ("generated peers").
use super::lines::Lines;
use super::text::{self, OUR_ADDRESS, PEER_ADDRESS, PPK, PSK};
use super::{End, Facing, Format, Refusal, Tunnel, refuse};
use crate::crypto::secret::Secret;
use crate::ike::policy::{AuthKind, Childless, StartAction};
use crate::wire::keyword;
use crate::wire::payload::{Id, Proposal};
use crate::wire::registry::{EsnId, IdType, TransformType};
use crate::wire::selector::{ANY_PORTS, OPAQUE_PORTS, Selector};

pub(super) const FORMAT: Format = Format {
    name: "strongswan",
    aliases: &[],
    title: "swanctl.conf of strongSwan",
    write,
    takes: text::takes_any,
    quote,
};
const TARGET: &str = "strongSwan";
/// The XFRM interface of a routed tunnel.
const IF_ID: u32 = 100;

fn write(facing: &Facing) -> Result<String, Refusal> {
    let name = text::name(&facing.name, 64, TARGET)?;
    let mut lines = Lines::with_header("#", facing, "swanctl.conf of the other end, for strongSwan 5.9 or later");
    lines.note(&format!("Save it as /etc/swanctl/conf.d/{name}.conf, closed to others, and run swanctl --load-all."));
    lines.put("connections {");
    lines.deeper();
    lines.put(format!("{name} {{"));
    lines.deeper();
    ends(facing, &mut lines);
    suite(facing, &mut lines);
    if !facing.vips.is_empty() {
        lines.note("Sandhog asks for an address.");
        lines.put(format!("pools = {name}"));
    }
    if facing.gives.contains(&true) {
        lines.note("Sandhog gives an address.");
        let families = facing.gives.iter().zip(["0.0.0.0", "::"]).filter(|(gives, _)| **gives).map(|(_, any)| any);
        lines.put(format!("vips = {}", families.collect::<Vec<_>>().join(", ")));
    }
    side(
        &mut lines,
        "local",
        &facing.peer,
        (None, format!("certs = {name}.pem"), "this gateway's own certificate, in x509/; its key in private/"),
    )?;
    side(
        &mut lines,
        "remote",
        &facing.us,
        (Some(OUR_ADDRESS), format!("cacerts = {name}-ca.pem"), "the authority of Sandhog's certificate, in x509ca/"),
    )?;
    lines.put("children {");
    lines.deeper();
    let mut names = Vec::new();
    for tunnel in &facing.children {
        let name = text::name(&tunnel.name, 64, TARGET)?;
        if names.contains(&name) {
            return refuse(format!("two children would be called `{name}`"), "give one of them another name");
        }
        child(tunnel, &name, facing.routed().filter(|_| facing.interface.is_some()).is_some(), &mut lines);
        names.push(name);
    }
    (0..3).for_each(|_| {
        lines.back();
        lines.put("}");
    });
    secrets(facing, &name, &mut lines)?;
    pools(facing, &name, &mut lines);
    Ok(lines.text())
}

fn ends(facing: &Facing, lines: &mut Lines) {
    lines.put("version = 2");
    let list = |end: &End, placeholder| {
        end.places.iter().map(|place| text::place(place, placeholder)).collect::<Vec<_>>().join(", ")
    };
    if facing.peer.addr().is_some() {
        lines.note("This gateway's outer addresses: %any, or leave it out, if they change or are behind a NAT.");
        lines.put(format!("local_addrs = {}", list(&facing.peer, PEER_ADDRESS)));
    }
    lines.note("Sandhog.");
    lines.put(format!("remote_addrs = {}", list(&facing.us, OUR_ADDRESS)));
    if facing.ports.ike != 500 || facing.ports.natt != 4500 {
        lines.note("Sandhog's port for IKE with ESP.");
        lines.put(format!("remote_port = {}", facing.ports.natt));
    }
    if facing.encap {
        lines.note("ESP in UDP, always, as at the other end.");
        lines.put("encap = yes");
    }
    lines.put(format!("mobike = {}", if facing.mobike { "yes" } else { "no" }));
    lines.put(format!("dpd_delay = {}s", facing.dpd.as_secs()));
    match facing.childless {
        Childless::Force => lines.put("childless = force"),
        Childless::Never => lines.put("childless = never"),
        Childless::Allow | Childless::Prefer => {}
    }
}

fn suite(facing: &Facing, lines: &mut Lines) {
    let more = |proposal: &Proposal| proposal.transforms.iter().any(|t| t.kind.is_additional());
    if facing.proposals.iter().any(more) {
        lines.note("Several key exchanges need strongSwan 6.");
    }
    lines.put(format!("proposals = {}", proposals(&facing.proposals)));
    if !facing.life.ours.is_zero() {
        let first = if facing.life.peer_first {
            "shorter than Sandhog's, which leaves it to this end"
        } else {
            "longer than Sandhog's, which comes first"
        };
        lines.note(&format!("Rekeying: {first}."));
        lines.put(format!("rekey_time = {}s", facing.life.rekey_for_peer().as_secs()));
    }
    if let Some(ppk) = &facing.ppk {
        lines.put(format!("ppk_id = {}", id(&Id { kind: IdType::KEY_ID, data: ppk.id.clone() })));
        lines.put(format!("ppk_required = {}", if ppk.required { "yes" } else { "no" }));
    }
}

/// `local` or `remote`: who it is if nothing is known (None: its address), and what certificates need.
fn side(
    lines: &mut Lines,
    section: &str,
    end: &End,
    (unknown, certificate, why): (Option<&str>, String, &str),
) -> Result<(), Refusal> {
    lines.put(format!("{section} {{"));
    lines.deeper();
    if end.auth == AuthKind::PublicKey {
        lines.put("auth = pubkey");
        lines.note(&format!("{why}."));
        lines.put(certificate);
    } else {
        lines.put("auth = psk");
    }
    if let Some(id) = &end.id {
        no_pattern(id)?;
    }
    match (&end.id, end.addr(), unknown) {
        (Some(who), ..) => lines.put(format!("id = {}", id(who))),
        (None, Some(addr), _) => lines.put(format!("id = {addr}")),
        (None, None, Some(placeholder)) => lines.put(format!("id = {placeholder}")),
        (None, None, None) => {}
    }
    lines.back();
    lines.put("}");
    Ok(())
}

fn child(tunnel: &Tunnel, name: &str, routed: bool, lines: &mut Lines) {
    let list = |all: &[Selector]| all.iter().map(selector).collect::<Vec<_>>().join(", ");
    lines.put(format!("{name} {{"));
    lines.deeper();
    lines.put(format!("local_ts = {}", list(&tunnel.peer_ts)));
    lines.put(format!("remote_ts = {}", list(&tunnel.our_ts)));
    lines.put(format!("esp_proposals = {}", proposals(&tunnel.proposals)));
    if tunnel.transport {
        lines.put("mode = transport");
    }
    if routed {
        // Else it would take all of the host's traffic.
        lines.note(&format!("A device of its own, made before: ip link add ipsec{IF_ID} type xfrm dev OUTER if_id {IF_ID}; its addresses and routes are yours to set."));
        lines.put(format!("if_id_in = {IF_ID}"));
        lines.put(format!("if_id_out = {IF_ID}"));
    }
    if !tunnel.life.ours.is_zero() {
        lines.put(format!("rekey_time = {}s", tunnel.life.rekey_for_peer().as_secs()));
    }
    lines.note("At least what Sandhog reckons with.");
    lines.put(format!("replay_window = {}", tunnel.window));
    let (start, dpd) = match tunnel.start {
        // Who calls, and who waits: two that call have everything twice.
        StartAction::Start => ("none", "clear"),
        StartAction::Trap => ("trap", "trap"),
        StartAction::None => ("start", "restart"),
    };
    lines.note(if start == "none" { "Sandhog calls." } else { "Sandhog does not call by itself." });
    lines.put(format!("start_action = {start}"));
    lines.put(format!("dpd_action = {dpd}"));
    lines.back();
    lines.put("}");
}

fn secrets(facing: &Facing, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    if !facing.has_psk() && facing.ppk.is_none() {
        return Ok(());
    }
    lines.put("secrets {");
    lines.deeper();
    if facing.has_psk() {
        lines.put(format!("ike-{name} {{"));
        lines.deeper();
        for (key, end) in [("id-peer", &facing.peer), ("id-sandhog", &facing.us)] {
            match (&end.id, end.addr()) {
                (Some(who), _) => lines.put(format!("{key} = {}", id(who))),
                (None, Some(addr)) => lines.put(format!("{key} = {addr}")),
                (None, None) => {}
            }
        }
        lines.put(format!("secret = {PSK}"));
        lines.back();
        lines.put("}");
    }
    if let Some(ppk) = &facing.ppk {
        lines.put(format!("ppk-{name} {{"));
        lines.deeper();
        lines.put(format!("id = {}", id(&Id { kind: IdType::KEY_ID, data: ppk.id.clone() })));
        lines.put(format!("secret = {PPK}"));
        lines.back();
        lines.put("}");
    }
    lines.back();
    lines.put("}");
    Ok(())
}

fn pools(facing: &Facing, name: &str, lines: &mut Lines) {
    if facing.vips.is_empty() {
        return;
    }
    let given = facing.vips.iter().find(|vip| !vip.is_unspecified());
    lines.put("pools {");
    lines.deeper();
    lines.put(format!("{name} {{"));
    lines.deeper();
    lines.note("The network that Sandhog's address comes from.");
    let addrs = given.map_or_else(
        || "REPLACE-WITH-A-NETWORK".to_owned(),
        |vip| format!("{vip}/{}", if vip.is_ipv4() { 32 } else { 128 }),
    );
    lines.put(format!("addrs = {addrs}"));
    (0..2).for_each(|_| {
        lines.back();
        lines.put("}");
    });
}

/// Its keywords are ours. Where extended sequence numbers may be or not, they are not: not every strongSwan has them.
fn proposals(list: &[Proposal]) -> String {
    let one = |proposal: &Proposal| {
        let esn: Vec<u16> = keyword::of(proposal, TransformType::ESN).map(|t| t.id).collect();
        let mut proposal = proposal.clone();
        if esn.contains(&EsnId::NO.0) {
            proposal.transforms.retain(|t| t.kind != TransformType::ESN);
        }
        keyword::proposal(&proposal)
    };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Protocols and ports as numbers.
pub(super) fn selector(ts: &Selector) -> String {
    let addresses = match ts.as_prefix() {
        Some((network, len)) => format!("{network}/{len}"),
        None => format!("{}-{}", ts.start, ts.end),
    };
    match (ts.proto, ts.ports) {
        (0, ANY_PORTS) => addresses,
        (proto, ANY_PORTS) => format!("{addresses}[{proto}]"),
        (proto, OPAQUE_PORTS) => format!("{addresses}[{proto}/opaque]"),
        (proto, (first, last)) if first == last => format!("{addresses}[{proto}/{first}]"),
        (proto, (first, last)) => format!("{addresses}[{proto}/{first}-{last}]"),
    }
}

/// A pattern there, and an identity here.
fn no_pattern(id: &Id) -> Result<(), Refusal> {
    if [IdType::FQDN, IdType::RFC822_ADDR].contains(&id.kind) && id.data.contains(&b'*') {
        return refuse(
            format!("strongSwan takes the * in {id} for a pattern"),
            "use an identity without it, at both ends",
        );
    }
    Ok(())
}

/// In double quotes, where only plain characters stand; other identities as their octets.
fn id(id: &Id) -> String {
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b" ._-@=,:".contains(&b));
    let shown = id.to_string();
    // It parses back here; there, what has only these characters is taken for the same.
    if plain(&shown) && shown.parse::<Id>().as_ref() == Ok(id) && !shown.contains("0x") && id.kind != IdType::KEY_ID {
        return format!("\"{shown}\"");
    }
    let kind = match id.kind {
        IdType::IPV4_ADDR => "ipv4",
        IdType::IPV6_ADDR => "ipv6",
        IdType::FQDN => "fqdn",
        IdType::RFC822_ADDR => "email",
        IdType::DER_ASN1_DN => "asn1dn",
        IdType::DER_ASN1_GN => "asn1gn",
        IdType::KEY_ID => "keyid",
        IdType(number) => return format!("\"{{{number}}}:#{}\"", hex::encode(&id.data)),
    };
    format!("\"{kind}:#{}\"", hex::encode(&id.data))
}

/// In double quotes, or in hexadecimal digits.
fn quote(secret: &Secret) -> Secret {
    let octets = secret.expose();
    let coded = octets.starts_with(b"0x") || octets.starts_with(b"0s");
    if !coded && octets.iter().all(|octet| text::is_printable(*octet)) {
        return text::quoted(secret, b"\"\\");
    }
    Secret::concat(&[b"0x", secret.hex().expose()])
}
