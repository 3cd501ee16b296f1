//! `interface` of a connection, and `bind_device`.
use super::cases::{SHORT, accepted};
use super::errors;

/// What children of the connection `SHORT` and of another one say.
fn with_devices(first: &str, second: &str) -> String {
    let first = SHORT.replace("[connections.hangzhou]\n", &format!("[connections.hangzhou]\n{first}\n"));
    let everything = "local_ts = [\"0.0.0.0/0\", \"::/0\"]\nremote_ts = [\"0.0.0.0/0\", \"::/0\"]\n";
    format!(
        "{first}[connections.b]\nremote_addrs = [\"203.0.113.7\"]\n{second}\n[connections.b.children.x]\n{everything}"
    )
}

#[test]
fn a_connection_has_a_device_of_its_own() {
    let interface =
        "interface = { name = \"vti-b\", addresses = [\"169.254.10.1/30\", \"fd00::1/64\"], netns = \"tenant-b\" }";
    let config = accepted(&with_devices("", interface));
    assert_eq!(config.connections[0].interface, None);
    let interface = config.connections[1].interface.as_ref().unwrap();
    let addresses = [("169.254.10.1".parse().unwrap(), 30), ("fd00::1".parse().unwrap(), 64)];
    assert_eq!((&*interface.name, &interface.addresses[..]), ("vti-b", &addresses[..]));
    assert_eq!(interface.netns.as_deref(), Some(std::path::Path::new("/run/netns/tenant-b")));
    assert_eq!(interface.namespace().as_deref(), Some("tenant-b"));
    let path = with_devices("", "interface = { name = \"vti-b\", netns = \"/proc/7/ns/net\" }");
    let config = accepted(&path);
    assert_eq!(config.connections[1].interface.as_ref().unwrap().namespace().unwrap(), "/proc/7/ns/net");
    assert!(config.warnings.iter().any(|warning| warning.code == "interface.process"), "{:?}", config.warnings);
}

#[test]
fn children_overlap_on_one_device_only() {
    let devices = ["interface = { name = \"vti-a\" }", "interface = { name = \"vti-b\" }"];
    accepted(&with_devices("", devices[1]));
    accepted(&with_devices(devices[0], devices[1]));
    assert_eq!(errors(&with_devices("", "")), ["ts.overlap@13"]);
    let within = format!(
        "{}[connections.b.children.y]\nlocal_ts = [\"10.0.0.0/8\"]\nremote_ts = [\"10.0.0.0/8\"]\n",
        with_devices("", devices[1])
    );
    assert_eq!(errors(&within), ["ts.overlap@16"]);
}

#[test]
fn each_device_has_a_name_of_its_own_in_its_namespace() {
    let device = |name: &str, netns: &str| format!("interface = {{ name = \"{name}\"{netns} }}");
    let (red, blue) = (", netns = \"red\"", ", netns = \"/run/netns/blue\"");
    accepted(&with_devices(&device("vti", red), &device("vti", blue)));
    accepted(&with_devices(&device("sandhog0", red), &device("vti", "")));
    assert_eq!(errors(&with_devices(&device("vti", ""), &device("vti", ""))), ["interface.twice@12"]);
    let same = ", netns = \"/run/netns/red\"";
    assert_eq!(errors(&with_devices(&device("vti", red), &device("vti", same))), ["interface.twice@12"]);
    let before = ", netns = \"/var/run/netns/red\"";
    assert_eq!(errors(&with_devices(&device("vti", red), &device("vti", before))), ["interface.twice@12"]);
    assert_eq!(errors(&with_devices(&device("sandhog0", ""), "")), ["interface.twice@2"]);
}

/// What moves into another namespace is called `sandhog-` and a number until it is there.
#[test]
fn names_of_devices_on_their_way_are_not_given() {
    let device = |name: &str| with_devices("", &format!("interface = {{ name = \"{name}\" }}"));
    assert_eq!(errors(&device("sandhog-1")), ["value.device@12"]);
    assert_eq!(errors("[gateway]\ndevice = \"sandhog-12\"\n"), ["value.device@2"]);
    for name in ["sandhog-", "sandhog-1a", "sandhog1", "sandhog-a"] {
        accepted(&device(name));
    }
}

/// Unless they are in two VRFs, of which the configuration knows nothing.
#[test]
fn an_address_of_two_devices_is_warned_of() {
    let device = |name: &str, more: &str| format!("interface = {{ name = \"{name}\", addresses = [{more} }}");
    let two = |a: &str, b: &str| {
        let warnings = accepted(&with_devices(&device("vti-a", a), &device("vti-b", b))).warnings;
        warnings.iter().map(|warning| format!("{}@{}", warning.code, warning.line)).collect::<Vec<_>>()
    };
    assert_eq!(two("\"10.0.0.1/30\"]", "\"10.0.0.1/30\"]"), ["interface.address_twice@12"]);
    assert_eq!(two("\"10.0.0.1/32\"]", "\"10.0.0.1/30\"]"), ["interface.address_twice@12"]);
    assert_eq!(two("\"fd00::1/64\"]", "\"fd00::1/64\"]"), ["interface.address_twice@12"]);
    assert!(two("\"10.0.0.1/30\"]", "\"10.0.0.1/30\"], netns = \"red\"").is_empty());
    // Tunnels without a network of their own may share the address of the host.
    assert!(two("\"10.0.0.1/32\"]", "\"10.0.0.1/32\"]").is_empty());
}

#[test]
fn the_network_of_a_device_is_one() {
    let device =
        |address: &str| with_devices("", &format!("interface = {{ name = \"vti\", addresses = [\"{address}\"] }}"));
    for wrong in [
        "10.0.0.1/0",
        "10.0.0.1/7",
        "fd00::1/0",
        "fd00::1/15",
        "169.254.10.0/30",
        "169.254.10.3/30",
        "10.255.255.255/8",
    ] {
        assert_eq!(errors(&device(wrong)), ["interface.address@12"], "{wrong}");
    }
    for right in [
        "10.0.0.1/8",
        "169.254.10.1/30",
        "169.254.10.2/30",
        "169.254.10.0/31",
        "169.254.10.3/32",
        "fd00::/64",
        "10.0.1.0/16",
    ] {
        accepted(&device(right));
    }
}

#[test]
fn what_a_device_of_its_own_cannot_do_is_refused() {
    let device = "interface = { name = \"vti-b\" }";
    assert_eq!(errors(&with_devices("", &format!("{device}\nvips = [\"0.0.0.0\"]"))), ["interface.vips@13"]);
    accepted(&with_devices("", &format!("{device}\nvips = []")));
    let pass =
        "[connections.b.children.p]\nmode = \"pass\"\nlocal_ts = [\"10.0.0.0/8\"]\nremote_ts = [\"10.0.0.0/8\"]\n";
    assert_eq!(errors(&format!("{}{pass}", with_devices("", device))), ["interface.pass@16"]);
}

#[test]
fn a_tunnel_is_not_its_own_uplink() {
    assert_eq!(errors("[gateway]\nbind_device = \"sandhog0\"\n"), ["device.same@2"]);
    let bound = |interface: &str| format!("{}[gateway]\nbind_device = \"vti\"\n", with_devices("", interface));
    assert_eq!(errors(&bound("interface = { name = \"vti\" }")), ["device.same@12"]);
    accepted(&bound("interface = { name = \"vti\", netns = \"red\" }"));
    accepted(&bound("interface = { name = \"vti-b\" }"));
}
