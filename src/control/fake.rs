//! An engine that is none, and a client without a socket: for tests and fuzzing.
use super::access::{Caller, Role};
use super::board::{Board, Piece};
use super::capture::{self, Captures};
use super::config::{Applied, Exists, Keeper, Order, Plan, Revisions, Shown};
use super::events::Ring;
use super::gate::{self, Audit};
use super::probing::NotProbed;
use super::request::{Engine, Refusal, Request};
use super::resources::router;
use super::routes::Api;
use super::types::{Connection, Info, Stats, Why};
use super::upgrade::Upgrade;
use crate::config::plan::Impact;
use axum::Extension;
use axum::body::Body;
use axum::http;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The connections that the engine knows.
pub const CONNECTIONS: [&str; 3] = ["hangzhou", "office", "töpfer/ß"];
/// The child that each of them has.
pub const CHILD: &str = "lan";

/// The API around an engine that answers at once.
pub struct Fake {
    router: axum::Router,
    runtime: Runtime,
    audits: Arc<Mutex<Vec<Audit>>>,
}
impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}
impl Fake {
    /// With a clock that leaps.
    pub fn new() -> Self {
        let audits = Arc::new(Mutex::new(Vec::new()));
        Self::of(&api(audits.clone()), audits)
    }
    /// The API around something else.
    pub fn of(api: &Api, audits: Arc<Mutex<Vec<Audit>>>) -> Self {
        let router = router(api);
        let runtime = Builder::new_current_thread().enable_time().build().expect("a thread's own runtime");
        Self { router, runtime, audits }
    }
    /// What was told of writes since it was last asked.
    pub fn audits(&self) -> Vec<Audit> {
        std::mem::take(&mut *self.audits.lock().expect("nobody panicked"))
    }
    /// One request of a client in this role: status, head and body.
    pub fn ask(&self, role: Role, request: http::Request<Body>) -> http::Response<Vec<u8>> {
        self.runtime.block_on(async {
            let caller = Caller { role, uid: 1000, pid: Some(7) };
            let service = TowerToHyperService::new(self.router.clone().layer(Extension(caller)));
            let (head, body) = service.call(request).await.expect("never fails").into_parts();
            let media = head.headers.get(http::header::CONTENT_TYPE);
            let endless = media.is_some_and(|media| media == "text/event-stream" || media == capture::MEDIA);
            let body = if endless { Vec::new() } else { whole(body).await };
            http::Response::from_parts(head, body)
        })
    }
    /// The same without a body.
    pub fn get(&self, role: Role, method: &str, path: &str) -> http::Response<Vec<u8>> {
        let request = http::Request::builder().method(method).uri(path).body(Body::empty());
        self.ask(role, request.expect("a request"))
    }
}

async fn whole(body: Body) -> Vec<u8> {
    axum::body::to_bytes(body, usize::MAX).await.expect("a body").to_vec()
}

/// What the handlers get: its engine answers on the thread of whoever asks.
pub fn api(audits: Arc<Mutex<Vec<Audit>>>) -> Api {
    let (requests, incoming) = mpsc::sync_channel(16);
    let incoming = Mutex::new(incoming);
    let serve = move || {
        while let Ok(request) = incoming.lock().expect("nobody panicked").try_recv() {
            answer(request);
        }
    };
    Api {
        engine: Engine::new(requests, Arc::new(serve)),
        keeper: keeper(),
        events: Arc::new(Ring::new(9)),
        clock: || Duration::ZERO,
        audit: Arc::new(move |audit| audits.lock().expect("nobody panicked").push(audit)),
        large: gate::places(),
        tables: Arc::default(),
        meter: Arc::default(),
        captures: Arc::new(Captures::new(Arc::default(), 1, || Duration::ZERO, || Duration::ZERO)),
        metrics: None,
    }
}

