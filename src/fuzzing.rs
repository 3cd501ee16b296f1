//! Bodies of the fuzz targets, so that `cargo test` compiles them and replays the corpus. Each takes any octets, must not
//! panic, and asserts that what parses survives encoding and parsing again.
use crate::control::access::Role;
use crate::control::fake::Fake;
use crate::control::problem::Problem;
use crate::crypto::cert::{Certificate, Crl, Revocation, Trust, Verify};
use crate::crypto::sign::Scheme;
use crate::io::icmp_watch;
use crate::wire::encap::{self, Datagram};
use crate::wire::fragment::{Gathered, Reassembly};
use crate::wire::message::{HEADER_LEN, Header, MAX_MESSAGE, MAX_PAYLOADS, Message, encode_chain, parse_chain};
use crate::wire::payload::Id;
use crate::wire::registry::{IdType, PayloadType, ProtocolId};
use crate::wire::selector::Selector;
use crate::wire::{esp, ip, keyword, rules};
use axum::http;
use std::sync::Arc;

/// A fuzz target: its name, which is that of its file and of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));
/// All targets.
pub const TARGETS: &[Target] = &[
    ("message", message),
    ("chain", chain),
    ("encap", encap),
    ("ip", ip),
    ("selector_str", selector_str),
    ("id_str", id_str),
    ("keyword", keyword),
    ("esp_trailer", esp_trailer),
    ("fragments", fragments),
    ("segment", segment),
    ("merge", merge),
    ("sealed", sealed),
    ("operations", operations),
    ("certificate", certificate),
    ("icmp", icmp),
    ("swanctl", swanctl),
    ("api", api),
    ("thaw", thaw),
];

/// A swanctl.conf, as `sandhog import` reads it.
pub fn swanctl(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        crate::cli::import::fuzz(text);
    }
}

/// One request of the API against an engine that is none: an octet for the role, the request line, the head, an empty line, the body.
pub fn api(data: &[u8]) {
    thread_local!(static FAKE: Fake = Fake::new());
    let Some((role, data)) = data.split_first() else { return };
    let role = [Role::None, Role::Observe, Role::Operator, Role::Admin][usize::from(*role) % 4];
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|octet| *octet == b'\n');
    let mut words = lines.next().unwrap_or_default().splitn(2, |octet| *octet == b' ');
    let (method, uri) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = http::Request::builder().method(method).uri(uri);
    for line in lines {
        let at = line.iter().position(|octet| *octet == b':').unwrap_or(line.len());
        request = request.header(&line[..at], line.get(at + 1..).unwrap_or_default().trim_ascii());
    }
    // What is no request does not get as far as the handlers.
    let Ok(request) = request.body(body.to_vec().into()) else { return };
    let is_head = request.method() == http::Method::HEAD;
    let answer = FAKE.with(|fake| fake.ask(role, request));
    let status = answer.status().as_u16();
    assert!(status < 500 || status == 503, "{status}: {}", String::from_utf8_lossy(answer.body()));
    if status >= 400 && !is_head {
        assert_eq!(answer.headers()[http::header::CONTENT_TYPE], "application/problem+json");
        let problem: Problem = serde_json::from_slice(answer.body()).expect("a problem");
        assert_eq!(problem.status, status);
    }
}

/// One datagram on port 500.
pub fn message(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    assert!(message.payloads.len() <= MAX_PAYLOADS && data.len() <= MAX_MESSAGE);
    let encoded = message.encode();
    let again = Message::parse(&encoded).expect("our own encoding parses");
    assert_eq!(message.payloads, again.payloads);
    assert_eq!(Header { length: again.header.length, ..message.header }, again.header);
    assert_eq!(again.encode(), encoded);
    let _ = format!("{message:?}");
    let count = message.payloads.len();
    if let Ok(kept) = rules::check(message.header.exchange, message.header.response, message.payloads) {
        assert!(kept.len() <= count);
    }
}

/// The inside of SK: the first octet is the type of the first payload.
pub fn chain(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let Ok(payloads) = parse_chain(PayloadType(*first), data) else { return };
    let (first, encoded) = encode_chain(&payloads);
    assert_eq!(parse_chain(first, &encoded).as_ref(), Ok(&payloads));
    let _ = format!("{payloads:?}");
}

