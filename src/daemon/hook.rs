//! Somebody else's program that is told of changes: one at a time, in order, as a user of its own, and never longer than it may.
use super::changes::Change;
use super::clock;
use super::journal::reason;
use crate::config::Hook as Settings;
use crate::io::fds::Poll;
use crate::io::{privileges, spawn};
use std::io::{self, PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

/// Says whose the change is.
const CONNECTION: &str = "SANDHOG_CONNECTION";
/// Changes that wait for their turn; more are not told.
const QUEUE: usize = 64;
/// Of what one run says so many octets are logged, in so many lines.
const MAX_OUTPUT: usize = 4096;
const MAX_LINES: usize = 32;
/// A program that was killed is gone in a moment; if it is not, others are not kept waiting for it.
const PARTING: Duration = Duration::from_secs(1);
/// With so many that could not be killed no other is run.
const MAX_LEFT: usize = 8;
/// A program that has ended is noticed after this.
const TICK: Duration = Duration::from_millis(20);
/// What is on no path of its own has to be named in full.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The thread that runs it. What waits when this goes is run still, but not for longer than one run may take.
#[derive(Debug)]
pub struct Hook {
    queue: Option<SyncSender<Variables>>,
    ended: Receiver<()>,
    timeout: Duration,
    /// Changes that wait or are being told.
    under_way: Arc<AtomicUsize>,
    /// Changes that were not told, as the queue was full.
    pub lost: u64,
}
type Variables = Vec<(&'static str, String)>;

impl Hook {
    /// Nothing runs before the first change.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (queue, changes) = mpsc::sync_channel::<Variables>(QUEUE);
        let (end, ended) = mpsc::channel();
        let (timeout, under_way) = (settings.timeout, Arc::new(AtomicUsize::new(0)));
        let left_to_do = under_way.clone();
        thread::Builder::new().name("hook".into()).spawn(move || {
            // Those that would not go: nobody waits for them, but what is left of them in the end.
            let mut left: Vec<Child> = Vec::new();
            for variables in changes {
                left.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
                match run(&settings, &variables, &mut left) {
                    Ok(End::Exited(status)) if status.success() => {}
                    Ok(End::Exited(status)) => {
                        tracing::warn!(connection = whose(&variables), %status, ?variables, "the hook has failed")
                    }
                    Ok(End::Killed) => tracing::warn!(
                        connection = whose(&variables),
                        ?variables,
                        "the hook took too long and was killed"
                    ),
                    Err(error) => {
                        tracing::warn!(connection = whose(&variables), %error, ?variables, "the hook could not be run")
                    }
                }
                left_to_do.fetch_sub(1, Ordering::AcqRel);
            }
            // Nobody may be waiting.
            let _ = end.send(());
        })?;
        Ok(Self { queue: Some(queue), ended, timeout, under_way, lost: 0 })
    }
    /// How many changes wait for it, or are being told.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Ordering::Acquire)
    }
    /// Has it told, in its turn. Never waits.
    pub fn tell(&mut self, change: &Change) {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let full = self.queue.as_ref().is_some_and(|queue| queue.try_send(variables(change)).is_err());
        if full {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            self.lost += 1;
            tracing::warn!(
                lost = self.lost,
                event = change.kind.name(),
                connection = change.connection,
                "the hook is too slow: it was not told"
            );
        }
    }
}
impl Drop for Hook {
    fn drop(&mut self) {
        self.queue = None;
        let _ = self.ended.recv_timeout(self.timeout);
    }
}

/// Names are the configuration's, addresses are numbers, and the reason is a word of ours: nothing here is text of a peer.
fn variables(change: &Change) -> Variables {
    vec![
        ("SANDHOG_EVENT", change.kind.name().to_owned()),
        (CONNECTION, change.connection.clone()),
        ("SANDHOG_CHILD", change.child.as_deref().unwrap_or_default().to_owned()),
        ("SANDHOG_LOCAL", change.ends.0.to_string()),
        ("SANDHOG_REMOTE", change.ends.1.to_string()),
        ("SANDHOG_REASON", change.why.map_or("", reason).to_owned()),
    ]
}

