//! What a document protects, and nothing besides: it can be told where a file of a secret is gone, or is refused.
use super::render::Rendered;
use super::{API, Desired, Key, Kind, Object, Owner, Value};
use crate::config::keys::POLICY;
use crate::config::profiles;
use crate::config::{Config, Errors, Source, System, parse};
use std::sync::Arc;

/// Keys of the gateway that routes, rules and the guard are made by, and those that the rest is held to.
const GATEWAY: [&str; 9] =
    ["listen", "ports", "device", "route_table", "mark", "bind_device", "control_socket", "observe_socket", "limits"];
/// Keys of a connection that say where its ends are, and whether its children are on the gateway's device.
const CONNECTION: [&str; 3] = ["local_addrs", "remote_addrs", "interface"];

impl Desired {
    /// A configuration that protects what this one does. It reads no file, and is for no IKE: peers and secrets in it are stand-ins.
    ///
    /// # Errors
    /// What is wrong with it without files, too.
    pub fn outline(&self) -> Result<Config, Errors> {
        let mut objects: Vec<Arc<Object>> = self.objects().filter_map(|object| outline(object)).collect();
        let anyone = Value::Array(vec![text("%any")]);
        let secret = vec![("id".into(), anyone), ("secret".into(), text("stands in for those that nobody reads"))];
        objects.push(object(Key::secret("any"), secret));
        let text = Rendered::of(objects.iter(), false).text;
        parse(&[Source { name: API.into(), text }], &System)
    }
}

fn outline(of: &Object) -> Option<Arc<Object>> {
    let body = match of.key.kind {
        Kind::Gateway => only(&of.body, &GATEWAY),
        Kind::Connection => connection(&of.body),
        Kind::Secret | Kind::Pool => return None,
    };
    Some(object(of.key.clone(), body))
}

fn connection(body: &Value) -> Vec<(String, Value)> {
    let mut outline = only(body, &CONNECTION);
    outline.push(("remote".into(), Value::Table(vec![("id".into(), text("%any"))])));
    // How many children there are of one is the profile's to say, if nobody else does; all else that it says is about IKE.
    let profile = match body.get("profile") {
        Some(Value::String(name)) => profiles::find(name),
        _ => None,
    };
    let shape = profile.and_then(|profile| profile.setting("children.*.ts_mode"));
    let child = |child: &Value| {
        let mut outline = only(child, &POLICY);
        outline.extend(only(child, &["ts_mode"]));
        let shape = shape.filter(|_| child.get("ts_mode").is_none() && negotiated(child));
        outline.extend(shape.and_then(|shape| Some(("ts_mode".into(), text(shape.value.word()?)))));
        Value::Table(outline)
    };
    let children = body.get("children").map_or(&[][..], Value::table);
    let children = children.iter().map(|(name, body)| (name.clone(), child(body))).collect();
    outline.push(("children".into(), Value::Table(children)));
    outline
}

/// As a profile is filled in: what passes in the clear or is dropped is nothing to any peer.
fn negotiated(child: &Value) -> bool {
    !matches!(child.get("mode"), Some(Value::String(mode)) if mode == "pass" || mode == "drop")
}

fn only(body: &Value, keys: &[&str]) -> Vec<(String, Value)> {
    body.table().iter().filter(|(key, _)| keys.contains(&key.as_str())).cloned().collect()
}

fn object(key: Key, body: Vec<(String, Value)>) -> Arc<Object> {
    Arc::new(Object { key, owner: Owner::Api, line: 0, body: Value::Table(body) })
}

fn text(text: &str) -> Value {
    Value::String(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_protected_is_told_without_any_file() {
        let text = r#"
            [gateway]
            device = "tun7"
            route_table = 77
            hook = { command = ["/nowhere/hook"] }
            [pools.p]
            addrs = "10.9.0.0/24"
            [secrets.a]
            id = ["192.0.2.7"]
            secret_file = "/nowhere/a.psk"
            [connections.a]
            remote_addrs = ["192.0.2.7", "office.example"]
            remote = { auth = "pubkey", id = "them", cacerts = ["/nowhere/ca.pem"] }
            local = { auth = "pubkey", id = "us", certs = ["/nowhere/us.pem"], key = "/nowhere/us.key" }
            vips = ["0.0.0.0"]
            [connections.a.children.lan]
            local_ts = ["10.1.0.0/16", "10.3.0.0/16"]
            remote_ts = ["10.2.0.0/24"]
            ts_mode = "per_pair"
            translate = { remote = "10.8.0.0/24" }
            start_action = "trap"
            [connections.a.children.but-printers]
            mode = "pass"
            priority = 7
            local_ts = ["10.1.0.9"]
            remote_ts = ["10.8.0.9"]
            [connections.h]
            profile = "h3c"
            remote_addrs = ["192.0.2.9"]
            [connections.h.children.lan]
            mode = "tunnel"
            local_ts = ["10.1.0.0/16"]
            remote_ts = ["10.12.0.0/16", "10.13.0.0/16"]
            [connections.b]
            remote_addrs = ["%any"]
            pools = ["p"]
            keylog = { path = "/nowhere/keys", until = "2030-01-01" }
            interface = { name = "b0", netns = "red" }
            [connections.b.children.all]
            local_ts = ["0.0.0.0/0"]
            remote_ts = ["0.0.0.0/0"]
            monitor = { target = "10.9.0.1" }
        "#;
        let desired = Desired::from_sources(&[Source { name: "a.toml".into(), text: text.into() }]).unwrap();
        assert!(desired.check(&System).is_err());
        let config = desired.outline().unwrap();
        assert_eq!((&*config.gateway.device, config.gateway.route_table), ("tun7", Some(77)));
        let mut shown = Vec::new();
        for connection in &config.connections {
            let own = connection.interface.is_some();
            for child in &connection.children {
                let (local, remote) = (child.local_here()[0], child.remote_here()[0]);
                shown.push(format!("{} {own} {:?} {} {local} {remote}", child.name, child.mode, child.priority));
            }
        }
        let expected = [
            "lan-1 false Tunnel 0 10.1.0.0/16 10.8.0.0/24",
            "lan-2 false Tunnel 0 10.3.0.0/16 10.8.0.0/24",
            "but-printers false Pass 7 10.1.0.9/32 10.8.0.9/32",
            "lan-1 false Tunnel 0 10.1.0.0/16 10.12.0.0/16",
            "lan-2 false Tunnel 0 10.1.0.0/16 10.13.0.0/16",
            "all true Tunnel 0 0.0.0.0/0 0.0.0.0/0",
        ];
        assert_eq!(shown, expected);
    }
}
