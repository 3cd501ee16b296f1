//! Identification payloads (RFC 7296 section 3.5) and how people write them.
use super::{dn, text};
use crate::wire::message::ParseError;
use crate::wire::read::Reader;
use crate::wire::registry::IdType;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Octets of the longest identification.
pub const MAX_ID: usize = 2048;

/// Identification data (RFC 7296 section 3.5). Equal means the same type and the same octets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id {
    /// Type.
    pub kind: IdType,
    /// Data; may be empty on the wire, at most 2,048 octets.
    pub data: Vec<u8>,
}
/// An identification as its payload has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPayload {
    /// Who.
    pub id: Id,
    /// The reserved octets mean nothing, but AUTH signs them as they were sent (RFC 7296 section 2.15).
    pub reserved: [u8; 3],
}
impl IdPayload {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, ParseError> {
        let [kind, reserved @ ..] = r.array::<4>("identification")?;
        if r.len() > MAX_ID {
            return Err(ParseError::Syntax("identification too long"));
        }
        Ok(Self { id: Id { kind: IdType(kind), data: r.rest().to_vec() }, reserved })
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header());
        out.extend_from_slice(&self.id.data);
    }
    /// What stands before the data, behind the generic header.
    pub fn header(&self) -> [u8; 4] {
        let [a, b, c] = self.reserved;
        [self.id.kind.0, a, b, c]
    }
}
impl From<Id> for IdPayload {
    fn from(id: Id) -> Self {
        Self { id, reserved: [0; 3] }
    }
}
impl From<IpAddr> for Id {
    fn from(addr: IpAddr) -> Self {
        match addr {
            IpAddr::V4(a) => Self { kind: IdType::IPV4_ADDR, data: a.octets().into() },
            IpAddr::V6(a) => Self { kind: IdType::IPV6_ADDR, data: a.octets().into() },
        }
    }
}

/// What stands before the colon, for each type; the first of a type is the one that we write.
const PREFIXES: &[(&str, IdType)] = &[
    ("ipv4", IdType::IPV4_ADDR),
    ("ipv6", IdType::IPV6_ADDR),
    ("fqdn", IdType::FQDN),
    ("dns", IdType::FQDN),
    ("email", IdType::RFC822_ADDR),
    ("rfc822", IdType::RFC822_ADDR),
    ("userfqdn", IdType::RFC822_ADDR),
    ("keyid", IdType::KEY_ID),
    ("asn1dn", IdType::DER_ASN1_DN),
    ("dn", IdType::DER_ASN1_DN),
    ("asn1gn", IdType::DER_ASN1_GN),
];

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Id {
    /// swanctl's form: address, name, `user@name`, `keyid:`, `CN=..., O=...`; with a prefix where it could be mistaken for another
    /// type, and control characters of the peer escaped. What it writes `FromStr` reads back, except that a
    /// distinguished name may have used other string types.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data.as_slice();
        match self.kind {
            IdType::IPV4_ADDR if let Ok(a) = <[u8; 4]>::try_from(data) => write!(f, "{}", Ipv4Addr::from(a)),
            IdType::IPV6_ADDR if let Ok(a) = <[u8; 16]>::try_from(data) => write!(f, "{}", Ipv6Addr::from(a)),
            IdType::FQDN | IdType::RFC822_ADDR => match std::str::from_utf8(data) {
                Ok(name) if name.parse().as_ref() == Ok(self) => f.write_str(name),
                _ => self.with_prefix(f),
            },
            IdType::KEY_ID if data.iter().all(u8::is_ascii_graphic) && !data.is_empty() => self.with_prefix(f),
            IdType::KEY_ID => write!(f, "keyid:0x{}", hex::encode(data)),
            IdType::DER_ASN1_DN if let Some(name) = dn::to_text(data) => f.write_str(&name),
            kind => match prefix(kind) {
                Some(prefix) => write!(f, "{prefix}:#{}", hex::encode(data)),
                None => write!(f, "{{{}}}:#{}", kind.0, hex::encode(data)),
            },
        }
    }
}
impl Id {
    fn with_prefix(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", prefix(self.kind).unwrap_or_default())?;
        // What would read as hexadecimal digits gets its first character escaped; nothing at all is written as no digits.
        match (hexadecimal_digits(&self.data).is_some(), self.data.as_slice()) {
            (_, []) => f.write_str("#"),
            (true, [first, rest @ ..]) => {
                write!(f, "\\x{first:02x}")?;
                text::escape(rest, f)
            }
            _ => text::escape(&self.data, f),
        }
    }
}
fn prefix(kind: IdType) -> Option<&'static str> {
    PREFIXES.iter().find(|(_, k)| *k == kind).map(|(prefix, _)| *prefix)
}

