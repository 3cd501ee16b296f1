//! What of secrets operators may: nothing.
use super::*;
use crate::control::access::Role;
use crate::control::fake::{self, Fake};
use axum::body::Body;
use axum::http::{Request, Response, header};
use std::sync::mpsc;

fn operator() -> Terms {
    Terms { admin: false, ..terms(None) }
}

/// A key of its own in what the API has put.
fn own_key() -> (String, String) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["us".into()]).unwrap().self_signed(&pair).unwrap();
    (certificate.pem(), pair.serialize_pem())
}

fn with_key(certificate: &str, key: &str) -> serde_json::Value {
    serde_json::json!({
        "remote_addrs": ["192.0.2.7"], "local": { "auth": "pubkey", "id": "us", "certs": [certificate], "key": key },
        "remote": { "auth": "psk", "id": "k" }, "children": { "lan": { "local_ts": ["10.1.0.0/16"], "remote_ts": ["10.7.0.0/16"] } }
    })
}

/// `a` and its secret stand in a file, `b` and its secret and `k` and its key are the API's, `c` there is not.
struct Api {
    fake: Fake,
    certificate: String,
    key: String,
    _lab: Lab,
}
impl Api {
    fn new() -> Self {
        let lab = Lab::new(&connection("a", 2));
        let mut keeper = lab.start();
        let (certificate, key) = own_key();
        let document = serde_json::json!({
            "connections": { "k": with_key(&certificate, &key) },
            "secrets": { "b": { "id": ["b"], "secret": secret("b") }, "k": { "id": ["k"], "secret": secret("k") } }
        });
        keeper.apply_from(From::Document(Secret::new(document.to_string().into_bytes())), &terms(None)).unwrap();
        let (orders, from_clients) = mpsc::sync_channel(16);
        let audits = Arc::new(Mutex::new(Vec::new()));
        let mut api = fake::api(audits.clone());
        api.keeper = crate::control::config::Keeper::new(orders);
        drop(keeper.start(from_clients).unwrap());
        Self { fake: Fake::of(&api, audits), certificate, key, _lab: lab }
    }
    fn ask(&self, role: Role, (verb, path): (&str, &str), body: &serde_json::Value) -> Response<Vec<u8>> {
        let request = Request::builder().method(verb).uri(path).header(header::CONTENT_TYPE, "application/json");
        self.fake.ask(role, request.body(Body::from(body.to_string())).unwrap())
    }
}

/// Whoever may send a guess and sees another answer when it is right has an oracle.
#[test]
fn a_guess_that_is_right_is_answered_as_one_that_is_wrong() {
    let api = Api::new();
    let of_secret =
        |name: &str, secret: String| serde_json::json!({ "secrets": { name: { "id": [name], "secret": secret } } });
    let of_key = |key: &str| serde_json::json!({ "connections": { "k": with_key(&api.certificate, key) } });
    let right =
        [of_secret("a", secret("a")), of_secret("b", secret("b")), of_secret("c", secret("c")), of_key(&api.key)];
    let wrong =
        [of_secret("a", secret("x")), of_secret("b", secret("x")), of_secret("c", secret("x")), of_key(&own_key().1)];
    for (right, wrong) in right.iter().zip(&wrong) {
        for route in [("PUT", "/v1/config"), ("POST", "/v1/config/plan"), ("POST", "/v1/config/apply")] {
            let [one, other] = [right, wrong].map(|body| api.ask(Role::Operator, route, body));
            assert_eq!((one.status(), one.headers()), (other.status(), other.headers()), "{route:?}");
            assert_eq!((one.body(), one.status().as_u16()), (other.body(), 403), "{route:?}");
            let said = String::from_utf8(one.into_body()).unwrap();
            assert!(said.contains("access.secret") && said.contains("***") && !said.contains("hush"), "{said}");
        }
    }
    let one = |key: &str| api.ask(Role::Operator, ("PUT", "/v1/connections/k"), &with_key(&api.certificate, key));
    let [right, wrong] = [one(&api.key), one(&own_key().1)];
    assert_eq!((right.status().as_u16(), right.body(), right.headers()), (403, wrong.body(), wrong.headers()));
    assert!(String::from_utf8_lossy(right.body()).contains("/connections/k/local/key"));
}

