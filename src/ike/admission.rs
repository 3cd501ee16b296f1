//! What keeps strangers from costing us: half-open limits, cookies (RFC 7296 section 2.6), rates. All tables are bounded by the limits.
use super::directory::canonical;
use super::event::{Host, IkeId};
use super::policy::Limits;
use crate::crypto::constant_time_eq;
use crate::crypto::prf::Prf;
use crate::frozen::{Frozen, Reader, Thaw, Writer, frozen};
use crate::wire::message::IkeSpi;
use crate::wire::payload::Id;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A cookie secret is used for this long, and believed for as long again.
const COOKIE_LIFETIME: Duration = Duration::from_secs(60);
/// Sources, and identities, whose failed authentications are counted at the same time.
const MAX_FAILING: usize = 4096;
/// Names are resolved anew for strangers so often, all of them together,
const LOOKUPS: Duration = Duration::from_secs(10);
/// and so long the answers may be on their way.
const ANSWERS: Duration = Duration::from_secs(5);
/// From many sources together an identity may fail so many times as often as one source: whoever bars it from everywhere bars its owner, too.
const IDENTITY_FACTOR: u32 = 8;
const MINUTE: Duration = Duration::from_secs(60);

/// An IKE_SA_INIT request, for its retransmissions: sender, SPIi and Ni (R24).
pub(super) type InitKey = (SocketAddr, IkeSpi, Vec<u8>);

