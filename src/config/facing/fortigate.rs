//! FortiGate (FortiOS 7), IKEv2 with a tunnel interface; one phase 2 for each pair of networks. Known from the FortiOS CLI reference
//! (`config vpn ipsec phase1-interface`, `phase2-interface`) and strongSwan's notes on Fortinet.
use super::fit::{CBC_128, CBC_192, CBC_256, CHACHA, GCM_128, GCM_256, Pfs, Prf, Table, Words};
use super::lines::Lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, Who, mask};
use super::{Facing, Format, Refusal, Tunnel};
use crate::crypto::secret::Secret;
use crate::ike::policy::StartAction;
use crate::wire::registry::{IntegId, KeId};

pub(super) const FORMAT: Format = Format {
    name: "fortigate",
    aliases: &["fortinet"],
    title: "FortiGate CLI",
    write,
    takes,
    quote: |secret| text::quoted(secret, b"\"\\"),
};
const TARGET: &str = "FortiGate";
/// The tunnel is an interface, and their names are short.
const LONGEST: usize = 15;

const IKE: Table = Table {
    encr: &[
        (CBC_128, "aes128"),
        (CBC_192, "aes192"),
        (CBC_256, "aes256"),
        (GCM_128, "aes128gcm"),
        (GCM_256, "aes256gcm"),
        (CHACHA, "chacha20poly1305"),
    ],
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha1"),
        (IntegId::HMAC_SHA2_256_128, "sha256"),
        (IntegId::HMAC_SHA2_384_192, "sha384"),
        (IntegId::HMAC_SHA2_512_256, "sha512"),
    ],
    prf: Prf::Follows,
    groups: &[
        (KeId::MODP_1024, "2"),
        (KeId::MODP_1536, "5"),
        (KeId::MODP_2048, "14"),
        (KeId::MODP_3072, "15"),
        (KeId::MODP_4096, "16"),
        (KeId::MODP_6144, "17"),
        (KeId::MODP_8192, "18"),
        (KeId::ECP_256, "19"),
        (KeId::ECP_384, "20"),
        (KeId::ECP_521, "21"),
        (KeId::CURVE25519, "31"),
    ],
    pfs: Pfs::May,
    esn: false,
    example: "aes256-sha256-modp2048",
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    let name = text::name(&facing.name, LONGEST, TARGET)?;
    let mut lines = Lines::with_header("#", facing, "FortiGate (FortiOS 7) CLI");
    lines.note("Also: firewall policies in both directions between the tunnel and the inner networks, without NAT.");
    phase_1(facing, &name, &mut lines)?;
    lines.block("Phase 2: one for each pair of networks.");
    lines.put("config vpn ipsec phase2-interface");
    lines.deeper();
    for (n, tunnel) in facing.children.iter().enumerate() {
        phase_2(tunnel, &name, n + 1, &mut lines)?;
    }
    lines.back();
    lines.put("end");
    interface(facing, &name, &mut lines);
    routes(facing, &name, &mut lines)?;
    Ok(lines.text())
}

fn entry(name: &str, lines: &mut Lines, body: impl FnOnce(&mut Lines) -> Result<(), Refusal>) -> Result<(), Refusal> {
    lines.put(format!("edit {name}"));
    lines.deeper();
    body(lines)?;
    lines.back();
    lines.put("next");
    Ok(())
}

/// `aes256-sha256`, `aes256gcm-prfsha384`.
fn proposal(words: &Words, ike: bool) -> String {
    match (words.integ, words.suite.integ.is_some()) {
        (Some(integ), true) => format!("{}-{integ}", words.encr),
        (Some(hash), false) if ike => format!("{}-prf{hash}", words.encr),
        _ => words.encr.to_owned(),
    }
}

