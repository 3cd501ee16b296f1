//! Inputs that broke other gateways, and each length field with every wrong value. The names in front are those of the advisories.
use super::*;
use crate::wire::fragment::{Gathered, Reassembly};
use crate::wire::message::{HEADER_LEN, ParseError, encode_chain, parse_chain};
use crate::wire::rules;

fn hex(s: &str) -> Vec<u8> {
    ::hex::decode(s.replace(' ', "")).unwrap()
}
/// One payload of this type with this body.
fn one(kind: PayloadType, body: &str) -> Result<Payload, ParseError> {
    let body = hex(body);
    let mut data = vec![0, 0];
    data.extend((body.len() as u16 + 4).to_be_bytes());
    data.extend(body);
    parse_chain(kind, &data).map(|mut all| all.remove(0))
}
fn refused(kind: PayloadType, body: &str) {
    assert!(matches!(one(kind, body), Err(ParseError::Syntax(_))), "{kind} {body}: {:?}", one(kind, body));
}
fn parse_again(data: &[u8]) {
    if let Ok(message) = Message::parse(data) {
        let again = Message::parse(&message.encode()).unwrap();
        assert!(same(&message, &again));
        let _ = format!("{message:?}");
    }
}

/// Each octet and each pair of octets, so each length and count, set to 0, 1, one less, one more and the most.
fn mutate(bytes: &[u8], judge: impl Fn(&[u8])) {
    let mut data = bytes.to_vec();
    for i in 0..bytes.len() {
        let old = bytes[i];
        for new in [0, 1, old.wrapping_sub(1), old.wrapping_add(1), old ^ 0x80, 0xff] {
            data[i] = new;
            judge(&data);
        }
        data[i] = old;
        let Some(pair) = bytes[i..].first_chunk::<2>() else { continue };
        let old = u16::from_be_bytes(*pair);
        for new in [0u16, 1, 3, 4, old.wrapping_sub(1), old.wrapping_add(1), 0xffff] {
            data[i..i + 2].copy_from_slice(&new.to_be_bytes());
            judge(&data);
        }
        data[i..i + 2].copy_from_slice(pair);
    }
}

#[test]
fn every_field_with_wrong_values() {
    mutate(&everything().encode(), parse_again);
}
#[test]
fn every_truncation() {
    let bytes = everything().encode();
    for len in 0..bytes.len() {
        assert_eq!(Message::parse(&bytes[..len]), Err(ParseError::Truncated));
        // The same with a length field that agrees.
        let mut cut = bytes[..len].to_vec();
        if let Some(field) = cut.get_mut(24..28) {
            field.copy_from_slice(&(len as u32).to_be_bytes());
            assert!(Message::parse(&cut).is_err(), "{len}");
        }
    }
}
proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_field_of_any_message(message in message()) {
        let bytes = message.encode();
        if bytes.len() < 700 { mutate(&bytes, parse_again) }
    }
}

#[test]
fn cve_2013_4564_header() {
    let good = Header { first: PayloadType::NONE, length: 28, ..everything().header }.encode();
    assert!(Message::parse(&good).is_ok());
    for len in 0..HEADER_LEN {
        assert_eq!(Header::parse(&good[..len]), Err(ParseError::Truncated));
    }
    let mut longer = good.to_vec();
    longer.push(0);
    assert_eq!(Header::parse(&longer), Err(ParseError::Truncated));
    for length in [0u32, 27, 29, u32::MAX] {
        let mut bad = good;
        bad[24..].copy_from_slice(&length.to_be_bytes());
        assert_eq!(Message::parse(&bad), Err(ParseError::Truncated));
    }
    for major in (0..16).filter(|m| *m != 2) {
        let mut other = good;
        other[17] = major << 4;
        assert_eq!(Header::parse(&other).unwrap().version, (major, 0));
        assert!(matches!(Message::parse(&other), Err(ParseError::Syntax(_))), "openiked 150");
    }
}

