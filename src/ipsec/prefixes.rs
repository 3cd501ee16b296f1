//! All prefixes that hold an address, longest first, by one binary search.
//!
//! Prefixes never overlap in part, so they cut the address space into intervals with one longest prefix each; a shorter one is found as
//! the parent of a longer one. The sorted boundaries are one flat array: small, and without pointers to follow.

use std::net::IpAddr;

/// An address as a number: `u32` or `u128`.
pub(super) trait Address: Copy + Ord {
    /// The lowest address.
    const MIN: Self;
    /// The number of an address of this family.
    fn of(addr: IpAddr) -> Option<Self>;
    /// The first and last address with the same first `len` bits.
    fn block(self, len: u8) -> (Self, Self);
    /// The next address, if there is one.
    fn next(self) -> Option<Self>;
    /// How far it is from a lower one.
    fn above(self, lower: Self) -> Self;
}

macro_rules! address {
    ($int:ty, $family:ident) => {
        impl Address for $int {
            const MIN: Self = 0;
            fn of(addr: IpAddr) -> Option<Self> {
                let IpAddr::$family(addr) = addr else { return None };
                Some(addr.to_bits())
            }
            fn block(self, len: u8) -> (Self, Self) {
                let host = Self::MAX.checked_shr(len.into()).unwrap_or(0);
                (self & !host, self | host)
            }
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn above(self, lower: Self) -> Self {
                self - lower
            }
        }
    };
}
address!(u32, V4);
address!(u128, V6);

/// First and last address of a prefix. Sorts by the first, and of those with the same first, longer prefixes behind shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prefix<A> {
    pub(super) first: A,
    pub(super) last: A,
}

impl<A: Address> Prefix<A> {
    /// The prefix, if it is of this family.
    pub(super) fn new(addr: IpAddr, len: u8) -> Option<Self> {
        let (first, last) = A::of(addr)?.block(len);
        Some(Self { first, last })
    }

    /// How far the last address is from the first: less for longer prefixes.
    pub(super) fn width(&self) -> A {
        self.last.above(self.first)
    }

    pub(super) fn contains(&self, addr: A) -> bool {
        self.first <= addr && addr <= self.last
    }
}

impl<A: Address> Ord for Prefix<A> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.first.cmp(&other.first).then(other.last.cmp(&self.last))
    }
}

impl<A: Address> PartialOrd for Prefix<A> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// "No prefix".
const NONE: u32 = u32::MAX;

/// The index. Prefixes are known by their place in the list that it was built from.
#[derive(Debug)]
pub(super) struct Prefixes<A> {
    /// Where each interval begins, ascending from the lowest address, and its longest prefix.
    intervals: Box<[(A, u32)]>,
    /// The next shorter prefix around each prefix.
    parents: Box<[u32]>,
}

impl<A: Address> Prefixes<A> {
    /// `prefixes`: sorted, without duplicates, fewer than 2^32 - 1.
    pub(super) fn new(prefixes: &[Prefix<A>]) -> Self {
        debug_assert!(prefixes.is_sorted_by(|a, b| a < b));
        let mut intervals = vec![(A::MIN, NONE)];
        let mut parents = Vec::with_capacity(prefixes.len());
        let mut open: Vec<u32> = Vec::new();
        let innermost = |open: &[u32]| open.last().copied().unwrap_or(NONE);
        for (place, prefix) in prefixes.iter().enumerate() {
            while let Some(closed) = open.pop_if(|inner| prefixes[*inner as usize].last < prefix.first) {
                close(&mut intervals, prefixes[closed as usize], innermost(&open));
            }
            parents.push(innermost(&open));
            begin(&mut intervals, prefix.first, place as u32);
            open.push(place as u32);
        }
        while let Some(closed) = open.pop() {
            close(&mut intervals, prefixes[closed as usize], innermost(&open));
        }
        Self { intervals: intervals.into(), parents: parents.into() }
    }

    /// The places of the prefixes that hold `addr`, longest first.
    pub(super) fn around(&self, addr: A) -> impl Iterator<Item = usize> + '_ {
        let interval = self.intervals.partition_point(|(start, _)| *start <= addr) - 1;
        let known = |place: u32| (place != NONE).then_some(place as usize);
        std::iter::successors(known(self.intervals[interval].1), move |place| known(self.parents[*place]))
    }
}

fn begin<A: Address>(intervals: &mut Vec<(A, u32)>, at: A, longest: u32) {
    intervals.pop_if(|(start, _)| *start == at);
    intervals.push((at, longest));
}

/// Behind a prefix, `outer` is the longest again.
fn close<A: Address>(intervals: &mut Vec<(A, u32)>, prefix: Prefix<A>, outer: u32) {
    if let Some(behind) = prefix.last.next() {
        begin(intervals, behind, outer);
    }
}
