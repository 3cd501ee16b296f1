//! `sandhog revisions`: what was in force, and since when.
use super::client::Client;
use super::output::{self, plain};
use super::table::{Column, Table};
use crate::control::config::Revisions;
use std::process::ExitCode;

/// Prints them, the newest first.
pub fn run(client: &Client, json: bool) -> ExitCode {
    match client.get::<Revisions>("/v1/config/revisions") {
        Ok(revisions) => {
            if json {
                output::json(&revisions);
            } else {
                output::text(&render(&revisions));
            }
            ExitCode::SUCCESS
        }
        Err(error) => output::failed(&error, json),
    }
}

fn render(revisions: &Revisions) -> String {
    if revisions.revisions.is_empty() {
        return "there are no revisions".into();
    }
    let columns = [
        Column::number("REVISION", 0),
        Column::new("TIME", 0),
        Column::new("BY", 1),
        Column::new("HOW", 0),
        Column::new("STATE", 0),
    ];
    let mut table = Table::new(&columns);
    for revision in &revisions.revisions {
        let by = revision.uid.map_or_else(|| "the daemon".into(), |uid| format!("uid {uid}"));
        let how = match revision.restores {
            Some(number) => format!("{} to {number}", revision.what),
            None => revision.what.clone(),
        };
        let state = match (revision.in_force, revision.undone) {
            (true, _) => "in force",
            (false, true) => "undone",
            (false, false) => "",
        };
        table.push([revision.number.to_string(), revision.time.clone(), by, plain(&how), state.into()]);
    }
    let mut text = table.render(output::width());
    if let Some(until) = &revisions.confirm_until {
        text.push_str(&format!("\nundone at {until} unless you run `sandhog confirm`"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::config::Revision;

    #[test]
    fn revisions_say_who_and_how_and_which_is_in_force() {
        let one = Revision {
            number: 3,
            time: "2026-11-23T10:00:00Z".into(),
            uid: Some(0),
            pid: Some(9),
            what: "rollback".into(),
            etag: "e".into(),
            in_force: true,
            undone: false,
            restores: Some(1),
        };
        let two = Revision { number: 2, uid: None, restores: None, in_force: false, undone: true, ..one.clone() };
        let text = render(&Revisions { revisions: vec![one, two], confirm_until: Some("T".into()) });
        assert!(text.contains("uid 0") && text.contains("rollback to 1") && text.contains("in force"), "{text}");
        assert!(text.contains("the daemon") && text.contains("undone at T unless"), "{text}");
        assert_eq!(render(&Revisions { revisions: vec![], confirm_until: None }), "there are no revisions");
    }
}
