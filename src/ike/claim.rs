//! Certificates and signatures in IKE_AUTH (RFC 7296 sections 2.15 and 3.6 to 3.8, RFC 7427): what we show, and a peer's claim until it is
//! proven or refused. The slow steps go out as jobs, so a claim waits between them.
use super::auth::{self, Authenticated};
use super::common::Cx;
use super::event::{Event, IkeId};
use super::exchange::Contents;
use super::policy::{AuthKind, Connection, vouches_for};
use crate::crypto::cert::{Certificate, Crl, Fault, Revocation, Trust, Verified, Verify, date};
use crate::crypto::sign::{Hash, Scheme, SigningKey};
use crate::crypto::work::{Done, Work};
use crate::frozen::{Frozen, Reader, Thaw, Writer, frozen};
use crate::wire::payload::{Auth, Cert, Id, Notify, Payload};
use crate::wire::registry::{AuthMethod, CertEncoding, IdType, NotifyType};
use std::sync::Arc;
use std::time::Duration;

/// Hash functions of a peer that are looked at.
const MAX_HASHES: usize = 64;
/// Authorities that we name in a request.
const MAX_AUTHORITIES: usize = 32;
/// A certificate that ends sooner is told of.
pub(super) const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// True if a side of this connection signs: then both announce their hash functions.
pub(super) fn signs(connection: &Connection) -> bool {
    connection.local_auth == AuthKind::PublicKey || connection.remote_auth == AuthKind::PublicKey
}
/// SIGNATURE_HASH_ALGORITHMS (RFC 7427 section 4, RFC 8420): SHA-2 and Identity, never SHA-1.
pub(super) fn announcement() -> Payload {
    let numbers = Hash::ALL.map(Hash::number).into_iter().chain([Hash::IDENTITY]);
    let data: Vec<u8> = numbers.flat_map(u16::to_be_bytes).collect();
    Payload::Notify(Notify::new(NotifyType::SIGNATURE_HASH_ALGORITHMS, data))
}
/// What the peer announces.
pub(super) fn announced(contents: &Contents) -> Option<Vec<u16>> {
    let notify = contents.notify(NotifyType::SIGNATURE_HASH_ALGORITHMS)?;
    let (pairs, _) = notify.data.as_chunks::<2>();
    Some(pairs.iter().take(MAX_HASHES).map(|pair| u16::from_be_bytes(*pair)).collect())
}
/// CERTREQ: the authorities that may vouch for a peer of one of these connections; `None` if none of them has any.
pub(super) fn request<'c>(cx: &Cx<'_>, connections: impl Iterator<Item = &'c Connection>) -> Option<Payload> {
    let mut hashes: Vec<[u8; 20]> = Vec::new();
    for connection in connections.filter(|c| c.remote_auth == AuthKind::PublicKey) {
        let Some(trust) = cx.common.directory.trust(connection) else { continue };
        hashes.extend(trust.authorities().map(Certificate::authority_hash));
    }
    hashes.sort_unstable();
    hashes.dedup();
    hashes.truncate(MAX_AUTHORITIES);
    let data = hashes.concat();
    (!data.is_empty()).then_some(Payload::CertReq(Cert { encoding: CertEncoding::X509_SIGNATURE, data }))
}

