//! What the daemon may do, taken away as early as it is not needed any more: before a secret is read nobody may look into its memory; once the
//! configuration is known it has the capabilities that a gateway with this configuration needs, and no others.
use crate::config::plan::{Action, Impact, Plan, Step};
use crate::config::{Config, ConnectionConfig};
use crate::io::host::{self, Capability};
use crate::io::{privileges, sandbox};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

const ROOT: u32 = 0;

/// Before anything else, in the first thread. What could not be done, as sentences for the log.
pub fn first() -> Vec<String> {
    let mut warnings = Vec::new();
    if let Err(error) = privileges::harden() {
        warnings.push(format!("other processes of this user could read our memory: {error}"));
    }
    if let Err(error) = privileges::raise() {
        warnings.push(format!("capabilities cannot be taken into use: {error}"));
    }
    if !privileges::lock_memory() {
        warnings.push(
            "keys may be written to a swap device: LimitMEMLOCK=infinity (ulimit -l) keeps them in memory".into(),
        );
    }
    warnings
}

/// Once the configuration is known, before there is a second thread: they inherit what is left. What could not be done. Root has everything and gives up what
/// nobody asks for; whoever else enters namespaces was given that on purpose, and the first tenant may come while we run.
pub fn keep(config: &Config) -> Option<String> {
    let own = privileges::user();
    let mut needed = needed(config, own);
    if own != ROOT && host::has(Capability::SysAdmin) {
        needed.push(Capability::SysAdmin);
    }
    let kept = privileges::keep(&needed);
    kept.err().map(|error| format!("the daemon keeps capabilities that it does not need: {error}"))
}

/// Once sockets, devices and the thread that runs the hook are there: all that is started from now on, the caller among it, opens for writing what the
/// configuration names and starts no program; a system call that no gateway has a use for ends the process.
pub fn confine(config: &Config) -> Result<(), String> {
    if !config.gateway.sandbox {
        tracing::warn!("sandbox = false: the daemon may ask anything of the kernel that its capabilities allow");
        return Ok(());
    }
    match sandbox::files(&writable(config)) {
        Ok(true) => {}
        Ok(false) => tracing::info!("this kernel has no landlock: permissions alone say which files may be written"),
        Err(error) => tracing::warn!(%error, "landlock: permissions alone say which files may be written"),
    }
    sandbox::calls()
        .map_err(|error| format!("seccomp: {error}; where it cannot be had, `[gateway] sandbox = false` does without"))
}

/// Folders and devices.
fn writable(config: &Config) -> Vec<PathBuf> {
    let gateway = &config.gateway;
    let folder = |path: &Path| path.parent().map(Path::to_owned);
    let mut paths = vec!["/dev/net/tun".into(), "/dev/null".into(), "/proc/sys/net".into(), gateway.state_dir.clone()];
    paths.extend([&gateway.control_socket, &gateway.observe_socket].into_iter().filter_map(|path| folder(path)));
    // A folder that is not there yet is made in the one above.
    let keylogs = config.connections.iter().filter_map(|connection| connection.keylog.as_ref());
    paths.extend(keylogs.filter_map(|keylog| folder(&keylog.folder)));
    paths
}

/// Marks the steps of a plan that a running daemon cannot take, since it has no privilege for them any more or never had.
pub fn mark(plan: &mut Plan, config: &Config) {
    mark_without(plan, config, host::has);
}

fn mark_without(plan: &mut Plan, config: &Config, has: impl Fn(Capability) -> bool) {
    let elsewhere: HashSet<&str> = config.connections.iter().filter(|c| is_elsewhere(c)).map(|c| &*c.name).collect();
    if elsewhere.is_empty() || has(Capability::SysAdmin) {
        return;
    }
    let lacking = |step: &&mut Step| {
        step.object.strip_prefix("connections.").is_some_and(|name| elsewhere.contains(name))
            && (step.action == Action::Add || step.fields.iter().any(|field| field.starts_with("interface")))
    };
    for step in plan.changes.iter_mut().filter(lacking) {
        (step.restart_needed, step.impact) = (true, Impact::InterruptsTraffic);
    }
}

/// Its device goes into another network namespace.
fn is_elsewhere(connection: &ConnectionConfig) -> bool {
    connection.interface.as_ref().is_some_and(|interface| interface.netns.is_some())
}

