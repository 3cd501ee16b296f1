//! Programs of others that we start: what they would inherit of us, and the end of all that they have started.
use nix::sys::signal::{self, SigSet, SigmaskHow};
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
/// Ends a program that was started [`apart`], with all that is in its group.
///
/// # Errors
/// When nobody is left.
pub fn kill(child: &Child) -> io::Result<()> {
    // The child has not been waited for while somebody holds it, so the number is still its own.
    let group = i32::try_from(child.id()).map_err(|_| io::ErrorKind::InvalidInput)?;
    Ok(signal::killpg(Pid::from_raw(group), signal::SIGKILL)?)
}