/// Half-open IKE SAs of which we are the responder, and what we remember about sources.
pub(super) struct Admission {
    secrets: [[u8; 32]; 2],
    generation: u8,
    rotated: Duration,
    inits: HashMap<InitKey, IkeId>,
    /// Of each source, the oldest first.
    per_source: HashMap<IpAddr, VecDeque<IkeId>>,
    /// How many each source has.
    by_count: BTreeSet<(usize, IpAddr)>,
    failing_sources: Failures<IpAddr>,
    failing_ids: Failures<Id>,
    /// When names were resolved anew because of a stranger.
    looked_up: Option<Duration>,
    /// Answers to messages that belong to no IKE SA.
    pub answers: Rate,
    /// What we say about SAs that are not ours.
    pub denials: Denials,
    /// IKE SAs that are looked at because somebody says that one is lost.
    pub hints: Rate,
    /// Failures that we report although nobody has proven who he is.
    pub reports: Rate,
}
impl Admission {
    pub(super) fn new(now: Duration, host: &mut dyn Host) -> Self {
        let mut secrets = [[0; 32]; 2];
        secrets.iter_mut().for_each(|s| host.random(s));
        Self {
            secrets,
            generation: 0,
            rotated: now,
            inits: HashMap::new(),
            per_source: HashMap::new(),
            by_count: BTreeSet::new(),
            failing_sources: Failures::default(),
            failing_ids: Failures::default(),
            looked_up: None,
            answers: Rate::new(now, 100, 1000),
            denials: Denials::new(now),
            hints: Rate::new(now, 100_000, 1_000_000),
            reports: Rate::new(now, 10, 20),
        }
    }
    /// The half-open IKE SA that this request made.
    pub(super) fn half_open_by(&self, key: &InitKey) -> Option<IkeId> {
        self.inits.get(key).copied()
    }
    /// How many there are.
    pub(super) fn half_open(&self) -> usize {
        self.inits.len()
    }
    /// A new half-open IKE SA.
    pub(super) fn opened(&mut self, key: InitKey, id: IkeId) {
        self.change(source(key.0.ip()), |ids| ids.push_back(id));
        self.inits.insert(key, id);
    }
    /// It is established, or gone.
    pub(super) fn closed(&mut self, key: &InitKey) {
        if let Some(id) = self.inits.remove(key) {
            self.change(source(key.0.ip()), |ids| ids.retain(|other| *other != id));
        }
    }
    fn change(&mut self, source: IpAddr, change: impl FnOnce(&mut VecDeque<IkeId>)) {
        let ids = self.per_source.entry(source).or_default();
        self.by_count.remove(&(ids.len(), source));
        change(ids);
        if ids.is_empty() {
            self.per_source.remove(&source);
        } else {
            self.by_count.insert((ids.len(), source));
        }
    }
    fn of_source(&self, addr: IpAddr) -> usize {
        self.per_source.get(&source(addr)).map_or(0, VecDeque::len)
    }
    /// True if the next newcomer from there has to show a cookie first.
    /// So it is, too, while more is refused than we answer: looking at an offer costs something even if no state is left of it.
    pub(super) fn wants_cookie(&self, now: Duration, addr: IpAddr, limits: &Limits) -> bool {
        self.half_open() >= limits.cookie_threshold
            || self.of_source(addr) >= limits.cookie_per_source
            || !self.answers.has(now)
    }
    /// True if one more half-open IKE SA is allowed: there is room, or somebody else holds more than this source will.
    pub(super) fn has_room(&self, addr: IpAddr, limits: &Limits) -> bool {
        let others = self.by_count.last().map_or(0, |(count, _)| *count);
        self.of_source(addr) < limits.half_open_per_source
            && (self.half_open() < limits.half_open || others > self.of_source(addr))
    }
    /// Who has to go if there are too many: the oldest one of the busiest source.
    pub(super) fn surplus(&self, limits: &Limits) -> Option<IkeId> {
        let (_, busiest) = self.by_count.last().filter(|_| self.half_open() > limits.half_open)?;
        self.per_source.get(busiest)?.front().copied()
    }
    /// A cookie for this newcomer.
    pub(super) fn cookie(
        &mut self,
        now: Duration,
        addr: IpAddr,
        spi_i: IkeSpi,
        ni: &[u8],
        host: &mut dyn Host,
    ) -> Vec<u8> {
        self.rotate(now, host);
        self.mac(self.generation, addr, spi_i, ni)
    }
    /// True for a cookie that we gave to this newcomer not long ago.
    pub(super) fn is_cookie(
        &mut self,
        now: Duration,
        cookie: &[u8],
        addr: IpAddr,
        spi_i: IkeSpi,
        ni: &[u8],
        host: &mut dyn Host,
    ) -> bool {
        self.rotate(now, host);
        let Some(&generation) = cookie.first() else { return false };
        if generation != self.generation && generation != self.generation.wrapping_sub(1) {
            return false;
        }
        constant_time_eq(cookie, &self.mac(generation, addr, spi_i, ni))
    }
    /// The generation, and a MAC over Ni, address and SPIi under its secret.
    fn mac(&self, generation: u8, addr: IpAddr, spi_i: IkeSpi, ni: &[u8]) -> Vec<u8> {
        let secret = &self.secrets[usize::from(generation % 2)];
        let mac = Prf::HmacSha256.mac(secret, &[&octets(addr), &spi_i.0, ni]);
        let mut cookie = vec![generation];
        cookie.extend_from_slice(&mac.expose()[..16]);
        cookie
    }
    fn rotate(&mut self, now: Duration, host: &mut dyn Host) {
        let age = now.saturating_sub(self.rotated);
        if age < COOKIE_LIFETIME {
            return;
        }
        self.rotated = now;
        // After a long silence the current secret is as old as the one before it.
        for _ in 0..if age < 2 * COOKIE_LIFETIME { 1 } else { 2 } {
            self.generation = self.generation.wrapping_add(1);
            host.random(&mut self.secrets[usize::from(self.generation % 2)]);
        }
    }
    /// A stranger may be somebody whose name leads elsewhere by now. `ask` is called if that was not looked into a moment ago, and says whether
    /// an answer is to be expected. True while it is.
    pub(super) fn awaits_names(&mut self, now: Duration, ask: impl FnOnce() -> bool) -> bool {
        let within = |time| move |at: Duration| now.saturating_sub(at) < time;
        if !self.looked_up.is_some_and(within(LOOKUPS)) && ask() {
            self.looked_up = Some(now);
        }
        self.looked_up.is_some_and(within(ANSWERS))
    }
    /// Counts a failed authentication, from this source.
    pub(super) fn auth_failed(&mut self, now: Duration, addr: IpAddr) {
        self.failing_sources.add(now, source(addr));
    }
    /// The same, of who claims to be this peer.
    pub(super) fn failed_as(&mut self, now: Duration, id: &Id) {
        self.failing_ids.add(now, canonical(id));
    }
    /// True while the source has used up its failures of this minute.
    pub(super) fn is_barred(&self, now: Duration, addr: IpAddr, limits: &Limits) -> bool {
        self.failing_sources.count(now, &source(addr)) >= limits.auth_failures_per_minute
    }
    /// True while too many have failed with this identity in this minute, from wherever.
    pub(super) fn is_guessed(&self, now: Duration, id: &Id, limits: &Limits) -> bool {
        let most = limits.auth_failures_per_minute.saturating_mul(IDENTITY_FACTOR);
        self.failing_ids.count(now, &canonical(id)) >= most
    }
}