/// For the network, always; for namespaces and for a program of another user only who has them.
fn needed(config: &Config, own: u32) -> Vec<Capability> {
    let mut needed = vec![Capability::NetAdmin, Capability::NetRaw, Capability::NetBindService];
    if config.connections.iter().any(is_elsewhere) {
        needed.push(Capability::SysAdmin);
    }
    if config.gateway.hook.as_ref().is_some_and(|hook| hook.uid != own) {
        needed.extend([Capability::SetUid, Capability::SetGid, Capability::Kill]);
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Hook, Source};
    use std::time::Duration;

    const TENANT: &str = "interface = { name = \"vti0\", netns = \"tenant\" }";

    fn config(interface: &str) -> Config {
        let text = format!(
            "[connections.a]\nremote_addrs = [\"192.0.2.9\"]\n{interface}\n[connections.a.children.all]\nlocal_ts = [\"10.0.0.0/8\"]\n\
             remote_ts = [\"10.0.0.0/8\"]\n[secrets.s]\nid = [\"192.0.2.9\"]\nsecret = \"correct horse battery staple\"\n"
        );
        config::parse(&[Source { name: "a.toml".into(), text }], &config::secret::System).expect("valid")
    }

    #[test]
    fn a_gateway_keeps_three() {
        let three = [Capability::NetAdmin, Capability::NetRaw, Capability::NetBindService];
        assert_eq!(needed(&config(""), ROOT), three);
        assert_eq!(needed(&config("interface = { name = \"vti0\" }"), ROOT), three);
    }

    #[test]
    fn who_enters_namespaces_keeps_a_fourth() {
        let needed = needed(&config(TENANT), ROOT);
        assert_eq!(needed.last(), Some(&Capability::SysAdmin));
        assert_eq!(needed.len(), 4);
    }

    /// Else it would be accepted, and its device could never be made.
    #[test]
    fn a_tenant_that_cannot_be_entered_waits_for_a_restart() {
        let step = |object: &str, action, fields: &[&str]| Step {
            object: object.into(),
            action,
            fields: fields.iter().map(ToString::to_string).collect(),
            impact: Impact::None,
            restart_needed: false,
            connection: None,
            children: Vec::new(),
        };
        let marked = |interface: &str, step: Step, may: bool| {
            let mut plan = Plan { changes: vec![step] };
            mark_without(&mut plan, &config(interface), |_| may);
            (plan.changes[0].impact == Impact::InterruptsTraffic, plan.needs_restart().join(" "))
        };
        let no = (false, String::new());
        let added = || step("connections.a", Action::Add, &[]);
        let (told, sentence) = marked(TENANT, added(), false);
        assert!(told && sentence.contains("connections.a.interface.netns (it lacks CAP_SYS_ADMIN"), "{sentence}");
        assert!(marked(TENANT, step("connections.a", Action::Change, &["interface.netns"]), false).0);
        assert_eq!(marked(TENANT, added(), true), no);
        assert_eq!(marked("", added(), false), no);
        assert_eq!(marked(TENANT, step("connections.a", Action::Change, &["dpd_delay"]), false), no);
        assert_eq!(marked(TENANT, step("secrets.a", Action::Add, &[]), false), no);
    }

    #[test]
    fn sockets_state_and_key_logs_can_be_written() {
        let paths = writable(&config("keylog = { path = \"/root/keys\", until = \"2126-11-23T12:00:00Z\" }"));
        for path in ["/var/lib/sandhog", "/run/sandhog", "/root", "/dev/net/tun"] {
            assert!(paths.iter().any(|found| found == Path::new(path)), "{path}");
        }
        assert!(!paths.iter().any(|path| [Path::new("/"), Path::new("/etc/sandhog")].contains(&path.as_path())));
    }

    #[test]
    fn a_hook_of_another_user_needs_its_change_and_its_end() {
        let mut config = config("");
        let hook = |uid| Hook { command: vec!["/bin/true".into()], uid, gid: 0, timeout: Duration::from_secs(1) };
        let three = [Capability::SetUid, Capability::SetGid, Capability::Kill];
        for (user, own, change) in [(ROOT, ROOT, false), (65534, ROOT, true), (ROOT, 998, true), (998, 998, false)] {
            config.gateway.hook = Some(hook(user));
            let needed = needed(&config, own);
            assert_eq!((needed.len() == 6, needed.ends_with(&three)), (change, change), "{user} by {own}");
        }
    }
}