#[test]
fn minor_version_and_reserved_bits_are_accepted() {
    let mut bytes = everything().encode();
    bytes[17] = 0x2f;
    bytes[19] |= 0xd7;
    let mut at = HEADER_LEN;
    while at < bytes.len() {
        bytes[at + 1] |= 0x7f;
        at += usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
    }
    assert_eq!(Message::parse(&bytes).unwrap().payloads, everything().payloads);
    // Reserved octets within payloads.
    assert_eq!(one(PayloadType::KE, "001f ffff 01"), one(PayloadType::KE, "001f 0000 01"));
    // Of no meaning here either, but AUTH signs them.
    let Ok(Payload::IdI(id)) = one(PayloadType::IDI, "02 ff00ff 61") else { panic!("an identification") };
    assert_eq!((id.header(), id.id), ([2, 0xff, 0, 0xff], "a".parse().unwrap()));
    assert_eq!(one(PayloadType::AUTH, "02 ffffff 61"), one(PayloadType::AUTH, "02 000000 61"));
    assert_eq!(one(PayloadType::TSI, "00 ffffff"), one(PayloadType::TSI, "00 000000"));
    assert_eq!(one(PayloadType::CP, "01 ffffff 8001 0000"), one(PayloadType::CP, "01 000000 0001 0000"));
}

#[test]
fn unknown_payloads_by_their_critical_bit() {
    // TAHI 1.1.4 and openiked 149; IKEv1's types are unknown, too (CVE-2015-3991).
    for kind in (1..=255).map(PayloadType) {
        let known = kind.name().is_some();
        for (flags, critical) in [(0x80u8, true), (0x01, false), (0x7f, false)] {
            let data = [0, flags, 0, 4];
            let result = parse_chain(kind, &data);
            match (known, critical) {
                (false, true) => assert_eq!(result, Err(ParseError::Critical(kind))),
                (false, false) => assert_eq!(result, Ok(vec![Payload::Unknown(kind)])),
                (true, _) => assert_ne!(result, Err(ParseError::Critical(kind))),
            }
        }
    }
    let nonce = hex(&format!("00 80 0014 {}", "61".repeat(16)));
    assert!(parse_chain(PayloadType::NONCE, &nonce).is_ok(), "known types may be critical");
}

#[test]
fn tcpdump_payload_lengths_and_free5gc_968() {
    for data in ["", "00", "000000", "00000000", "00000001", "00000003", "00000005", "0000ffff"] {
        assert!(matches!(parse_chain(PayloadType::VENDOR, &hex(data)), Err(ParseError::Syntax(_))), "{data}");
    }
    let empty = Header { first: PayloadType::SA, length: 28, ..everything().header };
    assert!(matches!(Message::parse(&empty.encode()), Err(ParseError::Syntax(_))));
    // Openswan fills up to a multiple of four; as long as a payload it is something else.
    for (len, fine) in [(3, true), (4, false), (100, false)] {
        assert_eq!(parse_chain(PayloadType::NONE, &vec![0; len]).is_ok(), fine, "{len}");
    }
}

#[test]
fn cve_2026_12413_number_of_payloads() {
    for (count, fine) in [(MAX_PAYLOADS - 1, true), (MAX_PAYLOADS, true), (MAX_PAYLOADS + 1, false)] {
        let (first, bytes) = encode_chain(&vec![Payload::Unknown(PayloadType(200)); count]);
        assert_eq!(parse_chain(first, &bytes).is_ok(), fine, "{count}");
    }
}

#[test]
fn encrypted_payloads_end_a_message_and_hold_no_other() {
    let sk = Payload::Encrypted(Encrypted { first: PayloadType::NONCE, body: vec![1; 40] });
    let skf = Payload::Fragment(Skf { first: PayloadType::NONE, number: 1, total: 1, body: vec![1; 40] });
    for inner in [sk, skf] {
        let (first, bytes) = encode_chain(std::slice::from_ref(&inner));
        assert_eq!(parse_chain(first, &bytes), Err(ParseError::Syntax("encrypted payload within another")));
        let mut behind = Message { payloads: vec![inner], ..everything() }.encode();
        behind.push(0);
        let len = behind.len() as u32;
        behind[24..28].copy_from_slice(&len.to_be_bytes());
        assert!(matches!(Message::parse(&behind), Err(ParseError::Syntax(_))));
    }
}

