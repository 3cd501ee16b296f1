//! As much of HTTP/1.1 as a client on a Unix socket needs: the head of an answer, and its body as it comes (RFC 9112).
use std::io::{self, BufRead, Read};

/// Largest answer that we take, octets: a hundred thousand connections fit.
const MAX_ANSWER: u64 = 512 << 20;
/// Longest line and most lines of an answer's head.
const MAX_LINE: u64 = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// Status and headers of an answer.
#[derive(Debug)]
pub struct Head {
    /// 200, 404 ...
    pub status: u16,
    headers: Vec<(String, String)>,
}
impl Head {
    /// Reads until the empty line.
    ///
    /// # Errors
    /// When it is no HTTP, cut, or too long.
    pub fn read(from: &mut impl BufRead) -> io::Result<Self> {
        let line = read_line(from)?;
        let mut words = line.split(' ');
        let status = match (words.next(), words.next().map(str::parse)) {
            (Some("HTTP/1.1" | "HTTP/1.0"), Some(Ok(status))) => status,
            _ => return Err(invalid("not HTTP")),
        };
        let mut headers = Vec::new();
        for _ in 0..MAX_HEADERS {
            let line = read_line(from)?;
            if line.is_empty() {
                return Ok(Self { status, headers });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header without colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Err(invalid("too many headers"))
    }
    /// A header by its name in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    /// It went well.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// How much of a body is still to come.
#[derive(Debug)]
enum Rest {
    /// So many octets.
    Octets(u64),
    /// So many of this chunk, and more chunks.
    Chunk(u64),
    /// Until the other end closes.
    ToTheEnd,
    /// Nothing.
    None,
}

/// The body of an answer, as it comes.
#[derive(Debug)]
pub struct Body<R> {
    from: R,
    rest: Rest,
    /// What we still take.
    budget: u64,
}
impl<R: BufRead> Body<R> {
    /// What follows a head. An endless one (events) is bounded by its reader.
    ///
    /// # Errors
    /// When its length is no number, or more than we take.
    pub fn new(head: &Head, from: R) -> io::Result<Self> {
        let chunked = head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = head.header("content-length").map(str::parse::<u64>).transpose();
        let length = length.map_err(|_| invalid("bad content-length"))?;
        let rest = match length {
            _ if head.status == 204 || head.status == 304 => Rest::None,
            _ if chunked => Rest::Chunk(0),
            Some(length) if length > MAX_ANSWER => return Err(invalid("the answer is too long")),
            Some(length) => Rest::Octets(length),
            None => Rest::ToTheEnd,
        };
        let endless = |kind: &str| kind.starts_with("text/event-stream") || kind == "application/x-pcapng";
        let endless = head.header("content-type").is_some_and(endless);
        Ok(Self { from, rest, budget: if endless { u64::MAX } else { MAX_ANSWER } })
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        let line = read_line(&mut self.from)?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| invalid("bad chunk"))?;
        self.rest = if size == 0 { Rest::None } else { Rest::Chunk(size) };
        Ok(())
    }
}
impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        if let Rest::Chunk(0) = self.rest {
            self.next_chunk()?;
        }
        let most = match self.rest {
            Rest::None | Rest::Octets(0) => return Ok(0),
            Rest::Octets(left) | Rest::Chunk(left) => left,
            Rest::ToTheEnd => u64::MAX,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(into.len());
        let read = self.from.read(&mut into[..most])?;
        if read == 0 && !matches!(self.rest, Rest::ToTheEnd) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.budget = self.budget.checked_sub(read as u64).ok_or_else(|| invalid("the answer is too long"))?;
        match &mut self.rest {
            Rest::Octets(left) => *left -= read as u64,
            Rest::Chunk(left) => {
                *left -= read as u64;
                if *left == 0 {
                    read_line(&mut self.from)?;
                }
            }
            Rest::ToTheEnd | Rest::None => {}
        }
        Ok(read)
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

    fn answer(text: &str) -> io::Result<(Head, Vec<u8>)> {
        let mut from = text.as_bytes();
        let head = Head::read(&mut from)?;
        let mut body = Vec::new();
        Body::new(&head, from)?.read_to_end(&mut body)?;
        Ok((head, body))
    }

    #[test]
    fn bodies_by_length_by_chunks_and_to_the_end() {
        let by_length = answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: \"x\"\r\n\r\n{}trailing").unwrap();
        assert_eq!((by_length.0.status, by_length.0.header("etag"), by_length.1), (200, Some("\"x\""), b"{}".to_vec()));
        let chunked = answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n1;x\r\n}\r\n0\r\n\r\n");
        assert_eq!(chunked.unwrap().1, b"{}");
        assert_eq!(answer("HTTP/1.0 404 no\r\n\r\nrest").unwrap().1, b"rest");
        assert_eq!(answer("HTTP/1.1 204 No Content\r\n\r\n").unwrap().1, b"");
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
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n{}",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(answer(text).is_err(), "{text:?}");
        }
    }
}