/// Failed authentications in the current minute.
struct Failures<K>(HashMap<K, (Duration, u32)>);
impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}
impl<K: Hash + Eq + Clone> Failures<K> {
    /// One more. Where too many others are counted it takes the place of the one with the fewest and counts on from there: whatever comes, it is
    /// not counted too low.
    fn add(&mut self, now: Duration, key: K) {
        if self.0.len() >= MAX_FAILING && !self.0.contains_key(&key) {
            self.0.retain(|_, (since, _)| now.saturating_sub(*since) < MINUTE);
        }
        let mut before = 0;
        if self.0.len() >= MAX_FAILING
            && !self.0.contains_key(&key)
            && let Some(least) = self.0.iter().min_by_key(|(_, (_, n))| *n).map(|(key, _)| key.clone())
        {
            before = self.0.remove(&least).map_or(0, |(_, n)| n);
        }
        let entry = self.0.entry(key).or_insert((now, before));
        if now.saturating_sub(entry.0) >= MINUTE {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
    fn count(&self, now: Duration, key: &K) -> u32 {
        let current = self.0.get(key).filter(|(since, _)| now.saturating_sub(*since) < MINUTE);
        current.map_or(0, |(_, n)| *n)
    }
}

/// What counts as one source: an IPv4 address, or the /64 that one IPv6 host can choose from.
fn source(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => addr,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}
fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

/// What somebody speaks of that we do not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    Ike,
    Esp,
}
/// How often we say so. Whoever provokes one kind leaves the other as it is, and whoever is at no address or name of the configuration those who are:
/// both are needed for a peer to learn soon that we have crashed.
#[derive(Debug)]
pub(super) struct Denials {
    /// To whom the configuration has the address or the name of, and to others.
    ike: [Rate; 2],
    esp: [Rate; 2],
}
impl Denials {
    fn new(now: Duration) -> Self {
        let rates = || [Rate::new(now, 1000, 2000), Rate::new(now, 1000, 2000)];
        Self { ike: rates(), esp: rates() }
    }
    /// True if one more may be said.
    pub(super) fn take(&mut self, now: Duration, lost: Lost, listed: bool) -> bool {
        let [known, others] = match lost {
            Lost::Ike => &mut self.ike,
            Lost::Esp => &mut self.esp,
        };
        if listed { known.take(now) } else { others.take(now) }
    }
}

/// So many per second, with a reserve.
#[derive(Debug)]
pub(super) struct Rate {
    tokens: f64,
    per_second: f64,
    reserve: f64,
    at: Duration,
}
impl Rate {
    fn new(now: Duration, per_second: u32, reserve: u32) -> Self {
        Self { tokens: reserve.into(), per_second: per_second.into(), reserve: reserve.into(), at: now }
    }
    /// True if there is one.
    pub(super) fn has(&self, now: Duration) -> bool {
        self.at(now) >= 1.0
    }
    fn at(&self, now: Duration) -> f64 {
        let grown = now.saturating_sub(self.at).as_secs_f64() * self.per_second;
        (self.tokens + grown).min(self.reserve)
    }
    /// Takes one, if there is one.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        self.tokens = self.at(now);
        self.at = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }
    /// Takes more, also what is not there yet.
    pub(super) fn pay(&mut self, tokens: usize) {
        self.tokens -= tokens as f64;
    }
}

frozen! {
    struct Admission {
        secrets, generation, rotated, inits, per_source, by_count, failing_sources, failing_ids, looked_up, answers,
        denials, hints, reports
    }
    struct Denials { ike, esp }
    struct Rate { tokens, per_second, reserve, at }
}
impl<K: Frozen + Hash + Eq> Frozen for Failures<K> {
    fn freeze(&self, out: &mut Writer) {
        self.0.freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Frozen::thaw(input).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_of_failures_counts_no_one_too_low() {
        let (mut failures, now) = (Failures::default(), Duration::from_secs(1000));
        (0..MAX_FAILING).for_each(|i| failures.add(now, i));
        // Between any two failures of this one, somebody new.
        let one = usize::MAX;
        for i in 1..=100 {
            failures.add(now, one);
            failures.add(now, MAX_FAILING + i);
            assert!(failures.count(now, &one) as usize >= i, "{i}");
        }
        assert_eq!(failures.0.len(), MAX_FAILING);
        // A minute later they are forgotten.
        failures.add(now + MINUTE, 7);
        assert_eq!(failures.count(now + MINUTE, &7), 1);
        assert_eq!(failures.count(now + MINUTE, &one), 0);
    }
}
