//! Somebody who speaks IKEv2 by himself, without our state machines, and therefore says what no endpoint of ours would: what he likes
//! before there are keys, what he likes under the keys of IKE_SA_INIT, and what he likes once he has proven to be Alice or Bob.
use super::super::auth::{self, Signed};
use super::super::channel::{Inner, OpenError};
use super::super::event::Input;
use super::super::keys::{Contributions, HandshakeKeys};
use super::super::negotiate::IkeSuite;
use super::wire::{Datagram, World};
use super::{ALICE, BOB, SECRET, addr, esp, ike, name_id};
use crate::crypto::ke::Group;
use crate::crypto::rng::SeededRng;
use crate::crypto::secret::Secret;
use crate::wire::message::{Header, IkeSpi, Message, encode_chain};
use crate::wire::payload::{Auth, IdPayload, Ke, Notify, Payload, Proposal, TrafficSelectors};
use crate::wire::registry::{ExchangeType, NotifyType, PayloadType};
use std::net::SocketAddr;
use std::time::Duration;

/// What an endpoint answers.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// Nothing.
    Silence,
    /// In the clear.
    Clear(Vec<Payload>),
    /// Under the keys.
    Sealed(Vec<Payload>),
}
impl Answer {
    /// The only error in it, if it is one and nothing else.
    pub(super) fn error(&self) -> Option<NotifyType> {
        match self {
            Self::Clear(all) | Self::Sealed(all) => match &all[..] {
                [Payload::Notify(n)] => Some(n.kind),
                _ => None,
            },
            Self::Silence => None,
        }
    }
    pub(super) fn notify(&self) -> &Notify {
        match self {
            Self::Clear(all) | Self::Sealed(all) => match &all[..] {
                [Payload::Notify(n)] => n,
                other => panic!("not a notification: {other:?}"),
            },
            Self::Silence => panic!("silence"),
        }
    }
    pub(super) fn payloads(&self) -> &[Payload] {
        match self {
            Self::Clear(all) | Self::Sealed(all) => all,
            Self::Silence => &[],
        }
    }
}

