//! What the API asks of the engine, and how it waits for the answer.
use super::board::Board;
use super::probing::{NotProbed, Probe};
use super::problem::Problem;
use super::types::{Diagnosis, Failure, Info, Stats, Verb, Why};
use super::upgrade::{self, Upgrade};
use crate::config::Config;
use crate::config::plan::Plan;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tokio::sync::oneshot;

/// Where an answer goes. Whoever asked may have gone away.
pub type Reply<T> = oneshot::Sender<T>;

/// One question or order.
#[derive(Debug)]
pub enum Request {
    /// What the daemon is.
    Info(Reply<Info>),
    /// All connections, as they are when everything that has happened until then is in the picture.
    Board(Reply<Arc<Board>>),
    /// Counters.
    Stats(Reply<Stats>),
    /// The last diagnoses, the newest first: of one connection, or all.
    Diagnoses(Option<Arc<str>>, Reply<Vec<Diagnosis>>),
    /// What is wrong with a connection now; `None`: there is none of this name.
    Why(Arc<str>, Reply<Option<Box<Why>>>),
    /// Ask the peer of a connection what it takes, and wait for the end.
    Probe(Arc<str>, Reply<Result<Vec<Probe>, NotProbed>>),
    /// Bring up, take down or rekey, and wait.
    Change(Change),
    /// Be replaced; answered when the new daemon is starting.
    Upgrade(Reply<Result<Box<Upgrade>, upgrade::Refusal>>),
    /// The last upgrade.
    LastUpgrade(Reply<Box<Upgrade>>),
    /// Put a configuration into force.
    Adopt(Adopt),
    /// Tell what became of a configuration.
    News(News),
}
/// A configuration that is to be in force.
#[derive(Debug)]
pub struct Adopt {
    /// All of it, checked.
    pub config: Box<Config>,
    /// What differs from what is in force, and what that is to do.
    pub plan: Plan,
    /// Answered when tables, routes and policy are in place; what follows from that is told by events. `Err`: nothing was changed, and why.
    pub reply: Reply<Result<Adopted, String>>,
}
/// It is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// What could not be done as it says.
    pub warnings: Vec<String>,
}
/// What became of a configuration, for the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// `config.applied`, `config.confirmed`, `config.rolled_back`, `config.refused`.
    pub event: &'static str,
    /// Which revision is meant, where there is one.
    pub revision: Option<u64>,
    /// By whom and why. Nothing of the configuration but names.
    pub why: String,
    /// What whoever asks for `/v1/info` is to know of the configuration from now on.
    pub notes: Vec<String>,
}
/// Bring a connection or a child up or down, or rekey it.
#[derive(Debug)]
pub struct Change {
    /// What to do.
    pub verb: Verb,
    /// Connection.
    pub connection: Arc<str>,
    /// One peer of a connection that has several, by its number; or all.
    pub peer: Option<u32>,
    /// Child, or all; to rekey: the IKE SA.
    pub child: Option<Arc<str>>,
    /// How long to wait; zero: do not wait.
    pub timeout: Duration,
    /// Answered when it is done, or cannot be done.
    pub reply: Reply<Result<(), Refusal>>,
}
/// Why it was not done.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// No connection of this name.
    UnknownConnection,
    /// The connection has no child of this name.
    UnknownChild,
    /// The connection has no peer of this number.
    UnknownPeer,
    /// A peer of a connection that takes calls cannot be called.
    PeerCalls,
    /// There is no SA to rekey.
    NotUp,
    /// The attempt ended.
    Failed(Box<Failure>),
    /// It took longer than the client wanted to wait; what is known so far.
    TimedOut(Option<Box<Failure>>),
    /// The daemon is stopping.
    Stopping,
}
/// The API's end of the channel to the engine.
#[derive(Clone)]
pub struct Engine {
    requests: SyncSender<Request>,
    wake: Arc<dyn Fn() + Send + Sync>,
}
impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Engine")
    }
}
impl Engine {
    /// `wake` makes the engine look into the channel.
    pub fn new(requests: SyncSender<Request>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { requests, wake }
    }
    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`Problem::busy`] if the channel is full or the engine has ended.
    pub async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(make(reply)).map_err(|_| Problem::busy())?;
        (self.wake)();
        answer.await.map_err(|_| Problem::busy())
    }
    /// The same for a thread that may wait.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn ask_and_wait<T>(&self, make: impl FnOnce(Reply<T>) -> Request) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.tell(make(reply))?;
        answer.blocking_recv().map_err(|_| Problem::busy())
    }
    /// Sends a request that nobody waits for.
    ///
    /// # Errors
    /// [`Problem::busy`] if the channel is full or the engine has ended.
    pub fn tell(&self, request: Request) -> Result<(), Problem> {
        self.requests.try_send(request).map_err(|_| Problem::busy())?;
        (self.wake)();
        Ok(())
    }
}