#[test]
fn proposals() {
    let transform = "00 00 0008 04 00 001f";
    assert!(one(PayloadType::SA, &format!("00 00 0010 01 01 00 01 {transform}")).is_ok());
    refused(PayloadType::SA, ""); // free5gc 989: no proposal at all
    refused(PayloadType::SA, &format!("00 00 0010 00 01 00 01 {transform}")); // number 0
    refused(PayloadType::SA, &format!("02 00 0010 01 01 00 01 {transform}")); // announces another
    refused(PayloadType::SA, &format!("07 00 0010 01 01 00 01 {transform}"));
    refused(PayloadType::SA, &format!("00 00 0010 01 01 00 02 {transform}")); // counts
    refused(PayloadType::SA, &format!("00 00 0010 01 01 00 00 {transform}"));
    refused(PayloadType::SA, "00 00 0010 01 01 00 01 03 00 0008 04 00 001f"); // last transform announces another
    refused(PayloadType::SA, "00 00 0010 01 01 00 01 00 00 0007 04 00 001f"); // lengths
    refused(PayloadType::SA, "00 00 0010 01 01 00 01 00 00 0009 04 00 001f");
    refused(PayloadType::SA, "00 00 0007 01 01 00 00");
    refused(PayloadType::SA, &format!("00 00 ffff 01 01 00 01 {transform}"));
    for (protocol, spi_len, fine) in [
        (1u8, 0u8, true),
        (1, 8, true),
        (1, 4, false),
        (3, 4, true),
        (3, 0, false),
        (3, 8, false),
        (2, 4, true),
        (9, 7, true),
    ] {
        let spi = "11".repeat(spi_len.into());
        let body = format!("00 00 {:04x} 01 {protocol:02x} {spi_len:02x} 01 {spi} {transform}", 16 + spi_len);
        assert_eq!(one(PayloadType::SA, &body).is_ok(), fine, "{body}");
    }
    // Repeated numbers; a gap is harmless.
    let two = |second| format!("02 00 0010 01 01 00 01 {transform} 00 00 0010 {second:02x} 01 00 01 {transform}");
    assert!(one(PayloadType::SA, &two(2)).is_ok() && one(PayloadType::SA, &two(3)).is_ok());
    refused(PayloadType::SA, &two(1));
}

#[test]
fn attributes() {
    let with = |attributes: &str| {
        let len = hex(attributes).len();
        one(
            PayloadType::SA,
            &format!("00 00 {:04x} 01 01 00 01 00 00 {:04x} 01 00 000c {attributes}", 16 + len, 8 + len),
        )
    };
    let only = |result: Result<Payload, ParseError>| match result {
        Ok(Payload::Sa(all)) => (all[0].transforms[0].key_bits, all[0].transforms[0].foreign),
        other => panic!("{other:?}"),
    };
    assert_eq!(only(with("")), (None, false));
    assert_eq!(only(with("800e 0100")), (Some(256), false));
    assert_eq!(only(with("800e 0100 800e 0080")), (Some(256), true)); // twice: never to be chosen
    assert_eq!(only(with("000e 0002 0100")), (None, true)); // the long form is not allowed for it
    assert_eq!(only(with("8001 0000")), (None, true));
    assert_eq!(only(with("0001 0000")), (None, true));
    for overrun in ["800e", "800e 01", "0001 0001", "0001 ffff 00"] {
        assert!(matches!(with(overrun), Err(ParseError::Syntax(_))), "{overrun}");
    }
}

#[test]
fn numbers_of_proposals_and_transforms() {
    let sa = |proposals: usize, transforms: usize| {
        let t = Transform { kind: TransformType::KE, id: 1, key_bits: None, foreign: false };
        let all = (1..=proposals).map(|n| Proposal {
            number: n as u8,
            protocol: ProtocolId::IKE,
            spi: vec![],
            transforms: vec![t; transforms],
        });
        let (first, bytes) = encode_chain(&[Payload::Sa(all.collect())]);
        parse_chain(first, &bytes).is_ok()
    };
    assert!(sa(MAX_PROPOSALS, 4) && !sa(MAX_PROPOSALS, 5) && !sa(MAX_PROPOSALS + 1, 1));
    assert!(sa(2, 128) && !sa(2, 129) && sa(1, 255));
}

#[test]
fn nonces_openswan_489() {
    for (len, fine) in [(0, false), (7, false), (15, false), (16, true), (256, true), (257, false)] {
        assert_eq!(one(PayloadType::NONCE, &"00".repeat(len)).is_ok(), fine, "{len}");
    }
}