/// One side of one IKE SA, by hand.
pub(super) struct Stranger {
    initiator: bool,
    pub here: SocketAddr,
    pub there: SocketAddr,
    pub spi_i: IkeSpi,
    pub spi_r: IkeSpi,
    suite: Proposal,
    group: Group,
    private: Secret,
    pub nonce: Vec<u8>,
    their_nonce: Vec<u8>,
    /// The IKE_SA_INIT messages.
    request: Vec<u8>,
    response: Vec<u8>,
    keys: Option<HandshakeKeys>,
    next: u32,
}
impl Stranger {
    /// Where Alice is, with a suite that Bob takes.
    pub(super) fn like_alice() -> Self {
        Self::new(true, ALICE, BOB)
    }
    /// Where Bob is.
    pub(super) fn like_bob() -> Self {
        Self::new(false, BOB, ALICE)
    }
    fn new(initiator: bool, here: &str, there: &str) -> Self {
        let suite = ike("aes128gcm16-prfsha256-x25519").remove(0);
        let group = IkeSuite::of(&suite).expect("a suite").group;
        let spi = |n: u8, ours: bool| if ours { IkeSpi([n; 8]) } else { IkeSpi::NONE };
        Self {
            initiator,
            here: (addr(here), 500).into(),
            there: (addr(there), 500).into(),
            spi_i: spi(0xa1, initiator),
            spi_r: spi(0xb2, !initiator),
            suite,
            group,
            private: group.private(&mut SeededRng::new(77)),
            nonce: vec![0x4e; 32],
            their_nonce: Vec::new(),
            request: Vec::new(),
            response: Vec::new(),
            keys: None,
            next: 1,
        }
    }
    /// With another suite.
    pub(super) fn with(mut self, suite: &str) -> Self {
        self.suite = ike(suite).remove(0);
        self.group = IkeSuite::of(&self.suite).expect("a suite").group;
        self.private = self.group.private(&mut SeededRng::new(77));
        self
    }
    pub(super) fn header(&self, exchange: ExchangeType, response: bool, id: u32) -> Header {
        Header {
            spi_i: self.spi_i,
            spi_r: self.spi_r,
            first: PayloadType::NONE,
            version: (2, 0),
            exchange,
            initiator: self.initiator,
            response,
            id,
            length: 0,
        }
    }
    pub(super) fn datagram(&self, data: Vec<u8>) -> Datagram {
        Datagram { from: self.here, to: self.there, data, dont_fragment: false }
    }
    /// SA, KE and nonce of an IKE_SA_INIT.
    pub(super) fn opening(&self) -> Vec<Payload> {
        vec![
            Payload::Sa(vec![Proposal { number: 1, ..self.suite.clone() }]),
            Payload::Ke(Ke { group: self.group.id(), data: self.group.public(&self.private) }),
            Payload::Nonce(self.nonce.clone()),
            // As long as an answer with all notifications is.
            Payload::Vendor(vec![0; 64]),
        ]
    }
    /// An IKE_SA_INIT request with these.
    pub(super) fn init(&self, payloads: Vec<Payload>) -> Vec<u8> {
        Message { header: self.header(ExchangeType::IKE_SA_INIT, false, 0), payloads }.encode()
    }
    /// Sends octets to Bob.
    pub(super) fn sends(&mut self, world: &mut World, data: &[u8]) -> Answer {
        let sent = world.b.handle(world.now, Input::Datagram { local: self.there, remote: self.here, data });
        self.reads(&sent)
    }
    /// Of what was sent to him, the last.
    fn reads(&mut self, sent: &[Datagram]) -> Answer {
        let Some(answer) = sent.iter().rfind(|d| d.to == self.here) else { return Answer::Silence };
        let message = Message::parse(&answer.data).expect("we send whole messages");
        match message.payloads.last() {
            Some(Payload::Encrypted(_)) if self.keys.is_some() => {
                Answer::Sealed(self.opens(answer).expect("it is for us"))
            }
            _ => Answer::Clear(message.payloads),
        }
    }
    /// Goes through IKE_SA_INIT with Bob.
    pub(super) fn meets(mut self, world: &mut World) -> Self {
        self.request = self.init(self.opening());
        let input = Input::Datagram { local: self.there, remote: self.here, data: &self.request };
        let sent = world.b.handle(world.now, input);
        let response = sent.first().expect("an answer").clone();
        self.take(response.data);
        self
    }
    /// Bob's, or Alice's, message: now there are keys.
    fn take(&mut self, theirs: Vec<u8>) {
        let message = Message::parse(&theirs).expect("we send whole messages");
        let (mut public, mut spis) = (Vec::new(), (message.header.spi_i, message.header.spi_r));
        for payload in message.payloads {
            match payload {
                Payload::Ke(ke) => public = ke.data,
                Payload::Nonce(nonce) => self.their_nonce = nonce,
                _ => {}
            }
        }
        if self.initiator {
            self.response = theirs;
        } else {
            self.request = theirs;
            spis.1 = self.spi_r;
        }
        (self.spi_i, self.spi_r) = spis;
        let g_ir = self.group.agree(&self.private, &public).expect("a good value");
        let (ni, nr) = if self.initiator { (&self.nonce, &self.their_nonce) } else { (&self.their_nonce, &self.nonce) };
        let from = Contributions { ni, nr, spi_i: self.spi_i, spi_r: self.spi_r };
        let suite = IkeSuite::of(&self.suite).expect("a suite");
        self.keys = Some(HandshakeKeys::derive(&suite, &g_ir, &from, self.initiator, &mut SeededRng::new(3)));
    }
    /// AUTH with the right secret, for this identity.
    pub(super) fn auth(&self, id: &IdPayload) -> Auth {
        let keys = self.keys.as_ref().expect("keys");
        let message = if self.initiator { &self.request } else { &self.response };
        let signed = Signed {
            prf: keys.prf(),
            message,
            nonce: &self.their_nonce,
            sk_p: keys.sk_p(self.initiator),
            id,
            int_auth: &[],
        };
        auth::sign(&signed, &Secret::new(SECRET.as_bytes().to_vec()))
    }
    /// Identity, AUTH, SA, TSi and TSr that Bob takes from Alice, or Alice from Bob.
    pub(super) fn proof(&self) -> Vec<Payload> {
        let id = IdPayload::from(name_id(if self.initiator { "alice" } else { "bob" }));
        let auth = Payload::Auth(self.auth(&id));
        let who = if self.initiator { Payload::IdI(id) } else { Payload::IdR(id) };
        [vec![who, auth], child(0x4711)].concat()
    }
    /// The id of the next request.
    pub(super) fn next_id(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }
    /// Seals a request with the next id.
    pub(super) fn seal(&mut self, exchange: ExchangeType, payloads: &[Payload]) -> Vec<u8> {
        let id = self.next_id();
        let header = self.header(exchange, false, id);
        self.seal_as(header, payloads)
    }
    /// Seals a message with this header.
    pub(super) fn seal_as(&mut self, header: Header, payloads: &[Payload]) -> Vec<u8> {
        let (first, octets) = encode_chain(payloads);
        self.seal_octets(header, first, octets, usize::MAX).remove(0)
    }
    /// Seals any octets as the inside of a message, in datagrams of this length.
    pub(super) fn seal_octets(
        &mut self,
        header: Header,
        first: PayloadType,
        octets: Vec<u8>,
        room: usize,
    ) -> Vec<Vec<u8>> {
        self.keys.as_mut().expect("keys").channel.cut(&Inner { header, first, octets }, room)
    }
    /// Seals one fragment, whatever its numbers are.
    pub(super) fn seal_fragment(
        &mut self,
        header: Header,
        first: PayloadType,
        numbers: (u16, u16),
        plain: &[u8],
    ) -> Vec<u8> {
        let inner = Inner { header, first, octets: Vec::new() };
        let numbers = [numbers.0.to_be_bytes(), numbers.1.to_be_bytes()].concat();
        self.keys.as_mut().expect("keys").channel.seal_one(&inner, PayloadType::SKF, &numbers, first, plain)
    }
    /// Seals octets that end with this pad length. They and it fill blocks.
    pub(super) fn seal_padded(&mut self, header: Header, first: PayloadType, plain: &[u8], pad: u8) -> Vec<u8> {
        let key = &self.keys.as_ref().expect("keys").channel.sealing();
        let cipher = key.cipher();
        let body = 4 + cipher.iv_len() + plain.len() + 1 + cipher.icv_len();
        let mut message = Header { first: PayloadType::SK, length: 28 + body as u32, ..header }.encode().to_vec();
        message.extend([first.0, 0]);
        message.extend((body as u16).to_be_bytes());
        message.resize(message.len() + cipher.iv_len(), 0);
        message.extend(plain);
        message.push(pad);
        message.resize(message.len() + cipher.icv_len(), 0);
        let (aad, buf) = message.split_at_mut(32);
        key.seal(1000 + u64::from(pad), aad, buf, &[]);
        message
    }
    /// Asks Bob under the keys.
    pub(super) fn asks(&mut self, world: &mut World, exchange: ExchangeType, payloads: &[Payload]) -> Answer {
        let data = self.seal(exchange, payloads);
        self.sends(world, &data)
    }
    /// Has proven to be Alice.
    pub(super) fn enters(self, world: &mut World) -> Self {
        let mut this = self.meets(world);
        let answer = this.asks(world, ExchangeType::IKE_AUTH, &this.proof());
        assert!(matches!(&answer, Answer::Sealed(all) if all.len() > 4), "{answer:?}");
        this
    }

