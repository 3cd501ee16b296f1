//! What is up of a connection, as the plan asks for it.
use crate::config::plan::{ChildUp, IkeUp};
use crate::control::types::{ConnectionState, Status};

/// The IKE SAs of a connection and their children; `None`: nobody knows.
pub(super) fn of(status: &Status, name: &str) -> Option<Vec<IkeUp>> {
    let Some(connection) = status.connections.iter().find(|connection| connection.name == name) else {
        // It has never been in force.
        return Some(Vec::new());
    };
    let peers = connection.peers.iter().flat_map(|peer| &peer.children);
    let children: Vec<ChildUp> = (connection.children.iter().chain(peers))
        .flat_map(|child| child.sas.iter().map(move |sa| (child, sa)))
        .map(|(child, sa)| ChildUp { name: child.name.clone(), proposal: sa.proposal.clone().unwrap_or_default() })
        .collect();
    let udp = connection.children.iter().any(|child| child.encap == Some(true));
    let mut up = Vec::new();
    for sa in &connection.sas {
        if sa.state == ConnectionState::Connecting {
            // What it will be nobody knows.
            return None;
        }
        up.push(IkeUp {
            local: address(&sa.local)?,
            remote: address(&sa.remote)?,
            local_id: sa.local_id.clone().unwrap_or_default(),
            remote_id: sa.remote_id.clone().unwrap_or_default(),
            proposal: sa.ike.proposal.clone()?,
            udp,
            ppk: sa.ike.ppk,
            vips: addresses(&sa.vips),
            // The picture does not say which child is whose: each may be anybody's.
            children: children.clone(),
        });
    }
    Some(up)
}

fn addresses(of: &[String]) -> Vec<std::net::IpAddr> {
    of.iter().filter_map(|address| address.parse().ok()).collect()
}

fn address(end: &str) -> Option<std::net::IpAddr> {
    end.parse::<std::net::SocketAddr>().ok().map(|end| end.ip())
}
