"""Gateways of vendors as strongSwan plays them: configured by hand from what their makers publish, not by our generator. Each takes its one suite and shape and nothing else.

The lab adds two things to each: `encap = yes`, as kernel-libipsec has ESP in UDP only, and no lifetime of IKE_AUTH itself.
"""
from .net import Lab

OURS = "192.0.2.1"
# of letters that all of them take
SECRET = "Sandhog.2026_lab.7Q"
# KiB in octets
K = 1024


class Vendor:
    """One gateway. `nets`: how many networks of ours and of theirs, or None for 0.0.0.0/0 on both sides with a device of its own; `pairs`: one child for each pair of them;
    `connection` and `child`: what else stands in its swanctl.conf; `rekey`: who may begin one."""

    def __init__(self, name, ike, esp, nets=(1, 1), pairs=False, connection="", child="", rekey="both"):
        self.name, self.ike, self.esp, self.nets, self.pairs = name, ike, esp, nets, pairs
        self.connection, self.child, self.rekey = connection, child, rekey


CBC = "aes256-sha256-modp2048"
# with the PRF that GCM needs
GCM = "aes256gcm16-prfsha384-ecp384"
HOUR, DAY = 3600, 86400


def ike(life, dpd):
    """How long its IKE SAs live, and after how long a silence it asks."""
    return f"rekey_time = {life}s\n    over_time = {life // 10}s\n    dpd_delay = {dpd}s"


def esp(life, kilobytes=0):
    """The same of its children."""
    life = f"life_time = {life}s\n        rekey_time = {life * 9 // 10}s"
    return life + (f"\n        life_bytes = {kilobytes * K}\n        rekey_bytes = {kilobytes * K * 9 // 10}" if kilobytes else "")


VENDORS = [
    # CBC and MODP groups alone; many CIDRs in one SA, with IKEv2; 86400 s both
    Vendor("aliyun", CBC, CBC, (2, 2), connection=ike(DAY, 30), child=esp(DAY)),
    # one child per rule of the ACL; DPD is off unless set; 3600 s and 1843200 KB
    Vendor("h3c", CBC, CBC, (2, 1), pairs=True, connection=ike(DAY, 0), child=esp(HOUR, 1843200)),
    Vendor("h3c-er", CBC, CBC, (2, 1), pairs=True, connection=ike(DAY, 0), child=esp(HOUR)),
    # takes no rekey of ours; 1843200 KB, DPD after 30 s
    Vendor("huawei", CBC, CBC, (2, 1), pairs=True, connection=ike(DAY, 30), child=esp(HOUR, 1843200), rekey="peer"),
    # pairs of the SPD, one after the other
    Vendor("tencent", CBC, CBC, (2, 1), pairs=True, connection=ike(DAY, 30), child=esp(HOUR, 1843200)),
    # one pair, any to any; it rekeys 540 s before the end
    Vendor("aws", GCM, "aes256gcm16-ecp384", None, connection=ike(28800, 30), child=f"life_time = 3600s\n        rekey_time = {HOUR - 540}s"),
    # a custom policy with a PFS group; GCM as cipher and as integrity
    Vendor("azure", "aes256-sha384-ecp384", "aes256gcm16-ecp384", (2, 2), connection=ike(28800, 45), child=esp(27000, 102400000)),
    # all CIDRs in one SA, one cipher for each role
    Vendor("gcp", "aes256gcm16-prfsha256-modp2048", "aes256gcm16-modp2048", (2, 2), connection=ike(36000, 30), child=esp(10800)),
    # a virtual tunnel interface
    Vendor("cisco-ios-xe", GCM, "aes256gcm16-ecp384", None, connection=ike(DAY, 30), child=esp(HOUR, 4608000)),
    # strict selectors, one child per entry of the crypto map
    Vendor("cisco-asa", GCM, "aes256gcm16-ecp384", (2, 1), pairs=True, connection=ike(DAY, 10), child=esp(28800, 4608000)),
    # one set of subnets for each child
    Vendor("fortigate", CBC, "aes256gcm16-modp2048", (2, 1), pairs=True, connection=ike(DAY, 20), child=esp(43200)),
    # st0, any to any
    Vendor("juniper-srx", CBC, CBC, None, connection=ike(28800, 10), child=esp(HOUR)),
    # a policy for each pair
    Vendor("mikrotik", CBC, CBC, (2, 1), pairs=True, connection=ike(DAY, 8), child=esp(1800)),
    # a phase 2 for each pair, all in one SA unless its connections are split
    Vendor("pfsense", "aes256gcm16-prfsha256-modp2048", "aes256gcm16-modp2048", (2, 2), connection=ike(28800, 10), child=esp(HOUR)),
    Vendor("strongswan", GCM, "aes256gcm16-ecp384", (2, 2), connection=ike(14400, 30), child=esp(HOUR)),
    # ML-KEM and extended sequence numbers, and no child without a key exchange of its own: played by another one of ours
    Vendor("sandhog", "aes256gcm16-prfsha384-x25519-ke1_mlkem768", "aes256gcm16-x25519-esn", (2, 2), connection='childless = "force"'),
]


