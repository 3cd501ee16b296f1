//! What the README sends its reader to is there, and comes with the packages.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What only who builds packages needs.
const OF_BUILDERS: [&str; 2] = ["deploy/package/build", "deploy/image/build"];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a text")
}

/// The paths below `deploy/` and `systemd/` that a text names.
fn named(text: &str) -> BTreeSet<String> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    let words = text.split(|c| !is_path(c)).map(|word| word.trim_end_matches(['.', '/']));
    words
        .filter(|word| ["deploy", "systemd"].contains(&word.split('/').next().unwrap_or("")))
        .map(str::to_owned)
        .collect()
}

/// The files that a path stands for.
fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).into_iter().flatten();
    entries.flat_map(|entry| files(&entry.expect("readable").path())).collect()
}

/// Source and place of each file of the Debian package, and of the RPM.
fn assets() -> [Vec<(String, String)>; 2] {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let of = |tool: &str| manifest["package"]["metadata"][tool]["assets"].as_array().expect("a list").clone();
    let text = |value: &toml::Value| value.as_str().expect("a text").to_owned();
    let deb = of("deb").iter().map(|asset| (text(&asset[0]), format!("/{}", text(&asset[1])))).collect();
    let rpm = of("generate-rpm").iter().map(|asset| (text(&asset["source"]), text(&asset["dest"]))).collect();
    [deb, rpm]
}

#[test]
fn what_the_readme_names_is_there_and_is_packaged() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = named(&read("README.md"));
    assert!(named.len() >= 7 && named.contains("systemd/tenants.conf"), "{named:?}");
    let missing: Vec<_> = named.iter().filter(|path| !root.join(path).exists()).collect();
    assert!(missing.is_empty(), "README.md names {missing:?}");
    let of_users = named.iter().filter(|path| path.contains('/') && !OF_BUILDERS.contains(&path.as_str()));
    for path in of_users.flat_map(|path| files(&root.join(path))) {
        let path = path.strip_prefix(root).expect("below it").display().to_string();
        for (tool, assets) in ["deb", "generate-rpm"].iter().zip(assets()) {
            assert!(assets.iter().any(|(source, _)| *source == path), "{path} is not among the assets of {tool}");
        }
    }
}

#[test]
fn both_packages_bring_the_same() {
    let [deb, rpm] = assets();
    let only_debians = ["lintian-overrides", "changelog.Debian.gz"];
    let kept = |(source, _): &&(String, String)| !only_debians.iter().any(|name| source.ends_with(name));
    // zsh looks elsewhere
    let place =
        |(source, place): &(String, String)| (source.clone(), place.replace("vendor-completions", "site-functions"));
    let deb: BTreeSet<_> = deb.iter().filter(kept).map(place).collect();
    assert_eq!(deb, rpm.into_iter().collect());
}
