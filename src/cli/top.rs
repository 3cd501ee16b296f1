//! `sandhog top`: the connections as they are now, on the whole terminal.
mod view;

use super::client::{Client, ClientError};
use super::output;
use crate::control::types::Status;
use crate::io::fds::{Signals, boot_time, wait_for_hangup};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Duration;
use view::{Action, View};

/// So long a key may wait, and a signal.
const GLANCE: Duration = Duration::from_millis(100);

/// How often.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Seconds between two looks
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
}

/// Until it is ended by a key or a signal; with `--json` until nobody reads any more.
pub(super) fn run(client: &Client, args: &Args, json: bool) -> ExitCode {
    let interval = Duration::from_secs(args.interval);
    if json {
        return stream(client, interval);
    }
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        eprintln!("sandhog: top needs a terminal; `sandhog --json top` prints a line for each look");
        return ExitCode::from(2);
    }
    let first = match super::status::fetch(client, None) {
        Ok(status) => status,
        Err(error) => return output::failed(&error, false),
    };
    // Before any thread: they would take the signals.
    let signals = Signals::new();
    let done = signals.and_then(|signals| {
        let mut view = View::new(output::color());
        view.look(boot_time(), Ok(first));
        end_with_the_terminal();
        show(&mut view, &looks(client.clone(), interval), &signals)
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandhog: the terminal: {error}");
            ExitCode::FAILURE
        }
    }
}

fn stream(client: &Client, interval: Duration) -> ExitCode {
    loop {
        match super::status::fetch(client, None) {
            Ok(status) if !output::json_line(&status) => return ExitCode::SUCCESS,
            Ok(_) => std::thread::park_timeout(interval),
            Err(error) => return output::failed(&error, true),
        }
    }
}

/// Looks again and again on a thread of its own, so that a slow daemon keeps no key waiting.
fn looks(client: Client, interval: Duration) -> Receiver<Result<Status, ClientError>> {
    let (sender, receiver): (SyncSender<_>, _) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        loop {
            std::thread::park_timeout(interval);
            if sender.send(super::status::fetch(&client, None)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A terminal that goes away ends it at once: `crossterm` reads its end again and again then, and heeds no signal; and there is nothing to give back.
fn end_with_the_terminal() {
    std::thread::spawn(|| {
        if wait_for_hangup(&io::stdin()).is_ok() {
            std::process::exit(0);
        }
    });
}

/// Gives the terminal back in whatever way this ends; a panic does by ratatui's own hook.
struct Screen;
impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn show(view: &mut View, looks: &Receiver<Result<Status, ClientError>>, signals: &Signals) -> io::Result<()> {
    let mut terminal = ratatui::try_init()?;
    let _screen = Screen;
    loop {
        while let Ok(look) = looks.try_recv() {
            view.look(boot_time(), look.map_err(|error| error.to_string()));
        }
        terminal.draw(|frame| view.draw(frame))?;
        if signals.next().is_some() {
            return Ok(());
        }
        if !event::poll(GLANCE)? {
            continue;
        }
        if let Event::Key(key) = event::read()? {
            let interrupt = key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
            if interrupt || key.kind != KeyEventKind::Release && view.key(key.code) == Action::Quit {
                return Ok(());
            }
        }
    }
}
