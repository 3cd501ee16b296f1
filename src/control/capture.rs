//! `/v1/captures`: packets as pcapng, streamed to whoever asked for as long as that one reads. Nothing is written anywhere here: the client has the
//! file. A capture is bounded in time and size, and so is what waits for its reader; what is lost is counted in the file.
pub mod pcapng;
mod stream;

use super::access::Caller;
use super::board::Piece;
use super::extract::{Document, Params};
use super::problem::Problem;
use super::request::Request;
use super::resources::{Kind, Method, Operation, Parameter, Role, Shape, json, media};
use super::routes::Api;
use super::unread::Hangup;
use crate::dataplane::tap::{Capture as Lanes, Tap, Wanted};
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use axum::{Extension, Json};
use futures_util::stream::unfold;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use stream::Stream;
use tokio::sync::Notify;
use utoipa::ToSchema;

/// What a capture's stream is.
pub const MEDIA: &str = "application/x-pcapng";
/// Captures at a time.
const MOST: usize = 4;
/// Usual and longest time, seconds.
const SECONDS: (u64, u64) = (60, 3600);
/// Smallest, usual and largest file, octets.
const OCTETS: (u64, u64, u64) = (4096, 64 << 20, 1 << 30);
/// Least and most of a packet, octets.
const SNAPLEN: (usize, usize) = (64, 65_535);
/// When the daemon ends, clients have so many turns of [`TURN`] to get the ends of their files.
const LAST_TURNS: u32 = 100;
const TURN: Duration = Duration::from_millis(5);

/// Whoever has not taken the rest of its file so long after the end is hung up on.
const PATIENCE: Duration = Duration::from_secs(5);

const ID: Parameter = Parameter::query("id", Kind::Number(1, u64::MAX), "Only this one, as GET numbers them");

/// What is served here.
pub const OPERATIONS: &[Operation] = &[
    Operation::new(
        (Method::Post, "/v1/captures"),
        Role::Admin,
        "Capture packets: the answer is a pcapng file that grows until time, size or DELETE end it, or the client goes away",
        |verb| on(verb, begin),
    )
    .takes(BODY, 4096)
    .answers(media(MEDIA))
    .says(&[("Location", "What DELETE ends it by")])
    .fails(&[
        (400, "The body is no order, or asks for more than there is"),
        (404, "There is no such connection or child"),
        (409, "There are as many captures as there may be at a time"),
        (415, "The body is no JSON"),
    ]),
    Operation::new((Method::Get, "/v1/captures"), Role::Admin, "The captures that run", |verb| on(verb, list))
        .answers(json::<Captured>()),
    Operation::new(
        (Method::Delete, "/v1/captures"),
        Role::Admin,
        "End a capture, or all; their clients get the ends of their files",
        |verb| on(verb, end),
    )
    .with(&[ID])
    .fails(&[(404, "It does not run any more")]),
];
const BODY: Shape = json::<Order>().example(r#"{"connection":"hangzhou","child":"lan","inner":true,"seconds":1}"#);

/// What to capture. Whatever is left out is as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = CaptureOrder)]
pub struct Order {
    /// Only packets of this connection; IKE by the addresses of its peers.
    pub connection: Option<String>,
    /// Only packets of this child of it.
    pub child: Option<String>,
    /// What travels between the gateways: ESP and IKE. Usually, unless `inner` is wanted.
    pub outer: Option<bool>,
    /// What stands inside of ESP, in the clear.
    pub inner: bool,
    /// For so long; usually 60.
    #[schema(minimum = 1, maximum = 3600)]
    pub seconds: Option<u64>,
    /// Until the file has so many octets; usually 64 MiB.
    #[schema(minimum = 4096, maximum = 1_073_741_824)]
    pub octets: Option<u64>,
    /// Of each packet at most so many octets; usually 65,535.
    #[schema(minimum = 64, maximum = 65_535)]
    pub snaplen: Option<usize>,
}

/// An order that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Terms {
    wanted: Wanted,
    seconds: u64,
    octets: u64,
}

