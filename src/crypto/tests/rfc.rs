//! Known answers printed in RFCs: packets, MACs and key exchanges.
use super::{decrypt, encrypt, packet, unhex};
use crate::crypto::aes::Aes;
use crate::crypto::chains::{self, CHAINS, Chain, FEW};
use crate::crypto::cipher::{Cipher, PacketKey};
use crate::crypto::integ::Integ;
use crate::crypto::ke::Group;
use crate::crypto::mac::{Algorithm, MacKey};
use crate::crypto::prf::Prf;
use crate::crypto::secret::Secret;
use crate::wire::registry::KeId;

/// RFC 3602 section 4, all eight cases: key, IV, plaintext, ciphertext. 5 to 8 are the insides of ESP packets.
const RFC3602: [[&str; 4]; 8] = [
    [
        "06a9214036b8a15b512e03d534120006",
        "3dafba429d9eb430b422da802c9fac41",
        "53696e676c6520626c6f636b206d7367",
        "e353779c1079aeb82708942dbe77181a",
    ],
    [
        "c286696d887c9aa0611bbb3e2025a45a",
        "562e17996d093d28ddb3ba695a2e6f58",
        "000102030405060708090a0b0c0d0e0f 101112131415161718191a1b1c1d1e1f",
        "d296cd94c2cccf8a3a863028b5e1dc0a 7586602d253cfff91b8266bea6d61ab1",
    ],
    [
        "6c3ea0477630ce21a2ce334aa746c2cd",
        "c782dc4c098c66cbd9cd27d825682c81",
        "546869732069732061203438 2d62797465206d6573736167 65202865786163746c792033 2041455320626c6f636b7329",
        "d0a02b3836451753d493665d33f0e886 2dea54cdb293abc7506939276772f8d5 021c19216bad525c8579695d83ba2684",
    ],
    [
        "56e47a38c5598974bc46903dba290349",
        "8ce82eefbea0da3c44699ed7db51b7d9",
        "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf b0b1b2b3b4b5b6b7b8b9babbbcbdbebf
         c0c1c2c3c4c5c6c7c8c9cacbcccdcecf d0d1d2d3d4d5d6d7d8d9dadbdcdddedf",
        "c30e32ffedc0774e6aff6af0869f71aa 0f3af07a9a31a9c684db207eb0ef8e4e
         35907aa632c3ffdf868bb7b29d3d46ad 83ce9f9a102ee99d49a53e87f4c3da55",
    ],
    [
        "90d382b4 10eeba7a d938c46c ec1a82bf",
        "e96e8c08 ab465763 fd098d45 dd3ff893",
        "08000ebd a70a0000 8e9c083d b95b0700 08090a0b 0c0d0e0f 10111213 14151617
         18191a1b 1c1d1e1f 20212223 24252627 28292a2b 2c2d2e2f 30313233 34353637
         01020304 05060708 090a0b0c 0d0e0e01",
        "f663c25d 325c18c6 a9453e19 4e120849 a4870b66 cc6b9965 330013b4 898dc856
         a4699e52 3a55db08 0b59ec3a 8e4b7e52 775b07d1 db34ed9c 538ab50c 551b874a
         a269add0 47ad2d59 13ac19b7 cfbad4a6",
    ],
    [
        "90d382b4 10eeba7a d938c46c ec1a82bf",
        "69d08df7 d203329d b093fc49 24e5bd80",
        "0800b5e8 a80a0500 a69c083d 0b660e00 77777777 77777777 77777777 01020201",
        "f5199588 1ec4e0c4 488987ce 742e8109 689bb379 d2d750c0 d915dca3 46a89f75",
    ],
    [
        "01234567 89abcdef 01234567 89abcdef",
        "f4e76524 4f6407ad f13dc138 0f673f37",
        "45000054 09040000 4001f988 c0a87b03 c0a87bc8 08009f76 a90a0100 b49c083d
         02a20400 08090a0b 0c0d0e0f 10111213 14151617 18191a1b 1c1d1e1f 20212223
         24252627 28292a2b 2c2d2e2f 30313233 34353637 01020304 05060708 090a0a04",
        "773b5241 a4c44922 5e4f3ce5 ed611b0c 237ca96c f74a9301 3c1b0ea1 a0cf70f8
         e4ecaec7 8ac53aad 7a0f022b 859243c6 47752e94 a859352b 8a4d4d2d ecd136e5
         c177f132 ad3fbfb2 201ac990 4c74ee0a 109e0ca1 e4dfe9d5 a100b842 f1c22f0d",
    ],
    [
        "01234567 89abcdef 01234567 89abcdef",
        "85d47224 b5f3dd5d 2101d4ea 8dffab22",
        "45000044 090c0000 4001f990 c0a87b03 c0a87bc8 0800d63c aa0a0200 c69c083d
         a3de0300 ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff
         ffffffff 01020304 05060708 090a0a04",
        "15b92683 819596a8 047232cc 00f7048f e45318e1 1f8a0f62 ede3c3fc 61203bb5
         0f980a08 c9843fd3 a1b06d5c 07ff9639 b7eb7dfb 3512e5de 435e7207 ed971ef3
         d2726d9b 5ef6affc 6d17a0de cbb13892",
    ],
];

