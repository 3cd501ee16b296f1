//! strongSwan's proposal keywords and our transforms: `aes256gcm16-prfsha384-ecp384`.
mod words;

use super::payload::{Proposal, Transform};
use super::registry::{EncrId, EsnId, IntegId, KeId, PrfId, ProtocolId, TransformType};
use words::{Fit, Word};

/// Why a proposal string is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeywordError {
    /// Offset and length in the string, in octets, of what is wrong.
    pub at: (usize, usize),
    /// Stable code: `keyword.unknown`, `keyword.unsupported`, `keyword.duplicate`, `proposal.no_encr`, `proposal.no_integ`, `proposal.no_ke`, `proposal.no_prf`,
    /// `proposal.aead_with_integ`, `proposal.mixed_aead`, `proposal.prf_in_esp`, `proposal.esn_in_ike`, `proposal.none_in_ike`, `proposal.null_in_ike`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// One string to one proposal of `ProtocolId::IKE` or `ESP` (number 1, no SPI), with the transforms of each type in the string's order. For IKE without a PRF
/// keyword the PRF follows the integrity algorithm (strongSwan's rule). ESP without esn/noesn means noesn.
pub fn parse(protocol: ProtocolId, s: &str) -> Result<Proposal, KeywordError> {
    let mut found = Found { protocol, whole: s, transforms: Vec::new() };
    let mut at = 0;
    for token in s.split('-') {
        found.add(at, token)?;
        at += token.len() + 1;
    }
    found.check_ciphers()?;
    found.check_exchanges()?;
    if protocol == ProtocolId::IKE {
        found.complete_ike()?
    } else {
        found.complete_esp()
    }
    found.transforms.sort_by_key(|(t, _)| t.kind);
    let transforms = found.transforms.into_iter().map(|(t, _)| t).collect();
    Ok(Proposal { number: 1, protocol, spi: Vec::new(), transforms })
}

/// The keyword of one transform, `encr_99` and the like when unknown (`encr_99_256` with a key length, `type13_4` of an unknown
/// type); `?` behind it means an attribute that we do not know.
pub fn transform(t: &Transform) -> String {
    let mut out = match (words::of(t), t.kind) {
        (Some(word), TransformType(n @ 6..=12)) => format!("ke{}_{word}", n - 5),
        (Some(word), _) => word.to_owned(),
        (None, kind) => {
            let name = match kind {
                TransformType::ENCR => "encr".into(),
                TransformType::PRF => "prf".into(),
                TransformType::INTEG => "integ".into(),
                TransformType::KE => "ke".into(),
                TransformType::ESN => "esn".into(),
                TransformType(n @ 6..=12) => format!("ke{}_ke", n - 5),
                TransformType(n) => format!("type{n}"),
            };
            match t.key_bits {
                Some(bits) => format!("{name}_{}_{bits}", t.id),
                None => format!("{name}_{}", t.id),
            }
        }
    };
    if t.foreign {
        out.push('?');
    }
    out
}

/// The whole proposal, `aes256-sha256-prfsha256-modp2048`. `noesn` alone is not worth a word.
pub fn proposal(p: &Proposal) -> String {
    const ORDER: [TransformType; 3] = [TransformType::ENCR, TransformType::INTEG, TransformType::PRF];
    let silent = of(p, TransformType::ESN).all(|t| t.id == EsnId::NO.0 && !t.foreign);
    let rank = |t: &&Transform| match ORDER.iter().position(|kind| *kind == t.kind) {
        Some(place) => (place, 0),
        None if t.kind.is_key_exchange() => (ORDER.len(), t.kind.0),
        None if t.kind == TransformType::ESN => (ORDER.len() + 1, 0),
        None => (ORDER.len() + 2, 0),
    };
    let mut transforms: Vec<_> = p.transforms.iter().filter(|t| t.kind != TransformType::ESN || !silent).collect();
    transforms.sort_by_key(rank);
    transforms.into_iter().map(transform).collect::<Vec<_>>().join("-")
}

/// The default list of strong suites: AEAD first, then AES-CBC with SHA-2. ESP without key exchange (the child of IKE_AUTH can have none), with and
/// without extended sequence numbers.
pub fn defaults(protocol: ProtocolId) -> Vec<Proposal> {
    const IKE: [&str; 2] = [
        "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha384-prfsha256-prfsha512-x25519-ecp384-ecp256-modp3072-modp4096-modp2048",
        "aes256-aes128-sha256-sha384-sha512-prfsha256-prfsha384-prfsha512-x25519-ecp384-ecp256-modp3072-modp4096-modp2048",
    ];
    const ESP: [&str; 2] =
        ["aes256gcm16-aes128gcm16-chacha20poly1305-esn-noesn", "aes256-aes128-sha256-sha384-sha512-esn-noesn"];
    let strings = if protocol == ProtocolId::IKE { IKE } else { ESP };
    let proposals = strings.iter().filter_map(|s| parse(protocol, s).ok());
    proposals.zip(1..).map(|(p, number)| Proposal { number, ..p }).collect()
}

