//! Any octets inside a protected message, under the right keys: for the fuzzer, which cannot make an ICV. So the way through the
//! cipher is the real one, and nothing of it is switched off in any build.
use super::check;
use super::host::{Clock, Effects, Machine};
use super::plan;
use crate::ike::channel::{Channel, Inner};
use crate::ike::event::{Command, Input};
use crate::ike::sa::{IkeSa, Phase};
use crate::wire::message::Header;
use crate::wire::registry::{ExchangeType, PayloadType};
use std::collections::VecDeque;
use std::time::Duration;

/// More messages than this after one are a loop.
const MAX_MESSAGES: usize = 100;

/// To whom, and in which phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The responder has answered IKE_SA_INIT.
    HalfOpen,
    /// The initiator has sent IKE_AUTH.
    Proving,
    /// The responder, authenticated.
    Responder,
    /// The initiator, authenticated, with a CREATE_CHILD_SA request in flight.
    Initiator,
}
/// What became of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    pub stage: Stage,
    /// It was opened, and something was said or done because of it.
    pub effect: bool,
}

/// Two machines and what is between them: the responder and the initiator.
struct Two {
    machines: [Machine; 2],
    now: Duration,
}
impl Two {
    fn new() -> Self {
        let machines = plan::two().map(|place| {
            let clock = Clock::new(Duration::from_secs(1000), 1000);
            let number = if place.name == "hub" { 1 } else { 2 };
            Machine::new(place.name, place.addr, number, number.into(), clock, place.policy)
        });
        let mut two = Self { machines, now: Duration::ZERO };
        for i in 0..2 {
            let effects = two.machines[i].boot(two.now);
            two.follow(i, effects, |_| true);
        }
        two
    }
    /// One input, and all that follows as long as `passes` lets the messages through. Returns how many events and messages came of it.
    fn input(&mut self, machine: usize, input: Input<'_>, passes: impl Fn(&Header) -> bool) -> usize {
        let effects = self.machines[machine].handle(self.now, input);
        self.follow(machine, effects, passes)
    }
    fn follow(&mut self, machine: usize, effects: Effects, passes: impl Fn(&Header) -> bool) -> usize {
        let mut all = VecDeque::from([(machine, effects)]);
        let (mut messages, mut events) = (0, 0);
        while let Some((machine, effects)) = all.pop_front() {
            check::machine(&self.machines[machine], self.now);
            events += effects.events.len();
            for (job, work) in effects.jobs {
                let done = Input::Computed { job, done: work.run() };
                all.push_back((machine, self.machines[machine].handle(self.now, done)));
            }
            for (from, to, data, _) in effects.sent {
                messages += 1;
                assert!(messages < MAX_MESSAGES, "they do not stop talking");
                if passes(&Header::parse(&data).expect("we send whole messages")) {
                    let input = Input::Datagram { local: to, remote: from, data: &data };
                    all.push_back((1 - machine, self.machines[1 - machine].handle(self.now, input)));
                }
            }
        }
        messages + events
    }
    fn up(&mut self, child: &str, passes: impl Fn(&Header) -> bool) {
        let up = Command::Up { connection: "net1".into(), child: Some(child.into()) };
        self.input(1, Input::Command(up), passes);
    }
    fn sa(&mut self, machine: usize) -> Option<&mut IkeSa> {
        self.machines[machine].endpoint.as_mut()?.sas.values_mut().next()
    }
}
fn channel(sa: &mut IkeSa) -> Option<&mut Channel> {
    match &mut sa.phase {
        Phase::Proving(proving) => Some(&mut proving.keys.channel),
        Phase::HalfOpen(half) => half.keys.as_mut().map(|keys| &mut keys.channel),
        Phase::Established(est) => Some(&mut est.channel),
        _ => None,
    }
}

