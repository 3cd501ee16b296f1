//! A picture of the endpoint for people and programs.
use super::diagnose::Failure;
use super::event::{ChildId, IkeId};
use crate::wire::message::IkeSpi;
use crate::wire::payload::{Id, Proposal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
/// State of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the JSON")]
pub enum State {
    Down,
    Connecting,
    Up,
    Closing,
    Failed,
}
/// What has been counted since the start, and how many there are at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Half-open IKE SAs of peers, now.
    pub half_open: u64,
    /// IKE SAs that are established, now.
    pub established: u64,
    /// Attempts of ours.
    pub attempts: u64,
    /// Attempts of peers that were answered.
    pub newcomers: u64,
    /// Requests that were sent again.
    pub retransmissions: u64,
    /// Peers that were asked for a cookie.
    pub cookies: u64,
}
/// One connection.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ConnectionStatus {
    pub name: Arc<str>,
    pub state: State,
    pub sas: Vec<IkeStatus>,
    pub last_failure: Option<Failure>,
    /// What is not as it should be with what works.
    pub notices: Vec<Failure>,
}
/// One IKE SA, established or not.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct IkeStatus {
    pub id: IkeId,
    pub peer: u32,
    pub state: State,
    pub since: Option<Duration>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub local_id: Option<Id>,
    pub remote_id: Option<Id>,
    pub spi_i: IkeSpi,
    pub spi_r: IkeSpi,
    pub initiator: bool,
    pub proposal: Option<Proposal>,
    /// `none`, `local`, `remote`, `both`.
    pub nat: &'static str,
    pub udp: bool,
    /// A post-quantum pre-shared key went into its keys, or into those that it was rekeyed from.
    pub ppk: bool,
    /// When we rekey it, if that is planned.
    pub rekey_at: Option<Duration>,
    pub children: Vec<ChildStatus>,
}
/// One child SA pair (the traffic counters are in `ipsec`).
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub struct ChildStatus {
    pub id: ChildId,
    pub name: Arc<str>,
    /// The resource that it is for (RFC 9611).
    pub resource: Option<u32>,
    pub closing: bool,
    pub connecting: bool,
    /// It is up, and we are making another one in its place.
    pub rekeying: bool,
    pub spi_in: u32,
    pub spi_out: u32,
    pub since: Duration,
    /// When we rekey it, if that is planned.
    pub rekey_at: Option<Duration>,
}
