//! `GET /v1/events`: what happened, kept for a while in a ring, so that who was away for a moment misses nothing, and who was away for longer
//! is told what is gone.
//!
//! Each daemon counts its events from 1; its `epoch` says which daemon counted. A client resumes behind `EPOCH-ID`, as the `id:` lines of the
//! stream say, by the header `Last-Event-ID` or by `?since=`. The first `id:` comes at once: who has seen no event yet can resume, too.
//!
//! Who takes over from another daemon goes on with its numbers. What that one tells behind its freeze nobody reads ([`Ring::hold`]), so that
//! no number is read with two events. Only refused writes are told then, for a few milliseconds; the log has them.
use super::extract::Params;
use super::lists;
use super::metrics::meter::{Figure, Meter};
use super::problem::Problem;
use super::resources::{Kind, Method, Operation, Parameter, Role, media};
use super::routes::Api;
use super::types::Event;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use futures_util::{Stream, StreamExt, stream};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Events that are kept.
pub const KEPT: usize = 65_536;
/// And how many octets they may be together.
const KEPT_OCTETS: usize = 32 << 20;
/// Events that a client gets at a time, before it is another one's turn.
const BATCH: usize = 64;
/// In silence something is said so often, so that both ends know that the other one is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What is served here.
pub const OPERATIONS: &[Operation] = &[Operation::new(
    (Method::Get, "/v1/events"),
    Role::Observe,
    "Events as they happen (server-sent events); the ones that are no longer kept are told as `gap`",
    |verb| on(verb, events),
)
.with(&[
    Parameter::query(
        "since",
        Kind::Text("0"),
        "Begin behind this event: its `EPOCH-ID`, or its ID alone; without it: now",
    ),
    Parameter::query(
        "snapshot",
        Kind::OneOf(&["0", "1"]),
        "1: begin with an event `snapshot`, the document of /v1/connections",
    ),
    Parameter::header(
        "Last-Event-ID",
        "As `since`, and before it: who was hung up on comes again with the same query and how far it was",
    ),
])
.answers(media("text/event-stream"))
.fails(&[(400, "`since` is no number of an event")])];

/// The last events.
#[derive(Debug)]
pub struct Ring {
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
}
#[derive(Debug)]
struct Kept {
    epoch: u64,
    next: u64,
    /// Their numbers follow one another; the last one's is before `next`.
    events: VecDeque<Told>,
    octets: usize,
    /// Nobody reads what has this number or a later one.
    held: Option<u64>,
}
#[derive(Clone, Debug)]
struct Told {
    name: Arc<str>,
    data: Arc<str>,
}
impl Kept {
    fn oldest(&self) -> u64 {
        self.next - self.events.len() as u64
    }
    /// Behind the last that is read.
    fn end(&self) -> u64 {
        self.held.unwrap_or(self.next)
    }
    fn forget(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.octets -= event.data.len();
        }
    }
}
impl Ring {
    /// `epoch`: another one at each start of the daemon.
    pub fn new(epoch: u64) -> Self {
        let kept = Kept { epoch, next: 1, events: VecDeque::new(), octets: 0, held: None };
        Self { kept: Mutex::new(kept), newest: watch::Sender::new(0) }
    }
    /// Numbers an event, keeps it, and wakes whoever waits for one. Never waits for a client.
    pub fn push(&self, event: Event) {
        let mut kept = self.kept();
        let event = Event { id: kept.next, epoch: kept.epoch, ..event };
        let data: Arc<str> = serde_json::to_string(&event).unwrap_or_default().into();
        kept.next += 1;
        kept.octets += data.len();
        kept.events.push_back(Told { name: event.event.into(), data });
        while kept.events.len() > KEPT || kept.octets > KEPT_OCTETS {
            kept.forget();
        }
        if kept.held.is_none() {
            drop(kept);
            self.newest.send_replace(event.id);
        }
    }
    /// The number of the last event that is read; 0 before the first.
    pub fn last(&self) -> u64 {
        self.counted().1 - 1
    }
    /// Who counts, and the number behind [`Self::last`].
    pub fn counted(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.epoch, kept.end())
    }
    /// Who counts, and the next number. From here on nobody reads what is told, unless [`Self::release`] says so: another one counts on.
    pub fn hold(&self) -> (u64, u64) {
        let mut kept = self.kept();
        kept.held = Some(kept.next);
        (kept.epoch, kept.next)
    }
    /// There is no other one: what was told meanwhile is read.
    pub fn release(&self) {
        let mut kept = self.kept();
        if kept.held.take().is_some() {
            let last = kept.next - 1;
            drop(kept);
            self.newest.send_replace(last);
        }
    }
    /// Goes on counting where another daemon has stopped, whose events are not here. For a ring that has none yet.
    pub fn go_on(&self, epoch: u64, next: u64) {
        let mut kept = self.kept();
        if kept.events.is_empty() {
            (kept.epoch, kept.next) = (epoch, next.max(1));
        }
    }
    /// What comes behind an event: the numbers that are gone, and some of what is there.
    fn behind(&self, last: u64) -> (Option<(u64, u64)>, u64, Vec<Told>) {
        let kept = self.kept();
        let (oldest, end) = (kept.oldest(), kept.end());
        // What is gone is told of as far as it would have been read.
        let gone = oldest.min(end);
        let gap = (last + 1 < gone).then(|| (last + 1, gone - 1));
        let first = oldest.max(last + 1);
        let most = BATCH.min(end.saturating_sub(first) as usize);
        let some = kept.events.iter().skip((first - oldest) as usize).take(most).cloned();
        (gap, first, some.collect())
    }
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The events that are kept behind this one, for tests.
    #[cfg(test)]
    pub fn told(&self, last: u64) -> Vec<Event> {
        self.behind(last).2.iter().map(|told| serde_json::from_str(&told.data).unwrap()).collect()
    }
}

