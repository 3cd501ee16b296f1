//! Which children a packet may bring up: those with a trap, set by the configuration (`start_action = "trap"`) or left when the peer died
//! (`dpd_action = "trap"`). All others stay down until somebody says `up`, and what comes for them meanwhile is dropped.
use crate::frozen::frozen;
use crate::ike::event::{Ended, Event};
use crate::ike::policy::{ChildPolicy, DpdAction, Policy, StartAction};
use std::collections::HashSet;
use std::sync::Arc;

/// The traps that dead peers have left, by `connection/child`.
#[derive(Debug, Default)]
pub struct Traps {
    left: HashSet<Arc<str>>,
}
frozen! { struct Traps { left } }
impl Traps {
    /// A packet for `name` (`connection/child`) may bring it up.
    pub fn has(&self, policy: &Policy, name: &str) -> bool {
        find(policy, name).is_some_and(|child| child.start == StartAction::Trap) || self.left.contains(name)
    }
    /// Follows what happens to children.
    pub fn note(&mut self, policy: &Policy, event: &Event) {
        match event {
            Event::ChildDown { connection, child, why: Ended::PeerDead, .. } => {
                let name = format!("{connection}/{child}");
                if find(policy, &name).is_some_and(|child| child.dpd == DpdAction::Trap) {
                    self.left.insert(name.into());
                }
            }
            Event::ChildUp(up) => drop(self.left.remove(&*format!("{}/{}", up.connection, up.child))),
            _ => {}
        }
    }
    /// Somebody wants the connection, or one child of it, to be down.
    pub fn remove(&mut self, connection: &str, child: Option<&str>) {
        self.left.retain(|name| match name.split_once('/') {
            Some((of, name)) => of != connection || child.is_some_and(|child| child != name),
            None => false,
        });
    }
    /// The configuration is another now.
    pub fn review(&mut self, policy: &Policy) {
        self.left.retain(|name| find(policy, name).is_some_and(|child| child.dpd == DpdAction::Trap));
    }
}

fn find<'a>(policy: &'a Policy, name: &str) -> Option<&'a ChildPolicy> {
    let (connection, child) = name.split_once('/')?;
    let connection = policy.connections.iter().find(|c| *c.name == *connection)?;
    connection.children.iter().find(|c| *c.name == *child).map(Arc::as_ref)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Source};
    use crate::ike::event::ChildId;

    fn policy(start: &str, dpd: &str) -> Arc<Policy> {
        let text = format!(
            r#"[connections.a]
            remote_addrs = ["192.0.2.2"]
            local = {{ auth = "psk", id = "l" }}
            remote = {{ auth = "psk", id = "r" }}
            [connections.a.children.b]
            local_ts = ["10.1.0.0/16"]
            remote_ts = ["10.2.0.0/16"]
            start_action = "{start}"
            dpd_action = "{dpd}"
            [secrets.ike-a]
            id = ["r"]
            secret = "correct horse battery staple 7Q"
            "#
        );
        let source = Source { name: "a.toml".into(), text };
        config::parse(&[source], &config::secret::System).expect("valid").policy
    }

    fn down(why: Ended) -> Event {
        Event::ChildDown { id: ChildId(1), connection: "a".into(), child: "b".into(), resource: None, why }
    }

    #[test]
    fn only_a_configured_trap_is_one_from_the_start() {
        for (start, trap) in [("trap", true), ("start", false), ("none", false)] {
            assert_eq!(Traps::default().has(&policy(start, "restart"), "a/b"), trap, "{start}");
        }
        assert!(!Traps::default().has(&policy("trap", "restart"), "a/other"));
    }

    #[test]
    fn a_dead_peer_leaves_one_if_that_is_configured_until_down_is_said() {
        for (dpd, why, trap) in [
            ("trap", Ended::PeerDead, true),
            ("trap", Ended::ByUs, false),
            ("clear", Ended::PeerDead, false),
            ("restart", Ended::PeerDead, false),
        ] {
            let policy = policy("none", dpd);
            let mut traps = Traps::default();
            traps.note(&policy, &down(why));
            assert_eq!(traps.has(&policy, "a/b"), trap, "{dpd} {why:?}");
            traps.remove("a", Some("other"));
            assert_eq!(traps.has(&policy, "a/b"), trap);
            traps.remove("a", Some("b"));
            assert!(!traps.has(&policy, "a/b"));
        }
    }

    #[test]
    fn another_configuration_may_take_it_away() {
        let mut traps = Traps::default();
        traps.note(&policy("none", "trap"), &down(Ended::PeerDead));
        traps.review(&policy("none", "trap"));
        assert!(traps.has(&policy("none", "trap"), "a/b"));
        traps.review(&policy("none", "clear"));
        assert!(!traps.has(&policy("none", "clear"), "a/b"));
    }
}
