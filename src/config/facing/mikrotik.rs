//! MikroTik RouterOS 7, IKEv2: a policy for each pair of networks. It has no tunnel interface, so that 0.0.0.0/0 is not written. Known from
//! MikroTik's RouterOS documentation of `/ip ipsec`; not checked line by line.
use super::fit::{CBC_128, CBC_192, CBC_256, GCM_128, GCM_192, GCM_256, Pfs, Prf, Table};
use super::lines::Lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, Who};
use super::{Facing, Format, Refusal, refuse};
use crate::crypto::secret::Secret;
use crate::ike::policy::StartAction;
use crate::wire::registry::{IntegId, KeId};

pub(super) const FORMAT: Format = Format {
    name: "mikrotik",
    aliases: &["routeros"],
    title: "MikroTik RouterOS 7 commands",
    write,
    takes,
    quote: |secret| text::quoted(secret, b"\"\\$?"),
};
const TARGET: &str = "MikroTik RouterOS";
const LONGEST: usize = 64;

const IKE: Table = Table {
    encr: &[(CBC_128, "aes-128"), (CBC_192, "aes-192"), (CBC_256, "aes-256")],
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha1"),
        (IntegId::HMAC_SHA2_256_128, "sha256"),
        (IntegId::HMAC_SHA2_384_192, "sha384"),
        (IntegId::HMAC_SHA2_512_256, "sha512"),
    ],
    prf: Prf::None,
    groups: &[
        (KeId::MODP_1024, "modp1024"),
        (KeId::MODP_1536, "modp1536"),
        (KeId::MODP_2048, "modp2048"),
        (KeId::MODP_3072, "modp3072"),
        (KeId::MODP_4096, "modp4096"),
        (KeId::MODP_6144, "modp6144"),
        (KeId::MODP_8192, "modp8192"),
        (KeId::ECP_256, "ecp256"),
        (KeId::ECP_384, "ecp384"),
        (KeId::ECP_521, "ecp521"),
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
        (IntegId::HMAC_SHA1_96, "sha1"),
        (IntegId::HMAC_SHA2_256_128, "sha256"),
        (IntegId::HMAC_SHA2_512_256, "sha512"),
    ],
    ..IKE
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: true })?;
    let name = text::name(&facing.name, LONGEST, TARGET)?;
    let tunnel = facing.alike(TARGET)?;
    if facing.children.iter().any(super::Tunnel::is_any) {
        let what = format!("{TARGET} has no tunnel interface: a policy for 0.0.0.0/0 would take all of its traffic");
        return refuse(what, "name the networks in local_ts and remote_ts, with ts_mode = \"per_pair\"");
    }
    let (ike, esp) = (IKE.ike(&facing.proposals, TARGET)?, ESP.esp(&tunnel.proposals, TARGET)?);
    let life = facing.life.for_peer((60, 7 * 86_400), 86_400, TARGET)?;
    let esp_life = tunnel.life.for_peer((60, 7 * 86_400), 1800, TARGET)?;
    let mut lines = Lines::with_header("#", facing, "MikroTik RouterOS 7");
    lines.block("Phase 1: one suite, which is the first of Sandhog's that RouterOS knows.");
    let dpd = match facing.dpd.as_secs() {
        0 => "disable-dpd".to_owned(),
        s => format!("{s}s dpd-maximum-failures=4"),
    };
    lines.put(format!(
        "/ip ipsec profile add name={name} enc-algorithm={} hash-algorithm={} dh-group={} lifetime={life}s proposal-check=obey nat-traversal=yes dpd-interval={dpd}",
        ike.encr, ike.integ.unwrap_or_default(), ike.group.unwrap_or_default()
    ));
    let host = if facing.us.addr().is_some() { "/32" } else { "" };
    let passive = if tunnel.start == StartAction::Start { "yes" } else { "no" };
    lines.put(format!(
        "/ip ipsec peer add name={name} address={}{host} profile={name} exchange-mode=ike2 passive={passive}",
        text::first_place(&facing.us, OUR_ADDRESS)
    ));
    lines.block("The secret, and who both ends are.");
    lines.put(format!(
        "/ip ipsec identity add peer={name} auth-method=pre-shared-key secret={PSK} my-id={} remote-id={} generate-policy=no",
        identity(text::who(&facing.peer, PEER_ADDRESS, TARGET)?)?,
        identity(text::who(&facing.us, OUR_ADDRESS, TARGET)?)?
    ));
    lines.block("Phase 2.");
    lines.put(format!(
        "/ip ipsec proposal add name={name} enc-algorithms={} auth-algorithms={} pfs-group={} lifetime={esp_life}s",
        esp.encr,
        esp.integ.unwrap_or("null"),
        esp.group.unwrap_or("none")
    ));
    lines.block("What travels: one policy for each pair of networks, and no masquerading of it.");
    for tunnel in &facing.children {
        let (peer, ours) = tunnel.only_pair(TARGET)?;
        let ((source, from), (destination, to)) = (text::network_v4(peer, TARGET)?, text::network_v4(ours, TARGET)?);
        let pair = format!("src-address={source}/{from} dst-address={destination}/{to}");
        lines.put(format!("/ip ipsec policy add peer={name} proposal={name} tunnel=yes level=unique {pair}"));
        lines.put(format!("/ip firewall nat add chain=srcnat action=accept place-before=0 {pair}"));
    }
    Ok(lines.text())
}

fn identity(who: Who) -> Result<String, Refusal> {
    Ok(match who.plain(TARGET)? {
        Who::Address(addr) => format!("address:{addr}"),
        Who::Fqdn(name) => format!("fqdn:{name}"),
        Who::Email(mailbox) => format!("user-fqdn:{mailbox}"),
        Who::KeyId(key) => format!("key-id:{key}"),
    })
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=128, text::is_graphic)
}
