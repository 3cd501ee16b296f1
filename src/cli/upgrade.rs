//! `sandhog upgrade`: begins it, and follows it from the old daemon to the new one.
use super::client::{Client, ClientError};
use super::output;
use crate::control::upgrade::{State, Upgrade};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The daemon answers at once, or when the front has looked at the executable.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where it is is asked for this often,
const EVERY: Duration = Duration::from_millis(50);
/// and no more often than this: both daemons together have less time.
const TIMES: u32 = 800;

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("nothing was changed: {0}")]
    Failed(String),
    #[error(
        "{0}. The keys are forgotten; everything is negotiated anew by the executable of before, and nothing has passed in the clear. `sandhog status` shows how far it is"
    )]
    Lost(String),
    #[error("the daemon does not say how it ended: `sandhog status` shows what there is, its log says why")]
    Silent,
}

/// Replaces the daemon, and says what came of it.
pub fn run(client: &Client, json: bool) -> ExitCode {
    match upgrade(client, json) {
        Ok(upgrade) if json => {
            output::json(&upgrade);
            ExitCode::SUCCESS
        }
        Ok(upgrade) => {
            output::text(&sentence(&upgrade));
            ExitCode::SUCCESS
        }
        Err(failed) => {
            let (failure, last) = *failed;
            match (&failure, last) {
                (Failure::Client(ClientError::Refused(refused)), _) if json => output::json(&refused.document),
                (_, Some(last)) if json => output::json(&last),
                _ => eprintln!("sandhog: {}", output::plain(&failure.to_string())),
            }
            match failure {
                Failure::Client(error) => error.exit_code(),
                _ => ExitCode::from(1),
            }
        }
    }
}

type Outcome = Result<Upgrade, Box<(Failure, Option<Upgrade>)>>;

fn upgrade(client: &Client, json: bool) -> Outcome {
    let read = |value| serde_json::from_value::<Upgrade>(value).ok();
    let begun = client.post("/v1/upgrade", PATIENCE).map_err(|error| Box::new((error.into(), None)))?;
    let Some(begun) = read(begun) else { return Err(Box::new((Failure::Silent, None))) };
    let mut screen = Screen { quiet: json || !std::io::stderr().is_terminal(), shown: None };
    for _ in 0..TIMES {
        // Between the two daemons there may be nobody for a moment.
        if let Some(now) = client.get("/v1/upgrade").ok().and_then(read) {
            screen.show(now.state);
            if let Some(outcome) = outcome(&begun, now) {
                return outcome;
            }
        }
        wait();
    }
    Err(Box::new((Failure::Silent, None)))
}

#[expect(clippy::disallowed_methods, reason = "the daemon that could tell is being replaced")]
fn wait() {
    thread::sleep(EVERY);
}

/// What came of it, if anything did.
fn outcome(begun: &Upgrade, now: Upgrade) -> Option<Outcome> {
    let why = now.error.clone().unwrap_or_else(|| "the daemon does not say why".into());
    let same = now.daemon.pid == begun.daemon.pid;
    match now.state {
        State::Done if !same => Some(Ok(now)),
        State::Lost if !same => Some(Err(Box::new((Failure::Lost(why), Some(now))))),
        State::Failed if same => Some(Err(Box::new((Failure::Failed(why), Some(now))))),
        // Somebody has started another one.
        State::None => Some(Err(Box::new((Failure::Silent, Some(now))))),
        _ => None,
    }
}

fn sentence(upgrade: &Upgrade) -> String {
    let before = upgrade.from.as_ref().map_or("another", |from| from.version.as_str());
    let pause = upgrade.pause_ms.map_or(String::new(), |pause| format!(", packets waited {pause} ms"));
    format!(
        "{} runs now instead of {before}: {} IKE SAs and {} children handed over{pause}",
        upgrade.daemon.version, upgrade.ike_sas, upgrade.child_sas
    )
}

/// What is under way, on a terminal.
struct Screen {
    quiet: bool,
    shown: Option<State>,
}
impl Screen {
    fn show(&mut self, state: State) {
        if self.quiet || self.shown == Some(state) {
            return;
        }
        self.shown = Some(state);
        let what = match state {
            State::Asked | State::Preparing => "the new daemon is starting",
            State::Reading => "the new daemon takes over",
            _ => return,
        };
        eprintln!("... {what}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(pid: u32, state: State) -> Upgrade {
        Upgrade { state, error: Some("why".into()), ..Upgrade::of("1.0.0", pid) }
    }

    #[test]
    fn only_the_new_daemon_says_that_it_is_done() {
        let begun = at(1, State::Preparing);
        let is = |outcome: Option<Outcome>, what: fn(&Failure) -> bool| matches!(outcome, Some(Err(failed)) if what(&failed.0));
        let of = |pid, state| outcome(&begun, at(pid, state));
        assert!(matches!(of(2, State::Done), Some(Ok(_))));
        assert!(of(1, State::Done).is_none(), "that is how it began itself");
        assert!(of(1, State::Reading).is_none());
        assert!(is(of(1, State::Failed), |failure| matches!(failure, Failure::Failed(_))));
        assert!(is(of(2, State::Lost), |failure| matches!(failure, Failure::Lost(_))));
        assert!(is(of(2, State::None), |failure| matches!(failure, Failure::Silent)));
    }

    #[test]
    fn the_sentence_has_the_figures() {
        let upgrade = Upgrade { pause_ms: Some(12), ike_sas: 3, child_sas: 4, ..at(2, State::Done) };
        let text = sentence(&upgrade);
        assert_eq!(
            text,
            "1.0.0 runs now instead of another: 3 IKE SAs and 4 children handed over, packets waited 12 ms"
        );
    }
}
