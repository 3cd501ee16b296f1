//! Real files: what `load` reads, and which secret files it refuses.
use crate::config::{Errors, LARGEST_FILE, load, sources};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const CONNECTION: &str = "[connections.a]\nremote_addrs = [\"192.0.2.1\"]\n\
    [connections.a.children.lan]\nlocal_ts = [\"10.0.0.0/16\"]\nremote_ts = [\"10.1.0.0/16\"]\n";

fn write(path: &Path, text: &[u8], mode: u32) {
    std::fs::write(path, text).expect("writes");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("sets the mode");
}

fn codes(errors: Errors) -> Vec<&'static str> {
    errors.0.iter().map(|e| e.code).collect()
}

#[test]
fn files_beside_the_main_one_are_merged_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("sandhog.toml");
    let beside = folder.path().join("conf.d");
    std::fs::create_dir(&beside).expect("a folder");
    write(&main, b"[gateway]\nworkers = 2\n", 0o644);
    write(&beside.join("10-a.toml"), CONNECTION.as_bytes(), 0o644);
    write(&beside.join("20-secret.toml"), b"secrets.a = { id = [\"192.0.2.1\"], secret_file = \"a.psk\" }\n", 0o644);
    write(&beside.join("a.psk"), b"correct horse battery staple\n\n", 0o600);
    write(&beside.join(".hidden.toml"), b"broken", 0o644);
    write(&beside.join("README"), b"broken", 0o644);
    let config = load(&main).expect("accepted");
    assert_eq!(config.gateway.workers, 2);
    assert_eq!(config.policy.secrets[0].secret.expose(), b"correct horse battery staple\n", "one newline is removed");

    write(&beside.join("30-again.toml"), CONNECTION.as_bytes(), 0o644);
    let errors = load(&main).expect_err("refused");
    assert!(errors.0[0].file.ends_with("30-again.toml") && errors.0[0].hint.contains("10-a.toml:1"), "{errors}");
    assert_eq!(codes(errors), ["key.duplicate"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("sandhog.toml");
    let errors = load(&main).expect_err("refused");
    assert!(errors.to_string().contains("sandhog.toml"), "{errors}");
    assert_eq!(codes(errors), ["file.unreadable"]);
    write(&main, b"[gateway]\n# \xff\n", 0o644);
    assert_eq!(codes(load(&main).expect_err("refused")), ["file.unreadable"]);
}

#[test]
fn secret_files_that_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("sandhog.toml");
    let psk = folder.path().join("psk");
    let secret = |name: &str| {
        write(&main, format!("secrets.a = {{ id = [\"x\"], secret_file = \"{name}\" }}\n").as_bytes(), 0o644);
        load(&main).map(|_| ()).map_err(codes)
    };
    write(&psk, b"correct horse battery staple", 0o600);
    assert_eq!(secret("psk"), Ok(()));
    assert_eq!(secret(psk.to_str().expect("UTF-8")), Ok(()));
    assert_eq!(secret("absent"), Err(vec!["secret.file"]));
    assert_eq!(secret("."), Err(vec!["secret.file"]));
    assert_eq!(secret("/dev/zero"), Err(vec!["secret.file"]));
    symlink(&psk, folder.path().join("link")).expect("links");
    assert_eq!(secret("link"), Err(vec!["secret.file"]));
    assert!(load(&main).expect_err("refused").0[0].message.contains("symbolic link"));
    for mode in [0o640, 0o604, 0o620, 0o601] {
        write(&psk, b"correct horse battery staple", mode);
        assert_eq!(secret("psk"), Err(vec!["secret.permissions"]), "{mode:o}");
    }
    write(&psk, &vec![b'x'; 65_537], 0o600);
    assert_eq!(secret("psk"), Err(vec!["secret.file"]));
    write(&psk, &vec![b'x'; 65_536], 0o600);
    assert_eq!(secret("psk"), Ok(()));
    write(&psk, b"\n", 0o600);
    assert_eq!(secret("psk"), Err(vec!["secret.empty"]));
}

#[test]
fn the_hint_for_an_open_file_is_a_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("sandhog.toml");
    write(&folder.path().join("psk"), b"correct horse battery staple", 0o644);
    write(&main, b"secrets.a = { id = [\"x\"], secret_file = \"psk\" }\n", 0o644);
    let errors = load(&main).expect_err("refused");
    assert_eq!(errors.0[0].hint, format!("chmod 600 {}", folder.path().join("psk").display()));
}