impl Order {
    fn terms(&self) -> Result<Terms, Problem> {
        let within = |name: &str, value: u64, (least, most): (u64, u64)| {
            if (least..=most).contains(&value) {
                return Ok(value);
            }
            Err(Problem::body(format!("`{name}` is between {least} and {most}")))
        };
        let seconds = within("seconds", self.seconds.unwrap_or(SECONDS.0), (1, SECONDS.1))?;
        let octets = within("octets", self.octets.unwrap_or(OCTETS.1), (OCTETS.0, OCTETS.2))?;
        let snaplen = self.snaplen.unwrap_or(SNAPLEN.1);
        within("snaplen", snaplen as u64, (SNAPLEN.0 as u64, SNAPLEN.1 as u64))?;
        let (inner, outer) = (self.inner, self.outer.unwrap_or(!self.inner));
        if !inner && !outer {
            return Err(Problem::body("neither `inner` nor `outer`: there is nothing to capture"));
        }
        if self.child.is_some() && self.connection.is_none() {
            return Err(Problem::body("`child` is one of a `connection`, which must be named, too"));
        }
        let name = |name: &Option<String>| name.as_deref().map(Arc::from);
        let (connection, child) = (name(&self.connection), name(&self.child));
        Ok(Terms { wanted: Wanted { connection, child, outer, inner, snaplen }, seconds, octets })
    }
}

/// `GET /v1/captures`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Captured {
    /// Those that run, in the order of their beginning.
    pub captures: Vec<Capture>,
}

/// A capture that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the order")]
pub struct Capture {
    /// For DELETE.
    pub id: u64,
    /// Whose it is.
    pub uid: u32,
    /// When it began, RFC 3339.
    pub started: String,
    pub connection: Option<String>,
    pub child: Option<String>,
    pub outer: bool,
    pub inner: bool,
    pub seconds: u64,
    pub octets: u64,
    pub snaplen: usize,
    /// Packets that are in the file.
    pub packets: u64,
    /// Octets that the file has.
    pub written: u64,
    /// Packets that there was no room for.
    pub missed: u64,
}

/// All captures of the daemon.
#[derive(Debug)]
pub struct Captures {
    tap: Arc<Tap>,
    lanes: usize,
    clock: fn() -> Duration,
    wall: fn() -> Duration,
    running: Mutex<Runs>,
    closing: AtomicBool,
}

#[derive(Debug, Default)]
struct Runs {
    last: u64,
    by_id: BTreeMap<u64, Arc<Run>>,
}

/// One of them.
#[derive(Debug)]
struct Run {
    id: u64,
    uid: u32,
    terms: Terms,
    lanes: Arc<Lanes>,
    /// Since 1970.
    started: Duration,
    packets: AtomicU64,
    written: AtomicU64,
    /// Somebody wants it to end.
    ended: AtomicBool,
    /// That, or the file is whole, or its client has gone.
    over: Notify,
    /// One of the latter two.
    gone: AtomicBool,
}

impl Captures {
    /// `lanes`: one for each worker, and one more; `clock`: the workers'; `wall`: since 1970.
    pub fn new(tap: Arc<Tap>, lanes: usize, clock: fn() -> Duration, wall: fn() -> Duration) -> Self {
        Self { tap, lanes, clock, wall, running: Mutex::default(), closing: AtomicBool::new(false) }
    }

    /// Ends all of them, and waits a little until their clients have the ends of their files.
    pub async fn close(&self) {
        self.closing.store(true, Relaxed);
        self.end(None);
        for _ in 0..LAST_TURNS {
            if self.runs().by_id.is_empty() {
                return;
            }
            tokio::time::sleep(TURN).await;
        }
    }

