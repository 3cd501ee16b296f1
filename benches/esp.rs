//! One train of 64 packets of 1400 octets through ESP in place, beside the bare primitives over the same octets: what header, IV, padding,
//! sequence and window cost. At the end the share that we reach: of the AEAD; or of CBC, whose blocks do not wait for each other in either
//! direction, and the MAC of one packet after the other.
#![allow(missing_docs, reason = "criterion's macros make an undocumented function")]
mod share;

use aes::cipher::{BlockModeDecrypt, InOutBuf, InnerIvInit, KeyInit};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use sandhog::crypto::integ::Integ;
use sandhog::crypto::secret::Secret;
use sandhog::esp::inbound::InboundSa;
use sandhog::esp::outbound::OutboundSa;
use sandhog::esp::{Cipher, SaParams};
use share::{share, timed};
use std::hint::black_box;

const PACKETS: u32 = 64;
const INNER: usize = 1400;
const NEXT_HEADER: u8 = 4;
const TAG: usize = 16;
const CIPHERS: [(&str, Cipher); 3] = [
    ("aes256gcm16", Cipher::AesGcm256),
    ("chacha20poly1305", Cipher::ChaCha20Poly1305),
    ("aes256-sha256", Cipher::AesCbc { key_bits: 256, integ: Integ::HmacSha256_128 }),
];

fn params(cipher: Cipher) -> SaParams {
    let key = |len: usize| Secret::new((0..len).map(|octet| octet as u8).collect());
    let (encr, integ) = (key(cipher.encr_key_len()), key(cipher.integ_key_len()));
    SaParams { spi: 0x0100_0010, cipher, encr, integ, esn: false }
}

/// Both halves of an SA.
fn pair(cipher: Cipher) -> (OutboundSa, InboundSa) {
    (OutboundSa::new(&params(cipher), [7; 16]), InboundSa::new(&params(cipher), 4096))
}

/// Buffers of one train, the inner packets in their place.
fn train(sa: &OutboundSa) -> Vec<Vec<u8>> {
    vec![vec![0x45; sa.sealed_len(INNER)]; PACKETS as usize]
}

fn seal(sa: &OutboundSa, packets: &mut [Vec<u8>]) {
    let numbers = sa.reserve(PACKETS).expect("few packets");
    sa.seal_run(numbers.start, packets.iter_mut().map(|packet| (&mut packet[..], INNER)), NEXT_HEADER);
}

fn sealed(sa: &OutboundSa) -> Vec<Vec<u8>> {
    let mut packets = train(sa);
    seal(sa, &mut packets);
    packets
}

/// As a worker does it: precheck and open each, then the window; but once for all of them, where a worker takes it every 16 packets.
fn open(sa: &InboundSa, packets: &mut [Vec<u8>], opened: &mut Vec<sandhog::esp::inbound::Opened>) {
    opened.clear();
    sa.open_run(packets.iter_mut().map(|packet| ((), &mut packet[..])), |(), result| opened.extend(result));
    let mut window = sa.window();
    let count = opened.iter().filter(|opened| window.commit(&opened.proof).is_ok()).count();
    assert_eq!(count, PACKETS as usize);
}

/// The primitives alone, over text and ICV of one packet: sealing, opening.
type Bare = Box<dyn Fn(&mut [u8])>;

fn primitives(cipher: Cipher) -> [Bare; 2] {
    let algorithm = match cipher {
        Cipher::AesGcm256 => &AES_256_GCM,
        Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        _ => return [cbc_and_hmac(), cbc_and_hmac()],
    };
    let key = || LessSafeKey::new(UnboundKey::new(algorithm, &[1; 32]).expect("32 octets"));
    let nonce = || Nonce::assume_unique_for_key([3; 12]);
    let (sealing, opening) = (key(), key());
    let seal = move |packet: &mut [u8]| {
        let (text, icv) = packet.split_at_mut(packet.len() - TAG);
        let tag = sealing.seal_in_place_separate_tag(nonce(), Aad::from([1; 8]), text).expect("a short text");
        icv.copy_from_slice(tag.as_ref());
    };
    let open = move |packet: &mut [u8]| {
        opening.open_in_place(nonce(), Aad::from([1; 8]), packet).expect("a right tag");
    };
    [Box::new(seal), Box::new(open)]
}

fn cbc_and_hmac() -> Bare {
    let aes = aes::Aes256::new(&[1; 32].into());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
    Box::new(move |packet| {
        let text = packet.len() - TAG;
        let (blocks, _) = InOutBuf::from(&mut packet[..text]).into_chunks();
        cbc::Decryptor::inner_iv_init(&aes, &[3; 16].into()).decrypt_blocks_inout(blocks);
        black_box(hmac::sign(&key, &packet[..text]));
    })
}

/// What the primitives work on: text and ICV.
fn texts(sa: &OutboundSa) -> Vec<Vec<u8>> {
    vec![vec![0x45; sa.sealed_len(INNER) - sa.head()]; PACKETS as usize]
}

fn benches(criterion: &mut Criterion) {
    for (name, cipher) in CIPHERS {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(u64::from(PACKETS) * INNER as u64));
        let (outbound, inbound) = pair(cipher);
        let [bare_seal, bare_open] = primitives(cipher);
        let mut bare = texts(&outbound);
        group.bench_function("bare seal", |bencher| bencher.iter(|| bare.iter_mut().for_each(|text| bare_seal(text))));
        group.bench_function("bare open", |bencher| {
            let fresh = || {
                let mut texts = texts(&outbound);
                texts.iter_mut().for_each(|text| bare_seal(text));
                texts
            };
            let open = |texts: &mut Vec<Vec<u8>>| texts.iter_mut().for_each(|text| bare_open(text));
            bencher.iter_batched_ref(fresh, open, BatchSize::SmallInput);
        });
        let mut packets = train(&outbound);
        group.bench_function("seal", |bencher| bencher.iter(|| seal(&outbound, &mut packets)));
        group.bench_function("open", |bencher| {
            let mut opened = Vec::new();
            let open = |packets: &mut Vec<Vec<u8>>| open(&inbound, packets, &mut opened);
            bencher.iter_batched_ref(|| sealed(&outbound), open, BatchSize::SmallInput);
        });
        group.finish();
    }
}

fn shares(_: &mut Criterion) {
    const TURNS: usize = 20;
    for (name, cipher) in CIPHERS {
        let (outbound, inbound) = pair(cipher);
        let [bare_seal, bare_open] = primitives(cipher);
        let (mut bare, mut packets, mut opened) = (texts(&outbound), train(&outbound), Vec::new());
        let octets = TURNS * PACKETS as usize * INNER;
        share(
            &format!("{name} seal"),
            octets,
            || timed(|| (0..TURNS).for_each(|_| bare.iter_mut().for_each(|text| bare_seal(text)))),
            || timed(|| (0..TURNS).for_each(|_| seal(&outbound, &mut packets))),
        );
        let mut bare_turn = || {
            bare.iter_mut().for_each(|text| bare_seal(text));
            timed(|| bare.iter_mut().for_each(|text| bare_open(text)))
        };
        let mut turn = || {
            seal(&outbound, &mut packets);
            timed(|| open(&inbound, &mut packets, &mut opened))
        };
        share(
            &format!("{name} open"),
            octets,
            || (0..TURNS).map(|_| bare_turn()).sum(),
            || (0..TURNS).map(|_| turn()).sum(),
        );
    }
}

criterion_group!(esp, benches, shares);
criterion_main!(esp);
