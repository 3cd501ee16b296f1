//! What every request passes before its handler: the role that the resource demands, and its body, read whole within bounds of size and time.
//! And after it: whoever changed something, or tried to, is told of.
use super::access::{Caller, demand};
use super::problem::Problem;
use super::resources::{LARGE_BODIES, MAX_BODY, Operation};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A client has this long to send the body of a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// So much is told of a request, octets: a path may have tens of thousands.
const MAX_TOLD: usize = 256;

/// What is told of a write, done or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// Who.
    pub caller: Caller,
    /// What: verb and path, of a long one the beginning. Names stand in paths, secrets never.
    pub request: String,
    /// The status of the answer.
    pub status: u16,
    /// The code of the problem, if it was one.
    pub code: Option<String>,
}
/// Where audits go.
pub type Auditor = Arc<dyn Fn(Audit) + Send + Sync>;

/// The gate of one operation.
#[derive(Clone)]
pub struct Gate {
    /// Which.
    pub operation: &'static Operation,
    /// Told of writes.
    pub audit: Auditor,
    /// Places for large bodies.
    pub large: Arc<Semaphore>,
}
/// Places for bodies larger than [`MAX_BODY`].
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(LARGE_BODIES))
}

/// The code of the problem that a response carries.
#[derive(Clone, Debug)]
pub struct Code(pub String);

/// Lets a request through to its handler, or answers it.
pub async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().copied().unwrap_or(Caller::NOBODY);
    let told = gate.operation.writes.then(|| told(request.method().as_str(), request.uri().path()));
    let response = match enter(&gate, caller, request).await {
        Ok(request) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    if let Some(request) = told {
        let code = response.extensions().get::<Code>().map(|code| code.0.clone());
        (gate.audit)(Audit { caller, request, status: response.status().as_u16(), code });
    }
    response
}

fn told(verb: &str, path: &str) -> String {
    let request = format!("{verb} {path}");
    if request.len() <= MAX_TOLD {
        return request;
    }
    let shown = (0..=MAX_TOLD - 3).rev().find_map(|end| request.get(..end));
    format!("{}...", shown.unwrap_or_default())
}

async fn enter(gate: &Gate, caller: Caller, request: Request) -> Result<Request, Problem> {
    demand(caller, gate.operation.role)?;
    let limit = gate.operation.max_body;
    let (mut parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        return Err(too_large(limit));
    }
    let read = async {
        // An unknown length may be a large one. The place is kept for as long as the request is.
        let large = limit > MAX_BODY && length.is_none_or(|length| length > MAX_BODY as u64);
        let place = if large { gate.large.clone().acquire_owned().await.ok() } else { None };
        Ok((place, collect(body, limit).await?))
    };
    let (place, bytes) = timeout(BODY_TIMEOUT, read).await.map_err(|_| {
        let detail = format!("the body did not come within {} seconds", BODY_TIMEOUT.as_secs());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body.slow", "Too slow", detail)
    })??;
    parts.extensions.insert(place.map(Arc::new));
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::body("the body ended before its time"))?;
        if chunk.len() > limit - bytes.len() {
            return Err(too_large(limit));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body is larger than the {limit} octets that this resource takes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body.size", "Too large", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use std::convert::Infallible;

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    fn gate() -> Gate {
        let operation = super::super::resources::operations().next().unwrap();
        Gate { operation, audit: Arc::new(|_| {}), large: places() }
    }

    fn admin() -> Caller {
        Caller { role: super::super::access::Role::Admin, ..Caller::NOBODY }
    }

    #[test]
    fn of_a_long_path_the_beginning_is_told() {
        let path = format!("/v1/connections/{}", "é".repeat(10_000));
        let text = told("PUT", &path);
        assert!(text.len() <= MAX_TOLD && text.len() > MAX_TOLD - 3 && text.ends_with("é..."), "{text}");
        assert_eq!(told("PUT", "/v1/config"), "PUT /v1/config");
    }

    #[test]
    fn a_body_that_comes_in_drops_is_given_up() {
        let drops = stream::unfold((), |()| async {
            tokio::time::sleep(BODY_TIMEOUT / 4).await;
            Some((Ok::<_, Infallible>("x"), ()))
        });
        let request = Request::new(Body::from_stream(drops));
        let problem = paused().block_on(enter(&gate(), admin(), request)).unwrap_err();
        assert_eq!((problem.status, problem.code.as_str()), (408, "body.slow"));
    }

    #[test]
    fn a_body_that_breaks_off_is_a_problem_of_the_client() {
        let broken = stream::iter([Ok("{\"half"), Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))]);
        let request = Request::new(Body::from_stream(broken));
        let problem = paused().block_on(enter(&gate(), admin(), request)).unwrap_err();
        assert_eq!((problem.status, problem.code.as_str()), (400, "body.invalid"));
    }
}
