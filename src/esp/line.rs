//! Keeping what workers write apart from what others read or write.
use std::ops::{Deref, DerefMut};

/// Octets that go from core to core as one.
pub const CACHE_LINE: usize = 64;

/// A value in cache lines of its own.
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub struct Line<T>(pub T);

const _: () = assert!(align_of::<Line<u8>>() == CACHE_LINE);

impl<T> Deref for Line<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Line<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
