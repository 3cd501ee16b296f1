//! swanctl's `connections` and `pools` in TOML.
//!
//! Where strongSwan's defaults are not ours, its defaults are written down.
use super::report::{Fate, Note, Notes, Reader};
use super::secrets::{self, Owners, SecretFile};
use super::syntax::Section;
use super::{Credentials, child};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What `import` writes.
#[derive(Debug, Default)]
pub(super) struct Translation {
    pub toml: String,
    pub secrets: Vec<SecretFile>,
    pub notes: Vec<Note>,
    pub refused: usize,
}

/// Translates a whole configuration.
pub(super) fn translate(root: &Section, credentials: &dyn Credentials) -> Translation {
    let mut cx = Cx { notes: Notes::default(), credentials, names: BTreeSet::new(), owners: Owners::default() };
    let mut toml = String::from("# Translated by `sandhog import`. `sandhog check` validates it.\n");
    let top = Reader::top("", root);
    let empty = Section::default();
    let sections = |name: &str| root.section(name).unwrap_or(&empty);
    for name in ["connections", "secrets", "pools", "authorities"] {
        top.sections(name);
    }
    let pools = Reader::top("pools", sections("pools"));
    let pools_toml: String = pools.sections("").iter().filter_map(|pool| cx.pool(pool)).collect();
    let connections = Reader::top("connections", sections("connections"));
    for connection in connections.sections("") {
        toml.push_str(&cx.connection(&connection).unwrap_or_default());
    }
    let (secrets_toml, files) = secrets::translate(&mut cx.notes, &cx.owners, sections("secrets"));
    toml.push_str(&secrets_toml);
    toml.push_str(&pools_toml);
    for authority in Reader::top("authorities", sections("authorities")).sections("") {
        let why = "revocation lists come from where certificates say, or from `crls` of `remote`; there is no OCSP";
        cx.notes.add(authority.path, Fate::Dropped, why);
    }
    for (name, _) in top.rest() {
        cx.notes.add(
            name.to_owned(),
            Fate::Dropped,
            "swanctl itself does not read it, or its settings are the daemon's",
        );
    }
    Translation { toml, secrets: files, refused: cx.notes.refused(), notes: cx.notes.0 }
}

/// A translation under way.
pub(super) struct Cx<'c> {
    pub notes: Notes,
    pub credentials: &'c dyn Credentials,
    names: BTreeSet<String>,
    owners: Owners,
}
/// Why there is nothing of it.
pub(super) struct Refused;

/// Reasons for keys of a connection that have no counterpart.
const CONNECTION: &[(&str, Fate, &str)] = &[
    ("aggressive", Fate::Dropped, "IKEv1 only"),
    ("pull", Fate::Dropped, "IKEv1 only"),
    ("dpd_timeout", Fate::Dropped, "IKEv1 only"),
    ("dscp", Fate::Dropped, "IKE messages are sent unmarked"),
    ("send_certreq", Fate::Dropped, "always sent where certificates are expected"),
    ("send_cert", Fate::Dropped, "always sent"),
    ("keyingtries", Fate::Dropped, "what is wanted up is tried for ever, less and less often"),
    ("if_id_in", Fate::Refused, "there are no XFRM interfaces: a connection's own device is `interface`"),
    ("if_id_out", Fate::Refused, "there are no XFRM interfaces: a connection's own device is `interface`"),
    ("mediation", Fate::Refused, "there is no mediation"),
    ("mediated_by", Fate::Refused, "there is no mediation"),
    ("mediation_peer", Fate::Refused, "there is no mediation"),
];

