//! Arithmetic on address prefixes: what routes, rules and the guard are made of.
use std::net::IpAddr;

/// An address and the length of its prefix; the bits behind it are zero.
pub type Prefix = (IpAddr, u8);

/// Octets of a family's addresses in bits.
pub fn width(addr: IpAddr) -> u8 {
    if addr.is_ipv4() { 32 } else { 128 }
}
/// The prefix of one address.
pub fn host(addr: IpAddr) -> Prefix {
    (addr, width(addr))
}
/// The prefix of all addresses of a family.
pub fn any(ipv6: bool) -> Prefix {
    if ipv6 { (IpAddr::from([0u16; 8]), 0) } else { (IpAddr::from([0u8; 4]), 0) }
}
/// The network that an address with this prefix length is in.
pub fn network(addr: IpAddr, len: u8) -> Prefix {
    let len = len.min(width(addr));
    (from_bits(bits(addr) & mask(len), addr.is_ipv6()), len)
}
/// All of `inner` is in `outer`.
pub fn contains(outer: Prefix, inner: Prefix) -> bool {
    outer.0.is_ipv4() == inner.0.is_ipv4() && outer.1 <= inner.1 && (bits(outer.0) ^ bits(inner.0)) & mask(outer.1) == 0
}
/// They have addresses in common: one contains the other.
pub fn overlap(a: Prefix, b: Prefix) -> bool {
    contains(a, b) || contains(b, a)
}
/// What both have.
pub fn intersect(a: Prefix, b: Prefix) -> Option<Prefix> {
    if contains(a, b) { Some(b) } else { contains(b, a).then_some(a) }
}
/// So short that it means "everywhere": 0.0.0.0/0 and ::/0, and their halves, which are a usual way to write them.
pub fn is_wide(prefix: Prefix) -> bool {
    prefix.1 < if prefix.0.is_ipv4() { 8 } else { 16 }
}
/// What is left of `whole` without `part`, as prefixes.
pub fn subtract(whole: Prefix, part: Prefix) -> Vec<Prefix> {
    if !overlap(whole, part) {
        return vec![whole];
    }
    // Each step down from `whole` to `part` leaves the other half.
    let ipv6 = whole.0.is_ipv6();
    (whole.1 + 1..=part.1.max(whole.1))
        .map(|len| (from_bits((bits(part.0) & mask(len)) ^ (1 << (128 - u32::from(len))), ipv6), len))
        .collect()
}

/// The address from the left in 128 bits.
fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()) << 96,
        IpAddr::V6(addr) => addr.to_bits(),
    }
}
fn from_bits(bits: u128, ipv6: bool) -> IpAddr {
    if ipv6 { IpAddr::from(bits.to_be_bytes()) } else { IpAddr::from(((bits >> 96) as u32).to_be_bytes()) }
}
fn mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0)
}

#[cfg(test)]
pub(super) fn prefix(text: &str) -> Prefix {
    let (addr, len) = text.split_once('/').unwrap();
    (addr.parse().unwrap(), len.parse().unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containment_and_families() {
        assert!(contains(prefix("0.0.0.0/0"), prefix("10.0.0.0/8")));
        assert!(!contains(prefix("0.0.0.0/0"), prefix("::/0")));
        assert!(!contains(prefix("10.1.0.0/16"), prefix("10.0.0.0/8")));
        assert!(overlap(prefix("10.1.0.0/16"), prefix("10.0.0.0/8")));
        assert!(!overlap(prefix("10.1.0.0/16"), prefix("10.2.0.0/16")));
        assert_eq!(intersect(prefix("2001:db8::/32"), prefix("2001:db8:1::/48")), Some(prefix("2001:db8:1::/48")));
        assert_eq!(network("10.1.2.3".parse().unwrap(), 16), prefix("10.1.0.0/16"));
        assert_eq!(network("fe80::1".parse().unwrap(), 64), prefix("fe80::/64"));
    }

    #[test]
    fn what_is_left_covers_everything_but_the_part() {
        let left = subtract(prefix("10.0.0.0/8"), prefix("10.2.0.0/15"));
        assert_eq!(left.len(), 7);
        for text in ["10.0.0.0/16", "10.1.255.255/32", "10.4.0.0/16", "10.255.0.0/16"] {
            assert_eq!(left.iter().filter(|&&p| contains(p, prefix(text))).count(), 1, "{text}");
        }
        assert!(!left.iter().any(|&p| overlap(p, prefix("10.2.0.0/15"))));
        assert!(left.iter().all(|&(addr, len)| network(addr, len) == (addr, len)));
        assert_eq!(subtract(prefix("10.0.0.0/8"), prefix("10.0.0.0/8")), []);
        assert_eq!(subtract(prefix("10.2.0.0/16"), prefix("10.0.0.0/8")), []);
        assert_eq!(subtract(prefix("10.0.0.0/8"), prefix("::/0")), [prefix("10.0.0.0/8")]);
        assert_eq!(subtract(prefix("::/0"), prefix("8000::/1")), [prefix("::/1")]);
    }

    #[test]
    fn halves_of_everything_are_wide() {
        for (text, wide) in [("0.0.0.0/0", true), ("128.0.0.0/1", true), ("10.0.0.0/8", false), ("2000::/3", true)] {
            assert_eq!(is_wide(prefix(text)), wide, "{text}");
        }
    }
}
