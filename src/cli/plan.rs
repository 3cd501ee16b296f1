//! `sandhog plan`: what a configuration would change, and what that would interrupt.
use super::client::{Client, ClientError, Order};
use super::output::{self, plain};
use super::source;
use super::table::{Column, Table};
use crate::config;
use crate::config::plan::{Action, Impact};
use crate::control::config::{Finding, Plan, Step};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// A large document is read, checked and compared within this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// SAs that are named in a table; the JSON has all.
const NAMED: usize = 3;

/// Prints the plan.
pub fn run(client: &Client, file: Option<&Path>, json: bool) -> ExitCode {
    let plan = match of(client, file) {
        Ok(plan) => plan,
        Err(failure) => return failure.show(json),
    };
    if json {
        output::json(&plan);
    } else {
        output::text(&render(&plan, output::color()));
    }
    ExitCode::SUCCESS
}

/// Asks for the plan; without a file for that of the daemon's own files.
pub(super) fn of(client: &Client, file: Option<&Path>) -> Result<Plan, Failure> {
    let document = file.map(|file| source::document(client, file)).transpose()?.flatten();
    let order = Order::post("/v1/config/plan").within(PATIENCE);
    let order = if let Some(document) = &document { order.json(document) } else { order };
    Ok(client.send(order)?.json()?)
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Failure {
    /// The daemon says so, or does not answer.
    Client(ClientError),
    /// The file is refused before anybody is asked.
    File(config::Errors),
    /// It holds something that cannot be sent; a sentence.
    Unsendable(String),
}
impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
impl Failure {
    /// Says why, and gives the exit code for it.
    pub(super) fn show(&self, json: bool) -> ExitCode {
        match self {
            Self::Client(error) => return output::failed(error, json),
            Self::File(errors) if json => output::json(&serde_json::json!({ "valid": false, "findings": errors })),
            Self::File(errors) => eprintln!("{}", errors.render(std::io::stderr().is_terminal() && output::color())),
            Self::Unsendable(sentence) => eprintln!("sandhog: {}", plain(sentence)),
        }
        ExitCode::from(2)
    }
}

/// A finding in the form that editors know.
fn finding(found: &Finding) -> String {
    let place = match (&found.pointer, found.line) {
        (Some(pointer), _) => format!("{}: {pointer}: ", found.file),
        (None, 0) => format!("{}: ", found.file),
        (None, line) => format!("{}:{line}:{}: ", found.file, found.column),
    };
    plain(&format!("{place}{} {}: {} ({})", found.severity, found.code, found.message, found.hint))
}

/// The plan as a table.
pub(super) fn render(plan: &Plan, color: bool) -> String {
    let mut text = String::new();
    for warning in &plan.warnings {
        text.push_str(&finding(warning));
        text.push('\n');
    }
    if plan.changes.is_empty() {
        return text + "nothing would change";
    }
    text.push_str(&table(&plan.changes, color));
    let touched: usize = plan.changes.iter().map(|step| step.sas.len()).sum();
    let objects = plan.changes.len();
    text.push_str(&format!(
        "\n{objects} object{}, {touched} SA{} touched; at most: {}",
        plural(objects),
        plural(touched),
        means(plan.impact)
    ));
    if plan.changes.iter().any(|step| step.restart_needed) {
        text.push_str("\nwhat is marked with * a running daemon cannot change: restart it for that");
    }
    text
}

/// The steps as a table.
fn table(steps: &[Step], color: bool) -> String {
    let columns = [
        Column::new("OBJECT", 0),
        Column::new("ACTION", 0),
        Column::new("IMPACT", 0),
        Column::new("KEYS", 1),
        Column::new("SAS", 2),
    ];
    let mut table = Table::new(&columns);
    steps.iter().for_each(|step| table.push(row(step)));
    let text = table.render(output::width());
    if color { text.lines().map(paint).collect::<Vec<_>>().join("\n") } else { text }
}

/// A line in the colour of its impact.
fn paint(line: &str) -> String {
    let has = |impacts: [Impact; 2]| impacts.iter().any(|of| line.contains(&impact(*of)));
    match line {
        _ if has([Impact::InterruptsTraffic, Impact::RestartIke]) => format!("\u{1b}[31m{line}\u{1b}[0m"),
        _ if has([Impact::RestartChild, Impact::RekeyChild]) => format!("\u{1b}[33m{line}\u{1b}[0m"),
        _ => line.to_owned(),
    }
}

fn row(step: &Step) -> [String; 5] {
    let action = match step.action {
        Action::Add => "add",
        Action::Change => "change",
        Action::Remove => "remove",
    };
    let mut sas: Vec<String> = (step.sas.iter().take(NAMED))
        .map(|sa| match &sa.child {
            Some(child) => format!("{child} {}", sa.spi),
            None => format!("IKE {}", sa.spi),
        })
        .collect();
    if step.sas.len() > NAMED {
        sas.push(format!("and {} more", step.sas.len() - NAMED));
    }
    let mark = if step.restart_needed { "*" } else { "" };
    let row = [
        step.object.clone(),
        action.into(),
        format!("{}{mark}", impact(step.impact)),
        step.fields.join(", "),
        sas.join(", "),
    ];
    row.map(|cell| plain(&cell))
}

/// The name of an impact, as the JSON has it.
fn impact(impact: Impact) -> String {
    serde_json::to_value(impact).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn means(impact: Impact) -> &'static str {
    match impact {
        Impact::None => "nothing is touched",
        Impact::Live => "done without touching an SA",
        Impact::RekeyChild => "children are rekeyed, no packet is lost",
        Impact::RestartChild => "children are made anew: a moment without them",
        Impact::RestartIke => "IKE SAs are made anew with their children: a moment without them",
        Impact::InterruptsTraffic => "traffic is interrupted",
    }
}

fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::TouchedSa;

    fn plan() -> Plan {
        let sa = |spi: &str| TouchedSa { connection: "a".into(), child: Some("lan".into()), spi: spi.into() };
        let step = Step {
            object: "connections.a".into(),
            action: Action::Change,
            fields: vec!["children.lan.esp_proposals".into()],
            impact: Impact::RekeyChild,
            restart_needed: false,
            sas: (0..5).map(|n| sa(&format!("c{n}"))).collect(),
        };
        Plan {
            plan: "p".into(),
            base: "b".into(),
            etag: "e".into(),
            impact: Impact::RekeyChild,
            changes: vec![step],
            warnings: vec![],
        }
    }

    #[test]
    fn a_plan_names_objects_impacts_and_sas() {
        let text = render(&plan(), false);
        for part in ["connections.a", "change", "rekey_child", "esp_proposals", "lan c0, lan c1, lan c2, and 2 more"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.ends_with("1 object, 5 SAs touched; at most: children are rekeyed, no packet is lost"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(render(&plan(), true).contains("\u{1b}[33m"));
    }

    #[test]
    fn an_empty_plan_says_so() {
        let plan = Plan { changes: vec![], impact: Impact::None, ..plan() };
        assert_eq!(render(&plan, true), "nothing would change");
    }

    #[test]
    fn a_finding_is_found_by_editors_and_cannot_command_the_terminal() {
        let found = Finding {
            severity: "error".into(),
            file: "a.toml".into(),
            line: 3,
            column: 9,
            pointer: None,
            code: "key.unknown".into(),
            message: "no\u{1b}[2J".into(),
            hint: "yes".into(),
        };
        assert_eq!(finding(&found), "a.toml:3:9: error key.unknown: no\\u{1b}[2J (yes)");
        let sent = Finding { file: "(api)".into(), line: 0, pointer: Some("/pools/p".into()), ..found };
        assert!(finding(&sent).starts_with("(api): /pools/p: error key.unknown"));
    }
}