/// One that has one secret and one revision, and applies whatever it is given.
fn keeper() -> Keeper {
    let (orders, incoming) = mpsc::sync_channel(16);
    let incoming = Mutex::new(incoming);
    let serve = move || {
        while let Ok(order) = incoming.lock().expect("nobody panicked").try_recv() {
            obey(order);
        }
    };
    Keeper::waking(orders, Arc::new(serve))
}

fn obey(order: Order) {
    let text = String::new;
    let applied = || {
        Ok(Applied { revision: Some(1), etag: text(), confirm_until: None, changes: Vec::new(), warnings: Vec::new() })
    };
    let plan = Plan {
        plan: text(),
        base: text(),
        etag: text(),
        impact: Impact::None,
        changes: Vec::new(),
        warnings: Vec::new(),
    };
    match order {
        Order::Get(reply) => drop(reply.send(Ok(Shown { document: b"{}".to_vec(), etag: "e".into() }))),
        Order::Plan { reply, .. } => drop(reply.send(Ok(plan))),
        Order::Apply { reply, .. }
        | Order::Confirm { reply, .. }
        | Order::Rollback { reply, .. }
        | Order::PutObject { reply, .. }
        | Order::DeleteObject { reply, .. } => drop(reply.send(applied())),
        Order::Revisions(reply) => {
            drop(reply.send(Ok(Revisions { revisions: Vec::new(), confirm_until: None })));
        }
        Order::HasSecret { name, reply } => drop(reply.send(Ok(Exists { name, file: None }))),
        Order::Reload => {}
    }
}

fn answer(request: Request) {
    // Who asked may have gone away.
    match request {
        Request::Info(reply) => drop(reply.send(info())),
        Request::Board(reply) => {
            let pieces = CONNECTIONS.map(|name| Arc::new(Piece::new(connection(name), Vec::new())));
            drop(reply.send(Arc::new(Board::new(pieces))));
        }
        Request::Upgrade(reply) => drop(reply.send(Ok(Box::new(Upgrade::of("0.1.0", 7))))),
        Request::LastUpgrade(reply) => drop(reply.send(Box::new(Upgrade::of("0.1.0", 7)))),
        Request::Diagnoses(_, reply) => drop(reply.send(Vec::new())),
        Request::Why(name, reply) => {
            let known = CONNECTIONS.contains(&&*name).then(|| connection(&name));
            let why = |known: Connection| Why { connection: known.name, state: known.state, diagnoses: Vec::new() };
            drop(reply.send(known.map(|known| Box::new(why(known)))));
        }
        Request::Probe(name, reply) => {
            let known = CONNECTIONS.contains(&&*name);
            drop(reply.send(if known { Ok(Vec::new()) } else { Err(NotProbed::Unknown) }));
        }
        Request::Stats(reply) => drop(reply.send(Stats::default())),
        Request::Adopt(adopt) => drop(adopt.reply.send(Err("there is no engine".into()))),
        Request::News(_) => {}
        Request::Change(change) => {
            let verdict = match &change.child {
                _ if !CONNECTIONS.contains(&&*change.connection) => Err(Refusal::UnknownConnection),
                Some(child) if **child != *CHILD => Err(Refusal::UnknownChild),
                _ => Ok(()),
            };
            drop(change.reply.send(verdict));
        }
    }
}

fn info() -> Info {
    Info {
        version: "0".into(),
        pid: 1,
        started: "2026-11-21T10:00:00Z".into(),
        config: "/etc/sandhog/sandhog.toml".into(),
        device: "sandhog0".into(),
        workers: 1,
        listen: vec![],
        ike: vec![],
        bind_device: None,
        raw_esp: true,
        warnings: vec![],
    }
}

fn connection(name: &str) -> Connection {
    let json = serde_json::json!({
        "name": name, "state": "down", "sas": [], "peers": [], "warnings": [], "children": [ {
            "name": CHILD, "mode": "tunnel", "state": "down", "local_ts": [], "remote_ts": [], "bytes_in": 0, "bytes_out": 0,
            "packets_in": 0, "packets_out": 0, "drops": {}, "sas": []
        } ]
    });
    serde_json::from_value(json).expect("a connection")
}
