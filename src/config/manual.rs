//! What every key means, for sandhog.toml(5). A test holds it against the table of keys, so that none is missing and none is told of that is not.
use super::keys::{self, Keys};

/// One key: its name, what holds where it is not given, and what it says.
pub type Described = (&'static str, &'static str, &'static str);

/// One kind of table of the configuration.
pub struct Table {
    /// How it is written: `[gateway]`.
    pub title: &'static str,
    /// Its keys.
    pub keys: &'static [Described],
    of: &'static Keys,
}
impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.title)
    }
}
impl Table {
    const fn new(of: &'static Keys, title: &'static str, keys: &'static [Described]) -> Self {
        Self { title, keys, of }
    }
    /// Whether it tells of all the keys that there are, and of no other: those that are on one side alone.
    pub fn differs(&self) -> Vec<&'static str> {
        let described: Vec<_> = self.keys.iter().map(|(key, ..)| *key).collect();
        let undescribed = self.of.others(&described);
        let known: Vec<_> = self.of.others(&[]).collect();
        undescribed.chain(described.iter().copied().filter(|key| !known.contains(key))).collect()
    }
}

/// All tables, in the order of the manual.
pub const TABLES: &[Table] = &[
    Table::new(
        &keys::GATEWAY,
        "[gateway]",
        &[
            ("listen", "[\"0.0.0.0\", \"::\"]", "Outer addresses that are listened on."),
            ("ports", "{ ike = 500, natt = 4500 }", "UDP ports of IKE, and of IKE and ESP in UDP."),
            ("workers", "0", "Threads of the data path; 0 is one for each core that may be used."),
            ("pin_workers", "false", "Each worker on a core of its own."),
            ("sandbox", "false", "System calls and files are limited to those of a gateway (seccomp, landlock)."),
            ("device", "\"sandhog0\"", "TUN device of all children that have no `interface`."),
            ("route_table", "220", "Table of our routes; \"none\" leaves routes alone."),
            ("mark", "0xdc", "Mark of our own outer packets."),
            ("bind_device", "none", "Device or VRF that the outer sockets are bound to."),
            ("on_exit", "\"closed\"", "What a clean stop leaves for protected destinations: \"closed\" or \"open\"."),
            ("control_socket", "\"/run/sandhog/control.sock\"", "Socket of the control API."),
            ("observe_socket", "\"/run/sandhog/observe.sock\"", "Its read-only twin."),
            ("state_dir", "\"/var/lib/sandhog\"", "Folder for what outlives the daemon."),
            ("metrics", "none", "Address and port of a listener for Prometheus."),
            ("hook", "none", "A program that is told of changes."),
            ("log", "info, as text", "Log lines."),
            ("retransmit", "500 ms, 1.6, 8 s, 14 tries", "How requests of IKE are repeated."),
            ("limits", "see below", "Bounds on what peers and strangers may make us keep."),
        ],
    ),
    Table::new(
        &keys::PORTS,
        "ports of [gateway]",
        &[("ike", "500", "Port of IKE."), ("natt", "4500", "Port of IKE and ESP in UDP.")],
    ),
    Table::new(
        &keys::HOOK,
        "hook of [gateway]",
        &[
            ("command", "required", "The program, and its arguments; no shell."),
            ("user", "\"nobody\"", "Who runs it."),
            ("timeout", "\"10s\"", "So long it may take; then it is killed."),
        ],
    ),
    Table::new(
        &keys::LOG,
        "log of [gateway]",
        &[
            ("level", "\"info\"", "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"."),
            ("format", "\"text\"", "\"text\", \"json\", \"journald\" or \"syslog\"."),
            ("target", "as the format has it", "Where lines go: of a journal or a syslog the socket or address."),
        ],
    ),
    Table::new(
        &keys::RETRANSMIT,
        "retransmit of [gateway]",
        &[
            ("first", "\"500ms\"", "After this time the first time."),
            ("factor", "1.6", "Each time so much later."),
            ("max", "\"8s\"", "But never later than this."),
            ("tries", "14", "So often; then the peer is given up."),
        ],
    ),
    Table::new(
        &keys::LIMITS,
        "limits of [gateway]",
        &[
            ("half_open", "4096", "IKE SAs of others that are not authenticated yet."),
            ("half_open_per_source", "16", "The same, of one address."),
            ("cookie_threshold", "64", "From so many on strangers are asked for a cookie."),
            ("cookie_per_source", "3", "From so many on of one address, too."),
            ("connections", "131072", "IKE SAs."),
            ("per_identity", "4", "IKE SAs of one identity, where several are kept."),
            ("children", "256", "Children of one IKE SA."),
            ("per_resource", "32", "SAs of one child for workers alone (RFC 9611)."),
            ("auth_failures_per_minute", "5", "Failed authentications of one address; then it has to wait."),
            ("reassembly_bytes", "65536", "Octets of a fragmented IKE message."),
            ("compute_queue", "256", "Public-key operations that wait."),
        ],
    ),
    Table::new(
        &keys::CONNECTION,
        "[connections.NAME]",
        &[
            ("profile", "none", "A vendor preset; any key beside it overrides it."),
            ("local_addrs", "what the route says", "Our outer addresses, the preferred first."),
            ("remote_addrs", "required", "The peer's addresses or names; \"%any\" only responds."),
            ("proposals", "strong suites only", "IKE suites in strongSwan's keywords: aes256gcm16-prfsha384-ecp384."),
            ("local", "a pre-shared key", "How we prove ourselves, and who we are."),
            ("remote", "a pre-shared key", "How the peer does, and who it is."),
            ("rekey_time", "\"4h\"", "The IKE SA is rekeyed after this time; 0 is never."),
            ("reauth_time", "0", "A new IKE SA with its own authentication after this time."),
            ("over_time", "a tenth of the longer of both", "So much later it ends if that has failed."),
            ("rand_time", "over_time", "Rekeys come up to so much earlier."),
            (
                "rekey",
                "\"both\"",
                "Who begins a rekey: \"both\", \"us\" or \"peer\". What nobody has rekeyed is made anew before it ends.",
            ),
            ("dpd_delay", "\"30s\"", "After so long a silence the peer is asked whether it lives; 0 is never."),
            ("keepalive", "\"20s\"", "Between two keepalives of a NAT; only while we are behind one."),
            ("encap", "\"auto\"", "ESP in UDP: \"auto\" or \"always\"."),
            ("fragmentation", "true", "Large IKE messages are fragmented (RFC 7383)."),
            ("mobike", "false", "Addresses may change (RFC 4555)."),
            (
                "childless",
                "\"allow\"",
                "IKE SAs without a child (RFC 6023): \"allow\", \"prefer\", \"force\" or \"never\".",
            ),
            (
                "rehearse",
                "\"auto\"",
                "Whether a wrong PFS group is found now and not at the first rekey: \"auto\" or \"never\".",
            ),
            ("ppk", "none", "A post-quantum pre-shared key (RFC 8784)."),
            ("unique", "\"replace\"", "What a second IKE SA of one peer does: \"replace\", \"keep\" or \"never\"."),
            ("vips", "[]", "Virtual addresses that we ask for; \"0.0.0.0\" and \"::\" are any."),
            ("pools", "[]", "Pools that we give the peer addresses from."),
            ("interface", "none", "A TUN device of its own: routes and BGP decide what enters it."),
            ("keylog", "none", "Keys for Wireshark, for a while."),
            ("log", "as [gateway]", "Log lines of this connection."),
            ("children", "required", "Tables [connections.NAME.children.CHILD]."),
        ],
    ),
    Table::new(&keys::CONNECTION_LOG, "log of a connection", &[("level", "as [gateway]", "As there.")]),
    Table::new(
        &keys::LOCAL,
        "local of a connection",
        &[
            ("auth", "\"psk\"", "\"psk\" or \"pubkey\"."),
            (
                "id",
                "our address, or the certificate's subject",
                "Who we are: an address, a name, user@name, keyid:, dn: and the like.",
            ),
            ("certs", "none", "Files with our certificate first, then those that lead to the authority."),
            (
                "key",
                "none",
                "File with its private key, root:sandhogd and mode 0640, or 0600 where root runs the daemon; without a passphrase.",
            ),
            ("padding", "\"pss\"", "How an RSA key signs: \"pss\" or \"pkcs1\"."),
        ],
    ),
    Table::new(
        &keys::REMOTE,
        "remote of a connection",
        &[
            ("auth", "\"psk\"", "\"psk\" or \"pubkey\"."),
            ("id", "its address", "Who it is; \"%any\" is anybody whose proof is good."),
            ("cacerts", "none", "Files with the authorities that we believe."),
            ("crls", "none", "Files with revocation lists."),
            ("revocation", "\"relaxed\"", "\"relaxed\", \"strict\" or \"none\"."),
            ("crl_hosts", "[]", "Hosts that lists may be fetched from although their addresses are private."),
        ],
    ),
    Table::new(
        &keys::PPK,
        "ppk of a connection",
        &[
            ("id", "required", "The same at both ends, and the id of a secret."),
            ("required", "false", "No connection without it."),
        ],
    ),
    Table::new(
        &keys::INTERFACE,
        "interface of a connection",
        &[
            ("name", "required", "Name of the device."),
            ("addresses", "[]", "Its addresses, with lengths."),
            ("netns", "ours", "Network namespace: a name of ip-netns(8), or an absolute path."),
        ],
    ),
    Table::new(
        &keys::KEYLOG,
        "keylog of a connection",
        &[
            ("path", "required", "Folder for Wireshark's tables; the daemon must be able to write it."),
            ("until", "required", "Not after this time."),
        ],
    ),
    Table::new(
        &keys::CHILD,
        "[connections.NAME.children.CHILD]",
        &[
            (
                "local_ts",
                "required",
                "Networks at our side, as they travel: \"10.1.0.0/16\", \"10.1.0.1-10.1.0.9\", \"10.1.0.0/16[tcp/443]\".",
            ),
            ("remote_ts", "required", "The same, at the peer's side."),
            ("ts_mode", "\"together\"", "\"together\", or \"per_pair\": one child for each pair of networks."),
            ("esp_proposals", "strong suites only", "ESP suites; a group in one is PFS."),
            ("mode", "\"tunnel\"", "\"tunnel\", \"transport\", \"pass\" or \"drop\"."),
            ("priority", "0", "Which of two children with equal networks wins."),
            ("rekey_time", "\"1h\"", "The SA is rekeyed after this time; 0 is never."),
            ("rekey_bytes", "never", "And after so many octets."),
            ("rekey_packets", "never", "And after so many packets."),
            ("per_resource_sas", "0", "So many more SAs, each for one worker alone (RFC 9611)."),
            ("start_action", "\"start\"", "\"start\", \"trap\": the first packet starts it, or \"none\"."),
            ("dpd_action", "\"restart\"", "When the peer is dead: \"restart\", \"trap\" or \"clear\"."),
            ("replay_window", "4096", "Packets that may overtake each other on their way to us."),
            ("peer_window", "64", "The same on their way to the peer, as we believe."),
            ("mtu", "\"auto\"", "Largest inner packet."),
            ("mss", "\"auto\"", "Largest segment of TCP; \"off\" leaves it alone."),
            ("outer_fragments", "\"auto\"", "Whether outer packets may be fragmented on their way."),
            ("copy_dscp", "true", "The inner DSCP is the outer one."),
            ("translate", "none", "This side's own names for the networks."),
            ("monitor", "none", "Pings through the tunnel."),
        ],
    ),
    Table::new(
        &keys::TRANSLATE,
        "translate of a child",
        &[
            ("local", "none", "Our name for local_ts: a prefix of the same length."),
            ("remote", "none", "Our name for remote_ts."),
        ],
    ),
    Table::new(
        &keys::MONITOR,
        "monitor of a child",
        &[
            ("target", "required", "Who answers pings at the other side."),
            ("source", "lowest address of ours", "Our end."),
            ("interval", "\"2s\"", "Between two pings."),
            ("loss", "3", "So many lost in a row: traffic does not pass."),
            ("action", "\"restart\"", "Then: \"restart\", \"failover\" or \"none\"."),
        ],
    ),
    Table::new(
        &keys::SECRET,
        "[secrets.NAME]",
        &[
            ("id", "required", "Whose secret this is: identities of peers, or of a PPK."),
            ("secret", "none", "As is, or 0x and hex, or 0s and base64."),
            (
                "secret_file",
                "none",
                "A file with it, root:sandhogd and mode 0640, or 0600 where root runs the daemon; one line end at its end is no part of it.",
            ),
            ("secret_env", "none", "An environment variable of the daemon with it."),
        ],
    ),
    Table::new(
        &keys::POOL,
        "[pools.NAME]",
        &[("addrs", "required", "A network, \"10.9.0.0/24\", or a range, \"10.9.0.10-10.9.0.99\".")],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever adds a key describes it above.
    #[test]
    fn tidy_every_key_is_described() {
        for table in TABLES {
            assert_eq!(table.differs(), [""; 0], "{}", table.title);
        }
        for kind in keys::kinds().map(Keys::place).filter(|place| *place != keys::TOP.place()) {
            assert!(TABLES.iter().any(|table| table.of.place() == kind), "{kind} is not described");
        }
    }
}
