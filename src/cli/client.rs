//! HTTP over the control socket: one request for each connection, no more of HTTP/1.1 than that needs.
use crate::control::problem::Problem;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Largest answer that we take, octets: a hundred thousand connections fit.
const MAX_ANSWER: u64 = 512 << 20;
/// Longest line and most lines of an answer's head.
const MAX_LINE: u64 = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// The daemon answers within this time, besides what it was asked to wait.
const PATIENCE: Duration = Duration::from_secs(10);

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
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
}
impl ClientError {
    /// 3 if the daemon cannot be reached, 2 if what was asked for does not exist, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => ExitCode::from(3),
            Self::Refused(problem) if matches!(problem.status, 400 | 404) => ExitCode::from(2),
            Self::Refused(_) => ExitCode::from(1),
        }
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
    pub fn get(&self, path: &str) -> Result<serde_json::Value, ClientError> {
        self.request("GET", path, PATIENCE)
    }
    /// Posts to a resource and waits up to `timeout` (and some seconds for the way) for the answer. The time to wait is no part of the
    /// request: say `?timeout=S` in the path as well.
    ///
    /// # Errors
    /// As [`ClientError`] says.
    pub fn post(&self, path: &str, timeout: Duration) -> Result<serde_json::Value, ClientError> {
        self.request("POST", path, timeout + PATIENCE)
    }

    fn request(&self, method: &str, path: &str, timeout: Duration) -> Result<serde_json::Value, ClientError> {
        let mut stream = UnixStream::connect(&self.path)
            .map_err(|error| ClientError::Unreachable { path: self.path.clone(), reason: unreachable(&error) })?;
        let broken = |reason: String| ClientError::Broken { path: self.path.clone(), reason };
        let exchange = || -> io::Result<(u16, Vec<u8>)> {
            stream.set_read_timeout(Some(timeout))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\naccept: application/json\r\ncontent-length: 0\r\n\r\n"
            );
            stream.write_all(head.as_bytes())?;
            read_answer(&mut BufReader::new(stream))
        };
        let (status, body) = exchange().map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => broken("no answer in time".into()),
            _ => broken(error.to_string()),
        })?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&body).map_err(|error| broken(error.to_string()));
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(broken(format!("HTTP status {status}"))),
        }
    }
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

fn unreachable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such socket. Is sandhogd running (`systemctl status sandhog`)? Another socket is named by --socket or SANDHOG_SOCKET".into()
        }
        io::ErrorKind::ConnectionRefused => {
            "nobody listens there any more. Start the daemon: `systemctl start sandhog`".into()
        }
        io::ErrorKind::PermissionDenied => "not allowed. Run as root, or as the user of the daemon".into(),
        _ => error.to_string(),
    }
}

fn read_answer(from: &mut impl BufRead) -> io::Result<(u16, Vec<u8>)> {
    let line = read_line(from)?;
    let mut words = line.split(' ');
    let status = match (words.next(), words.next().map(str::parse)) {
        (Some("HTTP/1.1" | "HTTP/1.0"), Some(Ok(status))) => status,
        _ => return Err(invalid("not HTTP")),
    };
    let mut length = None;
    let mut chunked = false;
    for _ in 0..MAX_HEADERS {
        let line = read_line(from)?;
        if line.is_empty() {
            return Ok((status, read_body(from, length, chunked)?));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header without colon"))?;
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                length = Some(value.trim().parse::<u64>().map_err(|_| invalid("bad content-length"))?);
            }
            "transfer-encoding" => chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    Err(invalid("too many headers"))
}

fn read_body(from: &mut impl BufRead, length: Option<u64>, chunked: bool) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if !chunked {
        let wanted = length.unwrap_or(MAX_ANSWER);
        if wanted > MAX_ANSWER {
            return Err(invalid("the answer is too long"));
        }
        from.take(wanted).read_to_end(&mut body)?;
        let cut = length.is_some_and(|length| length != body.len() as u64);
        return if cut { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(body) };
    }
    loop {
        let line = read_line(from)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("bad chunk"))?;
        if size.saturating_add(body.len() as u64) > MAX_ANSWER {
            return Err(invalid("the answer is too long"));
        }
        if size == 0 {
            return Ok(body);
        }
        let before = body.len() as u64;
        from.take(size).read_to_end(&mut body)?;
        if body.len() as u64 - before != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read_line(from)?;
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| invalid("not text"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> io::Result<(u16, Vec<u8>)> {
        read_answer(&mut text.as_bytes())
    }

    #[test]
    fn bodies_by_length_by_chunks_and_to_the_end() {
        let by_length = answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}trailing").unwrap();
        assert_eq!(by_length, (200, b"{}".to_vec()));
        let chunked = answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n");
        assert_eq!(chunked.unwrap().1, b"{}");
        assert_eq!(answer("HTTP/1.0 404 no\r\n\r\nrest").unwrap(), (404, b"rest".to_vec()));
    }

    #[test]
    fn what_is_cut_or_no_http_is_an_error() {
        for text in [
            "",
            "HTTP/1.1",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(answer(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_missing_daemon_is_exit_code_3_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let error = Client::new(folder.path().join("none.sock")).get("/v1/info").unwrap_err();
        assert!(error.to_string().contains("Is sandhogd running"), "{error}");
        assert_eq!(format!("{:?}", error.exit_code()), format!("{:?}", ExitCode::from(3)));
    }

    #[test]
    fn a_stale_socket_is_exit_code_3_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stale.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = Client::new(&path).get("/v1/info").unwrap_err();
        assert!(error.to_string().contains("nobody listens"), "{error}");
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(escape("office/lan #1?ü"), "office%2Flan%20%231%3F%C3%BC");
    }
}
