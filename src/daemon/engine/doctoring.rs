//! What is wrong with a connection, for who asks.
use super::Engine;
use crate::config::remedy::Known;
use crate::control::request::Reply;
use crate::control::types::{Diagnosis, Why};
use crate::daemon::DEVICE;
use crate::daemon::doctor::host::{self, Question, Ward};
use crate::daemon::doctor::traffic::{self, Sa};
use crate::daemon::doctor::{Case, Told};
use crate::daemon::install::Installer;
use crate::daemon::installed::{self, Installed};
use crate::daemon::status;
use crate::ike::diagnose::Failure;
use crate::ike::status::{ChildStatus, IkeStatus, State};
use crate::wire::selector::Selector;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

impl Engine {
    /// What went wrong lately, the newest first.
    pub(super) fn diagnoses(&self, of: Option<&str>) -> Vec<Diagnosis> {
        let history = self.history.iter();
        let of_it = history.filter(|told| of.is_none() || told.failure.connection.as_deref() == of);
        let of_it: Vec<_> = of_it.collect();
        let names: HashSet<&str> = of_it.iter().filter_map(|told| told.failure.connection.as_deref()).collect();
        let config = &self.parts.config;
        let connections = config.connections.iter().filter(|one| names.contains(&*one.name));
        let connections: HashMap<&str, _> = connections.map(|one| (&*one.name, one)).collect();
        let policies = config.policy.connections.iter().filter(|one| names.contains(&*one.name));
        let policies: HashMap<&str, _> = policies.map(|one| (&*one.name, &**one)).collect();
        let known = |name: &str| Known {
            secrets: &config.policy.secrets,
            connection: connections.get(name).copied(),
            policy: policies.get(name).copied(),
        };
        let told = |told: &Told| status::diagnosis(told, known(told.failure.connection.as_deref().unwrap_or_default()));
        of_it.into_iter().map(told).collect()
    }

    /// Answers what is wrong now, also why nothing passes, which takes a while to see.
    pub(super) fn tell_why(&mut self, now: Duration, name: &str, reply: Reply<Option<Box<Why>>>) {
        let Some(mut why) = self.why(now, name) else { return drop(reply.send(None)) };
        let connection = self.parts.config.connections.iter().find(|one| *one.name == *name).cloned();
        host::begin(self.question(name), move |found| {
            let known = Known { connection: connection.as_ref(), ..Known::default() };
            let found = found.into_iter().map(|failure| status::diagnosis(&Told::once(failure), known));
            // What a monitor noticed, the look may have explained.
            let noticed = why.diagnoses.iter().position(|told| told.failure.code == "traffic.not_passing");
            let at = noticed.unwrap_or(why.diagnoses.len());
            why.diagnoses.splice(at..at, found);
            // Who asked may have gone away.
            let _ = reply.send(Some(Box::new(why)));
        });
    }

    /// The children of a connection that are up, for who looks whether anything passes through them.
    fn question(&self, name: &str) -> Question {
        let config = &self.parts.config;
        let found = config.connections.iter().find(|connection| *connection.name == *name);
        let interface = found.and_then(|connection| connection.interface.as_ref());
        let status = self.endpoint.status_of(name);
        let up = status.iter().flat_map(|status| &status.sas).filter(|ike| ike.state == State::Up);
        let in_use = |sa: &&ChildStatus| !sa.closing && !sa.connecting && sa.resource.is_none();
        let children = up.flat_map(|ike| ike.children.iter().filter(in_use).map(move |child| (ike, child)));
        let mut children: Vec<Ward> =
            children.filter_map(|(ike, child)| ward(&self.parts.installer, ike, child)).collect();
        // Of those that a rekey has at the moment the newest; all have the counters of the child.
        children.reverse();
        let mut known = HashSet::new();
        children.retain(|ward| known.insert(ward.inbound.child.slot));
        children.truncate(host::MOST);
        children.iter_mut().for_each(|ward| ward.shared = self.parts.installer.all().any(|other| shares(ward, other)));
        let device = children.first().map_or(DEVICE, |ward| ward.inbound.child.device());
        let own = self.parts.devices.of(name).map(|(device, _)| device);
        Question {
            connection: name.into(),
            device: (device, own.unwrap_or(&config.gateway.device).to_owned()),
            netns: interface.and_then(|interface| interface.netns.clone().zip(interface.namespace())),
            mark: config.gateway.mark,
            table: config.gateway.route_table.filter(|_| interface.is_none()),
            children,
            stats: self.parts.workers.stats.clone(),
        }
    }