class Field(Lab):
    """Our gateway and a peer for each vendor, all on one switch; what is protected is on `lo`. Our daemon comes from the case."""

    def __init__(self, name, vendors):
        super().__init__(name)
        self.vendors, self.peers = vendors, {}
        self.left, switch = self.host("l"), self.host("m")
        switch.ip("link", "add", "br0", "type", "bridge")
        switch.ip("link", "set", "br0", "up")
        self.left_dev, port = self.wire(self.left, switch)
        switch.ip("link", "set", port, "master", "br0")
        self.left.address(self.left_dev, f"{OURS}/24")
        for vendor in vendors:
            peer = self.host(f"p{self.number(vendor)}")
            dev, port = self.wire(peer, switch, ours=False)
            switch.ip("link", "set", port, "master", "br0")
            peer.address(dev, f"{self.address_of(vendor)}/24")
            for ours, theirs in self.networks(vendor):
                for host, net in ((self.left, ours), (peer, theirs)):
                    if not host.ip("-br", "addr", "show", "to", first(net)).strip():
                        host.address("lo", f"{first(net)}/32")
            self.peers[vendor.name] = peer

    def number(self, vendor):
        """From 1."""
        return self.vendors.index(vendor) + 1

    def address_of(self, vendor):
        """The outer address of its peer."""
        return f"192.0.2.{self.number(vendor) + 10}"

    def networks(self, vendor):
        """Pairs of networks that traffic flows between."""
        n, (ours, theirs) = self.number(vendor), vendor.nets or (1, 1)
        return [(f"10.{n}.{i}.0/24", f"10.{n}.{128 + j}.0/24") for i in range(ours) for j in range(theirs)]

    def pings(self, vendor):
        """Pairs of addresses."""
        return [(first(ours), first(theirs)) for ours, theirs in self.networks(vendor)]

    def selectors(self, vendor):
        """(networks of ours, networks of theirs) as both sides know them."""
        if vendor.nets is None:
            return ["0.0.0.0/0"], ["0.0.0.0/0"]
        pairs = self.networks(vendor)
        return list(dict.fromkeys(o for o, _ in pairs)), list(dict.fromkeys(t for _, t in pairs))

    def our_side(self, vendor, start="none", extra="", child=""):
        """Our side of it: a profile, addresses, identities, networks and the secret. `extra` and `child`: what a case adds."""
        lists = lambda values: "[" + ", ".join(f'"{v}"' for v in values) + "]"
        local_ts, remote_ts = self.selectors(vendor)
        n, name, remote = self.number(vendor), vendor.name, self.address_of(vendor)
        device = f'interface = {{ name = "vti{n}", addresses = ["169.254.{100 + n}.1/30"] }}\n' if vendor.nets is None else ""
        return f"""
[connections.{name}]
profile = "{name}"
local_addrs = ["{OURS}"]
remote_addrs = ["{remote}"]
local = {{ id = "{OURS}" }}
remote = {{ id = "{remote}" }}
encap = "always"
{device}{extra}
[connections.{name}.children.net]
local_ts = {lists(local_ts)}
remote_ts = {lists(remote_ts)}
start_action = "{start}"
{child}
[secrets.{name}]
id = ["{remote}"]
secret = "{SECRET}"
"""

    def their_side(self, vendor, **changed):
        """The swanctl.conf of the peer. `changed`: what differs from what it should be (ike, esp, psk, version, local_id, remote_id, remote_ts)."""
        local_ts, remote_ts = self.selectors(vendor)
        address = self.address_of(vendor)
        value = lambda key, right: changed.get(key, right)
        children = [([o], [t]) for o, t in self.networks(vendor)] if vendor.pairs else [(local_ts, remote_ts)]
        kids = "".join(f"""
      c{i} {{
        local_ts = {", ".join(value("local_ts", theirs))}
        remote_ts = {", ".join(value("remote_ts", ours))}
        esp_proposals = {value("esp", vendor.esp)}
        start_action = none
        {vendor.child}
      }}""" for i, (ours, theirs) in enumerate(children))
        return f"""
connections {{
  gw {{
    version = {value("version", 2)}
    local_addrs = {address}
    remote_addrs = {OURS}
    proposals = {value("ike", vendor.ike)}
    encap = yes
    mobike = no
    {vendor.connection}
    local {{ auth = psk
      id = {value("local_id", address)} }}
    remote {{ auth = psk
      id = {value("remote_id", OURS)} }}
    children {{{kids}
    }}
  }}
}}
secrets {{
  ike-gw {{
    id-a = {value("local_id", address)}
    id-b = {value("remote_id", OURS)}
    secret = "{value("psk", SECRET)}"
  }}
}}
"""

    def mirror(self, vendor, **changed):
        """What `their_side` is, for one of ours."""
        lists = lambda values: "[" + ", ".join(f'"{v}"' for v in values) + "]"
        local_ts, remote_ts = self.selectors(vendor)
        address = self.address_of(vendor)
        return f"""
[connections.gw]
local_addrs = ["{address}"]
remote_addrs = ["{OURS}"]
local = {{ id = "{address}" }}
remote = {{ id = "{OURS}" }}
proposals = ["{changed.get("ike", vendor.ike)}"]
{vendor.connection}
[connections.gw.children.c0]
local_ts = {lists(remote_ts)}
remote_ts = {lists(local_ts)}
esp_proposals = ["{changed.get("esp", vendor.esp)}"]
start_action = "none"
[secrets.gw]
id = ["{OURS}"]
secret = "{SECRET}"
"""

    def children_of(self, vendor):
        """Names at the peer."""
        return [f"c{i}" for i in range(len(self.networks(vendor)) if vendor.pairs else 1)]


def first(net):
    """The address of a host in it."""
    return net.rsplit(".", 1)[0] + ".1"