fn whose<'v>(variables: &'v [(&'static str, String)]) -> Option<&'v str> {
    variables.iter().find(|(name, _)| *name == CONNECTION).map(|(_, value)| value.as_str())
}

/// How a run ended.
#[derive(Debug)]
enum End {
    Exited(ExitStatus),
    Killed,
}
fn run(settings: &Settings, variables: &Variables, left: &mut Vec<Child>) -> io::Result<End> {
    if left.len() >= MAX_LEFT {
        return Err(io::Error::other("too many of it run still and cannot be killed; that needs CAP_KILL"));
    }
    let Some((program, arguments)) = settings.command.split_first() else { return Err(io::ErrorKind::NotFound.into()) };
    let (mut output, ours) = io::pipe()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).envs(variables.iter().cloned()).current_dir("/");
    command.stdin(Stdio::null()).stdout(ours.try_clone()?).stderr(ours);
    // The supplementary groups go with the change of user.
    if settings.uid != privileges::user() {
        command.uid(settings.uid).gid(settings.gid);
    }
    spawn::apart(&mut command);
    let child = command.spawn()?;
    // It holds the other end of the pipe.
    drop(command);
    let mut said = Vec::new();
    let ended = wait(&child, &mut output, &mut said, settings.timeout);
    // Nobody of it may be left, also if it has ended by itself.
    if let Err(error) = spawn::kill(&child) {
        tracing::warn!(%error, "what the hook has started could not be killed; that needs CAP_KILL");
    }
    let status = part(child, left);
    for line in String::from_utf8_lossy(&said).lines().take(MAX_LINES) {
        tracing::info!(connection = whose(variables), line, "the hook says");
    }
    Ok(if ended? { status?.map_or(End::Killed, End::Exited) } else { End::Killed })
}
/// How it has ended. If it has not, though it was killed, or if that cannot be told, it is put to those that are left.
fn part(mut child: Child, left: &mut Vec<Child>) -> io::Result<Option<ExitStatus>> {
    let status = end(&mut child);
    if !matches!(status, Ok(Some(_))) {
        left.push(child);
    }
    status
}
fn end(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let deadline = clock::now() + PARTING;
    // Most have ended, and need nothing else.
    let mut status = child.try_wait()?;
    let poll = Poll::new()?;
    while status.is_none() && deadline > clock::now() {
        poll.wait(&mut Vec::new(), Some(TICK))?;
        status = child.try_wait()?;
    }
    Ok(status)
}
/// Waits for its end and takes in what it says; what is too much is read and thrown away, so that it need not wait for us. False if it takes too
/// long.
fn wait(child: &Child, output: &mut PipeReader, said: &mut Vec<u8>, timeout: Duration) -> io::Result<bool> {
    let deadline = clock::now() + timeout;
    let (poll, mut ready, mut open) = (Poll::new()?, Vec::new(), true);
    poll.add(output, 0)?;
    loop {
        let ended = spawn::has_ended(child)?;
        // What it has said before it ended is there already.
        poll.wait(&mut ready, Some(if ended { Duration::ZERO } else { TICK }))?;
        let more = open && !ready.is_empty();
        if more && !take(output, said)? {
            open = false;
            poll.remove(output)?;
        }
        if ended && (!more || !open) {
            return Ok(true);
        }
        if deadline <= clock::now() {
            return Ok(false);
        }
    }
}
/// False at the end.
fn take(output: &mut PipeReader, said: &mut Vec<u8>) -> io::Result<bool> {
    let mut buf = [0; 1024];
    let len = output.read(&mut buf)?;
    let room = MAX_OUTPUT.saturating_sub(said.len());
    said.extend(buf.iter().take(len.min(room)));
    Ok(len > 0)
}

#[cfg(test)]
mod tests {
    use super::super::changes::Kind;
    use super::*;
    use crate::ike::event::Ended;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn settings(script: &str, timeout: Duration) -> Settings {
        // Whoever runs the tests: only root can be somebody else.
        let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        let (uid, gid) = if root { (65_534, 65_534) } else { (0, 0) };
        let command = vec!["/bin/sh".into(), "-c".into(), script.into(), "hook".into(), "$(id) ; an argument".into()];
        Settings { command, uid, gid, timeout }
    }
    fn change(connection: &str) -> Change {
        let ends = ("192.0.2.1:4500".parse().unwrap(), "[2001:db8::7]:4500".parse().unwrap());
        let (connection, child) = (connection.to_owned(), Some("lan".into()));
        Change { kind: Kind::Down, connection, child, ends, why: Some(Ended::PeerDead) }
    }
    fn says(script: &str) -> (io::Result<End>, String) {
        let settings = settings(script, Duration::from_secs(20));
        let mut said = Vec::new();
        let (mut output, ours) = io::pipe().unwrap();
        let end = {
            let mut command = Command::new(&settings.command[0]);
            command.args(&settings.command[1..]).env_clear().envs(variables(&change("office")));
            command.stdin(Stdio::null()).stdout(ours.try_clone().unwrap()).stderr(ours);
            spawn::apart(&mut command);
            let mut child = command.spawn().unwrap();
            drop(command);
            let ended = wait(&child, &mut output, &mut said, settings.timeout);
            spawn::kill(&child).unwrap();
            assert!(ended.unwrap());
            child.wait().map(End::Exited)
        };
        (end, String::from_utf8(said).unwrap())
    }
    fn file(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("sandhog-hook-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        folder.join("said")
    }

    #[test]
    fn it_hears_what_has_changed_and_no_shell_reads_it() {
        let (end, said) = says("env | grep SANDHOG | sort; echo \"$1\"; exit 3");
        assert!(matches!(end, Ok(End::Exited(status)) if status.code() == Some(3)));
        let expected = "SANDHOG_CHILD=lan\nSANDHOG_CONNECTION=office\nSANDHOG_EVENT=down\nSANDHOG_LOCAL=192.0.2.1:4500\n\
            SANDHOG_REASON=peer_dead\nSANDHOG_REMOTE=[2001:db8::7]:4500\n$(id) ; an argument\n";
        assert_eq!(said, expected);
    }

    #[test]
    fn it_is_known_how_many_are_under_way() {
        let said = file("under-way");
        let fifo = said.with_file_name("fifo");
        assert!(Command::new("mkfifo").arg("-m").arg("666").arg(&fifo).status().unwrap().success());
        let script = format!("read line < {}", fifo.display());
        let mut hook = Hook::start(settings(&script, Duration::from_secs(20))).unwrap();
        let under_way = hook.under_way.clone();
        assert_eq!(hook.under_way(), 0);
        hook.tell(&change("office"));
        hook.tell(&change("home"));
        assert_eq!(hook.under_way(), 2);
        // Open in both directions it waits for nobody.
        let mut both = fs::File::options().read(true).write(true).open(&fifo).unwrap();
        std::io::Write::write_all(&mut both, b"one\ntwo\n").unwrap();
        drop(hook);
        assert_eq!(under_way.load(Ordering::Acquire), 0);
    }

    #[test]
    fn all_run_in_their_order_as_somebody_else_and_without_what_is_ours() {
        let said = file("order");
        let script = format!(
            "echo \"$SANDHOG_CONNECTION $(id -u) $(id -G) $(pwd) $(grep SigBlk /proc/self/status) $HOME $PATH\" >> {}",
            said.display()
        );
        let settings = settings(&script, Duration::from_secs(20));
        let who = match settings.uid {
            0 => fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap(),
            uid => uid,
        };
        // As in the daemon: the threads that this one starts have signals blocked.
        let _blocked = crate::io::fds::Signals::new().unwrap();
        let mut hook = Hook::start(settings).unwrap();
        (0..20).for_each(|n| hook.tell(&change(&format!("c{n}"))));
        drop(hook);
        let text = fs::read_to_string(&said).unwrap();
        for (n, line) in text.lines().enumerate() {
            let words: Vec<_> = line.split_whitespace().collect();
            assert_eq!((words[0], words[1]), (format!("c{n}").as_str(), who.to_string().as_str()));
            if who == 65_534 {
                assert_eq!(words[2..4], ["65534", "/"], "no group of ours");
            }
            assert!(line.contains("SigBlk:\t0000000000000000"), "{line}");
            assert!(line.ends_with(PATH) && !line.contains("/root"));
        }
        assert_eq!(text.lines().count(), 20);
        fs::remove_dir_all(said.parent().unwrap()).unwrap();
    }

    #[test]
    fn who_takes_too_long_is_killed_with_all_that_it_has_started() {
        let said = file("slow");
        let script = format!("(while :; do date >> {}; sleep 0.05; done) & echo $! ; sleep 1000", said.display());
        let end = once(&settings(&script, Duration::from_millis(500)));
        assert!(matches!(end, Ok(End::Killed)), "{end:?}");
        assert_silent(&said);
        fs::remove_dir_all(said.parent().unwrap()).unwrap();
    }
    fn once(settings: &Settings) -> io::Result<End> {
        let mut left = Vec::new();
        let end = run(settings, &variables(&change("office")), &mut left);
        assert!(left.is_empty());
        end
    }
    /// Nobody writes to this any more, but somebody did.
    fn assert_silent(said: &Path) {
        let len = || fs::metadata(said).map(|m| m.len()).unwrap();
        let before = len();
        let (_end, _) = says("sleep 0.3");
        assert!(len() == before && before > 0, "it goes on");
    }

    #[test]
    fn nothing_outlives_who_has_started_it() {
        let said = file("behind");
        let script = format!(
            "(while :; do date >> {0}; sleep 0.05; done) & until [ -s {0} ]; do sleep 0.05; done; exit 3",
            said.display()
        );
        let end = once(&settings(&script, Duration::from_secs(20)));
        assert!(matches!(end, Ok(End::Exited(status)) if status.code() == Some(3)), "{end:?}");
        assert_silent(&said);
        fs::remove_dir_all(said.parent().unwrap()).unwrap();
    }

    /// As without CAP_KILL.
    #[test]
    fn who_cannot_be_killed_is_not_waited_for_for_ever() {
        let mut left = Vec::new();
        let child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        assert!(matches!(part(child, &mut left), Ok(None)));
        left[0].kill().unwrap();
        let status = part(left.remove(0), &mut left).unwrap().unwrap();
        assert!(!status.success() && left.is_empty());
    }

    #[test]
    fn with_many_that_cannot_be_killed_no_more_are_run() {
        let said = file("many");
        let settings = settings(&format!("echo x >> {}", said.display()), Duration::from_secs(20));
        let run = |left: &mut Vec<Child>| run(&settings, &variables(&change("office")), left);
        let mut left: Vec<_> = (0..MAX_LEFT).map(|_| Command::new("/bin/sleep").arg("60").spawn().unwrap()).collect();
        let error = run(&mut left).unwrap_err();
        assert!(error.to_string().contains("CAP_KILL") && !said.exists() && left.len() == MAX_LEFT);
        let mut gone = left.pop().unwrap();
        assert!(matches!(run(&mut left), Ok(End::Exited(status)) if status.success()) && said.exists());
        left.iter_mut()
            .chain([&mut gone])
            .for_each(|child| child.kill().and_then(|()| child.wait().map(drop)).unwrap());
        fs::remove_dir_all(said.parent().unwrap()).unwrap();
    }

    /// Of whom no end is known yet: it is asked for again before the next run.
    #[test]
    fn who_cannot_be_waited_for_is_not_forgotten() {
        let (child, mut left) = (Command::new("/bin/true").spawn().unwrap(), Vec::new());
        spawn::reap(&child).unwrap();
        assert!(part(child, &mut left).is_err());
        assert_eq!(left.len(), 1);
    }

    #[test]
    fn what_it_says_is_bounded_and_it_need_not_wait_for_us() {
        let (end, said) = says("head -c 1000000 /dev/zero | tr '\\0' x; exit 0");
        assert!(matches!(end, Ok(End::Exited(status)) if status.success()));
        assert_eq!(said.len(), MAX_OUTPUT);
        // It has ended, and something of it holds the pipe still.
        let (end, said) = says("echo here; sleep 3 & exit 0");
        assert!(matches!(end, Ok(End::Exited(_))) && said == "here\n");
    }

    #[test]
    fn a_slow_one_loses_changes_and_never_holds_us_up() {
        let mut hook = Hook::start(settings("sleep 20", Duration::from_millis(300))).unwrap();
        let begin = clock::now();
        (0..200).for_each(|n| hook.tell(&change(&n.to_string())));
        assert!(hook.lost >= 200 - QUEUE as u64 - 1, "{}", hook.lost);
        assert!(clock::now() - begin < Duration::from_secs(5));
    }

    #[test]
    fn a_program_that_is_gone_is_an_error() {
        let mut settings = settings("", Duration::from_secs(1));
        settings.command = vec!["/nonexistent/hook".into()];
        assert!(once(&settings).is_err());
    }
}
