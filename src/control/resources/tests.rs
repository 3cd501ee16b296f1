//! Every operation of the table against a router with an engine that is none.
use super::*;
use crate::control::fake::{CHILD, CONNECTIONS, Fake};
use axum::body::Body;
use axum::http::{Request, header};
use std::collections::{BTreeMap, BTreeSet};

/// The path of an operation with names that exist.
fn filled(operation: &Operation) -> String {
    operation.path.replace("{name}", CONNECTIONS[0]).replace("{child}", CHILD)
}

fn code(body: &[u8]) -> String {
    serde_json::from_slice::<Problem>(body).map(|problem| problem.code).unwrap_or_default()
}

#[test]
fn every_operation_answers_whoever_may() {
    let fake = Fake::new();
    for operation in operations() {
        let answer = fake.ask(operation.role, example(operation));
        let what = format!("{:?} {}", operation.method, operation.path);
        assert!(answer.status().is_success(), "{what}: {} {}", answer.status(), String::from_utf8_lossy(answer.body()));
        let media = answer.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(media.as_deref(), operation.answer.map(|shape| shape.media), "{what}");
    }
}

/// A request that can be sent as it stands.
fn example(operation: &Operation) -> Request<Body> {
    let request = Request::builder().method(operation.method.name()).uri(filled(operation));
    match operation.body {
        Some(shape) => {
            let body = shape.example.expect("every body has an example");
            request.header(header::CONTENT_TYPE, shape.media).body(body.into()).unwrap()
        }
        None => request.body(Body::empty()).unwrap(),
    }
}

#[test]
fn a_lesser_role_is_refused_and_told_what_it_lacks() {
    let fake = Fake::new();
    for operation in operations() {
        for role in [Role::None, Role::Observe, Role::Operator].into_iter().filter(|role| *role < operation.role) {
            let answer = fake.ask(role, example(operation));
            assert_eq!(
                (answer.status().as_u16(), code(answer.body()).as_str()),
                (403, "access.role"),
                "{operation:?} {role:?}"
            );
        }
    }
}

#[test]
fn nothing_that_writes_is_open_to_those_who_observe() {
    for operation in operations() {
        assert!(operation.role > Role::None, "{operation:?}");
        assert!(!operation.writes || operation.role > Role::Observe, "{operation:?}");
    }
}

#[test]
fn every_write_is_told_of_whether_it_was_done_or_not() {
    let fake = Fake::new();
    for operation in operations() {
        for role in [Role::None, operation.role] {
            fake.ask(role, example(operation));
            let told = fake.audits();
            // Who is nobody does not get as far as a resource.
            assert_eq!(told.len(), usize::from(operation.writes && role != Role::None), "{operation:?} {role:?}");
        }
    }
    fake.get(Role::Observe, "POST", "/v1/connections/hangzhou/up");
    let told = fake.audits();
    assert_eq!((told[0].status, told[0].code.as_deref()), (403, Some("access.role")));
    assert_eq!(told[0].request, "POST /v1/connections/hangzhou/up");
    assert_eq!((told[0].caller.uid, told[0].caller.pid), (1000, Some(7)));
}

#[test]
fn another_verb_is_405_and_says_which_there_are() {
    let fake = Fake::new();
    let mut by_path: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for operation in operations() {
        let verbs = by_path.entry(filled(operation)).or_default();
        verbs.insert(operation.method.name());
        if operation.method == Method::Get {
            verbs.insert("HEAD");
        }
    }
    for (path, verbs) in by_path {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
            if verbs.contains(method) {
                continue;
            }
            let answer = fake.get(Role::Admin, method, &path);
            let allowed = answer.headers().get(header::ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let allowed: BTreeSet<_> = allowed.split(',').map(str::trim).collect();
            assert_eq!((answer.status().as_u16(), &allowed), (405, &verbs), "{method} {path}");
            assert_eq!(code(answer.body()), if method == "HEAD" { "" } else { "method.unknown" });
        }
    }
}

