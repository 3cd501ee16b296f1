//! Comware 7 of H3C routers and firewalls (MSR, SecPath), IKEv2. Checked against the IPsec chapters of the H3C security command references for Comware 7
//! and a cloud provider's published guide for H3C firewalls (UCloud UWAN, "CE side VPN configuration").
use super::fit::{CBC_128, CBC_192, CBC_256, GCM_128, GCM_192, GCM_256, Pfs, Prf, Table, Words};
use super::lines::Lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, Who, mask};
use super::{Facing, Format, Refusal, Tunnel};
use crate::crypto::secret::Secret;
use crate::wire::registry::{IntegId, KeId, PrfId};

pub(super) const FORMAT: Format = Format {
    name: "h3c",
    aliases: &["h3c-comware"],
    title: "H3C Comware 7 commands",
    write,
    takes,
    quote: Secret::clone,
};
const TARGET: &str = "H3C Comware 7";
/// Longest name of a policy or profile.
const LONGEST: usize = 63;
/// The first of the advanced ACLs that are made; they go from 3000 to 3999.
const FIRST_ACL: usize = 3900;

const IKE: Table = Table {
    encr: &[(CBC_128, "aes-cbc-128"), (CBC_192, "aes-cbc-192"), (CBC_256, "aes-cbc-256")],
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha1"),
        (IntegId::HMAC_SHA2_256_128, "sha256"),
        (IntegId::HMAC_SHA2_384_192, "sha384"),
        (IntegId::HMAC_SHA2_512_256, "sha512"),
        (IntegId::AES_XCBC_96, "aes-xcbc-mac"),
    ],
    prf: Prf::Said(&[
        (PrfId::HMAC_SHA1, "sha1"),
        (PrfId::HMAC_SHA2_256, "sha256"),
        (PrfId::HMAC_SHA2_384, "sha384"),
        (PrfId::HMAC_SHA2_512, "sha512"),
        (PrfId::AES128_XCBC, "aes-xcbc-mac"),
    ]),
    groups: &[
        (KeId::MODP_1024, "group2"),
        (KeId::MODP_1536, "group5"),
        (KeId::MODP_2048, "group14"),
        (KeId::ECP_256, "group19"),
        (KeId::ECP_384, "group20"),
    ],
    pfs: Pfs::May,
    esn: false,
    example: "aes256-sha256-modp2048",
};
const ESP: Table = Table {
    encr: &[
        (CBC_128, "aes-cbc-128"),
        (CBC_192, "aes-cbc-192"),
        (CBC_256, "aes-cbc-256"),
        (GCM_128, "gcm-128"),
        (GCM_192, "gcm-192"),
        (GCM_256, "gcm-256"),
    ],
    groups: &[
        (KeId::MODP_1024, "dh-group2"),
        (KeId::MODP_1536, "dh-group5"),
        (KeId::MODP_2048, "dh-group14"),
        (KeId::ECP_256, "dh-group19"),
        (KeId::ECP_384, "dh-group20"),
    ],
    esn: true,
    ..IKE
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    let name = text::name(&facing.name, LONGEST, TARGET)?;
    let ike = IKE.ike(&facing.proposals, TARGET)?;
    let (us, peer) = (text::who(&facing.us, OUR_ADDRESS, TARGET)?, text::who(&facing.peer, PEER_ADDRESS, TARGET)?);
    let mut lines = Lines::with_header("#", facing, "H3C Comware 7, to be entered in system view");
    lines.note(
        "Also: exempt this traffic from `nat outbound`, and let UDP 500, UDP 4500 and ESP through the security zones.",
    );
    proposal(&ike, &name, &mut lines);
    keychain(facing, &us, &name, &mut lines)?;
    profile(facing, (us, peer), &name, &mut lines)?;
    match facing.routed() {
        Some(tunnel) => routed(facing, tunnel, &name, &mut lines)?,
        None => policies(facing, &name, &mut lines)?,
    }
    Ok(lines.text())
}

fn proposal(ike: &Words, name: &str, lines: &mut Lines) {
    lines.block("Phase 1: one suite, which is the first of Sandhog's that Comware knows.");
    lines.put(format!("ikev2 proposal {name}"));
    lines.put(format!(" encryption {}", ike.encr));
    lines.put(format!(" integrity {}", ike.integ.unwrap_or_default()));
    lines.put(format!(" prf {}", ike.prf.unwrap_or_default()));
    lines.put(format!(" dh {}", ike.group.unwrap_or_default()));
    lines.put(" quit");
    lines.put(format!("ikev2 policy {name}"));
    lines.put(format!(" proposal {name}"));
    lines.put(" quit");
}

fn keychain(facing: &Facing, us: &Who, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.block("The secret, and whose it is: Sandhog's address and identity.");
    lines.put(format!("ikev2 keychain {name}"));
    lines.put(" peer sandhog");
    lines.put(format!("  address {} 32", text::first_place(&facing.us, OUR_ADDRESS)));
    lines.put(format!("  identity {}", identity(us.clone(), None)?));
    lines.put(format!("  pre-shared-key plaintext {PSK}"));
    lines.put("  quit");
    lines.put(" quit");
    Ok(())
}

