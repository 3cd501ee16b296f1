//! SAs for the process that goes on with them (design: Nonces).
//!
//! **A number of an outbound SA is the nonce of an AEAD, so it is never used twice.** A state is written when every worker has been joined: all
//! that was reserved is below [`OutboundSa::next`], and who thaws it begins [`GAP`] numbers above that. The process that has written it seals on only if
//! it never says `commit`; before it does it shuts each SA ([`OutboundSa::shut`]), after which no thread can reserve a number any more. IVs of CBC are
//! made under a key that is drawn anew. The replay window goes over bit by bit: what was opened by one process is not opened again by the other.
use super::SaParams;
use super::inbound::InboundSa;
use super::outbound::OutboundSa;
use super::replay::{Snapshot, Window};
use crate::frozen::{Frozen, Reader, Thaw, Writer, frozen};

/// So many numbers are left out where another process goes on.
pub const GAP: u64 = 1 << 16;

impl Frozen for SaParams {
    fn freeze(&self, out: &mut Writer) {
        let Self { spi, cipher, encr, integ, esn } = self;
        spi.freeze(out);
        cipher.freeze(out);
        encr.freeze(out);
        integ.freeze(out);
        esn.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let this = Self {
            spi: Frozen::thaw(input)?,
            cipher: Frozen::thaw(input)?,
            encr: Frozen::thaw(input)?,
            integ: Frozen::thaw(input)?,
            esn: Frozen::thaw(input)?,
        };
        let lens = (this.cipher.encr_key_len(), this.cipher.integ_key_len());
        if (this.encr.len(), this.integ.len()) == lens { Ok(this) } else { Err(Thaw::Value("key")) }
    }
}
frozen! { struct Snapshot { size, highest, words } }

impl Frozen for InboundSa {
    fn freeze(&self, out: &mut Writer) {
        self.params().freeze(out);
        self.window().snapshot().freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let params = SaParams::thaw(input)?;
        let window = Window::restore(&Snapshot::thaw(input)?).ok_or(Thaw::Value("replay window"))?;
        Ok(Self::resume(&params, window))
    }
}
/// An outbound SA without the key of its IVs.
#[derive(Debug)]
pub struct Outgoing {
    params: SaParams,
    next: u64,
}
frozen! { struct Outgoing { params, next } }
impl Outgoing {
    /// Of an SA that nobody seals with at this moment.
    pub fn of(sa: &OutboundSa) -> Self {
        Self { params: sa.params().clone(), next: sa.next() }
    }
    /// The SA, behind the gap. `iv_key`: drawn anew.
    pub fn resume(&self, iv_key: [u8; 16]) -> OutboundSa {
        OutboundSa::resume(&self.params, iv_key, self.next.saturating_add(GAP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::cipher::Cipher;
    use crate::crypto::secret::Secret;
    use crate::esp::drop::Drop;
    use crate::frozen::Known;

    fn params(esn: bool) -> SaParams {
        SaParams {
            spi: 0x1000,
            cipher: Cipher::AesGcm128,
            encr: Secret::new(vec![7; 20]),
            integ: Secret::default(),
            esn,
        }
    }
    fn through<T: Frozen>(value: &T) -> Result<T, Thaw> {
        let mut out = Writer::new("esp", 1);
        value.freeze(&mut out);
        let known = Known::default();
        let mut input = Reader::new(out.octets(), "esp", 1, &known)?;
        let value = T::thaw(&mut input)?;
        input.finish().map(|()| value)
    }
    fn seal(sa: &OutboundSa) -> Vec<u8> {
        let seq = sa.reserve(1).unwrap().start;
        let mut packet = vec![0; sa.sealed_len(20)];
        packet[sa.head()..][..20].fill(0x45);
        sa.seal(seq, &mut packet, 20, 4);
        packet
    }
    fn open(sa: &InboundSa, mut packet: Vec<u8>) -> Result<bool, Drop> {
        let seq = sa.precheck(&packet)?;
        let opened = sa.open(seq, &mut packet)?;
        sa.window().commit(&opened.proof)
    }

    /// Both of them, with a mind for the last number there is.
    #[test]
    fn no_number_is_used_twice_and_none_behind_the_last() {
        for (esn, first) in
            [(false, 1), (false, (1 << 32) - GAP - 2), (false, (1 << 32) - 3), (true, u64::MAX - 3), (true, 7)]
        {
            let old = OutboundSa::resume(&params(esn), [0; 16], first);
            let mut last = old.reserve(2).unwrap().end - 1;
            let new = through(&Outgoing::of(&old)).unwrap().resume([1; 16]);
            assert_eq!(old.shut(), last + 1);
            assert!(old.reserve(1).is_err() && old.left() == 0, "whoever is late seals nothing");
            while let Ok(numbers) = new.reserve(1) {
                assert!(numbers.start > last + GAP.min(1), "{numbers:?} after {last}");
                last = numbers.start;
                assert!(esn || last < 1 << 32);
                if last > first.saturating_add(3 * GAP) {
                    break;
                }
            }
        }
    }

    #[test]
    fn what_was_opened_is_not_opened_again() {
        let (sender, receiver) = (OutboundSa::new(&params(false), [0; 16]), InboundSa::new(&params(false), 128));
        let packets: Vec<_> = (0..200).map(|_| seal(&sender)).collect();
        for packet in packets.iter().step_by(2) {
            open(&receiver, packet.clone()).unwrap();
        }
        let again = through(&receiver).unwrap();
        assert_eq!(again.highest(), receiver.highest());
        for (i, packet) in packets.into_iter().enumerate() {
            let result = open(&again, packet);
            match i {
                _ if i < 200 - 129 => assert_eq!(result, Err(Drop::TooOld), "{i}"),
                _ if i % 2 == 0 => assert_eq!(result, Err(Drop::Replayed), "{i}"),
                199 => assert_eq!(result, Ok(true)),
                _ => assert_eq!(result, Ok(false), "{i}"),
            }
        }
    }

    #[test]
    fn a_key_of_another_length_and_a_window_that_is_none_are_refused() {
        let short = SaParams { encr: Secret::new(vec![7; 19]), ..params(false) };
        assert_eq!(through(&short).unwrap_err(), Thaw::Value("key"));
        let sound = InboundSa::new(&params(false), 64).window().snapshot();
        for wrong in [
            Snapshot { size: 1 << 30, ..sound.clone() },
            Snapshot { size: 65, ..sound.clone() },
            Snapshot { words: vec![0; 3], ..sound.clone() },
        ] {
            assert!(Window::restore(&wrong).is_none(), "{wrong:?}");
        }
        assert!(Window::restore(&sound).is_some());
    }
}
