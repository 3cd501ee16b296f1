//! The house rules that a compiler does not know: who imports whom, how long a file is, where `unsafe` stands.
mod packaged;

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, without its tests.
const MAX_LINES: usize = 600;

/// Module, what it may import of ours. A prefix stands for all below it.
const IMPORTS: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("io", &[]),
    ("crypto", &["wire::registry"]),
    ("frozen", &["crypto", "wire"]),
    ("esp", &["crypto", "wire", "frozen"]),
    ("ike", &["crypto", "wire", "frozen"]),
    ("ipsec", &["esp", "wire", "crypto::cipher", "frozen"]),
    ("dataplane", &["ipsec", "esp", "io", "wire"]),
    ("config", &["ike::policy", "ike::diagnose", "ipsec", "crypto", "io::plain", "wire"]),
    (
        "control",
        &[
            "config",
            "crypto::secret",
            "ike::status",
            "ike::diagnose",
            "ipsec",
            "dataplane",
            "io::acl",
            "io::peer",
            "wire::ip",
        ],
    ),
    ("daemon", &["control", "dataplane", "config", "ipsec", "ike", "esp", "frozen", "crypto", "io", "wire"]),
    ("cli", &["control", "config"]),
];
/// Files that may import more, and why.
const EXCEPTIONS: &[(&str, &[&str])] = &[
    // the demo is two daemons in namespaces of its own
    ("cli/demo", &["daemon", "io"]),
    // an authority needs no daemon
    ("cli/pki", &["crypto"]),
    // which key belongs to which certificate, and a strong secret
    ("cli/import", &["crypto"]),
    ("cli/secret", &["crypto"]),
    // which characters would deceive who reads them
    ("cli/output", &["wire::payload"]),
    // it asks IKE as a stranger does
    ("cli/health", &["wire"]),
    // signals must not leave a terminal behind in disorder
    ("cli/top", &["io"]),
    // nor a file
    ("cli/capture", &["io"]),
];
/// Crates that one folder owns.
const OWNED_CRATES: &[(&str, &[&str])] = &[
    (
        "crypto",
        &[
            "ring",
            "aes",
            "aes_gcm",
            "cbc",
            "ccm",
            "ghash",
            "hmac",
            "sha1",
            "x25519_dalek",
            "p256",
            "p384",
            "p521",
            "crypto_bigint",
            "subtle",
            "getrandom",
            "zeroize",
            "webpki",
            "rustls_pki_types",
            "x509_cert",
            "rcgen",
        ],
    ),
    ("io", &["libc", "nix", "socket2", "rtnetlink", "netlink_packet_route", "seccompiler", "landlock"]),
];

struct File {
    /// Relative to `src`, without `.rs`: `ike/exchange/ike_auth`.
    name: String,
    /// Without tests and line comments.
    code: String,
}

fn files() -> Vec<File> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("src is readable");
            let name = path.strip_prefix(&src).expect("below src").with_extension("").display().to_string();
            File { name, code: without_tests(&text) }
        })
        .collect()
}

/// Cuts at the test module at the end, and blanks line comments so that line numbers stay.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..end].lines().map(|l| l.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn is_test(name: &str) -> bool {
    name.split('/').any(|p| p == "tests" || p == "tidy" || p == "fuzzing")
}

/// All `crate::a::b` paths of a file, braces opened one level: `crate::{a, b}`.
fn own_paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let end = group.find('}').unwrap_or(group.len());
            found.extend(group[..end].split(',').map(|p| p.trim().trim_end_matches("::{").to_owned()));
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect());
        }
    }
    found
}

fn allowed(file: &str, path: &str) -> bool {
    let top = file.split('/').next().unwrap_or("");
    let under = |prefix: &str| path == prefix || path.strip_prefix(prefix).is_some_and(|r| r.starts_with("::"));
    if under(top) || top == "bin" || top == "lib" || path.is_empty() {
        return true;
    }
    let listed = |table: &[(&str, &[&str])], key: &str| {
        table.iter().filter(|(m, _)| *m == key).flat_map(|(_, may)| may.iter()).any(|p| under(p))
    };
    listed(IMPORTS, top)
        || EXCEPTIONS.iter().any(|(f, _)| (file == *f || file.starts_with(&format!("{f}/"))) && listed(EXCEPTIONS, f))
}

#[test]
fn imports_follow_the_table() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|f| !is_test(&f.name)) {
        for path in own_paths(&file.code) {
            if !allowed(&file.name, &path) {
                wrong.push(format!("src/{}.rs imports crate::{path}", file.name));
            }
        }
    }
    assert!(wrong.is_empty(), "the import table of src/lib.rs is broken:\n{}", wrong.join("\n"));
}

