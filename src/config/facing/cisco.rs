//! Cisco IOS-XE, IKEv2: a tunnel interface where routes say what goes in, else a crypto map. Known from Cisco's "FlexVPN and Internet Key Exchange
//! Version 2" configuration guide (IOS XE 17) and its appendix on crypto maps; not checked line by line.
use super::fit::{CBC_128, CBC_192, CBC_256, GCM_128, GCM_192, GCM_256, Pfs, Prf, Table, Words};
use super::lines::Lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, Who, mask};
use super::{Facing, Format, Refusal, Tunnel};
use crate::crypto::secret::Secret;
use crate::wire::registry::{IntegId, KeId, PrfId};

pub(super) const FORMAT: Format = Format {
    name: "cisco",
    aliases: &["cisco-ios-xe"],
    title: "Cisco IOS-XE commands",
    write,
    takes,
    quote: Secret::clone,
};
const TARGET: &str = "Cisco IOS-XE";
const LONGEST: usize = 60;
const ONE_MAP: &str = "An interface has one crypto map, and another replaces it: use the name of the one that is there, and numbers that are free.";

const IKE: Table = Table {
    encr: &[
        (CBC_128, "aes-cbc-128"),
        (CBC_192, "aes-cbc-192"),
        (CBC_256, "aes-cbc-256"),
        (GCM_128, "aes-gcm-128"),
        (GCM_256, "aes-gcm-256"),
    ],
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha1"),
        (IntegId::HMAC_SHA2_256_128, "sha256"),
        (IntegId::HMAC_SHA2_384_192, "sha384"),
        (IntegId::HMAC_SHA2_512_256, "sha512"),
    ],
    prf: Prf::Said(&[
        (PrfId::HMAC_SHA1, "sha1"),
        (PrfId::HMAC_SHA2_256, "sha256"),
        (PrfId::HMAC_SHA2_384, "sha384"),
        (PrfId::HMAC_SHA2_512, "sha512"),
    ]),
    groups: &[
        (KeId::MODP_1024, "2"),
        (KeId::MODP_1536, "5"),
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
    encr: &[
        (CBC_128, "esp-aes 128"),
        (CBC_192, "esp-aes 192"),
        (CBC_256, "esp-aes 256"),
        (GCM_128, "esp-gcm 128"),
        (GCM_192, "esp-gcm 192"),
        (GCM_256, "esp-gcm 256"),
    ],
    integ: &[
        (IntegId::HMAC_SHA1_96, "esp-sha-hmac"),
        (IntegId::HMAC_SHA2_256_128, "esp-sha256-hmac"),
        (IntegId::HMAC_SHA2_384_192, "esp-sha384-hmac"),
        (IntegId::HMAC_SHA2_512_256, "esp-sha512-hmac"),
    ],
    ..IKE
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    let name = text::name(&facing.name, LONGEST, TARGET)?;
    let ike = IKE.ike(&facing.proposals, TARGET)?;
    let mut lines = Lines::with_header("!", facing, "Cisco IOS-XE, to be entered in configuration mode");
    lines.note("Also: exempt this traffic from NAT, and let UDP 500, UDP 4500 and ESP in.");
    phase_1(facing, &ike, &name, &mut lines);
    profile(facing, &name, &mut lines)?;
    match facing.routed() {
        Some(tunnel) => routed(facing, tunnel, &name, &mut lines)?,
        None => map(facing, &name, &mut lines)?,
    }
    Ok(lines.text())
}

fn phase_1(facing: &Facing, ike: &Words, name: &str, lines: &mut Lines) {
    lines.block("Phase 1: one suite, which is the first of Sandhog's that IOS-XE knows.");
    lines.note("The smart defaults offer MD5 and differ by release. Leave these two out if another tunnel of this router lives by them.");
    lines.put("no crypto ikev2 proposal default");
    lines.put("no crypto ikev2 policy default");
    lines.put(format!("crypto ikev2 proposal {name}"));
    lines.put(format!(" encryption {}", ike.encr));
    if let Some(integ) = ike.integ {
        lines.put(format!(" integrity {integ}"));
    }
    lines.put(format!(" prf {}", ike.prf.unwrap_or_default()));
    lines.put(format!(" group {}", ike.group.unwrap_or_default()));
    lines.put(format!("crypto ikev2 policy {name}"));
    lines.put(" match fvrf any");
    lines.put(format!(" proposal {name}"));
    lines.block("The secret, and where Sandhog is.");
    lines.put(format!("crypto ikev2 keyring {name}"));
    lines.put(" peer sandhog");
    lines.put(format!("  address {}", text::first_place(&facing.us, OUR_ADDRESS)));
    lines.put(format!("  pre-shared-key {PSK}"));
}

