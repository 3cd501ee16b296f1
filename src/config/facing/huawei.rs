//! Huawei firewalls and routers (USG, AR), IKEv2; with a tunnel interface, where routes say what goes in, or one pair of networks in a policy: with
//! several pairs a policy brings only the first up. Checked against Huawei's published AR examples (ike proposal, ike peer, ipsec policy) and UCloud's
//! UWAN guide for Huawei firewalls.
use super::fit::{CBC_128, CBC_192, CBC_256, Pfs, Prf, Table, Words};
use super::lines::Lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, Who, mask};
use super::{Facing, Format, Refusal, Tunnel};
use crate::crypto::secret::Secret;
use crate::wire::registry::{IntegId, KeId, PrfId};

pub(super) const FORMAT: Format = Format {
    name: "huawei",
    aliases: &["huawei-usg", "huawei-ar"],
    title: "Huawei USG and AR commands",
    write,
    takes,
    quote: Secret::clone,
};
const TARGET: &str = "Huawei";
const LONGEST: usize = 15;

const IKE: Table = Table {
    encr: &[(CBC_128, "aes-128"), (CBC_192, "aes-192"), (CBC_256, "aes-256")],
    integ: &[
        (IntegId::HMAC_SHA1_96, "hmac-sha1-96"),
        (IntegId::HMAC_SHA2_256_128, "hmac-sha2-256"),
        (IntegId::HMAC_SHA2_384_192, "hmac-sha2-384"),
        (IntegId::HMAC_SHA2_512_256, "hmac-sha2-512"),
    ],
    prf: Prf::Said(&[
        (PrfId::HMAC_SHA1, "hmac-sha1"),
        (PrfId::HMAC_SHA2_256, "hmac-sha2-256"),
        (PrfId::HMAC_SHA2_384, "hmac-sha2-384"),
        (PrfId::HMAC_SHA2_512, "hmac-sha2-512"),
    ]),
    groups: &[
        (KeId::MODP_1024, "group2"),
        (KeId::MODP_1536, "group5"),
        (KeId::MODP_2048, "group14"),
        (KeId::MODP_3072, "group15"),
        (KeId::MODP_4096, "group16"),
        (KeId::ECP_256, "group19"),
        (KeId::ECP_384, "group20"),
        (KeId::ECP_521, "group21"),
    ],
    pfs: Pfs::May,
    esn: false,
    example: "aes256-sha256-modp2048",
};
const ESP: Table = Table {
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha1"),
        (IntegId::HMAC_SHA2_256_128, "sha2-256"),
        (IntegId::HMAC_SHA2_384_192, "sha2-384"),
        (IntegId::HMAC_SHA2_512_256, "sha2-512"),
    ],
    ..IKE
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    let name = text::name(&facing.name, LONGEST, TARGET)?;
    let child = facing.only_child(TARGET)?;
    let esp = ESP.esp(&child.proposals, TARGET)?;
    let mut lines = Lines::with_header("#", facing, "Huawei USG or AR, to be entered in system view");
    lines.note("Also: security policies for IKE, ESP and the inner networks, and no NAT for them. It does not take rekeys that Sandhog begins: rekey = \"peer\".");
    proposal(facing, &IKE.ike(&facing.proposals, TARGET)?, &mut lines)?;
    peer(facing, &name, &mut lines)?;
    lines.block(&format!("Phase 2 of {}.", child.name));
    lines.put(format!("ipsec proposal {name}"));
    lines.put(" encapsulation-mode tunnel");
    lines.put(" transform esp");
    lines.put(format!(" esp authentication-algorithm {}", esp.integ.unwrap_or_default()));
    lines.put(format!(" esp encryption-algorithm {}", esp.encr));
    lines.put(" quit");
    match facing.routed() {
        Some(tunnel) => routed(facing, tunnel, &esp, &name, &mut lines)?,
        None => policy(child, &esp, &name, &mut lines)?,
    }
    Ok(lines.text())
}

fn proposal(facing: &Facing, ike: &Words, lines: &mut Lines) -> Result<(), Refusal> {
    lines.block(
        "Phase 1: one suite, which is the first of Sandhog's that it knows. Another number if this one is taken.",
    );
    lines.put("ike proposal 10");
    lines.put(format!(" encryption-algorithm {}", ike.encr));
    lines.put(format!(" dh {}", ike.group.unwrap_or_default()));
    lines.put(" authentication-method pre-share");
    lines.put(format!(" integrity-algorithm {}", ike.integ.unwrap_or_default()));
    lines.put(format!(" prf {}", ike.prf.unwrap_or_default()));
    lines.put(format!(" sa duration {}", facing.life.for_peer((60, 604_800), 86_400, TARGET)?));
    lines.put(" quit");
    Ok(())
}

