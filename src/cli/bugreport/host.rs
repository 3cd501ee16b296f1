//! What the host has to do with it: kernel, routes, rules, the guard, settings, limits, the unit and its log.
use std::fs::File;
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Of one file, and of what one program says, octets.
const MAX: u64 = 8 << 20;
/// A program has this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file of the report, what it is, and its text.
type Fact = (&'static str, &'static str, Result<String, String>);

const PROGRAMS: &[(&str, &str, &[&str])] = &[
    ("host/rules.txt", "routing rules", &["ip", "rule"]),
    ("host/rules6.txt", "routing rules of IPv6", &["ip", "-6", "rule"]),
    ("host/routes.txt", "routes of our usual table", &["ip", "route", "show", "table", "220"]),
    ("host/routes6.txt", "the same of IPv6", &["ip", "-6", "route", "show", "table", "220"]),
    ("host/routes-main.txt", "routes of the main table", &["ip", "route", "show"]),
    ("host/addresses.txt", "interfaces and their addresses, without those of the link layer", &["ip", "-br", "addr"]),
    ("host/nftables.txt", "the guard against clear text", &["nft", "list", "table", "inet", "sandhog"]),
    ("host/unit.txt", "state of the unit", &["systemctl", "show", "sandhog", "--no-pager", "-p", UNIT]),
    (
        "host/journal.txt",
        "log of the unit",
        &["journalctl", "-u", "sandhog", "-n", "10000", "--no-pager", "-o", "short-iso"],
    ),
];
/// Properties of the unit, by name: among all of them are its environment and credentials, where `secret_env` may stand.
const UNIT: &str = "LoadState,UnitFileState,FragmentPath,DropInPaths,NeedDaemonReload,ActiveState,SubState,Result,NRestarts,MainPID,\
                    ExecMainStartTimestamp,ExecMainCode,ExecMainStatus,WatchdogTimestamp,MemoryCurrent,CPUUsageNSec,TasksCurrent";
const KERNEL: &[&str] = &["/proc/version", "/etc/os-release", "/proc/cpuinfo", "/proc/meminfo", "/proc/loadavg"];
const SETTINGS: &[&str] = &[
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/rp_filter",
    "net/ipv4/conf/all/send_redirects",
    "net/ipv4/conf/all/accept_local",
    "net/ipv6/conf/all/forwarding",
    "net/core/rmem_max",
    "net/core/wmem_max",
    "net/core/netdev_max_backlog",
    "kernel/io_uring_disabled",
    "kernel/unprivileged_userns_clone",
];
/// Of the daemon's process. Its environment may have secrets: not that.
const PROCESS: &[&str] = &["status", "limits", "cgroup", "stat", "sched"];

pub(super) fn collect(pid: Option<u64>) -> Vec<Fact> {
    let mut facts: Vec<Fact> = vec![
        (
            "host/kernel.txt",
            "kernel, distribution, processors, memory",
            Ok(files(KERNEL.iter().map(|path| (*path).into()))),
        ),
        (
            "host/sysctl.txt",
            "settings of the kernel that matter",
            Ok(files(SETTINGS.iter().map(|name| format!("/proc/sys/{name}")))),
        ),
    ];
    let process = match pid {
        Some(pid) => Ok(format!("{}{}", files(PROCESS.iter().map(|name| format!("/proc/{pid}/{name}"))), limits(pid))),
        None => Err("the daemon does not say which process it is".into()),
    };
    facts.push(("host/process.txt", "the daemon's process: memory, limits, control group", process));
    facts.extend(PROGRAMS.iter().map(|(name, about, command)| (*name, *about, output(command))));
    facts
}

/// Files one after the other, each under its name; what cannot be read is left out.
fn files(paths: impl Iterator<Item = String>) -> String {
    let read = paths.filter_map(|path| {
        let text = read(&path).ok()?;
        Some(format!("== {path}\n{}\n", text.trim_end()))
    });
    read.collect()
}

fn read(path: &str) -> io::Result<String> {
    let mut octets = Vec::new();
    File::open(path)?.take(MAX).read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

/// What its control group may use.
fn limits(pid: u64) -> String {
    let group = read(&format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let Some(path) = group.lines().find_map(|line| line.strip_prefix("0::")) else { return String::new() };
    let names = ["memory.max", "memory.high", "memory.current", "cpu.max", "cpuset.cpus.effective", "pids.max"];
    files(names.iter().map(|name| format!("/sys/fs/cgroup{path}/{name}")))
}

fn output(command: &[&str]) -> Result<String, String> {
    let [program, arguments @ ..] = command else { return Err("nothing to run".into()) };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{program}: {error}"))?;
    let (sender, receiver) = mpsc::channel();
    let pipes = (child.stdout.take(), child.stderr.take());
    // Both to their ends; what waits for us when we have had enough is killed below.
    std::thread::spawn(move || {
        let mut octets = Vec::new();
        let read = pipes.0.map(|pipe| pipe.take(MAX).read_to_end(&mut octets));
        let read = read.and(pipes.1).map(|pipe| pipe.take(64 * 1024).read_to_end(&mut octets));
        let _ = sender.send(read.map(|_| octets));
    });
    let said = receiver.recv_timeout(PATIENCE);
    let _ = child.kill();
    let _ = child.wait();
    match said {
        Ok(octets) => Ok(String::from_utf8_lossy(&octets.unwrap_or_default()).into_owned()),
        Err(_) => Err(format!("{program} does not answer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `systemctl show` without `-p` prints the unit's environment.
    #[test]
    fn the_environment_of_the_unit_is_not_asked_for() {
        let shows = PROGRAMS.iter().filter(|(_, _, argv)| argv.contains(&"show") && argv[0] == "systemctl");
        for (_, _, argv) in shows {
            let at = argv.iter().position(|word| *word == "-p").unwrap();
            let secret = ["Environment", "PassEnvironment", "SetCredential", "LoadCredential", "ExecStart="];
            assert!(argv[at + 1].split(',').all(|name| !secret.iter().any(|start| name.starts_with(start))));
        }
    }

    #[test]
    fn what_is_not_there_is_told_or_left_out() {
        assert!(output(&["/nonexistent/program"]).is_err());
        assert_eq!(output(&["echo", "hello"]).unwrap(), "hello\n");
        assert_eq!(files(["/nonexistent/file".to_owned()].into_iter()), "");
    }

    #[test]
    fn the_environment_is_not_looked_at() {
        assert!(PROCESS.iter().all(|name| *name != "environ" && *name != "maps" && *name != "cmdline"));
    }
}
