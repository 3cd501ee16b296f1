//! The vendors' profiles as JSON, for the API and the client alike: the daemon has nothing to add to them.
use super::resources::{Method, Operation, Role, json};
use crate::config::profiles::{self, Given};
use axum::Json;
use axum::routing::on;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is served here.
pub const OPERATIONS: &[Operation] = &[Operation::new(
    (Method::Get, "/v1/profiles"),
    Role::Observe,
    "The vendors' presets: what each stands for, why, and what the vendor cannot do",
    |verb| on(verb, all),
)
.answers(json::<Profiles>())];

/// `GET /v1/profiles`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Profiles {
    pub profiles: Vec<Profile>,
}
/// One kind of gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Profile {
    /// As `profile` of a connection.
    pub name: String,
    pub title: Words,
    /// `initiator`: we call it; `either`: whoever is first.
    pub role: String,
    /// It knows us by an address, which behind a NAT is the public one: `local.id`.
    pub needs_id: bool,
    /// The keys that a connection has unless it gives them.
    pub settings: Vec<Setting>,
    /// What it cannot do.
    pub limits: Vec<Limit>,
    pub traps: Vec<Words>,
    /// What is set at its side, where that is not its default.
    pub theirs: Vec<Theirs>,
}
/// In both languages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Words {
    pub en: String,
    pub zh: String,
}
/// A key with its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Setting {
    /// `children.*.esp_proposals` is one of each child.
    #[schema(example = "children.*.esp_proposals")]
    pub key: String,
    /// As the configuration has it.
    #[schema(value_type = Value)]
    pub value: serde_json::Value,
    pub why: String,
    /// The document that says so.
    pub source: String,
    /// It was read there.
    pub checked: bool,
}
/// What a key may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Limit {
    /// As above; `children` is their number, `secret` the pre-shared key.
    pub key: String,
    /// In a few words.
    pub may: String,
    pub why: String,
    pub source: String,
    pub checked: bool,
}
/// What is set at its side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Theirs {
    /// As it is called there.
    pub what: String,
    pub set: String,
    pub why: String,
}

impl From<profiles::Text> for Words {
    fn from(text: profiles::Text) -> Self {
        Self { en: text.en.into(), zh: text.zh.into() }
    }
}
impl From<&profiles::Profile> for Profile {
    fn from(profile: &profiles::Profile) -> Self {
        let setting = |s: &profiles::Setting| Setting {
            key: s.key.into(),
            value: match s.value {
                Given::Word(word) => word.into(),
                Given::Words(words) => words.into(),
                Given::Number(number) => number.into(),
                Given::Bool(bool) => bool.into(),
            },
            why: s.why.into(),
            source: s.source.into(),
            checked: s.checked,
        };
        let limit = |l: &profiles::Limit| Limit {
            key: l.key.into(),
            may: l.may.to_string(),
            why: l.why.into(),
            source: l.source.into(),
            checked: l.checked,
        };
        let theirs = |t: &profiles::Theirs| Theirs { what: t.what.into(), set: t.set.into(), why: t.why.into() };
        Self {
            name: profile.name.into(),
            title: profile.title.into(),
            role: profile.role.name().into(),
            needs_id: profile.needs_id,
            settings: profile.settings.iter().map(setting).collect(),
            limits: profile.limits.iter().map(limit).collect(),
            traps: profile.traps.iter().copied().map(Words::from).collect(),
            theirs: profile.theirs.iter().map(theirs).collect(),
        }
    }
}
impl Profiles {
    /// All that there are.
    pub fn all() -> Self {
        Self { profiles: profiles::ALL.iter().map(|profile| Profile::from(*profile)).collect() }
    }
}

async fn all() -> Json<Profiles> {
    Json(Profiles::all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_told_with_all_that_it_stands_for() {
        let all = serde_json::to_value(Profiles::all()).unwrap();
        let aliyun = &all["profiles"][0];
        assert_eq!((&aliyun["name"], &aliyun["role"]), (&"aliyun".into(), &"initiator".into()));
        let value = |key: &str| {
            let settings = aliyun["settings"].as_array().unwrap();
            settings.iter().find(|setting| setting["key"] == key).unwrap()["value"].clone()
        };
        assert_eq!(value("proposals"), serde_json::json!(["aes256-sha256-modp2048"]));
        assert_eq!(value("children.*.mtu"), serde_json::json!(1360));
        assert_eq!(value("mobike"), serde_json::json!(false));
        assert_eq!(value("rekey"), serde_json::json!("both"));
        let count = |key: &str| aliyun[key].as_array().map_or(0, Vec::len);
        assert!(count("limits") > 5 && count("traps") > 3 && count("theirs") > 5);
        assert_eq!(all["profiles"].as_array().unwrap().len(), profiles::ALL.len());
    }
}
