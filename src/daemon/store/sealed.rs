//! The form of a file of the store: a first line with its kind, the version of its format and a checksum, then the rest.
use super::Error;
use crate::crypto::prf::Prf;

/// The newest format that we read, and the one that we write.
pub(super) const FORMAT: u32 = 1;
/// Not secret: it tells a file that was cut or changed by accident, no more.
const KEY: &[u8] = b"sandhog state";

/// Puts the first line in front.
pub(super) fn seal(kind: &str, body: &[&[u8]]) -> Vec<u8> {
    let mut octets = format!("sandhog-{kind} {FORMAT} {}\n", sum(body)).into_bytes();
    body.iter().for_each(|part| octets.extend_from_slice(part));
    octets
}

/// What stands behind the first line.
pub(super) fn unseal<'o>(kind: &str, name: &str, octets: &'o [u8]) -> Result<&'o [u8], Error> {
    let damaged = || Error::Damaged(name.to_owned());
    let end = octets.iter().take(256).position(|octet| *octet == b'\n').ok_or_else(damaged)?;
    let line = std::str::from_utf8(&octets[..end]).map_err(|_| damaged())?;
    let mut words = line.split(' ');
    if words.next().and_then(|word| word.strip_prefix("sandhog-")) != Some(kind) {
        return Err(damaged());
    }
    let format: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(damaged)?;
    // Before the checksum: a newer version may have another one.
    if format > FORMAT {
        return Err(Error::Newer { name: name.to_owned(), format });
    }
    let body = &octets[end + 1..];
    if words.next() == Some(&sum(&[body])) { Ok(body) } else { Err(damaged()) }
}

fn sum(body: &[&[u8]]) -> String {
    hex::encode(Prf::HmacSha256.mac(KEY, body).expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_comes_back() {
        let octets = seal("revision", &[b"a\n", b"b"]);
        assert_eq!(unseal("revision", "7", &octets).unwrap(), b"a\nb");
    }

    #[test]
    fn what_was_cut_or_changed_does_not() {
        let octets = seal("revision", &[b"a\n", b"b"]);
        for cut in 0..octets.len() {
            assert!(matches!(unseal("revision", "7", &octets[..cut]), Err(Error::Damaged(_))), "{cut}");
        }
        let mut changed = octets.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(unseal("revision", "7", &changed), Err(Error::Damaged(_))));
        assert!(matches!(unseal("current", "7", &octets), Err(Error::Damaged(_))));
        assert!(matches!(unseal("current", "7", b""), Err(Error::Damaged(_))));
    }

    #[test]
    fn a_newer_format_is_told_by_its_number_whatever_follows() {
        let error = unseal("revision", "revision 7", b"sandhog-revision 2 sha3:xyz\n...").unwrap_err();
        assert!(matches!(error, Error::Newer { format: 2, .. }));
        assert!(error.to_string().contains("revision 7 was written by a newer Sandhog"), "{error}");
    }
}
