//! Suites of two ends that do not fit: which of the peer's is nearest to ours, and which of ours is nearest to the peer's.
use crate::config::proposal::{is_bare, is_weak};
use crate::wire::keyword;
use crate::wire::payload::{Proposal, Transform};
use crate::wire::registry::{ProtocolId, TransformType};

/// Words that a list of a peer's may have that we cannot read.
const MOST_STRANGE: usize = 64;

/// One suite in keywords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suite {
    /// As strongSwan writes it.
    pub keywords: String,
    /// What of it is weak by today's measure.
    pub weak: Vec<String>,
    /// It encrypts nothing.
    pub bare: bool,
}

/// The one of `offered` that is nearest to what is in `wanted`, with one algorithm of each kind. `None`: there is none that runs here.
pub fn nearest(protocol: ProtocolId, offered: &[String], wanted: &[String]) -> Option<Suite> {
    let wanted = all(protocol, wanted);
    let picked = all(protocol, offered).into_iter().map(|offer| pick(&offer, &wanted));
    // One that encrypts nothing comes last; else the first of those that share most, and of those one that is not weak.
    let best = picked.min_by_key(|(suite, missing)| (bare(suite), *missing, weak(suite).len()))?;
    Some(shown(&best.0))
}
/// The first of ours with another group.
pub fn with_group(protocol: ProtocolId, ours: &[String], group: &str) -> Option<Suite> {
    let first = all(protocol, ours).into_iter().next()?;
    let (mut suite, _) = pick(&first, &[]);
    suite.transforms.retain(|t| !t.kind.is_key_exchange());
    let text = format!("{}-{group}", keyword::proposal(&suite));
    keyword::parse(protocol, &text).ok().map(|suite| shown(&suite))
}
/// What the first of ours says about the group, for an offer that says nothing about it: in IKE_AUTH none is offered, whatever the rekeys will have.
pub fn keeping_group(suite: Suite, ours: &[String]) -> Suite {
    let groups =
        |proposal: &Proposal| proposal.transforms.iter().copied().filter(|t| t.kind == TransformType::KE).collect();
    let known: Vec<Vec<Transform>> = all(ProtocolId::ESP, ours).iter().map(groups).collect();
    match (read(ProtocolId::ESP, &suite.keywords), known.into_iter().next()) {
        (Some(mut own), Some(groups)) if !own.transforms.iter().any(|t| t.kind == TransformType::KE) => {
            own.transforms.extend(groups);
            shown(&own)
        }
        _ => suite,
    }
}
/// Whether all of them are as a configuration may write them.
pub fn are_sound(protocol: ProtocolId, texts: &[String]) -> bool {
    texts.iter().all(|text| keyword::parse(protocol, text).is_ok())
}

