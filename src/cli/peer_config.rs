//! `sandhog peer-config`: what the other end's administrator has to enter.
use super::client::{Client, ClientError, Order};
use super::output::{self, plain};
use crate::config::document::{Desired, Key};
use crate::config::facing::{self, FORMATS, Facing, Format, Known, Refusal};
use crate::config::{self, Config, Errors, Source, System, Withheld, permissions};
use crate::control::types::Info;
use std::io::{self, IsTerminal, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where the daemon's files are.
const USUAL: &str = "/etc/sandhog/sandhog.toml";

/// Whose, and for what.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A connection
    name: String,
    /// What the other end is
    #[arg(long, short, value_name = "F", value_parser = format, long_help = long_help())]
    format: &'static Format,
    /// With the pre-shared key in it, read from the files
    #[arg(long)]
    with_secret: bool,
    /// Read this configuration, not what is in force [with --with-secret: /etc/sandhog/sandhog.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Our outer address as the other end sees it, where the configuration does not say
    #[arg(long, value_name = "ADDR")]
    address: Option<IpAddr>,
    /// What objects are called at the other end [default: NAME]
    #[arg(long = "as", value_name = "NAME")]
    called: Option<String>,
    /// Write it to a new file that only its owner may read
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn format(name: &str) -> Result<&'static Format, String> {
    facing::format(name).ok_or_else(|| {
        let known: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
        format!("there are: {}", known.join(", "))
    })
}

fn long_help() -> String {
    let mut text = String::from("What the other end is:");
    for format in FORMATS {
        let aliases =
            if format.aliases.is_empty() { String::new() } else { format!(" ({})", format.aliases.join(", ")) };
        text.push_str(&format!("\n  {}{aliases}: {}", format.name, format.title));
    }
    text
}

/// Why nothing is written.
enum Failure {
    Client(ClientError),
    File(Errors),
    Refused(Refusal),
    Other(String),
}
impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}
impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Prints it, or writes it.
pub(super) fn run(client: &Client, args: &Args, json: bool) -> ExitCode {
    match write(client, args, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Client(error)) => output::failed(&error, json),
        Err(Failure::File(errors)) => {
            eprintln!("{}", errors.render(io::stderr().is_terminal() && output::color()));
            ExitCode::from(2)
        }
        Err(Failure::Refused(refusal)) => {
            eprintln!("sandhog: {}\nsandhog: {}", plain(&refusal.what), plain(&refusal.way_out));
            ExitCode::from(2)
        }
        Err(Failure::Other(sentence)) => {
            eprintln!("sandhog: {}", plain(&sentence));
            ExitCode::FAILURE
        }
    }
}

fn write(client: &Client, args: &Args, json: bool) -> Result<(), Failure> {
    let config = match (&args.config, args.with_secret) {
        (Some(file), false) => {
            config::given(file).and_then(|sources| config::parse(&sources, &Withheld)).map_err(Failure::File)?
        }
        (file, true) => with_secrets(file.as_deref().unwrap_or(Path::new(USUAL)), &args.name)?,
        (None, false) => in_force(client)?,
    };
    let mut facing = Facing::of(&config, &args.name)?;
    if let Some(addr) = args.address {
        facing = facing.seen_at(addr);
    }
    if let Some(name) = &args.called {
        facing = facing.called(name)?;
    }
    let known = args.with_secret.then(|| Known::of(&config, &facing));
    let written = facing.render(args.format, known.as_ref())?;
    match &args.out {
        Some(path) => {
            let failed = |error: io::Error| Failure::Other(format!("{}: {error}", path.display()));
            permissions::create_secret(path, written.octets()).map_err(failed)?;
            match json {
                true => output::json(
                    &serde_json::json!({ "connection": args.name, "format": args.format.name, "file": path }),
                ),
                false => drop(output::text(&format!("written to {}", path.display()))),
            }
        }
        None if json => output::json(&serde_json::json!({
            "connection": args.name, "format": args.format.name, "text": std::str::from_utf8(written.octets()).unwrap_or_default(),
        })),
        // A reader that has gone is no error.
        None => drop(io::stdout().write_all(written.octets())),
    }
    Ok(())
}

/// What the daemon has in force; it shows no secrets.
fn in_force(client: &Client) -> Result<Config, Failure> {
    let info: Info = client.get("/v1/info")?;
    let mut octets = Vec::new();
    let broken = |error: io::Error| Failure::Other(format!("the daemon's configuration breaks off: {error}"));
    client.send(Order::get("/v1/config"))?.into_reader().read_to_end(&mut octets).map_err(broken)?;
    let document = Desired::from_json(&octets).map_err(Failure::File)?;
    // Its relative paths start where its files are.
    let sources: Vec<Source> = document
        .to_sources()
        .iter()
        .map(|source| Source { name: info.config.clone().into(), text: source.text.clone() })
        .collect();
    config::parse(&sources, &Withheld).map_err(Failure::File)
}

/// What the files say, with the rights of whoever asks.
fn with_secrets(file: &Path, name: &str) -> Result<Config, Failure> {
    let sources = config::given(file).map_err(Failure::File)?;
    let here = Desired::from_sources(&sources).is_ok_and(|document| document.get(&Key::connection(name)).is_some());
    if !here {
        let what = format!("{} has no connection `{name}`", file.display());
        let way_out = "--config FILE names other files. If it came over the API, so did its secret, which the daemon hands out to nobody: leave --with-secret out";
        return Err(Refusal { what, way_out: way_out.into() }.into());
    }
    config::parse(&sources, &System).map_err(|errors| {
        match errors.0.iter().any(|finding| finding.code == "secret.missing") {
            true => Refusal {
                what: format!("{} does not have all secrets", file.display()),
                way_out: "what came over the API the daemon hands out to nobody: leave --with-secret out".into(),
            }
            .into(),
            false => Failure::File(errors),
        }
    })
}
