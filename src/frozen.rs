//! State as octets, for the process that goes on with it (design: Nonces): a small codec that knows nothing of what it carries.
//!
//! A value is frozen field by field, in the order in which [`frozen!`] names them, and a field that is not named does not compile: nothing can be
//! forgotten that a struct has. What is thawed was written by a process of ours and is read as if it were hostile all the same: lengths and counts
//! are bounded by what is there, nothing is allocated ahead of it, no type contains itself, and whatever does not fit is an error, never a panic.
//!
//! Each part begins with its name and version. A part of a version that is not known is refused, and with it the whole state.
//!
//! **Keys.** The octets hold keys: [`Writer`] keeps them in a [`Secret`], which leaves no copy behind when it grows, and a key is read straight into
//! a `Secret` of its own. Freezing changes nothing, so that a state may be frozen and thrown away; who owns the keys afterwards is for the caller to
//! see to: before the commit the process that has frozen, after it the one that has thawed, and never both (`ike::channel`, `esp::outbound`).
mod crypto;
mod wire;

pub use crypto::Known;

use crate::crypto::secret::Secret;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longer times do not exist: sums of several still are times.
const MAX_SECONDS: u64 = 1 << 50;
/// Words of the program that are kept for good ([`word`]), and the longest.
const MAX_WORDS: usize = 4096;
const MAX_WORD: usize = 64;

/// What can be frozen and thawed.
pub trait Frozen: Sized {
    /// Writes it.
    fn freeze(&self, out: &mut Writer);
    /// Reads it.
    ///
    /// # Errors
    /// Why it cannot be what was written.
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw>;
    /// Writes all of them, after their number.
    fn freeze_all(all: &[Self], out: &mut Writer) {
        all.iter().for_each(|one| one.freeze(out));
    }
    /// Reads so many.
    ///
    /// # Errors
    /// As above.
    fn thaw_all(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, Thaw> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Self::thaw(input)?);
        }
        Ok(all)
    }
}

/// Why a state cannot be thawed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Thaw {
    /// It ends too early.
    #[error("the state ends too early")]
    Short,
    /// Something follows its end.
    #[error("something follows the end of the state")]
    Long,
    /// A value that there is not.
    #[error("the state holds an impossible {0}")]
    Value(&'static str),
    /// Another part, or one of a version that is not known.
    #[error("the state's part is {found} of version {version}, expected {expected} up to version {newest}")]
    Version {
        /// What should be here.
        expected: &'static str,
        /// Up to this version.
        newest: u16,
        /// What is here.
        found: String,
        /// Its version.
        version: u16,
    },
    /// It needs something that this process does not have.
    #[error("the state needs a {0} that is not configured here")]
    Unknown(&'static str),
    /// It cannot be frozen now.
    #[error("the state cannot be frozen now: {0}")]
    Busy(&'static str),
}

/// Where a part of the state is written.
#[derive(Debug, Default)]
pub struct Writer {
    octets: Secret,
    /// What several hold is written once: where it is in memory, and its number.
    shared: HashMap<usize, u32>,
    /// Keeps it there meanwhile.
    held: Vec<Arc<dyn Any + Send + Sync>>,
}
impl Writer {
    /// Begins a part.
    pub fn new(part: &'static str, version: u16) -> Self {
        let mut out = Self::default();
        part.to_owned().freeze(&mut out);
        version.freeze(&mut out);
        out
    }
    /// The octets so far.
    pub fn octets(&self) -> &[u8] {
        self.octets.expose()
    }
    /// All of it.
    pub fn finish(self) -> Secret {
        self.octets
    }
    /// Octets as they are.
    pub fn put(&mut self, octets: &[u8]) {
        self.octets.extend(octets);
    }
    /// A number of things that follow.
    pub fn count(&mut self, count: usize) {
        // More than this do not fit into memory.
        u32::try_from(count).unwrap_or(u32::MAX).freeze(self);
    }
}

/// Where a part of the state is read.
pub struct Reader<'a> {
    rest: &'a [u8],
    version: u16,
    known: &'a Known,
    names: HashSet<Arc<str>>,
    shared: Vec<Arc<dyn Any + Send + Sync>>,
}
impl<'a> Reader<'a> {
    /// Of a part with this name and at most this version. `known`: what is not in the state but in this process.
    ///
    /// # Errors
    /// It is another one.
    pub fn new(octets: &'a [u8], part: &'static str, newest: u16, known: &'a Known) -> Result<Self, Thaw> {
        let mut input = Self { rest: octets, version: 0, known, names: HashSet::new(), shared: Vec::new() };
        let found = String::thaw(&mut input)?;
        input.version = u16::thaw(&mut input)?;
        if found != part || input.version > newest || input.version == 0 {
            let found = found.chars().filter(char::is_ascii_alphanumeric).take(MAX_WORD).collect();
            return Err(Thaw::Version { expected: part, newest, found, version: input.version });
        }
        Ok(input)
    }
    /// The version of this part, for those who know how it was before.
    pub fn version(&self) -> u16 {
        self.version
    }
    /// The next octets.
    ///
    /// # Errors
    /// There are not so many.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Thaw> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Thaw::Short)?;
        self.rest = rest;
        Ok(taken)
    }
    /// A number of things that follow, each of an octet at least.
    ///
    /// # Errors
    /// There cannot be so many.
    pub fn count(&mut self) -> Result<usize, Thaw> {
        let count = u32::thaw(self)? as usize;
        if count <= self.rest.len() { Ok(count) } else { Err(Thaw::Short) }
    }
    /// What follows, by its length, without a copy.
    fn text(&mut self) -> Result<&'a str, Thaw> {
        let len = self.count()?;
        std::str::from_utf8(self.take(len)?).map_err(|_| Thaw::Value("text"))
    }
    /// The end.
    ///
    /// # Errors
    /// It is not the end.
    pub fn finish(self) -> Result<(), Thaw> {
        if self.rest.is_empty() { Ok(()) } else { Err(Thaw::Long) }
    }
}