#[test]
fn key_exchange_of_no_octets() {
    refused(PayloadType::KE, "000e 0000");
    assert!(
        matches!(one(PayloadType::KE, "0401 0000 00"), Ok(Payload::Ke(Ke { group: KeId(1025), .. }))),
        "CVE-2014-9221"
    );
}

#[test]
fn identifications() {
    refused(PayloadType::IDI, "020000");
    assert!(one(PayloadType::IDI, "02 000000").is_ok(), "CVE-2026-47895: empty, for IKE_AUTH to refuse");
    for (len, fine) in [(520, true), (2048, true), (2049, false), (60_000, false)] {
        assert_eq!(
            one(PayloadType::IDR, &format!("0b000000{}", "61".repeat(len))).is_ok(),
            fine,
            "CVE-2025-9242: {len}"
        );
    }
}

#[test]
fn certificates_cve_2025_14733() {
    let cert = |len: usize| one(PayloadType::CERT, &format!("04{}", "30".repeat(len)));
    assert!(cert(1).is_ok() && cert(MAX_CERT).is_ok() && cert(0).is_err() && cert(MAX_CERT + 1).is_err());
    assert!(one(PayloadType::CERTREQ, "04").is_ok() && one(PayloadType::CERTREQ, "").is_err());
    let x509 = Payload::Cert(Cert { encoding: CertEncoding::X509_SIGNATURE, data: vec![0x30] });
    for (count, fine) in [(rules::MAX_CERTS, true), (rules::MAX_CERTS + 1, false)] {
        let mut payloads = vec![x509.clone(); count];
        payloads.push(Payload::IdI("a.example".parse::<Id>().unwrap().into()));
        assert_eq!(rules::check(ExchangeType::IKE_AUTH, false, payloads).is_ok(), fine);
    }
}

#[test]
fn notifies() {
    assert!(one(PayloadType::NOTIFY, "03 04 4009 01020304").is_ok());
    for bad in ["", "03", "030440", "03 04 4009", "03 04 4009 010203", "03 ff 4009 01020304"] {
        refused(PayloadType::NOTIFY, bad);
    }
    for kind in [16383u16, 65535] {
        assert!(one(PayloadType::NOTIFY, &format!("0000{kind:04x}")).is_ok(), "unknown types are values");
    }
    // CVE-2023-38710: a protocol that makes no sense is kept as it is, for the exchange to judge.
    assert!(
        matches!(one(PayloadType::NOTIFY, "01 00 4009"), Ok(Payload::Notify(n)) if n.protocol == ProtocolId::IKE && n.spi.is_empty())
    );
}

#[test]
fn deletes_openswan_488() {
    assert!(one(PayloadType::DELETE, "03 04 0001 01020304").is_ok());
    assert!(one(PayloadType::DELETE, "03 04 0000").is_ok());
    assert!(one(PayloadType::DELETE, "01 00 0000").is_ok());
    for bad in [
        "03 04 ffff 01020304",
        "03 04 0002 01020304",
        "03 04 0000 01020304",
        "03 04 0001 010203",
        "03 00 0001 01020304",
        "03 00 0000",
        "03 ff 0001 01020304",
        "03 08 0001 0102030405060708",
        "01 08 0001 0102030405060708",
        "01 00 0001",
        "01 04 0000",
        "03",
    ] {
        refused(PayloadType::DELETE, bad);
    }
}

