//! What all of `wire` must keep: round trips, hostile input, and what others wrote.
mod hostile;
mod roundtrip;
pub(crate) mod vectors;

use super::message::{Header, IkeSpi, MAX_PAYLOADS, Message};
use super::payload::*;
use super::registry::*;
use super::selector::{ANY_PORTS, OPAQUE_PORTS, Selector};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use std::net::IpAddr;

fn octets(len: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), len)
}

/// Any value of any payload that can stand in the clear or inside SK.
fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        proposals().prop_map(Payload::Sa),
        (any::<u16>(), octets(1..300)).prop_map(|(group, data)| Payload::Ke(Ke { group: KeId(group), data })),
        id_payload().prop_map(Payload::IdI),
        id_payload().prop_map(Payload::IdR),
        cert(1).prop_map(Payload::Cert),
        cert(0).prop_map(Payload::CertReq),
        (any::<u8>(), octets(0..80))
            .prop_map(|(method, data)| Payload::Auth(Auth { method: AuthMethod(method), data })),
        octets(16..=256).prop_map(Payload::Nonce),
        notify().prop_map(Payload::Notify),
        delete().prop_map(Payload::Delete),
        octets(0..40).prop_map(Payload::Vendor),
        traffic_selectors().prop_map(Payload::TsI),
        traffic_selectors().prop_map(Payload::TsR),
        configuration().prop_map(Payload::Cfg),
        octets(0..40).prop_map(Payload::Eap),
        prop_oneof![1u8..33, 49u8..53, 54u8..].prop_map(|kind| Payload::Unknown(PayloadType(kind))),
    ]
}
fn cert(shortest: usize) -> impl Strategy<Value = Cert> {
    (any::<u8>(), octets(shortest..300)).prop_map(|(encoding, data)| Cert { encoding: CertEncoding(encoding), data })
}
fn id_payload() -> impl Strategy<Value = IdPayload> {
    (id(), any::<[u8; 3]>()).prop_map(|(id, reserved)| IdPayload { id, reserved })
}
fn id() -> impl Strategy<Value = Id> {
    (any::<u8>(), octets(0..60)).prop_map(|(kind, data)| Id { kind: IdType(kind), data })
}
fn notify() -> impl Strategy<Value = Notify> {
    (any::<u8>(), octets(0..=255), any::<u16>(), octets(0..40)).prop_map(|(protocol, spi, kind, data)| Notify {
        protocol: ProtocolId(protocol),
        spi,
        kind: NotifyType(kind),
        data,
    })
}
fn delete() -> impl Strategy<Value = Delete> {
    (any::<u8>(), vec(any::<u32>(), 0..40)).prop_map(|(protocol, spis)| {
        let protocol = ProtocolId(protocol);
        Delete { protocol, spis: if protocol == ProtocolId::IKE { Vec::new() } else { spis } }
    })
}
fn configuration() -> impl Strategy<Value = Cfg> {
    // Attributes that have no fixed length.
    let attribute = (19u16..0x8000, octets(0..20)).prop_map(|(kind, value)| (CfgAttr(kind), value));
    (any::<u8>(), vec(attribute, 0..8)).prop_map(|(kind, attributes)| Cfg { kind: CfgType(kind), attributes })
}
fn proposals() -> impl Strategy<Value = Vec<Proposal>> {
    vec(proposal(), 1..6).prop_map(|mut all| {
        all.iter_mut().zip(1..).for_each(|(p, number)| p.number = number);
        all
    })
}
fn proposal() -> impl Strategy<Value = Proposal> {
    let spi = prop_oneof![
        Just((ProtocolId::IKE, Vec::new())),
        octets(8).prop_map(|spi| (ProtocolId::IKE, spi)),
        octets(4).prop_map(|spi| (ProtocolId::AH, spi)),
        octets(4).prop_map(|spi| (ProtocolId::ESP, spi)),
        (4u8.., octets(0..=255)).prop_map(|(protocol, spi)| (ProtocolId(protocol), spi)),
    ];
    (spi, vec(transform(), 0..12)).prop_map(|((protocol, spi), transforms)| Proposal {
        number: 1,
        protocol,
        spi,
        transforms,
    })
}
fn transform() -> impl Strategy<Value = Transform> {
    (any::<u8>(), any::<u16>(), option::of(any::<u16>()), any::<bool>())
        .prop_map(|(kind, id, key_bits, foreign)| Transform { kind: TransformType(kind), id, key_bits, foreign })
}
fn traffic_selectors() -> impl Strategy<Value = TrafficSelectors> {
    (vec(selector(), 0..20), 0usize..4).prop_map(|(ranges, unknown)| TrafficSelectors { ranges, unknown })
}

