//! Google Cloud VPN, Terraform: a classic gateway, or an HA gateway where the tunnel has addresses inside, for which it wants BGP. Both identities are
//! addresses, and lifetimes are 36000 s and 10800 s. Checked against the documentation of `google_compute_vpn_tunnel` and Google's "Supported IKE
//! ciphers".
use super::fit::{CBC_128, CBC_192, CBC_256, GCM_128, GCM_192, GCM_256, Pfs, Prf, Table, Words};
use super::hcl::{self, Hcl};
use super::text::{self, Needs, OUR_ADDRESS};
use super::{Facing, Format, Inner, Refusal, Tunnel, refuse};
use crate::crypto::secret::Secret;
use crate::wire::registry::{IntegId, KeId, PrfId};

pub(super) const FORMAT: Format = Format {
    name: "gcp",
    aliases: &["gcp-terraform"],
    title: "Google Cloud VPN, Terraform",
    write,
    takes,
    quote: hcl::quote,
};
const TARGET: &str = "Google Cloud";
const LONGEST: usize = 60;

const TABLE: Table = Table {
    encr: &[
        (CBC_128, "AES-CBC-128"),
        (CBC_192, "AES-CBC-192"),
        (CBC_256, "AES-CBC-256"),
        (GCM_128, "AES-GCM-16-128"),
        (GCM_192, "AES-GCM-16-192"),
        (GCM_256, "AES-GCM-16-256"),
    ],
    integ: &[
        (IntegId::HMAC_SHA1_96, "HMAC-SHA1-96"),
        (IntegId::HMAC_SHA2_256_128, "HMAC-SHA2-256-128"),
        (IntegId::HMAC_SHA2_384_192, "HMAC-SHA2-384-192"),
        (IntegId::HMAC_SHA2_512_256, "HMAC-SHA2-512-256"),
    ],
    prf: Prf::Said(&[
        (PrfId::HMAC_SHA1, "PRF-HMAC-SHA1"),
        (PrfId::HMAC_SHA2_256, "PRF-HMAC-SHA2-256"),
        (PrfId::HMAC_SHA2_384, "PRF-HMAC-SHA2-384"),
        (PrfId::HMAC_SHA2_512, "PRF-HMAC-SHA2-512"),
    ]),
    groups: &[
        (KeId::MODP_2048, "Group-14"),
        (KeId::MODP_3072, "Group-15"),
        (KeId::MODP_4096, "Group-16"),
        (KeId::ECP_256, "Group-19"),
        (KeId::ECP_384, "Group-20"),
        (KeId::ECP_521, "Group-21"),
    ],
    pfs: Pfs::Must,
    esn: false,
    example: "aes256gcm16-modp2048",
};

fn write(facing: &Facing) -> Result<String, Refusal> {
    text::common(facing, &Needs { target: TARGET, certificates: false, names: false })?;
    text::address_ids(facing, TARGET)?;
    let name = text::name(&facing.name, LONGEST, TARGET)?.to_ascii_lowercase().replace('_', "-");
    let child = facing.only_child(TARGET)?;
    let (ike, esp) = (TABLE.ike(&facing.proposals, TARGET)?, TABLE.esp(&child.proposals, TARGET)?);
    // It has one for each phase, whatever is wanted.
    facing.life.for_peer((36_000, 36_000), 36_000, TARGET)?;
    child.life.for_peer((10_800, 10_800), 10_800, TARGET)?;
    let mut hcl = Hcl::new(facing, "Terraform for Google Cloud");
    text::advice(facing).iter().for_each(|note| hcl.note(note));
    hcl.note("Fill in the region, the VPN gateway and, with BGP, the Cloud Router. Both tunnels of an HA gateway have the same suites.");
    match facing.inner.iter().find(|inner| inner.ours.is_ipv4()) {
        Some(inner) if facing.routed().is_some() => ha(facing, inner, (&ike, &esp), &name, &mut hcl)?,
        _ => classic(facing, child, (&ike, &esp), &name, &mut hcl)?,
    }
    Ok(hcl.finish())
}