/// What we show: our certificate and what leads from it to an authority, and how we sign for this peer.
pub(super) struct Own {
    pub certs: Vec<Payload>,
    pub key: Arc<SigningKey>,
    pub scheme: Scheme,
}
impl Own {
    /// For a peer that has announced these hash functions.
    pub(super) fn of(cx: &Cx<'_>, connection: &Connection, announced: Option<&[u16]>) -> Result<Self, Fault> {
        let credentials = cx.common.directory.policy.credentials.get(&connection.name);
        let Some(local) = credentials.and_then(|c| c.local.as_ref()) else {
            return Err(Fault::new("auth.cert.missing", "certificate", "none of ours", ""));
        };
        let Some(scheme) = local.key.scheme_for(announced, local.pss) else {
            let theirs = announced.map_or("nothing announced".into(), |hashes| format!("hash functions {hashes:?}"));
            return Err(Fault::new("auth.hash", "hashes", local.key.kind().to_string(), theirs));
        };
        let payload =
            |c: &Certificate| Payload::Cert(Cert { encoding: CertEncoding::X509_SIGNATURE, data: c.der().to_vec() });
        // An authority that the peer does not have by itself it would not believe.
        let shown = local.chain.iter().enumerate().filter(|(i, c)| *i == 0 || !c.is_self_issued());
        Ok(Self { certs: shown.map(|(_, c)| payload(c)).collect(), key: local.key.clone(), scheme })
    }
    /// Has it signed; `None` while too much is being computed.
    pub(super) fn sign(&self, cx: &mut Cx<'_>, ike: IkeId, message: Vec<u8>) -> Option<u64> {
        cx.compute(ike, Work::Sign { key: self.key.clone(), scheme: self.scheme, message })
    }
}

/// A peer's claim to be somebody.
pub(super) struct Claim {
    /// The job that it waits for.
    pub job: u64,
    ike: IkeId,
    id: Id,
    hosts: Arc<[String]>,
    verify: Box<Verify>,
    asked: bool,
}
/// How far a claim has come.
pub(super) enum Progress {
    /// Another job is to be waited for.
    Waits(Box<Claim>),
    Proven(Proven),
    Refused(Fault),
    /// Too much is being computed: as if the message had not come.
    Dropped,
}
/// A proof, and what is to be told beside it.
pub(super) struct Proven {
    pub proof: Authenticated,
    warnings: Vec<(&'static str, Vec<String>)>,
}
frozen! { struct Proven { proof, warnings } }
/// What was fetched for it is fetched again.
impl Frozen for Claim {
    fn freeze(&self, out: &mut Writer) {
        let Self { job, ike, id, hosts, verify, asked } = self;
        job.freeze(out);
        ike.freeze(out);
        id.freeze(out);
        hosts.freeze(out);
        verify.freeze(out);
        (*asked && verify.fetched.is_empty()).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Ok(Self {
            job: Frozen::thaw(input)?,
            ike: Frozen::thaw(input)?,
            id: Frozen::thaw(input)?,
            hosts: Frozen::thaw(input)?,
            verify: Frozen::thaw(input)?,
            asked: Frozen::thaw(input)?,
        })
    }
}
impl Proven {
    /// By a shared secret.
    pub(super) fn by_secret(proof: Authenticated) -> Self {
        Self { proof, warnings: Vec::new() }
    }
    /// Tells what is to be told.
    pub(super) fn warn(&mut self, cx: &mut Cx<'_>, connection: &Connection) {
        for (code, values) in self.warnings.drain(..) {
            cx.emit(Event::Warning { connection: connection.name.clone(), code, values });
        }
    }
}
/// Where a claim stands.
pub(super) struct Made<'a> {
    pub contents: &'a Contents,
    pub auth: &'a Auth,
    /// Both sides have announced hash functions.
    pub announced: bool,
    /// What was signed.
    pub message: Vec<u8>,
    pub id: &'a Id,
    pub trust: Arc<Trust>,
    pub hosts: Arc<[String]>,
}

