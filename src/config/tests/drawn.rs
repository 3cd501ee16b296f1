//! Documents of many kinds: what is true of all of them.
use super::draw::Draw;
use super::valid::{draw_doc, render};
use crate::config::document::{Desired, Object, Owner, REDACTED, Value, digest};
use crate::config::plan::{Impact, Plan, Side, plan};
use crate::config::{Config, Source, parse};
use proptest::prelude::*;
use std::sync::Arc;

fn drawn(seed: u64) -> (Vec<Source>, super::Fake) {
    let mut draw = Draw::new(seed);
    let doc = draw_doc(&mut draw);
    let (sources, _) = render(&mut draw, &doc);
    (sources, doc.fake)
}

fn read(seed: u64) -> (Desired, Config) {
    let (sources, fake) = drawn(seed);
    (Desired::from_sources(&sources).unwrap(), parse(&sources, &fake).unwrap_or_else(|errors| panic!("{errors}")))
}

fn between(old: &(Desired, Config), new: &(Desired, Config)) -> Plan {
    let side = |of: &(Desired, Config)| (of.0.clone(), of.1.clone());
    let (old, new) = (side(old), side(new));
    let plan_of = |a: &(Desired, Config), b: &(Desired, Config)| {
        plan(Side { document: &a.0, config: &a.1 }, Side { document: &b.0, config: &b.1 }, &|_| None)
    };
    let first = plan_of(&old, &new);
    assert_eq!(first, plan_of(&old, &new), "the same twice");
    first
}

#[test]
fn what_is_drawn_goes_through_json_and_toml_and_shows_no_secret() {
    for seed in 0..150 {
        let (sources, _) = drawn(seed);
        let files = Desired::from_sources(&sources).unwrap();
        let shown = files.to_json();
        let mut sent = Desired::from_json(shown.as_bytes()).unwrap();
        assert_eq!(sent.to_json(), shown, "seed {seed}");
        sent.merge_redacted(&files).unwrap_or_else(|errors| panic!("seed {seed}: {errors}"));
        assert_eq!(digest(&sent, &[1; 32]), digest(&files, &[1; 32]), "seed {seed}");
        // What the API owns becomes TOML, and that is the same document again.
        assert!(sent.objects().all(|object| object.owner == Owner::Api));
        let again = Desired::from_sources(&sent.to_sources()).unwrap_or_else(|errors| panic!("seed {seed}: {errors}"));
        // With children behind the keys of their connection: their order says nothing.
        assert_eq!(digest(&again, &[1; 32]), digest(&files, &[1; 32]), "seed {seed}");
        for (pointer, secret) in sent.api_secrets() {
            let secret = std::str::from_utf8(secret.expose()).unwrap().to_owned();
            assert!(pointer.starts_with("/secrets/"), "{pointer}");
            if secret.len() > 7 {
                let debug = format!("{sent:?} {:?}", sent.objects().collect::<Vec<_>>());
                assert!(!shown.contains(&secret) && !debug.contains(&secret), "seed {seed}");
            }
        }
    }
}

