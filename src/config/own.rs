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

/// Number of a group of this machine.
pub(super) fn group(name: &str) -> Option<u32> {
    rows(&groups()).find(|(group, ..)| *group == name).map(|(_, number, _)| number)
}

/// Name of a group of this machine.
pub(super) fn group_name(number: u32) -> Option<String> {
    rows(&groups()).find(|(_, found, _)| *found == number).map(|(name, ..)| name.to_owned())
}

/// All groups of a user whose own is known.
pub(super) fn groups_of(user: &str, own: u32) -> Vec<u32> {
    let groups = groups();
    let member = rows(&groups).filter(|(.., members)| members.split(',').any(|member| member == user));
    std::iter::once(own).chain(member.map(|(_, number, _)| number)).collect()
}

fn groups() -> String {
    std::fs::read_to_string("/etc/group").unwrap_or_default()
}

/// Name, number and members.
fn rows(groups: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        Some((name, number.parse().ok()?, fields.next().unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_by_their_lines() {
        let text = "root:x:0:\nbroken\nsandhogd:x:990:\nsandhog:x:991:alice,sandhogd\nodd:x:y:sandhogd\n";
        assert_eq!(
            rows(text).map(|(name, number, _)| (name, number)).collect::<Vec<_>>(),
            [("root", 0), ("sandhogd", 990), ("sandhog", 991)]
        );
        assert!(rows(text).any(|(_, number, members)| number == 991 && members.split(',').any(|m| m == "sandhogd")));
        assert_eq!(
            (group("root"), group_name(0).as_deref(), groups_of("nobody at all", 7)),
            (Some(0), Some("root"), vec![7])
        );
    }
}
