//! Metrics for Prometheus: read when they are asked for, on the API's thread, and written in pieces, so that ten thousand connections keep
//! nobody waiting.
mod exposition;
mod families;
mod histogram;
pub mod listener;
pub mod meter;
mod process;

use super::board::Board;
use super::problem::Problem;
use super::request::{Engine, Request};
use super::resources::{Method, Operation, Role, media};
use super::routes::Api;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use exposition::{Form, Samples};
use families::{FAMILIES, Source};
use futures_util::{Stream, stream};
use meter::Meter;
use process::Process;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Connections that are written between two looks at others' work.
const PIECE: usize = 64;

/// What is served here.
pub const OPERATIONS: &[Operation] = &[Operation::new(
    (Method::Get, "/metrics"),
    Role::Observe,
    "Metrics for Prometheus; OpenMetrics for those who accept it",
    |verb| on(verb, async |State(api): State<Api>, headers: HeaderMap| answer(&api.engine, &api.meter, &headers).await),
)
.answers(media(Form::Prometheus.media()))];

/// What is shown. Whoever reads slowly keeps pieces that the engine's own board has as well, and no copy of them.
pub struct Scrape {
    board: Arc<Board>,
    meter: Arc<Meter>,
    process: Option<Process>,
}

/// Answers who asks for metrics.
///
/// # Errors
/// When the engine has no time.
pub async fn answer(engine: &Engine, meter: &Arc<Meter>, headers: &HeaderMap) -> Result<Response, Problem> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let form = Form::of(accept);
    let board = engine.ask(Request::Board).await?;
    let scrape = Scrape { board, meter: meter.clone(), process: Process::read() };
    let body = Body::from_stream(pieces(scrape, form));
    Ok(([(header::CONTENT_TYPE, form.media()), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// The text, piece by piece.
fn pieces(scrape: Scrape, form: Form) -> impl Stream<Item = Result<Bytes, Infallible>> {
    stream::unfold((scrape, Some(Place::default())), move |(scrape, place)| async move {
        // Whoever waits for this thread has its turn first.
        tokio::task::yield_now().await;
        let (text, next) = piece(&scrape, form, place?);
        Some((Ok(Bytes::from(text)), (scrape, next)))
    })
}

/// A family, and the first connection that it has not shown.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    family: usize,
    connection: usize,
}

/// From a place on to the next, if there is one.
fn piece(scrape: &Scrape, form: Form, mut place: Place) -> (String, Option<Place>) {
    let mut text = String::new();
    let mut budget = PIECE;
    while let Some((family, source)) = FAMILIES.get(place.family) {
        if place.connection == 0 {
            family.head(form, &mut text);
        }
        let mut samples = Samples { family, out: &mut text };
        if let Source::Once(show) = source {
            show(scrape, &mut samples);
        } else {
            let rest = scrape.board.len().saturating_sub(place.connection);
            let some = (place.connection..).take(rest.min(budget));
            for found in some.filter_map(|place| scrape.board.at(place)) {
                let connection = found.shown();
                match source {
                    Source::Each(show) => show(connection, &mut samples),
                    // Nothing that is left of a time is shown.
                    Source::Counted(show) => show(&found.now(Duration::ZERO), &mut samples),
                    Source::Tallied(show) => {
                        scrape.meter.tally(&connection.name, |tally| show(connection, tally, &mut samples));
                    }
                    Source::Once(_) => {}
                }
            }
            if rest > budget {
                return (text, Some(Place { connection: place.connection + budget, ..place }));
            }
            budget -= rest;
        }
        place = Place { family: place.family + 1, connection: 0 };
        if budget == 0 {
            return (text, Some(place));
        }
    }
    text.push_str(form.end());
    (text, None)
}

#[cfg(test)]
mod tests;
