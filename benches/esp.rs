//! One train of 64 packets of 1400 octets through ESP in place, beside the bare primitives over the same octets: what header, IV, padding,
//! sequence and window cost. At the end the share that we reach: of the AEAD, or of what CBC and HMAC are made of, as if nothing in them
//! waited: AES of blocks that do not chain, and SHA-256's blocks of several packets by turns, as many as HMAC takes.
#![allow(missing_docs, reason = "criterion's macros make an undocumented function")]
mod share;

use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use sandhog::crypto::integ::Integ;
use sandhog::crypto::secret::Secret;
use sandhog::esp::inbound::InboundSa;
use sandhog::esp::outbound::OutboundSa;
use sandhog::esp::{Cipher, SaParams};
use sha2::block_api::compress256;
use share::{share, timed};
use std::hint::black_box;
use std::slice;

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

/// The primitives alone, over text and ICV of each packet: sealing, opening.
type Bare = Box<dyn Fn(&mut [Vec<u8>])>;

fn primitives(cipher: Cipher) -> [Bare; 2] {
    let algorithm = match cipher {
        Cipher::AesGcm256 => &AES_256_GCM,
        Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        _ => return [blocks(Aes256::encrypt_blocks), blocks(Aes256::decrypt_blocks)],
    };
    let key = || LessSafeKey::new(UnboundKey::new(algorithm, &[1; 32]).expect("32 octets"));
    let nonce = || Nonce::assume_unique_for_key([3; 12]);
    let (sealing, opening) = (key(), key());
    let seal = move |packet: &mut Vec<u8>| {
        let text = packet.len() - TAG;
        let (text, icv) = packet.split_at_mut(text);
        let tag = sealing.seal_in_place_separate_tag(nonce(), Aad::from([1; 8]), text).expect("a short text");
        icv.copy_from_slice(tag.as_ref());
    };
    let open = move |packet: &mut Vec<u8>| {
        opening.open_in_place(nonce(), Aad::from([1; 8]), packet).expect("a right tag");
    };
    [
        Box::new(move |packets| packets.iter_mut().for_each(&seal)),
        Box::new(move |packets| packets.iter_mut().for_each(&open)),
    ]
}

/// Four packets at a time, which is best. Beside its text a packet has two blocks in HMAC: what does not fill one, and the outer hash.
fn blocks(cipher: fn(&Aes256, &mut [Block])) -> Bare {
    const WAYS: usize = 4;
    let aes = Aes256::new(&[1; 32].into());
    Box::new(move |packets| {
        for packets in packets.chunks_mut(WAYS) {
            for packet in &mut *packets {
                let text = packet.len() - TAG;
                cipher(&aes, Block::cast_slice_from_core_mut(packet[..text].as_chunks_mut().0));
            }
            let mut states = [[1; 8]; WAYS];
            for j in 0..packets[0].len() / 64 + 2 {
                for (state, packet) in states.iter_mut().zip(&*packets) {
                    let block = packet.as_chunks().0.get(j).unwrap_or(&[0; 64]);
                    compress256(state, slice::from_ref(block));
                }
            }
            black_box(states);
        }
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
        group.bench_function("bare seal", |bencher| bencher.iter(|| bare_seal(&mut bare)));
        group.bench_function("bare open", |bencher| {
            let fresh = || {
                let mut texts = texts(&outbound);
                bare_seal(&mut texts);
                texts
            };
            bencher.iter_batched_ref(fresh, |texts| bare_open(texts), BatchSize::SmallInput);
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
            || timed(|| (0..TURNS).for_each(|_| bare_seal(&mut bare))),
            || timed(|| (0..TURNS).for_each(|_| seal(&outbound, &mut packets))),
        );
        let mut bare_turn = || {
            bare_seal(&mut bare);
            timed(|| bare_open(&mut bare))
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
