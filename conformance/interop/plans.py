"""What a plan predicts is what happens: random edits of a running gateway, several at a time, each of a connection of its own, under traffic.

What is observed comes from SPIs, events, counters of rekeys, devices and packets, and from nothing that plans:

| observed | what was seen of the object |
| --- | --- |
| `none` | it says what it said, in other words, or is new; its SAs are what they were |
| `live` | it says something else, its SAs are what they were, and no packet was lost |
| `rekey_child` | the child has other SPIs, by a rekey, and no packet was lost |
| `restart_child` | the child has other SPIs, and it was not rekeyed, or its hosts have other names |
| `restart_ike` | the IKE SA has other SPIs |
| `interrupts_traffic` | it is gone or not up, its device is another one, no packet passed for longer than `PAUSE`, or one was lost that nothing excuses |

The other end takes whatever the edited one asks for, and is never changed: what is seen is what the edit has done.
"""
import collections
import json
import re
import subprocess
import time

from lab import edits, sandhog, strongswan, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, Pair
from lab.steady import Steady
from lab.watch import Watch

ROW = "honest plans"
GRADES = ["none", "live", "rekey_child", "restart_child", "restart_ike", "interrupts_traffic"]
NONE, LIVE, REKEY_CHILD, RESTART_CHILD, RESTART_IKE, INTERRUPTS = range(6)
LOCAL, REMOTE = (OUTER[4][0], "192.0.2.11"), (OUTER[4][1], "192.0.2.12")
TUNNELS, AT_ONCE = 8, 8
# A longer one is seen by people.
PAUSE = 1.0
# A rekey that is due sooner than this has nothing to do with an edit (a group is tried some seconds after IKE_AUTH).
DUE = 60
# So long nothing happens any more, and so long it may take until then.
QUIET, PATIENCE = 0.35, 25
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
# What is meant where nothing is said, as far as an edit says it.
DEFAULTS = {
    "on_exit": "closed", "log.format": "text", "reauth_time": 0, "rekey": "both", "dpd_delay": 30, "keepalive": 20, "encap": "auto", "fragmentation": True,
    "mobike": False, "childless": "allow", "rehearse": "auto", "unique": "replace", "pools": [], "local_addrs": [], "interface.addresses": [], "mode": "tunnel",
    "ts_mode": "together", "priority": 0, "rekey_bytes": 0, "rekey_packets": 0, "per_resource_sas": 0, "start_action": "start", "dpd_action": "restart",
    "replay_window": 4096, "peer_window": 64, "mtu": "auto", "mss": "auto", "outer_fragments": "auto", "copy_dscp": True, "ppk.required": False,
}
OF_KIND = {"connections": {"rekey_time": 4 * 3600}, "children": {"rekey_time": 3600}, "gateway": {"log.level": "info"}}


# --- what an object says ---

def meaning(table, kind, place=""):
    """Keys and values as they are meant; what says nothing is not there."""
    said = {}
    for key, value in table.items():
        if isinstance(value, dict):
            if key != "children":
                said.update(meaning(value, kind, f"{place}{key}."))
            continue
        if isinstance(value, str) and (found := re.fullmatch(r"([0-9.]+)(ms|s|m|h)", value)):
            value = float(found.group(1)) * UNITS[found.group(2)]
        if key in ("local_ts", "remote_ts"):
            value = [reach(ts) for ts in value]
        said[place + key] = value
    if said.get("ts_mode") == "per_pair" and len(said["local_ts"]) * len(said["remote_ts"]) < 2:
        del said["ts_mode"]
    return {key: value for key, value in said.items() if {**DEFAULTS, **OF_KIND.get(kind, {})}.get(key, said) != value}


def reach(selector):
    """First and last address of a network inside a /24."""
    if "-" in selector:
        return selector.split("-")[0].split("/")[0], int(selector.rsplit(".", 1)[1])
    net, length = selector.split("/")
    return net, int(net.rsplit(".", 1)[1]) + (1 << 32 - int(length)) - 1


def objects(document, other):
    """What a document says, by the names of a plan; of an order only that of what is in the other one, too."""
    kept = lambda here, there: [name for name in here if name in there]
    said = {"gateway": meaning(document["gateway"], "gateway"), "connections": kept(document["connections"], other["connections"])}
    for kind in ("connections", "secrets", "pools"):
        for name, table in document.get(kind, {}).items():
            others = other.get(kind, {}).get(name, {}).get("children", {})
            own = meaning(table, kind)
            if "pools" in own:
                own["pools"] = [(pool, document["pools"][pool]) for pool in own["pools"]]
            if kind == "connections" and not any(carries(child) for child in [*table["children"].values(), *others.values()]):
                # It negotiates nothing.
                own = {key: value for key, value in own.items() if key.startswith(("interface.", "keylog.", "log."))}
            said[f"{kind}.{name}"] = own, kept(table.get("children", ()), others)
            for child, inner in table.get("children", {}).items():
                said[f"{kind}.{name}.children.{child}"] = meaning(inner, "children")
    return said


