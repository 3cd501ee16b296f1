use super::*;
use proptest::prelude::*;

fn id(text: &str) -> Id {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}
fn of(kind: IdType, data: &[u8]) -> Id {
    Id { kind, data: data.into() }
}

#[test]
fn forms_of_swanctl() {
    for (text, kind, data) in [
        ("192.0.2.1", IdType::IPV4_ADDR, &[192, 0, 2, 1][..]),
        ("ipv4:192.0.2.1", IdType::IPV4_ADDR, &[192, 0, 2, 1]),
        ("vpn.example.com", IdType::FQDN, b"vpn.example.com"),
        ("@vpn.example.com", IdType::FQDN, b"vpn.example.com"),
        ("@192.0.2.1", IdType::FQDN, b"192.0.2.1"),
        ("fqdn:192.0.2.1", IdType::FQDN, b"192.0.2.1"),
        ("moon", IdType::FQDN, b"moon"),
        ("carol@example.com", IdType::RFC822_ADDR, b"carol@example.com"),
        ("@@carol", IdType::RFC822_ADDR, b"carol"),
        ("email:carol", IdType::RFC822_ADDR, b"carol"),
        ("rfc822:carol@x", IdType::RFC822_ADDR, b"carol@x"),
        ("keyid:branch 7", IdType::KEY_ID, b"branch 7"),
        ("keyid:0xAB01", IdType::KEY_ID, &[0xab, 1]),
        ("keyid:#ab01", IdType::KEY_ID, &[0xab, 1]),
        ("@#ab01", IdType::KEY_ID, &[0xab, 1]),
        ("keyid:DOM\\user", IdType::KEY_ID, b"DOM\\user"),
        ("fqdn:a\\x00b\\\\x", IdType::FQDN, b"a\0b\\x"),
        ("asn1dn:#3000", IdType::DER_ASN1_DN, &[0x30, 0]),
        ("{202}:#0102", IdType(202), &[1, 2]),
    ] {
        assert_eq!(id(text), of(kind, data), "{text}");
    }
    assert_eq!(id("2001:db8::1"), Id::from("2001:db8::1".parse::<IpAddr>().unwrap()));
    assert_eq!(id("ipv6:2001:db8::1"), id("2001:db8::1"));
    assert_eq!(id("fd00::1").data.len(), 16);
}

/// C=CH, O=strongSwan, CN=moon: octets as OpenSSL encodes that name.
#[test]
fn distinguished_names() {
    let der = hex::decode(
        "3031310b3009060355040613024348311330110603550 40a0c0a7374726f6e675377616e310d300b06035504030c046d6f6f6e"
            .replace(' ', ""),
    )
    .unwrap();
    let expected = of(IdType::DER_ASN1_DN, &der);
    for text in
        ["C=CH, O=strongSwan, CN=moon", "dn:C=CH,O=strongSwan,CN=moon", "asn1dn:c=CH , o= strongSwan ,2.5.4.3=moon"]
    {
        assert_eq!(id(text), expected, "{text}");
    }
    assert_eq!(expected.to_string(), "C=CH, O=strongSwan, CN=moon");
    for text in [
        "O=a\\, b\\+c, CN=\\#x\\\\y\\ ",
        "CN=a + UID=b, DC=example, E=a@b.c",
        "CN=\u{963f}\u{91cc}\u{4e91}",
        "1.3.6.1.4.1.99999.1=x",
        "2.999.3=x",
        "CN=two\\0Alines",
        "CN=a:b",
    ] {
        assert_eq!(id(text).to_string(), text);
    }
    assert_eq!(id("UID=b + CN=a").to_string(), "CN=a + UID=b", "DER sorts the members of a set");
    let long = format!("CN={}", "x".repeat(300));
    assert_eq!(id(&long).to_string(), long);
    // Other string types: T61 is Latin-1, BMP is UTF-16.
    let name = |tag: u8, value: &str| {
        let value = hex::decode(value).unwrap();
        let n = value.len() as u8;
        let head = [0x30, 11 + n, 0x31, 9 + n, 0x30, 7 + n, 6, 3, 0x55, 4, 3, tag, n];
        of(IdType::DER_ASN1_DN, &[&head[..], &value].concat()).to_string()
    };
    assert_eq!(name(0x14, "e9"), "CN=\u{e9}");
    assert_eq!(name(0x1e, "0041963f"), "CN=A\u{963f}");
    assert!(name(0x1e, "004196").starts_with("asn1dn:#") && name(0x02, "01").starts_with("asn1dn:#"));
    assert!(name(0x1e, "d800").starts_with("asn1dn:#") && name(0x0c, "ff").starts_with("asn1dn:#"));
}

