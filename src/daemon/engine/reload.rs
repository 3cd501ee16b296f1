//! Another configuration comes into force.
use super::{Engine, Parts};
use crate::config::{self, Config};
use crate::control::request::Adopted;
use crate::daemon::ceiling;
use crate::daemon::keylog::Keylog;
use crate::daemon::logging;
use crate::ike::event::{Command, Input};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

impl Engine {
    /// Puts a configuration into force.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub(super) fn adopt(&mut self, now: Duration, config: Config) -> Result<Adopted, String> {
        let mut warnings = Vec::new();
        if fixed(&config) != fixed(&self.parts.config) {
            warnings.push(
                "addresses, ports, devices, table, mark, workers, sockets and hook of [gateway] change with a restart only"
                    .to_owned(),
            );
        }
        let Parts { installer, network, devices, host, .. } = &mut self.parts;
        let renamed = installer.withdraw_renamed(now, &config, &mut host.places);
        // What is protected is protected before anything is torn down or brought up.
        if let Err(error) = network.configure(&config) {
            self.make_anew(now, renamed);
            return Err(format!("routes could not be set, nothing else was changed: {error}"));
        }
        installer.follow_devices(devices.configure(now, &config, &ceiling::of_own_devices(&config)));
        installer.configure(&config, &mut host.places);
        self.parts.config = Config {
            gateway: config::Gateway {
                on_exit: config.gateway.on_exit,
                log: config.gateway.log.clone(),
                ..self.parts.config.gateway.clone()
            },
            ..config
        };
        logging::set(&self.parts.config);
        self.traps.review(&self.parts.config.policy);
        self.keylog = Keylog::of(&self.parts.config);
        self.dirty = true;
        self.expiry_at = now;
        self.set_policy(now);
        self.make_anew(now, renamed);
        self.review_holds(now);
        Ok(Adopted { warnings })
    }

    /// A peer that has not let its child be rekeyed lets it be made: with the IKE SA there is no group to disagree on.
    pub(super) fn remake_overdue(&mut self, now: Duration) {
        for child in self.parts.installer.overdue(now) {
            let key = self.parts.installer.get(child).map(|sa| sa.key.clone());
            tracing::warn!(
                connection = key.as_ref().map(|key| &*key.connection),
                child = key.as_ref().map(|key| &*key.child),
                "a child that carries nothing could not be rekeyed: its IKE SA is made anew"
            );
            self.feed(now, Input::Command(Command::Remake { child }));
        }
    }

    /// Children whose SAs are gone from the tables.
    fn make_anew(&mut self, now: Duration, children: BTreeSet<(Arc<str>, Arc<str>)>) {
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