#[test]
fn rfc3602_aes_cbc() {
    for (case, [key, iv, plain, sealed]) in RFC3602.into_iter().enumerate() {
        let (aes, iv) = (Aes::new(&unhex(key)), &unhex(iv).try_into().unwrap());
        let mut text = unhex(plain);
        encrypt(&aes, iv, &mut text);
        assert_eq!(text, unhex(sealed), "case {}", case + 1);
        decrypt(&aes, iv, &mut text);
        assert_eq!(text, unhex(plain), "case {}", case + 1);
    }
}

/// Those that have a key in common, each several times, in one go: as many as fit, as few as are not filled up, and around.
#[test]
fn rfc3602_chains_side_by_side() {
    let counts = [FEW - 1, FEW, FEW + 1, 45, CHAINS - 1, CHAINS];
    for (key, count) in RFC3602.iter().flat_map(|[key, ..]| counts.map(|count| (*key, count))) {
        let cases: Vec<_> = RFC3602.into_iter().filter(|case| case[0] == key).cycle().take(count).collect();
        let mut texts: Vec<_> = cases.iter().map(|[_, _, plain, _]| unhex(plain)).collect();
        let ivs = cases.iter().map(|case| unhex(case[1]).try_into().unwrap());
        let mut chains: Vec<_> = ivs.zip(&mut texts).map(|(iv, text)| Chain::new(&iv, text)).collect();
        chains::encrypt(&Aes::new(&unhex(key)), &mut chains);
        for (text, [_, _, _, sealed]) in texts.iter().zip(&cases) {
            assert_eq!(text, &unhex(sealed), "{key}, {count}");
        }
    }
}

/// The same packets as they travel: with an ICV, which RFC 3602 leaves open and the test computes apart, by the PRF.
#[test]
fn rfc3602_packets_open_under_an_icv() {
    for (case, [key, iv, plain, sealed]) in RFC3602.into_iter().enumerate() {
        let (aad, integ_key, sent) = ([7; 8], [9; 32], unhex(&[iv, sealed].concat()));
        let icv = Prf::HmacSha256.mac(&integ_key, &[&aad, &sent, &[1, 2, 3, 4]]);
        let cipher = Cipher::AesCbc { key_bits: 128, integ: Integ::HmacSha256_128 };
        let key = PacketKey::new(cipher, &unhex(key), &integ_key, [0; 16]);
        let mut buf = [&sent, &icv.expose()[..16]].concat();
        let range = key.open(&aad, &mut buf, &[1, 2, 3, 4]).unwrap();
        assert_eq!(buf[range], unhex(plain), "case {}", case + 1);
    }
}

const RFC7634_KEYMAT: &str = "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f a0a1a2a3";
const RFC7634_IV: &str = "1011121314151617";

/// Appendix A, ESP: AAD is SPI and sequence number.
#[test]
fn rfc7634_esp() {
    rfc7634(
        "01020304 00000005",
        "45000054a6f200004001e778c6336405 c000020508005b7a3a080000553bec10 000736270 8090a0b0c0d0e0f10111213
         1415161718191a1b1c1d1e1f20212223 2425262728292a2b2c2d2e2f30313233 3435363701020204",
        "24039428b97f417e3c13753a4f05087b 67c352e6a7fab1b982d466ef407ae5c6 14ee8099d52844eb61aa95dfab4c02f7
         2aa71e7c4c4f64c9befe2facc638e8f3 cbec163fac469b502773f6fb94e664da 9165b82829f641e0",
        "76aaa8266b7fb0f7b11b369907e1ad43",
    );
}

