//! What to change where both sides' values, or one side's, are known: data that a machine can apply.
use super::suites::{self, Suite};
use super::{Fix, Place, Setting, Side, Text, escaped};
use crate::config::secret;
use crate::ike::diagnose::{Failure, Phase};
use crate::ike::policy::{IdMatch, SharedSecret};
use crate::wire::payload::Id;
use crate::wire::registry::ProtocolId;
use crate::wire::selector::{Selector, is_subset};
use serde_json::{Value, json};

/// What is known to mend a failure if this code is its cause, the best first.
pub(super) fn fixes(code: &str, failure: &Failure, place: &Place<'_>) -> Vec<Fix> {
    let (family, _) = code.split_once('.').unwrap_or((code, ""));
    match (family, code) {
        ("proposal" | "pfs", _) | (_, "answer.not_offered") => proposals(failure, place),
        (_, "auth.id" | "peer.unknown" | "auth.failed") => identities(failure, place),
        (_, "auth.psk") => secret_of_peer(failure, place).into_iter().collect(),
        (_, "auth.ppk") => ppk(failure, place),
        (_, "auth.method") => method(failure, place),
        ("ts", _) => networks(failure, place),
        (_, "lifetime.peer_shorter") => lifetime(failure, place),
        (_, "mtu.exceeded") => mtu(failure, place),
        ("traffic", _) => super::carried::fixes(code, failure),
        _ => Vec::new(),
    }
}

fn proposals(failure: &Failure, place: &Place<'_>) -> Vec<Fix> {
    let (what, protocol) = if place.esp { ("esp_proposals", ProtocolId::ESP) } else { ("proposals", ProtocolId::IKE) };
    let (ours, theirs) = (failure.local.get(what), failure.peer.get(what));
    let group = failure.peer.get("groups").first().filter(|_| theirs.is_empty());
    let for_us = match group {
        Some(group) => suites::with_group(protocol, ours, group),
        None => suites::nearest(protocol, theirs, ours),
    };
    // IKE_AUTH offers no group: what the peer's rekeys will have, nobody knows yet.
    let for_us = for_us.map(|suite| match place.esp && failure.phase == Phase::IkeAuth {
        true => suites::keeping_group(suite, ours),
        false => suite,
    });
    let here = for_us.and_then(|suite| ours_to_add(place, protocol, ours, &suite).map(|fix| (suite.weak, fix)));
    let there = suites::nearest(protocol, ours, theirs).map(|suite| {
        let Suite { keywords, weak, .. } = &suite;
        let note = weakness(suite.bare, weak);
        let en = format!("Configure {keywords} at the peer{}.", note.en);
        let zh = format!("在对端配置 {keywords}{}。", note.zh);
        place.peer(what, json!([keywords]), Text { en, zh })
    });
    match here {
        // A weak suite is offered last, and called what it is.
        Some((weak, here)) if !weak.is_empty() => there.into_iter().chain([here]).collect(),
        Some((_, here)) => [here].into_iter().chain(there).collect(),
        None => there.into_iter().collect(),
    }
}
fn ours_to_add(place: &Place<'_>, protocol: ProtocolId, ours: &[String], suite: &Suite) -> Option<Fix> {
    let keywords = &suite.keywords;
    if ours.is_empty() || ours.contains(keywords) || !suites::are_sound(protocol, ours) {
        return None;
    }
    // Some vendors are to be offered one suite and no more; where we have several, this peer takes more, and where there are many peers, others
    // may want the one that there is.
    let instead = ours.len() == 1 && !place.known.has_many_peers();
    let kept: &[String] = if instead { &[] } else { ours };
    let all: Vec<&String> = kept.iter().chain([keywords]).collect();
    let note = weakness(suite.bare, &suite.weak);
    let key = place.fill(if place.esp { "{child}.esp_proposals" } else { "{connection}.proposals" }, "");
    let (en, zh) = match instead {
        true => (
            format!("Set {key} to {keywords}, which the peer has{}.", note.en),
            format!("把 {key} 设为对端使用的 {keywords}{}。", note.zh),
        ),
        false => (
            format!("Add {keywords}, which the peer has, to {key}{}.", note.en),
            format!("在 {key} 中加入对端使用的 {keywords}{}。", note.zh),
        ),
    };
    place.us("{suites}", json!(all), Text { en, zh })
}
fn weakness(bare: bool, weak: &[String]) -> Text {
    if weak.is_empty() {
        return Text::default();
    }
    if bare {
        return Text {
            en: " (which encrypts nothing: everybody can read what travels; only if that is meant)".into(),
            zh: "（该套件不加密，任何人都能读取传输内容，仅在确有此意时使用）".into(),
        };
    }
    Text {
        en: format!(" (weak by today's measure: {}; only if the peer cannot do better)", weak.join(", ")),
        zh: format!("（其中 {} 安全性较弱，仅在对端无法升级时使用）", weak.join("、")),
    }
}

