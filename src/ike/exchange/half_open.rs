//! A half-open IKE SA: the responder has answered IKE_SA_INIT and waits for what it can believe.
use super::ike_auth::forms::Suspect;
use super::ike_auth::responder::Pending;
use super::ike_sa_init::MAX_REQUEST;
use super::{Arrival, ike_auth, intermediate};
use crate::crypto::secret::Secret;
use crate::crypto::work::{Done, Work};
use crate::ike::admission::InitKey;
use crate::ike::channel::{Channel, Sealed};
use crate::ike::common::{Cx, Step};
use crate::ike::diagnose::{Failure, Phase as Where};
use crate::ike::event::Ended;
use crate::ike::keys::{Contributions, HandshakeKeys};
use crate::ike::link::Link;
use crate::ike::negotiate::IkeSuite;
use crate::ike::policy::{Connection, Remote};
use crate::ike::sa::{Core, HALF_OPEN_LIFETIME, Phase};
use crate::ike::window::Incoming;
use crate::wire::message::Header;
use crate::wire::payload::Proposal;
use crate::wire::registry::ExchangeType;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// An initiator that has not gone on until then will not: it has asked again by now.
const SILENCE: Duration = Duration::from_secs(5);
/// So many messages of a half-open IKE SA wait for its keys: an IKE_AUTH with a chain of certificates, in small fragments.
const MAX_PARKED: usize = 32;

/// Responder: the request is answered, IKE_AUTH has not been verified.
pub(in crate::ike) struct HalfOpen {
    pub key: InitKey,
    pub suite: IkeSuite,
    pub proposal: Proposal,
    pub private: Secret,
    pub public: Vec<u8>,
    pub nr: Vec<u8>,
    pub request: Vec<u8>,
    pub response: Vec<u8>,
    /// Since g^ir is known.
    pub keys: Option<HandshakeKeys>,
    pub job: Option<u64>,
    /// How many additional key exchanges are done, and the one that is under way.
    pub done: usize,
    pub answering: Option<intermediate::Answering>,
    /// The keys before the last of them: what its request, which may come again, is protected by.
    pub previous: Option<Channel>,
    /// Hash functions that the initiator has announced, as we have.
    pub hashes: Option<Vec<u16>>,
    /// Both ends have a post-quantum pre-shared key.
    pub ppk: bool,
    /// The IKE_AUTH request whose answer is being computed.
    pub pending: Option<Box<Pending>>,
    /// The first protected request, which waits for g^ir, or what has come of its fragments.
    pub parked: Vec<Parked>,
    /// The initiator can use a post-quantum pre-shared key, and nobody has one for it here.
    pub lacks_ppk: bool,
    /// It was told that nothing has followed.
    pub told: bool,
    /// What is told of a refusal when it was looked into.
    pub suspect: Option<Box<Suspect>>,
    /// A request was refused with this. They may get lost, so they are remembered for as long as a half-open IKE SA lives.
    pub refused: Option<Sealed>,
}
/// A message that waits.
pub(in crate::ike) struct Parked {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub data: Vec<u8>,
}

