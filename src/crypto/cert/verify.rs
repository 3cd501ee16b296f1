//! Verification of a peer's chain and signature: the slow part of IKE_AUTH, made to run on a thread of its own.
use super::{Certificate, Crl, Revocation, Trust, date};
use crate::crypto::sign::Scheme;
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use std::sync::Arc;
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeId,
    KeyPurposeIdIter, RevocationCheckDepth, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};

/// Two clocks that differ by less are wrong, and not the certificate.
const SKEW: Duration = Duration::from_secs(24 * 3600);
/// Addresses of revocation lists that are asked for one chain.
const MAX_LOCATIONS: usize = 3;
/// Signatures of authorities: SHA-2 alone, RSA from 2,048 bits.
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = webpki::ALL_VERIFICATION_ALGS;

/// A peer's claim: these certificates, and this signature over that message by the key in the first of them.
#[derive(Clone, Debug)]
pub struct Verify {
    /// Its certificate, then what may help to find the way to an authority, in any order.
    pub chain: Vec<Certificate>,
    /// Whom we believe.
    pub trust: Arc<Trust>,
    /// Revocation lists that were fetched for this chain.
    pub fetched: Vec<Arc<Crl>>,
    /// The wall clock, since 1970.
    pub now: Duration,
    /// How it was signed.
    pub scheme: Scheme,
    /// What was signed.
    pub message: Vec<u8>,
    /// AUTH.
    pub signature: Vec<u8>,
}
/// Proof that a chain leads to one of the authorities, and that its first certificate's key has signed the message. Only [`Verify::run`] makes it.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Whose key it was.
    certificate: Certificate,
    /// The earliest end of the chain's certificates, since 1970.
    not_after: Duration,
    /// The status of a certificate of the chain is not known: where to ask, if anywhere.
    missing: Option<Vec<String>>,
}
impl Verified {
    /// Whose key it was.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
    /// When the first certificate of the chain ends, since 1970.
    pub fn not_after(&self) -> Duration {
        self.not_after
    }
    /// `Some` if for a certificate of the chain no current revocation list is at hand: where to fetch one (at most three `http` addresses).
    pub fn missing(&self) -> Option<&[String]> {
        self.missing.as_deref()
    }
}
/// Why a claim is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `auth.cert.expired`, `auth.signature` ...
    pub code: &'static str,
    /// What was compared: what we hold against it, and what it shows.
    pub values: Vec<Compared>,
    /// What of it differs.
    pub differing: Vec<&'static str>,
    /// What else it may be, if it cannot be known.
    pub candidates: Vec<&'static str>,
}
/// What it is (`hashes`, `clock` ...), our values and the peer's.
pub type Compared = (&'static str, Vec<String>, Vec<String>);
impl Fault {
    /// A fault with one value of each side; an empty one is none.
    pub fn new(code: &'static str, what: &'static str, local: impl Into<String>, peer: impl Into<String>) -> Self {
        let one = |text: String| if text.is_empty() { Vec::new() } else { vec![text] };
        Self::of(code).and(what, one(local.into()), one(peer.into()))
    }
    /// A fault without values.
    pub fn of(code: &'static str) -> Self {
        Self { code, values: Vec::new(), differing: Vec::new(), candidates: Vec::new() }
    }
    /// What of the values differs.
    #[must_use]
    pub fn differs(self, differing: Vec<&'static str>) -> Self {
        Self { differing, ..self }
    }
    /// It is no more than likely: what it may be, this among it.
    #[must_use]
    pub fn or_else(self, candidates: &[&'static str]) -> Self {
        Self { candidates: candidates.to_vec(), ..self }
    }
    /// What else was compared.
    #[must_use]
    pub fn and(mut self, what: &'static str, local: Vec<String>, peer: Vec<String>) -> Self {
        self.values.push((what, local, peer));
        self
    }
}

impl Verify {
    /// The way to an authority, the usage, revocation, and at last the signature.
    ///
    /// # Errors
    /// The most telling reason.
    pub fn run(&self) -> Result<Verified, Fault> {
        let Some(first) = self.chain.first() else {
            return Err(Fault::new("auth.cert.missing", "certificate", "", "none"));
        };
        let key = first.key().map_err(|fault| {
            Fault::new("auth.cert.weak", "key", "RSA of 2048 to 8192 bits, P-256, P-384, Ed25519", fault.to_string())
        })?;
        if !first.signs {
            return Err(Fault::new("auth.cert.usage", "usage", "digitalSignature", "a key usage without it"));
        }
        let (not_after, missing) = self.path(first)?;
        key.verify(self.scheme, &self.message, &self.signature)
            .map_err(|_| Fault::new("auth.signature", "signature", key.kind().to_string(), self.scheme.to_string()))?;
        Ok(Verified { certificate: first.clone(), not_after, missing })
    }

    fn path(&self, first: &Certificate) -> Result<(Duration, Option<Vec<String>>), Fault> {
        let der = CertificateDer::from(first.der());
        let leaf = EndEntityCert::try_from(&der).map_err(|e| self.fault(first, &e))?;
        let helpers: Vec<CertificateDer<'_>> =
            self.chain.iter().skip(1).filter(|c| c.is_authority()).map(|c| CertificateDer::from(c.der())).collect();
        let (current, ended): (Vec<_>, Vec<_>) = (self.trust.anchors.iter())
            .partition(|a| (a.certificate.not_before..=a.certificate.not_after).contains(&self.now));
        let anchors: Vec<TrustAnchor<'_>> = current.iter().map(|a| a.anchor.clone()).collect();
        let build = |anchors, helpers, crls: Option<(&[&CertRevocationList<'_>], bool)>| {
            let revocation = crls.and_then(|(crls, strict)| {
                let builder = RevocationOptionsBuilder::new(crls).ok()?.with_depth(RevocationCheckDepth::Chain);
                Some(
                    match strict {
                        true => builder
                            .with_status_policy(UnknownStatusPolicy::Deny)
                            .with_expiration_policy(ExpirationPolicy::Enforce),
                        false => builder
                            .with_status_policy(UnknownStatusPolicy::Allow)
                            .with_expiration_policy(ExpirationPolicy::Ignore),
                    }
                    .build(),
                )
            });
            leaf.verify_for_usage(
                ALGORITHMS,
                anchors,
                helpers,
                UnixTime::since_unix_epoch(self.now),
                Usage,
                revocation,
                None,
            )
        };
        let path = match build(&anchors, &helpers, None) {
            Ok(path) => path,
            Err(error) => {
                let old: Vec<TrustAnchor<'_>> = ended.iter().map(|a| a.anchor.clone()).collect();
                if build(&old, &helpers, None).is_ok() {
                    return Err(self.authority(&ended.iter().map(|a| &a.certificate).collect::<Vec<_>>()));
                }
                return Err(self.fault(first, &error));
            }
        };
        let not_after = self.ends(&path).min().unwrap_or(first.not_after);
        if self.trust.revocation == Revocation::None {
            return Ok((not_after, None));
        }
        // Of this path alone: beside another certificate of its issuer's name, whoever made that, webpki may tell what is wrong with that one
        // and not that something is revoked.
        let way: Vec<CertificateDer<'_>> = path.intermediate_certificates().map(|c| c.der()).collect();
        let end = [path.anchor().clone()];
        // One list at a time: one that is forged or broken must not stand before one that is good.
        let mut useful: Vec<&Crl> = Vec::new();
        for crl in self.trust.crls.iter().chain(self.fetched.iter().map(|crl| &**crl)) {
            match build(&end, &way, Some((&[&crl.list], false))) {
                Ok(_) => useful.push(crl),
                Err(Error::CertRevoked) => return Err(self.fault(first, &Error::CertRevoked)),
                Err(_) => {}
            }
        }
        useful.sort_by_key(|crl| std::cmp::Reverse(crl.this_update()));
        let lists: Vec<&CertRevocationList<'_>> = useful.iter().map(|crl| &crl.list).collect();
        let known = !lists.is_empty() && build(&end, &way, Some((&lists, true))).is_ok();
        Ok((not_after, (!known).then(|| self.locations(&path))))
    }
    /// The certificates of the path, as we have taken them apart.
    fn members<'s>(&'s self, path: &VerifiedPath<'_>) -> impl Iterator<Item = &'s Certificate> {
        let ders: Vec<Vec<u8>> = std::iter::once(path.end_entity().der().to_vec())
            .chain(path.intermediate_certificates().map(|c| c.der().to_vec()))
            .collect();
        self.chain.iter().filter(move |c| ders.iter().any(|der| *der == c.der()))
    }
    fn ends(&self, path: &VerifiedPath<'_>) -> impl Iterator<Item = Duration> {
        self.members(path).map(|c| c.not_after)
    }
    /// One of each certificate first, as each needs a list of its own (RFC 5280 section 6.3.3), then what else they name.
    fn locations(&self, path: &VerifiedPath<'_>) -> Vec<String> {
        let members: Vec<&Certificate> = self.members(path).collect();
        let most = members.iter().map(|c| c.crl_locations().len()).max().unwrap_or(0);
        let mut found: Vec<String> = Vec::new();
        for url in (0..most).flat_map(|i| members.iter().filter_map(move |c| c.crl_locations().get(i))) {
            if found.len() < MAX_LOCATIONS && !found.contains(url) {
                found.push(url.clone());
            }
        }
        found
    }
    /// Of who is vouched for by an authority whose time is not now.
    fn authority(&self, ended: &[&Certificate]) -> Fault {
        let now = vec![format!("now {}", date(self.now))];
        if ended.iter().all(|authority| authority.not_before > self.now) {
            let begins = ended.iter().map(|a| format!("its authority from {}", date(a.not_before))).collect();
            // Nobody trusts one that is still to come: it is the clock.
            return Fault::of("auth.cert.not_yet_valid").and("clock", now, begins).differs(vec!["clock"]);
        }
        let ends = ended.iter().map(|a| format!("its authority until {}", date(a.not_after))).collect();
        Fault::of("auth.cert.expired").and("clock", now, ends)
    }
    /// What begins so soon was made just now, by somebody with another clock; and who is before his own authority has a wrong one in any case.
    fn is_slow(&self, not_before: Duration) -> bool {
        let of_authorities = self.trust.authorities().map(|authority| authority.not_before).min();
        not_before.saturating_sub(self.now) < SKEW || of_authorities.is_some_and(|begin| begin > self.now)
    }
    fn fault(&self, first: &Certificate, error: &Error) -> Fault {
        let now = date(self.now);
        match error {
            Error::CertExpired { not_after, .. } => Fault::new(
                "auth.cert.expired",
                "clock",
                format!("now {now}"),
                format!("until {}", date(Duration::from_secs(not_after.as_secs()))),
            ),
            Error::CertNotValidYet { not_before, .. } => {
                let begin = Duration::from_secs(not_before.as_secs());
                let differing = if self.is_slow(begin) { vec!["clock"] } else { Vec::new() };
                let (ours, theirs) = (format!("now {now}"), format!("from {}", date(begin)));
                Fault::new("auth.cert.not_yet_valid", "clock", ours, theirs).differs(differing)
            }
            Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => {
                let known = self.trust.authorities().take(8).map(|a| a.subject_text()).collect();
                Fault::of("auth.cert.unknown_ca").and("authorities", known, vec![first.issuer_text().to_string()])
            }
            Error::CertRevoked => Fault::new(
                "auth.cert.revoked",
                "revocation",
                "the authority's revocation list",
                format!("serial {}", hex::encode(first.serial())),
            ),
            Error::NameConstraintViolation | Error::MalformedNameConstraint => {
                Fault::new("auth.cert.name", "names", "the name constraints of its authority", "a name outside of them")
            }
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => Fault::new(
                "auth.cert.usage",
                "usage",
                "ipsecIKE, serverAuth, clientAuth or any",
                "an extended key usage without these",
            ),
            Error::CaUsedAsEndEntity => {
                Fault::new("auth.cert.usage", "usage", "a certificate of its own", "the certificate of an authority")
            }
            Error::EndEntityUsedAsCa | Error::PathLenConstraintViolated => Fault::new(
                "auth.cert.usage",
                "usage",
                "authorities in the chain",
                "a certificate that may not sign this",
            ),
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => Fault::new(
                "auth.cert.weak",
                "signature",
                "signatures with SHA-256, SHA-384 or SHA-512",
                "another algorithm",
            ),
            other => Fault::new("auth.cert.malformed", "certificate", "RFC 5280", format!("{other:?}")),
        }
    }
}

/// Extended key usage (RFC 4945 section 5.1.3.12): none, any, for IKE, or for one end of TLS, which is what authorities put in.
struct Usage;
impl ExtendedKeyUsageValidator for Usage {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        const ANY: &[u8] = &[0x55, 0x1d, 0x25, 0x00];
        const PKIX: [u8; 7] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03];
        let pkix = [1, 2, 17].map(|last| [&PKIX[..], &[last]].concat());
        let good = |id: KeyPurposeId<'_>| {
            id == KeyPurposeId::new(ANY) || pkix.iter().any(|known| id == KeyPurposeId::new(known))
        };
        let mut none = true;
        for purpose in purposes {
            none = false;
            if good(purpose?) {
                return Ok(());
            }
        }
        if none { Ok(()) } else { Err(Error::EmptyEkuExtension) }
    }
}