    /// Tells of SAs on which nothing that comes can be opened, once of each; and that it is over, when something was.
    pub(super) fn watch_faults(&mut self, now: Duration) {
        for (id, sa) in self.parts.installer.faulty() {
            let said = Sa::of(&sa.inbound);
            let connection = sa.key.connection.clone();
            if said.opened {
                let over = |noted: &Failure| noted.code.starts_with("esp.");
                if self.faulty.remove(&id) && self.noted.get(&connection).is_some_and(over) {
                    self.noted.remove(&connection);
                    self.pictures.touch(&connection);
                }
                continue;
            }
            let Some(mut failure) = traffic::unopened(now, false, said).filter(|_| self.faulty.insert(id)) else {
                continue;
            };
            failure.initiator = self.endpoint.status_of(&connection).is_some_and(|status| {
                status.sas.iter().any(|ike| ike.initiator && ike.children.iter().any(|child| child.id == id))
            });
            failure.remote = Some(sa.outbound.path.load().remote);
            (failure.connection, failure.child) = (Some(connection.clone()), Some(sa.key.child.clone()));
            self.history.note(&failure);
            self.parts.journal.tell_diagnosis(now, &failure);
            self.pictures.touch(&connection);
            self.noted.insert(connection, failure);
        }
        self.faulty.retain(|id| self.parts.installer.get(*id).is_some());
    }

    /// What is wrong now. `None`: there is no such connection.
    pub(super) fn why(&mut self, now: Duration, name: &str) -> Option<Why> {
        let piece = self.picture(name)?;
        let config = &self.parts.config;
        let connection = config.connections.iter().find(|connection| *connection.name == *name)?;
        let policy = config.policy.connections.iter().find(|policy| *policy.name == *name);
        let status = self.status_of(name);
        let case = Case {
            now,
            config: connection,
            policy: policy.map(|policy| &**policy),
            status: status.as_ref(),
            history: &self.history,
            not_passing: self.probes.of(name).1,
        };
        let known = Known { secrets: &config.policy.secrets, connection: Some(connection), policy: case.policy };
        let diagnoses = case.examine().iter().map(|told| status::diagnosis(told, known)).collect();
        Some(Why { connection: name.into(), state: piece.shown().state, diagnoses })
    }
}

/// Another child of the same device has networks of the peer's in common with this one.
fn shares(ward: &Ward, other: &Installed) -> bool {
    let (it, child) = (&ward.inbound.child, &other.inbound.child);
    let (_, theirs) = installed::here(&other.inbound);
    let overlaps = |ts: &Selector| theirs.iter().any(|other| ts.intersect(other).is_some());
    child.slot != it.slot && child.device() == it.device() && ward.remote_ts.iter().any(overlaps)
}

fn ward(installer: &Installer, ike: &IkeStatus, child: &ChildStatus) -> Option<Ward> {
    let sa = installer.get(child.id)?;
    let (local, remote_ts) = installed::here(&sa.inbound);
    let settings = sa.inbound.child.settings();
    Some(Ward {
        child: child.name.clone(),
        remote: ike.remote,
        initiator: ike.initiator,
        local: local.to_vec(),
        remote_ts: remote_ts.to_vec(),
        shared: false,
        counters: sa.inbound.child.counters.clone(),
        inbound: sa.inbound.clone(),
        outbound: sa.outbound.clone(),
        window: sa.inbound.sa.window().size(),
        mtu: status::mtu(&sa.outbound, settings.fitting),
    })
}
