//! AWS Site-to-Site VPN: EC2 requests (CreateCustomerGateway, CreateVpnConnection), or Terraform. Its identity is its address, and so must ours be; it
//! has one SA, and rekeys some minutes before a lifetime ends. Known from the EC2 API reference (VpnTunnelOptionsSpecification), the AWS
//! Site-to-Site VPN user guide, tunnel options, and the documentation of `aws_vpn_connection`; not checked line by line.
use super::fit::{CBC_128, CBC_256, GCM_128, GCM_256, Pfs, Prf, Table, Words};
use super::hcl::{self, Hcl};
use super::lines;
use super::text::{self, Needs, OUR_ADDRESS, PSK};
use super::{Facing, Format, Refusal, refuse};
use crate::crypto::secret::Secret;
use crate::ike::policy::StartAction;
use crate::wire::registry::{IntegId, KeId};
use serde_json::{Value, json};
use std::net::IpAddr;

pub(super) const JSON: Format = Format {
    name: "aws",
    aliases: &[],
    title: "AWS EC2 API requests (JSON)",
    write: json,
    takes,
    quote: hcl::quote_json,
};
pub(super) const TERRAFORM: Format =
    Format { name: "aws-terraform", aliases: &[], title: "AWS, Terraform", write: terraform, takes, quote: hcl::quote };
const TARGET: &str = "AWS";
/// So long before the end it rekeys.
const MARGIN: u64 = 270;

const TABLE: Table = Table {
    encr: &[(CBC_128, "AES128"), (CBC_256, "AES256"), (GCM_128, "AES128-GCM-16"), (GCM_256, "AES256-GCM-16")],
    integ: &[
        (IntegId::HMAC_SHA1_96, "SHA1"),
        (IntegId::HMAC_SHA2_256_128, "SHA2-256"),
        (IntegId::HMAC_SHA2_384_192, "SHA2-384"),
        (IntegId::HMAC_SHA2_512_256, "SHA2-512"),
    ],
    prf: Prf::Follows,
    groups: &[
        (KeId::MODP_1024, "2"),
        (KeId::MODP_2048, "14"),
        (KeId::MODP_3072, "15"),
        (KeId::MODP_4096, "16"),
        (KeId::MODP_6144, "17"),
        (KeId::MODP_8192, "18"),
        (KeId::ECP_256, "19"),
        (KeId::ECP_384, "20"),
        (KeId::ECP_521, "21"),
    ],
    pfs: Pfs::Must,
    esn: false,
    example: "aes256-sha256-modp2048",
};

/// What both forms say.
struct Fields {
    name: String,
    ike: Words,
    esp: Words,
    ike_life: u64,
    esp_life: u64,
    address: String,
    /// Our network, and the VPC's.
    networks: [String; 2],
    inside: Option<String>,
    startup: &'static str,
    dpd_action: &'static str,
    dpd: u64,
    window: u32,
}

fn fields(facing: &Facing) -> Result<Fields, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    text::address_ids(facing, TARGET)?;
    let child = facing.only_child(TARGET)?;
    let (peer, ours) = child.only_pair(TARGET)?;
    let network = |ts| text::network_v4(ts, TARGET).map(|(network, len)| format!("{network}/{len}"));
    let ours_starts = child.start == StartAction::Start;
    Ok(Fields {
        name: text::name(&facing.name, 100, TARGET)?,
        ike: TABLE.ike(&facing.proposals, TARGET)?,
        esp: TABLE.esp(&child.proposals, TARGET)?,
        ike_life: facing.life.for_peer((900, 28_800), 28_800, TARGET)?,
        esp_life: child.life.for_peer((900, 3600), 3600, TARGET)?,
        address: text::first_place(&facing.us, OUR_ADDRESS),
        networks: [network(ours)?, network(peer)?],
        inside: inside(facing)?,
        startup: if ours_starts { "add" } else { "start" },
        dpd_action: if ours_starts { "clear" } else { "restart" },
        dpd: facing.dpd.as_secs().max(30),
        window: child.window.clamp(64, 2048),
    })
}

/// The network inside the tunnel: AWS takes the first address of a /30 of link-local ones, and gives the second to us.
fn inside(facing: &Facing) -> Result<Option<String>, Refusal> {
    let Some(inner) = facing.inner.iter().find(|inner| inner.ours.is_ipv4()) else { return Ok(None) };
    match inner.ours {
        IpAddr::V4(ours) if inner.len == 30 && ours.is_link_local() && ours.to_bits() & 3 == 2 => {
            Ok(Some(format!("{}/30", std::net::Ipv4Addr::from_bits(ours.to_bits() & !3))))
        }
        _ => {
            let what = format!("{}/{} cannot be our address inside a tunnel to {TARGET}", inner.ours, inner.len);
            refuse(
                what,
                "interface.addresses takes the second address of a /30 of 169.254.0.0/16, such as 169.254.10.2/30",
            )
        }
    }
}

fn notes(facing: &Facing) -> Vec<String> {
    let mut notes = text::advice(facing);
    notes.push("AWS says its outer addresses once this is made: remote_addrs and remote.id here. Its second tunnel is a connection of its own here.".into());
    notes.push("Fill in the virtual private gateway, or name a transit gateway instead. 65000 is our AS number where no BGP is used.".into());
    notes
}