/// Names the fields of structs and the variants of enums, all of them, and makes them [`Frozen`] in this order:
/// `frozen! { struct Window { next, size }  struct Rate(tokens)  enum State { 0 = Up, 1 = Replaced { until }, 2 = Leaving(why) } }`.
macro_rules! frozen {
    ($($kind:tt $name:ident $body:tt)*) => { $( $crate::frozen::frozen_one! { $kind $name $body } )* };
}
macro_rules! frozen_one {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::frozen::Frozen for $name {
            fn freeze(&self, out: &mut $crate::frozen::Writer) {
                let Self { $($field),* } = self;
                $( $crate::frozen::Frozen::freeze($field, out); )*
            }
            fn thaw(input: &mut $crate::frozen::Reader<'_>) -> Result<Self, $crate::frozen::Thaw> {
                Ok(Self { $($field: $crate::frozen::Frozen::thaw(input)?),* })
            }
        }
    };
    (struct $name:ident ( $($field:ident),* )) => {
        impl $crate::frozen::Frozen for $name {
            fn freeze(&self, out: &mut $crate::frozen::Writer) {
                let Self($($field),*) = self;
                $( $crate::frozen::Frozen::freeze($field, out); )*
            }
            fn thaw(input: &mut $crate::frozen::Reader<'_>) -> Result<Self, $crate::frozen::Thaw> {
                $( let $field = $crate::frozen::Frozen::thaw(input)?; )*
                Ok(Self($($field),*))
            }
        }
    };
    (enum $name:ident { $($tag:literal = $variant:ident $({ $($field:ident),* $(,)? })? $(( $($item:ident),* ))?),* $(,)? }) => {
        impl $crate::frozen::Frozen for $name {
            fn freeze(&self, out: &mut $crate::frozen::Writer) {
                match self {
                    $( Self::$variant $({ $($field),* })? $(( $($item),* ))? => {
                        $crate::frozen::Frozen::freeze(&($tag as u8), out);
                        $( $( $crate::frozen::Frozen::freeze($field, out); )* )?
                        $( $( $crate::frozen::Frozen::freeze($item, out); )* )?
                    } )*
                }
            }
            fn thaw(input: &mut $crate::frozen::Reader<'_>) -> Result<Self, $crate::frozen::Thaw> {
                Ok(match <u8 as $crate::frozen::Frozen>::thaw(input)? {
                    $( $tag => Self::$variant
                        $({ $($field: $crate::frozen::Frozen::thaw(input)?),* })?
                        $(( $({ let $item = $crate::frozen::Frozen::thaw(input)?; $item }),* ))?, )*
                    _ => return Err($crate::frozen::Thaw::Value(stringify!($name))),
                })
            }
        }
    };
}
pub(crate) use {frozen, frozen_one};

