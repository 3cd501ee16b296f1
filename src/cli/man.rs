//! `sandhog man`: the manual pages, made of the commands, of the keys of the configuration, and of what stands here.
use super::output;
use crate::config::manual;
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXIT: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "It failed: the tunnel did not come up, the peer refused."),
    ("2", "Wrong usage, or an invalid configuration."),
    ("3", "The daemon cannot be reached."),
];
const FILES: &[(&str, &str)] = &[
    ("/etc/sandhog/sandhog.toml", "The configuration; see sandhog.toml(5)."),
    ("/etc/sandhog/conf.d/*.toml", "Parts of it, merged in the order of their names."),
    ("/run/sandhog/control.sock", "The control socket."),
    ("/run/sandhog/observe.sock", "Its read-only twin."),
    ("/var/lib/sandhog", "What outlives the daemon: revisions of the configuration."),
];
const ENVIRONMENT: &[(&str, &str)] = &[
    ("SANDHOG_SOCKET", "Control socket of the daemon, unless --socket names another."),
    ("NO_COLOR", "If it is set and not empty, nothing is coloured."),
    ("COLUMNS", "Width of the terminal, if it says none."),
];

/// Which page, or where to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A page to print, such as sandhog-status.1 or sandhog.toml.5
    #[arg(default_value = "sandhog.1")]
    page: String,
    /// Write all pages into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "page")]
    out: Option<PathBuf>,
}

/// Prints a page, or writes all.
pub(super) fn run<C: CommandFactory>(args: &Args) -> ExitCode {
    let done = pages(C::command()).map_err(|error| error.to_string()).and_then(|pages| match &args.out {
        Some(folder) => write(folder, &pages).map_err(|error| format!("{}: {error}", folder.display())),
        None => match pages.iter().find(|(name, _)| *name == args.page) {
            Some((_, text)) => {
                output::text(text.trim_end());
                Ok(())
            }
            None => {
                let names: Vec<_> = pages.iter().map(|(name, _)| name.as_str()).collect();
                Err(format!("there is no page {:?}; there are {}", args.page, names.join(", ")))
            }
        },
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandhog: {error}");
            ExitCode::from(2)
        }
    }
}

fn write(folder: &Path, pages: &[(String, String)]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    pages.iter().try_for_each(|(name, text)| std::fs::write(folder.join(name), text))
}

/// All pages: file names and their text.
fn pages(command: Command) -> io::Result<Vec<(String, String)>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    client_pages(&command, &mut pages)?;
    pages.push(("sandhogd.8".into(), daemon_page()));
    pages.push(("sandhog.toml.5".into(), configuration_page()));
    Ok(pages)
}

/// A page for each command, the innermost with the names of all above: sandhog-pki-ca(1).
fn client_pages(command: &Command, pages: &mut Vec<(String, String)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    let man = Man::new(command.clone()).title(name.to_uppercase()).section("1").manual("Sandhog");
    let mut text = Vec::new();
    man.render(&mut text)?;
    let mut roff = Roff::new();
    section(&mut roff, "EXIT STATUS", EXIT);
    section(&mut roff, "ENVIRONMENT", ENVIRONMENT);
    section(&mut roff, "FILES", FILES);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("sandhog"), roman("(1), "), bold("sandhogd"), roman("(8), "), bold("sandhog.toml"), roman("(5)")]);
    let page = format!("{}{}", String::from_utf8_lossy(&text), roff.render());
    pages.push((format!("{name}.1"), page));
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).try_for_each(|sub| client_pages(sub, pages))
}

fn section(roff: &mut Roff, title: &str, list: &[(&str, &str)]) {
    roff.control("SH", [title]);
    for (term, text) in list {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
}

fn head(name: &str, number: &str, about: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control(
        "TH",
        [name.to_uppercase().as_str(), number, "", concat!("sandhog ", env!("CARGO_PKG_VERSION")), "Sandhog"],
    );
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);
    roff
}

