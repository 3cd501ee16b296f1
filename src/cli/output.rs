//! What the commands print: one JSON document or text on stdout, errors on stderr. A closed pipe ends quietly.
use super::client::{Client, ClientError, Order};
use crate::wire::payload::is_hostile;
use std::io::{self, IsTerminal, Read, Write};
use std::process::ExitCode;

/// Whether stdout may have colours (and honours NO_COLOR).
pub fn color() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal, if stdout is one.
pub fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    // The one question that the standard library cannot ask; clap asks it for its help texts.
    let asked = || terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| columns.into());
    Some(said.or_else(asked).unwrap_or(80).max(20))
}

/// Prints a JSON document and its line's end; a closed pipe is no error.
pub fn json(value: &impl serde::Serialize) {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    let _ = io::stdout().write_all(&text);
}

/// Prints one JSON document of many on a line of its own. False if nobody reads any more.
pub fn json_line(value: &impl serde::Serialize) -> bool {
    let mut text = serde_json::to_vec(value).unwrap_or_default();
    text.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).is_ok()
}

/// Prints the document that answers an order, as it comes and however long it is.
///
/// # Errors
/// As the client says; also when the answer breaks off.
pub fn pass(client: &Client, order: Order<'_>) -> Result<(), ClientError> {
    let mut answer = client.send(order)?.into_reader();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let n = answer
            .read(&mut piece)
            .map_err(|error| ClientError::Broken { path: client.socket().to_owned(), reason: error.to_string() })?;
        let mut out = io::stdout().lock();
        match n {
            0 => {
                let _ = out.write_all(b"\n");
                return Ok(());
            }
            // Nobody reads any more.
            _ if out.write_all(&piece[..n]).is_err() => return Ok(()),
            _ => {}
        }
    }
}

/// Prints text and its line's end. False if nobody reads any more.
pub fn text(text: &str) -> bool {
    writeln!(io::stdout(), "{text}").is_ok()
}

/// Prints why there is no answer: the problem document on stdout with `--json`, else words on stderr.
pub fn failed(error: &ClientError, json: bool) -> ExitCode {
    match error {
        ClientError::Refused(refused) if json => self::json(&refused.document),
        _ => {
            let _ = writeln!(io::stderr(), "sandhog: {}", plain(&error.to_string()));
        }
    }
    if let (ClientError::Refused(refused), false) = (error, json) {
        for finding in refused.findings() {
            let lines: Vec<_> = finding.lines().map(plain).collect();
            let _ = writeln!(io::stderr(), "{}", lines.join("\n"));
        }
    }
    error.exit_code()
}

/// Says on stderr what may help.
pub fn hint(text: &str) {
    let _ = writeln!(io::stderr(), "sandhog: {}", plain(text));
}

/// Text from a peer with what commands a terminal, hides or reorders made visible.
pub fn plain(text: &str) -> String {
    let visible = |c: char| if is_hostile(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(visible).collect()
}

/// Octets for people: `1.4 MiB`.
pub fn octets(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Seconds for people: `3 h 20 min`.
pub fn seconds(n: u64) -> String {
    match n {
        0..60 => format!("{n} s"),
        60..3600 => format!("{} min {} s", n / 60, n % 60),
        3600..86_400 => format!("{} h {} min", n / 3600, n % 3600 / 60),
        _ => format!("{} d {} h", n / 86_400, n % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_for_people() {
        for (n, text) in [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (1 << 20, "1.0 MiB"), (u64::MAX, "16.0 EiB")]
        {
            assert_eq!(octets(n), text);
        }
    }

    #[test]
    fn seconds_for_people() {
        for (n, text) in [(59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"), (90_000, "1 d 1 h")] {
            assert_eq!(seconds(n), text);
        }
    }

    #[test]
    fn escape_sequences_of_peers_do_not_reach_the_terminal() {
        assert_eq!(plain("gw\u{1b}[2Jé"), "gw\\u{1b}[2Jé");
        // Nor what shows text in another order, or not at all.
        assert_eq!(plain("gw\u{202e}gpj\u{200b}网关"), "gw\\u{202e}gpj\\u{200b}网关");
    }
}
