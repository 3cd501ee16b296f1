//! Commands that mend what the doctor saw on this host, where a tunnel is up and carries nothing.
use super::{Fix, Side, Text};
use crate::ike::diagnose::Failure;
use crate::wire::selector::Selector;

/// Commands for what was seen on this host.
pub(super) fn fixes(code: &str, failure: &Failure) -> Vec<Fix> {
    let told = |what| failure.local.get(what);
    let Some(device) = told("device").first() else { return settings(code, failure) };
    match code {
        // Whoever may make devices calls them what nobody should give to a shell.
        "traffic.firewall" | "traffic.masquerade" | "traffic.route" if !is_plain(device) => Vec::new(),
        "traffic.firewall" => {
            let place = told("place").first().map_or("forward", String::as_str);
            let mut chains: Vec<_> = told("firewall").iter().collect();
            chains.sort_by_key(|chain| !chain.ends_with("(policy drop)"));
            chains.into_iter().flat_map(|chain| accepts(failure, chain, place, device)).collect()
        }
        "traffic.masquerade" => {
            let chains = told("firewall").iter().filter_map(|chain| Chain::of(chain));
            let command = |chain: Chain<'_>| match chain.program() {
                Some(program) => format!("{program} -t {} -I {} -o {device} -j ACCEPT", chain.table, chain.name),
                None => format!("nft insert rule {} oifname \"{device}\" accept", chain.path()),
            };
            let text = Text {
                en: "Leave the sources of what goes into the tunnel as they are.".into(),
                zh: "进入隧道的报文不做源地址转换。".into(),
            };
            chains.map(|chain| here(failure, command(chain), text.clone())).collect()
        }
        "traffic.route" => routes(failure, device),
        _ => settings(code, failure),
    }
}

/// It says nothing to a shell.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-.".contains(&c))
}

/// In front of whatever leads elsewhere: to our table, or into a device that others fill routes for.
fn routes(failure: &Failure, device: &str) -> Vec<Fix> {
    // Where no way was looked up there is none to mend.
    if failure.local.get("routes").is_empty() {
        return Vec::new();
    }
    let told = |what| failure.local.get(what).first();
    let nets = failure
        .local
        .get("remote_ts")
        .iter()
        .filter(|net| net.parse::<Selector>().is_ok_and(|ts| ts.as_prefix().is_some()));
    let command = |net: &String| match (told("table"), told("mark")) {
        (Some(table), Some(mark)) => {
            let family = if net.contains(':') { " -6" } else { "" };
            format!("ip{family} rule add pref 1 not fwmark {mark} to {net} lookup {table}")
        }
        _ => format!("ip route add {net} dev {device}"),
    };
    let text = |net: &String| Text {
        en: format!("Lead packets to {net} into {device}, or remove what leads them elsewhere."),
        zh: format!("让去往 {net} 的报文进入 {device}，或删除把它们带走的路由或规则。"),
    };
    let plain = nets.filter(|net| !net.contains('['));
    plain.take(4).map(|net| here(failure, command(net), text(net))).collect()
}

/// As `nft` names it.
struct Chain<'a> {
    family: &'a str,
    table: &'a str,
    name: &'a str,
}
impl<'a> Chain<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let mut words = text.split(' ');
        let (family, table, name) = (words.next()?, words.next()?, words.next()?);
        [family, table, name].into_iter().all(is_plain).then_some(Self { family, table, name })
    }
    /// Which of the iptables has made it, if one has.
    fn program(&self) -> Option<&'static str> {
        let theirs = matches!(self.table, "filter" | "nat" | "mangle" | "raw" | "security");
        let made = matches!(self.name, "FORWARD" | "INPUT" | "OUTPUT" | "PREROUTING" | "POSTROUTING");
        match self.family {
            "ip" if made && theirs => Some("iptables"),
            "ip6" if made && theirs => Some("ip6tables"),
            _ => None,
        }
    }
    fn path(&self) -> String {
        format!("{} {} {}", self.family, self.table, self.name)
    }
}

/// In front of all rules of a chain, both ways where both are meant.
fn accepts(failure: &Failure, chain: &str, place: &str, device: &str) -> Vec<Fix> {
    let Some(chain) = Chain::of(chain) else { return Vec::new() };
    let ways: &[&str] = match place {
        "forward" => &["o", "i"],
        "output" | "postrouting" => &["o"],
        _ => &["i"],
    };
    let rules = ways.iter().map(|way| match chain.program() {
        Some(program) => format!("{program} -t {} -I {} -{way} {device} -j ACCEPT", chain.table, chain.name),
        None => format!("nft insert rule {} {way}ifname \"{device}\" accept", chain.path()),
    });
    let text = Text {
        en: format!("Let what goes through {device} pass in front of the rules of {}.", chain.path()),
        zh: format!("在 {} 链的最前面放行经过 {device} 的报文。", chain.path()),
    };
    vec![here(failure, rules.collect::<Vec<_>>().join(" && "), text)]
}

