//! Protected messages: one direction seals, the other opens, in one datagram or several (RFC 7296 section 3.14, RFC 5282, RFC 7383).
use super::common::Cx;
use super::event::{DirectionKeys, Event, KeyLog};
use super::exchange::Arrival;
use super::inbox::{Early, Inbox};
use super::sa::Core;
use crate::crypto::cipher::{Cipher, PacketKey};
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crate::frozen::{Frozen, Reader, Thaw, Writer, frozen};
use crate::wire::fragment::{SKF_HEADER_LEN, split};
use crate::wire::message::{HEADER_LEN, Header, Message, ParseError, encode_chain, parse_chain};
use crate::wire::payload::Payload;
use crate::wire::registry::PayloadType;
use std::time::Duration;

/// The header of the SK payload.
const SK_HEADER_LEN: usize = 4;

/// So many counters are left out where another process goes on with a key: whatever this one may have sealed that it does not know of.
pub(super) const GAP: u64 = 1 << 16;

/// Seals our messages and opens the peer's.
pub(super) struct Channel {
    cipher: Cipher,
    /// As they were derived. What they are expanded to, a thousand octets and more, would lie idle from one liveness check to the next.
    ours: DirectionKeys,
    theirs: DirectionKeys,
    iv_key: [u8; 16],
    /// Never repeats under `ours`, whatever is cut anew: the IV of an AEAD, or what a CBC IV is made of.
    counter: u64,
    pub(super) inbox: Inbox,
}
/// Handed over: the counter goes on behind a gap.
impl Frozen for Channel {
    fn freeze(&self, out: &mut Writer) {
        let Self { cipher, ours, theirs, iv_key, counter, inbox } = self;
        cipher.freeze(out);
        ours.freeze(out);
        theirs.freeze(out);
        iv_key.freeze(out);
        counter.freeze(out);
        inbox.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let cipher = Cipher::thaw(input)?;
        let [ours, theirs] = <[DirectionKeys; 2]>::thaw(input)?;
        let lens = (cipher.encr_key_len(), cipher.integ_key_len());
        if [&ours, &theirs].into_iter().any(|keys| (keys.encr.len(), keys.integ.len()) != lens) {
            return Err(Thaw::Value("key"));
        }
        let iv_key = Frozen::thaw(input)?;
        let counter = u64::thaw(input)?.checked_add(GAP).ok_or(Thaw::Value("counter"))?;
        Ok(Self { cipher, ours, theirs, iv_key, counter, inbox: Frozen::thaw(input)? })
    }
}
/// A protected message before it is sealed, or after it was opened.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Inner {
    /// Its header; in front of fragments it is that of the whole message, but for `first` and `length`.
    pub header: Header,
    /// Type of the first payload inside.
    pub first: PayloadType,
    /// The payloads inside, without padding.
    pub octets: Vec<u8>,
}
impl Inner {
    /// A message of ours.
    pub(super) fn new(header: Header, payloads: &[Payload]) -> Self {
        let (first, octets) = encode_chain(payloads);
        Self { header, first, octets }
    }
    /// What AUTH covers of it if it belongs to an intermediate exchange: everything but IV, padding and ICV, with the lengths that it has
    /// without them (RFC 9242 section 3.3.2).
    pub(super) fn covered(&self) -> Vec<u8> {
        let header = Header { first: PayloadType::SK, ..self.header };
        let head = [&header.encode()[..], &[self.first.0, 0, 0, 0]].concat();
        covered(head, &self.octets)
    }
    /// The payloads.
    pub(super) fn payloads(&self) -> Result<Vec<Payload>, ParseError> {
        parse_chain(self.first, &self.octets)
    }
}
/// A message of the peer.
#[derive(Debug)]
pub(super) struct Opened {
    pub inner: Inner,
    /// If it came in fragments: the length of the largest of these messages.
    pub largest: Option<usize>,
    /// If it came in one piece: everything up to the end of the SK payload's header, octet for octet.
    pub head: Option<Vec<u8>>,
}
impl Opened {
    /// What AUTH covers of it if it belongs to an intermediate exchange (RFC 9242 section 3.3.2).
    pub(super) fn covered(&self) -> Vec<u8> {
        match &self.head {
            Some(head) => covered(head.clone(), &self.inner.octets),
            None => self.inner.covered(),
        }
    }
}
/// The head of a message and its inner payloads, with lengths to match.
fn covered(mut head: Vec<u8>, inside: &[u8]) -> Vec<u8> {
    let length = (head.len() + inside.len()) as u32;
    head[HEADER_LEN - 4..HEADER_LEN].copy_from_slice(&length.to_be_bytes());
    let at = head.len() - 2;
    head[at..].copy_from_slice(&((SK_HEADER_LEN + inside.len()) as u16).to_be_bytes());
    head.extend_from_slice(inside);
    head
}
/// Why there is no message (yet).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    /// Not from the peer, or damaged, or no fragment that is of use: as if it had never come.
    Icv,
    /// A fragment from the peer; others are missing.
    Waiting,
    /// From the peer, but what is inside does not parse.
    Inside(ParseError),
}
/// A message of ours as it travels: what is retransmitted, octet for octet.
#[derive(Clone, Debug, Default)]
pub(super) struct Sealed {
    datagrams: Vec<Vec<u8>>,
    /// What it is made of, if it may have to be cut smaller.
    inner: Option<Box<Inner>>,
    /// It travels as it is, or not at all.
    pub dont_fragment: bool,
}
frozen! { struct Sealed { datagrams, inner, dont_fragment } }
impl From<Vec<u8>> for Sealed {
    /// A message in the clear, which is never cut.
    fn from(message: Vec<u8>) -> Self {
        Self { datagrams: vec![message], inner: None, dont_fragment: false }
    }
}
impl Sealed {
    /// One message, or its fragments.
    pub(super) fn datagrams(&self) -> &[Vec<u8>] {
        &self.datagrams
    }
}