    fn begin(self: &Arc<Self>, terms: Terms, uid: u32) -> Result<Stream, Problem> {
        let mut runs = self.runs();
        if self.closing.load(Relaxed) {
            return Err(Problem::busy());
        }
        if runs.by_id.len() >= MOST {
            let detail = format!(
                "{MOST} captures run, and there are no more at a time: GET /v1/captures lists them, DELETE ends them"
            );
            return Err(Problem::new(StatusCode::CONFLICT, "capture.many", "Too many captures", detail));
        }
        runs.last += 1;
        let run = Arc::new(Run {
            id: runs.last,
            uid,
            lanes: Arc::new(Lanes::new(terms.wanted.clone(), self.lanes)),
            terms,
            started: (self.wall)(),
            packets: AtomicU64::new(0),
            written: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            over: Notify::new(),
            gone: AtomicBool::new(false),
        });
        runs.by_id.insert(run.id, run.clone());
        Ok(Stream::new(self.clone(), run))
    }

    /// False if there is no such one.
    fn end(&self, id: Option<u64>) -> bool {
        let runs = self.runs();
        let of = runs.by_id.values().filter(|run| id.is_none_or(|id| id == run.id));
        of.map(|run| run.end()).count() > 0 || id.is_none()
    }

    fn list(&self) -> Captured {
        Captured { captures: self.runs().by_id.values().map(|run| run.shown()).collect() }
    }

    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Run {
    fn end(&self) {
        self.ended.store(true, Relaxed);
        self.over.notify_one();
    }
    fn leave(&self) {
        self.gone.store(true, Relaxed);
        self.over.notify_one();
    }
    fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
    fn shown(&self) -> Capture {
        let Terms { wanted, seconds, octets } = &self.terms;
        let name = |name: &Option<Arc<str>>| name.as_deref().map(str::to_owned);
        let started = i64::try_from(self.started.as_secs()).ok().and_then(|at| Timestamp::from_second(at).ok());
        Capture {
            id: self.id,
            uid: self.uid,
            started: started.unwrap_or(Timestamp::UNIX_EPOCH).to_string(),
            connection: name(&wanted.connection),
            child: name(&wanted.child),
            outer: wanted.outer,
            inner: wanted.inner,
            seconds: *seconds,
            octets: *octets,
            snaplen: wanted.snaplen,
            packets: self.packets.load(Relaxed),
            written: self.written.load(Relaxed),
            missed: self.lanes.count_missed(),
        }
    }
}

type S = State<Api>;

async fn begin(
    State(api): S,
    Extension(caller): Extension<Caller>,
    hangup: Option<Extension<Hangup>>,
    Document(order): Document<Order>,
) -> Result<Response, Problem> {
    let terms = order.terms()?;
    if let Some(name) = &order.connection {
        let board = api.engine.ask(Request::Board).await?;
        let piece = board.get(name).ok_or_else(|| Problem::unknown_connection(name))?;
        order.child.as_deref().map_or(Ok(()), |child| known(piece, child))?;
    }
    let stream = api.captures.begin(terms, caller.uid)?;
    if let Some(Extension(hangup)) = hangup {
        tokio::spawn(stream.watch(hangup));
    }
    let head =
        [(header::CONTENT_TYPE, MEDIA.to_owned()), (header::LOCATION, format!("/v1/captures?id={}", stream.id()))];
    let pieces =
        unfold(stream, async |mut stream| stream.next().await.map(|piece| (Ok::<_, Infallible>(piece), stream)));
    Ok((head, Body::from_stream(pieces)).into_response())
}

fn known(piece: &Piece, child: &str) -> Result<(), Problem> {
    let shown = piece.shown();
    if shown.children.iter().any(|other| other.name == child) {
        return Ok(());
    }
    let detail = format!("connection {:?} has no child {child:?}", shown.name);
    Err(Problem::new(StatusCode::NOT_FOUND, "child.unknown", "Unknown child", detail))
}

async fn list(State(api): S) -> Json<Captured> {
    Json(api.captures.list())
}

/// `?id=`; all without it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    id: Option<u64>,
}

