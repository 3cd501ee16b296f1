//! Juniper SRX, set commands: a tunnel interface, with traffic selectors unless routes say what goes in. Known from Juniper's Junos documentation of
//! the statements `ike`, `ipsec` and `traffic-selector` (edit security), and Google's published SRX tutorial; not checked line by line.
use super::fit::{CBC_128, CBC_192, CBC_256, GCM_128, GCM_192, GCM_256, Pfs, Prf, Table};
use super::lines::Lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, Who};
use super::{Facing, Format, Refusal, Tunnel};
use crate::crypto::secret::Secret;
use crate::ike::policy::StartAction;
use crate::wire::registry::{IntegId, KeId};

pub(super) const FORMAT: Format = Format {
    name: "juniper",
    aliases: &["juniper-srx"],
    title: "Juniper SRX set commands",
    write,
    takes,
    quote: |secret| text::quoted(secret, b"\"\\"),
};
const TARGET: &str = "Juniper SRX";
const LONGEST: usize = 31;
/// The tunnel interface that is made.
const UNIT: &str = "st0.100";

// The PRF beside an AEAD goes by the release: phase 1 has CBC only.
const IKE: Table = Table {
    encr: &[(CBC_128, "aes-128-cbc"), (CBC_192, "aes-192-cbc"), (CBC_256, "aes-256-cbc")],
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha1"),
        (IntegId::HMAC_SHA2_256_128, "sha-256"),
        (IntegId::HMAC_SHA2_384_192, "sha-384"),
        (IntegId::HMAC_SHA2_512_256, "sha-512"),
    ],
    prf: Prf::None,
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
    encr: &[
        (CBC_128, "aes-128-cbc"),
        (CBC_192, "aes-192-cbc"),
        (CBC_256, "aes-256-cbc"),
        (GCM_128, "aes-128-gcm"),
        (GCM_192, "aes-192-gcm"),
        (GCM_256, "aes-256-gcm"),
    ],
    integ: &[
        (IntegId::HMAC_SHA1_96, "hmac-sha1-96"),
        (IntegId::HMAC_SHA2_256_128, "hmac-sha-256-128"),
        (IntegId::HMAC_SHA2_384_192, "hmac-sha-384"),
        (IntegId::HMAC_SHA2_512_256, "hmac-sha-512"),
    ],
    ..IKE
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    let name = text::name(&facing.name, LONGEST, TARGET)?;
    let tunnel = facing.alike(TARGET)?;
    let mut lines = Lines::with_header("#", facing, "Juniper SRX, to be entered in configuration mode, then commit");
    phase_1(facing, &name, &mut lines)?;
    phase_2(tunnel, &name, &mut lines)?;
    vpn(facing, tunnel, &name, &mut lines)?;
    Ok(lines.text())
}

fn phase_1(facing: &Facing, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    let ike = IKE.ike(&facing.proposals, TARGET)?;
    lines.block("Phase 1: one suite, which is the first of Sandhog's that an SRX knows.");
    let proposal = format!("set security ike proposal {name}");
    lines.put(format!("{proposal} authentication-method pre-shared-keys"));
    lines.put(format!("{proposal} dh-group {}", ike.group.unwrap_or_default()));
    lines.put(format!("{proposal} authentication-algorithm {}", ike.integ.unwrap_or_default()));
    lines.put(format!("{proposal} encryption-algorithm {}", ike.encr));
    lines.put(format!("{proposal} lifetime-seconds {}", facing.life.for_peer((180, 86_400), 28_800, TARGET)?));
    lines.put(format!("set security ike policy {name} proposals {name}"));
    lines.put(format!("set security ike policy {name} pre-shared-key ascii-text {PSK}"));
    lines.block("Where Sandhog is, and who both ends are. Put the outer interface's name here.");
    let gateway = format!("set security ike gateway {name}");
    lines.put(format!("{gateway} ike-policy {name}"));
    lines.put(format!("{gateway} address {}", text::first_place(&facing.us, OUR_ADDRESS)));
    if !facing.dpd.is_zero() {
        lines.put(format!("{gateway} dead-peer-detection interval {}", facing.dpd.as_secs().clamp(2, 60)));
        lines.put(format!("{gateway} dead-peer-detection threshold 5"));
    }
    for (side, end, placeholder) in [("local", &facing.peer, PEER_ADDRESS), ("remote", &facing.us, OUR_ADDRESS)] {
        let who = match text::who(end, placeholder, TARGET)?.plain(TARGET)? {
            Who::Address(addr) => format!("inet {addr}"),
            Who::Fqdn(name) => format!("hostname {name}"),
            Who::Email(mailbox) => format!("user-at-hostname \"{mailbox}\""),
            Who::KeyId(key) => format!("key-id {key}"),
        };
        lines.put(format!("{gateway} {side}-identity {who}"));
    }
    lines.put(format!("{gateway} external-interface REPLACE-WITH-OUTER-INTERFACE"));
    if facing.peer.addr().is_some() {
        lines.note("Only if that interface has several addresses; never one that a NAT in front of it has.");
        lines.note(&format!("{gateway} local-address {}", text::first_place(&facing.peer, PEER_ADDRESS)));
    }
    lines.put(format!("{gateway} version v2-only"));
    Ok(())
}

