//! An initiator and a responder in memory: who of the two works how long, and nothing of the operating system.
use sandhog::config::{self, Source, System};
use sandhog::crypto::rng::{Rng, SystemRng};
use sandhog::ike::endpoint::Endpoint;
use sandhog::ike::event::{Command, Event, Host, Input, Output};
use sandhog::ike::policy::Policy;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// The moment in which everything happens.
pub const NOW: Duration = Duration::from_secs(1000);
/// Where the responder is.
pub const RESPONDER: &str = "192.0.2.1";

/// What the configuration of a side says besides ids and addresses.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// IKE proposal.
    pub ike: &'static str,
    /// ESP proposal.
    pub esp: &'static str,
}

/// The responder's policy: everybody who knows the secret may come.
pub fn responder(suite: Suite) -> config::Config {
    configuration(suite, "%any", "r", "%any", "0.0.0.0/0", "10.0.0.0/8")
}
/// The policy of initiator number `n`, with an identity and a network of its own.
pub fn initiator(suite: Suite, n: u32) -> config::Config {
    let network = Ipv4Addr::from(0x0a00_0000 + (n << 4));
    configuration(suite, RESPONDER, &format!("i{n}.example"), "r", &format!("{network}/28"), "0.0.0.0/0")
}
fn configuration(
    suite: Suite,
    remote: &str,
    local_id: &str,
    remote_id: &str,
    local_ts: &str,
    remote_ts: &str,
) -> config::Config {
    let Suite { ike, esp } = suite;
    let text = format!(
        r#"
        [connections.c]
        remote_addrs = ["{remote}"]
        proposals = ["{ike}"]
        local = {{ id = "{local_id}" }}
        remote = {{ id = "{remote_id}" }}
        [connections.c.children.net]
        local_ts = ["{local_ts}"]
        remote_ts = ["{remote_ts}"]
        esp_proposals = ["{esp}"]
        start_action = "none"
        [secrets.ike-c]
        id = ["%any"]
        secret = "correct horse battery staple 7Q"
        "#
    );
    config::parse(&[Source { name: "bench.toml".into(), text }], &System).expect("a valid configuration")
}

/// Answers from memory.
#[derive(Debug)]
pub struct Memory {
    rng: SystemRng,
    next_spi: u32,
    addr: IpAddr,
}
impl Memory {
    /// At this address.
    pub fn new(addr: IpAddr) -> Self {
        Self { rng: SystemRng, next_spi: 0x1000, addr }
    }
}
impl Host for Memory {
    fn random(&mut self, out: &mut [u8]) {
        self.rng.fill(out);
    }
    fn allocate_spi(&mut self, _connection: &str, _child: &str, _peer: u32, _resource: Option<u32>) -> Option<u32> {
        self.next_spi += 1;
        Some(self.next_spi)
    }
    fn release_spi(&mut self, _spi: u32) {}
    fn local_addr(&mut self, _remote: IpAddr) -> Option<IpAddr> {
        Some(self.addr)
    }
    fn resolve(&mut self, _name: &str) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// One end.
pub struct Side<H> {
    /// All its IKE SAs.
    pub endpoint: Endpoint,
    /// Its host.
    pub host: H,
    /// What it has said, but for messages and computations.
    pub events: Vec<Event>,
}
impl<H: Host> Side<H> {
    /// With a policy.
    pub fn new(policy: Arc<Policy>, mut host: H) -> Self {
        let mut side = Self { endpoint: Endpoint::new(NOW, &mut host), host, events: Vec::new() };
        side.take(Input::Command(Command::SetPolicy(policy)));
        side
    }
    /// Begins.
    pub fn up(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.take(Input::Command(Command::Up { connection: "c".into(), child: None }))
    }
    /// One input with all the computing that it asks for; what is to be sent, and from where.
    pub fn take(&mut self, input: Input<'_>) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        self.endpoint.handle(NOW, input, &mut self.host);
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Transmit { local, data, .. } => sent.push((local, data)),
                Output::Compute { job, work } => {
                    self.endpoint.handle(NOW, Input::Computed { job, done: work.run() }, &mut self.host);
                }
                Output::Event(event) => self.events.push(event),
                Output::Keepalive { .. } | Output::Fetch { .. } => {}
            }
        }
        sent
    }
    /// Messages of the other side, which is seen at `remote`; the answers.
    pub fn receive(
        &mut self,
        messages: &[(SocketAddr, Vec<u8>)],
        remote: IpAddr,
        local: IpAddr,
    ) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = Vec::new();
        for (from, data) in messages {
            let (local, remote) = (SocketAddr::new(local, from.port()), SocketAddr::new(remote, from.port()));
            sent.extend(self.take(Input::Datagram { local, remote, data }));
        }
        sent
    }
    /// A child has come up.
    pub fn is_up(&self) -> bool {
        self.events.iter().any(|event| matches!(event, Event::ChildUp(_)))
    }
}
