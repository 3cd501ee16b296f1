//! Long lists, sent a piece at a time: a list of ten thousand connections takes no more memory than one of ten, and who reads slowly or asks
//! for much keeps nobody waiting for longer than a piece.
use super::board::{Board, Piece};
use super::problem::Problem;
use super::request::Request;
use super::routes::Api;
use super::types::{Child, Connection, ConnectionState, NamedChildSa, NamedIkeSa};
use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// A piece of a list that is sent at a time has about so many octets.
const CHUNK: usize = 32 * 1024;

/// Which connections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// At most so many.
    pub limit: Option<usize>,
    /// Those behind this one, in the order of the configuration.
    pub after: Option<String>,
    /// Those in this state.
    pub state: Option<ConnectionState>,
    /// Those whose name begins with this.
    pub name: Option<String>,
}
impl Wanted {
    fn has(&self, piece: &Piece) -> bool {
        let Connection { name, state, .. } = piece.shown();
        self.state.is_none_or(|wanted| wanted == *state)
            && self.name.as_ref().is_none_or(|wanted| name.starts_with(wanted))
    }
    /// The places of those that are wanted, and whether there are more.
    fn places(&self, board: &Board) -> Result<(Vec<usize>, bool), Problem> {
        let first = match &self.after {
            None => 0,
            Some(name) => board.place(name).ok_or_else(|| unknown_page(name))? + 1,
        };
        let mut wanted = (first..board.len()).filter(|place| board.at(*place).is_some_and(|piece| self.has(piece)));
        let places = wanted.by_ref().take(self.limit.unwrap_or(usize::MAX)).collect();
        Ok((places, wanted.next().is_some()))
    }
}

fn unknown_page(name: &str) -> Problem {
    let detail = format!("there is no connection {name:?} any more to go on behind; begin again without `after`");
    Problem::new(StatusCode::CONFLICT, "page.unknown", "No such page", detail)
}

