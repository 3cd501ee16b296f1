//! Sheets of fields for gateways that are set up in a browser: H3C's ER routers and pfSense. A line has one field: `- FIELD: VALUE`. Known from the
//! fields that published generators and guides for the ER series name, and Netgate's pfSense documentation (IPsec, phases 1 and 2); not checked line by line.
use super::fit::{CBC_128, CBC_192, CBC_256, CHACHA, GCM_128, GCM_192, GCM_256, Pfs, Prf, Table, Words};
use super::lines::Lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, Who, mask};
use super::{Facing, Format, Refusal, Tunnel};
use crate::crypto::secret::Secret;
use crate::ike::policy::StartAction;
use crate::wire::registry::{IntegId, KeId};

pub(super) const H3C_ER: Format = Format {
    name: "h3c-er",
    aliases: &[],
    title: "H3C ER routers: fields of the web pages",
    write: h3c_er,
    takes,
    quote: Secret::clone,
};
pub(super) const PFSENSE: Format = Format {
    name: "pfsense",
    aliases: &["opnsense"],
    title: "pfSense: fields of the web pages",
    write: pfsense,
    takes,
    quote: Secret::clone,
};
const ER: &str = "an H3C ER router";
const SENSE: &str = "pfSense";

const ER_TABLE: Table = Table {
    encr: &[(CBC_128, "AES-128"), (CBC_192, "AES-192"), (CBC_256, "AES-256")],
    integ: &[
        (IntegId::HMAC_SHA1_96, "SHA1"),
        (IntegId::HMAC_SHA2_256_128, "SHA256"),
        (IntegId::HMAC_SHA2_384_192, "SHA384"),
        (IntegId::HMAC_SHA2_512_256, "SHA512"),
    ],
    prf: Prf::None,
    groups: &[(KeId::MODP_1024, "DH2 (1024)"), (KeId::MODP_1536, "DH5 (1536)"), (KeId::MODP_2048, "DH14 (2048)")],
    pfs: Pfs::May,
    esn: false,
    example: "aes256-sha256-modp2048",
};
const SENSE_TABLE: Table = Table {
    encr: &[
        (CBC_128, "AES, 128 bits"),
        (CBC_192, "AES, 192 bits"),
        (CBC_256, "AES, 256 bits"),
        (GCM_128, "AES128-GCM, 128 bits"),
        (GCM_192, "AES192-GCM, 128 bits"),
        (GCM_256, "AES256-GCM, 128 bits"),
        (CHACHA, "CHACHA20-POLY1305"),
    ],
    prf: Prf::Follows,
    groups: &[
        (KeId::MODP_1024, "2 (1024 bit)"),
        (KeId::MODP_1536, "5 (1536 bit)"),
        (KeId::MODP_2048, "14 (2048 bit)"),
        (KeId::MODP_3072, "15 (3072 bit)"),
        (KeId::MODP_4096, "16 (4096 bit)"),
        (KeId::MODP_6144, "17 (6144 bit)"),
        (KeId::MODP_8192, "18 (8192 bit)"),
        (KeId::ECP_256, "19 (nist ecp256)"),
        (KeId::ECP_384, "20 (nist ecp384)"),
        (KeId::ECP_521, "21 (nist ecp521)"),
        (KeId::CURVE25519, "31 (Elliptic Curve 25519, 256 bit)"),
    ],
    ..ER_TABLE
};

/// Lines of a sheet.
struct Sheet(Lines);
impl Sheet {
    fn part(&mut self, title: &str) {
        self.0.put("");
        self.0.put(format!("== {title} =="));
    }
    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.put(format!("- {name}: {value}"));
    }
}

fn h3c_er(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: ER, certificates: false, names: true })?;
    let name = text::name(&facing.name, 31, ER)?;
    let tunnel = facing.alike(ER)?;
    let (ike, esp) = (ER_TABLE.ike(&facing.proposals, ER)?, ER_TABLE.esp(&tunnel.proposals, ER)?);
    let mut sheet = Sheet(Lines::with_header("#", facing, "fields of the IPsec VPN pages of an H3C ER router"));
    sheet.part("IPsec policy");
    sheet.field("Name", &name);
    sheet.field("Interface", "REPLACE-WITH-OUTER-INTERFACE");
    sheet.field("Mode", "site to site (branch)");
    sheet.field("Peer gateway address", text::first_place(&facing.us, OUR_ADDRESS));
    sheet.field("Authentication", "pre-shared key");
    sheet.field("Pre-shared key", PSK);
    for tunnel in &facing.children {
        let (peer, ours) = tunnel.only_pair(ER)?;
        let ((local, from), (remote, to)) = (text::network_v4(peer, ER)?, text::network_v4(ours, ER)?);
        let pair = format!("local {local} {}, peer {remote} {}", mask(from, false), mask(to, false));
        sheet.field("Protected flow", pair);
    }
    sheet.part("Advanced: IKE (phase 1)");
    sheet.field("IKE version", "IKEv2");
    for (side, end, placeholder) in [("Local", &facing.peer, PEER_ADDRESS), ("Peer", &facing.us, OUR_ADDRESS)] {
        let who = text::who(end, placeholder, ER)?.plain(ER)?;
        sheet.field(&format!("{side} ID type"), kind(&who, ["IP address", "FQDN", "User-FQDN", "Key ID"]));
        sheet.field(&format!("{side} ID"), who.text());
    }
    suite(&mut sheet, &ike);
    sheet.field("SA lifetime (s)", facing.life.for_peer((60, 604_800), 86_400, ER)?);
    sheet.field("DPD", dpd(facing));
    sheet.part("Advanced: IPsec (phase 2)");
    sheet.field("Security protocol, encapsulation", "ESP, tunnel mode");
    suite(&mut sheet, &esp);
    sheet.field("SA lifetime (s)", tunnel.life.for_peer((180, 604_800), 3600, ER)?);
    sheet.field("Keepalive, start", if calls(tunnel) { "on" } else { "on traffic: Sandhog calls" });
    Ok(sheet.0.text())
}

