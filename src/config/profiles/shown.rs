//! A profile as people read it: TOML with a comment for each value.
use super::{Profile, Role, Setting, Text};
use std::fmt::Write as _;

/// Columns of a comment.
const WIDTH: usize = 110;

impl Profile {
    /// What it stands for, as TOML that may be pasted into a connection instead of `profile`; comments in one of the two languages where there are both.
    pub fn to_toml(&self, chinese: bool) -> String {
        let say = |text: &Text| if chinese { text.zh } else { text.en };
        let mut out = format!("# {}: {}\n", self.name, say(&self.title));
        comment(
            &mut out,
            "",
            match self.role {
                Role::Initiator => "We call it; it is answered, too, if it calls.",
                Role::Either => "Either side may call.",
            },
        );
        if self.needs_id {
            comment(&mut out, "", "It knows us by an address: behind a NAT local.id is the public one.");
        }
        let (of_child, of_connection): (Vec<_>, Vec<_>) =
            self.settings.iter().partition(|setting| setting.key.starts_with("children.*."));
        let _ = write!(out, "\n[connections.NAME]\n# profile = {:?} stands for:\n", self.name);
        of_connection.iter().for_each(|setting| line(&mut out, setting));
        out.push_str("\n[connections.NAME.children.CHILD]\n");
        of_child.iter().for_each(|setting| line(&mut out, setting));
        out.push_str("\n# What it cannot do (profile.contradiction):\n");
        for limit in self.limits {
            let sentence =
                format!("{} may be {}: it {} {}", limit.key, limit.may, limit.why, from(limit.source, limit.checked));
            comment(&mut out, "- ", &sentence);
        }
        if self.limits.is_empty() {
            comment(&mut out, "- ", "nothing that Sandhog can do");
        }
        out.push_str("\n# Traps:\n");
        self.traps.iter().for_each(|trap| comment(&mut out, "- ", say(trap)));
        out.push_str("\n# To set at its side:\n");
        self.theirs.iter().for_each(|t| comment(&mut out, "- ", &format!("{} = {}: {}", t.what, t.set, t.why)));
        out
    }
}

fn line(out: &mut String, setting: &Setting) {
    comment(out, "", &format!("{} {}", setting.why, from(setting.source, setting.checked)));
    let key = setting.key.strip_prefix("children.*.").unwrap_or(setting.key);
    let _ = writeln!(out, "{key} = {}", setting.value);
}

fn from(source: &str, checked: bool) -> String {
    format!("[{}: {source}]", if checked { "checked" } else { "unchecked" })
}

/// Words in lines, each behind `#`; what begins with `bullet` goes on below its first word.
fn comment(out: &mut String, bullet: &str, text: &str) {
    let mut columns = 2 + bullet.len();
    let _ = write!(out, "# {bullet}");
    for (n, word) in text.split(' ').enumerate() {
        let len = word.chars().count() + 1;
        if n > 0 && columns + len > WIDTH {
            let indent = " ".repeat(bullet.len());
            let _ = write!(out, "\n# {indent}");
            columns = 2 + bullet.len();
        } else if n > 0 {
            out.push(' ');
        }
        out.push_str(word);
        columns += len;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use crate::config::profiles::ALL;

    #[test]
    fn it_is_toml_that_stands_for_the_profile() {
        for profile in ALL {
            for chinese in [false, true] {
                let text = profile.to_toml(chinese);
                let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
                let of = &table["connections"]["NAME"];
                for setting in profile.settings {
                    let value = match setting.key.strip_prefix("children.*.") {
                        Some(key) => &of["children"]["CHILD"][key],
                        None => &of[setting.key],
                    };
                    assert_eq!(value.to_string(), setting.value.to_string(), "{} {}", profile.name, setting.key);
                    assert!(text.replace("\n# ", " ").contains(setting.why), "{} {}", profile.name, setting.key);
                }
                assert!(text.lines().all(|line| line.chars().count() <= 200), "{text}");
                assert!(text.contains(if chinese { profile.title.zh } else { profile.title.en }));
            }
        }
    }
}