fn identities(failure: &Failure, place: &Place<'_>) -> Vec<Fix> {
    let ours = |what| failure.local.get(what).first().map(String::as_str);
    let theirs = |what| failure.peer.get(what).first().map(String::as_str);
    let differ = |what| matches!((ours(what), theirs(what)), (Some(a), Some(b)) if a != b);
    let sound = |id: &&str| id.parse::<Id>().is_ok();
    let mut here: Option<Fix> = None;
    for (what, path) in [("remote_id", "{connection}/remote/id"), ("local_id", "{connection}/local/id")] {
        let Some(id) = theirs(what).filter(|_| differ(what)).filter(sound) else { continue };
        let Some(path) = place.pointer(path) else { continue };
        // A certificate has to say it, too.
        if what == "local_id" && place.known.signs() {
            continue;
        }
        let setting = Setting { path, set: id.into() };
        let secret = (what == "remote_id").then(|| owner(place.known.secrets, ours(what)?, id)).flatten();
        let also = secret.into_iter();
        match &mut here {
            Some(fix) => fix.also.extend(std::iter::once(setting).chain(also)),
            None => here = Some(Fix { also: also.collect(), ..of_ours(setting, place, (what, id)) }),
        }
    }
    let there = [("local_id", "remote_id"), ("remote_id", "local_id")].into_iter().filter_map(|(path, what)| {
        let id = ours(what).filter(|id| *id != "%any" && (theirs(what).is_none() || differ(what)))?;
        let shown = escaped(id);
        let text = match path {
            "local_id" => Text {
                en: format!("Let the peer call itself {shown}."),
                zh: format!("把对端自己的标识（本端标识）设为 {shown}。"),
            },
            _ => Text {
                en: format!("Let the peer expect {shown} of us."),
                zh: format!("在对端把“对端标识”（即本端的标识）设为 {shown}。"),
            },
        };
        Some(place.peer(path, id, text))
    });
    here.into_iter().chain(there).collect()
}
fn of_ours(setting: Setting, place: &Place<'_>, (what, id): (&str, &str)) -> Fix {
    let (key, shown) = (place.fill("{connection}", ""), escaped(id));
    let text = match what {
        "remote_id" => Text {
            en: format!("Set {key}.remote.id, and the id of its secret, to {shown}, as the peer calls itself."),
            zh: format!("把 {key}.remote.id 及其密钥的 id 设为对端自称的标识 {shown}。"),
        },
        _ => Text {
            en: format!("Set {key}.local.id to {shown}, as the peer calls us."),
            zh: format!("把 {key}.local.id 设为对端所期望的标识 {shown}。"),
        },
    };
    let Setting { path, set } = setting;
    Fix { side: Side::Us, path: Some(path), set: Some(set), also: Vec::new(), command: None, text }
}
/// The secret of this identity is to be that one's, too.
fn owner(secrets: &[SharedSecret], ours: &str, theirs: &str) -> Option<Setting> {
    let is = |id: &IdMatch, text: &str| secret::shown(id) == text;
    if secrets.iter().flat_map(|secret| &secret.ids).any(|id| is(id, theirs)) {
        return None;
    }
    let found = secrets.iter().find(|secret| secret.ids.iter().any(|id| is(id, ours)))?;
    let ids: Vec<String> = found.ids.iter().map(secret::shown).chain([theirs.to_owned()]).collect();
    let name = found.name.replace('~', "~0").replace('/', "~1");
    Some(Setting { path: format!("/secrets/{name}/id"), set: json!(ids) })
}