/// One datagram on port 4500.
pub fn encap(data: &[u8]) {
    match encap::classify(data) {
        Datagram::Ike(ike) => {
            assert!(ike.len() >= HEADER_LEN && ike.len() + encap::NON_ESP_MARKER.len() == data.len());
            message(ike);
        }
        Datagram::Esp(packet) => assert!(packet == data && esp::parse_header(packet).is_some_and(|(spi, _)| spi > 255)),
        Datagram::Keepalive => assert_eq!(data, [0xff]),
        Datagram::Junk => {}
    }
}

/// One packet from the TUN or out of a tunnel.
pub fn ip(data: &[u8]) {
    let Ok(packet) = ip::parse(data) else { return };
    assert!(packet.l4 <= packet.len && packet.len <= data.len());
    assert!(packet.fragment || !packet.flow.later_fragment);
    assert_eq!(packet.flow.src.is_ipv4(), packet.flow.dst.is_ipv4());
    assert_eq!(ip::parse(&data[..packet.len]), Ok(packet));
    let host = Selector::prefix(packet.flow.dst, 128);
    assert!(host.matches(packet.flow.dst, &packet.flow, packet.flow.dport));
}

/// What anybody may send as an ICMP error about a packet of ours: the first octet tells the family.
pub fn icmp(data: &[u8]) {
    let Some((family, data)) = data.split_first() else { return };
    let ipv6 = family & 1 == 1;
    let Some(report) = icmp_watch::parse(ipv6, data) else { return };
    assert_eq!((report.local.is_ipv6(), report.remote.is_ipv6()), (ipv6, ipv6));
    // What comes behind what is quoted changes nothing.
    assert_eq!(icmp_watch::parse(ipv6, &[data, &[0; 9]].concat()), Some(report));
}

/// What a peer may send as a certificate, a revocation list, or an algorithm.
pub fn certificate(data: &[u8]) {
    if let Some(scheme) = Scheme::from_der(data) {
        assert!(scheme.to_der().is_some_and(|der| Scheme::from_der(&der) == Some(scheme)));
    }
    let _ = Crl::parse(data);
    let Ok(certificate) = Certificate::parse(data) else { return };
    assert_eq!(certificate.der(), data);
    assert!(certificate.crl_locations().iter().all(|url| url[..7].eq_ignore_ascii_case("http://")));
    let _ = format!("{} {} {:?}", certificate.subject_text(), certificate.issuer_text(), certificate.names());
    // It vouches for itself, if it is an authority: so the whole way of a chain is taken.
    let _ = Trust::new(vec![certificate.clone()], Vec::new(), Revocation::Strict).map(|trust| {
        let verify = Verify {
            now: certificate.not_before(),
            chain: vec![certificate.clone(), certificate],
            trust: Arc::new(trust),
            fetched: Vec::new(),
            scheme: Scheme::Pkcs1Sha1,
            message: Vec::new(),
            signature: Vec::new(),
        };
        assert!(verify.run().is_err(), "nobody signs with SHA-1 and nothing");
    });
}

/// The state of another daemon, whoever has written it: the first octet tells which part.
pub fn thaw(data: &[u8]) {
    let Some((part, data)) = data.split_first() else { return };
    match part % 2 {
        0 => drop(crate::ike::thaw_any(data)),
        _ => drop(crate::daemon::frozen::thaw_any(data)),
    }
}

/// A selector as people write it.
pub fn selector_str(data: &[u8]) {
    let Some(selector) = std::str::from_utf8(data).ok().and_then(|s| s.parse::<Selector>().ok()) else { return };
    assert_eq!(selector.to_string().parse(), Ok(selector));
    assert!(selector.contains(&selector) && (1..=254).contains(&selector.prefixes().len()));
}

/// An ID as people write it.
pub fn id_str(data: &[u8]) {
    let Some(id) = std::str::from_utf8(data).ok().and_then(|s| s.parse::<Id>().ok()) else { return };
    let text = id.to_string();
    assert!(!text.chars().any(char::is_control));
    // A distinguished name given as DER may use string types that we never write.
    let again = text.parse::<Id>();
    assert!(id.kind == IdType::DER_ASN1_DN || again == Ok(id));
}

/// A proposal as people write it.
pub fn keyword(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for protocol in [ProtocolId::IKE, ProtocolId::ESP] {
        match keyword::parse(protocol, text) {
            Ok(proposal) => assert_eq!(keyword::parse(protocol, &keyword::proposal(&proposal)), Ok(proposal)),
            Err(e) => assert!(text.get(e.at.0..e.at.0 + e.at.1).is_some() && !e.hint.is_empty()),
        }
    }
}

