"""Random edits of the configuration of a running gateway, each valid, for the promise of a plan to be held against what happens.

The gateway that is edited is the left one of a pair. The right one takes whatever the left one may ask for (`right()`), so that it is never edited, and what is
seen on the left is what the edit has done. `python3 conformance/lab/edits.py [SEED]` makes a thousand and holds each against `sandhog check`.

The keys are those of the table in src/config/plan/table.rs; a test beside it fails when one is neither edited nor excused here.
"""
import copy
import json
import os
import random
import subprocess
import sys
import tempfile

SECRET = "a secret of a pair that only makes edits"
RIGHT_ID = "right.example"
IKE = ["aes256gcm16-prfsha384-x25519", "aes128gcm16-prfsha256-ecp256", "aes256-sha256-modp2048", "aes128-sha256-x25519", "aes256gcm16-prfsha256-ecp384"]
ESP = ["aes256gcm16", "aes128gcm16", "aes256-sha256", "aes128-sha256", "aes256gcm16-x25519", "aes128gcm16-ecp256", "chacha20poly1305"]

RESTART = "a running daemon cannot change it: the plan says so, and apply refuses"
CERTIFICATES = "the pair proves itself by a secret; certificates have rows of their own"
EXCUSED = {
    "gateway.listen": RESTART,
    "gateway.ports.ike": RESTART,
    "gateway.ports.natt": RESTART,
    "gateway.workers": RESTART,
    "gateway.pin_workers": RESTART,
    "gateway.sandbox": RESTART,
    "gateway.device": RESTART,
    "gateway.route_table": RESTART,
    "gateway.mark": RESTART,
    "gateway.bind_device": RESTART,
    "gateway.control_socket": RESTART,
    "gateway.observe_socket": RESTART,
    "gateway.state_dir": RESTART,
    "gateway.metrics": RESTART,
    "gateway.hook.command": RESTART,
    "gateway.hook.user": RESTART,
    "gateway.hook.timeout": RESTART,
    "gateway.log.target": "the lab reads what the daemon writes to its standard error",
    "connection.profile": "it stands for other keys, each of which is edited by itself",
    "connection.local.auth": CERTIFICATES,
    "connection.local.certs": CERTIFICATES,
    "connection.local.key": CERTIFICATES,
    "connection.local.padding": CERTIFICATES,
    "connection.remote.auth": CERTIFICATES,
    "connection.remote.cacerts": CERTIFICATES,
    "connection.remote.crls": CERTIFICATES,
    "connection.remote.revocation": CERTIFICATES,
    "connection.remote.crl_hosts": CERTIFICATES,
    "connection.vips": "what the peer gives takes the place of local_ts, and all else of the edits is about local_ts",
    "connection.interface.netns": "a network namespace for each edit; devices have rows of their own",
    "connection.children": "each child has keys of its own; their order is edited under \"order\"",
    "secret.secret_file": "once it is read it is a secret like any other",
    "secret.secret_env": "an environment is that of a process from its start",
}


# Numbers of children begin with 1, and are no greater than this: the other end has a child for each.
MOST = 8


class Skip(Exception):
    """This edit makes no sense for this object: another one."""


class Edit:
    """One step: what was edited, and the whole document after it."""

    def __init__(self, key, place, document):
        self.key, self.object, self.document = key, place, document

    def __repr__(self):
        return f"{self.key} of {self.object}"


def whose(place):
    """The object of a document that a place is in."""
    return ".".join(place.split(".")[:2])