fn pfsense(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: SENSE, certificates: false, names: true })?;
    let tunnel = facing.alike(SENSE)?;
    let (ike, esp) = (SENSE_TABLE.ike(&facing.proposals, SENSE)?, SENSE_TABLE.esp(&tunnel.proposals, SENSE)?);
    let mut sheet = Sheet(Lines::with_header("#", facing, "fields of VPN > IPsec of pfSense"));
    sheet.part("Phase 1");
    sheet.field("Description", text::name(&facing.name, 64, SENSE)?);
    sheet.field("Key Exchange version", "IKEv2");
    sheet.field("Interface", "REPLACE-WITH-OUTER-INTERFACE");
    sheet.field("Remote Gateway", text::first_place(&facing.us, OUR_ADDRESS));
    sheet.field("Authentication Method", "Mutual PSK");
    for (side, end, placeholder) in [("My", &facing.peer, PEER_ADDRESS), ("Peer", &facing.us, OUR_ADDRESS)] {
        let who = text::who(end, placeholder, SENSE)?.plain(SENSE)?;
        let kinds = ["IP address", "Fully qualified domain name", "User fully qualified domain name", "KeyID tag"];
        sheet.field(&format!("{side} identifier"), format!("{}, {}", kind(&who, kinds), who.text()));
    }
    sheet.field("Pre-Shared Key", PSK);
    suite(&mut sheet, &ike);
    sheet.field("Life Time (s)", facing.life.for_peer((600, 604_800), 28_800, SENSE)?);
    sheet.field("Child SA Start Action", if calls(tunnel) { "Initiate at start" } else { "None (Responder Only)" });
    sheet.field("NAT Traversal", if facing.encap { "Force" } else { "Auto" });
    sheet.field("Split connections", if facing.children.len() > 1 { "ticked" } else { "not ticked" });
    sheet.field("DPD", dpd(facing));
    let routed = facing.routed().is_some();
    for (peer, ours) in facing.children.iter().flat_map(Tunnel::pairs) {
        let ((local, from), (remote, to)) = (text::network_v4(peer, SENSE)?, text::network_v4(ours, SENSE)?);
        sheet.part("Phase 2");
        match facing.inner.iter().find(|inner| inner.ours.is_ipv4()).filter(|_| routed) {
            Some(inner) => {
                sheet.field("Mode", "Routed (VTI)");
                let addr = inner.peers.map_or_else(|| "REPLACE-WITH-ADDRESS-INSIDE".into(), |addr| addr.to_string());
                sheet.field("Local Network", format!("{addr}/{}", inner.len));
                sheet.field("Remote Network", inner.ours);
            }
            None => {
                sheet.field("Mode", "Tunnel IPv4");
                sheet.field("Local Network", format!("{local}/{from}"));
                sheet.field("Remote Network", format!("{remote}/{to}"));
            }
        }
        sheet.field("Protocol", "ESP");
        suite(&mut sheet, &esp);
        sheet.field("Life Time (s)", tunnel.life.for_peer((600, 604_800), 3600, SENSE)?);
    }
    Ok(sheet.0.text())
}

fn suite(sheet: &mut Sheet, words: &Words) {
    sheet.field("Encryption Algorithm", words.encr);
    if let Some(integ) = words.integ {
        sheet.field("Hash Algorithm", integ);
    }
    let field = if words.suite.prf.is_some() { "DH Group" } else { "PFS key group" };
    sheet.field(field, words.group.unwrap_or("off"));
}

fn kind<'k>(who: &Who, [address, fqdn, email, key]: [&'k str; 4]) -> &'k str {
    match who {
        Who::Address(_) => address,
        Who::Fqdn(_) => fqdn,
        Who::Email(_) => email,
        Who::KeyId(_) => key,
    }
}

fn dpd(facing: &Facing) -> String {
    match facing.dpd.as_secs() {
        0 => "off".to_owned(),
        s => format!("on, every {s} s"),
    }
}

fn calls(tunnel: &Tunnel) -> bool {
    tunnel.start != StartAction::Start
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, "a web page", 1..=128, text::is_graphic)
}
