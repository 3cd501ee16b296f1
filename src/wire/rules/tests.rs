use super::*;
use crate::wire::payload::*;
use crate::wire::registry::*;

fn sample(kind: PayloadType) -> Payload {
    match kind {
        PayloadType::SA => Payload::Sa(Vec::new()),
        PayloadType::KE => Payload::Ke(Ke { group: KeId::MODP_2048, data: vec![1] }),
        PayloadType::IDI => Payload::IdI("a.example".parse::<Id>().unwrap().into()),
        PayloadType::IDR => Payload::IdR("b.example".parse::<Id>().unwrap().into()),
        PayloadType::CERT => Payload::Cert(Cert { encoding: CertEncoding::X509_SIGNATURE, data: vec![1] }),
        PayloadType::CERTREQ => Payload::CertReq(Cert { encoding: CertEncoding::X509_SIGNATURE, data: vec![1] }),
        PayloadType::AUTH => Payload::Auth(Auth { method: AuthMethod::SHARED_KEY, data: vec![1] }),
        PayloadType::NONCE => Payload::Nonce(vec![1; 16]),
        PayloadType::DELETE => Payload::Delete(Delete { protocol: ProtocolId::IKE, spis: Vec::new() }),
        PayloadType::VENDOR => Payload::Vendor(Vec::new()),
        PayloadType::TSI => Payload::TsI(TrafficSelectors::default()),
        PayloadType::TSR => Payload::TsR(TrafficSelectors::default()),
        PayloadType::CP => Payload::Cfg(Cfg { kind: CfgType::REQUEST, attributes: Vec::new() }),
        PayloadType::EAP => Payload::Eap(Vec::new()),
        other => Payload::Unknown(other),
    }
}
fn notify(kind: NotifyType) -> Payload {
    Payload::Notify(Notify::new(kind, Vec::new()))
}
fn samples(kinds: &[PayloadType]) -> Vec<Payload> {
    kinds.iter().copied().map(sample).collect()
}
use PayloadType as P;

const INIT: &[P] = &[P::SA, P::KE, P::NONCE];
const AUTH_REQUEST: &[P] = &[P::IDI, P::AUTH, P::SA, P::TSI, P::TSR];
const AUTH_RESPONSE: &[P] = &[P::IDR, P::AUTH, P::SA, P::TSI, P::TSR];
const CHILD: &[P] = &[P::SA, P::NONCE, P::TSI, P::TSR];

/// Whole messages, each of which must pass unchanged and in any order, and whose payloads may not be doubled.
const WHOLE: &[(ExchangeType, bool, &[P])] = &[
    (ExchangeType::IKE_SA_INIT, false, INIT),
    (ExchangeType::IKE_SA_INIT, true, INIT),
    (ExchangeType::IKE_AUTH, false, AUTH_REQUEST),
    (ExchangeType::IKE_AUTH, true, AUTH_RESPONSE),
    (ExchangeType::IKE_AUTH, false, &[P::IDI, P::AUTH]), // childless
    (ExchangeType::IKE_AUTH, true, &[P::IDR, P::AUTH]),
    (ExchangeType::CREATE_CHILD_SA, false, CHILD),
    (ExchangeType::CREATE_CHILD_SA, true, CHILD),
    (ExchangeType::CREATE_CHILD_SA, false, &[P::SA, P::NONCE, P::KE]), // rekeys the IKE SA
    (ExchangeType::CREATE_CHILD_SA, true, &[P::SA, P::NONCE, P::KE]),
    (ExchangeType::INFORMATIONAL, false, &[]),
    (ExchangeType::INFORMATIONAL, true, &[P::CP]),
    (ExchangeType::IKE_INTERMEDIATE, false, &[P::KE]),
    (ExchangeType::IKE_INTERMEDIATE, true, &[]),
    (ExchangeType::IKE_FOLLOWUP_KE, false, &[P::KE]),
    (ExchangeType::IKE_FOLLOWUP_KE, true, &[P::KE]),
];