fn json(facing: &Facing) -> Result<String, Refusal> {
    let f = fields(facing)?;
    let mut comment = vec![lines::header(facing, "requests to the AWS EC2 API")];
    comment.extend(notes(facing));
    let comment: Vec<String> = comment.iter().map(|text| lines::harmless(text)).collect();
    let values = |word: Option<&str>| word.map(|word| json!([{ "Value": word }]));
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok()).map(|n| json!([{ "Value": n }]));
    let tunnel = json!({
        "TunnelInsideCidr": f.inside,
        "PreSharedKey": PSK.to_string(),
        "IKEVersions": values(Some("ikev2")),
        "Phase1LifetimeSeconds": f.ike_life,
        "Phase2LifetimeSeconds": f.esp_life,
        "RekeyMarginTimeSeconds": MARGIN,
        "RekeyFuzzPercentage": 0,
        "ReplayWindowSize": f.window,
        "DPDTimeoutSeconds": f.dpd,
        "DPDTimeoutAction": f.dpd_action,
        "StartupAction": f.startup,
        "Phase1EncryptionAlgorithms": values(Some(f.ike.encr)),
        "Phase1IntegrityAlgorithms": values(f.ike.integ),
        "Phase1DHGroupNumbers": number(f.ike.group),
        "Phase2EncryptionAlgorithms": values(Some(f.esp.encr)),
        "Phase2IntegrityAlgorithms": values(f.esp.integ),
        "Phase2DHGroupNumbers": number(f.esp.group),
    });
    let document = json!({
        "_comment": comment,
        "CreateCustomerGateway": { "Type": "ipsec.1", "IpAddress": f.address, "BgpAsn": 65_000, "DeviceName": f.name },
        "CreateVpnConnection": {
            "Type": "ipsec.1", "CustomerGatewayId": "REPLACE-WITH-CUSTOMER-GATEWAY", "VpnGatewayId": "REPLACE-WITH-VPN-GATEWAY",
            "Options": {
                "StaticRoutesOnly": true, "TunnelInsideIpVersion": "ipv4",
                "LocalIpv4NetworkCidr": f.networks[0], "RemoteIpv4NetworkCidr": f.networks[1],
                "TunnelOptions": [without_nulls(tunnel)],
            },
        },
    });
    Ok(hcl::json_text(&document))
}

fn without_nulls(mut object: Value) -> Value {
    if let Value::Object(fields) = &mut object {
        fields.retain(|_, value| !value.is_null());
    }
    object
}

fn terraform(facing: &Facing) -> Result<String, Refusal> {
    let f = fields(facing)?;
    let mut hcl = Hcl::new(facing, "Terraform for AWS");
    notes(facing).iter().for_each(|note| hcl.note(note));
    hcl.resource("Sandhog, as AWS sees it.", "aws_customer_gateway", &f.name, |hcl| {
        hcl.plain("bgp_asn", 65_000);
        hcl.text("ip_address", &f.address);
        hcl.text("type", "ipsec.1");
    });
    hcl.resource("The tunnel.", "aws_vpn_connection", &f.name, |hcl| {
        hcl.text("vpn_gateway_id", "REPLACE-WITH-VPN-GATEWAY");
        hcl.plain("customer_gateway_id", format!("aws_customer_gateway.{}.id", f.name));
        hcl.text("type", "ipsec.1");
        hcl.plain("static_routes_only", true);
        hcl.text("local_ipv4_network_cidr", &f.networks[0]);
        hcl.text("remote_ipv4_network_cidr", &f.networks[1]);
        if let Some(inside) = &f.inside {
            hcl.text("tunnel1_inside_cidr", inside);
        }
        hcl.secret("tunnel1_preshared_key");
        hcl.texts("tunnel1_ike_versions", &["ikev2"]);
        for (phase, words, life) in [(1, &f.ike, f.ike_life), (2, &f.esp, f.esp_life)] {
            hcl.texts(&format!("tunnel1_phase{phase}_encryption_algorithms"), &[words.encr]);
            if let Some(integ) = words.integ {
                hcl.texts(&format!("tunnel1_phase{phase}_integrity_algorithms"), &[integ]);
            }
            hcl.plain(
                &format!("tunnel1_phase{phase}_dh_group_numbers"),
                format!("[{}]", words.group.unwrap_or_default()),
            );
            hcl.plain(&format!("tunnel1_phase{phase}_lifetime_seconds"), life);
        }
        hcl.plain("tunnel1_rekey_margin_time_seconds", MARGIN);
        hcl.plain("tunnel1_rekey_fuzz_percentage", 0);
        hcl.plain("tunnel1_replay_window_size", f.window);
        hcl.plain("tunnel1_dpd_timeout_seconds", f.dpd);
        hcl.text("tunnel1_dpd_timeout_action", f.dpd_action);
        hcl.text("tunnel1_startup_action", f.startup);
    });
    Ok(hcl.finish())
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    if secret.expose().starts_with(b"0") {
        return refuse(
            "a secret must not begin with 0 in AWS",
            "use another one at both ends: 40 letters and digits fit everywhere",
        );
    }
    text::takes(secret, TARGET, 8..=64, |octet| octet.is_ascii_alphanumeric() || b"._".contains(&octet))
}
