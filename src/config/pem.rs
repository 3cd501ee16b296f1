//! What may stand in PEM: people keep a certificate and its private key in one file, and only the certificate may be shown.

/// How a section begins.
const BEGIN: &str = "-----BEGIN ";
/// What the name of a section with a private key says, whatever kind of key it is.
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// It stands here itself, and this is not the name of its file. Tools put lines of their own before the first section.
pub fn is_inline(text: &str) -> bool {
    text.contains(BEGIN)
}

/// What stands where it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Stable code: `certificate.private_key` or `certificate.section`.
    pub code: &'static str,
    /// What is wrong, behind where it was found; shows none of it.
    pub message: &'static str,
    /// What to do about it.
    pub hint: &'static str,
}

/// Sections that do not belong into what `certs`, `cacerts` or `crls` is given. What is no PEM has none.
///
/// # Errors
/// The worst of them.
pub fn only(key: &str, octets: &[u8]) -> Result<(), Foreign> {
    let starts: Vec<usize> = places(octets, BEGIN.as_bytes()).map(|at| at + BEGIN.len()).collect();
    if starts.is_empty() {
        return Ok(());
    }
    let (wanted, message) = match key {
        "crls" => ("X509 CRL", "`crls` takes revocation lists and nothing else"),
        "cacerts" => ("CERTIFICATE", "`cacerts` takes certificates and nothing else"),
        _ => ("CERTIFICATE", "`certs` takes certificates and nothing else"),
    };
    if holds(octets) {
        let (message, hint) = match key {
            "crls" => ("there is a private key in what `crls` has", "take it out: no peer's list needs a key"),
            "cacerts" => {
                ("there is a private key in what `cacerts` has", "take it out: it belongs to the authority alone")
            }
            _ => (
                "there is a private key in what `certs` has, which is for certificates",
                "put it into a file of its own, which `key` names, and leave the certificates",
            ),
        };
        return Err(Foreign { code: "certificate.private_key", message, hint });
    }
    let is_wanted =
        |start: usize| octets[start..].strip_prefix(wanted.as_bytes()).is_some_and(|r| r.starts_with(b"-----"));
    if starts.into_iter().all(is_wanted) {
        return Ok(());
    }
    let hint = match key {
        "crls" => "leave the sections `-----BEGIN X509 CRL-----`",
        _ => "leave the sections `-----BEGIN CERTIFICATE-----`",
    };
    Err(Foreign { code: "certificate.section", message, hint })
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

    #[test]
    fn only_what_is_asked_for_may_stand_there() {
        let section = |name: &str| format!("-----BEGIN {name}-----\nMII\n-----END {name}-----\n");
        let code = |key: &str, names: &[&str]| {
            let text: String = names.iter().map(|name| section(name)).collect();
            only(key, format!("Bag Attributes\n{text}").as_bytes()).map_err(|foreign| foreign.code)
        };
        for key in ["certs", "cacerts"] {
            assert_eq!(code(key, &["CERTIFICATE", "CERTIFICATE"]), Ok(()));
            assert_eq!(code(key, &["CERTIFICATE", "X509 CRL"]), Err("certificate.section"));
        }
        assert_eq!(code("crls", &["X509 CRL"]), Ok(()));
        assert_eq!(code("crls", &["X509 CRL", "CERTIFICATE"]), Err("certificate.section"));
        for name in ["PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY"]
        {
            for key in ["certs", "cacerts", "crls"] {
                assert_eq!(code(key, &["CERTIFICATE", name]), Err("certificate.private_key"), "{key} {name}");
            }
        }
        let ssh2 = format!("{}---- Begin SSH2 Encrypted Private Key ----", section("CERTIFICATE"));
        assert_eq!(only("certs", ssh2.as_bytes()).unwrap_err().code, "certificate.private_key");
        assert_eq!(only("certs", b"\x30\x82DER"), Ok(()), "what it is its reader says");
    }
}