/// Transforms of one type.
pub fn of(p: &Proposal, kind: TransformType) -> impl Iterator<Item = &Transform> {
    p.transforms.iter().filter(move |t| t.kind == kind)
}

/// What the keywords read so far say, each with its place.
struct Found<'a> {
    protocol: ProtocolId,
    whole: &'a str,
    transforms: Vec<(Transform, (usize, usize))>,
}
impl Found<'_> {
    fn add(&mut self, at: usize, token: &str) -> Result<(), KeywordError> {
        let place = (at, token.len());
        let refuse = |code, message, hint: String| Err(KeywordError { at: place, code, message, hint });
        let additional = words::find_additional(token);
        let word = match additional.map(|(_, word)| word).or_else(|| words::find(token)) {
            Some(Word { fit: Fit::Runs, transform, .. }) => *transform,
            Some(Word { fit: Fit::Additional, transform, .. }) if additional.is_some() => *transform,
            Some(Word { fit: Fit::Additional, .. }) => {
                return refuse(
                    "keyword.unsupported",
                    format!("Sandhog runs `{token}` only beside another key exchange"),
                    format!("write `x25519-ke1_{token}`"),
                );
            }
            Some(Word { fit: Fit::Instead(other), .. }) => {
                let prefix = token.get(..4).filter(|_| additional.is_some()).unwrap_or_default();
                return refuse(
                    "keyword.unsupported",
                    format!("`{token}` is known, but Sandhog cannot run it"),
                    format!("write `{prefix}{other}`"),
                );
            }
            None if token.is_empty() => {
                return refuse(
                    "keyword.unknown",
                    "a keyword is missing".into(),
                    "write keywords with single hyphens between, as in aes256-sha256-x25519".into(),
                );
            }
            None => return refuse("keyword.unknown", format!("unknown keyword `{token}`"), words::suggestion(token)),
        };
        let word = Transform { kind: additional.map_or(word.kind, |(kind, _)| kind), ..word };
        let esp = self.protocol != ProtocolId::IKE;
        match word.kind {
            TransformType::PRF if esp => {
                return refuse(
                    "proposal.prf_in_esp",
                    format!("`{token}` is a PRF, and ESP has none"),
                    "leave it out, or write it into the IKE proposals".into(),
                );
            }
            TransformType::ESN if !esp => {
                return refuse(
                    "proposal.esn_in_ike",
                    format!("`{token}` is about ESP"),
                    "leave it out, or write it into the ESP proposals".into(),
                );
            }
            TransformType::ENCR if word.id == EncrId::NULL_AUTH_AES_GMAC.0 && !esp => {
                return refuse(
                    "proposal.null_in_ike",
                    format!("`{token}` does not encrypt, and IKE always does"),
                    format!("write `{}`", token.replace("gmac", "gcm16")),
                );
            }
            TransformType::KE if word.id == KeId::NONE.0 && !esp => {
                let hint = "leave it out; a group such as x25519 or modp2048 is needed".into();
                return refuse("proposal.none_in_ike", "IKE always needs a key exchange".into(), hint);
            }
            _ => {}
        }
        if self.transforms.iter().any(|(t, _)| *t == word) {
            return refuse("keyword.duplicate", format!("`{token}` is there already"), "leave it out".into());
        }
        self.transforms.push((word, place));
        Ok(())
    }

    fn of(&self, kind: TransformType) -> impl Iterator<Item = &(Transform, (usize, usize))> {
        self.transforms.iter().filter(move |(t, _)| t.kind == kind)
    }
    fn has(&self, kind: TransformType) -> bool {
        self.of(kind).next().is_some()
    }
    /// A proposal where something is missing, as a whole.
    fn missing(&self, code: &'static str, message: &str, hint: String) -> KeywordError {
        KeywordError { at: (0, self.whole.len()), code, message: message.into(), hint }
    }
    /// The text without the keywords of one type.
    fn without(&self, kind: TransformType) -> String {
        let keep = self.transforms.iter().filter(|(t, _)| t.kind != kind);
        keep.filter_map(|(_, (at, len))| self.whole.get(*at..at + len)).collect::<Vec<_>>().join("-")
    }

    /// Encryption with exactly the integrity that it needs (RFC 5282 section 8, RFC 7296 section 3.3.3).
    fn check_ciphers(&self) -> Result<(), KeywordError> {
        let mut ciphers = self.of(TransformType::ENCR);
        let Some((first, _)) = ciphers.next() else {
            return Err(self.missing(
                "proposal.no_encr",
                "no encryption algorithm",
                format!("write `aes256gcm16-{}`", self.without(TransformType::INTEG)),
            ));
        };
        let aead = is_aead(first);
        if let Some((_, at)) = ciphers.find(|(t, _)| is_aead(t) != aead) {
            return Err(KeywordError {
                at: *at,
                code: "proposal.mixed_aead",
                message: "ciphers with and without integrity of their own in one proposal".into(),
                hint: "write two proposals: one with the gcm, ccm, gmac and chacha20poly1305 ciphers, one with the others and their sha keywords".into(),
            });
        }
        match self.of(TransformType::INTEG).next() {
            Some((integ, at)) if aead => Err(KeywordError {
                at: *at,
                code: "proposal.aead_with_integ",
                message: "this cipher has an integrity of its own".into(),
                hint: match words::of(&prf_of(integ))
                    .filter(|_| self.protocol == ProtocolId::IKE && !self.has(TransformType::PRF))
                {
                    Some(prf) => format!("write `{prf}` instead: it is the PRF that is missing"),
                    None => format!("write `{}`", self.without(TransformType::INTEG)),
                },
            }),
            None if !aead => Err(self.missing(
                "proposal.no_integ",
                "no integrity algorithm",
                format!("write `{}-sha256`", self.whole),
            )),
            _ => Ok(()),
        }
    }

    /// Additional key exchanges follow a first one, and no method may be used twice (RFC 9370 section 2.2.1).
    fn check_exchanges(&self) -> Result<(), KeywordError> {
        let Some((_, at)) = self.transforms.iter().find(|(t, _)| t.kind.is_additional()) else { return Ok(()) };
        if !self.of(TransformType::KE).any(|(t, _)| t.id != KeId::NONE.0) {
            return Err(KeywordError {
                at: *at,
                code: "proposal.no_ke",
                message: "an additional key exchange without a first one".into(),
                hint: format!("write `{}-x25519`", self.whole),
            });
        }
        let only = |t: &Transform| self.of(t.kind).count() == 1 && t.id != KeId::NONE.0;
        let exchanges = self.transforms.iter().filter(|(t, _)| t.kind.is_key_exchange() && only(t));
        let mut ids = Vec::new();
        for (t, at) in exchanges {
            if ids.contains(&t.id) {
                return Err(KeywordError {
                    at: *at,
                    code: "keyword.duplicate",
                    message: "the same key exchange cannot be made twice".into(),
                    hint: "write another one, or leave it out".into(),
                });
            }
            ids.push(t.id);
        }
        Ok(())
    }

    fn complete_ike(&mut self) -> Result<(), KeywordError> {
        if !self.has(TransformType::KE) {
            return Err(self.missing(
                "proposal.no_ke",
                "no key exchange group",
                format!("write `{}-x25519`", self.whole),
            ));
        }
        if !self.has(TransformType::PRF) {
            let derived: Vec<_> = self.of(TransformType::INTEG).map(|(integ, at)| (prf_of(integ), *at)).collect();
            if derived.is_empty() {
                return Err(self.missing("proposal.no_prf", "no PRF", format!("write `{}-prfsha256`", self.whole)));
            }
            self.transforms.extend(derived);
        }
        Ok(())
    }
    fn complete_esp(&mut self) {
        if !self.has(TransformType::ESN) {
            let no = Transform { kind: TransformType::ESN, id: EsnId::NO.0, key_bits: None, foreign: false };
            self.transforms.push((no, (self.whole.len(), 0)));
        }
    }
}

