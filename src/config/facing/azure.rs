//! Azure VPN gateway, Terraform. Both identities are addresses; phase 1 lives 28800 s. Checked against the documentation of
//! `azurerm_virtual_network_gateway_connection`, and Azure's "About cryptographic requirements and Azure VPN gateways".
use super::fit::{CBC_128, CBC_192, CBC_256, GCM_128, GCM_192, GCM_256, Pfs, Prf, Table, Words};
use super::hcl::{self, Hcl};
use super::text::{self, Needs, OUR_ADDRESS};
use super::{Facing, Format, Place, Refusal};
use crate::crypto::secret::Secret;
use crate::ike::policy::StartAction;
use crate::wire::registry::{IntegId, KeId};
use crate::wire::selector::Selector;

pub(super) const FORMAT: Format = Format {
    name: "azure",
    aliases: &["azure-terraform"],
    title: "Azure VPN gateway, Terraform",
    write,
    takes,
    quote: hcl::quote,
};
const TARGET: &str = "Azure";

const IKE: Table = Table {
    encr: &[
        (CBC_128, "AES128"),
        (CBC_192, "AES192"),
        (CBC_256, "AES256"),
        (GCM_128, "GCMAES128"),
        (GCM_256, "GCMAES256"),
    ],
    integ: &[
        (IntegId::HMAC_SHA1_96, "SHA1"),
        (IntegId::HMAC_SHA2_256_128, "SHA256"),
        (IntegId::HMAC_SHA2_384_192, "SHA384"),
    ],
    prf: Prf::Follows,
    groups: &[
        (KeId::MODP_1024, "DHGroup2"),
        (KeId::MODP_2048, "DHGroup14"),
        (KeId::ECP_256, "ECP256"),
        (KeId::ECP_384, "ECP384"),
    ],
    pfs: Pfs::May,
    esn: false,
    example: "aes256-sha256-ecp384",
};
const ESP: Table = Table {
    encr: &[
        (CBC_128, "AES128"),
        (CBC_192, "AES192"),
        (CBC_256, "AES256"),
        (GCM_128, "GCMAES128"),
        (GCM_192, "GCMAES192"),
        (GCM_256, "GCMAES256"),
    ],
    integ: &[(IntegId::HMAC_SHA1_96, "SHA1"), (IntegId::HMAC_SHA2_256_128, "SHA256")],
    groups: &[
        (KeId::MODP_1024, "PFS2"),
        (KeId::MODP_2048, "PFS14"),
        (KeId::ECP_256, "ECP256"),
        (KeId::ECP_384, "ECP384"),
    ],
    ..IKE
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: true })?;
    if !matches!(facing.us.places.first(), Some(Place::Name(_))) {
        text::address_ids(facing, TARGET)?;
    }
    let name = text::name(&facing.name, 80, TARGET)?;
    let tunnel = facing.alike(TARGET)?;
    let (ike, esp) = (IKE.ike(&facing.proposals, TARGET)?, ESP.esp(&tunnel.proposals, TARGET)?);
    // It has one for phase 1, whatever is wanted.
    facing.life.for_peer((28_800, 28_800), 28_800, TARGET)?;
    let life = tunnel.life.for_peer((300, 172_799), 27_000, TARGET)?;
    let mut hcl = Hcl::new(facing, "Terraform for Azure");
    text::advice(facing).iter().for_each(|note| hcl.note(note));
    hcl.note("Fill in the location, the resource group and the virtual network gateway.");
    let ours = networks(facing, |tunnel| &tunnel.our_ts)?;
    hcl.resource("Sandhog, as Azure sees it.", "azurerm_local_network_gateway", &name, |hcl| {
        hcl.text("name", &name);
        hcl.text("location", "REPLACE-WITH-LOCATION");
        hcl.text("resource_group_name", "REPLACE-WITH-RESOURCE-GROUP");
        let place = text::first_place(&facing.us, OUR_ADDRESS);
        let key =
            if matches!(facing.us.places.first(), Some(Place::Name(_))) { "gateway_fqdn" } else { "gateway_address" };
        hcl.text(key, &place);
        if facing.routed().is_some() {
            hcl.note("The networks behind Sandhog, or none with BGP.");
            hcl.texts("address_space", &["REPLACE-WITH-NETWORK"]);
        } else {
            hcl.texts("address_space", &ours);
        }
    });
    let pairs = selectors(facing)?;
    hcl.resource("The tunnel.", "azurerm_virtual_network_gateway_connection", &name, |hcl| {
        hcl.text("name", &name);
        hcl.text("location", "REPLACE-WITH-LOCATION");
        hcl.text("resource_group_name", "REPLACE-WITH-RESOURCE-GROUP");
        hcl.text("type", "IPsec");
        hcl.text("connection_protocol", "IKEv2");
        let start = if tunnel.start == StartAction::Start { "ResponderOnly" } else { "Default" };
        hcl.text("connection_mode", start);
        hcl.text("virtual_network_gateway_id", "REPLACE-WITH-VIRTUAL-NETWORK-GATEWAY");
        hcl.plain("local_network_gateway_id", format!("azurerm_local_network_gateway.{name}.id"));
        hcl.secret("shared_key");
        if !facing.dpd.is_zero() {
            hcl.plain("dpd_timeout_seconds", facing.dpd.as_secs().clamp(9, 3600));
        }
        hcl.plain("use_policy_based_traffic_selectors", !pairs.is_empty());
        hcl.note("One suite for each phase, which is the first of Sandhog's that Azure knows. Phase 1 lives 28800 s.");
        hcl.block("ipsec_policy", |hcl| policy(hcl, &ike, &esp, life));
        for (local, remote) in &pairs {
            hcl.block("traffic_selector_policy", |hcl| {
                hcl.texts("local_address_cidrs", &[local]);
                hcl.texts("remote_address_cidrs", &[remote]);
            });
        }
    });
    Ok(hcl.finish())
}

fn policy(hcl: &mut Hcl, ike: &Words, esp: &Words, life: u64) {
    hcl.text("ike_encryption", ike.encr);
    hcl.text("ike_integrity", ike.integ.unwrap_or_default());
    hcl.text("dh_group", ike.group.unwrap_or_default());
    hcl.text("ipsec_encryption", esp.encr);
    // A cipher with integrity of its own is named twice.
    hcl.text("ipsec_integrity", esp.integ.unwrap_or(esp.encr));
    hcl.text("pfs_group", esp.group.unwrap_or("None"));
    hcl.plain("sa_lifetime", life);
}

/// Each network once.
fn networks(facing: &Facing, of: fn(&super::Tunnel) -> &Vec<Selector>) -> Result<Vec<String>, Refusal> {
    let mut all = Vec::new();
    for ts in facing.children.iter().flat_map(of) {
        let (network, len) = text::network_v4(ts, TARGET)?;
        let network = format!("{network}/{len}");
        if !all.contains(&network) {
            all.push(network);
        }
    }
    Ok(all)
}

/// The VPC's network and ours of each child; none where all is routed.
fn selectors(facing: &Facing) -> Result<Vec<(String, String)>, Refusal> {
    if facing.routed().is_some() {
        return Ok(Vec::new());
    }
    fn network(ts: &Selector) -> Result<String, Refusal> {
        text::network_v4(ts, TARGET).map(|(network, len)| format!("{network}/{len}"))
    }
    let pair = |tunnel: &super::Tunnel| {
        let (peer, ours) = tunnel.only_pair(TARGET)?;
        Ok((network(peer)?, network(ours)?))
    };
    facing.children.iter().map(pair).collect()
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=128, text::is_printable)
}
