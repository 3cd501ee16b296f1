//! From the wire to the inner packet, in order: precheck, open, commit, tunnel_payload.
use super::drop::Drop;
use super::layout::Layout;
use super::line::{CACHE_LINE, Line};
use super::replay::{Authentic, Seen, Window};
use super::{Covered, SaParams};
use crate::crypto::cipher::{BadIcv, Body, OPENED_TOGETHER as BATCH, PacketKey};
use crate::crypto::integ::Integ;
use crate::crypto::prf::Prf;
use crate::wire::{esp, ip};
use std::array::from_fn;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The receiving half of a child. Shared by workers.
#[derive(Debug)]
pub struct InboundSa {
    params: SaParams,
    key: PacketKey,
    layout: Layout,
    aead: bool,
    seen: Arc<Seen>,
    window: Line<Mutex<Window>>,
}

const _: () = assert!(align_of::<InboundSa>() >= CACHE_LINE && align_of::<Seen>() >= CACHE_LINE);

/// Octets of an ICV of 96 bits.
const CUT: usize = 12;

/// What `open` proved and found.
#[derive(Debug)]
pub struct Opened {
    /// For `commit`.
    pub proof: Authentic,
    /// Where the payload stands in the packet (TFC padding included, trailer excluded).
    pub payload: Range<usize>,
    /// Next header: 4, 41, 59 or a transport protocol.
    pub next_header: u8,
}

/// The inner packet of tunnel mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inner {
    /// Where it stands in the ESP packet, TFC padding excluded.
    pub range: Range<usize>,
    /// What its header says.
    pub ip: ip::Packet,
}

impl InboundSa {
    /// `window`: size of the replay window, in packets (see `Window::new`).
    pub fn new(params: &SaParams, window: u32) -> Self {
        Self::resume(params, Window::new(window))
    }

    /// An SA that has opened packets before, with what its window has seen.
    pub fn resume(params: &SaParams, window: Window) -> Self {
        Self {
            key: PacketKey::new(params.cipher, params.encr.expose(), params.integ.expose(), [0; 16]),
            layout: Layout::of(params.cipher),
            aead: params.cipher.is_aead(),
            seen: window.seen(),
            window: Line(Mutex::new(window)),
            params: params.clone(),
        }
    }

    /// The full sequence number of a packet, guessed for ESN (RFC 4303 appendix A2), not old and not replayed as far as can be seen now.
    /// Takes no lock. `TooShort`, `TooOld`, `Replayed`.
    pub fn precheck(&self, packet: &[u8]) -> Result<u64, Drop> {
        self.layout.check(packet.len())?;
        let (_, low) = esp::parse_header(packet).ok_or(Drop::TooShort)?;
        let seq = if self.params.esn { self.seen.extend(low)? } else { u64::from(low) };
        self.seen.check(seq)?;
        Ok(seq)
    }

    /// Verifies and decrypts `packet` (ESP header to ICV) in place. `seq` is what `precheck` said.
    /// `TooShort`, `BadIcv`, `BadPadding`; after any of them nothing in `packet` may be used.
    pub fn open(&self, seq: u64, packet: &mut [u8]) -> Result<Opened, Drop> {
        self.layout.check(packet.len())?;
        let covered = self.covered(seq);
        let body = &mut packet[esp::HEADER_LEN..];
        let plain = self.key.open(covered.front(), body, covered.behind());
        opened(seq, body, plain)
    }

    /// `precheck` and `open` for packets that came together, each with a mark by which `each` knows it again. Those that are opened come
    /// in order; what is wrong with one is nothing to the others. Of CBC several are verified side by side.
    pub fn open_run<'p, T>(
        &self,
        mut packets: impl ExactSizeIterator<Item = (T, &'p mut [u8])>,
        mut each: impl FnMut(T, Result<Opened, Drop>),
    ) {
        if self.aead || packets.len() == 1 {
            return packets.for_each(|(mark, packet)| {
                let result = self.precheck(packet).and_then(|seq| self.open(seq, packet));
                each(mark, result);
            });
        }
        while self.open_batch(&mut packets, &mut each) == BATCH {}
    }

