//! The daemon's API at its socket: one request for each connection.
use super::http::{Body, Head};
use crate::control::problem::Problem;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Largest problem document that we take, octets.
const MAX_PROBLEM: u64 = 4 << 20;
/// The daemon answers within this time, besides what it was asked to wait.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens, or we may not connect.
    #[error("cannot reach the daemon at {path}: {reason}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The connection broke, or what came is not HTTP with JSON.
    #[error("the daemon at {path} does not answer as expected: {reason}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What came.
        reason: String,
    },
    /// The daemon says no.
    #[error("{}", .0.problem.detail)]
    Refused(Box<Refused>),
}
impl ClientError {
    /// 3 if the daemon cannot be reached, 2 if what was asked for is invalid or does not exist, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => ExitCode::from(3),
            Self::Refused(refused) if matches!(refused.problem.status, 400 | 404 | 422) => ExitCode::from(2),
            Self::Refused(_) => ExitCode::from(1),
        }
    }
}

/// A problem document.
#[derive(Debug)]
pub struct Refused {
    /// What all problems have.
    pub problem: Problem,
    /// With what this one has besides.
    pub document: Value,
}
impl Refused {
    /// What is wrong with a configuration, if that is the problem: as [`crate::config::Finding`] writes it, one text each.
    pub fn findings(&self) -> Vec<String> {
        let list = self.document.get("findings").and_then(Value::as_array);
        list.into_iter().flatten().map(finding).collect()
    }
}

fn finding(finding: &Value) -> String {
    let text = |key: &str| finding.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| finding.get(key).and_then(Value::as_u64).unwrap_or(0);
    let place = match (text("file"), number("line"), number("column")) {
        ("", ..) => String::new(),
        (file, 0, _) => format!("\n  --> {file}"),
        (file, line, column) => format!("\n  --> {file}:{line}:{column}"),
    };
    let hint = if text("hint").is_empty() { String::new() } else { format!("\n  = help: {}", text("hint")) };
    let severity = if text("severity").is_empty() { "error" } else { text("severity") };
    format!("{severity}[{}]: {}{place}{hint}", text("code"), text("message"))
}

/// What is asked of the daemon.
#[derive(Debug)]
pub struct Order<'a> {
    method: &'static str,
    path: &'a str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    wait: Duration,
}
impl<'a> Order<'a> {
    /// Any method.
    pub fn new(method: &'static str, path: &'a str) -> Self {
        Self { method, path, headers: Vec::new(), body: Vec::new(), wait: PATIENCE }
    }
    /// Reads a resource.
    pub fn get(path: &'a str) -> Self {
        Self::new("GET", path)
    }
    /// Gives an order.
    pub fn post(path: &'a str) -> Self {
        Self::new("POST", path)
    }
    /// With a header, such as `if-match`.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        // No value of ours has line ends; one of another's must not make two headers of one.
        let value = value.into().chars().filter(|c| !c.is_control()).collect();
        self.headers.push((name, value));
        self
    }
    /// With a body.
    pub fn json(mut self, body: &impl serde::Serialize) -> Self {
        // Our own types always have a JSON.
        self.body = serde_json::to_vec(body).unwrap_or_default();
        self.header("content-type", "application/json")
    }
    /// The answer may take this long, and some seconds for the way. It is no part of the request: say `?timeout=S` in the path as well.
    pub fn within(mut self, wait: Duration) -> Self {
        self.wait = wait.saturating_add(PATIENCE);
        self
    }
    /// A stream that says nothing for so long is at its end.
    pub fn silent_after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { method, path, body, .. } = self;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

/// A good answer, whose body is still to be read.
#[derive(Debug)]
pub struct Answer {
    head: Head,
    body: Body<BufReader<UnixStream>>,
    socket: PathBuf,
}
impl Answer {
    /// What the document is, for `if-match`.
    pub fn etag(&self) -> Option<&str> {
        self.head.header("etag")
    }
    /// A header by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }
    /// The body as it comes.
    pub fn into_reader(self) -> impl Read {
        self.body
    }
    /// The whole body as JSON; `null` if there is none.
    ///
    /// # Errors
    /// [`ClientError::Broken`] if it is none, or none of this type.
    pub fn json<T: DeserializeOwned>(mut self) -> Result<T, ClientError> {
        let broken = |reason: String| ClientError::Broken { path: self.socket.clone(), reason };
        let mut body = Vec::new();
        self.body.read_to_end(&mut body).map_err(|error| broken(said(&error)))?;
        let body = if body.is_empty() { b"null" } else { body.as_slice() };
        serde_json::from_slice(body).map_err(|error| broken(format!("{error}; is it of another version?")))
    }
}

/// The daemon's API at one socket.
#[derive(Clone, Debug)]
pub struct Client {
    path: PathBuf,
}
impl Client {
    /// Nothing is opened yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { path: socket.into() }
    }
    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.path
    }
    /// Reads a resource, such as `/v1/connections`.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.send(Order::get(path))?.json()
    }
    /// Posts to a resource and waits up to `timeout` (and some seconds for the way) for the answer.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub fn post(&self, path: &str, timeout: Duration) -> Result<Value, ClientError> {
        self.send(Order::post(path).within(timeout))?.json()
    }
    /// Sends any order.
    ///
    /// # Errors
    /// As [`ClientError`] says; what the daemon refuses is an error, too.
    pub fn send(&self, order: Order<'_>) -> Result<Answer, ClientError> {
        let stream = UnixStream::connect(&self.path)
            .map_err(|error| ClientError::Unreachable { path: self.path.clone(), reason: unreachable(&error) })?;
        let broken = |error: io::Error| ClientError::Broken { path: self.path.clone(), reason: said(&error) };
        let (head, mut body) = exchange(stream, &order).map_err(broken)?;
        if head.is_success() {
            return Ok(Answer { head, body, socket: self.path.clone() });
        }
        let mut text = Vec::new();
        body.by_ref().take(MAX_PROBLEM).read_to_end(&mut text).map_err(broken)?;
        let document: Value = serde_json::from_slice(&text).unwrap_or_default();
        match serde_json::from_value(document.clone()) {
            Ok(problem) => Err(ClientError::Refused(Box::new(Refused { problem, document }))),
            Err(_) => {
                let reason = format!("HTTP status {}", head.status);
                Err(ClientError::Broken { path: self.path.clone(), reason })
            }
        }
    }
}

