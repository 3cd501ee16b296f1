//! The resources of the configuration: the document, plans, revisions, and objects one by one.
use super::access::Caller;
use super::config::{Applied, Exists, From, Kind as ObjectKind, Object, Order, Plan, Revisions, Terms, Who};
use super::extract::{Params, Segments, is_json};
use super::problem::Problem;
use super::resources::{Kind, Method, Operation, Parameter, Role, json};
use super::routes::Api;
use crate::config::document::LARGEST;
use crate::crypto::secret::Secret;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use axum::{Extension, Json};
use utoipa::ToSchema;

/// Largest connection, octets.
const MAX_CONNECTION: usize = 1 << 20;
/// Shortest and longest time to confirm, seconds.
const CONFIRM: (u64, u64) = (10, 3600);

/// A configuration: the keys and values of the files as JSON. `"***"` in the place of a secret leaves it as it is; only admins send anything else
/// there, and only what they send adds and removes secrets and changes whose they are (`id`). An operator who applies the files (no body) takes their
/// secrets, too, as whoever writes the files has decided. An operator may confirm what an admin has applied, secrets included.
#[derive(ToSchema)]
#[schema(title = "Configuration")]
#[allow(dead_code, reason = "only its schema is used")]
struct Configuration {
    /// What `[gateway]` says.
    gateway: Option<serde_json::Map<String, serde_json::Value>>,
    /// By their names.
    connections: Option<serde_json::Map<String, serde_json::Value>>,
    /// By their names.
    secrets: Option<serde_json::Map<String, serde_json::Value>>,
    /// By their names.
    pools: Option<serde_json::Map<String, serde_json::Value>>,
}
/// A connection with its children: the keys and values of the files as JSON.
#[derive(ToSchema)]
#[schema(value_type = Object)]
#[allow(dead_code, reason = "only its schema is used")]
struct ConnectionConfiguration(serde_json::Map<String, serde_json::Value>);
/// A secret: whose it is, and what it is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct SecretConfiguration {
    /// Whose it is.
    id: Vec<String>,
    /// As is; `0x` hex, `0s` base64.
    secret: String,
}

const IF_MATCH: Parameter =
    Parameter::header("If-Match", "ETag of what is in force: refused with 412 if something else is");
const CONFIRMS: Parameter = Parameter::query(
    "confirm",
    Kind::Number(CONFIRM.0, CONFIRM.1),
    "Seconds until it is undone by itself, unless it is confirmed",
);
const PLANNED: Parameter = Parameter::query("plan", Kind::Text("0a"), "The plan that is to be applied; without a body");
const REVISION: Parameter = Parameter::query("revision", Kind::Number(1, u64::MAX), "Which; else the one before");
const NOT_YOURS: (u16, &str) = (
    403,
    "The role does not suffice (`access.role`), also where a secret would be another one or another's, or there is a secret in it (`access.secret`)",
);
const NOT_APPLIED: &[(u16, &str)] = &[
    NOT_YOURS,
    (409, "Something waits to be confirmed, it belongs to a file, or a running daemon cannot do it"),
    (412, "Something else is in force than what If-Match names or the plan was made from"),
    (422, "It is not valid; `findings` say where and why"),
    (507, "The disk is full; nothing was changed"),
];
const NOT_PLANNED: &[(u16, &str)] =
    &[NOT_YOURS, (409, "It belongs to a file"), (422, "It is not valid; `findings` say where and why")];
const EXAMPLE: &str = r#"{"connections": {}}"#;
const CONNECTION_EXAMPLE: &str = r#"{"remote_addrs": ["203.0.113.7"], "local": {"auth": "psk", "id": "192.0.2.1"}, "remote": {"auth": "psk", "id": "203.0.113.7"}, "children": {"lan": {"local_ts": ["10.1.0.0/16"], "remote_ts": ["10.2.0.0/16"]}}}"#;
const SECRET_EXAMPLE: &str = r#"{"id": ["203.0.113.7"], "secret": "0sMTIzNDU2Nzg5MGFiY2RlZg=="}"#;