macro_rules! numbers {
    ($($number:ty),*) => { $(
        impl Frozen for $number {
            fn freeze(&self, out: &mut Writer) {
                out.put(&self.to_le_bytes());
            }
            fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
                let octets = input.take(size_of::<Self>())?;
                Ok(Self::from_le_bytes(octets.try_into().map_err(|_| Thaw::Short)?))
            }
        }
    )* };
}
numbers!(u16, u32, u64, u128, i32);
impl Frozen for u8 {
    fn freeze(&self, out: &mut Writer) {
        out.put(&[*self]);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        input.take(1).map(|octets| octets[0])
    }
    fn freeze_all(all: &[Self], out: &mut Writer) {
        out.put(all);
    }
    fn thaw_all(count: usize, input: &mut Reader<'_>) -> Result<Vec<Self>, Thaw> {
        input.take(count).map(<[u8]>::to_vec)
    }
}
impl Frozen for usize {
    fn freeze(&self, out: &mut Writer) {
        (*self as u64).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Self::try_from(u64::thaw(input)?).map_err(|_| Thaw::Value("number"))
    }
}
impl Frozen for f64 {
    fn freeze(&self, out: &mut Writer) {
        self.to_bits().freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let number = Self::from_bits(u64::thaw(input)?);
        if number.is_finite() { Ok(number) } else { Err(Thaw::Value("number")) }
    }
}
impl Frozen for bool {
    fn freeze(&self, out: &mut Writer) {
        u8::from(*self).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        match u8::thaw(input)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Thaw::Value("truth")),
        }
    }
}
impl Frozen for () {
    fn freeze(&self, _out: &mut Writer) {}
    fn thaw(_input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Ok(())
    }
}
macro_rules! tuples {
    ($(($($name:ident $at:tt),*))*) => { $(
        impl<$($name: Frozen),*> Frozen for ($($name,)*) {
            fn freeze(&self, out: &mut Writer) {
                $( self.$at.freeze(out); )*
            }
            fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
                Ok(($($name::thaw(input)?,)*))
            }
        }
    )* };
}
tuples! { (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) }

impl Frozen for String {
    fn freeze(&self, out: &mut Writer) {
        out.count(self.len());
        out.put(self.as_bytes());
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        input.text().map(str::to_owned)
    }
}
/// Names are held by many; those that are the same are one again.
impl Frozen for Arc<str> {
    fn freeze(&self, out: &mut Writer) {
        out.count(self.len());
        out.put(self.as_bytes());
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let text = input.text()?;
        if let Some(known) = input.names.get(text) {
            return Ok(known.clone());
        }
        let name: Self = text.into();
        input.names.insert(name.clone());
        Ok(name)
    }
}
impl Frozen for Arc<[String]> {
    fn freeze(&self, out: &mut Writer) {
        out.count(self.len());
        self.iter().for_each(|text| text.freeze(out));
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        Vec::thaw(input).map(Into::into)
    }
}
/// A word of the program, such as the code of a failure.
impl Frozen for &'static str {
    fn freeze(&self, out: &mut Writer) {
        out.count(self.len());
        out.put(self.as_bytes());
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        word(input.text()?)
    }
}
/// The same word for good. There are few of them, and they are short: whoever makes up others does not fill the memory.
fn word(text: &str) -> Result<&'static str, Thaw> {
    static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = words.get(text) {
        return Ok(known);
    }
    let plain = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if text.len() > MAX_WORD || words.len() == MAX_WORDS || !plain {
        return Err(Thaw::Value("word"));
    }
    let kept: &'static str = Box::leak(text.into());
    words.insert(kept);
    Ok(kept)
}

