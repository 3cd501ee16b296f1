//! Identities and names are no commands, whatever is in them.
use super::cloud::hcl;
use super::devices;
use super::grammar::{self, Grammar};
use super::*;
use proptest::prelude::*;

/// How each format is read; all of them are here.
pub(super) fn readable(name: &str, text: &str) -> Result<(), String> {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).map(drop).map_err(|e| e.to_string());
    let cli = |grammar: &Grammar| grammar::read(grammar, text).map(drop);
    match name {
        "strongswan" => super::strongswan::read(text).and_then(|root| match root.sections().count() {
            2 => Ok(()),
            n => Err(format!("{n} sections")),
        }),
        "sandhog" => parse(text).map(drop).map_err(|errors| errors.to_string()),
        "h3c" => cli(&super::h3c::GRAMMAR),
        "huawei" => cli(&devices::HUAWEI),
        "cisco" => cli(&devices::IOS),
        "cisco-asa" => cli(&devices::ASA),
        "juniper" => cli(&devices::JUNOS),
        "fortigate" => cli(&devices::FORTIOS),
        "mikrotik" => cli(&devices::ROUTEROS),
        "h3c-er" | "pfsense" => devices::sheet(text).map(drop),
        "aliyun" | "aws" | "tencent" => json(text),
        "aliyun-terraform" | "aws-terraform" | "tencent-terraform" | "azure" | "gcp" => hcl(text).map(drop),
        other => Err(format!("nobody reads {other}")),
    }
}

/// An identity of some kind with these octets.
fn facing_with(kind: IdType, data: &[u8], sample: &Sample) -> Facing {
    let mut facing = facing(sample);
    for end in [&mut facing.us, &mut facing.peer] {
        end.id = Some(Id { kind, data: data.to_vec() });
    }
    facing
}

proptest! {
    #[test]
    fn an_identity_never_becomes_a_command(
        kind in prop::sample::select(vec![IdType::FQDN, IdType::RFC822_ADDR, IdType::KEY_ID, IdType::DER_ASN1_DN, IdType(99)]),
        data in prop_oneof![
            prop::collection::vec(any::<u8>(), 1..40),
            "[ -~]{1,40}".prop_map(String::into_bytes),
            "([a-z]|\\n|\\r|\"|'|\\\\|\\$\\{|%\\{|;|#|\\}|\\{|\\?|!| |=|,|\u{2028}){1,30}".prop_map(String::into_bytes),
        ],
        name in "[a-zA-Z0-9._-]{1,64}",
        which in 0..SAMPLES.len(),
    ) {
        let mut facing = facing_with(kind, &data, &SAMPLES[which]);
        facing.name = name.as_str().into();
        for format in FORMATS {
            // The same with an identity that is harmless has as many lines.
            let Ok(text) = text(&facing, format.name, Some(SECRET)) else { continue };
            let mut plain = facing_with(IdType::FQDN, b"gw.example", &SAMPLES[which]);
            plain.name = name.as_str().into();
            let plain = self::text(&plain, format.name, Some(SECRET)).unwrap();
            prop_assert_eq!(text.lines().count(), plain.lines().count(), "{}: {}", format.name, text);
            if let Err(error) = readable(format.name, &text) {
                // Two ends with one identity are no configuration of ours, but TOML.
                prop_assert!(format.name == "sandhog" && text.parse::<toml::Table>().is_ok(), "{}: {error}\n{text}", format.name);
            }
        }
    }

    #[test]
    fn a_secret_never_becomes_a_command(secret in "[ -~\\n\u{e9}]{1,80}") {
        let facing = facing(sample("cbc"));
        for format in FORMATS {
            let Ok(text) = text(&facing, format.name, Some(&secret)) else { continue };
            let plain = self::text(&facing, format.name, Some(SECRET)).unwrap();
            prop_assert_eq!(text.lines().count(), plain.lines().count());
            prop_assert!(readable(format.name, &text).is_ok(), "{}: {:?}", format.name, readable(format.name, &text));
        }
    }
}

#[test]
fn all_formats_are_read_here() {
    for format in FORMATS {
        let read = SAMPLES.iter().filter_map(|sample| text(&facing(sample), format.name, Some(SECRET)).ok());
        for text in read {
            readable(format.name, &text).unwrap_or_else(|error| panic!("{}: {error}\n{text}", format.name));
        }
    }
}
