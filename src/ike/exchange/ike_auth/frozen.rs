//! The initiator's proof under way, for the process that goes on with it.
use super::{Proving, Stage};
use crate::frozen::frozen;

frozen! {
    struct Proving {
        connection, keys, proposal, ni, nr, response, hashes, local_id, offer, ppk, without_ppk, stage, asked, first_contact
    }
    enum Stage { 0 = Signing { job, own, then }, 1 = Asked, 2 = Verifying { claim, contents, remote_id } }
}
