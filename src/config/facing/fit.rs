//! What we accept in the words of another: one suite, and lifetimes.
//!
//! Gateways that are told several suites choose by orders of their own, and may choose otherwise at a rekey: a format for them pins the first of ours
//! that its vendor knows.
use super::{Lifetime, Refusal, refuse};
use crate::wire::keyword;
use crate::wire::payload::Proposal;
use crate::wire::registry::{EncrId, EsnId, IntegId, KeId, PrfId, TransformType};
use std::time::Duration;

/// A cipher with its key length; 0: it has but one.
pub(super) type Cipher = (EncrId, u16);
pub(super) const CBC_128: Cipher = (EncrId::AES_CBC, 128);
pub(super) const CBC_192: Cipher = (EncrId::AES_CBC, 192);
pub(super) const CBC_256: Cipher = (EncrId::AES_CBC, 256);
pub(super) const CHACHA: Cipher = (EncrId::CHACHA20_POLY1305, 0);
pub(super) const GCM_128: Cipher = (EncrId::AES_GCM_16, 128);
pub(super) const GCM_192: Cipher = (EncrId::AES_GCM_16, 192);
pub(super) const GCM_256: Cipher = (EncrId::AES_GCM_16, 256);

/// One choice of each algorithm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub encr: Cipher,
    /// None beside a cipher that has its own.
    pub integ: Option<IntegId>,
    /// Of IKE.
    pub prf: Option<PrfId>,
    /// Of IKE, or for PFS.
    pub group: Option<KeId>,
    /// Extended sequence numbers, and nothing else.
    pub esn: bool,
    /// Additional key exchanges (RFC 9370) that cannot be left out.
    pub more: bool,
}

/// Every choice of a list of proposals, in its order.
pub(super) fn suites(proposals: &[Proposal]) -> impl Iterator<Item = Suite> {
    proposals.iter().flat_map(|proposal| {
        let all = |kind| -> Vec<Option<(u16, Option<u16>)>> {
            let found: Vec<_> = keyword::of(proposal, kind).map(|t| Some((t.id, t.key_bits))).collect();
            if found.is_empty() { vec![None] } else { found }
        };
        let (integs, prfs, groups) = (all(TransformType::INTEG), all(TransformType::PRF), all(TransformType::KE));
        let only_esn = keyword::of(proposal, TransformType::ESN).all(|t| t.id == EsnId::YES.0);
        let esn = only_esn && keyword::of(proposal, TransformType::ESN).next().is_some();
        let needed = |kind: u8| {
            let mut of_kind = keyword::of(proposal, TransformType(kind)).peekable();
            of_kind.peek().is_some() && of_kind.all(|t| t.id != KeId::NONE.0)
        };
        let more = (TransformType::ADDKE1.0..=TransformType::ADDKE7.0).any(needed);
        let mut found = Vec::new();
        for encr in all(TransformType::ENCR).into_iter().flatten() {
            for integ in &integs {
                for prf in &prfs {
                    for group in &groups {
                        found.push(Suite {
                            encr: (EncrId(encr.0), encr.1.unwrap_or(0)),
                            integ: integ.map(|(id, _)| IntegId(id)).filter(|id| *id != IntegId::NONE),
                            prf: prf.map(|(id, _)| PrfId(id)),
                            group: group.map(|(id, _)| KeId(id)).filter(|id| *id != KeId::NONE),
                            esn,
                            more,
                        });
                    }
                }
            }
        }
        found
    })
}

/// Words for algorithms, those of one phase.
pub(super) struct Table {
    pub encr: &'static [(Cipher, &'static str)],
    pub integ: &'static [(IntegId, &'static str)],
    pub prf: Prf,
    pub groups: &'static [(KeId, &'static str)],
    /// Phase 2 has no group at all, or must have one.
    pub pfs: Pfs,
    /// Extended sequence numbers can be demanded.
    pub esn: bool,
    /// What we would have to accept, in our keywords, if nothing else fits.
    pub example: &'static str,
}
/// How a vendor is told the PRF.
pub(super) enum Prf {
    /// In words of its own.
    Said(&'static [(PrfId, &'static str)]),
    /// It is that of the integrity algorithm, whose word stands for it beside an AEAD, too.
    Follows,
    /// It is that of the integrity algorithm, and AEADs have none.
    None,
}
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pfs {
    May,
    Must,
}

/// A suite in a vendor's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub suite: Suite,
    pub encr: &'static str,
    /// Of the integrity algorithm; beside an AEAD that of the PRF's hash, where the vendor is told so.
    pub integ: Option<&'static str>,
    pub prf: Option<&'static str>,
    pub group: Option<&'static str>,
}

