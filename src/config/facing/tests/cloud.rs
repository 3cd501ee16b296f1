//! JSON by its API's field names and values; Terraform by a reader of what it is made of.
use super::*;
use serde_json::Value;

/// One value of Terraform's language, as far as we write it.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Hcl {
    Text(String),
    /// A number, a word, or what another resource has.
    Plain(String),
    List(Vec<Hcl>),
}
/// Attributes with the way to them: `resource.alicloud_vpn_connection.c.ike_config.psk`.
pub(in super::super) fn hcl(text: &str) -> Result<Vec<(String, Hcl)>, String> {
    let mut open: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if line == "}" {
            open.pop().ok_or("a block ends that was not open")?;
        } else if let Some(head) = line.strip_suffix(" {") {
            let mut rest = head;
            let mut name = Vec::new();
            while !rest.is_empty() {
                let (one, left) = match string(rest) {
                    Some(found) => found?,
                    None => {
                        let end = rest.find(' ').unwrap_or(rest.len());
                        (rest[..end].to_owned(), &rest[end..])
                    }
                };
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
                if !one.chars().all(plain) || one.is_empty() {
                    return Err(format!("`{head}` opens no block"));
                }
                name.push(one);
                rest = left.strip_prefix(' ').unwrap_or(left);
            }
            open.push(name.join("."));
        } else {
            let (name, rest) = line.split_once(" = ").ok_or(format!("`{line}` is no attribute"))?;
            let (value, left) = value(rest)?;
            if !left.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!("`{line}`: what is `{left}`?"));
            }
            found.push((format!("{}.{name}", open.join(".")), value));
        }
    }
    if open.is_empty() { Ok(found) } else { Err(format!("{open:?} is still open")) }
}
fn value(text: &str) -> Result<(Hcl, &str), String> {
    if let Some(found) = string(text) {
        return found.map(|(text, rest)| (Hcl::Text(text), rest));
    }
    if let Some(mut rest) = text.strip_prefix('[') {
        let mut items = Vec::new();
        loop {
            if let Some(rest) = rest.strip_prefix(']') {
                return Ok((Hcl::List(items), rest));
            }
            let (item, left) = value(rest)?;
            items.push(item);
            rest = left.strip_prefix(", ").unwrap_or(left);
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-[]".contains(c);
    let end = text.find(|c| !plain(c) || c == ']').unwrap_or(text.len());
    match end {
        0 => Err(format!("`{text}` is no value")),
        _ => Ok((Hcl::Plain(text[..end].to_owned()), &text[end..])),
    }
}
/// A quoted string; a template in it is an error, as we write none.
fn string(text: &str) -> Option<Result<(String, &str), String>> {
    let body = text.strip_prefix('"')?;
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some(Ok((out, &body[at + 1..]))),
            '\\' => match chars.next() {
                Some((_, c @ ('"' | '\\'))) => out.push(c),
                Some((_, 'u')) => {
                    let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    out.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
                }
                other => return Some(Err(format!("{other:?} after a backslash"))),
            },
            '$' | '%' if body[at + 1..].starts_with('{') => return Some(Err("a template".into())),
            '$' | '%' if body[at + 1..].starts_with(c) && body[at + 2..].starts_with('{') => {
                chars.next();
                out.push(c);
            }
            c => out.push(c),
        }
    }
    Some(Err(format!("`{text}` does not end")))
}
pub(in super::super) fn at<'h>(all: &'h [(String, Hcl)], end: &str) -> &'h Hcl {
    &all.iter().find(|(way, _)| way.ends_with(end)).unwrap_or_else(|| panic!("no {end} in {all:?}")).1
}
pub(in super::super) fn text_at<'h>(all: &'h [(String, Hcl)], end: &str) -> &'h str {
    match at(all, end) {
        Hcl::Text(text) | Hcl::Plain(text) => text,
        Hcl::List(list) => panic!("{end} is {list:?}"),
    }
}

