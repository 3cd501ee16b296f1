//! What a child's configuration says about the sizes of its packets. What the path takes is in [`super::path`].

/// Octets of the IP header, and of TCP's, without options: what an MSS leaves out (RFC 6691 section 2).
const HEADERS_V4: usize = 20 + 20;
const HEADERS_V6: usize = 40 + 20;
/// No MSS is lowered below this: hosts take less for an attack.
pub const LEAST_MSS: u16 = 64;

/// How packets are made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fitting {
    /// Largest inner packet in octets, where the path takes larger ones.
    pub mtu: Option<u16>,
    /// What TCP may announce.
    pub mss: Mss,
    /// Whether outer packets may be fragmented.
    pub outer_fragments: OuterFragments,
}

/// The largest segment that a SYN may announce, in octets. It is never raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mss {
    /// What the path takes in one piece.
    #[default]
    Auto,
    /// This, and no more than the path takes.
    Most(u16),
    /// Whatever the hosts say.
    Off,
}

/// Which outer packets may be fragmented on their way (DF clear).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OuterFragments {
    /// Those of inner packets that must get through and can be cut nowhere else: IPv6 of up to 1280 octets, transport mode, and what may be
    /// fragmented but whose fragments selectors with ports would not let in.
    #[default]
    Auto,
    /// All.
    Always,
    /// None.
    Never,
}

impl Fitting {
    /// The largest inner packet where the path takes `path` octets.
    pub fn mtu(&self, path: usize) -> usize {
        self.mtu.map_or(path, |mtu| path.min(mtu.into()))
    }

    /// The largest MSS to announce where the largest inner packet is `mtu` octets; `None` if any will do.
    pub fn mss(&self, mtu: usize, ipv4: bool) -> Option<u16> {
        let headers = if ipv4 { HEADERS_V4 } else { HEADERS_V6 };
        let fits = u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX).max(LEAST_MSS);
        match self.mss {
            Mss::Auto => Some(fits),
            Mss::Most(most) => Some(most.min(fits)),
            Mss::Off => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mss_is_what_the_headers_leave() {
        let fitting = |mss| Fitting { mss, ..Fitting::default() };
        let table = [
            (Mss::Auto, 1438, true, Some(1398)),
            (Mss::Auto, 1438, false, Some(1378)),
            (Mss::Auto, 60, false, Some(LEAST_MSS)),
            (Mss::Auto, 65_535, true, Some(65_495)),
            (Mss::Most(1200), 1438, true, Some(1200)),
            (Mss::Most(1400), 1280, true, Some(1240)),
            (Mss::Off, 1438, true, None),
        ];
        for (mss, mtu, ipv4, expected) in table {
            assert_eq!(fitting(mss).mss(mtu, ipv4), expected, "{mss:?} {mtu}");
        }
    }

    #[test]
    fn a_configured_mtu_only_lowers() {
        let fitting = Fitting { mtu: Some(1400), ..Fitting::default() };
        assert_eq!((fitting.mtu(1438), fitting.mtu(1280), Fitting::default().mtu(1438)), (1400, 1280, 1438));
    }
}
