//! `sandhog why NAME --probe`: the peer is asked what it takes. That is slow on purpose, so it is shown what is being asked, and in the end what came.
use super::client::{Answer, Client, ClientError, Order};
use super::output::{self, plain};
use super::table::{Column, Table};
use super::target::Target;
use super::watch;
use super::why::{self, Lang};
use crate::control::probing::{Probe, Probed};
use crate::control::types::Why;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

/// The daemon has an answer after so long, whatever the peer does.
const LONGEST: Duration = Duration::from_secs(130);

/// 0 if nothing is wrong, 1 if something is.
pub(super) fn run(client: &Client, target: &Target, lang: Lang, json: bool) -> ExitCode {
    if !json && std::io::stderr().is_terminal() {
        follow(client.clone(), target.connection.clone(), lang);
    }
    match ask(client, target) {
        Ok(probed) => {
            let code = ExitCode::from(u8::from(!probed.diagnoses.is_empty()));
            match json {
                true => output::json(&probed),
                false => drop(output::text(&render(probed, lang, output::width()))),
            }
            code
        }
        Err(error) => output::failed(&error, json),
    }
}
fn ask(client: &Client, target: &Target) -> Result<Probed, ClientError> {
    let path = format!("{}/probe", target.connection_path());
    let mut probed: Probed = client.send(Order::post(&path).within(LONGEST)).and_then(Answer::json)?;
    why::retain(&mut probed.diagnoses, target);
    Ok(probed)
}
/// Shows what is being asked, until the process ends. Without events it is quiet, and nothing is lost.
fn follow(client: Client, connection: String, lang: Lang) {
    std::thread::spawn(move || {
        let Ok(mut events) = watch::open(&client, None, false) else { return };
        while let Ok(Some(event)) = events.next() {
            let told: serde_json::Value = serde_json::from_str(&event.data).unwrap_or_default();
            if event.event == "probe" && told["connection"].as_str() == Some(&connection) {
                let (exchange, asked) = told["why"].as_str().unwrap_or_default().split_once(' ').unwrap_or_default();
                eprintln!("{} {}", plain(exchange), question(exchange, asked, lang));
            }
        }
    });
}

/// What is wrong, and below it what was asked.
fn render(probed: Probed, lang: Lang, width: Option<usize>) -> String {
    let Probed { connection, state, diagnoses, probes } = probed;
    let mut text = why::render(&Why { connection, state, diagnoses }, lang, width);
    if probes.is_empty() {
        return text;
    }
    let columns = match lang {
        Lang::En => ["ASKED", "WHAT FOR", "OFFER", "ANSWER"],
        Lang::Zh => ["报文", "目的", "提议", "回复"],
    };
    let mut table = Table::new(&columns.map(|title| Column::new(title, 0)));
    for probe in &probes {
        let answer = probe.answer.as_deref().map_or_else(|| lang.say("(none)", "（无）").to_owned(), plain);
        table.push([
            plain(&probe.exchange),
            question(&probe.exchange, &probe.asked, lang).to_owned(),
            offer(probe, lang),
            answer,
        ]);
    }
    text += &format!("\n\n{}", table.render(width).trim_end());
    text
}
/// All that we can speak is not for people to read.
fn offer(probe: &Probe, lang: Lang) -> String {
    match probe.asked.as_str() {
        asked if asked == "widest" || asked.starts_with("only_") => {
            lang.say("all that we speak", "本端支持的全部算法").to_owned()
        }
        _ => plain(&probe.offer.join(", ")),
    }
}
fn question(exchange: &str, asked: &str, lang: Lang) -> &'static str {
    match (exchange, asked) {
        ("IKE_AUTH", "own") => lang.say("are we believed?", "对端是否接受本端身份"),
        (_, "own") => lang.say("does it take ours?", "对端是否接受本端配置"),
        (_, "widest") => lang.say("what does it take of all that we speak?", "在全部算法中对端选择什么"),
        (_, "only_encr") => lang.say("does it take our encryption?", "对端是否接受本端的加密算法"),
        (_, "only_integ") => lang.say("does it take our integrity?", "对端是否接受本端的认证（完整性）算法"),
        (_, "only_prf") => lang.say("does it take our PRF?", "对端是否接受本端的 PRF"),
        (_, "only_ke") => lang.say("does it take our group?", "对端是否接受本端的 DH 组"),
        (_, "only_esn") => lang.say("does it take our sequence numbers?", "对端是否接受本端的序列号方式"),
        (_, "unnamed") => lang.say("who is it, if we do not say whom we want?", "不指定对端标识时对端是谁"),
        (_, "natt") => lang.say("is the port for NAT traversal open?", "NAT 穿越端口是否畅通"),
        (_, "selectors") => lang.say("which networks does it have for us?", "对端配置了哪些网段"),
        (_, "main_mode") => lang.say("does it speak IKEv1?", "对端是否使用 IKEv1"),
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_stands_below_what_is_wrong() {
        let probe = |exchange: &str, asked: &str, offer: &str, answer: Option<&str>| serde_json::json!({ "time": "2026-11-21T10:00:00Z", "exchange": exchange, "asked": asked, "offer": [offer], "answer": answer });
        let document = serde_json::json!({ "connection": "office", "state": "failed", "diagnoses": [], "probes": [
            probe("IKE_SA_INIT", "own", "aes256-sha256-modp2048", Some("NO_PROPOSAL_CHOSEN")),
            probe("IKE_SA_INIT", "widest", "x-y-z", Some("aes128\u{1b}[2J")),
            probe("IKEv1", "main_mode", "", None),
        ] });
        let text = render(serde_json::from_value(document.clone()).unwrap(), Lang::En, None);
        for part in ["does it take ours?", "aes256-sha256-modp2048", "all that we speak", "aes128\\u{1b}[2J", "(none)"]
        {
            assert!(text.contains(part), "{part} is not in:\n{text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains("x-y-z"));
        assert!(render(serde_json::from_value(document).unwrap(), Lang::Zh, None).contains("对端是否使用 IKEv1"));
    }
}
