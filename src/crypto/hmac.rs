//! HMAC (RFC 2104), for one message or for several by turns.
//!
//! Every step of a hash waits for the one before it. So of several messages each advances by one block in turn: while the processor waits
//! for one, it begins with the next, if that is near enough in the program. It is not where a whole hash object stands between two
//! blocks, as ring's does, which does not wipe what it made of a key either: hence the bare block functions.
use super::sha::Hash;
use std::array::from_fn;
use std::slice;
use zeroize::{Zeroize, Zeroizing};

/// As many messages as keep the processor busy.
pub(super) const WAYS: usize = 4;

/// An expanded key: the states behind its two blocks. Wiped when dropped.
pub(super) struct Hmac<H: Hash<BLOCK>, const BLOCK: usize> {
    inner: H::State,
    outer: H::State,
}

impl<H: Hash<BLOCK>, const BLOCK: usize> Hmac<H, BLOCK> {
    /// Any length of key.
    pub(super) fn new(key: &[u8]) -> Self {
        let mut block = Zeroizing::new([0; BLOCK]);
        match block.get_mut(..key.len()) {
            Some(room) => room.copy_from_slice(key),
            None => Message::<H, BLOCK>::hash(key, &mut block[..H::LEN]),
        }
        let [inner, outer] = [0x36, 0x5c].map(|pad| {
            let padded = Zeroizing::new(block.map(|octet| octet ^ pad));
            let mut state = H::START;
            H::compress(&mut state, slice::from_ref(&padded));
            state
        });
        Self { inner, outer }
    }

    /// The MAC of the parts, one behind the other, as far as `out` goes. It may become a key: what it went through is wiped.
    pub(super) fn mac(&self, parts: &[&[u8]], out: &mut [u8]) {
        let mut message = Zeroizing::new(self.message(parts));
        self.turns(slice::from_mut(&mut *message), usize::MAX);
        message.write(out);
    }

    /// The MACs of at most [`WAYS`] messages, as far as each `out` goes.
    pub(super) fn macs<const PARTS: usize, const LEN: usize>(
        &self,
        messages: &[[&[u8]; PARTS]],
        out: &mut [[u8; LEN]],
    ) {
        if let ([parts], [out, ..]) = (messages, &mut *out) {
            let mut message = self.message(parts);
            self.turns(slice::from_mut(&mut message), usize::MAX);
            return message.write(out);
        }
        let mut all: [_; WAYS] = from_fn(|i| self.message(messages.get(i).map_or(&[], |parts| &parts[..])));
        let all = &mut all[..messages.len()];
        self.turns(all, 1);
        all.iter().zip(out).for_each(|(message, out)| message.write(out));
    }

    fn message<'m>(&self, parts: &'m [&'m [u8]]) -> Message<'m, H, BLOCK> {
        Message::new(self.inner, BLOCK, parts)
    }

    /// All of them to the end, each by so many blocks in turn.
    fn turns(&self, messages: &mut [Message<'_, H, BLOCK>], blocks: usize) {
        let mut more = true;
        while std::mem::take(&mut more) {
            for message in &mut *messages {
                more |= message.advance(blocks, &self.outer);
            }
        }
    }
}

impl<H: Hash<BLOCK>, const BLOCK: usize> Drop for Hmac<H, BLOCK> {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// A message on its way through both hashes.
struct Message<'m, H: Hash<BLOCK>, const BLOCK: usize> {
    state: H::State,
    /// In all, with the key's block.
    octets: usize,
    rest: &'m [u8],
    parts: &'m [&'m [u8]],
    /// One that does not lie together in a part.
    block: [u8; BLOCK],
    next: Next,
}

/// What the next block is made of.
#[derive(PartialEq)]
enum Next {
    Text,
    /// The length, for which the text's last block had no room.
    Length,
    /// The inner hash.
    Outer,
    Nothing,
}

impl<'m, H: Hash<BLOCK>, const BLOCK: usize> Message<'m, H, BLOCK> {
    /// `before`: octets that `state` has taken in.
    fn new(state: H::State, before: usize, parts: &'m [&'m [u8]]) -> Self {
        let octets = before + parts.iter().map(|part| part.len()).sum::<usize>();
        Self { state, octets, rest: &[], parts, block: [0; BLOCK], next: Next::Text }
    }

    /// The bare hash.
    fn hash(text: &[u8], out: &mut [u8]) {
        let parts = [text];
        let mut message = Zeroizing::new(Message::<H, BLOCK>::new(H::START, 0, &parts));
        while message.next != Next::Outer {
            message.advance(usize::MAX, &H::START);
        }
        message.write(out);
    }

    /// One block more, or so many as lie together; false if there is none. `outer`: where the outer hash begins.
    #[inline]
    fn advance(&mut self, blocks: usize, outer: &H::State) -> bool {
        match self.next {
            Next::Text => self.text(blocks),
            Next::Length => {
                self.block.fill(0);
                self.end(Next::Outer);
            }
            Next::Outer => {
                H::write(&self.state, &mut self.block[..H::LEN]);
                self.state = *outer;
                self.octets = BLOCK + H::LEN;
                self.padding(H::LEN);
                self.end(Next::Nothing);
            }
            Next::Nothing => return false,
        }
        true
    }

    #[inline]
    fn text(&mut self, blocks: usize) {
        let (whole, _) = self.rest.as_chunks();
        if !whole.is_empty() {
            let whole = &whole[..whole.len().min(blocks)];
            self.rest = &self.rest[whole.as_flattened().len()..];
            return H::compress(&mut self.state, whole);
        }
        let mut filled = 0;
        while filled < BLOCK {
            let (now, later) = self.rest.split_at(self.rest.len().min(BLOCK - filled));
            self.block[filled..][..now.len()].copy_from_slice(now);
            filled += now.len();
            self.rest = later;
            if self.rest.is_empty() {
                match self.parts.split_off_first() {
                    Some(part) => self.rest = part,
                    None => break,
                }
            }
        }
        if filled == BLOCK {
            return H::compress(&mut self.state, slice::from_ref(&self.block));
        }
        self.padding(filled);
        if filled < BLOCK - H::LENGTH {
            self.end(Next::Outer);
        } else {
            self.next = Next::Length;
            H::compress(&mut self.state, slice::from_ref(&self.block));
        }
    }

    /// A one, then zeros (RFC 6234 section 4).
    fn padding(&mut self, from: usize) {
        self.block[from] = 0x80;
        self.block[from + 1..].fill(0);
    }

    /// The last block of a hash: the length in bits stands at its end.
    fn end(&mut self, next: Next) {
        self.block[BLOCK - size_of::<u64>()..].copy_from_slice(&(self.octets as u64 * 8).to_be_bytes());
        H::compress(&mut self.state, slice::from_ref(&self.block));
        self.next = next;
    }

    fn write(&self, out: &mut [u8]) {
        let len = out.len().min(H::LEN);
        H::write(&self.state, &mut out[..len]);
    }
}

impl<H: Hash<BLOCK>, const BLOCK: usize> Zeroize for Message<'_, H, BLOCK> {
    fn zeroize(&mut self) {
        self.state.zeroize();
        self.block.zeroize();
    }
}