fn profile(facing: &Facing, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.block("Who both ends are, and how long phase 1 lives.");
    lines.put(format!("crypto ikev2 profile {name}"));
    lines.put(match text::who(&facing.us, OUR_ADDRESS, TARGET)?.plain(TARGET)? {
        Who::Address(addr) => format!(" match identity remote address {addr} 255.255.255.255"),
        other => format!(" match identity remote {}", identity(&other)),
    });
    let peer = text::who(&facing.peer, PEER_ADDRESS, TARGET)?.plain(TARGET)?;
    lines.put(format!(" identity local {}", identity(&peer)));
    lines.put(" authentication remote pre-share");
    lines.put(" authentication local pre-share");
    lines.put(format!(" keyring local {name}"));
    lines.put(format!(" lifetime {}", facing.life.for_peer((120, 86_400), 86_400, TARGET)?));
    if !facing.dpd.is_zero() {
        lines.put(format!(" dpd {} 5 periodic", facing.dpd.as_secs().clamp(10, 3600)));
    }
    Ok(())
}

fn identity(who: &Who) -> String {
    match who {
        Who::Address(addr) => format!("address {addr}"),
        Who::Fqdn(name) => format!("fqdn {name}"),
        Who::Email(mailbox) => format!("email {mailbox}"),
        Who::KeyId(key) => format!("key-id {key}"),
    }
}

fn transform_set(esp: &Words, child: &str, name: &str, lines: &mut Lines) {
    lines.block(&format!("Phase 2 of {child}."));
    let integ = esp.integ.map(|integ| format!(" {integ}")).unwrap_or_default();
    lines.put(format!("crypto ipsec transform-set {name} {}{integ}", esp.encr));
    lines.put(" mode tunnel");
}

/// What a profile and an entry of a crypto map have alike.
fn sets(tunnel: &Tunnel, esp: &Words, (set, profile): (&str, &str), lines: &mut Lines) -> Result<(), Refusal> {
    let life = tunnel.life.for_peer((120, 86_400), 3600, TARGET)?;
    lines.put(format!(" set security-association lifetime seconds {life}"));
    lines.put(" set security-association lifetime kilobytes disable");
    lines.put(format!(" set transform-set {set}"));
    if let Some(group) = esp.group {
        lines.put(format!(" set pfs group{group}"));
    }
    lines.put(format!(" set ikev2-profile {profile}"));
    Ok(())
}

fn routed(facing: &Facing, tunnel: &Tunnel, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    let esp = ESP.esp(&tunnel.proposals, TARGET)?;
    transform_set(&esp, &tunnel.name, name, lines);
    lines.put(format!("crypto ipsec profile {name}"));
    sets(tunnel, &esp, (name, name), lines)?;
    lines.block("The tunnel interface: choose a number that is free. Routes or BGP say what goes in.");
    lines.put("interface Tunnel100");
    match facing.inner.iter().find(|inner| inner.ours.is_ipv4()) {
        Some(inner) => {
            let addr = inner.peers.map_or_else(|| "REPLACE-WITH-ADDRESS-INSIDE".into(), |addr| addr.to_string());
            lines.put(format!(" ip address {addr} {}", mask(inner.len, false)));
        }
        None => {
            lines.note("The outer interface: an IP interface needs an address of some kind.");
            lines.put(" ip unnumbered REPLACE-WITH-OUTER-INTERFACE");
        }
    }
    lines.put(format!(" ip mtu {}", tunnel.mtu));
    lines.put(format!(" ip tcp adjust-mss {}", tunnel.mss));
    lines.put(format!(" tunnel source {}", text::first_place(&facing.peer, PEER_ADDRESS)));
    lines.put(" tunnel mode ipsec ipv4");
    lines.put(format!(" tunnel destination {}", text::first_place(&facing.us, OUR_ADDRESS)));
    lines.put(format!(" tunnel protection ipsec profile {name}"));
    lines.note("For each network behind Sandhog: ip route NETWORK MASK Tunnel100");
    Ok(())
}

/// An entry for each child: an ACL makes an SA for each line.
fn map(facing: &Facing, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.note(ONE_MAP);
    for (n, tunnel) in facing.children.iter().enumerate() {
        let (peer, ours) = tunnel.only_pair(TARGET)?;
        let entry = text::name(&format!("{name}-{}", n + 1), LONGEST, TARGET)?;
        let esp = ESP.esp(&tunnel.proposals, TARGET)?;
        transform_set(&esp, &tunnel.name, &entry, lines);
        let ((source, from), (destination, to)) = (text::network_v4(peer, TARGET)?, text::network_v4(ours, TARGET)?);
        lines.put(format!("ip access-list extended {entry}"));
        lines.put(format!(" permit ip {source} {} {destination} {}", mask(from, true), mask(to, true)));
        lines.put(format!("crypto map {name} {} ipsec-isakmp", 10 * (n + 1)));
        lines.put(format!(" set peer {}", text::first_place(&facing.us, OUR_ADDRESS)));
        sets(tunnel, &esp, (&entry, name), lines)?;
        lines.put(format!(" match address {entry}"));
    }
    lines.block("On the outer interface: put its name here.");
    lines.put("interface REPLACE-WITH-OUTER-INTERFACE");
    lines.put(format!(" crypto map {name}"));
    Ok(())
}

/// A word: no spaces, nothing that asks for help.
fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=127, |octet| text::is_graphic(octet) && !b"?\"\\!".contains(&octet))
}