#[test]
fn the_reader_of_terraform_refuses_what_is_none() {
    assert_eq!(hcl("a \"b\" {\n  c = [\"x$${y}\", 1]\n}\n").unwrap().len(), 1);
    for wrong in ["a {\n", "}\n", "a = \"${x}\"\n", "a = \"x\" y\n", "a \"b{\" {\n}\n", "a = \"x\n"] {
        assert!(hcl(wrong).is_err(), "{wrong}");
    }
}

/// Field names and values of the API's request model.
#[test]
fn alibaba_takes_the_requests() {
    for name in ["cbc", "peer first", "routed", "defaults"] {
        let facing = facing(sample(name));
        for secret in [None, Some("a${b}'c~!#%&*()[]|;:,./<>?`")] {
            let text = text(&facing, "aliyun", secret).unwrap();
            let document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            let request = &document["CreateVpnConnection"];
            let ike: Value = serde_json::from_str(request["IkeConfig"].as_str().unwrap()).unwrap();
            let ipsec: Value = serde_json::from_str(request["IpsecConfig"].as_str().unwrap()).unwrap();
            assert_eq!(ike["Psk"], secret.unwrap_or(super::super::text::PLACEHOLDER));
            check_alibaba(&ike, &ipsec, request);
            let networks = |all: &[Selector]| all.iter().map(Selector::to_string).collect::<Vec<_>>().join(",");
            assert_eq!(request["LocalSubnet"], networks(&facing.children[0].peer_ts));
            assert_eq!(request["RemoteSubnet"], networks(&facing.children[0].our_ts));
            assert_eq!((&ike["LocalId"], &ike["RemoteId"]), (&"203.0.113.7".into(), &"192.0.2.1".into()));
            assert_eq!(document["CreateCustomerGateway"]["IpAddress"], "192.0.2.1");
            assert_eq!(ike["IkeLifetime"].as_u64().unwrap() < facing.life.ours.as_secs(), facing.life.peer_first);
            let hcl = hcl(&super::text(&facing, "aliyun-terraform", secret).unwrap()).unwrap();
            assert_eq!(text_at(&hcl, "ike_config.psk"), secret.unwrap_or(super::super::text::PLACEHOLDER));
            for (json, terraform) in [
                ("IkeEncAlg", "ike_enc_alg"),
                ("IkeAuthAlg", "ike_auth_alg"),
                ("IkePfs", "ike_pfs"),
                ("IkeVersion", "ike_version"),
            ] {
                assert_eq!(text_at(&hcl, &format!("ike_config.{terraform}")), ike[json].as_str().unwrap());
            }
            assert_eq!(text_at(&hcl, "ipsec_config.ipsec_pfs"), ipsec["IpsecPfs"].as_str().unwrap());
        }
    }
}
fn check_alibaba(ike: &Value, ipsec: &Value, request: &Value) {
    let one_of = |value: &Value, all: &[&str]| assert!(all.contains(&value.as_str().unwrap()), "{value}");
    one_of(&ike["IkeVersion"], &["ikev1", "ikev2"]);
    one_of(&ike["IkeMode"], &["main", "aggressive"]);
    for (encr, integ) in [(&ike["IkeEncAlg"], &ike["IkeAuthAlg"]), (&ipsec["IpsecEncAlg"], &ipsec["IpsecAuthAlg"])] {
        one_of(encr, &["aes", "aes192", "aes256", "des", "3des"]);
        one_of(integ, &["md5", "sha1", "sha256", "sha384", "sha512"]);
    }
    one_of(&ike["IkePfs"], &["group1", "group2", "group5", "group14"]);
    one_of(&ipsec["IpsecPfs"], &["disabled", "group1", "group2", "group5", "group14"]);
    for life in [&ike["IkeLifetime"], &ipsec["IpsecLifetime"]] {
        assert!((0..=86_400).contains(&life.as_u64().unwrap()));
    }
    let known = [
        "RegionId",
        "VpnGatewayId",
        "CustomerGatewayId",
        "Name",
        "LocalSubnet",
        "RemoteSubnet",
        "EffectImmediately",
        "IkeConfig",
        "IpsecConfig",
        "EnableDpd",
        "EnableNatTraversal",
        "AutoConfigRoute",
        "HealthCheckConfig",
        "BgpConfig",
        "RemoteCaCertificate",
        "TunnelOptionsSpecification",
    ];
    assert!(request.as_object().unwrap().keys().all(|key| known.contains(&key.as_str())), "{request}");
}