def toml(document):
    """A document as TOML."""
    out = []

    def value(v):
        if isinstance(v, dict):
            return "{ " + ", ".join(f"{k} = {value(x)}" for k, x in v.items()) + " }"
        if isinstance(v, list):
            return "[" + ", ".join(value(x) for x in v) + "]"
        return json.dumps(v)

    def table(name, keys):
        out.append(f"[{name}]")
        out.extend(f"{k} = {value(v)}" for k, v in keys.items() if k != "children")
        for child, inner in keys.get("children", {}).items():
            table(f"{name}.children.{child}", inner)

    if "gateway" in document:
        table("gateway", document["gateway"])
    for kind in ("connections", "secrets", "pools"):
        for name, keys in document.get(kind, {}).items():
            table(f"{kind}.{name}", keys)
    return "\n".join(out) + "\n"


def right(address, ppk=True):
    """The other end: it answers whoever knows the secret, and takes what the left one asks for."""
    connection = {
        "local_addrs": address if isinstance(address, list) else [address], "remote_addrs": ["%any"], "proposals": IKE,
        "local": {"auth": "psk", "id": RIGHT_ID}, "remote": {"auth": "psk", "id": "%any"}, "unique": "never", "mobike": True,
        "rekey_time": "8h", "dpd_delay": "0s",
        "children": {f"k{k}": {"local_ts": [f"10.{128 + k}.0.0/16"], "remote_ts": [f"10.{k}.0.0/16"], "esp_proposals": ESP, "rekey_time": "8h", "per_resource_sas": 4}
                     for k in range(1, MOST + 1)},
    }
    if ppk:
        connection["ppk"] = {"id": "ppk.example", "required": False}
    return {"gateway": {"limits": {"per_identity": 64, "auth_failures_per_minute": 10000}}, "connections": {"any": connection},
            "secrets": {"all": {"id": ["%any"], "secret": SECRET}, "ppk": {"id": ["ppk.example"], "secret": SECRET + ", later"}}}


def left(local, remote, tunnels=5):
    """The gateway that is edited, before the first edit; the last of its connections has a device of its own."""
    document = {"gateway": {}, "connections": {}, "pools": {"office": {"addrs": "10.250.0.0/24"}}, "secrets": {
        "all": {"id": ["%any"], "secret": SECRET}, "ppk": {"id": ["ppk.example"], "secret": SECRET + ", later"},
        "spare": {"id": ["nobody.example"], "secret": SECRET + ", spare"}}}
    for n in range(tunnels):
        document["connections"][f"t{n}"] = connection(n, local, remote)
    document["connections"][f"t{tunnels - 1}"]["interface"] = {"name": "own0"}
    return document


def connection(n, local, remote):
    """The n-th connection, with two children."""
    return {"local_addrs": [local], "remote_addrs": [remote], "proposals": IKE[:3], "local": {"auth": "psk", "id": f"t{n}.example"},
            "remote": {"auth": "psk", "id": RIGHT_ID}, "children": {"lan": child(n, 1), "lab": child(n, 2)}}


def child(n, k):
    """Its k-th child."""
    return {"local_ts": [f"10.{k}.{n}.0/24"], "remote_ts": [f"10.{128 + k}.{n}.0/24"], "esp_proposals": ESP[:2], "start_action": "start"}


class Edits:
    """An endless row of edits, the same for the same seed. `local` and `remote` are addresses of both ends, the first of which are in use at the beginning;
    `without` are keys that are left alone."""

    def __init__(self, seed, local, remote, tunnels=5, without=()):
        self.draw, self.local, self.remote = random.Random(seed), local, remote
        self.keys = [key for key in EDITORS if key not in without]
        self.document = left(local[0], remote[0], tunnels)
        self.busy = set()

    def batch(self, many):
        """So many at once, each of an object of its own: what becomes of one is not the doing of another."""
        edits, self.busy = [], set()
        for _ in range(many):
            edits.append(next(self))
            self.busy.add(whose(edits[-1].object))
        self.busy = set()
        return edits

    def __iter__(self):
        return self

    def __next__(self):
        while True:
            key = self.draw.choice(self.keys)
            before, document = self.document, copy.deepcopy(self.document)
            try:
                place = self.edit(key, document)
            except Skip:
                continue
            if whose(place) not in self.busy and (document != before or key == "order"):
                self.document = document
                return Edit(key, place, copy.deepcopy(document))

    def edit(self, key, document):
        """Edits one key of a random object; its name."""
        kind = key.split(".")[0]
        change = EDITORS[key]
        if kind == "gateway":
            change(self, document["gateway"])
            return "gateway"
        if kind in ("connection", "child"):
            name = self.draw.choice(list(document["connections"]))
            it, place = document["connections"][name], f"connections.{name}"
            if kind == "child":
                child_name = self.draw.choice(list(it["children"]))
                it, place = it["children"][child_name], f"{place}.children.{child_name}"
            change(self, it)
            return place
        if kind in ("secret", "pool"):
            name = {"secret": "spare", "pool": "office"}[kind]
            change(self, document[kind + "s"][name])
            return f"{kind}s.{name}"
        return change(self, document)