/// Handles a request. The keys are computed when the first one comes that needs them.
pub(in crate::ike) fn on_request(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    header: &Header,
    from: &Arrival<'_>,
) -> Step<Phase> {
    let next = header.exchange == half.awaits() && core.window.judge(header.id) == Incoming::New;
    match (&mut half.keys, header.exchange) {
        (None, _) if next => half.park(cx, core, from),
        (Some(keys), _) if half.refused.is_some() => {
            // To nothing but the request that was refused.
            if let Some(refused) = half.refused.as_ref().filter(|_| next && keys.channel.asks_again(from.data)) {
                cx.transmit_all(from.local, from.remote, refused);
            }
        }
        (Some(_), ExchangeType::IKE_INTERMEDIATE) => return intermediate::on_request(cx, core, half, header, from),
        (Some(_), ExchangeType::IKE_AUTH) if next => return ike_auth::responder::on_request(cx, core, half, from),
        _ => {}
    }
    Ok(Phase::HalfOpen(half))
}
/// What it waited for was computed.
pub(in crate::ike) fn computed(
    cx: &mut Cx<'_>,
    core: &mut Core,
    mut half: Box<HalfOpen>,
    job: u64,
    done: Done,
) -> Step<Phase> {
    if let Some(suspect) = half.suspect.take_if(|suspect| suspect.job == job) {
        suspect.computed(cx, &done);
        return Ok(Phase::HalfOpen(half));
    }
    match (half.job == Some(job), &half.keys) {
        (false, _) if half.pending.is_some() => return ike_auth::responder::computed(cx, core, half, job, done),
        (false, _) => return Ok(Phase::HalfOpen(half)),
        (true, Some(_)) => return intermediate::answered(cx, core, half, done),
        (true, None) => half.job = None,
    }
    let mut parked = std::mem::take(&mut half.parked);
    match done {
        // What was parked counts as lost.
        Done::Refused => parked.clear(),
        done => half.derive(cx, core, &done.agreed().ok_or(Ended::Failed)?),
    }
    let mut phase = Phase::HalfOpen(half);
    for Parked { local, remote, data } in parked {
        let Ok(header) = Header::parse(&data) else { continue };
        let Phase::HalfOpen(half) = phase else { break };
        phase = on_request(cx, core, half, &header, &Arrival { local, remote, data: &data })?;
    }
    Ok(phase)
}
impl HalfOpen {
    /// When something is to be done about it.
    pub(in crate::ike) fn deadline(&self, core: &Core) -> Duration {
        let waits = !self.told && self.keys.is_none() && self.job.is_none();
        core.created + if waits { SILENCE } else { HALF_OPEN_LIFETIME }
    }
    /// Its time may be over. If the initiator has not gone on, though it is where one of our peers is, this is told: what it had to say is
    /// lost on the way, or it did not like our answer.
    pub(in crate::ike) fn tick(&mut self, cx: &mut Cx<'_>, core: &Core) -> Step<()> {
        if self.keys.is_none() && self.job.is_none() && !std::mem::replace(&mut self.told, true) {
            self.nothing_follows(cx, core);
        }
        if cx.now < core.created + HALF_OPEN_LIFETIME { Ok(()) } else { Err(Ended::Failed) }
    }
    fn nothing_follows(&self, cx: &mut Cx<'_>, core: &Core) {
        let known = cx.common.directory.between(core.local.ip(), core.remote.ip(), cx.host);
        let at_home = |c: &&Arc<Connection>| !c.remote_addrs.contains(&Remote::Any);
        let up = |c: &Connection| cx.common.links.get(&c.name).is_some_and(Link::is_up);
        // Who is up otherwise has just chosen another of two.
        let Some(connection) = known.iter().find(at_home).filter(|c| !up(c)).cloned() else { return };
        // Nor is it told of who is not listened to.
        let barred = cx.common.admission.is_barred(cx.now, core.remote.ip(), &cx.policy().limits);
        if barred || !cx.may_report() {
            return;
        }
        let (code, candidates) = match self.lacks_ppk {
            true => ("auth.ppk", ["auth.ppk", "net.filtered"]),
            false => ("net.filtered", ["net.filtered", "net.nat"]),
        };
        let failure = Failure::new(cx.now, Where::IkeAuth, false, code).or_else(&candidates);
        let failure = if self.lacks_ppk {
            failure.between("ppk", vec!["none".into()], vec!["wanted".into()])
        } else {
            failure.between("packets", vec!["IKE_SA_INIT answered".into()], vec!["no IKE_AUTH".into()])
        };
        cx.fail_stranger(Failure { remote: Some(core.remote), ..failure }, Some(&connection));
    }
    /// The initiator's nonce.
    pub(in crate::ike) fn ni(&self) -> &[u8] {
        &self.key.2
    }
    /// What follows now: all additional key exchanges, then IKE_AUTH.
    pub(in crate::ike) fn awaits(&self) -> ExchangeType {
        match self.suite.additional.get(self.done) {
            Some(_) => ExchangeType::IKE_INTERMEDIATE,
            None => ExchangeType::IKE_AUTH,
        }
    }
    /// Begins to compute g^ir, which no IKE_SA_INIT alone is worth, and parks the message that needs it. Nothing can be verified yet, so
    /// that what is parked is bounded.
    pub(in crate::ike) fn park(&mut self, cx: &mut Cx<'_>, core: &Core, from: &Arrival<'_>) {
        let octets: usize = self.parked.iter().map(|p| p.data.len()).sum();
        let room = self.parked.len() < MAX_PARKED && octets + from.data.len() <= 2 * MAX_REQUEST;
        let barred = cx.common.admission.is_barred(cx.now, from.remote.ip(), &cx.policy().limits);
        if !room || barred || !from.is_protected() || self.parked.iter().any(|p| p.data == from.data) {
            return;
        }
        if self.job.is_none() {
            let (private, public) = (self.private.clone(), self.public.clone());
            self.job = cx.compute(core.id, Work::Agree { group: self.suite.group, private, public });
        }
        if self.job.is_some() {
            self.parked.push(Parked { local: from.local, remote: from.remote, data: from.data.to_vec() });
        }
    }
    /// Derives the keys, once g^ir is known.
    pub(in crate::ike) fn derive(&mut self, cx: &mut Cx<'_>, core: &Core, g_ir: &Secret) {
        let from = Contributions { ni: &self.key.2, nr: &self.nr, spi_i: core.spi_i, spi_r: core.spi_r };
        let suite: &IkeSuite = &self.suite;
        self.keys = Some(HandshakeKeys::derive(suite, g_ir, &from, false, &mut cx.rng()));
    }
}
