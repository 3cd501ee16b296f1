//! `why --probe`: the peer is asked what it takes, and whoever has ordered that waits for the end.
use super::extract::Segments;
use super::problem::Problem;
use super::request::Request;
use super::resources::{Method, Operation, Role, json};
use super::routes::Api;
use super::types::{ConnectionState, Diagnosis, Why};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// What is served here.
pub const OPERATIONS: &[Operation] = &[Operation::new(
    (Method::Post, "/v1/connections/{name}/probe"),
    Role::Operator,
    "Ask the peer what it takes, within limits, and tell what is wrong then; answered at the end, after two minutes at most",
    |verb| on(verb, probe),
)
.answers(json::<Probed>())
.fails(&[
    (404, "There is no such connection"),
    (409, "It is being done already or was broken off, or there is no address that may be asked"),
    (429, "The peer has been asked enough for now; the header `Retry-After` says when it may be asked again"),
])];

/// What is wrong, what was asked to find it out, and what came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Probed {
    pub connection: String,
    pub state: ConnectionState,
    /// As `/v1/connections/{name}/why` says it now.
    pub diagnoses: Vec<Diagnosis>,
    /// In the order of asking; none where nothing had to be asked.
    pub probes: Vec<Probe>,
}
/// One question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Probe {
    /// When it was asked, RFC 3339.
    pub time: String,
    /// `IKE_SA_INIT`, `IKE_AUTH`, `CREATE_CHILD_SA`, `IKEv1`.
    pub exchange: String,
    /// What for: `own`, `widest`, `only_encr`, `only_integ`, `only_prf`, `only_ke`, `only_esn`, `unnamed`, `natt`, `selectors`, `main_mode`.
    pub asked: String,
    /// What was offered: keywords, selectors or identities.
    pub offer: Vec<String>,
    /// What came: a choice, or the names of notifications; `null`: nothing.
    pub answer: Option<String>,
}
/// Why the peer is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotProbed {
    /// No connection of this name.
    Unknown,
    /// Its peer may be anywhere, or there is nothing in it to negotiate.
    NoAddress,
    /// The peer's address is not known, or cannot be reached from here.
    NoWay,
    /// Somebody else does so.
    UnderWay,
    /// Not before this time is over.
    Later(Duration),
    /// It was begun and given up.
    BrokenOff,
    /// The daemon is stopping.
    Stopping,
}
impl NotProbed {
    fn problem(self, name: &str) -> Problem {
        let conflict = |code, title, detail: String| Problem::new(StatusCode::CONFLICT, code, title, detail);
        match self {
            Self::Unknown => Problem::unknown_connection(name),
            Self::NoAddress => conflict(
                "probe.no_address",
                "Nobody to ask",
                format!(
                    "{name} does not say where its peer is, and only configured addresses are asked; see what the peer's own log says"
                ),
            ),
            Self::NoWay => conflict(
                "probe.no_way",
                "No way to the peer",
                format!("there is no address of the peer of {name}, or no way to it; `sandhog why {name}` says which"),
            ),
            Self::UnderWay => conflict(
                "probe.under_way",
                "Under way",
                format!("the peer of {name} is being asked already; wait for the end"),
            ),
            Self::Later(wait) => {
                let seconds = seconds(wait);
                let detail = format!(
                    "the peer of {name} has been asked enough for now, more would make it block us; again in {seconds} s"
                );
                Problem::new(StatusCode::TOO_MANY_REQUESTS, "probe.later", "Not now", detail)
            }
            Self::BrokenOff => conflict(
                "probe.broken_off",
                "Broken off",
                format!(
                    "{name} was taken down or changed meanwhile, or time ran out, and nothing is known yet; ask again"
                ),
            ),
            Self::Stopping => Problem::busy(),
        }
    }
}
fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

async fn probe(State(api): State<Api>, Segments(name): Segments<String>) -> Result<Response, Problem> {
    let asked = api.engine.ask(|reply| Request::Probe(name.as_str().into(), reply)).await?;
    let probes = match asked {
        Ok(probes) => probes,
        Err(why) => {
            let mut response = why.problem(&name).into_response();
            if let NotProbed::Later(wait) = why {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds(wait)));
            }
            return Ok(response);
        }
    };
    let why = api.engine.ask(|reply| Request::Why(name.as_str().into(), reply)).await?;
    let Why { connection, state, diagnoses } = *why.ok_or_else(|| Problem::unknown_connection(&name))?;
    Ok(Json(Probed { connection, state, diagnoses, probes }).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_to_come_again() {
        let problem = NotProbed::Later(Duration::from_millis(41_200)).problem("office");
        assert_eq!((problem.status, problem.code.as_str()), (429, "probe.later"));
        assert!(problem.detail.contains("again in 42 s"), "{}", problem.detail);
        assert_eq!(NotProbed::UnderWay.problem("office").status, 409);
        assert_eq!(NotProbed::Unknown.problem("office").status, 404);
    }
}