/// What is served here.
pub const OPERATIONS: &[Operation] = &[
    Operation::new(
        (Method::Get, "/v1/config"),
        Role::Operator,
        "The configuration in force, without secrets",
        |verb| on(verb, get),
    )
    .answers(json::<Configuration>())
    .says(&[("ETag", "Names this configuration, for If-Match")]),
    Operation::new((Method::Put, "/v1/config"), Role::Operator, "Replace all that the API has put", |verb| {
        on(verb, put)
    })
    .takes(json::<Configuration>().example(EXAMPLE), LARGEST)
    .with(&[IF_MATCH])
    .answers(json::<Applied>())
    .fails(NOT_APPLIED),
    Operation::new(
        (Method::Post, "/v1/config/plan"),
        Role::Operator,
        "What a configuration, or without a body the files as they are now, would change",
        |verb| on(verb, plan),
    )
    .reads()
    .takes(json::<Configuration>().example(EXAMPLE), LARGEST)
    .answers(json::<Plan>())
    .fails(NOT_PLANNED),
    Operation::new(
        (Method::Post, "/v1/config/apply"),
        Role::Operator,
        "Apply a plan, a configuration, or without either the files as they are now",
        |verb| on(verb, apply),
    )
    .takes(json::<Configuration>().example(EXAMPLE), LARGEST)
    .with(&[CONFIRMS, PLANNED, IF_MATCH])
    .answers(json::<Applied>())
    .fails(NOT_APPLIED),
    Operation::new(
        (Method::Post, "/v1/config/confirm"),
        Role::Operator,
        "Keep what was applied with a time limit",
        |verb| on(verb, confirm),
    )
    .answers(json::<Applied>())
    .fails(&[(409, "Nothing waits to be confirmed")]),
    Operation::new((Method::Post, "/v1/config/rollback"), Role::Operator, "Bring an earlier revision back", |verb| {
        on(verb, rollback)
    })
    .with(&[REVISION, CONFIRMS, IF_MATCH])
    .answers(json::<Applied>())
    .fails(&[
        (403, "The role does not suffice, or its secrets are others than those in force, which is for admins"),
        (404, "There is no such revision"),
        (409, "There is no earlier one, it cannot be used, or something waits to be confirmed"),
        (412, "Something else is in force than what If-Match names"),
        (422, "It is not valid any more"),
    ]),
    Operation::new(
        (Method::Get, "/v1/config/revisions"),
        Role::Operator,
        "What was in force, and since when",
        |verb| on(verb, revisions),
    )
    .answers(json::<Revisions>()),
    Operation::new(
        (Method::Put, "/v1/connections/{name}"),
        Role::Operator,
        "Put one connection, without touching the others",
        |verb| on(verb, put_connection),
    )
    .takes(json::<ConnectionConfiguration>().example(CONNECTION_EXAMPLE), MAX_CONNECTION)
    .with(&[CONFIRMS, IF_MATCH])
    .answers(json::<Applied>())
    .fails(NOT_APPLIED),
    Operation::new(
        (Method::Delete, "/v1/connections/{name}"),
        Role::Operator,
        "Remove one connection, without touching the others",
        |verb| on(verb, delete_connection),
    )
    .with(&[CONFIRMS, IF_MATCH])
    .answers(json::<Applied>())
    .fails(NOT_DELETED),
    Operation::new((Method::Get, "/v1/secrets/{name}"), Role::Admin, "That a secret exists, and no more", |verb| {
        on(verb, secret)
    })
    .answers(json::<Exists>())
    .fails(&[(404, "There is no such secret")]),
    Operation::new((Method::Put, "/v1/secrets/{name}"), Role::Admin, "Put a secret", |verb| on(verb, put_secret))
        .takes(json::<SecretConfiguration>().example(SECRET_EXAMPLE), super::resources::MAX_BODY)
        .with(&[CONFIRMS, IF_MATCH])
        .answers(json::<Applied>())
        .fails(NOT_APPLIED),
    Operation::new((Method::Delete, "/v1/secrets/{name}"), Role::Admin, "Remove a secret", |verb| {
        on(verb, delete_secret)
    })
    .with(&[CONFIRMS, IF_MATCH])
    .answers(json::<Applied>())
    .fails(NOT_DELETED),
];
const NOT_DELETED: &[(u16, &str)] = &[
    NOT_YOURS,
    (404, "There is no such object"),
    (409, "Something waits to be confirmed, or it belongs to a file"),
    (412, "Something else is in force than what If-Match names"),
    (422, "What is left is not valid; `findings` say where and why"),
];

type S = State<Api>;
type Done = Result<Json<Applied>, Problem>;

