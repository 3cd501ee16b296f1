"""One of many tunnels is changed, added or removed by a reload, at both ends, under traffic: the others do not notice."""
import json
import os
import subprocess
import sys

from lab import sandhog, wait
from lab.cases import case, check
from lab.pair import OUTER, Pair

ROW = "one of 200"
STEADY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lab", "steady.py")


def inner(i):
    """Protected addresses of connection `i`: of the left end and of the right one."""
    return f"10.1.{i}.7", f"10.2.{i}.7"


def text(which, left, keys=None, children=None):
    """A configuration of these connections, as one end has it; `keys` and `children` give further keys of some."""
    ours, theirs = ("l", "r") if left else ("r", "l")
    local, remote = OUTER[4] if left else OUTER[4][::-1]
    parts = ["[gateway]\n"]
    for i in which:
        mine, other = inner(i) if left else inner(i)[::-1]
        parts.append(f"""
[connections.t{i}]
local_addrs = ["{local}"]
remote_addrs = ["{remote}"]
local = {{ auth = "psk", id = "{ours}{i}.example" }}
remote = {{ auth = "psk", id = "{theirs}{i}.example" }}
rehearse = "never"
{(keys or {}).get(i, "")}
[connections.t{i}.children.net]
local_ts = ["{mine}/32"]
remote_ts = ["{other}/32"]
start_action = "{'start' if left else 'none'}"
{(children or {}).get(i, "")}
[secrets.t{i}]
id = ["{theirs}{i}.example"]
secret = "correct horse battery staple {i:04}"
""")
    return "".join(parts)


def sas(end):
    """By connection: its state, and the SPIs of all of its SAs."""
    found = {}
    for c in end.api("GET", "connections")[1]["connections"]:
        ikes = sorted((sa["spi_i"], sa["spi_r"]) for sa in c["sas"])
        kids = sorted((k["state"], k.get("spi_in"), k.get("spi_out")) for k in c["children"])
        found[c["name"]] = (c["state"], ikes, kids)
    return found


def is_up(state):
    """The connection and its one child."""
    return state is not None and state[0] == "up" and len(state[1]) == 1 and [k[0] for k in state[2]] == ["up"]


class Traffic:
    """Pings through many tunnels until they are counted."""

    def __init__(self, host, pairs):
        argv = ["ip", "netns", "exec", host.ns, sys.executable, STEADY, "0.2", *(a for pair in pairs for a in pair)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def lost(self):
        """How many of each pair, and how many were sent in all."""
        out, _ = self.process.communicate("", timeout=60)
        sent, answered = json.loads(out)
        return [s - a for s, a in zip(sent, answered)], sum(sent)


def one_of(count):
    """Changes one, adds one and removes one, each at both ends; what became of the others."""
    changed, added, removed = 1, count, 2
    with Pair("chg") as lab:
        for i in range(count + 1):
            for host, address in zip((lab.left, lab.right), inner(i)):
                host.address("lo", f"{address}/32")
        which = list(range(count))
        ends = [sandhog.Sandhog(lab.right, text(which, False)), sandhog.Sandhog(lab.left, text(which, True))]
        wait.until("all tunnels", lambda: all(is_up(sas(e).get(f"t{i}")) for e in ends for i in which), 90)
        others = [i for i in which if i not in (changed, removed)]
        before = [sas(e) for e in ends]
        traffic = Traffic(lab.left, [inner(i) for i in others])
        seen = []

        def reload(which, want, **more):
            for end, left in zip(ends, (False, True)):
                end.write(text(which, left, **more))
                end.reload()
            wait.until("the change", want, 60)
            now = [sas(e) for e in ends]
            seen.append(sum(was[f"t{i}"] != is_[f"t{i}"] for was, is_ in zip(before, now) for i in others))

        of = lambda i: [sas(e).get(f"t{i}") for e in ends]
        strong = {changed: 'esp_proposals = ["aes128gcm16"]'}
        old = before[0][f"t{changed}"]
        reload(which, lambda: all(is_up(s) for s in of(changed)) and of(changed)[0][2] != old[2], children=strong)
        same_ike = of(changed)[0][1] == old[1]
        reload(which + [added], lambda: all(is_up(s) for s in of(added)), children=strong)
        reload([i for i in which if i != removed] + [added], lambda: of(removed) == [None, None], children=strong)
        lost, sent = traffic.lost()
        return check(not any(lost) and not any(seen) and same_ike,
                     f"{len(others)} others: {sum(lost)} of {sent} pings lost, {seen} SAs touched by a change, an addition and a removal; "
                     f"the changed one {'kept' if same_ike else 'LOST'} its IKE SA")


case(ROW, "20 tunnels, by reload", quick=True)(lambda: one_of(20))
case(ROW, "200 tunnels, by reload")(lambda: one_of(200))
