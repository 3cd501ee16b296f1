//! The resources (interface.md, "Control API"), as far as they exist.
use super::access;
use super::problem::Problem;
use super::request::{Change, Engine, Request};
use super::upgrade;
use super::types::{Connection, Event, Info, Sas, Stats, Status, Verb};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::sse;
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use futures_util::{Stream, stream};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;

/// Largest body of a request, octets.
pub const MAX_BODY: usize = 64 * 1024;
/// Longest and usual time to wait for `up`, `down` and `rekey`, seconds.
pub const MAX_WAIT: u64 = 600;
const DEFAULT_WAIT: u64 = 30;

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Api {
    /// The engine.
    pub engine: Engine,
    /// Its events.
    pub events: broadcast::Sender<Arc<Event>>,
}

/// All resources.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/info", get(info))
        .route("/v1/connections", get(connections))
        .route("/v1/connections/{name}", get(connection))
        .route("/v1/connections/{name}/up", post(connection_up))
        .route("/v1/connections/{name}/down", post(connection_down))
        .route("/v1/connections/{name}/rekey", post(connection_rekey))
        .route("/v1/connections/{name}/children/{child}/up", post(child_up))
        .route("/v1/connections/{name}/children/{child}/down", post(child_down))
        .route("/v1/connections/{name}/children/{child}/rekey", post(child_rekey))
        .route("/v1/sas", get(sas))
        .route("/v1/stats", get(stats))
        .route("/v1/events", get(events))
        .route("/v1/upgrade", get(upgrade::show).post(upgrade::begin))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn(access::check))
        .with_state(api)
}

async fn info(State(api): State<Api>) -> Result<Json<Info>, Problem> {
    Ok(Json(api.engine.ask(Request::Info).await?))
}

async fn connections(State(api): State<Api>) -> Result<Json<Status>, Problem> {
    let status = api.engine.ask(Request::Status).await?;
    Ok(Json(Arc::unwrap_or_clone(status)))
}

async fn connection(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Connection>, Problem> {
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
type Waiting = Result<Query<Wait>, axum::extract::rejection::QueryRejection>;

async fn connection_up(api: State<Api>, Path(name): Path<String>, wait: Waiting) -> Result<Json<Connection>, Problem> {
    change(api, Verb::Up, name, None, wait).await
}
async fn connection_down(
    api: State<Api>,
    Path(name): Path<String>,
    wait: Waiting,
) -> Result<Json<Connection>, Problem> {
    change(api, Verb::Down, name, None, wait).await
}
async fn connection_rekey(
    api: State<Api>,
    Path(name): Path<String>,
    wait: Waiting,
) -> Result<Json<Connection>, Problem> {
    change(api, Verb::Rekey, name, None, wait).await
}
async fn child_up(
    api: State<Api>,
    Path((name, child)): Path<(String, String)>,
    wait: Waiting,
) -> Result<Json<Connection>, Problem> {
    change(api, Verb::Up, name, Some(child), wait).await
}
async fn child_down(
    api: State<Api>,
    Path((name, child)): Path<(String, String)>,
    wait: Waiting,
) -> Result<Json<Connection>, Problem> {
    change(api, Verb::Down, name, Some(child), wait).await
}
async fn child_rekey(
    api: State<Api>,
    Path((name, child)): Path<(String, String)>,
    wait: Waiting,
) -> Result<Json<Connection>, Problem> {
    change(api, Verb::Rekey, name, Some(child), wait).await
}

async fn change(
    api: State<Api>,
    verb: Verb,
    name: String,
    child: Option<String>,
    wait: Waiting,
) -> Result<Json<Connection>, Problem> {
    let timeout = match wait {
        Ok(Query(wait)) => wait.timeout.unwrap_or(DEFAULT_WAIT).min(MAX_WAIT),
        Err(rejection) => {
            let detail = format!("{rejection}; `timeout` takes a whole number of seconds");
            return Err(Problem::new(StatusCode::BAD_REQUEST, "query.invalid", "Invalid query", detail));
        }
    };
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
    connection(api, Path(name)).await
}

async fn events(State(api): State<Api>) -> sse::Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let stream = stream::unfold(api.events.subscribe(), |mut receiver| async move {
        let event = match receiver.recv().await {
            Ok(event) => {
                let data = serde_json::to_string(&*event).unwrap_or_default();
                sse::Event::default().id(event.id.to_string()).event(event.event.clone()).data(data)
            }
            Err(broadcast::error::RecvError::Lagged(lost)) => {
                sse::Event::default().event("gap").data(format!("{{\"lost\":{lost}}}"))
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((Ok(event), receiver))
    });
    sse::Sse::new(stream).keep_alive(sse::KeepAlive::new().interval(Duration::from_secs(15)))
}

async fn unknown(uri: Uri) -> Problem {
    Problem::not_found(uri.path())
}

async fn wrong_method(uri: Uri) -> Problem {
    let detail = format!("{:?} does not take this method", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method.unknown", "Wrong method", detail)
}