impl Channel {
    pub(super) fn new(cipher: Cipher, ours: (&Secret, &Secret), theirs: (&Secret, &Secret), rng: &mut dyn Rng) -> Self {
        let mut iv_key = [0; 16];
        rng.fill(&mut iv_key);
        Self {
            cipher,
            ours: DirectionKeys { encr: ours.0.clone(), integ: ours.1.clone() },
            theirs: DirectionKeys { encr: theirs.0.clone(), integ: theirs.1.clone() },
            iv_key,
            counter: 0,
            inbox: Inbox::default(),
        }
    }
    /// Seals a message: one with SK as its only payload or, if that is longer than `room`, its fragments (RFC 7383 section 2.5). The
    /// header's length and first payload are filled in.
    pub(super) fn seal(&mut self, header: Header, payloads: &[Payload], room: usize) -> Sealed {
        let inner = Inner::new(header, payloads);
        let datagrams = self.cut(&inner, room);
        let may_shrink = room != usize::MAX && datagrams.iter().any(|d| d.len() > super::size::SMALLEST);
        Sealed { datagrams, inner: may_shrink.then(|| inner.into()), dont_fragment: false }
    }
    /// Seals a message in one piece that nobody on the way may cut, however long it is; until it has to `relent`.
    pub(super) fn seal_whole(&mut self, header: Header, payloads: &[Payload]) -> Sealed {
        let inner = Inner::new(header, payloads);
        let datagrams = self.cut(&inner, usize::MAX);
        Sealed { datagrams, inner: Some(inner.into()), dont_fragment: true }
    }
    /// Whoever has to on the way may cut the message from now on, and it travels in fragments of at most `room` octets besides, if it is longer.
    /// Each form alone fails somewhere: some paths swallow what IP has cut, and strongSwan, as Debian builds it, a fragmented INFORMATIONAL.
    pub(super) fn relent(&mut self, sealed: &mut Sealed, room: usize) {
        sealed.dont_fragment = false;
        let whole = sealed.datagrams.clone();
        if self.shrink(sealed, room) {
            sealed.datagrams.extend(whole);
        }
    }
    /// Cuts a message anew, under new IVs, so that no datagram is longer than `room`. False if it stays as it is: only a greater number of
    /// fragments tells the new ones from the old (RFC 7383 section 2.5.2).
    pub(super) fn shrink(&mut self, sealed: &mut Sealed, room: usize) -> bool {
        let Some(inner) = &sealed.inner else { return false };
        if sealed.datagrams.iter().all(|d| d.len() <= room) {
            return false;
        }
        let datagrams = self.cut(inner, room);
        let finer = datagrams.len() > sealed.datagrams.len();
        if finer {
            sealed.datagrams = datagrams;
        }
        finer
    }
    /// Seals these octets in datagrams of at most `room` octets.
    pub(super) fn cut(&mut self, inner: &Inner, room: usize) -> Vec<Vec<u8>> {
        let whole = HEADER_LEN + SK_HEADER_LEN + self.sealed_len(inner.octets.len());
        // Whatever fits in no number of fragments does not fit in the length fields either.
        let ranges =
            if whole <= room { None } else { split(inner.octets.len(), self.most_inside(SKF_HEADER_LEN, room)) };
        let Some(ranges) = ranges else {
            return vec![self.seal_one(inner, PayloadType::SK, &[], inner.first, &inner.octets)];
        };
        let total = ranges.len() as u16;
        let fragment = |(number, range): (u16, std::ops::Range<usize>)| {
            let first = if number == 1 { inner.first } else { PayloadType::NONE };
            let numbers = [number.to_be_bytes(), total.to_be_bytes()].concat();
            self.seal_one(inner, PayloadType::SKF, &numbers, first, inner.octets.get(range).unwrap_or_default())
        };
        (1..).zip(ranges).map(fragment).collect()
    }
    /// Octets of IV, padded plaintext and ICV.
    fn sealed_len(&self, plain: usize) -> usize {
        let cipher = self.cipher;
        cipher.iv_len() + (plain + 1).next_multiple_of(self.block()) + cipher.icv_len()
    }
    /// The longest inner payloads of a message of at most `room` octets in one piece. It is shorter than `room` by less than a block.
    pub(super) fn most_in_one(&self, room: usize) -> usize {
        self.most_inside(SK_HEADER_LEN, room)
    }
    /// The same behind an encrypted payload's own header of this length.
    fn most_inside(&self, head: usize, room: usize) -> usize {
        let body = room.saturating_sub(HEADER_LEN + head + self.sealed_len(0) - self.block());
        (body - body % self.block()).saturating_sub(1)
    }
    fn block(&self) -> usize {
        let cipher = self.cipher;
        if cipher.is_aead() { 1 } else { cipher.block() }
    }
    /// One message with one encrypted payload, whose own header ends with `numbers`.
    pub(super) fn seal_one(
        &mut self,
        inner: &Inner,
        kind: PayloadType,
        numbers: &[u8],
        first: PayloadType,
        plain: &[u8],
    ) -> Vec<u8> {
        let cipher = self.cipher;
        let body = SK_HEADER_LEN + numbers.len() + self.sealed_len(plain.len());
        let header = Header { first: kind, length: (HEADER_LEN + body) as u32, ..inner.header };
        let mut message = Vec::with_capacity(HEADER_LEN + body);
        message.extend_from_slice(&header.encode());
        message.extend_from_slice(&[first.0, 0]);
        message.extend_from_slice(&(body as u16).to_be_bytes());
        message.extend_from_slice(numbers);
        let aad = message.len();
        message.resize(aad + cipher.iv_len(), 0);
        message.extend_from_slice(plain);
        let pad = self.block() - 1 - plain.len() % self.block();
        message.resize(message.len() + pad, 0);
        message.push(pad as u8);
        message.resize(message.len() + cipher.icv_len(), 0);
        let (aad, buf) = message.split_at_mut(aad);
        self.sealing().seal(self.counter, aad, buf, &[]);
        self.counter += 1;
        message
    }

