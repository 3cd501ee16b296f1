//! Whom we trust, and what they have revoked.
use super::Certificate;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, TrustAnchor};
use std::time::Duration;
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_cert::der::Decode;

/// Lists in one file at most.
const MAX_IN_FILE: usize = 64;

/// What to do about revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Revocation {
    /// Revoked is refused; not to know passes, and is told as a warning.
    #[default]
    Relaxed,
    /// Not to know is refused, too.
    Strict,
    /// Nobody is asked.
    None,
}

/// Whom a connection believes about its peer.
#[derive(Debug, Default)]
pub struct Trust {
    pub(super) anchors: Vec<Anchor>,
    pub(super) crls: Vec<Crl>,
    pub(super) revocation: Revocation,
}
#[derive(Debug)]
pub(super) struct Anchor {
    pub certificate: Certificate,
    pub anchor: TrustAnchor<'static>,
}
impl Trust {
    /// Authorities (self-signed or not: what they are is for who configures them) and the revocation lists that are at hand.
    ///
    /// # Errors
    /// Which certificate cannot be an authority.
    pub fn new(authorities: Vec<Certificate>, crls: Vec<Crl>, revocation: Revocation) -> Result<Self, String> {
        let anchor = |certificate: Certificate| {
            let der = CertificateDer::from(certificate.der());
            let anchor =
                webpki::anchor_from_trusted_cert(&der).map_err(|e| format!("not an authority: {e:?}"))?.to_owned();
            if !certificate.is_authority() {
                return Err("a certificate that may not sign others is no authority".to_owned());
            }
            Ok(Anchor { certificate, anchor })
        };
        Ok(Self { anchors: authorities.into_iter().map(anchor).collect::<Result<_, _>>()?, crls, revocation })
    }
    /// The authorities.
    pub fn authorities(&self) -> impl Iterator<Item = &Certificate> {
        self.anchors.iter().map(|a| &a.certificate)
    }
    /// The same authorities, and lists of the same days.
    pub fn same(&self, other: &Self) -> bool {
        let same = self.authorities().eq(other.authorities()) && self.lists() == other.lists();
        same && self.revocation == other.revocation
    }
    /// The days of the revocation lists at hand: when each was made, and when the next is due.
    pub fn lists(&self) -> Vec<(Duration, Option<Duration>)> {
        self.crls.iter().map(|crl| (crl.this_update, crl.next_update)).collect()
    }
    /// What to do about revocation.
    pub fn revocation(&self) -> Revocation {
        self.revocation
    }
}

/// A certificate revocation list (RFC 5280 section 5). Who has signed it is looked at when it is used.
pub struct Crl {
    pub(super) list: CertRevocationList<'static>,
    this_update: Duration,
    next_update: Option<Duration>,
}
impl std::fmt::Debug for Crl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crl").field("this_update", &self.this_update).field("next_update", &self.next_update).finish()
    }
}
impl Crl {
    /// Reads a list in DER: version 2, neither indirect nor a delta.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let wrong = |e: String| format!("not a revocation list: {e}");
        let list = OwnedCertRevocationList::from_der(der).map_err(|e| wrong(format!("{e:?}")))?;
        let list = CertRevocationList::from(list);
        let parsed = x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der);
        let tbs = parsed.map_err(|e| wrong(e.to_string()))?.tbs_cert_list;
        Ok(Self {
            list,
            this_update: tbs.this_update.to_unix_duration(),
            next_update: tbs.next_update.map(|at| at.to_unix_duration()),
        })
    }
    /// Reads all lists of a file, PEM or DER: at least one, at most 64.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(file: &[u8]) -> Result<Vec<Self>, String> {
        if !file.windows(11).any(|w| w == b"-----BEGIN ") {
            return Self::parse(file).map(|one| vec![one]);
        }
        let mut found = Vec::new();
        for der in CertificateRevocationListDer::pem_slice_iter(file) {
            found.push(Self::parse(der.map_err(|_| "broken PEM")?.as_ref())?);
            if found.len() > MAX_IN_FILE {
                return Err(format!("more than {MAX_IN_FILE} revocation lists"));
            }
        }
        if found.is_empty() { Err("there is no revocation list in it".into()) } else { Ok(found) }
    }
    /// When it was made, since 1970.
    pub fn this_update(&self) -> Duration {
        self.this_update
    }
    /// When the next one is due, since 1970.
    pub fn next_update(&self) -> Option<Duration> {
        self.next_update
    }
}