impl Claim {
    /// Begins to verify.
    pub(super) fn begin(cx: &mut Cx<'_>, ike: IkeId, made: Made<'_>) -> Progress {
        let (scheme, signature) = match auth::signature(made.auth, made.announced) {
            Ok(found) => found,
            Err(fault) => return Progress::Refused(fault),
        };
        let chain = match chain(&made.contents.certs) {
            Ok(chain) => chain,
            Err(fault) => return Progress::Refused(fault),
        };
        let verify = Verify {
            chain,
            trust: made.trust,
            fetched: Vec::new(),
            now: cx.host.unix_time(),
            scheme,
            message: made.message,
            signature: signature.to_vec(),
        };
        let claim =
            Self { job: 0, ike, id: made.id.clone(), hosts: made.hosts, verify: Box::new(verify), asked: false };
        claim.compute(cx)
    }
    fn compute(mut self, cx: &mut Cx<'_>) -> Progress {
        match cx.compute(self.ike, Work::Verify(self.verify.clone())) {
            Some(job) => {
                self.job = job;
                Progress::Waits(Box::new(self))
            }
            None => Progress::Dropped,
        }
    }
    /// The verification is done.
    pub(super) fn computed(self, cx: &mut Cx<'_>, done: Done) -> Progress {
        match done {
            Done::Verified(result) => match *result {
                Ok(verified) => self.verified(cx, verified),
                Err(fault) => Progress::Refused(fault),
            },
            _ => Progress::Dropped,
        }
    }
    /// Revocation lists have come, or none.
    pub(super) fn fetched(mut self, cx: &mut Cx<'_>, crls: Vec<Arc<Crl>>) -> Progress {
        self.verify.fetched = crls;
        self.compute(cx)
    }
    fn verified(mut self, cx: &mut Cx<'_>, verified: Verified) -> Progress {
        let certificate = verified.certificate();
        if !vouches_for(certificate, &self.id) {
            let fault = Fault::new("auth.cert.name", "remote_id", "", self.id.to_string());
            let fault = fault.and("names", vec![], shown(certificate));
            return Progress::Refused(fault);
        }
        let mut warnings = Vec::new();
        if let Some(places) = verified.missing() {
            if !self.asked && !places.is_empty() {
                self.asked = true;
                self.job = cx.fetch(self.ike, places.to_vec(), self.hosts.clone());
                return Progress::Waits(Box::new(self));
            }
            let places = if places.is_empty() { vec!["no place to fetch it from".into()] } else { places.to_vec() };
            if self.verify.trust.revocation() == Revocation::Strict {
                let local = vec!["revocation = \"strict\"".into()];
                return Progress::Refused(Fault::of("auth.cert.crl_missing").and("revocation", local, places));
            }
            warnings.push(("auth.cert.crl_missing", places));
        }
        if verified.not_after().saturating_sub(self.verify.now) < SOON {
            warnings.push(("auth.cert.expires", vec![self.id.to_string(), date(verified.not_after())]));
        }
        Progress::Proven(Proven { proof: Authenticated::by(&verified), warnings })
    }
}

/// The certificates of a message, the peer's own first (RFC 7296 section 3.6). Only X.509: what would have to be fetched is not looked at.
fn chain(certs: &[Cert]) -> Result<Vec<Certificate>, Fault> {
    let mut x509 = certs.iter().filter(|c| c.encoding == CertEncoding::X509_SIGNATURE);
    let Some(first) = x509.next() else {
        let theirs = certs.iter().map(|c| c.encoding.to_string()).collect();
        return Err(Fault::of("auth.cert.missing").and("certificate", vec!["X509_SIGNATURE".into()], theirs));
    };
    let first =
        Certificate::parse(&first.data).map_err(|e| Fault::new("auth.cert.malformed", "certificate", "RFC 5280", e))?;
    let mut chain = vec![first];
    // What else it sends may help, or not.
    chain.extend(x509.filter_map(|c| Certificate::parse(&c.data).ok()));
    Ok(chain)
}
fn subject(certificate: &Certificate) -> Id {
    Id { kind: IdType::DER_ASN1_DN, data: certificate.subject().to_vec() }
}
/// The identities of a certificate, for people.
fn shown(certificate: &Certificate) -> Vec<String> {
    let names = certificate.names().iter().take(15).map(|n| Id { kind: n.kind, data: n.data.clone() }.to_string());
    std::iter::once(subject(certificate).to_string()).chain(names).collect()
}
/// Methods that sign.
pub(super) fn is_signature(method: AuthMethod) -> bool {
    matches!(
        method,
        AuthMethod::RSA
            | AuthMethod::DSS
            | AuthMethod::ECDSA_256
            | AuthMethod::ECDSA_384
            | AuthMethod::ECDSA_521
            | AuthMethod::DIGITAL_SIGNATURE
    )
}
