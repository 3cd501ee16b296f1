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
use std::sync::Arc;
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

/// Where Prometheus connects to; it listens, and nobody is answered yet.
///
/// # Errors
/// Of its kind, and a sentence.
pub fn bind(address: SocketAddr) -> io::Result<Socket> {
    let said = |error: io::Error| io::Error::new(error.kind(), format!("metrics = \"{address}\": {error}"));
    let socket = Socket::bind(address).map_err(said)?;
    socket.set_nonblocking(true).map_err(said)?;
    Ok(socket)
}

/// Answers for ever.
pub async fn serve(socket: Socket, engine: Engine, meter: Arc<Meter>) {
    let listener = match TcpListener::from_std(socket) {
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
