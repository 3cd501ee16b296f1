//! `sandhog profiles`: the vendors' presets, and what one stands for. No daemon is asked.
use super::output;
use super::table::{Column, Table};
use crate::config::profiles::{ALL, Role, find};
use crate::control::profiles::{Profile, Profiles};
use std::process::ExitCode;

const COLUMNS: [Column; 3] = [Column::new("PROFILE", 0), Column::new("PEER", 0), Column::new("WHO CALLS", 1)];

/// Which one, and how it is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show what this one stands for, and why
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Language of titles and traps [default: as LANG says]
    #[arg(long, value_name = "LANGUAGE", value_parser = ["en", "zh"])]
    lang: Option<String>,
}

/// 2 where there is none of that name.
pub(super) fn run(args: &Args, json: bool) -> ExitCode {
    let chinese = args.lang.clone().or_else(locale).is_some_and(|lang| lang.starts_with("zh"));
    let Some(name) = &args.name else {
        match json {
            true => output::json(&Profiles::all()),
            false => drop(output::text(&list(chinese, output::width()))),
        }
        return ExitCode::SUCCESS;
    };
    let Some(profile) = find(name) else {
        let known: Vec<_> = ALL.iter().map(|profile| profile.name).collect();
        eprintln!("sandhog: there is no profile {name:?}; known: {}", known.join(", "));
        return ExitCode::from(2);
    };
    match json {
        true => output::json(&Profile::from(profile)),
        false => drop(output::text(profile.to_toml(chinese).trim_end())),
    }
    ExitCode::SUCCESS
}

fn locale() -> Option<String> {
    ["LC_ALL", "LC_MESSAGES", "LANG"].iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn list(chinese: bool, width: Option<usize>) -> String {
    let mut table = Table::new(&COLUMNS);
    for profile in ALL {
        let title = if chinese { profile.title.zh } else { profile.title.en };
        let calls = match profile.role {
            Role::Initiator => "we do",
            Role::Either => "either side",
        };
        table.push([profile.name.into(), title.into(), calls.into()]);
    }
    format!("{}\n`sandhog profiles NAME` shows what one stands for.", table.render(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_both_languages() {
        let (english, chinese) = (list(false, None), list(true, None));
        for profile in ALL {
            assert!(english.contains(profile.title.en) && chinese.contains(profile.title.zh), "{}", profile.name);
        }
        assert!(english.contains("we do") && english.contains("either side"));
    }

    #[test]
    fn a_name_that_is_none_is_wrong_usage() {
        let args = Args { name: Some("alyiun".into()), lang: None };
        assert_eq!(run(&args, true), ExitCode::from(2));
    }
}
