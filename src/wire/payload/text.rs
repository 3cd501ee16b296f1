//! Octets of a peer as text that a terminal may see, and back.
use std::fmt::{self, Write};

/// Characters that would move the cursor, hide or reorder what is around them.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes UTF-8 as it is, but hostile characters and what is not UTF-8 as `\xHH` and a backslash twice.
pub(super) fn escape(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => out.write_str("\\\\")?,
                c if is_hostile(c) => escape_all(c.encode_utf8(&mut [0; 4]).as_bytes(), out)?,
                c => out.write_char(c)?,
            }
        }
        escape_all(chunk.invalid(), out)?;
    }
    Ok(())
}

fn escape_all(bytes: &[u8], out: &mut impl Write) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(out, "\\x{b:02x}"))
}

/// The octets that `escape` wrote so. A backslash before anything else stands for itself.
pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (octet, left) = match tail {
            [b'\\', tail @ ..] if *first == b'\\' => (b'\\', tail),
            [b'x', high, low, tail @ ..] if *first == b'\\' => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, tail),
                _ => (*first, &rest[1..]),
            },
            tail => (*first, tail),
        };
        out.push(octet);
        rest = left;
    }
    out
}

fn digit(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).map(|d| d as u8)
}
