//! Packets that others published: RFC 3602 section 4 (cases 5 to 8), RFC 7634 appendix A, and OpenDataPlane's, which are not part of
//! this project and are read from where SANDHOG_VECTORS says.
use super::super::drop::Drop;
use super::super::inbound::{InboundSa, tunnel_payload};
use super::super::layout::Layout;
use super::super::outbound::OutboundSa;
use super::{Cipher, SaParams};
use crate::crypto::cipher::PacketKey;
use crate::crypto::integ::Integ;
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
use serde_json::Value;

const HMAC_KEY: [u8; 32] = [0x0b; 32];

/// A published ESP packet and what is in it.
struct Vector {
    name: String,
    cipher: Cipher,
    encr: Vec<u8>,
    integ: Vec<u8>,
    /// SPI to ICV.
    esp: Vec<u8>,
    payload: Vec<u8>,
    next_header: u8,
}

impl Vector {
    fn params(&self) -> SaParams {
        let word = |at: usize| u32::from_be_bytes(self.esp[at..at + 4].try_into().unwrap());
        let (encr, integ) = (Secret::new(self.encr.clone()), Secret::new(self.integ.clone()));
        SaParams { spi: word(0), cipher: self.cipher, encr, integ, esn: false }
    }

    fn seq(&self) -> u64 {
        u32::from_be_bytes(self.esp[4..8].try_into().unwrap()).into()
    }

    fn iv(&self) -> &[u8] {
        &self.esp[8..8 + self.cipher.iv_len()]
    }

    fn opens(&self) {
        let sa = InboundSa::new(&self.params(), 64);
        let mut packet = self.esp.clone();
        if self.seq() != 0 {
            assert_eq!(sa.precheck(&packet), Ok(self.seq()), "{}", self.name);
        }
        let opened = sa.open(self.seq(), &mut packet).unwrap_or_else(|reason| panic!("{}: {reason:?}", self.name));
        let payload = &packet[opened.payload.clone()];
        assert_eq!(
            (hex::encode(payload), opened.next_header),
            (hex::encode(&self.payload), self.next_header),
            "{}",
            self.name
        );
        self.opens_beside_another();
        let inner = tunnel_payload(&opened, &packet);
        match self.next_header {
            4 | 41 => assert_eq!(packet[inner.unwrap().range], self.payload, "{}", self.name),
            59 => assert_eq!(inner, Err(Drop::Dummy)),
            _ => assert_eq!(inner, Err(Drop::BadNextHeader)),
        }
    }

    /// The packet between two damaged ones, in one run.
    fn opens_beside_another(&self) {
        let sa = InboundSa::new(&self.params(), 64);
        let mut run = [self.esp.clone(), self.esp.clone(), self.esp.clone()];
        for damaged in [0, 2] {
            *run[damaged].last_mut().unwrap() ^= 1;
        }
        let mut payloads = [const { None }; 3];
        sa.open_run(run.iter_mut().map(Vec::as_mut_slice).enumerate(), |i, opened| {
            payloads[i] = Some(opened.map(|opened| opened.payload));
        });
        // Number 0 is old before anything else is looked at.
        let wrong = if self.seq() == 0 { Drop::TooOld } else { Drop::BadIcv };
        let [before, payload, behind] = payloads.map(Option::unwrap);
        assert_eq!((before, behind), (Err(wrong), Err(wrong)), "{}", self.name);
        if self.seq() != 0 {
            assert_eq!(hex::encode(&run[1][payload.unwrap()]), hex::encode(&self.payload), "{}", self.name);
        }
    }

