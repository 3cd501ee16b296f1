//! Seals inner packets with known keys and prints them as JSON lines, for witnesses that nobody here wrote (`witness.py`).
use sandhog::crypto::cipher::Cipher;
use sandhog::crypto::integ::Integ;
use sandhog::crypto::secret::Secret;
use sandhog::esp::SaParams;
use sandhog::esp::outbound::OutboundSa;

/// Octets that look random and are the same each time.
fn octets(seed: u32, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    (0..len)
        .map(|_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        })
        .collect()
}

/// An IPv4 UDP packet from 10.1.0.1 to 10.2.0.1 with a payload of this many octets; no UDP checksum.
fn inner(len: usize) -> Vec<u8> {
    let total = (28 + len) as u16;
    let mut p = vec![0x45, 0, (total >> 8) as u8, total as u8, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
    let sum = sandhog::wire::ip::checksum_fold(sandhog::wire::ip::checksum_add(0, &p));
    p[10..12].copy_from_slice(&(!sum).to_be_bytes());
    p.extend([0x1b, 0x58, 0x1b, 0x59, ((8 + len) >> 8) as u8, (8 + len) as u8, 0, 0]);
    p.extend(octets(len as u32, len));
    p
}

fn main() {
    let cbc = |key_bits, integ| Cipher::AesCbc { key_bits, integ };
    let short = |key_bits, icv_len| ("AES-GCM", "NULL", Cipher::AesGcmShort { key_bits, icv_len });
    let ccm = |key_bits, icv_len| ("AES-CCM", "NULL", Cipher::AesCcm { key_bits, icv_len });
    let gmac = |key_bits| ("AES-GMAC", "NULL", Cipher::AesGmac { key_bits });
    let ciphers = [
        ("AES-GCM", "NULL", Cipher::AesGcm128),
        ("AES-GCM", "NULL", Cipher::AesGcm192),
        ("AES-GCM", "NULL", Cipher::AesGcm256),
        ("CHACHA20-POLY1305", "NULL", Cipher::ChaCha20Poly1305),
        ("AES-CBC", "HMAC-SHA1-96", cbc(128, Integ::HmacSha1_96)),
        ("AES-CBC", "SHA2-256-128", cbc(256, Integ::HmacSha256_128)),
        ("AES-CBC", "SHA2-384-192", cbc(192, Integ::HmacSha384_192)),
        ("AES-CBC", "SHA2-512-256", cbc(256, Integ::HmacSha512_256)),
        ("AES-CBC", "AES-CMAC-96", cbc(128, Integ::AesCmac96)),
        ("AES-CBC", "AES-XCBC-96", cbc(256, Integ::AesXcbc96)),
        short(128, 8),
        short(256, 12),
        ccm(128, 8),
        ccm(192, 12),
        ccm(256, 16),
        gmac(128),
        gmac(192),
        gmac(256),
    ];
    for (i, (crypt, auth, cipher)) in ciphers.into_iter().enumerate() {
        for esn in [false, true] {
            let params = SaParams {
                spi: 0xc000_0000 + 16 * i as u32 + u32::from(esn),
                cipher,
                encr: Secret::new(octets(i as u32 + 1, cipher.encr_key_len())),
                integ: Secret::new(octets(i as u32 + 100, cipher.integ_key_len())),
                esn,
            };
            let first = if esn { 0x2_ffff_fffe } else { 1 };
            let sa = OutboundSa::resume(&params, [i as u8 + 7; 16], first);
            for len in [0, 1, 2, 3, 15, 16, 17, 64, 1000, 1400] {
                let inner = inner(len);
                let seq = sa.reserve(1).expect("numbers left").start;
                let mut packet = vec![0; sa.sealed_len(inner.len())];
                packet[sa.head()..sa.head() + inner.len()].copy_from_slice(&inner);
                sa.seal(seq, &mut packet, inner.len(), 4);
                println!(
                    r#"{{"crypt":"{crypt}","auth":"{auth}","icv":{},"esn":{esn},"spi":{},"seq":{seq},"encr":"{}","integ":"{}","inner":"{}","packet":"{}"}}"#,
                    cipher.icv_len(),
                    params.spi,
                    hex::encode(params.encr.expose()),
                    hex::encode(params.integ.expose()),
                    hex::encode(&inner),
                    hex::encode(&packet)
                );
            }
        }
    }
}