/// As a kubelet lays it out, and as the example tells it to: files for the group of the pod, behind links.
#[test]
fn the_example_for_kubernetes_is_valid() {
    let example = include_str!("../../../deploy/kubernetes/sandhog.yaml");
    let text = example.split_once("  sandhog.toml: |\n").expect("there").1.split_once("\n---").expect("an end").0;
    let text: String = text.lines().map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line))).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("..2026");
    std::fs::create_dir(&data).expect("a folder");
    symlink("..2026", folder.path().join("..data")).expect("a link");
    write(&data.join("sandhog.toml"), text.as_bytes(), 0o440);
    write(&data.join("office.psk"), b"correct horse battery staple", 0o400);
    for name in ["sandhog.toml", "office.psk"] {
        symlink(format!("..data/{name}"), folder.path().join(name)).expect("a link");
    }
    let config = load(&folder.path().join("sandhog.toml")).expect("accepted");
    assert_eq!((config.connections.len(), config.policy.secrets.len()), (1, 1));
}

#[test]
fn a_file_with_a_secret_in_it_is_closed_to_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("sandhog.toml");
    let beside = folder.path().join("conf.d");
    std::fs::create_dir(&beside).expect("a folder");
    let secret = "# first\nsecrets.a = { id = [\"x\"], secret = \"correct horse battery staple\" }\n";
    write(&main, secret.as_bytes(), 0o600);
    load(&main).expect("accepted");
    for mode in [0o644, 0o604, 0o622] {
        write(&main, secret.as_bytes(), mode);
        let errors = load(&main).expect_err("refused");
        assert!(errors.0[0].message.contains("`secrets.a`") && errors.0[0].line == 2, "{errors}");
        assert!(errors.0[0].hint.contains("chmod") && !errors.to_string().contains("correct horse"), "{errors}");
        assert_eq!(codes(errors), ["secret.permissions"], "{mode:o}");
    }
    write(&main, b"[gateway]\nworkers = 2\n", 0o644);
    load(&main).expect("there is nothing secret in it");
    let key = "[connections.b]\nremote_addrs = [\"192.0.2.2\"]\nlocal = { auth = \"pubkey\", key = \"-----BEGIN PRIVATE KEY-----\" }\n";
    write(&beside.join("10-b.toml"), key.as_bytes(), 0o644);
    assert_eq!(codes(load(&main).expect_err("refused")), ["secret.permissions"]);
}

#[test]
fn a_pipe_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("sandhog.toml");
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg("-m").arg("600").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    write(&main, b"secrets.a = { id = [\"x\"], secret_file = \"pipe\" }\n", 0o644);
    let errors = load(&main).expect_err("refused");
    assert!(errors.0[0].message.contains("not a regular file"), "{errors}");
    assert_eq!(codes(sources(&pipe).expect_err("refused")), ["file.unreadable"]);
    let beside = folder.path().join("conf.d");
    std::fs::create_dir(&beside).expect("a folder");
    write(&main, CONNECTION.as_bytes(), 0o644);
    std::fs::rename(&pipe, beside.join("pipe.toml")).expect("renames");
    assert_eq!(codes(load(&main).expect_err("refused")), ["file.unreadable"]);
}

/// `sandhog check <(envsubst < template)`.
#[test]
fn what_a_command_is_given_may_be_a_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let load_of = |octets: Vec<u8>| {
        let its = pipe.clone();
        // Whoever reads no more is heard of as an error.
        let writer = std::thread::spawn(move || drop(std::fs::write(its, octets)));
        let loaded = load(&pipe);
        writer.join().expect("writes");
        loaded
    };
    assert_eq!(load_of(b"[gateway]\nworkers = 2\n".into()).expect("accepted").gateway.workers, 2);
    let large = load_of(vec![b'#'; LARGEST_FILE as usize + 1]).expect_err("refused");
    assert!(large.to_string().contains("larger than 16 MiB"), "{large}");
}

/// Who may write into its folder puts another one in its place.
#[test]
fn a_secret_file_in_a_folder_of_everybodys_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let main = folder.path().join("sandhog.toml");
    let open = folder.path().join("open");
    std::fs::create_dir(&open).expect("a folder");
    write(&open.join("a.psk"), b"correct horse battery staple", 0o600);
    write(&main, b"secrets.a = { id = [\"x\"], secret_file = \"open/a.psk\" }\n", 0o644);
    for (mode, wanted) in [(0o755, vec![]), (0o777, vec!["secret.permissions"]), (0o1777, vec![])] {
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(mode)).expect("sets the mode");
        assert_eq!(load(&main).map_or_else(codes, |_| vec![]), wanted, "{mode:o}");
    }
}