/// Where our secret stands. Not what to set: neither end's is known here, and none is ever told.
fn secret_of_peer(failure: &Failure, place: &Place<'_>) -> Option<Fix> {
    let secrets = place.known.secrets;
    let told = [failure.local.get("remote_id"), failure.peer.get("remote_id")].concat();
    let is_for = |secret: &&SharedSecret| secret.ids.iter().any(|id| told.contains(&secret::shown(id)));
    let any = |secret: &&SharedSecret| secret.ids.contains(&IdMatch::Any);
    let name = &secrets.iter().find(is_for).or_else(|| secrets.iter().find(any))?.name;
    let path = Some(format!("/secrets/{}/secret", name.replace('~', "~0").replace('/', "~1")));
    let text = place.text([
        "Set the same secret at both ends; here it is [secrets.{secret}]. A blank or a newline at its end counts.",
        "在两端设置相同的密钥；本端是 [secrets.{secret}]。末尾的空格和换行也算密钥的一部分。",
    ]);
    let named = |text: String| text.replace("{secret}", name);
    let text = Text { en: named(text.en), zh: named(text.zh) };
    Some(Fix { side: Side::Us, path, set: None, also: Vec::new(), command: None, text })
}

fn ppk(failure: &Failure, place: &Place<'_>) -> Vec<Fix> {
    let theirs = failure.peer.get("ppk").first();
    let differs = theirs.filter(|id| failure.local.get("ppk").first().is_some_and(|ours| ours != *id));
    // Another one is told as it is escaped, which is not what it is.
    let is_plain = |id: &&String| id.bytes().all(|c| (b' '..=b'~').contains(&c) && c != b'\\' && c != b'"');
    let Some(id) = differs.filter(is_plain) else { return Vec::new() };
    let text = Text {
        en: format!("Set {} to {}, as the peer calls it.", place.fill("{connection}.ppk.id", ""), escaped(id)),
        zh: format!("把 {} 设为对端使用的 {}。", place.fill("{connection}.ppk.id", ""), escaped(id)),
    };
    place.us("{connection}/ppk/id", id.clone(), text).into_iter().collect()
}

fn method(failure: &Failure, place: &Place<'_>) -> Vec<Fix> {
    let kind = |text: &String| match text.as_str() {
        "EAP" => None,
        text if text.contains("SHARED_KEY") => Some("psk"),
        _ => Some("pubkey"),
    };
    let key = place.fill("{connection}.remote.auth", "");
    let here = failure.peer.get("auth").first().and_then(kind).and_then(|kind| {
        let en = format!(
            "Set {key} to \"{kind}\", as the peer does it, if that is meant; it needs the peer's secret or authority."
        );
        let zh = format!("确认无误后，把 {key} 设为对端使用的 \"{kind}\"；同时需要配置对端的密钥或签发机构。");
        // No value: what says so is not authenticated, and may want less of itself.
        place.unset("{connection}/remote/auth", Text { en, zh })
    });
    let there = failure.local.get("auth").first().and_then(kind).map(|kind| {
        let en = format!("Let the peer prove itself by \"{kind}\".");
        place.peer("auth", kind, Text { en, zh: format!("让对端改用 \"{kind}\" 方式认证。") })
    });
    there.into_iter().chain(here).collect()
}