/// Appendix B, IKE: AAD is everything in front of the IV (RFC 5282 section 5.1), and 13 octets of plaintext are no
/// multiple of anything.
#[test]
fn rfc7634_ike() {
    rfc7634(
        "c0c1c2c3c4c5c6c7d0d1d2d3d4d5d6d7 2e202500000000090000004529000029",
        "0000000c000040010000000a00",
        "610394701f8d017f7c12924889",
        "6b71bfe25236efd7cdc67066906315b2",
    );
}

fn rfc7634(aad: &str, plain: &str, sealed: &str, icv: &str) {
    let key = PacketKey::new(Cipher::ChaCha20Poly1305, &unhex(RFC7634_KEYMAT), &[], [0; 16]);
    let counter = u64::from_str_radix(RFC7634_IV, 16).unwrap();
    let mut buf = packet(key.cipher(), &unhex(plain));
    key.seal(counter, &unhex(aad), &mut buf, &[]);
    assert_eq!(buf, unhex(&[RFC7634_IV, sealed, icv].concat()));
    let range = key.open(&unhex(aad), &mut buf, &[]).unwrap();
    assert_eq!(buf[range], unhex(plain));
}

/// RFC 4868 section 2.7.2: hash, key, data, PRF output; the ICV is its first half. AUTH512-4 is printed with 80 octets
/// of key above "(64 bytes)"; the printed output belongs to the last 64 of them.
#[test]
fn rfc4868_hmac() {
    let counting = |from: u8, len: u8| (from..from + len).collect::<Vec<u8>>();
    let jefe = |times| b"Jefe".repeat(times);
    let [hi, what, dd, cd] = [&b"Hi There"[..], b"what do ya want for nothing?", &[0xdd; 50], &[0xcd; 50]];
    let cases = [
        (
            Integ::HmacSha256_128,
            [vec![0x0b; 32], jefe(8), vec![0xaa; 32], counting(1, 32)],
            [
                "198a607eb44bfbc69903a0f1cf2bbdc5 ba0aa3f3d9ae3c1c7a3b1696a0b68cf7",
                "167f928588c5cc2eef8e3093caa0e87c 9ff566a14794aa61648d81621a2a40c6",
                "cdcb1220d1ecccea91e53aba3092f962 e549fe6ce9ed7fdc43191fbde45c30b0",
                "372efcf9b40b35c2115b1346903d2ef4 2fced46f0846e7257bb156d3d7b30d3f",
            ],
        ),
        (
            Integ::HmacSha384_192,
            [vec![0x0b; 48], jefe(12), vec![0xaa; 48], [counting(1, 32), counting(10, 16)].concat()],
            [
                "b6a8d5636f5c6a7224f9977dcf7ee6c7 fb6d0c48cbdee9737a959796489bddbc 4c5df61d5b3297b4fb68dab9f1b582c2",
                "2c7353974f1842fd66d53c452ca42122 b28c0b594cfb184da86a368e9b8e16f5 349524ca4e82400cbde0686d403371c9",
                "809f439be00274321d4a538652164b53 554a508184a0c3160353e3428597003d 35914a18770f9443987054944b7c4b4a",
                "5b540085c6e6358096532b2493609ed1 cb298f774f87bb5c2ebf182c83cc7428 707fb92eab2536a5812258228bc96687",
            ],
        ),
        (
            Integ::HmacSha512_256,
            [vec![0x0b; 64], jefe(16), vec![0xaa; 64], counting(1, 64)],
            [
                "637edc6e01dce7e6742a99451aae82df 23da3e92439e590e43e761b33e910fb8
                 ac2878ebd5803f6f0b61dbce5e251ff8 789a4722c1be65aea45fd464e89f8f5b",
                "cb370917ae8a7ce28cfd1d8f4705d614 1c173b2a9362c15df235dfb251b15454
                 6aa334ae9fb9afc2184932d8695e397b fa0ffb93466cfcceaae38c833b7dba38",
                "2ee7acd783624ca9398710f3ee05ae41 b9f9b0510c87e49e586cc9bf961733d8
                 623c7b55cebefccf02d5581acc1c9d5f b1ff68a1de45509fbe4da9a433922655",
                "5e6688e5a3daec826ca32eaea224eff5 e700628947470e13ad01302561bab108
                 b8c48cbc6b807dcfbd850521a685babc 7eae4a2a2e660dc0e86b931d65503fd2",
            ],
        ),
    ];
    for (integ, keys, outputs) in cases {
        let prf = match integ.mac() {
            Algorithm::HmacSha256 => Prf::HmacSha256,
            Algorithm::HmacSha384 => Prf::HmacSha384,
            _ => Prf::HmacSha512,
        };
        for ((key, data), output) in keys.iter().zip([hi, what, dd, cd]).zip(outputs) {
            assert_eq!(key.len(), integ.key_len());
            assert_eq!(prf.mac(key, &[data]).expose(), unhex(output));
            assert!(integ_icv(integ, key, data) == unhex(output)[..integ.icv_len()]);
            assert_eq!(integ.icv_len() * 2, prf.len());
        }
    }
}

