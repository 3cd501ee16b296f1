//! Classes of faults: each knows how to put itself into a valid configuration, where it stands then, and what its code is.
use super::draw::Draw;
use super::valid::{Doc, Kind, MARK, Section, Val, list, quoted, raw};
use crate::config::secret::Refusal;
use Kind::{Child, Connection, Exception, Gateway};

/// One class.
pub(super) struct Class {
    pub name: &'static str,
    pub code: &'static str,
    how: How,
}
enum How {
    /// One key of some section of a kind gets one of these values, the mark before what is wrong.
    Value(Kind, &'static str, &'static [&'static str]),
    More(fn(&mut Draw, &mut Doc)),
}
impl Class {
    /// Puts the fault in and marks its place.
    pub(super) fn inject(&self, draw: &mut Draw, doc: &mut Doc) {
        match &self.how {
            How::Value(kind, key, values) => {
                let val = value(draw.of(values));
                let section = section(draw, doc, *kind);
                section.remove(key.trim_start_matches(MARK));
                section.set(key, val);
            }
            How::More(inject) => inject(draw, doc),
        }
    }
}

/// All of them.
pub(super) fn classes() -> Vec<Class> {
    let values =
        VALUES.iter().map(|(name, code, kind, key, values)| Class { name, code, how: How::Value(*kind, key, values) });
    let more = MORE.iter().map(|(name, code, inject)| Class { name, code, how: How::More(*inject) });
    values.chain(more).collect()
}

type OfValue = (&'static str, &'static str, Kind, &'static str, &'static [&'static str]);

#[rustfmt::skip]
const VALUES: &[OfValue] = &[
    ("misspelt key of the gateway", "key.unknown", Gateway, "¤workerz", &["4"]),
    ("misspelt key of a connection", "key.unknown", Connection, "¤remote_adrs", &["['192.0.2.9']"]),
    ("misspelt key of a child", "key.unknown", Child, "¤esp_proposal", &["['aes128gcm16']"]),
    ("misspelt key of a secret", "key.unknown", Kind::Secret, "¤secrte", &["'hunter2'"]),
    ("misspelt key of a table in a line", "key.unknown", Gateway, "limits", &["{ ¤halfopen = 9 }", "{ children = 9, ¤c = 1 }"]),
    ("a key at the wrong level", "key.unknown", Connection, "¤remote_ts", &["['10.0.0.0/8']"]),
    ("a string instead of a number", "value.type", Gateway, "workers", &["¤'four'"]),
    ("a string instead of an array", "value.type", Child, "local_ts", &["¤'10.0.0.0/8'"]),
    ("a number in an array of strings", "value.type", Child, "esp_proposals", &["['aes128gcm16', ¤256]"]),
    ("a number instead of a boolean", "value.type", Child, "copy_dscp", &["¤1"]),
    ("a string instead of a table", "value.type", Connection, "local", &["¤'psk'"]),
    ("a date instead of a time", "value.type", Connection, "rekey_time", &["¤2026-11-22"]),
    ("too many workers", "value.range", Gateway, "workers", &["¤17", "¤-1", "¤99999999999999999999999"]),
    ("a peer's window out of range", "value.range", Child, "peer_window", &["¤0", "¤-1", "¤65537"]),
    ("an MSS out of range", "value.range", Child, "mss", &["¤63", "¤65496"]),
    ("an MSS that is a word", "value.choice", Child, "mss", &["¤'never'", "¤'on'"]),
    ("outer fragments now and then", "value.choice", Child, "outer_fragments", &["¤'sometimes'"]),
    ("a replay window out of range", "value.range", Child, "replay_window", &["¤32", "¤63", "¤65537"]),
    ("more SAs than there can be workers", "value.range", Child, "per_resource_sas", &["¤17", "¤-1"]),
    ("port zero", "value.range", Gateway, "ports", &["{ ike = ¤0 }", "{ natt = ¤65536 }"]),
    ("mark zero", "value.range", Gateway, "mark", &["¤0", "¤0x1_0000_0000"]),
    ("an unknown word", "value.choice", Connection, "encap", &["¤'alway'", "¤'yes'", "¤''"]),
    ("another unknown word", "value.choice", Connection, "unique", &["¤'replaced'", "¤'no'"]),
    ("an unknown mode", "value.choice", Exception, "mode", &["¤'bypass'"]),
    ("an unknown profile", "value.choice", Connection, "profile", &["¤'alyiun'"]),
    ("an unknown way of authentication", "value.choice", Connection, "local", &["{ auth = ¤'eap-mschapv2' }"]),
    ("a liveness check every moment", "value.range", Connection, "dpd_delay", &["¤'500ms'", "¤0.25"]),
    ("a time without sense", "value.duration", Connection, "dpd_delay", &["¤'4 weeks'", "¤'h'", "¤'1h30m'", "¤-1", "¤nan", "¤'9999999d'"]),
    ("a size without sense", "value.size", Child, "rekey_bytes", &["¤'1 yard'", "¤-5", "¤'99999999999TiB'"]),
    ("an address that is none", "value.address", Gateway, "listen", &["[¤'300.1.1.1']", "['::', ¤'10.0.0.0/8']", "[¤'eth0', '::']"]),
    ("a peer's address that is none", "value.address", Connection, "remote_addrs", &["[¤'203.0.113']", "[¤'2001:db8::g']", "[¤'10.0.0.1/32']", "[¤'x..example']", "['192.0.2.200', ¤'-x.example']"]),
    ("a relative path", "value.path", Gateway, "state_dir", &["¤'var/lib'", "¤''"]),
    ("a device that cannot be", "value.device", Gateway, "device", &["¤'sandhog-gateway-0'", "¤'a/b'", "¤'lo'", "¤''"]),
    ("an uplink that cannot be", "value.device", Gateway, "bind_device", &["¤'vrf/wan'", "¤'all'", "¤''"]),
    ("an empty list", "value.empty", Child, "remote_ts", &["¤[]"]),
    ("an address listed twice", "value.duplicate", Gateway, "listen", &["['0.0.0.0', '::', ¤'0.0.0.0']"]),
    ("listening where nobody can", "listen.address", Gateway, "listen", &["['0.0.0.0', '::', ¤'224.0.0.1']", "['0.0.0.0', ¤'ff02::1', '::']"]),
    ("both ports the same", "ports.same", Gateway, "ports", &["¤{ ike = 4500, natt = 4500 }", "¤{ natt = 500 }"]),
    ("a table of the host", "table.reserved", Gateway, "route_table", &["¤253", "¤254", "¤255"]),
    ("retransmission that starts above its end", "retransmit.order", Gateway, "retransmit", &["{ first = ¤'2s', max = '1s' }", "{ first = ¤9 }"]),
    ("retransmission that gets faster", "retransmit.factor", Gateway, "retransmit", &["{ factor = ¤0.5 }", "{ factor = ¤11 }", "{ factor = ¤nan }"]),
    ("a limit of nothing", "limit.zero", Gateway, "limits", &["{ half_open = ¤0 }", "{ children = 9, reassembly_bytes = ¤0 }", "{ auth_failures_per_minute = ¤0 }"]),
    ("a limit that is never reached", "limit.order", Gateway, "limits", &["{ half_open = 10, cookie_threshold = ¤11 }", "{ half_open_per_source = ¤5000 }"]),
    ("a peer that is not one host", "address.peer", Connection, "remote_addrs", &["[¤'0.0.0.0']", "[¤'::']", "[¤'255.255.255.255']", "[¤'239.1.1.1']", "[¤'fe80::1']"]),
    ("a local address that is not one host", "address.local", Connection, "local_addrs", &["[¤'0.0.0.0']", "[¤'ff02::1']"]),
    ("an identity that is none", "id.invalid", Connection, "local", &["{ id = ¤'two words' }", "{ id = ¤'ipv4:2001:db8::1' }", "{ id = ¤'' }", "{ id = ¤'keyid:' }"]),
    ("ourselves as anybody", "id.invalid", Connection, "local", &["{ id = ¤'%any' }"]),
    ("an unknown keyword", "keyword.unknown", Connection, "proposals", &["['aes256-sha256-modp2048', ¤'aes257-sha256-modp2048']", "[¤'aes256--modp2048']"]),
    ("a keyword that we cannot run", "keyword.unsupported", Connection, "proposals", &["[¤'3des-sha256-modp2048']"]),
    ("a proposal without encryption", "proposal.no_encr", Child, "esp_proposals", &["['aes128gcm16', ¤'sha256-modp2048']"]),
    ("a proposal without integrity", "proposal.no_integ", Child, "esp_proposals", &["[¤'aes256-modp2048']"]),
    ("a proposal without a group", "proposal.no_ke", Connection, "proposals", &["[¤'aes256-sha256']"]),
    ("an AEAD with integrity", "proposal.aead_with_integ", Child, "esp_proposals", &["[¤'aes256gcm16-sha256']"]),
    ("a PRF in ESP", "proposal.prf_in_esp", Child, "esp_proposals", &["[¤'aes256gcm16-prfsha256']"]),
    ("a network with bits of a host", "ts.host_bits", Child, "local_ts", &["['10.9.0.0/16', ¤'10.1.0.5/16']", "['fd99::/64', ¤'fd00::1/64']", "[¤'10.0.0.1/8[tcp]']"]),
    ("a selector that is none", "ts.invalid", Child, "remote_ts", &["[¤'10.0.0.0/33']", "[¤'dynamic']", "[¤'10.0.0.9-10.0.0.1']", "[¤'10.0.0.0/8[foo]']", "[¤'']"]),
    ("a proposal where nothing is negotiated", "mode.key", Exception, "¤esp_proposals", &["['aes128gcm16']"]),
    ("a virtual address that is none", "address.virtual", Connection, "vips", &["['0.0.0.0', ¤'224.0.0.1']", "[¤'::1', '::']"]),
    ("a word where mobike is yes or no", "value.type", Connection, "mobike", &["¤'yes'"]),
    ("an unknown way to be childless", "value.choice", Connection, "childless", &["¤'maybe'", "¤'forced'"]),
    ("rekeys by nobody", "value.choice", Connection, "rekey", &["¤'none'", "¤'them'"]),
    ("an unknown rehearsal", "value.choice", Connection, "rehearse", &["¤'always'"]),
    ("packets without sense", "value.range", Child, "rekey_packets", &["¤-1", "¤99999999999999999999999"]),
    ("a pool that is not there", "reference.undefined", Connection, "pools", &["[¤'office']"]),
    ("no key", "credential.missing", Connection, "local", &["¤{ auth = 'pubkey', certs = [] }"]),
    ("a certificate beside a secret", "credential.unused", Connection, "local", &["{ ¤certs = ['a.pem'] }", "{ auth = 'psk', ¤key = 'a.key' }"]),
    ("nobody to believe", "credential.missing", Connection, "remote", &["¤{ auth = 'pubkey', id = 'x' }"]),
    ("a certificate that is not there", "secret.file", Connection, "remote", &["{ auth = 'pubkey', id = 'x', cacerts = [¤'nowhere.pem'] }"]),
    ("a translation that says nothing", "value.empty", Child, "translate", &["¤{}"]),
    ("a translation to no network", "value.address", Child, "translate", &["{ local = ¤'10.0.0.1' }", "{ remote = ¤'10.0.0.0/33' }"]),
    ("a translation with bits of a host", "ts.host_bits", Child, "translate", &["{ local = ¤'10.0.0.1/24' }"]),
    ("a translation of nobody", "key.unknown", Child, "translate", &["{ ¤peer = '10.0.0.0/24' }"]),
    ("a translation that is a word", "value.type", Child, "translate", &["¤'10.0.0.0/24'", "{ local = ¤10 }"]),
    ("a device without a name", "interface.name", Connection, "interface", &["¤{ addresses = ['169.254.10.1/30'] }", "¤{}"]),
    ("a device of its own that cannot be", "value.device", Connection, "interface", &["{ name = ¤'a-name-of-16-char' }", "{ name = ¤'a/b' }", "{ name = ¤'lo', addresses = [] }"]),
    ("an address that no device has", "interface.address", Connection, "interface", &["{ name = 'vti0', addresses = [¤'224.0.0.5/24'] }", "{ name = 'vti0', addresses = ['10.0.0.1/30', ¤'::1/128'] }"]),
    ("an address without a length on a device", "value.address", Connection, "interface", &["{ name = 'vti0', addresses = [¤'10.0.0.1'] }", "{ name = 'vti0', addresses = [¤'10.0.0.1/33'] }"]),
    ("an address twice on a device", "value.duplicate", Connection, "interface", &["{ name = 'vti0', addresses = ['10.0.0.1/30', ¤'10.0.0.1/24'] }"]),
    ("a namespace that cannot be", "interface.netns", Connection, "interface", &["{ name = 'vti0', netns = ¤'' }", "{ name = 'vti0', netns = ¤'a/b' }", "{ name = 'vti0', netns = ¤'..' }"]),
    ("a key that no device has", "key.unknown", Connection, "interface", &["{ name = 'vti0', ¤mtu = 1400 }"]),
    ("a monitor of nobody", "monitor.target", Child, "monitor", &["¤{ interval = '2s' }", "¤{}"]),
    ("a monitor that asks elsewhere", "monitor.target", Child, "monitor", &["{ target = ¤'192.0.2.200' }", "{ loss = 2, target = ¤'2001:db8::1' }", "{ target = ¤'224.0.0.1' }", "{ target = ¤'0.0.0.0' }"]),
    ("a monitor without an address", "value.address", Child, "monitor", &["{ target = ¤'gw.example' }", "{ target = ¤'10.1.0.0/16' }"]),
    ("a monitor of something else", "value.type", Child, "monitor", &["¤'10.1.0.1'", "¤true"]),
    ("a monitor where nothing is negotiated", "mode.key", Exception, "¤monitor", &["{ target = '192.0.2.1' }"]),
    ("a preshared key against quanta without a name", "id.needed", Connection, "ppk", &["¤{ required = true }", "¤{}"]),
    ("a preshared key against quanta with half a will", "value.type", Connection, "ppk", &["{ id = 'k', required = ¤'yes' }"]),
    ("a hook without a command", "hook.command", Gateway, "hook", &["¤{ user = 'nobody' }", "¤{}"]),
    ("a hook that is not there", "hook.program", Gateway, "hook", &["{ command = [¤'/missing/notify', 'x'] }"]),
    ("a hook that is somewhere", "value.path", Gateway, "hook", &["{ command = [¤'notify'] }", "{ command = [¤'sbin/notify', 'x'] }"]),
    ("a hook of nothing", "value.empty", Gateway, "hook", &["{ command = ¤[] }"]),
    ("a hook of a stranger", "hook.user", Gateway, "hook", &["{ command = ['/sbin/notify'], user = ¤'stranger' }"]),
    ("a hook that takes all day", "value.range", Gateway, "hook", &["{ command = ['/sbin/notify'], timeout = ¤'6m' }", "{ command = ['/sbin/notify'], timeout = ¤0 }"]),
    ("an address of ours listed twice", "value.duplicate", Connection, "local_addrs", &["['192.0.2.250', '2001:db8:ffff::1', ¤'192.0.2.250']"]),
    ("a server for lines", "log.target", Gateway, "log", &["{ target = ¤'udp:192.0.2.1:514' }", "{ format = 'json', target = ¤'/dev/log' }", "{ format = 'journald', target = ¤'udp:[::1]:514' }"]),
    ("a syslog server without a port", "value.address", Gateway, "log", &["{ format = 'syslog', target = ¤'udp:192.0.2.1' }", "{ format = 'syslog', target = ¤'udp:loghost:514' }"]),
    ("half a key log", "keylog.incomplete", Connection, "¤keylog", &["{ path = '/root/keys' }", "{ until = '2026-11-23T12:00:00Z' }"]),
    ("a key log anywhere", "value.path", Connection, "keylog", &["{ path = ¤'keys', until = '2026-11-23T12:00:00Z' }"]),
    ("a key log until some day", "value.time", Connection, "keylog", &["{ path = '/root/keys', until = ¤'tomorrow' }", "{ path = '/root/keys', until = ¤'2026-11-23T12:00:00' }"]),
    ("a key log with an end of its own type", "value.type", Connection, "keylog", &["{ path = '/root/keys', until = ¤2026-11-23T12:00:00Z }"]),
];

type OfMore = (&'static str, &'static str, fn(&mut Draw, &mut Doc));

const MORE: &[OfMore] = &[
    ("misspelt section", "key.unknown", |draw, doc| {
        let file = draw.below(doc.files);
        doc.sections.push(Section { path: vec!["¤conections".into(), "x".into()], keys: vec![], file, inline: false });
    }),
    ("a key given twice", "key.duplicate", |draw, doc| {
        doc.any(draw, Child).keys.push(("¤remote_ts".into(), list(["10.0.0.0/8"])));
    }),
    ("a connection in two files", "key.duplicate", |draw, doc| {
        let mut twin = doc.any(draw, Connection).clone();
        (twin.file, twin.inline) = (doc.files, draw.once_in(2));
        twin.mark();
        doc.files += 1;
        doc.sections.push(twin);
    }),
    ("a name that cannot be one", "name.invalid", |draw, doc| {
        doc.any(draw, Kind::Secret).path[1] = format!("{MARK}a b");
    }),
    ("both sockets in one place", "socket.same", |draw, doc| {
        let gateway = doc.any(draw, Gateway);
        gateway.set("control_socket", quoted("/run/a.sock"));
        gateway.set("observe_socket", raw("¤\"/run/a.sock\""));
    }),
    ("more children than the limit", "limit.exceeded", more_children),
    ("no peer", "address.missing", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.remove("remote_addrs");
        connection.mark();
    }),
    ("the same address on both sides", "address.same", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.set("local_addrs", list(["198.51.100.1"]));
        connection.set("remote_addrs", list(["¤198.51.100.1"]));
    }),
    ("anybody beside somebody", "address.any_mixed", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.remove("local_addrs");
        connection.set("remote_addrs", list(["198.51.100.1", "¤%any"]));
    }),
    ("two families that cannot meet", "address.family", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.set("local_addrs", list(["198.51.100.1"]));
        connection.set("remote_addrs", list(["¤2001:db8::99"]));
    }),
    ("an address that nobody listens on", "address.not_listening", not_listening),
    ("a name without an identity", "id.needed", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.remove("remote");
        connection.set("remote_addrs", raw("¤[\"vpn.example.org\"]"));
    }),
    ("no secret for a peer", "secret.missing", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.set("remote", value("{ id = 'nobody.example.org' }"));
        connection.mark();
    }),
    ("a secret without a value", "secret.none", |draw, doc| {
        let secret = doc.any(draw, Kind::Secret);
        secret.keys.retain(|(key, _)| key == "id");
        secret.mark();
    }),
    ("a secret with two values", "secret.both", |draw, doc| {
        secret(draw, doc, "secret", &["'correct horse battery staple'"]).set("¤secret_file", quoted("/psk/1"));
    }),
    ("a secret of nobody", "secret.no_id", |draw, doc| {
        let secret = doc.any(draw, Kind::Secret);
        secret.remove("id");
        secret.mark();
    }),
    ("a secret that does not decode", "secret.encoding", |draw, doc| {
        secret(draw, doc, "secret", &["¤'0x123'", "¤'0xzz'", "¤'0s***'"]);
    }),
    ("an empty secret", "secret.empty", |draw, doc| {
        secret(draw, doc, "secret", &["¤''", "¤'0x'", "¤'0s'"]);
    }),
    ("a variable that is not there", "secret.env", |draw, doc| {
        secret(draw, doc, "secret_env", &["¤'NOT_THERE'"]);
    }),
    ("a secret file that is not there", "secret.file", |draw, doc| {
        secret(draw, doc, "secret_file", &["¤'/psk/not-there'"]);
    }),
    ("a secret file that all may read", "secret.permissions", |draw, doc| {
        let hint = "chmod 600 /psk/open".into();
        let refusal = Refusal { code: "secret.permissions", message: "open".into(), hint };
        doc.fake.files.insert("/psk/open".into(), Err(refusal));
        secret(draw, doc, "secret_file", &["¤'/psk/open'"]);
    }),
    ("two secrets of one peer", "secret.duplicate", |draw, doc| {
        let Some(Val::List(ids)) = doc.any(draw, Kind::Secret).get("id").cloned() else { return };
        let mut twin = strong("twin", "", doc.files);
        twin.set("id", raw(format!("[{MARK}{}]", ids[0])));
        // After all others, wherever those are.
        doc.files += 1;
        doc.sections.push(twin);
    }),
    ("no children", "child.none", |draw, doc| {
        let connection = doc.any(draw, Connection);
        let name = connection.path[1].clone();
        connection.mark();
        doc.sections.retain(|s| s.path.len() != 4 || s.path[1] != name);
    }),
    ("a child without networks", "ts.missing", |draw, doc| {
        let key = draw.of(&["local_ts", "remote_ts"]);
        let child = doc.any(draw, Child);
        child.remove(key);
        child.mark();
    }),
    ("selectors of families that do not meet", "ts.family", |draw, doc| {
        let child = doc.any(draw, Child);
        child.set("local_ts", list(["10.0.0.0/16"]));
        child.set("remote_ts", list(["10.99.0.0/16", "¤fd99::/64"]));
    }),
    ("two children for the same packets", "ts.overlap", overlap),
    ("calling anybody", "start.any", calling_anybody),
    ("a spread longer than the time", "time.order", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.set("rekey_time", quoted("10m"));
        connection.set("rand_time", raw("¤\"11m\""));
    }),
    ("an MTU too small for IPv6", "mtu.ipv6", |draw, doc| {
        let child = doc.any(draw, Child);
        child.set("local_ts", list(["fd98::/64"]));
        child.set("remote_ts", list(["fd99::/64"]));
        child.set("mtu", raw("¤1279"));
    }),
    ("a spread longer than the time of another", "time.order", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.remove("rekey_time");
        connection.set("reauth_time", quoted("10m"));
        connection.set("rand_time", raw("¤\"11m\""));
    }),
    ("transport mode between networks", "ts.hosts", |draw, doc| {
        let child = doc.any(draw, Child);
        child.set("mode", quoted("transport"));
        let (local, remote) = match draw.below(3) {
            0 => ("['10.98.0.1']", "¤['10.99.0.0/24']"),
            1 => ("¤['10.98.0.1', '10.98.0.2[tcp]']", "['10.99.0.1']"),
            _ => ("¤['10.98.0.1-10.98.0.2']", "['10.99.0.1']"),
        };
        child.set("local_ts", raw(local));
        child.set("remote_ts", raw(remote));
    }),
    ("a name that a pair has, too", "name.twice", |draw, doc| {
        let child = doc.any(draw, Child);
        child.path[3] = "twin".into();
        child.set("local_ts", list(["10.98.0.0/24", "10.98.1.0/24"]));
        child.set("remote_ts", list(["10.99.0.0/24"]));
        child.set("ts_mode", quoted("per_pair"));
        // After all others of this connection, whatever the style.
        let mut other = child.clone();
        other.keys = vec![("local_ts".into(), list(["10.98.7.0/24"])), ("remote_ts".into(), list(["10.99.7.0/24"]))];
        other.path[3] = "¤twin-2".into();
        doc.sections.push(other);
    }),
    ("asking addresses of nobody", "start.any", |draw, doc| {
        let connection = doc.any(draw, Connection);
        connection.set("vips", raw("¤[\"0.0.0.0\"]"));
        respond_only(draw, doc, "vips");
    }),
    ("a pool without addresses", "pool.empty", |draw, doc| {
        doc.sections.push(Section {
            path: vec!["pools".into(), "¤none".into()],
            keys: vec![],
            file: draw.below(doc.files),
            inline: false,
        });
    }),
    ("a pool of no hosts", "pool.address", |draw, doc| {
        let addrs = ["¤'239.0.0.0/24'", "¤'127.0.0.0/8'", "¤'0.0.0.0-10.0.0.1'"];
        pool(draw, doc, "other", &addrs);
    }),
    ("a pool that is no network", "value.address", |draw, doc| {
        pool(draw, doc, "other", &["¤'10.251.0.0'", "¤'10.251.0.9-10.251.0.1'", "¤'10.251.0.1-fd00::1'", "¤'office'"]);
    }),
    ("an address in two pools", "pool.overlap", |draw, doc| {
        pool(draw, doc, "¤other", &["'10.250.0.99/32'", "'10.250.0.0/16'", "'10.250.0.10-10.250.0.11'"]);
    }),
    ("a string that does not end", "toml.syntax", |draw, doc| tail(draw, doc, "addrs = ¤\"10.9.0.0/24\n")),
    ("a line that is no key", "toml.syntax", |draw, doc| tail(draw, doc, "¤addrs 10.9.0.0/24\n")),
    ("a value without quotes", "toml.syntax", |draw, doc| tail(draw, doc, "addrs = ¤office\n")),
    ("an escape that is none", "toml.syntax", |draw, doc| tail(draw, doc, "addrs = \"10¤\\q\"\n")),
];

