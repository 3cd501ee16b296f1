//! Choosing from an offer and checking an answer: pure functions (RFC 7296 sections 2.7, 2.9 and 3.3.6).
//!
//! A responder follows the *initiator's* order, restricted to its own policy: whatever both allow is good enough for us, and the initiator
//! put its public value where its preference is, so this order needs the fewest INVALID_KE_PAYLOAD rounds. Within a proposal the group of
//! the KE payload is taken when both allow it.
use crate::crypto::cipher::Cipher;
use crate::crypto::integ::Integ;
use crate::crypto::ke::Group;
use crate::crypto::prf::Prf;
use crate::wire::keyword;
use crate::wire::payload::{Proposal, Transform};
use crate::wire::registry::{EncrId, EsnId, IntegId, KeId, PrfId, ProtocolId, TransformType};

/// What an IKE SA runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IkeSuite {
    pub cipher: Cipher,
    pub prf: Prf,
    pub group: Group,
}
/// What a pair of ESP SAs runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EspSuite {
    pub cipher: Cipher,
    pub esn: bool,
    /// The group of a key exchange of its own (PFS).
    pub group: Option<Group>,
}
impl IkeSuite {
    /// Of a proposal with one transform per type; `None` if we cannot run it.
    pub(super) fn of(p: &Proposal) -> Option<Self> {
        let prf = Prf::from_id(PrfId(one(p, TransformType::PRF)?.id))?;
        let group = Group::from_id(KeId(one(p, TransformType::KE)?.id))?;
        let cipher = cipher(p).filter(|cipher| cipher.encrypts())?;
        Some(Self { cipher, prf, group })
    }
}
impl EspSuite {
    /// Of a proposal with one transform per type; `None` if we cannot run it.
    pub(super) fn of(p: &Proposal) -> Option<Self> {
        let esn = match one(p, TransformType::ESN).map_or(EsnId::NO, |t| EsnId(t.id)) {
            EsnId::NO => false,
            EsnId::YES => true,
            _ => return None,
        };
        let group = match one(p, TransformType::KE).map_or(KeId::NONE, |t| KeId(t.id)) {
            KeId::NONE => None,
            id => Some(Group::from_id(id)?),
        };
        Some(Self { cipher: cipher(p)?, esn, group })
    }
}
fn one(p: &Proposal, kind: TransformType) -> Option<&Transform> {
    keyword::of(p, kind).next()
}
fn cipher(p: &Proposal) -> Option<Cipher> {
    let encr = one(p, TransformType::ENCR)?;
    let integ = match one(p, TransformType::INTEG).map_or(IntegId::NONE, |t| IntegId(t.id)) {
        IntegId::NONE => None,
        id => Some(Integ::from_id(id)?),
    };
    Cipher::new(EncrId(encr.id), encr.key_bits, integ)
}

/// Numbers proposals from 1 and gives them our SPI, as they travel.
pub(super) fn numbered(ours: &[Proposal], spi: &[u8]) -> Vec<Proposal> {
    (1u8..=255).zip(ours).map(|(number, p)| Proposal { number, spi: spi.to_vec(), ..p.clone() }).collect()
}
/// Proposals without key exchange: what IKE_AUTH carries (RFC 7296 section 1.2). Those that become equal by it travel once.
pub(super) fn without_ke(ours: &[Proposal]) -> Vec<Proposal> {
    let mut out: Vec<Proposal> = Vec::new();
    for p in ours {
        let mut p = p.clone();
        p.transforms.retain(|t| t.kind != TransformType::KE);
        if !out.iter().any(|o| o.transforms == p.transforms) {
            out.push(p);
        }
    }
    out
}
/// The groups of our proposals, in order, `NONE` left out.
pub(super) fn groups(ours: &[Proposal]) -> Vec<Group> {
    let mut out = Vec::new();
    for t in ours.iter().flat_map(|p| keyword::of(p, TransformType::KE)) {
        if let Some(group) = Group::from_id(KeId(t.id)).filter(|g| !out.contains(g)) {
            out.push(group);
        }
    }
    out
}

