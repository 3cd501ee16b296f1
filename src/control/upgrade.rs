//! `/v1/upgrade`: the daemon is replaced by the installed executable (README, "Upgrading").
use super::problem::Problem;
use super::request::Request;
use super::resources::{Method, Operation, Role, json};
use super::routes::Api;
use axum::Json;
use axum::extract::State as Given;
use axum::http::StatusCode;
use axum::routing::on;
use serde::{Deserialize, Serialize};

/// What is served here.
pub const OPERATIONS: &[Operation] = &[
    Operation::new(
        (Method::Post, "/v1/upgrade"),
        Role::Admin,
        "Replace the daemon by the installed executable; GET tells what comes of it, in the end from the new daemon",
        |verb| on(verb, begin),
    )
    .answers(json::<Upgrade>())
    .fails(&[(409, "The executable is refused, there is nobody to start it, or an upgrade is under way")]),
    Operation::new((Method::Get, "/v1/upgrade"), Role::Observe, "The last upgrade, or the one under way", |verb| {
        on(verb, show)
    })
    .answers(json::<Upgrade>()),
];

/// Where an upgrade is. The daemon that answers after one is the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = UpgradeState)]
pub enum State {
    /// There was none since this daemon began.
    None,
    /// An executable is looked for.
    Asked,
    /// The new daemon is starting.
    Preparing,
    /// The new daemon reads what this one has.
    Reading,
    /// This daemon has taken over from another.
    Done,
    /// It failed, and nothing was changed.
    Failed,
    /// It failed when the old daemon had gone: the keys are forgotten, and everything is negotiated anew.
    Lost,
}

/// A daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Program {
    /// Of the executable.
    pub version: String,
    /// Its process.
    pub pid: u32,
}

/// The last upgrade, or the one under way, as the daemon that answers knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Upgrade {
    /// Where it is.
    pub state: State,
    /// Who answers.
    pub daemon: Program,
    /// Who has handed over to it.
    pub from: Option<Program>,
    /// So long no packet passed, milliseconds.
    pub pause_ms: Option<u64>,
    /// What was handed over: IKE SAs and pairs of ESP SAs.
    pub ike_sas: u64,
    /// The latter.
    pub child_sas: u64,
    /// Why it failed, and what to do.
    pub error: Option<String>,
}
impl Upgrade {
    /// None yet.
    pub fn of(version: &str, pid: u32) -> Self {
        Self {
            state: State::None,
            daemon: Program { version: version.into(), pid },
            from: None,
            pause_ms: None,
            ike_sas: 0,
            child_sas: 0,
            error: None,
        }
    }
}

/// Why there is no upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody can start another daemon.
    Alone,
    /// There is one already.
    UnderWay,
    /// The daemon is stopping.
    Stopping,
    /// The executable is not one that may be started.
    Executable(String),
    /// It was begun, and something else came first.
    Overtaken(String),
}
impl Refusal {
    fn problem(self) -> Problem {
        let conflict = |code, title, detail: String| Problem::new(StatusCode::CONFLICT, code, title, detail);
        match self {
            Self::Alone => conflict(
                "upgrade.alone",
                "It cannot be replaced",
                "this daemon was not started by `sandhogd`, so nobody can start its successor: restart it".into(),
            ),
            Self::UnderWay => conflict(
                "upgrade.under_way",
                "Under way",
                "an upgrade is under way already: GET /v1/upgrade tells where it is".into(),
            ),
            Self::Stopping => Problem::busy(),
            Self::Overtaken(sentence) => {
                conflict("upgrade.overtaken", "Something else came first", format!("no upgrade: {sentence}"))
            }
            Self::Executable(sentence) => {
                conflict("upgrade.executable", "The executable is refused", format!("nothing was changed: {sentence}"))
            }
        }
    }
}

/// Begins one. What comes of it GET tells, in the end that of the new daemon: this one has no time for an answer then.
async fn begin(Given(api): Given<Api>) -> Result<Json<Upgrade>, Problem> {
    let begun = api.engine.ask(Request::Upgrade).await?;
    begun.map(|upgrade| Json(*upgrade)).map_err(Refusal::problem)
}

/// Where it is.
async fn show(Given(api): Given<Api>) -> Result<Json<Upgrade>, Problem> {
    api.engine.ask(Request::LastUpgrade).await.map(|upgrade| Json(*upgrade))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        for (refusal, code, hint) in [
            (Refusal::Alone, "upgrade.alone", "restart it"),
            (Refusal::UnderWay, "upgrade.under_way", "GET /v1/upgrade"),
            (Refusal::Stopping, "daemon.busy", "try again"),
            (Refusal::Overtaken("upgrade again".into()), "upgrade.overtaken", "upgrade again"),
            (Refusal::Executable("/x: `chmod go-w` it".into()), "upgrade.executable", "chmod"),
        ] {
            let problem = refusal.problem();
            assert!(problem.code == code && problem.detail.contains(hint), "{problem:?}");
        }
    }

    #[test]
    fn all_keys_are_there() {
        let value = serde_json::to_value(Upgrade::of("1.2.3", 7)).unwrap();
        assert_eq!(value["state"], "none");
        assert!(["from", "pause_ms", "error"].iter().all(|key| value.get(key).is_some_and(serde_json::Value::is_null)));
    }
}