fn daemon_page() -> String {
    let mut roff = head("sandhogd", "8", "the IPsec gateway");
    roff.control("SH", ["SYNOPSIS"]);
    roff.text([bold("sandhogd"), roman(" [--config FILE] [--check | --clear]")]);
    roff.control("SH", ["DESCRIPTION"]);
    for text in [
        "sandhogd is an IPsec gateway in userspace: its own IKEv2 and its own ESP, on a TUN device. It runs in the foreground and logs to standard error, \
         unless its configuration says otherwise.",
        "Traffic of a configured child never passes in the clear: routes of kind prohibit and an nftables table sandhog stand from the start of the daemon, and outlive it. \
         A clean stop leaves them, too, unless on_exit is \"open\".",
        "Files that are refused when it starts leave the revision that was in force in their place, if there is one in state_dir: the log, the event config.refused and sandhog status \
         tell so until sandhog reload takes the files.",
    ] {
        roff.control("PP", []);
        roff.text([roman(text)]);
    }
    let options = [
        (
            "--config FILE",
            "Main file of the configuration, /etc/sandhog/sandhog.toml unless said otherwise; conf.d/*.toml beside it is read, too.",
        ),
        ("--check", "Validate the configuration and exit."),
        ("--clear", "Remove the routes, rules and guard that a stopped daemon has left in place, and exit."),
    ];
    section(&mut roff, "OPTIONS", &options);
    let signals = [
        ("SIGHUP", "Reads the configuration again."),
        ("SIGTERM, SIGINT", "Tells the peers, and stops; the second one stops at once."),
    ];
    section(&mut roff, "SIGNALS", &signals);
    section(&mut roff, "EXIT STATUS", &EXIT[..3]);
    section(&mut roff, "FILES", FILES);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("sandhog"), roman("(1), "), bold("sandhog.toml"), roman("(5)")]);
    roff.render()
}

fn configuration_page() -> String {
    let mut roff = head("sandhog.toml", "5", "configuration of sandhogd");
    roff.control("SH", ["DESCRIPTION"]);
    for text in [
        "The main file and conf.d/*.toml beside it are one configuration, in TOML. Names are swanctl's where there are such. Unknown keys are errors, \
         and nothing is in force unless all of it is valid: sandhog check FILE says what is wrong, where, and what to write.",
        "Times are written \"30s\", \"5m\", \"4h\"; 0 switches off. Files whose paths are relative are looked for beside the file that names them.",
        "NAME and CHILD are 1 to 64 letters, digits, dots, hyphens and underscores.",
    ] {
        roff.control("PP", []);
        roff.text([roman(text)]);
    }
    for table in manual::TABLES {
        roff.control("SH", [table.title]);
        for (key, default, text) in table.keys {
            roff.control("TP", []);
            roff.text([bold(*key), roman(" ("), italic(*default), roman(")")]);
            roff.text([roman(*text)]);
        }
    }
    roff.control("SH", ["EXAMPLE"]);
    roff.control("nf", []);
    for line in EXAMPLE.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]);
    roff.text([bold("sandhogd"), roman("(8), "), bold("sandhog"), roman("(1)")]);
    roff.render()
}

const EXAMPLE: &str = r#"[connections.office]
local_addrs = ["192.0.2.1"]
remote_addrs = ["203.0.113.7"]

[connections.office.children.lan]
local_ts = ["10.1.0.0/16"]
remote_ts = ["10.2.0.0/16"]

[secrets.office]
id = ["203.0.113.7"]
secret_file = "office.psk"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_sections() {
        let pages = pages(super::super::Cli::command()).unwrap();
        let page = |name: &str| &pages.iter().find(|(page, _)| page == name).unwrap_or_else(|| panic!("no {name}")).1;
        for command in super::super::Cli::command().get_subcommands().filter(|sub| !sub.is_hide_set()) {
            let text = page(&format!("sandhog-{}.1", command.get_name()));
            for part in ["EXIT STATUS", "SANDHOG_SOCKET", "/etc/sandhog/sandhog.toml", "Example"] {
                assert!(text.contains(part), "{part} is missing in {}", command.get_name());
            }
        }
        assert!(page("sandhogd.8").contains("SIGHUP"));
        page("sandhog-pki-ca.1");
    }

    #[test]
    fn every_key_is_in_the_manual_of_the_configuration() {
        let text = configuration_page();
        let keys = manual::TABLES.iter().flat_map(|table| table.keys);
        keys.for_each(|(key, ..)| assert!(text.contains(&format!("\\fB{key}\\fR")), "{key}"));
    }

    #[test]
    fn the_example_is_valid() {
        let folder = tempfile::tempdir().unwrap();
        let text = EXAMPLE.replace("secret_file = \"office.psk\"", "secret = \"a long one that nobody guesses\"");
        let file = folder.path().join("sandhog.toml");
        crate::config::permissions::create_secret(&file, text.as_bytes()).unwrap();
        crate::config::load(&file).unwrap();
    }

    /// What the daemon's own arguments are is told in two places.
    #[test]
    fn the_daemons_options_are_those_it_has() {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/sandhogd.rs")).unwrap();
        let page = daemon_page();
        let fields = text.split("struct Args {").nth(1).unwrap().split("\n}").next().unwrap();
        // What only the front says to the daemon is hidden, and is no option of a user's.
        let shown = fields.split("#[arg(").filter(|option| !option.contains("hide = true"));
        let lines = shown.flat_map(str::lines);
        for field in lines.filter_map(|line| line.trim().strip_suffix(',')?.split_once(": ")) {
            let name = field.0.replace('_', "\\-");
            assert!(page.contains(&format!("\\-\\-{name}")), "--{name} is missing");
        }
    }
}