fn classic(facing: &Facing, child: &Tunnel, words: (&Words, &Words), name: &str, hcl: &mut Hcl) -> Result<(), Refusal> {
    let networks = |all: &[crate::wire::selector::Selector]| -> Result<Vec<String>, Refusal> {
        all.iter().map(|ts| text::network_v4(ts, TARGET).map(|(network, len)| format!("{network}/{len}"))).collect()
    };
    let (local, remote) = (networks(&child.peer_ts)?, networks(&child.our_ts)?);
    hcl.resource("The tunnel, of a classic VPN gateway.", "google_compute_vpn_tunnel", name, |hcl| {
        common(hcl, words, name);
        hcl.text("target_vpn_gateway", "REPLACE-WITH-VPN-GATEWAY");
        hcl.text("peer_ip", &text::first_place(&facing.us, OUR_ADDRESS));
        hcl.texts("local_traffic_selector", &local);
        hcl.texts("remote_traffic_selector", &remote);
    });
    Ok(())
}

fn ha(facing: &Facing, inner: &Inner, words: (&Words, &Words), name: &str, hcl: &mut Hcl) -> Result<(), Refusal> {
    let Some(peers) = inner.peers else {
        let what = format!("{}/{} does not tell {TARGET}'s address inside the tunnel", inner.ours, inner.len);
        return refuse(what, "use a /30 in interface.addresses, such as 169.254.10.2/30");
    };
    hcl.resource("Sandhog, as Google Cloud sees it.", "google_compute_external_vpn_gateway", name, |hcl| {
        hcl.text("name", name);
        hcl.text("redundancy_type", "SINGLE_IP_INTERNALLY_REDUNDANT");
        hcl.block("interface", |hcl| {
            hcl.plain("id", 0);
            hcl.text("ip_address", &text::first_place(&facing.us, OUR_ADDRESS));
        });
    });
    hcl.resource("The tunnel, of an HA VPN gateway.", "google_compute_vpn_tunnel", name, |hcl| {
        common(hcl, words, name);
        hcl.text("vpn_gateway", "REPLACE-WITH-HA-VPN-GATEWAY");
        hcl.plain("vpn_gateway_interface", 0);
        hcl.plain("peer_external_gateway", format!("google_compute_external_vpn_gateway.{name}.id"));
        hcl.plain("peer_external_gateway_interface", 0);
        hcl.text("router", "REPLACE-WITH-CLOUD-ROUTER");
    });
    hcl.resource("Its address inside the tunnel, for BGP.", "google_compute_router_interface", name, |hcl| {
        hcl.text("name", name);
        hcl.text("region", "REPLACE-WITH-REGION");
        hcl.text("router", "REPLACE-WITH-CLOUD-ROUTER");
        hcl.text("ip_range", &format!("{peers}/{}", inner.len));
        hcl.plain("vpn_tunnel", format!("google_compute_vpn_tunnel.{name}.name"));
    });
    Ok(())
}

fn common(hcl: &mut Hcl, (ike, esp): (&Words, &Words), name: &str) {
    hcl.text("name", name);
    hcl.text("region", "REPLACE-WITH-REGION");
    hcl.plain("ike_version", 2);
    hcl.secret("shared_secret");
    hcl.note("One suite for each phase, which is the first of Sandhog's that Google Cloud knows.");
    hcl.block("cipher_suite", |hcl| {
        hcl.block("phase1", |hcl| {
            hcl.texts("encryption", &[ike.encr]);
            hcl.texts("integrity", ike.integ.as_slice());
            hcl.texts("prf", ike.prf.as_slice());
            hcl.texts("dh", ike.group.as_slice());
        });
        hcl.block("phase2", |hcl| {
            hcl.texts("encryption", &[esp.encr]);
            hcl.texts("integrity", esp.integ.as_slice());
            hcl.texts("pfs", esp.group.as_slice());
        });
    });
}

fn takes(secret: &Secret) -> Result<(), Refusal> {
    text::takes(secret, TARGET, 1..=128, text::is_graphic)
}
