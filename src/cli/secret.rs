//! `sandhog secret`: a pre-shared key that nobody guesses.
use super::output;
use crate::config::permissions;
use crate::crypto::rng::SystemRng;
use crate::crypto::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How strong, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Random octets in it
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(16..=128))]
    bytes: u16,
    /// Write it to a new file that only its owner may read, for `secret_file`
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Prints it, or writes it.
pub(super) fn run(args: &Args, json: bool) -> ExitCode {
    let secret = make(args.bytes.into());
    let shown = std::str::from_utf8(secret.expose()).unwrap_or_default();
    match &args.out {
        Some(path) => {
            if let Err(error) = write(path, &secret) {
                eprintln!("sandhog: {}: {error}", path.display());
                return ExitCode::FAILURE;
            }
            match json {
                true => output::json(&serde_json::json!({ "file": path })),
                false => drop(output::text(&format!("written to {}: secret_file = {:?}", path.display(), path))),
            }
        }
        None if json => output::json(&serde_json::json!({ "secret": shown })),
        None => drop(output::text(shown)),
    }
    ExitCode::SUCCESS
}

/// Letters, digits, `-` and `_`, which every vendor's configuration takes as they are.
fn make(len: usize) -> Secret {
    loop {
        let octets = Secret::random(len, &mut SystemRng);
        let text = URL_SAFE_NO_PAD.encode(octets.expose());
        // These would introduce hex and base64.
        if !text.starts_with("0x") && !text.starts_with("0s") && !text.starts_with('-') {
            return Secret::new(text.into_bytes());
        }
    }
}

fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    permissions::create_secret(path, Secret::concat(&[secret.expose(), b"\n"]).expose())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn it_is_long_and_never_the_same() {
        let (one, two) = (make(32), make(32));
        assert_eq!(one.len(), 43);
        assert_ne!(one.expose(), two.expose());
        assert!((0..5000).all(|_| !make(16).expose().starts_with(b"0x")));
    }

    #[test]
    fn its_file_is_new_and_closed_to_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.psk");
        write(&path, &make(16)).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write(&path, &make(16)).is_err());
    }
}
