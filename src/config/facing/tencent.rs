//! Tencent Cloud VPN: requests of its VPC API (CreateCustomerGateway, CreateVpnConnection), or Terraform. Checked against the request models of the VPC
//! API of 2017-03-12 in Tencent's SDKs, and the documentation of `tencentcloud_vpn_connection`.
use super::fit::{CBC_128, CBC_256, Pfs, Prf, Table, Words};
use super::hcl::{self, Hcl};
use super::lines;
use super::text::{self, Needs, OUR_ADDRESS, PEER_ADDRESS, PSK, Who};
use super::{Facing, Format, Refusal, refuse};
use crate::crypto::secret::Secret;
use crate::ike::policy::StartAction;
use crate::wire::registry::{IntegId, KeId};
use serde_json::{Map, Value, json};

pub(super) const JSON: Format = Format {
    name: "tencent",
    aliases: &[],
    title: "Tencent Cloud API requests (JSON)",
    write: json,
    takes,
    quote: hcl::quote_json,
};
pub(super) const TERRAFORM: Format = Format {
    name: "tencent-terraform",
    aliases: &[],
    title: "Tencent Cloud, Terraform",
    write: terraform,
    takes,
    quote: hcl::quote,
};
const TARGET: &str = "Tencent Cloud";

const IKE: Table = Table {
    encr: &[(CBC_128, "AES-CBC-128"), (CBC_256, "AES-CBC-256")],
    integ: &[(IntegId::HMAC_SHA1_96, "SHA1"), (IntegId::HMAC_SHA2_256_128, "SHA-256")],
    prf: Prf::None,
    groups: &[(KeId::MODP_1024, "GROUP2"), (KeId::MODP_1536, "GROUP5"), (KeId::MODP_2048, "GROUP14")],
    pfs: Pfs::May,
    esn: false,
    example: "aes256-sha256-modp2048",
};
const ESP: Table = Table {
    groups: &[(KeId::MODP_1024, "DH-GROUP2"), (KeId::MODP_1536, "DH-GROUP5"), (KeId::MODP_2048, "DH-GROUP14")],
    ..IKE
};

/// What both forms say.
struct Fields {
    name: String,
    ike: Words,
    esp: Words,
    ike_life: u64,
    esp_life: u64,
    /// The gateway's identity, and ours.
    ids: [Who; 2],
    address: String,
    /// Pairs: the VPC's network, and ours that it reaches.
    pairs: Vec<(String, Vec<String>)>,
    negotiation: &'static str,
    dpd: bool,
    dpd_timeout: u64,
}

fn fields(facing: &Facing) -> Result<Fields, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    let tunnel = facing.alike(TARGET)?;
    let id = |end, placeholder| match text::who(end, placeholder, TARGET)?.plain(TARGET)? {
        who @ (Who::Address(_) | Who::Fqdn(_)) => Ok(who),
        other => {
            let what =
                format!("{TARGET} knows addresses and names, and `{}` is another kind of identity", other.text());
            refuse(what, "use an address or a name, at both ends")
        }
    };
    let network = |ts| text::network_v4(ts, TARGET).map(|(network, len)| format!("{network}/{len}"));
    let mut pairs: Vec<(String, Vec<String>)> = Vec::new();
    for (peer, ours) in facing.children.iter().flat_map(super::Tunnel::pairs) {
        let (peer, ours) = (network(peer)?, network(ours)?);
        match pairs.iter_mut().find(|(local, _)| *local == peer) {
            Some((_, remotes)) => remotes.push(ours),
            None => pairs.push((peer, vec![ours])),
        }
    }
    let ours_starts = tunnel.start == StartAction::Start;
    Ok(Fields {
        name: text::name(&facing.name, 60, TARGET)?,
        ike: IKE.ike(&facing.proposals, TARGET)?,
        esp: ESP.esp(&tunnel.proposals, TARGET)?,
        ike_life: facing.life.for_peer((60, 604_800), 86_400, TARGET)?,
        esp_life: tunnel.life.for_peer((180, 604_800), 3600, TARGET)?,
        ids: [id(&facing.peer, PEER_ADDRESS)?, id(&facing.us, OUR_ADDRESS)?],
        address: text::first_place(&facing.us, OUR_ADDRESS),
        pairs,
        negotiation: if ours_starts { "passive" } else { "active" },
        dpd: !facing.dpd.is_zero(),
        dpd_timeout: facing.dpd.as_secs().clamp(30, 60),
    })
}

fn notes(facing: &Facing) -> Vec<String> {
    let mut notes = text::advice(facing);
    notes.push("Fill in the VPC, the VPN gateway and, once it is made, the customer gateway. Its pairs of networks must not overlap with those of other tunnels.".into());
    notes
}

