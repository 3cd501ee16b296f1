//! Words for the facts of `ike::diagnose`: what a failure means, what to change where, and what vendors call it, in English and Chinese.
mod authentication;
mod carried;
mod known;
mod labels;
mod negotiation;
mod network;
mod suites;
mod table;

pub use labels::label;

use crate::config::{ChildConfig, ConnectionConfig};
use crate::ike::diagnose::{CODES, Certainty, Failure, Values};
use crate::ike::policy::{AuthKind, Connection, Remote, SharedSecret};
use crate::wire::payload::is_hostile;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use table::{Advice, Entry, Words};
use utoipa::ToSchema;

/// As many things to do are told of one failure.
const MOST_FIXES: usize = 12;

/// A text in two languages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Text {
    /// English.
    pub en: String,
    /// Simplified Chinese.
    pub zh: String,
}
/// Who has to change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Side {
    Us,
    Peer,
}
/// One value of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = FixSetting)]
pub struct Setting {
    /// A JSON pointer into the configuration document.
    pub path: String,
    /// What to put there.
    #[schema(value_type = Object)]
    pub set: Value,
}
/// One way to mend it. Ways stand beside each other: one of them is enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fix {
    /// Who has to do it.
    pub side: Side,
    /// Of ours, a JSON pointer into the configuration document; of the peer's, `proposals`, `esp_proposals`, `local_id`, `remote_id`, `local_ts`,
    /// `remote_ts`, `secret`, `version` or `auth` as its administrator sees them. `null` where it is nothing that is configured.
    pub path: Option<String>,
    /// The value to put there; `null` where it is not known. Never a secret.
    #[schema(value_type = Option<Object>)]
    pub set: Option<Value>,
    /// What has to be set with it.
    #[serde(default)]
    pub also: Vec<Setting>,
    /// A command for a shell of that host.
    pub command: Option<String>,
    /// In words.
    pub text: Text,
}
/// What vendors call it; `(nearest)` stands behind the name that comes nearest, where they have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Names {
    /// `FailedReasonCode` of Alibaba Cloud's API.
    pub aliyun: String,
    /// In the logs of Tencent Cloud's and AWS' VPN gateways.
    pub tencent: String,
}
/// All that is said about a failure.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Remedy {
    pub explain: Text,
    /// The best first.
    pub fix: Vec<Fix>,
    pub names: Names,
}
/// What is said about a code whatever the connection is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Code {
    pub code: String,
    pub explain: Text,
    pub fix: Vec<Fix>,
    pub names: Names,
}

/// What is known of the configuration. What is not known is not offered as a value, if it could be wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Of which only names and owners are looked at.
    pub secrets: &'a [SharedSecret],
    /// The one that has failed.
    pub connection: Option<&'a ConnectionConfig>,
    /// What IKE is told of it.
    pub policy: Option<&'a Connection>,
}
impl<'a> Known<'a> {
    fn child(&self, name: &str) -> Option<&'a ChildConfig> {
        self.connection?.children.iter().find(|child| *child.name == *name)
    }
    /// It is for more peers than the one that has failed.
    fn has_many_peers(&self) -> bool {
        self.policy.is_some_and(|policy| policy.remote_addrs.contains(&Remote::Any))
    }
    /// Our identity is that of a certificate.
    fn signs(&self) -> bool {
        self.policy.is_some_and(|policy| policy.local_auth == AuthKind::PublicKey)
    }
    /// Where a profile demands another shape of children, this one is refused.
    fn may_be_per_pair(&self) -> bool {
        self.connection.is_some_and(|connection| {
            let profile = connection.profile.as_deref().and_then(super::profiles::find);
            profile.is_none_or(|profile| profile.limits.iter().all(|limit| limit.key != "children.*.ts_mode"))
        })
    }
}

/// Explanation, fixes and names of a failure. Values of the peer are escaped, and not endless.
pub fn explain(failure: &Failure, known: Known<'_>) -> Remedy {
    let place = Place::of(failure, known);
    let entry = table::find(failure.code);
    let mut explain = match entry {
        Some(entry) => place.text(entry.text),
        None => place.text(["It failed with the code {code}.", "失败，代码为 {code}。"]),
    };
    tell(&mut explain, failure);
    let mut fix = known::fixes(failure.code, failure, &place);
    let likely = failure.candidates.iter().filter(|_| failure.certainty == Certainty::Likely);
    for code in likely.clone().filter(|code| **code != failure.code) {
        fix.extend(known::fixes(code, failure, &place));
    }
    for code in std::iter::once(&failure.code).chain(likely) {
        let advice = table::find(code).map_or(UNKNOWN, |entry| entry.advice);
        fix.extend(advice.iter().map(|advice| place.advice(advice)));
    }
    let names = entry.map_or_else(Names::default, names);
    Remedy { explain, fix: without_repeats(fix), names }
}
/// Every code, in the order of [`CODES`].
pub fn codes() -> Vec<Code> {
    CODES.iter().filter_map(|code| about(code)).collect()
}
/// What is said about one code.
pub fn about(code: &str) -> Option<Code> {
    let entry = table::find(code)?;
    let place = Place { code: entry.code.into(), ..Place::default() };
    let fix = entry.advice.iter().map(|advice| place.advice(advice)).collect();
    Some(Code { code: code.into(), explain: place.text(entry.text), fix, names: names(entry) })
}

