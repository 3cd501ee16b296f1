//! Attackers with no keys, garbage, floods.
use super::*;
