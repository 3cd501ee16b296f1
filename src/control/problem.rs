//! Errors of the API: `application/problem+json` (RFC 9457).
use super::config::Findings;
use super::gate::Code;
use super::request::Refusal;
use super::types::{Failure, Verb};
use axum::Extension;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One problem. `code` is stable and is what programs look at; `detail` says what happened and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A URN of the code (RFC 9457 section 3.1.1).
    #[serde(rename = "type")]
    pub kind: String,
    /// The HTTP status (section 3.1.2).
    pub status: u16,
    /// A few words that are the same for all problems of this code (section 3.1.3).
    pub title: String,
    /// This occurrence (section 3.1.4).
    pub detail: String,
    /// `connection.unknown`, `up.failed` ...
    pub code: String,
    /// Why a connection is not up, where that is known.
    pub last_failure: Option<Box<Failure>>,
    /// What is wrong with a configuration, and where.
    #[serde(default)]
    pub findings: Option<Box<Findings>>,
}
impl Problem {
    /// Without a failure.
    pub fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:sandhog:problem:{code}"),
            status: status.as_u16(),
            title: title.into(),
            detail: detail.into(),
            code: code.into(),
            last_failure: None,
            findings: None,
        }
    }
    /// The engine does not answer: it is stopping, or has more requests waiting than it takes.
    pub fn busy() -> Self {
        let detail = "the daemon is stopping or has too many requests waiting; try again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "daemon.busy", "Busy", detail)
    }
    /// What came as a body cannot be read.
    pub fn body(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "body.invalid", "Invalid body", detail)
    }
    /// There is no such resource.
    pub fn not_found(path: &str) -> Self {
        let detail = format!("there is no resource {path:?}; see /v1/openapi.json");
        Self::new(StatusCode::NOT_FOUND, "resource.unknown", "Unknown resource", detail)
    }
    /// The resource is there, the verb is not; the header `Allow` says which are.
    pub fn wrong_method(path: &str) -> Self {
        let detail = format!("{path:?} does not take this method; the header `Allow` lists those that it takes");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method.unknown", "Wrong method", detail)
    }
    /// No such connection.
    pub fn unknown_connection(name: &str) -> Self {
        let detail = format!("no connection {name:?} is configured; `sandhog status` lists them");
        Self::new(StatusCode::NOT_FOUND, "connection.unknown", "Unknown connection", detail)
    }
    /// What the engine refused to do.
    pub fn refused(verb: Verb, connection: &str, child: Option<&str>, refusal: Refusal) -> Self {
        let name = child.map_or_else(|| connection.to_owned(), |child| format!("{connection}/{child}"));
        let because = |failure: &Failure| {
            let fix = failure.fix.first().map_or("", |fix| &fix.text.en);
            format!("{name}: {}: {} {fix}", failure.code, failure.explain.en)
        };
        let (mut problem, failure) = match refusal {
            Refusal::UnknownConnection => (Self::unknown_connection(connection), None),
            Refusal::UnknownChild => {
                let detail = format!("connection {connection:?} has no child {:?}", child.unwrap_or_default());
                (Self::new(StatusCode::NOT_FOUND, "child.unknown", "Unknown child", detail), None)
            }
            Refusal::UnknownPeer => {
                let detail = format!("{name} has no such peer; `sandhog status {connection}` lists them");
                (Self::new(StatusCode::NOT_FOUND, "peer.unknown", "Unknown peer", detail), None)
            }
            Refusal::PeerCalls => {
                let detail = format!("{name} takes calls: its peers bring themselves up");
                (Self::new(StatusCode::CONFLICT, "peer.calls", "It cannot be called", detail), None)
            }
            Refusal::NotUp => {
                let detail =
                    format!("{name} is not up, so there is nothing to rekey; `sandhog up {name}` brings it up");
                (Self::new(StatusCode::CONFLICT, "rekey.down", "Not up", detail), None)
            }
            Refusal::Failed(failure) => {
                let (code, title) = match verb {
                    Verb::Rekey => ("rekey.failed", "It was not rekeyed"),
                    Verb::Up | Verb::Down => ("up.failed", "It did not come up"),
                };
                (Self::new(StatusCode::CONFLICT, code, title, because(&failure)), Some(failure))
            }
            Refusal::TimedOut(failure) => {
                let detail = failure.as_deref().map_or_else(|| format!("{name}: not yet; it goes on trying"), because);
                let problem = Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "Not in time", detail);
                (problem, failure)
            }
            Refusal::Stopping => (Self::busy(), None),
        };
        problem.last_failure = failure;
        problem
    }
}
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let head = [(header::CONTENT_TYPE, "application/problem+json")];
        (status, Extension(Code(self.code)), head, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::remedy::{Fix, Names, Side, Text};

    fn text(en: &str) -> Text {
        Text { en: en.into(), zh: String::new() }
    }
    fn failure() -> Failure {
        Failure {
            id: None,
            time: "2026-11-21T10:00:00Z".into(),
            connection: Some("a".into()),
            child: None,
            phase: "ike_auth".into(),
            side: "initiator".into(),
            code: "auth.failed".into(),
            certainty: "likely".into(),
            candidates: vec!["auth.psk".into()],
            local: Default::default(),
            peer: Default::default(),
            differing: vec![],
            notify: Some("AUTHENTICATION_FAILED".into()),
            explain: text("The peer refused."),
            fix: vec![Fix {
                side: Side::Us,
                path: None,
                set: None,
                also: vec![],
                command: None,
                text: text("Compare the secrets."),
            }],
            names: Names::default(),
        }
    }

    #[test]
    fn a_refusal_carries_the_failure() {
        let problem = Problem::refused(Verb::Up, "a", Some("b"), Refusal::Failed(Box::new(failure())));
        assert_eq!(problem.status, 409);
        assert_eq!(problem.kind, "urn:sandhog:problem:up.failed");
        assert!(problem.detail.contains("a/b: auth.failed: The peer refused. Compare the secrets."));
        assert_eq!(problem.last_failure.as_deref(), Some(&failure()));
    }

    #[test]
    fn a_rekey_fails_by_its_own_name() {
        let code = |refusal| Problem::refused(Verb::Rekey, "a", Some("b"), refusal).code;
        assert_eq!(code(Refusal::Failed(Box::new(failure()))), "rekey.failed");
        assert_eq!(code(Refusal::NotUp), "rekey.down");
        let down = Problem::refused(Verb::Rekey, "a", Some("b"), Refusal::NotUp);
        assert!(down.status == 409 && down.detail.contains("`sandhog up a/b`"), "{down:?}");
    }

    #[test]
    fn a_time_out_is_another_status_and_names_the_cause_if_there_is_one() {
        assert_eq!(Problem::refused(Verb::Up, "a", None, Refusal::TimedOut(None)).status, 504);
        let problem = Problem::refused(Verb::Up, "a", None, Refusal::TimedOut(Some(Box::new(failure()))));
        assert!(problem.detail.contains("auth.failed"));
    }

    #[test]
    fn names_from_outside_are_escaped() {
        assert!(Problem::unknown_connection("a\u{1b}[31m").detail.contains("\\u{1b}"));
    }

    #[test]
    fn the_media_type_is_that_of_the_rfc() {
        let response = Problem::busy().into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}
