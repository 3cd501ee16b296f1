//! The Api thread: accepts clients on the control socket and its read-only twin and serves each on a current-thread runtime, within bounds:
//! so many clients, so much time for the head of a request, and for a client to read its answer.
use super::access::{Caller, Role, Roles};
use super::metrics::listener;
use super::metrics::meter::{Figure, Meter};
use super::problem::Problem;
use super::resources::router;
use super::routes::Api;
use super::seats::{Seat, Seats};
use super::socket::ControlSocket;
use super::unread::{Hangup, Unread};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

/// A client has this long to send the head of a request, and to think of the next one.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request, octets.
const MAX_HEAD: usize = 64 * 1024;

/// The running API; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}
impl Server {
    /// Starts the thread. `roles`: of those who come to the control socket.
    ///
    /// # Errors
    /// When the system has no more threads or descriptors.
    pub fn start(control: &ControlSocket, observe: Option<&ControlSocket>, roles: Roles, api: Api) -> io::Result<Self> {
        let mut doors = vec![(control.listener()?, roles)];
        if let Some(observe) = observe {
            doors.push((observe.listener()?, roles.observing()));
        }
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = Builder::new().name("api".into()).spawn(move || {
            runtime.block_on(async {
                let (router, seats) = (router(&api), Seats::default());
                for (listener, roles) in doors {
                    tokio::spawn(accept(listener, roles, seats.clone(), (router.clone(), api.meter.clone())));
                }
                if let Some(listener) = api.metrics.clone() {
                    tokio::spawn(listener::serve(listener, api.engine.clone(), api.meter.clone()));
                }
                let _ = stopped.await;
                api.captures.close().await;
                // All else that was spawned ends with the runtime.
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

async fn accept(listener: StdListener, roles: Roles, seats: Seats, (router, meter): (Router, Arc<Meter>)) {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a socket of the API failed"),
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let caller = stream
                    .peer_cred()
                    .map_or(Caller::NOBODY, |peer| roles.caller(&stream, peer.uid(), peer.gid(), peer.pid()));
                match seats.take(caller.uid, caller.role == Role::Admin) {
                    Some(seat) => {
                        let seen = Seen::new(meter.clone());
                        drop(tokio::spawn(serve(stream, caller, (seat, seen), router.clone())));
                    }
                    None => turn_away(&stream),
                }
            }
            // Out of descriptors, or the client was gone again: nothing that the next accept could not do better.
            Err(error) => {
                tracing::warn!(%error, "a client of the API was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve<S>(stream: S, caller: Caller, _places: (Seat, Seen), router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let hangup = Hangup::default();
    let service = TowerToHyperService::new(router.layer(Extension(caller)).layer(Extension(hangup.clone())));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Unread::new(stream)), service);
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a client of the API ended");
        },
        () = hangup.pulled() => tracing::debug!("a client of the API was hung up on"),
    }
}

/// A client that the metrics show.
struct Seen(Arc<Meter>);
impl Seen {
    fn new(meter: Arc<Meter>) -> Self {
        meter.add(Figure::ApiClients, 1);
        Self(meter)
    }
}
impl Drop for Seen {
    fn drop(&mut self) {
        self.0.less(Figure::ApiClients);
    }
}

/// Says why, as far as that fits into the socket, and hangs up.
fn turn_away(stream: &UnixStream) {
    let problem = Problem::busy();
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    // A fresh socket has room for this; whoever does not read it learns less.
    let _ = stream.try_write(answer.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::capture::Captures;
    use crate::control::fake;
    use crate::dataplane::tap::Tap;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream as Client;
    use std::path::PathBuf;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, sleep};

    /// A server with an engine that is none, on both sockets.
    struct Place {
        folder: tempfile::TempDir,
        _server: Server,
        _sockets: [ControlSocket; 2],
    }
    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let sockets =
                ["control", "observe"].map(|name| ControlSocket::bind(&folder.path().join(name), None).unwrap());
            let server = Server::start(
                &sockets[0],
                Some(&sockets[1]),
                Roles::of(sockets[0].owner()),
                fake::api(Default::default()),
            )
            .unwrap();
            Self { folder, _server: server, _sockets: sockets }
        }
        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }
        /// Sends this, closes that half, and reads whatever comes.
        fn say(&self, socket: &str, text: &str) -> String {
            let mut client = Client::connect(self.path(socket)).unwrap();
            // Who is turned away may be so before it has said anything.
            let _ = client.write_all(text.as_bytes());
            // Who has asked for the end waits for the answer: one that has closed its half is taken to be gone.
            if !text.contains("Connection: close") {
                let _ = client.shutdown(std::net::Shutdown::Write);
            }
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        }
    }
    fn request(line: &str) -> String {
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    }

