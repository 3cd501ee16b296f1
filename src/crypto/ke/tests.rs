use super::*;
use crate::crypto::rng::SeededRng;

const GROUPS: [KeId; 8] = [
    KeId::CURVE25519,
    KeId::ECP_256,
    KeId::ECP_384,
    KeId::MODP_2048,
    KeId::MODP_3072,
    KeId::MODP_4096,
    KeId::MODP_1024,
    KeId::MODP_1536,
];

fn groups() -> impl Iterator<Item = Group> {
    GROUPS.into_iter().map(|id| Group::from_id(id).expect("a group that we have"))
}

#[test]
fn two_parties_agree_in_every_group() {
    for group in groups() {
        let rng = &mut SeededRng::new(1);
        let (a, b) = (group.private(rng), group.private(rng));
        let (ga, gb) = (group.public(&a), group.public(&b));
        assert_eq!((ga.len(), gb.len()), (group.public_len(), group.public_len()));
        assert_ne!(ga, gb);
        group.check(&ga).unwrap();
        let (ours, theirs) = (group.agree(&a, &gb).unwrap(), group.agree(&b, &ga).unwrap());
        assert_eq!(ours.expose(), theirs.expose(), "{group:?}");
        let ecp = matches!(group.id(), KeId::ECP_256 | KeId::ECP_384);
        assert_eq!(ours.len(), if ecp { ga.len() / 2 } else { ga.len() });
    }
}