/// `GET /v1/connections`. A header `Link` leads to the next page, if there is one.
pub(super) async fn answer(api: &Api, wanted: Wanted) -> Result<Response, Problem> {
    let board = api.engine.ask(Request::Board).await?;
    let (places, more) = wanted.places(&board)?;
    let last = places.last().and_then(|place| board.at(*place)).filter(|_| more);
    let link = last.map(|piece| next_page(&wanted, &piece.shown().name));
    let body = Body::from_stream(document(board, places, api.clock).map(Ok::<_, Infallible>));
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    if let Some(link) = link.and_then(|link| link.parse().ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// The document `{"connections":[...]}` in pieces.
///
/// # Errors
/// When the engine does not answer, or there is no such page.
pub async fn connections(api: &Api, wanted: Wanted) -> Result<impl Stream<Item = Bytes> + use<>, Problem> {
    let board = api.engine.ask(Request::Board).await?;
    let (places, _) = wanted.places(&board)?;
    Ok(document(board, places, api.clock))
}

fn document(board: Arc<Board>, places: Vec<usize>, clock: fn() -> Duration) -> impl Stream<Item = Bytes> {
    let texts = move |at: usize| {
        let piece = places.get(at).map(|place| board.at(*place));
        // A board never loses a place.
        piece.map(|piece| piece.map_or_else(Bytes::new, |piece| piece.text(clock())))
    };
    list("{\"connections\":[", texts, "]}")
}

/// `GET /v1/sas`: `{"ike":[...],"children":[...]}` in pieces.
pub(super) async fn sas(api: &Api) -> Result<Response, Problem> {
    let board = api.engine.ask(Request::Board).await?;
    let (clock, all) = (api.clock, board.len());
    let rows = |of: fn(&Connection) -> Vec<u8>| {
        let board = board.clone();
        move |at: usize| {
            (at < all).then(|| board.at(at).map_or_else(Bytes::new, |piece| of(&piece.now(clock())).into()))
        }
    };
    let parts = list("{\"ike\":[", rows(ike_rows), "],").chain(list("\"children\":[", rows(child_rows), "]}"));
    let body = Body::from_stream(parts.map(Ok::<_, Infallible>));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn ike_rows(connection: &Connection) -> Vec<u8> {
    let name = &connection.name;
    rows(connection.sas.iter().map(|sa| NamedIkeSa { connection: name.clone(), sa: sa.clone() }))
}

fn child_rows(connection: &Connection) -> Vec<u8> {
    let row = |child: &Child| {
        let (connection, child_name) = (connection.name.clone(), child.name.clone());
        let named = move |sa: &_| NamedChildSa {
            connection: connection.clone(),
            child: child_name.clone(),
            sa: Clone::clone(sa),
        };
        child.sas.iter().map(named).collect::<Vec<_>>()
    };
    rows(connection.children.iter().chain(connection.peers.iter().flat_map(|peer| &peer.children)).flat_map(row))
}

/// Without the brackets.
fn rows(all: impl Iterator<Item = impl Serialize>) -> Vec<u8> {
    let mut text = Vec::new();
    for row in all {
        if !text.is_empty() {
            text.push(b',');
        }
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut text, &row);
    }
    text
}

/// The texts of `next` until there is none, with commas between those that are not empty. Others have their turn behind each chunk.
fn list(before: &'static str, next: impl Fn(usize) -> Option<Bytes>, after: &'static str) -> impl Stream<Item = Bytes> {
    let begin = (0, false, before.as_bytes().to_vec());
    stream::unfold(Some((begin, next)), move |state| async move {
        let ((mut at, mut any, mut chunk), next) = state?;
        tokio::task::yield_now().await;
        while chunk.len() < CHUNK {
            let Some(text) = next(at) else {
                chunk.extend_from_slice(after.as_bytes());
                return Some((Bytes::from(chunk), None));
            };
            at += 1;
            if !text.is_empty() {
                if std::mem::replace(&mut any, true) {
                    chunk.push(b',');
                }
                chunk.extend_from_slice(&text);
            }
        }
        Some((Bytes::from(chunk), Some(((at, any, Vec::new()), next))))
    })
}

/// RFC 8288.
fn next_page(wanted: &Wanted, last: &str) -> String {
    let Wanted { limit, state, name, .. } = wanted;
    let mut query = format!("after={}", escape(last));
    if let Some(limit) = limit {
        query.push_str(&format!("&limit={limit}"));
    }
    if let Some(state) = state {
        query.push_str(&format!("&state={}", state.name()));
    }
    if let Some(name) = name {
        query.push_str(&format!("&name={}", escape(name)));
    }
    format!("</v1/connections?{query}>; rel=\"next\"")
}

/// RFC 3986 section 2.1.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(names: &[&str]) -> Board {
        Board::new(names.iter().map(|name| {
            let mut shown = Connection::unknown(name);
            shown.state = if name.ends_with('!') { ConnectionState::Up } else { ConnectionState::Down };
            Arc::new(Piece::new(shown, Vec::new()))
        }))
    }
    fn names(wanted: &Wanted, board: &Board) -> (Vec<String>, bool) {
        let (places, more) = wanted.places(board).unwrap();
        (places.iter().map(|place| board.at(*place).unwrap().shown().name.clone()).collect(), more)
    }
    fn drained(stream: impl Stream<Item = Bytes>) -> Vec<Bytes> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(stream.collect())
    }

    #[test]
    fn filters_and_pages_follow_the_order_of_the_configuration() {
        let board = board(&["b!", "a", "ab!", "ac"]);
        let all = Wanted::default();
        assert_eq!(names(&all, &board), (["b!", "a", "ab!", "ac"].map(String::from).to_vec(), false));
        let named = Wanted { name: Some("a".into()), ..all.clone() };
        assert_eq!(names(&named, &board).0, ["a", "ab!", "ac"]);
        let up = Wanted { state: Some(ConnectionState::Up), ..all.clone() };
        assert_eq!(names(&up, &board).0, ["b!", "ab!"]);
        let page = Wanted { limit: Some(2), name: Some("a".into()), ..all.clone() };
        assert_eq!(names(&page, &board), (vec!["a".into(), "ab!".into()], true));
        let next = Wanted { after: Some("ab!".into()), ..page };
        assert_eq!(names(&next, &board), (vec!["ac".into()], false));
        let gone = Wanted { after: Some("x".into()), ..all };
        assert_eq!(gone.places(&board).unwrap_err().code, "page.unknown");
    }

    #[test]
    fn the_link_says_the_same_of_the_next_page() {
        let wanted = Wanted { limit: Some(2), state: Some(ConnectionState::Up), name: Some("tö".into()), after: None };
        assert_eq!(
            next_page(&wanted, "a b/c"),
            "</v1/connections?after=a%20b%2Fc&limit=2&state=up&name=t%C3%B6>; rel=\"next\""
        );
    }

    #[test]
    fn a_long_list_comes_in_pieces_and_is_whole() {
        let names: Vec<String> = (0..2000).map(|n| format!("connection-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let board = Arc::new(board(&names));
        let chunks = drained(document(board, (0..2000).collect(), || Duration::ZERO));
        assert!(chunks.len() > 5 && chunks.iter().all(|chunk| chunk.len() < 2 * CHUNK), "{}", chunks.len());
        let status: super::super::types::Status = serde_json::from_slice(&chunks.concat()).unwrap();
        let found: Vec<&str> = status.connections.iter().map(|connection| connection.name.as_str()).collect();
        assert_eq!(found, names);
    }

    #[test]
    fn empty_texts_leave_no_commas_behind() {
        let texts = ["", "1", "", "", "2", ""];
        let text = |at: usize| texts.get(at).map(|text| Bytes::from_static(text.as_bytes()));
        assert_eq!(drained(list("[", text, "]")).concat(), b"[1,2]");
        assert_eq!(drained(list("[", |_| None, "]")).concat(), b"[]");
    }
}