impl Cx<'_> {
    fn pool(&mut self, pool: &Reader<'_>) -> Option<String> {
        let addrs = pool.take("addrs")?;
        self.done(pool, "addrs", &format!("pools.{}.addrs", table_name(pool.name)));
        for (key, _) in pool.rest() {
            self.notes.add(pool.key(key), Fate::Dropped, "attributes are not handed out, only addresses");
        }
        Some(format!("\n[pools.{}]\naddrs = {}\n", table_name(pool.name), quoted(&pool_range(addrs))))
    }

    fn connection(&mut self, from: &Reader<'_>) -> Option<String> {
        let mut name = table_name(from.name);
        while !self.names.insert(name.clone()) {
            name.push('_');
        }
        let refused = self.notes.refused();
        let mut toml = format!("\n[connections.{name}]\n");
        let ends = self.ends(from, &mut toml);
        self.settings(from, &mut toml);
        let sides = self.sides(from, &mut toml, &ends);
        self.extras(from, &mut toml);
        let children: Vec<_> = from.sections("children").iter().flat_map(|children| children.sections("")).collect();
        from.finish(&mut self.notes, CONNECTION);
        let whole = self.notes.refused() == refused && sides.is_ok();
        let children: Vec<_> = children.iter().filter_map(|one| child::translate(self, &name, one, &ends)).collect();
        if !whole || children.is_empty() {
            let why = if whole { "no child of it is left" } else { "left out because of what is refused in it" };
            self.notes.add(from.path.clone(), Fate::Refused, why);
            return None;
        }
        if let Ok(sides) = sides {
            self.owners.add(&ends.local, &ends.remote, sides);
        }
        toml.extend(children);
        Some(toml)
    }

    fn ends(&mut self, from: &Reader<'_>, toml: &mut String) -> Ends {
        let mut ends = Ends::default();
        for address in from.list("local_addrs").unwrap_or_default() {
            match address.parse::<std::net::IpAddr>() {
                Ok(_) => ends.local.push(address.to_owned()),
                Err(_) if address == "%any" || address == "0.0.0.0/0" || address == "::/0" => {}
                Err(_) => self.notes.add(from.key("local_addrs"), Fate::Dropped, "not an address: the route decides"),
            }
        }
        if !ends.local.is_empty() {
            self.done(from, "local_addrs", "local_addrs");
            let _ = writeln!(toml, "local_addrs = {}", array(&ends.local));
        }
        let remote = from.list("remote_addrs").unwrap_or_else(|| vec!["%any"]);
        let any = |one: &&str| {
            one.starts_with("%any")
                || one.contains(['/', '-']) && one.parse::<std::net::IpAddr>().is_err() && !is_host(one)
        };
        if remote.iter().any(any) {
            let why = if remote == ["%any"] {
                "remote_addrs"
            } else {
                "remote_addrs = [\"%any\"]: everybody may call; identities decide"
            };
            self.notes.add(from.key("remote_addrs"), Fate::Translated, why);
            ends.remote = vec!["%any".into()];
        } else {
            self.done(from, "remote_addrs", "remote_addrs");
            ends.remote = remote.into_iter().map(str::to_owned).collect();
        }
        let _ = writeln!(toml, "remote_addrs = {}", array(&ends.remote));
        for (key, usual) in [("local_port", ["500", "4500", "0"]), ("remote_port", ["500", "4500", "500"])] {
            match from.take(key) {
                Some(port) if !usual.contains(&port) => {
                    self.notes.add(
                        from.key(key),
                        Fate::Refused,
                        "ports are those of [gateway] ports, for all connections and both ends",
                    );
                }
                Some(_) => self.notes.add(from.key(key), Fate::Dropped, "the usual one"),
                None => {}
            }
        }
        ends.vips = from.list("vips").unwrap_or_default().iter().map(|vip| (*vip).to_owned()).collect();
        ends.pools = from.list("pools").unwrap_or_default().into_iter().map(table_name).collect();
        ends
    }

    fn settings(&mut self, from: &Reader<'_>, toml: &mut String) {
        match from.take("version") {
            None | Some("0" | "2") => {}
            Some(_) => {
                self.notes.add(from.key("version"), Fate::Refused, "IKEv1 is not spoken; ask the peer for IKEv2")
            }
        }
        self.proposals(from, "proposals", toml);
        // Off unless it is asked for.
        let delay = self.time(from, "dpd_delay").unwrap_or(0);
        let _ = writeln!(toml, "dpd_delay = \"{delay}s\"");
        for key in ["rekey_time", "reauth_time", "over_time", "rand_time"] {
            if let Some(seconds) = self.time(from, key) {
                let _ = writeln!(toml, "{key} = \"{seconds}s\"");
            }
        }
        if self.switch(from, "encap") == Some(true) {
            toml.push_str("encap = \"always\"\n");
        }
        let mobike = self.switch(from, "mobike").unwrap_or(true);
        let _ = writeln!(toml, "mobike = {mobike}");
        match from.take("fragmentation") {
            Some("no") => {
                self.done(from, "fragmentation", "fragmentation = false");
                toml.push_str("fragmentation = false\n");
            }
            Some(_) => self.done(from, "fragmentation", "fragmentation, on by itself"),
            None => {}
        }
        self.choice(from, "childless", &["allow", "prefer", "force", "never"], toml);
        match from.take("unique") {
            Some("no") => {
                self.notes.add(from.key("unique"), Fate::Dropped, "a new SA of the same peer replaces the old one")
            }
            Some(_) => self.choice(from, "unique", &["replace", "keep", "never"], toml),
            None => {}
        }
    }

    fn extras(&mut self, from: &Reader<'_>, toml: &mut String) {
        if let Some(id) = from.take("ppk_id") {
            let required = self.switch(from, "ppk_required").unwrap_or(false);
            self.done(from, "ppk_id", "ppk");
            let _ = writeln!(toml, "ppk = {{ id = {}, required = {required} }}", quoted(id));
        }
        for key in ["vips", "pools"] {
            if let Some(list) = from.list(key) {
                self.done(from, key, key);
                let list: Vec<_> =
                    list.iter().map(|one| if key == "pools" { table_name(one) } else { (*one).into() }).collect();
                let _ = writeln!(toml, "{key} = {}", array(&list));
            }
        }
    }

    /// `local` and `remote`: the identities of both.
    fn sides(
        &mut self,
        from: &Reader<'_>,
        toml: &mut String,
        ends: &Ends,
    ) -> Result<(Option<String>, Option<String>), Refused> {
        let mut one = |prefix: &str| {
            let found = from.sections(prefix);
            if found.len() > 1 {
                self.notes.add(found[1].path.clone(), Fate::Refused, "several rounds of authentication");
            }
            if found.is_empty() {
                self.notes.add(from.key(prefix), Fate::Refused, "it says nothing of how this side proves itself");
            }
            found.into_iter().next().ok_or(Refused)
        };
        let (local, remote) = (one("local")?, one("remote")?);
        Ok((self.local(&local, toml)?, self.remote(&remote, toml, ends)?))
    }

    /// `psk` or `pubkey`; strongSwan's default is `pubkey`.
    fn auth(&mut self, side: &Reader<'_>) -> Result<&'static str, Refused> {
        let given = side.take("auth").unwrap_or("pubkey");
        let kind = given.strip_prefix("ike:").unwrap_or(given);
        let public = ["pubkey", "rsa", "ecdsa", "ed25519"].iter().any(|kind_of| kind.starts_with(kind_of));
        match kind {
            "psk" => self.done(side, "auth", "auth = \"psk\""),
            "pubkey" => self.done(side, "auth", "auth = \"pubkey\""),
            _ if public => {
                self.done(side, "auth", "auth = \"pubkey\"; which signatures are good is not the connection's to say")
            }
            _ => {
                self.notes.add(side.key("auth"), Fate::Refused, "only psk and pubkey: no EAP, no XAuth");
                return Err(Refused);
            }
        }
        Ok(if kind == "psk" { "psk" } else { "pubkey" })
    }

    fn local(&mut self, side: &Reader<'_>, toml: &mut String) -> Result<Option<String>, Refused> {
        let auth = self.auth(side)?;
        let id = side.take("id").filter(|id| *id != "%any");
        let mut fields = vec![format!("auth = \"{auth}\"")];
        if let Some(id) = id {
            self.done(side, "id", "local.id");
            fields.push(format!("id = {}", quoted(id)));
        }
        if auth == "pubkey" {
            let certs = self.certificates(side, "cert", "x509");
            match certs.first().map(|first| (first, self.credentials.key_of(first))) {
                Some((_, Ok(key))) => {
                    fields.push(format!("certs = {}", array(&paths(&certs))));
                    fields.push(format!("key = {}", quoted(&key.display().to_string())));
                }
                Some((_, Err(why))) => self.notes.add(side.key("certs"), Fate::Refused, why),
                None => self.notes.add(
                    side.key("certs"),
                    Fate::Refused,
                    "no certificate is named, or none is there; bare public keys are not used",
                ),
            }
        } else {
            side.take("certs");
        }
        self.rest_of_side(side);
        let _ = writeln!(toml, "local = {{ {} }}", fields.join(", "));
        Ok(id.map(str::to_owned))
    }

    fn remote(&mut self, side: &Reader<'_>, toml: &mut String, ends: &Ends) -> Result<Option<String>, Refused> {
        let auth = self.auth(side)?;
        let given = side.take("id");
        let mut fields = vec![format!("auth = \"{auth}\"")];
        let single = matches!(ends.remote.as_slice(), [one] if one.parse::<std::net::IpAddr>().is_ok());
        match given {
            Some(id) => {
                self.done(side, "id", "remote.id");
                fields.push(format!("id = {}", quoted(id)));
            }
            None if single => {
                self.notes.add(side.key("id"), Fate::Translated, "not given: any to strongSwan, its address to us")
            }
            None => fields.push("id = \"%any\"".into()),
        }
        if auth == "pubkey" {
            let mut authorities = self.certificates(side, "cacert", "x509ca");
            if authorities.is_empty() {
                authorities = self.credentials.all("x509ca");
            }
            if authorities.is_empty() {
                self.notes.add(
                    side.key("cacerts"),
                    Fate::Refused,
                    "no certificate of an authority is named, or there in x509ca",
                );
            }
            fields.push(format!("cacerts = {}", array(&paths(&authorities))));
            match side.take("revocation") {
                Some("strict") => fields.push("revocation = \"strict\"".into()),
                Some("ifuri") => {
                    self.notes.add(
                        side.key("revocation"),
                        Fate::Translated,
                        "revocation = \"strict\", which also asks of certificates that name no list",
                    );
                    fields.push("revocation = \"strict\"".into());
                }
                _ => {}
            }
        }
        self.rest_of_side(side);
        let _ = writeln!(toml, "remote = {{ {} }}", fields.join(", "));
        Ok(given.map(str::to_owned))
    }

    fn rest_of_side(&mut self, side: &Reader<'_>) {
        const REASONS: &[(&str, Fate, &str)] = &[
            ("round", Fate::Dropped, "there is one"),
            ("eap_id", Fate::Refused, "no EAP"),
            ("aaa_id", Fate::Refused, "no EAP"),
            ("xauth_id", Fate::Refused, "no XAuth"),
            ("pubkeys", Fate::Refused, "bare public keys are not used"),
            ("certs", Fate::Refused, "a pinned certificate of the peer: only `cacerts` and `id` say who it may be"),
            ("groups", Fate::Refused, "attribute certificates are not looked at"),
            ("cert_policy", Fate::Refused, "certificate policies are not looked at"),
            ("ca_id", Fate::Refused, "only `cacerts` says which authorities are good"),
            ("revocation", Fate::Dropped, "it is for certificates"),
            ("cacerts", Fate::Dropped, "it is for certificates"),
        ];
        side.finish(&mut self.notes, REASONS);
    }

    /// `certs = a, b` and sections `cert-1 { file = a }`.
    fn certificates(&mut self, side: &Reader<'_>, prefix: &str, folder: &str) -> Vec<PathBuf> {
        let key = format!("{prefix}s");
        let mut names: Vec<String> =
            side.list(&key).unwrap_or_default().iter().map(|name| (*name).to_owned()).collect();
        for section in side.sections(prefix) {
            names.extend(section.take("file").map(str::to_owned));
            section.finish(
                &mut self.notes,
                &[
                    ("handle", Fate::Refused, "no tokens"),
                    ("slot", Fate::Refused, "no tokens"),
                    ("module", Fate::Refused, "no tokens"),
                ],
            );
        }
        if !names.is_empty() {
            self.done(side, &key, &key);
        }
        names.iter().map(|name| self.credentials.path(folder, name)).collect()
    }

    /// A list of proposals; strongSwan's `default` is ours, which is shorter.
    pub(super) fn proposals(&mut self, from: &Reader<'_>, key: &str, toml: &mut String) {
        let Some(list) = from.list(key) else { return };
        let given: Vec<String> = list.iter().filter(|one| **one != "default").map(|one| (*one).to_owned()).collect();
        if given.len() < list.len() {
            let why = if given.is_empty() {
                "our own default: strong suites only"
            } else {
                "`default` is left out: what is named is offered"
            };
            self.notes.add(from.key(key), Fate::Translated, why);
        } else {
            self.done(from, key, key);
        }
        if !given.is_empty() {
            let _ = writeln!(toml, "{key} = {}", array(&given));
        }
    }

    /// Seconds.
    pub(super) fn time(&mut self, from: &Reader<'_>, key: &str) -> Option<u64> {
        let given = from.take(key)?;
        let digits = given.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor = match given[digits.len()..].chars().next() {
            None | Some('s') => Some(1),
            Some('m') => Some(60),
            Some('h') => Some(3600),
            Some('d') => Some(86_400),
            Some(_) => None,
        };
        let seconds = factor.zip(digits.trim().parse::<u64>().ok()).and_then(|(factor, n)| n.checked_mul(factor));
        match seconds {
            Some(_) => self.done(from, key, key),
            None => self.notes.add(from.key(key), Fate::Refused, "not a time"),
        }
        seconds
    }

    pub(super) fn switch(&mut self, from: &Reader<'_>, key: &str) -> Option<bool> {
        let on = match from.take(key)?.to_ascii_lowercase().as_str() {
            "yes" | "true" | "1" | "enabled" => Some(true),
            "no" | "false" | "0" | "disabled" => Some(false),
            _ => None,
        };
        match on {
            Some(_) => self.done(from, key, key),
            None => self.notes.add(from.key(key), Fate::Refused, "neither yes nor no"),
        }
        on
    }

    /// A word that is the same in both.
    pub(super) fn choice(&mut self, from: &Reader<'_>, key: &str, words: &[&str], toml: &mut String) {
        match from.take(key) {
            Some(word) if words.contains(&word) => {
                self.done(from, key, key);
                let _ = writeln!(toml, "{key} = \"{word}\"");
            }
            Some(_) => self.notes.add(from.key(key), Fate::Refused, format!("not one of {}", words.join(", "))),
            None => {}
        }
    }

    pub(super) fn done(&mut self, from: &Reader<'_>, key: &str, to: &str) {
        self.notes.add(from.key(key), Fate::Translated, to);
    }
}

