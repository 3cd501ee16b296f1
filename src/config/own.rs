//! Who runs this process. Not by the owner of /proc/self: that is root for all who are not to be looked into (`io::privileges::harden`).

/// The user and the group whose rights count (the effective ones); root where /proc is missing.
pub(super) fn ids() -> (u32, u32) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    };
    (effective("Uid:"), effective("Gid:"))
}