#[test]
fn what_is_not_there_is_404_with_a_problem() {
    let fake = Fake::new();
    for path in ["/", "/v1", "/v2/info", "/v1/info/", "/v1/connections/", "/v1/connections/a/b"] {
        let answer = fake.get(Role::Admin, "GET", path);
        assert_eq!((answer.status().as_u16(), code(answer.body()).as_str()), (404, "resource.unknown"), "{path}");
    }
    let answer = fake.get(Role::Observe, "GET", "/v1/connections/nobody");
    assert_eq!((answer.status().as_u16(), code(answer.body()).as_str()), (404, "connection.unknown"));
}

#[test]
fn a_path_or_a_query_that_is_none_is_400_with_a_problem() {
    let fake = Fake::new();
    let asked = |path: &str| {
        let answer = fake.get(Role::Admin, "POST", path);
        (answer.status().as_u16(), code(answer.body()))
    };
    assert_eq!(asked("/v1/connections/%ff/up"), (400, "path.invalid".into()));
    for query in ["timeout=-1", "timeout=soon", "timeout=1&timeout=2", "patience=1"] {
        assert_eq!(asked(&format!("/v1/connections/hangzhou/up?{query}")), (400, "query.invalid".into()), "{query}");
    }
    assert_eq!(asked("/v1/connections/t%C3%B6pfer%2F%C3%9F/up?timeout=0").0, 200);
}

#[test]
fn a_body_that_is_too_large_is_413_whether_it_says_so_or_not() {
    let fake = Fake::new();
    for operation in operations() {
        let request = |says: Option<usize>| {
            let mut request = Request::builder().method(operation.method.name()).uri(filled(operation));
            if let Some(length) = says {
                request = request.header(header::CONTENT_LENGTH, length);
            }
            let body = vec![b' '; if says.is_some() { 0 } else { operation.max_body + 1 }];
            request.body(Body::from(body)).unwrap()
        };
        for request in [request(Some(operation.max_body + 1)), request(None)] {
            let answer = fake.ask(Role::Admin, request);
            assert_eq!((answer.status().as_u16(), code(answer.body()).as_str()), (413, "body.size"), "{operation:?}");
        }
    }
}

/// The words of a line as a shell has them: enough for the README's.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quote, mut open) = (Vec::new(), None, false);
    for c in line.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                if !std::mem::replace(&mut open, true) {
                    words.push(String::new());
                }
            }
            (None, ' ') => open = false,
            (_, c) => {
                if !std::mem::replace(&mut open, true) {
                    words.push(String::new());
                }
                words.last_mut().unwrap().push(c);
            }
        }
    }
    words
}

/// A line of `curl`: the role that the socket gives, and the request.
fn curled(line: &str) -> (Role, Request<Body>) {
    let (mut role, mut method, mut request, mut body) = (Role::Admin, None, Request::builder(), None);
    let mut words = words(line).into_iter().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap();
        match word.as_str() {
            "--unix-socket" if value().ends_with("observe.sock") => role = Role::Observe,
            "--unix-socket" | "-N" | "-s" => {}
            "-X" => method = Some(value()),
            "-d" | "--data-binary" => body = Some(value()),
            "-H" => {
                let header = value();
                let (name, value) = header.split_once(": ").unwrap();
                request = request.header(name, value);
            }
            url => {
                request = request.uri(url.strip_prefix("http://localhost").unwrap_or_else(|| panic!("{url} in {line}")))
            }
        }
    }
    let usual = if body.is_some() { "POST" } else { "GET" };
    let request = request.method(method.as_deref().unwrap_or(usual));
    (role, request.body(body.unwrap_or_default().into()).unwrap())
}

#[test]
fn the_lines_of_the_readme_work() {
    let fake = Fake::new();
    let readme = include_str!("../../../README.md");
    let section = readme.split("\n## The API\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let lines: Vec<_> = section.lines().filter(|line| line.starts_with("curl --unix-socket")).collect();
    assert!(lines.len() >= 7, "{lines:?}");
    for line in lines {
        let (role, request) = curled(line);
        let answer = fake.ask(role, request);
        assert!(answer.status().is_success(), "{line}: {} {}", answer.status(), String::from_utf8_lossy(answer.body()));
    }
}
