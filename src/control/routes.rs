//! The resources that look at connections and bring them up and down (interface.md, "Control API").
use super::capture::Captures;
use super::config::Keeper;
use super::events::Ring;
use super::extract::{Params, Segments};
use super::gate::Auditor;
use super::lists::{self, Wanted};
use super::metrics::listener::Listener;
use super::metrics::meter::Meter;
use super::problem::Problem;
use super::request::{Change, Engine, Request};
use super::resources::{Kind, Method, Operation, Parameter, Role, json};
use super::types::{Connection, Info, Sas, Stats, Status, Verb};
use crate::ipsec::tables::Tables;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest and usual time to wait for `up`, `down` and `rekey`, seconds.
pub const MAX_WAIT: u64 = 600;
const DEFAULT_WAIT: u64 = 30;

const WAITS: &[Parameter] = &[
    Parameter::query(
        "timeout",
        Kind::Number(0, MAX_WAIT),
        "Seconds to wait until it is done, usually 30; 0 does not wait",
    ),
    Parameter::query(
        "peer",
        Kind::Number(1, u32::MAX as u64),
        "To take down or to rekey: only this peer of a connection that has several",
    ),
];
const NO_CONNECTION: (u16, &str) = (404, "There is no such connection");
const NOT_CHANGED: &[(u16, &str)] = &[
    NO_CONNECTION,
    (409, "It cannot be done, or the peer refused; `last_failure` says why"),
    (504, "Not in this time; it goes on trying"),
];

/// What is served here.
pub const OPERATIONS: &[Operation] = &[
    Operation::new(
        (Method::Get, "/v1/info"),
        Role::Observe,
        "What runs here, and what the host is to be told",
        |verb| on(verb, info),
    )
    .answers(json::<Info>()),
    Operation::new(
        (Method::Get, "/v1/connections"),
        Role::Observe,
        "All configured connections, in the order of the configuration, or those of them that are wanted",
        |verb| on(verb, connections),
    )
    .with(&[
        Parameter::query(
            "limit",
            Kind::Number(1, 1_000_000),
            "At most so many; a header `Link` leads to the next page",
        ),
        Parameter::query("after", Kind::Text(""), "Those behind the connection of this name"),
        Parameter::query(
            "state",
            Kind::OneOf(&["down", "connecting", "up", "closing", "failed"]),
            "Those in this state",
        ),
        Parameter::query("name", Kind::Text("han"), "Those whose name begins with this"),
    ])
    .answers(json::<Status>())
    .says(&[("Link", "RFC 8288: `rel=\"next\"`, if `limit` left some out")])
    .fails(&[(409, "The connection to go on behind is not there any more")]),
    Operation::new((Method::Get, "/v1/connections/{name}"), Role::Observe, "One connection", |verb| {
        on(verb, connection)
    })
    .answers(json::<Connection>())
    .fails(&[NO_CONNECTION]),
    change_of((Method::Post, "/v1/connections/{name}/up"), "Bring a connection up, and wait", |verb| {
        on(verb, async |api: S, name: Segments<String>, wait: W| change(api, Verb::Up, (name.0, None), wait).await)
    }),
    change_of((Method::Post, "/v1/connections/{name}/down"), "Take a connection down, and wait", |verb| {
        on(verb, async |api: S, name: Segments<String>, wait: W| change(api, Verb::Down, (name.0, None), wait).await)
    }),
    change_of((Method::Post, "/v1/connections/{name}/rekey"), "Rekey its IKE SA, and wait", |verb| {
        on(verb, async |api: S, name: Segments<String>, wait: W| change(api, Verb::Rekey, (name.0, None), wait).await)
    }),
    change_of((Method::Post, "/v1/connections/{name}/children/{child}/up"), "Bring a child up, and wait", |verb| {
        on(verb, async |api: S, names: C, wait: W| change(api, Verb::Up, both(names), wait).await)
    }),
    change_of((Method::Post, "/v1/connections/{name}/children/{child}/down"), "Take a child down, and wait", |verb| {
        on(verb, async |api: S, names: C, wait: W| change(api, Verb::Down, both(names), wait).await)
    }),
    change_of((Method::Post, "/v1/connections/{name}/children/{child}/rekey"), "Rekey a child, and wait", |verb| {
        on(verb, async |api: S, names: C, wait: W| change(api, Verb::Rekey, both(names), wait).await)
    }),
    Operation::new((Method::Get, "/v1/sas"), Role::Observe, "The SAs of all connections", |verb| on(verb, sas))
        .answers(json::<Sas>()),
    Operation::new((Method::Get, "/v1/stats"), Role::Observe, "Counters of the daemon as a whole", |verb| {
        on(verb, stats)
    })
    .answers(json::<Stats>()),
];