fn more_children(draw: &mut Draw, doc: &mut Doc) {
    doc.any(draw, Gateway).set("limits", value("{ children = 5 }"));
    let connection = doc.any(draw, Connection).clone();
    doc.sections.retain(|s| s.path.len() != 4 || s.path[1] != connection.path[1]);
    for n in 0..6 {
        let name = format!("{}more{n}", if n == 5 { "¤" } else { "" });
        let path = [connection.path.clone(), vec!["children".into(), name]].concat();
        let remote = list([format!("10.78.{n}.0/24")]);
        let keys = vec![("local_ts".into(), list(["10.77.0.0/16"])), ("remote_ts".into(), remote)];
        doc.sections.push(Section { path, keys, file: connection.file, inline: connection.inline });
    }
}

fn not_listening(draw: &mut Draw, doc: &mut Doc) {
    doc.any(draw, Gateway).set("listen", list(["192.0.2.250"]));
    for i in doc.all(Connection) {
        doc.sections[i].remove("local_addrs");
    }
    let connection = doc.any(draw, Connection);
    connection.set("local_addrs", list(["¤192.0.2.251"]));
    connection.set("remote_addrs", list(["192.0.2.252"]));
    connection.set("remote", value("{ id = '192.0.2.252' }"));
    doc.sections.push(strong("extra", "192.0.2.252", 0));
}

