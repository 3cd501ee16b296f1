//! Lists of proposals in strongSwan's keywords.
use super::report::Report;
use super::text::{At, Node};
use super::value;
use crate::wire::keyword;
use crate::wire::payload::{Proposal, Transform};
use crate::wire::registry::{EncrId, IntegId, KeId, PrfId, ProtocolId, TransformType};

/// Most proposals in one list: their numbers have one octet (RFC 7296 section 3.3.1).
const MOST: usize = 255;

/// A list of proposals; `default` stands for all of the strong ones.
pub(super) fn list(report: &mut Report<'_>, node: &Node, protocol: ProtocolId) -> Option<Vec<Proposal>> {
    let lists = value::list_of_some(report, node, |report, node| one(report, node, protocol))?;
    let proposals: Vec<Proposal> = lists.into_iter().flat_map(|(list, _)| list).collect();
    if proposals.len() > MOST {
        return report.refuse(node.at, "proposal.too_many", "more than 255 proposals", "the first few decide");
    }
    Some(proposals)
}

fn one(report: &mut Report<'_>, node: &Node, protocol: ProtocolId) -> Option<Vec<Proposal>> {
    let given = value::string(report, node)?;
    if given == "default" {
        return Some(keyword::defaults(protocol));
    }
    match keyword::parse(protocol, given) {
        Ok(proposal) => {
            warn_of_weak(report, node.at, &proposal);
            Some(vec![proposal])
        }
        Err(error) => {
            let at = report.inside(node.at, given, error.at);
            report.refuse(at, error.code, error.message, error.hint)
        }
    }
}

/// It protects against changes, and everybody can read what travels.
pub(super) fn is_bare(t: &Transform) -> bool {
    t.kind == TransformType::ENCR && t.id == EncrId::NULL_AUTH_AES_GMAC.0
}
/// Weak by today's measure.
pub(super) fn is_weak(t: &Transform) -> bool {
    match t.kind {
        TransformType::ENCR => is_bare(t),
        TransformType::KE => {
            [KeId::MODP_768, KeId::MODP_1024, KeId::MODP_1536, KeId::MODP_1024_160].contains(&KeId(t.id))
        }
        TransformType::INTEG => [IntegId::HMAC_SHA1_96, IntegId::HMAC_MD5_96].contains(&IntegId(t.id)),
        TransformType::PRF => [PrfId::HMAC_SHA1, PrfId::HMAC_MD5].contains(&PrfId(t.id)),
        _ => false,
    }
}
/// These are only ever offered because a configuration names them.
fn warn_of_weak(report: &mut Report<'_>, at: At, proposal: &Proposal) {
    if proposal.transforms.iter().any(is_bare) {
        let message = "gmac protects against changes, but everybody can read what travels";
        report.warn(at, "proposal.weak", message, "write gcm16 instead, unless that is meant");
    }
    let weak = proposal.transforms.iter().filter(|t| is_weak(t) && !is_bare(t));
    let mut words: Vec<String> = weak.map(keyword::transform).collect();
    words.dedup();
    if !words.is_empty() {
        let message = format!("weak by today's measure: {}", words.join(", "));
        report.warn(at, "proposal.weak", message, "aes256-sha256-modp2048 or stronger, if the peer can");
    }
}