def one_of(key, *choices):
    """Another one of these values, or none at all: the default."""
    def change(edits, table):
        now = table.get(key)
        value = edits.draw.choice([c for c in (*choices, None) if c != now])
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    return change


def negotiated(change):
    """For children that have SAs."""
    def only(edits, it):
        if it.get("mode", "tunnel") == "drop":
            raise Skip
        change(edits, it)
    return only


def within(key, change):
    """For a key of a table that is made if need be, and goes when it is empty."""
    def inner(edits, table):
        change(edits, table.setdefault(key, {}))
        if not table[key]:
            del table[key]
    return inner


def some(key, choices, at_least=1):
    """A random list of these."""
    def change(edits, table):
        many = edits.draw.randint(at_least, len(choices))
        table[key] = edits.draw.sample(choices, many)
    return change


def addresses(key, side):
    """A list of the addresses of one side, in any order; for ours also whatever the route says."""
    def change(edits, it):
        mine = getattr(edits, side)
        lists = [[a] for a in mine] + [mine, list(reversed(mine))]
        if side == "local":
            lists.append(None)
        value = edits.draw.choice([l for l in lists if l != it.get(key)])
        if value is None:
            it.pop(key, None)
        else:
            it[key] = list(value)
    return change


def local_id(edits, it):
    it["local"] = {**it["local"], "id": f"{it['local']['id'].split('.')[0].split('-')[0]}-{edits.draw.randrange(1000)}.example"}


def remote_id(edits, it):
    it["remote"] = {**it["remote"], "id": "%any" if it["remote"]["id"] == RIGHT_ID else RIGHT_ID}


def ppk_id(edits, it):
    if it.pop("ppk", None) is None:
        it["ppk"] = {"id": "ppk.example", "required": edits.draw.choice([True, False])}


def ppk_required(edits, it):
    if "ppk" not in it:
        raise Skip
    it["ppk"] = {**it["ppk"], "required": not it["ppk"].get("required", False)}


def interface_name(edits, it):
    if "interface" not in it:
        raise Skip
    it["interface"] = {**it["interface"], "name": "own1" if it["interface"]["name"] == "own0" else "own0"}


def interface_addresses(edits, it):
    if "interface" not in it:
        raise Skip
    one_of("addresses", ["169.254.10.1/32"], ["169.254.10.1/32", "169.254.10.2/32"])(edits, it["interface"])


def keylog(key):
    """Both keys come together."""
    def change(edits, it):
        if "keylog" not in it:
            it["keylog"] = {"path": "/tmp/keys-of-edits", "until": "2099-01-01T00:00:00Z"}
        elif edits.draw.random() < 0.5:
            del it["keylog"]
        elif key == "path":
            it["keylog"] = {**it["keylog"], "path": f"/tmp/keys-of-edits-{edits.draw.randrange(9)}"}
        else:
            it["keylog"] = {**it["keylog"], "until": f"20{edits.draw.randrange(60, 99)}-01-01T00:00:00Z"}
    return change


