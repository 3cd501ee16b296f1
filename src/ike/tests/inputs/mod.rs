//! The 83 inputs that broke other gateways (the numbers are those of the project's list), by the stage in which they come: before there are
//! keys, after IKE_SA_INIT while nobody is authenticated, and from an authenticated peer. Each test has the number in its name. What concerns
//! ESP alone stands in `esp::tests::inputs`.
mod authenticated;
mod before_keys;
mod exchanges;
mod properties;
mod unauthenticated;

use super::stranger::{Answer, Stranger, child, ts};
use super::wire::{Datagram, World};
use super::*;
use crate::wire::message::{Header, IkeSpi, Message};
use crate::wire::payload::{Delete, Encrypted, IdPayload, Ke, Notify, Payload, Proposal, Skf, Transform};
use crate::wire::registry::{ExchangeType, KeId, NotifyType, PayloadType, TransformType};

/// Which of the 83 have no test here, and why not. A test sees to it that the rest have.
const ELSEWHERE: &[(&[u32], &str)] = &[
    (&[17, 18, 19, 20, 21, 22, 23, 24, 26, 31, 32, 52, 64, 83], "certificates and signatures"),
    (&[69, 70, 71, 72, 73, 74], "esp::tests::inputs"),
];

/// Alice and Bob, who have not met.
fn world() -> World {
    World::new(alice(), bob())
}
/// Bob as he was before anybody came.
fn untouched(world: &World) -> bool {
    let common = &world.b.endpoint.common;
    world.b.endpoint.sas.is_empty()
        && common.by_spi.is_empty()
        && common.jobs.is_empty()
        && common.admission.half_open() == 0
        && world.b.host.spis.is_empty()
        && world.b.ikes() == 0
}
/// And Alice comes up after all of it.
fn still_works(world: &mut World) {
    world.command_a(up());
    world.pass(seconds(2));
    assert_one_tunnel(world);
}

#[test]
fn every_input_has_its_test() {
    let sources = [
        include_str!("authenticated.rs"),
        include_str!("before_keys.rs"),
        include_str!("unauthenticated.rs"),
        include_str!("../../../esp/tests/inputs.rs"),
    ]
    .concat();
    for number in 1..=83 {
        let here = sources.contains(&format!("fn input_{number:02}_"));
        let waits = ELSEWHERE.iter().any(|(list, why)| list.contains(&number) && !why.contains("esp"));
        assert_ne!(here, waits, "input {number}");
    }
}
