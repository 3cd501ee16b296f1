//! The picture that the API shows: the endpoint's status, what is installed, and the counters, by the names of interface.md.
use super::clock;
use super::devices::Devices;
use super::doctor::{History, Told};
use super::expiry;
use super::install::Installer;
use super::keylog::Keylog;
use super::leases::Leases;
use super::places::{Key, Places};
use super::probes::Probes;
use crate::config::remedy::Known;
use crate::config::{ChildConfig, Config, ConnectionConfig, Interface, Mode, remedy};
use crate::control::board::Piece;
use crate::control::types::{self, ChildMode, ChildSa, ChildState, ConnectionState, IkeSa, Peer};
use crate::esp::drop::Drop;
use crate::ike::diagnose::{self, Certainty};
use crate::ike::policy::{self, StartAction};
use crate::ike::status::{self, ConnectionStatus, IkeStatus, State};
use crate::ipsec::fitting::Fitting;
use crate::ipsec::path::Encap;
use crate::ipsec::tables::{ChildCounters, OutboundEntry};
use crate::wire::keyword;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where the picture is taken from.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// What is installed.
    pub installer: &'a Installer,
    /// Of connections' own.
    pub devices: &'a Devices,
    /// Slots of children.
    pub places: &'a Places,
    /// Addresses of configuration payloads.
    pub leases: &'a Leases,
    /// Monitors of children.
    pub probes: &'a Probes,
    /// Keys for Wireshark.
    pub keylog: &'a Keylog,
    /// What went wrong until now.
    pub history: &'a History,
}
impl View<'_> {
    /// One connection. Without a policy IKE never hears of it: its children all pass or drop.
    pub fn piece(
        &self,
        config: &ConnectionConfig,
        policy: Option<&policy::Connection>,
        status: Option<&ConnectionStatus>,
    ) -> Piece {
        let shown = self.connection(config, policy, status);
        let of_peer =
            |peer: Option<u32>| config.children.iter().map(move |child| self.counters(config, &child.name, peer));
        let of_peers = shown.peers.iter().flat_map(|peer| of_peer(Some(peer.id)));
        let counters = of_peer(None).chain(of_peers).collect();
        Piece::new(shown, counters)
    }

    fn connection(
        &self,
        config: &ConnectionConfig,
        policy: Option<&policy::Connection>,
        status: Option<&ConnectionStatus>,
    ) -> types::Connection {
        let credentials = self.config.policy.credentials.get(&config.name);
        let ending = credentials.map_or_else(Vec::new, |c| expiry::warnings(c, clock::unix()));
        let (hindered, not_passing) = self.probes.of(&config.name);
        let warnings = self.keylog.warning(config).into_iter().chain(ending).chain(self.devices.warnings(&config.name));
        let warnings = warnings.chain(hindered);
        let sas = status.map_or(&[][..], |status| &status.sas);
        let current = sas.iter().find(|sa| sa.state == State::Up).or(sas.last());
        let shown = current.map(|sa| self.ike_sa(sa));
        let children = config.children.iter().map(|child| self.child(config, policy, &child.name, sas, None));
        let any = |policy: &policy::Connection| policy.remote_addrs.iter().all(|r| matches!(r, policy::Remote::Any));
        let responds_only = policy.is_some_and(any);
        let peers = sas.iter().filter(|sa| responds_only && sa.peer != 0).map(|sa| self.peer(config, policy, sa));
        types::Connection {
            name: config.name.to_string(),
            profile: config.profile.clone(),
            state: status.map_or(ConnectionState::Down, |status| connection_state(status.state)),
            since: shown.as_ref().and_then(|sa| sa.since.clone()),
            local: shown.as_ref().map(|sa| sa.local.clone()),
            remote: shown.as_ref().map(|sa| sa.remote.clone()),
            local_id: shown
                .as_ref()
                .and_then(|sa| sa.local_id.clone())
                .or_else(|| policy?.local_id.as_ref().map(ToString::to_string)),
            remote_id: shown.as_ref().and_then(|sa| sa.remote_id.clone()).or_else(|| expected_id(policy?)),
            ike: shown.map(|sa| sa.ike),
            children: children.collect(),
            sas: sas.iter().map(|sa| self.ike_sa(sa)).collect(),
            peers: peers.collect(),
            last_failure: status
                .and_then(|status| status.last_failure.as_ref())
                .filter(|failure| !is_over(failure, sas, responds_only))
                .into_iter()
                .chain(not_passing)
                .max_by_key(|failure| failure.time)
                .map(|found| types::Failure {
                    id: self.history.id_of(found),
                    ..failure(found, Known { secrets: &self.config.policy.secrets, connection: Some(config), policy })
                }),
            certificate_until: credentials.and_then(|c| expiry::until(c)),
            interface: config.interface.as_ref().map(|interface| self.interface(config, interface)),
            warnings: warnings.collect(),
        }
    }

    fn interface(&self, config: &ConnectionConfig, interface: &Interface) -> types::Interface {
        let (name, present) = self.devices.of(&config.name).unwrap_or((&interface.name, false));
        types::Interface { name: name.to_owned(), netns: interface.namespace(), present }
    }

    fn peer(&self, config: &ConnectionConfig, policy: Option<&policy::Connection>, sa: &IkeStatus) -> Peer {
        let sas = std::slice::from_ref(sa);
        Peer {
            id: sa.peer,
            state: connection_state(sa.state),
            since: sa.since.map(clock::rfc3339),
            remote: sa.remote.to_string(),
            remote_id: sa.remote_id.as_ref().map(ToString::to_string),
            children: config
                .children
                .iter()
                .map(|child| self.child(config, policy, &child.name, sas, Some(sa.peer)))
                .collect(),
        }
    }

    /// A configured child; of one peer, or of all.
    fn child(
        &self,
        config: &ConnectionConfig,
        policy: Option<&policy::Connection>,
        name: &Arc<str>,
        ikes: &[IkeStatus],
        peer: Option<u32>,
    ) -> types::Child {
        let settings = config.children.iter().find(|child| child.name == *name);
        let sas: Vec<_> = ikes.iter().flat_map(|ike| &ike.children).filter(|sa| sa.name == *name).collect();
        let in_use = |sa: &&&status::ChildStatus| !sa.connecting && !sa.closing && sa.resource.is_none();
        let current = sas.iter().find(in_use).or(sas.first());
        let installed = current.and_then(|sa| self.installer.get(sa.id));
        let path = installed.map(|sa| **sa.outbound.path.load());
        let text = |selectors: &[crate::wire::selector::Selector]| selectors.iter().map(ToString::to_string).collect();
        let configured =
            settings.map_or((Vec::new(), Vec::new()), |child| (text(&child.local_ts), text(&child.remote_ts)));
        let (local_ts, remote_ts) =
            installed.map_or(configured, |sa| (text(&sa.outbound.local_ts), text(&sa.outbound.remote_ts)));
        let start =
            policy.and_then(|policy| policy.children.iter().find(|child| child.name == *name)).map(|child| child.start);
        let negotiated = settings.is_some_and(|child| matches!(child.mode, Mode::Tunnel | Mode::Transport));
        let routed = !negotiated || start == Some(StartAction::Trap);
        types::Child {
            name: name.to_string(),
            mode: settings.map_or(ChildMode::Tunnel, |child| child_mode(child.mode)),
            state: child_state(&sas, routed),
            wanted: negotiated && start == Some(StartAction::Start),
            spi_in: installed.map(|sa| spi(sa.terms.spi_in)),
            spi_out: installed.map(|sa| spi(sa.terms.spi_out)),
            proposal: installed.map(|sa| sa.terms.proposal.clone()),
            encap: path.map(|path| path.encap == Encap::Udp),
            local_ts,
            remote_ts,
            translate: settings.and_then(|child| child.translation).map(|translation| {
                let [local, remote] = translation.here().map(|here| here.map(|(addr, len)| format!("{addr}/{len}")));
                types::Translate { local, remote }
            }),
            mtu: installed.map(|sa| mtu(&sa.outbound, settings.map(ChildConfig::fitting).unwrap_or_default())),
            bytes_in: 0,
            bytes_out: 0,
            packets_in: 0,
            packets_out: 0,
            drops: Drop::ALL.iter().map(|drop| (drop.name().to_owned(), 0)).collect(),
            rekey_in_s: current.and_then(|sa| sa.rekey_at).map(milliseconds),
            sas: sas.iter().map(|sa| self.child_sa(sa)).collect(),
            monitor: self.probes.shown(&config.name, name).filter(|_| peer.is_none()),
        }
    }

    /// The counters of the child's slots, of one peer or of all.
    fn counters(&self, config: &ConnectionConfig, name: &Arc<str>, peer: Option<u32>) -> Vec<Arc<ChildCounters>> {
        let children = self.installer.tables().children.load();
        let counters = |slot| children.get(slot).map(|child| child.counters.clone());
        match peer {
            Some(peer) => {
                let key = Key { connection: config.name.clone(), child: name.clone(), peer };
                self.places.find(&key).and_then(counters).into_iter().collect()
            }
            None => {
                let slots = self.places.of(&config.name).filter(|(key, _)| key.child == *name);
                let gone = self.installer.tables().gone(&format!("{}/{name}", config.name));
                slots.filter_map(|(_, slot)| counters(slot)).chain(gone).collect()
            }
        }
    }

    fn ike_sa(&self, sa: &IkeStatus) -> IkeSa {
        let texts = |addrs: &[IpAddr]| addrs.iter().map(ToString::to_string).collect();
        let (vips, leases) =
            self.leases.of(sa.id).map(|lease| (texts(&lease.ours), texts(&lease.theirs))).unwrap_or_default();
        IkeSa {
            id: sa.id.0,
            state: connection_state(sa.state),
            since: sa.since.map(clock::rfc3339),
            local: sa.local.to_string(),
            remote: sa.remote.to_string(),
            local_id: sa.local_id.as_ref().map(ToString::to_string),
            remote_id: sa.remote_id.as_ref().map(ToString::to_string),
            vips,
            leases,
            ike: types::Ike {
                spi_i: sa.spi_i.to_string(),
                spi_r: sa.spi_r.to_string(),
                initiator: sa.initiator,
                proposal: sa.proposal.as_ref().map(keyword::proposal),
                rekey_in_s: sa.rekey_at.map(milliseconds),
                nat: sa.nat.into(),
                ppk: sa.ppk,
            },
        }
    }

    fn child_sa(&self, sa: &status::ChildStatus) -> ChildSa {
        let terms = self.installer.get(sa.id).map(|installed| &installed.terms);
        ChildSa {
            id: sa.id.0,
            state: one_child_state(sa),
            since: Some(clock::rfc3339(sa.since)),
            spi_in: spi(sa.spi_in),
            spi_out: spi(sa.spi_out),
            proposal: terms.map(|terms| terms.proposal.clone()),
            esn: terms.is_some_and(|terms| terms.esn),
            resource: sa.resource,
        }
    }
}

