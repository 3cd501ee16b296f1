//! What an established connection costs in memory: a responder with so many peers of one `%any` connection, each with one child that is
//! installed. Prints one line of JSON. `state [PEERS] [IKE] [ESP]`
#[path = "../../benches/pair/mod.rs"]
mod pair;

use pair::{Memory, NOW, RESPONDER, Side, Suite};
use sandhog::crypto::rng::{Rng, SystemRng};
use sandhog::daemon::clock;
use sandhog::daemon::install::Installer;
use sandhog::daemon::places::{Key, Places};
use sandhog::ike::event::{Event, Host};
use sandhog::ipsec::spd::DeviceId;
use sandhog::ipsec::tables::Tables;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// The daemon's host without its sockets.
struct Places1 {
    places: Places,
}
impl Host for Places1 {
    fn random(&mut self, out: &mut [u8]) {
        SystemRng.fill(out);
    }
    fn allocate_spi(&mut self, connection: &str, child: &str, peer: u32, _resource: Option<u32>) -> Option<u32> {
        let mut random = [0; 4];
        SystemRng.fill(&mut random);
        let key = Key { connection: connection.into(), child: child.into(), peer };
        self.places.allocate_spi(&key, u32::from_ne_bytes(random))
    }
    fn release_spi(&mut self, spi: u32) {
        self.places.release_spi(spi);
    }
    fn local_addr(&mut self, _remote: IpAddr) -> Option<IpAddr> {
        RESPONDER.parse().ok()
    }
    fn resolve(&mut self, _name: &str) -> Vec<IpAddr> {
        Vec::new()
    }
}

/// Octets of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a Linux kernel");
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).map_or(0, |pages: usize| pages * 4096)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |at: usize, default: &'static str| -> &'static str {
        arguments.get(at).map_or(default, |given| Box::leak(given.clone().into_boxed_str()))
    };
    let peers: u32 = argument(0, "100000").parse().expect("a number of peers");
    let suite = Suite { ike: argument(1, "aes256gcm16-prfsha384-x25519"), esp: argument(2, "aes256gcm16") };
    let here: IpAddr = RESPONDER.parse().expect("an address");
    let config = pair::responder(suite);
    let mut responder = Side::new(config.policy.clone(), Places1 { places: Places::new(2, &mut SystemRng) });
    let mut installer = Installer::new(Arc::new(Tables::new()), DeviceId(0), |_, _| 1500, 0xdc);
    installer.configure(&config, &mut responder.host.places);

    let mut install = |side: &mut Side<Places1>, turn: bool| {
        for event in side.events.drain(..) {
            match event {
                Event::ChildUp(up) => installer.child_up(NOW, &up, &mut side.host.places, &mut SystemRng),
                Event::IkeUp { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        // As a turn of the engine ends; it has taken in many messages by then.
        if turn {
            installer.tick(NOW, &mut side.host.places);
        }
    };
    let mut meet = |n: u32, responder: &mut Side<Places1>| {
        let there = IpAddr::from(Ipv4Addr::from(0xc633_0000 + n));
        let mut initiator = Side::new(pair::initiator(suite, n).policy, Memory::new(there));
        let mut messages = initiator.up();
        while !messages.is_empty() {
            let answers = responder.receive(&messages, there, here);
            messages = initiator.receive(&answers, here, there);
        }
        assert!(initiator.is_up(), "{:?} {:?}", initiator.events, responder.events);
        install(responder, n.is_multiple_of(10_000));
    };
    // What is there once, and what the allocator keeps at hand.
    (0..100).for_each(|n| meet(n, &mut responder));
    let (before, begin) = (resident(), clock::now());
    (100..peers).for_each(|n| meet(n, &mut responder));
    installer.tick(NOW, &mut responder.host.places);
    let (after, taken) = (resident(), clock::now() - begin);

    let idle = clock::now();
    for _ in 0..1000 {
        std::hint::black_box((responder.endpoint.next_deadline(), installer.deadline()));
    }
    let idle = (clock::now() - idle) / 1000;
    println!(
        r#"{{"peers":{peers},"octets_each":{},"resident":{after},"seconds":{:.1},"idle_turn_ns":{}}}"#,
        (after - before) / (peers - 100) as usize,
        taken.as_secs_f64(),
        idle.as_nanos()
    );
}