/// What an ESP packet holds once it is decrypted.
pub fn esp_trailer(data: &[u8]) {
    let Some((len, next_header)) = esp::parse_trailer(data) else { return };
    let mut again = data.to_vec();
    again[len..].fill(0);
    esp::write_trailer(&mut again, len, next_header);
    assert_eq!(again, data);
}

/// Fragments of one message in any order: groups of number, total and length, an octet each.
pub fn fragments(data: &[u8]) {
    const LIMIT: usize = 600;
    let mut gathered = Reassembly::new(LIMIT);
    for [number, total, len] in data.as_chunks::<3>().0.iter().copied() {
        let wanted = gathered.wants(number.into(), total.into());
        let result = gathered.insert(number.into(), total.into(), PayloadType(number), vec![number; len.into()]);
        assert_eq!(wanted, result != Gathered::Dropped);
        assert!(gathered.octets() <= LIMIT);
        match result {
            Gathered::Complete(first, whole) => {
                assert!(gathered.is_empty() && first == PayloadType(1) && whole.is_sorted())
            }
            Gathered::TooLong => assert!(gathered.is_empty()),
            Gathered::Waiting => assert!(!gathered.is_empty()),
            Gathered::Dropped => {}
        }
    }
}

/// A packet from the TUN behind its offload header, to be cut.
pub fn segment(data: &[u8]) {
    crate::dataplane::fuzz::segment(data);
}

/// Packets out of a tunnel, to be merged.
pub fn merge(data: &[u8]) {
    crate::dataplane::fuzz::merge(data);
}

/// What stands inside a protected message, in four stages of an IKE SA.
pub fn sealed(data: &[u8]) {
    crate::ike::sim::sealed(data);
}