    /// There are keys.
    pub(super) fn has_keys(&self) -> bool {
        self.keys.is_some()
    }
    /// Sends octets to Alice.
    pub(super) fn tells_alice(&mut self, world: &mut World, data: &[u8]) -> Answer {
        let sent = world.a.handle(world.now, Input::Datagram { local: self.there, remote: self.here, data });
        self.reads(&sent)
    }
    /// Has heard Alice's IKE_SA_INIT.
    pub(super) fn listens(&mut self, world: &World) {
        self.spi_i = world.log[0].1.header().spi_i;
    }
    /// Answers it, and Alice never learns g^ir.
    pub(super) fn answers_without_computing(&mut self, world: &mut World) {
        world.a.held = Some(Vec::new());
        self.answers(world, |_| {});
    }

    /// Answers Alice's IKE_SA_INIT with what `change` makes of a good answer.
    pub(super) fn answers(&mut self, world: &mut World, change: impl FnOnce(&mut Vec<Payload>)) -> Vec<Datagram> {
        let request = world.hold().into_iter().rfind(|d| d.to == self.here).expect("Alice asks");
        self.take(request.data);
        let mut payloads = self.opening();
        change(&mut payloads);
        self.response = Message { header: self.header(ExchangeType::IKE_SA_INIT, true, 0), payloads }.encode();
        let input = Input::Datagram { local: self.there, remote: self.here, data: &self.response };
        world.a.handle(world.now, input)
    }
    /// Opens a message for him.
    pub(super) fn opens(&mut self, message: &Datagram) -> Result<Vec<Payload>, OpenError> {
        let opened = self.keys.as_mut().expect("keys").channel.open_within(Duration::ZERO, 65_536, &message.data)?;
        opened.inner.payloads().map_err(OpenError::Inside)
    }
    /// Answers a request of Alice.
    pub(super) fn replies(&mut self, world: &mut World, request: &Datagram, payloads: &[Payload]) -> Vec<Datagram> {
        let asked = request.header();
        let data = self.seal_as(self.header(asked.exchange, true, asked.id), payloads);
        world.a.handle(world.now, Input::Datagram { local: self.there, remote: self.here, data: &data })
    }
}

/// SA, TSi and TSr of the child that both have.
pub(super) fn child(spi: u32) -> Vec<Payload> {
    let mut proposals = esp("aes128gcm16");
    proposals[0].spi = spi.to_be_bytes().to_vec();
    vec![Payload::Sa(proposals), Payload::TsI(ts("10.1.0.0/16")), Payload::TsR(ts("10.2.0.0/16"))]
}
pub(super) fn ts(list: &str) -> TrafficSelectors {
    TrafficSelectors { ranges: list.split(',').map(|s| s.parse().expect("a selector")).collect(), unknown: 0 }
}
