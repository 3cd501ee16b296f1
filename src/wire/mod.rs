//! Bytes to values and back: no state, keys or clock (RFC 7296 section 3, RFC 4303 section 2, RFC 3948).
pub mod encap;
pub mod esp;
pub mod fragment;
pub mod ip;
pub mod keyword;
pub mod message;
pub mod payload;
mod read;
pub mod registry;
pub mod rules;
pub mod selector;
#[cfg(test)]
pub(crate) mod tests;
