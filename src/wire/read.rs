//! The one way to take bytes from a peer's buffer: by length, with an error when they are not there.
use super::message::ParseError;

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Starts at the first octet of `data`.
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }
    /// How many octets are left.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
    /// True at the end.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The next `len` octets; `what` names them in the error.
    pub(super) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], ParseError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(ParseError::Syntax(what))?;
        self.0 = tail;
        Ok(head)
    }
    /// The next `N` octets.
    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ParseError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(ParseError::Syntax(what))?;
        self.0 = tail;
        Ok(*head)
    }
    /// One octet.
    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, ParseError> {
        self.array::<1>(what).map(|[b]| b)
    }
    /// Two octets, big-endian.
    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, ParseError> {
        self.array(what).map(u16::from_be_bytes)
    }
    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
    /// A structure whose own length field, already read, counts `head` octets that are behind us.
    pub(super) fn body(&mut self, length: u16, head: usize, what: &'static str) -> Result<Reader<'a>, ParseError> {
        let len = usize::from(length).checked_sub(head).ok_or(ParseError::Syntax(what))?;
        self.take(len, what).map(Reader)
    }
}

/// Appends a structure that begins with `head` and whose 16-bit length field lies `at` octets into it. What a length field cannot tell is cut off:
/// none of ours comes near, and a peer must never see a length that lies.
pub(super) fn write_sized(out: &mut Vec<u8>, head: &[u8], at: usize, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(head);
    body(out);
    out.truncate(start + usize::from(u16::MAX));
    let len = (out.len() - start) as u16;
    if let Some(field) = out.get_mut(start + at..start + at + 2) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}
