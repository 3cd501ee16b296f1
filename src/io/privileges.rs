//! What this process may do: capabilities(7), core dumps, memory that is never swapped. Capabilities belong to threads: all of this is done
//! before there is a second one.
use super::host::Capability;
use super::sys::check;
use nix::sys::prctl;
use nix::unistd::geteuid;
use std::io;

/// Linux has numbered them up to here (CAP_CHECKPOINT_RESTORE); more are asked for until the kernel knows no more.
const LAST: u32 = 63;
/// `_LINUX_CAPABILITY_VERSION_3`: two words of 32 bits for each set.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}
/// The capabilities of the calling thread, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sets {
    effective: u64,
    permitted: u64,
    inheritable: u64,
}

/// No core dump of ours is written, also where a program takes them, and nobody but root may look into our memory or /proc/PID.
///
/// # Errors
/// Not on any kernel that runs elsewhere.
pub fn no_cores() -> io::Result<()> {
    prctl::set_dumpable(false)?;
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads one struct.
    check(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })?;
    Ok(())
}

/// That, and no program that we start has more privileges than we have.
///
/// # Errors
/// As [`no_cores`].
pub fn harden() -> io::Result<()> {
    no_cores()?;
    prctl::set_no_new_privs()?;
    Ok(())
}

/// The user that this process runs as.
pub fn user() -> u32 {
    geteuid().as_raw()
}

/// What the calling thread is permitted takes effect: a program that has file capabilities starts without (setcap's `p` without `e`, so that it starts
/// even where a container's bounding set lacks one of them).
///
/// # Errors
/// When the system has no capabilities.
pub fn raise() -> io::Result<()> {
    let mut sets = get()?;
    if sets.effective == sets.permitted {
        return Ok(());
    }
    sets.effective = sets.permitted;
    set(sets)
}

/// The calling thread, and all that it starts from now on, keeps of its capabilities these alone, and never gets others again.
///
/// # Errors
/// When the system has no capabilities.
pub fn keep(wanted: &[Capability]) -> io::Result<()> {
    let wanted = wanted.iter().fold(0, |all, one| all | 1 << one.bit());
    for bit in (0..=LAST).filter(|bit| wanted >> bit & 1 == 0) {
        // Without CAP_SETPCAP, or for a number that the kernel does not know: what is not permitted is not gained by a program of ours, whose
        // `harden` has seen to that.
        // SAFETY: takes numbers alone.
        unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(bit), 0, 0, 0) };
    }
    // SAFETY: takes numbers alone. Kernels before 4.3 have no such capabilities.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    let kept = get()?.permitted & wanted;
    let done = set(Sets { effective: kept, permitted: kept, inheritable: 0 });
    // The unit's sandbox lets nobody change anything, and has given no more than that. What a program of ours could inherit is nothing without what is
    // ambient.
    let now = get()?;
    if (now.effective, now.permitted) == (kept, kept) { Ok(()) } else { done }
}

/// Nothing of this process is ever written to a swap device. False where the limit (RLIMIT_MEMLOCK) does not allow it: then nothing is locked, since
/// memory that is asked for later would be refused.
pub fn lock_memory() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let all = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the kernel reads one struct, then writes one.
    let known = unsafe {
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const all);
        libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) == 0
    };
    // What is not touched takes no memory: pages are locked when they come.
    let flags = libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT;
    // SAFETY: takes flags alone.
    known && limit.rlim_cur == libc::RLIM_INFINITY && unsafe { libc::mlockall(flags) } == 0
}

fn get() -> io::Result<Sets> {
    let mut header = Header { version: VERSION, pid: 0 };
    let mut words = [Word::default(); 2];
    // SAFETY: version 3 writes two words of three sets.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
    check(result as libc::c_int)?;
    let join = |pick: fn(&Word) -> u32| u64::from(pick(&words[0])) | u64::from(pick(&words[1])) << 32;
    Ok(Sets {
        effective: join(|word| word.effective),
        permitted: join(|word| word.permitted),
        inheritable: join(|word| word.inheritable),
    })
}

fn set(sets: Sets) -> io::Result<()> {
    let mut header = Header { version: VERSION, pid: 0 };
    let word = |shift: u32| Word {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let words = [word(0), word(32)];
    // SAFETY: version 3 reads two words of three sets.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) };
    check(result as libc::c_int).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::host::has;

    /// In a thread of its own: the others of this process keep theirs.
    fn apart(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().expect("test");
    }

    #[test]
    fn what_is_not_kept_is_gone_for_good() {
        if !has(Capability::SysAdmin) {
            return eprintln!("skipped: this test drops capabilities of root");
        }
        apart(|| {
            keep(&[Capability::NetAdmin, Capability::NetRaw]).unwrap();
            assert!(has(Capability::NetAdmin) && has(Capability::NetRaw));
            assert!(!has(Capability::SysAdmin) && !has(Capability::NetBindService));
            let kept = get().unwrap();
            assert_eq!(kept.permitted, 1 << 12 | 1 << 13);
            assert_eq!((kept.effective, kept.inheritable), (kept.permitted, 0));
            // Nor can it be had again: neither by asking nor by a program that root starts.
            let all = Sets { effective: u64::MAX >> 23, permitted: u64::MAX >> 23, inheritable: 0 };
            assert!(set(all).is_err());
            let status = std::process::Command::new("cat").arg("/proc/self/status").output().unwrap();
            let status = String::from_utf8(status.stdout).unwrap();
            assert!(status.contains("CapBnd:\t0000000000003000"), "{status}");
            assert!(status.contains("CapEff:\t0000000000003000"), "{status}");
        });
        assert!(has(Capability::SysAdmin));
    }

    #[test]
    fn what_is_permitted_takes_effect() {
        if !has(Capability::NetAdmin) {
            return eprintln!("skipped: this test needs capabilities");
        }
        apart(|| {
            let before = get().unwrap();
            set(Sets { effective: 0, ..before }).unwrap();
            assert!(!has(Capability::NetAdmin));
            raise().unwrap();
            assert!(has(Capability::NetAdmin));
        });
    }
}