#[test]
fn whole_messages_pass_in_any_order_and_no_payload_twice() {
    for (exchange, response, kinds) in WHOLE {
        let mut payloads = samples(kinds);
        for _ in 0..=kinds.len() {
            assert_eq!(
                check(*exchange, *response, payloads.clone()),
                Ok(payloads.clone()),
                "{exchange} {response} {kinds:?}"
            );
            let step = payloads.len().min(1);
            payloads.rotate_left(step);
        }
        for kind in *kinds {
            let doubled = [payloads.clone(), samples(&[*kind])].concat();
            assert!(check(*exchange, *response, doubled).is_err(), "{exchange} {response}: two {kind}");
        }
    }
}

/// CVE-2013-6467, CVE-2009-1958: every mandatory payload missing.
#[test]
fn nothing_mandatory_may_be_missing() {
    for (exchange, response, kinds, optional) in [
        (ExchangeType::IKE_SA_INIT, false, INIT, &[][..]),
        (ExchangeType::IKE_SA_INIT, true, INIT, &[]),
        (ExchangeType::IKE_AUTH, false, AUTH_REQUEST, &[P::AUTH]),
        (ExchangeType::IKE_AUTH, true, AUTH_RESPONSE, &[]),
        (ExchangeType::CREATE_CHILD_SA, false, CHILD, &[]),
        (ExchangeType::CREATE_CHILD_SA, true, CHILD, &[]),
        (ExchangeType::IKE_FOLLOWUP_KE, false, &[P::KE], &[]),
    ] {
        for kind in kinds {
            let rest: Vec<_> = kinds.iter().copied().filter(|k| k != kind).collect();
            assert_eq!(
                check(exchange, response, samples(&rest)).is_err(),
                !optional.contains(kind),
                "{exchange} {response} without {kind}"
            );
        }
    }
}

#[test]
fn a_refusal_need_not_grant() {
    for (exchange, error) in [
        (ExchangeType::IKE_SA_INIT, NotifyType::COOKIE),
        (ExchangeType::IKE_SA_INIT, NotifyType::INVALID_KE_PAYLOAD),
        (ExchangeType::IKE_SA_INIT, NotifyType::NO_PROPOSAL_CHOSEN),
        (ExchangeType::IKE_SA_INIT, NotifyType(16383)),
        (ExchangeType::IKE_AUTH, NotifyType::AUTHENTICATION_FAILED),
        (ExchangeType::CREATE_CHILD_SA, NotifyType::NO_ADDITIONAL_SAS),
        (ExchangeType::CREATE_CHILD_SA, NotifyType::TEMPORARY_FAILURE),
        (ExchangeType::IKE_FOLLOWUP_KE, NotifyType::STATE_NOT_FOUND),
    ] {
        assert_eq!(check(exchange, true, vec![notify(error)]), Ok(vec![notify(error)]));
        assert!(check(exchange, false, vec![notify(error)]).is_err(), "a request cannot: {exchange} {error}");
        assert!(check(exchange, true, vec![notify(NotifyType::INITIAL_CONTACT)]).is_err(), "a status is no refusal");
    }
    // The child fails, the IKE SA is up.
    let mut payloads = samples(&[P::IDR, P::AUTH]);
    payloads.push(notify(NotifyType::TS_UNACCEPTABLE));
    assert_eq!(check(ExchangeType::IKE_AUTH, true, payloads.clone()), Ok(payloads));
}

#[test]
fn what_is_not_expected_is_ignored() {
    // MikroTik puts a configuration payload into child rekeys.
    let mut payloads = samples(CHILD);
    payloads.insert(1, sample(P::CP));
    payloads.push(sample(P(200)));
    payloads.push(notify(NotifyType::REKEY_SA));
    payloads.push(sample(P::VENDOR));
    let mut expected = samples(CHILD);
    expected.extend([notify(NotifyType::REKEY_SA), sample(P::VENDOR)]);
    assert_eq!(check(ExchangeType::CREATE_CHILD_SA, false, payloads), Ok(expected));
    // So is everything in an exchange that we do not know, but for notifies.
    let notify = notify(NotifyType::COOKIE);
    assert_eq!(check(ExchangeType(240), false, vec![sample(P::SA), notify.clone()]), Ok(vec![notify]));
}

/// libreswan 67: several deletes, that of the IKE SA last.
#[test]
fn many_deletes() {
    let payloads = samples(&[P::DELETE, P::DELETE, P::DELETE]);
    assert_eq!(check(ExchangeType::INFORMATIONAL, false, payloads.clone()), Ok(payloads));
}
