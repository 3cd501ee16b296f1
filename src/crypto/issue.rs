//! A small authority: certificates for gateways and their revocation (RFC 5280, RFC 4945), for `sandhog pki`.
use super::cert::Certificate;
use super::rng::{Rng as _, SystemRng};
use super::secret::Secret;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType,
    SerialNumber, date_time_ymd,
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use std::net::IpAddr;
use std::time::Duration;
use x509_cert::der::pem::{LineEnding, encode_string};
use zeroize::Zeroizing;

/// A moment since 1970 as the issuing crate has it, to the second; the type has no name that we could use.
macro_rules! moment {
    ($at:expr) => {
        date_time_ymd(1970, 1, 1) + Duration::from_secs($at.as_secs())
    };
}

/// A kind of key that can be made here. RSA keys come from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub enum NewKey {
    #[default]
    Ecdsa256,
    Ecdsa384,
    Ed25519,
}
impl NewKey {
    fn make(self) -> Result<Zeroizing<KeyPair>, String> {
        let algorithm = match self {
            Self::Ecdsa256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Self::Ecdsa384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Self::Ed25519 => &rcgen::PKCS_ED25519,
        };
        KeyPair::generate_for(algorithm).map(Zeroizing::new).map_err(|e| e.to_string())
    }
}

/// From when to when, since 1970.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Validity {
    pub from: Duration,
    pub until: Duration,
}
/// A certificate and its key, in PEM.
#[derive(Debug)]
pub struct Issued {
    /// X.509.
    pub certificate: String,
    /// PKCS#8; `None` if the key was there before.
    pub key: Option<Secret>,
}
/// A certificate that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Common name of the subject.
    pub name: &'a str,
    /// Identities: addresses, names, `user@name`.
    pub names: &'a [String],
    /// The private key in PEM, PKCS#8, if there is one already.
    pub key: Option<&'a Secret>,
    /// Otherwise the kind of key to make.
    pub kind: NewKey,
    /// When it is valid.
    pub validity: Validity,
    /// Where its revocation list can be fetched.
    pub crl: Option<&'a str>,
}
/// A certificate that counts no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number.
    pub serial: Vec<u8>,
    /// Since when, since 1970.
    pub since: Duration,
}