impl<T: Frozen> Frozen for Option<T> {
    fn freeze(&self, out: &mut Writer) {
        self.is_some().freeze(out);
        self.iter().for_each(|one| one.freeze(out));
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        bool::thaw(input)?.then(|| T::thaw(input)).transpose()
    }
}
impl<T: Frozen> Frozen for Box<T> {
    fn freeze(&self, out: &mut Writer) {
        (**self).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        T::thaw(input).map(Self::new)
    }
}
/// What several hold is held by several again.
impl<T: Frozen + Any + Send + Sync> Frozen for Arc<T> {
    fn freeze(&self, out: &mut Writer) {
        let at = Self::as_ptr(self) as usize;
        if let Some(number) = out.shared.get(&at) {
            number.clone().freeze(out);
            return;
        }
        u32::MAX.freeze(out);
        (**self).freeze(out);
        out.shared.insert(at, out.held.len() as u32);
        out.held.push(self.clone());
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let number = u32::thaw(input)?;
        if number == u32::MAX {
            let new = Self::new(T::thaw(input)?);
            input.shared.push(new.clone());
            return Ok(new);
        }
        let shared = input.shared.get(number as usize).cloned();
        shared.and_then(|shared| shared.downcast().ok()).ok_or(Thaw::Value("reference"))
    }
}
impl<T: Frozen> Frozen for Vec<T> {
    fn freeze(&self, out: &mut Writer) {
        out.count(self.len());
        T::freeze_all(self, out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let count = input.count()?;
        T::thaw_all(count, input)
    }
}
impl<T: Frozen, const N: usize> Frozen for [T; N] {
    fn freeze(&self, out: &mut Writer) {
        T::freeze_all(self, out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        T::thaw_all(N, input)?.try_into().map_err(|_| Thaw::Short)
    }
}
macro_rules! collections {
    ($(($($bounds:tt)*) $collection:ty, $item:ty;)*) => { $(
        impl<$($bounds)*> Frozen for $collection {
            fn freeze(&self, out: &mut Writer) {
                out.count(self.len());
                self.iter().for_each(|one| one.freeze(out));
            }
            fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
                (0..input.count()?).map(|_| <$item>::thaw(input)).collect()
            }
        }
    )* };
}
collections! {
    (T: Frozen) VecDeque<T>, T;
    (T: Frozen + Ord) BTreeSet<T>, T;
    (T: Frozen + Eq + Hash) HashSet<T>, T;
}
macro_rules! maps {
    ($(($($bounds:tt)*) $map:ty;)*) => { $(
        impl<$($bounds)*> Frozen for $map {
            fn freeze(&self, out: &mut Writer) {
                out.count(self.len());
                for (key, value) in self {
                    key.freeze(out);
                    value.freeze(out);
                }
            }
            fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
                (0..input.count()?).map(|_| Ok((K::thaw(input)?, V::thaw(input)?))).collect()
            }
        }
    )* };
}
maps! {
    (K: Frozen + Ord, V: Frozen) BTreeMap<K, V>;
    (K: Frozen + Eq + Hash, V: Frozen) HashMap<K, V>;
}