fn exchange(mut stream: UnixStream, order: &Order<'_>) -> io::Result<(Head, Body<BufReader<UnixStream>>)> {
    stream.set_read_timeout(Some(order.wait))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // Who refuses a body before it has come may close: its answer says why.
    let written = stream.write_all(&order.bytes());
    let mut from = BufReader::new(stream);
    let head = Head::read(&mut from).map_err(|error| written.err().unwrap_or(error))?;
    let body = Body::new(&head, from)?;
    Ok((head, body))
}

/// One segment of a path, with all that has a meaning in a URL escaped (RFC 3986 section 2.1).
pub fn escape(segment: &str) -> String {
    let mut escaped = String::new();
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn said(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::UnexpectedEof => "it closed the connection in the middle of its answer".into(),
        _ => error.to_string(),
    }
}

fn unreachable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such socket. Is sandhogd running (`systemctl status sandhog`)? Another socket is named by --socket or SANDHOG_SOCKET".into()
        }
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there any more. Start the daemon: `systemctl start sandhog`".into()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied. Run as root or as the daemon's user, or join the group `sandhog` (operators), or `sandhog-observe` and \
             read from --socket /run/sandhog/observe.sock; then log in again"
                .into()
        }
        io::ErrorKind::WouldBlock => "it has too many clients waiting; try again".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A daemon that says this to one client; what it was asked.
    fn daemon(answer: &'static str) -> (tempfile::TempDir, Client, std::thread::JoinHandle<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = vec![0; 4096];
            let n = stream.read(&mut asked).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(asked[..n].to_vec()).unwrap()
        });
        (folder, Client::new(path), thread)
    }

    #[test]
    fn an_order_has_headers_and_a_body() {
        let (_folder, client, daemon) = daemon("HTTP/1.1 200 OK\r\netag: \"7\"\r\ncontent-length: 4\r\n\r\ntrue");
        let order = Order::new("PUT", "/v1/config").header("if-match", "\"6\"\r\nevil: 1").json(&[1, 2]);
        let answer = client.send(order).unwrap();
        assert_eq!(answer.etag(), Some("\"7\""));
        assert!(answer.json::<bool>().unwrap());
        let asked = daemon.join().unwrap();
        assert!(asked.starts_with("PUT /v1/config HTTP/1.1\r\nhost: localhost\r\n"), "{asked}");
        assert!(asked.contains("\r\nif-match: \"6\"evil: 1\r\n") && asked.ends_with("content-length: 5\r\n\r\n[1,2]"));
    }

    #[test]
    fn a_problem_keeps_all_that_it_says() {
        let text = "HTTP/1.1 422 no\r\n\r\n{\"type\":\"urn:x\",\"status\":422,\"title\":\"t\",\"detail\":\"d\",\"code\":\"config.invalid\",\
                    \"findings\":[{\"severity\":\"error\",\"file\":\"/a.toml\",\"line\":3,\"column\":1,\"code\":\"key.unknown\",\"message\":\"m\",\"hint\":\"h\"}]}";
        let (_folder, client, daemon) = daemon(text);
        let error = client.get::<Value>("/v1/config").unwrap_err();
        daemon.join().unwrap();
        assert_eq!(format!("{:?}", error.exit_code()), format!("{:?}", ExitCode::from(2)));
        let ClientError::Refused(refused) = error else { panic!("{error}") };
        assert_eq!(refused.findings(), ["error[key.unknown]: m\n  --> /a.toml:3:1\n  = help: h"]);
    }

    #[test]
    fn what_is_no_problem_document_is_an_unexpected_answer() {
        let (_folder, client, daemon) = daemon("HTTP/1.1 500 no\r\n\r\noops");
        let error = client.get::<Value>("/v1/info").unwrap_err();
        daemon.join().unwrap();
        assert!(error.to_string().contains("HTTP status 500"), "{error}");
    }

    #[test]
    fn a_missing_daemon_is_exit_code_3_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let error = Client::new(folder.path().join("none.sock")).get::<Value>("/v1/info").unwrap_err();
        assert!(error.to_string().contains("Is sandhogd running"), "{error}");
        assert_eq!(format!("{:?}", error.exit_code()), format!("{:?}", ExitCode::from(3)));
    }

    #[test]
    fn a_stale_socket_is_exit_code_3_with_a_sentence() {
        // A program that another test starts may have inherited the listener, until it runs: then it is not stale yet.
        let told = || {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("stale.sock");
            drop(UnixListener::bind(&path).unwrap());
            Client::new(&path).get::<Value>("/v1/info").unwrap_err().to_string()
        };
        assert!((0..100).any(|_| told().contains("nobody listens")));
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escape("office/lan #1?ü"), "office%2Flan%20%231%3F%C3%BC");
    }
}
