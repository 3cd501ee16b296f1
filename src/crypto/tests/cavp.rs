//! NIST's CAVS file for the IKEv2 key derivation (public domain): 900 cases of five values each.
use crate::crypto::prf::Prf;
use flate2::read::GzDecoder;
use std::collections::HashMap;
use std::io::Read;

const FILE: &[u8] = include_bytes!("../testdata/ikev2.fax.gz");

#[test]
fn all_of_nists_ikev2_derivations() {
    let mut text = String::new();
    GzDecoder::new(FILE).read_to_string(&mut text).unwrap();
    let (mut prf, mut lengths) = (Prf::HmacSha1, HashMap::new());
    let (mut cases, mut by_prf) = (0, HashMap::<Prf, usize>::new());
    for block in text.split("\n\n").map(|block| block.trim().replace('\r', "")) {
        let mut values = HashMap::new();
        for line in block.lines() {
            if let Some((name, value)) = line.strip_prefix('[').and_then(|l| l.trim_end_matches(']').split_once(" = "))
            {
                lengths.insert(name.to_owned(), value.parse::<usize>().unwrap() / 8);
            } else if let Some(hash) = line.strip_prefix('[') {
                prf = by_name(hash.trim_end_matches(']'));
            } else if let Some((name, value)) = line.split_once(" = ").filter(|(name, _)| *name != "COUNT") {
                values.insert(name.to_owned(), hex::decode(value).unwrap());
            }
        }
        if !values.is_empty() {
            derive(prf, &lengths, &values);
            *by_prf.entry(prf).or_default() += 1;
            cases += 1;
        }
    }
    assert_eq!(cases, 900);
    assert_eq!(by_prf.len(), 4, "{by_prf:?}");
}

fn by_name(hash: &str) -> Prf {
    match hash {
        "SHA-1" => Prf::HmacSha1,
        "SHA-256" => Prf::HmacSha256,
        "SHA-384" => Prf::HmacSha384,
        "SHA-512" => Prf::HmacSha512,
        other => panic!("{other}"),
    }
}

/// RFC 7296 sections 2.14, 2.17 and 2.18; SK_d is the beginning of DKM.
fn derive(prf: Prf, lengths: &HashMap<String, usize>, values: &HashMap<String, Vec<u8>>) {
    let value = |name: &str| values[name].as_slice();
    let (ni, nr, g_ir, g_ir_new) = (value("Ni"), value("Nr"), value("g^ir"), value("g^ir (new)"));
    assert_eq!((ni.len(), nr.len()), (lengths["Ni length"], lengths["Nr length"]));
    let (dkm_len, child_len) = (lengths["DKM length"], lengths["Child SA DKM length"]);

    let skeyseed = prf.mac(&[ni, nr].concat(), &[g_ir]);
    assert_eq!(skeyseed.expose(), value("SKEYSEED"));
    let dkm = prf.plus(skeyseed.expose(), &[ni, nr, value("SPIi"), value("SPIr")], dkm_len);
    assert_eq!(dkm.expose(), value("DKM"));
    let sk_d = &dkm.expose()[..prf.len()];
    assert_eq!(prf.plus(sk_d, &[ni, nr], child_len).expose(), value("DKM(Child SA)"));
    assert_eq!(prf.plus(sk_d, &[g_ir_new, ni, nr], child_len).expose(), value("DKM(Child SA D-H)"));
    assert_eq!(prf.mac(sk_d, &[g_ir_new, ni, nr]).expose(), value("SKEYSEED(Rekey)"));
}
