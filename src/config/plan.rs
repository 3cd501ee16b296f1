//! What an application of a configuration would change, and what that does to traffic.
//!
//! [`plan`] compares two documents and what they mean. Each object that differs is a [`Step`]: the gateway, each connection (its own keys), each child of a
//! connection that stays (`connections.NAME.children.CHILD`), each secret, each pool. A connection that comes or goes is one step with all of its children. Two
//! spellings of one meaning are a step with the impact `none`.
//!
//! **What an impact means, to whoever watches.** It is about the object of the step, and about no other object.
//!
//! | impact | what is seen |
//! | --- | --- |
//! | `none` | nothing at all: the object is new, or means what it meant |
//! | `live` | the new value is in force, or counts from the next rekey, authentication or start on; no SA changes an SPI (of those that stand beside a child for one worker each, some may come or go), no packet is lost |
//! | `rekey_child` | the child's SPIs change, by CREATE_CHILD_SA, make before break; no packet is lost; the IKE SA keeps its SPIs |
//! | `restart_child` | another child is made within the same IKE SA, not as a rekey, and the one before goes: what both of them would carry is carried if the peer agrees; what has another name from now on waits or is lost for a moment |
//! | `restart_ike` | another IKE SA is made from scratch, with all children of the connection, and the one before goes |
//! | `interrupts_traffic` | something is gone, or down until somebody else acts: the object itself, its device, an IKE SA that only the peer can make anew |
//!
//! **Where it depends on what is up**, [`Standing`] is asked: an IKE SA whose suite, addresses and identities are still allowed stays. A connection or child
//! without an SA has nothing to lose, so its impact is `live` at most. Where nothing is known of what is up, the impact is the upper bound.
//!
//! **What is observed is what was predicted.** `ike::adopt` decides by what is up whether the protocol demands more than taking a value on; the rows follow the same
//! rules. What it does not see, as the replay window of an SA or a translation, the engine does as the steps say ([`Step::connection`], [`Step::children`]). What a
//! peer does about it is the peer's.
//!
//! **The table** ([`table`]) has a row for each key that there is, with its bound and the reason; a test fails when a key has none.
pub mod table;

use super::document::{Desired, Key, Kind, Object, Value};
use super::{Config, ConnectionConfig, Mode};
use crate::ike::policy::{ChildPolicy, Connection, Credentials, Remote};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use utoipa::ToSchema;

/// What a change does to the traffic of its object, mildest first. The names are those of the JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the module says what each means")]
pub enum Impact {
    #[default]
    None,
    Live,
    RekeyChild,
    RestartChild,
    RestartIke,
    InterruptsTraffic,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Action {
    Add,
    Change,
    Remove,
}

/// One object that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// `gateway`, `connections.NAME`, `connections.NAME.children.CHILD`, `secrets.NAME`, `pools.NAME`, or `connections` where only their order differs.
    pub object: String,
    /// What becomes of it.
    pub action: Action,
    /// Its keys that differ, `local.id` and the like; none where all of it comes or goes.
    pub fields: Vec<String>,
    /// What that does to its traffic.
    pub impact: Impact,
    /// A running daemon cannot change this.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restart_needed: bool,
    /// The connection that the impact is on, if it is on one.
    #[serde(skip)]
    pub connection: Option<Arc<str>>,
    /// Its children that the impact is on, as the engine calls them (`ts_mode = "per_pair"` makes several of one); none: it is on the connection.
    #[serde(skip)]
    pub children: Vec<Arc<str>>,
}

