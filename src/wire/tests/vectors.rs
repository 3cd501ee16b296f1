//! What others wrote: packets and corpora found through `SANDHOG_VECTORS`.
use super::*;
use crate::wire::encap::{Datagram, classify};
use crate::wire::message::{encode_chain, parse_chain};
use crate::wire::{ip, rules};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder, or a loud word that this test shows nothing without it.
fn folder(name: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("SANDHOG_VECTORS") else {
        let _ = writeln!(std::io::stderr(), "SKIPPED: wire::tests::vectors ({name}): SANDHOG_VECTORS is not set");
        return None;
    };
    Some(Path::new(&root).join(name))
}
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
        if entry.is_dir() { out.extend(files(&entry)) } else { out.push(entry) }
    }
    out.sort();
    out
}

/// Never panics; what parses, parses again to the same from our encoding.
fn judge(data: &[u8]) -> Option<Message> {
    let _ = classify(data);
    let message = Message::parse(data).ok()?;
    let again = Message::parse(&message.encode()).unwrap();
    assert!(same(&message, &again), "{message:?}\n{again:?}");
    let _ = format!("{message:?}");
    Some(message)
}
fn judge_as_chain(data: &[u8]) {
    for first in 33..=53 {
        if let Ok(payloads) = parse_chain(PayloadType(first), data) {
            let (first, bytes) = encode_chain(&payloads);
            assert_eq!(parse_chain(first, &bytes), Ok(payloads));
        }
    }
}

#[test]
fn rusticata() {
    let Some(folder) = folder("rusticata") else { return };
    for (name, response) in [("ike-sa-init-req.bin", false), ("ike-sa-init-resp.bin", true)] {
        let data = std::fs::read(folder.join(name)).unwrap();
        let message = judge(&data).unwrap();
        assert_eq!(message.encode(), data, "{name}: our encoding is theirs, octet by octet");
        assert_eq!((message.header.exchange, message.header.response), (ExchangeType::IKE_SA_INIT, response));
        let kept = rules::check(ExchangeType::IKE_SA_INIT, response, message.payloads.clone()).unwrap();
        assert_eq!(kept, message.payloads);
    }
}

/// IKE_SA_INIT requests with one thing wrong in each, and IKEv1 that broke pluto.
#[test]
fn libreswan() {
    let Some(folder) = folder("libreswan") else { return };
    let mut lines = 0;
    for file in files(&folder) {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            let data = ::hex::decode(line.split_whitespace().last().unwrap()).unwrap();
            lines += 1;
            let Some(message) = judge(&data) else { continue };
            let h = message.header;
            let checked = rules::check(h.exchange, h.response, message.payloads);
            let initial =
                h.exchange == ExchangeType::IKE_SA_INIT && h.id == 0 && h.spi_r.is_none() && h.initiator && !h.response;
            assert!(!initial || checked.is_err(), "{}: {line}", file.display());
        }
    }
    assert!(lines > 10);
}

#[test]
fn ike_scan() {
    let Some(folder) = folder("ike-scan") else { return };
    let request = judge(&std::fs::read(folder.join("pkt-ikev2.dat")).unwrap()).unwrap();
    assert!(rules::check(ExchangeType::IKE_SA_INIT, false, request.payloads).is_ok());
    let answer = judge(&std::fs::read(folder.join("pkt-v2-notify-response.dat")).unwrap()).unwrap();
    assert!(matches!(answer.payloads.as_slice(), [Payload::Notify(n)] if n.kind.is_error()), "{answer:?}");
    judge(&std::fs::read(folder.join("pkt-malformed.dat")).unwrap());
}

/// Seeds, and the corpus of 15,762 files where somebody has unpacked it beside them (reading the archive would need
/// a decompressor that nothing else here needs).
#[test]
fn openiked() {
    let Some(folder) = folder("openiked") else { return };
    let all = files(&folder);
    if all.iter().any(|f| f.extension().is_some_and(|e| e == "gz")) && all.len() < 1000 {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: the openiked fuzzing corpus, packed; {} other files are read",
            all.len() - 1
        );
    }
    for file in all.iter().filter(|f| f.extension().is_none_or(|e| e != "gz")) {
        let data = std::fs::read(file).unwrap();
        judge(&data);
        judge_as_chain(&data);
        judge_as_chain(data.get(28..).unwrap_or_default());
        let _ = ip::parse(&data);
    }
}

