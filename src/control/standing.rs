//! What is up of a connection, for a plan: out of its status.
use super::types::{Child, Connection, ConnectionState, IkeSa};
use crate::config::plan::{ChildUp, IkeUp};
use std::net::{IpAddr, SocketAddr};

/// The IKE SAs of a connection that are up, and its children beside the first of them: a plan asks for what any of them has.
pub fn standing(connection: &Connection) -> Vec<IkeUp> {
    let up = |sa: &&IkeSa| sa.state == ConnectionState::Up;
    let of_peers = connection.peers.iter().flat_map(|peer| &peer.children);
    let mut children: Vec<ChildUp> = connection.children.iter().chain(of_peers).flat_map(children).collect();
    let udp = connection.children.iter().any(|child| child.encap == Some(true));
    let addr = |text: &str| text.parse::<SocketAddr>().map(|at| at.ip()).or_else(|_| text.parse::<IpAddr>());
    let list = |texts: &[String]| texts.iter().filter_map(|text| text.parse().ok()).collect::<Vec<IpAddr>>();
    let of_sa = |sa: &IkeSa| {
        Some(IkeUp {
            local: addr(&sa.local).ok()?,
            remote: addr(&sa.remote).ok()?,
            local_id: sa.local_id.clone().unwrap_or_default(),
            remote_id: sa.remote_id.clone().unwrap_or_default(),
            proposal: sa.ike.proposal.clone().unwrap_or_default(),
            udp: udp || sa.ike.nat != "none",
            ppk: sa.ike.ppk,
            mobike: None,
            vips: list(&sa.vips),
            leases: list(&sa.leases),
            children: std::mem::take(&mut children),
        })
    };
    connection.sas.iter().filter(up).filter_map(of_sa).collect()
}

/// All SAs of a child but those that stand beside it.
fn children(child: &Child) -> Vec<ChildUp> {
    let beside = child.sas.iter().any(|sa| sa.resource.is_some()).then_some(true);
    let main = child.sas.iter().filter(|sa| sa.resource.is_none());
    main.map(|sa| ChildUp {
        name: child.name.clone(),
        proposal: sa.proposal.clone().unwrap_or_default(),
        local_ts: child.local_ts.iter().filter_map(|ts| ts.parse().ok()).collect(),
        remote_ts: child.remote_ts.iter().filter_map(|ts| ts.parse().ok()).collect(),
        beside,
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_up_is_read_out_of_a_status() {
        let child = r#"{"name":"lan","mode":"tunnel","state":"up","encap":true,"local_ts":["10.1.0.0/16[tcp/443]"],
            "remote_ts":["10.2.0.0/16"],"bytes_in":0,"bytes_out":0,"packets_in":0,"packets_out":0,"drops":{},
            "sas":[{"id":1,"state":"up","spi_in":"1","spi_out":"2","proposal":"aes256-sha256","esn":false},
                   {"id":2,"state":"up","spi_in":"3","spi_out":"4","proposal":"aes256-sha256","esn":false,"resource":0}]}"#;
        let sa = r#"{"id":1,"state":"STATE","local":"192.0.2.1:4500","remote":"[2001:db8::1]:4500","local_id":"us",
            "vips":["10.9.0.1"],"leases":[],"spi_i":"1","spi_r":"2","initiator":true,"nat":"none","ppk":true}"#;
        let (up, comes) = (sa.replace("STATE", "up"), sa.replace("STATE", "connecting"));
        let text = format!(
            r#"{{"name":"a","state":"up","children":[{child}],"sas":[{comes},{up}],"peers":[],"warnings":[]}}"#
        );
        let connection: Connection = serde_json::from_str(&text).unwrap();
        let [found] = &standing(&connection)[..] else { panic!("one is up") };
        assert_eq!((found.local.to_string(), found.remote.to_string()), ("192.0.2.1".into(), "2001:db8::1".into()));
        assert_eq!((found.local_id.as_str(), found.udp, found.ppk, found.vips.len()), ("us", true, true, 1));
        let [child] = &found.children[..] else { panic!("one stands beside the other") };
        assert_eq!((child.proposal.as_str(), child.beside), ("aes256-sha256", Some(true)));
        assert_eq!(child.local_ts[0].to_string(), "10.1.0.0/16[tcp/443]");
    }
}