/// All of it: the gateway first, then connections in their order, each followed by its children, secrets and pools; within each kind what goes comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// One step for each object that differs.
    pub changes: Vec<Step>,
}
impl Plan {
    /// The strongest impact of all steps.
    pub fn impact(&self) -> Impact {
        self.changes.iter().map(|step| step.impact).max().unwrap_or_default()
    }
    /// Keys that a running daemon cannot change, `gateway.ports` and the like.
    pub fn needs_restart(&self) -> Vec<String> {
        let steps = self.changes.iter().filter(|step| step.restart_needed);
        let keys = |step: &Step| -> Vec<String> {
            // Of connections nothing else takes more than a running daemon has.
            if step.object != "gateway" {
                return vec![format!(
                    "{}.interface.netns (it lacks CAP_SYS_ADMIN, which systemd/tenants.conf grants)",
                    step.object
                )];
            }
            let keys = step.fields.iter().filter(|key| table::needs_restart(key));
            keys.map(|key| format!("{}.{key}", step.object)).collect()
        };
        steps.flat_map(keys).collect()
    }
}

/// A document and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// As it is written.
    pub document: &'a Desired,
    /// As [`Desired::check`] read it.
    pub config: &'a Config,
}

/// An IKE SA that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IkeUp {
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
    /// Who we said that we are, as status shows it.
    pub local_id: String,
    /// Who the peer is.
    pub remote_id: String,
    /// Its suite in keywords.
    pub proposal: String,
    /// Its ESP travels in UDP.
    pub udp: bool,
    /// A post-quantum preshared key went into its keys.
    pub ppk: bool,
    /// Addresses that the peer gave us.
    pub vips: Vec<IpAddr>,
    /// Its children.
    pub children: Vec<ChildUp>,
}
/// A child that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildUp {
    /// As the engine calls it.
    pub name: String,
    /// Its suite in keywords.
    pub proposal: String,
}

/// What is up of a connection; `None`: nobody knows. It is asked only about connections that differ.
pub type Standing<'s> = dyn Fn(&str) -> Option<Vec<IkeUp>> + 's;

/// What must change to come from `old` to `new`.
pub fn plan(old: Side<'_>, new: Side<'_>, standing: &Standing<'_>) -> Plan {
    let mut changes = Vec::new();
    changes.extend(gateway(old, new));
    connections(old, new, standing, &mut changes);
    for kind in [Kind::Secret, Kind::Pool] {
        plain(kind, old, new, &mut changes);
    }
    Plan { changes }
}

fn step(object: String, action: Action, fields: Vec<String>, impact: Impact) -> Step {
    Step { object, action, fields, impact, restart_needed: false, connection: None, children: Vec::new() }
}

fn gateway(old: Side<'_>, new: Side<'_>) -> Option<Step> {
    let key = Key::gateway();
    let empty = Value::Table(Vec::new());
    let (before, after) = (old.document.get(&key), new.document.get(&key));
    let (a, b) = (before.map_or(&empty, |o| o.body()), after.map_or(&empty, |o| o.body()));
    let mut fields = differing(a, b);
    let mut impact = Impact::None;
    for row in table::GATEWAY {
        let found = (row.judge)(old.config, new.config);
        if found > Impact::None {
            fields.insert(row.key.into());
        }
        impact = impact.max(found);
    }
    let action = match (before, after) {
        (None, Some(_)) => Action::Add,
        (Some(_), None) => Action::Remove,
        _ => Action::Change,
    };
    if fields.is_empty() {
        return None;
    }
    let restart_needed = impact == Impact::InterruptsTraffic;
    Some(Step { restart_needed, ..step("gateway".into(), action, fields.into_iter().collect(), impact) })
}

/// Connections by name, as they are meant.
struct Meant<'a> {
    configs: HashMap<&'a str, &'a ConnectionConfig>,
    policies: HashMap<&'a str, &'a Arc<Connection>>,
    credentials: &'a HashMap<Arc<str>, Arc<Credentials>>,
}
impl<'a> Meant<'a> {
    fn of(config: &'a Config) -> Self {
        Self {
            configs: config.connections.iter().map(|c| (&*c.name, c)).collect(),
            policies: config.policy.connections.iter().map(|c| (&*c.name, c)).collect(),
            credentials: &config.policy.credentials,
        }
    }
    fn get(&self, name: &str) -> Option<table::Meaning<'a>> {
        Some(table::Meaning {
            config: self.configs.get(name)?,
            policy: self.policies.get(name).map(|policy| &***policy),
            credentials: self.credentials.get(name).map(|credentials| &**credentials),
        })
    }
}