/// Makes a new authority that signs itself.
///
/// # Errors
/// What cannot be in a certificate.
pub fn authority(name: &str, kind: NewKey, validity: Validity) -> Result<Issued, String> {
    let key = kind.make()?;
    let mut params = subject(name)?;
    (params.not_before, params.not_after) = (moment!(validity.from), moment!(validity.until));
    params.serial_number = Some(serial());
    let certificate = params.self_signed(&*key).map_err(|e| e.to_string())?;
    Ok(Issued { certificate: certificate.pem(), key: Some(pem(&key)?) })
}
/// An authority that can issue.
#[derive(Debug)]
pub struct Issuer {
    certificate: Certificate,
    params: CertificateParams,
    key: Zeroizing<KeyPair>,
}
impl Issuer {
    /// Reads an authority that [`authority`] has made; both files are PEM.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(certificate: &[u8], key: &Secret) -> Result<Self, String> {
        let certificate = Certificate::read(certificate)?.swap_remove(0);
        let key = read(key).ok_or("the authority's key cannot be read")?;
        let own = super::sign::SigningKey::read(key.serialized_der())?;
        if !certificate.key().is_ok_and(|public| own.belongs_to(public)) {
            return Err("the authority's key and certificate do not belong together".into());
        }
        let name = certificate.common_name().ok_or("the authority has no common name")?;
        Ok(Self { params: subject(&name)?, certificate, key })
    }
    /// Issues a certificate with a random serial number.
    ///
    /// # Errors
    /// What cannot be in a certificate, or that it would outlive the authority.
    pub fn issue(&self, wanted: &Wanted<'_>) -> Result<Issued, String> {
        if wanted.validity.until > self.certificate.not_after() {
            let end = super::cert::date(self.certificate.not_after());
            return Err(format!("the authority itself ends at {end}: ask for fewer days"));
        }
        let key = match wanted.key {
            Some(pem) => read(pem).ok_or("expected a private key in PEM, PKCS#8")?,
            None => wanted.kind.make()?,
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(wanted.name)?;
        params.subject_alt_names = wanted.names.iter().map(|name| alternative(name)).collect::<Result<_, _>>()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            // id-kp-ipsecIKE (RFC 4945 section 5.1.3.12); Windows and others want the ones of TLS.
            ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 17]),
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial());
        let points = wanted.crl.iter().map(|url| CrlDistributionPoint { uris: vec![(*url).to_owned()] });
        params.crl_distribution_points = points.collect();
        (params.not_before, params.not_after) = (moment!(wanted.validity.from), moment!(wanted.validity.until));
        let issued = params.signed_by(&*key, &self.issuer()).map_err(|e| e.to_string())?;
        // Its issuer must be the authority to the octet, or nobody finds the way.
        if Certificate::parse(issued.der())?.issuer() != self.certificate.subject() {
            return Err("this authority was not made by `sandhog pki ca`".into());
        }
        let own = wanted.key.is_none().then(|| pem(&key)).transpose()?;
        Ok(Issued { certificate: issued.pem(), key: own })
    }
    /// The revocation list in PEM.
    ///
    /// # Errors
    /// What cannot be in a list.
    pub fn list(&self, revoked: &[Revoked], validity: Validity) -> Result<String, String> {
        let one = |revoked: &Revoked| RevokedCertParams {
            serial_number: SerialNumber::from_slice(&revoked.serial),
            revocation_time: moment!(revoked.since),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: moment!(validity.from),
            next_update: moment!(validity.until),
            // Grows with every list, as RFC 5280 section 5.2.3 asks.
            crl_number: SerialNumber::from(validity.from.as_secs()),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(one).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).and_then(|list| list.pem()).map_err(|e| e.to_string())
    }
    /// Its certificate.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }
    fn issuer(&self) -> rcgen::Issuer<'_, &KeyPair> {
        rcgen::Issuer::from_params(&self.params, &*self.key)
    }
}

