//! Every exchange type, as request and as response, in every phase of an IKE SA, in the clear, sealed under the right keys and sealed under
//! others: one table of what it leads to. Whatever the table does not name is dropped without a trace.
use super::*;
use crate::ike::sa::Phase;

/// Where the endpoint under test is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum In {
    /// Initiator, IKE_SA_INIT is asked.
    Opening,
    /// Initiator, g^ir is being computed.
    Agreeing,
    /// Initiator, IKE_AUTH is asked.
    Proving,
    /// Responder, IKE_SA_INIT is answered and nothing has come since.
    HalfOpen,
    /// Responder, there are keys, and IKE_AUTH was refused.
    HalfOpenWithKeys,
    /// Responder, authenticated.
    Established,
    /// Initiator, authenticated.
    EstablishedInitiator,
    /// Responder, waiting for the answer to its Delete.
    Closing,
}
const PHASES: [In; 8] = [
    In::Opening,
    In::Agreeing,
    In::Proving,
    In::HalfOpen,
    In::HalfOpenWithKeys,
    In::Established,
    In::EstablishedInitiator,
    In::Closing,
];
/// How a message is protected.
#[derive(Clone, Copy, Debug, PartialEq)]
enum As {
    Clear,
    /// An SK payload that does not open.
    Garbage,
    /// Under the right keys, empty.
    Sealed,
}
/// What it leads to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Effect {
    /// Nothing is said, nothing has changed.
    Dropped,
    /// This is the answer, and the IKE SA lives on.
    Answered(Option<NotifyType>),
    /// Nothing is said, and something has changed: keys are made, a request is no longer waited for.
    Noted,
    /// INVALID_SYNTAX is the answer, and the IKE SA is gone.
    Fatal,
    /// Gone without an answer.
    Gone,
}
use Effect::{Answered, Dropped, Fatal, Gone, Noted};

const EXCHANGES: std::ops::RangeInclusive<u8> = 30..=48;

/// The table. Everything else is `Dropped`. The id is the one that is expected.
fn expected(phase: In, exchange: ExchangeType, response: bool, way: As) -> Effect {
    use ExchangeType as E;
    match (phase, exchange, response, way) {
        // A newcomer with nothing in it. It belongs to no IKE SA, and none is touched.
        (_, E::IKE_SA_INIT, false, As::Clear | As::Sealed | As::Garbage) => Dropped,
        // The first IKE_AUTH is worth a computation, whatever it turns out to be.
        (In::HalfOpen, E::IKE_AUTH, false, As::Garbage) => Noted,
        // Empty: without an identity it is malformed.
        (In::HalfOpen, E::IKE_AUTH, false, As::Sealed) => Answered(Some(NotifyType::INVALID_SYNTAX)),
        // The refusal again.
        (In::HalfOpenWithKeys, E::IKE_AUTH, false, As::Sealed) => Answered(Some(NotifyType::AUTHENTICATION_FAILED)),
        // An answer without an identity: the attempt has failed.
        (In::Proving, E::IKE_AUTH, true, As::Sealed) => Gone,
        // Liveness.
        (In::Established | In::EstablishedInitiator | In::Closing, E::INFORMATIONAL, false, As::Sealed) => {
            Answered(None)
        }
        // Without SA and nonce it is malformed; so is every exchange that has no business here.
        (In::Established | In::EstablishedInitiator | In::Closing, E::IKE_SA_INIT, _, _) => Dropped,
        (In::Established | In::EstablishedInitiator | In::Closing, _, false, As::Sealed) => Fatal,
        // The answer to the Delete.
        (In::Closing, E::INFORMATIONAL, true, As::Sealed) => Gone,
        _ => Dropped,
    }
}

