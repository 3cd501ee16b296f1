//! `sandhog up`, `sandhog down` and `sandhog rekey`.
use super::client::{Client, ClientError, escape};
use super::output;
use crate::control::types::Verb;
use std::process::ExitCode;
use std::time::Duration;

/// Brings a connection or a child up or down, or rekeys it, and waits for it.
pub fn run(client: &Client, verb: Verb, name: &str, timeout: u64, json: bool) -> ExitCode {
    let path = path(verb, name, timeout);
    match client.post(&path, Duration::from_secs(timeout)) {
        Ok(connection) if json => {
            output::json(&connection);
            ExitCode::SUCCESS
        }
        Ok(_) => {
            output::text(&format!("{name} is {}", done(verb)));
            ExitCode::SUCCESS
        }
        Err(error) => {
            match &error {
                ClientError::Refused(problem) if json => output::json(problem),
                _ => eprintln!("sandhog: {}", output::plain(&error.to_string())),
            }
            error.exit_code()
        }
    }
}

fn done(verb: Verb) -> &'static str {
    match verb {
        Verb::Up => "up",
        Verb::Down => "down",
        Verb::Rekey => "rekeyed",
    }
}

fn path(verb: Verb, name: &str, timeout: u64) -> String {
    let verb = verb.name();
    match name.split_once('/') {
        Some((connection, child)) => {
            format!("/v1/connections/{}/children/{}/{verb}?timeout={timeout}", escape(connection), escape(child))
        }
        None => format!("/v1/connections/{}/{verb}?timeout={timeout}", escape(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_names_a_child() {
        assert_eq!(path(Verb::Up, "a", 30), "/v1/connections/a/up?timeout=30");
        assert_eq!(path(Verb::Rekey, "a/b", 30), "/v1/connections/a/children/b/rekey?timeout=30");
        assert_eq!(path(Verb::Down, "a/b c", 5), "/v1/connections/a/children/b%20c/down?timeout=5");
    }
}
