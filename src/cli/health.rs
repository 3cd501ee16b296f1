//! `sandhog health`: for whoever has to decide by a program's exit code whether the gateway works, such as the probes of a cluster. IKE is asked as a
//! stranger would ask it, at its own port, so that sockets, the engine's thread and its answer are all on the way.
use super::client::{Client, ClientError};
use super::output::{self, plain};
use crate::control::types::{Child, ChildState, Connection, Info, MonitorState, Status};
use crate::wire::message::{HEADER_LEN, Header, IkeSpi, Message};
use crate::wire::payload::Payload;
use crate::wire::registry::{ExchangeType, NotifyType, PayloadType};
use serde::Serialize;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

/// A question is asked again after this time: four a second.
const EACH: Duration = Duration::from_millis(250);
const PER_SECOND: u64 = 4;
/// Datagrams that are no answer, and are looked at before the question is asked again.
const STRAYS: usize = 16;
/// The answer is a notification and never longer than the question.
const QUESTION: usize = HEADER_LEN + 8;
/// Names that stand in a sentence.
const NAMES: usize = 5;

/// What is asked.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only: does the daemon answer IKE at its own port?
    #[arg(long)]
    ike: bool,
    /// Only: are all children with start_action = "start" up, and does no monitor say that nothing passes?
    #[arg(long)]
    tunnels: bool,
    /// How long IKE has to answer, in seconds
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Health {
    healthy: bool,
    checks: Vec<Check>,
}
#[derive(Debug, PartialEq, Serialize)]
struct Check {
    check: &'static str,
    healthy: bool,
    /// One sentence.
    why: String,
}

/// Looks, says it, and ends with 0 or 1; 3 if the daemon cannot be reached.
pub(super) fn run(client: &Client, args: &Args, json: bool) -> ExitCode {
    match examine(client, args) {
        Err(error) => output::failed(&error, json),
        Ok(health) => {
            if json {
                output::json(&health);
            } else {
                let said = |check: &Check| format!("{}: {}", check.check, check.why);
                output::text(&health.checks.iter().map(said).collect::<Vec<_>>().join("\n"));
            }
            if health.healthy { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
    }
}

fn examine(client: &Client, args: &Args) -> Result<Health, ClientError> {
    let both = args.ike == args.tunnels;
    let mut checks = Vec::new();
    if args.ike || both {
        let info: Info = client.get("/v1/info")?;
        checks.push(match &info.bind_device {
            Some(device) => bound(device),
            None => ike(&places(&info.ike), args.timeout),
        });
    }
    if args.tunnels || both {
        checks.push(tunnels(&client.get("/v1/connections")?));
    }
    Ok(Health { healthy: checks.iter().all(|check| check.healthy), checks })
}

/// Where this host itself finds the daemon's sockets.
fn places(sockets: &[String]) -> Vec<SocketAddr> {
    let here = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), addr.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), addr.port()),
        _ => addr,
    };
    sockets.iter().filter_map(|text| text.parse().ok()).map(here).collect()
}

/// Packets of this host to itself do not come by a device: nobody here can ask. It was the engine, which answers IKE, that has told of the device.
fn bound(device: &str) -> Check {
    let why =
        format!("the engine answers; its sockets are bound to {}, where this host cannot ask them", plain(device));
    Check { check: "ike", healthy: true, why }
}

/// One answer is enough: an address may have gone with its uplink, and a host may have no IPv6.
fn ike(places: &[SocketAddr], seconds: u64) -> Check {
    let tries = (seconds * PER_SECOND).div_ceil(places.len().max(1) as u64);
    let mut silent = Vec::new();
    for place in places {
        match ask(*place, tries) {
            Ok(()) => return Check { check: "ike", healthy: true, why: format!("it answers at {place}") },
            Err(error) => silent.push(format!("{place}: {error}")),
        }
    }
    let why = match silent.is_empty() {
        true => "the daemon does not tell where it answers; is it of another version?".into(),
        false => format!("no answer ({})", silent.join("; ")),
    };
    Check { check: "ike", healthy: false, why }
}