/// What a connection's children have to know of it.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub local: Vec<String>,
    pub remote: Vec<String>,
    pub vips: Vec<String>,
    pub pools: Vec<String>,
}
impl Ends {
    /// Nobody can call it.
    pub(super) fn responds_only(&self) -> bool {
        self.remote == ["%any"]
    }
}

/// A name of a host may have a hyphen.
fn is_host(text: &str) -> bool {
    !text.contains('/') && text.chars().any(|c| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit())
}

/// A pool may begin within its network; ours are whole networks, or ranges.
fn pool_range(addrs: &str) -> String {
    let network = addrs
        .split_once('/')
        .and_then(|(base, len)| Some((base.parse::<std::net::Ipv4Addr>().ok()?, len.parse::<u32>().ok()?)));
    match network {
        Some((base, len @ 1..=30)) => {
            let last = base.to_bits() | (u32::MAX >> len);
            let begins = base.to_bits() & (u32::MAX >> len) != 0;
            if begins { format!("{base}-{}", std::net::Ipv4Addr::from_bits(last - 1)) } else { addrs.to_owned() }
        }
        _ => addrs.to_owned(),
    }
}

/// A name as TOML's tables have it.
pub(super) fn table_name(name: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    let name: String = name.chars().map(fits).take(60).collect();
    if name.is_empty() { "unnamed".into() } else { name }
}

pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

pub(super) fn array(list: &[String]) -> String {
    format!("[{}]", list.iter().map(|one| quoted(one)).collect::<Vec<_>>().join(", "))
}

fn paths(list: &[PathBuf]) -> Vec<String> {
    list.iter().map(|path| path.display().to_string()).collect()
}