fn phase_2(tunnel: &Tunnel, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    let esp = ESP.esp(&tunnel.proposals, TARGET)?;
    lines.block("Phase 2.");
    let proposal = format!("set security ipsec proposal {name}");
    lines.put(format!("{proposal} protocol esp"));
    lines.put(format!("{proposal} encryption-algorithm {}", esp.encr));
    if let Some(integ) = esp.integ {
        lines.put(format!("{proposal} authentication-algorithm {integ}"));
    }
    lines.put(format!("{proposal} lifetime-seconds {}", tunnel.life.for_peer((180, 86_400), 3600, TARGET)?));
    if let Some(group) = esp.group {
        lines.put(format!("set security ipsec policy {name} perfect-forward-secrecy keys {group}"));
    }
    lines.put(format!("set security ipsec policy {name} proposals {name}"));
    Ok(())
}

fn vpn(facing: &Facing, tunnel: &Tunnel, name: &str, lines: &mut Lines) -> Result<(), Refusal> {
    lines.block(
        "The tunnel interface: choose a unit that is free, and put it into a security zone with policies of its own.",
    );
    let vpn = format!("set security ipsec vpn {name}");
    lines.put(format!("{vpn} bind-interface {UNIT}"));
    lines.put(format!("{vpn} ike gateway {name}"));
    lines.put(format!("{vpn} ike ipsec-policy {name}"));
    let routed = facing.routed().is_some();
    for (n, tunnel) in facing.children.iter().enumerate().filter(|_| !routed) {
        let (peer, ours) = tunnel.only_pair(TARGET)?;
        let ((local, from), (remote, to)) = (text::network_v4(peer, TARGET)?, text::network_v4(ours, TARGET)?);
        lines.put(format!("{vpn} traffic-selector ts{} local-ip {local}/{from}", n + 1));
        lines.put(format!("{vpn} traffic-selector ts{} remote-ip {remote}/{to}", n + 1));
    }
    let when = if tunnel.start == StartAction::Start { "on-traffic" } else { "immediately" };
    lines.put(format!("{vpn} establish-tunnels {when}"));
    let unit = UNIT.replace('.', " unit ");
    match facing.inner.iter().find(|inner| inner.ours.is_ipv4()) {
        Some(inner) if routed => {
            let addr = inner.peers.map_or_else(|| "REPLACE-WITH-ADDRESS-INSIDE".into(), |addr| addr.to_string());
            lines.put(format!("set interfaces {unit} family inet address {addr}/{}", inner.len));
        }
        _ => lines.put(format!("set interfaces {unit} family inet")),
    }
    lines.put(format!("set interfaces {unit} family inet mtu {}", tunnel.mtu));
    lines.note("This one is for all tunnels of this gateway: leave it out if a smaller one is there.");
    lines.put(format!("set security flow tcp-mss ipsec-vpn mss {}", tunnel.mss));
    lines.put(format!("set security zones security-zone REPLACE-WITH-ZONE interfaces {UNIT}"));
    if routed {
        lines.note(&format!(
            "For each network behind Sandhog: set routing-options static route NETWORK next-hop {UNIT}"
        ));
    }
    Ok(())
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=255, |octet| text::is_printable(octet) && octet != b'?')
}