/// An event's place: in an epoch, or in whichever is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    epoch: Option<u64>,
    id: u64,
}
impl FromStr for Mark {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once('-') {
            Some((epoch, id)) => Self { epoch: Some(epoch.parse()?), id: id.parse()? },
            None => Self { epoch: None, id: text.parse()? },
        })
    }
}

/// One client: how far it is.
struct Reader {
    ring: Arc<Ring>,
    meter: Arc<Meter>,
    newest: watch::Receiver<u64>,
    last: u64,
    /// It was following another daemon, whose last events nobody knows.
    anew: bool,
}
impl Reader {
    fn new(ring: Arc<Ring>, meter: Arc<Meter>, mark: Option<Mark>) -> Self {
        let newest = ring.newest.subscribe();
        let (here, now) = (ring.counted().0, ring.last());
        let (last, anew) = match mark {
            None => (now, false),
            Some(Mark { epoch, id }) if epoch.is_some_and(|epoch| epoch != here) || id > now => (0, true),
            Some(Mark { id, .. }) => (id, false),
        };
        Self { ring, meter, newest, last, anew }
    }
    /// Where it begins; `None`: it is told with the first frame, a gap.
    fn place(&self) -> Option<String> {
        (!self.anew).then(|| format!("id: {}-{}\n", self.ring.counted().0, self.last))
    }
    /// The next frames; waits for an event, but not for ever.
    async fn next(&mut self) -> Bytes {
        self.newest.borrow_and_update();
        let frames = self.frames();
        if !frames.is_empty() {
            return frames.into();
        }
        // The ring outlives its readers: nothing but an event or time ends this.
        let waited = timeout(KEEP_ALIVE, self.newest.changed()).await;
        let frames = if waited.is_ok() { self.frames() } else { String::new() };
        if frames.is_empty() { Bytes::from_static(b": still here\n\n") } else { frames.into() }
    }
    fn frames(&mut self) -> String {
        let mut text = String::new();
        let epoch = self.ring.counted().0;
        if std::mem::take(&mut self.anew) {
            let data = format!(r#"{{"epoch":{epoch},"lost":null,"from":null,"to":null,"why":"restarted"}}"#);
            frame(&mut text, (epoch, 0), "gap", &data);
        }
        let (gap, first, some) = self.ring.behind(self.last);
        if let Some((from, to)) = gap {
            let lost = to - from + 1;
            self.meter.add(Figure::EventsLost, lost);
            let data = format!(r#"{{"epoch":{epoch},"lost":{lost},"from":{from},"to":{to},"why":"forgotten"}}"#);
            frame(&mut text, (epoch, to), "gap", &data);
            self.last = to;
        }
        for (id, Told { name, data }) in (first..).zip(some) {
            frame(&mut text, (epoch, id), &name, &data);
            self.last = id;
        }
        text
    }
}

/// JSON has no line ends of its own.
fn frame(text: &mut String, (epoch, id): (u64, u64), name: &str, data: &str) {
    // Writing to a string does not fail.
    let _ = write!(text, "id: {epoch}-{id}\nevent: {name}\ndata: {data}\n\n");
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    since: Option<String>,
    snapshot: Option<u8>,
}

async fn events(State(api): State<Api>, Params(query): Params<Query>, headers: HeaderMap) -> Result<Response, Problem> {
    let header = headers.get("last-event-id").map(|value| value.to_str().unwrap_or("?").to_owned());
    let mark = header.filter(|text| !text.is_empty()).or(query.since.filter(|text| !text.is_empty()));
    let mark = mark.map(|text| text.parse()).transpose();
    let mark = mark.map_err(|_| {
        let detail =
            "`since` and `Last-Event-ID` take what an `id:` line of the stream says, or the number of an event";
        Problem::new(StatusCode::BAD_REQUEST, "events.since", "No event", detail)
    })?;
    // Its place first: what happens while the snapshot is sent is told behind it.
    let reader = Reader::new(api.events.clone(), api.meter.clone(), mark);
    let place = reader.place().unwrap_or_default();
    let live = stream::unfold(reader, async |mut reader| Some((reader.next().await, reader)));
    let body = match query.snapshot {
        None | Some(0) => Body::from_stream(sent(place, live)),
        // Who is hung up on in the middle of it has no place yet, and gets all of it when it comes again.
        Some(_) => Body::from_stream(sent(String::new(), snapshot(&api, place).await?.chain(live))),
    };
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, body).into_response())
}