/// Users, policies, weather and misfortunes of two or three endpoints.
pub fn operations(data: &[u8]) {
    crate::ike::sim::operations(data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::payload::{Encrypted, Payload};
    use std::path::PathBuf;

    fn corpus(target: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
    }

    #[test]
    fn replay_corpus() {
        for (name, body) in TARGETS {
            let files: Vec<_> = std::fs::read_dir(corpus(name)).unwrap().collect();
            assert!(!files.is_empty(), "no seeds for {name}");
            for file in files {
                body(&std::fs::read(file.unwrap().path()).unwrap());
            }
        }
    }

    #[test]
    fn every_target_has_its_file() {
        for (name, _) in TARGETS {
            let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/fuzz_targets/{name}.rs"));
            let text = std::fs::read_to_string(file).unwrap();
            assert!(text.contains(&format!("sandhog::fuzzing::{name}(data)")), "{name}");
        }
    }

    /// Seeds for each target, made by our own encoders. `cargo test --lib write_seeds -- --ignored` writes them anew.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let everything = crate::wire::tests::everything();
        let sealed = Payload::Encrypted(Encrypted { first: PayloadType::IDI, body: vec![7; 64] });
        let messages = [
            everything.encode(),
            Message { payloads: everything.payloads[..1].to_vec(), ..everything.clone() }.encode(),
            Message { payloads: vec![sealed], ..everything.clone() }.encode(),
        ];
        let texts = |all: &[&str]| all.iter().map(|s| s.as_bytes().to_vec()).collect();
        match target {
            "message" => messages.into(),
            "chain" => everything
                .payloads
                .iter()
                .map(|p| {
                    let (first, bytes) = encode_chain(std::slice::from_ref(p));
                    [vec![first.0], bytes].concat()
                })
                .collect(),
            "encap" => vec![[&[0; 4], messages[1].as_slice()].concat(), vec![0xff], vec![1; 40]],
            "ip" => vec![
                [&[0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2][..], &[1; 8]].concat(),
                [
                    &[0x60, 0, 0, 0, 0, 24, 0, 64][..],
                    &[0xfd; 32],
                    &[44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 9],
                    &[1; 8],
                ]
                .concat(),
            ],
            "selector_str" => texts(&["10.2.0.0/16[tcp/443]", "2001:db8::1-2001:db8::9", "0.0.0.0/0[icmp/3.4]"]),
            "id_str" => texts(&[
                "192.0.2.1",
                "@moon",
                "carol@example.com",
                "keyid:0x0102",
                "C=CH, O=x, CN=y",
                "fqdn:a\\x00b",
                "{99}:#01",
            ]),
            "keyword" => texts(&[
                "aes256gcm16-prfsha384-ecp384",
                "aes256-sha256-modp2048-esn-noesn",
                "aes256-sha256-x25519-ke1_mlkem768",
            ]),
            "esp_trailer" => vec![vec![9, 9, 1, 2, 2, 4], vec![0, 59]],
            "fragments" => vec![vec![2, 2, 9, 1, 2, 9], vec![1, 2, 9, 1, 3, 9, 2, 3, 9, 3, 3, 9]],
            "segment" | "merge" => crate::dataplane::fuzz::tests::seeds(target),
            "sealed" => crate::ike::sim::seeds(),
            "operations" => (0..4u8).map(|n| (0..200u8).map(|i| i.wrapping_mul(n * 2 + 3) ^ n).collect()).collect(),
            "certificate" => vec![
                include_bytes!("crypto/testdata/rsa1024.der").to_vec(),
                Scheme::Pss(crate::crypto::sign::Hash::Sha256).to_der().unwrap(),
                Scheme::Ed25519.to_der().unwrap(),
            ],
            "icmp" => crate::io::icmp_watch::tests::seeds(),
            "swanctl" => texts(&[
                "connections { a { local_addrs = 192.0.2.1\n remote_addrs = 203.0.113.7\n local { auth = psk }\n remote { auth = psk\n id = \"b\\x\" }\n \
                 children { n { local_ts = 10.1.0.0/16\n remote_ts = 10.2.0.0/16[tcp/443]\n rekey_bytes = 1g } } } }\nsecrets { ike-a { id-b = b\n secret = 0x01 } }",
                "base { a = 1\n in { b = 2 } }\nconnections { x : base { in { c = 3 } } # no\n }\ninclude x/*.conf\npools { p { addrs = 10.9.0.9/24 } }",
            ]),
            "api" => texts(&[
                "\x01GET /v1/connections?state=down&limit=2&after=hangzhou\nHost: localhost\n\n",
                "\x02POST /v1/connections/t%C3%B6pfer%2F%C3%9F/children/lan/up?timeout=0\n\n",
                "\x01POST /v1/match\nContent-Type: application/json\n\n{\"src\":\"10.1.0.7\",\"dst\":\"10.2.0.9\",\"protocol\":\"tcp\",\"port\":443}",
                "\x03GET /v1/events?since=9-1&snapshot=1\nLast-Event-ID: 3\n\n",
                "\x03PUT /v1/info\nOrigin: null\n\n",
                "\x03GET /v1/openapi.json\nHost: evil.example\n\n",
                "\x00HEAD /metrics\nAccept: application/openmetrics-text\n\n",
                "\x03POST /v1/connections/%ff/rekey?timeout=-1\nContent-Length: 99999999\n\nx",
                "\x03POST /v1/captures\nContent-Type: application/json\n\n{\"connection\":\"office\",\"child\":\"lan\",\"inner\":true,\"seconds\":9,\"octets\":4096}",
                "\x03DELETE /v1/captures?id=1\n\n",
                "\x02PUT /v1/connections/x\nContent-Type: application/json\nIf-Match: \"e\"\n\n{\"remote_addrs\":[\"192.0.2.9\"]}",
                "\x03POST /v1/config/apply?confirm=60\nContent-Type: application/json\n\n{\"gateway\":{}}",
            ]),
            "thaw" => {
                let of = |part: u8, all: Vec<Vec<u8>>| all.into_iter().map(move |seed| [&[part][..], &seed].concat());
                of(0, crate::ike::sim::frozen()).chain(of(1, crate::daemon::frozen::seeds())).collect()
            }
            other => panic!("no seeds for {other}"),
        }
    }

    #[test]
    fn seeds_hold() {
        TARGETS.iter().for_each(|(name, body)| seeds(name).iter().for_each(|seed| body(seed)));
    }

    /// A seed that is refused at the door teaches a fuzzer nothing.
    #[test]
    fn seeds_reach_the_second_stage() {
        let reached: Vec<_> = seeds("sealed").iter().filter_map(|seed| crate::ike::sim::sealed(seed)).collect();
        for stage in 0..4 {
            assert!(reached.contains(&(stage, true)), "nothing comes of any seed in stage {stage}: {reached:?}");
        }
        for seed in seeds("operations") {
            let summary = crate::ike::sim::operations(&seed);
            assert!(summary.ikes > 1 && summary.children > 1 && summary.opened > 1, "{summary:?}");
        }
        let parses = |seed: &Vec<u8>| Message::parse(seed).is_ok();
        assert!(seeds("message").iter().all(parses));
        let inside = |seed: &Vec<u8>| parse_chain(PayloadType(seed[0]), &seed[1..]).is_ok();
        assert!(seeds("chain").iter().all(inside));
    }

    /// So in each of the smaller corpora something is taken in, and every kind of what the target knows.
    #[test]
    fn every_corpus_holds_what_is_taken_in() {
        let text = |seed: &[u8]| String::from_utf8(seed.to_vec()).unwrap_or_default();
        type Takes<'a> = &'a dyn Fn(&[u8]) -> bool;
        let taken: [(&str, Takes<'_>); 21] = [
            ("certificate", &|seed| {
                Certificate::parse(seed).is_ok_and(|ca| Trust::new(vec![ca], Vec::new(), Revocation::Strict).is_ok())
            }),
            ("certificate", &|seed| Crl::parse(seed).is_ok()),
            ("certificate", &|seed| Scheme::from_der(seed).is_some()),
            ("encap", &|seed| matches!(encap::classify(seed), Datagram::Ike(ike) if Message::parse(ike).is_ok())),
            ("encap", &|seed| matches!(encap::classify(seed), Datagram::Esp(_))),
            ("icmp", &|seed| seed[0] == 0 && icmp_watch::parse(false, &seed[1..]).is_some()),
            ("icmp", &|seed| seed[0] == 1 && icmp_watch::parse(true, &seed[1..]).is_some()),
            ("ip", &|seed| ip::parse(seed).is_ok_and(|packet| packet.flow.src.is_ipv4())),
            ("ip", &|seed| ip::parse(seed).is_ok_and(|packet| packet.flow.src.is_ipv6() && packet.fragment)),
            ("selector_str", &|seed| text(seed).parse::<Selector>().is_ok()),
            ("id_str", &|seed| text(seed).parse::<Id>().is_ok()),
            ("keyword", &|seed| keyword::parse(ProtocolId::IKE, &text(seed)).is_ok()),
            ("keyword", &|seed| keyword::parse(ProtocolId::ESP, &text(seed)).is_ok()),
            ("esp_trailer", &|seed| esp::parse_trailer(seed).is_some()),
            ("fragments", &|seed| {
                let mut gathered = Reassembly::new(600);
                seed.as_chunks::<3>().0.iter().any(|&[number, total, len]| {
                    let part = gathered.insert(number.into(), total.into(), PayloadType(number), vec![0; len.into()]);
                    matches!(part, Gathered::Complete(..))
                })
            }),
            ("segment", &|seed| seed.get(10..).is_some_and(|packet| ip::parse(packet).is_ok())),
            ("merge", &|seed| seed.get(2..).is_some_and(|packet| ip::parse(packet).is_ok())),
            ("swanctl", &|seed| text(seed).contains("connections {")),
            ("thaw", &|seed| seed[0] == 0 && crate::ike::thaw_any(&seed[1..]).is_some_and(|sas| sas > 0)),
            ("thaw", &|seed| seed[0] == 1 && crate::daemon::frozen::thaw_any(&seed[1..]).is_some_and(|sas| sas > 0)),
            ("message", &|seed| Message::parse(seed).is_ok_and(|m| m.payloads.len() > 1)),
        ];
        for (i, (target, takes)) in taken.iter().enumerate() {
            let mut files = std::fs::read_dir(corpus(target)).unwrap();
            assert!(files.any(|file| takes(&std::fs::read(file.unwrap().path()).unwrap())), "{target}, {i}");
        }
    }

    /// What others' fuzzers have found, and every packet of the captures: to all targets that take octets of the wire.
    #[test]
    fn replay_what_others_found() {
        let Some(inputs) = crate::wire::tests::vectors::inputs() else { return };
        let targets: Vec<_> =
            TARGETS.iter().filter(|(name, _)| !["operations", "sealed", "api"].contains(name)).collect();
        for input in &inputs {
            targets.iter().for_each(|(_, body)| body(input));
        }
        // As the inside of a sealed message they get further; that is dearer, so only some of them do.
        for (i, input) in inputs.iter().enumerate().filter(|(i, _)| i % 50 == 0) {
            let head = [i as u8, 1 + (i / 4) as u8 % 3, 0, 0, 33];
            sealed(&[&head, input.get(28..).unwrap_or(input)].concat());
        }
        assert!(inputs.len() > 1000, "{} inputs", inputs.len());
    }

    #[test]
    #[ignore = "writes fuzz/corpus"]
    fn write_seeds() {
        for (name, _) in TARGETS {
            std::fs::create_dir_all(corpus(name)).unwrap();
            for (i, seed) in seeds(name).iter().enumerate() {
                std::fs::write(corpus(name).join(format!("seed-{i:02}")), seed).unwrap();
            }
        }
    }
}