/// A second connection after all others, wherever those are, with a child that has the networks of another.
fn overlap(draw: &mut Draw, doc: &mut Doc) {
    let child = doc.any(draw, Child);
    child.remove("priority");
    let mut keys = child.keys.clone();
    keys.retain(|(key, _)| key == "local_ts" || key == "remote_ts");
    let (path, file) = (vec!["connections".to_string(), "twin".into()], doc.files);
    doc.files += 1;
    let child = [path.clone(), vec!["children".into(), "¤twin".into()]].concat();
    let peer = vec![("remote_addrs".into(), list(["198.51.100.77"]))];
    doc.sections.push(Section { path, keys: peer, file, inline: false });
    doc.sections.push(Section { path: child, keys, file, inline: draw.once_in(2) });
    doc.sections.push(strong("twin", "198.51.100.77", file));
}

fn calling_anybody(draw: &mut Draw, doc: &mut Doc) {
    let children = respond_only(draw, doc, "");
    let (key, val) = if draw.once_in(2) { ("start_action", "¤'start'") } else { ("dpd_action", "¤'restart'") };
    doc.sections[children[draw.below(children.len())]].set(key, raw(val));
}

/// The connection that has this key, or any, is never to call; its children, with nothing in them that calls.
fn respond_only(draw: &mut Draw, doc: &mut Doc, key: &str) -> Vec<usize> {
    let all = doc.all(Connection);
    let marked = |i: &&usize| matches!(doc.sections[**i].get(key), Some(Val::Raw(value)) if value.starts_with(MARK));
    let chosen = all.iter().find(marked).copied().unwrap_or(all[draw.below(all.len())]);
    let connection = &mut doc.sections[chosen];
    connection.set("remote_addrs", list(["%any"]));
    if key != "vips" {
        connection.remove("vips");
    }
    let name = connection.path[1].clone();
    let mut children = doc.all(Child);
    children.retain(|i| doc.sections[*i].path[1] == name);
    for i in &children {
        doc.sections[*i].remove("start_action");
        doc.sections[*i].remove("dpd_action");
    }
    children
}