fn connections(old: Side<'_>, new: Side<'_>, standing: &Standing<'_>, changes: &mut Vec<Step>) {
    let of = |side: Side<'_>| {
        side.document.objects().filter(|o| o.key.kind == Kind::Connection).cloned().collect::<Vec<_>>()
    };
    let (before, after) = (of(old), of(new));
    for object in before.iter().filter(|object| new.document.get(&object.key).is_none()) {
        let idle = standing(&object.key.name).is_some_and(|up| up.is_empty());
        let impact = if idle { Impact::Live } else { Impact::InterruptsTraffic };
        changes.push(on_connection(object, Action::Remove, Vec::new(), impact));
    }
    let kept = |objects: &[Arc<Object>], other: &Desired| -> Vec<Key> {
        objects.iter().map(|o| o.key.clone()).filter(|key| other.get(key).is_some()).collect()
    };
    if kept(&before, new.document) != kept(&after, old.document) {
        changes.push(step("connections".into(), Action::Change, vec!["order".into()], Impact::Live));
    }
    let (meant_before, meant_after) = (Meant::of(old.config), Meant::of(new.config));
    for object in &after {
        let name = &*object.key.name;
        let Some(present) = old.document.get(&object.key) else {
            changes.push(on_connection(object, Action::Add, Vec::new(), Impact::None));
            continue;
        };
        if let (Some(a), Some(b)) = (meant_before.get(name), meant_after.get(name)) {
            let unchanged = Arc::ptr_eq(present, object) || present.same(object);
            if !unchanged || !a.same(&b) {
                connection((present, a), (object, b), standing, changes);
            }
        }
    }
}

fn on_connection(object: &Object, action: Action, fields: Vec<String>, impact: Impact) -> Step {
    Step { connection: Some(object.key.name.clone()), ..step(object.key.to_string(), action, fields, impact) }
}

type Present<'a> = (&'a Arc<Object>, table::Meaning<'a>);

/// One connection that stays: its own keys, then its children.
fn connection(old: Present<'_>, new: Present<'_>, standing: &Standing<'_>, changes: &mut Vec<Step>) {
    let up = standing(&new.0.key.name);
    let mut fields = differing(old.0.body(), new.0.body());
    let mut impact = Impact::None;
    for row in table::CONNECTION {
        let found = (row.judge)(&table::Two { old: old.1, new: new.1, up: up.as_deref() });
        if found > Impact::None {
            fields.insert(row.key.into());
        }
        impact = impact.max(found);
    }
    let with = if impact == Impact::RestartIke { impact } else { Impact::None };
    // Who only answers waits until the peer calls again.
    let answers = new.1.policy.is_some_and(|policy| policy.remote_addrs.contains(&Remote::Any));
    if up.as_ref().is_some_and(Vec::is_empty) {
        let device = table::moves_device(&old.1, &new.1);
        impact = impact.min(if device { impact } else { Impact::Live });
    } else if answers && impact == Impact::RestartIke {
        impact = Impact::InterruptsTraffic;
    }
    // No child of it negotiates any more: its IKE SA has nothing to carry.
    if old.1.policy.is_some() && new.1.policy.is_none() && !up.as_ref().is_some_and(Vec::is_empty) {
        fields.insert("children".into());
        impact = Impact::InterruptsTraffic;
    }
    let none = Value::Table(Vec::new());
    let children = |object: &'_ Object| object.body().get("children").cloned().unwrap_or_else(|| none.clone());
    let (before, after) = (children(old.0), children(new.0));
    let kept = |these: &Value, those: &Value| -> Vec<String> {
        let others: BTreeSet<&str> = those.table().iter().map(|(name, _)| name.as_str()).collect();
        these.table().iter().map(|(name, _)| name.clone()).filter(|name| others.contains(name.as_str())).collect()
    };
    if kept(&before, &after) != kept(&after, &before) {
        fields.insert("children".into());
        impact = impact.max(Impact::Live);
    }
    if !fields.is_empty() {
        changes.push(on_connection(new.0, Action::Change, fields.into_iter().collect(), impact));
    }
    each_child((old, &before), (new, &after), up.as_deref(), with, changes);
}