fn ask(place: SocketAddr, tries: u64) -> io::Result<()> {
    // From where no stranger's datagram comes: what bounds our answers to strangers does not hold there.
    let here: IpAddr = if place.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    let socket = UdpSocket::bind((here, 0))?;
    socket.connect(place)?;
    socket.set_read_timeout(Some(EACH))?;
    // Nobody has to be unable to guess it: it tells one question from another.
    let spi = IkeSpi((RandomState::new().build_hasher().finish() | 1).to_be_bytes());
    let mut answer = [0; 1500];
    for _ in 0..tries {
        socket.send(&question(spi))?;
        for _ in 0..STRAYS {
            match socket.recv(&mut answer) {
                Ok(n) if is_answer(&answer[..n], spi) => return Ok(()),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "silence"))
}

/// A message of a version that is to come. It must be answered (RFC 7296 section 2.5), and leaves nothing behind.
fn question(spi_i: IkeSpi) -> [u8; QUESTION] {
    let header = Header {
        spi_i,
        spi_r: IkeSpi::NONE,
        first: PayloadType::NONE,
        version: (3, 0),
        exchange: ExchangeType::IKE_SA_INIT,
        initiator: true,
        response: false,
        id: 0,
        length: QUESTION as u32,
    };
    let mut octets = [0; QUESTION];
    octets[..HEADER_LEN].copy_from_slice(&header.encode());
    octets
}

fn is_answer(octets: &[u8], spi: IkeSpi) -> bool {
    let refusal = |payload: &Payload| matches!(payload, Payload::Notify(notify) if notify.kind == NotifyType::INVALID_MAJOR_VERSION);
    Message::parse(octets).is_ok_and(|message| {
        message.header.response && message.header.spi_i == spi && message.payloads.iter().any(refusal)
    })
}

fn tunnels(status: &Status) -> Check {
    let of = |connection: &'_ Connection| connection.children.iter().filter(|child| child.wanted).count();
    let wanted: usize = status.connections.iter().map(of).sum();
    let ailing: Vec<_> = status.connections.iter().flat_map(ailing).collect();
    let why = match (wanted, ailing.len()) {
        (0, _) => "no child has start_action = \"start\"".into(),
        (_, 0) => format!("all {wanted} that are to be up are"),
        (_, count) => {
            let more = if count > NAMES { format!(" and {} more", count - NAMES) } else { String::new() };
            format!("{count} of {wanted} are not as they should be: {}{more}", ailing[..count.min(NAMES)].join(", "))
        }
    };
    Check { check: "tunnels", healthy: ailing.is_empty(), why }
}

/// Children that are to be up and carry nothing, with the reason.
fn ailing(connection: &Connection) -> impl Iterator<Item = String> {
    connection.children.iter().filter(|child| child.wanted).filter_map(move |child| {
        let why = match ailment(child)? {
            "" => connection.last_failure.as_ref().map_or(child.state.name(), |failure| &failure.code),
            why => why,
        };
        Some(plain(&format!("{}/{} ({why})", connection.name, child.name)))
    })
}

/// What is wrong with a child; nothing: it is not up.
fn ailment(child: &Child) -> Option<&'static str> {
    if !matches!(child.state, ChildState::Up | ChildState::Rekeying) {
        return Some("");
    }
    let failing = child.monitor.as_ref().is_some_and(|monitor| monitor.state == MonitorState::Failing);
    failing.then_some("its monitor says that nothing passes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::payload::Notify;
    use serde_json::json;

    fn answer(spi: IkeSpi, kind: NotifyType) -> Vec<u8> {
        let header = Header::parse(&question(spi)).unwrap();
        let header = Header { version: (2, 0), initiator: false, response: true, ..header };
        Message { header, payloads: vec![Payload::Notify(Notify::new(kind, Vec::new()))] }.encode()
    }

    /// A daemon that says this when it is asked for the second time.
    fn daemon(said: fn(IkeSpi) -> Vec<u8>) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let place = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut asked = [0; 64];
            socket.recv_from(&mut asked).unwrap();
            let (n, from) = socket.recv_from(&mut asked).unwrap();
            let spi = Header::parse(&asked[..n]).unwrap().spi_i;
            socket.send_to(&said(spi), from).unwrap();
        });
        place
    }

    #[test]
    fn an_answer_is_one_to_this_question() {
        let spi = IkeSpi([7; 8]);
        assert!(is_answer(&answer(spi, NotifyType::INVALID_MAJOR_VERSION), spi));
        assert!(!is_answer(&answer(spi, NotifyType::INVALID_MAJOR_VERSION), IkeSpi([8; 8])));
        assert!(!is_answer(&answer(spi, NotifyType::INVALID_SYNTAX), spi));
        assert!(!is_answer(&question(spi), spi) && !is_answer(b"", spi));
        assert!(answer(spi, NotifyType::INVALID_MAJOR_VERSION).len() <= QUESTION, "else it would not be sent");
    }

    #[test]
    fn a_question_that_is_lost_is_asked_again() {
        let place = daemon(|spi| answer(spi, NotifyType::INVALID_MAJOR_VERSION));
        let said = ike(&[place], 60);
        assert!(said.healthy && said.why.contains(&place.to_string()), "{said:?}");
    }

    #[test]
    fn nobody_and_somebody_else_are_no_answer() {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let other = daemon(|_| answer(IkeSpi([1; 8]), NotifyType::INVALID_MAJOR_VERSION));
        let said = ike(&[gone, other], 1);
        assert!(!said.healthy && said.why.contains(&gone.to_string()) && said.why.contains("silence"), "{said:?}");
        assert!(!ike(&[], 1).healthy);
    }

    /// Asked at 127.0.0.1 they would be silent for ever, and a cluster would start the gateway anew again and again.
    #[test]
    fn sockets_that_are_bound_to_a_device_are_not_asked() {
        let info = |device: &str| {
            let info = json!({ "version": "", "pid": 1, "started": "", "config": "", "device": "", "workers": 1, "listen": [],
                "ike": ["0.0.0.0:9"], "bind_device": device, "warnings": [] });
            serde_json::from_value::<Info>(info).unwrap()
        };
        let said = bound(info("vrf-wan").bind_device.as_deref().unwrap());
        assert!(said.healthy && said.why.contains("vrf-wan"), "{said:?}");
    }

    #[test]
    fn any_address_is_reached_at_this_host() {
        let places = places(&["0.0.0.0:500", "[::]:500", "192.0.2.1:5000", "what?"].map(str::to_owned));
        assert_eq!(
            places.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["127.0.0.1:500", "[::1]:500", "192.0.2.1:5000"]
        );
    }

    fn status(children: &[(&str, &str, bool, &str)]) -> Status {
        let child = |(name, state, wanted, monitor): &(&str, &str, bool, &str)| {
            let monitor = json!({
                "target": "10.2.0.1", "state": monitor, "since": "", "loss_percent": 0.0, "sent": 0, "received": 0
            });
            json!({
                "name": name, "mode": "tunnel", "state": state, "wanted": wanted, "local_ts": [], "remote_ts": [], "bytes_in": 0,
                "bytes_out": 0, "packets_in": 0, "packets_out": 0, "drops": {}, "sas": [], "monitor": monitor
            })
        };
        let children: Vec<_> = children.iter().map(child).collect();
        let connection =
            json!({ "name": "office", "state": "up", "sas": [], "peers": [], "warnings": [], "children": children });
        serde_json::from_value(json!({ "connections": [connection] })).unwrap()
    }

    #[test]
    fn what_is_to_be_up_is_what_counts() {
        let up = ("a", "up", true, "passing");
        let said = |children: &[_]| tunnels(&status(children));
        assert!(said(&[]).healthy && said(&[("a", "down", false, "failing")]).healthy);
        assert!(said(&[up, ("b", "rekeying", true, "unknown"), ("c", "routed", false, "unknown")]).healthy);
        for state in ["down", "connecting", "closing", "routed"] {
            let said = said(&[up, ("b", state, true, "unknown")]);
            assert!(
                !said.healthy && said.why.contains("1 of 2") && said.why.contains(&format!("office/b ({state})")),
                "{said:?}"
            );
        }
        let said = said(&[("a", "up", true, "failing")]);
        assert!(!said.healthy && said.why.contains("monitor"), "{said:?}");
    }

    #[test]
    fn a_sentence_has_few_names() {
        let said = tunnels(&status(&[("a", "down", true, "unknown"); 100]));
        assert!(said.why.contains("100 of 100") && said.why.ends_with("and 95 more"), "{said:?}");
    }
}