/// Captures of tcpdump, Zeek, Suricata and Openswan: every UDP datagram of port 500 or 4500 in them.
#[test]
fn captures() {
    let (mut datagrams, mut messages) = (0, 0);
    for name in ["tcpdump", "zeek", "openswan"] {
        let Some(folder) = folder(name) else { return };
        for file in files(&folder).iter().filter(|f| f.extension().is_some_and(|e| e == "pcap")) {
            for frame in frames(&std::fs::read(file).unwrap()) {
                // Whatever the link layer: the first offset at which an IP packet fits.
                let Some(packet) =
                    [0, 4, 14, 16].iter().filter_map(|at| frame.get(*at..)).find(|p| ip::parse(p).is_ok())
                else {
                    continue;
                };
                let parsed = ip::parse(packet).unwrap();
                if parsed.flow.proto != 17 || parsed.fragment {
                    continue;
                }
                let Some(udp) = packet.get(parsed.l4 + 8..parsed.len) else { continue };
                datagrams += 1;
                let natt = parsed.flow.sport == 4500 || parsed.flow.dport == 4500;
                let ike = match classify(udp) {
                    Datagram::Ike(ike) if natt => ike,
                    _ => udp,
                };
                messages += usize::from(judge(ike).is_some());
                judge_as_chain(ike);
            }
        }
    }
    assert!(messages > 100 && messages < datagrams, "{messages} of {datagrams}");
}

/// Every input that others have kept: packets of captures, corpora (the packed one is unpacked), files as they are.
pub(crate) fn inputs() -> Option<Vec<Vec<u8>>> {
    let mut inputs = Vec::new();
    for name in ["tcpdump", "zeek", "openswan", "openiked", "ike-scan", "rusticata", "libreswan"] {
        for file in files(&folder(name)?) {
            let data = std::fs::read(&file).unwrap();
            match file.extension().and_then(|e| e.to_str()) {
                Some("pcap") => {
                    // From the link layer on, from IP on, and from the UDP payload on, whichever fits.
                    for frame in frames(&data) {
                        inputs.extend([14, 42].iter().filter_map(|at| frame.get(*at..)).map(<[u8]>::to_vec));
                    }
                }
                Some("gz") => inputs.extend(unpacked(&data)),
                Some("hex") => {
                    let text = String::from_utf8_lossy(&data).into_owned();
                    let words = text.lines().filter_map(|line| line.split_whitespace().last());
                    inputs.extend(words.filter_map(|word| ::hex::decode(word).ok()));
                }
                _ => inputs.push(data),
            }
        }
    }
    Some(inputs)
}
/// The files in a `tar.gz`: headers of 512 octets with the length in octal at 124, bodies filled up to 512.
fn unpacked(archive: &[u8]) -> Vec<Vec<u8>> {
    use std::io::Read;
    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(archive).read_to_end(&mut tar).unwrap();
    let (mut rest, mut out) = (tar.as_slice(), Vec::new());
    while let Some((head, tail)) = rest.split_first_chunk::<512>() {
        let digits: String = head[124..136].iter().filter(|b| b.is_ascii_digit()).map(|b| char::from(*b)).collect();
        let len = usize::from_str_radix(&digits, 8).unwrap_or(0);
        let Some(body) = tail.get(..len) else { break };
        if len > 0 {
            out.push(body.to_vec());
        }
        rest = tail.get(len.next_multiple_of(512)..).unwrap_or_default();
    }
    out
}

/// The frames of a pcap file of either byte order.
fn frames(file: &[u8]) -> Vec<&[u8]> {
    let big = file.starts_with(&[0xa1]);
    let mut rest = file.get(24..).unwrap_or_default();
    let mut out = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<16>() {
        let len = [head[8], head[9], head[10], head[11]];
        let len = if big { u32::from_be_bytes(len) } else { u32::from_le_bytes(len) } as usize;
        let Some((frame, tail)) = tail.split_at_checked(len) else { break };
        out.push(frame);
        rest = tail;
    }
    out
}
