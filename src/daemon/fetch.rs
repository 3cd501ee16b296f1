//! Revocation lists from where certificates say that they are: `http`, small, soon, and never from inside.
//!
//! Whoever has a certificate of an authority that we trust may have put any address into it. So a name is resolved by us, by sockets with our
//! mark; an address of our own, a private or a link-local one is not asked unless the configuration names its host; the address that was
//! judged is the one that is connected to; nothing is followed elsewhere; and what comes is believed only if the authority has signed it.
mod address;
mod cache;
pub(super) mod resolve;

use super::clock;
use crate::crypto::cert::Crl;
use crate::io::fds::EventFd;
use crate::io::marked;
use address::Place;
use axum::body::Bytes;
use cache::Cache;
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use resolve::Names;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::Builder;
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::mpsc as channel;
use tokio::task::JoinSet;

/// Largest list, in octets.
const LARGEST: usize = 4 * 1024 * 1024;
/// Each address of a job has this long; all are asked at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses of one job.
const MAX_PLACES: usize = 3;
/// Jobs at a time; more come back with nothing.
const MAX_JOBS: usize = 16;

/// One job: the addresses, and hosts that may be anywhere.
#[derive(Debug)]
struct Job {
    job: u64,
    urls: Vec<String>,
    allowed: Arc<[String]>,
}
/// The number of a job, and what came.
pub type Fetched = (u64, Vec<Arc<Crl>>);

/// The thread that fetches. It ends with this.
#[derive(Debug)]
pub struct Fetcher {
    jobs: channel::Sender<Job>,
    nothing: mpsc::Sender<Fetched>,
    done: mpsc::Receiver<Fetched>,
    wake: Arc<EventFd>,
}
impl Fetcher {
    /// `mark` is that of our own packets; `wake` is signalled when a job is done.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub fn start(mark: u32, wake: Arc<EventFd>) -> io::Result<Self> {
        let (jobs, waiting) = channel::channel(MAX_JOBS);
        let (results, done) = mpsc::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (nothing, signal) = (results.clone(), wake.clone());
        Builder::new().name("fetch".into()).spawn(move || runtime.block_on(serve(waiting, mark, results, signal)))?;
        Ok(Self { jobs, nothing, done, wake })
    }
    /// Begins to fetch; where too much is being fetched the job comes back with nothing.
    pub fn ask(&self, job: u64, urls: Vec<String>, allowed: Arc<[String]>) {
        if self.jobs.try_send(Job { job, urls, allowed }).is_err() {
            let _ = self.nothing.send((job, Vec::new()));
            self.wake.signal();
        }
    }
    /// A job that is done.
    pub fn next(&self) -> Option<Fetched> {
        self.done.try_recv().ok()
    }
}

async fn serve(mut waiting: channel::Receiver<Job>, mark: u32, results: mpsc::Sender<Fetched>, wake: Arc<EventFd>) {
    let cache = Arc::new(Mutex::new(Cache::default()));
    let slots = Arc::new(tokio::sync::Semaphore::new(MAX_JOBS));
    while let Some(job) = waiting.recv().await {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (cache, results, wake) = (cache.clone(), results.clone(), wake.clone());
        tokio::spawn(async move {
            let crls = all(&job, mark, &cache, PATIENCE).await;
            // The engine may be gone.
            let _ = results.send((job.job, crls));
            wake.signal();
            drop(slot);
        });
    }
}
/// Everything that comes in time, from all places at once: one that does not answer takes no time from the others.
async fn all(job: &Job, mark: u32, cache: &Arc<Mutex<Cache>>, patience: Duration) -> Vec<Arc<Crl>> {
    let mut asked = JoinSet::new();
    for url in job.urls.iter().take(MAX_PLACES).cloned() {
        asked.spawn(cached(url, job.allowed.clone(), mark, cache.clone(), patience));
    }
    let mut found = Vec::new();
    while let Some(crls) = asked.join_next().await {
        // Who panics has found nothing.
        found.extend(crls.unwrap_or_default());
    }
    found
}
/// What is in one place, or was there lately.
async fn cached(
    url: String,
    allowed: Arc<[String]>,
    mark: u32,
    cache: Arc<Mutex<Cache>>,
    patience: Duration,
) -> Vec<Arc<Crl>> {
    let anywhere = Place::parse(&url).is_ok_and(|place| place.is_allowed(&allowed));
    let key = (url, anywhere);
    let known = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&key, clock::unix());
    if let Some(crls) = known {
        return crls;
    }
    let asked = tokio::time::timeout(patience, one(&key.0, &allowed, mark)).await;
    let result = asked.unwrap_or_else(|_| Err("it takes too long".into()));
    let crls = result.unwrap_or_else(|error| {
        tracing::warn!(url = ?key.0, %error, "a revocation list could not be fetched");
        Vec::new()
    });
    cache.lock().unwrap_or_else(PoisonError::into_inner).put(key, &crls, clock::unix());
    crls
}
async fn one(url: &str, allowed: &[String], mark: u32) -> Result<Vec<Arc<Crl>>, String> {
    let place = Place::parse(url)?;
    let addresses = Names::new(mark)?.resolve(&place.host).await?;
    let may = |address: &std::net::IpAddr| place.is_allowed(allowed) || address::is_outside(*address, mark);
    let Some(address) = addresses.into_iter().find(may) else {
        return Err(format!("no address of {:?} outside; name it in crl_hosts to allow that", place.host));
    };
    let octets = get(&place, SocketAddr::new(address, place.port), mark).await?;
    // Long lists take a while to read, and nobody else waits on this thread but other lists.
    Crl::read(&octets).map(|crls| crls.into_iter().map(Arc::new).collect())
}
async fn get(place: &Place, remote: SocketAddr, mark: u32) -> Result<Vec<u8>, String> {
    let said = |error: &dyn std::error::Error| error.to_string();
    let socket = TcpSocket::from_std_stream(marked::tcp(remote, mark).map_err(|e| said(&e))?);
    let stream = socket.connect(remote).await.map_err(|e| said(&e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| said(&e))?;
    let driver = tokio::spawn(connection);
    let request = Request::get(&place.path)
        .header(header::HOST, &place.authority)
        .header(header::USER_AGENT, concat!("sandhog/", env!("CARGO_PKG_VERSION")))
        .body(Nothing)
        .map_err(|e| said(&e))?;
    let response = sender.send_request(request).await.map_err(|e| said(&e))?;
    let result = match response.status() {
        StatusCode::OK => read(response.into_body()).await,
        other => Err(format!("it answers {other}")),
    };
    driver.abort();
    result
}
async fn read(mut body: hyper::body::Incoming) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|e| e.to_string())?;
        let Ok(data) = frame.into_data() else { continue };
        if octets.len() + data.len() > LARGEST {
            return Err(format!("it is larger than {LARGEST} octets"));
        }
        octets.extend_from_slice(&data);
    }
    Ok(octets)
}
/// A request without a body.
struct Nothing;
impl Body for Nothing {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        Poll::Ready(None)
    }
    fn is_end_stream(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
