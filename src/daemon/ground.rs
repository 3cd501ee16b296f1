//! What a daemon stands on: sockets and devices. It is made anew, or taken over from the daemon that was there before.
use super::descriptors::{Inherited, Kind};
use super::handover::{self, Door, Heritage};
use super::network::Network;
use super::patience::Patience;
use super::site::Treatment;
use super::{keeper, preflight, site, sockets, workers_of};
use crate::config::{Config, Gateway};
use crate::control::access;
use crate::control::metrics::listener::Listener;
use crate::control::socket::{self, ControlSocket};
use crate::io::tun::{self, Device, Queue};
use crate::io::{outside, peer};
use crate::ipsec::path::Encap;
use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

/// Sockets, rules and the device cannot be changed under packets, and what the API has put lies in `state_dir`.
const OTHERS: &str = "`listen`, `ports`, `device`, `bind_device`, `mark`, `route_table` or `state_dir` of [gateway] are others than those of the daemon at work: they change with a restart only";

/// All of it.
#[derive(Debug)]
pub struct Ground {
    /// The socket of the API.
    pub control: ControlSocket,
    /// Its read-only twin.
    pub observe: Option<ControlSocket>,
    /// For Prometheus.
    pub metrics: Option<Arc<Listener>>,
    /// Routes and rules. Made anew they are in place; taken over they are as the other daemon has left them.
    pub network: Network,
    /// Outer sockets.
    pub sockets: sockets::Bound,
    /// Of the gateway's device, one for each worker.
    pub queues: Vec<Queue>,
    /// Of connections' own devices that are there.
    pub own: Vec<(Arc<str>, Vec<Queue>)>,
    /// What came from the other daemon.
    pub taken: Option<Vec<Kind>>,
}

