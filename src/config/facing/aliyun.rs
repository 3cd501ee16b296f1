//! Alibaba Cloud VPN Gateway: requests of its API (CreateCustomerGateway, CreateVpnConnection), or Terraform. Checked against the request models of the
//! VPC API of 2016-04-28 in Alibaba's Go SDK, and the documentation of `alicloud_vpn_connection`.
use super::fit::{CBC_128, CBC_192, CBC_256, Pfs, Prf, Table, Words};
use super::hcl::{self, Hcl};
use super::lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK};
use super::{Facing, Format, Refusal, refuse};
use crate::crypto::secret::Secret;
use crate::ike::policy::StartAction;
use crate::wire::registry::{IntegId, KeId};
use serde_json::json;

pub(super) const JSON: Format = Format {
    name: "aliyun",
    aliases: &["alibaba"],
    title: "Alibaba Cloud API requests (JSON)",
    write: json,
    takes,
    quote: quote_json,
};
pub(super) const TERRAFORM: Format = Format {
    name: "aliyun-terraform",
    aliases: &["alibaba-terraform"],
    title: "Alibaba Cloud, Terraform",
    write: terraform,
    takes,
    quote: hcl::quote,
};
const TARGET: &str = "Alibaba Cloud";
/// Longest identity, and longest secret.
const LONGEST: usize = 100;

const TABLE: Table = Table {
    encr: &[(CBC_128, "aes"), (CBC_192, "aes192"), (CBC_256, "aes256")],
    integ: &[
        (IntegId::HMAC_SHA1_96, "sha1"),
        (IntegId::HMAC_SHA2_256_128, "sha256"),
        (IntegId::HMAC_SHA2_384_192, "sha384"),
        (IntegId::HMAC_SHA2_512_256, "sha512"),
    ],
    prf: Prf::None,
    groups: &[(KeId::MODP_1024, "group2"), (KeId::MODP_1536, "group5"), (KeId::MODP_2048, "group14")],
    pfs: Pfs::May,
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
    /// The gateway's identity, and ours.
    ids: [String; 2],
    /// Where we are.
    address: String,
    /// The VPC's networks, and ours.
    local: Vec<String>,
    remote: Vec<String>,
    /// It negotiates at once, not only when there is traffic.
    at_once: bool,
    dpd: bool,
}

fn fields(facing: &Facing) -> Result<Fields, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    let child = facing.only_child(TARGET)?;
    // A name there has two characters, and is no URL.
    let name = format!("sandhog-{}", text::name(&facing.name, 120, TARGET)?);
    let id = |end, placeholder| {
        let id = text::who(end, placeholder, TARGET)?.plain(TARGET)?;
        match id.text().len() <= LONGEST {
            true => Ok(id.text().to_owned()),
            false => refuse(
                format!("an identity has at most {LONGEST} characters in {TARGET}"),
                "use a shorter one, at both ends",
            ),
        }
    };
    let networks = |all: &[crate::wire::selector::Selector]| -> Result<Vec<String>, Refusal> {
        all.iter().map(|ts| text::network_v4(ts, TARGET).map(|(network, len)| format!("{network}/{len}"))).collect()
    };
    Ok(Fields {
        name,
        ike: TABLE.ike(&facing.proposals, TARGET)?,
        esp: TABLE.esp(&child.proposals, TARGET)?,
        ike_life: facing.life.for_peer((60, 86_400), 86_400, TARGET)?,
        esp_life: child.life.for_peer((60, 86_400), 3600, TARGET)?,
        ids: [id(&facing.peer, PEER_ADDRESS)?, id(&facing.us, OUR_ADDRESS)?],
        address: text::first_place(&facing.us, OUR_ADDRESS),
        local: networks(&child.peer_ts)?,
        remote: networks(&child.our_ts)?,
        at_once: child.start != StartAction::Start,
        dpd: !facing.dpd.is_zero(),
    })
}

/// What has to be known besides the fields.
fn notes(facing: &Facing) -> Vec<String> {
    let mut notes = text::advice(facing);
    notes.push("Fill in the region, the VPN gateway and, once it is made, the customer gateway. A gateway with two tunnels takes the same values in TunnelOptionsSpecification.".into());
    if let Some(peers) = facing.inner.iter().find_map(|inner| inner.peers.filter(std::net::IpAddr::is_ipv4)) {
        notes.push(format!(
            "With BGP: {peers} is this end's address inside the tunnel (LocalBgpIp), in a /30 of 169.254.0.0/16."
        ));
    }
    notes
}

