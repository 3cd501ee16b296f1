//! Certificates (RFC 5280, RFC 4945): what is in one, which authorities are trusted, and whether a chain leads to one of them.
#[cfg(test)]
pub mod tests;
mod trust;
mod verify;

pub use trust::{Crl, Revocation, Trust};
pub use verify::{Compared, Fault, Verified, Verify};

use super::sign::{KeyFault, PublicKey};
use crate::wire::registry::IdType;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::net::IpAddr;
use std::time::Duration;
use x509_cert::der::{DateTime, Decode, Encode};
use x509_cert::ext::pkix::name::{DistributionPointName, GeneralName};
use x509_cert::ext::pkix::{BasicConstraints, CrlDistributionPoints, KeyUsage, SubjectAltName};

/// Certificates in one file at most.
const MAX_IN_FILE: usize = 256;
/// Names and addresses of lists that one certificate may have.
const MAX_NAMES: usize = 256;

/// One X.509 certificate, taken apart. That it parses says nothing about who has signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    subject: Vec<u8>,
    issuer: Vec<u8>,
    spki: Vec<u8>,
    serial: Vec<u8>,
    not_before: Duration,
    not_after: Duration,
    names: Vec<Name>,
    key: Result<PublicKey, KeyFault>,
    signs: bool,
    authority: bool,
    marked: bool,
    lists: Vec<String>,
}
/// A name out of the subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// FQDN, RFC822_ADDR, IPV4_ADDR or IPV6_ADDR.
    pub kind: IdType,
    /// As an identification payload has it.
    pub data: Vec<u8>,
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = match self.kind {
            IdType::IPV4_ADDR => <[u8; 4]>::try_from(self.data.as_slice()).ok().map(IpAddr::from),
            IdType::IPV6_ADDR => <[u8; 16]>::try_from(self.data.as_slice()).ok().map(IpAddr::from),
            _ => None,
        };
        match address {
            Some(address) => address.fmt(f),
            None => f.write_str(&String::from_utf8_lossy(&self.data)),
        }
    }
}

