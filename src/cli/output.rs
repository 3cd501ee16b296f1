//! Terminals: is there one, how wide, and what may be printed on it.
use std::io::IsTerminal;

/// Whether stdout may have colours (and honours NO_COLOR).
pub fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints a JSON document and its line's end; a closed pipe is no error.
pub fn json(value: &impl serde::Serialize) {
    use std::io::Write;
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    let _ = std::io::stdout().write_all(&text);
}

/// Prints text and its line's end; a closed pipe is no error.
pub fn text(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Text from a peer with control characters made visible, so that it cannot command the terminal.
pub fn plain(text: &str) -> String {
    let visible = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
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
    fn escape_sequences_of_peers_do_not_reach_the_terminal() {
        assert_eq!(plain("gw\u{1b}[2Jé"), "gw\\u{1b}[2Jé");
    }
}