fn all(protocol: ProtocolId, texts: &[String]) -> Vec<Proposal> {
    texts.iter().filter_map(|text| read(protocol, text)).collect()
}
/// What runs here of what a peer may have written.
fn read(protocol: ProtocolId, text: &str) -> Option<Proposal> {
    let mut text = text.to_owned();
    for _ in 0..MOST_STRANGE {
        let error = match keyword::parse(protocol, &text) {
            Ok(proposal) => return Some(proposal),
            Err(error) if error.code.starts_with("keyword.") => error,
            Err(_) => return None,
        };
        let (at, len) = error.at;
        let (before, behind) = (text.get(..at)?, text.get(at + len..)?);
        text = [before.trim_end_matches('-'), behind.trim_start_matches('-')].join("-").trim_matches('-').to_owned();
    }
    None
}
/// One algorithm of each kind, such as are wanted where there are; and of how many kinds there is none or one side alone has any.
fn pick(offer: &Proposal, wanted: &[Proposal]) -> (Proposal, usize) {
    let mut kinds: Vec<TransformType> = offer.transforms.iter().map(|t| t.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let wants = |t: &Transform| wanted.iter().any(|proposal| proposal.transforms.contains(t));
    let mut missing = 0;
    let mut transforms = Vec::new();
    for kind in &kinds {
        let options: Vec<&Transform> = keyword::of(offer, *kind).collect();
        let common = options.iter().find(|t| wants(t));
        missing += usize::from(common.is_none());
        let strong = options.iter().find(|t| !is_weak(t));
        transforms.extend(common.or(strong).or(options.first()).map(|t| **t));
    }
    (Proposal { number: 1, spi: Vec::new(), transforms, ..offer.clone() }, missing)
}
fn weak(proposal: &Proposal) -> Vec<String> {
    proposal.transforms.iter().filter(|t| is_weak(t)).map(keyword::transform).collect()
}
fn shown(proposal: &Proposal) -> Suite {
    Suite { keywords: keyword::proposal(proposal), weak: weak(proposal), bare: bare(proposal) }
}
fn bare(proposal: &Proposal) -> bool {
    proposal.transforms.iter().any(is_bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }
    fn found(offered: &[&str], wanted: &[&str]) -> Option<String> {
        nearest(ProtocolId::IKE, &list(offered), &list(wanted)).map(|suite| suite.keywords)
    }

    #[test]
    fn the_nearest_suite_shares_most_and_has_one_algorithm_of_each_kind() {
        let ours = ["aes256-sha256-modp2048"];
        let theirs = ["aes128gcm16-prfsha384-ecp384", "aes128-aes256-sha1-sha256-prfsha1-prfsha256-modp1024-modp1536"];
        assert_eq!(found(&theirs, &ours).as_deref(), Some("aes256-sha256-prfsha256-modp1024"));
        assert_eq!(
            found(&["aes128-sha512-modp1024-modp4096"], &ours).as_deref(),
            Some("aes128-sha512-prfsha512-modp4096")
        );
    }
    #[test]
    fn what_does_not_run_here_is_left_out_and_what_is_left_has_to_be_a_suite() {
        let ours = ["aes256-sha256-modp2048"];
        let theirs = ["3des-aes128-md5-sha256-prfmd5-prfsha256-modp2048-unheardof"];
        assert_eq!(found(&theirs, &ours).as_deref(), Some("aes128-sha256-prfsha256-modp2048"));
        assert_eq!(found(&["3des-md5-prfmd5-modp1024"], &ours), None);
        assert_eq!(found(&["x\u{1b}[2J", ""], &ours), None);
    }
    #[test]
    fn what_encrypts_nothing_comes_last_and_is_weak() {
        let ours = list(&["aes256gcm16-modp2048"]);
        let of = |theirs: &[&str]| nearest(ProtocolId::ESP, &list(theirs), &ours).unwrap();
        assert_eq!(of(&["aes256gmac-modp2048", "aes128-sha1-modp1024"]).keywords, "aes128-sha1-modp1024");
        assert_eq!(of(&["aes256gmac-aes128gcm16-modp2048"]).keywords, "aes128gcm16-modp2048");
        let bare = of(&["aes256gmac-modp2048"]);
        assert!(bare.bare && bare.weak == ["aes256gmac"], "{bare:?}");
    }
    #[test]
    fn another_group_is_put_into_ours() {
        let ours = list(&["aes256-aes128-sha256-x25519-ecp256"]);
        let suite = with_group(ProtocolId::IKE, &ours, "modp1024").unwrap();
        assert_eq!(
            (suite.keywords.as_str(), suite.weak.as_slice()),
            ("aes256-sha256-prfsha256-modp1024", &list(&["modp1024"])[..])
        );
        assert_eq!(with_group(ProtocolId::IKE, &ours, "ke_999"), None);
    }
    #[test]
    fn an_offer_of_ike_auth_says_nothing_about_the_group_of_rekeys() {
        let suite = nearest(ProtocolId::ESP, &list(&["aes128-sha256"]), &list(&["aes256-sha256-modp2048"])).unwrap();
        assert_eq!(keeping_group(suite, &list(&["aes256-sha256-modp2048"])).keywords, "aes128-sha256-modp2048");
    }
}
