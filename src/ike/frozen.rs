//! The whole endpoint as octets, and from them again in another process (design: Nonces): IKE SAs in all their phases with what is under way,
//! what is wanted, what is remembered about strangers, and when the next step is due. Times are those of a clock that both processes read.
//!
//! What is not in it: the secrets and credentials of the policy, which the other process has read itself, and randomness. The connections are in
//! it, as those that IKE SAs were made under may not be configured any more; `Command::SetPolicy` then says what has changed, as in any reload.
//! Public-key work that was under way is begun again from what went into it.
//!
//! Freezing changes nothing, so that an endpoint that was frozen in vain goes on. **The octets hold all keys: from the moment at which the other
//! process may seal, this one may not any more.** Each key's counter goes on behind a gap (`channel::GAP`), and what was sealed before is sent
//! again octet for octet or not at all.
use super::calls::Caller;
use super::channel::Inner;
use super::child::{self, Child, ChildState};
use super::claim::Own;
use super::common::{Again, Common, How, Job, Redundant};
use super::diagnose::{Certainty, Failure, Phase as Where, Values};
use super::directory::Directory;
use super::endpoint::{Endpoint, Owner};
use super::event::{ChildId, DirectionKeys, Ended, IkeId, IkePath, Output};
use super::exchange::create_child::{Agreed, Answering, Making, Pending};
use super::exchange::half_open::{HalfOpen, Parked};
use super::exchange::{Contents, mobike};
use super::heir::Estate;
use super::inbox::Early;
use super::life::Life;
use super::link::{Retry, Sibling, Wish};
use super::nat::Nat;
use super::negotiate::{EspSuite, IkeSuite, KeRule};
use super::policy::{
    AuthKind, ChildPolicy, Childless, Connection, DpdAction, EncapPolicy, IdMatch, Policy, Pool, PpkPolicy, RekeyBy,
    Remote, StartAction, Unique,
};
use super::sa::{Answer, Asked, Core, Established, IkeSa, Phase, Standing, Task};
use super::virtuals::Virtuals;
use super::ways::Stuck;
use crate::frozen::{Frozen, Known, Reader, Thaw, Writer, frozen};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// The name of this part of a state, and how it is written now.
const PART: &str = "ike";
const VERSION: u16 = 1;

impl Endpoint {
    /// All of it. Nothing may wait to be polled.
    ///
    /// # Errors
    /// Something does.
    pub fn freeze(&self) -> Result<Writer, Thaw> {
        let Self { common, sas, timers, shutdown } = self;
        if !common.out.is_empty() {
            return Err(Thaw::Busy("something is to be sent"));
        }
        let mut out = Writer::new(PART, VERSION);
        common.freeze(&mut out);
        sas.freeze(&mut out);
        timers.freeze(&mut out);
        shutdown.freeze(&mut out);
        Ok(out)
    }
    /// One that goes on where another has stopped. `policy`: what is configured here, which `Command::SetPolicy` is to follow with. What was being
    /// computed is polled again at once.
    ///
    /// # Errors
    /// Why it is not the state of an endpoint.
    pub fn thaw(octets: &[u8], policy: &Arc<Policy>) -> Result<Self, Thaw> {
        let known = known(policy);
        let mut input = Reader::new(octets, PART, VERSION, &known)?;
        let mut common = Common::thaw(&mut input)?;
        let sas = Frozen::thaw(&mut input)?;
        let timers = Frozen::thaw(&mut input)?;
        let shutdown = Frozen::thaw(&mut input)?;
        input.finish()?;
        // By these connections until it is told otherwise, with the secrets of now.
        let connections = common.directory.policy.connections.clone();
        common.directory = Directory::new(match connections == policy.connections {
            true => policy.clone(),
            false => Arc::new(Policy { connections, ..Policy::clone(policy) }),
        });
        let mut again: Vec<_> = common.jobs.iter().map(|(job, waits)| (*job, waits.again.clone())).collect();
        again.sort_unstable_by_key(|(job, _)| *job);
        common.out.extend(again.into_iter().map(|(job, again)| match again {
            Again::Compute(work) => Output::Compute { job, work },
            Again::Fetch { urls, allowed } => Output::Fetch { job, urls, allowed },
        }));
        Ok(Self { common, sas, timers, shutdown })
    }
}
/// What stays with the process that has read it.
fn known(policy: &Policy) -> Known {
    let all = || policy.credentials.values();
    Known {
        keys: all().filter_map(|one| Some(one.local.as_ref()?.key.clone())).collect(),
        trusts: all().filter_map(|one| Some(one.remote.as_ref()?.trust.clone())).collect(),
    }
}

