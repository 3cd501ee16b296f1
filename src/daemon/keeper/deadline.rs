//! Until when something is to be confirmed: by the clock that counts from boot while that goes on, else by the wall clock.
use crate::daemon::clock;
use crate::daemon::store::Pending;
use std::time::Duration;

/// Shortest and longest time to confirm, seconds.
pub(super) const LIMITS: std::ops::RangeInclusive<u64> = 10..=3600;

/// A moment by both clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since boot.
    pub boot: Duration,
    /// Since 1970, seconds.
    pub unix: u64,
    /// Which boot.
    pub boot_id: String,
}
impl Moment {
    /// Now.
    pub(super) fn now() -> Self {
        // Where the kernel does not tell, every boot is the same: the wall clock would be no better.
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Self { boot: clock::now(), unix: clock::unix().as_secs(), boot_id: boot_id.trim().to_owned() }
    }
}

/// So many seconds from now.
pub(super) fn after(seconds: u64, previous: u64, now: &Moment) -> Pending {
    let boot = now.boot + Duration::from_secs(seconds);
    let boot = u64::try_from(boot.as_millis()).unwrap_or(u64::MAX);
    Pending { previous, unix: now.unix.saturating_add(seconds), boot, boot_id: now.boot_id.clone() }
}

/// What is left of it.
pub(super) fn left(pending: &Pending, now: &Moment) -> Duration {
    let left = if pending.boot_id == now.boot_id {
        Duration::from_millis(pending.boot).saturating_sub(now.boot)
    } else {
        Duration::from_secs(pending.unix.saturating_sub(now.unix))
    };
    // A clock that was put back gives nobody more time than there ever was.
    left.min(Duration::from_secs(*LIMITS.end()))
}

/// For people, RFC 3339.
pub(super) fn shown(pending: &Pending, now: &Moment) -> String {
    clock::rfc3339(now.boot + left(pending, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(boot: u64, unix: u64, boot_id: &str) -> Moment {
        Moment { boot: Duration::from_secs(boot), unix, boot_id: boot_id.into() }
    }

    #[test]
    fn within_a_boot_the_wall_clock_does_not_count() {
        let pending = after(60, 1, &at(1000, 5000, "a"));
        assert_eq!(left(&pending, &at(1030, 9_999_999, "a")), Duration::from_secs(30));
        assert_eq!(left(&pending, &at(1060, 0, "a")), Duration::ZERO);
        assert_eq!(left(&pending, &at(9999, 5000, "a")), Duration::ZERO);
    }

    #[test]
    fn after_a_boot_the_wall_clock_counts() {
        let pending = after(60, 1, &at(1000, 5000, "a"));
        assert_eq!(left(&pending, &at(5, 5020, "b")), Duration::from_secs(40));
        assert_eq!(left(&pending, &at(5, 5060, "b")), Duration::ZERO);
        assert_eq!(left(&pending, &at(5, 0, "b")), Duration::from_secs(3600), "a clock that was put back");
    }
}