#[test]
fn what_is_no_id() {
    for text in [
        "",
        "@",
        "@@",
        "fqdn:",
        "email:",
        "%any",
        "two words",
        "foo:bar",
        "keyid:0xabc",
        "keyid:0xzz",
        "ipv4:1.2.3",
        "ipv4:::1",
        "ipv6:1.2.3.4",
        "dn:",
        "dn:moon",
        "CN=",
        "CN=x,,C=y",
        "XY=z",
        "3.1.2=x",
        "1.40.1=x",
        "CN=x\\",
        "asn1dn:#0",
        "a\\b",
        "a\tb",
        "{256}:#00",
        "\u{202e}moon",
    ] {
        assert!(text.parse::<Id>().is_err(), "{text:?}: {:?}", text.parse::<Id>());
    }
    assert!(format!("keyid:{}", "x".repeat(2048)).parse::<Id>().is_ok());
    assert!(format!("keyid:{}", "x".repeat(2049)).parse::<Id>().is_err());
    assert!(format!("CN={}", "x".repeat(70_000)).parse::<Id>().is_err());
}

#[test]
fn what_a_peer_may_send_cannot_hurt_a_terminal() {
    for (value, text) in [
        (of(IdType::FQDN, b"vpn.example.com\0"), "fqdn:vpn.example.com\\x00"),
        (of(IdType::FQDN, b"\x1b[2Jx"), "fqdn:\\x1b[2Jx"),
        (of(IdType::FQDN, b"a\nb"), "fqdn:a\\x0ab"),
        (of(IdType::FQDN, &[0xff, b'a']), "fqdn:\\xffa"),
        (of(IdType::FQDN, b""), "fqdn:#"),
        (of(IdType::FQDN, b"192.0.2.1"), "fqdn:192.0.2.1"),
        (of(IdType::FQDN, b"carol@x"), "fqdn:carol@x"),
        (of(IdType::FQDN, b"0x12"), "0x12"),
        (of(IdType::FQDN, b"0x12 "), "fqdn:\\x30x12 "),
        (of(IdType::RFC822_ADDR, b"carol"), "email:carol"),
        (of(IdType::RFC822_ADDR, "a\u{202e}b@x".as_bytes()), "email:a\\xe2\\x80\\xaeb@x"),
        (of(IdType::KEY_ID, b"branch7"), "keyid:branch7"),
        (of(IdType::KEY_ID, b"a b"), "keyid:0x612062"),
        (of(IdType::KEY_ID, b""), "keyid:0x"),
        (of(IdType::IPV4_ADDR, &[1, 2, 3]), "ipv4:#010203"),
        (of(IdType::IPV6_ADDR, &[]), "ipv6:#"),
        (of(IdType::DER_ASN1_DN, &[]), "asn1dn:#"),
        (of(IdType::DER_ASN1_GN, &[1]), "asn1gn:#01"),
        (of(IdType::NULL, &[]), "{13}:#"),
    ] {
        assert_eq!(value.to_string(), text);
        assert_eq!(text.parse(), Ok(value), "{text}");
    }
}

proptest! {
    #[test]
    fn display_is_read_back(kind in prop::sample::select(vec![1u8, 2, 3, 5, 10, 11, 13, 200]), data in prop::collection::vec(any::<u8>(), 0..40)) {
        let id = Id { kind: IdType(kind), data };
        let text = id.to_string();
        prop_assert!(!text.chars().any(text::is_hostile));
        prop_assert_eq!(text.parse(), Ok(id), "{}", text);
    }
    #[test]
    fn names_are_read_back(kind in 2u8..4, name in "\\PC{1,30}|[a-z0-9.:@#x\\\\=-]{1,20}") {
        let id = Id { kind: IdType(kind), data: name.into_bytes() };
        let text = id.to_string();
        prop_assert_eq!(text.parse(), Ok(id), "{}", text);
    }
    #[test]
    fn distinguished_names_are_read_back(values in prop::collection::vec(("CN|O|OU|2\\.5\\.4\\.99", "\\PC{1,20}|[ #+,=\\\\]{1,6}"), 1..5)) {
        let names: Vec<_> = values.iter().map(|(kind, value)| {
            let mut text = format!("{kind}=");
            value.chars().for_each(|c| text.extend(['\\', c].iter().skip(usize::from(c.is_ascii_hexdigit()))));
            text
        }).collect();
        if let Ok(id) = format!("dn:{}", names.join(", ")).parse::<Id>() {
            let text = id.to_string();
            prop_assert_eq!(text.parse(), Ok(id), "{}", text);
        }
    }
    #[test]
    fn text_never_panics(text in "\\PC{0,40}") {
        let _ = text.parse::<Id>();
        let _ = format!("dn:{text}").parse::<Id>();
        let _ = format!("fqdn:{text}").parse::<Id>();
    }
}
