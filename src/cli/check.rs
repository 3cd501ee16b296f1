//! `sandhog check`: validates a configuration without a daemon.
use super::output;
use crate::config::{self, Finding, Severity, permissions};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

/// What `--json` prints.
#[derive(serde::Serialize)]
struct Report<'a> {
    valid: bool,
    findings: &'a [Finding],
}

/// 0 if the configuration is valid, and the user that was named can read all of it; else 2.
pub fn run(file: &Path, user: Option<&str>, json: bool) -> ExitCode {
    let (valid, findings) = match judge(file, user) {
        Ok(judged) => judged,
        Err(sentence) => {
            eprintln!("sandhog: {sentence}");
            return ExitCode::from(2);
        }
    };
    if json {
        output::json(&Report { valid, findings: &findings });
    } else {
        if !findings.is_empty() {
            eprintln!("{}", config::error::render(&findings, std::io::stderr().is_terminal() && output::color()));
        }
        let count = |severity: Severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        if valid {
            output::text(&format!("{}: valid{}", file.display(), with(warnings, "warning")));
        } else {
            eprintln!("{}: refused{}", file.display(), with(errors, "error"));
        }
    }
    if valid { ExitCode::SUCCESS } else { ExitCode::from(2) }
}

/// Root can read what the daemon cannot: of the package's it is a warning, as another may be meant; of one that was named it is an error.
fn judge(file: &Path, user: Option<&str>) -> Result<(bool, Vec<Finding>), String> {
    let mut findings = match config::load(file) {
        Ok(config) => config.warnings,
        Err(errors) => return Ok((false, errors.0)),
    };
    let Some(user) = user else {
        findings.extend(permissions::readable_by_daemon(file));
        return Ok((true, findings));
    };
    let unreadable = permissions::readable_by(file, user, Severity::Error).map_err(|errors| errors.to_string())?;
    let unreadable = unreadable.ok_or_else(|| format!("this machine has no user {user:?}"))?;
    let valid = unreadable.is_empty();
    findings.extend(unreadable);
    Ok((valid, findings))
}

fn with(count: usize, word: &str) -> String {
    match count {
        0 => String::new(),
        1 => format!(", 1 {word}"),
        n => format!(", {n} {word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_a_user_that_is_named_could_not_read_is_an_error_with_its_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sandhog.toml");
        std::fs::write(&file, "[gateway]\nworkers = 2\n").unwrap();
        set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        let (valid, findings) = judge(&file, Some("nobody")).unwrap();
        let of_file = findings.iter().find(|finding| finding.file == file).unwrap();
        assert!(!valid && of_file.code == "file.not_for_daemon" && of_file.severity == Severity::Error, "{findings:?}");
        assert!(of_file.hint.contains("chown root:") && of_file.hint.contains("chmod 0640"), "{}", of_file.hint);
        set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        assert_eq!(judge(&file, Some("nobody")), Ok((true, Vec::new())));
        assert!(judge(&file, Some("nobody at all")).unwrap_err().contains("no user"));
    }
}
