//! A file as a document that can be sent: what it names it holds itself, because the daemon opens no path that came over its socket.
use super::client::Client;
use super::plan::Failure;
use crate::config::pem;
use crate::config::secret::Secrets;
use crate::config::{self, System};
use crate::control::types::Info;
use serde_json::{Map, Value, json};
use std::path::Path;

/// The document of a file and of `conf.d` beside it; `None`: it is the daemon's own, which reads it itself.
pub(super) fn document(client: &Client, file: &Path) -> Result<Option<Value>, Failure> {
    let info: Info = client.get("/v1/info")?;
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if same(file, Path::new(&info.config)) {
        return Ok(None);
    }
    checked(file).map(Some)
}

fn checked(file: &Path) -> Result<Value, Failure> {
    // All of it is checked here, where lines and columns are known. Read once: a pipe has nothing more the second time.
    let sources = config::given(file).map_err(Failure::File)?;
    config::parse(&sources, &System).map_err(Failure::File)?;
    let mut whole = Map::new();
    for source in &sources {
        let folder = source.name.parent().unwrap_or(Path::new(""));
        let table: toml::Table = source.text.parse().map_err(|_| unsendable("it is no TOML"))?;
        let mut table = serde_json::to_value(table).map_err(|error| unsendable(&error.to_string()))?;
        inline(&mut table, folder)?;
        if let Value::Object(table) = table {
            merge(&mut whole, table);
        }
    }
    Ok(Value::Object(whole))
}

/// What two files say of different objects; of one object only one of them says something, or the check had refused them.
fn merge(whole: &mut Map<String, Value>, table: Map<String, Value>) {
    for (key, value) in table {
        match (whole.get_mut(&key), value) {
            (Some(Value::Object(whole)), Value::Object(more)) => merge(whole, more),
            (_, value) => drop(whole.insert(key, value)),
        }
    }
}

fn inline(document: &mut Value, folder: &Path) -> Result<(), Failure> {
    for (_, secret) in objects(document.get_mut("secrets")) {
        inline_secret(secret, folder)?;
    }
    for (_, connection) in objects(document.get_mut("connections")) {
        for (side, keys) in [("local", &["certs", "key"][..]), ("remote", &["cacerts", "crls"])] {
            let Some(side) = connection.get_mut(side) else { continue };
            for key in keys {
                if let Some(value) = side.get_mut(*key) {
                    inline_pem(value, folder, key)?;
                }
            }
        }
    }
    Ok(())
}

fn objects(table: Option<&mut Value>) -> impl Iterator<Item = (&String, &mut Value)> {
    table.and_then(Value::as_object_mut).into_iter().flatten()
}

fn inline_secret(secret: &mut Value, folder: &Path) -> Result<(), Failure> {
    let Some(table) = secret.as_object_mut() else { return Ok(()) };
    let octets = if let Some(Value::String(path)) = table.remove("secret_file") {
        let file = System.file(&folder.join(path)).map_err(|refusal| unsendable(&refusal.message))?;
        file.expose().strip_suffix(b"\n").unwrap_or(file.expose()).to_vec()
    } else if let Some(Value::String(name)) = table.remove("secret_env") {
        System.env(&name).ok_or_else(|| unsendable(&format!("there is no environment variable {name:?}")))?
    } else {
        return Ok(());
    };
    table.insert("secret".into(), json!(format!("0x{}", hex::encode(octets))));
    Ok(())
}

fn inline_pem(value: &mut Value, folder: &Path, key: &str) -> Result<(), Failure> {
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| inline_pem(item, folder, key)),
        Value::String(text) if pem::is_inline(text) => nothing_secret("what stands there", text, key),
        Value::String(path) => {
            let place = folder.join(&*path);
            let read = if key == "key" {
                System.file(&place).map(|file| file.expose().to_vec())
            } else {
                System.certificate(&place)
            };
            let octets = read.map_err(|refusal| unsendable(&refusal.message))?;
            let text = String::from_utf8(octets)
                .map_err(|_| unsendable(&format!("{} is not PEM, and only PEM can be sent", place.display())))?;
            nothing_secret(&place.display().to_string(), &text, key)?;
            *path = text;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whatever the file was when it was checked: what goes out in a key that anybody is shown holds nothing secret.
fn nothing_secret(place: &str, text: &str, key: &str) -> Result<(), Failure> {
    if key == "key" {
        return Ok(());
    }
    pem::without_key(key, text.as_bytes())
        .map_err(|found| unsendable(&format!("{place}: {}; {}", found.message, found.hint)))
}

fn unsendable(why: &str) -> Failure {
    Failure::Unsendable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_a_file_names_is_sent_itself() {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("a.psk");
        std::fs::write(&secret, "hush\n").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(folder.path().join("ca.pem"), "-----BEGIN CERTIFICATE-----").unwrap();
        let mut document = json!({
            "secrets": { "a": { "id": ["a"], "secret_file": "a.psk" }, "b": { "id": ["b"], "secret": "as it is" } },
            "connections": { "c": { "remote": { "cacerts": ["ca.pem"] } } }
        });
        inline(&mut document, folder.path()).unwrap();
        assert_eq!(document["secrets"]["a"], json!({ "id": ["a"], "secret": "0x68757368" }));
        assert_eq!(document["secrets"]["b"]["secret"], "as it is");
        assert_eq!(document["connections"]["c"]["remote"]["cacerts"][0], "-----BEGIN CERTIFICATE-----");
    }

    /// `sandhog apply <(envsubst < template)`: a second look would find nothing in it, and send that.
    #[test]
    fn what_a_pipe_said_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let its = pipe.clone();
        let writer = std::thread::spawn(move || std::fs::write(its, "[gateway]\nworkers = 2\n"));
        assert_eq!(checked(&pipe).unwrap(), json!({ "gateway": { "workers": 2 } }));
        writer.join().unwrap().unwrap();
    }

    #[test]
    fn a_private_key_among_certificates_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let both = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n";
        std::fs::write(folder.path().join("both.pem"), both).unwrap();
        for (side, key) in [("local", "certs"), ("remote", "cacerts"), ("remote", "crls")] {
            for given in ["both.pem", both] {
                let mut document = json!({ "connections": { "c": { side: { key: [given] } } } });
                let failure = format!("{:?}", inline(&mut document, folder.path()).unwrap_err());
                assert!(
                    failure.contains("private key") && failure.contains(key) && !failure.contains("hush"),
                    "{failure}"
                );
            }
        }
    }

    #[test]
    fn files_are_merged_object_by_object() {
        let mut whole = json!({ "connections": { "a": { "x": 1 } } }).as_object().unwrap().clone();
        merge(&mut whole, json!({ "connections": { "b": {} }, "pools": {} }).as_object().unwrap().clone());
        assert_eq!(Value::Object(whole), json!({ "connections": { "a": { "x": 1 }, "b": {} }, "pools": {} }));
    }
}
