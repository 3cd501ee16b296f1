//! Configuration payload (RFC 7296 section 3.15).
use crate::wire::message::ParseError;
use crate::wire::read::Reader;
use crate::wire::registry::{CfgAttr, CfgType};

/// More attributes than this in one payload are refused.
pub const MAX_CFG_ATTRIBUTES: usize = 256;
/// The first bit of an attribute type is reserved.
const TYPE_MASK: u16 = 0x7fff;

/// Configuration (RFC 7296 section 3.15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cfg {
    /// Kind.
    pub kind: CfgType,
    /// Attributes in order; the values of the fixed-length ones have that length or none.
    pub attributes: Vec<(CfgAttr, Vec<u8>)>,
}
impl Cfg {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, ParseError> {
        let [kind, _, _, _] = r.array("configuration")?;
        let mut attributes = Vec::new();
        while !r.is_empty() {
            let attribute = CfgAttr(r.u16("configuration attribute")? & TYPE_MASK);
            let length = r.u16("configuration attribute")?;
            let value = r.take(length.into(), "configuration attribute length")?;
            if !fits(attribute, value.len()) {
                return Err(ParseError::Syntax("configuration attribute length"));
            }
            if attributes.len() == MAX_CFG_ATTRIBUTES {
                return Err(ParseError::Syntax("too many configuration attributes"));
            }
            attributes.push((attribute, value.to_vec()));
        }
        Ok(Self { kind: CfgType(kind), attributes })
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind.0, 0, 0, 0]);
        for (attribute, value) in &self.attributes {
            let [high, low] = (attribute.0 & TYPE_MASK).to_be_bytes();
            // This length counts the value alone.
            let value = &value[..value.len().min(u16::MAX.into())];
            let [len_high, len_low] = (value.len() as u16).to_be_bytes();
            out.extend_from_slice(&[high, low, len_high, len_low]);
            out.extend_from_slice(value);
        }
    }
}

/// RFC 7296 section 3.15.1: the attributes of fixed length have it, or none at all in a request. An IPv6 address without its prefix
/// length is older than that RFC and harmless.
fn fits(attribute: CfgAttr, len: usize) -> bool {
    match attribute {
        CfgAttr::INTERNAL_IP4_ADDRESS
        | CfgAttr::INTERNAL_IP4_NETMASK
        | CfgAttr::INTERNAL_IP4_DNS
        | CfgAttr::INTERNAL_IP4_NBNS
        | CfgAttr::INTERNAL_IP4_DHCP => matches!(len, 0 | 4),
        CfgAttr::INTERNAL_IP4_SUBNET => matches!(len, 0 | 8),
        CfgAttr::INTERNAL_IP6_DNS | CfgAttr::INTERNAL_IP6_DHCP => matches!(len, 0 | 16),
        CfgAttr::INTERNAL_IP6_ADDRESS => matches!(len, 0 | 16 | 17),
        CfgAttr::INTERNAL_IP6_SUBNET => matches!(len, 0 | 17),
        CfgAttr::SUPPORTED_ATTRIBUTES => len.is_multiple_of(2),
        _ => true,
    }
}
