//! Keys whose feature comes with a later version: their shape is checked, and they are refused: ignoring one would not be safe.
use super::keys::{self, Fields};
use super::report::Report;
use super::text::Node;
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
pub(super) fn connection(report: &mut Report<'_>, fields: &Fields<'_>) {
    refuse(report, fields, "profile", "profiles", "write out what the profile would say", |report, node| {
        value::choice(report, node, &PROFILES).is_some()
    });
}

/// The keys of a child that later versions honour.
pub(super) fn child(report: &mut Report<'_>, fields: &Fields<'_>) {
    let hint = "leave translate out; the networks of both sides must differ";
    refuse(report, fields, "translate", "translation", hint, translate);
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

/// Sound if reading it finds nothing wrong.
fn sound(report: &mut Report<'_>, read: impl FnOnce(&mut Report<'_>)) -> bool {
    let before = report.errors();
    read(report);
    report.errors() == before
}

fn translate(report: &mut Report<'_>, node: &Node) -> bool {
    sound(report, |report| {
        let Some(fields) = Fields::of_node(report, &keys::TRANSLATE, node) else { return };
        fields.read(report, "local", |r, n| value::prefix(r, n, false));
        fields.read(report, "remote", |r, n| value::prefix(r, n, false));
    })
}
