//! Certificates, keys and revocation lists of a connection: `local` and `remote` with `auth = "pubkey"`.
use super::keys::Fields;
use super::pem::{self, is_inline};
use super::report::Report;
use super::secret::Secrets;
use super::text::{At, Node};
use super::value;
use crate::crypto::cert::{Certificate, Crl, Revocation, Trust};
use crate::crypto::secret::Secret;
use crate::crypto::sign::SigningKey;
use crate::ike::policy::{OwnCredential, PeerCredential, vouches_for};
use crate::wire::payload::Id;
use crate::wire::registry::IdType;
use std::sync::Arc;

/// Our certificate and key: `certs`, `key`, `padding`. `at` is the table.
pub(super) fn own(report: &mut Report<'_>, fields: &Fields<'_>, at: At, from: &dyn Secrets) -> Option<OwnCredential> {
    let padding = [("pss", true), ("pkcs1", false)];
    let pss = fields.read(report, "padding", |r, n| value::choice(r, n, &padding)).unwrap_or(true);
    if let Some(missing) = ["certs", "key"].into_iter().find(|name| fields.entry(name).is_none()) {
        let hint = "certs = [\"gw.pem\"] and key = \"gw.key\" (`sandhog pki issue` makes both)";
        return report.refuse(at, "credential.missing", format!("auth = \"pubkey\" needs `{missing}`"), hint);
    }
    let chain = files(report, fields, "certs", from, Certificate::read);
    let key = fields.read(report, "key", |r, n| key(r, n, from));
    let (chain, key) = (chain?, key?);
    let (first, place) = chain.first()?;
    match first.key() {
        Err(fault) => {
            let hint = "RSA of 2048 to 8192 bits, ECDSA over P-256 or P-384, or Ed25519";
            return report.refuse(*place, "certificate.key", format!("it has {fault}"), hint);
        }
        Ok(public) if !key.belongs_to(public) => {
            let place = fields.entry("key").map_or(at, |entry| entry.node.at);
            let hint = "the first certificate is ours, those behind it lead to the authority";
            return report.refuse(place, "key.mismatch", "this key does not belong to the first of certs", hint);
        }
        Ok(_) => {}
    }
    Some(OwnCredential { chain: chain.into_iter().map(|(c, _)| c).collect(), key: Arc::new(key), pss })
}
/// Whom we believe about the peer: `cacerts`, `crls`, `revocation`, `crl_hosts`.
pub(super) fn peer(report: &mut Report<'_>, fields: &Fields<'_>, at: At, from: &dyn Secrets) -> Option<PeerCredential> {
    let words = [("relaxed", Revocation::Relaxed), ("strict", Revocation::Strict), ("none", Revocation::None)];
    let revocation = fields.read(report, "revocation", |r, n| value::choice(r, n, &words)).unwrap_or_default();
    let crls = match fields.entry("crls") {
        Some(_) => files(report, fields, "crls", from, Crl::read),
        None => Some(Vec::new()),
    };
    let hosts = fields.read(report, "crl_hosts", |r, n| value::list(r, n, value::string)).unwrap_or_default();
    if fields.entry("cacerts").is_none() {
        let hint = "cacerts = [\"ca.pem\"]: whose signature the peer's certificate has";
        return report.refuse(at, "credential.missing", "auth = \"pubkey\" needs `cacerts`", hint);
    }
    let authorities = files(report, fields, "cacerts", from, Certificate::read)?;
    let place = authorities.first().map_or(at, |(_, at)| *at);
    let authorities = authorities.into_iter().map(|(c, _)| c).collect();
    let crls = crls?.into_iter().map(|(crl, _)| crl).collect();
    match Trust::new(authorities, crls, revocation) {
        Ok(trust) => {
            let hosts: Vec<String> = hosts.iter().map(|(host, _)| host.to_ascii_lowercase()).collect();
            Some(PeerCredential { trust: Arc::new(trust), crl_hosts: hosts.into() })
        }
        Err(error) => report.refuse(place, "certificate.authority", error, "the certificate of the authority itself"),
    }
}
/// Who we are by our certificate, where its key is not to be opened.
pub(super) fn subject(report: &mut Report<'_>, fields: &Fields<'_>, at: At, from: &dyn Secrets) -> Option<Id> {
    let chain = files(report, fields, "certs", from, Certificate::read)?;
    identity(report, &chain.first()?.0, None, at)
}
/// Who we are by our certificate: what is configured, if the certificate says so, else its subject, else its first name.
pub(super) fn identity(report: &mut Report<'_>, certificate: &Certificate, given: Option<Id>, at: At) -> Option<Id> {
    let subject = Id { kind: IdType::DER_ASN1_DN, data: certificate.subject().to_vec() };
    let names = certificate.names().iter().map(|name| Id { kind: name.kind, data: name.data.clone() });
    // SEQUENCE {}: a subject that says nothing.
    let mut all = (certificate.subject() != [0x30, 0]).then_some(subject).into_iter().chain(names);
    match given {
        Some(id) if vouches_for(certificate, &id) => Some(id),
        Some(id) => {
            let known: Vec<String> = all.take(8).map(|id| id.to_string()).collect();
            let hint = format!("it is for {}", known.join(" and "));
            report.refuse(at, "id.not_in_certificate", format!("the certificate is not for {id}"), hint)
        }
        None => all.next().or_else(|| {
            report.refuse(at, "id.needed", "the certificate names nobody", "issue one with a subjectAltName")
        }),
    }
}