/// The children of a connection that stays. What begins anew with its IKE SA has at least that impact.
fn each_child(
    (old, before): (Present<'_>, &Value),
    (new, after): (Present<'_>, &Value),
    up: Option<&[IkeUp]>,
    with: Impact,
    changes: &mut Vec<Step>,
) {
    let connection = &new.0.key.name;
    let present: Option<HashSet<&str>> =
        up.map(|sas| sas.iter().flat_map(|sa| &sa.children).map(|child| child.name.as_str()).collect());
    let is_up = |child: &Arc<str>| present.as_ref().is_none_or(|present| present.contains(&**child));
    let (were, are) = (Made::of(&old.1, before), Made::of(&new.1, after));
    let mut add = |name: &str, action, fields, impact: Impact, children: Vec<Arc<str>>| {
        let negotiated = were.of_name(name).any(|child| child.policy.is_some());
        let idle = negotiated && !children.iter().any(is_up);
        let impact = if idle { impact.min(Impact::Live) } else { impact };
        let object = format!("{}.children.{name}", new.0.key);
        changes.push(Step { connection: Some(connection.clone()), children, ..step(object, action, fields, impact) });
    };
    let stays: HashSet<&str> = after.table().iter().map(|(name, _)| name.as_str()).collect();
    for (name, _) in before.table().iter().filter(|(name, _)| !stays.contains(name.as_str())) {
        let carried = were.of_name(name).any(|child| child.config.mode != Mode::Drop);
        let impact = if carried { Impact::InterruptsTraffic } else { Impact::Live };
        add(
            name,
            Action::Remove,
            Vec::new(),
            impact,
            were.of_name(name).map(|child| child.config.name.clone()).collect(),
        );
    }
    let texts: HashMap<&str, &Value> = before.table().iter().map(|(name, value)| (name.as_str(), value)).collect();
    for (name, value) in after.table() {
        let Some(present) = texts.get(name.as_str()) else {
            add(name, Action::Add, Vec::new(), Impact::None, Vec::new());
            continue;
        };
        let (mut fields, impact, children) = judged(name, &were, &are, up);
        fields.extend(differing(present, value));
        if !fields.is_empty() {
            let impact = if impact > Impact::None { impact.max(with) } else { impact };
            add(name, Action::Change, fields.into_iter().collect(), impact, children);
        }
    }
}

/// A child of a document that stays: which keys mean something else, what that does, and to which of those that were made of it.
fn judged(
    name: &str,
    were: &Made<'_>,
    are: &Made<'_>,
    up: Option<&[IkeUp]>,
) -> (BTreeSet<String>, Impact, Vec<Arc<str>>) {
    let (mut fields, mut impact, mut children) = (BTreeSet::new(), Impact::None, Vec::new());
    for child in were.of_name(name) {
        let Some(now) = are.named(name, &child.config.name) else {
            // What its pairs are called is another matter: they are made anew.
            impact = impact.max(Impact::RestartChild);
            children.push(child.config.name.clone());
            continue;
        };
        let two = table::TwoChildren { old: child, new: now, up };
        let mut own = Impact::None;
        for row in table::CHILD {
            let found = (row.judge)(&two);
            if found > Impact::None {
                fields.insert(row.key.into());
            }
            own = own.max(found);
        }
        impact = impact.max(own);
        if own > Impact::None {
            children.push(child.config.name.clone());
        }
    }
    if are.of_name(name).any(|child| were.named(name, &child.config.name).is_none()) {
        impact = impact.max(Impact::Live);
    }
    (fields, impact, children)
}

/// The children that were made of those of a document: one each, or one for each pair.
struct Made<'a> {
    by_name: HashMap<&'a str, Vec<table::Child<'a>>>,
    all: HashMap<&'a str, (&'a str, table::Child<'a>)>,
}
impl<'a> Made<'a> {
    fn of(meaning: &table::Meaning<'a>, written: &Value) -> Self {
        let names: HashSet<&str> = written.table().iter().map(|(name, _)| name.as_str()).collect();
        let policies: HashMap<&str, &'a ChildPolicy> =
            meaning.policy.iter().flat_map(|p| &p.children).map(|p| (&*p.name, &**p)).collect();
        let mut made = Self { by_name: HashMap::new(), all: HashMap::new() };
        for config in &meaning.config.children {
            let whole = &*config.name;
            let name = match whole.rsplit_once('-') {
                Some((name, _)) if !names.contains(whole) && names.contains(name) => name,
                _ => whole,
            };
            let child = table::Child { config, policy: policies.get(whole).copied() };
            made.by_name.entry(name).or_default().push(child);
            made.all.insert(whole, (name, child));
        }
        made
    }
    fn of_name(&self, name: &str) -> impl Iterator<Item = table::Child<'a>> {
        self.by_name.get(name).into_iter().flatten().copied()
    }
    fn named(&self, name: &str, child: &str) -> Option<table::Child<'a>> {
        self.all.get(child).filter(|(of, _)| *of == name).map(|(_, child)| *child)
    }
}

