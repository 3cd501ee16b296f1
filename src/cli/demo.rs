//! `sandhog demo`: two gateways in two network namespaces of this machine, a tunnel between them, pings, TCP, and nothing left behind.
//!
//! It calls no other program than itself: both gateways are this executable, started again inside of their namespaces.
mod outside;
mod place;
mod traffic;

use super::output;
use crate::control::types::{Child, Connection};
use crate::io::fds::{EventFd, Poll, Signals, boot_time};
use place::Place;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

/// The hidden command that this program starts itself with, followed by a configuration file.
pub const GATEWAY_COMMAND: &str = "demo-gateway";
/// How long the tunnel may take to come up.
const UP_WITHIN: Duration = Duration::from_secs(30);

/// Is one of the two gateways.
pub fn gateway(config: std::path::PathBuf) -> ExitCode {
    crate::daemon::run(crate::daemon::Options { config, check: false, clear: false, channel: None })
}

/// Runs the demonstration: 0 if every step worked, else 1.
pub fn run(keep: bool, json: bool) -> ExitCode {
    let mut report = Report::default();
    let result = demonstrate(keep, json, &mut report);
    report.error = result.as_ref().err().map(ToString::to_string);
    report.ok = result.is_ok();
    if json {
        output::json(&report);
    }
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !json {
                eprintln!("sandhog demo: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Why it stopped early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("interrupted; everything was removed")]
    Interrupted,
    #[error("{0}")]
    Failed(String),
}
impl Failure {
    /// For `map_err`: what was tried, in front of the reason.
    fn at<E: std::fmt::Display>(what: &str) -> impl FnOnce(E) -> Self {
        move |error| Self::Failed(format!("{what}: {error}"))
    }
}

/// What `--json` prints.
#[derive(Debug, Default, serde::Serialize)]
struct Report {
    ok: bool,
    error: Option<String>,
    /// Milliseconds from the wish to the tunnel.
    up_ms: Option<f64>,
    /// As in `sandhog --json status`, of the left gateway, at the end.
    connection: Option<Connection>,
    ping: Option<traffic::Pings>,
    tcp: Option<traffic::Transfer>,
    outside: Option<outside::Seen>,
}

fn demonstrate(keep: bool, json: bool, report: &mut Report) -> Result<(), Failure> {
    place::become_able()?;
    let interrupt = Interrupt::new().map_err(Failure::at("signals"))?;
    let screen = Screen { quiet: json, progress: std::io::stderr().is_terminal() };
    screen.progress("building two network namespaces and starting two gateways");
    let mut place = Place::build()?;
    place.wait_until_ready(&interrupt)?;
    screen.line("Gateways", &place::describe());
    let watch = outside::Watch::start(place.right_namespace(), place::OUTER_LINKS[1])?;
    screen.progress("bringing the tunnel up");
    let started = boot_time();
    place.up(UP_WITHIN, &interrupt)?;
    let up = boot_time().saturating_sub(started);
    report.up_ms = Some(milliseconds(up));
    let connection = report.connection.insert(place.connection()?);
    screen.line("Tunnel", &format!("up in {:.1} ms", milliseconds(up)));
    screen.line("IKE", &ike(connection));
    connection.children.iter().for_each(|child| screen.line("ESP", &esp(child)));
    screen.progress("pinging through the tunnel");
    let pings = report.ping.insert(traffic::ping(place.left_namespace(), &interrupt)?);
    screen.line("Ping", &pings.to_string());
    screen.progress("sending TCP through the tunnel");
    let namespaces = (place.left_namespace(), place.right_namespace());
    let transfer = report.tcp.insert(traffic::transfer(namespaces.0, namespaces.1, &interrupt)?);
    screen.line("TCP", &transfer.to_string());
    let seen = report.outside.insert(watch.finish()?);
    screen.line("Outside", &seen.to_string());
    report.connection = Some(place.connection()?);
    judge(report)?;
    if keep {
        screen.keeping(&place);
        interrupt.wait_for_signal()?;
    }
    screen.progress("removing everything");
    place.stop();
    screen.line("Left", "nothing: gateways, devices, routes and namespaces are gone");
    Ok(())
}

/// What a demonstration must show.
fn judge(report: &Report) -> Result<(), Failure> {
    let lost = report.ping.as_ref().is_none_or(|pings| pings.received < pings.sent);
    let clear = report.outside.as_ref().is_none_or(|seen| seen.clear > 0);
    let unseen = report.outside.as_ref().is_none_or(|seen| seen.esp == 0);
    match (lost, clear, unseen) {
        (true, ..) => Err(Failure::Failed("pings were lost in the tunnel".into())),
        (_, true, _) => Err(Failure::Failed("packets for the other side were seen outside in the clear".into())),
        (.., true) => Err(Failure::Failed("no ESP was seen outside: the traffic took another way".into())),
        _ => Ok(()),
    }
}

fn ike(connection: &Connection) -> String {
    let suite = connection.ike.as_ref().and_then(|ike| ike.proposal.as_deref()).unwrap_or("unknown suite");
    let id = |id: &Option<String>| output::plain(id.as_deref().unwrap_or("?"));
    format!("{suite}, pre-shared key, {} and {}", id(&connection.local_id), id(&connection.remote_id))
}

fn esp(child: &Child) -> String {
    let way = if child.encap == Some(false) { "IP protocol 50" } else { "UDP" };
    let spi = |spi: &Option<String>| spi.as_deref().unwrap_or("?").to_owned();
    format!(
        "{} in {way}, SPIs {} in and {} out, {} <-> {}",
        child.proposal.as_deref().unwrap_or("unknown suite"),
        spi(&child.spi_in),
        spi(&child.spi_out),
        child.local_ts.join(", "),
        child.remote_ts.join(", ")
    )
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// What the user sees: results on stdout, and what is under way on a terminal's last line.
struct Screen {
    quiet: bool,
    progress: bool,
}
impl Screen {
    fn progress(&self, what: &str) {
        if self.progress {
            eprint!("\r\x1b[2K... {what}");
        }
    }

    fn line(&self, label: &str, text: &str) {
        if self.progress {
            eprint!("\r\x1b[2K");
        }
        if !self.quiet {
            output::text(&format!("{label:<9} {text}"));
        }
    }

    fn keeping(&self, place: &Place) {
        self.line("Kept", "until Ctrl-C. To look around:");
        for hint in place.hints() {
            self.line("", &hint);
        }
    }
}
impl Drop for Screen {
    fn drop(&mut self) {
        if self.progress {
            eprint!("\r\x1b[2K");
        }
    }
}

/// Ctrl-C, SIGTERM or SIGHUP, which everything that waits here looks for.
struct Interrupt {
    signals: Signals,
}
impl Interrupt {
    fn new() -> std::io::Result<Self> {
        Signals::new().map(|signals| Self { signals })
    }

    /// Waits for `timeout`, or until `fd` is readable: then true.
    fn wait_for(&self, fd: &impl AsFd, timeout: Duration) -> Result<bool, Failure> {
        self.wait_with(Some(fd), Some(timeout))
    }

    /// Waits for `timeout`.
    fn wait(&self, timeout: Duration) -> Result<(), Failure> {
        self.wait_with(None::<&EventFd>, Some(timeout)).map(drop)
    }

    /// Waits for the user.
    fn wait_for_signal(&self) -> Result<(), Failure> {
        match self.wait_with(None::<&EventFd>, None) {
            Err(Failure::Interrupted) => Ok(()),
            other => other.map(drop),
        }
    }

    fn wait_with(&self, fd: Option<&impl AsFd>, timeout: Option<Duration>) -> Result<bool, Failure> {
        let wait = || -> std::io::Result<Vec<u64>> {
            let poll = Poll::new()?;
            poll.add(&self.signals, 0)?;
            if let Some(fd) = fd {
                poll.add(fd, 1)?;
            }
            let mut ready = Vec::new();
            poll.wait(&mut ready, timeout)?;
            Ok(ready)
        };
        let ready = wait().map_err(Failure::at("wait"))?;
        if ready.contains(&0) && self.signals.next().is_some() {
            return Err(Failure::Interrupted);
        }
        Ok(ready.contains(&1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demonstration_without_evidence_fails() {
        let pings =
            |received| traffic::Pings { sent: 3, received, loss_percent: 0.0, min_ms: 1.0, avg_ms: 1.0, max_ms: 1.0 };
        let seen = |esp, clear| outside::Seen { esp, clear, ..outside::Seen::default() };
        let report = |ping, outside| Report { ping, outside, ..Report::default() };
        assert!(judge(&report(Some(pings(3)), Some(seen(9, 0)))).is_ok());
        for (ping, outside) in [
            (None, Some(seen(9, 0))),
            (Some(pings(2)), Some(seen(9, 0))),
            (Some(pings(3)), None),
            (Some(pings(3)), Some(seen(0, 0))),
            (Some(pings(3)), Some(seen(9, 1))),
        ] {
            assert!(judge(&report(ping, outside)).is_err());
        }
    }

    #[test]
    fn waiting_ends_by_what_is_waited_for() {
        // On a thread of its own, since the signals are blocked from here on.
        let waited = std::thread::spawn(|| {
            let (interrupt, event) = (Interrupt::new().expect("signals"), EventFd::new().expect("event"));
            assert!(!interrupt.wait_for(&event, Duration::ZERO).expect("wait"));
            event.signal();
            interrupt.wait_for(&event, Duration::from_secs(5)).expect("wait")
        });
        assert!(waited.join().expect("no panic"));
    }
}
