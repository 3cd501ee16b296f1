//! `sandhog capture`: packets into a file, or into a program that reads them, whole at any time.
mod blocks;

use super::client::{Answer, Client, Order as Call};
use super::output;
use super::target::Target;
use crate::control::capture::Order;
use crate::io::fds::{EventFd, Poll, Signals};
use blocks::Tally;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Progress is shown this often.
const GLANCE: Duration = Duration::from_millis(500);
/// After a signal the daemon has this long to end the file.
const LAST: Duration = Duration::from_secs(3);
const RESOURCE: &str = "/v1/captures";
const SIGNAL: u64 = 0;
const DONE: u64 = 1;

/// What, how much of it, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only packets of this connection, or of one of its children; IKE by the addresses of its peers
    #[arg(value_name = "NAME[/CHILD]")]
    name: Option<Target>,
    /// Where to; `-` is standard output [default: -, unless that is a terminal]
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// What stands inside of ESP, in the clear
    #[arg(long)]
    inner: bool,
    /// ESP and IKE between the gateways; goes without saying unless --inner is given
    #[arg(long)]
    outer: bool,
    /// End after so many seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// End when the file has so many MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    size: u64,
    /// Keep at most so many octets of each packet
    #[arg(long, value_name = "OCTETS", default_value_t = 65_535, value_parser = clap::value_parser!(u32).range(64..=65_535))]
    snaplen: u32,
}

impl Args {
    /// `None`: standard output.
    fn file(&self) -> Option<&Path> {
        self.out.as_deref().filter(|path| *path != Path::new("-"))
    }

    fn order(&self) -> Order {
        Order {
            connection: self.name.as_ref().map(|name| name.connection.clone()),
            child: self.name.as_ref().and_then(|name| name.child.clone()),
            outer: Some(self.outer || !self.inner),
            inner: self.inner,
            seconds: Some(self.seconds),
            octets: Some(self.size << 20),
            snaplen: Some(self.snaplen as usize),
        }
    }

    /// What cannot be meant.
    fn fault(&self, json: bool) -> Option<&'static str> {
        match () {
            () if self.name.as_ref().is_some_and(|name| name.peer.is_some()) => {
                Some("peers of one connection are not told apart here: name the connection without `#`")
            }
            () if self.out.is_none() && io::stdout().is_terminal() => {
                Some("standard output is a terminal: name a file with --out, or pipe into `tshark -r -`")
            }
            () if json && self.file().is_none() => {
                Some("--json tells of the capture on standard output, so the packets need a file: --out FILE")
            }
            () => None,
        }
    }
}

/// Until time, size, a signal or the reader ends it.
pub(super) fn run(client: &Client, args: &Args, json: bool) -> ExitCode {
    if let Some(fault) = args.fault(json) {
        eprintln!("sandhog: {fault}");
        return ExitCode::from(2);
    }
    // Before there is a file, and before there is a thread: it would take them.
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("signals: {error}")),
    };
    let order = args.order();
    let within = Duration::from_secs(args.seconds);
    let answer = match client.send(Call::post(RESOURCE).json(&order).within(within)) {
        Ok(answer) => answer,
        Err(error) => return output::failed(&error, json),
    };
    let out: Box<dyn Write + Send> = match args.file().map(create) {
        None => Box::new(io::stdout()),
        Some(Ok(file)) => Box::new(file),
        Some(Err(error)) => return failed(&error),
    };
    let here = answer.header("location").unwrap_or(RESOURCE).to_owned();
    let copy = Copy::start(answer, out);
    let end = copy.and_then(|copy| {
        copy.wait(&signals, json, || drop(client.send(Call::new("DELETE", &here))))?;
        Ok(copy)
    });
    match end {
        Ok(copy) => tell(&copy.stop(), args, json),
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(sentence: &str) -> ExitCode {
    eprintln!("sandhog: {sentence}");
    ExitCode::FAILURE
}

/// What it has is nobody else's affair.
fn create(path: &Path) -> Result<std::fs::File, String> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.map_err(|error| format!("{}: {error}", path.display()))
}

/// How far it is.
#[derive(Clone, Debug, Default)]
struct Progress {
    tally: Tally,
    /// What went wrong.
    error: Option<String>,
    /// Nobody takes what is written any more.
    unread: bool,
}

/// Blocks on their way from the daemon to where they are wanted.
struct Copy {
    /// Held while a block is written: who has it ends between two blocks.
    progress: Arc<Mutex<Progress>>,
    done: Arc<EventFd>,
}

impl Copy {
    fn start(answer: Answer, mut out: Box<dyn Write + Send>) -> io::Result<Self> {
        let copy = Self { progress: Arc::default(), done: Arc::new(EventFd::new()?) };
        let (progress, done) = (copy.progress.clone(), copy.done.clone());
        std::thread::spawn(move || {
            let mut from = answer.into_reader();
            loop {
                let block = blocks::next(&mut from);
                let mut progress = lock(&progress);
                match block {
                    Ok(Some(block)) => match out.write_all(&block).and_then(|()| out.flush()) {
                        Ok(()) => progress.tally.add(&block),
                        Err(error) => {
                            progress.unread = error.kind() == io::ErrorKind::BrokenPipe;
                            progress.error = Some(format!("the packets cannot be written: {error}"));
                            break;
                        }
                    },
                    Ok(None) => break,
                    Err(error) => {
                        progress.error =
                            Some(format!("the daemon has broken off: {error}; the file is whole as far as it goes"));
                        break;
                    }
                }
            }
            done.signal();
        });
        Ok(copy)
    }