/// When, as a [`Piece`] has it: the seconds that are left are counted for whoever asks.
fn milliseconds(at: Duration) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or(u64::MAX)
}

/// The largest inner packet of a child that its path takes whole as it is now, under its cipher. Its hosts may be told of more: IPv6 of up to 1280
/// octets is fragmented outside.
pub(super) fn mtu(sa: &OutboundEntry, fitting: Fitting) -> u16 {
    let path = sa.path.load();
    let outside = match path.remote.is_ipv4() {
        _ if !sa.transport => 0,
        true => 20,
        false => 40,
    };
    let whole = fitting.mtu(usize::from(path.inner_mtu(sa.sa.params().cipher)) + outside);
    u16::try_from(whole).unwrap_or(u16::MAX)
}

/// What failed has been done since: the SA that was wanted, or that of the child, is up. Where many peers come, the success of one says
/// nothing about another.
pub(super) fn is_over(failure: &diagnose::Failure, sas: &[IkeStatus], responds_only: bool) -> bool {
    let concerned = |sa: &&IkeStatus| {
        let same = failure.remote.is_none_or(|remote| remote.ip() == sa.remote.ip());
        sa.state == State::Up && (same || !responds_only)
    };
    sas.iter().filter(concerned).any(|sa| match &failure.child {
        Some(name) => {
            let up = |child: &&status::ChildStatus| !child.connecting && !child.closing && child.name == *name;
            sa.children.iter().filter(up).any(|child| child.since >= failure.time)
        }
        None => sa.since.is_some_and(|since| since >= failure.time),
    })
}