/// RFC 2202 section 3, case 5: the one with a truncated output.
#[test]
fn rfc2202_hmac_sha1_96() {
    let output = "4c1a03424b55e07fe7f27be1 d58bb9324a9a5a04";
    assert_eq!(Prf::HmacSha1.mac(&[0x0c; 20], &[b"Test With ", b"Truncation"]).expose(), unhex(output));
    assert_eq!(integ_icv(Integ::HmacSha1_96, &[0x0c; 20], b"Test With Truncation"), unhex(&output[..24]));
    assert_eq!((Integ::HmacSha1_96.key_len(), Integ::HmacSha1_96.icv_len()), (20, 12));
}

fn integ_icv(integ: Integ, key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut icv = vec![0; integ.icv_len()];
    MacKey::new(integ.mac(), key).mac(&[data], &mut icv);
    icv
}

/// RFC 7748 section 6.1.
#[test]
fn rfc7748_x25519() {
    agreement(
        KeId::CURVE25519,
        [
            "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
        ],
        [
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        ],
        "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
    );
}

/// RFC 8031 appendix A.
#[test]
fn rfc8031_x25519() {
    agreement(
        KeId::CURVE25519,
        [
            "75 1f b4 30 86 55 b4 76 b6 78 9b 73 25 f9 ea 8c dd d1 6a 58 53 3f f6 d9 e6 00 09 46 4a 5f 9d 94",
            "48 d5 dd d4 06 12 57 ba 16 6f a3 f9 bb db 74 f1 a4 e8 1c 08 93 84 fa 77 f7 90 70 9f 0d fb c7 66",
        ],
        [
            "0a 54 64 52 53 29 0d 60 dd ad d0 e0 30 ba cd 9e 55 01 ef dc 22 07 55 a1 e9 78 f1 b8 39 a0 56 88",
            "0b e7 c1 f5 aa d8 7d 7e 44 86 62 67 32 98 a4 43 47 8b 85 97 45 17 9e af 56 4c 79 c0 ef 6e ee 25",
        ],
        "c7 49 50 60 7a 12 32 7f 32 04 d9 4b 68 25 bf b0 68 b7 f8 31 9a 9e 37 08 ed 3d 43 ce 81 30 c9 50",
    );
}

/// RFC 5903 section 8.1.
#[test]
fn rfc5903_p256() {
    agreement(
        KeId::ECP_256,
        [
            "C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433",
            "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180
             5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
        ],
        [
            "C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53",
            "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63
             56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
        ],
        "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
    );
}

/// RFC 5903 section 8.2.
#[test]
fn rfc5903_p384() {
    agreement(
        KeId::ECP_384,
        [
            "099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194",
            "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA
             9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C",
        ],
        [
            "41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC",
            "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571
             DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C",
        ],
        "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746",
    );
}

fn agreement(id: KeId, ours: [&str; 2], theirs: [&str; 2], shared: &str) {
    let group = Group::from_id(id).unwrap();
    for ([private, public], [_, peer]) in [(ours, theirs), (theirs, ours)] {
        let private = Secret::new(unhex(private));
        assert_eq!(group.public(&private), unhex(public));
        assert_eq!(group.agree(&private, &unhex(peer)).unwrap().expose(), unhex(shared));
    }
}