fn subject(name: &str) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}
/// Positive and never twice, whatever else two certificates have in common (RFC 5280 section 4.1.2.2).
fn serial() -> SerialNumber {
    let mut octets = [0; 16];
    SystemRng.fill(&mut octets);
    octets[0] = octets[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&octets)
}
/// RFC 5280 appendix A.1: ub-common-name.
fn common_name(name: &str) -> Result<DistinguishedName, String> {
    if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
        return Err("a name has 1 to 64 characters".into());
    }
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    Ok(subject)
}
fn alternative(name: &str) -> Result<SanType, String> {
    let wrong = |_| format!("{name:?} is no address, name or user@name");
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    if name.is_empty() || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("{name:?} is no address, name or user@name"));
    }
    let text = name.try_into().map_err(wrong)?;
    Ok(if name.contains('@') { SanType::Rfc822Name(text) } else { SanType::DnsName(text) })
}
/// A private key in PEM. The DER and the key pair are wiped, as the crate's own functions for it would not do; the PEM parser's buffer is not.
fn read(pem: &Secret) -> Option<Zeroizing<KeyPair>> {
    let der = Zeroizing::new(PrivateKeyDer::from_pem_slice(pem.expose()).ok()?);
    KeyPair::try_from(&*der).ok().map(Zeroizing::new)
}
fn pem(key: &KeyPair) -> Result<Secret, String> {
    let text = encode_string("PRIVATE KEY", LineEnding::LF, key.serialized_der()).map_err(|e| e.to_string())?;
    Ok(Secret::new(text.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cert::tests::NOW;
    use crate::crypto::cert::{Crl, Revocation, Trust, Verify};
    use crate::crypto::sign::{Scheme, SigningKey};
    use std::sync::Arc;

    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    fn validity() -> Validity {
        Validity { from: NOW, until: NOW + YEAR }
    }
    fn root(kind: NewKey) -> (Issued, Issuer) {
        let root = authority("Sandhog test", kind, Validity { from: NOW, until: NOW + 10 * YEAR }).unwrap();
        let issuer = Issuer::load(root.certificate.as_bytes(), root.key.as_ref().unwrap()).unwrap();
        (root, issuer)
    }
    fn wanted(names: &[String]) -> Wanted<'_> {
        Wanted {
            name: "gw1",
            names,
            key: None,
            kind: NewKey::Ed25519,
            validity: validity(),
            crl: Some("http://crl.example/"),
        }
    }

    #[test]
    fn what_is_issued_is_believed_until_it_is_revoked() {
        for kind in [NewKey::Ecdsa256, NewKey::Ecdsa384, NewKey::Ed25519] {
            let (root, issuer) = root(kind);
            let names = ["gw1.example".to_owned(), "192.0.2.1".to_owned(), "gw@example".to_owned()];
            let issued = issuer.issue(&wanted(&names)).unwrap();
            let certificate = Certificate::read(issued.certificate.as_bytes()).unwrap().swap_remove(0);
            assert_eq!((certificate.names().len(), certificate.crl_locations().len()), (3, 1));
            let key = SigningKey::read(issued.key.unwrap().expose()).unwrap();
            let verify = |revoked: &[Revoked]| {
                let list = Crl::read(issuer.list(revoked, validity()).unwrap().as_bytes()).unwrap();
                let trust =
                    Trust::new(Certificate::read(root.certificate.as_bytes()).unwrap(), list, Revocation::Strict);
                let verify = Verify {
                    chain: vec![certificate.clone()],
                    trust: Arc::new(trust.unwrap()),
                    fetched: Vec::new(),
                    now: NOW,
                    scheme: Scheme::Ed25519,
                    message: b"message".to_vec(),
                    signature: key.sign(Scheme::Ed25519, b"message").unwrap(),
                };
                verify.run().map(|verified| verified.missing().is_none()).map_err(|fault| fault.code)
            };
            assert_eq!(verify(&[]), Ok(true));
            let revoked = Revoked { serial: certificate.serial().to_vec(), since: NOW };
            assert_eq!(verify(&[revoked]), Err("auth.cert.revoked"));
        }
    }

    #[test]
    fn a_renewed_certificate_has_another_serial_number() {
        let (_, issuer) = root(NewKey::Ecdsa256);
        let key = issuer.issue(&wanted(&[])).unwrap().key.unwrap();
        let serial = || {
            let issued = issuer.issue(&Wanted { key: Some(&key), ..wanted(&[]) }).unwrap();
            Certificate::read(issued.certificate.as_bytes()).unwrap().swap_remove(0).serial().to_vec()
        };
        let (old, new) = (serial(), serial());
        assert!(old != new && [&old, &new].iter().all(|serial| serial.len() == 16 && serial[0] < 0x80));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let (_, issuer) = root(NewKey::Ecdsa256);
        for name in ["", "two words", "\u{7}", "naïve.example"] {
            assert!(issuer.issue(&wanted(&[name.to_owned()])).is_err(), "{name:?}");
        }
        assert!(issuer.issue(&Wanted { name: "", ..wanted(&[]) }).is_err());
        assert!(issuer.issue(&Wanted { key: Some(&Secret::new(b"no key".to_vec())), ..wanted(&[]) }).is_err());
        let long = Validity { until: NOW + 11 * YEAR, ..validity() };
        assert!(issuer.issue(&Wanted { validity: long, ..wanted(&[]) }).unwrap_err().contains("fewer days"));
        let (other, _) = root(NewKey::Ecdsa256);
        let key = pem(&issuer.key).unwrap();
        assert!(Issuer::load(other.certificate.as_bytes(), &key).unwrap_err().contains("together"));
    }

    #[test]
    fn a_key_from_elsewhere_stays_where_it_is() {
        let (_, issuer) = root(NewKey::Ecdsa256);
        let key = Secret::new(crate::crypto::sign::tests::RSA_2048.to_vec());
        let issued = issuer.issue(&Wanted { key: Some(&key), ..wanted(&["gw1.example".into()]) }).unwrap();
        assert!(issued.key.is_none());
        let certificate = Certificate::read(issued.certificate.as_bytes()).unwrap().swap_remove(0);
        assert!(SigningKey::read(key.expose()).unwrap().belongs_to(certificate.key().unwrap()));
    }
}
