//! Answers and problems.
use super::{Keeper, Made, deadline};
use crate::config::document::{Key, REDACTED};
use crate::config::plan;
use crate::config::{self, Errors};
use crate::control::config::{Finding, Findings, Plan, Revision, Revisions, Step, TouchedSa};
use crate::control::problem::Problem;
use crate::control::types::Status;
use crate::daemon::store::Error;
use axum::http::StatusCode;
use jiff::Timestamp;
use std::io::ErrorKind;

/// Findings that are listed.
const LISTED: usize = 1000;

/// A configuration that is not valid.
pub(super) fn refused(errors: &Errors) -> Problem {
    let all = |code: &str| errors.0.iter().all(|finding| finding.code == code);
    let syntax = errors.0.iter().any(|finding| finding.code.starts_with("json."));
    let first = errors.0.first().map_or("", |finding| finding.message.as_str());
    let detail = match errors.0.len() {
        0 | 1 => format!("nothing was changed: {first}"),
        n => format!("nothing was changed: {first}, and {} more", n - 1),
    };
    let mut problem = if all("owner.file") {
        Problem::new(StatusCode::CONFLICT, "owner.file", "It belongs to a file", detail)
    } else if syntax {
        Problem::new(StatusCode::BAD_REQUEST, "body.invalid", "Invalid body", detail)
    } else {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "config.invalid", "Invalid configuration", detail)
    };
    problem.findings = Some(Box::new(Findings(errors.0.iter().take(LISTED).map(Finding::from).collect())));
    problem
}

/// Something waits to be confirmed.
pub(super) fn pending(until: &str) -> Problem {
    let detail = format!(
        "what is in force is undone at {until} unless it is confirmed: `sandhog confirm` keeps it, `sandhog rollback` undoes it now; until then nothing else is changed"
    );
    Problem::new(StatusCode::CONFLICT, "config.pending", "Waiting to be confirmed", detail)
}

/// Nothing does.
pub(super) fn nothing_pending() -> Problem {
    let detail = "nothing waits to be confirmed: it was confirmed, or undone because the time was over";
    Problem::new(StatusCode::CONFLICT, "config.not_pending", "Nothing to confirm", detail)
}

/// Somebody else was faster.
pub(super) fn moved(what: &str) -> Problem {
    let detail = format!("{what}; nothing was changed: read it, or plan, again");
    Problem::new(StatusCode::PRECONDITION_FAILED, "config.moved", "It has changed meanwhile", detail)
}

/// It was never made, is too old, or something else came into force.
pub(super) fn unknown_plan(id: &str) -> Problem {
    let detail =
        format!("there is no plan {id:?} any more: plans can be applied for ten minutes, and only once; plan again");
    Problem::new(StatusCode::PRECONDITION_FAILED, "plan.unknown", "Unknown plan", detail)
}

/// Operators change everything but secrets.
pub(super) fn not_your_secrets() -> Problem {
    let detail =
        "this adds, removes or changes a secret, or whose it is, which needs the role admin; nothing was changed";
    Problem::new(StatusCode::FORBIDDEN, "access.role", "Not allowed", detail)
}

/// Nor do they send any: whether it is the one in force they are not to learn.
pub(super) fn no_secrets_of_yours(pointer: &str) -> Problem {
    let detail = format!(
        "there is a secret at {pointer:?}, and only admins send secrets: it was not looked at, and nothing was changed; put {REDACTED:?} in its \
         place, which leaves the one in force as it is, or have an admin send it"
    );
    Problem::new(StatusCode::FORBIDDEN, "access.secret", "Not allowed", detail)
}

/// A running daemon cannot do it.
pub(super) fn needs_restart(keys: &[String]) -> Problem {
    let detail = format!("a running daemon cannot change {}: write it into the file and restart", keys.join(", "));
    Problem::new(StatusCode::CONFLICT, "config.restart_needed", "Needs a restart", detail)
}

/// The engine does not take it.
pub(super) fn not_adopted(why: &str) -> Problem {
    let detail = format!("it could not be put into force, and what was in force is so still: {why}");
    Problem::new(StatusCode::CONFLICT, "config.refused", "Not put into force", detail)
}

/// The disk does not take it.
pub(super) fn not_kept(error: &Error) -> Problem {
    let full = matches!(error, Error::Io { error, .. } if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded));
    let (status, code) = match error {
        Error::Large { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "config.large"),
        _ if full => (StatusCode::INSUFFICIENT_STORAGE, "store.full"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "store.failed"),
    };
    Problem::new(status, code, "Not kept", format!("nothing was changed, because no revision could be kept: {error}"))
}

