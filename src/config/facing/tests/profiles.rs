//! What a profile stands for can be told to its vendor, and to a strongSwan that plays it.
use super::hostile::readable;
use super::*;
use crate::config::profiles::ALL;

fn with_profile(name: &str) -> Facing {
    let text = format!(
        "[connections.c]\nprofile = {name:?}\nlocal_addrs = [\"192.0.2.1\"]\nremote_addrs = [\"203.0.113.7\"]\nlocal = {{ id = \"192.0.2.1\" }}\n\
         {LAN}[secrets.s]\nid = [\"203.0.113.7\"]\nsecret = {SECRET:?}\n"
    );
    Facing::of(&parse(&text).unwrap_or_else(|errors| panic!("{name}: {errors}")), "c").unwrap()
}

#[test]
fn each_profile_can_be_told_to_its_vendor() {
    for profile in ALL {
        let format = format(profile.name).unwrap_or_else(|| panic!("no format {}", profile.name));
        let facing = with_profile(profile.name);
        for name in [format.name, "strongswan", "sandhog"] {
            let text = text(&facing, name, Some(SECRET))
                .unwrap_or_else(|refusal| panic!("{}: {name}: {refusal}", profile.name));
            readable(name, &text).unwrap_or_else(|error| panic!("{}: {name}: {error}\n{text}", profile.name));
        }
    }
}

/// What takes something away that may be there, or counts for all tunnels, says so.
#[test]
fn what_touches_other_tunnels_says_so() {
    let said = [
        ("cisco", "An interface has one crypto map"),
        ("cisco", "no crypto ikev2 proposal default\nno crypto ikev2 policy default\n"),
        ("cisco-asa", "An interface has one crypto map"),
        ("cisco-asa", "This one is for all tunnels"),
        ("h3c", "An interface has one ipsec policy"),
        ("huawei", "An interface has one ipsec policy"),
        ("juniper", "This one is for all tunnels"),
    ];
    for (name, note) in said {
        let text = text(&with_profile("huawei"), name, Some(SECRET)).unwrap();
        assert!(text.contains(note), "{name}: {note}\n{text}");
    }
}
