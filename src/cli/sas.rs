//! `sandhog sas`: the IKE SAs and the child SAs of all connections.
use super::client::{Client, ClientError, Order};
use super::output::{self, plain};
use super::table::{Column, Table};
use crate::control::types::Sas;
use std::process::ExitCode;

const IKE: [Column; 8] = [
    Column::new("CONNECTION", 0),
    Column::number("IKE", 0),
    Column::new("STATE", 0),
    Column::new("LOCAL", 2),
    Column::new("REMOTE", 1),
    Column::new("SPI I", 3),
    Column::new("SPI R", 4),
    Column::new("SUITE", 5),
];
const CHILDREN: [Column; 7] = [
    Column::new("CONNECTION", 0),
    Column::new("CHILD", 0),
    Column::number("SA", 0),
    Column::new("STATE", 0),
    Column::new("SPI IN", 1),
    Column::new("SPI OUT", 2),
    Column::new("SUITE", 3),
];

/// Prints them.
pub fn run(client: &Client, json: bool) -> ExitCode {
    let done = if json { output::pass(client, Order::get("/v1/sas")) } else { show(client) };
    done.map_or_else(|error| output::failed(&error, json), |()| ExitCode::SUCCESS)
}

fn show(client: &Client) -> Result<(), ClientError> {
    output::text(&render(&client.get("/v1/sas")?, output::width()));
    Ok(())
}

fn render(sas: &Sas, width: Option<usize>) -> String {
    if sas.ike.is_empty() && sas.children.is_empty() {
        return "there are no SAs".into();
    }
    let mut ike = Table::new(&IKE);
    for named in &sas.ike {
        let sa = &named.sa;
        let proposal = sa.ike.proposal.clone().unwrap_or_default();
        let (local, remote) = (sa.local.clone(), sa.remote.clone());
        let (spi_i, spi_r) = (sa.ike.spi_i.clone(), sa.ike.spi_r.clone());
        let (id, state) = (sa.id.to_string(), sa.state.name().to_owned());
        ike.push([plain(&named.connection), id, state, local, remote, spi_i, spi_r, proposal]);
    }
    let mut children = Table::new(&CHILDREN);
    for named in &sas.children {
        let sa = &named.sa;
        let proposal = sa.proposal.clone().unwrap_or_default();
        let (id, state) = (sa.id.to_string(), sa.state.name().to_owned());
        let (spi_in, spi_out) = (sa.spi_in.clone(), sa.spi_out.clone());
        children.push([plain(&named.connection), plain(&named.child), id, state, spi_in, spi_out, proposal]);
    }
    format!("{}\n\n{}", ike.render(width), children.render(width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_have_a_table() {
        let sas: Sas = serde_json::from_value(serde_json::json!({
            "ike": [ { "connection": "a", "id": 3, "state": "up", "since": null, "local": "192.0.2.1:500", "remote": "203.0.113.7:500", "local_id": null,
                "remote_id": null, "vips": [], "leases": [], "spi_i": "11", "spi_r": "22", "initiator": true, "proposal": null, "rekey_in_s": null,
                "nat": "none" } ],
            "children": [ { "connection": "a", "child": "lan", "id": 4, "state": "up", "since": null, "spi_in": "c1a2b3c4", "spi_out": "0f000000",
                "proposal": "aes128", "esn": true } ] }))
        .unwrap();
        let text = render(&sas, None);
        assert!(text.contains("203.0.113.7:500") && text.contains("c1a2b3c4"), "{text}");
        assert_eq!(render(&Sas::default(), None), "there are no SAs");
    }
}
