//! The two namespaces with their gateways.
use super::{Failure, GATEWAY_COMMAND, Interrupt};
use crate::cli::client::Client;
use crate::control::types::{Connection, Status};
use crate::io::fds::{self, EventFd};
use crate::io::host::{self, Capability};
use crate::io::netlink::{Address, Netlink};
use crate::io::netns::{self, Namespace};
use crate::io::tun;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// The two ends of the cable.
pub const OUTER_LINKS: [&str; 2] = ["outer-left", "outer-right"];
/// What is on the cable, left and right.
pub const OUTER: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
/// What is protected, left and right.
pub const INNER: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 1, 0, 1), Ipv4Addr::new(10, 2, 0, 1)];
const NAMES: [&str; 2] = ["left", "right"];
const CONNECTION: &str = "demo";

/// How long a gateway may take to answer on its socket, and to end.
const READY_WITHIN: Duration = Duration::from_secs(10);
const END_WITHIN: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(10);

/// Gets the right to make network namespaces, by a user namespace if it must be. The process has one thread only when this is called.
pub fn become_able() -> Result<(), Failure> {
    if host::has(Capability::SysAdmin) && host::has(Capability::NetAdmin) && Namespace::create().is_ok() {
        return Ok(());
    }
    netns::become_root_of_user_namespace().and_then(|()| Namespace::create()).map(drop).map_err(|error| {
        Failure::Failed(format!(
            "not allowed to make network namespaces ({error}).\n\
             Run it as root: sudo {program} demo\n\
             or allow user namespaces, whichever of these the kernel has: sysctl -w user.max_user_namespaces=10000 \
             kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0\n\
             In a container: --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add NET_RAW --security-opt seccomp=unconfined --device /dev/net/tun",
            program = std::env::args().next().unwrap_or_else(|| "sandhog".into()),
        ))
    })
}

/// The topology in one line.
pub fn describe() -> String {
    format!("{} with {} behind it, {} with {} behind it", OUTER[0], INNER[0], OUTER[1], INNER[1])
}

/// Two gateways on a cable. All of it goes when this goes, or when the process is killed.
pub struct Place {
    gateways: [Gateway; 2],
    /// Dropped last.
    _folder: Folder,
}

struct Gateway {
    namespace: Namespace,
    process: Child,
    client: Client,
    log: PathBuf,
}

impl Place {
    /// Builds the namespaces and starts the gateways.
    pub fn build() -> Result<Self, Failure> {
        let namespaces = build_namespaces().map_err(Failure::at("network namespaces"))?;
        // The same error as in the gateway's log, but at once and alone.
        let probe =
            namespaces[0].run(|| tun::Device::create("sandhog-probe", 1)).map_err(Failure::at("network namespace"))?;
        probe.map_err(Failure::at("TUN"))?;
        let folder = Folder::new().map_err(Failure::at("temporary folder"))?;
        let secret = random_hex::<32>().map_err(Failure::at("random numbers"))?;
        let [left, right] = namespaces;
        let gateways = [Gateway::start(left, 0, &folder.0, &secret)?, Gateway::start(right, 1, &folder.0, &secret)?];
        Ok(Self { gateways, _folder: folder })
    }

    /// Waits until both answer.
    pub fn wait_until_ready(&mut self, interrupt: &Interrupt) -> Result<(), Failure> {
        self.gateways.iter_mut().try_for_each(|gateway| gateway.wait_until_ready(interrupt))
    }

    /// Brings the tunnel up from the left and waits for it.
    pub fn up(&mut self, within: Duration, interrupt: &Interrupt) -> Result<(), Failure> {
        let path = format!("/v1/connections/{CONNECTION}/up?timeout={}", within.as_secs());
        let client = self.gateways[0].client.clone();
        let done = Arc::new(EventFd::new().map_err(Failure::at("event"))?);
        let (answer, answered) = mpsc::channel();
        let finished = done.clone();
        // On a thread of its own, so that this one sees Ctrl-C.
        std::thread::spawn(move || {
            let _ = answer.send(client.post(&path, within).map(drop).map_err(|error| error.to_string()));
            finished.signal();
        });
        while !interrupt.wait_for(&*done, Duration::from_secs(1))? {}
        let result = answered.recv().map_err(Failure::at("the tunnel did not come up"))?;
        result.map_err(|error| {
            Failure::Failed(format!("the tunnel did not come up: {error}{}", self.gateways[0].last_words()))
        })
    }

    /// What the left gateway says of the connection.
    pub fn connection(&self) -> Result<Connection, Failure> {
        let status = self.gateways[0].client.get("/v1/connections").map_err(Failure::at("status"))?;
        let status: Status = serde_json::from_value(status).map_err(Failure::at("status"))?;
        let found = status.connections.into_iter().find(|connection| connection.name == CONNECTION);
        found.ok_or_else(|| Failure::Failed("the gateway does not know its connection".into()))
    }

    /// Where pings and TCP start.
    pub fn left_namespace(&self) -> &Namespace {
        &self.gateways[0].namespace
    }

    /// Where they arrive.
    pub fn right_namespace(&self) -> &Namespace {
        &self.gateways[1].namespace
    }

    /// How to look around by hand.
    pub fn hints(&self) -> Vec<String> {
        let user = if host::in_first_user_namespace() {
            String::new()
        } else {
            "--user=/proc/PID/ns/user --preserve-credentials ".into()
        };
        let mut hints = Vec::new();
        for (name, gateway) in NAMES.iter().zip(&self.gateways) {
            let pid = gateway.process.id().to_string();
            let enter = format!("nsenter {user}--net=/proc/PID/ns/net sh").replace("PID", &pid);
            hints.push(format!("{name}: {enter}"));
            hints.push(format!("      sandhog --socket {} status", gateway.client.socket().display()));
        }
        hints
    }