/// How a responder looks for key exchange in an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeRule {
    /// It is not looked at and not answered (IKE_AUTH).
    Ignore,
    /// Like every other type, but this group before all others.
    Prefer(Option<KeId>),
}
/// The first proposal of the offer that ours allow, cut down to one transform per type. The number and the SPI are those of the offer.
pub(super) fn choose(offered: &[Proposal], ours: &[Proposal], protocol: ProtocolId, ke: KeRule) -> Option<Proposal> {
    let runs = |p: &Proposal| match protocol {
        ProtocolId::IKE => IkeSuite::of(p).is_some(),
        _ => EspSuite::of(p).is_some(),
    };
    offered
        .iter()
        .filter(|theirs| theirs.protocol == protocol)
        .find_map(|theirs| ours.iter().filter_map(|p| cut(theirs, p, ke)).find(|p| runs(p)))
}
/// One transform per type that `theirs` and `ours` share.
fn cut(theirs: &Proposal, ours: &Proposal, ke: KeRule) -> Option<Proposal> {
    let mut transforms = Vec::new();
    for kind in kinds(theirs, ours) {
        if kind == TransformType::KE && ke == KeRule::Ignore {
            continue;
        }
        let prefer = match (kind, ke) {
            (TransformType::KE, KeRule::Prefer(group)) => group,
            _ => None,
        };
        transforms.extend(common(theirs, ours, kind, prefer)?);
    }
    Some(Proposal { transforms, ..theirs.clone() })
}
/// The types of both, each once.
fn kinds(theirs: &Proposal, ours: &Proposal) -> Vec<TransformType> {
    let mut kinds = Vec::new();
    for t in theirs.transforms.iter().chain(&ours.transforms) {
        if !kinds.contains(&t.kind) {
            kinds.push(t.kind);
        }
    }
    kinds
}
/// The shared transform of one type. `Some(None)`: both do without. A side that does not name the type means "none" by it
/// (for ESN: 32-bit numbers).
fn common(theirs: &Proposal, ours: &Proposal, kind: TransformType, prefer: Option<KeId>) -> Option<Option<Transform>> {
    let usable = |t: &&Transform| !t.foreign && keyword::of(ours, kind).any(|o| o == *t);
    let preferred = keyword::of(theirs, kind).filter(|t| prefer == Some(KeId(t.id))).find(usable);
    if let Some(t) = preferred.or_else(|| keyword::of(theirs, kind).find(usable)) {
        return Some(Some(*t));
    }
    let absent = |p: &Proposal| one(p, kind).is_none() || has_none(p, kind);
    if absent(theirs) && absent(ours) {
        return Some(keyword::of(theirs, kind).find(|t| is_none(t)).copied());
    }
    None
}
fn has_none(p: &Proposal, kind: TransformType) -> bool {
    keyword::of(p, kind).any(is_none)
}
fn is_none(t: &Transform) -> bool {
    matches!(t.kind, TransformType::INTEG | TransformType::KE | TransformType::ESN)
        && t.id == 0
        && t.key_bits.is_none()
        && !t.foreign
}

/// An answer that is no choice from our offer (RFC 7296 section 3.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOffered;
/// Checks the responder's answer against what we offered and returns its proposal: one proposal, one transform per type, unmodified, and
/// none of the types left out.
pub(super) fn check_answer<'a>(
    answer: &'a [Proposal],
    offered: &[Proposal],
    ke: KeRule,
) -> Result<&'a Proposal, NotOffered> {
    let [chosen] = answer else { return Err(NotOffered) };
    let fits =
        |o: &&Proposal| chosen.number == o.number && chosen.protocol == o.protocol && is_choice_of(chosen, o, ke);
    offered.iter().find(fits).map(|_| chosen).ok_or(NotOffered)
}
fn is_choice_of(chosen: &Proposal, offer: &Proposal, ke: KeRule) -> bool {
    kinds(chosen, offer).into_iter().all(|kind| {
        let mut said = keyword::of(chosen, kind);
        match (said.next(), said.next()) {
            (Some(t), None) if is_none(t) && one(offer, kind).is_none() => true,
            (Some(t), None) => !t.foreign && keyword::of(offer, kind).any(|o| o == t),
            (None, _) => {
                one(offer, kind).is_none()
                    || has_none(offer, kind)
                    || (kind == TransformType::KE && ke == KeRule::Ignore)
            }
            _ => false,
        }
    })
}

