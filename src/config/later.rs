//! Keys whose feature comes with a later version: their shape is checked, and they are refused: ignoring one would not be safe.
use super::keys::Fields;
use super::report::Report;
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
    if let Some(entry) = fields.entry("profile")
        && value::choice(report, &entry.node, &PROFILES).is_some()
    {
        let hint = "write out what the profile would say";
        report.error(entry.at, "feature.not_yet", "profiles come with a later version", hint);
    }
}
