//! Cisco ASA 9.x, IKEv2: a tunnel interface where routes say what goes in, else a crypto map. It finds the tunnel group by our address, so that both
//! identities are addresses. Checked against Microsoft's published sample for ASA and Cisco's "CLI Book 3: ASA VPN CLI Configuration Guide"
//! (site-to-site, VTI).
use super::fit::{CBC_128, CBC_192, CBC_256, GCM_128, GCM_192, GCM_256, Pfs, Prf, Table, Words};
use super::lines::Lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, mask};
use super::{Facing, Format, Refusal, Tunnel};
use crate::crypto::secret::Secret;
use crate::wire::registry::{IntegId, KeId, PrfId};

pub(super) const FORMAT: Format =
    Format { name: "cisco-asa", aliases: &["asa"], title: "Cisco ASA commands", write, takes, quote: Secret::clone };
const TARGET: &str = "Cisco ASA";
const LONGEST: usize = 60;

const IKE: Table = Table {
    encr: &[
        (CBC_128, "aes"),
        (CBC_192, "aes-192"),
        (CBC_256, "aes-256"),
        (GCM_128, "aes-gcm"),
        (GCM_192, "aes-gcm-192"),
        (GCM_256, "aes-gcm-256"),
    ],
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha"),
        (IntegId::HMAC_SHA2_256_128, "sha256"),
        (IntegId::HMAC_SHA2_384_192, "sha384"),
        (IntegId::HMAC_SHA2_512_256, "sha512"),
    ],
    prf: Prf::Said(&[
        (PrfId::HMAC_SHA1, "sha"),
        (PrfId::HMAC_SHA2_256, "sha256"),
        (PrfId::HMAC_SHA2_384, "sha384"),
        (PrfId::HMAC_SHA2_512, "sha512"),
    ]),
    groups: &[
        (KeId::MODP_2048, "14"),
        (KeId::MODP_3072, "15"),
        (KeId::MODP_4096, "16"),
        (KeId::ECP_256, "19"),
        (KeId::ECP_384, "20"),
        (KeId::ECP_521, "21"),
    ],
    pfs: Pfs::May,
    esn: false,
    example: "aes256-sha256-modp2048",
};
const ESP: Table = Table {
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha-1"),
        (IntegId::HMAC_SHA2_256_128, "sha-256"),
        (IntegId::HMAC_SHA2_384_192, "sha-384"),
        (IntegId::HMAC_SHA2_512_256, "sha-512"),
    ],
    ..IKE
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    text::address_ids(facing, TARGET)?;
    let name = text::name(&facing.name, LONGEST, TARGET)?;
    let us = text::first_place(&facing.us, OUR_ADDRESS);
    let mut lines = Lines::with_header("!", facing, "Cisco ASA 9.x, to be entered in configuration mode");
    lines.note("The outer interface is called `outside` here. Also: exempt this traffic from NAT.");
    policy(&IKE.ike(&facing.proposals, TARGET)?, facing.life.for_peer((120, 86_400), 86_400, TARGET)?, &mut lines);
    group(facing, &us, &name, &mut lines);
    match facing.routed() {
        Some(tunnel) => routed(facing, tunnel, (&us, &name), &mut lines)?,
        None => map(facing, (&us, &name), &mut lines)?,
    }
    Ok(lines.text())
}

fn policy(ike: &Words, life: u64, lines: &mut Lines) {
    lines.block(
        "Phase 1: one suite, which is the first of Sandhog's that ASA knows. Another number if this one is taken.",
    );
    lines.put("crypto ikev2 policy 10");
    lines.put(format!(" encryption {}", ike.encr));
    lines.put(format!(" integrity {}", ike.integ.unwrap_or("null")));
    lines.put(format!(" group {}", ike.group.unwrap_or_default()));
    lines.put(format!(" prf {}", ike.prf.unwrap_or_default()));
    lines.put(format!(" lifetime seconds {life}"));
    lines.put("crypto ikev2 enable outside");
    lines.note("This one is for all tunnels: leave it out if others say who they are by names.");
    lines.put("crypto isakmp identity address");
}