def hosts(child):
    """Source and target of a ping through a child, by the names that this end has for them."""
    names = child.get("translate", {})
    first = lambda side: re.match(r"\d+\.\d+\.\d+\.", names.get(side, child[side + "_ts"][0])).group() + "1"
    return first("local"), first("remote")


def carries(child):
    """It has SAs."""
    return child.get("mode", "tunnel") == "tunnel"


# --- what is there ---

class Seen:
    """A gateway at one moment."""

    def __init__(self, daemon):
        self.connections = {c["name"]: c for c in daemon.api("GET", "connections")[1]["connections"]}
        links = json.loads(daemon.host.ip("-j", "link", "show", "type", "tun") or "[]")
        self.devices = {link["ifname"]: link["ifindex"] for link in links}

    def ike(self, name):
        """SPIs of the IKE SAs of a connection."""
        return {(sa["spi_i"], sa["spi_r"]) for sa in self.connections.get(name, {"sas": []})["sas"]}

    def made_of(self, name, child, names):
        """What the daemon made of a child of a document: one, or one for each pair of networks; `names` are those of all children."""
        for c in self.connections.get(name, {"children": []})["children"]:
            whole = c["name"]
            if whole == child or whole not in names and whole.rpartition("-")[0] == child:
                yield c

    def sas(self, name, child, names):
        """Pairs of ESP SAs of a child; those for one worker alone come and go."""
        return {(sa["spi_in"], sa["spi_out"]) for c in self.made_of(name, child, names) for sa in c["sas"] if sa.get("resource") is None}

    def is_away(self, name, connection):
        """Its IKE SA is not at the first of our addresses, and goes there sooner or later."""
        at = (self.connections.get(name, {}).get("local") or "").rpartition(":")[0]
        return bool(at) and at != (connection.get("local_addrs") or LOCAL)[0]

    def is_due(self, name, child, names):
        """A rekey was about to begin by itself."""
        return any(c["rekey_in_s"] is not None and c["rekey_in_s"] < DUE for c in self.made_of(name, child, names))

    def is_settled(self, document):
        """Everything that the document wants is up, once."""
        return set(self.connections) == set(document["connections"]) and all(self.is_up(name, c) for name, c in document["connections"].items())

    def is_up(self, name, connection):
        """One IKE SA, and one pair for each child."""
        if not any(carries(child) for child in connection["children"].values()):
            return True
        now = self.connections.get(name)
        if now is None or now["state"] != "up" or [sa["state"] for sa in now["sas"]] != ["up"]:
            return False
        return all(self.child_is_up(name, key, child, connection["children"]) for key, child in connection["children"].items() if carries(child))

    def child_is_up(self, name, key, child, names):
        """It is, or waits for a packet as it was told to."""
        made = list(self.made_of(name, key, names))
        good = lambda c: c["state"] == "up" and [sa["state"] for sa in c["sas"] if sa.get("resource") is None] == ["up"]
        waits = lambda c: c["state"] == "routed" and child.get("start_action") == "trap" and len(made) > 1
        return bool(made) and all(good(c) or waits(c) for c in made)


def rekeys(daemon):
    """How many of each connection's children were rekeyed, ever."""
    connection = sandhog.UnixHttp(daemon.socket)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return collections.Counter({name: float(n) for name, n in re.findall(r'sandhog_rekeys_total\{connection="(\w+)",kind="child"\} (\d+)', text)})


