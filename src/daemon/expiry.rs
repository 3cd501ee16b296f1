//! Certificates of ours that end soon: told once a day, and shown in the status until they are replaced.
use crate::crypto::cert::{Certificate, date};
use crate::ike::event::Event;
use crate::ike::policy::{Credentials, Policy};
use std::time::Duration;

/// They are told of again after this.
pub const AGAIN: Duration = Duration::from_secs(24 * 3600);
/// This long before its end a certificate is told of.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// What is to be told of all connections; `now` is the wall clock.
pub fn events(policy: &Policy, now: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    for connection in &policy.connections {
        let Some(credentials) = policy.credentials.get(&connection.name) else { continue };
        let connection = &connection.name;
        events.extend(ending(credentials, now).map(|certificate| Event::Warning {
            connection: connection.clone(),
            code: "auth.cert.expires",
            values: vec![certificate.subject_text(), date(certificate.not_after())],
        }));
    }
    events
}
/// The same of one connection, in words.
pub fn warnings(credentials: &Credentials, now: Duration) -> Vec<String> {
    let words = |certificate: &Certificate| {
        let ends = if certificate.not_after() < now { "ended" } else { "ends" };
        format!("the certificate of {} {ends} at {}", certificate.subject_text(), date(certificate.not_after()))
    };
    ending(credentials, now).map(words).collect()
}
/// Until when our own certificate is good.
pub fn until(credentials: &Credentials) -> Option<String> {
    Some(date(credentials.local.as_ref()?.chain.first()?.not_after()))
}
fn ending(credentials: &Credentials, now: Duration) -> impl Iterator<Item = &Certificate> {
    let own = credentials.local.iter().flat_map(|local| &local.chain);
    let authorities = credentials.remote.iter().flat_map(|remote| remote.trust.authorities());
    own.chain(authorities).filter(move |certificate| certificate.not_after() < now + SOON)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cert::Revocation;
    use crate::crypto::cert::tests::{Authority, NOW, key};
    use crate::ike::policy::{OwnCredential, PeerCredential};
    use std::sync::Arc;

    #[test]
    fn what_ends_soon_is_told_and_what_does_not_is_not() {
        let (root, (pair, key)) = (Authority::root("root"), key());
        let chain = vec![Certificate::parse(&root.issue(&pair, "gw", |_| {})).unwrap()];
        let remote = PeerCredential { trust: root.trust(Vec::new(), Revocation::None), crl_hosts: Arc::default() };
        let credentials = Credentials { local: Some(OwnCredential { chain, key, pss: true }), remote: Some(remote) };
        assert_eq!(until(&credentials).as_deref(), Some("2027-01-01T00:00:00Z"));
        let day = Duration::from_secs(86_400);
        assert_eq!(warnings(&credentials, NOW), [""; 0]);
        assert!(warnings(&credentials, NOW + 30 * day)[0].contains(" ends at 2027-01-01"));
        assert!(warnings(&credentials, NOW + 50 * day)[0].contains(" ended at 2027-01-01"));
        // In 2040 the authority, too.
        assert_eq!(warnings(&credentials, NOW + 20 * 365 * day).len(), 2);
    }
}
