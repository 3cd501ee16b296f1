//! What a request says besides its method, as values; what is wrong with it as problems.
use super::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

/// The variable segments of the path, in their order.
#[derive(Debug)]
pub struct Segments<T>(pub T);
impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(rejection) => {
                Err(Problem::new(StatusCode::BAD_REQUEST, "path.invalid", "Invalid path", rejection.body_text()))
            }
        }
    }
}

/// What stands behind the `?`. Unknown names are refused where `T` denies them.
#[derive(Debug)]
pub struct Params<T>(pub T);
impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                Err(Problem::new(StatusCode::BAD_REQUEST, "query.invalid", "Invalid query", rejection.body_text()))
            }
        }
    }
}

/// A body of JSON.
#[derive(Debug)]
pub struct Document<T>(pub T);
impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Document<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(&request) {
            let detail = "the body must be JSON, with `Content-Type: application/json`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body.media", "Not JSON", detail));
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| Problem::body(rejection.body_text()))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| Problem::body(said(&error)))
    }
}

/// Where it is wrong and how; never a value: it may be a secret in the wrong place.
pub fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let tells_keys_only =
        ["unknown field", "missing field", "duplicate field"].iter().any(|known| text.starts_with(known));
    if !error.is_data() || tells_keys_only {
        return text;
    }
    format!("a value of the wrong kind at line {} column {}", error.line(), error.column())
}

/// Whether the body says that it is JSON.
pub fn is_json(request: &Request) -> bool {
    let media = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = media.and_then(|media| media.split(';').next()).map(str::trim);
    media.is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_body_names_the_place_and_no_value() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(dead_code, reason = "only read")]
        struct Two {
            a: u8,
            b: Option<u8>,
        }
        let said = |text: &str| said(&serde_json::from_str::<Two>(text).unwrap_err());
        assert_eq!(said(r#"{"a": "hunter2"}"#), "a value of the wrong kind at line 1 column 15");
        assert!(said(r#"{"a": 1, "c": 2}"#).starts_with("unknown field `c`"));
        assert!(said(r#"{"b": 1}"#).starts_with("missing field `a`"));
        assert!(said(r#"{"a": "#).starts_with("EOF while parsing"));
    }
}
