//! The only reader of clocks. Time is CLOCK_BOOTTIME as a `Duration`: it counts through suspend and never goes back; the wall clock is for people.
use jiff::Timestamp;
use std::time::Duration;

/// Now.
pub fn now() -> Duration {
    crate::io::fds::boot_time()
}

/// The wall clock, since 1970.
pub fn unix() -> Duration {
    Duration::from_secs(Timestamp::now().as_second().try_into().unwrap_or_default())
}

/// The same to the nanosecond.
pub fn unix_exact() -> Duration {
    Timestamp::now().duration_since(Timestamp::UNIX_EPOCH).try_into().unwrap_or_default()
}

/// What tells this start of the daemon from every other one: the wall clock, in milliseconds since 1970.
pub fn epoch() -> u64 {
    Timestamp::now().as_millisecond().try_into().unwrap_or_default()
}

/// The wall clock as people read it.
pub fn wall() -> Timestamp {
    Timestamp::now()
}

/// A moment of [`now`]'s clock as RFC 3339 in UTC, to the second.
pub fn rfc3339(at: Duration) -> String {
    format(Timestamp::now(), now(), at)
}

/// The wall clock has come so far.
pub fn is_past(moment: Timestamp) -> bool {
    moment <= Timestamp::now()
}

fn format(wall: Timestamp, now: Duration, at: Duration) -> String {
    let moment = if at > now { wall.checked_add(at - now) } else { wall.checked_sub(now - at) };
    // Cut to the second, not rounded: nothing has happened in the future.
    let seconds = moment.map_or(0, |moment| moment.as_nanosecond().div_euclid(1_000_000_000));
    let seconds = i64::try_from(seconds).unwrap_or_default();
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_and_the_future_by_the_wall_clock() {
        let wall: Timestamp = "2026-11-21T10:00:00.7Z".parse().unwrap();
        let text = |at| format(wall, Duration::from_secs(100), Duration::from_secs(at));
        assert_eq!(text(100), "2026-11-21T10:00:00Z");
        assert_eq!(text(40), "2026-11-21T09:59:00Z");
        assert_eq!(text(160), "2026-11-21T10:01:00Z");
        let half = Duration::from_millis(99_500);
        assert_eq!(format(wall, Duration::from_secs(100), half), "2026-11-21T10:00:00Z");
        assert_eq!(format(wall, Duration::from_secs(100), half - Duration::from_millis(300)), "2026-11-21T09:59:59Z");
        assert_eq!(text(u64::MAX), "1970-01-01T00:00:00Z");
    }
}