fn profile(facing: &Facing, (us, peer): (Who, Who), name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.block("Who both ends are, and how long phase 1 lives.");
    lines.put(format!("ikev2 profile {name}"));
    lines.put(" authentication-method local pre-share");
    lines.put(" authentication-method remote pre-share");
    lines.put(format!(" keychain {name}"));
    lines.put(format!(" identity local {}", identity(peer, None)?));
    lines.put(format!(" match remote identity {}", identity(us, Some(" 32"))?));
    lines.put(format!(" sa duration {}", facing.life.for_peer((120, 86_400), 86_400, TARGET)?));
    if !facing.dpd.is_zero() {
        lines.put(format!(" dpd interval {} periodic", facing.dpd.as_secs().clamp(10, 3600)));
    }
    lines.put(" quit");
    Ok(())
}

/// `fqdn gw.example`, `address 192.0.2.1`; behind an address what says that it is a single one.
fn identity(who: Who, host: Option<&str>) -> Result<String, Refusal> {
    Ok(match who.plain(TARGET)? {
        Who::Address(addr) => format!("address {addr}{}", host.unwrap_or_default()),
        Who::Fqdn(name) => format!("fqdn {name}"),
        Who::Email(mailbox) => format!("email {mailbox}"),
        Who::KeyId(key) => format!("key-id {key}"),
    })
}

fn transform_set(tunnel: &Tunnel, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    let esp = ESP.esp(&tunnel.proposals, TARGET)?;
    lines.block(&format!("Phase 2 of {}.", tunnel.name));
    lines.put(format!("ipsec transform-set {name}"));
    lines.put(" encapsulation-mode tunnel");
    lines.put(" protocol esp");
    lines.put(format!(" esp encryption-algorithm {}", esp.encr));
    if let Some(integ) = esp.integ {
        lines.put(format!(" esp authentication-algorithm {integ}"));
    }
    if let Some(group) = esp.group {
        lines.put(format!(" pfs {group}"));
    }
    if esp.suite.esn {
        lines.put(" esn enable");
    }
    lines.put(" quit");
    Ok(())
}

fn routed(facing: &Facing, tunnel: &Tunnel, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    transform_set(tunnel, name, lines)?;
    lines.put(format!("ipsec profile {name} isakmp"));
    lines.put(format!(" transform-set {name}"));
    lines.put(format!(" ikev2-profile {name}"));
    lines.put(format!(" sa duration time-based {}", tunnel.life.for_peer((180, 604_800), 3600, TARGET)?));
    lines.put(" quit");
    lines.block(
        "The tunnel interface: choose a number that is free, and a security zone. Routes or BGP say what goes in.",
    );
    lines.put("interface tunnel 100 mode ipsec");
    match facing.inner.iter().find(|inner| inner.ours.is_ipv4()) {
        Some(inner) => {
            let addr = inner.peers.map_or_else(|| "REPLACE-WITH-ADDRESS-INSIDE".into(), |addr| addr.to_string());
            lines.put(format!(" ip address {addr} {}", mask(inner.len, false)));
        }
        None => lines.note("An address inside the tunnel, if routing protocols are to run: ip address ADDRESS MASK"),
    }
    lines.put(format!(" source {}", text::first_place(&facing.peer, PEER_ADDRESS)));
    lines.put(format!(" destination {}", text::first_place(&facing.us, OUR_ADDRESS)));
    lines.put(format!(" tunnel protection ipsec profile {name}"));
    lines.put(format!(" tcp mss {}", tunnel.mss));
    lines.put(" quit");
    lines.note("For each network behind Sandhog: ip route-static NETWORK MASK tunnel 100");
    Ok(())
}

/// One entry of the policy for each child, with an ACL of its own: standard mode makes an SA for each rule, aggregation one for all of them.
fn policies(facing: &Facing, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.note("An interface has one ipsec policy, and another replaces it: use the name of the one that is there, and numbers that are free.");
    for (n, tunnel) in facing.children.iter().enumerate() {
        let (acl, set) = (FIRST_ACL + n, text::name(&format!("{name}-{}", n + 1), LONGEST, TARGET)?);
        transform_set(tunnel, &set, lines)?;
        lines.note("Its networks: choose another number if this ACL is there already.");
        lines.put(format!("acl advanced {acl}"));
        let mut rules = 0;
        for (peer, ours) in tunnel.pairs() {
            let ((source, from), (destination, to)) =
                (text::network_v4(peer, TARGET)?, text::network_v4(ours, TARGET)?);
            let (from, to) = (mask(from, true), mask(to, true));
            lines.put(format!(" rule permit ip source {source} {from} destination {destination} {to}"));
            rules += 1;
        }
        lines.put(" quit");
        let how = if rules > 1 { " aggregation" } else { "" };
        lines.put(format!("ipsec policy {name} {} isakmp", 10 * (n + 1)));
        lines.put(format!(" transform-set {set}"));
        lines.put(format!(" security acl {acl}{how}"));
        lines.put(format!(" local-address {}", text::first_place(&facing.peer, PEER_ADDRESS)));
        lines.put(format!(" remote-address {}", text::first_place(&facing.us, OUR_ADDRESS)));
        lines.put(format!(" ikev2-profile {name}"));
        lines.put(format!(" sa duration time-based {}", tunnel.life.for_peer((180, 604_800), 3600, TARGET)?));
        lines.put(" quit");
    }
    lines.block("On the outer interface: put its name here.");
    lines.put("interface REPLACE-WITH-OUTER-INTERFACE");
    lines.put(format!(" ipsec apply policy {name}"));
    lines.put(" quit");
    Ok(())
}

/// A word: no spaces, nothing that asks for help.
fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=128, |octet| text::is_graphic(octet) && !b"?\"\\".contains(&octet))
}