/// The peer's networks at our side, and ours at the peer's, each the mirror of the other.
fn networks(failure: &Failure, place: &Place<'_>) -> Vec<Fix> {
    let mut here: Option<Fix> = None;
    let mut there: Vec<Fix> = Vec::new();
    for (what, mirrored) in [("local_ts", "remote_ts"), ("remote_ts", "local_ts")] {
        let (ours, theirs) = (read(failure.local.get(what)), read(failure.peer.get(what)));
        let same = matches!((&ours, &theirs), (Some(a), Some(b)) if is_subset(a, b) && is_subset(b, a));
        if let (Some(theirs), false) = (theirs.as_deref().map(shown).filter(|_| place.has_own_networks()), same)
            && let Some(path) = place.pointer(&format!("{{child}}/{what}"))
        {
            let key = place.fill(&format!("{{child}}.{what}"), "");
            let text = Text {
                en: format!("Set {key} to {}, as the peer has it.", theirs.join(", ")),
                zh: format!("把 {key} 设为对端使用的 {}。", theirs.join("、")),
            };
            let setting = Setting { path, set: json!(theirs) };
            match &mut here {
                Some(fix) => {
                    fix.text.en = format!("{} {}", fix.text.en, text.en);
                    fix.text.zh += &text.zh;
                    fix.also.push(setting);
                }
                None => {
                    let Setting { path, set } = setting;
                    let (path, set) = (Some(path), Some(set));
                    here = Some(Fix { side: Side::Us, path, set, also: Vec::new(), command: None, text });
                }
            }
        }
        if let (Some(ours), false) = (ours.as_deref().map(shown), same) {
            let whose = if mirrored == "remote_ts" { ["remote", "对端网段"] } else { ["local", "本端网段"] };
            let text = Text {
                en: format!("Set the {} networks of the peer's configuration to {}.", whose[0], ours.join(", ")),
                zh: format!("在对端的配置中把“{}”设为 {}。", whose[1], ours.join("、")),
            };
            there.push(place.peer(mirrored, json!(ours), text));
        }
    }
    here.into_iter().chain(there).collect()
}
/// Each of them, if all can be read and there are any.
fn read(texts: &[String]) -> Option<Vec<Selector>> {
    let all: Option<Vec<Selector>> = texts.iter().map(|text| text.parse().ok()).collect();
    all.filter(|all| !all.is_empty())
}
/// Without those that lie within another one: a packet that a child is made for stands in front of its networks.
fn shown(selectors: &[Selector]) -> Vec<String> {
    let within = |at: usize, one: &Selector| {
        let others = selectors.iter().enumerate().filter(|(other, _)| *other != at);
        let mut wider = others.filter(|(_, wide)| is_subset(std::slice::from_ref(one), std::slice::from_ref(wide)));
        wider.any(|(other, wide)| wide != one || other < at)
    };
    selectors.iter().enumerate().filter(|(at, one)| !within(*at, one)).map(|(_, one)| one.to_string()).collect()
}

/// A tenth before the peer.
fn lifetime(failure: &Failure, place: &Place<'_>) -> Vec<Fix> {
    if failure.differing.contains(&"bytes") {
        let key = place.fill("{child}.rekey_bytes", "");
        let text = Text {
            en: format!("The peer goes by what has travelled: set {key} to less than the peer has."),
            zh: format!("对端按流量更新：把 {key} 设为小于对端的值。"),
        };
        return place.unset("{child}/rekey_bytes", text).into_iter().collect();
    }
    let Some(seconds) = number(failure.peer.get("lifetime")).filter(|seconds| *seconds >= 60) else {
        return Vec::new();
    };
    let value = format!("{}s", seconds * 9 / 10);
    let path = if place.child.is_some() { "{child}" } else { "{connection}" };
    let key = place.fill(&format!("{path}.rekey_time"), "");
    let text = Text {
        en: format!("Set {key} = \"{value}\" to be first."),
        zh: format!("设置 {key} = \"{value}\"，由本端先行更新。"),
    };
    place.us(&format!("{path}/rekey_time"), Value::from(value), text).into_iter().collect()
}
fn mtu(failure: &Failure, place: &Place<'_>) -> Vec<Fix> {
    let values = [failure.peer.get("mtu"), failure.local.get("fits")];
    let Some(mtu) = values.into_iter().find_map(number).filter(|mtu| (576..9000).contains(mtu)) else {
        return Vec::new();
    };
    let key = place.fill("{child}.mtu", "");
    let text = Text { en: format!("Set {key} = {mtu}."), zh: format!("设置 {key} = {mtu}。") };
    place.us("{child}/mtu", mtu, text).into_iter().collect()
}
fn number(values: &[String]) -> Option<u64> {
    let digits: String = values.first()?.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
