//! Programs that we start: what they would inherit of us, and the end of all that they have started.
use super::fds::Signal;
use nix::sys::prctl;
use nix::sys::signal::{self, SigSet, SigmaskHow};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

/// The program gets a process group of its own, no signal is blocked in it, and none of our capabilities outlives its change of user.
pub fn apart(command: &mut Command) {
    command.process_group(0);
    // SAFETY: between fork and exec it makes two system calls that are safe there, and neither allocates nor locks.
    unsafe {
        command.pre_exec(|| {
            signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
            // Kernels before 4.3 have no such capabilities.
            libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
            Ok(())
        });
    }
}
/// The program gets a descriptor of ours under the number that it has here, and no signal is blocked in it. The descriptor must be open until the
/// program was started.
pub fn with_descriptor(command: &mut Command, kept: BorrowedFd<'_>) -> RawFd {
    let number = kept.as_raw_fd();
    // SAFETY: between fork and exec it makes two system calls that are safe there, and neither allocates nor locks.
    unsafe {
        command.pre_exec(move || {
            signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
            super::sys::check(libc::fcntl(number, libc::F_SETFD, 0)).map(drop)
        });
    }
    number
}
/// Becomes another program, with the descriptor and what signals are blocked or wait; why not, if it cannot.
pub fn become_program(command: &mut Command, kept: BorrowedFd<'_>) -> io::Error {
    let number = kept.as_raw_fd();
    // SAFETY: it takes numbers, and the descriptor is open.
    if let Err(error) = super::sys::check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }) {
        return error;
    }
    let error = command.exec();
    // SAFETY: as above.
    let _ = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    error
}
/// We are killed when who has started us ends. A change of user or privileges undoes it.
///
/// # Errors
/// When that process has ended already.
pub fn end_with_parent() -> io::Result<()> {
    let parent = std::os::unix::process::parent_id();
    prctl::set_pdeathsig(signal::SIGKILL)?;
    if std::os::unix::process::parent_id() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}
/// What `ps` shows as the name of this process: 15 octets at most. Who was started by a descriptor would have its number there.
pub fn set_name(name: &std::ffi::CStr) {
    // It can only be cut.
    let _ = prctl::set_name(name);
}
/// The next of our children that has ended, and how. Its number is nobody's from then on.
pub fn reap_any() -> Option<(u32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: the kernel writes one int.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    u32::try_from(pid).ok().filter(|pid| *pid > 0).map(|pid| (pid, ExitStatus::from_raw(status)))
}
/// Sends a child that has not been waited for a signal that was sent to us.
pub fn forward(pid: u32, signal: Signal) -> io::Result<()> {
    let signal = match signal {
        Signal::Terminate => signal::SIGTERM,
        Signal::Interrupt => signal::SIGINT,
        Signal::Hangup => signal::SIGHUP,
        Signal::Child => return Ok(()),
    };
    Ok(signal::kill(of_number(pid)?, signal)?)
}
/// Kills a child that has not been waited for.
pub fn kill_one(pid: u32) -> io::Result<()> {
    Ok(signal::kill(of_number(pid)?, signal::SIGKILL)?)
}
/// Ends this process by the signal that has ended another, so that who waits for us learns what it would have learned of that. It leaves no core of
/// its own. It comes back if the signal ends nothing.
pub fn die_by(signal: i32) {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads one struct; the other calls take numbers and a set that is ours.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::signal(signal, libc::SIG_DFL);
        let _ = SigSet::empty().thread_set_mask();
        libc::raise(signal);
    }
}
/// True if a program has ended. Its number stays its own until it is waited for.
///
/// # Errors
/// When it was waited for.
pub fn has_ended(child: &Child) -> io::Result<bool> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    Ok(waitid(Id::Pid(number(child)?), flags)? != WaitStatus::StillAlive)
}
/// Ends a program that was started [`apart`] and has not been waited for, with all that is in its group: also what it has left behind.
///
/// # Errors
/// When this process may not: the program runs as somebody else, and CAP_KILL is missing.
pub fn kill(child: &Child) -> io::Result<()> {
    Ok(signal::killpg(number(child)?, signal::SIGKILL)?)
}
/// The end of a program becomes known here, and whoever waits for it in another way gets an error.
#[cfg(test)]
pub fn reap(child: &Child) -> io::Result<()> {
    waitid(Id::Pid(number(child)?), WaitPidFlag::WEXITED)?;
    Ok(())
}
fn number(child: &Child) -> io::Result<Pid> {
    of_number(child.id())
}
fn of_number(pid: u32) -> io::Result<Pid> {
    let pid = i32::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // Zero and what is below stand for more than one process.
    if pid > 0 { Ok(Pid::from_raw(pid)) } else { Err(io::ErrorKind::InvalidInput.into()) }
}