/// `NAME = VALUE` that is to be another value.
fn settings(code: &str, failure: &Failure) -> Vec<Fix> {
    let right = match code {
        "traffic.forwarding" => "1",
        "traffic.rp_filter" => "2",
        _ => return Vec::new(),
    };
    let settings = failure.local.get("settings").iter().filter_map(|setting| setting.split_once(" = "));
    let names = settings.filter(|(name, _)| is_plain(name)).map(|(name, _)| path(name));
    let text = |name: &str| Text {
        en: format!("Set {name} to {right}, and write it into /etc/sysctl.d, so that it stays."),
        zh: format!("将 {name} 设为 {right}，并写入 /etc/sysctl.d 使其永久生效。"),
    };
    let fixes = names.map(|name| here(failure, format!("sysctl -w {name}={right}"), text(&name)));
    // The table has that one.
    fixes.filter(|fix| fix.command.as_deref() != Some("sysctl -w net.ipv4.ip_forward=1")).collect()
}

/// With slashes where a device has dots in its name: it would be another one.
fn path(setting: &str) -> String {
    let whole = |text: &str| text.replace('.', "/");
    let parts = setting.split_once(".conf.").and_then(|(above, rest)| Some((above, rest.rsplit_once('.')?)));
    match parts {
        Some((above, (device, key))) if device.contains('.') => format!("{}/conf/{device}/{key}", whole(above)),
        _ => setting.to_owned(),
    }
}

/// Where the device is.
fn here(failure: &Failure, command: String, text: Text) -> Fix {
    let within = match failure.local.get("netns").first() {
        Some(path) if path.starts_with('/') => format!("nsenter --net={path} "),
        Some(name) => format!("ip netns exec {name} "),
        None => String::new(),
    };
    let command = command.split(" && ").map(|one| format!("{within}{one}")).collect::<Vec<_>>().join(" && ");
    Fix { side: Side::Us, path: None, set: None, also: Vec::new(), command: Some(command), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ike::diagnose::Phase;

    fn commands(code: &'static str, values: &[(&'static str, &str)]) -> Vec<String> {
        let mut failure = Failure::new(std::time::Duration::ZERO, Phase::Traffic, true, code);
        for (what, value) in values {
            failure.local.put(what, vec![(*value).to_owned()]);
        }
        fixes(code, &failure).into_iter().filter_map(|fix| fix.command).collect()
    }

    #[test]
    fn what_was_seen_is_mended_by_a_command() {
        let device = ("device", "sandhog0");
        let chain = |name| ("firewall", name);
        assert_eq!(
            commands("traffic.firewall", &[device, ("place", "forward"), chain("ip filter FORWARD (policy drop)")]),
            [
                "iptables -t filter -I FORWARD -o sandhog0 -j ACCEPT && iptables -t filter -I FORWARD -i sandhog0 -j ACCEPT"
            ]
        );
        assert_eq!(
            commands("traffic.firewall", &[device, ("place", "input"), chain("inet fw4 input")]),
            ["nft insert rule inet fw4 input iifname \"sandhog0\" accept"]
        );
        assert_eq!(
            commands("traffic.masquerade", &[device, chain("ip6 nat POSTROUTING")]),
            ["ip6tables -t nat -I POSTROUTING -o sandhog0 -j ACCEPT"]
        );
        let settings = ("settings", "net.ipv4.conf.vti0.rp_filter = 1");
        assert_eq!(commands("traffic.rp_filter", &[settings]), ["sysctl -w net.ipv4.conf.vti0.rp_filter=2"]);
        assert_eq!(
            commands("traffic.forwarding", &[device, ("netns", "red"), ("settings", "net.ipv4.ip_forward = 0")]),
            ["ip netns exec red sysctl -w net.ipv4.ip_forward=1"]
        );
        assert_eq!(
            commands("traffic.masquerade", &[device, chain("ip ours POSTROUTING")]),
            ["nft insert rule ip ours POSTROUTING oifname \"sandhog0\" accept"]
        );
        let way = ("routes", "10.1.0.2 > 10.2.0.1: leaves by eth0, table 100");
        let (net, table) = (("remote_ts", "10.2.0.0/24"), ("table", "220"));
        assert_eq!(
            commands("traffic.route", &[device, way, net, table, ("mark", "0xdc")]),
            ["ip rule add pref 1 not fwmark 0xdc to 10.2.0.0/24 lookup 220"]
        );
        assert_eq!(commands("traffic.route", &[device, way, net]), ["ip route add 10.2.0.0/24 dev sandhog0"]);
        // Whoever may make chains in a container gives us no words for a shell.
        assert!(commands("traffic.firewall", &[device, chain("ip filter $(reboot)")]).is_empty());
        assert!(commands("traffic.one_way", &[device]).is_empty());
        let hostile = ("device", "$(reboot)");
        for (code, seen) in
            [("traffic.masquerade", chain("ip nat POSTROUTING")), ("traffic.firewall", chain("inet fw4 input"))]
        {
            assert!(commands(code, &[hostile, seen]).is_empty());
        }
        assert!(commands("traffic.route", &[hostile, way, net]).is_empty());
        let filter = |text| commands("traffic.rp_filter", &[("settings", text)]);
        assert!(filter("net.ipv4.conf.$(reboot).rp_filter = 1").is_empty());
        // A dot of a VLAN is no step.
        assert_eq!(filter("net.ipv4.conf.eth0.100.rp_filter = 1"), ["sysctl -w net/ipv4/conf/eth0.100/rp_filter=2"]);
        assert_eq!(
            commands("traffic.route", &[device, way, ("remote_ts", "fd02::/64"), table, ("mark", "0xdc")]),
            ["ip -6 rule add pref 1 not fwmark 0xdc to fd02::/64 lookup 220"]
        );
    }
}
