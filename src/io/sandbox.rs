//! What a thread of ours, and all that it starts, may ask of the kernel at all: system calls by seccomp(2), files by landlock(7). Threads that were
//! there before are left as they are: the one that runs the hook is one of them, since here no program can be started any more.
use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetStatus,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// Files can be read wherever their permissions say so (certificates and names of hosts are where the operator wants them), written beneath these folders
/// and devices alone, and executed nowhere. Folders that do not exist are left out. False where the kernel has no landlock.
///
/// # Errors
/// When the kernel has it and refuses.
pub fn files(writable: &[PathBuf]) -> io::Result<bool> {
    let access = AccessFs::from_write(ABI::V3) | AccessFs::Execute;
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(access);
    let mut created = ruleset.and_then(Ruleset::create).map_err(io::Error::other)?;
    for path in writable {
        let Ok(opened) = PathFd::new(path) else { continue };
        let beneath =
            if path.is_dir() { AccessFs::from_write(ABI::V3) } else { AccessFs::WriteFile | AccessFs::Truncate };
        created = created.add_rule(PathBeneath::new(opened, beneath)).map_err(io::Error::other)?;
    }
    let status = created.restrict_self().map_err(io::Error::other)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}

/// Every system call that is not among those of a gateway ends the whole process at once (SIGSYS).
///
/// # Errors
/// When the kernel has no seccomp.
pub fn calls() -> io::Result<()> {
    // glibc asks for threads by clone3, whose flags a filter cannot see, and takes clone where it is told that there is no clone3.
    let none: BTreeMap<i64, Vec<SeccompRule>> = [(libc::SYS_clone3, Vec::new())].into();
    let missing = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap_or_default());
    install(&compile(SeccompFilter::new(none, SeccompAction::Allow, missing, arch()?))?)?;
    install(&filter(ALLOWED, SeccompAction::KillProcess)?)
}

fn install(program: &BpfProgram) -> io::Result<()> {
    seccompiler::apply_filter(program).map_err(io::Error::other)
}

fn filter(allowed: &[i64], otherwise: SeccompAction) -> io::Result<BpfProgram> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = allowed.iter().map(|call| (*call, Vec::new())).collect();
    // A thread, never a process.
    let thread = u64::try_from(libc::CLONE_THREAD).unwrap_or_default();
    let flags = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(thread), thread);
    let rule = flags.and_then(|flags| SeccompRule::new(vec![flags])).map_err(io::Error::other)?;
    rules.insert(libc::SYS_clone, vec![rule]);
    compile(SeccompFilter::new(rules, otherwise, SeccompAction::Allow, arch()?))
}

