//! Does the peer speak the version before? One first message of main mode (RFC 2409 section 5), an SA payload and nothing else: it begins nothing
//! that can come to an end, and whoever answers it in that version speaks it.
use crate::ike::policy::AuthKind;
use crate::wire::message::{HEADER_LEN, Header, IkeSpi};
use crate::wire::registry::{ExchangeType, PayloadType};

/// RFC 2408 section 3.1.
const SA: u8 = 1;
const MAIN_MODE: u8 = 2;
const KEY_IKE: u8 = 1;
/// RFC 2409 appendix A, RFC 3602 section 5.3, RFC 4868 section 3: AES-CBC with SHA2-256, SHA-1, SHA2-512; groups 14, 5, 2, 19. What our configuration
/// cannot say is not offered here either: whoever speaks the version, and takes none of these, says so in it.
const AES_CBC: u16 = 7;
const KEY_BITS: [u16; 2] = [256, 128];
const HASHES: [u16; 4] = [4, 2, 6, 5];
const GROUPS: [u16; 4] = [14, 5, 2, 19];
const SIGNATURE: u16 = 3;
const SECRET: u16 = 1;
const LIFETIME: u16 = 28800;

/// What a peer says to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    /// It has chosen from it.
    Chose,
    /// It has answered in that version, and chosen nothing.
    Refused,
}

/// The message. `cookie`: ours.
pub(super) fn first_message(cookie: IkeSpi, auth: AuthKind) -> Vec<u8> {
    let method = if auth == AuthKind::PublicKey { SIGNATURE } else { SECRET };
    let mut transforms = Vec::new();
    for bits in KEY_BITS {
        for hash in HASHES {
            transforms.extend(
                GROUPS.map(|group| {
                    [(1, AES_CBC), (2, hash), (3, method), (4, group), (11, 1), (12, LIFETIME), (14, bits)]
                }),
            );
        }
    }
    let count = transforms.len();
    let mut proposal = vec![1, KEY_IKE, 0, count as u8];
    for (number, attributes) in (1u8..).zip(transforms) {
        let mut transform = vec![number, KEY_IKE, 0, 0];
        for (kind, value) in attributes {
            transform.extend((0x8000u16 | kind).to_be_bytes());
            transform.extend(value.to_be_bytes());
        }
        let more = if usize::from(number) < count { 3 } else { 0 };
        proposal.extend(with_header(more, &transform));
    }
    // The IPsec DOI, and identities alone for a situation (RFC 2407 section 4.2).
    let mut sa = [1u32.to_be_bytes(), 1u32.to_be_bytes()].concat();
    sa.extend(with_header(0, &proposal));
    let body = with_header(0, &sa);
    let header = Header {
        spi_i: cookie,
        spi_r: IkeSpi::NONE,
        first: PayloadType(SA),
        version: (1, 0),
        exchange: ExchangeType(MAIN_MODE),
        initiator: false,
        response: false,
        id: 0,
        length: (HEADER_LEN + body.len()) as u32,
    };
    [header.encode().as_slice(), &body].concat()
}
fn with_header(next: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![next, 0];
    out.extend((body.len() as u16 + 4).to_be_bytes());
    out.extend(body);
    out
}
/// Of a message of that version with our cookie: what it says.
pub(super) fn spoken(header: &Header) -> Option<Spoken> {
    let chose = header.first.0 == SA && header.exchange.0 == MAIN_MODE && !header.spi_r.is_none();
    (header.version.0 == 1).then_some(if chose { Spoken::Chose } else { Spoken::Refused })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_as_long_as_it_says_and_fits_every_path() {
        let message = first_message(IkeSpi([7; 8]), AuthKind::Psk);
        let header = Header::parse(&message).unwrap();
        assert_eq!((header.version, header.exchange.0, header.first.0), ((1, 0), 2, 1));
        assert!(header.spi_r.is_none() && message.len() <= 1232, "{}", message.len());
        let at = |i: usize| usize::from(u16::from_be_bytes([message[i], message[i + 1]]));
        assert_eq!((at(30), at(42)), (message.len() - 28, message.len() - 40));
        assert_eq!(message[47], 32, "transforms");
        let mut place = 48;
        for number in 1..=32u8 {
            assert_eq!((message[place + 4], message[place]), (number, if number < 32 { 3 } else { 0 }));
            place += at(place + 2);
        }
        assert_eq!(place, message.len());
    }
    #[test]
    fn an_answer_is_one_of_that_version() {
        let mut header = Header::parse(&first_message(IkeSpi([7; 8]), AuthKind::Psk)).unwrap();
        assert_eq!(spoken(&header), Some(Spoken::Refused), "nobody has chosen");
        header.spi_r = IkeSpi([1; 8]);
        assert_eq!(spoken(&header), Some(Spoken::Chose));
        header.exchange = ExchangeType(5);
        assert_eq!(spoken(&header), Some(Spoken::Refused));
        header.version = (2, 0);
        assert_eq!(spoken(&header), None);
    }
}