/// One more pool, in a file after all others.
fn pool(draw: &mut Draw, doc: &mut Doc, name: &str, addrs: &[&'static str]) {
    let keys = vec![("addrs".into(), raw(draw.of(addrs)))];
    doc.sections.push(Section { path: vec!["pools".into(), name.into()], keys, file: doc.files, inline: false });
    doc.files += 1;
}

/// TOML with a mark; a plain list may be written over several lines.
fn value(text: &str) -> Val {
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(items) => Val::List(items.split(", ").map(str::to_string).collect()),
        None => raw(text),
    }
}

/// Some section of a kind; an exception is made if there is none.
fn section<'d>(draw: &mut Draw, doc: &'d mut Doc, kind: Kind) -> &'d mut Section {
    if kind == Exception && doc.all(kind).is_empty() {
        let parent = doc.any(draw, Connection).clone();
        let path = [parent.path, vec!["children".into(), "except".into()]].concat();
        let keys = vec![
            ("mode".into(), quoted("drop")),
            ("local_ts".into(), list(["10.97.0.0/16"])),
            ("remote_ts".into(), list(["10.96.0.0/16"])),
        ];
        doc.sections.push(Section { path, keys, file: parent.file, inline: parent.inline });
    }
    doc.any(draw, kind)
}

/// Some secret with another value.
fn secret<'d>(draw: &mut Draw, doc: &'d mut Doc, key: &str, values: &[&'static str]) -> &'d mut Section {
    let val = raw(draw.of(values));
    let secret = doc.any(draw, Kind::Secret);
    secret.keys.retain(|(key, _)| key == "id");
    secret.set(key, val);
    secret
}

fn strong(name: &str, id: &str, file: usize) -> Section {
    let keys = vec![("id".into(), list([id])), ("secret".into(), quoted("abcdefghijklmnopqrstuvwxyz"))];
    Section { path: vec!["secrets".into(), name.into()], keys, file, inline: false }
}

fn tail(draw: &mut Draw, doc: &mut Doc, text: &str) {
    let file = draw.below(doc.files);
    doc.tails.insert(file, format!("[pools.x]\n{text}"));
}