impl FromStr for Id {
    type Err = String;
    /// An address, a name (also after `@`), `user@name`, `CN=..., O=...`, or one of the prefixes `ipv4: ipv6: fqdn: email: keyid: dn: asn1dn:`; after a
    /// prefix `0x` or `#` introduces hexadecimal digits, and `\xHH` is one octet. `Err` says what is wrong and what to write.
    fn from_str(s: &str) -> Result<Self, String> {
        let id = match explicit(s) {
            Some(id) => id?,
            None => implicit(s)?,
        };
        if id.data.len() > MAX_ID {
            return Err(format!("an ID has at most {MAX_ID} octets, this one has {}", id.data.len()));
        }
        Ok(id)
    }
}

/// An ID with a prefix that tells the type.
fn explicit(s: &str) -> Option<Result<Id, String>> {
    let (prefix, value) = s.split_once(':')?;
    let number = || prefix.strip_prefix('{')?.strip_suffix('}')?.parse().ok().map(IdType);
    let kind = PREFIXES.iter().find(|(p, _)| *p == prefix).map(|(_, kind)| *kind).or_else(number)?;
    let data = match (hexadecimal_digits(value.as_bytes()), kind) {
        (Some(digits), _) => hex::decode(digits).map_err(|e| format!("`{s}`: hexadecimal digits expected: {e}")),
        (None, IdType::IPV4_ADDR) => {
            value.parse().map(|a: Ipv4Addr| a.octets().into()).map_err(|e| format!("`{value}`: {e}"))
        }
        (None, IdType::IPV6_ADDR) => {
            value.parse().map(|a: Ipv6Addr| a.octets().into()).map_err(|e| format!("`{value}`: {e}"))
        }
        (None, IdType::DER_ASN1_DN) => dn::from_text(value),
        (None, _) if value.is_empty() => Err(format!("nothing behind `{prefix}:`")),
        (None, _) => Ok(text::unescape(value)),
    };
    Some(data.map(|data| Id { kind, data }))
}

/// What introduces hexadecimal digits leaves them.
fn hexadecimal_digits(value: &[u8]) -> Option<&[u8]> {
    value.strip_prefix(b"#").or_else(|| value.strip_prefix(b"0x"))
}

/// An ID whose looks tell the type.
fn implicit(s: &str) -> Result<Id, String> {
    let name = |kind, name: &str| {
        if name.is_empty()
            || name.contains(|c: char| c.is_whitespace() || text::is_hostile(c) || matches!(c, ':' | '=' | '\\'))
        {
            return Err(format!(
                "`{s}` is not an ID: write an address, a name, user@name, or one of the prefixes ipv4: ipv6: fqdn: email: keyid: dn: asn1dn:"
            ));
        }
        Ok(Id { kind, data: name.into() })
    };
    if let Ok(addr) = s.parse::<IpAddr>() {
        Ok(addr.into())
    } else if s == "%any" {
        Err("`%any` names nobody: it stands for all peers, and only where the configuration allows that".into())
    } else if let Some(digits) = s.strip_prefix("@#") {
        Ok(Id {
            kind: IdType::KEY_ID,
            data: hex::decode(digits).map_err(|e| format!("`{s}`: hexadecimal digits expected: {e}"))?,
        })
    } else if let Some(mailbox) = s.strip_prefix("@@") {
        name(IdType::RFC822_ADDR, mailbox)
    } else if let Some(host) = s.strip_prefix('@') {
        name(IdType::FQDN, host)
    } else if s.contains('=') {
        Ok(Id { kind: IdType::DER_ASN1_DN, data: dn::from_text(s)? })
    } else if s.contains('@') {
        name(IdType::RFC822_ADDR, s)
    } else {
        name(IdType::FQDN, s)
    }
}

#[cfg(test)]
mod tests;