    /// Ends the gateways as `systemctl stop` would.
    pub fn stop(mut self) {
        for gateway in &self.gateways {
            let _ = fds::terminate(&gateway.process);
        }
        let Ok(poll) = fds::Poll::new() else { return };
        let deadline = fds::boot_time() + END_WITHIN;
        while fds::boot_time() < deadline && self.gateways.iter_mut().any(|g| matches!(g.process.try_wait(), Ok(None)))
        {
            let _ = poll.wait(&mut Vec::new(), Some(TICK));
        }
    }
}

impl Gateway {
    fn start(namespace: Namespace, side: usize, folder: &Path, secret: &str) -> Result<Self, Failure> {
        let name = NAMES[side];
        let (file, log) = (folder.join(format!("{name}.toml")), folder.join(format!("{name}.log")));
        let socket = folder.join(format!("{name}.sock"));
        let start = || -> io::Result<Child> {
            private(&file)?.write_all(configuration(side, folder, secret).as_bytes())?;
            let mut command = Command::new("/proc/self/exe");
            command.arg(GATEWAY_COMMAND).arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(private(&log)?);
            // Ctrl-C is for us alone, so that the gateways end in order.
            command.process_group(0);
            namespace.prepare(&mut command)?;
            command.spawn()
        };
        let process = start().map_err(Failure::at("start a gateway"))?;
        Ok(Self { namespace, process, client: Client::new(socket), log })
    }

    fn wait_until_ready(&mut self, interrupt: &Interrupt) -> Result<(), Failure> {
        let deadline = fds::boot_time() + READY_WITHIN;
        while UnixStream::connect(self.client.socket()).is_err() {
            let ended = self.process.try_wait().map_err(Failure::at("a gateway"))?;
            if ended.is_some() || fds::boot_time() > deadline {
                let how = if ended.is_some() { "ended at once" } else { "does not answer" };
                return Err(Failure::Failed(format!("a gateway {how}{}", self.last_words())));
            }
            interrupt.wait(TICK)?;
        }
        Ok(())
    }

    /// The end of its log, for an error.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(12)..];
        last.iter().map(|line| format!("\n  | {}", crate::cli::output::plain(line))).collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Without effect on one that has ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder that only we can read, and that goes with us.
struct Folder(PathBuf);
impl Folder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("sandhog-demo-{}", random_hex::<8>()?));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A new file that only we can read.
fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn random_hex<const N: usize>() -> io::Result<String> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

/// Two namespaces, joined by a cable, each with an address on it and one behind it.
fn build_namespaces() -> io::Result<[Namespace; 2]> {
    let both = [Namespace::create()?, Namespace::create()?];
    both[0].run(|| {
        let netlink = Netlink::open()?;
        netlink.add_veth(OUTER_LINKS[0], OUTER_LINKS[1])?;
        netlink.move_link(netlink.link(OUTER_LINKS[1])?.index, both[1].as_fd(), OUTER_LINKS[1])
    })??;
    for (side, namespace) in both.iter().enumerate() {
        namespace.run(|| {
            let netlink = Netlink::open()?;
            let (lo, outer) = (netlink.link("lo")?.index, netlink.link(OUTER_LINKS[side])?.index);
            netlink.add_address(&Address { link: outer, addr: OUTER[side].into(), prefix_len: 24 })?;
            netlink.add_address(&Address { link: lo, addr: INNER[side].into(), prefix_len: 32 })?;
            [lo, outer].into_iter().try_for_each(|link| netlink.set_up(link, true))
        })??;
    }
    Ok(both)
}

/// The configuration of one side. UDP encapsulation, because it is the faster one: raw ESP has no segmentation offload. Two gateways on one
/// machine would pin their workers to the same cores.
fn configuration(side: usize, folder: &Path, secret: &str) -> String {
    let other = 1 - side;
    let path = |end: &str| folder.join(format!("{}{end}", NAMES[side])).display().to_string();
    format!(
        r#"[gateway]
listen         = ["{outer}"]
control_socket = "{control}"
observe_socket = "{observe}"
state_dir      = "{state}"
on_exit        = "open"
pin_workers    = false

[connections.{CONNECTION}]
local_addrs  = ["{outer}"]
remote_addrs = ["{outer_other}"]
local        = {{ auth = "psk", id = "{name}.demo.example" }}
remote       = {{ auth = "psk", id = "{name_other}.demo.example" }}
encap        = "always"

[connections.{CONNECTION}.children.lan]
local_ts     = ["{inner}/32"]
remote_ts    = ["{inner_other}/32"]
start_action = "none"

[secrets.ike-{CONNECTION}]
id     = ["{name}.demo.example", "{name_other}.demo.example"]
secret = "0x{secret}"
"#,
        outer = OUTER[side],
        outer_other = OUTER[other],
        inner = INNER[side],
        inner_other = INNER[other],
        name = NAMES[side],
        name_other = NAMES[other],
        control = path(".sock"),
        observe = path("-observe.sock"),
        state = path(""),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_configurations_are_valid_and_mirror_each_other() {
        let folder = Folder::new().expect("folder");
        for side in [0, 1] {
            let file = folder.0.join("test.toml");
            let _ = fs::remove_file(&file);
            let text = configuration(side, &folder.0, &"ab".repeat(32));
            private(&file).expect("file").write_all(text.as_bytes()).expect("write");
            let config = crate::config::load(&file).expect("valid");
            assert_eq!(config.warnings.len(), 0, "{:?}", config.warnings);
        }
        let path = folder.0.clone();
        drop(folder);
        assert!(!path.exists());
    }
}
