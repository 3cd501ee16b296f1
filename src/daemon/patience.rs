//! Whoever was killed is gone for those who waited for it a moment before it is gone for the kernel: its lock, ports, routes and device are in the way of
//! the next daemon for that long.
use super::clock;
use crate::io::fds::Poll;
use std::fmt::Display;
use std::time::Duration;

/// All that is in the way may be so for no longer than this, together: whoever is still there then is at work.
const LINGERING: Duration = Duration::from_secs(3);
/// It is looked for this often.
const LOOK: Duration = Duration::from_millis(10);

/// How much of it a start has left.
#[derive(Debug)]
pub struct Patience {
    until: Duration,
}
impl Default for Patience {
    fn default() -> Self {
        Self { until: clock::now() + LINGERING }
    }
}
impl Patience {
    /// Nothing is waited for.
    #[cfg(test)]
    pub const NONE: Self = Self { until: Duration::ZERO };

    /// Tries again while a daemon that was killed is still in the way.
    ///
    /// # Errors
    /// Those of `attempt`: one that is no lack of patience, or the last.
    pub fn wait<T, E: Display>(
        &self,
        mut attempt: impl FnMut() -> Result<T, E>,
        in_the_way: impl Fn(&E) -> bool,
    ) -> Result<T, E> {
        let mut said = false;
        loop {
            match attempt() {
                Err(error) if in_the_way(&error) && clock::now() < self.until => {
                    if !std::mem::replace(&mut said, true) {
                        let left_ms = (self.until - clock::now()).as_millis();
                        tracing::info!(%error, left_ms, "waiting: a daemon that ends may be in the way still");
                    }
                    // Nothing is in it: it only waits.
                    let _ = Poll::new().and_then(|poll| poll.wait(&mut Vec::new(), Some(LOOK)));
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_away_is_waited_for_and_nothing_else() {
        let patience = Patience { until: Duration::MAX };
        let mut tries = 0;
        let mut third = || {
            tries += 1;
            if tries < 3 { Err("taken") } else { Ok(tries) }
        };
        assert_eq!(patience.wait(&mut third, |error| *error == "taken"), Ok(3));
        assert_eq!(patience.wait(|| Err::<(), _>("refused"), |error| *error == "taken"), Err("refused"));
    }

    /// One for all that a start waits for: several that are in the way are not waited for one after the other.
    #[test]
    fn it_ends() {
        let mut tries = 0;
        let mut never = || {
            tries += 1;
            Err::<(), _>("taken")
        };
        assert_eq!(Patience::NONE.wait(&mut never, |_| true), Err("taken"));
        assert_eq!(tries, 1);
    }
}
