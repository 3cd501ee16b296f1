//! What the host is set to and what we may do on it.
use super::sys::check;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use std::fs;
use std::io;
use std::mem::zeroed;
use std::time::Duration;

/// The calling thread, for sched_setaffinity(2).
const CALLER: Pid = Pid::from_raw(0);

/// Settings that decide whether packets pass this host; `None` where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// net.ipv4.ip_forward.
    pub ipv4_forward: Option<bool>,
    /// net.ipv6.conf.all.forwarding.
    pub ipv6_forward: Option<bool>,
    /// The larger of net.ipv4.conf.{all,DEVICE}.rp_filter, which is what the kernel uses: 0 off, 1 strict, 2 loose.
    pub rp_filter: Option<u8>,
    /// net.ipv4.conf.{all or DEVICE}.send_redirects.
    pub send_redirects: Option<bool>,
    /// net.ipv4.conf.{all or DEVICE}.src_valid_mark: rp_filter looks at marks.
    pub src_valid_mark: Option<bool>,
}

/// Reads the settings as they hold for packets of one device, in the network namespace of the calling thread.
pub fn settings(device: &str) -> Settings {
    let number = |name: String| sysctl(&name).ok()?.parse::<u8>().ok();
    let larger = |name: &str| {
        let of = |device: &str| number(format!("net/ipv4/conf/{device}/{name}"));
        of("all").max(of(device))
    };
    Settings {
        ipv4_forward: number("net/ipv4/ip_forward".into()).map(|n| n != 0),
        ipv6_forward: number("net/ipv6/conf/all/forwarding".into()).map(|n| n != 0),
        rp_filter: larger("rp_filter"),
        send_redirects: larger("send_redirects").map(|n| n != 0),
        src_valid_mark: larger("src_valid_mark").map(|n| n != 0),
    }
}

/// Reads a setting by its name under /proc/sys, such as `net/ipv4/ip_forward`, without the line's end.
pub fn sysctl(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(format!("/proc/sys/{name}"))?.trim_end().to_owned())
}

/// What the host is called, if that is a name of printable ASCII.
pub fn name() -> Option<String> {
    let is_name = |name: &String| (1..=255).contains(&name.len()) && name.bytes().all(|c| c.is_ascii_graphic());
    sysctl("kernel/hostname").ok().filter(is_name)
}

/// Packets that rp_filter has dropped, in the network namespace of the calling thread (TcpExt IPReversePathFilter).
pub fn reverse_path_filtered() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/netstat")?;
    counter(&text, "TcpExt:", "IPReversePathFilter").ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// From pairs of lines, names above numbers, that begin with the same word.
fn counter(text: &str, section: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(section));
    let (names, numbers) = (lines.next()?, lines.next()?);
    names.split_whitespace().zip(numbers.split_whitespace()).find(|(n, _)| *n == name)?.1.parse().ok()
}

/// Writes a setting.
pub fn set_sysctl(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/{name}"), value)
}

/// A privilege that we can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// CAP_NET_BIND_SERVICE: ports below 1024.
    NetBindService,
    /// CAP_NET_ADMIN: devices, routes, marks.
    NetAdmin,
    /// CAP_NET_RAW: raw sockets.
    NetRaw,
    /// CAP_SYS_ADMIN: namespaces.
    SysAdmin,
    /// CAP_SETUID: programs that run as somebody else,
    SetUid,
    /// CAP_SETGID: with another group,
    SetGid,
    /// CAP_KILL: and the end of them.
    Kill,
}

impl Capability {
    /// Its number (capabilities(7)).
    pub(super) fn bit(self) -> u32 {
        match self {
            Self::Kill => 5,
            Self::SetGid => 6,
            Self::SetUid => 7,
            Self::NetBindService => 10,
            Self::NetAdmin => 12,
            Self::NetRaw => 13,
            Self::SysAdmin => 21,
        }
    }
}

/// Whether the calling thread has it in effect.
pub fn has(capability: Capability) -> bool {
    let bit = capability.bit();
    let Ok(status) = fs::read_to_string("/proc/thread-self/status") else { return false };
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).is_some_and(|set| set >> bit & 1 == 1)
}

/// Whether this process is in the user namespace that the host booted with (user_namespaces(7): it maps all users to themselves).
pub fn in_first_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Lets this process open as many descriptors as it may ever: each device has one for each worker. The number that it may now.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one struct.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the kernel reads one struct.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

/// Cores that this process may use, at least 1.
pub fn usable_cores() -> usize {
    affinity().map_or(1, |set| cores(&set).count().max(1))
}