    #[test]
    fn the_observe_socket_shows_and_does_nothing() {
        let place = Place::new();
        assert!(place.say("control", &request("POST /v1/connections/office/down")).starts_with("HTTP/1.1 200"));
        assert!(place.say("observe", &request("GET /v1/connections")).starts_with("HTTP/1.1 200"));
        let refused = place.say("observe", &request("POST /v1/connections/office/down"));
        assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("access.role"), "{refused}");
    }

    #[test]
    fn a_thousand_idle_observers_keep_no_admin_waiting() {
        let place = Place::new();
        // As many as there are seats for stay, the others are told and hung up on.
        let _idle: Vec<_> = (0..1000).map(|_| Client::connect(place.path("observe")).unwrap()).collect();
        let turned_away = place.say("observe", &request("GET /v1/info"));
        assert!(turned_away.starts_with("HTTP/1.1 503") && turned_away.contains("daemon.busy"), "{turned_away}");
        assert!(place.say("control", &request("GET /v1/info")).starts_with("HTTP/1.1 200"));
    }

    #[test]
    fn who_has_gone_makes_room() {
        let place = Place::new();
        let idle: Vec<_> = (0..1000).map(|_| Client::connect(place.path("control")).unwrap()).collect();
        assert!(place.say("control", &request("GET /v1/info")).starts_with("HTTP/1.1 503"));
        drop(idle);
        // The server hears of each that has gone in its turn.
        while !place.say("control", &request("GET /v1/info")).starts_with("HTTP/1.1 200") {
            std::thread::yield_now();
        }
    }

    #[test]
    fn half_a_document_is_no_document() {
        let place = Place::new();
        for text in [
            "",
            "GET /v1/in",
            "GET /v1/info HTTP/1.1\r\nHost: local",
            "\0\0\0\0",
            "POST /v1/connections/office/up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{\"half",
            "POST /v1/connections/office/up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nfff\r\n{\"half",
        ] {
            let answer = place.say("control", text);
            let status = answer.split(' ').nth(1).unwrap_or("none");
            assert!(["none", "400"].contains(&status), "{text:?}: {answer}");
        }
        assert!(place.say("control", &request("GET /v1/info")).starts_with("HTTP/1.1 200"));
    }

    /// An octet now and then is enough to be no client that reads nothing.
    #[test]
    fn a_capture_ends_however_slowly_its_client_reads() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (tap, mut api) = (Arc::new(Tap::default()), fake::api(Default::default()));
            api.captures = Arc::new(Captures::new(tap.clone(), 1, || Duration::ZERO, || Duration::ZERO));
            let (ours, mut theirs) = tokio::io::duplex(1024);
            let caller = Caller { role: Role::Admin, uid: 0, pid: None };
            let places = (Seats::default().take(0, true).unwrap(), Seen::new(api.meter.clone()));
            let begun = Instant::now();
            let served = tokio::spawn(serve(ours, caller, places, router(&api)));
            let body = r#"{"inner":true,"seconds":10}"#;
            let head = "POST /v1/captures HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
            let request = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
            theirs.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 256];
            let n = theirs.read(&mut answer).await.unwrap();
            assert!(answer[..n].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..n]));
            for _ in 0..1000 {
                tap.open(Duration::ZERO, 0).unwrap().inner(&"a/b".into(), true, &[&[7; 500]]);
            }
            let trickle = tokio::spawn(async move {
                while theirs.read_u8().await.is_ok() {
                    sleep(Duration::from_secs(5)).await;
                }
            });
            served.await.unwrap();
            assert_eq!(begun.elapsed().as_secs(), 15, "its time, and what it has to take the rest");
            trickle.abort();
        });
    }

    #[test]
    fn a_head_without_end_is_refused() {
        let place = Place::new();
        let long = format!("GET /v1/info HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD));
        assert!(place.say("control", &long).starts_with("HTTP/1.1 431"));
    }
}