/// The hash of a PRF as an integrity algorithm.
pub(super) fn integ_of(prf: PrfId) -> Option<IntegId> {
    match prf {
        PrfId::HMAC_SHA1 => Some(IntegId::HMAC_SHA1_96),
        PrfId::HMAC_SHA2_256 => Some(IntegId::HMAC_SHA2_256_128),
        PrfId::HMAC_SHA2_384 => Some(IntegId::HMAC_SHA2_384_192),
        PrfId::HMAC_SHA2_512 => Some(IntegId::HMAC_SHA2_512_256),
        _ => None,
    }
}

fn find<K: PartialEq>(table: &'static [(K, &'static str)], key: K) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == key).map(|(_, word)| *word)
}

impl Table {
    /// A suite in these words, if they have all of it.
    fn words(&self, suite: Suite, ike: bool) -> Option<Words> {
        let encr = find(self.encr, suite.encr)?;
        let mut integ = suite.integ.map(|integ| find(self.integ, integ).ok_or(())).transpose().ok()?;
        let mut prf = None;
        if ike {
            let wanted = suite.prf?;
            let follows = integ_of(wanted);
            match self.prf {
                Prf::Said(table) => prf = Some(find(table, wanted)?),
                Prf::Follows if suite.integ.is_none() => integ = Some(find(self.integ, follows?)?),
                Prf::Follows | Prf::None if suite.integ.is_some() && follows == suite.integ => {}
                Prf::Follows | Prf::None => return None,
            }
        }
        let group = suite.group.map(|group| find(self.groups, group).ok_or(())).transpose().ok()?;
        let fits = !suite.more && (!suite.esn || self.esn) && (group.is_some() || !ike && self.pfs == Pfs::May);
        fits.then_some(Words { suite, encr, integ, prf, group })
    }

    /// The first of ours that can be said.
    fn choose(&self, proposals: &[Proposal], ike: bool, target: &str, whose: &str) -> Result<Words, Refusal> {
        if let Some(words) = suites(proposals).find_map(|suite| self.words(suite, ike)) {
            return Ok(words);
        }
        let list = |words: Vec<&str>| words.join(", ");
        let known = [
            list(self.encr.iter().map(|(_, word)| *word).collect()),
            list(self.integ.iter().map(|(_, word)| *word).collect()),
            list(self.groups.iter().map(|(_, word)| *word).collect()),
        ];
        let pfs = if !ike && self.pfs == Pfs::Must { ", with a group for PFS" } else { "" };
        let what = format!("none of {whose} can be told to {target}, which knows {}{pfs}", known.join("; "));
        let key = if ike { "proposals" } else { "esp_proposals" };
        refuse(what, format!("set {key} = [\"{}\"]", self.example))
    }
    /// The same of IKE.
    pub(super) fn ike(&self, proposals: &[Proposal], target: &str) -> Result<Words, Refusal> {
        self.choose(proposals, true, target, "our IKE proposals")
    }
    /// The same of ESP.
    pub(super) fn esp(&self, proposals: &[Proposal], target: &str) -> Result<Words, Refusal> {
        self.choose(proposals, false, target, "our ESP proposals")
    }
}

impl Lifetime {
    /// What the other end lets an SA live, in seconds: a quarter longer than we do, so that we rekey, or a fifth shorter if it shall. `usual` where we
    /// never do.
    pub(super) fn for_peer(self, (least, most): (u64, u64), usual: u64, target: &str) -> Result<u64, Refusal> {
        let ours = self.ours.as_secs();
        if ours == 0 {
            return Ok(usual.clamp(least, most));
        }
        if self.peer_first {
            let wanted = (ours - ours / 5).clamp(least, most);
            if wanted < ours {
                return Ok(wanted);
            }
            let what =
                format!("{target} keeps an SA for at least {least} s, and shall rekey before our {ours} s are over");
            return refuse(
                what,
                format!("set rekey_time to at least \"{}s\", or rekey = \"both\"", least + least / 4 + 1),
            );
        }
        let wanted = (ours + ours / 4).div_ceil(60) * 60;
        let wanted = wanted.clamp(least, most);
        // A tenth is for the vendor's own margin.
        if wanted >= ours + ours / 10 {
            return Ok(wanted);
        }
        let what = format!("{target} ends an SA after at most {most} s, and we rekey after {ours} s only");
        refuse(what, format!("set rekey_time to at most \"{}s\", or rekey = \"peer\"", most * 4 / 5))
    }
    /// The same for a rekey by time, without limits.
    pub(super) fn rekey_for_peer(self) -> Duration {
        let ours = self.ours.as_secs();
        Duration::from_secs(if self.peer_first { ours - ours / 5 } else { (ours + ours / 4).div_ceil(60) * 60 })
    }
}