/// `?confirm=SECONDS`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    confirm: Option<u64>,
}
/// `?confirm=SECONDS&plan=ID`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    confirm: Option<u64>,
    plan: Option<String>,
}
/// `?confirm=SECONDS&revision=N`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    confirm: Option<u64>,
    revision: Option<u64>,
}

/// Who asks, and how it is to be done.
fn terms(caller: Caller, headers: &HeaderMap, confirm: Option<u64>) -> Result<Terms, Problem> {
    let invalid = |code, title, detail: String| Problem::new(StatusCode::BAD_REQUEST, code, title, detail);
    if confirm.is_some_and(|seconds| !(CONFIRM.0..=CONFIRM.1).contains(&seconds)) {
        let detail = format!("`confirm` takes {} to {} seconds", CONFIRM.0, CONFIRM.1);
        return Err(invalid("query.invalid", "Invalid query", detail));
    }
    let base = headers.get(header::IF_MATCH).map(|value| value.to_str().map(str::to_owned));
    let base =
        base.transpose().map_err(|_| invalid("header.invalid", "Invalid header", "If-Match takes one ETag".into()))?;
    let who = Who { uid: Some(caller.uid), pid: caller.pid };
    Ok(Terms { base, confirm, admin: caller.role >= Role::Admin, who })
}

/// A body that may be missing.
struct Octets(Option<Secret>);
impl<T: Send + Sync> FromRequest<T> for Octets {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &T) -> Result<Self, Problem> {
        let json = is_json(&request);
        let bytes = Bytes::from_request(request, state).await.map_err(|error| Problem::body(error.body_text()))?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        if !json {
            let detail = "the body must be JSON, with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body.media", "Not JSON", detail));
        }
        // One copy that is wiped; the one that was read is wiped where nobody else has a piece of it.
        let secret = Secret::new(bytes.to_vec());
        drop(bytes.try_into_mut().map(|mut bytes| bytes.fill(0)));
        Ok(Self(Some(secret)))
    }
}
impl Octets {
    fn needed(self) -> Result<Secret, Problem> {
        self.0.ok_or_else(|| Problem::body("this takes a body of JSON"))
    }
}

async fn get(api: S) -> Result<Response, Problem> {
    let shown = api.keeper.ask(Order::Get).await?;
    let head = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::ETAG, format!("\"{}\"", shown.etag))];
    Ok((head, shown.document).into_response())
}

async fn put(api: S, Extension(caller): Extension<Caller>, headers: HeaderMap, body: Octets) -> Done {
    let (terms, from) = (terms(caller, &headers, None)?, From::Document(body.needed()?));
    api.keeper.ask(|reply| Order::Apply { from, terms, reply }).await.map(Json)
}

async fn plan(api: S, Extension(caller): Extension<Caller>, body: Octets) -> Result<Json<Plan>, Problem> {
    let (from, admin) = (body.0.map_or(From::Files, From::Document), caller.role >= Role::Admin);
    api.keeper.ask(|reply| Order::Plan { from, admin, reply }).await.map(Json)
}

async fn apply(
    api: S,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(which): Params<Which>,
    body: Octets,
) -> Done {
    let terms = terms(caller, &headers, which.confirm)?;
    let from = match (which.plan, body.0) {
        (None, None) => From::Files,
        (None, Some(document)) => From::Document(document),
        (Some(plan), None) => From::Plan(plan),
        (Some(_), Some(_)) => return Err(Problem::body("either a plan or a configuration, not both")),
    };
    api.keeper.ask(|reply| Order::Apply { from, terms, reply }).await.map(Json)
}

async fn confirm(api: S, Extension(caller): Extension<Caller>) -> Done {
    let who = Who { uid: Some(caller.uid), pid: caller.pid };
    api.keeper.ask(|reply| Order::Confirm { who, reply }).await.map(Json)
}

async fn rollback(
    api: S,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(back): Params<Back>,
) -> Done {
    let (terms, revision) = (terms(caller, &headers, back.confirm)?, back.revision);
    api.keeper.ask(|reply| Order::Rollback { revision, terms, reply }).await.map(Json)
}

async fn revisions(api: S) -> Result<Json<Revisions>, Problem> {
    api.keeper.ask(Order::Revisions).await.map(Json)
}