fn group(facing: &Facing, us: &str, name: &str, lines: &mut Lines) {
    lines
        .block(&format!("The secret. This gateway says that it is {}.", text::first_place(&facing.peer, PEER_ADDRESS)));
    lines.put(format!("group-policy {name} internal"));
    lines.put(format!("group-policy {name} attributes"));
    lines.put(" vpn-tunnel-protocol ikev2");
    lines.put(format!("tunnel-group {us} type ipsec-l2l"));
    lines.put(format!("tunnel-group {us} general-attributes"));
    lines.put(format!(" default-group-policy {name}"));
    lines.put(format!("tunnel-group {us} ipsec-attributes"));
    lines.put(format!(" ikev2 remote-authentication pre-shared-key {PSK}"));
    lines.put(format!(" ikev2 local-authentication pre-shared-key {PSK}"));
    if facing.dpd.is_zero() {
        lines.put(" isakmp keepalive disable");
    } else {
        lines.put(format!(" isakmp keepalive threshold {} retry 5", facing.dpd.as_secs().clamp(10, 3600)));
    }
}

fn proposal(esp: &Words, child: &str, name: &str, lines: &mut Lines) {
    lines.block(&format!("Phase 2 of {child}."));
    lines.put(format!("crypto ipsec ikev2 ipsec-proposal {name}"));
    lines.put(format!(" protocol esp encryption {}", esp.encr));
    lines.put(format!(" protocol esp integrity {}", esp.integ.unwrap_or("null")));
}

fn routed(facing: &Facing, tunnel: &Tunnel, (us, name): (&str, &str), lines: &mut Lines) -> Result<(), Refusal> {
    let esp = ESP.esp(&tunnel.proposals, TARGET)?;
    proposal(&esp, &tunnel.name, name, lines);
    lines.put(format!("crypto ipsec profile {name}"));
    lines.put(format!(" set ikev2 ipsec-proposal {name}"));
    if let Some(group) = esp.group {
        lines.put(format!(" set pfs group{group}"));
    }
    let life = tunnel.life.for_peer((120, 214_783_647), 3600, TARGET)?;
    lines.put(format!(" set security-association lifetime seconds {life}"));
    lines.put(" set security-association lifetime kilobytes unlimited");
    lines.block("The tunnel interface: choose a number that is free. Routes or BGP say what goes in.");
    lines.put("interface Tunnel100");
    lines.put(format!(" nameif {name}"));
    let inner = facing.inner.iter().find(|inner| inner.ours.is_ipv4());
    let addr =
        inner.and_then(|inner| inner.peers).map_or_else(|| "REPLACE-WITH-ADDRESS-INSIDE".into(), |a| a.to_string());
    lines.put(format!(" ip address {addr} {}", mask(inner.map_or(30, |inner| inner.len), false)));
    lines.put(" tunnel source interface outside");
    lines.put(format!(" tunnel destination {us}"));
    lines.put(" tunnel mode ipsec ipv4");
    lines.put(format!(" tunnel protection ipsec profile {name}"));
    lines.put(format!("sysopt connection tcpmss {}", tunnel.mss));
    lines.note(&format!("For each network behind Sandhog: route {name} NETWORK MASK ADDRESS"));
    Ok(())
}

/// An entry for each child: an ACL makes an SA for each line.
fn map(facing: &Facing, (us, name): (&str, &str), lines: &mut Lines) -> Result<(), Refusal> {
    lines.note("An interface has one crypto map, and another replaces it: use the name of the one that is there, and numbers that are free.");
    for (n, tunnel) in facing.children.iter().enumerate() {
        let (peer, ours) = tunnel.only_pair(TARGET)?;
        let entry = text::name(&format!("{name}-{}", n + 1), LONGEST, TARGET)?;
        let esp = ESP.esp(&tunnel.proposals, TARGET)?;
        proposal(&esp, &tunnel.name, &entry, lines);
        let ((source, from), (destination, to)) = (text::network_v4(peer, TARGET)?, text::network_v4(ours, TARGET)?);
        let (from, to) = (mask(from, false), mask(to, false));
        lines.put(format!("access-list {entry} extended permit ip {source} {from} {destination} {to}"));
        let map = format!("crypto map outside-map {}", 10 * (n + 1));
        lines.put(format!("{map} match address {entry}"));
        lines.put(format!("{map} set peer {us}"));
        lines.put(format!("{map} set ikev2 ipsec-proposal {entry}"));
        if let Some(group) = esp.group {
            lines.put(format!("{map} set pfs group{group}"));
        }
        let life = tunnel.life.for_peer((120, 214_783_647), 3600, TARGET)?;
        lines.put(format!("{map} set security-association lifetime seconds {life}"));
        lines.put(format!("{map} set security-association lifetime kilobytes unlimited"));
    }
    lines.put("crypto map outside-map interface outside");
    Ok(())
}

/// A word: no spaces, nothing that asks for help.
fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=128, |octet| text::is_graphic(octet) && !b"?\"\\!".contains(&octet))
}
