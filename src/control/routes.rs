//! The resources that look at connections and bring them up and down (interface.md, "Control API").
use super::config::Keeper;
use super::extract::{Params, Segments};
use super::gate::Auditor;
use super::metrics::meter::{Figure, Meter};
use super::problem::Problem;
use super::request::{Change, Engine, Request};
use super::resources::{Kind, Method, Operation, Parameter, Role, json, media};
use super::types::{Connection, Event, Info, Sas, Stats, Status, Verb};
use axum::Json;
use axum::extract::State;
use axum::response::sse;
use axum::routing::on;
use futures_util::{Stream, stream};
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast};

/// Longest and usual time to wait for `up`, `down` and `rekey`, seconds.
pub const MAX_WAIT: u64 = 600;
const DEFAULT_WAIT: u64 = 30;

const WAITS: &[Parameter] = &[Parameter::query(
    "timeout",
    Kind::Number(0, MAX_WAIT),
    "Seconds to wait until it is done, usually 30; 0 does not wait",
)];
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
    Operation::new((Method::Get, "/v1/connections"), Role::Observe, "All configured connections", |verb| {
        on(verb, connections)
    })
    .answers(json::<Status>()),
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
    Operation::new((Method::Get, "/v1/events"), Role::Observe, "Events as they happen", |verb| on(verb, events))
        .answers(media("text/event-stream")),
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
    /// Its events.
    pub events: broadcast::Sender<Arc<Event>>,
    /// Told of every write.
    pub audit: Auditor,
    /// Places for large bodies ([`super::gate::places`]).
    pub large: Arc<Semaphore>,
    /// What is counted for metrics.
    pub meter: Arc<Meter>,
    /// A socket for those who ask for metrics alone.
    pub metrics: Option<Arc<TcpListener>>,
}

async fn info(State(api): State<Api>) -> Result<Json<Info>, Problem> {
    Ok(Json(api.engine.ask(Request::Info).await?))
}

async fn connections(State(api): State<Api>) -> Result<Json<Status>, Problem> {
    let status = api.engine.ask(Request::Status).await?;
    Ok(Json(Arc::unwrap_or_clone(status)))
}

async fn connection(State(api): State<Api>, Segments(name): Segments<String>) -> Result<Json<Connection>, Problem> {
    let status = api.engine.ask(Request::Status).await?;
    let found = status.connections.iter().find(|connection| connection.name == name);
    found.cloned().map(Json).ok_or_else(|| Problem::unknown_connection(&name))
}

async fn sas(State(api): State<Api>) -> Result<Json<Sas>, Problem> {
    let status = api.engine.ask(Request::Status).await?;
    Ok(Json(Sas::from(&*status)))
}

async fn stats(State(api): State<Api>) -> Result<Json<Stats>, Problem> {
    Ok(Json(api.engine.ask(Request::Stats).await?))
}

/// `?timeout=SECONDS`; 0 does not wait.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    timeout: Option<u64>,
}

fn both(Segments((connection, child)): C) -> (String, Option<String>) {
    (connection, Some(child))
}

async fn change(
    api: S,
    verb: Verb,
    (name, child): (String, Option<String>),
    Params(wait): W,
) -> Result<Json<Connection>, Problem> {
    let timeout = wait.timeout.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT);
    let order = |reply| {
        Request::Change(Change {
            verb,
            connection: name.as_str().into(),
            child: child.as_deref().map(Into::into),
            timeout: Duration::from_secs(timeout),
            reply,
        })
    };
    let done = api.engine.ask(order).await?;
    done.map_err(|refusal| Problem::refused(verb, &name, child.as_deref(), refusal))?;
    connection(api, Segments(name)).await
}

async fn events(State(api): State<Api>) -> sse::Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let stream = stream::unfold((api.events.subscribe(), api.meter), |(mut receiver, meter)| async move {
        let event = match receiver.recv().await {
            Ok(event) => {
                let data = serde_json::to_string(&*event).unwrap_or_default();
                sse::Event::default().id(event.id.to_string()).event(event.event.clone()).data(data)
            }
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                meter.add(Figure::EventsLost, lost);
                sse::Event::default().event("gap").data(format!("{{\"lost\":{lost}}}"))
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((Ok(event), (receiver, meter)))
    });
    sse::Sse::new(stream).keep_alive(sse::KeepAlive::new().interval(Duration::from_secs(15)))
}