#[test]
fn the_import_check_sees_a_violation() {
    assert!(!allowed("wire/message", "ike::policy"));
    assert!(!allowed("ike/sa", "esp::replay"));
    assert!(!allowed("esp/inbound", "ike"));
    assert!(allowed("cli/demo", "daemon::Options") && !allowed("cli/status", "daemon::Options"));
    assert_eq!(own_paths("use crate::{ike, esp::drop};"), ["ike", "esp::drop"]);
}

#[test]
fn files_are_short() {
    let long: Vec<_> = files()
        .iter()
        .filter(|f| !is_test(&f.name))
        .map(|f| (f.code.lines().count(), &f.name))
        .filter(|(n, _)| *n > MAX_LINES)
        .map(|(n, name)| format!("src/{name}.rs has {n} lines"))
        .collect();
    assert!(long.is_empty(), "more than {MAX_LINES} lines before the tests:\n{}", long.join("\n"));
}

#[test]
fn unsafe_has_one_address_and_a_reason() {
    let mut wrong = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in files().iter().filter(|f| f.name != "tidy") {
        let text = fs::read_to_string(src.join(format!("{}.rs", file.name))).expect("src is readable");
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            if !code.contains("unsafe {") && !code.contains("unsafe impl") && !code.contains("unsafe fn") {
                continue;
            }
            let reason = if code.contains("unsafe fn") { "# Safety" } else { "// SAFETY:" };
            let explained = (i.saturating_sub(6)..=i).any(|j| lines[j].contains(reason));
            if !file.name.starts_with("io/") || !explained {
                wrong.push(format!("src/{}.rs:{}", file.name, i + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "unsafe outside src/io, or without `// SAFETY:`:\n{}", wrong.join("\n"));
}

#[test]
fn crates_have_one_owner() {
    let mut wrong = Vec::new();
    for file in files().iter().filter(|f| !is_test(&f.name)) {
        for (owner, crates) in OWNED_CRATES.iter().filter(|(owner, _)| !file.name.starts_with(owner)) {
            for name in *crates {
                let used = [format!("use {name}::"), format!(" {name}::"), format!("({name}::")];
                if used.iter().any(|u| file.code.contains(u.as_str())) && !file.code.contains(&format!("::{name}::")) {
                    wrong.push(format!("src/{}.rs uses {name}, which belongs to {owner}", file.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What follows `sandhog` where a text shows how it is called; in prose it has a capital letter or a verb of none of its own.
fn called(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (at, _) in text.match_indices("sandhog ") {
        let before = &text[..at];
        let is_part =
            before.ends_with(|c: char| c.is_alphanumeric() || "-_.@/".contains(c)) && !before.ends_with("bin/");
        // A namespace, unit, table, group or program that has the name.
        let others = [" -n ", " -u ", "table ", "group ", "program in ", "start "];
        if is_part || others.iter().any(|other| before.ends_with(other)) {
            continue;
        }
        let line = text[at..].lines().next().unwrap_or_default();
        let mut rest = line.split(' ').skip(1);
        let mut word = rest.next().unwrap_or_default();
        while word.starts_with("--") {
            if word == "--socket" {
                rest.next();
            }
            word = rest.next().unwrap_or_default();
        }
        let word: String = word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        if word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.starts_with("sandhog") {
            words.push(word);
        }
    }
    words
}

/// An alert that tells somebody at night to run what does not exist helps nobody.
#[test]
fn documents_name_commands_that_exist() {
    fn walk(path: &Path, out: &mut Vec<PathBuf>) {
        if path.is_dir() {
            fs::read_dir(path)
                .expect("it is readable")
                .for_each(|entry| walk(&entry.expect("it is readable").path(), out));
        } else {
            out.push(path.to_owned());
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    ["README.md", "deploy", "systemd", "src/cli/man.rs", "src/config/manual.rs", "src/cli/mod.rs"]
        .iter()
        .for_each(|path| walk(&root.join(path), &mut paths));
    let known = crate::cli::commands();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in paths {
        let text = String::from_utf8_lossy(&fs::read(&path).expect("it is readable")).into_owned();
        for word in called(&text) {
            seen += 1;
            if !known.contains(&word) {
                wrong.push(format!("{}: sandhog {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "there are no such commands:\n{}", wrong.join("\n"));
    assert!(seen > 50, "only {seen} were found");
}

#[test]
fn calls_are_found() {
    assert_eq!(
        called("run `sandhog why NAME` or\n$ sandhog --json --socket /x up a\nx=/usr/bin/sandhog reload\n"),
        ["why", "up", "reload"]
    );
    assert!(
        called("group sandhog can\n/run/sandhog x\nsystemctl restart sandhog now\nsandhog  \ng sandhog -").is_empty()
    );
}