impl Ground {
    /// Made anew. If no other daemon is at work here, nothing passes in the clear any more, whatever else keeps us from starting.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn fresh(config: &Config) -> Result<Self, String> {
        Self::patient(config, &Patience::default())
    }

    fn patient(config: &Config, patience: &Patience) -> Result<Self, String> {
        if let Some(sentence) = preflight::powerless() {
            return Err(sentence);
        }
        let control = control(&config.gateway, peer::group(access::OPERATORS), patience);
        // Who has it may be at work without any route that shows it.
        if let Err(error) = &control
            && error.is_taken()
        {
            return Err(error.to_string());
        }
        let network = network(&config.gateway, patience).map_err(|error| match is_rival(&error) {
            true => error.to_string(),
            false => format!("netlink: {error}"),
        })?;
        Self::upon(network, control, config, patience).inspect_err(|_| {
            if protects(config) {
                tracing::warn!(
                    "protected destinations stay unreachable until sandhogd runs; `sandhogd --clear` opens them"
                );
            }
        })
    }

    /// Protection comes first, and stays if the rest fails.
    fn upon(
        mut network: Network,
        control: Result<ControlSocket, socket::Error>,
        config: &Config,
        patience: &Patience,
    ) -> Result<Self, String> {
        let gateway = &config.gateway;
        network.configure(config).map_err(|error| format!("routes: {error}"))?;
        let control = control.map_err(|error| error.to_string())?;
        let bind = || ControlSocket::bind(&gateway.observe_socket, peer::group(access::OBSERVERS));
        let observe = patience
            .wait(bind, socket::Error::is_taken)
            .inspect_err(|error| tracing::warn!("nobody can observe: {error}"))
            .ok();
        if let Some(sentence) = preflight::missing(config) {
            return Err(sentence);
        }
        let workers = workers_of(config);
        let sockets = sockets::bind(gateway, workers, patience)?;
        // Where routes are left alone, the device of who was killed has shown itself nowhere yet.
        let create = || Device::create(&gateway.device, workers.into());
        let queues = patience.wait(create, |error| matches!(error, tun::Error::Taken(_)));
        let queues = queues.map_err(|error| error.to_string())?;
        let metrics = gateway.metrics.map(|address| Arc::new(Listener::new(address, None)));
        metrics.iter().for_each(|metrics| _ = metrics.bind());
        Ok(Self { control, observe, metrics, network, sockets, queues, own: Vec::new(), taken: None })
    }

    /// Taken over; nothing of the host is changed.
    ///
    /// # Errors
    /// A sentence: what was handed over is not what the configuration wants, or cannot be used.
    pub fn taken(config: &Config, heritage: Heritage) -> Result<Self, String> {
        let gateway = &config.gateway;
        let Heritage { descriptors, doors, route_table, state_dir } = heritage;
        let said = |error: io::Error| format!("what was handed over cannot be used: {error}");
        let (mut control, mut observe, mut metrics) = (None, None, None);
        for (door, descriptors) in doors {
            let mut descriptors = descriptors.into_iter();
            match (door, descriptors.next(), descriptors.next()) {
                (Door::Control, Some(listener), Some(lock)) => {
                    control = Some(ControlSocket::adopt(&gateway.control_socket, listener, lock).map_err(said)?);
                }
                (Door::Observe, Some(listener), Some(lock)) => {
                    observe = Some(ControlSocket::adopt(&gateway.observe_socket, listener, lock).map_err(said)?);
                }
                (Door::Metrics, Some(listener), None) => metrics = Some(TcpListener::from(listener)),
                _ => return Err(said(io::ErrorKind::InvalidData.into())),
            }
        }
        let control = control.ok_or_else(|| said(io::ErrorKind::InvalidData.into()))?;
        let kinds = descriptors.iter().map(|(kind, _)| kind.clone()).collect();
        let mut inherited = Inherited::sort(descriptors);
        let leave_alike = inherited.leave_by(gateway.mark, gateway.bind_device.as_deref()).map_err(said)?;
        if !leave_alike || route_table != gateway.route_table || state_dir != gateway.state_dir {
            return Err(OTHERS.into());
        }
        if let Some(device) = gateway.bind_device.clone() {
            outside::bind_to(device);
        }
        let network = Network::open_beside(gateway).map_err(said)?;
        let (engine, of_workers) = inherited.sockets(gateway.mark).map_err(said)?;
        let raw = of_workers.iter().flatten().any(|socket| socket.encap == Encap::Raw);
        let sockets = (sockets::Sockets::adopt(engine, gateway.ports.natt, raw), of_workers);
        let queues = inherited.queues();
        let name = queues.first().map(|queue| queue.hold().name()).transpose().map_err(said)?;
        let here = sockets.0.iter().map(|socket| socket.local_addr());
        if name.as_ref() != Some(&gateway.device) || !here.eq(sockets::wanted(gateway)) {
            return Err(OTHERS.into());
        }
        let address = metrics.as_ref().and_then(|socket| socket.local_addr().ok());
        if address.is_some_and(|address| gateway.metrics != Some(address))
            || usize::from(workers_of(config)) != queues.len()
        {
            tracing::warn!("`workers` and `metrics` of [gateway] change with a restart only");
        }
        // What the other could not bind we try as it did.
        let metrics = address.or(gateway.metrics).map(|address| Arc::new(Listener::new(address, metrics)));
        let own = inherited.own().collect();
        Ok(Self { control, observe, metrics, network, sockets, queues, own, taken: Some(kinds) })
    }

    /// What leads to us besides packets, for another daemon.
    ///
    /// # Errors
    /// When descriptors have run out.
    pub fn doors(&self) -> io::Result<Vec<handover::DoorHandle>> {
        let mut doors = vec![(Door::Control, self.control.twins()?)];
        if let Some(observe) = &self.observe {
            doors.push((Door::Observe, observe.twins()?));
        }
        if let Some(metrics) = self.metrics.as_ref().map_or(Ok(None), |metrics| metrics.socket())? {
            doors.push((Door::Metrics, vec![metrics.into()]));
        }
        Ok(doors)
    }
}

/// Puts routes, rules and the guard in place for what was in force, where a start is refused that has changed nothing yet, and tells of it. If another
/// daemon is at work here it has its own, and what was never in force is not protected.
pub fn close(path: &Path, patience: &Patience) -> Option<String> {
    match keeper::outline(path).and_then(|config| config.map_or(Ok(false), |config| closed(&config, patience))) {
        Ok(false) => None,
        Ok(true) => Some(
            "the destinations that were protected before are unreachable until sandhogd starts; `sandhogd --clear` opens them"
                .into(),
        ),
        Err(why) => Some(format!(
            "what was protected before may be in the clear until sandhogd starts, or closed in part (`sandhogd --clear` opens that): {why}"
        )),
    }
}

fn closed(config: &Config, patience: &Patience) -> Result<bool, String> {
    if !protects(config) {
        return Ok(false);
    }
    if let Some(sentence) = preflight::powerless() {
        return Err(sentence);
    }
    // Held while routes are made, and nobody is to use it.
    let control = control(&config.gateway, None, patience);
    if matches!(&control, Err(error) if error.is_taken()) {
        return Ok(false);
    }
    match network(&config.gateway, patience).and_then(|mut network| network.configure(config)) {
        Ok(()) => Ok(true),
        Err(error) if is_rival(&error) => Ok(false),
        Err(error) => Err(format!("routes: {error}")),
    }
}

