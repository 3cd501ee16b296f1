//! Keys for Wireshark: its two tables, in a folder that can be its configuration folder (`WIRESHARK_CONFIG_DIR=... tshark -r capture`).
//! Only of connections that ask for it, and only until the time that they say.
use super::clock;
use crate::config::keylog::Keylog as Settings;
use crate::config::{Config, ConnectionConfig};
use crate::crypto::cipher::Cipher;
use crate::crypto::integ::Integ;
use crate::crypto::secret::Secret;
use crate::ike::event::{ChildUp, DirectionKeys, Event, KeyLog};
use crate::io::private;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

const IKE_TABLE: &str = "ikev2_decryption_table";
const ESP_TABLE: &str = "esp_sa";

/// The connections whose keys are written.
#[derive(Debug, Default)]
pub struct Keylog {
    settings: HashMap<Arc<str>, Settings>,
    /// Why there are none of a connection.
    trouble: HashMap<Arc<str>, String>,
}
impl Keylog {
    /// Those of a configuration; each is told of in the log.
    pub fn of(config: &Config) -> Self {
        let mut this = Self::default();
        for connection in &config.connections {
            let Some(settings) = &connection.keylog else { continue };
            this.settings.insert(connection.name.clone(), settings.clone());
            if !clock::is_past(settings.until)
                && let Err(error) = private::folder(&settings.folder)
            {
                this.failed(&connection.name, settings, &error);
            }
            this.warning(connection).iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        this
    }

    fn failed(&mut self, connection: &Arc<str>, settings: &Settings, error: &io::Error) {
        let sentence = format!(
            "the keys of `{connection}` cannot be written to {}: {error}: the folder above must be there, and both writable for the daemon's user; in the sandbox of the systemd unit that is /var/lib/sandhog alone, and a folder elsewhere counts from the next start",
            settings.folder.display()
        );
        self.trouble.insert(connection.clone(), sentence);
    }

    /// What people are told while it is on.
    pub fn warning(&self, connection: &ConnectionConfig) -> Option<String> {
        let settings = connection.keylog.as_ref().filter(|settings| !clock::is_past(settings.until))?;
        let on = || {
            format!(
                "the keys of `{}` are written to {} until {}: whoever has them can read everything",
                connection.name,
                settings.folder.display(),
                settings.until
            )
        };
        Some(self.trouble.get(&connection.name).cloned().unwrap_or_else(on))
    }

    /// Writes the keys that an event carries.
    pub fn tell(&mut self, event: &Event) {
        let (connection, table, lines) = match event {
            Event::KeyLog(keys) => (&keys.connection, IKE_TABLE, ike_line(keys)),
            Event::ChildUp(up) => (&up.connection, ESP_TABLE, esp_lines(up)),
            _ => return,
        };
        let settings = self.settings.get(connection).filter(|settings| !clock::is_past(settings.until));
        let Some(settings) = settings.cloned() else { return };
        let Some(lines) = lines else {
            return tracing::warn!(%connection, table, "no keys were written: Wireshark does not know this suite");
        };
        let folder = settings.folder.display();
        match private::append(&settings.folder, table, lines.expose()) {
            Ok(()) => {
                tracing::warn!(%connection, %folder, table, "keys were written");
                self.trouble.remove(connection);
            }
            Err(error) => {
                tracing::error!(%connection, %folder, table, %error, "keys could not be written");
                self.failed(connection, &settings, &error);
            }
        }
    }
}

/// SPIs, SK_ei, SK_er, encryption, SK_ai, SK_ar, integrity.
fn ike_line(keys: &KeyLog) -> Option<Secret> {
    let (encr, integ) = ike_names(keys.cipher)?;
    // Where it checks nothing it wants no key.
    let mac = |keys: &DirectionKeys| if integ.starts_with("ANY") { Secret::default() } else { keys.integ.hex() };
    let (initiator, responder) = (&keys.initiator, &keys.responder);
    Some(Secret::concat(&[
        format!("{},{},", hex::encode(keys.spi_i.0), hex::encode(keys.spi_r.0)).as_bytes(),
        initiator.encr.hex().expose(),
        b",",
        responder.encr.hex().expose(),
        format!(",\"{encr}\",").as_bytes(),
        mac(initiator).expose(),
        b",",
        mac(responder).expose(),
        format!(",\"{integ}\"\n").as_bytes(),
    ]))
}

/// Protocol, source, destination, SPI, encryption, key, integrity, key; for both directions. Addresses may change under a NAT.
fn esp_lines(up: &ChildUp) -> Option<Secret> {
    let (encr, integ) = esp_names(up.cipher)?;
    let family = if up.path.remote.is_ipv4() { "IPv4" } else { "IPv6" };
    let line = |spi: u32, keys: &DirectionKeys| {
        let prefix = |secret: &Secret| if secret.is_empty() { "" } else { "0x" };
        Secret::concat(&[
            format!("\"{family}\",\"*\",\"*\",\"0x{spi:08x}\",\"{encr}\",\"{}", prefix(&keys.encr)).as_bytes(),
            keys.encr.hex().expose(),
            format!("\",\"{integ}\",\"{}", prefix(&keys.integ)).as_bytes(),
            keys.integ.hex().expose(),
            b"\"\n",
        ])
    };
    Some(Secret::concat(&[line(up.spi_in, &up.keys_in).expose(), line(up.spi_out, &up.keys_out).expose()]))
}

/// Wireshark's words in the table of IKE, if it has any.
fn ike_names(cipher: Cipher) -> Option<(String, &'static str)> {
    let (bits, icv) = (cipher.key_bits()?, cipher.icv_len());
    Some(match cipher {
        Cipher::AesCbc { integ, .. } => (
            format!("AES-CBC-{bits} [RFC3602]"),
            match integ {
                Integ::HmacSha1_96 => "HMAC_SHA1_96 [RFC2404]",
                Integ::HmacSha256_128 => "HMAC_SHA2_256_128 [RFC4868]",
                Integ::HmacSha384_192 => "HMAC_SHA2_384_192 [RFC4868]",
                Integ::HmacSha512_256 => "HMAC_SHA2_512_256 [RFC4868]",
                Integ::AesCmac96 | Integ::AesXcbc96 => "ANY 96-bits of Authentication [No Checking]",
            },
        ),
        Cipher::AesCcm { .. } => (format!("AES-CCM-{bits} with {icv} octet ICV [RFC5282]"), "NONE [RFC4306]"),
        Cipher::AesGcm128 | Cipher::AesGcm192 | Cipher::AesGcm256 | Cipher::AesGcmShort { .. } => {
            (format!("AES-GCM-{bits} with {icv} octet ICV [RFC5282]"), "NONE [RFC4306]")
        }
        Cipher::ChaCha20Poly1305 | Cipher::AesGmac { .. } => return None,
    })
}

/// The same in the table of ESP.
fn esp_names(cipher: Cipher) -> Option<(String, &'static str)> {
    Some(match cipher {
        Cipher::AesCbc { integ, .. } => (
            "AES-CBC [RFC3602]".into(),
            match integ {
                Integ::HmacSha1_96 => "HMAC-SHA-1-96 [RFC2404]",
                Integ::HmacSha256_128 => "HMAC-SHA-256-128 [RFC4868]",
                Integ::HmacSha384_192 => "HMAC-SHA-384-192 [RFC4868]",
                Integ::HmacSha512_256 => "HMAC-SHA-512-256 [RFC4868]",
                Integ::AesCmac96 | Integ::AesXcbc96 => "ANY 96 bit authentication [no checking]",
            },
        ),
        Cipher::AesGcm128 | Cipher::AesGcm192 | Cipher::AesGcm256 | Cipher::AesGcmShort { .. } => {
            (format!("AES-GCM with {} octet ICV [RFC4106]", cipher.icv_len()), "NULL")
        }
        Cipher::AesCcm { .. } | Cipher::AesGmac { .. } | Cipher::ChaCha20Poly1305 => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, secret::System};
    use crate::ike::event::{ChildId, IkeId, IkePath};
    use crate::wire::message::IkeSpi;
    use crate::wire::payload::Proposal;
    use crate::wire::registry::ProtocolId;
    use std::net::SocketAddr;

    fn config(folder: &std::path::Path, until: &str) -> Config {
        let text = format!(
            r#"
            [connections.a]
            remote_addrs = ["192.0.2.2"]
            remote = {{ id = "r" }}
            keylog = {{ path = "{}", until = "{until}" }}
            [connections.a.children.net]
            local_ts = ["10.1.0.0/16"]
            remote_ts = ["10.2.0.0/16"]
            [secrets.ike-a]
            id = ["r"]
            secret = "correct horse battery staple 7Q"
            "#,
            folder.display()
        );
        crate::config::parse(&[Source { name: "a.toml".into(), text }], &System).unwrap()
    }
    fn keys(connection: &str, cipher: Cipher) -> Event {
        let direction = |octet| DirectionKeys {
            encr: Secret::new(vec![octet; cipher.encr_key_len()]),
            integ: Secret::new(vec![octet + 1; cipher.integ_key_len()]),
        };
        let (spi_i, spi_r) = (IkeSpi([1; 8]), IkeSpi([2; 8]));
        let (initiator, responder) = (direction(0x10), direction(0x20));
        Event::KeyLog(Box::new(KeyLog { connection: connection.into(), spi_i, spi_r, cipher, initiator, responder }))
    }

    /// Where there is no key, there is no `0x` either.
    #[test]
    fn both_directions_of_a_child_are_two_lines() {
        let end = |last| SocketAddr::from(([192, 0, 2, last], 4500));
        let cbc = Cipher::AesCbc { key_bits: 128, integ: Integ::HmacSha256_128 };
        for (cipher, encr, integ, mac) in [
            (Cipher::AesGcm128, "AES-GCM with 16 octet ICV [RFC4106]", "NULL", 0),
            (cbc, "AES-CBC [RFC3602]", "HMAC-SHA-256-128 [RFC4868]", 32),
        ] {
            let keys =
                |octet| DirectionKeys { encr: Secret::new(vec![octet; 20]), integ: Secret::new(vec![octet + 1; mac]) };
            let up = ChildUp {
                ike: IkeId(1),
                id: ChildId(1),
                connection: "a".into(),
                child: "net".into(),
                peer: 0,
                spi_in: 0xc0a8_0001,
                spi_out: 0x1234,
                cipher,
                esn: false,
                keys_in: keys(0x0a),
                keys_out: keys(0xf0),
                transport: false,
                nat_original: None,
                local_ts: Vec::new(),
                remote_ts: Vec::new(),
                path: IkePath { local: end(1), remote: end(2), udp: true, may_move: false },
                proposal: Proposal { number: 1, protocol: ProtocolId::ESP, spi: Vec::new(), transforms: Vec::new() },
                initiator: true,
                replaces: None,
                resource: None,
                inbound_only: false,
            };
            let line = |spi: &str, key: &str, of_mac: &str| {
                let mac = if mac == 0 { String::new() } else { format!("0x{}", of_mac.repeat(mac)) };
                let key = key.repeat(20);
                format!("\"IPv4\",\"*\",\"*\",\"0x{spi}\",\"{encr}\",\"0x{key}\",\"{integ}\",\"{mac}\"\n")
            };
            let expected = line("c0a80001", "0a", "0b") + &line("00001234", "f0", "f1");
            assert_eq!(std::str::from_utf8(esp_lines(&up).unwrap().expose()).unwrap(), expected);
        }
    }

    /// As under the unit, which shuts /root and all others' folders.
    #[test]
    fn a_folder_that_cannot_be_written_is_told_with_the_way_out() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("missing/keys");
        let config = config(&folder, "2999-01-01T00:00:00Z");
        let mut keylog = Keylog::of(&config);
        let told = |keylog: &Keylog| keylog.warning(&config.connections[0]).unwrap();
        let sentence = told(&keylog);
        assert!(sentence.contains("cannot be written") && sentence.contains("/var/lib/sandhog"), "{sentence}");
        std::fs::create_dir(place.path().join("missing")).unwrap();
        keylog.tell(&keys("a", Cipher::AesGcm128));
        assert!(told(&keylog).contains("are written to"), "{}", told(&keylog));
        std::fs::remove_dir_all(place.path().join("missing")).unwrap();
        keylog.tell(&keys("a", Cipher::AesGcm128));
        assert_eq!(told(&keylog), sentence);
    }

    #[test]
    fn only_what_asks_for_it_and_only_in_its_time() {
        let place = tempfile::tempdir().unwrap();
        let table = place.path().join("keys").join(IKE_TABLE);
        let (on, over) = ("2999-01-01T00:00:00Z", "2001-01-01T00:00:00Z");
        for (until, connection) in [(over, "a"), (on, "b")] {
            let config = config(&place.path().join("keys"), until);
            let mut keylog = Keylog::of(&config);
            keylog.tell(&keys(connection, Cipher::AesGcm128));
            assert_eq!(keylog.warning(&config.connections[0]).is_some(), until == on);
        }
        assert!(!table.exists());
        let config = config(&place.path().join("keys"), on);
        assert!(config.policy.connections[0].keylog);
        let mut keylog = Keylog::of(&config);
        keylog.tell(&keys("a", Cipher::ChaCha20Poly1305));
        assert!(!table.exists());
        keylog.tell(&keys("a", Cipher::AesGcm128));
        keylog.tell(&keys("a", Cipher::AesCbc { key_bits: 128, integ: Integ::HmacSha1_96 }));
        let (spis, gcm) = ("0101010101010101,0202020202020202", ("10".repeat(20), "20".repeat(20)));
        let cbc = ("10".repeat(16), "20".repeat(16), "11".repeat(20), "21".repeat(20));
        let expected = format!(
            "{spis},{},{},\"AES-GCM-128 with 16 octet ICV [RFC5282]\",,,\"NONE [RFC4306]\"\n\
             {spis},{},{},\"AES-CBC-128 [RFC3602]\",{},{},\"HMAC_SHA1_96 [RFC2404]\"\n",
            gcm.0, gcm.1, cbc.0, cbc.1, cbc.2, cbc.3
        );
        assert_eq!(std::fs::read_to_string(&table).unwrap(), expected);
    }
}
