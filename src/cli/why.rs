//! `sandhog why`: what is wrong with a connection, both sides' values, and what to change.
use super::client::{Client, ClientError, Order};
use super::output::{self, plain};
use super::table::{Column, Table};
use super::target::Target;
use crate::config::remedy::{self, Fix, Side, Text};
use crate::control::types::{ConnectionState, Diagnosis, Why};
use std::collections::BTreeSet;
use std::process::ExitCode;

/// What is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A connection, or one of its children
    #[arg(value_name = super::TARGET, required_unless_present = "codes")]
    name: Option<Target>,
    /// The language [default: as LC_ALL, LC_MESSAGES or LANG says]
    #[arg(long, value_enum)]
    lang: Option<Lang>,
    /// Ask the peer what it takes, which tells what it refuses us for: within limits, so that it takes up to two minutes
    #[arg(long, requires = "name")]
    probe: bool,
    /// List every code that there is: what it means, what to do, and what vendors call it
    #[arg(long, conflicts_with = "name")]
    codes: bool,
}
/// A language of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Lang {
    /// English
    En,
    /// Simplified Chinese
    Zh,
}
impl Lang {
    /// Of this environment, unless it is said.
    pub fn of(said: Option<Self>) -> Self {
        let variables = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter();
        let set = variables.filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
        said.unwrap_or_else(|| Self::of_locale(set.as_deref().unwrap_or_default()))
    }
    fn of_locale(locale: &str) -> Self {
        if locale.starts_with("zh") { Self::Zh } else { Self::En }
    }
    fn pick(self, text: &Text) -> String {
        plain(if self == Self::Zh { &text.zh } else { &text.en })
    }
    pub(super) fn say(self, en: &'static str, zh: &'static str) -> &'static str {
        if self == Self::Zh { zh } else { en }
    }
}

/// 0 if nothing is wrong, 1 if something is.
pub(super) fn run(client: &Client, args: &Args, json: bool) -> ExitCode {
    let lang = Lang::of(args.lang);
    let Some(target) = &args.name else { return codes(lang, json) };
    if args.probe {
        return super::probe::run(client, target, lang, json);
    }
    match fetch(client, target) {
        Ok(why) => {
            match json {
                true => output::json(&why),
                false => drop(output::text(&render(&why, lang, output::width()))),
            }
            ExitCode::from(u8::from(!why.diagnoses.is_empty()))
        }
        Err(error) => output::failed(&error, json),
    }
}
fn fetch(client: &Client, target: &Target) -> Result<Why, ClientError> {
    let path = format!("{}/why", target.connection_path());
    let mut why: Why = client.send(Order::get(&path)).and_then(super::client::Answer::json)?;
    retain(&mut why.diagnoses, target);
    Ok(why)
}
/// What concerns the child that was named, if one was.
pub(super) fn retain(diagnoses: &mut Vec<Diagnosis>, target: &Target) {
    if let Some(child) = &target.child {
        diagnoses.retain(|one| one.failure.child.as_ref().is_none_or(|name| name == child));
    }
}
fn codes(lang: Lang, json: bool) -> ExitCode {
    let codes = remedy::codes();
    if json {
        output::json(&serde_json::json!({ "codes": codes }));
        return ExitCode::SUCCESS;
    }
    let of = |code: &remedy::Code| {
        let mut text = format!("{}\n  {}\n", code.code, lang.pick(&code.explain));
        text += &fixes(&code.fix, lang, "  ");
        text + &vendors(&code.names, lang, "  ")
    };
    output::text(codes.iter().map(of).collect::<Vec<_>>().join("\n").trim_end());
    ExitCode::SUCCESS
}