/// Why an offer and a policy have nothing in common: the types without a shared transform, in the pair that comes closest.
pub(super) fn differing(offered: &[Proposal], ours: &[Proposal], ke: KeRule) -> Vec<&'static str> {
    let missing = |theirs: &Proposal, ours: &Proposal| {
        kinds(theirs, ours)
            .into_iter()
            .filter(|&kind| !(kind == TransformType::KE && ke == KeRule::Ignore))
            .filter(|&kind| common(theirs, ours, kind, None).is_none())
            .map(kind_name)
            .collect::<Vec<_>>()
    };
    let mut best: Option<Vec<&'static str>> = None;
    for theirs in offered {
        for ours in ours.iter().filter(|o| o.protocol == theirs.protocol) {
            let these = missing(theirs, ours);
            if best.as_ref().is_none_or(|b| these.len() < b.len()) {
                best = Some(these);
            }
        }
    }
    best.unwrap_or_default()
}
/// The word of the diagnosis for a transform type.
fn kind_name(kind: TransformType) -> &'static str {
    match kind {
        TransformType::ENCR => "encr",
        TransformType::PRF => "prf",
        TransformType::INTEG => "integ",
        TransformType::KE => "ke",
        TransformType::ESN => "esn",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ike(s: &str) -> Proposal {
        keyword::parse(ProtocolId::IKE, s).unwrap()
    }
    fn esp(s: &str) -> Proposal {
        keyword::parse(ProtocolId::ESP, s).unwrap()
    }
    fn chosen(offer: &[Proposal], ours: &[Proposal], ke: KeRule) -> Option<String> {
        choose(offer, ours, offer[0].protocol, ke).map(|p| keyword::proposal(&p))
    }
    const ANY: KeRule = KeRule::Prefer(None);

    #[test]
    fn the_initiators_order_counts_within_what_the_responder_allows() {
        let ours = [ike("aes256-sha256-modp2048"), ike("aes128-sha256-modp2048")];
        let offer = numbered(
            &[ike("aes192-sha256-modp2048"), ike("aes128-sha256-modp2048"), ike("aes256-sha256-modp2048")],
            &[],
        );
        let p = choose(&offer, &ours, ProtocolId::IKE, ANY).unwrap();
        assert_eq!(p.number, 2);
        assert_eq!(keyword::proposal(&p), "aes128-sha256-prfsha256-modp2048");
    }

    #[test]
    fn the_group_of_the_ke_payload_is_taken_when_both_allow_it() {
        let both = [ike("aes256-sha256-modp2048-ecp256")];
        let with = |g| chosen(&both, &both, KeRule::Prefer(Some(g))).unwrap();
        assert!(with(KeId::ECP_256).ends_with("ecp256"));
        assert!(with(KeId::MODP_2048).ends_with("modp2048"));
        assert!(with(KeId::CURVE25519).ends_with("modp2048"));
    }

    /// CVE-2016-3071, CVE-2018-10811 and CVE-2024-3652: a transform of which both ends speak, and which we cannot run.
    #[test]
    fn what_cannot_run_is_never_chosen() {
        let t = |kind, id, key_bits| Transform { kind, id, key_bits, foreign: false };
        let mut ran = [0; 2];
        for encr in 0..40 {
            for (bits, integ) in [None, Some(64), Some(128), Some(192), Some(256), Some(512)]
                .into_iter()
                .flat_map(|bits| (0..16).map(move |integ| (bits, integ)))
            {
                let integ = (integ > 0).then(|| t(TransformType::INTEG, integ, None));
                let known = integ.is_none_or(|i| Integ::from_id(IntegId(i.id)).is_some());
                let cipher = Cipher::new(EncrId(encr), bits, integ.and_then(|i| Integ::from_id(IntegId(i.id))));
                let cipher = cipher.filter(|_| known);
                let shared: Vec<_> = [t(TransformType::ENCR, encr, bits)].into_iter().chain(integ).collect();
                let ike = [t(TransformType::PRF, 5, None), t(TransformType::KE, 31, None)];
                let esp = [t(TransformType::ESN, 0, None)];
                for (protocol, rest) in [(ProtocolId::IKE, &ike[..]), (ProtocolId::ESP, &esp[..])] {
                    let spi = if protocol == ProtocolId::IKE { Vec::new() } else { vec![1; 4] };
                    let p = [Proposal { number: 1, protocol, spi, transforms: [&shared, rest].concat() }];
                    let runs = cipher.is_some_and(|cipher| cipher.encrypts() || protocol == ProtocolId::ESP);
                    assert_eq!(choose(&p, &p, protocol, ANY).is_some(), runs, "{protocol} {shared:?}");
                    ran[usize::from(protocol == ProtocolId::ESP)] += usize::from(runs);
                }
            }
        }
        assert_eq!(ran, [3 * 6 + 3 + 6 + 9 + 1, 3 * 6 + 3 + 6 + 9 + 1 + 3]);
        for (kind, runs) in [
            (TransformType::PRF, vec![2, 4, 5, 6, 7, 8]),
            (TransformType::KE, vec![2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 31]),
        ] {
            for id in 0..40 {
                let mut p = ike("aes128-sha256-x25519");
                p.transforms.iter_mut().filter(|t| t.kind == kind).for_each(|t| t.id = id);
                let chosen = choose(&[p.clone()], &[p], ProtocolId::IKE, ANY).is_some();
                assert_eq!(chosen, runs.contains(&id), "{kind} {id}");
            }
        }
    }

    #[test]
    fn nothing_in_common_names_the_type() {
        let ours = [ike("aes256-sha256-modp2048")];
        let named = |s| differing(&[ike(s)], &ours, ANY);
        assert_eq!(named("aes128-sha256-modp2048"), ["encr"]);
        assert_eq!(named("aes256-sha512-prfsha256-modp2048"), ["integ"]);
        assert_eq!(named("aes256-sha256-prfsha512-modp2048"), ["prf"]);
        assert_eq!(named("aes256-sha256-ecp256"), ["ke"]);
        assert_eq!(chosen(&[ike("aes256-sha256-ecp256")], &ours, ANY), None);
    }

    #[test]
    fn in_ike_auth_groups_do_not_count_and_do_not_travel() {
        let ours = [esp("aes256-sha256-modp2048"), esp("aes256-sha256-ecp256")];
        let offer = numbered(&without_ke(&ours), &[1, 2, 3, 4]);
        assert_eq!(offer.len(), 1);
        assert_eq!(chosen(&offer, &ours, KeRule::Ignore).unwrap(), keyword::proposal(&offer[0]));
        assert_eq!(
            chosen(&[esp("aes256-sha256-modp3072")], &ours, KeRule::Ignore).unwrap(),
            keyword::proposal(&offer[0])
        );
        assert_eq!(chosen(&[esp("aes256-sha256-modp3072")], &ours, ANY), None);
        assert_eq!(chosen(&[esp("aes256-sha256")], &ours, ANY), None);
    }

    #[test]
    fn sequence_numbers_are_chosen_like_everything_else() {
        assert!(chosen(&[esp("aes128gcm16-esn")], &[esp("aes128gcm16-noesn")], ANY).is_none());
        let both = esp("aes128gcm16-esn-noesn");
        let p = choose(std::slice::from_ref(&both), &[esp("aes128gcm16")], ProtocolId::ESP, ANY).unwrap();
        assert!(!EspSuite::of(&p).unwrap().esn);
        let both = std::slice::from_ref(&both);
        let p = choose(both, both, ProtocolId::ESP, ANY).unwrap();
        assert!(EspSuite::of(&p).unwrap().esn);
    }

    #[test]
    fn an_answer_must_be_a_choice_from_the_offer() {
        let offer = numbered(&[ike("aes256-aes128-sha256-modp2048"), ike("aes128gcm16-prfsha256-x25519")], &[]);
        let good = choose(&offer, &offer, ProtocolId::IKE, ANY).unwrap();
        let check = |answer: &[Proposal]| check_answer(answer, &offer, ANY).is_ok();
        assert!(check(std::slice::from_ref(&good)));
        assert!(!check(&[]));
        assert!(!check(&[good.clone(), good.clone()]));
        assert!(!check(&offer[..1]), "two transforms of one type");
        let change = |f: &dyn Fn(&mut Proposal)| {
            let mut p = good.clone();
            f(&mut p);
            p
        };
        assert!(!check(&[change(&|p| p.number = 2)]));
        assert!(!check(&[change(&|p| p.number = 3)]));
        assert!(!check(&[change(&|p| p.protocol = ProtocolId::ESP)]));
        assert!(!check(&[change(&|p| p.transforms[0].key_bits = Some(192))]));
        assert!(!check(&[change(&|p| p.transforms[0].key_bits = None)]));
        assert!(!check(&[change(&|p| p.transforms[0].foreign = true)]));
        for kind in [TransformType::ENCR, TransformType::PRF, TransformType::INTEG, TransformType::KE] {
            assert!(!check(&[change(&|p| p.transforms.retain(|t| t.kind != kind))]), "{kind} left out");
        }
    }
}