    /// Sealing gives the same octets. The counter of an AEAD is the published IV. A CBC IV is ours alone, so the first block of the
    /// plaintext takes up the difference between the IVs: the ciphertext must be the published one, and the ICV that of our IV.
    fn seals(&self) {
        let sa = OutboundSa::new(&self.params(), [3; 16]);
        let seal = |counter: u64, inner: &[u8]| {
            let mut packet = vec![0; sa.sealed_len(inner.len())];
            packet[sa.head()..sa.head() + inner.len()].copy_from_slice(inner);
            sa.seal_with(counter, self.seq(), &mut packet, inner.len(), self.next_header);
            packet
        };
        if self.cipher.is_aead() {
            let counter = u64::from_be_bytes(self.iv().try_into().unwrap());
            assert_eq!(hex::encode(seal(counter, &self.payload)), hex::encode(&self.esp), "{}", self.name);
            return;
        }
        let iv = seal(self.seq(), &self.payload)[8..24].to_vec();
        let mut inner = self.payload.clone();
        for (octet, (ours, theirs)) in inner.iter_mut().zip(iv.iter().zip(self.iv())) {
            *octet ^= ours ^ theirs;
        }
        let packet = seal(self.seq(), &inner);
        let mut room = vec![0; packet.len()];
        room[sa.head()..sa.head() + inner.len()].copy_from_slice(&inner);
        let mut run = [room.clone(), room.clone(), room];
        let room = run.iter_mut().map(|room| (&mut room[..], inner.len()));
        sa.seal_run(self.seq(), room, self.next_header);
        assert_eq!(hex::encode(&run[0]), hex::encode(&packet), "{}: with others", self.name);
        let text = Layout::of(self.cipher).head()..packet.len() - self.cipher.icv_len();
        assert_eq!(hex::encode(&packet[text.clone()]), hex::encode(&self.esp[text.clone()]), "{}", self.name);
        let expected = self.icv(&packet[..text.end]);
        assert_eq!(hex::encode(&packet[text.end..]), hex::encode(expected), "{}", self.name);
    }

    fn icv(&self, covered: &[u8]) -> Vec<u8> {
        let Cipher::AesCbc { integ, .. } = self.cipher else { panic!("an AEAD") };
        icv(integ, &self.integ, covered)
    }
}

/// The ICV by the PRF of the same hash, whose own vectors are tested elsewhere.
fn icv(integ: Integ, key: &[u8], covered: &[u8]) -> Vec<u8> {
    let prf = match integ {
        Integ::HmacSha1_96 => Prf::HmacSha1,
        Integ::HmacSha256_128 => Prf::HmacSha256,
        Integ::HmacSha384_192 => Prf::HmacSha384,
        Integ::HmacSha512_256 => Prf::HmacSha512,
        Integ::AesCmac96 => Prf::AesCmac,
        Integ::AesXcbc96 => Prf::AesXcbc,
    };
    prf.mac(key, &[covered]).expose()[..integ.icv_len()].to_vec()
}

fn bytes(hex: &str) -> Vec<u8> {
    hex::decode(hex.split_whitespace().collect::<String>()).unwrap()
}

/// RFC 3602's packets have no ICV; one of HMAC-SHA2-256-128 is put behind each.
fn rfc3602(case: u8, key: &str, esp: &str, payload: &str, next_header: u8) -> Vector {
    let mut esp = bytes(esp);
    let tag = icv(Integ::HmacSha256_128, &HMAC_KEY, &esp);
    esp.extend(tag);
    Vector {
        name: format!("RFC 3602 case {case}"),
        cipher: Cipher::AesCbc { key_bits: 128, integ: Integ::HmacSha256_128 },
        encr: bytes(key),
        integ: HMAC_KEY.to_vec(),
        esp,
        payload: bytes(payload),
        next_header,
    }
}

