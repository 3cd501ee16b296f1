//! Encoding and parsing again gives the same value.
use super::*;
use crate::wire::message::{HEADER_LEN, ParseError, encode_chain, parse_chain};

proptest! {
    #[test]
    fn messages(message in message()) {
        let bytes = message.encode();
        let parsed = Message::parse(&bytes);
        prop_assert!(parsed.as_ref().is_ok_and(|p| same(&message, p)), "{message:?}\n{parsed:?}");
        prop_assert_eq!(parsed.unwrap().encode(), bytes);
    }
    #[test]
    fn chains(payloads in vec(payload(), 0..6)) {
        let (first, bytes) = encode_chain(&payloads);
        prop_assert_eq!(parse_chain(first, &bytes), Ok(payloads));
    }
    #[test]
    fn headers(header in header(), first in any::<u8>(), version in (0u8..16, 0u8..16)) {
        let header = Header { first: PayloadType(first), version, length: HEADER_LEN as u32, ..header };
        prop_assert_eq!(Header::parse(&header.encode()), Ok(header));
    }
    /// Random octets behind a header that fits: an error or a value that survives the round trip.
    #[test]
    fn noise(first in any::<u8>(), body in octets(0..400)) {
        if let Ok(payloads) = parse_chain(PayloadType(first), &body) {
            let (first, bytes) = encode_chain(&payloads);
            prop_assert_eq!(parse_chain(first, &bytes), Ok(payloads));
        }
    }
    /// Random octets as the one payload of each type.
    #[test]
    fn noise_in_a_payload(first in 33u8..49, body in octets(0..200)) {
        let mut data = vec![0, 0];
        data.extend((body.len() as u16 + 4).to_be_bytes());
        data.extend(body);
        if let Ok(payloads) = parse_chain(PayloadType(first), &data) {
            let (first, bytes) = encode_chain(&payloads);
            prop_assert_eq!(parse_chain(first, &bytes), Ok(payloads));
        }
    }
}

#[test]
fn everything_round_trips() {
    let message = everything();
    assert!(same(&message, &Message::parse(&message.encode()).unwrap()));
}

/// Octet by octet as the figures of RFC 7296 section 3 draw them.
#[test]
fn figures_of_the_rfc() {
    let message = Message {
        header: Header { exchange: ExchangeType::IKE_SA_INIT, spi_r: IkeSpi::NONE, id: 0, ..everything().header },
        payloads: vec![
            Payload::Sa(
                crate::wire::keyword::parse(ProtocolId::IKE, "aes128gcm16-prfsha256-x25519").map(|p| vec![p]).unwrap(),
            ),
            Payload::Ke(Ke { group: KeId::CURVE25519, data: vec![0xaa; 2] }),
            Payload::TsI(TrafficSelectors { ranges: vec!["10.0.0.0/8[udp/53]".parse().unwrap()], unknown: 0 }),
            Payload::Notify(Notify {
                protocol: ProtocolId::ESP,
                spi: vec![1, 2, 3, 4],
                kind: NotifyType::REKEY_SA,
                data: vec![],
            }),
            Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![0x0102_0304] }),
            Payload::Encrypted(Encrypted { first: PayloadType::IDI, body: vec![0xee; 3] }),
        ],
    };
    let figure = "0101010101010101 0000000000000000 21 20 22 08 00000000 00000085 \
        22 00 0028  00 00 0024 01 01 00 03  03 00 000c 01 00 0014 800e 0080  03 00 0008 02 00 0005  00 00 0008 04 00 001f \
        2c 00 000a  001f 0000 aaaa \
        29 00 0018  01 000000  07 11 0010 0035 0035 0a000000 0affffff \
        2a 00 000c  03 04 4009 01020304 \
        2e 00 000c  03 04 0001 01020304 \
        23 00 0007  eeeeee";
    let figure = hex::decode(figure.replace(' ', "")).unwrap();
    assert_eq!(hex::encode(message.encode()), hex::encode(figure));
}

#[test]
fn values_too_long_for_their_length_field_are_cut_and_never_lie() {
    for payload in [
        Payload::Vendor(vec![0; 70_000]),
        Payload::Notify(Notify {
            protocol: ProtocolId::NONE,
            spi: vec![1; 300],
            kind: NotifyType::COOKIE,
            data: vec![],
        }),
        Payload::TsI(TrafficSelectors { ranges: vec!["::/0".parse().unwrap(); 300], unknown: 300 }),
        Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![1; 10_000] }),
    ] {
        let (first, bytes) = encode_chain(&[payload, Payload::Eap(vec![])]);
        assert_eq!(parse_chain(first, &bytes).unwrap().len(), 2);
    }
    let endless = Message { payloads: vec![Payload::Vendor(vec![0; 40_000]); 2], ..everything() };
    assert_eq!(Message::parse(&endless.encode()), Err(ParseError::Syntax("message too long")));
}