#[test]
fn a_plan_to_the_same_is_empty_and_one_to_another_is_complete() {
    for seed in 0..40 {
        let (one, two) = (read(seed), read(seed + 1000));
        assert_eq!(between(&one, &one), Plan::default(), "seed {seed}");
        let plan = between(&one, &two);
        for object in two.0.objects() {
            let steps = plan.changes.iter().filter(|step| step.object == object.key.to_string());
            let before = one.0.get(&object.key);
            let own = |o: &Arc<Object>| -> Vec<String> {
                let keys = o.body().table().iter().filter(|(key, _)| key != "children");
                keys.map(|(key, value)| format!("{key}{}", serde_json::to_string(value).unwrap())).collect()
            };
            let mut same = before.map(|o| (own(o), own(object))).is_some_and(|(a, b)| a == b);
            same |= before.is_some_and(|o| o.same(object));
            assert!(same || steps.count() == 1, "seed {seed}: {} in {plan:?}", object.key);
        }
        let back = between(&two, &one);
        let impacts = |plan: &Plan| plan.changes.iter().filter(|s| s.impact == Impact::InterruptsTraffic).count();
        assert_eq!(
            impacts(&plan) == 0 && impacts(&back) == 0,
            plan.impact().max(back.impact()) < Impact::InterruptsTraffic
        );
    }
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        // The reader of JSON is exact in what has few digits.
        (-1_000_000..1_000_000i32).prop_map(|n| (f64::from(n) / 16.0).into()),
        ".*".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(".{0,8}", inner, 0..6).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn object() -> impl Strategy<Value = serde_json::Value> {
    prop::collection::hash_map("[a-z~/\"]{1,6}", value(), 0..6).prop_map(|map| {
        let mut map: serde_json::Map<_, _> = map.into_iter().collect();
        map.remove("children");
        map.into()
    })
}

proptest! {
    #[test]
    fn any_json_goes_through_toml_as_it_was(connections in prop::collection::hash_map(".{1,9}", object(), 0..4), gateway in object()) {
        let sent = serde_json::json!({"gateway": gateway, "connections": connections});
        let document = Desired::from_json(sent.to_string().as_bytes()).unwrap();
        let shown: serde_json::Value = serde_json::from_str(&document.to_json()).unwrap();
        if !connections.is_empty() {
            prop_assert_eq!(&shown, &sent);
        }
        let again = Desired::from_sources(&document.to_sources()).unwrap();
        prop_assert_eq!(again.to_json(), document.to_json());
        prop_assert_eq!(digest(&again, &[0; 32]), digest(&document, &[0; 32]));
    }

    #[test]
    fn nothing_below_a_secret_is_shown(mut body in object(), text in "[A-Z]{20,40}") {
        for (key, way) in [("secret", 0), ("sceret", 1), ("secret_", 2)] {
            body[key] = match way {
                0 => text.clone().into(),
                1 => serde_json::json!([{"a": text}]),
                _ => serde_json::json!({"a": [text]}),
            };
        }
        let sent = serde_json::json!({"secrets": {"s": body}});
        let document = Desired::from_json(sent.to_string().as_bytes()).unwrap();
        let key = format!("{:?}{}", document, document.to_json());
        prop_assert!(!key.contains(&text) && key.contains(REDACTED));
        let hidden = |value: Option<&Value>| matches!(value, Some(Value::Hidden(_)));
        prop_assert!(document.objects().all(|object| hidden(object.body().get("secret"))));
        let refused = document.check(&super::Fake::default()).unwrap_err();
        let told = format!("{refused} {refused:?} {}", serde_json::to_string(&refused).unwrap());
        prop_assert!(!told.contains(&text));
    }

    #[test]
    fn what_is_unchanged_stays_and_what_is_new_counts(texts in prop::collection::vec("[a-z]{8,20}", 1..6), kept in any::<u8>()) {
        let secrets = |redact: bool| -> serde_json::Value {
            let one = |(n, text): (usize, &String)| {
                let secret = if redact && kept >> n & 1 == 1 { REDACTED.into() } else { format!("{text}{}", if redact { "-new" } else { "" }) };
                (format!("s{n}"), serde_json::json!({"id": [format!("i{n}")], "secret": secret}))
            };
            serde_json::json!({"secrets": texts.iter().enumerate().map(one).collect::<serde_json::Map<_, _>>()})
        };
        let before = Desired::default().put(Desired::from_json(secrets(false).to_string().as_bytes()).unwrap()).unwrap();
        let after = before.put(Desired::from_json(secrets(true).to_string().as_bytes()).unwrap()).unwrap();
        for (n, text) in texts.iter().enumerate() {
            let expected = if kept >> n & 1 == 1 { text.clone() } else { format!("{text}-new") };
            let found = after.api_secrets().into_iter().find(|(pointer, _)| *pointer == format!("/secrets/s{n}/secret"));
            let found = found.unwrap().1;
            prop_assert_eq!(found.expose(), expected.as_bytes());
        }
    }
}