/// Of the policy the connections; all else is configured.
impl Frozen for Directory {
    fn freeze(&self, out: &mut Writer) {
        self.policy.connections.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let connections = Frozen::thaw(input)?;
        Ok(Self::new(Arc::new(Policy { connections, ..Policy::default() })))
    }
}
impl Frozen for Common {
    fn freeze(&self, out: &mut Writer) {
        let Self {
            directory,
            admission,
            tag,
            out: _,
            by_spi,
            by_child,
            by_id,
            links,
            touched,
            redundant,
            born,
            estates,
            conceded,
            renew,
            silent,
            answered,
            lost,
            relieved,
            jobs,
            calls,
            leases,
            established,
            adopted: _,
            // Who asked is not there any more.
            exams: _,
            // Of this process.
            counts: _,
            shown: _,
            counter,
        } = self;
        directory.freeze(out);
        admission.freeze(out);
        tag.freeze(out);
        by_spi.freeze(out);
        by_child.freeze(out);
        by_id.freeze(out);
        links.freeze(out);
        touched.freeze(out);
        redundant.freeze(out);
        born.freeze(out);
        estates.freeze(out);
        conceded.freeze(out);
        renew.freeze(out);
        silent.freeze(out);
        answered.freeze(out);
        lost.freeze(out);
        relieved.freeze(out);
        jobs.freeze(out);
        calls.freeze(out);
        leases.freeze(out);
        established.freeze(out);
        counter.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Ok(Self {
            out: VecDeque::new(),
            shown: HashSet::new(),
            directory: Frozen::thaw(input)?,
            admission: Frozen::thaw(input)?,
            tag: Frozen::thaw(input)?,
            by_spi: Frozen::thaw(input)?,
            by_child: Frozen::thaw(input)?,
            by_id: Frozen::thaw(input)?,
            links: Frozen::thaw(input)?,
            touched: Frozen::thaw(input)?,
            redundant: Frozen::thaw(input)?,
            born: Frozen::thaw(input)?,
            estates: Frozen::thaw(input)?,
            conceded: Frozen::thaw(input)?,
            renew: Frozen::thaw(input)?,
            silent: Frozen::thaw(input)?,
            answered: Frozen::thaw(input)?,
            lost: Frozen::thaw(input)?,
            relieved: Frozen::thaw(input)?,
            jobs: Frozen::thaw(input)?,
            calls: Frozen::thaw(input)?,
            leases: Frozen::thaw(input)?,
            established: Frozen::thaw(input)?,
            exams: Default::default(),
            adopted: Vec::new(),
            counts: Default::default(),
            counter: Frozen::thaw(input)?,
        })
    }
}

