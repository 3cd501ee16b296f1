//! The configuration as the API sees it: what can be asked of the keeper, how, and what it answers.
//!
//! The keeper is a thread of its own: parsing, hashing and writing of documents happen neither on the API's thread nor on the engine's.
use super::problem::Problem;
use super::request::Reply;
use crate::config;
use crate::config::plan::{Action, Impact};
use crate::crypto::secret::Secret;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// An answer of the keeper.
pub type Answer<T> = Reply<Result<T, Problem>>;

/// Who asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// User, as the socket says; `None`: a signal.
    pub uid: Option<u32>,
    /// Process.
    pub pid: Option<i32>,
}

/// Where a configuration comes from.
#[derive(Debug)]
pub enum From {
    /// The files, as they are now, and what the API has put.
    Files,
    /// A whole document, JSON. There may be secrets in it.
    Document(Secret),
    /// A plan that was made before.
    Plan(String),
}

/// One question or order.
#[derive(Debug)]
pub enum Order {
    /// What is in force.
    Get(Answer<Shown>),
    /// What would change.
    Plan {
        /// To what.
        from: From,
        /// There may be secrets in it.
        admin: bool,
        /// Where it goes.
        reply: Answer<Plan>,
    },
    /// Change it.
    Apply {
        /// To what.
        from: From,
        /// How.
        terms: Terms,
        /// Where it goes.
        reply: Answer<Applied>,
    },
    /// What is in force stays.
    Confirm {
        /// Who.
        who: Who,
        /// Where it goes.
        reply: Answer<Applied>,
    },
    /// What was in force before comes back.
    Rollback {
        /// This one, else the one before.
        revision: Option<u64>,
        /// How.
        terms: Terms,
        /// Where it goes.
        reply: Answer<Applied>,
    },
    /// What there was.
    Revisions(Answer<Revisions>),
    /// One object, the others stay.
    PutObject {
        /// `connections.NAME` or `secrets.NAME`.
        object: Object,
        /// Its JSON.
        body: Secret,
        /// How.
        terms: Terms,
        /// Where it goes.
        reply: Answer<Applied>,
    },
    /// One object goes, the others stay.
    DeleteObject {
        /// Which.
        object: Object,
        /// How.
        terms: Terms,
        /// Where it goes.
        reply: Answer<Applied>,
    },
    /// Whether there is such a secret.
    HasSecret {
        /// Its name.
        name: String,
        /// Where it goes.
        reply: Answer<Exists>,
    },
    /// The files are read again, because of a signal.
    Reload,
}

/// An object of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Of which kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}
/// Kinds of objects that can be put one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Connection,
    Secret,
}
impl Kind {
    /// The table of the document.
    pub fn table(self) -> &'static str {
        match self {
            Self::Connection => "connections",
            Self::Secret => "secrets",
        }
    }
}

/// How something is changed.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Only if this is in force: an ETag.
    pub base: Option<String>,
    /// Undone after so many seconds unless it is confirmed.
    pub confirm: Option<u64>,
    /// Secrets may be sent and changed, too.
    pub admin: bool,
    /// Who.
    pub who: Who,
}

/// The document in force.
#[derive(Debug)]
pub struct Shown {
    /// JSON, its secrets are `"***"`.
    pub document: Vec<u8>,
    /// Of this very document.
    pub etag: String,
}

