//! Traffic Selector payloads (RFC 7296 section 3.13).
use crate::wire::message::ParseError;
use crate::wire::read::{Reader, write_sized};
use crate::wire::registry::TsType;
use crate::wire::selector::{OPAQUE_PORTS, Selector};
use std::net::IpAddr;

/// Most selectors that one payload can count.
pub const MAX_SELECTORS: usize = u8::MAX as usize;

/// Traffic selectors (RFC 7296 section 3.13).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TrafficSelectors {
    /// Those of IPv4 and IPv6 ranges, in order.
    pub ranges: Vec<Selector>,
    /// How many had a type that we do not know.
    pub unknown: usize,
}

/// Stands for the selectors of unknown type when they are written (the last number for private use).
const UNKNOWN: TsType = TsType(255);

impl TrafficSelectors {
    pub(super) fn parse(mut r: Reader<'_>) -> Result<Self, ParseError> {
        let [count, _, _, _] = r.array("traffic selectors")?;
        let mut all = Self::default();
        for _ in 0..count {
            let [kind, proto] = r.array("traffic selector")?;
            let length = r.u16("traffic selector")?;
            let body = r.body(length, 4, "traffic selector length")?;
            match TsType(kind) {
                TsType::IPV4_ADDR_RANGE => all.ranges.push(range::<4>(proto, body)?),
                TsType::IPV6_ADDR_RANGE => all.ranges.push(range::<16>(proto, body)?),
                _ => all.unknown += 1,
            }
        }
        if r.is_empty() { Ok(all) } else { Err(ParseError::Syntax("number of traffic selectors")) }
    }
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let ranges = &self.ranges[..self.ranges.len().min(MAX_SELECTORS)];
        let unknown = self.unknown.min(MAX_SELECTORS - ranges.len());
        out.extend_from_slice(&[(ranges.len() + unknown) as u8, 0, 0, 0]);
        for ts in ranges {
            let kind = if ts.start.is_ipv4() { TsType::IPV4_ADDR_RANGE } else { TsType::IPV6_ADDR_RANGE };
            write_sized(out, &[kind.0, ts.proto, 0, 0], 2, |out| {
                out.extend_from_slice(&ts.ports.0.to_be_bytes());
                out.extend_from_slice(&ts.ports.1.to_be_bytes());
                for addr in [ts.start, ts.end] {
                    match addr {
                        IpAddr::V4(a) => out.extend_from_slice(&a.octets()),
                        IpAddr::V6(a) => out.extend_from_slice(&a.octets()),
                    }
                }
            });
        }
        for _ in 0..unknown {
            write_sized(out, &[UNKNOWN.0, 0, 0, 0], 2, |_| {});
        }
    }
}

fn range<const N: usize>(proto: u8, mut r: Reader<'_>) -> Result<Selector, ParseError>
where
    IpAddr: From<[u8; N]>,
{
    let ports = (r.u16("ports")?, r.u16("ports")?);
    let (start, end) = (IpAddr::from(r.array("addresses")?), IpAddr::from(r.array("addresses")?));
    if !r.is_empty() {
        return Err(ParseError::Syntax("traffic selector length"));
    }
    if start > end {
        return Err(ParseError::Syntax("address range"));
    }
    if ports.0 > ports.1 && ports != OPAQUE_PORTS {
        return Err(ParseError::Syntax("port range"));
    }
    Ok(Selector { proto, ports, start, end })
}