/// A failure with the words for it.
pub fn failure(failure: &diagnose::Failure, known: Known<'_>) -> types::Failure {
    let remedy::Remedy { explain, fix, names } = remedy::explain(failure, known);
    let values = |all: &diagnose::Values| all.iter().map(|(what, values)| (what.to_owned(), values.to_vec())).collect();
    let texts = |list: &[&'static str]| list.iter().map(|text| (*text).to_owned()).collect();
    types::Failure {
        id: None,
        time: clock::rfc3339(failure.time),
        connection: failure.connection.as_deref().map(str::to_owned),
        child: failure.child.as_deref().map(str::to_owned),
        phase: failure.phase.name().into(),
        side: if failure.initiator { "initiator" } else { "responder" }.into(),
        code: failure.code.into(),
        certainty: match failure.certainty {
            Certainty::Proven => "proven".into(),
            Certainty::Likely => "likely".into(),
        },
        candidates: texts(&failure.candidates),
        local: values(&failure.local),
        peer: values(&failure.peer),
        differing: texts(&failure.differing),
        notify: failure.notify.clone(),
        explain,
        fix,
        names,
    }
}

/// A diagnosis of the history.
pub fn diagnosis(told: &Told, known: Known<'_>) -> types::Diagnosis {
    let id = (told.id > 0).then_some(told.id);
    let failure = types::Failure { id, ..failure(&told.failure, known) };
    types::Diagnosis { failure, count: told.count, first: clock::rfc3339(told.first) }
}

fn expected_id(policy: &policy::Connection) -> Option<String> {
    match &policy.remote_id {
        policy::IdMatch::Exact(id) => Some(id.to_string()),
        policy::IdMatch::Any => None,
    }
}

fn connection_state(state: State) -> ConnectionState {
    match state {
        State::Down => ConnectionState::Down,
        State::Connecting => ConnectionState::Connecting,
        State::Up => ConnectionState::Up,
        State::Closing => ConnectionState::Closing,
        State::Failed => ConnectionState::Failed,
    }
}

fn child_mode(mode: Mode) -> ChildMode {
    match mode {
        Mode::Tunnel => ChildMode::Tunnel,
        Mode::Transport => ChildMode::Transport,
        Mode::Pass => ChildMode::Pass,
        Mode::Drop => ChildMode::Drop,
    }
}

fn one_child_state(sa: &status::ChildStatus) -> ChildState {
    match () {
        () if sa.closing => ChildState::Closing,
        () if sa.connecting => ChildState::Connecting,
        () if sa.rekeying => ChildState::Rekeying,
        () => ChildState::Up,
    }
}

/// Of all SAs of a child together. `routed`: packets may bring it up, or need no SA.
fn child_state(sas: &[&status::ChildStatus], routed: bool) -> ChildState {
    let any = |state| sas.iter().any(|sa| one_child_state(sa) == state);
    if any(ChildState::Rekeying) {
        return ChildState::Rekeying;
    }
    match (any(ChildState::Up), any(ChildState::Connecting), any(ChildState::Closing)) {
        (true, true, _) => ChildState::Rekeying,
        (true, false, _) => ChildState::Up,
        (false, true, _) => ChildState::Connecting,
        (false, false, true) => ChildState::Closing,
        (false, false, false) if routed => ChildState::Routed,
        (false, false, false) => ChildState::Down,
    }
}

fn spi(spi: u32) -> String {
    format!("{spi:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::crypto::cipher::Cipher;
    use crate::crypto::rng::SeededRng;
    use crate::crypto::secret::Secret;
    use crate::esp::SaParams;
    use crate::esp::outbound::OutboundSa;
    use crate::ike::event::ChildId;
    use crate::ipsec::path::Path;
    use crate::ipsec::tables::Traffic;
    use arc_swap::ArcSwap;

    /// Under AES-GCM in UDP.
    #[test]
    fn the_mtu_of_a_child_is_what_its_hosts_may_send() {
        let of = |path_mtu, ts: &[&str], transport, fitting| {
            let end = ([192, 0, 2, 1], 4500).into();
            let path = Path { local: end, remote: end, encap: Encap::Udp, may_move: false, mtu: path_mtu };
            let (spi, cipher, integ) = (1000, Cipher::AesGcm128, Secret::default());
            let params = SaParams { spi, cipher, encr: Secret::new(vec![7; 20]), integ, esn: false };
            let ts: Arc<[_]> = ts.iter().map(|ts| ts.parse().unwrap()).collect();
            let entry = OutboundEntry {
                sa: OutboundSa::new(&params, [0; 16]),
                local_ts: ts.clone(),
                remote_ts: ts,
                path: Arc::new(ArcSwap::from_pointee(path)),
                transport,
                traffic: Traffic::default(),
            };
            mtu(&entry, fitting)
        };
        let auto = Fitting::default();
        let said = Fitting { mtu: Some(1400), ..auto };
        assert_eq!(of(1500, &["10.1.0.0/16"], false, auto), 1438);
        assert_eq!(of(1500, &["10.1.0.0/16"], true, auto), 1458);
        assert_eq!((of(1500, &["10.1.0.0/16"], false, said), of(1400, &["10.1.0.0/16"], false, said)), (1400, 1338));
        assert_eq!(of(1280, &["10.1.0.0/16"], false, auto), 1218);
        assert_eq!(of(1280, &["fd00::/64"], false, auto), 1218);
    }

    fn sa(connecting: bool, closing: bool) -> status::ChildStatus {
        status::ChildStatus {
            id: ChildId(1),
            name: "lan".into(),
            resource: None,
            closing,
            connecting,
            rekeying: false,
            spi_in: 1,
            spi_out: 2,
            since: Duration::ZERO,
            rekey_at: None,
        }
    }

    /// Up since then, or not yet.
    fn ike(since: Option<u64>, children: Vec<status::ChildStatus>) -> IkeStatus {
        IkeStatus {
            id: crate::ike::event::IkeId(1),
            peer: 0,
            state: if since.is_some() { State::Up } else { State::Connecting },
            since: since.map(Duration::from_secs),
            local: ([192, 0, 2, 1], 500).into(),
            remote: ([192, 0, 2, 8], 500).into(),
            local_id: None,
            remote_id: None,
            spi_i: crate::wire::message::IkeSpi([1; 8]),
            spi_r: crate::wire::message::IkeSpi([2; 8]),
            initiator: true,
            proposal: None,
            nat: "none",
            udp: false,
            ppk: false,
            rekey_at: None,
            children,
        }
    }

    #[test]
    fn the_state_of_a_child_is_that_of_its_best_sa() {
        let (up, connecting, closing) = (sa(false, false), sa(true, false), sa(false, true));
        assert_eq!(child_state(&[], false), ChildState::Down);
        assert_eq!(child_state(&[], true), ChildState::Routed);
        assert_eq!(child_state(&[&connecting], true), ChildState::Connecting);
        assert_eq!(child_state(&[&up], false), ChildState::Up);
        assert_eq!(child_state(&[&up, &connecting], false), ChildState::Rekeying);
        let rekeying = status::ChildStatus { rekeying: true, ..sa(false, false) };
        assert_eq!(child_state(&[&rekeying], false), ChildState::Rekeying);
        assert_eq!(child_state(&[&closing, &up], false), ChildState::Up);
        assert_eq!(child_state(&[&closing], false), ChildState::Closing);
    }

    #[test]
    fn a_connection_without_ike_is_shown_and_moves_no_other() {
        let text = r#"
            [connections.a.children.holes]
            mode = "drop"
            local_ts = ["10.1.0.0/16"]
            remote_ts = ["10.3.0.0/16"]
            [connections.b]
            remote_addrs = ["192.0.2.2"]
            local = { auth = "psk", id = "l" }
            remote = { auth = "psk", id = "r" }
            [connections.b.children.net]
            local_ts = ["10.1.0.0/16"]
            remote_ts = ["10.2.0.0/16"]
            start_action = "trap"
            [secrets.ike-b]
            id = ["r"]
            secret = "correct horse battery staple 7Q"
        "#;
        let source = config::Source { name: "a.toml".into(), text: text.into() };
        let config = config::parse(&[source], &config::secret::System).unwrap();
        let tables = Arc::new(crate::ipsec::tables::Tables::new());
        let installer = Installer::new(tables, crate::ipsec::spd::DeviceId(0), |_, _| 1500, 1);
        let places = Places::new(1, &mut SeededRng::new(1));
        let view = View {
            config: &config,
            installer: &installer,
            devices: &Devices::new(Vec::new()),
            places: &places,
            leases: &Leases::default(),
            probes: &Probes::default(),
            keylog: &Keylog::default(),
            history: &History::default(),
        };
        let policy =
            |name: &str| config.policy.connections.iter().find(|policy| &*policy.name == name).map(|policy| &**policy);
        let shown: Vec<_> = config.connections.iter().map(|c| view.connection(c, policy(&c.name), None)).collect();
        let ids: Vec<_> = shown.iter().map(|c| (&*c.name, c.remote_id.as_deref())).collect();
        assert_eq!(ids, [("a", None), ("b", Some("r"))]);
        assert!(shown.iter().all(|c| c.children[0].state == ChildState::Routed));
    }

    #[test]
    fn a_failure_is_over_when_what_failed_has_been_done() {
        let at = Duration::from_secs;
        let mut failure = diagnose::Failure::new(at(10), diagnose::Phase::IkeAuth, true, "auth.failed");
        failure.remote = Some(([192, 0, 2, 7], 500).into());
        assert!(!is_over(&failure, &[], false));
        assert!(!is_over(&failure, &[ike(None, vec![]), ike(Some(9), vec![])], false));
        assert!(is_over(&failure, &[ike(None, vec![]), ike(Some(11), vec![])], false));
        assert!(!is_over(&failure, &[ike(Some(11), vec![])], true), "another peer");
        failure.child = Some("lan".into());
        let lan = |since, closing| status::ChildStatus { since: at(since), ..sa(false, closing) };
        assert!(!is_over(&failure, &[ike(Some(11), vec![])], false), "the IKE SA is not the child");
        assert!(!is_over(&failure, &[ike(Some(11), vec![lan(9, false), lan(12, true)])], false));
        assert!(is_over(&failure, &[ike(Some(5), vec![lan(9, false), lan(12, false)])], false));
    }

    #[test]
    fn spis_have_eight_digits() {
        assert_eq!(spi(0xf1), "000000f1");
    }
}
