//! Where a revocation list may be fetched from.
use crate::io::udp;
use hyper::Uri;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An `http` address, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Name or address, in lower case, without brackets.
    pub host: String,
    pub port: u16,
    /// Host and port as they stand in the address.
    pub authority: String,
    /// Path and query.
    pub path: String,
}
impl Place {
    /// Only plain `http`, without user information.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|_| "it is no address".to_owned())?;
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or("it is not http")?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return Err("it has no plain host".into());
        }
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(80), authority: authority.to_string(), path })
    }
    /// The configuration says that it may be anywhere.
    pub(super) fn is_allowed(&self, hosts: &[String]) -> bool {
        hosts.contains(&self.host)
    }
}

/// An address that is neither ours nor of a network that only we could mean.
pub(super) fn is_outside(address: IpAddr, mark: u32) -> bool {
    is_public(address) && is_elsewhere(address, mark)
}
/// It can be reached, and is not ours: the route to an address of ours starts at it.
fn is_elsewhere(address: IpAddr, mark: u32) -> bool {
    udp::route_to(address, Some(mark)).is_ok_and(|route| route.source != address)
}
/// Neither loopback, private, link-local, shared (RFC 6598), multicast nor unspecified, in any disguise of IPv6.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => is_public_v4(a),
        IpAddr::V6(a) => match a.to_ipv4_mapped().or_else(|| translated(a)) {
            Some(inner) => is_public_v4(inner),
            None => {
                let [first, second, third, ..] = a.segments();
                !(a.is_unspecified() || a.is_loopback() || a.is_multicast())
                    && first & 0xfe00 != 0xfc00
                    && first & 0xffc0 != 0xfe80
                    && first & 0xffc0 != 0xfec0
                    // Whatever is behind them: local translation (RFC 8215), Teredo (RFC 4380), SIIT (RFC 2765).
                    && (first, second, third) != (0x64, 0xff9b, 1)
                    && (first, second) != (0x2001, 0)
                    && a.segments()[..6] != [0, 0, 0, 0, 0xffff, 0]
            }
        },
    }
}
fn is_public_v4(a: Ipv4Addr) -> bool {
    let [first, second, third, _] = a.octets();
    !(a.is_loopback()
        || a.is_private()
        || a.is_link_local()
        || a.is_multicast()
        || a.is_broadcast()
        || first == 0
        || first >= 240
        || (first == 100 && second & 0xc0 == 64)
        || (first == 192 && second == 0 && third == 0)
        || (first == 198 && second & 0xfe == 18))
}
/// The IPv4 address inside those of NAT64 (RFC 6052), 6to4 (RFC 3056) and the compatible ones (RFC 4291 section 2.5.5.1).
fn translated(a: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = a.octets();
    let at = |i: usize| octets.get(i..i + 4).and_then(|o| <[u8; 4]>::try_from(o).ok()).map(Ipv4Addr::from);
    match octets {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..] => at(12),
        [0x20, 0x02, ..] => at(2),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..] if octets[12..] != [0, 0, 0, 1] && octets[12..] != [0; 4] => at(12),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_is_a_place() {
        let place = Place::parse("http://CRL.Example:8080/a/b.crl?c=d").unwrap();
        assert_eq!((place.host.as_str(), place.port, place.path.as_str()), ("crl.example", 8080, "/a/b.crl?c=d"));
        assert_eq!(place.authority, "CRL.Example:8080");
        assert!(place.is_allowed(&["crl.example".into()]) && !place.is_allowed(&["example".into()]));
        let place = Place::parse("http://[2001:db8::1]").unwrap();
        assert_eq!((place.host.as_str(), place.port, place.path.as_str()), ("2001:db8::1", 80, "/"));
        for bad in [
            "https://crl.example/",
            "ftp://crl.example/",
            "/etc/passwd",
            "file:///etc/passwd",
            "http://user@crl.example/",
            "http://user:word@crl.example/",
            "crl.example",
            "http://",
            "",
        ] {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_of_ours_is_not_elsewhere() {
        let elsewhere = ["127.0.0.1", "127.0.0.2"].map(|address| is_elsewhere(address.parse().unwrap(), 0));
        assert_eq!(elsewhere, [false, true], "the second one is reached from the first one");
    }

    #[test]
    fn what_is_inside_is_not_public() {
        for inside in [
            "127.0.0.1",
            "127.8.8.8",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::",
            "2002:7f00:1::",
            "::10.0.0.1",
            "64:ff9b:1::10.0.0.1",
            "64:ff9b:1:2::8.8.8.8",
            "::ffff:0:10.0.0.1",
            "2001:0:a00:1::1",
        ] {
            assert!(!is_public(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2001:1::1",
            "64:ff9b:2::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
        ] {
            assert!(is_public(outside.parse().unwrap()), "{outside}");
        }
    }
}