def selectors(key):
    """Other networks inside the same /24, always with its first hosts."""
    def change(edits, it):
        net = ".".join(it[key][0].split(".")[:3])
        choices = [[f"{net}.0/24"], [f"{net}.0/25"], [f"{net}.0/25", f"{net}.128/25"], [f"{net}.0-{net}.255"], [f"{net}.0/26", f"{net}.64/26"]]
        it[key] = edits.draw.choice([c for c in choices if c != it[key]])
        # Another size has no names of the size before.
        it.pop("translate", None)
    return change


def mode(edits, it):
    """Between a tunnel and nothing."""
    keep = {k: it[k] for k in ("local_ts", "remote_ts", "priority") if k in it}
    it.clear()
    it.update(keep)
    if edits.draw.random() < 0.3:
        it["mode"] = "drop"
    else:
        it.update({"mode": "tunnel", "esp_proposals": ESP[:2]})


def translate(side):
    """Other names for one side, or none."""
    def change(edits, it):
        ts = it[side + "_ts"]
        if len(ts) != 1 or "/" not in ts[0] or "monitor" in it or it.get("ts_mode") == "per_pair":
            raise Skip
        here = it.setdefault("translate", {})
        net, length = ts[0].split("/")
        name = f"100.{net.split('.', 1)[1]}/{length}"
        if here.get(side) == name:
            del here[side]
        else:
            here[side] = name
        if not here:
            del it["translate"]
    return change


def monitor(key, *choices):
    """It asks so seldom that what answers does not matter."""
    def change(edits, it):
        if "translate" in it:
            raise Skip
        net = ".".join(it["remote_ts"][0].split(".")[:3])
        if "monitor" not in it:
            it["monitor"] = {"target": f"{net}.1", "interval": "1h", "loss": 100, "action": "none"}
        elif edits.draw.random() < 0.3:
            del it["monitor"]
        elif key == "target":
            it["monitor"] = {**it["monitor"], "target": f"{net}.{edits.draw.randrange(1, 60)}"}
        elif key == "source":
            own = ".".join(it["local_ts"][0].split(".")[:3])
            it["monitor"] = {**it["monitor"], "source": f"{own}.{edits.draw.randrange(1, 60)}"}
        else:
            it["monitor"] = {**it["monitor"], key: edits.draw.choice(choices)}
    return change


def add_connection(edits, document):
    if len(document["connections"]) > 12:
        raise Skip
    taken = {int(c["children"][k]["local_ts"][0].split(".")[2]) for c in document["connections"].values() for k in c["children"]}
    n = edits.draw.choice([n for n in range(100) if n not in taken])
    name = f"t{n}"
    if name in document["connections"]:
        raise Skip
    document["connections"][name] = connection(n, edits.local[0], edits.remote[0])
    return f"connections.{name}"


def remove_connection(edits, document):
    if len(document["connections"]) < 4:
        raise Skip
    name = edits.draw.choice([n for n, c in document["connections"].items() if "interface" not in c])
    del document["connections"][name]
    return f"connections.{name}"


def add_child(edits, document):
    name, it = edits.draw.choice(list(document["connections"].items()))
    n = int(next(iter(it["children"].values()))["local_ts"][0].split(".")[2])
    taken = {int(c["local_ts"][0].split(".")[1]) for c in it["children"].values()}
    if len(taken) > 3:
        raise Skip
    k = edits.draw.choice([k for k in range(1, MOST + 1) if k not in taken])
    kid = f"c{k}"
    if kid in it["children"]:
        raise Skip
    it["children"][kid] = child(n, k)
    return f"connections.{name}.children.{kid}"


def remove_child(edits, document):
    name, it = edits.draw.choice(list(document["connections"].items()))
    protected = [k for k, c in it["children"].items() if c.get("mode", "tunnel") == "tunnel"]
    kid = edits.draw.choice(list(it["children"]))
    if len(it["children"]) < 2 or protected == [kid]:
        raise Skip
    del it["children"][kid]
    return f"connections.{name}.children.{kid}"