class Round:
    """Some edits at once: what was predicted, what was there before and after, and what was observed of each object."""

    def __init__(self, edits, before, plan):
        self.edits, self.old, self.new = edits, before, edits[-1].document
        self.steps = {step["object"]: GRADES.index(step["impact"]) for step in plan["changes"]}
        self.gone = {step["object"] for step in plan["changes"] if step["action"] == "remove"}
        self.listed = {sa["spi"] for step in plan["changes"] for sa in step["sas"]}

    def watch(self, was, now, shown, events, rekeyed, passed):
        """What was seen; `shown`: the document in force; `passed`: of each child that carried packets before, how many were lost, and the longest time without one."""
        self.was, self.now, self.shown, self.rekeyed, self.passed = was, now, shown, rekeyed, passed
        self.told = collections.Counter((e["event"], e["connection"], e["child"]) for e in events if e.get("resource") is None)

    def predicted(self, name):
        """Of an object; a child goes with its connection, begins anew with its IKE SA, and is cut off with its device."""
        whole = edits.whose(name)
        with_it = self.steps.get(whole, NONE)
        return max(self.steps.get(name, NONE), with_it if with_it >= RESTART_IKE or whole in self.gone else NONE)

    def observed(self):
        """{object: grade} of all that were there before or are now."""
        old, new = objects(self.old, self.new), objects(self.new, self.old)
        of = {}
        for name in {**old, **new}:
            said = NONE if name not in old or old[name] == new.get(name) else LIVE
            kind, _, rest = name.partition(".")
            connection, _, child = rest.partition(".children.")
            if said == LIVE and name in new and not self.in_force(kind, edits.whose(name).partition(".")[2]):
                said = NONE
            if kind == "connections" and child:
                said = self.of_child(connection, child, said)
            elif kind == "connections" and rest:
                said = self.of_connection(connection, said)
            of[name] = said
        return of

    def in_force(self, kind, name):
        """The daemon says of an object what was written of it; a secret it does not show."""
        written, shown = self.new[kind], self.shown[kind]
        if kind == "gateway":
            return written.items() <= shown.items()
        if not name:
            return list(written) == list(shown)
        return kind == "secrets" or written[name] == shown[name] and list(written[name].get("children", ())) == list(shown[name].get("children", ()))

    def of_connection(self, name, said):
        """By its IKE SA and its device."""
        was, now = self.was.ike(name), self.now.ike(name)
        if not was:
            return said
        connection = self.new["connections"].get(name)
        if connection and self.goes_home(name):
            return said
        if connection is None or not now or not self.now.is_up(name, connection) or self.other_device(name) or self.cut_off(name):
            return INTERRUPTS
        anew = was != now or any(self.told[event, name, None] for event in ("ike.up", "ike.down", "ike.rekeyed"))
        return RESTART_IKE if anew else said

    def goes_home(self, name):
        """It was to begin anew at its first address, and has: what an earlier edit of its addresses has predicted."""
        now = self.new["connections"].get(name)
        if now is None or self.steps.get(f"connections.{name}", NONE) >= RESTART_IKE:
            return False
        return self.was.is_away(name, self.old["connections"][name]) and not self.now.is_away(name, now) and self.now.is_up(name, now)

    def cut_off(self, name):
        """Packets were lost in all of its children that are what they were."""
        old, new = self.old["connections"][name]["children"], self.new["connections"][name]["children"]
        lost = [lost for (of, child), (lost, _) in self.passed.items() if of == name and old[child] == new.get(child)]
        return bool(lost) and min(lost) > 0 and self.was.ike(name) == self.now.ike(name)

    def other_device(self, name):
        """Its packets have another device than before."""
        index = lambda seen, document: seen.devices.get(document["connections"][name].get("interface", {}).get("name"))
        return index(self.was, self.old) != index(self.now, self.new)

    def of_child(self, name, child, said):
        """By its SAs and its packets."""
        before = self.old["connections"].get(name, {}).get("children", {})
        after = self.new["connections"].get(name, {}).get("children", {})
        was, now = self.was.sas(name, child, before), self.now.sas(name, child, after)
        if not was:
            return said
        if child not in after or not carries(after[child]) or not self.now.child_is_up(name, child, after[child], after):
            return INTERRUPTS
        renamed = hosts(before[child]) != hosts(after[child])
        lost, pause = self.passed.get((name, child), (0, 0))
        if pause > PAUSE and not renamed:
            return INTERRUPTS
        made = {c["name"] for c in [*self.was.made_of(name, child, before), *self.now.made_of(name, child, after)]}
        if was == now and not any(self.told[event, name, one] for event in ("child.up", "child.down") for one in made):
            return INTERRUPTS if lost and self.was.ike(name) == self.now.ike(name) and not self.other_device(name) else said
        if (self.is_due(name, child) or self.goes_home(name)) and not lost:
            return said
        changed = sum(self.was.sas(name, c, before) != self.now.sas(name, c, after) for c in after)
        by_rekey = self.rekeyed[name] >= changed and self.was.ike(name) == self.now.ike(name)
        return REKEY_CHILD if by_rekey and not lost and not renamed else RESTART_CHILD

    def is_due(self, name, child):
        """It was about to be rekeyed, and was."""
        return self.was.is_due(name, child, self.old["connections"].get(name, {}).get("children", {})) and self.rekeyed[name] > 0

    def judged(self):
        """Each edit with both grades; objects of which more was seen than predicted; SAs that are gone and were not named."""
        observed = self.observed()
        of_edits = [(edit, self.predicted(edit.object), observed[edit.object]) for edit in self.edits]
        above = [(name, self.predicted(name), grade) for name, grade in observed.items() if grade > self.predicted(name)]
        unlisted = []
        for name, connection in self.old["connections"].items():
            if self.goes_home(name):
                continue
            gone = {spi for spi, _ in self.was.ike(name) - self.now.ike(name)}
            after = self.new["connections"].get(name, {}).get("children", {})
            for child in connection["children"]:
                if not self.is_due(name, child):
                    gone |= {spi for spi, _ in self.was.sas(name, child, connection["children"]) - self.now.sas(name, child, after)}
            unlisted += [f"{name} {spi}" for spi in gone - self.listed]
        return of_edits, above, unlisted


