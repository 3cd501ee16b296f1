//! Each format is read back by a reader of its own grammar, and compared with what it was made of.
mod cloud;
mod devices;
mod grammar;
mod h3c;
mod hostile;
mod mirror;
mod profiles;
mod sandhog;
mod strongswan;

use super::*;
use crate::config::tests::parse;

/// A configuration with one connection `c`: keys of it, then its children.
pub(super) struct Sample {
    pub name: &'static str,
    pub keys: &'static str,
    pub children: &'static str,
}
pub(super) const SECRET: &str = "correctHorse_battery.staple";
const LAN: &str = "[connections.c.children.lan]\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\n";

/// What connections usually look like.
pub(super) const SAMPLES: &[Sample] = &[
    Sample { name: "defaults", keys: "", children: LAN },
    Sample {
        name: "cbc",
        keys: "proposals = [\"aes256-sha256-modp2048\"]\nrekey_time = \"5h\"",
        children: "[connections.c.children.lan]\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\nesp_proposals = [\"aes256-sha256-modp2048\"]\nrekey_time = \"40m\"\n",
    },
    Sample {
        name: "gcm",
        keys: "proposals = [\"aes256gcm16-prfsha384-ecp384\"]\nencap = \"always\"\ndpd_delay = \"15s\"\nrekey_time = \"5h\"",
        children: "[connections.c.children.lan]\nlocal_ts = [\"10.1.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\nesp_proposals = [\"aes256gcm16-ecp384\"]\nrekey_time = \"40m\"\n",
    },
    Sample {
        name: "peer first",
        keys: "proposals = [\"aes128-sha256-modp2048\"]\nrekey = \"peer\"\nrekey_time = \"8h\"",
        children: "[connections.c.children.lan]\nlocal_ts = [\"10.1.0.0/16\", \"10.3.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\"]\nesp_proposals = [\"aes128-sha256-modp2048\"]\nstart_action = \"none\"\n",
    },
    Sample {
        name: "per pair",
        keys: "proposals = [\"aes128-sha256-modp2048\"]",
        children: "[connections.c.children.lan]\nlocal_ts = [\"10.1.0.0/16\", \"10.3.0.0/16\"]\nremote_ts = [\"10.2.0.0/16\", \"10.4.0.0/24\"]\nts_mode = \"per_pair\"\nesp_proposals = [\"aes128-sha256-modp2048\"]\n",
    },
    Sample {
        name: "routed",
        keys: "proposals = [\"aes256-sha256-modp2048\"]\ninterface = { name = \"vti-c\", addresses = [\"169.254.10.1/30\"] }\nrekey_time = \"5h\"",
        children: "[connections.c.children.lan]\nlocal_ts = [\"0.0.0.0/0\"]\nremote_ts = [\"0.0.0.0/0\"]\nesp_proposals = [\"aes256-sha256-modp2048\"]\nrekey_time = \"40m\"\nmtu = 1380\n",
    },
];

/// The configuration of a sample, with identities if they are given: ours, the peer's.
pub(super) fn config_of(sample: &Sample, ids: Option<[&str; 2]>) -> Config {
    let [local, remote] = ids.map_or_else(Default::default, |ids| ids.map(|id| format!(", id = {id:?}")));
    let owner = ids.map_or("203.0.113.7", |[_, peer]| peer);
    let text = format!(
        "[connections.c]\nlocal_addrs = [\"192.0.2.1\"]\nremote_addrs = [\"203.0.113.7\"]\nlocal = {{ auth = \"psk\"{local} }}\nremote = {{ auth = \"psk\"{remote} }}\n{}\n{}\
         [secrets.s]\nid = [{owner:?}]\nsecret = {SECRET:?}\n",
        sample.keys, sample.children
    );
    parse(&text).unwrap_or_else(|errors| panic!("{}: {errors}", sample.name))
}
pub(super) fn facing(sample: &Sample) -> Facing {
    Facing::of(&config_of(sample, None), "c").unwrap()
}
pub(super) fn sample(name: &str) -> &'static Sample {
    SAMPLES.iter().find(|sample| sample.name == name).unwrap()
}
/// The text of a format, with the secret if it is asked for.
pub(super) fn text(facing: &Facing, name: &str, secret: Option<&str>) -> Result<String, Refusal> {
    let known = secret.map(|secret| Known { psk: Some(Secret::new(secret.into())), ppk: None });
    let written = facing.render(format(name).unwrap(), known.as_ref())?;
    Ok(String::from_utf8(written.octets().to_vec()).unwrap())
}

#[test]
fn formats_have_names_of_their_own() {
    let mut names: Vec<&str> = FORMATS.iter().flat_map(|f| f.aliases.iter().copied().chain([f.name])).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(format("strongswan").is_some() && format("nothing").is_none());
}

#[test]
fn every_format_writes_what_it_can_and_names_what_it_cannot() {
    for format in FORMATS {
        let mut written = 0;
        for sample in SAMPLES {
            let facing = facing(sample);
            match self::text(&facing, format.name, None) {
                Ok(text) => {
                    let shown = text.contains("REPLACE WITH THE PRE-SHARED KEY");
                    assert!(shown && !text.contains(SECRET), "{} {}: {text}", format.name, sample.name);
                    assert!(text.contains("Written by sandhog for connection c"), "{}: {text}", format.name);
                    let open = self::text(&facing, format.name, Some(SECRET)).unwrap();
                    assert!(open.contains(SECRET) && !open.contains("PRE-SHARED KEY"), "{}: {open}", format.name);
                    assert!(!text.contains(['\u{1}', '\u{2}']), "{}", format.name);
                    written += 1;
                }
                Err(refusal) => assert!(!refusal.way_out.is_empty(), "{}", format.name),
            }
        }
        assert!(written >= 2, "{} wrote {written}", format.name);
    }
}
