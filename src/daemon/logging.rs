//! Logging to stderr. What came from a peer is logged as `?value`, so that control characters are escaped; nothing is logged per packet.
use crate::config::{Log, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging; the first call in a process wins.
pub fn start(log: Log) {
    let filter = EnvFilter::builder().parse_lossy(log.level.name());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // Only a second call fails, and then there is logging.
    let _ = match log.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        // The journal knows the time.
        LogFormat::Journald => builder.with_ansi(false).without_time().try_init(),
    };
}
