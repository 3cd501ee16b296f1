//! Network namespaces: each lives as long as a name, descriptor, thread or process holds it. A device in it does not.
use super::sys::{check, context};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::{prctl, signal};
use nix::unistd::{getegid, geteuid};
use std::fs::{self, File};
use std::io;
use std::mem::zeroed;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

mod ioctl {
    // NS_GET_NSTYPE of linux/nsfs.h.
    nix::ioctl_none!(namespace_type, 0xb7, 3);
}

/// A network namespace, held by a descriptor.
#[derive(Debug)]
pub struct Namespace(pub(super) OwnedFd);
impl Namespace {
    /// The one of the calling thread.
    pub fn current() -> io::Result<Self> {
        File::open("/proc/thread-self/ns/net").map(|file| Self(file.into()))
    }

    /// The one that a path stands for: `/run/netns/NAME` of a named one, `/proc/PID/ns/net` of a process. `NotFound` if it is nothing of the kind.
    pub fn open(path: &Path) -> io::Result<Self> {
        // A path may lead to anything: a pipe would wait for its other end.
        let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        // SAFETY: it takes nothing, and returns a number. Only a namespace is asked: elsewhere the request may mean anything.
        let kind = || unsafe { ioctl::namespace_type(file.as_raw_fd()) };
        match is_namespace(&file)?.then(kind) {
            Some(Ok(libc::CLONE_NEWNET)) => Ok(Self(file.into())),
            // An empty file is what is left of a name without a namespace.
            _ => Err(io::Error::new(io::ErrorKind::NotFound, format!("{} is no network namespace", path.display()))),
        }
    }

    /// A fresh one with nothing but a `lo` that is down. `PermissionDenied` without CAP_SYS_ADMIN; see [`become_root_of_user_namespace`].
    pub fn create() -> io::Result<Self> {
        // On a thread of its own, so that the caller stays where it is.
        let create = || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|e| context(&e.into(), "new network namespace"))?;
            Self::current()
        };
        joined(thread::Builder::new().spawn(create)?)
    }

    /// Whether both are one.
    pub fn is(&self, other: &Self) -> io::Result<bool> {
        Ok(self.number()? == other.number()?)
    }

    /// What no other has while this one lives.
    pub fn number(&self) -> io::Result<(u64, u64)> {
        File::from(self.0.try_clone()?).metadata().map(|about| (about.dev(), about.ino()))
    }

    /// Runs `work` on a thread of its own inside the namespace and waits for it. A panic goes on in the caller. An error, too, if there can be no
    /// more threads.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.run_on(thread::Builder::new(), work)
    }

    fn run_on<T: Send>(&self, thread: thread::Builder, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let thread = thread.spawn_scoped(scope, || self.enter().map(|()| work()))?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a thread inside the namespace. It fails later, by its result, if the namespace cannot be entered.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<thread::JoinHandle<io::Result<T>>> {
        let own = Self(self.0.try_clone()?);
        thread::Builder::new().spawn(move || own.enter().map(|()| work()))
    }

    /// Makes `command` start inside the namespace, and be killed when the calling thread ends.
    pub fn prepare(&self, command: &mut Command) -> io::Result<()> {
        let own = Self(self.0.try_clone()?);
        // SAFETY: what runs between fork and exec makes two system calls and touches neither heap nor locks.
        unsafe {
            command.pre_exec(move || {
                own.enter()?;
                Ok(prctl::set_pdeathsig(signal::SIGKILL)?)
            });
        }
        Ok(())
    }

    /// Moves the calling thread into the namespace.
    fn enter(&self) -> io::Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET)?)
    }
}
impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether it is a namespace, of whatever kind.
fn is_namespace(file: &File) -> io::Result<bool> {
    // SAFETY: a struct of integers.
    let mut about: libc::statfs = unsafe { zeroed() };
    // SAFETY: the kernel writes one struct.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), &raw mut about) })?;
    Ok(about.f_type == libc::NSFS_MAGIC)
}

/// What a thread returned; a panic goes on here.
fn joined<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Moves the whole process, which must have one thread only, into a user namespace where it is root, so that it may create network namespaces.
pub fn become_root_of_user_namespace() -> io::Result<()> {
    let (uid, gid) = (geteuid(), getegid());
    // The kernel refuses if there are other threads.
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|e| context(&e.into(), "new user namespace"))?;
    // Without this an unprivileged process may not map its group (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}

