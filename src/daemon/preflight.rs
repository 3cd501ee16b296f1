//! What the host must have for us, and which of its settings eat packets; each with what to do about it.
use super::site;
use crate::config::{ChildConfig, Config, Mode};
use crate::io::host::{self, Capability, Settings};
use crate::io::netlink::Netlink;
use crate::io::privileges;

/// Why not even packets can be kept from leaving in the clear, as one sentence.
pub fn powerless() -> Option<String> {
    (!host::has(Capability::NetAdmin)).then(|| grant("CAP_NET_ADMIN", "the device, routes and packet marks"))
}

/// What is missing without which nothing else works, as one sentence.
pub fn missing(config: &Config) -> Option<String> {
    if let Some(device) = config.gateway.bind_device.as_deref().filter(|device| is_absent(device)) {
        return Some(format!(
            "there is no network device {device}, which `bind_device` names: make it first (a VRF: `ip link add {device} type vrf table NUMBER`), or leave it out"
        ));
    }
    let ports = config.gateway.ports;
    let privileged = ports.ike < 1024 || ports.natt < 1024;
    first_missing(host::has, std::path::Path::new("/dev/net/tun").exists(), privileged)
}

fn is_absent(device: &str) -> bool {
    let found = Netlink::open().and_then(|netlink| netlink.link(device));
    found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// A privilege is missing.
pub(super) fn grant(name: &str, what: &str) -> String {
    format!(
        "{name} is missing, which {what} need: start sandhogd as root, or by systemd with AmbientCapabilities={name}, or in a container with --cap-add {}",
        name.trim_start_matches("CAP_")
    )
}

fn first_missing(has: impl Fn(Capability) -> bool, tun: bool, privileged_port: bool) -> Option<String> {
    if privileged_port && !has(Capability::NetBindService) {
        return Some(grant("CAP_NET_BIND_SERVICE", "UDP ports below 1024"));
    }
    if !tun {
        return Some(crate::io::tun::Error::Missing.to_string());
    }
    None
}

/// Settings that would eat packets of protected networks on the gateway's device, and what the hook lacks.
pub fn warnings(config: &Config) -> Vec<String> {
    let shared = config.connections.iter().filter(|connection| connection.interface.is_none());
    let children = || shared.clone().flat_map(|connection| &connection.children);
    let family = |ipv6: bool| children().flat_map(|child| &child.local_ts).any(|ts| ts.start.is_ipv6() == ipv6);
    let mut warnings = of_device(&config.gateway.device, None, family(false), family(true));
    warnings.extend(config.gateway.hook.as_ref().and_then(|hook| no_hook(hook.uid, privileges::user(), host::has)));
    warnings.extend(children().filter(|child| narrow_hole(child)).map(|child| {
        format!(
            "child `{}` has mode = \"pass\" and protocols or ports: routes do not tell them apart, so its packets do not pass but are refused; leave protocols and ports out",
            child.name
        )
    }));
    warnings
}

/// Why the hook cannot be run as that user.
fn no_hook(uid: u32, own: u32, has: impl Fn(Capability) -> bool) -> Option<String> {
    let needed = [Capability::SetUid, Capability::SetGid, Capability::Kill];
    (uid != own && !needed.into_iter().all(has)).then(|| {
        "the hook cannot be run as another user, root among them, and be ended: that needs CAP_SETUID, CAP_SETGID and CAP_KILL (systemd/hook.conf), or a `user` of the hook that is the daemon's own".into()
    })
}

/// Settings that would eat packets of these families on one device, in the network namespace of the calling thread, which is called `netns` if it
/// is not ours.
pub fn of_device(device: &str, netns: Option<&str>, ipv4: bool, ipv6: bool) -> Vec<String> {
    judge(&host::settings(device), device, netns, ipv4, ipv6)
}

fn narrow_hole(child: &ChildConfig) -> bool {
    child.mode == Mode::Pass && child.local_ts.iter().chain(&child.remote_ts).any(|ts| !site::tells_no_ports(ts))
}

fn judge(settings: &Settings, device: &str, netns: Option<&str>, ipv4: bool, ipv6: bool) -> Vec<String> {
    let place = netns.map(|name| format!("in the network namespace {name}: ")).unwrap_or_default();
    let within = match netns {
        Some(path) if path.starts_with('/') => format!("nsenter --net={path} "),
        Some(name) => format!("ip netns exec {name} "),
        None => String::new(),
    };
    let mut warnings = Vec::new();
    let mut warn = |wrong: bool, what: &str, fix: &str| {
        if wrong {
            warnings.push(format!("{place}{what}; set it: {within}sysctl -w {fix}"));
        }
    };
    warn(
        ipv4 && settings.ipv4_forward == Some(false),
        "net.ipv4.ip_forward is 0, so packets of hosts behind this gateway are not forwarded",
        "net.ipv4.ip_forward=1",
    );
    warn(
        ipv6 && settings.ipv6_forward == Some(false),
        "net.ipv6.conf.all.forwarding is 0, so packets of hosts behind this gateway are not forwarded",
        "net.ipv6.conf.all.forwarding=1",
    );
    warn(
        ipv4 && settings.rp_filter == Some(1),
        &format!(
            "rp_filter of {device} is strict, so packets are dropped whose way back is not the way they came, as with policy routing"
        ),
        "net.ipv4.conf.all.rp_filter=2",
    );
    warn(
        ipv4 && settings.send_redirects == Some(true) && settings.ipv4_forward == Some(true),
        "send_redirects is on, so hosts on the gateway's own network may be told to go around it",
        "net.ipv4.conf.all.send_redirects=0",
    );
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        assert!(grant("CAP_NET_ADMIN", "routes").contains("AmbientCapabilities=CAP_NET_ADMIN"));
        let admin = |capability| capability == Capability::NetAdmin;
        assert!(first_missing(admin, true, true).unwrap().contains("--cap-add NET_BIND_SERVICE"));
        assert!(first_missing(admin, false, false).unwrap().contains("/dev/net/tun"));
        assert_eq!(first_missing(admin, true, false), None);
    }

    #[test]
    fn what_a_hook_of_another_user_needs_is_named() {
        assert!(no_hook(65_534, 0, |_| false).unwrap().contains("systemd/hook.conf"));
        assert!(no_hook(65_534, 0, |capability| capability != Capability::Kill).unwrap().contains("CAP_KILL"));
        assert!(no_hook(0, 998, |_| false).unwrap().contains("root"), "as in the unit");
        assert_eq!(
            (no_hook(65_534, 0, |_| true), no_hook(0, 0, |_| false), no_hook(998, 998, |_| false)),
            (None, None, None)
        );
    }

    #[test]
    fn an_uplink_that_is_not_there_is_told() {
        let config = |device: &str| {
            let text = format!("[gateway]\nbind_device = \"{device}\"\nports = {{ ike = 5000, natt = 4500 }}");
            let source = crate::config::Source { name: "a.toml".into(), text };
            crate::config::parse(&[source], &crate::config::secret::System).unwrap()
        };
        let sentence = missing(&config("no-such-vrf")).unwrap();
        assert!(sentence.contains("there is no network device no-such-vrf"), "{sentence}");
    }

    #[test]
    fn settings_that_eat_packets_are_reported_with_the_fix() {
        let bad = Settings {
            ipv4_forward: Some(false),
            ipv6_forward: Some(false),
            rp_filter: Some(1),
            send_redirects: Some(true),
            src_valid_mark: None,
        };
        let warnings = judge(&bad, "tun0", None, true, true);
        assert_eq!(warnings.len(), 3);
        assert!(warnings.iter().all(|warning| warning.contains("sysctl -w net.")));
        assert_eq!(judge(&bad, "tun0", None, false, false), Vec::<String>::new());
        let good = Settings { ipv4_forward: Some(true), rp_filter: Some(2), ..Settings::default() };
        assert_eq!(judge(&good, "tun0", None, true, true), Vec::<String>::new());
        for (netns, command) in [("red", "ip netns exec red"), ("/proc/7/ns/net", "nsenter --net=/proc/7/ns/net")] {
            let there = judge(&bad, "tun0", Some(netns), true, true);
            let named = |text: &String| {
                text.starts_with(&format!("in the network namespace {netns}: "))
                    && text.contains(&format!("; set it: {command} sysctl -w net."))
            };
            assert_eq!((there.len(), there.iter().all(named)), (3, true), "{there:?}");
        }
    }
}