fn rfc_vectors() -> Vec<Vector> {
    let key_56 = "90d382b4 10eeba7a d938c46c ec1a82bf";
    let key_78 = "01234567 89abcdef 01234567 89abcdef";
    vec![
        rfc3602(
            5,
            key_56,
            "00004321 00000001 e96e8c08 ab465763 fd098d45 dd3ff893
             f663c25d 325c18c6 a9453e19 4e120849 a4870b66 cc6b9965 330013b4 898dc856
             a4699e52 3a55db08 0b59ec3a 8e4b7e52 775b07d1 db34ed9c 538ab50c 551b874a
             a269add0 47ad2d59 13ac19b7 cfbad4a6",
            "08000ebd a70a0000 8e9c083d b95b0700 08090a0b 0c0d0e0f 10111213 14151617
             18191a1b 1c1d1e1f 20212223 24252627 28292a2b 2c2d2e2f 30313233 34353637",
            1,
        ),
        rfc3602(
            6,
            key_56,
            "00004321 00000008 69d08df7 d203329d b093fc49 24e5bd80
             f5199588 1ec4e0c4 488987ce 742e8109 689bb379 d2d750c0 d915dca3 46a89f75",
            "0800b5e8 a80a0500 a69c083d 0b660e00 77777777 77777777 77777777",
            1,
        ),
        rfc3602(
            7,
            key_78,
            "00008765 00000002 f4e76524 4f6407ad f13dc138 0f673f37
             773b5241 a4c44922 5e4f3ce5 ed611b0c 237ca96c f74a9301 3c1b0ea1 a0cf70f8
             e4ecaec7 8ac53aad 7a0f022b 859243c6 47752e94 a859352b 8a4d4d2d ecd136e5
             c177f132 ad3fbfb2 201ac990 4c74ee0a 109e0ca1 e4dfe9d5 a100b842 f1c22f0d",
            "45000054 09040000 4001f988 c0a87b03 c0a87bc8 08009f76 a90a0100 b49c083d
             02a20400 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f 20212223
             24252627 28292a2b 2c2d2e2f 30313233 34353637",
            4,
        ),
        rfc3602(
            8,
            key_78,
            "00008765 00000005 85d47224 b5f3dd5d 2101d4ea 8dffab22
             15b92683 819596a8 047232cc 00f7048f e45318e1 1f8a0f62 ede3c3fc 61203bb5
             0f980a08 c9843fd3 a1b06d5c 07ff9639 b7eb7dfb 3512e5de 435e7207 ed971ef3
             d2726d9b 5ef6affc 6d17a0de cbb13892",
            "45000044 090c0000 4001f990 c0a87b03 c0a87bc8 0800d63c aa0a0200 c69c083d
             a3de0300 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff
             ffffffff",
            4,
        ),
        Vector {
            name: "RFC 7634 appendix A".into(),
            cipher: Cipher::ChaCha20Poly1305,
            encr: bytes(
                "80818283 84858687 88898a8b 8c8d8e8f 90919293 94959697 98999a9b 9c9d9e9f
                 a0a1a2a3",
            ),
            integ: Vec::new(),
            esp: bytes(
                "01020304 00000005 10111213 14151617
                 24039428 b97f417e 3c13753a 4f05087b 67c352e6 a7fab1b9 82d466ef 407ae5c6
                 14ee8099 d52844eb 61aa95df ab4c02f7 2aa71e7c 4c4f64c9 befe2fac c638e8f3
                 cbec163f ac469b50 2773f6fb 94e664da 9165b828 29f641e0
                 76aaa826 6b7fb0f7 b11b3699 07e1ad43",
            ),
            payload: bytes(
                "45000054 a6f20000 4001e778 c6336405 c0000205 08005b7a 3a080000 553bec10
                 00073627 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f 20212223
                 24252627 28292a2b 2c2d2e2f 30313233 34353637",
            ),
            next_header: 4,
        },
    ]
}

#[test]
fn packets_of_the_rfcs() {
    for vector in rfc_vectors() {
        vector.opens();
        vector.seals();
    }
}