impl Certificate {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(der: &[u8]) -> Result<Self, String> {
        let parsed = x509_cert::Certificate::from_der(der).map_err(|e| format!("not a certificate: {e}"))?;
        let tbs = parsed.tbs_certificate();
        let encode = |value: &dyn Encoded| value.octets().map_err(|e| format!("not a certificate: {e}"));
        let wrong = |what: &str| format!("a certificate with a malformed {what}");
        let names = match tbs.get_extension::<SubjectAltName>().map_err(|_| wrong("subjectAltName"))? {
            Some((_, SubjectAltName(names))) => names.iter().take(MAX_NAMES).filter_map(name).collect(),
            None => Vec::new(),
        };
        let usage = tbs.get_extension::<KeyUsage>().map_err(|_| wrong("keyUsage"))?.map(|(_, usage)| usage);
        let constraints = tbs.get_extension::<BasicConstraints>().map_err(|_| wrong("basicConstraints"))?;
        let lists = tbs.get_extension::<CrlDistributionPoints>().map_err(|_| wrong("cRLDistributionPoints"))?;
        let spki = encode(tbs.subject_public_key_info())?;
        Ok(Self {
            subject: encode(tbs.subject())?,
            issuer: encode(tbs.issuer())?,
            serial: tbs.serial_number().as_bytes().to_vec(),
            not_before: tbs.validity().not_before.to_unix_duration(),
            not_after: tbs.validity().not_after.to_unix_duration(),
            names,
            key: PublicKey::from_spki(&spki),
            // RFC 4945 section 5.1.3.2: one of these bits, if there are any.
            signs: usage.is_none_or(|u| u.digital_signature() || u.non_repudiation()),
            marked: constraints.as_ref().is_some_and(|(_, c)| c.ca),
            authority: usage.is_none_or(|u| u.key_cert_sign()) && constraints.is_none_or(|(_, c)| c.ca),
            lists: lists.map_or(Vec::new(), |(_, lists)| locations(&lists)),
            spki,
            der: der.to_vec(),
        })
    }
    /// Reads all certificates of a file, PEM or DER, in their order: at least one, at most 256.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(file: &[u8]) -> Result<Vec<Self>, String> {
        if !file.windows(11).any(|w| w == b"-----BEGIN ") {
            return Self::parse(file).map(|one| vec![one]);
        }
        let mut found = Vec::new();
        for der in CertificateDer::pem_slice_iter(file) {
            found.push(Self::parse(&der.map_err(|_| "broken PEM")?)?);
            if found.len() > MAX_IN_FILE {
                return Err(format!("more than {MAX_IN_FILE} certificates"));
            }
        }
        if found.is_empty() { Err("there is no certificate in it".into()) } else { Ok(found) }
    }
    /// The certificate itself.
    pub fn der(&self) -> &[u8] {
        &self.der
    }
    /// The subject's distinguished name in DER, with tag and length.
    pub fn subject(&self) -> &[u8] {
        &self.subject
    }
    /// The issuer's.
    pub fn issuer(&self) -> &[u8] {
        &self.issuer
    }
    /// The subject for people (RFC 4514).
    pub fn subject_text(&self) -> String {
        text(&self.subject)
    }
    /// The issuer for people.
    pub fn issuer_text(&self) -> String {
        text(&self.issuer)
    }
    /// The subject's common name, if it has one: no identity, but a title.
    pub fn common_name(&self) -> Option<String> {
        let name = x509_cert::name::Name::from_der(&self.subject).ok()?;
        name.common_name().ok()?.map(|name| name.value().into_owned())
    }
    /// The serial number, big-endian.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }
    /// First moment at which it is valid, since 1970.
    pub fn not_before(&self) -> Duration {
        self.not_before
    }
    /// Last moment at which it is valid, since 1970.
    pub fn not_after(&self) -> Duration {
        self.not_after
    }
    /// Names of the subjectAltName that can be identities; others are left out.
    pub fn names(&self) -> &[Name] {
        &self.names
    }
    /// The public key, or why it is none of ours.
    pub fn key(&self) -> Result<&PublicKey, &KeyFault> {
        self.key.as_ref()
    }
    /// It may sign certificates.
    pub fn is_authority(&self) -> bool {
        self.authority
    }
    /// Its basicConstraints say that it is an authority.
    pub fn is_marked_authority(&self) -> bool {
        self.marked
    }
    /// Issued by itself, as far as the names say.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }
    /// SHA-1 of the SubjectPublicKeyInfo: how a certificate request names an authority (RFC 7296 section 3.7).
    pub fn authority_hash(&self) -> [u8; 20] {
        super::digest::sha1(&[&self.spki])
    }
    /// Where its revocation list is: `http` addresses of cRLDistributionPoints.
    pub fn crl_locations(&self) -> &[String] {
        &self.lists
    }
}

/// What encodes itself in DER.
trait Encoded {
    fn octets(&self) -> x509_cert::der::Result<Vec<u8>>;
}
impl<T: Encode> Encoded for T {
    fn octets(&self) -> x509_cert::der::Result<Vec<u8>> {
        self.to_der()
    }
}

fn name(general: &GeneralName) -> Option<Name> {
    Some(match general {
        GeneralName::DnsName(name) => Name { kind: IdType::FQDN, data: name.as_bytes().to_vec() },
        GeneralName::Rfc822Name(name) => Name { kind: IdType::RFC822_ADDR, data: name.as_bytes().to_vec() },
        GeneralName::IpAddress(octets) => match octets.as_bytes().len() {
            4 => Name { kind: IdType::IPV4_ADDR, data: octets.as_bytes().to_vec() },
            16 => Name { kind: IdType::IPV6_ADDR, data: octets.as_bytes().to_vec() },
            _ => return None,
        },
        _ => return None,
    })
}
fn locations(points: &CrlDistributionPoints) -> Vec<String> {
    let names = points.0.iter().filter_map(|point| match &point.distribution_point {
        Some(DistributionPointName::FullName(names)) => Some(names),
        _ => None,
    });
    let urls = names.flatten().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(url) => Some(url.as_str()),
        _ => None,
    });
    let http = urls.filter(|url| url.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://")));
    http.take(MAX_NAMES).map(str::to_owned).collect()
}

/// A distinguished name for people.
fn text(der: &[u8]) -> String {
    x509_cert::name::Name::from_der(der).map_or_else(|_| hex::encode(der), |name| name.to_string())
}
/// A moment since 1970 as RFC 3339 in UTC.
pub fn date(at: Duration) -> String {
    DateTime::from_unix_duration(at).map_or_else(|_| "never".into(), |moment| moment.to_string())
}
