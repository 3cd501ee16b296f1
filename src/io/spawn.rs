//! Programs of others that we start: what they would inherit of us, and the end of all that they have started.
use nix::sys::signal::{self, SigSet, SigmaskHow};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

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
    Ok(Pid::from_raw(i32::try_from(child.id()).map_err(|_| io::ErrorKind::InvalidInput)?))
}