impl Frozen for Duration {
    fn freeze(&self, out: &mut Writer) {
        self.as_secs().min(MAX_SECONDS).freeze(out);
        self.subsec_nanos().freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (seconds, nanos) = (u64::thaw(input)?, u32::thaw(input)?);
        let fits = seconds <= MAX_SECONDS && nanos < 1_000_000_000;
        if fits { Ok(Self::new(seconds, nanos)) } else { Err(Thaw::Value("time")) }
    }
}
impl Frozen for Ipv4Addr {
    fn freeze(&self, out: &mut Writer) {
        out.put(&self.octets());
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        <[u8; 4]>::thaw(input).map(Into::into)
    }
}
impl Frozen for Ipv6Addr {
    fn freeze(&self, out: &mut Writer) {
        out.put(&self.octets());
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        <[u8; 16]>::thaw(input).map(Into::into)
    }
}
frozen! { enum IpAddr { 4 = V4(addr), 6 = V6(addr) } }
impl Frozen for SocketAddr {
    fn freeze(&self, out: &mut Writer) {
        let (flow, scope) = match self {
            Self::V4(_) => (0, 0),
            Self::V6(v6) => (v6.flowinfo(), v6.scope_id()),
        };
        (self.ip(), self.port(), flow, scope).freeze(out);
    }
    fn thaw(input: &mut Reader<'_>) -> Result<Self, Thaw> {
        let (ip, port, flow, scope) = Frozen::thaw(input)?;
        Ok(match ip {
            IpAddr::V4(ip) => (ip, port).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, flow, scope).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Whole {
        small: u8,
        name: Arc<str>,
        code: &'static str,
        parts: Vec<Part>,
        table: BTreeMap<u32, Option<Duration>>,
        at: (SocketAddr, IpAddr),
        shared: [Arc<Part>; 2],
    }
    #[derive(Debug, PartialEq)]
    enum Part {
        Nothing,
        Octets(Vec<u8>, bool),
        Named { what: String },
    }
    frozen! {
        struct Whole { small, name, code, parts, table, at, shared }
        enum Part { 0 = Nothing, 1 = Octets(octets, whole), 9 = Named { what } }
    }
    fn whole() -> Whole {
        let shared = Arc::new(Part::Named { what: "once".into() });
        Whole {
            small: 7,
            name: "net".into(),
            code: "auth.psk",
            parts: vec![Part::Nothing, Part::Octets(vec![1, 2, 3], true)],
            table: [(1, None), (2, Some(Duration::from_millis(1500)))].into(),
            at: ("[fe80::1%3]:500".parse().unwrap(), "192.0.2.1".parse().unwrap()),
            shared: [shared.clone(), shared],
        }
    }
    fn frozen(whole: &Whole) -> Secret {
        let mut out = Writer::new("test", 3);
        whole.freeze(&mut out);
        out.finish()
    }
    fn thawed(octets: &[u8], newest: u16) -> Result<Whole, Thaw> {
        let known = Known::default();
        let mut input = Reader::new(octets, "test", newest, &known)?;
        let whole = Whole::thaw(&mut input)?;
        input.finish().map(|()| whole)
    }

    #[test]
    fn what_was_frozen_is_thawed_and_what_was_shared_is_shared() {
        let octets = frozen(&whole());
        let again = thawed(octets.expose(), 3).unwrap();
        assert_eq!(again, whole());
        assert!(Arc::ptr_eq(&again.shared[0], &again.shared[1]));
        assert_eq!(frozen(&again).expose(), octets.expose());
    }
    #[test]
    fn another_part_a_newer_version_and_damage_are_refused() {
        let octets = frozen(&whole());
        let octets = octets.expose();
        assert!(matches!(thawed(octets, 2), Err(Thaw::Version { version: 3, newest: 2, .. })));
        let known = Known::default();
        assert!(matches!(Reader::new(octets, "rest", 3, &known), Err(Thaw::Version { expected: "rest", .. })));
        for len in 0..octets.len() {
            assert!(thawed(&octets[..len], 3).is_err(), "{len}");
        }
        assert_eq!(thawed(&[octets, &[0]].concat(), 3), Err(Thaw::Long));
        // Whatever becomes of it: no panic, and no count that is believed.
        for at in 0..octets.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut octets = octets.to_vec();
                octets[at] = value;
                let _ = thawed(&octets, 3);
            }
        }
    }
    #[test]
    fn a_count_is_bounded_by_what_is_there() {
        let known = Known::default();
        let mut out = Writer::new("test", 1);
        out.count(1000);
        let mut input = Reader::new(out.octets(), "test", 1, &known).unwrap();
        assert_eq!(Vec::<u64>::thaw(&mut input), Err(Thaw::Short));
    }
    #[test]
    fn times_whose_sum_would_be_none_are_none() {
        let known = Known::default();
        let mut out = Writer::new("test", 1);
        (u64::MAX, 0u32).freeze(&mut out);
        let mut input = Reader::new(out.octets(), "test", 1, &known).unwrap();
        assert_eq!(Duration::thaw(&mut input), Err(Thaw::Value("time")));
    }
}
