//! Network namespaces without names: each lives as long as a descriptor, thread, process or device holds it.
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

/// A network namespace, held by a descriptor.
#[derive(Debug)]
pub struct Namespace(OwnedFd);
impl Namespace {
    /// The one of the calling thread.
    pub fn current() -> io::Result<Self> {
        todo!()
    }
    /// A fresh one with nothing but a `lo` that is down. `PermissionDenied` without CAP_SYS_ADMIN; see [`become_root_of_user_namespace`].
    pub fn create() -> io::Result<Self> {
        todo!()
    }
    /// Runs `work` on a thread of its own inside the namespace and waits for it. A panic goes on in the caller.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let _ = work;
        todo!()
    }
    /// Starts a thread inside the namespace. It fails later, by its result, if the namespace cannot be entered.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<std::thread::JoinHandle<io::Result<T>>> {
        let _ = work;
        todo!()
    }
    /// Makes `command` start inside the namespace, and be killed when the calling thread ends.
    pub fn prepare(&self, command: &mut Command) -> io::Result<()> {
        let _ = command;
        todo!()
    }
}
impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Moves the whole process, which must have one thread only, into a user namespace where it is root, so that it may create network namespaces.
pub fn become_root_of_user_namespace() -> io::Result<()> {
    todo!()
}
