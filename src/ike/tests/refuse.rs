//! Everything that must fail, with its code on both sides.
use super::*;