    /// `stop` asks the daemon for the end. The second signal does not wait for it.
    fn wait(&self, signals: &Signals, json: bool, stop: impl Fn()) -> io::Result<()> {
        let poll = Poll::new()?;
        poll.add(signals, SIGNAL)?;
        poll.add(&*self.done, DONE)?;
        let mut screen = Screen { there: !json && io::stderr().is_terminal(), dirty: false };
        let mut ready = Vec::new();
        let mut stopped = false;
        loop {
            poll.wait(&mut ready, Some(if stopped { LAST } else { GLANCE }))?;
            screen.show(&lock(&self.progress).tally);
            let told = ready.contains(&SIGNAL) && signals.next().is_some();
            if ready.contains(&DONE) || stopped && (told || ready.is_empty()) {
                screen.leave();
                return Ok(());
            }
            if told {
                stopped = true;
                stop();
            }
        }
    }

    /// How far it has come; nothing is written any more.
    fn stop(&self) -> Progress {
        let progress = lock(&self.progress);
        let last = progress.clone();
        // Nobody begins a block that this process would not live to end.
        std::mem::forget(progress);
        last
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line that changes, on a terminal.
struct Screen {
    there: bool,
    dirty: bool,
}
impl Screen {
    fn show(&mut self, tally: &Tally) {
        if self.there {
            self.dirty = true;
            // A terminal that is gone shows nothing.
            let _ = write!(io::stderr(), "\r{} packets, {}\u{1b}[K", tally.packets(), output::octets(tally.octets));
        }
    }
    fn leave(&mut self) {
        if std::mem::take(&mut self.dirty) {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// What became of it: on standard error where the packets are on standard output.
fn tell(progress: &Progress, args: &Args, json: bool) -> ExitCode {
    let Progress { tally, error, unread } = progress;
    if json {
        output::json(&serde_json::json!({
            "file": args.file(), "packets": tally.packets(), "missed": tally.missed(), "octets": tally.octets, "interfaces": tally.interfaces,
            "whole": tally.ended || error.is_none(), "error": error,
        }));
    } else if args.file().is_some() {
        output::text(&output::plain(&sentence(tally)));
    } else if io::stderr().is_terminal() {
        eprintln!("{}", output::plain(&sentence(tally)));
    }
    match error {
        Some(error) if !unread => {
            if !json {
                eprintln!("sandhog: {}", output::plain(error));
            }
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn sentence(tally: &Tally) -> String {
    let of = |interface: &blocks::Interface| match interface.missed {
        0 => format!("{} {}", interface.name, interface.packets),
        missed => format!("{} {} and {missed} missed", interface.name, interface.packets),
    };
    let each: Vec<_> = tally.interfaces.iter().map(of).collect();
    let each = if each.is_empty() { String::new() } else { format!(" ({})", each.join(", ")) };
    format!("{} packets{each}, {}", tally.packets(), output::octets(tally.octets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use blocks::Interface;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Line::try_parse_from(["capture"].into_iter().chain(line.split_whitespace())).unwrap().args
    }

    #[test]
    fn flags_say_what_is_captured() {
        let planes = |line: &str| {
            let order = args(line).order();
            (order.outer, order.inner)
        };
        assert_eq!(planes(""), (Some(true), false));
        assert_eq!(planes("--inner"), (Some(false), true));
        assert_eq!(planes("--inner --outer"), (Some(true), true));
        let order = args("office/lan --size 2 --seconds 5 --snaplen 96").order();
        assert_eq!((order.connection.as_deref(), order.child.as_deref()), (Some("office"), Some("lan")));
        assert_eq!((order.octets, order.seconds, order.snaplen), (Some(2 << 20), Some(5), Some(96)));
    }

    #[test]
    fn what_cannot_be_meant_is_told() {
        assert!(args("office#2 --out x").fault(false).unwrap().contains("without `#`"));
        assert!(args("--out -").fault(true).unwrap().contains("--out FILE"));
        assert_eq!(args("--out x").fault(true), None);
        assert_eq!(args("--out -").fault(false), None);
        assert!(args("--out -").file().is_none());
    }

    #[test]
    fn the_sentence_names_what_is_missing() {
        let one = |name: &str, packets, missed| Interface { name: name.into(), packets, missed };
        let tally = Tally { interfaces: vec![one("outer", 3, 0), one("inner:a/b", 2, 1)], octets: 2048, ended: true };
        assert_eq!(sentence(&tally), "5 packets (outer 3, inner:a/b 2 and 1 missed), 2.0 KiB");
        assert_eq!(sentence(&Tally::default()), "0 packets, 0 B");
    }

    #[test]
    fn a_file_is_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pcapng");
        drop(create(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create(&folder.path().join("none/a")).unwrap_err().contains("none/a"));
    }
}