/// What is in all files of a list, in order, and where the file was named.
fn files<T>(
    report: &mut Report<'_>,
    fields: &Fields<'_>,
    name: &str,
    from: &dyn Secrets,
    read: fn(&[u8]) -> Result<Vec<T>, String>,
) -> Option<Vec<(T, At)>> {
    let paths = fields.read(report, name, |r, n| value::list_of_some(r, n, value::string))?;
    let mut found = Some(Vec::new());
    for (path, at) in paths {
        let (place, octets) = if is_inline(path) {
            ("what stands here".to_owned(), Ok(Secret::new(path.as_bytes().to_vec())))
        } else {
            let path = report.directory(at.file).join(path);
            (path.display().to_string(), from.certificate(&path).map(Secret::new))
        };
        let hint = "a file in PEM or DER; relative paths start where this file is";
        let items = match octets {
            Err(refusal) => Err((refusal.code, refusal.message, hint)),
            Ok(octets) => match pem::without_key(name, octets.expose()) {
                Err(found) => Err(("certificate.private_key", format!("{place}: {}", found.message), found.hint)),
                Ok(()) => read(octets.expose()).map_err(|e| ("certificate.invalid", format!("{place}: {e}"), hint)),
            },
        };
        match items {
            Ok(items) => {
                found = found.map(|mut all| {
                    all.extend(items.into_iter().map(|item| (item, at)));
                    all
                })
            }
            Err((code, message, hint)) => {
                report.error(at, code, message, hint);
                found = None;
            }
        }
    }
    found
}
fn key(report: &mut Report<'_>, node: &Node, from: &dyn Secrets) -> Option<SigningKey> {
    let given = value::string(report, node)?;
    if is_inline(given) {
        let hint = "an unencrypted private key: PKCS#8, PKCS#1 or SEC1, in PEM or DER";
        return SigningKey::read(given.as_bytes())
            .map_or_else(|error| report.refuse(node.at, "key.invalid", error.to_string(), hint), Some);
    }
    let path = report.directory(node.at.file).join(given);
    match from.file(&path) {
        Ok(octets) => match SigningKey::read(octets.expose()) {
            Ok(key) => Some(key),
            Err(error) => {
                let hint = "an unencrypted private key: PKCS#8, PKCS#1 or SEC1, in PEM or DER";
                report.refuse(node.at, "key.invalid", format!("{}: {error}", path.display()), hint)
            }
        },
        Err(refusal) => report.refuse(node.at, refusal.code, refusal.message, refusal.hint),
    }
}
