//! What a daemon stands on: sockets and devices. It is made anew, or taken over from the daemon that was there before.
use super::descriptors::{Inherited, Kind};
use super::handover::{self, Door, Heritage};
use super::network::Network;
use super::{preflight, sockets, workers_of};
use crate::config::Config;
use crate::control::access;
use crate::control::metrics::listener;
use crate::control::socket::{self, ControlSocket};
use crate::io::tun::{self, Device, Queue};
use crate::io::{outside, peer};
use crate::ipsec::path::Encap;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

/// Sockets, rules and the device cannot be changed under packets.
const OTHERS: &str = "`listen`, `ports`, `device`, `bind_device`, `mark` or `route_table` of [gateway] are others than those of the daemon at work: they change with a restart only";

/// All of it.
#[derive(Debug)]
pub struct Ground {
    /// The socket of the API.
    pub control: ControlSocket,
    /// Its read-only twin.
    pub observe: Option<ControlSocket>,
    /// For Prometheus.
    pub metrics: Option<Arc<TcpListener>>,
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
    /// Made anew: nothing passes in the clear from then on, whatever else keeps us from starting.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn fresh(config: &Config) -> Result<Self, String> {
        let gateway = &config.gateway;
        let said = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
        let bind = || ControlSocket::bind(&gateway.control_socket, peer::group(access::OPERATORS));
        let control = handover::patiently(bind, socket::Error::is_taken).map_err(|error| error.to_string())?;
        let bind = || ControlSocket::bind(&gateway.observe_socket, peer::group(access::OBSERVERS));
        let observe = handover::patiently(bind, socket::Error::is_taken)
            .inspect_err(|error| tracing::warn!("nobody can observe: {error}"))
            .ok();
        if let Some(sentence) = preflight::powerless() {
            return Err(sentence);
        }
        let is_rival = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        let bind = |address| handover::patiently(|| listener::bind(address), is_rival);
        let metrics = gateway.metrics.map(bind).transpose().map_err(|error| error.to_string())?.map(Arc::new);
        if let Some(device) = gateway.bind_device.clone() {
            outside::bind_to(device);
        }
        let network = handover::patiently(|| Network::open(gateway), is_rival);
        let mut network = network.map_err(|error| match is_rival(&error) {
            true => error.to_string(),
            false => said("netlink")(error),
        })?;
        network.configure(config).map_err(said("routes"))?;
        if let Some(sentence) = preflight::missing(config) {
            return Err(sentence);
        }
        let workers = workers_of(config);
        let sockets = sockets::bind(gateway, workers)?;
        // Where routes are left alone, the device of who was killed has shown itself nowhere yet.
        let create = || Device::create(&gateway.device, workers.into());
        let queues = handover::patiently(create, |error| matches!(error, tun::Error::Taken(_)));
        let queues = queues.map_err(|error| error.to_string())?;
        Ok(Self { control, observe, metrics, network, sockets, queues, own: Vec::new(), taken: None })
    }

    /// Taken over; nothing of the host is changed.
    ///
    /// # Errors
    /// A sentence: what was handed over is not what the configuration wants, or cannot be used.
    pub fn taken(config: &Config, heritage: Heritage) -> Result<Self, String> {
        let gateway = &config.gateway;
        let Heritage { descriptors, doors, route_table } = heritage;
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
                (Door::Metrics, Some(listener), None) => metrics = Some(Arc::new(TcpListener::from(listener))),
                _ => return Err(said(io::ErrorKind::InvalidData.into())),
            }
        }
        let control = control.ok_or_else(|| said(io::ErrorKind::InvalidData.into()))?;
        let kinds = descriptors.iter().map(|(kind, _)| kind.clone()).collect();
        let mut inherited = Inherited::sort(descriptors);
        let leave_alike = inherited.leave_by(gateway.mark, gateway.bind_device.as_deref()).map_err(said)?;
        if !leave_alike || route_table != gateway.route_table {
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
        let asked = gateway.metrics.is_some() == metrics.is_some();
        if !asked || usize::from(workers_of(config)) != queues.len() {
            tracing::warn!("`workers` and `metrics` of [gateway] change with a restart only");
        }
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
        if let Some(metrics) = &self.metrics {
            doors.push((Door::Metrics, vec![metrics.try_clone()?.into()]));
        }
        Ok(doors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Source};
    use crate::io::netns::fresh;
    use std::os::fd::{AsFd, OwnedFd};

    fn config(folder: &std::path::Path, more: &str) -> Config {
        let socket = folder.join("control.sock");
        let device = if more.starts_with("device = ") { "" } else { "device = \"tun0\"" };
        let text = format!(
            "[gateway]\nlisten = [\"127.0.0.1\"]\nports = {{ ike = 5000, natt = 5001 }}\nworkers = 1\ncontrol_socket = {socket:?}\n\
             {device}\n{more}\n"
        );
        config::parse(&[Source { name: "a.toml".into(), text }], &config::secret::System).expect("valid")
    }

    /// What the other's sockets, rules and device are like is not what a configuration says that was changed since.
    #[test]
    fn what_changes_with_a_restart_only_is_refused() {
        fresh(|| {
            let folder = std::env::temp_dir().join(format!("sandhog-ground-{}", std::process::id()));
            std::fs::create_dir_all(&folder).expect("folder");
            let ours = config(&folder, "");
            let control = ControlSocket::bind(&ours.gateway.control_socket, None).expect("control");
            let (engine, workers) = sockets::bind(&ours.gateway, 1).expect("sockets");
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
                Heritage { descriptors, doors, route_table: ours.gateway.route_table }
            };
            Ground::taken(&ours, heritage()).expect("it fits");
            for more in ["mark = 7", "route_table = 7", "bind_device = \"lo\"", "device = \"tun1\""] {
                let refused = Ground::taken(&config(&folder, more), heritage()).expect_err(more);
                assert!(refused.contains("they change with a restart only"), "{more}: {refused}");
            }
            drop(control);
            std::fs::remove_dir_all(&folder).expect("remove");
        });
    }
}