def order(edits, document):
    """Of connections, or of the children of one."""
    place, table = "connections", document["connections"]
    if edits.draw.random() < 0.5:
        name = edits.draw.choice(list(table))
        place, table = f"connections.{name}", table[name]["children"]
    keys = list(table)
    if len(keys) < 2:
        raise Skip
    edits.draw.shuffle(keys)
    if keys == list(table):
        raise Skip
    items = [(k, table[k]) for k in keys]
    table.clear()
    table.update(items)
    return place


def spare(kind, name, value):
    """An object that nothing needs."""
    def change(edits, document):
        table = document[kind]
        if table.pop(name, None) is None:
            table[name] = value
        return f"{kind}.{name}"
    return change


EDITORS = {
    "gateway.on_exit": one_of("on_exit", "open", "closed"),
    "gateway.log.level": within("log", one_of("level", "debug", "info", "warn")),
    "gateway.log.format": within("log", one_of("format", "text", "json")),
    "gateway.retransmit.first": within("retransmit", one_of("first", "400ms", "1s")),
    "gateway.retransmit.factor": within("retransmit", one_of("factor", 1.5, 2.0, 2)),
    "gateway.retransmit.max": within("retransmit", one_of("max", "7s", "10s")),
    "gateway.retransmit.tries": within("retransmit", one_of("tries", 10, 13)),
    "gateway.limits.half_open": within("limits", one_of("half_open", 2048, 8192)),
    "gateway.limits.half_open_per_source": within("limits", one_of("half_open_per_source", 32, 64)),
    "gateway.limits.cookie_threshold": within("limits", one_of("cookie_threshold", 128, 256)),
    "gateway.limits.cookie_per_source": within("limits", one_of("cookie_per_source", 8, 9)),
    "gateway.limits.connections": within("limits", one_of("connections", 1000, 2000)),
    "gateway.limits.per_identity": within("limits", one_of("per_identity", 8, 16)),
    "gateway.limits.children": within("limits", one_of("children", 128, 300)),
    "gateway.limits.per_resource": within("limits", one_of("per_resource", 16, 64)),
    "gateway.limits.auth_failures_per_minute": within("limits", one_of("auth_failures_per_minute", 50, 60)),
    "gateway.limits.reassembly_bytes": within("limits", one_of("reassembly_bytes", 100000, 70000)),
    "gateway.limits.compute_queue": within("limits", one_of("compute_queue", 300, 512)),
    "connection.local_addrs": addresses("local_addrs", "local"),
    "connection.remote_addrs": addresses("remote_addrs", "remote"),
    "connection.proposals": some("proposals", IKE),
    "connection.local.id": local_id,
    "connection.remote.id": remote_id,
    "connection.rekey_time": one_of("rekey_time", "3h", "5h", "240m"),
    "connection.reauth_time": one_of("reauth_time", "5h", "6h", "0s"),
    "connection.over_time": one_of("over_time", "10m", "20m"),
    "connection.rand_time": one_of("rand_time", "5m", "6m"),
    "connection.rekey": one_of("rekey", "both", "us", "peer"),
    "connection.dpd_delay": one_of("dpd_delay", "30s", "45s", "60s", "1m"),
    "connection.keepalive": one_of("keepalive", "20s", "25s"),
    "connection.encap": one_of("encap", "auto", "always"),
    "connection.fragmentation": one_of("fragmentation", True, False),
    "connection.mobike": one_of("mobike", True, False),
    "connection.childless": one_of("childless", "allow", "never"),
    "connection.rehearse": one_of("rehearse", "auto", "never"),
    "connection.ppk.id": ppk_id,
    "connection.ppk.required": ppk_required,
    "connection.unique": one_of("unique", "replace", "keep", "never"),
    "connection.pools": one_of("pools", ["office"], []),
    "connection.interface.name": interface_name,
    "connection.interface.addresses": interface_addresses,
    "connection.keylog.path": keylog("path"),
    "connection.keylog.until": keylog("until"),
    "connection.log.level": within("log", one_of("level", "debug", "info")),
    "child.local_ts": selectors("local_ts"),
    "child.remote_ts": selectors("remote_ts"),
    "child.ts_mode": negotiated(one_of("ts_mode", "together", "per_pair")),
    "child.esp_proposals": negotiated(some("esp_proposals", ESP)),
    "child.mode": mode,
    "child.priority": one_of("priority", 0, 1, -5),
    "child.rekey_time": negotiated(one_of("rekey_time", "50m", "1h", "60m", "2h")),
    "child.rekey_bytes": negotiated(one_of("rekey_bytes", "500GB", 10**12, 0)),
    "child.rekey_packets": negotiated(one_of("rekey_packets", 10**9, 10**10, 0)),
    "child.per_resource_sas": negotiated(one_of("per_resource_sas", 0, 1, 2)),
    "child.start_action": negotiated(one_of("start_action", "start", "trap")),
    "child.dpd_action": negotiated(one_of("dpd_action", "restart", "trap", "clear")),
    "child.replay_window": negotiated(one_of("replay_window", 64, 1024, 4096)),
    "child.peer_window": negotiated(one_of("peer_window", 64, 32, 4096)),
    "child.mtu": negotiated(one_of("mtu", "auto", 1300, 1280)),
    "child.mss": negotiated(one_of("mss", "auto", "off", 1200)),
    "child.outer_fragments": negotiated(one_of("outer_fragments", "auto", "always", "never")),
    "child.copy_dscp": negotiated(one_of("copy_dscp", True, False)),
    "child.translate.local": negotiated(translate("local")),
    "child.translate.remote": negotiated(translate("remote")),
    "child.monitor.target": negotiated(monitor("target")),
    "child.monitor.source": negotiated(monitor("source")),
    "child.monitor.interval": negotiated(monitor("interval", "59m", "58m", "1h")),
    "child.monitor.loss": negotiated(monitor("loss", 99, 98, 100)),
    "child.monitor.action": negotiated(monitor("action", "none", "restart", "failover")),
    "secret.id": lambda edits, it: it.update(id=[f"nobody-{edits.draw.randrange(99)}.example"]),
    "secret.secret": lambda edits, it: it.update(secret=f"another secret that nobody guesses, {edits.draw.randrange(10**9)}"),
    "pool.addrs": lambda edits, it: it.update(addrs=f"10.250.{edits.draw.randrange(9)}.0/24"),
    "order": order,
    "+connection": add_connection,
    "-connection": remove_connection,
    "+child": add_child,
    "-child": remove_child,
    "+-secret": spare("secrets", "other", {"id": ["other.example"], "secret": SECRET + ", other"}),
    "+-pool": spare("pools", "other", {"addrs": "10.251.0.0/24"}),
}
assert not set(EDITORS) & set(EXCUSED)


def main(seed, program, many=1000):
    """Whether all edits are valid, and all keys are among them."""
    edits, seen, wrong = Edits(seed, ["192.0.2.1", "192.0.2.11"], ["192.0.2.2", "192.0.2.12"]), set(), 0
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        os.chmod(file.name, 0o600)
        for _ in range(many):
            edit = next(edits)
            seen.add(edit.key)
            file.seek(0)
            file.truncate()
            file.write(toml(edit.document))
            file.flush()
            done = subprocess.run([program, "check", file.name], capture_output=True, text=True)
            if done.returncode:
                wrong += 1
                print(f"{edit}: {done.stderr}{done.stdout}")
    print(f"{many} edits, {wrong} not valid; never drawn: {sorted(set(EDITORS) - seen) or 'none'}")
    return wrong == 0


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    from lab import sandhog
    sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, sandhog.binary("sandhog")))