    /// Opens a datagram; of a fragment the whole message, once it is the last one that was missing. Fragments are kept within the limit
    /// of the policy, each only after its own ICV was found right.
    pub(super) fn open(&mut self, cx: &Cx<'_>, data: &[u8]) -> Result<Opened, OpenError> {
        self.open_within(cx.now, cx.policy().limits.reassembly_bytes, data)
    }
    /// The same with the time and the limit in octets.
    pub(super) fn open_within(&mut self, now: Duration, limit: usize, data: &[u8]) -> Result<Opened, OpenError> {
        let message = Message::parse(data).map_err(|_| OpenError::Icv)?;
        let header = message.header;
        match message.payloads.last() {
            Some(Payload::Encrypted(sk)) => {
                let octets = self.plain(data, &sk.body)?;
                self.inbox.forget(&header);
                let head = data.get(..data.len() - sk.body.len()).map(<[u8]>::to_vec);
                Ok(Opened { inner: Inner { header, first: sk.first, octets }, largest: None, head })
            }
            Some(Payload::Fragment(skf)) => {
                if !self.inbox.wants(&header, skf) {
                    return Err(OpenError::Icv);
                }
                let octets = self.plain(data, &skf.body)?;
                self.inbox.insert(now, limit, header, skf, octets)
            }
            _ => Err(OpenError::Icv),
        }
    }
    /// True for a retransmission of a request that is answered already, and to be answered again: of fragments only the first one asks
    /// for it (RFC 7383 section 2.6.1). Nothing is kept of it.
    pub(super) fn asks_again(&self, data: &[u8]) -> bool {
        let Ok(message) = Message::parse(data) else { return false };
        match message.payloads.last() {
            Some(Payload::Encrypted(sk)) => self.plain(data, &sk.body).is_ok(),
            Some(Payload::Fragment(skf)) if skf.number == 1 => self.plain(data, &skf.body).is_ok(),
            _ => false,
        }
    }
    /// Opens the encrypted payload at the end of `data`. The padding is not looked at (RFC 7296 section 3.14), only its length.
    fn plain(&self, data: &[u8], body: &[u8]) -> Result<Vec<u8>, OpenError> {
        let at = data.len().checked_sub(body.len()).ok_or(OpenError::Icv)?;
        let mut buf = body.to_vec();
        let plain = self.expand(&self.theirs).open(&data[..at], &mut buf, &[]).map_err(|_| OpenError::Icv)?;
        let plain = &buf[plain];
        let pad = *plain.last().ok_or(OpenError::Inside(ParseError::Syntax("no pad length")))? as usize;
        let inside = plain.len().checked_sub(1 + pad).ok_or(OpenError::Inside(ParseError::Syntax("pad length")))?;
        Ok(plain[..inside].to_vec())
    }
    /// The key of our direction.
    pub(super) fn sealing(&self) -> PacketKey {
        self.expand(&self.ours)
    }
    fn expand(&self, keys: &DirectionKeys) -> PacketKey {
        PacketKey::new(self.cipher, keys.encr.expose(), keys.integ.expose(), self.iv_key)
    }
    /// Keeps a request until those before it have been answered.
    pub(super) fn park(&mut self, cx: &Cx<'_>, inner: Inner, from: &Arrival<'_>) {
        let early = Early { inner, local: from.local, remote: from.remote };
        self.inbox.park(cx.policy().limits.reassembly_bytes, early);
    }
    /// The request with this id, if it came before its turn.
    pub(super) fn parked(&mut self, id: u32) -> Option<Early> {
        self.inbox.next(id)
    }
    /// Shows the keys to whoever keeps the log, if this connection, as it is configured now, asks for that.
    pub(super) fn log_keys(&self, cx: &mut Cx<'_>, core: &Core, connection: &str) {
        let Some(link) = cx.common.links.get(connection).filter(|link| link.connection.keylog) else { return };
        let connection = link.connection.name.clone();
        let (ours, theirs) = (self.ours.clone(), self.theirs.clone());
        let (initiator, responder) = if core.initiator { (ours, theirs) } else { (theirs, ours) };
        let (spi_i, spi_r, cipher) = (core.spi_i, core.spi_r, self.cipher);
        cx.emit(Event::KeyLog(Box::new(KeyLog { connection, spi_i, spi_r, cipher, initiator, responder })));
    }
    /// When `tidy` has something to do.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.inbox.deadline()
    }
    /// Forgets fragments whose siblings did not come in time.
    pub(super) fn tidy(&mut self, now: Duration) {
        self.inbox.tidy(now);
    }
}
