//! Distinguished names: DER to text and back (X.501, RFC 4514), as much of them as identities need.
use super::text::is_hostile;
use crate::wire::read::Reader;
use std::fmt::Write;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const T61_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const BMP_STRING: u8 = 0x1e;

/// Names of attributes, their object identifiers, and the string type that each is written with. The first name is the one that we write.
const ATTRIBUTES: &[(&str, &[u8], u8)] = &[
    ("CN", &[0x55, 4, 3], UTF8_STRING),
    ("C", &[0x55, 4, 6], PRINTABLE_STRING),
    ("O", &[0x55, 4, 10], UTF8_STRING),
    ("OU", &[0x55, 4, 11], UTF8_STRING),
    ("L", &[0x55, 4, 7], UTF8_STRING),
    ("ST", &[0x55, 4, 8], UTF8_STRING),
    ("S", &[0x55, 4, 4], UTF8_STRING),
    ("SN", &[0x55, 4, 5], PRINTABLE_STRING),
    ("serialNumber", &[0x55, 4, 5], PRINTABLE_STRING),
    ("T", &[0x55, 4, 12], UTF8_STRING),
    ("G", &[0x55, 4, 42], UTF8_STRING),
    ("I", &[0x55, 4, 43], UTF8_STRING),
    ("E", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], IA5_STRING),
    ("emailAddress", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], IA5_STRING),
    ("DC", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], IA5_STRING),
    ("UID", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], UTF8_STRING),
];

/// `C=CH, O=x, CN=y` in the order of the encoding; `None` where something in it cannot be told as text.
pub(super) fn to_text(der: &[u8]) -> Option<String> {
    let mut outer = Reader::new(der);
    let mut names = Reader::new(value_of(&mut outer, SEQUENCE)?);
    if names.is_empty() || !outer.is_empty() {
        return None;
    }
    let mut out = String::new();
    while !names.is_empty() {
        let mut set = Reader::new(value_of(&mut names, SET)?);
        out.push_str(if out.is_empty() { "" } else { ", " });
        let mut plus = "";
        while !set.is_empty() {
            out.push_str(plus);
            plus = " + ";
            let mut pair = Reader::new(value_of(&mut set, SEQUENCE)?);
            write_type(value_of(&mut pair, OID)?, &mut out)?;
            out.push('=');
            let (tag, value) = element(&mut pair).filter(|(_, value)| !value.is_empty())?;
            write_value(&string(tag, value)?, &mut out);
            if !pair.is_empty() {
                return None;
            }
        }
        if plus.is_empty() {
            return None;
        }
    }
    Some(out)
}

/// The DER of `C=CH, O=x, CN=y`: a backslash takes the special meaning from the character behind it, or introduces two hexadecimal digits.
pub(super) fn from_text(text: &str) -> Result<Vec<u8>, String> {
    let mut names = Vec::new();
    for name in split(text, ',') {
        let mut pairs = Vec::new();
        for pair in split(name, '+') {
            let (kind, value) = pair.split_once('=').ok_or_else(|| {
                format!("`{}` in a distinguished name: type=value expected, as in `C=CH, O=x, CN=y`", pair.trim())
            })?;
            let (oid, tag) = attribute(kind.trim())?;
            let value = unescape(value).ok_or_else(|| {
                format!(
                    "`{}` in a distinguished name: a backslash at the end, or octets that are not UTF-8",
                    pair.trim()
                )
            })?;
            if value.is_empty() {
                return Err(format!("`{}` in a distinguished name has no value", kind.trim()));
            }
            let mut pair = Vec::new();
            push(&mut pair, OID, &oid)?;
            push(&mut pair, tag, value.as_bytes())?;
            let mut sequence = Vec::new();
            push(&mut sequence, SEQUENCE, &pair)?;
            pairs.push(sequence);
        }
        pairs.sort(); // DER: the members of a set in ascending order
        push(&mut names, SET, &pairs.concat())?;
    }
    let mut out = Vec::new();
    push(&mut out, SEQUENCE, &names)?;
    Ok(out)
}

fn value_of<'a>(r: &mut Reader<'a>, tag: u8) -> Option<&'a [u8]> {
    element(r).filter(|(t, _)| *t == tag).map(|(_, value)| value)
}

/// Tag and content of the next element; lengths of up to two octets, more fits into no ID.
fn element<'a>(r: &mut Reader<'a>) -> Option<(u8, &'a [u8])> {
    let [tag, first] = r.array("").ok()?;
    let len = match first {
        0..=0x7f => usize::from(first),
        0x81 => r.u8("").ok()?.into(),
        0x82 => r.u16("").ok()?.into(),
        _ => return None,
    };
    Some((tag, r.take(len, "").ok()?))
}