# --- the run ---

class Run:
    """A gateway that is edited, a peer that takes everything, and traffic through every child."""

    def __init__(self, lab, seed, without, tunnels=TUNNELS):
        self.lab, self.edits = lab, edits.Edits(seed, list(LOCAL), list(REMOTE), tunnels, without)
        lab.left.address(lab.left_dev, f"{LOCAL[1]}/24")
        lab.right.address(lab.right_dev, f"{REMOTE[1]}/24")
        for host, inside in zip((lab.left, lab.right), INNER[4]):
            host.ip("addr", "del", f"{inside}/32", "dev", "lo")
        self.document, self.addressed, self.pairs = self.edits.document, set(), {}
        self.address(self.document)
        self.daemon = sandhog.Sandhog(lab.left, edits.toml(self.document))
        self.events = Watch(self.daemon)
        self.traffic = Steady(lab.left, interval=0.02)
        self.route(self.document)
        self.settle()
        if no_way := self.pass_through(self.document):
            raise RuntimeError(f"no way through {no_way} from the beginning")

    def address(self, document):
        """Hosts of all children, under both of their names; strongSwan's end has one in each network that it may be asked for."""
        batch = {"left": [], "right": []}
        for connection in document["connections"].values():
            for child in connection["children"].values():
                (net, _), (other, _) = reach(child["local_ts"][0]), reach(child["remote_ts"][0])
                ours, theirs = (net.rsplit(".", 1)[0] for net in (net, other))
                for side, host in (("left", f"{ours}.1"), ("left", f"100.{ours.split('.', 1)[1]}.1"), *(("right", f"{theirs}.{n}") for n in (1, 65, 129))):
                    if host not in self.addressed:
                        self.addressed.add(host)
                        batch[side].append(f"addr add {host}/32 dev lo")
        for side, lines in batch.items():
            ns = getattr(self.lab, side).ns
            subprocess.run(["ip", "-n", ns, "-batch", "-"], input="\n".join(lines), text=True, check=True)

    def route(self, document):
        """What the operator of a device of its own does."""
        for connection in document["connections"].values():
            if name := connection.get("interface", {}).get("name"):
                for child in connection["children"].values():
                    net = hosts(child)[1].rsplit(".", 1)[0] + ".0/24"
                    self.lab.left.ip("route", "replace", net, "dev", name)

    def settle(self):
        """Waits until all is up and nothing happens any more; what is there then."""
        end = time.monotonic() + PATIENCE
        while True:
            self.events.quiet(QUIET, end)
            mark = self.events.mark()
            now = Seen(self.daemon)
            if time.monotonic() > end or now.is_settled(self.document) and self.events.mark() == mark:
                return now

    def pass_through(self, document):
        """Packets go through every child that is up, and none is lost any more."""
        self.pairs = {(name, child): hosts(keys) for name, c in document["connections"].items() for child, keys in c["children"].items() if carries(keys)}
        self.traffic.ask(list(self.pairs.values()))
        stuck = lambda: [name for name, pair in self.pairs.items() if pair in seen and (seen[pair][1] or not seen[pair][0])]
        end = time.monotonic() + 10
        self.events.quiet(0.1, time.monotonic() + 0.1)
        while seen := self.traffic.seen():
            if not stuck() or time.monotonic() > end:
                break
            self.events.quiet(0.05, time.monotonic() + 0.05)
        no_way = stuck()
        for name in no_way:
            del self.pairs[name]
        return no_way

    def round(self, many):
        """Plans, applies, and waits."""
        was, before, counted = Seen(self.daemon), self.document, rekeys(self.daemon)
        made = self.edits.batch(many)
        self.document = made[-1].document
        self.address(self.document)
        self.daemon.write(edits.toml(self.document))
        status, body = self.daemon.send("POST", "config/plan")
        plan = json.loads(body)
        if status != 200:
            raise RuntimeError(f"plan of {made}: {plan}")
        this = Round(made, before, plan)
        self.traffic.seen()
        mark = self.events.mark()
        status, body = self.daemon.send("POST", f"config/apply?plan={plan['plan']}")
        if status != 200:
            raise RuntimeError(f"apply of {made}: {body.decode()}")
        now = self.settle()
        seen = self.traffic.seen()
        passed = {name: seen[pair][1:] for name, pair in self.pairs.items() if pair in seen}
        this.watch(was, now, self.daemon.send_json("GET", "config"), self.events.since(mark), rekeys(self.daemon) - counted, passed)
        self.route(self.document)
        return this, self.pass_through(self.document)


