//! Which algorithms does the peer take? Pure: an offer, its answer, the next offer, and in the end what is known.
//!
//! First our own offer. If it is refused, everything that the configuration can say, ours first: the choice tells one suite that the peer takes.
//! Where that differs from ours in one type of transform alone, that type is what it was about: nothing else was changed. Where it differs in
//! several, some of them may be the peer's preference and no more, so each is asked for alone: this type as we have it, all others as anybody likes.
//!
//! What the configuration cannot say (DES, 3DES, MD5, group 1) is never offered: an ordinary attempt could not do so either, and a peer that takes
//! nothing else is told by its silence about all the rest. What is weak and can be said (SHA-1, groups 2 and 5) is offered, as no SA comes of it: an
//! answer to anything but our own offer is read and thrown away.
use crate::ike::negotiate::{KeRule, differing};
use crate::wire::keyword;
use crate::wire::payload::{Proposal, Transform};
use crate::wire::registry::{KeId, ProtocolId, TransformType};

const AEAD: &str = "aes256gcm16-aes128gcm16-aes192gcm16-chacha20poly1305-aes256gcm12-aes128gcm12-aes256gcm8-aes128gcm8-aes256ccm16-aes128ccm16";
const CBC: &str = "aes256-aes128-aes192-sha256-sha384-sha512-sha1-aesxcbc-aescmac";
const PRF: &str = "prfsha256-prfsha384-prfsha512-prfsha1-prfaesxcbc-prfaescmac";
const GROUPS: &str = "modp2048-ecp256-x25519-ecp384-modp3072-modp4096-modp1536-ecp521-modp1024-modp6144-modp8192";

/// A search for the suite that the peer takes.
#[derive(Clone, Debug)]
pub(super) struct Hunt {
    protocol: ProtocolId,
    ours: Vec<Proposal>,
    asked: Offer,
    /// The peer's choice from everything.
    theirs: Option<Proposal>,
    /// Types in which that differs from ours, and which nobody has looked at alone.
    open: Vec<&'static str>,
    /// Those that the peer does not take as we have them.
    refused: Vec<&'static str>,
    /// All in which it differs.
    differing: Vec<&'static str>,
}
/// An offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Our own, as in an ordinary attempt.
    Own,
    /// Everything that we can speak.
    Widest,
    /// Ours of this type, and everything of the others.
    Only(&'static str),
}
impl Offer {
    /// For programs; texts are made of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Widest => "widest",
            Self::Only("encr") => "only_encr",
            Self::Only("integ") => "only_integ",
            Self::Only("prf") => "only_prf",
            Self::Only("esn") => "only_esn",
            Self::Only(_) => "only_ke",
        }
    }
}
/// What is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    /// The peer takes ours.
    Ours,
    /// The peer takes this, which differs from all of ours in these types.
    Differs { theirs: Proposal, types: Vec<&'static str>, proven: bool },
    /// The peer takes nothing that we can speak.
    Nothing,
}

impl Hunt {
    /// `refused`: our own offer was asked for already.
    pub(super) fn new(protocol: ProtocolId, ours: &[Proposal], refused: bool) -> Self {
        Self {
            protocol,
            ours: ours.to_vec(),
            asked: if refused { Offer::Widest } else { Offer::Own },
            theirs: None,
            open: Vec::new(),
            refused: Vec::new(),
            differing: Vec::new(),
        }
    }
    /// What is to be asked next.
    pub(super) fn asked(&self) -> Offer {
        self.asked
    }
    /// The same, as it travels (without numbers and SPIs).
    pub(super) fn offer(&self) -> Vec<Proposal> {
        match self.asked {
            Offer::Own => self.ours.clone(),
            Offer::Widest => widest(self.protocol, &self.ours),
            Offer::Only(word) => holding(widest(self.protocol, &self.ours), &self.ours, word),
        }
    }
    /// The peer has chosen this from the last offer, or refused it. `None`: it is asked once more.
    pub(super) fn answered(&mut self, chosen: Option<&Proposal>) -> Option<Found> {
        match (self.asked, chosen) {
            (Offer::Own, Some(_)) => return Some(Found::Ours),
            (Offer::Own, None) => {
                self.asked = Offer::Widest;
                return None;
            }
            (Offer::Widest, None) => return Some(Found::Nothing),
            (Offer::Widest, Some(theirs)) => self.compare(theirs),
            (Offer::Only(word), answer) => {
                self.open.retain(|open| *open != word);
                if answer.is_none() {
                    self.refused.push(word);
                }
            }
        }
        match self.open.first() {
            // Nothing else was another way: that is what it was about.
            Some(last) if self.differing.len() == 1 => {
                self.refused.push(last);
                self.open.clear();
            }
            Some(next) => {
                self.asked = Offer::Only(next);
                return None;
            }
            None => {}
        }
        self.conclusion()
    }
    /// No more answers will come.
    pub(super) fn conclusion(&self) -> Option<Found> {
        let theirs = self.theirs.clone()?;
        let proven = self.open.is_empty() && !self.refused.is_empty();
        let of_it = |word: &&'static str| !proven || self.refused.contains(word);
        let types: Vec<_> = self.differing.iter().copied().filter(of_it).collect();
        Some(Found::Differs { theirs, types, proven })
    }
    fn compare(&mut self, theirs: &Proposal) {
        let mut types = differing(std::slice::from_ref(theirs), &self.ours, KeRule::Prefer(None));
        // Who has a cipher with an integrity of its own has no other one: that follows, and cannot be changed alone.
        let has_integ = |p: &Proposal| keyword::of(p, TransformType::INTEG).any(|t| t.id != 0);
        if types.contains(&"encr") && self.ours.iter().all(|ours| has_integ(ours) != has_integ(theirs)) {
            types.retain(|word| *word != "integ");
        }
        types.sort_by_key(|word| ["encr", "integ", "prf", "ke", "esn"].iter().position(|known| known == word));
        types.dedup();
        self.theirs = Some(theirs.clone());
        self.differing.clone_from(&types);
        self.open = types;
    }
}