#[test]
fn traffic_selectors() {
    let v4 = "07 00 0010 0000 ffff 0a000000 0affffff";
    assert!(one(PayloadType::TSI, &format!("01 000000 {v4}")).is_ok());
    refused(PayloadType::TSI, &format!("02 000000 {v4}")); // Openswan 487: count is not what is there
    refused(PayloadType::TSI, &format!("00 000000 {v4}"));
    refused(PayloadType::TSI, "01 000000 07 00 0010 0000 ffff ffffffff 00000000"); // CVE-2023-23009
    refused(PayloadType::TSI, "01 000000 07 06 0010 0002 0001 0a000000 0affffff"); // the same with ports
    refused(PayloadType::TSI, "01 000000 07 06 0010 ffff 0001 0a000000 0affffff");
    assert!(one(PayloadType::TSI, "01 000000 07 06 0010 ffff 0000 0a000000 0affffff").is_ok(), "OPAQUE");
    for length in ["0000", "0003", "0004", "000f", "0011", "0028", "ffff"] {
        refused(PayloadType::TSI, &format!("01 000000 07 00 {length} 0000 ffff 0a000000 0affffff"));
    }
    refused(PayloadType::TSI, &format!("01 000000 08 00 0010 0000 ffff {}", "00".repeat(8))); // IPv6 in the length of IPv4
    // A type that we do not know is as long as it says, and counted.
    let unknown = format!("03 000000 {v4} 0a 00 0006 6162 {v4}");
    assert!(matches!(one(PayloadType::TSR, &unknown), Ok(Payload::TsR(ts)) if ts.ranges.len() == 2 && ts.unknown == 1));
    refused(PayloadType::TSR, "01 000000 0a 00 0003");
    // Openswan 487: more than 16, up to what the count can tell.
    for count in [16, 17, 255] {
        let body = format!("{count:02x} 000000 {}", v4.repeat(count));
        assert!(matches!(one(PayloadType::TSR, &body), Ok(Payload::TsR(ts)) if ts.ranges.len() == count));
    }
    refused(PayloadType::TSR, &format!("ff 000000 {}", v4.repeat(256)));
}

#[test]
fn configuration_free5gc_984() {
    for (attribute, len, fine) in [
        (1u16, 0usize, true),
        (1, 1, false),
        (1, 3, false),
        (1, 4, true),
        (1, 5, false),
        (3, 16, false),
        (8, 17, true),
        (8, 18, false),
        (10, 16, true),
        (10, 4, false),
        (13, 8, true),
        (13, 4, false),
        (14, 3, false),
        (7, 3, true),
        (999, 3, true),
    ] {
        let body = format!("01 000000 {attribute:04x} {len:04x} {}", "00".repeat(len));
        assert_eq!(one(PayloadType::CP, &body).is_ok(), fine, "{attribute} {len}");
    }
    for bad in ["010000", "01 000000 00", "01 000000 0001 0004 0a0000", "01 000000 0007 ffff"] {
        refused(PayloadType::CP, bad);
    }
    let many = |n| one(PayloadType::CP, &format!("01 000000 {}", "0007 0000".repeat(n))).is_ok();
    assert!(many(MAX_CFG_ATTRIBUTES) && !many(MAX_CFG_ATTRIBUTES + 1));
}

#[test]
fn eap_of_any_length_is_a_value() {
    for body in ["", "02", "02010004", "0201000400"] {
        assert!(one(PayloadType::EAP, body).is_ok(), "free5gc 938");
    }
}

#[test]
fn fragments_cve_2016_1287_and_2026_33824() {
    let outer = |body: &str| {
        let body = hex(body);
        let mut data = Header { first: PayloadType::SKF, ..everything().header }.encode().to_vec();
        data.extend([0, 0]);
        data.extend((body.len() as u16 + 4).to_be_bytes());
        data.extend(body);
        let len = data.len() as u32;
        data[24..28].copy_from_slice(&len.to_be_bytes());
        Message::parse(&data)
    };
    assert!(outer("0001 0001 aa").is_ok() && outer("0001 0001").is_ok() && outer("ffff ffff").is_ok());
    for bad in ["", "00", "0001", "000100", "0000 0001", "0001 0000", "0000 0000", "0002 0001", "ffff 0001"] {
        assert!(matches!(outer(bad), Err(ParseError::Syntax(_))), "{bad}");
    }
    let mut gathered = Reassembly::new(1000);
    assert_eq!(gathered.insert(1, u16::MAX, PayloadType::NONE, vec![]), Gathered::Dropped);
    assert!(gathered.is_empty());
}

/// CVE-2013-6075, CVE-2014-2891: names in DER that end too soon, or are empty, print as digits.
#[test]
fn distinguished_names() {
    let good: Id = "C=CH, O=x, CN=y".parse().unwrap();
    for len in 0..good.data.len() {
        let cut = Id { kind: IdType::DER_ASN1_DN, data: good.data[..len].to_vec() };
        assert_eq!(cut.to_string(), format!("asn1dn:#{}", ::hex::encode(&cut.data)));
        assert_eq!(cut.to_string().parse(), Ok(cut));
    }
    mutate(&good.data, |data| {
        let text = Id { kind: IdType::DER_ASN1_DN, data: data.to_vec() }.to_string();
        assert!(!text.chars().any(char::is_control));
    });
}
