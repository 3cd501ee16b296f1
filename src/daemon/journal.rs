//! What happens to connections, told twice: as log lines and as events of the API.
use super::changes::{self, Kind};
use super::clock;
use super::logging::WIRE;
use super::mtu::Changed;
use super::status;
use crate::config::remedy::Known;
use crate::control::events::Ring;
use crate::control::request::News;
use crate::control::types;
use crate::frozen::{Frozen, Reader, Thaw, Writer};
use crate::ike::diagnose::Failure;
use crate::ike::event::{Ended, Event, IkeId};
use crate::ike::examine::Question;
use crate::ipsec::pmtu::Change;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Tells events.
#[derive(Debug)]
pub struct Journal {
    ring: Arc<Ring>,
    /// Of IKE SAs that are up.
    whose: HashMap<IkeId, Arc<str>>,
}
impl Default for Journal {
    fn default() -> Self {
        Self { ring: Arc::new(Ring::new(clock::epoch())), whose: HashMap::new() }
    }
}
impl Journal {
    /// What the journal of another daemon has to know to go on; what is told from here on is that one's, unless [`Self::go_on`] says otherwise.
    pub fn freeze(&self, out: &mut Writer) {
        let Self { ring, whose } = self;
        let (epoch, next) = ring.hold();
        epoch.freeze(out);
        next.freeze(out);
        whose.freeze(out);
    }
    /// Goes on with the numbers of another one.
    ///
    /// # Errors
    /// It is not what [`Self::freeze`] has written.
    pub fn thaw(&mut self, input: &mut Reader<'_>) -> Result<(), Thaw> {
        let (epoch, next) = (Frozen::thaw(input)?, Frozen::thaw(input)?);
        self.ring.go_on(epoch, next);
        self.whose = Frozen::thaw(input)?;
        Ok(())
    }
    /// There is no other one.
    pub fn go_on(&self) {
        self.ring.release();
    }
    /// Where clients read them.
    pub fn ring(&self) -> Arc<Ring> {
        self.ring.clone()
    }
    /// Tells one event.
    pub fn tell(&mut self, now: Duration, event: &Event) {
        self.note(event);
        if let Event::Examining { connection, question } = event {
            return self.tell_probe(now, connection, question);
        }
        let Some((name, connection, child, why)) = log(event, &self.whose) else { return };
        let failure = match event {
            Event::Failed(failure) | Event::Noticed(failure) => Some(status::failure(failure, Known::default())),
            _ => None,
        };
        let warning = match event {
            Event::Warning { code, values, .. } => {
                Some(types::Warning { code: (*code).to_owned(), values: values.clone() })
            }
            _ => None,
        };
        let resource = match event {
            Event::ChildUp(up) => up.resource,
            Event::ChildDown { resource, .. } => *resource,
            _ => None,
        };
        let why = why.map(|why| reason(why).to_owned());
        self.send(now, types::Event { connection, child, resource, why, failure, warning, ..nothing(name) });
    }
    /// Tells a change: what a controller follows.
    pub fn tell_change(&mut self, now: Duration, change: &changes::Change) {
        let (name, connection, (local, remote)) = (change.kind.name(), &change.connection, change.ends);
        if change.kind == Kind::Moved {
            tracing::info!(connection, %local, %remote, "moved");
        }
        let told = types::Event {
            connection: Some(connection.clone()),
            child: change.child.as_deref().map(str::to_owned),
            local: Some(local.to_string()),
            remote: Some(remote.to_string()),
            why: change.why.map(|why| reason(why).to_owned()),
            ..nothing(name)
        };
        self.send(now, told);
    }
    /// Tells that nothing passes through a child any more, and why that is thought, or that something does again.
    pub fn tell_monitor(&mut self, now: Duration, connection: &str, child: &str, failure: Option<&Failure>) {
        let why = if failure.is_some() { "failing" } else { "passing" };
        match failure {
            Some(failure) => {
                tracing::warn!(connection, child, probes = failure.local.line(), "the child is up and nothing passes")
            }
            None => tracing::info!(connection, child, "traffic passes again"),
        }
        let told = types::Event {
            connection: Some(connection.into()),
            child: Some(child.into()),
            why: Some(why.into()),
            failure: failure.map(|failure| status::failure(failure, Known::default())),
            ..nothing("monitor")
        };
        self.send(now, told);
    }
    /// Tells what a peer is being asked.
    fn tell_probe(&mut self, now: Duration, connection: &str, question: &Question) {
        let why = format!("{} {}", question.exchange, question.asked);
        tracing::info!(connection, question = why, "the peer is asked what it takes");
        self.send(now, types::Event { connection: Some(connection.into()), why: Some(why), ..nothing("probe") });
    }
    /// Tells what was found out about a connection, by looking at what it carries.
    pub fn tell_diagnosis(&mut self, now: Duration, failure: &Failure) {
        let owned = |name: &Option<Arc<str>>| name.as_deref().map(str::to_owned);
        let (connection, child) = (owned(&failure.connection), owned(&failure.child));
        tracing::warn!(connection, child, code = failure.code, ours = failure.local.line(), "nothing can be received");
        let told = types::Event {
            connection,
            child,
            failure: Some(status::failure(failure, Known::default())),
            ..nothing("diagnosis")
        };
        self.send(now, told);
    }
    /// Tells where an upgrade is, and why it failed.
    pub fn tell_upgrade(&mut self, now: Duration, name: &str, why: Option<&str>) {
        self.send(now, types::Event { why: why.map(str::to_owned), ..nothing(name) });
    }
    /// Tells what became of a configuration.
    pub fn tell_config(&mut self, now: Duration, news: &News) {
        let News { event, revision, why, .. } = news;
        if matches!(*event, "config.applied" | "config.confirmed") {
            tracing::info!(revision, why, "{event}");
        } else {
            tracing::warn!(revision, why, "{event}");
        }
        self.send(now, types::Event { revision: *revision, why: Some(why.clone()), ..nothing(event) });
    }
    /// Tells that the MTU of a path is another one.
    pub fn mtu(&mut self, now: Duration, changed: &Changed) {
        let Changed { connection, remote, change: Change { old, new, why }, .. } = changed;
        tracing::info!(%connection, %remote, old, new, reason = why.name(), "the MTU of the path is another one");
        let mtu = types::MtuChange { old: *old, new: *new, reason: why.name().into() };
        self.send(now, types::Event { connection: Some(connection.to_string()), mtu: Some(mtu), ..nothing("mtu") });
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::IkeUp { ike, connection, .. } => drop(self.whose.insert(*ike, connection.clone())),
            Event::IkeRekeyed { old, new, connection, .. } => {
                self.whose.remove(old);
                self.whose.insert(*new, connection.clone());
            }
            Event::IkeDown { ike, .. } => drop(self.whose.remove(ike)),
            _ => {}
        }
    }

    fn send(&self, now: Duration, event: types::Event) {
        self.ring.push(types::Event { time: clock::rfc3339(now), ..event });
    }
}