async fn end(State(api): S, Params(which): Params<Which>) -> Result<StatusCode, Problem> {
    if api.captures.end(which.id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let detail = "there is no such capture; GET /v1/captures lists those that run";
    Err(Problem::new(StatusCode::NOT_FOUND, "capture.unknown", "Unknown capture", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fake::Fake;

    fn order(json: &str) -> Result<Terms, String> {
        serde_json::from_str::<Order>(json).unwrap().terms().map_err(|problem| problem.detail)
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        let terms = order("{}").unwrap();
        assert!(terms.wanted.outer && !terms.wanted.inner && terms.wanted.connection.is_none());
        assert_eq!((terms.seconds, terms.octets, terms.wanted.snaplen), (60, 64 << 20, 65_535));
        let planes = |json: &str| order(json).map(|terms| (terms.wanted.outer, terms.wanted.inner)).unwrap();
        assert_eq!(planes(r#"{"inner":true}"#), (false, true));
        assert_eq!(planes(r#"{"inner":true,"outer":true}"#), (true, true));
    }

    #[test]
    fn what_has_no_bounds_is_refused_with_its_name() {
        for (json, says) in [
            (r#"{"seconds":0}"#, "`seconds`"),
            (r#"{"seconds":3601}"#, "`seconds`"),
            (r#"{"octets":4095}"#, "`octets`"),
            (r#"{"octets":1073741825}"#, "`octets`"),
            (r#"{"snaplen":63}"#, "`snaplen`"),
            (r#"{"snaplen":65536}"#, "`snaplen`"),
            (r#"{"outer":false}"#, "nothing to capture"),
            (r#"{"child":"lan"}"#, "`connection`"),
        ] {
            let detail = order(json).unwrap_err();
            assert!(detail.contains(says), "{json}: {detail}");
        }
    }

    /// Status and code of the problem.
    fn ask(fake: &Fake, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = axum::http::Request::builder().method(method).uri(path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let answer = fake.ask(Role::Admin, request.body(Body::from(body.to_owned())).unwrap());
        let code =
            serde_json::from_slice::<Problem>(answer.body()).map_or_else(|_| String::new(), |problem| problem.code);
        (answer.status().as_u16(), code)
    }

    #[test]
    fn who_and_what_there_is_not_is_told() {
        let fake = Fake::new();
        let post = |body: &str| ask(&fake, "POST", "/v1/captures", body);
        assert_eq!(post(r#"{"connection":"nobody"}"#), (404, "connection.unknown".into()));
        assert_eq!(post(r#"{"connection":"hangzhou","child":"x"}"#), (404, "child.unknown".into()));
        assert_eq!(post(r#"{"path":"/etc/passwd"}"#), (400, "body.invalid".into()));
        assert_eq!(post(r#"{"connection":"hangzhou","child":"lan"}"#).0, 200);
        assert_eq!(ask(&fake, "DELETE", "/v1/captures?id=99", ""), (404, "capture.unknown".into()));
        assert_eq!(ask(&fake, "DELETE", "/v1/captures", ""), (204, String::new()));
    }

    #[test]
    fn there_are_so_many_at_a_time_and_who_goes_makes_room() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let tap = Arc::new(Tap::default());
        let captures =
            Arc::new(Captures::new(tap.clone(), 1, || Duration::ZERO, || Duration::from_secs(1_790_000_000)));
        let terms = || order(r#"{"connection":"a","inner":true}"#).unwrap();
        let mut streams: Vec<_> = (0..MOST).map(|_| captures.begin(terms(), 7).unwrap()).collect();
        assert_eq!(captures.begin(terms(), 7).unwrap_err().code, "capture.many");
        let listed = captures.list().captures;
        assert_eq!(listed.iter().map(|capture| capture.id).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(
            (listed[0].uid, listed[0].connection.as_deref(), listed[0].started.as_str()),
            (7, Some("a"), "2026-09-21T14:13:20Z")
        );
        streams.remove(1);
        assert_eq!(captures.begin(terms(), 7).map(|stream| stream.id()).unwrap(), 5);
        drop(streams);
        assert!(captures.list().captures.is_empty() && tap.open(Duration::ZERO, 0).is_none());
    }
}
