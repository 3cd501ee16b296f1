//! What we ask for, for the process that goes on with it.
use super::Offer;
use crate::frozen::frozen;

frozen! {
    struct Offer {
        hosts, policy, spi_in, replaces, proposals, ke, local_ts, remote_ts, first_ke, resource, group
    }
}
