//! Logging to stderr. What came from a peer is logged as `?value`, so that control characters are escaped; nothing is logged per packet.
use crate::config::{Log, LogFormat, LogLevel};
use std::io::IsTerminal;
use tracing_subscriber::filter::LevelFilter;

/// Starts logging; the first call in a process wins.
pub fn start(log: Log) {
    let builder =
        tracing_subscriber::fmt().with_max_level(most(log.level)).with_writer(std::io::stderr).with_target(false);
    // Only a second call fails, and then there is logging.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        // The journal knows the time.
        LogFormat::Journald => builder.with_ansi(false).without_time().try_init(),
    };
}

fn most(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
