//! The one table of what the API offers: paths, verbs, roles, bodies and answers. The router, the checks of roles and sizes, the 405s, the audit
//! and the OpenAPI document come from it, so that they cannot disagree.
//!
//! **To add a resource**: write its handler in a file of its own in `control/`, put an [`Operation`] for each verb into a `const` table
//! beside it, and name that table in [`TABLES`]. What it takes and gives derives `utoipa::ToSchema`; then run the tests of this folder with
//! `BLESS=1` once and look at the difference of `openapi.json`.
use super::problem::Problem;
use super::routes::{self, Api};
use super::routes_config;
use super::{access, asked, capture, events, gate, metrics, openapi, probing, profiles, upgrade};
use axum::http::Uri;
use axum::routing::{MethodFilter, MethodRouter};
use axum::{Router, middleware};
use std::borrow::Cow;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

pub use super::access::Role;

/// Every table of operations.
pub const TABLES: &[&[Operation]] = &[
    routes::OPERATIONS,
    events::OPERATIONS,
    asked::OPERATIONS,
    probing::OPERATIONS,
    profiles::OPERATIONS,
    routes_config::OPERATIONS,
    metrics::OPERATIONS,
    capture::OPERATIONS,
    upgrade::OPERATIONS,
    openapi::OPERATIONS,
];

/// Largest body of a request, octets, unless its operation says another number.
pub const MAX_BODY: usize = 64 * 1024;
/// Larger bodies than [`MAX_BODY`] are read so many at a time.
pub const LARGE_BODIES: usize = 4;

/// All operations.
pub fn operations() -> impl Iterator<Item = &'static Operation> {
    TABLES.iter().copied().flatten()
}

/// All resources. Who asks is in the request's extensions as an [`access::Caller`]; whoever is not, is nobody.
pub fn router(api: &Api) -> Router {
    let mut router = Router::new();
    for operation in operations() {
        router = router.route(operation.path, operation.method_router(api));
    }
    router
        .fallback(async |uri: Uri| Problem::not_found(uri.path()))
        .method_not_allowed_fallback(async |uri: Uri| Problem::wrong_method(uri.path()))
        .layer(middleware::from_fn(access::check))
        .with_state(api.clone())
}

/// The verbs that the API knows. HEAD is what GET says without its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Put,
    Post,
    Delete,
}
impl Method {
    /// As it stands in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a body looks like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its media type.
    pub media: &'static str,
    /// Its name among the schemas; the schema; those that it refers to.
    pub schema: Option<Named>,
    /// One that can be sent as it stands, JSON.
    pub example: Option<&'static str>,
}
/// A schema.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its name.
    pub name: fn() -> Cow<'static, str>,
    /// Itself.
    pub schema: fn() -> RefOr<Schema>,
    /// What it refers to.
    pub others: fn(&mut Vec<(String, RefOr<Schema>)>),
}
/// JSON of one of our types.
pub const fn json<T: ToSchema>() -> Shape {
    let schema = Named { name: T::name, schema: <T as PartialSchema>::schema, others: T::schemas };
    Shape { media: "application/json", schema: Some(schema), example: None }
}
/// Something else.
pub const fn media(media: &'static str) -> Shape {
    Shape { media, schema: None, example: None }
}
impl Shape {
    /// With an example.
    pub const fn example(self, json: &'static str) -> Self {
        Self { example: Some(json), ..self }
    }
}

/// A parameter of the query or a header of the request.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub means: &'static str,
    /// Which values it takes.
    pub kind: Kind,
    /// A header, not a part of the query.
    pub header: bool,
}
impl Parameter {
    /// `?name=`.
    pub const fn query(name: &'static str, kind: Kind, means: &'static str) -> Self {
        Self { name, means, kind, header: false }
    }
    /// `Name:`.
    pub const fn header(name: &'static str, means: &'static str) -> Self {
        Self { name, means, kind: Kind::Text(""), header: true }
    }
}
/// Values of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number between these two.
    Number(u64, u64),
    /// Text, and an example of it.
    Text(&'static str),
    /// One of these.
    OneOf(&'static [&'static str]),
}

/// One verb of one resource.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The verb.
    pub method: Method,
    /// With `{name}` for what varies.
    pub path: &'static str,
    /// The least role that may.
    pub role: Role,
    /// One line of what it does.
    pub summary: &'static str,
    /// Something may be another way afterwards: an event `audit` says who did it.
    pub writes: bool,
    /// What it takes, if it takes anything.
    pub body: Option<Shape>,
    /// The largest body, octets.
    pub max_body: usize,
    /// Parameters besides those of the path.
    pub parameters: &'static [Parameter],
    /// What it answers.
    pub answer: Option<Shape>,
    /// Headers of the answer, and what they say.
    pub headers: &'static [(&'static str, &'static str)],
    /// Problems of its own (those that every operation can have are not listed): status and when.
    pub problems: &'static [(u16, &'static str)],
    handler: fn(MethodFilter) -> MethodRouter<Api>,
}
impl Operation {
    /// An operation that nobody sends a body to and that answers nothing yet. `handler`: `|verb| on(verb, handler)`.
    pub const fn new(
        (method, path): (Method, &'static str),
        role: Role,
        summary: &'static str,
        handler: fn(MethodFilter) -> MethodRouter<Api>,
    ) -> Self {
        let writes = !matches!(method, Method::Get);
        let (body, answer) = (None, None);
        let (parameters, headers, problems): (&[_], &[_], &[_]) = (&[], &[], &[]);
        Self {
            method,
            path,
            role,
            summary,
            writes,
            body,
            max_body: MAX_BODY,
            parameters,
            answer,
            headers,
            problems,
            handler,
        }
    }
    /// It changes nothing, though it is no GET.
    pub const fn reads(self) -> Self {
        Self { writes: false, ..self }
    }
    /// It takes a body of up to so many octets.
    pub const fn takes(self, body: Shape, max_body: usize) -> Self {
        Self { body: Some(body), max_body, ..self }
    }
    /// It takes these in its query or head.
    pub const fn with(self, parameters: &'static [Parameter]) -> Self {
        Self { parameters, ..self }
    }
    /// It answers 200 with this (else 204 with nothing).
    pub const fn answers(self, answer: Shape) -> Self {
        Self { answer: Some(answer), ..self }
    }
    /// Its answer has these headers.
    pub const fn says(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }
    /// It has these problems.
    pub const fn fails(self, problems: &'static [(u16, &'static str)]) -> Self {
        Self { problems, ..self }
    }

    fn method_router(&'static self, api: &Api) -> MethodRouter<Api> {
        let gate = gate::Gate { operation: self, audit: api.audit.clone(), large: api.large.clone() };
        (self.handler)(self.method.filter()).route_layer(middleware::from_fn_with_state(gate, gate::pass))
    }
}

#[cfg(test)]
mod tests;