/// Any selector that can be on the wire.
pub(super) fn selector() -> impl Strategy<Value = Selector> {
    let ports = prop_oneof![
        Just(ANY_PORTS),
        Just(OPAQUE_PORTS),
        (any::<u16>(), any::<u16>()).prop_map(|(a, b)| (a.min(b), a.max(b))),
        any::<u16>().prop_map(|p| (p, p)),
    ];
    let v4 = (any::<[u8; 4]>(), any::<[u8; 4]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    let v6 = (any::<[u8; 16]>(), any::<[u8; 16]>()).prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b)));
    let prefix = (prop_oneof![v4.boxed(), v6.boxed()], 0u8..=130, any::<bool>()).prop_map(|((a, b), len, exact)| {
        let prefix = Selector::prefix(a, len);
        if exact { (prefix.start, prefix.end) } else { (a.min(b), a.max(b)) }
    });
    (prop_oneof![Just(0u8), Just(1), Just(6), Just(17), Just(58), any::<u8>()], ports, prefix)
        .prop_map(|(proto, ports, (start, end))| Selector { proto, ports, start, end })
}

fn header() -> impl Strategy<Value = Header> {
    (any::<[[u8; 8]; 2]>(), 0u8..16, any::<u8>(), any::<[bool; 2]>(), any::<u32>()).prop_map(
        |(spis, minor, exchange, flags, id)| Header {
            spi_i: IkeSpi(spis[0]),
            spi_r: IkeSpi(spis[1]),
            first: PayloadType::NONE,
            version: (2, minor),
            exchange: ExchangeType(exchange),
            initiator: flags[0],
            response: flags[1],
            id,
            length: 0,
        },
    )
}

/// Any message, with SK, SKF or neither at its end.
fn message() -> impl Strategy<Value = Message> {
    let sk = (any::<u8>(), octets(0..80))
        .prop_map(|(first, body)| Payload::Encrypted(Encrypted { first: PayloadType(first), body }));
    let skf = (any::<u8>(), 1u16.., 1u16.., octets(0..80)).prop_map(|(first, a, b, body)| {
        Payload::Fragment(Skf { first: PayloadType(first), number: a.min(b), total: a.max(b), body })
    });
    (header(), vec(payload(), 0..6), option::of(prop_oneof![sk, skf])).prop_map(|(header, mut payloads, last)| {
        payloads.extend(last);
        assert!(payloads.len() <= MAX_PAYLOADS);
        Message { header, payloads }
    })
}

/// One message with every payload and every nested structure, for mutations.
pub(crate) fn everything() -> Message {
    let header = Header {
        spi_i: IkeSpi([1; 8]),
        spi_r: IkeSpi([2; 8]),
        first: PayloadType::NONE,
        version: (2, 0),
        exchange: ExchangeType::IKE_AUTH,
        initiator: true,
        response: false,
        id: 1,
        length: 0,
    };
    let t = |kind, id, key_bits| Transform { kind, id, key_bits, foreign: false };
    let proposal = |number, protocol, spi: &[u8]| Proposal {
        number,
        protocol,
        spi: spi.into(),
        transforms: vec![
            t(TransformType::ENCR, EncrId::AES_CBC.0, Some(256)),
            t(TransformType::INTEG, IntegId::HMAC_SHA2_256_128.0, None),
            t(TransformType::ESN, 0, None),
        ],
    };
    let ts = TrafficSelectors {
        ranges: vec!["10.1.0.0/16[tcp/443]".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
        unknown: 1,
    };
    let payloads = vec![
        Payload::Sa(vec![proposal(1, ProtocolId::ESP, &[1, 2, 3, 4]), proposal(2, ProtocolId::IKE, &[5; 8])]),
        Payload::Ke(Ke { group: KeId::CURVE25519, data: vec![9; 32] }),
        Payload::IdI("dn:C=CH, O=x, CN=y".parse::<Id>().unwrap().into()),
        Payload::IdR("vpn.example.com".parse::<Id>().unwrap().into()),
        Payload::Cert(Cert { encoding: CertEncoding::X509_SIGNATURE, data: vec![0x30, 0] }),
        Payload::CertReq(Cert { encoding: CertEncoding::X509_SIGNATURE, data: Vec::new() }),
        Payload::Auth(Auth { method: AuthMethod::SHARED_KEY, data: vec![7; 32] }),
        Payload::Nonce(vec![8; 32]),
        Payload::Notify(Notify {
            protocol: ProtocolId::ESP,
            spi: vec![1, 2, 3, 4],
            kind: NotifyType::REKEY_SA,
            data: vec![1],
        }),
        Payload::Delete(Delete { protocol: ProtocolId::ESP, spis: vec![256, 257] }),
        Payload::Delete(Delete { protocol: ProtocolId::IKE, spis: Vec::new() }),
        Payload::Vendor(b"strongSwan".to_vec()),
        Payload::TsI(ts.clone()),
        Payload::TsR(ts),
        Payload::Cfg(Cfg {
            kind: CfgType::REQUEST,
            attributes: vec![
                (CfgAttr::INTERNAL_IP4_ADDRESS, vec![10, 0, 0, 1]),
                (CfgAttr::INTERNAL_IP6_DNS, Vec::new()),
            ],
        }),
        Payload::Eap(vec![2, 1, 0, 4]),
        Payload::Unknown(PayloadType(200)),
    ];
    Message { header, payloads }
}

/// Equal but for what encoding recomputes.
fn same(a: &Message, b: &Message) -> bool {
    Header { first: b.header.first, length: b.header.length, ..a.header } == b.header && a.payloads == b.payloads
}