fn peer(facing: &Facing, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.block("Where Sandhog is, who both ends are, and the secret.");
    lines.put(format!("ike peer {name}"));
    lines.put(" undo version 1");
    lines.put(" version 2");
    lines.put(format!(" pre-shared-key cipher {PSK}"));
    lines.put(" ike-proposal 10");
    for (side, end, placeholder) in [("local", &facing.peer, PEER_ADDRESS), ("remote", &facing.us, OUR_ADDRESS)] {
        let who = text::who(end, placeholder, TARGET)?.plain(TARGET)?;
        let kind = match &who {
            Who::Address(_) => "ip",
            Who::Fqdn(_) => "fqdn",
            Who::Email(_) => "user-fqdn",
            Who::KeyId(_) => "key-id",
        };
        lines.put(format!(" {side}-id-type {kind}"));
        lines.put(format!(" {side}-id {}", who.text()));
    }
    lines.put(format!(" remote-address {}", text::first_place(&facing.us, OUR_ADDRESS)));
    if !facing.dpd.is_zero() {
        lines.put(" dpd type periodic");
        lines.put(format!(" dpd idle-time {}", facing.dpd.as_secs().clamp(10, 3600)));
    }
    lines.put(" quit");
    Ok(())
}

fn sets(tunnel: &Tunnel, esp: &Words, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.put(format!(" ike-peer {name}"));
    lines.put(format!(" proposal {name}"));
    if let Some(group) = esp.group {
        lines.put(format!(" pfs dh-{group}"));
    }
    lines.put(format!(" sa duration time-based {}", tunnel.life.for_peer((30, 604_800), 3600, TARGET)?));
    lines.put(" quit");
    Ok(())
}

fn routed(facing: &Facing, tunnel: &Tunnel, esp: &Words, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.put(format!("ipsec profile {name}"));
    sets(tunnel, esp, name, lines)?;
    lines.block(
        "The tunnel interface: choose a number that is free, and a security zone. Routes or BGP say what goes in.",
    );
    lines.put("interface Tunnel 100");
    let inner = facing.inner.iter().find(|inner| inner.ours.is_ipv4());
    match inner {
        Some(inner) => {
            let addr = inner.peers.map_or_else(|| "REPLACE-WITH-ADDRESS-INSIDE".into(), |addr| addr.to_string());
            lines.put(format!(" ip address {addr} {}", mask(inner.len, false)));
        }
        None => lines.put(" ip address unnumbered interface REPLACE-WITH-OUTER-INTERFACE"),
    }
    lines.put(" tunnel-protocol ipsec");
    lines.put(format!(" source {}", text::first_place(&facing.peer, PEER_ADDRESS)));
    lines.put(format!(" destination {}", text::first_place(&facing.us, OUR_ADDRESS)));
    lines.put(format!(" ipsec profile {name}"));
    lines.put(" quit");
    lines.note("For each network behind Sandhog: ip route-static NETWORK MASK Tunnel 100");
    Ok(())
}

fn policy(tunnel: &Tunnel, esp: &Words, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    let (peer, ours) = tunnel.only_pair(TARGET)?;
    let ((source, from), (destination, to)) = (text::network_v4(peer, TARGET)?, text::network_v4(ours, TARGET)?);
    lines.note("Its networks: choose another number if this ACL is there already.");
    lines.put("acl number 3900");
    lines.put(format!(
        " rule permit ip source {source} {} destination {destination} {}",
        mask(from, true),
        mask(to, true)
    ));
    lines.put(" quit");
    lines.note("An interface has one ipsec policy, and another replaces it: use the name of the one that is there, and numbers that are free.");
    lines.put(format!("ipsec policy {name} 10 isakmp"));
    lines.put(" security acl 3900");
    sets(tunnel, esp, name, lines)?;
    lines.block("On the outer interface: put its name here.");
    lines.put("interface REPLACE-WITH-OUTER-INTERFACE");
    lines.put(format!(" ipsec policy {name}"));
    lines.put(" quit");
    Ok(())
}

/// A word: no spaces, nothing that asks for help.
fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=128, |octet| text::is_graphic(octet) && !b"?\"\\".contains(&octet))
}
