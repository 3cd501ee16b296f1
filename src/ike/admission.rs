//! What keeps strangers from costing us: half-open limits, cookies (RFC 7296 section 2.6), rates. All tables are bounded by the limits.
use super::event::{Host, IkeId};
use super::policy::Limits;
use crate::crypto::constant_time_eq;
use crate::crypto::prf::Prf;
use crate::wire::message::IkeSpi;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// A cookie secret is used for this long, and believed for as long again.
const COOKIE_LIFETIME: Duration = Duration::from_secs(60);
/// Sources whose failed authentications are counted at the same time.
const MAX_FAILURE_SOURCES: usize = 4096;
const MINUTE: Duration = Duration::from_secs(60);

/// An IKE_SA_INIT request, for its retransmissions: sender, SPIi and Ni (R24).
pub(super) type InitKey = (SocketAddr, IkeSpi, Vec<u8>);

/// Half-open IKE SAs of which we are the responder, and what we remember about sources.
pub(super) struct Admission {
    secrets: [[u8; 32]; 2],
    generation: u8,
    rotated: Duration,
    inits: HashMap<InitKey, IkeId>,
    per_source: HashMap<IpAddr, usize>,
    auth_failures: HashMap<IpAddr, (Duration, u32)>,
    /// Answers to messages that belong to no IKE SA.
    pub answers: Rate,
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
            auth_failures: HashMap::new(),
            answers: Rate::new(now, 100, 1000),
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
        *self.per_source.entry(source(key.0.ip())).or_default() += 1;
        self.inits.insert(key, id);
    }
    /// It is established, or gone.
    pub(super) fn closed(&mut self, key: &InitKey) {
        if self.inits.remove(key).is_none() {
            return;
        }
        let source = source(key.0.ip());
        if let Some(n) = self.per_source.get_mut(&source) {
            *n -= 1;
            if *n == 0 {
                self.per_source.remove(&source);
            }
        }
    }
    fn of_source(&self, addr: IpAddr) -> usize {
        self.per_source.get(&source(addr)).copied().unwrap_or(0)
    }
    /// True if the next newcomer from there has to show a cookie first.
    /// So it is, too, while more is refused than we answer: looking at an offer costs something even if no state is left of it.
    pub(super) fn wants_cookie(&self, now: Duration, addr: IpAddr, limits: &Limits) -> bool {
        self.half_open() >= limits.cookie_threshold
            || self.of_source(addr) >= limits.cookie_per_source
            || !self.answers.has(now)
    }
    /// True if one more half-open IKE SA is allowed.
    pub(super) fn has_room(&self, addr: IpAddr, limits: &Limits) -> bool {
        self.half_open() < limits.half_open && self.of_source(addr) < limits.half_open_per_source
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
    /// Counts a failed authentication.
    pub(super) fn auth_failed(&mut self, now: Duration, addr: IpAddr) {
        let table = &mut self.auth_failures;
        if table.len() >= MAX_FAILURE_SOURCES && !table.contains_key(&source(addr)) {
            table.retain(|_, (since, _)| now.saturating_sub(*since) < MINUTE);
            if table.len() >= MAX_FAILURE_SOURCES {
                return;
            }
        }
        let entry = table.entry(source(addr)).or_insert((now, 0));
        if now.saturating_sub(entry.0) >= MINUTE {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
    /// True while the source has used up its failures of this minute.
    pub(super) fn is_barred(&self, now: Duration, addr: IpAddr, limits: &Limits) -> bool {
        let entry = self.auth_failures.get(&source(addr));
        entry.is_some_and(|(since, n)| now.saturating_sub(*since) < MINUTE && *n >= limits.auth_failures_per_minute)
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
}