fn compile(filter: Result<SeccompFilter, seccompiler::BackendError>) -> io::Result<BpfProgram> {
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

fn arch() -> io::Result<seccompiler::TargetArch> {
    std::env::consts::ARCH.try_into().map_err(io::Error::other)
}

/// What the engine, the workers, the API and the runtime under them ask for. Not there, and so deadly: execve, fork, ptrace, mount, bpf, keyctl, kexec,
/// module, swap, reboot and clock calls, setuid and its kin, process_vm_*, io_uring, userfaultfd, perf_event_open, unshare, pivot_root, chroot.
#[rustfmt::skip]
const ALLOWED: &[i64] = &[
    // files
    libc::SYS_read, libc::SYS_write, libc::SYS_readv, libc::SYS_writev, libc::SYS_pread64, libc::SYS_pwrite64, libc::SYS_preadv, libc::SYS_pwritev,
    libc::SYS_openat, libc::SYS_close, libc::SYS_close_range, libc::SYS_lseek, libc::SYS_fstat, libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_statfs,
    libc::SYS_fstatfs, libc::SYS_getdents64, libc::SYS_readlinkat, libc::SYS_faccessat, libc::SYS_faccessat2, libc::SYS_fcntl, libc::SYS_flock, libc::SYS_fsync,
    libc::SYS_fdatasync, libc::SYS_ftruncate, libc::SYS_fallocate, libc::SYS_renameat, libc::SYS_renameat2, libc::SYS_unlinkat, libc::SYS_mkdirat,
    libc::SYS_linkat, libc::SYS_fchmod, libc::SYS_fchmodat, libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_utimensat, libc::SYS_umask, libc::SYS_getcwd,
    libc::SYS_dup, libc::SYS_dup3, libc::SYS_ioctl, libc::SYS_copy_file_range, libc::SYS_sendfile, libc::SYS_memfd_create,
    // what becomes ready, and time
    libc::SYS_ppoll, libc::SYS_pselect6, libc::SYS_epoll_create1, libc::SYS_epoll_ctl, libc::SYS_epoll_pwait, libc::SYS_epoll_pwait2, libc::SYS_eventfd2,
    libc::SYS_timerfd_create, libc::SYS_timerfd_settime, libc::SYS_timerfd_gettime, libc::SYS_signalfd4, libc::SYS_pipe2, libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep, libc::SYS_clock_gettime, libc::SYS_clock_getres, libc::SYS_gettimeofday,
    // sockets
    libc::SYS_socket, libc::SYS_socketpair, libc::SYS_bind, libc::SYS_listen, libc::SYS_accept, libc::SYS_accept4, libc::SYS_connect, libc::SYS_shutdown,
    libc::SYS_getsockname, libc::SYS_getpeername, libc::SYS_setsockopt, libc::SYS_getsockopt, libc::SYS_sendto, libc::SYS_recvfrom, libc::SYS_sendmsg,
    libc::SYS_recvmsg, libc::SYS_sendmmsg, libc::SYS_recvmmsg,
    // memory
    libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_mprotect, libc::SYS_madvise, libc::SYS_brk, libc::SYS_mlock, libc::SYS_mlock2, libc::SYS_munlock,
    libc::SYS_mlockall, libc::SYS_membarrier,
    // threads and signals
    libc::SYS_clone3, libc::SYS_futex, libc::SYS_set_robust_list, libc::SYS_get_robust_list, libc::SYS_rseq, libc::SYS_set_tid_address, libc::SYS_exit, libc::SYS_exit_group,
    libc::SYS_rt_sigaction, libc::SYS_rt_sigprocmask, libc::SYS_rt_sigreturn, libc::SYS_rt_sigpending, libc::SYS_rt_sigtimedwait, libc::SYS_sigaltstack,
    libc::SYS_tgkill, libc::SYS_kill, libc::SYS_restart_syscall, libc::SYS_sched_yield, libc::SYS_sched_getaffinity, libc::SYS_sched_setaffinity,
    libc::SYS_sched_getattr, libc::SYS_sched_setattr, libc::SYS_getcpu, libc::SYS_wait4, libc::SYS_waitid,
    // who and where we are; the namespaces of tenants (CAP_SYS_ADMIN says whether)
    libc::SYS_getpid, libc::SYS_getppid, libc::SYS_gettid, libc::SYS_getuid, libc::SYS_geteuid, libc::SYS_getgid, libc::SYS_getegid, libc::SYS_getgroups,
    libc::SYS_uname, libc::SYS_sysinfo, libc::SYS_getrusage, libc::SYS_times, libc::SYS_prlimit64, libc::SYS_getrlimit, libc::SYS_setrlimit, libc::SYS_getrandom,
    libc::SYS_prctl, libc::SYS_capget, libc::SYS_setns, libc::SYS_seccomp,
    // older names of the same, which other architectures do not have
    #[cfg(target_arch = "x86_64")] libc::SYS_open,
    #[cfg(target_arch = "x86_64")] libc::SYS_stat,
    #[cfg(target_arch = "x86_64")] libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")] libc::SYS_access,
    #[cfg(target_arch = "x86_64")] libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")] libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")] libc::SYS_rename,
    #[cfg(target_arch = "x86_64")] libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")] libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")] libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")] libc::SYS_chown,
    #[cfg(target_arch = "x86_64")] libc::SYS_link,
    #[cfg(target_arch = "x86_64")] libc::SYS_poll,
    #[cfg(target_arch = "x86_64")] libc::SYS_select,
    #[cfg(target_arch = "x86_64")] libc::SYS_epoll_wait,
    #[cfg(target_arch = "x86_64")] libc::SYS_pipe,
    #[cfg(target_arch = "x86_64")] libc::SYS_dup2,
    #[cfg(target_arch = "x86_64")] libc::SYS_time,
    #[cfg(target_arch = "x86_64")] libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")] libc::SYS_getpgrp,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    const WHICH: &str = "SANDHOG_SANDBOX_TEST";

    /// Runs a test of this module again, alone in a process of its own, as `which`.
    fn again(test: &str, which: &str) -> ExitStatus {
        let us = std::env::current_exe().expect("this program");
        let name = format!("io::sandbox::tests::{test}");
        let mut command = Command::new(us);
        command.args(["--exact", &name, "--nocapture"]).env(WHICH, which);
        command.output().expect("run").status
    }

    #[test]
    fn a_system_call_of_no_gateway_ends_the_process() {
        match std::env::var(WHICH).ok().as_deref() {
            None => {
                let of_test = |which| again("a_system_call_of_no_gateway_ends_the_process", which);
                assert!(of_test("good").success());
                for deadly in ["exec", "fork", "unshare"] {
                    assert_eq!(of_test(deadly).signal(), Some(libc::SIGSYS), "{deadly}");
                }
            }
            Some(which) => {
                nix::sys::prctl::set_no_new_privs().expect("prctl");
                calls().expect("seccomp");
                match which {
                    "exec" | "fork" => drop(Command::new("/bin/true").status()),
                    "unshare" => drop(nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)),
                    _ => {}
                }
                // Files, sockets and threads go on.
                let other = std::thread::spawn(|| std::fs::read("/proc/self/status").expect("read").len());
                assert!(other.join().expect("join") > 0);
                std::net::UdpSocket::bind("127.0.0.1:0").expect("bind");
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
                runtime.block_on(async { tokio::task::yield_now().await });
            }
        }
    }

    #[test]
    fn files_are_written_where_they_may_be_and_nowhere_else() {
        let Some(which) = std::env::var(WHICH).ok() else {
            assert!(again("files_are_written_where_they_may_be_and_nowhere_else", "inside").success());
            return;
        };
        assert_eq!(which, "inside");
        let (good, bad) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        std::fs::write(bad.path().join("there"), "1").expect("write");
        nix::sys::prctl::set_no_new_privs().expect("prctl");
        if !files(&[good.path().into(), "/no/such/folder".into()]).expect("landlock") {
            return eprintln!("skipped: this kernel has no landlock");
        }
        std::fs::write(good.path().join("new"), "1").expect("write");
        std::fs::rename(good.path().join("new"), good.path().join("newer")).expect("rename");
        assert_eq!(std::fs::read(bad.path().join("there")).expect("read"), b"1");
        for refused in [
            std::fs::write(bad.path().join("there"), "2"),
            std::fs::write(bad.path().join("new"), "2"),
            std::fs::remove_file(bad.path().join("there")),
            Command::new("/bin/true").status().map(drop),
        ] {
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }
}