#[test]
fn who_sends_what_is_shown_back_changes_what_is_no_secret() {
    let api = Api::new();
    let mut shown: serde_json::Value =
        serde_json::from_slice(api.fake.get(Role::Operator, "GET", "/v1/config").body()).unwrap();
    shown["connections"]["k"]["keepalive"] = "30s".into();
    for route in [("POST", "/v1/config/plan"), ("PUT", "/v1/config"), ("POST", "/v1/config/apply")] {
        let answer = api.ask(Role::Operator, route, &shown);
        assert_eq!(answer.status(), 200, "{route:?}: {}", String::from_utf8_lossy(answer.body()));
    }
    let one = api.ask(Role::Operator, ("PUT", "/v1/connections/k"), &with_key(&api.certificate, "***"));
    assert_eq!(one.status(), 200, "{}", String::from_utf8_lossy(one.body()));
    // Whose a secret is decides what it opens.
    shown["secrets"]["b"]["id"] = serde_json::json!(["b", "%any"]);
    let refused = api.ask(Role::Operator, ("PUT", "/v1/config"), &shown);
    assert!(refused.status() == 403 && String::from_utf8_lossy(refused.body()).contains("access.role"));
    assert_eq!(api.ask(Role::Admin, ("PUT", "/v1/config"), &shown).status(), 200);
}

/// And leaves it to who may.
#[test]
fn operators_do_not_apply_a_plan_of_secrets() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    let plan = keeper.plan(json(&[("b", 3)]), true).unwrap().plan;
    assert_eq!(code(keeper.apply_from(From::Plan(plan.clone()), &operator())), "access.role");
    assert_eq!(code(keeper.apply_from(From::Plan(plan), &terms(None))), "done");
}

#[test]
fn operators_do_not_bring_back_what_has_other_secrets() {
    let lab = Lab::new(&connection("a", 2));
    let mut keeper = lab.start();
    let with = |connections: &[(&str, u8)], secret: &str, ids: &[&str]| {
        let From::Document(text) = json(connections) else { unreachable!() };
        let mut document: serde_json::Value = serde_json::from_slice(text.expose()).unwrap();
        document["secrets"]["b"] = serde_json::json!({ "id": ids, "secret": secret });
        From::Document(Secret::new(document.to_string().into_bytes()))
    };
    let first = "the-first-of-all-of-them";
    keeper.apply_from(with(&[("b", 3)], first, &["b"]), &terms(None)).unwrap();
    keeper.apply_from(with(&[("b", 3)], first, &["b", "b2"]), &terms(None)).unwrap();
    keeper.apply_from(with(&[("b", 3)], "another-one-instead-of-it", &["b", "b2"]), &terms(None)).unwrap();
    keeper.apply_from(with(&[("b", 5)], "another-one-instead-of-it", &["b", "b2"]), &terms(None)).unwrap();
    let etag = keeper.in_force.etag.clone();
    for (number, secrets) in [(1, "none"), (2, "the first, of another"), (3, "the first")] {
        assert_eq!(code(keeper.rollback(Some(number), &operator())), "access.role", "{secrets}");
    }
    assert_eq!(keeper.in_force.etag, etag);
    assert_eq!(code(keeper.rollback(Some(4), &operator())), "done", "with the same secrets");
    assert_eq!(code(keeper.rollback(Some(3), &terms(None))), "done");
    // Nor what waits to be confirmed, and time undoes it for everybody.
    keeper.apply_from(with(&[("b", 3)], "for-a-minute-and-no-longer", &["b"]), &terms(Some(60))).unwrap();
    assert_eq!(code(keeper.rollback(None, &operator())), "access.role");
    NOW.set(NOW.get() + 60);
    keeper.tick();
    assert!(keeper.pending().is_none());
    keeper.apply_from(with(&[("b", 6)], first, &["b", "b2"]), &terms(Some(60))).unwrap();
    assert_eq!(code(keeper.rollback(None, &operator())), "done");
    // What the files say whoever writes them has decided.
    lab.write(&connection("z", 9));
    assert_eq!(code(keeper.apply_from(From::Files, &operator())), "done");
    assert_eq!(code(keeper.rollback(None, &operator())), "access.role");
}
