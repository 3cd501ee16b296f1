//! `sandhog up`, `sandhog down` and `sandhog rekey`.
use super::client::{Client, ClientError};
use super::output;
use super::target::Target;
use crate::control::types::Verb;
use std::process::ExitCode;
use std::time::Duration;

/// Brings a connection or a child up or down, or rekeys it, and waits for it.
pub fn run(client: &Client, verb: Verb, target: &Target, timeout: u64, json: bool) -> ExitCode {
    match client.post(&target.path(verb.name(), timeout), Duration::from_secs(timeout)) {
        Ok(connection) if json => {
            output::json(&connection);
            ExitCode::SUCCESS
        }
        Ok(_) => {
            let done = if timeout == 0 { begun(verb) } else { done(verb) };
            output::text(&format!("{target} {done}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            let failed = matches!(&error, ClientError::Refused(refused) if matches!(refused.problem.status, 409 | 504));
            let code = output::failed(&error, json);
            if failed && !json {
                output::hint(&format!("`sandhog why {target}` tells both sides' values and what to change"));
            }
            code
        }
    }
}

fn done(verb: Verb) -> &'static str {
    match verb {
        Verb::Up => "is up",
        Verb::Down => "is down",
        Verb::Rekey => "is rekeyed",
    }
}

/// Nobody waited for it.
fn begun(verb: Verb) -> &'static str {
    match verb {
        Verb::Up => "is being brought up",
        Verb::Down => "is being taken down",
        Verb::Rekey => "is being rekeyed",
    }
}