fn is_aead(t: &Transform) -> bool {
    const AEADS: [EncrId; 8] = [
        EncrId::AES_GCM_8,
        EncrId::AES_GCM_12,
        EncrId::AES_GCM_16,
        EncrId::AES_CCM_8,
        EncrId::AES_CCM_12,
        EncrId::AES_CCM_16,
        EncrId::NULL_AUTH_AES_GMAC,
        EncrId::CHACHA20_POLY1305,
    ];
    AEADS.contains(&EncrId(t.id))
}

/// The PRF with the hash, or with the mode of AES, of an integrity algorithm.
fn prf_of(integ: &Transform) -> Transform {
    let id = match IntegId(integ.id) {
        IntegId::HMAC_SHA1_96 => PrfId::HMAC_SHA1,
        IntegId::HMAC_SHA2_384_192 => PrfId::HMAC_SHA2_384,
        IntegId::HMAC_SHA2_512_256 => PrfId::HMAC_SHA2_512,
        IntegId::AES_XCBC_96 => PrfId::AES128_XCBC,
        IntegId::AES_CMAC_96 => PrfId::AES128_CMAC,
        _ => PrfId::HMAC_SHA2_256,
    };
    Transform { kind: TransformType::PRF, id: id.0, key_bits: None, foreign: false }
}

#[cfg(test)]
mod tests;