fn json(facing: &Facing) -> Result<String, Refusal> {
    let f = fields(facing)?;
    let mut comment = vec![lines::header(facing, "requests to the Tencent Cloud VPC API")];
    comment.extend(notes(facing));
    let comment: Vec<String> = comment.iter().map(|text| lines::harmless(text)).collect();
    let mut ike = Map::new();
    for (side, who) in [("Local", &f.ids[0]), ("Remote", &f.ids[1])] {
        let (kind, key) = if matches!(who, Who::Fqdn(_)) { ("FQDN", "FqdnName") } else { ("ADDRESS", "Address") };
        ike.insert(format!("{side}Identity"), kind.into());
        ike.insert(format!("{side}{key}"), who.text().into());
    }
    let rest = json!({
        "IKEVersion": "IKEV2", "ExchangeMode": "MAIN", "PropoEncryAlgorithm": f.ike.encr, "PropoAuthenAlgorithm": f.ike.integ,
        "DhGroupName": f.ike.group, "IKESaLifetimeSeconds": f.ike_life,
    });
    ike.extend(rest.as_object().cloned().unwrap_or_default());
    let pairs: Vec<Value> =
        f.pairs.iter().map(|(local, remote)| json!({ "LocalCidrBlock": local, "RemoteCidrBlock": remote })).collect();
    let document = json!({
        "_comment": comment,
        "CreateCustomerGateway": { "CustomerGatewayName": f.name, "IpAddress": f.address },
        "CreateVpnConnection": {
            "VpcId": "REPLACE-WITH-VPC", "VpnGatewayId": "REPLACE-WITH-VPN-GATEWAY", "CustomerGatewayId": "REPLACE-WITH-CUSTOMER-GATEWAY",
            "VpnConnectionName": f.name, "PreShareKey": PSK.to_string(), "SecurityPolicyDatabases": pairs,
            "IKEOptionsSpecification": ike,
            "IPSECOptionsSpecification": {
                "EncryptAlgorithm": f.esp.encr, "IntegrityAlgorith": f.esp.integ, "IPSECSaLifetimeSeconds": f.esp_life,
                "PfsDhGroup": f.esp.group.unwrap_or("NULL"),
            },
            "NegotiationType": f.negotiation, "DpdEnable": u8::from(f.dpd), "DpdTimeout": f.dpd_timeout.to_string(), "DpdAction": "clear",
        },
    });
    Ok(hcl::json_text(&document))
}

fn terraform(facing: &Facing) -> Result<String, Refusal> {
    let f = fields(facing)?;
    let mut hcl = Hcl::new(facing, "Terraform for Tencent Cloud");
    notes(facing).iter().for_each(|note| hcl.note(note));
    hcl.resource("Sandhog, as Tencent Cloud sees it.", "tencentcloud_vpn_customer_gateway", &f.name, |hcl| {
        hcl.text("name", &f.name);
        hcl.text("public_ip_address", &f.address);
    });
    hcl.resource("The tunnel.", "tencentcloud_vpn_connection", &f.name, |hcl| {
        hcl.text("name", &f.name);
        hcl.text("vpc_id", "REPLACE-WITH-VPC");
        hcl.text("vpn_gateway_id", "REPLACE-WITH-VPN-GATEWAY");
        hcl.plain("customer_gateway_id", format!("tencentcloud_vpn_customer_gateway.{}.id", f.name));
        hcl.secret("pre_share_key");
        hcl.text("ike_version", "IKEV2");
        hcl.text("ike_exchange_mode", "MAIN");
        hcl.text("ike_proto_encry_algorithm", f.ike.encr);
        hcl.text("ike_proto_authen_algorithm", f.ike.integ.unwrap_or_default());
        hcl.text("ike_dh_group_name", f.ike.group.unwrap_or_default());
        hcl.plain("ike_sa_lifetime_seconds", f.ike_life);
        for (side, who) in [("local", &f.ids[0]), ("remote", &f.ids[1])] {
            let (kind, key) = if matches!(who, Who::Fqdn(_)) { ("FQDN", "fqdn_name") } else { ("ADDRESS", "address") };
            hcl.text(&format!("ike_{side}_identity"), kind);
            hcl.text(&format!("ike_{side}_{key}"), who.text());
        }
        hcl.text("ipsec_encrypt_algorithm", f.esp.encr);
        hcl.text("ipsec_integrity_algorithm", f.esp.integ.unwrap_or_default());
        hcl.plain("ipsec_sa_lifetime_seconds", f.esp_life);
        hcl.text("ipsec_pfs_dh_group", f.esp.group.unwrap_or("NULL"));
        hcl.text("negotiation_type", f.negotiation);
        hcl.plain("dpd_enable", u8::from(f.dpd));
        hcl.text("dpd_timeout", &f.dpd_timeout.to_string());
        hcl.text("dpd_action", "clear");
        for (local, remote) in &f.pairs {
            hcl.block("security_group_policy", |hcl| {
                hcl.text("local_cidr_block", local);
                hcl.texts("remote_cidr_block", remote);
            });
        }
    });
    Ok(hcl.finish())
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=128, |octet| text::is_graphic(octet) && !b"\"\\".contains(&octet))
}
