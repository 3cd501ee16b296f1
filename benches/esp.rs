//! One train of 64 packets of 1400 octets through ESP in place, beside the bare AEAD over the same octets: what header, IV, padding,
//! sequence and window cost.
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sandhog::crypto::integ::Integ;
use sandhog::crypto::secret::Secret;
use sandhog::esp::inbound::InboundSa;
use sandhog::esp::outbound::OutboundSa;
use sandhog::esp::{Cipher, SaParams};

const PACKETS: u32 = 64;
const INNER: usize = 1400;
const NEXT_HEADER: u8 = 4;

fn params(cipher: Cipher) -> SaParams {
    let key = |len: usize| Secret::new((0..len).map(|octet| octet as u8).collect());
    let (encr, integ) = (key(cipher.encr_key_len()), key(cipher.integ_key_len()));
    SaParams { spi: 0x0100_0010, cipher, encr, integ, esn: false }
}

/// Buffers of one train, the inner packets in their place.
fn train(sa: &OutboundSa) -> Vec<Vec<u8>> {
    vec![vec![0x45; sa.sealed_len(INNER)]; PACKETS as usize]
}

fn seal(sa: &OutboundSa, packets: &mut [Vec<u8>]) {
    let numbers = sa.reserve(PACKETS).expect("few packets");
    for (seq, packet) in numbers.zip(packets) {
        sa.seal(seq, packet, INNER, NEXT_HEADER);
    }
}

/// As a worker does it: precheck and open each, then the window once.
fn open(sa: &InboundSa, packets: &mut [Vec<u8>]) -> usize {
    let open = |packet: &mut Vec<u8>| sa.precheck(packet).and_then(|seq| sa.open(seq, packet)).ok();
    let opened: Vec<_> = packets.iter_mut().filter_map(open).collect();
    let mut window = sa.window();
    opened.iter().filter(|opened| window.commit(&opened.proof).is_ok()).count()
}

fn nonce(seq: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&seq.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn benches(criterion: &mut Criterion) {
    let ciphers = [
        ("aes256gcm16", Cipher::AesGcm256),
        ("chacha20poly1305", Cipher::ChaCha20Poly1305),
        ("aes256-sha256", Cipher::AesCbc { key_bits: 256, integ: Integ::HmacSha256_128 }),
    ];
    let bytes = Throughput::Bytes(u64::from(PACKETS) * INNER as u64);
    for (name, cipher) in ciphers {
        let mut group = criterion.benchmark_group(name);
        group.throughput(bytes.clone());
        let params = params(cipher);
        let outbound = OutboundSa::new(&params, [7; 16]);
        let inbound = InboundSa::new(&params, 4096);
        if cipher == Cipher::AesGcm256 {
            bare(&mut group);
        }
        let mut packets = train(&outbound);
        group.bench_function("seal", |bencher| bencher.iter(|| seal(&outbound, &mut packets)));
        group.bench_function("open", |bencher| {
            let sealed = || {
                let mut packets = train(&outbound);
                seal(&outbound, &mut packets);
                packets
            };
            bencher.iter_batched_ref(
                sealed,
                |packets| assert_eq!(open(&inbound, packets), PACKETS as usize),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

/// ring alone, over the padded text of the same packets.
fn bare(group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[1; 32]).expect("32 octets"));
    let text = OutboundSa::new(&params(Cipher::AesGcm256), [0; 16]).layout().sealed_len(INNER) - 32;
    let mut packets = vec![vec![0x45; text + 16]; PACKETS as usize];
    let seal = |packets: &mut [Vec<u8>]| {
        for (seq, packet) in packets.iter_mut().enumerate() {
            let (text, icv) = packet.split_at_mut(text);
            let tag = key.seal_in_place_separate_tag(nonce(seq as u64), Aad::from([1; 8]), text).expect("a short text");
            icv.copy_from_slice(tag.as_ref());
        }
    };
    group.bench_function("bare seal", |bencher| bencher.iter(|| seal(&mut packets)));
    group.bench_function("bare open", |bencher| {
        let sealed = || {
            let mut packets = vec![vec![0x45; text + 16]; PACKETS as usize];
            seal(&mut packets);
            packets
        };
        let open = |packets: &mut Vec<Vec<u8>>| {
            for (seq, packet) in packets.iter_mut().enumerate() {
                key.open_in_place(nonce(seq as u64), Aad::from([1; 8]), packet).expect("a right tag");
            }
        };
        bencher.iter_batched_ref(sealed, open, BatchSize::SmallInput);
    });
}

criterion_group!(esp, benches);
criterion_main!(esp);