/// All that is wrong, for people.
pub(super) fn render(why: &Why, lang: Lang, width: Option<usize>) -> String {
    if !why.diagnoses.is_empty() {
        let all: Vec<String> = why.diagnoses.iter().map(|one| diagnosis(one, lang, width)).collect();
        return all.join("\n").trim_end().to_owned();
    }
    let name = plain(&why.connection);
    match why.state {
        ConnectionState::Up => {
            format!("{name}: {}", lang.say("up, and nothing is known to be wrong", "已建立，未发现问题"))
        }
        state => {
            let state = state.name();
            let rest = lang.say(
                "and nothing has failed: either nothing has called for it yet, or it was taken down; `sandhog up` brings it up",
                "没有失败记录：可能尚未触发协商，或已被手动断开；可用 `sandhog up` 建立",
            );
            format!("{name}: {state}, {rest}")
        }
    }
}
/// One diagnosis, for people: what it means, both sides' values beside each other, how sure it is, and what to do.
pub(super) fn diagnosis(one: &Diagnosis, lang: Lang, width: Option<usize>) -> String {
    let failure = &one.failure;
    let names = [&failure.connection, &failure.child].into_iter().flatten().map(|name| plain(name));
    let names: Vec<String> = names.collect();
    let proven = failure.certainty == "proven";
    let sure = if proven { lang.say("proven", "已证实") } else { lang.say("likely", "推测") };
    let side = if failure.side == "responder" {
        lang.say("as responder", "本端为响应方")
    } else {
        lang.say("as initiator", "本端为发起方")
    };
    let (phase, code, time) = (plain(&failure.phase), plain(&failure.code), plain(&failure.time));
    let mut text = format!("{}: {code} ({sure}; {phase}, {side})\n", names.join("/"));
    text += &match one.count {
        0 | 1 => format!("  {time}\n"),
        count => format!("  {time}, {count} {} {}\n", lang.say("times since", "次，首次于"), plain(&one.first)),
    };
    // The values stand in the table.
    let about = remedy::about(&failure.code);
    let meaning = about.as_ref().map_or(&failure.explain, |about| &about.explain);
    text += &format!("\n  {}\n", lang.pick(meaning));
    if let Some(notify) = &failure.notify {
        text += &format!("  {} {}\n", lang.say("The peer said", "对端的回复："), plain(notify));
    }
    text += &compared(one, lang, width);
    text += &candidates(&failure.candidates, lang);
    text += &format!("\n  {}\n", lang.say("What to do (one of these is enough):", "处理方法（任选其一）："));
    text += &fixes(&failure.fix, lang, "  ");
    text += &vendors(&failure.names, lang, "\n  ");
    text
}