/// An event with a name and nothing else.
pub(super) fn nothing(name: &str) -> types::Event {
    types::Event {
        id: 0,
        epoch: 0,
        time: String::new(),
        event: name.into(),
        connection: None,
        child: None,
        resource: None,
        local: None,
        remote: None,
        why: None,
        failure: None,
        warning: None,
        mtu: None,
        audit: None,
        revision: None,
    }
}

type Told = (&'static str, Option<String>, Option<String>, Option<Ended>);

/// Logs an event; its public name, whose it is, and why. Names are the configuration's; what a peer wrote the logger makes harmless.
fn log(event: &Event, whose: &HashMap<IkeId, Arc<str>>) -> Option<Told> {
    let text = |name: &Arc<str>| Some(name.to_string());
    match event {
        Event::IkeUp { ike, connection, peer } => {
            tracing::info!(%connection, ike = ike.0, peer, "IKE SA is up");
            Some(("ike.up", text(connection), None, None))
        }
        Event::IkeDown { ike, connection, why } => {
            tracing::info!(%connection, ike = ike.0, why = reason(*why), "IKE SA is down");
            Some(("ike.down", text(connection), None, Some(*why)))
        }
        Event::IkeRekeyed { old, new, connection, peer } => {
            tracing::info!(%connection, old = old.0, ike = new.0, peer, "IKE SA is rekeyed");
            Some(("ike.rekeyed", text(connection), None, None))
        }
        Event::ChildUp(up) => {
            let (connection, child) = (&up.connection, &up.child);
            let proposal = crate::wire::keyword::proposal(&up.proposal);
            let list = |selectors: &[crate::wire::selector::Selector]| {
                selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            };
            tracing::info!(
                %connection, %child, resource = up.resource, proposal, udp = up.path.udp, remote = %up.path.remote,
                spi_in = format!("{:08x}", up.spi_in), spi_out = format!("{:08x}", up.spi_out),
                local_ts = list(&up.local_ts), remote_ts = list(&up.remote_ts), "child is up"
            );
            Some(("child.up", text(connection), text(child), None))
        }
        Event::ChildDown { connection, child, resource, why, .. } => {
            tracing::info!(%connection, %child, resource, why = reason(*why), "child is down");
            Some(("child.down", text(connection), text(child), Some(*why)))
        }
        Event::PathChanged { ike, path } => {
            let connection = whose.get(ike).map(|name| &**name);
            tracing::info!(
                connection, ike = ike.0, local = %path.local, remote = %path.remote, udp = path.udp, "outer addresses changed"
            );
            Some(("path.changed", connection.map(str::to_owned), None, None))
        }
        Event::Failed(failure) => {
            tracing::warn!(
                target: WIRE,
                connection = failure.connection.as_deref(), child = failure.child.as_deref(),
                phase = failure.phase.name(), code = failure.code, remote = failure.remote.map(|end| end.to_string()),
                ours = failure.local.line(), theirs = failure.peer.line(), notify = failure.notify, "failed"
            );
            let owned = |name: &Option<Arc<str>>| name.as_deref().map(str::to_owned);
            Some(("failed", owned(&failure.connection), owned(&failure.child), None))
        }
        Event::Noticed(failure) => {
            tracing::warn!(
                target: WIRE,
                connection = failure.connection.as_deref(), child = failure.child.as_deref(),
                phase = failure.phase.name(), code = failure.code, remote = failure.remote.map(|end| end.to_string()),
                ours = failure.local.line(), theirs = failure.peer.line(), "it works, but not as configured"
            );
            let owned = |name: &Option<Arc<str>>| name.as_deref().map(str::to_owned);
            Some(("noticed", owned(&failure.connection), owned(&failure.child), None))
        }
        Event::Addresses { connection, ours, theirs, .. } => {
            let texts = |addrs: &[_]| words(&addrs.iter().map(ToString::to_string).collect::<Vec<_>>());
            tracing::info!(%connection, ours = texts(ours), theirs = texts(theirs), "inner addresses");
            Some(("addresses", text(connection), None, None))
        }
        Event::Warning { connection, code, values } => {
            tracing::warn!(%connection, code, values = words(values), "look at this");
            Some(("warning", text(connection), None, None))
        }
        Event::Examined(examined) => {
            let code = examined.failure.as_ref().map(|failure| failure.code);
            tracing::info!(connection = %examined.connection, questions = examined.questions.len(), code, "the peer was asked what it takes");
            Some(("probed", text(&examined.connection), None, None))
        }
        Event::ChildLeaving { .. }
        | Event::Larval { .. }
        | Event::Probed { .. }
        | Event::Examining { .. }
        | Event::NotExamined { .. }
        | Event::KeyLog(_)
        | Event::Drained => None,
    }
}

fn words(texts: &[String]) -> String {
    texts.join(", ")
}

/// Why something ended, for the API.
pub fn reason(why: Ended) -> &'static str {
    match why {
        Ended::ByUs => "by_us",
        Ended::ByPeer => "by_peer",
        Ended::Replaced => "replaced",
        Ended::PeerDead => "peer_dead",
        Ended::Failed => "failed",
        Ended::Expired => "expired",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ike::event::ChildId;

    /// One child of several with the same name, each for one worker.
    #[test]
    fn which_of_the_children_is_down() {
        let mut journal = Journal::default();
        let ring = journal.ring();
        for resource in [None, Some(3)] {
            let (connection, child) = ("a".into(), "b".into());
            let down = Event::ChildDown { id: ChildId(1), connection, child, resource, why: Ended::ByPeer };
            journal.tell(Duration::from_secs(1), &down);
            let told = ring.told(ring.last() - 1).remove(0);
            assert_eq!((told.child.as_deref(), told.resource), (Some("b"), resource));
        }
    }
    #[test]
    fn another_mtu_is_told_with_its_reason() {
        let mut journal = Journal::default();
        let ring = journal.ring();
        let change = Change { old: 1500, new: 1400, why: crate::ipsec::pmtu::Why::Hint };
        let remote = ([192, 0, 2, 1], 4500).into();
        let ike = crate::ike::event::IkeId(1);
        journal.mtu(Duration::from_secs(1), &Changed { ike, connection: "a".into(), remote, change });
        let told = ring.told(ring.last() - 1).remove(0);
        assert_eq!((told.event.as_str(), told.connection.as_deref()), ("mtu", Some("a")));
        assert_eq!(told.mtu, Some(types::MtuChange { old: 1500, new: 1400, reason: "hint".into() }));
    }
    #[test]
    fn news_of_the_configuration_name_its_revision() {
        let mut journal = Journal::default();
        let ring = journal.ring();
        let news = News { event: "config.applied", revision: Some(7), why: "by uid 0".into(), notes: vec![] };
        journal.tell_config(Duration::from_secs(1), &news);
        let told = ring.told(ring.last() - 1).remove(0);
        assert_eq!(
            (told.event.as_str(), told.revision, told.why.as_deref()),
            ("config.applied", Some(7), Some("by uid 0"))
        );
    }
    #[test]
    fn a_warning_says_what_and_of_whom() {
        let mut journal = Journal::default();
        let ring = journal.ring();
        let values = vec!["gw2.example".to_owned(), "2026-12-01T00:00:00Z".to_owned()];
        let event = Event::Warning { connection: "a".into(), code: "auth.cert.expires", values: values.clone() };
        journal.tell(Duration::from_secs(1), &event);
        let told = ring.told(ring.last() - 1).remove(0);
        assert_eq!((told.event.as_str(), told.connection.as_deref()), ("warning", Some("a")));
        assert_eq!(told.warning, Some(types::Warning { code: "auth.cert.expires".into(), values }));
    }
}