def honest(seed, count, peer, without=()):
    """So many edits, but none of some keys; `peer` starts the other end."""
    with Pair("pln") as lab:
        peer(lab)
        run = Run(lab, seed, without)
        table, misses, above, unlisted, stuck, done, begin = collections.Counter(), [], [], [], [], 0, time.monotonic()
        while done < count:
            this, no_way = run.round(min(AT_ONCE, count - done))
            of_edits, more, not_named = this.judged()
            for edit, predicted, observed in of_edits:
                table[predicted, observed] += 1
                if predicted != observed:
                    misses.append(f"{done}: {edit}: {GRADES[predicted]} predicted, {GRADES[observed]} observed")
            above += [f"{done}: {name}: {GRADES[p]} predicted, {GRADES[o]} observed; edits {this.edits}" for name, p, o in more]
            unlisted += [f"{done}: {what}" for what in not_named]
            stuck += [f"{done}: {name}; edits {this.edits}" for name in no_way]
            done += len(of_edits)
        show(table)
        for title, lines in (("not as predicted", misses), ("MORE than predicted", above), ("SAs that no plan named", unlisted), ("no way through", stuck)):
            print("".join(f"\n    {title}: {line}" for line in lines), end="")
        equal = sum(n for (p, o), n in table.items() if p == o)
        return check(not above and not unlisted and not stuck and equal >= 0.95 * count,
                     f"{count} edits: {equal} as predicted, {len(above)} objects with more than predicted, {len(unlisted)} SAs gone that no plan named, "
                     f"{len(stuck)} without a way; seed {seed}, {time.monotonic() - begin:.0f} s")


def show(table):
    """Predicted by observed."""
    print("\n    " + "predicted".ljust(20) + "".join(name.rjust(20) for name in GRADES))
    for p, name in enumerate(GRADES):
        print("    " + name.ljust(20) + "".join(str(table[p, o] or ".").rjust(20) for o in range(len(GRADES))))


def ours(lab):
    """A Sandhog at the other end."""
    sandhog.Sandhog(lab.right, edits.toml(edits.right(list(REMOTE))))


def theirs(lab):
    """strongSwan at the other end, with what `edits.right` says."""
    document = edits.right(list(REMOTE))
    keys, secrets = document["connections"]["any"], document["secrets"]
    children = "".join(f"""
      {name} {{
        local_ts = {child["local_ts"][0]}
        remote_ts = {child["remote_ts"][0]}
        esp_proposals = {",".join(child["esp_proposals"])}
        rekey_time = {child["rekey_time"]}
      }}""" for name, child in keys["children"].items())
    peer = strongswan.StrongSwan(lab.right)
    # Of two children for one network the route goes with the first that does.
    lab.right.ip("route", "add", "10.0.0.0/12", "dev", "ipsec0")
    peer.load(f"""
connections {{
  any {{
    version = 2
    local_addrs = {",".join(keys["local_addrs"])}
    remote_addrs = %any
    proposals = {",".join(keys["proposals"])}
    encap = yes
    mobike = yes
    unique = never
    rekey_time = {keys["rekey_time"]}
    dpd_delay = {keys["dpd_delay"]}
    ppk_id = {keys["ppk"]["id"]}
    ppk_required = no
    local {{ auth = psk
      id = {keys["local"]["id"]} }}
    remote {{ auth = psk
      id = %any }}
    children {{ {children}
    }}
  }}
}}
secrets {{
  ike-all {{ secret = "{secrets["all"]["secret"]}" }}
  ppk-one {{ id = ppk.example
    secret = "{secrets["ppk"]["secret"]}" }}
}}
""")


# Of a peer's children with one child of ours, the youngest carries all.
case(ROW, "1,000 random edits, ourselves")(lambda: honest(6, 1000, ours, ["child.ts_mode"]))
case(ROW, "100 random edits, strongSwan")(lambda: honest(7, 100, theirs))
