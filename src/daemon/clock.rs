//! The only reader of clocks. Time is CLOCK_BOOTTIME as a `Duration`: it counts through suspend and never goes back; the wall clock is for people.
use jiff::Timestamp;
use std::time::Duration;

/// Now.
pub fn now() -> Duration {
    crate::io::fds::boot_time()
}

/// A moment of [`now`]'s clock as RFC 3339 in UTC, to the second.
pub fn rfc3339(at: Duration) -> String {
    format(Timestamp::now(), now(), at)
}

fn format(wall: Timestamp, now: Duration, at: Duration) -> String {
    let wall = wall.as_second();
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let moment = if at > now { wall.saturating_add(seconds(at - now)) } else { wall.saturating_sub(seconds(now - at)) };
    Timestamp::from_second(moment).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
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
        assert_eq!(text(u64::MAX), "1970-01-01T00:00:00Z");
    }
}
