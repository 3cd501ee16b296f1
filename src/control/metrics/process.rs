//! What the kernel says of this process.
use std::fs;

/// Ticks of /proc/self/stat in a second: USER_HZ, on every Linux.
const TICKS: f64 = 100.0;

/// As far as it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Seconds of processor time.
    pub cpu: f64,
    /// Octets in memory.
    pub resident: u64,
    /// Threads.
    pub threads: u64,
    /// Seconds after boot.
    pub started: f64,
    /// Open descriptors.
    pub descriptors: Option<u64>,
}
impl Process {
    /// Of now; `None` where /proc is out of reach.
    pub fn read() -> Option<Self> {
        let found = parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let resident = resident(&fs::read_to_string("/proc/self/status").ok()?)?;
        let descriptors = fs::read_dir("/proc/self/fd").ok().map(|list| list.count().saturating_sub(1) as u64);
        Some(Self { descriptors, resident, ..found })
    }
    /// When it was started, since 1970.
    pub fn start_time(&self) -> Option<f64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(boot + self.started)
    }
}

/// Of /proc/PID/stat (proc(5)); the name may have blanks and parentheses in it.
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // The first of these is field 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        cpu: (number(14)? + number(15)?) as f64 / TICKS,
        threads: number(20)?,
        started: number(22)? as f64 / TICKS,
        resident: 0,
        descriptors: None,
    })
}

/// Of /proc/PID/status: in octets, whatever a page is.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_proc() {
        let stat =
            "42 (a ) b) S 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 7 0 1234 99999999 250 18446744073709551615";
        let expected = Process { cpu: 2.0, resident: 0, threads: 7, started: 12.34, descriptors: None };
        assert_eq!(parse(stat), Some(expected));
        assert_eq!(resident("VmHWM:\t  9 kB\nVmRSS:\t  12 kB\n"), Some(12 * 1024));
        assert_eq!(parse("garbage"), None);
        assert_eq!(parse("1 (x) S 1"), None);
    }

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let process = Process::read().unwrap();
        assert!(process.resident > 1 << 20 && process.threads >= 1 && process.descriptors.unwrap() >= 3);
        assert!(process.start_time().unwrap() > 1.6e9);
    }
}
