//! Tests of the databases, one file per database.
mod admit;
mod path;
mod pmtu;
mod sad;
mod spd;
mod tables;

use super::sad::{InboundEntry, Mode};
use super::spd::{DeviceId, Slot};
use super::tables::{Child, Traffic};
use crate::crypto::secret::Secret;
use crate::esp::inbound::InboundSa;
use crate::esp::{Cipher, SaParams};
use crate::wire::ip::Flow;
use crate::wire::selector::Selector;
use proptest::test_runner::{Config as ProptestConfig, RngSeed};
use std::net::IpAddr;
use std::sync::Arc;

/// The same cases in every run.
fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: count,
        rng_seed: RngSeed::Fixed(4301),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn selectors(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn flow(src: &str, dst: &str, proto: u8, sport: u16, dport: u16) -> Flow {
    Flow { src: addr(src), dst: addr(dst), proto, sport, dport, later_fragment: false }
}

/// The same packet's later fragment.
fn later(flow: Flow) -> Flow {
    Flow { sport: 0, dport: 0, later_fragment: true, ..flow }
}

fn sa_params(spi: u32) -> SaParams {
    SaParams { spi, cipher: Cipher::AesGcm128, encr: Secret::new(vec![1; 20]), integ: Secret::default(), esn: false }
}

fn child(slot: Slot) -> Arc<Child> {
    Arc::new(Child::new(slot, "office/lan".into(), DeviceId(0), false))
}

fn inbound(spi: u32, child: &Arc<Child>) -> Arc<InboundEntry> {
    Arc::new(InboundEntry {
        spi,
        sa: InboundSa::new(&sa_params(spi), 64),
        child: Arc::clone(child),
        local_ts: selectors(&["10.1.0.0/16"]).into(),
        remote_ts: selectors(&["10.2.0.0/16"]).into(),
        check_fragments: true,
        mode: Mode::Tunnel,
        traffic: Traffic::default(),
    })
}