#[test]
fn alibaba_has_one_sa_and_no_gcm() {
    assert!(text(&facing(sample("per pair")), "aliyun", None).unwrap_err().way_out.contains("together"));
    assert!(text(&facing(sample("gcm")), "aliyun", None).unwrap_err().what.contains("aes256"));
    let long = facing(sample("cbc"));
    assert!(text(&long, "aliyun", Some(&"x".repeat(101))).unwrap_err().what.contains("101"));
    assert!(text(&long, "aliyun", Some("a b")).is_err());
}

/// Field names and values of EC2's model, and Terraform says the same.
#[test]
fn amazon_takes_the_requests() {
    for name in ["cbc", "gcm"] {
        let facing = facing(sample(name));
        let document: Value = serde_json::from_str(&text(&facing, "aws", Some(SECRET)).unwrap()).unwrap();
        let options = &document["CreateVpnConnection"]["Options"];
        let tunnel = &options["TunnelOptions"][0];
        assert_eq!(
            (&options["LocalIpv4NetworkCidr"], &options["RemoteIpv4NetworkCidr"]),
            (&"10.1.0.0/16".into(), &"10.2.0.0/16".into())
        );
        assert_eq!(
            (&tunnel["PreSharedKey"], &document["CreateCustomerGateway"]["IpAddress"]),
            (&SECRET.into(), &"192.0.2.1".into())
        );
        let value = |key: &str| tunnel[key][0]["Value"].clone();
        let (encr, group) = if name == "cbc" { ("AES256", 14) } else { ("AES256-GCM-16", 20) };
        for phase in [1, 2] {
            assert_eq!(value(&format!("Phase{phase}EncryptionAlgorithms")), encr);
            assert_eq!(value(&format!("Phase{phase}DHGroupNumbers")), group);
        }
        assert_eq!(
            (value("IKEVersions"), value("Phase1IntegrityAlgorithms")),
            ("ikev2".into(), if name == "cbc" { "SHA2-256" } else { "SHA2-384" }.into())
        );
        assert!((900..=28_800).contains(&tunnel["Phase1LifetimeSeconds"].as_u64().unwrap()));
        assert!((900..=3600).contains(&tunnel["Phase2LifetimeSeconds"].as_u64().unwrap()));
        assert!(["add", "start"].contains(&tunnel["StartupAction"].as_str().unwrap()));
        assert!(["clear", "none", "restart"].contains(&tunnel["DPDTimeoutAction"].as_str().unwrap()));
        let hcl = hcl(&text(&facing, "aws-terraform", Some(SECRET)).unwrap()).unwrap();
        assert_eq!(at(&hcl, "tunnel1_phase1_encryption_algorithms"), &Hcl::List(vec![Hcl::Text(encr.into())]));
        assert_eq!(at(&hcl, "tunnel1_phase2_dh_group_numbers"), &Hcl::List(vec![Hcl::Plain(group.to_string())]));
        assert_eq!(text_at(&hcl, "tunnel1_preshared_key"), SECRET);
    }
}

