//! Values of the wire.
use super::{Frozen, Reader, Thaw, Writer, frozen};
use crate::wire::fragment::{Gathered, Reassembly};
use crate::wire::message::{Header, IkeSpi, MAX_MESSAGE, encode_chain, parse_chain};
use crate::wire::payload::{
    Auth, Cert, Cfg, Delete, Id, IdPayload, Ke, Notify, Payload, Proposal, TrafficSelectors, Transform,
};
use crate::wire::registry::{
    AuthMethod, CertEncoding, CfgAttr, CfgType, ExchangeType, IdType, KeId, NotifyType, PayloadType, ProtocolId,
    TransformType,
};
use crate::wire::selector::Selector;

frozen! {
    struct AuthMethod(number)
    struct CertEncoding(number)
    struct CfgAttr(number)
    struct CfgType(number)
    struct ExchangeType(number)
    struct IdType(number)
    struct KeId(number)
    struct NotifyType(number)
    struct PayloadType(number)
    struct ProtocolId(number)
    struct TransformType(number)
    struct IkeSpi(octets)
    struct Header { spi_i, spi_r, first, version, exchange, initiator, response, id, length }
    struct Auth { method, data }
    struct Cert { encoding, data }
    struct Cfg { kind, attributes }
    struct Delete { protocol, spis }
    struct Id { kind, data }
    struct IdPayload { id, reserved }
    struct Ke { group, data }
    struct Notify { protocol, spi, kind, data }
    struct Proposal { number, protocol, spi, transforms }
    struct Transform { kind, id, key_bits, foreign }
    struct TrafficSelectors { ranges, unknown }
}
impl Frozen for Selector {
    fn freeze(&self, out: &mut Writer) {
        let Self { proto, ports, start, end } = self;
        (*proto, *ports, *start, *end).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (proto, ports, start, end) = Frozen::thaw(input)?;
        let this = Self { proto, ports, start, end };
        if start.is_ipv4() == end.is_ipv4() && start <= end { Ok(this) } else { Err(Thaw::Value("selector")) }
    }
}
/// As it travels.
impl Frozen for Payload {
    fn freeze(&self, out: &mut Writer) {
        encode_chain(std::slice::from_ref(self)).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (first, octets) = <(PayloadType, Vec<u8>)>::thaw(input)?;
        let one = parse_chain(first, &octets).ok().filter(|payloads| payloads.len() == 1);
        one.and_then(|mut payloads| payloads.pop()).ok_or(Thaw::Value("payload"))
    }
}
/// What has come of the fragments of a message.
impl Frozen for Reassembly {
    fn freeze(&self, out: &mut Writer) {
        (self.total(), self.first()).freeze(out);
        let parts: Vec<(u16, Vec<u8>)> = self.parts().map(|(number, part)| (number, part.to_vec())).collect();
        parts.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (total, first) = <(u16, PayloadType)>::thaw(input)?;
        let mut whole = Self::new(MAX_MESSAGE);
        for (number, part) in <Vec<(u16, Vec<u8>)>>::thaw(input)? {
            if whole.insert(number, total, first, part) != Gathered::Waiting {
                return Err(Thaw::Value("fragment"));
            }
        }
        Ok(whole)
    }
}
