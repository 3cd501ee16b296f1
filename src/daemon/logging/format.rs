//! One message in each of the forms.
use super::record::{Record, Value};
use crate::config::LogLevel;
use std::fmt::Write;

/// What we call ourselves.
const IDENTIFIER: &str = "sandhogd";
/// The facility `daemon` of RFC 5424.
const FACILITY: u8 = 3;

/// One line, or several that only the first of begins at its margin.
pub(super) fn text(record: &Record, time: bool, colour: bool) -> String {
    let mut out = String::new();
    let (dim, tint, plain) = if colour { ("\x1b[2m", tint(record.level), "\x1b[0m") } else { ("", "", "") };
    if time {
        let _ = write!(out, "{dim}{:.6}{plain} ", record.time);
    }
    let _ = write!(
        out,
        "{tint}{:>5}{plain} {}",
        record.level.name().to_uppercase(),
        record.message.replace('\n', "\n    ")
    );
    for (name, value) in &record.fields {
        let _ = write!(out, " {dim}{name}={plain}{}", word(value));
    }
    out.push('\n');
    out
}

fn tint(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Off | LogLevel::Error => "\x1b[31m",
        LogLevel::Warn => "\x1b[33m",
        LogLevel::Info => "\x1b[32m",
        LogLevel::Debug => "\x1b[34m",
        LogLevel::Trace => "\x1b[35m",
    }
}

/// A value that cannot be taken for the next field.
fn word(value: &Value) -> String {
    let text = value.text();
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '"' | '=' | '\\');
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// One object in one line.
pub(super) fn json(record: &Record) -> String {
    let mut out = format!(
        "{{\"timestamp\":\"{:.6}\",\"level\":\"{}\",\"message\":{}",
        record.time,
        record.level.name().to_uppercase(),
        string(&record.message)
    );
    for (name, value) in &record.fields {
        let value = match value {
            Value::Text(text) => string(text),
            // JSON has neither infinities nor NaN.
            Value::Float(n) if !n.is_finite() => "null".into(),
            other => other.text(),
        };
        let _ = write!(out, ",\"{name}\":{value}");
    }
    out.push_str("}\n");
    out
}

fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The journal's own form: a field in a line, or with its length where it has several.
pub(super) fn journal(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    let mut field = |name: &str, value: &str| {
        out.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            out.push(b'\n');
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            out.push(b'=');
        }
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    };
    field("MESSAGE", &record.message);
    field("PRIORITY", &severity(record.level).to_string());
    field("SYSLOG_IDENTIFIER", IDENTIFIER);
    for (name, value) in &record.fields {
        field(&name.to_ascii_uppercase(), &value.text());
    }
    out
}

/// RFC 5424, without an octet count: for datagrams.
pub(super) fn syslog(record: &Record, host: &str, pid: u32) -> String {
    let priority = FACILITY * 8 + severity(record.level);
    let id = record.get("code").filter(|code| is_name(code)).unwrap_or("-");
    let mut out = format!("<{priority}>1 {:.6} {host} {IDENTIFIER} {pid} {id} ", record.time);
    if record.fields.is_empty() {
        out.push('-');
    } else {
        // 32473 is the number for documents (RFC 5612): we have none of our own.
        out.push_str("[sandhog@32473");
        for (name, value) in &record.fields {
            let value = value.text().replace('\\', "\\\\").replace('"', "\\\"").replace(']', "\\]");
            let _ = write!(out, " {name}=\"{value}\"");
        }
        out.push(']');
    }
    let _ = write!(out, " {}", record.message.replace('\n', "\\n"));
    out
}

fn is_name(code: &str) -> bool {
    (1..=32).contains(&code.len()) && code.bytes().all(|c| c.is_ascii_graphic())
}

/// The severities of RFC 5424 section 6.2.1.
fn severity(level: LogLevel) -> u8 {
    match level {
        LogLevel::Off | LogLevel::Error => 3,
        LogLevel::Warn => 4,
        LogLevel::Info => 6,
        LogLevel::Debug | LogLevel::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::logging::record::clean;

    fn record() -> Record {
        let hostile = clean("x\" code=\"forged\"]\n2026 ERROR \u{1b}[31m\u{202e}\\", 1000);
        Record {
            time: "2026-11-23T10:00:00.1234567Z".parse().unwrap(),
            level: LogLevel::Warn,
            message: "failed".into(),
            fields: vec![
                ("connection", Value::Text("hangzhou".into())),
                ("code", Value::Text("auth.failed".into())),
                ("peer", Value::Text(hostile)),
                ("ike", Value::Unsigned(7)),
                ("rtt", Value::Float(f64::NAN)),
                ("none", Value::Text(String::new())),
            ],
        }
    }

    #[test]
    fn text_is_one_line_in_which_a_value_is_no_field() {
        let line = r#"connection=hangzhou code=auth.failed peer="x\" code=\"forged\"]\\n2026 ERROR \\u{1b}[31m\\u{202e}\\" ike=7 rtt=NaN none="""#;
        assert_eq!(text(&record(), true, false), format!("2026-11-23T10:00:00.123456Z  WARN failed {line}\n"));
        let coloured = text(&record(), false, true);
        assert!(coloured.starts_with("\x1b[33m WARN\x1b[0m failed \x1b[2mconnection=\x1b[0mhangzhou"));
    }

    #[test]
    fn json_is_an_object_in_a_line() {
        let line = json(&record());
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["timestamp"], "2026-11-23T10:00:00.123456Z");
        assert_eq!((object["level"].as_str(), object["message"].as_str()), (Some("WARN"), Some("failed")));
        assert_eq!(object["peer"], r#"x" code="forged"]\n2026 ERROR \u{1b}[31m\u{202e}\"#);
        assert_eq!((object["ike"].as_u64(), object["rtt"].is_null()), (Some(7), true));
    }

    #[test]
    fn the_journal_gets_fields() {
        let mut record = record();
        record.fields.truncate(2);
        let expected =
            "MESSAGE=failed\nPRIORITY=4\nSYSLOG_IDENTIFIER=sandhogd\nCONNECTION=hangzhou\nCODE=auth.failed\n";
        assert_eq!(String::from_utf8(journal(&record)).unwrap(), expected);
        record.message = "one\ntwo".into();
        assert!(journal(&record).starts_with(b"MESSAGE\n\x07\0\0\0\0\0\0\0one\ntwo\nPRIORITY"));
    }

    #[test]
    fn syslog_is_that_of_rfc_5424() {
        let mut record = record();
        record.fields.truncate(3);
        let data = r#"[sandhog@32473 connection="hangzhou" code="auth.failed" peer="x\" code=\"forged\"\]\\n2026 ERROR \\u{1b}[31m\\u{202e}\\"]"#;
        let expected = format!("<28>1 2026-11-23T10:00:00.123456Z gw 1 auth.failed {data} failed");
        assert_eq!(syslog(&record, "gw", 1), expected.replace("gw 1", "gw sandhogd 1"));
        let bare = Record { level: LogLevel::Info, message: "a\nb".into(), fields: Vec::new(), ..record };
        assert_eq!(syslog(&bare, "-", 1), r"<30>1 2026-11-23T10:00:00.123456Z - sandhogd 1 - - a\nb");
    }
}
