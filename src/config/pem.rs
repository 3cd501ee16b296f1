//! What may stand in PEM: people keep a certificate and its private key in one file, and only the certificate may be shown.

/// How a section begins.
const BEGIN: &str = "-----BEGIN ";
/// What the name of a section with a private key says, whatever kind of key it is.
const PRIVATE_KEY: &str = "PRIVATE KEY";
/// What stands before BEGIN and END at least: SSH2 has four of them and a blank, PEM five.
const DASHES: &str = "----";

/// It stands here itself, and this is not the name of its file. Tools put lines of their own before the first section.
pub fn is_inline(text: &str) -> bool {
    text.contains(BEGIN)
}

/// A private key where none may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// What is wrong, behind where it was found; shows none of it.
    pub message: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

/// What `certs`, `cacerts` or `crls` is given may hold anything that is public, which its reader leaves away: parameters, lists beside certificates.
///
/// # Errors
/// There is a private key in it.
pub fn without_key(key: &str, octets: &[u8]) -> Result<(), Misplaced> {
    if !octets.split(|octet| matches!(octet, b'\n' | b'\r')).any(heads_key) {
        return Ok(());
    }
    let (message, hint) = match key {
        "crls" => ("there is a private key in what `crls` has", "take it out: no peer's list needs a key"),
        "cacerts" => ("there is a private key in what `cacerts` has", "take it out: it belongs to the authority alone"),
        _ => (
            "there is a private key in what `certs` has, which is for certificates",
            "put it into a file of its own, which `key` names, and leave the certificates",
        ),
    };
    Err(Misplaced { message, hint })
}

/// In this line a private key begins or ends, of PEM or SSH2, also indented or behind a `#`. Prose that speaks of one is none: certificates are printed with
/// `Private Key Usage Period`.
fn heads_key(line: &[u8]) -> bool {
    let begins =
        |text: &[u8], word: &str| text.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    let is_head = |at: &usize| {
        let behind = &line[at + DASHES.len()..];
        let name = behind.strip_prefix(b" ").unwrap_or(behind);
        begins(name, "BEGIN") || begins(name, "END")
    };
    // What stands behind a later head stands behind the first one, too.
    places(line, DASHES.as_bytes()).find(is_head).is_some_and(|at| holds(&line[at..]))
}

/// A private key, or a part of one with its name.
pub(super) fn holds_key(text: &str) -> bool {
    holds(text.as_bytes())
}

fn holds(octets: &[u8]) -> bool {
    octets.windows(PRIVATE_KEY.len()).any(|found| found.eq_ignore_ascii_case(PRIVATE_KEY.as_bytes()))
}

fn places<'o>(octets: &'o [u8], wanted: &'o [u8]) -> impl Iterator<Item = usize> + 'o {
    octets.windows(wanted.len()).enumerate().filter(move |(_, found)| *found == wanted).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
    const KEYS: [&str; 3] = ["certs", "cacerts", "crls"];

    fn refused(text: &str) -> [bool; 3] {
        KEYS.map(|key| without_key(key, text.as_bytes()).is_err())
    }

    #[test]
    fn a_private_key_of_any_kind_is_found_wherever_it_stands() {
        for kind in ["", "RSA ", "ENCRYPTED ", "EC ", "OPENSSH ", "ANY "] {
            let key = format!("-----BEGIN {kind}PRIVATE KEY-----\nMII\n-----END {kind}PRIVATE KEY-----\n");
            for text in [
                format!("{CERTIFICATE}{key}"),
                format!("{key}{CERTIFICATE}"),
                format!("{}{key}", CERTIFICATE.trim_end()),
                format!("{CERTIFICATE}{}", key.replace('\n', "\r\n")),
                format!("{CERTIFICATE}{}", key.replace('\n', "\r")),
                format!("{CERTIFICATE}{}", key.replace('\n', "")),
                format!("{CERTIFICATE}    {key}"),
                format!("{CERTIFICATE}# {}", key.replace('\n', "\n# ")),
                format!("{CERTIFICATE}{}", &key[key.find("MII").unwrap()..]),
            ] {
                assert_eq!(refused(&text), [true; 3], "{text}");
            }
        }
        for ssh2 in ["---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----", "---- Begin SSH2 Encrypted Private Key ----"] {
            assert_eq!(refused(&format!("{CERTIFICATE}{ssh2}")), [true; 3]);
        }
        let hints = KEYS.map(|key| without_key(key, b"-----BEGIN PRIVATE KEY-----").unwrap_err().message);
        assert!(KEYS.iter().zip(hints).all(|(key, message)| message.contains(&format!("`{key}`"))), "{hints:?}");
    }

    #[test]
    fn what_is_public_may_stand_beside_and_prose_is_no_key() {
        for beside in [
            "            X509v3 Private Key Usage Period: \n                Not Before: May  5 09:00:00 2026 GMT\n",
            "# the private key is in the HSM\n",
            "# ---- the private key is in the HSM ----\n",
            "---------- private key: see the safe\n",
            "Bag Attributes\n    friendlyName: Private Key of gw\n",
            "-----BEGIN DH PARAMETERS-----\nMII\n-----END DH PARAMETERS-----\n",
            "-----BEGIN EC PARAMETERS-----\nBgg\n-----END EC PARAMETERS-----\n",
            "-----BEGIN X509 CRL-----\nMII\n-----END X509 CRL-----\n",
            "-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----\n",
        ] {
            assert_eq!(refused(&format!("{beside}{CERTIFICATE}{beside}")), [false; 3], "{beside}");
        }
        assert_eq!(refused("\u{30}DER"), [false; 3], "what it is its reader says");
    }

    #[test]
    fn what_is_blotted_out_is_more() {
        assert!(holds_key("# the private key is in the HSM") && holds_key("-----END RSA PRIVATE KEY-----"));
    }
}
