//! Asking a peer what it takes, for who waits for the answer (`ike::examine`).
use super::Engine;
use crate::control::probing::{NotProbed, Probe};
use crate::control::request::Reply;
use crate::daemon::clock;
use crate::ike::event::{Command, Event, Input};
use crate::ike::examine::{NotNow, Question};
use std::sync::Arc;
use std::time::Duration;

/// Who waits for what was asked.
pub(super) type Asker = Reply<Result<Vec<Probe>, NotProbed>>;

impl Engine {
    pub(super) fn examine(&mut self, now: Duration, connection: Arc<str>, asker: Asker) {
        let known = self.parts.config.connections.iter().any(|configured| configured.name == connection);
        let refusal = match () {
            () if !known => Some(NotProbed::Unknown),
            () if self.stop_at.is_some() => Some(NotProbed::Stopping),
            () if self.askers.contains_key(&connection) => Some(NotProbed::UnderWay),
            () => None,
        };
        // Who asked may have gone away.
        match refusal {
            Some(refusal) => drop(asker.send(Err(refusal))),
            None => {
                self.askers.insert(connection.clone(), asker);
                self.dirty = true;
                self.feed(now, Input::Command(Command::Examine { connection }));
            }
        }
    }
    /// What the endpoint says of it.
    pub(super) fn examined(&mut self, event: &Event) {
        let (connection, result) = match event {
            Event::Examined(examined) => (&examined.connection, Ok(examined.questions.iter().map(probe).collect())),
            Event::NotExamined { connection, why } => (connection, Err(refusal(*why))),
            _ => return,
        };
        if let Some(asker) = self.askers.remove(connection) {
            drop(asker.send(result));
        }
    }
}
fn refusal(why: NotNow) -> NotProbed {
    match why {
        NotNow::Unknown | NotNow::RespondOnly => NotProbed::NoAddress,
        NotNow::UnderWay => NotProbed::UnderWay,
        NotNow::Later(wait) => NotProbed::Later(wait),
        NotNow::NoWay => NotProbed::NoWay,
        NotNow::BrokenOff => NotProbed::BrokenOff,
    }
}
fn probe(question: &Question) -> Probe {
    let Question { at, exchange, asked, offer, answer } = question;
    Probe {
        time: clock::rfc3339(*at),
        exchange: (*exchange).to_owned(),
        asked: (*asked).to_owned(),
        offer: offer.clone(),
        answer: Some(answer.clone()).filter(|answer| !answer.is_empty()),
    }
}
