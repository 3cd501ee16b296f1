//! What the daemon may do, taken away as early as it is not needed any more: before a secret is read nobody may look into its memory; once the
//! configuration is known it has the capabilities that a gateway with this configuration needs, and no others.
use crate::config::Config;
use crate::io::host::Capability;
use crate::io::{privileges, sandbox};
use std::path::{Path, PathBuf};

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

/// Once the configuration is known, before there is a second thread: they inherit what is left. What could not be done.
pub fn keep(config: &Config) -> Option<String> {
    let kept = privileges::keep(&needed(config));
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

/// For the network, always; for namespaces and for a program of another user only who has them.
fn needed(config: &Config) -> Vec<Capability> {
    let mut needed = vec![Capability::NetAdmin, Capability::NetRaw, Capability::NetBindService];
    let elsewhere = |interface: &crate::config::Interface| interface.netns.is_some();
    if config.connections.iter().any(|connection| connection.interface.as_ref().is_some_and(elsewhere)) {
        needed.push(Capability::SysAdmin);
    }
    if config.gateway.hook.as_ref().is_some_and(|hook| hook.uid != 0) {
        needed.extend([Capability::SetUid, Capability::SetGid, Capability::Kill]);
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Hook, Source};
    use std::time::Duration;

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
        assert_eq!(needed(&config("")), three);
        assert_eq!(needed(&config("interface = { name = \"vti0\" }")), three);
    }

    #[test]
    fn who_enters_namespaces_keeps_a_fourth() {
        let needed = needed(&config("interface = { name = \"vti0\", netns = \"tenant\" }"));
        assert_eq!(needed.last(), Some(&Capability::SysAdmin));
        assert_eq!(needed.len(), 4);
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
        config.gateway.hook = Some(hook(0));
        assert_eq!(needed(&config).len(), 3);
        config.gateway.hook = Some(hook(65534));
        assert!(needed(&config).ends_with(&[Capability::SetUid, Capability::SetGid, Capability::Kill]));
    }
}
