//! strongSwan's proposal keywords and our transforms: `aes256gcm16-prfsha384-ecp384`.
use super::payload::{Proposal, Transform};
use super::registry::{ProtocolId, TransformType};
/// Why a proposal string is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeywordError {
    /// Offset and length in the string of what is wrong.
    pub at: (usize, usize),
    /// Stable code: `keyword.unknown`, `keyword.unsupported`, `proposal.no_encr`, `proposal.no_integ`, `proposal.no_ke`, `proposal.aead_with_integ`, `proposal.prf_in_esp`, `proposal.no_prf` ...
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}
/// One string to one proposal of `ProtocolId::IKE` or `ESP` (number 1, no SPI), with the transforms of each type in the string's order. For IKE without a PRF
/// keyword the PRF follows the integrity algorithm (strongSwan's rule). ESP without esn/noesn means noesn.
pub fn parse(protocol: ProtocolId, s: &str) -> Result<Proposal, KeywordError> {
    let _ = (protocol, s);
    todo!()
}
/// The keyword of one transform, `encr_99` and the like when unknown.
pub fn transform(t: &Transform) -> String {
    let _ = t;
    todo!()
}
/// The whole proposal, `aes256-sha256-prfsha256-modp2048`.
pub fn proposal(p: &Proposal) -> String {
    let _ = p;
    todo!()
}
/// The default list of strong suites.
pub fn defaults(protocol: ProtocolId) -> Vec<Proposal> {
    let _ = protocol;
    todo!()
}
/// Transforms of one type.
pub fn of(p: &Proposal, kind: TransformType) -> impl Iterator<Item = &Transform> {
    p.transforms.iter().filter(move |t| t.kind == kind)
}
