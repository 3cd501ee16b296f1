//! Another configuration takes the place of the one in force: first what protects, then what is up takes it on or is made anew, and last what is
//! not needed any more goes.
use super::{Engine, Parts};
use crate::config::{self, ChildConfig, Config};
use crate::control::request::Adopted;
use crate::daemon::ceiling;
use crate::daemon::keylog::Keylog;
use crate::daemon::logging;
use crate::ike::event::{Command, Input};
use crate::ike::policy::Policy;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Children, by connection and name.
type Children = BTreeSet<(Arc<str>, Arc<str>)>;

impl Engine {
    /// Puts a configuration into force.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub(super) fn adopt(&mut self, now: Duration, config: Config) -> Result<Adopted, String> {
        // Whatever becomes of it here: it stands in files and on the disk, where the other has found it, or has not.
        self.overtake(now);
        let mut warnings = Vec::new();
        if fixed(&config) != fixed(&self.parts.config) {
            warnings.push(
                "addresses, ports, devices, table, mark, workers, sockets and hook of [gateway] change with a restart only"
                    .to_owned(),
            );
        }
        let config = with_fixed_of(config, &self.parts.config);
        let Parts { installer, network, devices, host, .. } = &mut self.parts;
        let renamed = installer.withdraw_renamed(now, &config, &mut host.places);
        // What is protected is protected before anything is torn down or brought up, and what was is until nothing is up any more.
        if let Err(error) = network.extend(&config) {
            self.make_anew(now, renamed);
            return Err(format!("routes could not be set, nothing else was changed: {error}"));
        }
        installer.follow_devices(devices.configure(now, &config, &ceiling::of_own_devices(&config)));
        installer.configure(&config, &mut host.places);
        let windows = other_windows(&self.parts.config, &config);
        self.parts.config = config;
        logging::set(&self.parts.config);
        self.traps.review(&self.parts.config.policy);
        self.keylog = Keylog::of(&self.parts.config);
        self.dirty = true;
        self.expiry_at = now;
        self.set_policy(now);
        for (connection, grade) in self.endpoint.adopted() {
            let children = grade.children().join(" ");
            tracing::info!(%connection, children, "its configuration is another: {}", grade.name());
        }
        self.make_anew(now, renamed);
        for (connection, child) in windows {
            self.feed(now, Input::Command(Command::Rekey { connection, child: Some(child) }));
        }
        self.review_holds(now);
        if let Err(error) = self.parts.network.configure(&self.parts.config) {
            warnings.push(format!("routes of what is not protected any more could not be removed: {error}"));
        }
        Ok(Adopted { warnings })
    }

    /// Children whose SAs are gone from the tables.
    fn make_anew(&mut self, now: Duration, children: Children) {
        for (connection, child) in children {
            tracing::info!(%connection, %child, "translate is another: its SAs are made anew");
            self.feed(now, Input::Command(Command::Rekey { connection, child: Some(child) }));
        }
    }
}

/// What a reload cannot change.
fn fixed(config: &Config) -> config::Gateway {
    let defaults = config::Gateway::default();
    config::Gateway { on_exit: defaults.on_exit, log: defaults.log, ..config.gateway.clone() }
}
/// A configuration with the fixed settings of the one that the daemon was started with, wherever they stand; and connections that are as
/// they were are the same ones, so that nobody has to compare them again.
fn with_fixed_of(config: Config, present: &Config) -> Config {
    let before: HashMap<_, _> = present.policy.connections.iter().map(|c| (&c.name, c)).collect();
    let mut policy = Policy { ports: present.policy.ports, ..(*config.policy).clone() };
    for connection in &mut policy.connections {
        if let Some(same) = before.get(&connection.name).filter(|before| **before == connection) {
            *connection = (*same).clone();
        }
    }
    Config {
        gateway: config::Gateway {
            on_exit: config.gateway.on_exit,
            log: config.gateway.log.clone(),
            ..present.gateway.clone()
        },
        policy: Arc::new(policy),
        ..config
    }
}
/// An SA has its replay window from the beginning: who has another one is rekeyed.
fn other_windows(before: &Config, after: &Config) -> Children {
    let windows = |config: &Config| {
        let of = |connection: &config::ConnectionConfig, child: &ChildConfig| {
            ((connection.name.clone(), child.name.clone()), child.replay_window)
        };
        let connections = config.connections.iter();
        connections.flat_map(|c| c.children.iter().map(move |child| of(c, child))).collect::<HashMap<_, _>>()
    };
    let before = windows(before);
    let other = |(key, window): &(_, u32)| before.get(key).is_some_and(|before| before != window);
    windows(after).into_iter().filter(other).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    fn config(gateway: &str, child: &str, dpd: u32) -> Config {
        let connection = |name: &str, dpd: u32, net: u32, child: &str| {
            format!(
                "[connections.{name}]\nremote_addrs = [\"192.0.2.9\"]\ndpd_delay = \"{dpd}s\"\n[connections.{name}.children.b]\n\
                 local_ts = [\"10.1.{net}.0/24\"]\nremote_ts = [\"10.2.{net}.0/24\"]\n{child}\n"
            )
        };
        let secret = "[secrets.s]\nid = [\"192.0.2.9\"]\nsecret = \"correct horse battery staple\"\n";
        let (a, b) = (connection("a", dpd, 1, child), connection("z", 30, 2, ""));
        let text = format!("[gateway]\n{gateway}\n{a}{b}{secret}");
        config::parse(&[Source { name: "a.toml".into(), text }], &config::secret::System).expect("valid")
    }

    /// Sockets are bound once: who sends from other ports is not heard.
    #[test]
    fn what_needs_a_restart_stays_everywhere() {
        let (old, new) = (config("", "", 30), config("ports = { ike = 5000, natt = 5001 }\non_exit = \"open\"", "", 7));
        assert_ne!(fixed(&old), fixed(&new));
        let merged = with_fixed_of(new.clone(), &old);
        assert_eq!((merged.gateway.ports, merged.policy.ports), (old.gateway.ports, old.policy.ports));
        assert_eq!(fixed(&merged), fixed(&old));
        assert_eq!(merged.gateway.on_exit, new.gateway.on_exit);
        let same = |at: usize| Arc::ptr_eq(&merged.policy.connections[at], &old.policy.connections[at]);
        assert!(!same(0) && same(1));
        assert_eq!(merged.policy.connections[0].dpd_delay, Duration::from_secs(7));
    }

    #[test]
    fn only_who_has_another_window_is_rekeyed() {
        let (old, new) = (config("", "", 30), config("", "replay_window = 128", 7));
        assert_eq!(other_windows(&old, &old.clone()), Children::new());
        assert_eq!(other_windows(&old, &new), Children::from([("a".into(), "b".into())]));
    }
}