/// The first four octets say where, and with which header; the fifth is the type of the first payload, the rest is the inside.
pub(super) fn play(data: &[u8]) -> Option<Reached> {
    let ([stage, exchange, flags, id, first], octets) = data.split_first_chunk::<5>()?;
    let stage = [Stage::HalfOpen, Stage::Proving, Stage::Responder, Stage::Initiator][usize::from(stage % 4)];
    let mut two = Two::new();
    match stage {
        Stage::HalfOpen | Stage::Proving => two.up("lan0", |h| h.exchange != ExchangeType::IKE_AUTH),
        Stage::Responder => two.up("lan0", |_| true),
        Stage::Initiator => {
            two.up("lan0", |_| true);
            two.up("lan1", |h| h.exchange != ExchangeType::CREATE_CHILD_SA);
        }
    }
    let (from, to) = if matches!(stage, Stage::HalfOpen | Stage::Responder) { (1, 0) } else { (0, 1) };
    if stage == Stage::Proving {
        two.derive_at_responder();
    }
    let sa = two.sa(from)?;
    let header = Header {
        id: sa.core.window.next_id().wrapping_add((id % 8).into()),
        ..sa.core.header(ExchangeType(34 + exchange % 16), 0, flags & 1 != 0)
    };
    // The ids of the two directions are independent; a response has that of the request.
    let header = match stage {
        Stage::Proving => Header { id: 1, ..header },
        Stage::Initiator if header.response => Header { id: 2 + u32::from(id % 2), ..header },
        _ => header,
    };
    let (local, remote) = (sa.core.remote, sa.core.local);
    let inner = Inner { header, first: PayloadType(*first), octets: octets.to_vec() };
    let room = if flags & 2 != 0 { 200 } else { usize::MAX };
    let datagrams = channel(sa)?.cut(&inner, room);
    let mut effect = 0;
    for data in datagrams {
        effect += two.input(to, Input::Datagram { local, remote, data: &data }, |_| true);
    }
    for wait in [1, 10, 100] {
        two.now += Duration::from_secs(wait);
        for machine in 0..2 {
            two.input(machine, Input::Timer, |_| true);
        }
    }
    Some(Reached { stage, effect: effect > 0 })
}
impl Two {
    /// The responder computes g^ir when the first IKE_AUTH comes, even if that does not open.
    fn derive_at_responder(&mut self) {
        let Some(sa) = self.sa(1) else { return };
        let (local, remote, header) = (sa.core.remote, sa.core.local, sa.core.header(ExchangeType::IKE_AUTH, 1, false));
        let sk = crate::wire::payload::Encrypted { first: PayloadType::IDI, body: vec![0; 64] };
        let payloads = vec![crate::wire::payload::Payload::Encrypted(sk)];
        let data = crate::wire::message::Message { header, payloads }.encode();
        self.input(0, Input::Datagram { local, remote, data: &data }, |_| false);
    }
}

/// One message, at least, that gets through in each stage.
#[cfg(test)]
pub(super) fn seeds() -> Vec<Vec<u8>> {
    use crate::wire::payload::{Auth, Delete, Id, IdPayload, Notify, Payload, Proposal, TrafficSelectors};
    use crate::wire::registry::{AuthMethod, IdType, NotifyType, ProtocolId};
    let id = |name: &str| IdPayload::from(Id { kind: IdType::FQDN, data: name.as_bytes().to_vec() });
    let auth = || Payload::Auth(Auth { method: AuthMethod::SHARED_KEY, data: vec![7; 32] });
    let ts = |s: &str| TrafficSelectors { ranges: vec![s.parse().expect("a selector")], unknown: 0 };
    let esp = crate::wire::keyword::parse(ProtocolId::ESP, "aes128gcm16").expect("a keyword");
    let sa = || Payload::Sa(vec![Proposal { number: 1, spi: vec![0, 0, 0x47, 0x11], ..esp.clone() }]);
    let pair = |n: u8| [Payload::TsI(ts(&format!("10.1.{n}.0/24"))), Payload::TsR(ts(&format!("10.0.{n}.0/24")))];
    let further = || [&[sa(), Payload::Nonce(vec![3; 32])][..], &pair(1)].concat();
    let rekey = Notify { protocol: ProtocolId::ESP, spi: vec![2, 0, 0, 1], ..Notify::new(NotifyType::REKEY_SA, []) };
    let delete = |protocol, spis| vec![Payload::Delete(Delete { protocol, spis })];
    let (auth_request, create, inform) = (1, 2, 3);
    let all: [(Stage, u8, u8, Vec<Payload>); 11] = [
        (Stage::HalfOpen, auth_request, 0, [&[Payload::IdI(id("alice")), auth(), sa()][..], &pair(0)].concat()),
        (Stage::HalfOpen, auth_request, 2, [&[Payload::IdI(id("alice")), auth(), sa()][..], &pair(0)].concat()),
        (Stage::Proving, auth_request, 1, [&[Payload::IdR(id("hub")), auth(), sa()][..], &pair(0)].concat()),
        (Stage::Proving, auth_request, 1, vec![Payload::Notify(Notify::new(NotifyType::AUTHENTICATION_FAILED, []))]),
        (Stage::Responder, create, 0, further()),
        (Stage::Responder, create, 0, [vec![Payload::Notify(rekey)], further()].concat()),
        (Stage::Responder, inform, 0, delete(ProtocolId::ESP, vec![0x0200_0001, 7])),
        (Stage::Responder, inform, 2, delete(ProtocolId::IKE, Vec::new())),
        (Stage::Initiator, create, 1, further()),
        (Stage::Initiator, create, 1, vec![Payload::Notify(Notify::new(NotifyType::TEMPORARY_FAILURE, []))]),
        (Stage::Initiator, inform, 0, delete(ProtocolId::ESP, vec![0x0100_0001])),
    ];
    let octets = |(stage, exchange, flags, payloads): (Stage, u8, u8, Vec<Payload>)| {
        let (first, inside) = crate::wire::message::encode_chain(&payloads);
        [&[stage as u8, exchange, flags, 0, first.0][..], &inside].concat()
    };
    all.into_iter().map(octets).collect()
}