fn push(out: &mut Vec<u8>, tag: u8, value: &[u8]) -> Result<(), String> {
    let len = u16::try_from(value.len()).map_err(|_| "distinguished name too long")?;
    let [high, low] = len.to_be_bytes();
    match len {
        0..0x80 => out.extend_from_slice(&[tag, low]),
        0x80..0x100 => out.extend_from_slice(&[tag, 0x81, low]),
        _ => out.extend_from_slice(&[tag, 0x82, high, low]),
    }
    out.extend_from_slice(value);
    Ok(())
}

fn string(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8_STRING => String::from_utf8(value.into()).ok(),
        PRINTABLE_STRING | IA5_STRING if value.is_ascii() => String::from_utf8(value.into()).ok(),
        T61_STRING => Some(value.iter().map(|b| char::from(*b)).collect()),
        BMP_STRING => {
            let (units, []) = value.as_chunks::<2>() else { return None };
            char::decode_utf16(units.iter().map(|u| u16::from_be_bytes(*u))).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// The short name of an attribute, or the object identifier with dots.
fn write_type(oid: &[u8], out: &mut String) -> Option<()> {
    if let Some((name, ..)) = ATTRIBUTES.iter().find(|(_, o, _)| *o == oid) {
        out.push_str(name);
        return Some(());
    }
    let mut arcs = oid.split_inclusive(|b| b & 0x80 == 0).map(|arc| {
        (arc.len() <= 4 && arc.last()? & 0x80 == 0).then(|| arc.iter().fold(0u32, |n, b| n << 7 | u32::from(b & 0x7f)))
    });
    let first = arcs.next()??;
    let root = (first / 40).min(2);
    write!(out, "{root}.{}", first - root * 40).ok()?;
    for arc in arcs {
        write!(out, ".{}", arc?).ok()?;
    }
    Some(())
}

/// The octets of an attribute's object identifier and the string type of its value.
fn attribute(name: &str) -> Result<(Vec<u8>, u8), String> {
    if let Some((_, oid, tag)) = ATTRIBUTES.iter().find(|(n, ..)| n.eq_ignore_ascii_case(name)) {
        return Ok((oid.to_vec(), *tag));
    }
    dotted(name).map(|oid| (oid, UTF8_STRING)).ok_or_else(|| {
        format!("unknown attribute type `{name}` in a distinguished name: write C, O, OU, CN, L, ST, E, DC, UID, serialNumber or an object identifier")
    })
}

fn dotted(name: &str) -> Option<Vec<u8>> {
    let arcs =
        name.split('.').map(|arc| arc.parse::<u32>().ok().filter(|n| *n < 1 << 28)).collect::<Option<Vec<_>>>()?;
    let [root @ 0..=2, second, rest @ ..] = arcs.as_slice() else { return None };
    if *root < 2 && *second >= 40 {
        return None;
    }
    let mut out = Vec::new();
    for arc in std::iter::once(root * 40 + second).chain(rest.iter().copied()) {
        let groups = (1..5).find(|n| arc >> (7 * n) == 0)?;
        out.extend((0..groups).rev().map(|i| (arc >> (7 * i)) as u8 & 0x7f | if i == 0 { 0 } else { 0x80 }));
    }
    Some(out)
}

/// RFC 4514 section 2.4: what would end a value or not survive the reading gets a backslash.
fn write_value(value: &str, out: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        let edge = (c == ' ' && (i == 0 || i == last)) || (c == '#' && i == 0);
        if is_hostile(c) {
            for b in c.encode_utf8(&mut [0; 4]).bytes() {
                let _ = write!(out, "\\{b:02X}"); // into a String: cannot fail
            }
        } else {
            if edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=') {
                out.push('\\');
            }
            out.push(c);
        }
    }
}

/// The value without escapes and without the white space around it.
fn unescape(value: &str) -> Option<String> {
    let value = value.trim_ascii_start();
    let mut out = Vec::with_capacity(value.len());
    let mut keep = 0; // white space up to here was escaped
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' {
            let escaped = chars.next()?;
            let pair = escaped.to_digit(16).zip(chars.clone().next().and_then(|low| low.to_digit(16)));
            if let Some((high, low)) = pair {
                chars.next();
                out.push((high << 4 | low) as u8);
                keep = out.len();
                continue;
            }
            keep = out.len() + escaped.len_utf8();
            escaped
        } else {
            c
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    while out.len() > keep && out.last().is_some_and(u8::is_ascii_whitespace) {
        out.pop();
    }
    String::from_utf8(out).ok()
}

/// The parts between separators that no backslash stands before.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let here = c == separator && !escaped;
        escaped = c == '\\' && !escaped;
        here
    })
}
