use super::super::path::{Encap, Path, inner_mtu, outer_len};
use crate::crypto::integ::Integ;
use crate::esp::Cipher;

const fn cbc(integ: Integ) -> Cipher {
    Cipher::AesCbc { key_bits: 256, integ }
}

/// What AWS tells its customers for a path of 1500 octets over IPv4.
#[test]
fn the_table_of_aws() {
    let table = [
        (Cipher::AesGcm256, Encap::Raw, 1446),
        (Cipher::AesGcm256, Encap::Udp, 1438),
        (cbc(Integ::HmacSha1_96), Encap::Raw, 1438),
        (cbc(Integ::HmacSha256_128), Encap::Raw, 1438),
        (cbc(Integ::HmacSha1_96), Encap::Udp, 1422),
        (cbc(Integ::HmacSha256_128), Encap::Udp, 1422),
        (cbc(Integ::HmacSha512_256), Encap::Udp, 1406),
    ];
    for (cipher, encap, expected) in table {
        assert_eq!(inner_mtu(1500, false, encap, cipher), expected, "{cipher:?} {encap:?}");
    }
}

/// By hand: outer header 40, UDP 8, ESP 8, IV, ICV; what remains, rounded down to blocks, minus 2.
#[test]
fn over_ipv6_and_for_other_paths() {
    let table = [
        (1500, true, Encap::Raw, Cipher::AesGcm128, 1426), // 1500 - 40 - 8 - 8 - 16 = 1428
        (1500, true, Encap::Udp, Cipher::ChaCha20Poly1305, 1418), // 1420
        (1500, true, Encap::Udp, cbc(Integ::HmacSha384_192), 1390), // 1500 - 48 - 8 - 16 - 24 = 1404, 1392
        (1280, true, Encap::Udp, Cipher::AesGcm256, 1198), // 1200
        (1492, false, Encap::Udp, Cipher::AesGcm256, 1430), // 1432
        (1499, false, Encap::Raw, Cipher::AesGcm256, 1442), // 1447, 1444
        (9000, false, Encap::Raw, cbc(Integ::HmacSha512_256), 8910), // 8924, 8912
        (65_535, false, Encap::Udp, Cipher::AesGcm256, 65_470), // 65475, 65472
    ];
    for (mtu, ipv6, encap, cipher, expected) in table {
        assert_eq!(inner_mtu(mtu, ipv6, encap, cipher), expected, "{mtu} {cipher:?} {encap:?}");
    }
}

#[test]
fn the_outer_packet_fits_and_one_octet_more_does_not() {
    let ciphers = [Cipher::AesGcm192, Cipher::ChaCha20Poly1305, cbc(Integ::HmacSha1_96), cbc(Integ::HmacSha512_256)];
    for cipher in ciphers {
        for encap in [Encap::Raw, Encap::Udp] {
            for ipv6 in [false, true] {
                for mtu in (0..=2000).chain(65_500..=65_535) {
                    let inner = inner_mtu(mtu, ipv6, encap, cipher);
                    let outer = |inner: u16| outer_len(inner.into(), ipv6, encap, cipher);
                    assert!(outer(inner + 1) > usize::from(mtu), "{mtu} {cipher:?}");
                    assert!(inner == 0 || outer(inner) <= usize::from(mtu), "{mtu} {cipher:?}");
                }
            }
        }
    }
    assert_eq!(outer_len(1438, false, Encap::Udp, Cipher::AesGcm256), 1500);
    assert_eq!(outer_len(0, true, Encap::Raw, Cipher::AesGcm256), 40 + 8 + 8 + 4 + 16);
}

#[test]
fn a_path_knows_its_family_and_encapsulation() {
    let (local, remote) = ("[2001:db8::1]:4500".parse().unwrap(), "[2001:db8::2]:4500".parse().unwrap());
    let path = Path { local, remote, encap: Encap::Udp, may_move: false, mtu: 1280 };
    assert_eq!(path.inner_mtu(Cipher::AesGcm256), 1198);
}
