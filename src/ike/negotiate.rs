//! Choosing from an offer and checking an answer: pure functions (RFC 7296 sections 2.7, 2.9 and 3.3.6).
//!
//! A responder follows the *initiator's* order, restricted to its own policy: whatever both allow is good enough for us, and the initiator
//! put its public value where its preference is, so this order needs the fewest INVALID_KE_PAYLOAD rounds. Within a proposal the group of
//! the KE payload is taken when both allow it.
use crate::crypto::cipher::Cipher;
use crate::crypto::integ::Integ;
use crate::crypto::ke::{Group, Method};
use crate::crypto::prf::Prf;
use crate::frozen::frozen;
use crate::wire::keyword;
use crate::wire::payload::{Proposal, Transform};
use crate::wire::registry::{EncrId, EsnId, IntegId, KeId, PrfId, ProtocolId, TransformType};

/// What an IKE SA runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IkeSuite {
    pub cipher: Cipher,
    pub prf: Prf,
    pub group: Group,
    pub additional: Additional,
}
/// What a pair of ESP SAs runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EspSuite {
    pub cipher: Cipher,
    pub esn: bool,
    /// The group of a key exchange of its own (PFS).
    pub group: Option<Group>,
    pub additional: Additional,
}
/// The methods of the additional key exchanges (RFC 9370), in their order; those that do not take place are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Additional([Option<Method>; MAX_ADDITIONAL]);
frozen! { struct Additional(methods) }
/// Additional Key Exchange 1 to 7.
const MAX_ADDITIONAL: usize = 7;
impl Additional {
    /// The n-th that takes place, from 0.
    pub(super) fn get(&self, n: usize) -> Option<Method> {
        self.0.get(n).copied().flatten()
    }
    /// True if there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.get(0).is_none()
    }
    /// Of a proposal with one transform per type; `None` if we cannot run one.
    fn of(p: &Proposal) -> Option<Self> {
        let mut all = [None; MAX_ADDITIONAL];
        let mut places = all.iter_mut();
        for kind in (TransformType::ADDKE1.0..=TransformType::ADDKE7.0).map(TransformType) {
            if let Some(t) = one(p, kind).filter(|t| !is_none(t)) {
                *places.next()? = Some(Method::from_id(KeId(t.id))?);
            }
        }
        Some(Self(all))
    }
}
impl IkeSuite {
    /// Of a proposal with one transform per type; `None` if we cannot run it.
    pub(super) fn of(p: &Proposal) -> Option<Self> {
        let prf = Prf::from_id(PrfId(one(p, TransformType::PRF)?.id))?;
        let group = Group::from_id(KeId(one(p, TransformType::KE)?.id))?;
        let cipher = cipher(p).filter(|cipher| cipher.encrypts())?;
        Some(Self { cipher, prf, group, additional: Additional::of(p)? })
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
        let additional = Additional::of(p)?;
        // They add to a first one (RFC 9370 section 2.2.4).
        let complete = group.is_some() || additional.is_empty();
        complete.then_some(Self { cipher: cipher(p)?, esn, group, additional })
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
        p.transforms.retain(|t| !t.kind.is_key_exchange());
        if !out.iter().any(|o| o.transforms == p.transforms) {
            out.push(p);
        }
    }
    out
}
/// This suite of a child is among those; one that was made without a key exchange of its own, whatever groups are beside it.
pub(super) fn allows(used: &Proposal, ours: &[Proposal]) -> bool {
    let rule = if one(used, TransformType::KE).is_none_or(is_none) { KeRule::Ignore } else { KeRule::Prefer(None) };
    choose(std::slice::from_ref(used), ours, used.protocol, rule).is_some()
}
/// What a rekey offers: the suite in use and, of a child that was made without a key exchange of its own, the groups that our policy has
/// beside it. `all`: then everything else that we allow. Never another PRF (R2).
pub(super) fn renewal(used: &Proposal, ours: &[Proposal], all: bool) -> Vec<Proposal> {
    let any_ke = one(used, TransformType::KE).is_none_or(is_none);
    let prf = one(used, TransformType::PRF);
    let same = |t: &Transform| {
        used.transforms.contains(t)
            || (any_ke && t.kind.is_key_exchange())
            || (is_none(t) && one(used, t.kind).is_none())
    };
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for p in ours {
        let mut p = Proposal { spi: Vec::new(), ..p.clone() };
        p.transforms.retain(|t| t.kind != TransformType::PRF || prf == Some(t));
        let kept = Proposal { transforms: p.transforms.iter().copied().filter(same).collect(), ..p.clone() };
        let whole = kinds(&p, &kept).into_iter().all(|kind| one(&kept, kind).is_some());
        let runs = used.transforms.iter().all(|t| is_none(t) || kept.transforms.contains(t));
        if whole && runs {
            first.push(kept);
        }
        if prf.is_none() || one(&p, TransformType::PRF).is_some() {
            rest.push(p);
        }
    }
    // What is in use and is no longer ours was chosen, and stays good until it is refused.
    if first.is_empty() {
        first.push(Proposal { spi: Vec::new(), ..used.clone() });
    }
    if all {
        first.append(&mut rest);
    }
    let mut out: Vec<Proposal> = Vec::new();
    for p in first {
        if !out.iter().any(|o| o.transforms == p.transforms) {
            out.push(p);
        }
    }
    out
}
/// Of our proposals those with this PRF, and no other PRF beside it: a rekey never changes it (R2).
pub(super) fn with_prf(ours: &[Proposal], prf: Prf) -> Vec<Proposal> {
    let is = |t: &Transform| Prf::from_id(PrfId(t.id)) == Some(prf);
    let mut ours = ours.to_vec();
    ours.iter_mut().for_each(|p| p.transforms.retain(|t| t.kind != TransformType::PRF || is(t)));
    ours.retain(|p| one(p, TransformType::PRF).is_some());
    ours
}
/// True if one of these proposals has an additional key exchange.
pub(super) fn asks_more(proposals: &[Proposal]) -> bool {
    proposals.iter().flat_map(|p| &p.transforms).any(|t| t.kind.is_additional() && !is_none(t))
}
/// What is left of an offer where no additional key exchange can take place.
pub(super) fn without_additional(offered: &[Proposal]) -> Vec<Proposal> {
    let wanted = |p: &&Proposal| p.transforms.iter().all(|t| !t.kind.is_additional() || has_none(p, t.kind));
    let mut left: Vec<Proposal> = offered.iter().filter(wanted).cloned().collect();
    for p in &mut left {
        p.transforms.retain(|t| !t.kind.is_additional() || is_none(t));
    }
    left
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
/// One transform per type that `theirs` and `ours` share, and no key exchange method twice.
fn cut(theirs: &Proposal, ours: &Proposal, ke: KeRule) -> Option<Proposal> {
    let (exchanges, others): (Vec<_>, Vec<_>) = kinds(theirs, ours).into_iter().partition(|k| k.is_key_exchange());
    let mut transforms = Vec::new();
    for kind in others {
        transforms.extend(*common(theirs, ours, kind, None).first()?);
    }
    if let KeRule::Prefer(group) = ke {
        let group = |kind| group.filter(|_| kind == TransformType::KE);
        let options: Vec<_> = exchanges.into_iter().map(|kind| common(theirs, ours, kind, group(kind))).collect();
        distinct(&options, &mut transforms)?;
    }
    transforms.sort_by_key(|t| t.kind);
    Some(Proposal { transforms, ..theirs.clone() })
}
/// Takes one of each list of options, the first that leaves something for the others: all methods of an SA are different, only NONE may
/// stand there twice (RFC 9370 section 2.2.1).
fn distinct(options: &[Vec<Option<Transform>>], taken: &mut Vec<Transform>) -> Option<()> {
    let Some((first, others)) = options.split_first() else { return Some(()) };
    let len = taken.len();
    for option in first {
        if option.is_some_and(|t| !is_none(&t) && has_method(taken, t.id)) {
            continue;
        }
        taken.extend(*option);
        if distinct(others, taken).is_some() {
            return Some(());
        }
        taken.truncate(len);
    }
    None
}
fn has_method(transforms: &[Transform], id: u16) -> bool {
    transforms.iter().any(|t| t.kind.is_key_exchange() && t.id == id)
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
/// The shared transforms of one type, each once, the preferred one first. A `None` among them: both do without. A side that does not name the type means
/// "none" by it (for ESN: 32-bit numbers).
fn common(theirs: &Proposal, ours: &Proposal, kind: TransformType, prefer: Option<KeId>) -> Vec<Option<Transform>> {
    let usable = |t: &&Transform| !t.foreign && keyword::of(ours, kind).any(|o| o == *t);
    let mut shared: Vec<Option<Transform>> = Vec::new();
    for t in keyword::of(theirs, kind).filter(usable).copied().map(Some) {
        if !shared.contains(&t) {
            shared.push(t);
        }
    }
    shared.sort_by_key(|t| t.is_none_or(|t| prefer != Some(KeId(t.id))));
    let absent = |p: &Proposal| one(p, kind).is_none() || has_none(p, kind);
    if shared.is_empty() && absent(theirs) && absent(ours) {
        shared.push(keyword::of(theirs, kind).find(|t| is_none(t)).copied());
    }
    shared
}
fn has_none(p: &Proposal, kind: TransformType) -> bool {
    keyword::of(p, kind).any(is_none)
}
fn is_none(t: &Transform) -> bool {
    (t.kind.is_key_exchange() || matches!(t.kind, TransformType::INTEG | TransformType::ESN))
        && t.id == 0
        && t.key_bits.is_none()
        && !t.foreign
}

/// An answer that is no choice from our offer (RFC 7296 section 3.3.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotOffered;
/// Checks the responder's answer against what we offered and returns its proposal: one proposal, one transform per type, unmodified, and
/// none of the types left out, no key exchange method twice.
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
    let exchanges = || chosen.transforms.iter().filter(|t| t.kind.is_key_exchange() && !is_none(t));
    let twice = exchanges().any(|t| exchanges().filter(|other| other.id == t.id).count() > 1);
    !twice
        && kinds(chosen, offer).into_iter().all(|kind| {
            let mut said = keyword::of(chosen, kind);
            match (said.next(), said.next()) {
                (Some(t), None) if is_none(t) && one(offer, kind).is_none() => true,
                (Some(t), None) => !t.foreign && keyword::of(offer, kind).any(|o| o == t),
                (None, _) => {
                    one(offer, kind).is_none()
                        || has_none(offer, kind)
                        || (kind.is_key_exchange() && ke == KeRule::Ignore)
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
            .filter(|&kind| !(kind.is_key_exchange() && ke == KeRule::Ignore))
            .filter(|&kind| common(theirs, ours, kind, None).is_empty())
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
        TransformType::ESN => "esn",
        kind if kind.is_key_exchange() => "ke",
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

    /// Whoever repeats a transform makes no more ways to choose: three places of two methods would be 84^3 of them.
    #[test]
    fn what_is_offered_again_and_again_counts_once() {
        let ours = ike("aes256-sha256-x25519-ke1_mlkem768-ke1_mlkem1024-ke2_mlkem768-ke2_mlkem1024");
        let mut offer = ours.clone();
        offer.transforms.retain(|t| !t.kind.is_additional() || t.id == KeId::ML_KEM_768.0);
        let exchanges: Vec<_> = offer.transforms.iter().filter(|t| t.kind.is_key_exchange()).copied().collect();
        (0..83).for_each(|_| offer.transforms.extend(&exchanges));
        for t in exchanges {
            assert_eq!(common(&offer, &ours, t.kind, None), [Some(t)]);
        }
        assert_eq!(choose(&[offer], &[ours], ProtocolId::IKE, ANY), None);
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
    fn additional_key_exchanges_are_chosen_in_order_and_no_method_twice() {
        let offer =
            numbered(&[ike("aes256gcm16-prfsha256-x25519-ecp256-ke1_ecp256-ke1_mlkem768-ke2_mlkem768-ke2_none")], &[]);
        let pick = |ours: &str, group| {
            let p = choose(&offer, &[ike(ours)], ProtocolId::IKE, KeRule::Prefer(Some(group)))?;
            assert!(check_answer(std::slice::from_ref(&p), &offer, ANY).is_ok());
            let suite = IkeSuite::of(&p).unwrap();
            let methods = (0..).map_while(|n| suite.additional.get(n)).map(Method::id);
            Some((suite.group.id(), methods.collect::<Vec<_>>()))
        };
        let all = keyword::proposal(&offer[0]);
        assert_eq!(pick(&all, KeId::CURVE25519), Some((KeId::CURVE25519, vec![KeId::ECP_256, KeId::ML_KEM_768])));
        assert_eq!(pick(&all, KeId::ECP_256), Some((KeId::ECP_256, vec![KeId::ML_KEM_768])), "ecp256 is taken");
        let ours = "aes256gcm16-prfsha256-x25519-ke1_mlkem768-ke2_mlkem768";
        assert_eq!(
            pick(&format!("{ours}-ke2_none"), KeId::CURVE25519),
            Some((KeId::CURVE25519, vec![KeId::ML_KEM_768]))
        );
        let ours = "aes256gcm16-prfsha256-x25519-ke1_mlkem768";
        assert_eq!(
            pick(ours, KeId::CURVE25519),
            Some((KeId::CURVE25519, vec![KeId::ML_KEM_768])),
            "the second is NONE"
        );
        assert_eq!(pick("aes256gcm16-prfsha256-x25519", KeId::CURVE25519), None, "the first is not");
        assert_eq!(pick("aes256gcm16-prfsha256-x25519-ke1_ecp256-ke3_mlkem512", KeId::CURVE25519), None);
        assert_eq!(differing(&offer, &[ike("aes256gcm16-prfsha256-x25519")], ANY), ["ke"]);
    }

    #[test]
    fn an_answer_with_a_method_twice_or_an_additional_one_missing_is_none() {
        let offer = numbered(&[ike("aes256gcm16-prfsha256-x25519-ke1_ecp256-ke1_mlkem768-ke2_ecp256-ke2_none")], &[]);
        let answer = |s: &[(TransformType, KeId)]| {
            let mut p = Proposal { number: 1, ..ike("aes256gcm16-prfsha256-x25519") };
            p.transforms.extend(s.iter().map(|(kind, id)| Transform {
                kind: *kind,
                id: id.0,
                key_bits: None,
                foreign: false,
            }));
            check_answer(&[p], &offer, ANY).is_ok()
        };
        let (one, two) = (TransformType::ADDKE1, TransformType::ADDKE2);
        assert!(answer(&[(one, KeId::ML_KEM_768), (two, KeId::ECP_256)]));
        assert!(answer(&[(one, KeId::ML_KEM_768), (two, KeId::NONE)]) && answer(&[(one, KeId::ML_KEM_768)]));
        assert!(!answer(&[(one, KeId::ECP_256), (two, KeId::ECP_256)]));
        assert!(!answer(&[(two, KeId::ECP_256)]) && !answer(&[(one, KeId::NONE)]));
        assert!(!answer(&[(one, KeId::ML_KEM_768), (TransformType::ADDKE3, KeId::ECP_256)]));
    }

    #[test]
    fn where_additional_ones_cannot_take_place_only_what_needs_none_is_left() {
        let offer = numbered(
            &[
                ike("aes256gcm16-prfsha256-x25519-ke1_mlkem768"),
                ike("aes256gcm16-prfsha256-x25519-ke1_mlkem768-ke1_none"),
                ike("aes256gcm16-prfsha256-x25519"),
            ],
            &[],
        );
        let left = without_additional(&offer);
        assert_eq!(left.iter().map(|p| p.number).collect::<Vec<_>>(), [2, 3]);
        assert!(asks_more(&offer) && !asks_more(&left));
        let p = choose(&left, &offer, ProtocolId::IKE, ANY).unwrap();
        assert!(p.number == 2 && IkeSuite::of(&p).unwrap().additional.is_empty());
    }

    #[test]
    fn in_ike_auth_additional_key_exchanges_do_not_travel() {
        let ours = [esp("aes256gcm16-x25519-ke1_mlkem768"), esp("aes256gcm16-x25519")];
        let offer = numbered(&without_ke(&ours), &[1, 2, 3, 4]);
        assert_eq!(offer.len(), 1);
        assert_eq!(chosen(&offer, &ours, KeRule::Ignore).unwrap(), "aes256gcm16");
        assert_eq!(chosen(&ours[..1], &ours, KeRule::Ignore).unwrap(), "aes256gcm16");
        assert_eq!(chosen(&ours[..1], &ours, ANY).unwrap(), "aes256gcm16-x25519-ke1_mlkem768");
        assert_eq!(
            EspSuite::of(&Proposal {
                transforms: ours[0].transforms.iter().filter(|t| t.kind != TransformType::KE).copied().collect(),
                ..ours[0].clone()
            }),
            None,
            "never alone"
        );
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