/// Keeps the calling thread on the `index`-th of the cores that it may use (modulo their number).
pub fn pin_to_core(index: usize) -> io::Result<()> {
    let set = affinity()?;
    let count = cores(&set).count().max(1);
    let core = cores(&set).nth(index % count).ok_or(io::ErrorKind::NotFound)?;
    let mut one = CpuSet::new();
    one.set(core)?;
    Ok(sched_setaffinity(CALLER, &one)?)
}

/// Makes the time slices of the calling thread so short (the kernel takes 0.1 to 100 ms): it runs no longer than others, but sooner after it wakes,
/// and they have their turns sooner, too. Changes nothing before Linux 6.12, nor where the thread has another scheduling policy than the usual one.
pub fn shorten_slice(slice: Duration) -> io::Result<()> {
    let mut attributes = scheduling()?;
    if attributes.sched_policy != libc::SCHED_OTHER as u32 {
        return Ok(());
    }
    attributes.sched_runtime = u64::try_from(slice.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: the kernel reads the struct, whose size is in it. 0 is the calling thread, and there are no flags.
    let result = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    check(result as libc::c_int).map(drop)
}

/// How the calling thread is scheduled.
fn scheduling() -> io::Result<libc::sched_attr> {
    // SAFETY: a struct of integers.
    let mut attributes: libc::sched_attr = unsafe { zeroed() };
    let size = size_of::<libc::sched_attr>() as libc::c_uint;
    // SAFETY: the kernel writes at most `size` octets to the struct, and its size into it.
    let result = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) };
    check(result as libc::c_int)?;
    Ok(attributes)
}

fn affinity() -> io::Result<CpuSet> {
    Ok(sched_getaffinity(CALLER)?)
}

fn cores(set: &CpuSet) -> impl Iterator<Item = usize> {
    (0..CpuSet::count()).filter(move |core| set.is_set(*core) == Ok(true))
}

#[cfg(test)]
mod tests {
    use super::super::netns::fresh;
    use super::*;

    #[test]
    fn settings_are_those_of_the_namespace_and_the_stricter_counts() {
        fresh(|| {
            set_sysctl("net/ipv4/ip_forward", "0").expect("set");
            set_sysctl("net/ipv4/conf/all/rp_filter", "0").expect("set");
            set_sysctl("net/ipv4/conf/lo/rp_filter", "2").expect("set");
            let before = settings("lo");
            assert_eq!((before.ipv4_forward, before.rp_filter), (Some(false), Some(2)));
            set_sysctl("net/ipv4/ip_forward", "1").expect("set");
            assert_eq!(settings("lo").ipv4_forward, Some(true));
            assert_eq!(sysctl("net/ipv4/ip_forward").expect("read"), "1");
            // A device that does not exist yet has the setting of all.
            assert_eq!(settings("nothing").rp_filter, Some(0));
            assert!(has(Capability::NetAdmin) && has(Capability::SysAdmin));
        });
    }

    #[test]
    fn the_kernels_counters_are_read() {
        let text = "TcpExt: A IPReversePathFilter B\nTcpExt: 1 22 3\nIpExt: A\nIpExt: 4\n";
        assert_eq!(counter(text, "TcpExt:", "IPReversePathFilter"), Some(22));
        assert_eq!(
            (counter(text, "TcpExt:", "C"), counter(text, "IpExt:", "A"), counter("", "a", "b")),
            (None, Some(4), None)
        );
        fresh(|| assert_eq!(reverse_path_filtered().expect("read"), 0));
    }

    #[test]
    fn slices_are_as_short_as_they_shall_be() {
        let (before, after) = std::thread::spawn(|| {
            let before = scheduling().expect("read");
            shorten_slice(Duration::from_micros(300)).expect("shorten");
            (before, scheduling().expect("read"))
        })
        .join()
        .expect("no panic");
        assert_eq!((after.sched_policy, after.sched_nice), (before.sched_policy, before.sched_nice));
        // Older kernels know of no slices; and who builds beside others may do so with another policy.
        let usual = before.sched_policy == libc::SCHED_OTHER as u32 && before.sched_runtime != 0;
        assert_eq!(after.sched_runtime, if usual { 300_000 } else { before.sched_runtime });
    }

    #[test]
    fn threads_stay_on_one_core() {
        std::thread::spawn(|| {
            assert!(usable_cores() >= 1);
            pin_to_core(usable_cores() + 1).expect("pin");
            assert_eq!(usable_cores(), 1);
        })
        .join()
        .expect("no panic");
    }
}
