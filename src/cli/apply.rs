//! `sandhog apply`, `confirm`, `rollback` and `reload`: what changes what is in force.
use super::client::{Client, Order};
use super::output::{self, plain};
use super::plan::{self, PATIENCE};
use crate::config::plan::Impact;
use crate::control::config::{Applied, Plan};
use std::io::{BufRead, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

/// How `apply` is to go about it.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Undone after so many seconds unless it is confirmed.
    pub confirm: Option<u64>,
    /// No questions.
    pub yes: bool,
    /// JSON and nothing else; no questions either.
    pub json: bool,
}

/// Plans, shows, asks where traffic is interrupted, and applies this very plan.
pub fn run(client: &Client, file: Option<&Path>, terms: Terms) -> ExitCode {
    let plan = match plan::of(client, file) {
        Ok(plan) => plan,
        Err(failure) => return failure.show(terms.json),
    };
    if !terms.json {
        output::text(&plan::render(&plan, output::color()));
    }
    if asks(&plan, terms, std::io::stdin().is_terminal()) && !agreed(&mut std::io::stdin().lock()) {
        eprintln!("sandhog: nothing was changed");
        return ExitCode::from(1);
    }
    if !terms.json && std::io::stderr().is_terminal() {
        eprintln!("applying ...");
    }
    let confirm = terms.confirm.map(|seconds| format!("&confirm={seconds}")).unwrap_or_default();
    change(client, &format!("/v1/config/apply?plan={}{confirm}", plan.plan), terms.json)
}

/// What was applied with a time limit stays.
pub fn confirm(client: &Client, json: bool) -> ExitCode {
    change(client, "/v1/config/confirm", json)
}

/// An earlier revision comes back.
pub fn rollback(client: &Client, revision: Option<u64>, confirm: Option<u64>, json: bool) -> ExitCode {
    let query: Vec<String> = [("revision", revision), ("confirm", confirm)]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
        .collect();
    let mark = if query.is_empty() { "" } else { "?" };
    change(client, &format!("/v1/config/rollback{mark}{}", query.join("&")), json)
}

/// The daemon's own files are read again.
pub fn reload(client: &Client, json: bool) -> ExitCode {
    change(client, "/v1/config/apply", json)
}

fn change(client: &Client, path: &str, json: bool) -> ExitCode {
    let answer = client.send(Order::post(path).within(PATIENCE)).and_then(|answer| answer.json::<Applied>());
    match answer {
        Ok(applied) => {
            if json {
                output::json(&applied);
            } else {
                output::text(&said(&applied));
            }
            ExitCode::SUCCESS
        }
        Err(error) => output::failed(&error, json),
    }
}

fn said(applied: &Applied) -> String {
    let mut text: String = applied.warnings.iter().map(|warning| format!("warning: {}\n", plain(warning))).collect();
    text.push_str(&match applied.revision {
        Some(revision) => format!("revision {revision} is in force"),
        None => "it is in force, and no revision is kept".into(),
    });
    if let Some(until) = &applied.confirm_until {
        text.push_str(&format!("; it is undone at {until} unless you run `sandhog confirm`"));
    }
    text
}

fn asks(plan: &Plan, terms: Terms, terminal: bool) -> bool {
    plan.impact >= Impact::InterruptsTraffic && !terms.yes && !terms.json && terminal
}

fn agreed(from: &mut impl BufRead) -> bool {
    eprint!("This interrupts traffic. Go on? [y/N] ");
    let mut line = String::new();
    // Whatever cannot be read is a no.
    let _ = from.read_line(&mut line);
    matches!(line.trim(), "y" | "Y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(impact: Impact) -> Plan {
        let text = String::new;
        Plan { plan: text(), base: text(), etag: text(), impact, changes: vec![], warnings: vec![] }
    }

    #[test]
    fn only_an_interruption_is_asked_about_and_only_on_a_terminal() {
        let terms = Terms { confirm: None, yes: false, json: false };
        assert!(asks(&plan(Impact::InterruptsTraffic), terms, true));
        assert!(!asks(&plan(Impact::RestartIke), terms, true));
        assert!(!asks(&plan(Impact::InterruptsTraffic), terms, false));
        assert!(!asks(&plan(Impact::InterruptsTraffic), Terms { yes: true, ..terms }, true));
        assert!(!asks(&plan(Impact::InterruptsTraffic), Terms { json: true, ..terms }, true));
    }

    #[test]
    fn only_yes_is_yes() {
        for (text, yes) in [("y\n", true), ("yes\n", true), ("\n", false), ("", false), ("n\n", false), ("ye\n", false)]
        {
            assert_eq!(agreed(&mut text.as_bytes()), yes, "{text:?}");
        }
    }

    #[test]
    fn what_was_applied_says_until_when() {
        let applied = Applied {
            revision: Some(7),
            etag: "e".into(),
            confirm_until: Some("2026-11-23T10:00:00Z".into()),
            changes: vec![],
            warnings: vec!["odd\u{7}".into()],
        };
        let text = said(&applied);
        assert!(text.starts_with("warning: odd\\u{7}\nrevision 7 is in force; it is undone at 2026"), "{text}");
        let kept = Applied { revision: None, confirm_until: None, warnings: vec![], ..applied };
        assert_eq!(said(&kept), "it is in force, and no revision is kept");
    }
}
