//! `gateway.metrics`: a socket for Prometheus alone. It knows one path, asks nobody who they are, and bounds what they can cost.
use super::answer;
use super::meter::Meter;
use crate::control::problem::Problem;
use crate::control::request::Engine;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::net::{SocketAddr, TcpListener as Socket};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Clients at a time; more wait in the socket's queue.
const MAX_CLIENTS: usize = 8;
/// A client has this long for the head of a request, and to think of the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// And so long for all it wants with one connection, whoever reads how slowly.
const LONGEST: Duration = Duration::from_secs(120);
/// Largest head of a request.
const MAX_HEAD: usize = 16 * 1024;

/// Where it could not be bound it is tried again soon, since a daemon that ends may have it still, and then this often.
const SOON: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(30);

/// Where Prometheus connects to. Nothing else waits for it: an address may come with a network that is up later than we are.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    /// It listens, and nobody is answered before [`serve`].
    socket: OnceLock<Socket>,
    /// Why there is none.
    trouble: Mutex<Option<String>>,
}
impl Listener {
    /// Not bound yet, unless another daemon has done so.
    pub fn new(address: SocketAddr, socket: Option<Socket>) -> Self {
        Self { address, socket: socket.map_or_else(OnceLock::new, OnceLock::from), trouble: Mutex::default() }
    }
    /// Binds it, unless it is. False if that cannot be done now: [`Self::trouble`] says why.
    pub fn bind(&self) -> bool {
        if self.socket.get().is_some() {
            return true;
        }
        let bound = Socket::bind(self.address).and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let trouble = match bound {
            Ok(socket) => {
                tracing::info!(address = %self.address, "metrics are told here");
                let _ = self.socket.set(socket);
                None
            }
            Err(error) => Some(format!(
                "metrics = \"{}\": {error}; nobody gets them there. It is tried again every {} s",
                self.address,
                AGAIN.as_secs()
            )),
        };
        let mut told = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sentence) = trouble.as_ref().filter(|trouble| told.as_ref() != Some(trouble)) {
            tracing::warn!("{sentence}");
        }
        *told = trouble;
        told.is_none()
    }
    /// One sentence, if there is no socket.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
    /// A second handle of the socket, if it is there.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn socket(&self) -> io::Result<Option<Socket>> {
        self.socket.get().map(Socket::try_clone).transpose()
    }
}

/// Answers for ever, as soon as there is a socket.
pub async fn serve(listener: Arc<Listener>, engine: Engine, meter: Arc<Meter>) {
    let mut pause = SOON;
    while listener.socket.get().is_none() {
        tokio::time::sleep(std::mem::replace(&mut pause, AGAIN)).await;
        listener.bind();
    }
    let socket = listener.socket().and_then(|socket| socket.ok_or_else(|| io::ErrorKind::NotConnected.into()));
    let listener = match socket.and_then(TcpListener::from_std) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "the socket for metrics failed"),
    };
    let router = Router::new()
        .route("/metrics", get(metrics))
        .fallback(async |uri: Uri| Problem::not_found(uri.path()))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method.unknown", "Wrong method", "there is nothing but GET")
        })
        .with_state((engine, meter));
    let seats = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(LONGEST, one(stream, router)).await;
                    drop(seat);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a client for metrics was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn one(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a client for metrics ended");
    }
}

async fn metrics(State((engine, meter)): State<(Engine, Arc<Meter>)>, headers: HeaderMap) -> Result<Response, Problem> {
    answer(&engine, &meter, &headers).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_bound_now_is_told_and_bound_later() {
        let other = Socket::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let listener = Listener::new(address, None);
        assert!(!listener.bind() && listener.socket().unwrap().is_none());
        let sentence = listener.trouble().unwrap();
        assert!(sentence.contains(&format!("metrics = \"{address}\"")) && sentence.contains("again"), "{sentence}");
        drop(other);
        // Programs that other tests start have it for a moment still.
        while !listener.bind() {
            std::thread::yield_now();
        }
        assert_eq!(listener.trouble(), None);
        let socket = listener.socket().unwrap().unwrap();
        assert_eq!(socket.local_addr().unwrap(), address);
        assert!(Listener::new(address, Some(socket)).bind());
    }
}