/// AWS takes the first address inside, gives no more than an hour, and wants PFS and plain secrets.
#[test]
fn amazon_refuses_what_it_cannot() {
    fn error(name: &str, secret: Option<&str>) -> Refusal {
        text(&facing(sample(name)), "aws", secret).unwrap_err()
    }
    assert!(error("routed", None).way_out.contains("169.254.10.2/30"));
    assert!(error("defaults", None).what.contains("PFS"));
    assert!(error("cbc", Some("0123456789")).what.contains('0'));
    assert!(error("cbc", Some("with-a-hyphen")).what.contains("characters"));
    let mut slow = facing(sample("cbc"));
    slow.children[0].life.ours = Duration::from_secs(3600);
    assert!(text(&slow, "aws", None).unwrap_err().way_out.contains("\"2880s\""));
}

#[test]
fn tencent_takes_the_requests() {
    for name in ["cbc", "per pair", "routed"] {
        let facing = facing(sample(name));
        let document: Value = serde_json::from_str(&text(&facing, "tencent", Some(SECRET)).unwrap()).unwrap();
        let request = &document["CreateVpnConnection"];
        let (ike, ipsec) = (&request["IKEOptionsSpecification"], &request["IPSECOptionsSpecification"]);
        assert_eq!((&ike["DhGroupName"], &ipsec["PfsDhGroup"]), (&"GROUP14".into(), &"DH-GROUP14".into()));
        assert_eq!((&ike["PropoAuthenAlgorithm"], &ipsec["IntegrityAlgorith"]), (&"SHA-256".into(), &"SHA-256".into()));
        assert_eq!((&ike["LocalAddress"], &ike["RemoteAddress"]), (&"203.0.113.7".into(), &"192.0.2.1".into()));
        let pairs = request["SecurityPolicyDatabases"].as_array().unwrap();
        assert_eq!(
            pairs.iter().map(|pair| pair["RemoteCidrBlock"].as_array().unwrap().len()).sum::<usize>(),
            facing.children.iter().map(|c| c.pairs().count()).sum::<usize>()
        );
        let hcl = hcl(&text(&facing, "tencent-terraform", Some(SECRET)).unwrap()).unwrap();
        for (terraform, json) in [
            ("ike_proto_encry_algorithm", &ike["PropoEncryAlgorithm"]),
            ("ipsec_pfs_dh_group", &ipsec["PfsDhGroup"]),
            ("ike_version", &ike["IKEVersion"]),
        ] {
            assert_eq!(text_at(&hcl, terraform), json.as_str().unwrap());
        }
    }
}

#[test]
fn azure_and_google_say_the_same() {
    let azure = hcl(&text(&facing(sample("gcm")), "azure", Some(SECRET)).unwrap()).unwrap();
    for (key, value) in [
        ("ike_encryption", "GCMAES256"),
        ("ike_integrity", "SHA384"),
        ("dh_group", "ECP384"),
        ("ipsec_encryption", "GCMAES256"),
        ("ipsec_integrity", "GCMAES256"),
        ("pfs_group", "ECP384"),
        ("shared_key", SECRET),
        ("gateway_address", "192.0.2.1"),
    ] {
        assert_eq!(text_at(&azure, key), value);
    }
    assert_eq!(at(&azure, "local_address_cidrs"), &Hcl::List(vec![Hcl::Text("10.2.0.0/16".into())]));
    let google = hcl(&text(&facing(sample("cbc")), "gcp", Some(SECRET)).unwrap()).unwrap();
    for (key, value) in
        [("phase1.encryption", "AES-CBC-256"), ("phase1.prf", "PRF-HMAC-SHA2-256"), ("phase2.pfs", "Group-14")]
    {
        assert_eq!(at(&google, key), &Hcl::List(vec![Hcl::Text(value.into())]));
    }
    assert_eq!((text_at(&google, "peer_ip"), text_at(&google, "shared_secret")), ("192.0.2.1", SECRET));
    let ha = hcl(&text(&facing(sample("routed")), "gcp", None).unwrap()).unwrap();
    assert_eq!(text_at(&ha, "ip_range"), "169.254.10.2/30");
}
