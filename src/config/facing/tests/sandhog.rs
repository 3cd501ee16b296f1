//! Our own TOML is read by our own reader.
use super::*;
use crate::wire::keyword;

#[test]
fn a_mirror_of_the_mirror_is_the_first() {
    for sample in SAMPLES {
        for ids in
            [None, Some(["left.example", "keyid:right one"]), Some(["CN=a \\\"b\\\", O=c", "user@right.example"])]
        {
            let ids = ids.map(|ids| ids.map(|id| id.replace("\\\"", "'")));
            let ids = ids.as_ref().map(|[a, b]| [a.as_str(), b.as_str()]);
            let ours = config_of(sample, ids);
            let facing = Facing::of(&ours, "c").unwrap();
            let text = text(&facing, "sandhog", Some(SECRET)).unwrap();
            let theirs = parse(&text).unwrap_or_else(|errors| panic!("{}: {errors}\n{text}", sample.name));
            let back = Facing::of(&theirs, "c").unwrap();
            assert_eq!((&back.us, &back.peer), (&facing.peer, &facing.us), "{text}");
            let words = |all: &[Proposal]| all.iter().map(keyword::proposal).collect::<Vec<_>>();
            assert_eq!(words(&back.proposals), words(&facing.proposals));
            assert_eq!((back.dpd, back.encap, back.ports), (facing.dpd, facing.encap, facing.ports));
            assert_eq!(back.children.len(), facing.children.len());
            for (child, other) in back.children.iter().zip(&facing.children) {
                assert_eq!((&child.our_ts, &child.peer_ts), (&other.peer_ts, &other.our_ts));
                assert_eq!(words(&child.proposals), words(&other.proposals));
            }
            assert_eq!(Known::of(&theirs, &back).psk.unwrap().expose(), SECRET.as_bytes());
            let inner = |f: &Facing| f.inner.iter().map(|i| (Some(i.ours), i.peers)).collect::<Vec<_>>();
            let turned: Vec<_> = inner(&facing).into_iter().map(|(ours, peers)| (peers, ours)).collect();
            assert_eq!(inner(&back), turned);
        }
    }
}

#[test]
fn secrets_of_any_octets_come_back() {
    for secret in [b"0x00".to_vec(), b"0sx".to_vec(), b"a \"b\\c' ${x}".to_vec(), (0..=255).collect()] {
        let facing = facing(sample("cbc"));
        let known = Known { psk: Some(Secret::new(secret.clone())), ppk: None };
        let written = facing.render(&super::super::sandhog::FORMAT, Some(&known)).unwrap();
        let theirs = parse(std::str::from_utf8(written.octets()).unwrap()).unwrap();
        let found = Known::of(&theirs, &Facing::of(&theirs, "c").unwrap());
        assert_eq!(found.psk.unwrap().expose(), secret);
    }
}