    /// Opens so many of the packets as are opened together; how many.
    fn open_batch<'p, T>(
        &self,
        packets: &mut impl Iterator<Item = (T, &'p mut [u8])>,
        each: &mut impl FnMut(T, Result<Opened, Drop>),
    ) -> usize {
        let mut covered = [Covered::default(); BATCH];
        let mut texts: [&mut [u8]; BATCH] = from_fn(|_| &mut [][..]);
        let mut marks = [const { None }; BATCH];
        let mut count = 0;
        while count < BATCH
            && let Some((mark, packet)) = packets.next()
        {
            match self.precheck(packet) {
                Ok(seq) => {
                    covered[count] = self.covered(seq);
                    texts[count] = &mut packet[esp::HEADER_LEN..];
                    marks[count] = Some((mark, seq));
                    count += 1;
                }
                Err(reason) => each(mark, Err(reason)),
            }
        }
        let mut texts = texts.into_iter().zip(&covered);
        let mut bodies: [Body<'_>; BATCH] =
            from_fn(|_| texts.next().map(|(text, covered)| covered.body(0, text)).unwrap_or_default());
        let mut marks = marks.into_iter().flatten();
        self.key.open_many(&mut bodies[..count], |body, plain| {
            if let Some((mark, seq)) = marks.next() {
                each(mark, opened(seq, body.buf, plain));
            }
        });
        count
    }

    /// Whether this packet, which `precheck` took for too short, ends in the right ICV cut to 96 bits: so SHA2-256 was used before RFC 4868, and is by
    /// some peers. Says why it cannot be opened, and opens nothing.
    pub fn is_cut(&self, packet: &[u8]) -> bool {
        let text = packet.len().checked_sub(self.layout.head() + CUT).filter(|text| *text > 0);
        let whole = text.is_some_and(|text| text % self.params.cipher.block() == 0);
        let wanted = self.params.cipher.integ() == Some(Integ::HmacSha256_128) && whole;
        let Some((covered, icv)) = packet.split_last_chunk::<CUT>().filter(|_| wanted) else { return false };
        let Some((_, low)) = esp::parse_header(packet) else { return false };
        let seq = if self.params.esn { self.seen.extend(low).unwrap_or_default() } else { u64::from(low) };
        let behind = Covered::new(self.params.spi, seq, self.params.esn, false);
        let right = Prf::HmacSha256.mac(self.params.integ.expose(), &[covered, behind.behind()]);
        right.expose().iter().zip(icv).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }

    fn covered(&self, seq: u64) -> Covered {
        Covered::new(self.params.spi, seq, self.params.esn, self.aead)
    }

    /// The highest number that was committed, 0 before the first. Takes no lock.
    pub fn highest(&self) -> u64 {
        self.seen.highest()
    }

    /// The window, taken once for some packets that were opened (a worker: up to 16); commit each proof to it.
    pub fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// SPI.
    pub fn spi(&self) -> u32 {
        self.params.spi
    }

    /// What it was made from.
    pub fn params(&self) -> &SaParams {
        &self.params
    }
}

/// What stands in a packet whose ICV was looked at. `body` begins behind the ESP header.
fn opened(seq: u64, body: &[u8], plain: Result<Range<usize>, BadIcv>) -> Result<Opened, Drop> {
    let plain = plain.map_err(|BadIcv| Drop::BadIcv)?;
    let (len, next_header) = esp::parse_trailer(&body[plain.clone()]).ok_or(Drop::BadPadding)?;
    let start = esp::HEADER_LEN + plain.start;
    Ok(Opened { proof: Authentic(seq), payload: start..start + len, next_header })
}

/// The inner packet of a tunnel-mode packet that was opened and committed. Its own header says how long it is; what follows is TFC padding
/// (RFC 4303 section 2.7). `Dummy` for next header 59 (section 2.6), `BadNextHeader` if it is neither 4 nor 41 or contradicts
/// the inner version, `Malformed` if the inner header is wrong or promises more than there is.
pub fn tunnel_payload(opened: &Opened, packet: &[u8]) -> Result<Inner, Drop> {
    let version = match opened.next_header {
        esp::NEXT_HEADER_IPV4 => 4,
        esp::NEXT_HEADER_IPV6 => 6,
        esp::NEXT_HEADER_DUMMY => return Err(Drop::Dummy),
        _ => return Err(Drop::BadNextHeader),
    };
    let payload = packet.get(opened.payload.clone()).ok_or(Drop::Malformed)?;
    if payload.first().ok_or(Drop::Malformed)? >> 4 != version {
        return Err(Drop::BadNextHeader);
    }
    let ip = ip::parse(payload).map_err(|_| Drop::Malformed)?;
    let start = opened.payload.start;
    Ok(Inner { range: start..start + ip.len, ip })
}