/// Everything that our configuration can say; what stands in ours first, and in the order that it has there.
pub(super) fn widest(protocol: ProtocolId, ours: &[Proposal]) -> Vec<Proposal> {
    let lists = match protocol {
        ProtocolId::IKE => [format!("{AEAD}-{PRF}-{GROUPS}"), format!("{CBC}-{PRF}-{GROUPS}")],
        _ => [format!("{AEAD}-{GROUPS}-none-noesn-esn"), format!("{CBC}-{GROUPS}-none-noesn-esn")],
    };
    let mut all: Vec<Proposal> = lists.iter().filter_map(|list| keyword::parse(protocol, list).ok()).collect();
    let order: Vec<&Transform> = ours.iter().flat_map(|p| &p.transforms).collect();
    // In ESP no group at all is a preference as good as any other.
    let without = ours.iter().position(|p| keyword::of(p, TransformType::KE).next().is_none());
    for p in &mut all {
        p.transforms.sort_by_key(|t| {
            let place = order.iter().position(|our| *our == t);
            let none = t.kind == TransformType::KE && t.id == KeId::NONE.0;
            (t.kind, place.or(without.filter(|_| none)).unwrap_or(usize::MAX))
        });
    }
    let like_ours = |p: &Proposal| ours.first().is_some_and(|our| has_integ(our) == has_integ(p));
    all.sort_by_key(|p| !like_ours(p));
    all
}
fn has_integ(p: &Proposal) -> bool {
    keyword::of(p, TransformType::INTEG).next().is_some()
}
/// Of an offer what has this type as in ours.
fn holding(mut offer: Vec<Proposal>, ours: &[Proposal], word: &str) -> Vec<Proposal> {
    let kind = match word {
        "encr" => TransformType::ENCR,
        "integ" => TransformType::INTEG,
        "prf" => TransformType::PRF,
        "esn" => TransformType::ESN,
        _ => TransformType::KE,
    };
    let has = |t: &Transform| ours.iter().any(|our| our.transforms.contains(t));
    let lacks = ours.iter().any(|our| keyword::of(our, kind).next().is_none());
    for p in &mut offer {
        p.transforms.retain(|t| t.kind != kind || has(t) || lacks && t.id == 0);
    }
    // A cipher with an integrity of its own has nothing of that type, and is no answer to a question about it.
    offer.retain(|p| keyword::of(p, TransformType::ENCR).next().is_some() && keyword::of(p, kind).next().is_some());
    offer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ike::negotiate::{choose, numbered};

    fn list(protocol: ProtocolId, s: &str) -> Vec<Proposal> {
        s.split(',').map(|s| keyword::parse(protocol, s).unwrap()).collect()
    }
    /// What is found out about a peer with these suites, and how many offers that took.
    fn hunt(protocol: ProtocolId, ours: &str, theirs: &str) -> (Found, usize) {
        let (ours, theirs) = (list(protocol, ours), list(protocol, theirs));
        let mut hunt = Hunt::new(protocol, &ours, false);
        for n in 1..20 {
            let offer = numbered(&hunt.offer(), &[]);
            assert!(!offer.is_empty(), "{hunt:?}");
            let chosen = choose(&offer, &theirs, protocol, KeRule::Prefer(None));
            if let Some(found) = hunt.answered(chosen.as_ref()) {
                return (found, n);
            }
        }
        panic!("no end: {hunt:?}");
    }
    fn differs(protocol: ProtocolId, ours: &str, theirs: &str) -> (Vec<&'static str>, String, bool, usize) {
        match hunt(protocol, ours, theirs) {
            (Found::Differs { theirs, types, proven }, n) => (types, keyword::proposal(&theirs), proven, n),
            other => panic!("{ours} against {theirs}: {other:?}"),
        }
    }
    const OURS: &str = "aes256-sha256-modp2048";

    #[test]
    fn one_type_that_differs_is_proven_by_two_offers() {
        for (theirs, word) in [
            ("aes128-sha256-modp2048", "encr"),
            ("aes256-sha384-prfsha256-modp2048", "integ"),
            ("aes256-sha256-prfsha384-modp2048", "prf"),
            ("aes256-sha256-modp3072", "ke"),
            ("aes256gcm16-prfsha256-modp2048", "encr"),
        ] {
            let (types, chosen, proven, offers) = differs(ProtocolId::IKE, OURS, theirs);
            assert_eq!((types, proven, offers), (vec![word], true, 2), "{theirs}: {chosen}");
        }
    }
    #[test]
    fn of_several_types_each_is_asked_for_alone() {
        let (types, _, proven, offers) = differs(ProtocolId::IKE, OURS, "aes256-sha384-modp2048");
        assert_eq!((types, proven, offers), (vec!["integ", "prf"], true, 4));
        // The peer prefers another PRF, and takes ours as well.
        let ours = "aes256-sha256-prfsha256-modp2048";
        let (types, chosen, proven, _) = differs(ProtocolId::IKE, ours, "aes256-sha384-prfsha256-prfsha512-modp2048");
        assert_eq!((types, proven), (vec!["integ"], true), "{chosen}");
        let (types, _, proven, offers) = differs(ProtocolId::IKE, OURS, "aes128gcm16-prfsha512-x25519");
        assert_eq!((types, proven, offers), (vec!["encr", "prf", "ke"], true, 5));
    }
    /// The peer takes ours of each type, but not together: that is said, and nothing is claimed to be proven.
    #[test]
    fn what_is_refused_only_together_is_not_proven() {
        let theirs = "aes256-sha512-prfsha512-modp2048,aes128-sha256-prfsha256-modp3072";
        let (types, _, proven, _) = differs(ProtocolId::IKE, OURS, theirs);
        assert!(!proven && types.len() > 1, "{types:?}");
    }
    #[test]
    fn esp_has_its_own_types() {
        for (ours, theirs, word) in [
            ("aes256-sha256", "aes256-sha512", "integ"),
            ("aes256-sha256-modp2048", "aes256-sha256-modp3072", "ke"),
            ("aes256-sha256-modp2048", "aes256-sha256", "ke"),
            ("aes256-sha256", "aes256-sha256-ecp256", "ke"),
            ("aes256-sha256", "aes256-sha256-esn", "esn"),
            ("aes256-sha256", "aes128gcm16", "encr"),
        ] {
            let (types, chosen, proven, _) = differs(ProtocolId::ESP, ours, theirs);
            assert_eq!((types, proven), (vec![word], true), "{ours} against {theirs}: {chosen}");
        }
    }
    #[test]
    fn ours_is_taken_or_nothing_is() {
        assert_eq!(hunt(ProtocolId::IKE, OURS, OURS), (Found::Ours, 1));
        let mut hunt = Hunt::new(ProtocolId::IKE, &list(ProtocolId::IKE, OURS), true);
        assert_eq!(hunt.asked(), Offer::Widest);
        assert_eq!(hunt.answered(None), Some(Found::Nothing));
    }
    #[test]
    fn a_search_that_is_broken_off_has_proven_nothing() {
        let ours = list(ProtocolId::IKE, OURS);
        let mut hunt = Hunt::new(ProtocolId::IKE, &ours, true);
        assert_eq!(hunt.conclusion(), None);
        assert_eq!(hunt.answered(list(ProtocolId::IKE, "aes128-sha384-modp2048").first()), None);
        let Some(Found::Differs { types, proven, .. }) = hunt.conclusion() else { panic!("{hunt:?}") };
        assert_eq!((types, proven), (vec!["encr", "integ", "prf"], false));
    }
    /// What an ordinary attempt cannot send is not sent.
    #[test]
    fn everything_is_what_the_configuration_can_say_and_ours_comes_first() {
        for (protocol, ours) in
            [(ProtocolId::IKE, "aes128-sha512-modp4096"), (ProtocolId::ESP, "aes128-sha512-modp4096")]
        {
            let all = widest(protocol, &list(protocol, ours));
            assert_eq!(all.len(), 2);
            let first = |kind| keyword::transform(keyword::of(&all[0], kind).next().unwrap());
            assert_eq!(first(TransformType::ENCR), "aes128");
            assert_eq!(first(TransformType::INTEG), "sha512");
            assert_eq!(first(TransformType::KE), "modp4096");
            for p in &all {
                assert!(keyword::parse(protocol, &keyword::proposal(p)).is_ok(), "{}", keyword::proposal(p));
            }
            assert!(all.iter().map(|p| p.transforms.len()).sum::<usize>() < 100);
        }
    }
}
