//! What all IKE SAs share, and the context in which a step of one of them runs.
use super::admission::Admission;
use super::adopt::Grade;
use super::calls::Calls;
use super::channel::Sealed;
use super::diagnose::Failure;
use super::directory::Directory;
use super::event::{ChildId, Ended, Event, Host, IkeId, Output};
use super::examine::Exams;
use super::heir::Estate;
use super::lease::Leases;
use super::link::Link;
use super::policy::{Connection, Policy};
use super::sa::IkeSa;
use super::spi::SpiTag;
use super::status::Counts;
use crate::crypto::ke::Group;
use crate::crypto::rng::Rng;
use crate::crypto::secret::Secret;
use crate::crypto::work::Work;
use crate::wire::message::IkeSpi;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Everything but the IKE SAs themselves.
pub(super) struct Common {
    pub directory: Directory,
    pub admission: Admission,
    pub tag: SpiTag,
    pub out: VecDeque<Output>,
    /// IKE SAs by our SPI.
    pub by_spi: HashMap<IkeSpi, IkeId>,
    /// IKE SAs by the inbound SPIs of their children.
    pub by_child: HashMap<u32, IkeId>,
    /// IKE SAs by their children.
    pub by_id: HashMap<ChildId, IkeId>,
    /// Established IKE SAs by connection and peer.
    pub links: HashMap<Arc<str>, Link>,
    /// Connections whose wishes have to be looked at again.
    pub touched: BTreeSet<Arc<str>>,
    /// Connections that `status` may show otherwise than before.
    pub shown: HashSet<Arc<str>>,
    /// IKE SAs that another one has made redundant.
    pub redundant: Vec<Redundant>,
    /// IKE SAs that a rekey has made in this step.
    pub born: Vec<IkeSa>,
    /// What IKE SAs have left to others in this step.
    pub estates: Vec<Estate>,
    /// IKE SAs whose peer has decided a collision before us.
    pub conceded: Vec<IkeId>,
    /// IKE SAs that need another one in their place, made from scratch.
    pub renew: Vec<IkeId>,
    /// IKE SAs whose request goes unanswered.
    pub silent: Vec<IkeId>,
    /// IKE SAs that have got an answer: there is no need to look elsewhere.
    pub answered: Vec<IkeId>,
    /// The same of those that their peer has lost, or that cannot be used any more.
    pub lost: Vec<IkeId>,
    /// IKE SAs and those that are established now in their place.
    pub relieved: Vec<(IkeId, IkeId)>,
    /// Which IKE SA waits for which computation.
    pub jobs: HashMap<u64, Job>,
    /// Attempts that are under way.
    pub calls: Calls,
    /// Addresses that peers have from our pools.
    pub leases: Leases,
    /// How many IKE SAs are established.
    pub established: usize,
    /// Peers that are being asked what they take.
    pub exams: Exams,
    /// What new policies have begun, until somebody asks.
    pub adopted: Vec<(Arc<str>, Grade)>,
    /// What is counted for people.
    pub counts: Counts,
    /// The last number that was given to an IKE SA, a child or a job.
    pub counter: u64,
}
/// What an IKE SA waits for, and how it is begun again by a process that goes on in the place of this one.
pub(super) struct Job {
    pub ike: IkeId,
    pub again: Again,
}
/// What was asked of the host.
#[derive(Clone)]
pub(super) enum Again {
    Compute(Work),
    Fetch { urls: Vec<String>, allowed: Arc<[String]> },
}
/// An IKE SA whose time is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Redundant {
    pub ike: IkeId,
    pub how: How,
}
/// How it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// The peer need not be told: it has lost it, or has what came after it.
    Silently,
    /// With a Delete.
    Now,
    /// The same, once what is on its way on its children has arrived.
    Shortly,
    /// The peer will delete it; if it has not after a while, we do.
    Later,
    /// With a Delete, if the configuration does not permit it any more: what was to take its place has failed.
    Outdated,
    /// It has a successor, which has one, too: the Delete of the one before, whoever owes it, has a while left.
    Soon,
}
impl Common {
    pub(super) fn new(now: Duration, host: &mut dyn Host) -> Self {
        Self {
            directory: Directory::new(Arc::default()),
            admission: Admission::new(now, host),
            tag: SpiTag::new(host),
            out: VecDeque::new(),
            by_spi: HashMap::new(),
            by_child: HashMap::new(),
            by_id: HashMap::new(),
            born: Vec::new(),
            estates: Vec::new(),
            conceded: Vec::new(),
            renew: Vec::new(),
            silent: Vec::new(),
            answered: Vec::new(),
            lost: Vec::new(),
            relieved: Vec::new(),
            links: HashMap::new(),
            touched: BTreeSet::new(),
            shown: HashSet::new(),
            redundant: Vec::new(),
            jobs: HashMap::new(),
            calls: Calls::default(),
            leases: Leases::default(),
            established: 0,
            exams: Exams::default(),
            adopted: Vec::new(),
            counts: Counts::default(),
            counter: 0,
        }
    }
    /// One more IKE SA is established, of this connection; as it is by now: it may have changed since the attempt began, but not in what that
    /// negotiates.
    pub(super) fn count(&mut self, connection: Arc<Connection>) -> Arc<Connection> {
        self.established += 1;
        self.links.get(&connection.name).map_or(connection, |link| link.connection.clone())
    }
    /// Tells the host.
    pub(super) fn emit(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }
    /// Something of the connection is another way than it was.
    pub(super) fn show(&mut self, connection: Option<&Arc<str>>) {
        let news = connection.filter(|connection| !self.shown.contains(*connection)).cloned();
        self.shown.extend(news);
    }
    fn number(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}

/// One step: when, for whom, and with what.
pub(super) struct Cx<'a> {
    pub now: Duration,
    pub host: &'a mut dyn Host,
    pub common: &'a mut Common,
}
impl Cx<'_> {
    pub(super) fn policy(&self) -> Arc<Policy> {
        self.common.directory.policy.clone()
    }
    /// What the peer has to delete is left to it for this long: it may still be asking for our answer.
    pub(super) fn patience(&self) -> Duration {
        super::window::patience(&self.policy().retransmit)
    }
    pub(super) fn transmit(&mut self, local: SocketAddr, remote: SocketAddr, data: Vec<u8>) {
        self.common.out.push_back(Output::Transmit { local, remote, data, dont_fragment: false });
    }
    /// One message, or its fragments.
    pub(super) fn transmit_all(&mut self, local: SocketAddr, remote: SocketAddr, sealed: &Sealed) {
        for data in sealed.datagrams() {
            let (data, dont_fragment) = (data.clone(), sealed.dont_fragment);
            self.common.out.push_back(Output::Transmit { local, remote, data, dont_fragment });
        }
    }
    pub(super) fn emit(&mut self, event: Event) {
        self.common.emit(event);
    }
    /// Tells of a failure, and remembers it as the connection's last one.
    pub(super) fn fail(&mut self, mut failure: Failure, connection: Option<&Connection>) {
        if let Some(link) = connection.and_then(|c| self.common.links.get_mut(&c.name)) {
            failure.connection = Some(link.connection.name.clone());
            link.last_failure = Some(failure.clone());
            self.common.shown.extend(failure.connection.clone());
        }
        self.common.exams.hear(&failure);
        self.emit(Event::Failed(Box::new(failure)));
    }
    /// Tells what is not as it should be with what works, once for as long as it is so.
    pub(super) fn notice(&mut self, mut failure: Failure, connection: &Connection) {
        let Some(link) = self.common.links.get_mut(&connection.name) else { return };
        failure.connection = Some(link.connection.name.clone());
        if link.notice(&failure) {
            self.common.shown.insert(connection.name.clone());
            self.emit(Event::Noticed(Box::new(failure)));
        }
    }
    /// Nothing of that is so any more with this child.
    pub(super) fn settled(&mut self, connection: &Connection, child: &str) {
        if self.common.links.get_mut(&connection.name).is_some_and(|link| link.settled(child)) {
            self.common.shown.insert(connection.name.clone());
        }
    }
    /// True if one more failure of somebody who has proven nothing may be told: asked before the work of describing it.
    pub(super) fn may_report(&mut self) -> bool {
        self.common.admission.reports.take(self.now)
    }
    /// Tells of a failure that nobody has authenticated, after `may_report`: not the last word on a connection that has an IKE SA.
    pub(super) fn fail_stranger(&mut self, mut failure: Failure, connection: Option<&Connection>) {
        let busy = |c: &&Connection| self.common.links.get(&c.name).is_some_and(Link::is_up);
        match connection.filter(busy) {
            Some(connection) => {
                failure.connection = Some(connection.name.clone());
                self.emit(Event::Failed(Box::new(failure)));
            }
            None => self.fail(failure, connection),
        }
    }
    pub(super) fn new_ike_id(&mut self) -> IkeId {
        IkeId(self.common.number())
    }
    pub(super) fn new_child_id(&mut self) -> ChildId {
        ChildId(self.common.number())
    }
    /// An SPI for a new IKE SA.
    pub(super) fn new_spi(&mut self) -> IkeSpi {
        loop {
            let spi = self.common.tag.draw(self.host);
            if !spi.is_none() && !self.common.by_spi.contains_key(&spi) {
                return spi;
            }
        }
    }
    /// An SPI that is taken from now on, for an IKE SA that will be.
    pub(super) fn reserve_spi(&mut self, id: IkeId) -> IkeSpi {
        let spi = self.new_spi();
        self.common.by_spi.insert(spi, id);
        spi
    }
    pub(super) fn nonce(&mut self) -> Vec<u8> {
        let mut nonce = vec![0; 32];
        self.host.random(&mut nonce);
        nonce
    }
    pub(super) fn private(&mut self, group: Group) -> Secret {
        group.private(&mut HostRng(self.host))
    }
    pub(super) fn rng(&mut self) -> HostRng<'_> {
        HostRng(self.host)
    }
    /// Has something computed; `None` while too much is being computed already.
    pub(super) fn compute(&mut self, ike: IkeId, work: Work) -> Option<u64> {
        if self.common.jobs.len() >= self.policy().limits.compute_queue {
            return None;
        }
        Some(self.compute_granted(ike, work))
    }
    /// The same whatever the limit: what we have asked an authenticated peer for, and it has granted.
    pub(super) fn compute_granted(&mut self, ike: IkeId, work: Work) -> u64 {
        let job = self.common.number();
        self.common.jobs.insert(job, Job { ike, again: Again::Compute(work.clone()) });
        self.common.out.push_back(Output::Compute { job, work });
        job
    }
    /// Has revocation lists fetched.
    pub(super) fn fetch(&mut self, ike: IkeId, urls: Vec<String>, allowed: Arc<[String]>) -> u64 {
        let job = self.common.number();
        let again = Again::Fetch { urls: urls.clone(), allowed: allowed.clone() };
        self.common.jobs.insert(job, Job { ike, again });
        self.common.out.push_back(Output::Fetch { job, urls, allowed });
        job
    }
    /// Has the connection's wishes looked at after this step.
    pub(super) fn touch(&mut self, connection: &Connection) {
        self.common.touched.insert(connection.name.clone());
    }
}

/// The host's randomness, as crypto wants it.
pub(super) struct HostRng<'a>(&'a mut dyn Host);
impl Rng for HostRng<'_> {
    fn fill(&mut self, out: &mut [u8]) {
        self.0.random(out);
    }
}

/// What a step leaves behind: the next phase, or the end of the IKE SA.
pub(super) type Step<T> = Result<T, Ended>;
