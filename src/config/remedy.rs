//! Words for the facts of `ike::diagnose`: what a failure means, and what to change.
use crate::ike::diagnose::Failure;
/// Explanation and fix.
pub fn explain(failure: &Failure) -> (String, String) {
    let _ = failure;
    todo!()
}