/// A code that has no words yet still leads somewhere.
const UNKNOWN: &[Advice] = &[table::us(
    "{connection}",
    [
        "Compare {connection} with the peer's configuration, and look at the logs of both ends.",
        "将 {connection} 与对端配置逐项核对，并查看两端的日志。",
    ],
)];

fn names(entry: &Entry) -> Names {
    let [aliyun, tencent] = entry.names.map(table::Name::shown);
    Names { aliyun, tencent }
}
/// The same thing to do is told once; what only says where stands behind what says what.
fn without_repeats(fixes: Vec<Fix>) -> Vec<Fix> {
    let mut kept: Vec<Fix> = Vec::new();
    for fix in fixes.into_iter().take(4 * MOST_FIXES) {
        let same = |known: &&Fix| known.side == fix.side && known.path == fix.path && known.command == fix.command;
        let is_told = |known: &Fix| match &fix.path {
            Some(_) => fix.set.is_none() || known.set == fix.set,
            None => known.text == fix.text,
        };
        if !kept.iter().filter(same).any(is_told) {
            kept.push(fix);
        }
    }
    kept.truncate(MOST_FIXES);
    kept
}

/// Where in the configuration the failure is to be mended.
#[derive(Debug, Default)]
struct Place<'a> {
    known: Known<'a>,
    code: String,
    connection: Option<String>,
    child: Option<String>,
    /// The child of the document that it was made of; `None`: it cannot be told.
    written: Option<String>,
    peer: Option<std::net::SocketAddr>,
    /// The first of the peer's networks.
    inside: Option<String>,
    /// It is about ESP.
    esp: bool,
}
impl<'a> Place<'a> {
    fn of(failure: &Failure, known: Known<'a>) -> Self {
        let told = |what| !failure.local.get(what).is_empty() || !failure.peer.get(what).is_empty();
        let networks = [failure.local.get("remote_ts"), failure.peer.get("remote_ts")];
        let network = networks.into_iter().flatten().next();
        Self {
            code: failure.code.into(),
            connection: failure.connection.as_deref().map(str::to_owned),
            child: failure.child.as_deref().map(str::to_owned),
            written: failure.child.as_deref().and_then(|child| written(child, known)),
            known,
            peer: failure.remote,
            inside: network.and_then(|net| net.split(['/', '-', '[']).next()).map(escaped),
            esp: told("esp_proposals") || (failure.child.is_some() && !told("proposals")),
        }
    }
    /// Words with what they are about.
    fn text(&self, [en, zh]: Words) -> Text {
        Text { en: self.fill(en, "the peer"), zh: self.fill(zh, "对端") }
    }
    fn fill(&self, text: &str, peer: &str) -> String {
        if !text.contains('{') {
            return text.to_owned();
        }
        let name = self.connection.as_deref().unwrap_or("NAME");
        let connection = format!("connections.{name}");
        let child = self.written.as_ref().or(self.child.as_ref()).map_or("CHILD", String::as_str);
        let child = format!("{connection}.children.{child}");
        let target = self.child.as_ref().map_or_else(|| name.to_owned(), |child| format!("{name}/{child}"));
        let end = self.peer.map_or_else(|| peer.to_owned(), |end| end.to_string());
        let address = self.peer.map_or_else(|| "ADDRESS".to_owned(), |end| end.ip().to_string());
        text.replace("{code}", &self.code)
            .replace("{peer}", &end)
            .replace("{address}", &address)
            .replace("{inside}", self.inside.as_deref().unwrap_or("ADDRESS"))
            .replace("{child}", &child)
            .replace("{connection}", &connection)
            .replace("{target}", &target)
            .replace("{name}", name)
    }
    /// A JSON pointer, if what it leads through is known.
    fn pointer(&self, path: &str) -> Option<String> {
        let (top, rest) = match path.split_once('/') {
            Some((top, rest)) => (top, format!("/{rest}")),
            None => (path, String::new()),
        };
        let step = |name: &str| name.replace('~', "~0").replace('/', "~1");
        match top {
            "{connection}" => Some(format!("/connections/{}{rest}", step(self.connection.as_deref()?))),
            "{child}" => {
                let (connection, child) = (step(self.connection.as_deref()?), step(self.written.as_deref()?));
                Some(format!("/connections/{connection}/children/{child}{rest}"))
            }
            "{suites}" if self.esp => self.pointer("{child}/esp_proposals"),
            "{suites}" => self.pointer("{connection}/proposals"),
            _ => Some(path.to_owned()).filter(|path| !path.is_empty()),
        }
    }
    fn advice(&self, advice: &Advice) -> Fix {
        let suites = if self.esp { "esp_proposals" } else { "proposals" };
        let path = match advice.side {
            Side::Us => self.pointer(advice.path),
            Side::Peer if advice.path == "{suites}" => Some(suites.to_owned()),
            Side::Peer => Some(advice.path.to_owned()).filter(|path| !path.is_empty()),
        };
        Fix {
            side: advice.side,
            path,
            set: serde_json::from_str(advice.set).ok().filter(|_| self.may_be_set(advice)),
            also: Vec::new(),
            command: Some(self.fill(advice.command, "PEER")).filter(|command| !command.is_empty()),
            text: self.text(advice.text),
        }
    }
    fn may_be_set(&self, advice: &Advice) -> bool {
        advice.side == Side::Peer || advice.path != "{child}/ts_mode" || self.known.may_be_per_pair()
    }
    /// A value for ours.
    fn us(&self, path: &str, set: impl Into<Value>, text: Text) -> Option<Fix> {
        let path = Some(self.pointer(path)?);
        Some(Fix { side: Side::Us, path, set: Some(set.into()), also: Vec::new(), command: None, text })
    }
    /// Ours, whose value is for people to find.
    fn unset(&self, path: &str, text: Text) -> Option<Fix> {
        let path = Some(self.pointer(path)?);
        Some(Fix { side: Side::Us, path, set: None, also: Vec::new(), command: None, text })
    }
    /// The child's networks on the wire are those that its configuration has: none of several pairs, and not translated.
    fn has_own_networks(&self) -> bool {
        let child = self.child.as_deref().and_then(|name| self.known.child(name));
        child.is_none_or(|child| child.written == child.name && child.translation.is_none())
    }
    /// A value for the peer's.
    fn peer(&self, path: &str, set: impl Into<Value>, text: Text) -> Fix {
        let path = Some(path.to_owned());
        Fix { side: Side::Peer, path, set: Some(set.into()), also: Vec::new(), command: None, text }
    }
}

