//! Server-sent events, as the HTML standard has them (section 9.2.6), within bounds.
use std::io::{self, BufRead, Read};

/// Largest event that we take, octets.
const MAX_EVENT: u64 = 64 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What to resume behind.
    pub id: Option<String>,
    /// Its kind.
    pub event: String,
    /// Its document.
    pub data: String,
}

/// Reads one event after the other.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    last: Option<String>,
}
impl<R: BufRead> Reader<R> {
    /// From the body of an answer.
    pub fn new(from: R) -> Self {
        Self { from, last: None }
    }
    /// What to resume behind: an id counts without an event, too.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
    /// The next event with data; none at the end.
    ///
    /// # Errors
    /// When the stream breaks, or an event has no end.
    pub fn next(&mut self) -> io::Result<Option<Event>> {
        let mut event = Event::default();
        let mut budget = MAX_EVENT;
        loop {
            let Some(line) = self.line(&mut budget)? else { return Ok(None) };
            if line.is_empty() {
                self.last = event.id.clone().or(self.last.take());
                if !event.data.is_empty() {
                    event.data.pop();
                    return Ok(Some(event));
                }
                event = Event::default();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => event.id = Some(value.to_owned()),
                "event" => event.event = value.to_owned(),
                "data" => {
                    event.data.push_str(value);
                    event.data.push('\n');
                }
                // Comments keep the connection alive; other fields are of a later standard.
                _ => {}
            }
        }
    }

    fn line(&mut self, budget: &mut u64) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let read = self.from.by_ref().take(*budget).read_until(b'\n', &mut line)?;
        *budget -= read as u64;
        match line.pop() {
            None if *budget > 0 => return Ok(None),
            Some(b'\n') => {}
            _ if *budget == 0 => return Err(io::Error::other("an event is too large")),
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map(Some).map_err(|_| io::Error::other("an event is no text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<Event>, bool) {
        let mut reader = Reader::new(text.as_bytes());
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => return (events, true),
                Err(_) => return (events, false),
            }
        }
    }

    #[test]
    fn events_with_ids_and_comments_between() {
        let text = ": hello\n\nid: 7\nevent: up\ndata: {\"a\":\ndata: 1}\r\n\r\n:\n\ndata:x\nretry: 3\n\nid: 9\n\n";
        let up = Event { id: Some("7".into()), event: "up".into(), data: "{\"a\":\n1}".into() };
        assert_eq!(read(text), (vec![up, Event { data: "x".into(), ..Event::default() }], true));
    }

    #[test]
    fn an_id_counts_when_its_block_is_whole() {
        let last = |text: &str| {
            let mut reader = Reader::new(text.as_bytes());
            while let Ok(Some(_)) = reader.next() {}
            reader.last().map(str::to_owned)
        };
        assert_eq!(last(": hello\nid: 9-4\n\n").as_deref(), Some("9-4"));
        assert_eq!(last("id: 9-4\n\nid: 9-5\ndata: {").as_deref(), Some("9-4"));
        assert_eq!(last("id: 9-4\n\nid: 9-5\ndata: {}\n\ndata: x\n\n").as_deref(), Some("9-5"));
    }

    #[test]
    fn what_is_cut_is_no_event() {
        assert_eq!(read("data: 1"), (vec![], false));
        assert_eq!(read("data: 1\n"), (vec![], true));
        assert!(!read("data: \u{0}\n\ndata: 1").1);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut reader = Reader::new(io::BufReader::new(io::repeat(b'x')));
        assert!(reader.next().is_err());
    }
}
