//! How fast we are beside the primitive that does the unavoidable part of the work.
use std::time::{Duration, Instant};

/// Rounds of both by turns, so that what disturbs the machine disturbs both.
const ROUNDS: usize = 101;

/// How long it takes.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
pub fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Prints the rates of both, who say themselves how long they took for so many octets, and their ratio: medians of all rounds. If benches
/// are only tried, one round will do.
pub fn share(name: &str, octets: usize, mut bare: impl FnMut() -> Duration, mut ours: impl FnMut() -> Duration) {
    let (mut bares, mut mine, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let rounds = if std::env::args().any(|arg| arg == "--test" || arg == "--list") { 1 } else { ROUNDS };
    for _ in 0..rounds {
        let (theirs, own) = (bare().as_secs_f64(), ours().as_secs_f64());
        bares.push(octets as f64 / theirs / 1e9);
        mine.push(octets as f64 / own / 1e9);
        ratios.push(theirs / own * 100.0);
    }
    let [bare, ours, ratio] = [bares, mine, ratios].map(median);
    println!("{name:<32} bare {bare:6.2} GB/s   ours {ours:6.2} GB/s   {ratio:5.1} %");
}

/// Of any order.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
