//! Keys whose feature comes with a later version: their shape is checked; where ignoring one would not be safe it is refused, where it is harmless it is accepted.
use super::keys::{self, Fields};
use super::report::Report;
use super::text::{Entry, Node};
use super::value;

/// Vendor presets.
const PROFILES: [(&str, ()); 16] = [
    ("aliyun", ()),
    ("h3c", ()),
    ("h3c-er", ()),
    ("huawei", ()),
    ("tencent", ()),
    ("aws", ()),
    ("azure", ()),
    ("gcp", ()),
    ("cisco-ios-xe", ()),
    ("cisco-asa", ()),
    ("fortigate", ()),
    ("juniper-srx", ()),
    ("mikrotik", ()),
    ("pfsense", ()),
    ("strongswan", ()),
    ("sandhog", ()),
];

/// The keys of a connection that later versions honour.
pub(super) fn connection(report: &mut Report<'_>, fields: &Fields<'_>, pools: &[Entry]) {
    refuse(report, fields, "profile", "profiles", "write out what the profile would say", |report, node| {
        value::choice(report, node, &PROFILES).is_some()
    });
    refuse(report, fields, "mobike", "MOBIKE", "mobike = false", |report, node| {
        value::boolean(report, node) == Some(true)
    });
    refuse(report, fields, "vips", "virtual addresses", "vips = []", |report, node| {
        value::list(report, node, value::address).is_some_and(|list| !list.is_empty())
    });
    refuse(report, fields, "pools", "pools", "pools = []", |report, node| {
        let pool = |report: &mut Report<'_>, node: &Node| pool_reference(report, node, pools);
        value::list(report, node, pool).is_some_and(|list| !list.is_empty())
    });
    refuse(report, fields, "ppk", "post-quantum preshared keys", "leave ppk out", ppk);
    let hint = "leave interface out: children of all connections share the gateway's device";
    refuse(report, fields, "interface", "devices of a connection's own", hint, interface);
    refuse(report, fields, "keylog", "key logs", "leave keylog out", keylog);
    if fields.read(report, "reauth_time", value::duration).is_some_and(|time| !time.is_zero()) {
        harmless(report, fields, "reauth_time", "reauthentication");
    }
    let childless = [("allow", false), ("prefer", false), ("never", false), ("force", true)];
    if fields.read(report, "childless", |r, n| value::choice(r, n, &childless)) == Some(true) {
        harmless(report, fields, "childless", "childless initiation");
    }
    fields.read(report, "rehearse", |r, n| value::choice(r, n, &[("auto", ()), ("never", ())]));
    fields.read(report, "rekey", |r, n| value::choice(r, n, &[("both", ()), ("us", ()), ("peer", ())]));
    fields.read(report, "fragmentation", value::boolean);
    fields.read(report, "over_time", value::duration);
}

/// The keys of a child that later versions honour.
pub(super) fn child(report: &mut Report<'_>, fields: &Fields<'_>) {
    let hint = "leave translate out; the networks of both sides must differ";
    refuse(report, fields, "translate", "translation", hint, translate);
    fields.read(report, "rekey_bytes", value::size);
    fields.read(report, "rekey_packets", |r, n| value::integer::<u64>(r, n, 0..=u64::MAX.into()));
    let fragments = [("auto", false), ("always", true), ("never", true)];
    if fields.read(report, "outer_fragments", |r, n| value::choice(r, n, &fragments)) == Some(true) {
        harmless(report, fields, "outer_fragments", "a choice about outer fragments");
    }
}

/// The `[pools]` that nobody may use yet.
pub(super) fn pools(report: &mut Report<'_>, pools: &[Entry]) {
    for pool in pools {
        value::name(report, pool);
        let Some(fields) = Fields::of_node(report, &keys::POOL, &pool.node) else { continue };
        if fields.entry("addrs").is_none() {
            let message = format!("the pool `{}` has no addresses", pool.key);
            report.error(pool.at, "pool.empty", message, "add addrs = \"10.9.0.0/24\"");
        }
        fields.read(report, "addrs", |r, n| value::prefix(r, n, false));
    }
}

/// `asks` reads the value and tells whether it is sound and asks for the feature.
fn refuse(
    report: &mut Report<'_>,
    fields: &Fields<'_>,
    key: &str,
    feature: &str,
    hint: &str,
    asks: impl FnOnce(&mut Report<'_>, &Node) -> bool,
) {
    if let Some(entry) = fields.entry(key)
        && asks(report, &entry.node)
    {
        report.error(entry.at, "feature.not_yet", format!("{feature} come with a later version"), hint);
    }
}

fn harmless(report: &mut Report<'_>, fields: &Fields<'_>, key: &str, feature: &str) {
    if let Some(entry) = fields.entry(key) {
        let message = format!("{feature} comes with a later version; `{key}` is ignored");
        report.warn(entry.at, "feature.not_yet", message, "nothing needs to be done, it does no harm");
    }
}

fn pool_reference(report: &mut Report<'_>, node: &Node, pools: &[Entry]) -> Option<()> {
    let name = value::string(report, node)?;
    if pools.iter().any(|pool| pool.key == name) {
        return Some(());
    }
    let hint = match keys::nearest(name, pools.iter().map(|pool| pool.key.as_str())) {
        Some(near) => format!("did you mean {near:?}?"),
        None => format!("add [pools.{name}] with its addrs"),
    };
    report.refuse(node.at, "reference.undefined", format!("there is no pool {name:?}"), hint)
}

/// Sound if reading it finds nothing wrong.
fn sound(report: &mut Report<'_>, read: impl FnOnce(&mut Report<'_>)) -> bool {
    let before = report.errors();
    read(report);
    report.errors() == before
}

fn ppk(report: &mut Report<'_>, node: &Node) -> bool {
    sound(report, |report| {
        let Some(fields) = Fields::of_node(report, &keys::PPK, node) else { return };
        fields.read(report, "id", value::string);
        fields.read(report, "required", value::boolean);
    })
}

fn interface(report: &mut Report<'_>, node: &Node) -> bool {
    sound(report, |report| {
        let Some(fields) = Fields::of_node(report, &keys::INTERFACE, node) else { return };
        fields.read(report, "name", value::device);
        fields.read(report, "addresses", |r, n| value::list(r, n, |r, n| value::prefix(r, n, true)));
        fields.read(report, "netns", value::string);
    })
}

fn keylog(report: &mut Report<'_>, node: &Node) -> bool {
    sound(report, |report| {
        let Some(fields) = Fields::of_node(report, &keys::KEYLOG, node) else { return };
        fields.read(report, "path", value::path);
        fields.read(report, "until", value::string);
    })
}

fn translate(report: &mut Report<'_>, node: &Node) -> bool {
    sound(report, |report| {
        let Some(fields) = Fields::of_node(report, &keys::TRANSLATE, node) else { return };
        fields.read(report, "local", |r, n| value::prefix(r, n, false));
        fields.read(report, "remote", |r, n| value::prefix(r, n, false));
    })
}