/// Something must not pass in the clear.
fn protects(config: &Config) -> bool {
    site::pairs(config).iter().any(|pair| pair.treatment == Treatment::Protect)
}

fn control(gateway: &Gateway, group: Option<u32>, patience: &Patience) -> Result<ControlSocket, socket::Error> {
    patience.wait(|| ControlSocket::bind(&gateway.control_socket, group), socket::Error::is_taken)
}

/// Nothing is changed yet.
fn network(gateway: &Gateway, patience: &Patience) -> io::Result<Network> {
    if let Some(device) = gateway.bind_device.clone() {
        outside::bind_to(device);
    }
    patience.wait(|| Network::open(gateway), is_rival)
}

fn is_rival(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Gateway;
    use crate::daemon::backstop;
    use crate::daemon::routes::PROTOCOL;
    use crate::io::netlink::Netlink;
    use crate::io::netns;
    use crate::io::nft;
    use std::fs::Permissions;
    use std::os::fd::{AsFd, OwnedFd};
    use std::os::unix::fs::PermissionsExt;

    fn config(folder: &Path) -> Config {
        let folder = folder.display();
        let text = format!(
            r#"
            [gateway]
            control_socket = "{folder}/control.sock"
            observe_socket = "{folder}/observe.sock"
            metrics = "192.0.2.77:9464"
            workers = 1
            [connections.a.children.b]
            mode = "drop"
            local_ts = ["10.1.0.0/16"]
            remote_ts = ["10.2.0.0/16"]
            "#
        );
        crate::config::parse(&[crate::config::Source { name: "a.toml".into(), text }], &crate::config::secret::System)
            .unwrap()
    }

    fn alike(folder: &Path, more: &str) -> Config {
        let socket = folder.join("control.sock");
        let device = if more.starts_with("device = ") { "" } else { "device = \"tun0\"" };
        let text = format!(
            "[gateway]\nlisten = [\"127.0.0.1\"]\nports = {{ ike = 5000, natt = 5001 }}\nworkers = 1\ncontrol_socket = {socket:?}\n\
             {device}\n{more}\n"
        );
        crate::config::parse(&[crate::config::Source { name: "a.toml".into(), text }], &crate::config::secret::System)
            .unwrap()
    }

    fn is_protected() -> (bool, bool) {
        let routes = Netlink::open().unwrap().routes(PROTOCOL).unwrap();
        let kept_in = routes.iter().any(|route| route.destination.0.to_string() == "10.2.0.0");
        (kept_in, nft::exists(backstop::TABLE).unwrap_or(false))
    }

    /// An address that comes later keeps nobody from starting, and whatever does, what is protected is so before.
    #[test]
    fn what_fails_at_the_start_leaves_nothing_in_the_clear() {
        netns::fresh(|| {
            let folder = tempfile::tempdir().unwrap();
            let config = config(folder.path());
            let in_its_place = folder.path().join("control.sock");
            std::fs::write(&in_its_place, "precious").unwrap();
            assert_eq!(is_protected(), (false, false));
            let sentence = Ground::patient(&config, &Patience::NONE).unwrap_err();
            assert!(sentence.contains("is not a socket"), "{sentence}");
            let with_nftables = nft::exists("none of ours").is_ok();
            assert_eq!(is_protected(), (true, with_nftables));
            std::fs::remove_file(in_its_place).unwrap();

            let ground = Ground::patient(&config, &Patience::NONE).unwrap();
            let metrics = ground.metrics.as_ref().unwrap();
            assert!(metrics.trouble().is_some_and(|sentence| sentence.contains("192.0.2.77:9464")), "{metrics:?}");
            let doors = ground.doors().unwrap();
            assert_eq!(doors.iter().map(|(door, _)| *door).collect::<Vec<_>>(), [Door::Control, Door::Observe]);
            drop(ground);
            assert_eq!(is_protected(), (true, with_nftables));
        });
    }

    /// A daemon at work need not have routes that show it.
    #[test]
    fn a_second_daemon_changes_nothing() {
        netns::fresh(|| {
            let folder = tempfile::tempdir().unwrap();
            let config = config(folder.path());
            let at_work = ControlSocket::bind(&config.gateway.control_socket, None).unwrap();
            let sentence = Ground::patient(&config, &Patience::NONE).unwrap_err();
            assert!(sentence.contains("already serves"), "{sentence}");
            assert_eq!(is_protected(), (false, false));
            assert!(config.gateway.control_socket.exists());
            drop(at_work);
            Ground::patient(&config, &Patience::NONE).unwrap();
        });
    }

    /// A secret that is not closed any more, or gone, or a store that cannot be read.
    #[test]
    fn a_refused_start_leaves_protected_what_was_in_force() {
        netns::fresh(|| {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name);
            let (main, psk, control) = (at("sandhog.toml"), at("office.psk"), at("control.sock"));
            let text = format!(
                r#"
                [gateway]
                state_dir = {:?}
                control_socket = {control:?}
                [secrets.office]
                id = ["192.0.2.7"]
                secret_file = "office.psk"
                [connections.office]
                remote_addrs = ["192.0.2.7"]
                [connections.office.children.lan]
                local_ts = ["10.1.0.0/16"]
                remote_ts = ["10.2.0.0/16"]
                "#,
                at("state")
            );
            std::fs::write(&main, text).unwrap();
            std::fs::write(&psk, "a secret of some length").unwrap();
            let mode = |mode| std::fs::set_permissions(&psk, Permissions::from_mode(mode)).unwrap();
            let close = || close(&main, &Patience::NONE);
            mode(0o644);
            assert!(keeper::begin(&main, false).is_err());
            assert_eq!((close(), is_protected()), (None, (false, false)), "it was never in force");

            mode(0o600);
            drop(keeper::begin(&main, false).unwrap());
            mode(0o644);
            assert!(keeper::begin(&main, false).is_err());
            let at_work = ControlSocket::bind(&control, None).unwrap();
            assert_eq!((close(), is_protected()), (None, (false, false)), "another daemon sees to it");
            drop(at_work);
            let said = close().unwrap();
            assert!(said.contains("are unreachable") && said.contains("--clear"), "{said}");
            assert_eq!(is_protected(), (true, nft::exists("none of ours").is_ok()));

            std::fs::write(at("state/format"), "2\n").unwrap();
            assert!(keeper::begin(&main, false).is_err());
            let said = close().unwrap();
            assert!(said.contains("are unreachable"), "what the files say is all that can be read: {said}");
            let text = std::fs::read_to_string(&main).unwrap();
            std::fs::write(&main, text.clone() + "[").unwrap();
            let said = close().unwrap();
            assert!(said.contains("may be in the clear") && said.contains("newer Sandhog"), "{said}");

            std::fs::write(&main, text.replace("state_dir", "stat_dir")).unwrap();
            let said = close().unwrap();
            assert!(said.contains("may be in the clear") && said.contains("state_dir"), "it may lie elsewhere: {said}");
            std::fs::write(&main, text.replace("/state\"", "/none\"")).unwrap();
            assert_eq!((close(), at("none").exists()), (None, false), "it was never there");
        });
    }

    /// What the other's sockets, rules and device are like is not what a configuration says that was changed since.
    #[test]
    fn what_changes_with_a_restart_only_is_refused() {
        netns::fresh(|| {
            let folder = tempfile::tempdir().unwrap();
            let ours = alike(folder.path(), "");
            let control = ControlSocket::bind(&ours.gateway.control_socket, None).expect("control");
            let (engine, workers) = sockets::bind(&ours.gateway, 1, &Patience::NONE).expect("sockets");
            let queue = Device::create("tun0", 1).expect("device");
            let heritage = || {
                let twin = |from: &dyn AsFd| from.as_fd().try_clone_to_owned().expect("a descriptor");
                let mut descriptors: Vec<(Kind, OwnedFd)> = Vec::new();
                descriptors.extend(engine.iter().map(|s| (Kind::Engine { gro: s.takes_trains() }, twin(s))));
                for socket in &workers[0] {
                    let kind = Kind::Worker { index: 0, encap: socket.encap, local: socket.local };
                    descriptors.push((kind, twin(&socket.io)));
                }
                descriptors.push((Kind::Queue, twin(&queue[0])));
                let doors = vec![(Door::Control, control.twins().expect("twins"))];
                let Gateway { route_table, state_dir, .. } = ours.gateway.clone();
                Heritage { descriptors, doors, route_table, state_dir }
            };
            Ground::taken(&ours, heritage()).expect("it fits");
            let state_dir = "state_dir = \"/data/sandhog\"";
            for more in ["mark = 7", "route_table = 7", "bind_device = \"eth7\"", "device = \"tun1\"", state_dir] {
                let refused = Ground::taken(&alike(folder.path(), more), heritage()).expect_err(more);
                assert!(refused.contains("they change with a restart only"), "{more}: {refused}");
            }
        });
    }
}
