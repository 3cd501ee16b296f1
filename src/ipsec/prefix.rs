//! Addresses as numbers, and prefixes of them.
use crate::esp::line::Line;
use std::fmt::Debug;
use std::net::IpAddr;

/// An address as a number: `u32` or `u128`.
pub(super) trait Address: Copy + Ord {
    /// Aligns a rule: one of two IPv6 addresses is a cache line, one of IPv4 addresses less, and has no room to lose.
    type Aligned: Clone + Debug;
    /// Of an address, and so of the longest prefix.
    const BITS: u8;
    /// The highest address.
    const MAX: Self;
    /// The number of an address of this family.
    fn of(addr: IpAddr) -> Option<Self>;
    /// With nothing but the first `len` bits, at most `BITS`.
    fn masked(self, len: u8) -> Self;
    /// So many first bits are the same.
    fn common(self, other: Self) -> u8;
    /// How far it is from a lower one, in steps of `2^shift`; no more than can be counted.
    fn steps(self, lower: Self, shift: u8) -> u32;
}

macro_rules! address {
    ($int:ty, $family:ident, $aligned:ty) => {
        impl Address for $int {
            type Aligned = $aligned;
            const BITS: u8 = <$int>::BITS as u8;
            const MAX: Self = <$int>::MAX;
            fn of(addr: IpAddr) -> Option<Self> {
                let IpAddr::$family(addr) = addr else { return None };
                Some(addr.to_bits())
            }
            fn masked(self, len: u8) -> Self {
                self & <$int>::MAX.checked_shl(<$int>::BITS - u32::from(len)).unwrap_or(0)
            }
            fn common(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }
            fn steps(self, lower: Self, shift: u8) -> u32 {
                u32::try_from((self - lower) >> shift).unwrap_or(u32::MAX)
            }
        }
    };
}
address!(u32, V4, Self);
address!(u128, V6, Line<()>);

/// A prefix sorts behind those that it lies in, and before those that lie in it: of two that hold an address, the longer one comes later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix<A> {
    /// The lowest address.
    pub(super) first: A,
    /// In bits.
    pub(super) len: u8,
}

impl<A: Address> Prefix<A> {
    /// Nothing sorts behind it.
    pub(super) const LAST: Self = Self { first: A::MAX, len: A::BITS };

    /// The prefix of this length around an address.
    pub(super) fn around(addr: A, len: u8) -> Self {
        Self { first: addr.masked(len), len }
    }

    /// The prefix, if it is of this family.
    pub(super) fn of(addr: IpAddr, len: u8) -> Option<Self> {
        Some(Self::around(A::of(addr)?, len))
    }

    pub(super) fn contains(&self, addr: A) -> bool {
        self.first.common(addr) >= self.len
    }
}