fn phase_1(facing: &Facing, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    let ike = IKE.ike(&facing.proposals, TARGET)?;
    lines.block(
        "Phase 1: one suite, which is the first of Sandhog's that FortiOS knows. Put the outer interface's name here.",
    );
    lines.put("config vpn ipsec phase1-interface");
    lines.deeper();
    entry(&format!("\"{name}\""), lines, |lines| {
        lines.put("set type static");
        lines.put("set interface \"REPLACE-WITH-OUTER-INTERFACE\"");
        lines.put("set ike-version 2");
        lines.put("set net-device disable");
        lines.put("set peertype one");
        let us = text::who(&facing.us, OUR_ADDRESS, TARGET)?.plain(TARGET)?;
        lines.put(format!("set peerid \"{}\"", us.text()));
        let peer = text::who(&facing.peer, PEER_ADDRESS, TARGET)?.plain(TARGET)?;
        let kind = match &peer {
            Who::Address(_) => "address",
            Who::Fqdn(_) => "fqdn",
            Who::Email(_) => "user-fqdn",
            Who::KeyId(_) => "keyid",
        };
        lines.put(format!("set localid-type {kind}"));
        lines.put(format!("set localid \"{}\"", peer.text()));
        lines.put(format!("set proposal {}", proposal(&ike, true)));
        lines.put(format!("set dhgrp {}", ike.group.unwrap_or_default()));
        lines.put(format!("set keylife {}", facing.life.for_peer((120, 172_800), 86_400, TARGET)?));
        lines.put(format!("set nattraversal {}", if facing.encap { "forced" } else { "enable" }));
        if facing.dpd.is_zero() {
            lines.put("set dpd disable");
        } else {
            lines.put("set dpd on-idle");
            lines.put(format!("set dpd-retryinterval {}", facing.dpd.as_secs().clamp(1, 3600)));
        }
        lines.put(format!("set remote-gw {}", text::first_place(&facing.us, OUR_ADDRESS)));
        lines.put(format!("set psksecret {PSK}"));
        Ok(())
    })?;
    lines.back();
    lines.put("end");
    Ok(())
}

fn phase_2(tunnel: &Tunnel, name: &str, number: usize, lines: &mut Lines) -> Result<(), Refusal> {
    let esp = IKE.esp(&tunnel.proposals, TARGET)?;
    let (peer, ours) = tunnel.only_pair(TARGET)?;
    let ((source, from), (destination, to)) = (text::network_v4(peer, TARGET)?, text::network_v4(ours, TARGET)?);
    entry(&format!("\"{name}-{number}\""), lines, |lines| {
        lines.put(format!("set phase1name \"{name}\""));
        lines.put(format!("set proposal {}", proposal(&esp, false)));
        match esp.group {
            Some(group) => {
                lines.put("set pfs enable");
                lines.put(format!("set dhgrp {group}"));
            }
            None => lines.put("set pfs disable"),
        }
        lines.put("set replay enable");
        lines.put(format!("set keylifeseconds {}", tunnel.life.for_peer((120, 172_800), 43_200, TARGET)?));
        lines.put(format!("set src-subnet {source} {}", mask(from, false)));
        lines.put(format!("set dst-subnet {destination} {}", mask(to, false)));
        // It opens a tunnel of its own when it sees ours come.
        let call = if tunnel.start == StartAction::Start { "disable" } else { "enable" };
        lines.put(format!("set auto-negotiate {call}"));
        Ok(())
    })
}

fn interface(facing: &Facing, name: &str, lines: &mut Lines) {
    let Some(inner) = facing.inner.iter().find(|inner| inner.ours.is_ipv4()) else { return };
    lines.block("Addresses inside the tunnel.");
    lines.put("config system interface");
    lines.deeper();
    lines.put(format!("edit \"{name}\""));
    lines.deeper();
    let addr = inner.peers.map_or_else(|| "REPLACE-WITH-ADDRESS-INSIDE".into(), |addr| addr.to_string());
    lines.put(format!("set ip {addr} 255.255.255.255"));
    lines.put(format!("set remote-ip {} {}", inner.ours, mask(inner.len, false)));
    lines.back();
    lines.put("next");
    lines.back();
    lines.put("end");
}

fn routes(facing: &Facing, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    if facing.routed().is_some() {
        lines.block(&format!(
            "Routes or BGP say what goes in: for each network behind Sandhog a static route with device \"{name}\"."
        ));
        return Ok(());
    }
    lines.block("What lies behind Sandhog.");
    lines.put("config router static");
    lines.deeper();
    let mut done = Vec::new();
    for ours in facing.children.iter().flat_map(|tunnel| &tunnel.our_ts) {
        let (network, len) = text::network_v4(ours, TARGET)?;
        if done.contains(&(network, len)) {
            continue;
        }
        done.push((network, len));
        entry("0", lines, |lines| {
            lines.put(format!("set dst {network} {}", mask(len, false)));
            lines.put(format!("set device \"{name}\""));
            Ok(())
        })?;
    }
    lines.back();
    lines.put("end");
    Ok(())
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 6..=128, |octet| text::is_graphic(octet) && octet != b'?')
}