frozen! {
    enum Owner { 0 = Shutdown, 1 = Calls, 2 = Link(name), 3 = Sa(id), 4 = Exams }
    struct Redundant { ike, how }
    enum How { 0 = Silently, 1 = Now, 2 = Shortly, 3 = Later, 4 = Soon, 5 = Outdated }
    struct Job { ike, again }
    enum Again { 0 = Compute(work), 1 = Fetch { urls, allowed } }
    enum Caller { 0 = Link(name), 1 = Renewal(id, lost), 2 = Elsewhere(id) }
    struct Estate { from, to, children, queue, leave_at, relieves, path }

    // Names and facts.
    struct IkeId(number)
    struct ChildId(number)
    struct IkePath { local, remote, udp, may_move }
    struct DirectionKeys { encr, integ }
    enum Ended { 0 = ByUs, 1 = ByPeer, 2 = Replaced, 3 = PeerDead, 4 = Failed, 5 = Expired }
    enum Certainty { 0 = Proven, 1 = Likely }
    enum Where { 0 = SaInit, 1 = IkeAuth, 2 = CreateChild, 3 = Rekey, 4 = Traffic }
    struct Values(all)
    struct Failure {
        time, connection, child, phase, initiator, code, certainty, candidates, local, peer, differing, notify, remote
    }

    // An IKE SA.
    struct IkeSa { core, phase }
    struct Core {
        id, spi_i, spi_r, initiator, local, remote, nat, size, mobile, window, connection, created, sent, replaces,
        abandons, hit
    }
    enum Phase {
        0 = Opening(it), 1 = Agreeing(it), 2 = Mixing(it), 3 = Proving(it), 4 = HalfOpen(it), 5 = Established(it), 6 = Moving
    }
    struct HalfOpen {
        key, suite, proposal, private, public, nr, request, response, keys, job, done, answering, previous, hashes, ppk,
        pending, parked, lacks_ppk, told, suspect, refused
    }
    struct Parked { local, remote, data }
    struct Established {
        connection, permitted, unsettled, peer, local_id, remote_id, virtuals, proposal, keys, channel, since, signs, children, queue, asked,
        answering, ppk, fresh, half_done, closing, life, authentication, standing, leave_at, older, relieves, put_off,
        unheard
    }
    enum Standing { 0 = Current, 1 = Rival(old), 2 = Succeeded }
    enum Task {
        0 = CreateChild(name), 1 = CreateResource(name), 2 = RekeyChild(id), 3 = RekeyIke, 4 = DeleteChild(id),
        5 = DeleteSpi { spi, release }, 6 = DeleteIke, 7 = Liveness, 8 = Probe(size), 9 = Mobike(ask),
        10 = Examine
    }
    enum Asked {
        0 = Create(asked), 1 = DeleteChildren { ids, unheard }, 2 = DeleteSpi { spi, release }, 3 = DeleteIke,
        4 = Liveness, 5 = Probe { size, sent }, 6 = Mobike(asked), 7 = Examine(spi)
    }
    struct Answer { exchange, id, local, remote }
    struct Nat { local, remote, forged, spoken, seen_as }
    struct Virtuals { ours, theirs }
    struct Inner { header, first, octets }
    struct Early { inner, local, remote }
    struct Own { certs, key, scheme }
    struct Contents { sa, ke, nonce, id_i, id_r, auth, certs, ts_i, ts_r, deletes, notifies, cfg }

    // Its children.
    struct Child {
        id, policy, spi_in, spi_out, since, state, replaces, proposal, local_ts, remote_ts, life, rehearsal, resource,
        group, inbound_only, outdated, early
    }
    enum ChildState { 0 = Up, 1 = Replaced { until }, 2 = Leaving(why), 3 = Closing(why) }
    struct Life { renew, end, failures }
    enum Making { 0 = Child { offer, rival }, 1 = Ike(offer) }
    enum Agreed { 0 = Child(agreed), 1 = Ike(agreed) }
    struct Pending { agreed, ni, nr, secrets }
    struct Answering { job, to, pending, public }
    struct IkeSuite { cipher, prf, group, additional }
    struct EspSuite { cipher, esn, group, additional }
    enum KeRule { 0 = Ignore, 1 = Prefer(group) }

    // What is wanted.
    struct Sibling { ike, local, created, since, spi_i, initiator }
    struct Wish { wanted, persistent, trap, down, rehearsed, retry }
    struct Retry { at, failures }
    enum Stuck { 0 = Asking(until), 1 = Told }

    // What an IKE SA was made under.
    struct Connection {
        name, local_addrs, remote_addrs, proposals, local_id, remote_id, encap, dpd_delay, keepalive, local_auth,
        remote_auth, rekey_time, reauth_time, over_time, rand_time, rekey, fragmentation, mobike, childless, rehearse,
        ppk, vips, pools, keylog, unique, children
    }
    enum Remote { 0 = Addr(addr), 1 = Name(name), 2 = Any }
    enum IdMatch { 0 = Exact(id), 1 = Any }
    enum EncapPolicy { 0 = Auto, 1 = Always }
    enum Unique { 0 = Replace, 1 = Keep, 2 = Never }
    enum AuthKind { 0 = Psk, 1 = PublicKey }
    enum RekeyBy { 0 = Both, 1 = Us, 2 = Peer }
    enum Childless { 0 = Allow, 1 = Prefer, 2 = Force, 3 = Never }
    enum StartAction { 0 = Start, 1 = Trap, 2 = None }
    enum DpdAction { 0 = Restart, 1 = Trap, 2 = Clear }
    struct PpkPolicy { id, required }
    struct Pool { name, first, last }
    struct ChildPolicy {
        name, local_ts, remote_ts, proposals, start, dpd, transport, rekey_time, rekey_bytes, rekey_packets, resources
    }
}
mod nested {
    //! Types whose names are others' names, too.
    use super::*;
    use child::Agreed;
    use mobike::Ask;
    frozen! {
        struct Agreed {
            policy, spi_in, spi_out, suite, proposal, local_ts, remote_ts, theirs, replaces, sent, resource, group
        }
        enum Ask { 0 = Update, 1 = Routability, 2 = Addresses }
    }
}
#[cfg(any(test, feature = "fuzzing"))]
impl Endpoint {
    /// Through octets and back, as if another process went on. What was being computed goes on, so that it is not begun again: the jobs are returned.
    pub(super) fn reborn(&mut self) -> Vec<u64> {
        let frozen = self.freeze().expect("everything was polled");
        let policy = self.common.directory.policy.clone();
        *self = Self::thaw(frozen.octets(), &policy).expect("it is what was frozen");
        std::iter::from_fn(|| self.poll())
            .map(|output| match output {
                Output::Compute { job, .. } | Output::Fetch { job, .. } => job,
                other => panic!("an endpoint that goes on says {other:?}"),
            })
            .collect()
    }
}

/// Octets of the name and the version in front of it.
#[cfg(test)]
pub(crate) const HEAD: usize = 4 + PART.len() + 2;
/// A fuzz target: whatever is said to be an endpoint, behind the name and version of one.
#[cfg(any(test, feature = "fuzzing"))]
pub fn thaw_any(data: &[u8]) -> Option<usize> {
    let mut octets = Writer::new(PART, VERSION);
    octets.put(data);
    let thawed = Endpoint::thaw(octets.octets(), &Arc::default()).ok()?;
    Some(thawed.sas.len())
}