/// `POST /v1/config/plan`: what would change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Names this plan; to be applied for ten minutes, and only while what it was made from is in force.
    pub plan: String,
    /// ETag of what it was made from.
    pub base: String,
    /// ETag of what will be in force.
    pub etag: String,
    /// The greatest of its steps.
    pub impact: Impact,
    /// One for each object that changes.
    pub changes: Vec<Step>,
    /// What is allowed but unwise.
    pub warnings: Vec<Finding>,
}
/// What happens to one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Step {
    /// `gateway`, `connections.NAME`, `secrets.NAME`, `pools.NAME`.
    pub object: String,
    pub action: Action,
    /// Which of its keys.
    pub fields: Vec<String>,
    pub impact: Impact,
    /// A running daemon cannot do it.
    pub restart_needed: bool,
    /// The SAs that this touches.
    pub sas: Vec<TouchedSa>,
}
/// An SA that a step touches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct TouchedSa {
    pub connection: String,
    /// `null`: the IKE SA.
    pub child: Option<String>,
    /// The initiator's of an IKE SA, ours of a child.
    pub spi: String,
}
/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// The revision in force; `null` where there is no `state_dir` to keep one.
    pub revision: Option<u64>,
    /// Of the document in force.
    pub etag: String,
    /// Undone then unless it is confirmed, RFC 3339.
    pub confirm_until: Option<String>,
    /// What was changed, with the impact that was foreseen.
    pub changes: Vec<Step>,
    /// What is allowed but unwise, and what could not be done as asked.
    pub warnings: Vec<String>,
}
/// `GET /v1/config/revisions`, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Revisions {
    pub revisions: Vec<Revision>,
    /// The one in force is undone then unless it is confirmed, RFC 3339.
    pub confirm_until: Option<String>,
}
/// One revision. What it says of secrets are references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Revision {
    pub number: u64,
    /// RFC 3339.
    pub time: String,
    pub uid: Option<u32>,
    pub pid: Option<i32>,
    /// `start`, `apply`, `reload`, `rollback`.
    pub what: String,
    pub etag: String,
    pub in_force: bool,
    /// It was undone because nobody confirmed it.
    pub undone: bool,
    /// The revision that this one brought back.
    pub restores: Option<u64>,
}
/// That a secret exists, and no more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Exists {
    pub name: String,
    /// The file that it stands in; `null`: it was put by the API.
    pub file: Option<String>,
}

/// Faults of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct Findings(pub Vec<Finding>);
/// A fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub struct Finding {
    /// `error` or `warning`.
    pub severity: String,
    /// Where it stands; of what was put by the API the object.
    pub file: String,
    /// From 1; 0: all of it.
    pub line: usize,
    pub column: usize,
    /// Where in the document that was sent, a JSON pointer.
    pub pointer: Option<String>,
    pub code: String,
    pub message: String,
    pub hint: String,
}
impl std::convert::From<&config::Finding> for Finding {
    fn from(found: &config::Finding) -> Self {
        let severity = match found.severity {
            config::Severity::Error => "error",
            config::Severity::Warning => "warning",
        };
        Self {
            severity: severity.into(),
            file: found.file.display().to_string(),
            line: found.line,
            column: found.column,
            pointer: found.pointer.clone(),
            code: found.code.into(),
            message: found.message.clone(),
            hint: found.hint.clone(),
        }
    }
}

/// The end of the channel to the keeper.
#[derive(Clone)]
pub struct Keeper {
    orders: SyncSender<Order>,
    wake: Arc<dyn Fn() + Send + Sync>,
}
impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}
impl Keeper {
    /// Around the channel that the keeper reads.
    pub fn new(orders: SyncSender<Order>) -> Self {
        Self { orders, wake: Arc::new(|| ()) }
    }
    /// Around one that somebody else reads whenever `wake` is called.
    pub fn waking(orders: SyncSender<Order>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self { orders, wake }
    }
    /// Gives an order and waits for its answer.
    ///
    /// # Errors
    /// [`Problem::busy`] if too many wait or the keeper has ended; else what it says.
    pub async fn ask<T>(&self, make: impl FnOnce(Answer<T>) -> Order) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.orders.try_send(make(reply)).map_err(|_| Problem::busy())?;
        (self.wake)();
        answer.await.map_err(|_| Problem::busy())?
    }
    /// The files are to be read again; false if the keeper has too much to do.
    pub fn reload(&self) -> bool {
        self.orders.try_send(Order::Reload).is_ok()
    }
}
