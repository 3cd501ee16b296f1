//! Terraform's language (HCL): blocks, attributes, and strings in which nothing is evaluated.
use super::Facing;
use super::lines::Lines;
use super::text::PSK;
use crate::crypto::secret::Secret;

/// A file under way.
pub(super) struct Hcl(Lines);
impl Hcl {
    pub(super) fn new(facing: &Facing, what: &str) -> Self {
        Self(Lines::with_header("#", facing, what))
    }
    pub(super) fn note(&mut self, text: &str) {
        self.0.note(text);
    }
    /// `resource "kind" "name" { ... }` with a comment before it.
    pub(super) fn resource(&mut self, comment: &str, kind: &str, name: &str, body: impl FnOnce(&mut Self)) {
        self.0.block(comment);
        self.open(&format!("resource {} {}", string(kind), string(name)), body);
    }
    /// A block in a block.
    pub(super) fn block(&mut self, name: &str, body: impl FnOnce(&mut Self)) {
        self.open(name, body);
    }
    fn open(&mut self, head: &str, body: impl FnOnce(&mut Self)) {
        self.0.put(format!("{head} {{"));
        self.0.deeper();
        body(self);
        self.0.back();
        self.0.put("}");
    }
    /// A text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.0.put(format!("{name} = {}", string(text)));
    }
    /// Texts.
    pub(super) fn texts<S: AsRef<str>>(&mut self, name: &str, texts: &[S]) {
        let all: Vec<String> = texts.iter().map(|text| string(text.as_ref())).collect();
        self.0.put(format!("{name} = [{}]", all.join(", ")));
    }
    /// A number, `true`, or another resource's attribute.
    pub(super) fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        self.0.put(format!("{name} = {value}"));
    }
    /// The secret.
    pub(super) fn secret(&mut self, name: &str) {
        self.0.put(format!("{name} = {PSK}"));
    }
    pub(super) fn finish(self) -> String {
        self.0.text()
    }
}

/// A quoted string without a template in it.
pub(super) fn string(text: &str) -> String {
    let mut out = String::from("\"");
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '$' | '%' if chars.peek() == Some(&'{') => {
                out.push(c);
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

/// A JSON document, with the mark where it has the secret.
pub(super) fn json_text(document: &serde_json::Value) -> String {
    let text = serde_json::to_string_pretty(document).unwrap_or_default() + "\n";
    text.replace("\"\\u0001\"", &PSK.to_string())
}
/// A secret, which is printable, in JSON.
pub(super) fn quote_json(secret: &Secret) -> Secret {
    super::text::quoted(secret, b"\"\\")
}

/// The same of a secret, which is printable.
pub(super) fn quote(secret: &Secret) -> Secret {
    let octets = secret.expose();
    let mut out = Secret::new(Vec::with_capacity(2 * octets.len() + 2));
    out.extend(b"\"");
    for (n, octet) in octets.iter().enumerate() {
        match octet {
            b'"' | b'\\' => out.extend(b"\\"),
            b'$' | b'%' if octets.get(n + 1) == Some(&b'{') => out.extend(&[*octet]),
            _ => {}
        }
        out.extend(&[*octet]);
    }
    out.extend(b"\"");
    out
}