/// What the document calls a child. Without the configuration, `lan-1` may be one of those that `ts_mode = "per_pair"` made of `lan`.
fn written(child: &str, known: Known<'_>) -> Option<String> {
    if known.connection.is_some() {
        return known.child(child).map(|config| config.written.to_string());
    }
    let is_number = |end: &str| !end.is_empty() && end.bytes().all(|c| c.is_ascii_digit());
    let may_be_made = child.rsplit_once('-').is_some_and(|(_, end)| is_number(end));
    (!may_be_made).then(|| child.to_owned())
}

/// Behind what it means, what was seen.
fn tell(text: &mut Text, failure: &Failure) {
    let (ours, theirs) = (told(&failure.local), told(&failure.peer));
    if !ours.en.is_empty() {
        text.en += &format!(" Ours: {}.", ours.en);
        text.zh += &format!("本端：{}。", ours.zh);
    }
    if !theirs.en.is_empty() {
        text.en += &format!(" The peer's: {}.", theirs.en);
        text.zh += &format!("对端：{}。", theirs.zh);
    }
    if !failure.differing.is_empty() {
        let labels: Vec<Text> = failure.differing.iter().map(|what| label(what)).collect();
        text.en += &format!(" They differ in: {}.", join(labels.iter().map(|label| &label.en), ", "));
        text.zh += &format!("不一致之处：{}。", join(labels.iter().map(|label| &label.zh), "、"));
    }
    if let Some(notify) = &failure.notify {
        text.en += &format!(" The peer said {}.", escaped(notify));
        text.zh += &format!("对端的回复：{}。", escaped(notify));
    }
    if failure.certainty == Certainty::Likely {
        text.en += " This is likely, not proven.";
        text.zh += "这是推测，尚未证实。";
        if !failure.candidates.is_empty() {
            text.en += &format!(" It may be any of: {}.", failure.candidates.join(", "));
            text.zh += &format!("可能的原因：{}。", failure.candidates.join("、"));
        }
    }
}
fn join<'a>(texts: impl Iterator<Item = &'a String>, between: &str) -> String {
    texts.map(String::as_str).collect::<Vec<_>>().join(between)
}
/// What one side has told, each under what it is.
fn told(values: &Values) -> Text {
    let texts: Vec<_> = values.iter().map(|(what, values)| (label(what), list(values))).collect();
    let en: Vec<String> = texts.iter().map(|(label, list)| format!("{} {}", label.en, list.en)).collect();
    let zh: Vec<String> = texts.iter().map(|(label, list)| format!("{} {}", label.zh, list.zh)).collect();
    Text { en: en.join("; "), zh: zh.join("；") }
}
/// A few values, so that a peer cannot fill a screen.
fn list(values: &[String]) -> Text {
    const MOST: usize = 8;
    let shown: Vec<String> = values.iter().take(MOST).map(|value| escaped(value)).collect();
    let (mut en, mut zh) = (shown.join(", "), shown.join("、"));
    if values.len() > MOST {
        en += &format!(", and {} more", values.len() - MOST);
        zh += &format!("等共 {} 个", values.len());
    }
    Text { en, zh }
}

/// Without control characters, and not endless.
pub fn escaped(text: &str) -> String {
    const LONGEST: usize = 300;
    text.chars()
        .take(LONGEST)
        .flat_map(|c| if is_hostile(c) { c.escape_default().collect::<Vec<char>>() } else { vec![c] })
        .collect()
}

#[cfg(test)]
mod tests;