fn json(facing: &Facing) -> Result<String, Refusal> {
    let f = fields(facing)?;
    let mut comment = vec![lines::header(facing, "requests to the Alibaba Cloud VPC API")];
    comment.extend(notes(facing));
    let comment: Vec<String> = comment.iter().map(|text| lines::harmless(text)).collect();
    let ike = json!({
        "Psk": PSK.to_string(), "IkeVersion": "ikev2", "IkeMode": "main", "IkeEncAlg": f.ike.encr, "IkeAuthAlg": f.ike.integ,
        "IkePfs": f.ike.group, "IkeLifetime": f.ike_life, "LocalId": f.ids[0], "RemoteId": f.ids[1],
    });
    let ipsec = json!({
        "IpsecEncAlg": f.esp.encr, "IpsecAuthAlg": f.esp.integ, "IpsecPfs": f.esp.group.unwrap_or("disabled"), "IpsecLifetime": f.esp_life,
    });
    let document = json!({
        "_comment": comment,
        "CreateCustomerGateway": {
            "RegionId": "REPLACE-WITH-REGION", "Name": f.name, "IpAddress": f.address,
            "Description": format!("Sandhog {}", facing.connection),
        },
        "CreateVpnConnection": {
            "RegionId": "REPLACE-WITH-REGION", "VpnGatewayId": "REPLACE-WITH-VPN-GATEWAY", "CustomerGatewayId": "REPLACE-WITH-CUSTOMER-GATEWAY",
            "Name": f.name, "LocalSubnet": f.local.join(","), "RemoteSubnet": f.remote.join(","), "EffectImmediately": f.at_once,
            "EnableDpd": f.dpd, "EnableNatTraversal": true,
            // The API takes these two as text.
            "IkeConfig": ike.to_string(), "IpsecConfig": ipsec.to_string(),
        },
    });
    let text = serde_json::to_string_pretty(&document).unwrap_or_default() + "\n";
    Ok(text.replace("\\\"\\\\u0001\\\"", &PSK.to_string()))
}

fn terraform(facing: &Facing) -> Result<String, Refusal> {
    let f = fields(facing)?;
    let mut hcl = Hcl::new(facing, "Terraform for Alibaba Cloud");
    notes(facing).iter().for_each(|note| hcl.note(note));
    hcl.resource("Sandhog, as Alibaba Cloud sees it.", "alicloud_vpn_customer_gateway", &f.name, |hcl| {
        hcl.text("customer_gateway_name", &f.name);
        hcl.text("ip_address", &f.address);
    });
    hcl.resource("The tunnel.", "alicloud_vpn_connection", &f.name, |hcl| {
        hcl.text("vpn_connection_name", &f.name);
        hcl.text("vpn_gateway_id", "REPLACE-WITH-VPN-GATEWAY");
        hcl.plain("customer_gateway_id", format!("alicloud_vpn_customer_gateway.{}.id", f.name));
        hcl.texts("local_subnet", &f.local);
        hcl.texts("remote_subnet", &f.remote);
        hcl.plain("effect_immediately", f.at_once);
        hcl.plain("enable_dpd", f.dpd);
        hcl.plain("enable_nat_traversal", true);
        hcl.block("ike_config", |hcl| {
            hcl.text("ike_version", "ikev2");
            hcl.text("ike_mode", "main");
            hcl.text("ike_enc_alg", f.ike.encr);
            hcl.text("ike_auth_alg", f.ike.integ.unwrap_or_default());
            hcl.text("ike_pfs", f.ike.group.unwrap_or_default());
            hcl.plain("ike_lifetime", f.ike_life);
            hcl.text("ike_local_id", &f.ids[0]);
            hcl.text("ike_remote_id", &f.ids[1]);
            hcl.secret("psk");
        });
        hcl.block("ipsec_config", |hcl| {
            hcl.text("ipsec_enc_alg", f.esp.encr);
            hcl.text("ipsec_auth_alg", f.esp.integ.unwrap_or_default());
            hcl.text("ipsec_pfs", f.esp.group.unwrap_or("disabled"));
            hcl.plain("ipsec_lifetime", f.esp_life);
        });
    });
    Ok(hcl.finish())
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=LONGEST, |octet| text::is_graphic(octet) && !b"\"\\".contains(&octet))
}
/// In JSON that is text in JSON.
fn quote_json(secret: &Secret) -> Secret {
    Secret::concat(&[b"\\\"", secret.expose(), b"\\\""])
}