async fn put_connection(
    api: S,
    name: Segments<String>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    limit: Params<Limit>,
    body: Octets,
) -> Done {
    put_object(api, (ObjectKind::Connection, name), caller, headers, limit, body).await
}

async fn put_secret(
    api: S,
    name: Segments<String>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    limit: Params<Limit>,
    body: Octets,
) -> Done {
    put_object(api, (ObjectKind::Secret, name), caller, headers, limit, body).await
}

async fn put_object(
    api: S,
    (kind, Segments(name)): (ObjectKind, Segments<String>),
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(limit): Params<Limit>,
    body: Octets,
) -> Done {
    let (terms, body) = (terms(caller, &headers, limit.confirm)?, body.needed()?);
    let object = Object { kind, name };
    api.keeper.ask(|reply| Order::PutObject { object, body, terms, reply }).await.map(Json)
}

async fn delete_connection(
    api: S,
    name: Segments<String>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    limit: Params<Limit>,
) -> Done {
    delete_object(api, (ObjectKind::Connection, name), caller, headers, limit).await
}

async fn delete_secret(
    api: S,
    name: Segments<String>,
    caller: Extension<Caller>,
    headers: HeaderMap,
    limit: Params<Limit>,
) -> Done {
    delete_object(api, (ObjectKind::Secret, name), caller, headers, limit).await
}

async fn delete_object(
    api: S,
    (kind, Segments(name)): (ObjectKind, Segments<String>),
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Params(limit): Params<Limit>,
) -> Done {
    let terms = terms(caller, &headers, limit.confirm)?;
    let object = Object { kind, name };
    api.keeper.ask(|reply| Order::DeleteObject { object, terms, reply }).await.map(Json)
}

async fn secret(api: S, Segments(name): Segments<String>) -> Result<Json<Exists>, Problem> {
    api.keeper.ask(|reply| Order::HasSecret { name, reply }).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fake::Fake;
    use axum::body::Body;
    use axum::http;

    /// Status and code of the problem, if it is one.
    fn ask(role: Role, verb: &str, path: &str, media: Option<&str>, body: &str) -> (u16, String) {
        let mut request = http::Request::builder().method(verb).uri(path);
        if let Some(media) = media {
            request = request.header(header::CONTENT_TYPE, media);
        }
        let answer = Fake::new().ask(role, request.body(Body::from(body.to_owned())).unwrap());
        let code =
            serde_json::from_slice::<Problem>(answer.body()).map_or_else(|_| String::new(), |problem| problem.code);
        (answer.status().as_u16(), code)
    }

    #[test]
    fn the_document_has_its_etag_in_quotes() {
        let answer = Fake::new().get(Role::Operator, "GET", "/v1/config");
        assert_eq!(answer.headers()[header::ETAG], "\"e\"");
    }

    #[test]
    fn what_is_asked_for_wrongly_is_refused_before_the_keeper_hears_of_it() {
        let json = Some("application/json");
        for (verb, path, media, body, status, code) in [
            ("POST", "/v1/config/apply?confirm=9", None, "", 400, "query.invalid"),
            ("POST", "/v1/config/apply?confirm=3601", None, "", 400, "query.invalid"),
            ("POST", "/v1/config/apply?confirm=soon", None, "", 400, "query.invalid"),
            ("POST", "/v1/config/apply?revision=1", None, "", 400, "query.invalid"),
            ("POST", "/v1/config/rollback?plan=0a", None, "", 400, "query.invalid"),
            ("POST", "/v1/config/apply?plan=0a", json, "{}", 400, "body.invalid"),
            ("POST", "/v1/config/apply", Some("text/plain"), "{}", 415, "body.media"),
            ("PUT", "/v1/config", json, "", 400, "body.invalid"),
            ("PUT", "/v1/connections/a", json, "", 400, "body.invalid"),
            ("POST", "/v1/config/apply?confirm=10", None, "", 200, ""),
            ("POST", "/v1/config/plan", json, "{}", 200, ""),
            ("POST", "/v1/config/plan", None, "", 200, ""),
        ] {
            assert_eq!(ask(Role::Admin, verb, path, media, body), (status, code.to_owned()), "{verb} {path} {media:?}");
        }
    }

    #[test]
    fn secrets_are_for_admins() {
        for verb in ["GET", "PUT", "DELETE"] {
            assert_eq!(ask(Role::Operator, verb, "/v1/secrets/a", None, "").0, 403, "{verb}");
        }
    }
}
