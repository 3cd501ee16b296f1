//! The Api thread: accepts clients on the control socket and serves each on a current-thread runtime.
use super::access::Role;
use super::routes::{Api, router};
use super::socket::ControlSocket;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, oneshot};

/// Clients at a time; more wait in the socket's queue.
const MAX_CLIENTS: usize = 64;
/// A client has this long to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// The running API; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}
impl Server {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub fn start(socket: &ControlSocket, api: Api) -> io::Result<Self> {
        let listener = socket.listener()?;
        let owner = socket.owner();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = Builder::new().name("api".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    result = accept(listener, owner, router(api)) => {
                        if let Err(error) = result {
                            tracing::error!(%error, "the control socket failed");
                        }
                    }
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}
impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::os::unix::net::UnixListener, owner: u32, router: Router) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let slots = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    serve(stream, owner, router).await;
                    drop(slot);
                });
            }
            // Out of descriptors, or the client was gone again: nothing that the next accept could not do better.
            Err(error) => {
                tracing::warn!(%error, "a client of the control socket was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, owner: u32, router: Router) {
    let role = stream.peer_cred().map_or(Role::None, |peer| Role::of(peer.uid(), owner));
    let service = TowerToHyperService::new(router.layer(Extension(role)));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a client of the control socket ended");
    }
}
