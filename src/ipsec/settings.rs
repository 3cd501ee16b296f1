//! Settings of a child that workers read for every batch, and that may become others while it carries packets: all of them in one word.
use super::fitting::{Fitting, Mss, OuterFragments};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What workers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// Copy the inner DSCP to the outer header.
    pub copy_dscp: bool,
    /// How its packets are made to fit.
    pub fitting: Fitting,
    /// Packets for it wait for a moment when there is no SA to send them on: one may come.
    pub waits: bool,
    /// The worker that alone seals for it, because the peer's window is narrow; the same as in its SPIs. `None`: any worker seals.
    pub home: Option<u8>,
}

/// Them, where the engine changes them and workers read them.
#[derive(Debug, Default)]
pub struct Live(AtomicU64);

impl From<Settings> for Live {
    fn from(settings: Settings) -> Self {
        Self(AtomicU64::new(settings.pack()))
    }
}

impl Live {
    /// As they are now.
    pub fn get(&self) -> Settings {
        Settings::unpack(self.0.load(Relaxed))
    }
    /// From now on these.
    pub fn set(&self, settings: Settings) {
        self.0.store(settings.pack(), Relaxed);
    }
}

/// Places of the parts in the word.
mod place {
    pub(super) const COPY_DSCP: u32 = 0;
    pub(super) const WAITS: u32 = 1;
    pub(super) const FRAGMENTS: u32 = 2;
    pub(super) const MSS_KIND: u32 = 4;
    pub(super) const HAS_HOME: u32 = 6;
    pub(super) const HAS_MTU: u32 = 7;
    pub(super) const HOME: u32 = 8;
    pub(super) const MTU: u32 = 16;
    pub(super) const MSS: u32 = 32;
}

impl Settings {
    fn pack(self) -> u64 {
        let Self { copy_dscp, fitting: Fitting { mtu, mss, outer_fragments }, waits, home } = self;
        let (mss_kind, most) = match mss {
            Mss::Auto => (0, 0),
            Mss::Most(most) => (1, most),
            Mss::Off => (2, 0),
        };
        let fragments: u64 = match outer_fragments {
            OuterFragments::Auto => 0,
            OuterFragments::Always => 1,
            OuterFragments::Never => 2,
        };
        u64::from(copy_dscp) << place::COPY_DSCP
            | u64::from(waits) << place::WAITS
            | fragments << place::FRAGMENTS
            | mss_kind << place::MSS_KIND
            | u64::from(home.is_some()) << place::HAS_HOME
            | u64::from(mtu.is_some()) << place::HAS_MTU
            | u64::from(home.unwrap_or_default()) << place::HOME
            | u64::from(mtu.unwrap_or_default()) << place::MTU
            | u64::from(most) << place::MSS
    }
    fn unpack(word: u64) -> Self {
        let bit = |place: u32| word >> place & 1 == 1;
        let mss = match word >> place::MSS_KIND & 3 {
            0 => Mss::Auto,
            1 => Mss::Most((word >> place::MSS) as u16),
            _ => Mss::Off,
        };
        let outer_fragments = match word >> place::FRAGMENTS & 3 {
            0 => OuterFragments::Auto,
            1 => OuterFragments::Always,
            _ => OuterFragments::Never,
        };
        let mtu = bit(place::HAS_MTU).then_some((word >> place::MTU) as u16);
        Self {
            copy_dscp: bit(place::COPY_DSCP),
            fitting: Fitting { mtu, mss, outer_fragments },
            waits: bit(place::WAITS),
            home: bit(place::HAS_HOME).then_some((word >> place::HOME) as u8),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_comes_out_as_it_went_in() {
        let mut seen = std::collections::HashSet::new();
        for copy_dscp in [false, true] {
            for waits in [false, true] {
                for home in [None, Some(0), Some(15), Some(u8::MAX)] {
                    for mtu in [None, Some(0), Some(576), Some(u16::MAX)] {
                        for mss in [Mss::Auto, Mss::Off, Mss::Most(0), Mss::Most(64), Mss::Most(u16::MAX)] {
                            for outer_fragments in [OuterFragments::Auto, OuterFragments::Always, OuterFragments::Never]
                            {
                                let fitting = Fitting { mtu, mss, outer_fragments };
                                let settings = Settings { copy_dscp, fitting, waits, home };
                                assert_eq!(Live::from(settings).get(), settings);
                                assert!(seen.insert(settings.pack()), "{settings:?} looks like another");
                            }
                        }
                    }
                }
            }
        }
        let live = Live::default();
        assert_eq!(live.get(), Settings::default());
        live.set(Settings { home: Some(3), ..Settings::default() });
        assert_eq!(live.get().home, Some(3));
    }
}