/// The endpoint under test, and the stranger that it talks to. `true`: it is Alice.
fn play(phase: In) -> (World, Stranger, bool) {
    let mut world = world();
    match phase {
        In::Opening | In::Agreeing | In::Proving | In::EstablishedInitiator => {
            world.command_a(up());
            let mut bob = Stranger::like_bob();
            match phase {
                In::Opening => bob.listens(&world),
                In::Agreeing => bob.answers_without_computing(&mut world),
                _ => {
                    let sent = bob.answers(&mut world, |_| {});
                    if phase == In::EstablishedInitiator {
                        let proof = bob.proof();
                        bob.replies(&mut world, &sent[0], &proof);
                        assert_eq!(world.a.ikes(), 1);
                    }
                }
            }
            (world, bob, true)
        }
        In::HalfOpen => {
            let alice = Stranger::like_alice().meets(&mut world);
            (world, alice, false)
        }
        In::HalfOpenWithKeys => {
            let mut alice = Stranger::like_alice().meets(&mut world);
            let mut proof = alice.proof();
            proof[0] = Payload::IdI(IdPayload::from(name_id("carol")));
            alice.asks(&mut world, ExchangeType::IKE_AUTH, &proof);
            (world, alice, false)
        }
        In::Established | In::Closing => {
            let alice = Stranger::like_alice().enters(&mut world);
            if phase == In::Closing {
                world.command_b(down());
            }
            (world, alice, false)
        }
    }
}
/// Everything that can be seen of an endpoint.
fn state(peer: &super::super::wire::Peer) -> String {
    let endpoint = &peer.endpoint;
    let sas: Vec<String> = endpoint
        .sas
        .values()
        .map(|sa| {
            let phase = match &sa.phase {
                Phase::Opening(_) => "opening".into(),
                Phase::Agreeing(_) => "agreeing".into(),
                Phase::Mixing(_) => "mixing".into(),
                Phase::Proving(_) => "proving".into(),
                Phase::HalfOpen(half) => format!("half-open, keys {}", half.keys.is_some()),
                Phase::Established(est) => {
                    format!("established {} {} {:?}", est.asked.is_some(), est.children.len(), est.closing)
                }
                Phase::Moving => "moving".into(),
            };
            format!("{phase} {:?} {:?} {:?}", sa.core.window, sa.core.local, sa.core.remote)
        })
        .collect();
    format!("{sas:?} {} {} {:?}", peer.events.len(), peer.computed, peer.host.spis)
}
fn effect(phase: In, exchange: ExchangeType, response: bool, way: As) -> Effect {
    let (mut world, mut stranger, is_alice) = play(phase);
    let id = match phase {
        In::Opening | In::Agreeing => 0,
        // Of the two directions each has its own count.
        In::EstablishedInitiator => {
            if response {
                2
            } else {
                0
            }
        }
        In::Closing if response => 0,
        In::Established if response => 0,
        In::Established | In::Closing => 2,
        _ => 1,
    };
    let header = stranger.header(exchange, response, id);
    let data = match way {
        As::Sealed if stranger.has_keys() => stranger.seal_as(header, &[]),
        As::Clear => Message { header, payloads: Vec::new() }.encode(),
        _ => {
            let sk = Encrypted { first: PayloadType::NONE, body: vec![0x55; 64] };
            Message { header, payloads: vec![Payload::Encrypted(sk)] }.encode()
        }
    };
    let peer = if is_alice { &world.a } else { &world.b };
    let (before, sas) = (state(peer), peer.endpoint.sas.len());
    let answer = if is_alice { stranger.tells_alice(&mut world, &data) } else { stranger.sends(&mut world, &data) };
    let peer = if is_alice { &world.a } else { &world.b };
    let gone = peer.endpoint.sas.len() < sas;
    match (&answer, gone) {
        (Answer::Silence, true) => Gone,
        (Answer::Silence, false) if state(peer) == before => Dropped,
        (Answer::Silence, false) => Noted,
        (answer, true) if answer.error() == Some(NotifyType::INVALID_SYNTAX) => Fatal,
        (answer, false) => Answered(answer.error()),
        (answer, true) => panic!("{phase:?} {exchange} {response} {way:?}: {answer:?}, and gone"),
    }
}

#[test]
fn every_exchange_type_in_every_phase() {
    let mut rows = 0;
    for phase in PHASES {
        for exchange in EXCHANGES.chain([0, 200, 255]).map(ExchangeType) {
            for response in [false, true] {
                for way in [As::Clear, As::Garbage, As::Sealed] {
                    let (is, should) =
                        (effect(phase, exchange, response, way), expected(phase, exchange, response, way));
                    assert_eq!(is, should, "{phase:?}: {exchange}, response {response}, {way:?}");
                    rows += 1;
                }
            }
        }
    }
    assert_eq!(rows, 8 * 22 * 2 * 3);
}

/// The same with an id that is not expected: nothing ever comes of it.
#[test]
fn no_exchange_type_counts_under_a_wrong_id() {
    for phase in PHASES {
        for exchange in EXCHANGES.map(ExchangeType) {
            for response in [false, true] {
                for id in [7, 1000, u32::MAX] {
                    let (mut world, mut stranger, is_alice) = play(phase);
                    if !stranger.has_keys() {
                        continue;
                    }
                    let data = stranger.seal_as(stranger.header(exchange, response, id), &[]);
                    let before = state(if is_alice { &world.a } else { &world.b });
                    let answer = if is_alice {
                        stranger.tells_alice(&mut world, &data)
                    } else {
                        stranger.sends(&mut world, &data)
                    };
                    let peer = if is_alice { &world.a } else { &world.b };
                    assert_eq!(
                        (answer, state(peer)),
                        (Answer::Silence, before),
                        "{phase:?}: {exchange} {response} {id}"
                    );
                }
            }
        }
    }
}

/// And from the side that it does not claim to be: the flag I is the other's.
#[test]
fn no_exchange_type_counts_with_the_wrong_initiator_flag() {
    for phase in PHASES {
        for exchange in EXCHANGES.map(ExchangeType) {
            for (response, id) in [(false, 0), (false, 1), (false, 2), (true, 0), (true, 1), (true, 2)] {
                let (mut world, mut stranger, is_alice) = play(phase);
                if !stranger.has_keys() || exchange == ExchangeType::IKE_SA_INIT {
                    continue;
                }
                let right = stranger.header(exchange, response, id);
                let data = stranger.seal_as(Header { initiator: !right.initiator, ..right }, &[]);
                let before = state(if is_alice { &world.a } else { &world.b });
                let answer =
                    if is_alice { stranger.tells_alice(&mut world, &data) } else { stranger.sends(&mut world, &data) };
                let peer = if is_alice { &world.a } else { &world.b };
                // With the flag the SPIs change places, and the other one is nobody's.
                let denied = Payload::Notify(Notify::new(NotifyType::INVALID_IKE_SPI, []));
                let harmless = [Answer::Silence, Answer::Clear(vec![denied])];
                assert!(harmless.contains(&answer), "{phase:?}: {exchange} {response} {id}: {answer:?}");
                assert_eq!(state(peer), before, "{phase:?}: {exchange} {response} {id}");
            }
        }
    }
}