/// Both sides' values as a table; what differs is marked.
fn compared(one: &Diagnosis, lang: Lang, width: Option<usize>) -> String {
    let failure = &one.failure;
    let mut text = String::new();
    let whats: BTreeSet<&String> = failure.local.keys().chain(failure.peer.keys()).collect();
    if !whats.is_empty() {
        let columns = match lang {
            Lang::En => [Column::new("", 0), Column::new("", 0), Column::new("OURS", 0), Column::new("THE PEER'S", 0)],
            Lang::Zh => [Column::new("", 0), Column::new("", 0), Column::new("本端", 0), Column::new("对端", 0)],
        };
        let mut table = Table::new(&columns);
        for what in whats {
            let cell =
                |values: Option<&Vec<String>>| values.map(|values| plain(&values.join(", "))).unwrap_or_default();
            let (ours, theirs) = (failure.local.get(what), failure.peer.get(what));
            let differs = matches!((ours, theirs), (Some(ours), Some(theirs)) if ours != theirs);
            let mark = if differs { "≠" } else { "" };
            let nothing = || lang.say("(not known)", "（未知）").to_owned();
            let shown = |text: String| if text.is_empty() { nothing() } else { text };
            table.push([lang.pick(&remedy::label(what)), mark.into(), shown(cell(ours)), shown(cell(theirs))]);
        }
        text += &format!("\n{}\n", table.render(width).trim_end());
    }
    if !failure.differing.is_empty() {
        let labels: Vec<String> = failure.differing.iter().map(|what| lang.pick(&remedy::label(what))).collect();
        text += &format!("\n  {} {}\n", lang.say("They differ in:", "不一致之处："), labels.join(lang.say(", ", "、")));
    }
    text
}
fn candidates(codes: &[String], lang: Lang) -> String {
    if codes.is_empty() {
        return String::new();
    }
    let mut text = format!("\n  {}\n", lang.say("It may be any of:", "可能的原因："));
    for code in codes {
        let meaning = remedy::about(code).map(|about| lang.pick(&about.explain)).unwrap_or_default();
        text += &format!("    {:<22} {meaning}\n", plain(code));
    }
    text
}
fn fixes(fixes: &[Fix], lang: Lang, before: &str) -> String {
    let mut text = String::new();
    for (number, fix) in fixes.iter().enumerate() {
        let side = match fix.side {
            Side::Us => lang.say("here", "本端"),
            Side::Peer => lang.say("at the peer", "对端"),
        };
        text += &format!("{before}{:>2}. {side}{} {}\n", number + 1, lang.say(":", "："), lang.pick(&fix.text));
        let settings = fix.path.iter().zip(&fix.set);
        for (path, set) in settings.chain(fix.also.iter().map(|more| (&more.path, &more.set))) {
            text += &format!("{before}    {} = {}\n", plain(path), plain(&set.to_string()));
        }
        if let Some(command) = &fix.command {
            text += &format!("{before}    $ {}\n", plain(command));
        }
    }
    text
}
fn vendors(names: &remedy::Names, lang: Lang, before: &str) -> String {
    let (aliyun, tencent) = (plain(&names.aliyun), plain(&names.tencent));
    if aliyun.is_empty() && tencent.is_empty() {
        return String::new();
    }
    match lang {
        Lang::En => format!("{before}Alibaba Cloud calls it {aliyun}; Tencent Cloud and AWS: \"{tencent}\".\n"),
        Lang::Zh => {
            let near = |name: &str| name.replace(" (nearest)", "（最接近）");
            format!("{before}阿里云：{}；腾讯云、AWS：“{}”。\n", near(&aliyun), near(&tencent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(diagnoses: serde_json::Value) -> Why {
        let why = serde_json::json!({ "connection": "office", "state": "failed", "diagnoses": diagnoses });
        serde_json::from_value(why).unwrap()
    }
    fn mismatch() -> serde_json::Value {
        serde_json::json!([ { "id": 3, "time": "2026-11-21T10:00:00Z", "connection": "office", "child": "lan", "phase": "ike_auth", "side": "responder",
            "code": "proposal.encr", "certainty": "likely", "candidates": ["auth.psk"], "local": { "esp_proposals": ["aes256-sha256"], "auth": ["psk"] },
            "peer": { "esp_proposals": ["aes128-sha256\u{1b}[2J"] }, "differing": ["encr"], "notify": "NO_PROPOSAL_CHOSEN",
            "explain": { "en": "e", "zh": "z" }, "names": { "aliyun": "X", "tencent": "y (nearest)" }, "count": 4, "first": "2026-11-21T09:00:00Z",
            "fix": [ { "side": "us", "path": "/connections/office/children/lan/esp_proposals", "set": ["aes128-sha256"], "command": null,
                "also": [ { "path": "/x", "set": 1 } ], "text": { "en": "Add it.", "zh": "加上。" } },
                { "side": "peer", "path": null, "set": null, "command": null, "text": { "en": "Or there.", "zh": "或者在那里。" } } ] } ])
    }

    #[test]
    fn of_one_child_what_concerns_it_is_told() {
        let left = |target: &str| {
            let mut told = why(mismatch()).diagnoses;
            retain(&mut told, &target.parse().unwrap());
            told.len()
        };
        assert_eq!([left("office"), left("office/lan"), left("office/dmz")], [1, 1, 0]);
    }
    #[test]
    fn all_of_a_diagnosis_is_told_in_either_language_and_nothing_commands_the_terminal() {
        let why = why(mismatch());
        let text = render(&why, Lang::En, Some(100));
        for part in [
            "office/lan: proposal.encr (likely; ike_auth, as responder)",
            "4 times since 2026-11-21T09:00:00Z",
            "no encryption algorithm in common",
            "The peer said NO_PROPOSAL_CHOSEN",
            "THE PEER'S",
            "aes128-sha256\\u{1b}[2J",
            "(not known)",
            "They differ in: encryption",
            "auth.psk",
            " 1. here: Add it.",
            "/connections/office/children/lan/esp_proposals = [\"aes128-sha256\"]",
            "/x = 1",
            " 2. at the peer: Or there.",
            "Alibaba Cloud calls it X",
        ] {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(text.lines().any(|line| line.contains("ESP proposals") && line.contains('≠')), "{text}");
        assert!(text.lines().all(|line| !line.contains("authentication  ") || !line.contains('≠')), "{text}");
        let chinese = render(&why, Lang::Zh, None);
        for part in ["推测", "本端", "对端", "加密算法", "加上。", "处理方法", "阿里云：X", "（最接近）"]
        {
            assert!(chinese.contains(part), "{part} is not in:\n{chinese}");
        }
        assert!(!text.contains('\u{1b}') && !chinese.contains('\u{1b}'));
    }
    #[test]
    fn nothing_wrong_is_said_too() {
        let mut fine = why(serde_json::json!([]));
        assert!(render(&fine, Lang::En, None).contains("nothing has failed"));
        fine.state = ConnectionState::Up;
        assert!(render(&fine, Lang::En, None).contains("nothing is known to be wrong"));
    }
    #[test]
    fn the_language_is_that_of_the_locale() {
        assert_eq!(Lang::of_locale("zh_CN.UTF-8"), Lang::Zh);
        assert_eq!(Lang::of_locale("C"), Lang::En);
        assert_eq!(Lang::of(Some(Lang::Zh)), Lang::Zh);
    }
}