type S = State<Api>;
type W = Params<Wait>;
type C = Segments<(String, String)>;

const fn change_of(
    at: (Method, &'static str),
    summary: &'static str,
    handler: fn(axum::routing::MethodFilter) -> axum::routing::MethodRouter<Api>,
) -> Operation {
    Operation::new(at, Role::Operator, summary, handler).with(WAITS).answers(json::<Connection>()).fails(NOT_CHANGED)
}

/// What the handlers need.
#[derive(Clone)]
pub struct Api {
    /// The engine.
    pub engine: Engine,
    /// Who keeps the configuration.
    pub keeper: Keeper,
    /// What happened.
    pub events: Arc<Ring>,
    /// The daemon's clock, by which the engine says when.
    pub clock: fn() -> Duration,
    /// Told of every write.
    pub audit: Auditor,
    /// Places for large bodies ([`super::gate::places`]).
    pub large: Arc<Semaphore>,
    /// The policies that workers have.
    pub tables: Arc<Tables>,
    /// What is counted for metrics.
    pub meter: Arc<Meter>,
    /// Captures that run.
    pub captures: Arc<Captures>,
    /// A socket for those who ask for metrics alone.
    pub metrics: Option<Arc<Listener>>,
}

async fn info(State(api): State<Api>) -> Result<Json<Info>, Problem> {
    Ok(Json(api.engine.ask(Request::Info).await?))
}

async fn connections(State(api): S, Params(wanted): Params<Wanted>) -> Result<Response, Problem> {
    lists::answer(&api, wanted).await
}

async fn connection(State(api): S, Segments(name): Segments<String>) -> Result<Response, Problem> {
    let board = api.engine.ask(Request::Board).await?;
    let piece = board.get(&name).ok_or_else(|| Problem::unknown_connection(&name))?;
    let body = piece.text((api.clock)());
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

async fn sas(State(api): S) -> Result<Response, Problem> {
    lists::sas(&api).await
}

async fn stats(State(api): State<Api>) -> Result<Json<Stats>, Problem> {
    Ok(Json(api.engine.ask(Request::Stats).await?))
}

/// `?timeout=SECONDS`; 0 does not wait.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    timeout: Option<u64>,
    /// One peer of several.
    peer: Option<u32>,
}

fn both(Segments((connection, child)): C) -> (String, Option<String>) {
    (connection, Some(child))
}

async fn change(
    api: S,
    verb: Verb,
    (name, child): (String, Option<String>),
    Params(wait): W,
) -> Result<Response, Problem> {
    let timeout = wait.timeout.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT);
    let order = |reply| {
        Request::Change(Change {
            verb,
            connection: name.as_str().into(),
            peer: wait.peer,
            child: child.as_deref().map(Into::into),
            timeout: Duration::from_secs(timeout),
            reply,
        })
    };
    let done = api.engine.ask(order).await?;
    done.map_err(|refusal| Problem::refused(verb, &name, child.as_deref(), refusal))?;
    connection(api, Segments(name)).await
}