/// Secrets and pools: who has one already keeps what was made with it.
fn plain(kind: Kind, old: Side<'_>, new: Side<'_>, changes: &mut Vec<Step>) {
    let of = |side: Side<'_>| side.document.objects().filter(|o| o.key.kind == kind).cloned().collect::<Vec<_>>();
    for object in of(old).iter().filter(|object| new.document.get(&object.key).is_none()) {
        changes.push(step(object.key.to_string(), Action::Remove, Vec::new(), Impact::Live));
    }
    let secrets = |side: Side<'_>| -> HashMap<Arc<str>, crate::crypto::secret::Secret> {
        side.config.policy.secrets.iter().map(|s| (s.name.clone(), s.secret.clone())).collect()
    };
    let (before, after) = if kind == Kind::Secret { (secrets(old), secrets(new)) } else { Default::default() };
    for object in of(new) {
        let Some(present) = old.document.get(&object.key) else {
            changes.push(step(object.key.to_string(), Action::Add, Vec::new(), Impact::None));
            continue;
        };
        let mut fields = differing(present.body(), object.body());
        let octets = |of: &HashMap<Arc<str>, crate::crypto::secret::Secret>| {
            of.get(&object.key.name).map(|s| s.expose().to_vec())
        };
        if octets(&before) != octets(&after) {
            let places = ["secret", "secret_file", "secret_env"];
            fields.extend(places.into_iter().filter(|key| object.body().get(key).is_some()).map(str::to_owned));
        }
        if !fields.is_empty() {
            changes.push(step(object.key.to_string(), Action::Change, fields.into_iter().collect(), Impact::Live));
        }
    }
}

/// Keys that are written otherwise; of the tables that one of ours is their keys. Children are objects of their own.
fn differing(old: &Value, new: &Value) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    let keys: BTreeSet<&str> = old.table().iter().chain(new.table()).map(|(key, _)| key.as_str()).collect();
    for key in keys.into_iter().filter(|key| *key != "children") {
        match (old.get(key), new.get(key)) {
            (Some(a), Some(b)) if a.same(b, false) => {}
            (a @ (Some(Value::Table(_)) | None), b @ (Some(Value::Table(_)) | None)) => {
                let empty = Value::Table(Vec::new());
                let inner = differing(a.unwrap_or(&empty), b.unwrap_or(&empty));
                fields.extend(inner.into_iter().map(|inner| format!("{key}.{inner}")));
            }
            _ => {
                fields.insert(key.to_owned());
            }
        }
    }
    fields
}