/// There is no place for revisions.
pub(super) fn storeless(why: &str) -> Problem {
    let detail = format!("nothing was changed, because no revisions are kept: {why}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "store.unavailable", "No revisions", detail)
}

/// No such revision.
pub(super) fn unknown_revision(number: u64) -> Problem {
    let detail = format!("there is no revision {number}; `sandhog revisions` lists those that there are");
    Problem::new(StatusCode::NOT_FOUND, "revision.unknown", "Unknown revision", detail)
}

/// Nothing to go back to.
pub(super) fn no_revision() -> Problem {
    let detail = "there is no earlier revision to go back to";
    Problem::new(StatusCode::CONFLICT, "revision.none", "No earlier revision", detail)
}

/// It is there and cannot be used.
pub(super) fn not_restorable(number: u64, why: &str) -> Problem {
    let detail = format!("revision {number} cannot be brought back, and nothing was changed: {why}");
    Problem::new(StatusCode::CONFLICT, "revision.unusable", "Unusable revision", detail)
}

/// No such secret.
pub(super) fn no_secret(name: &str) -> Problem {
    let detail = format!("there is no secret {name:?}");
    Problem::new(StatusCode::NOT_FOUND, "secret.unknown", "Unknown secret", detail)
}

/// No such object of the API.
pub(super) fn no_object(key: &Key) -> Problem {
    let detail = format!("there is no {:?}", key.to_string());
    Problem::new(StatusCode::NOT_FOUND, "object.unknown", "Unknown object", detail)
}

/// A finding in one line.
pub(super) fn warning(finding: &config::Finding) -> String {
    match &finding.pointer {
        Some(pointer) => format!("{pointer}: {}: {}", finding.code, finding.message),
        None => format!("{}:{}: {}: {}", finding.file.display(), finding.line, finding.code, finding.message),
    }
}

/// A plan as the API has it.
pub(super) fn plan(made: &Made, status: Option<&Status>) -> Plan {
    Plan {
        plan: made.id.clone(),
        base: made.base.clone(),
        etag: made.to.etag.clone(),
        impact: made.plan.impact(),
        changes: steps(&made.plan, status),
        warnings: made.to.config.warnings.iter().take(LISTED).map(Finding::from).collect(),
    }
}

/// The steps with the SAs that they touch.
pub(super) fn steps(plan: &plan::Plan, status: Option<&Status>) -> Vec<Step> {
    let step = |step: &plan::Step| Step {
        object: step.object.clone(),
        action: step.action,
        fields: step.fields.clone(),
        impact: step.impact,
        restart_needed: step.restart_needed,
        sas: status.map(|status| touched(step, status)).unwrap_or_default(),
    };
    plan.changes.iter().map(step).collect()
}

fn touched(step: &plan::Step, status: &Status) -> Vec<TouchedSa> {
    let Some(name) = step.connection.as_deref().filter(|_| step.impact > plan::Impact::Live) else { return Vec::new() };
    let Some(connection) = status.connections.iter().find(|connection| connection.name == name) else {
        return Vec::new();
    };
    let sa = |child: Option<&str>, spi: &str| TouchedSa {
        connection: name.to_owned(),
        child: child.map(str::to_owned),
        spi: spi.to_owned(),
    };
    let whole = step.children.is_empty();
    let ike = connection.sas.iter().filter(|_| whole).map(|found| sa(None, &found.ike.spi_i));
    let peers = connection.peers.iter().flat_map(|peer| &peer.children);
    let children = (connection.children.iter().chain(peers))
        .filter(|child| whole || step.children.iter().any(|named| **named == *child.name))
        .flat_map(|child| child.sas.iter().map(|found| sa(Some(&child.name), &found.spi_in)));
    ike.chain(children).collect()
}

impl Keeper {
    /// What there was, the newest first.
    pub(super) fn revisions(&self) -> Revisions {
        let in_force = self.store.as_ref().and_then(|store| store.current()).map(|meta| meta.number);
        let now = (self.now)();
        let time = |unix: u64| {
            let time = i64::try_from(unix).ok().and_then(|unix| Timestamp::from_second(unix).ok());
            time.unwrap_or_default().to_string()
        };
        let revisions = self.store.iter().flat_map(|store| store.revisions()).map(|(meta, undone)| Revision {
            number: meta.number,
            time: time(meta.time),
            uid: meta.who.uid,
            pid: meta.who.pid,
            what: meta.what.clone(),
            etag: meta.digest.clone(),
            in_force: Some(meta.number) == in_force,
            undone,
            restores: meta.restores,
        });
        let confirm_until = self.pending().map(|pending| deadline::shown(pending, &now));
        Revisions { revisions: revisions.collect(), confirm_until }
    }
}