#[test]
fn packets_of_opendataplane() {
    let Some(folder) = std::env::var_os("SANDHOG_VECTORS") else {
        eprintln!("SKIPPED packets_of_opendataplane: SANDHOG_VECTORS is not set");
        return;
    };
    let path = std::path::Path::new(&folder).join("odp/esp_vectors.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    let vectors: Vec<Vector> =
        file["inbound_cases"].as_array().unwrap().iter().filter_map(|case| odp(&file, case)).collect();
    for vector in &vectors {
        vector.opens();
        vector.seals();
    }
    let names: Vec<&str> = vectors.iter().map(|vector| vector.name.as_str()).collect();
    assert_eq!(names.len(), 10, "4 of CBC with HMAC, 5 of GCM, 1 of ChaCha20: {names:?}");
}

/// One of OpenDataPlane's inbound cases, if it is ESP with a suite that we have.
fn odp(file: &Value, case: &Value) -> Option<Vector> {
    let [packet] = case["pkt_in"].as_array()?.as_slice() else { return None };
    let [result] = case["pkt_res"].as_array()?.as_slice() else { return None };
    let arguments: Vec<&str> = case["sa_params"][0].as_str()?.split(", ").collect();
    let [_, _, "ODP_IPSEC_ESP", _, _, cipher, cipher_key, auth, auth_key, salt, _] = arguments[..] else { return None };
    let key = |name: &str| bytes(file["keys"][name.trim_start_matches('&')].as_str().unwrap_or_default());
    let encr = [key(cipher_key), key(salt)].concat();
    let integ = match auth {
        "ODP_AUTH_ALG_SHA1_HMAC" => Some(Integ::HmacSha1_96),
        "ODP_AUTH_ALG_SHA256_HMAC" => Some(Integ::HmacSha256_128),
        "ODP_AUTH_ALG_SHA384_HMAC" => Some(Integ::HmacSha384_192),
        "ODP_AUTH_ALG_SHA512_HMAC" => Some(Integ::HmacSha512_256),
        _ => None,
    };
    let cipher = match (cipher, encr.len(), integ) {
        ("ODP_CIPHER_ALG_AES_CBC", len, Some(integ)) => Cipher::AesCbc { key_bits: len as u16 * 8, integ },
        ("ODP_CIPHER_ALG_AES_GCM", 20, None) => Cipher::AesGcm128,
        ("ODP_CIPHER_ALG_AES_GCM", 36, None) => Cipher::AesGcm256,
        ("ODP_CIPHER_ALG_CHACHA20_POLY1305", 36, None) => Cipher::ChaCha20Poly1305,
        _ => return None,
    };
    let ip = |name: &Value| {
        let packet = &file["packets"][name.as_str().unwrap()];
        let offset: usize = packet["l3_offset"].as_str().unwrap().parse().unwrap();
        bytes(packet["data"].as_str().unwrap())[offset..].to_vec()
    };
    // Outer IPv4 headers without options; in transport mode the result has one, too, with the protocol that was the next header.
    let (outer, inner) = (ip(packet), ip(result));
    assert_eq!((outer[0], outer[9]), (0x45, 50));
    let tunnel = arguments[4] != "NULL";
    let (payload, next_header) = match inner.first().map(|first| first >> 4) {
        None => (Vec::new(), 59),
        Some(4) if tunnel => (inner, 4),
        Some(6) if tunnel => (inner, 41),
        _ => (inner[20..].to_vec(), inner[9]),
    };
    let name = case["name"].as_str()?.to_owned();
    Some(Vector { name, cipher, encr, integ: key(auth_key), esp: outer[20..].to_vec(), payload, next_header })
}

/// No published packet has extended numbers, so the octets that are covered are written out here: RFC 4106 section 5 (figure 3) for an
/// AEAD, RFC 4303 section 2.2.1 for a separate MAC.
#[test]
fn extended_numbers_are_covered_where_the_rfcs_say() {
    const SEQ: u64 = 0x0102_0304_0506_0708;
    for cipher in Cipher::all() {
        let params = super::params(cipher, true);
        let (outbound, _) = super::pair(&params, 1, 64);
        let packet = super::sealed(&outbound, SEQ, b"payload", 4);
        assert_eq!(packet[..8], bytes("c1a2b3c4 05060708"), "only the low half travels");
        let (text, tag) = packet.split_at(packet.len() - cipher.icv_len());
        if let Cipher::AesCbc { integ, .. } = cipher {
            let covered = [text, &bytes("01020304")].concat();
            assert_eq!(tag, icv(integ, params.integ.expose(), &covered), "{cipher:?}");
        } else {
            assert_eq!(packet[8..16], bytes("01020304 05060708"), "the IV is the whole number");
            let key = PacketKey::new(cipher, params.encr.expose(), &[], [0; 16]);
            let plain = key.open(&bytes("c1a2b3c4 01020304 05060708"), &mut packet[8..].to_vec(), &[]);
            assert!(plain.is_ok(), "{cipher:?}");
        }
    }
}