/// Runs a test in a network namespace of its own with `lo` up, or says that it cannot.
#[cfg(test)]
pub(crate) fn fresh(test: impl FnOnce() + Send) {
    match Namespace::create() {
        Ok(namespace) => namespace
            .run(|| {
                super::netlink::Netlink::open().and_then(|netlink| netlink.set_up(1, true)).expect("lo");
                test();
            })
            .expect("enter a namespace"),
        Err(e) => eprintln!("SKIPPED, because it needs CAP_SYS_ADMIN for a network namespace of its own: {e}"),
    }
}

/// Makes a link in the present namespace, with this address, whose neighbours never answer and are asked for ever: what is sent to them
/// waits.
#[cfg(test)]
pub(crate) fn unanswered(addr: &str) {
    let netlink = super::netlink::Netlink::open().expect("netlink");
    netlink.add_veth("near", "far").expect("veth");
    let [near, far] = ["near", "far"].map(|name| netlink.link(name).expect(name).index);
    for link in [near, far] {
        netlink.set_up(link, true).expect("up");
    }
    fs::write("/proc/sys/net/ipv4/neigh/near/mcast_solicit", "1000000").expect("patience");
    let addr = addr.parse().expect("address");
    netlink.add_address(&super::netlink::Address { link: near, addr, prefix_len: 24 }).expect("address");
}

#[cfg(test)]
mod tests {
    use super::super::netlink::Netlink;
    use super::*;
    use std::io::Read;
    use std::process::Stdio;

    #[test]
    fn a_fresh_namespace_is_empty_and_ours_stays() {
        fresh(|| {
            let inside = fs::read_link("/proc/thread-self/ns/net").expect("inside");
            let other = Namespace::create().expect("another");
            let names = other.run(|| Netlink::open().and_then(|n| n.links())).expect("enter").expect("list");
            assert_eq!(names.iter().map(|l| l.name.as_str()).collect::<Vec<_>>(), ["lo"]);
            assert!(!names[0].up);
            assert_eq!(fs::read_link("/proc/thread-self/ns/net").expect("still inside"), inside);
        });
    }

    #[test]
    fn a_path_is_a_network_namespace_or_refused() {
        fresh(|| {
            let inside = fs::read_link("/proc/thread-self/ns/net").expect("inside");
            let found = Namespace::open(Path::new("/proc/thread-self/ns/net")).expect("ours");
            assert_eq!(found.run(|| fs::read_link("/proc/thread-self/ns/net").expect("link")).expect("enter"), inside);
            assert!(found.is(&Namespace::current().expect("ours")).expect("compare"));
            assert!(!found.is(&Namespace::create().expect("another")).expect("compare"));
            for path in ["/run/netns/nobody-has-this-name", "/proc/self/ns/mnt", "/etc/passwd"] {
                let error = Namespace::open(Path::new(path)).expect_err(path);
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path}");
            }
        });
    }

    /// Whatever a path leads to, nobody waits for it.
    #[test]
    fn a_pipe_is_no_namespace() {
        let path = std::env::temp_dir().join(format!("sandhog-pipe-{}", std::process::id()));
        assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
        let (tell, told) = std::sync::mpsc::channel();
        let pipe = path.clone();
        thread::spawn(move || tell.send(Namespace::open(&pipe).map_err(|error| error.kind())));
        let opened = told.recv_timeout(std::time::Duration::from_secs(5));
        fs::remove_file(&path).expect("remove");
        assert_eq!(opened.expect("an answer").expect_err("a pipe"), io::ErrorKind::NotFound);
    }

    #[test]
    fn without_a_thread_nothing_runs_and_nothing_breaks() {
        let ours = Namespace::current().expect("ours");
        // More than any machine has.
        let builder = thread::Builder::new().stack_size(1 << 60);
        assert!(ours.run_on(builder, || ()).is_err());
    }

    #[test]
    fn commands_start_inside() {
        fresh(|| {
            let other = Namespace::create().expect("another");
            let wanted = other.run(|| fs::read_link("/proc/thread-self/ns/net")).expect("enter").expect("link");
            let mut command = Command::new("/bin/readlink");
            command.arg("/proc/self/ns/net").stdout(Stdio::piped());
            other.prepare(&mut command).expect("prepare");
            let mut child = command.spawn().expect("start");
            let mut text = String::new();
            child.stdout.take().expect("piped").read_to_string(&mut text).expect("read");
            child.wait().expect("wait");
            assert_eq!(text.trim_end(), wanted.to_string_lossy());
        });
    }

    #[test]
    fn a_spawned_thread_is_inside() {
        fresh(|| {
            let here = fs::read_link("/proc/thread-self/ns/net").expect("here");
            let other = Namespace::create().expect("another");
            let thread = other.spawn(|| fs::read_link("/proc/thread-self/ns/net").expect("there")).expect("spawn");
            assert_ne!(thread.join().expect("no panic").expect("entered"), here);
        });
    }
}