fn sent(place: String, chunks: impl Stream<Item = Bytes>) -> impl Stream<Item = Result<Bytes, Infallible>> {
    // At once something: a client knows that it is heard, and where it is. An id without data is no event, and resumed behind all the same.
    let hello = Bytes::from(format!(": sandhog\n{place}\n"));
    stream::once(async { hello }).chain(chunks).map(Ok)
}

async fn snapshot(api: &Api, place: String) -> Result<impl Stream<Item = Bytes> + use<>, Problem> {
    let list = lists::connections(api, lists::Wanted::default()).await?;
    let before = stream::once(async move { Bytes::from(format!("{place}event: snapshot\ndata: ")) });
    Ok(before.chain(list).chain(stream::once(async { Bytes::from_static(b"\n\n") })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str) -> Event {
        serde_json::from_value(serde_json::json!({ "id": 0, "time": "", "event": name })).unwrap()
    }
    fn ring(events: usize) -> Arc<Ring> {
        let ring = Ring::new(9);
        (0..events).for_each(|_| ring.push(event("up")));
        ring.into()
    }
    /// All that a reader gets without waiting: the ids of events, and gaps.
    fn read(reader: &mut Reader) -> Vec<String> {
        let frames = std::iter::from_fn(|| Some(reader.frames()).filter(|text| !text.is_empty())).collect::<String>();
        let of = |frame: &str| {
            let (id, rest) = frame.strip_prefix("id: 9-").unwrap().split_once('\n').unwrap();
            match rest.strip_prefix("event: gap\ndata: ") {
                Some(data) => format!("gap {}", serde_json::from_str::<serde_json::Value>(data).unwrap()["lost"]),
                None => id.to_owned(),
            }
        };
        frames.split_terminator("\n\n").map(of).collect()
    }
    fn since(text: &str) -> Option<Mark> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn who_resumes_gets_everything_behind_its_last_event() {
        let ring = ring(200);
        let mut reader = Reader::new(ring.clone(), Arc::default(), since("9-150"));
        assert_eq!(read(&mut reader), (151..=200).map(|id| id.to_string()).collect::<Vec<_>>());
        ring.push(event("down"));
        assert_eq!(read(&mut reader), ["201"]);
        assert_eq!(
            read(&mut Reader::new(ring.clone(), Arc::default(), since("199"))),
            ["200", "201"],
            "an ID alone is of this daemon"
        );
        assert_eq!(read(&mut Reader::new(ring.clone(), Arc::default(), None)), Vec::<String>::new());
        assert_eq!(read(&mut Reader::new(ring, Arc::default(), since("9-201"))), Vec::<String>::new());
    }

    #[test]
    fn what_is_forgotten_is_told_once_with_its_number() {
        let ring = ring(10);
        let meter: Arc<Meter> = Arc::default();
        let mut readers = ["4", "8"].map(|mark| Reader::new(ring.clone(), meter.clone(), since(mark)));
        (0..KEPT).for_each(|_| ring.push(event("up")));
        let [slow, other] = readers.each_mut().map(read);
        assert_eq!((slow[0].as_str(), slow[1].as_str(), slow.len()), ("gap 6", "11", KEPT + 1));
        assert_eq!(*slow.last().unwrap(), (KEPT + 10).to_string());
        assert_eq!(other[0], "gap 2");
        assert_eq!(meter.get(Figure::EventsLost), 8, "of all readers");
    }

    #[test]
    fn who_followed_another_daemon_gets_a_gap_and_all_of_this_one() {
        let ring = ring(2);
        for mark in ["8-1", "8-2", "8-1000", "1000", "9-3"] {
            assert_eq!(
                read(&mut Reader::new(ring.clone(), Arc::default(), since(mark))),
                ["gap null", "1", "2"],
                "{mark}"
            );
        }
    }

    #[test]
    fn who_takes_over_goes_on_counting_and_says_what_it_has_not() {
        let ring = Arc::new(Ring::new(77));
        ring.go_on(9, 100);
        ring.push(event("up"));
        assert_eq!(read(&mut Reader::new(ring.clone(), Arc::default(), since("9-97"))), ["gap 2", "100"]);
        ring.go_on(8, 5);
        assert_eq!(ring.counted(), (9, 101), "it has begun to count");
    }

    /// What is told between the freeze and the end is read by nobody, or its number would be read twice.
    #[test]
    fn who_hands_over_tells_nothing_that_the_other_counts_again() {
        let ring = ring(3);
        let mut reader = Reader::new(ring.clone(), Arc::default(), since("9-1"));
        assert_eq!(ring.hold(), (9, 4));
        (0..BATCH * 2).for_each(|_| ring.push(event("audit")));
        assert_eq!(read(&mut reader), ["2", "3"]);
        assert_eq!((ring.last(), reader.newest.has_changed().unwrap()), (3, false));
        let newcomer = Reader::new(ring.clone(), Arc::default(), None);
        assert_eq!(newcomer.place().unwrap(), "id: 9-3\n");
        // It has come to nothing.
        ring.release();
        assert!(reader.newest.has_changed().unwrap());
        assert_eq!(read(&mut reader), (4..4 + 2 * BATCH as u64).map(|id| id.to_string()).collect::<Vec<_>>());
        // All that was there is forgotten meanwhile: the gap ends where the other one begins.
        ring.hold();
        (0..KEPT).for_each(|_| ring.push(event("audit")));
        assert_eq!(read(&mut Reader::new(ring.clone(), Arc::default(), since("9-130"))), ["gap 1"]);
    }

    fn first_chunk(query: &str, last: Option<&str>) -> String {
        let api = crate::control::fake::api(Arc::default());
        (0..5).for_each(|_| api.events.push(event("up")));
        let query = Query {
            since: query.strip_prefix("since=").map(str::to_owned),
            snapshot: (query == "snapshot").then_some(1),
        };
        let mut headers = HeaderMap::new();
        last.map(|last| headers.insert("last-event-id", last.parse().unwrap()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut body = events(State(api), Params(query), headers).await.unwrap().into_body().into_data_stream();
            let mut text = String::new();
            while !text.contains("id: ") {
                text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
            }
            text
        })
    }

    #[test]
    fn a_client_knows_its_place_before_anything_happens() {
        assert_eq!(first_chunk("", None), ": sandhog\nid: 9-5\n\n");
        assert_eq!(first_chunk("since=3", None), ": sandhog\nid: 9-3\n\n");
        assert_eq!(first_chunk("snapshot", None), ": sandhog\n\nid: 9-5\nevent: snapshot\ndata: ");
        let anew = first_chunk("since=8-3", None);
        assert!(anew.starts_with(": sandhog\n\nid: 9-0\nevent: gap\n"), "{anew}");
    }

    /// A browser comes again with the query that it has, and with how far it was.
    #[test]
    fn how_far_a_client_was_counts_before_where_it_began() {
        assert_eq!(first_chunk("since=1", Some("9-4")), ": sandhog\nid: 9-4\n\n");
        assert_eq!(first_chunk("since=1", Some("")), ": sandhog\nid: 9-1\n\n");
    }

    #[test]
    fn octets_are_bounded_as_well() {
        let ring = Ring::new(9);
        let long = Event { connection: Some("x".repeat(KEPT_OCTETS / 4)), ..event("up") };
        (0..10).for_each(|_| ring.push(long.clone()));
        let kept = ring.kept();
        assert_eq!((kept.events.len(), kept.next), (3, 11));
        assert_eq!(kept.octets, kept.events.iter().map(|told| told.data.len()).sum::<usize>());
    }

    #[test]
    fn silence_is_filled() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let ring = ring(1);
            let mut reader = Reader::new(ring.clone(), Arc::default(), None);
            assert_eq!(reader.next().await, ": still here\n\n");
            let told = tokio::spawn(async move { reader.next().await });
            tokio::task::yield_now().await;
            ring.push(event("down"));
            assert!(told.await.unwrap().starts_with(b"id: 9-2\nevent: down\n"));
        });
    }

    #[test]
    fn marks_are_numbers() {
        assert_eq!("12".parse(), Ok(Mark { epoch: None, id: 12 }));
        assert_eq!("3-12".parse(), Ok(Mark { epoch: Some(3), id: 12 }));
        for text in ["", "-", "a", "3-", "-1", "1-2-3", "99999999999999999999"] {
            assert!(text.parse::<Mark>().is_err(), "{text}");
        }
    }
}
