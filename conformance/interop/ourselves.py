"""Sandhog at both ends: raw and UDP, NATs, everything selected, many selectors, odd sizes, forged inner sources, a hostile wire."""
import os
import subprocess
import sys
import time

from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.net import Lab
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "ourselves"
IKE, ESP = "aes256gcm16-prfsha384-x25519", "aes256gcm16"
HERE = os.path.dirname(os.path.abspath(__file__))


def both(lab, left, right, left_inner, right_inner, ike=IKE, esp=ESP, encap="auto", left_remote=None, right_remote=None, start="none",
         left_id="left.example", right_id="right.example", children=None, **extra):
    """Daemons on both hosts; the left one has not been told to come up yet."""
    mirrored = {k: (r, l) for k, (l, r) in children.items()} if children else None
    b = sandhog.Sandhog(lab.hosts["r"], sandhog.config(right, right_remote or left, ike, esp, right_inner, left_inner, PSK, right_id, left_id,
                                                      encap=encap, children=mirrored, **extra))
    a = sandhog.Sandhog(lab.hosts["l"], sandhog.config(left, left_remote or right, ike, esp, left_inner, right_inner, PSK, left_id, right_id,
                                                      encap=encap, children=children, start=start, **extra))
    return a, b


def must_come_up(a, b):
    """Or the logs of both."""
    up, why = a.up("peer")
    if not up:
        raise RuntimeError(f"not up: {why}\nleft: {a.process.text()[-1500:]}\nright: {b.process.text()[-1500:]}")


def plain(encap, outer, inner, megabytes):
    """Ping and TCP over one pair."""
    with Pair("us") as lab:
        a, b = both(lab, *OUTER[outer], *(prefix(x) for x in INNER[inner]), encap=encap)
        must_come_up(a, b)
        pings = traffic.ping(lab.left, *INNER[inner])
        same, rate = traffic.tcp(lab.left, lab.right, *INNER[inner], megabytes)
        used = a.status("peer")["children"][0]["encap"]
        return check(pings == 100 and same and used == (encap == "always"), f"{pings}/100 pings, {'equal' if same else 'DIFFERENT'}, {rate} Mbit/s, encap {used}")


for _outer in (4, 6):
    for _inner in (4, 6):
        for _encap in ("auto", "always"):
            case(ROW, f"{'raw' if _encap == 'auto' else 'udp'} {_inner}in{_outer}", quick=_inner == _outer)(
                lambda e=_encap, o=_outer, i=_inner: plain(e, o, i, 50))


class NatLab(Lab):
    """l - nl - r, or l - nl - nr - r: NAT boxes between; the public addresses are .1 and .2 of 192.0.2.0/24."""

    def __init__(self, both_sides, ours=True):
        super().__init__("nat", ours)
        l, nl = self.host("l"), self.host("nl")
        inner, outer = self.wire(l, nl)
        l.address(inner, "10.99.1.2/24")
        nl.address(outer, "10.99.1.1/24")
        l.ip("route", "add", "default", "via", "10.99.1.1")
        self.left_addr = "10.99.1.2"
        r = self.host("r")
        if both_sides:
            nr = self.host("nr")
            left_out, right_out = self.wire(nl, nr)
            nr.address(right_out, "192.0.2.2/24")
            inside, outside = self.wire(nr, r)
            nr.address(inside, "10.99.2.1/24")
            r.address(outside, "10.99.2.2/24")
            r.ip("route", "add", "default", "via", "10.99.2.1")
            nr.nat(inside, right_out)
            nr.run("nft", "-f", "-", input=f"""table ip inward {{
  chain pre {{
    type nat hook prerouting priority dstnat;
    iifname "{right_out}" udp dport {{ 500, 4500 }} dnat to 10.99.2.2;
  }}
}}
""")
            self.right_addr = "10.99.2.2"
        else:
            left_out, right_out = self.wire(nl, r)
            r.address(right_out, "192.0.2.2/24")
            self.right_addr = "192.0.2.2"
        nl.address(left_out, "192.0.2.1/24")
        nl.nat(outer, left_out)
        self.nl, self.outside = nl, left_out
        l.address("lo", "10.1.0.1/32")
        r.address("lo", "10.2.0.1/32")

    def daemons(self, **extra):
        """The right one answers anybody who knows the secret."""
        return both(self, self.left_addr, self.right_addr, "10.1.0.1/32", "10.2.0.1/32", left_remote="192.0.2.2", right_remote="%any", **extra)


def nat(both_sides, idle=0):
    """A tunnel through NATs; after `idle` seconds the far side speaks first."""
    with NatLab(both_sides) as lab:
        if idle:
            lab.nl.sysctl("net.netfilter.nf_conntrack_udp_timeout", 30)
            lab.nl.sysctl("net.netfilter.nf_conntrack_udp_timeout_stream", 30)
        a, b = lab.daemons()
        must_come_up(a, b)
        first = traffic.ping(lab.hosts["l"], "10.1.0.1", "10.2.0.1")
        if idle:
            time.sleep(idle)
        back = traffic.ping(lab.hosts["r"], "10.2.0.1", "10.1.0.1")
        kind = a.status("peer")["ike"]["nat"]
        return check(first == back == 100 and kind != "none", f"{first}/100 there, {back}/100 back{f' after {idle} s idle' if idle else ''}, nat {kind}")


case(ROW, "one side behind NAT", quick=True)(lambda: nat(False))
case(ROW, "both sides behind NAT", quick=True)(lambda: nat(True))
case(ROW, "NAT mapping kept alive, 5 minutes idle")(lambda: nat(False, 300))


@case(ROW, "0.0.0.0/0 with SSH to the gateway alive", quick=True)
def everything():
    """The operator sits behind the outer network, at an address of her own; her session must live on while all else goes through the tunnel."""
    with Pair("any") as lab:
        operator = lab.host("op")
        lab_dev, op_dev = lab.wire(lab.left, operator)
        lab.left.address(lab_dev, "198.51.100.1/24")
        operator.address(op_dev, "198.51.100.9/24")
        session = subprocess.Popen(["ip", "netns", "exec", lab.left.ns, sys.executable, f"{HERE}/session.py", "serve", "198.51.100.1"], stdout=subprocess.PIPE, text=True)
        session.stdout.readline()
        client = subprocess.Popen(["ip", "netns", "exec", operator.ns, sys.executable, f"{HERE}/session.py", "talk", "198.51.100.1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            before = client.stdout.readline().strip()
            lab.right.address("lo", "203.0.113.80/32")
            a, b = both(lab, *OUTER[4], "10.1.0.1/32", "0.0.0.0/0")
            must_come_up(a, b)
            pings = traffic.ping(lab.left, "10.1.0.1", "10.2.0.1")
            beyond = traffic.ping(lab.left, "10.1.0.1", "203.0.113.80", count=10)
            client.stdin.write("more\n")
            client.stdin.flush()
            after = client.stdout.readline().strip()
            fresh = subprocess.run(["ip", "netns", "exec", operator.ns, sys.executable, f"{HERE}/session.py", "once", "198.51.100.1"], capture_output=True, text=True, timeout=20).stdout.strip()
        finally:
            for p in (client, session):
                p.kill()
                p.wait()
        return check(pings == 100 and beyond == 10 and before == after == fresh == "echo", f"{pings}/100 and {beyond}/10 pings through, session {before}/{after}, new one {fresh}")


@case(ROW, "0.0.0.0/0 on both sides, with SSH alive")
def everything_both():
    """local_ts is any, too: the rule that takes all but our own packets."""
    with Pair("anyany") as lab:
        operator = lab.host("op")
        lab_dev, op_dev = lab.wire(lab.left, operator)
        lab.left.address(lab_dev, "198.51.100.1/24")
        operator.address(op_dev, "198.51.100.9/24")
        server = subprocess.Popen(["ip", "netns", "exec", lab.left.ns, sys.executable, f"{HERE}/session.py", "serve", "198.51.100.1"], stdout=subprocess.PIPE, text=True)
        server.stdout.readline()
        try:
            a, b = both(lab, *OUTER[4], "0.0.0.0/0", "0.0.0.0/0")
            must_come_up(a, b)
            fresh = subprocess.run(["ip", "netns", "exec", operator.ns, sys.executable, f"{HERE}/session.py", "once", "198.51.100.1"], capture_output=True, text=True, timeout=20).stdout.strip()
            pings = traffic.ping(lab.left, "10.1.0.1", "10.2.0.1")
        finally:
            server.kill()
            server.wait()
        return check(fresh == "echo" and pings == 100, f"new session {fresh or 'dead'}, {pings}/100 pings")


@case(ROW, "20 selectors", quick=True)
def selectors():
    """All in one child."""
    with Pair("sel") as lab:
        left, right = [f"10.1.{i}.0/24" for i in range(20)], [f"10.2.{i}.0/24" for i in range(20)]
        for i in range(1, 20):
            lab.left.address("lo", f"10.1.{i}.1/32")
            lab.right.address("lo", f"10.2.{i}.1/32")
        a, b = both(lab, *OUTER[4], left, right, children={"net": (left, right)})
        must_come_up(a, b)
        answers = [traffic.ping(lab.left, f"10.1.{i}.1", f"10.2.{19 - i}.1", count=5) for i in range(20)]
        children = a.status("peer")["children"]
        return check(answers == [5] * 20 and len(children) == 1 and len(children[0]["remote_ts"]) == 20, f"{sum(answers)}/100 pings over {len(children)} child")


@case(ROW, "UDP of 1 and 65,507 octets", quick=True)
def sizes():
    """Echoed and compared."""
    with Pair("siz") as lab:
        results = {}
        a, b = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]))
        must_come_up(a, b)
        for size in (0, 1, 2, 1400, 1409, 1410, 1411, 1472, 9000, 65_507):
            server = subprocess.Popen(["ip", "netns", "exec", lab.right.ns, sys.executable, f"{HERE}/session.py", "udp-serve", INNER[4][1]], stdout=subprocess.PIPE, text=True)
            server.stdout.readline()
            out = subprocess.run(["ip", "netns", "exec", lab.left.ns, sys.executable, f"{HERE}/session.py", "udp-once", INNER[4][1], INNER[4][0], str(size)], capture_output=True, text=True, timeout=30).stdout.strip()
            server.kill()
            server.wait()
            results[size] = out
        return check(all(r == "equal" for r in results.values()), results)


@case(ROW, "several children, up and down one by one", quick=True)
def several():
    """CREATE_CHILD_SA and Delete."""
    with Pair("kids") as lab:
        kids = {f"c{i}": (f"10.1.{i}.1/32", f"10.2.{i}.1/32") for i in range(1, 5)}
        for i in range(1, 5):
            lab.left.address("lo", f"10.1.{i}.1/32")
            lab.right.address("lo", f"10.2.{i}.1/32")
        a, b = both(lab, *OUTER[4], None, None, children=kids)
        must_come_up(a, b)
        all_up = [traffic.ping(lab.left, f"10.1.{i}.1", f"10.2.{i}.1", count=10) for i in range(1, 5)]
        code, _ = a.client("down", "peer/c2")
        states = {c["name"]: c["state"] for c in b.status("peer")["children"]}
        gone = traffic.ping(lab.left, "10.1.2.1", "10.2.2.1", count=2)
        again, _ = a.up("peer/c2")
        back = traffic.ping(lab.left, "10.1.2.1", "10.2.2.1", count=10)
        return check(all_up == [10] * 4 and code == 0 and gone == 0 and again and back == 10, f"{all_up}, after down: {states}, {gone}/2, again {back}/10")


def refused(name, change, want):
    """A wrong parameter: exit code 1, and the cause by name."""
    with Pair("ref") as lab:
        options = dict(ike=IKE, esp=ESP, psk=PSK, lid="left.example", rid="right.example", lts="10.1.0.1/32", rts="10.2.0.1/32")
        wrong = dict(options, **change)
        sandhog.Sandhog(lab.right, sandhog.config(OUTER[4][1], OUTER[4][0], options["ike"], options["esp"], options["rts"], options["lts"], options["psk"], options["rid"], options["lid"]))
        gateway = 'retransmit = { first = "200ms", factor = 1.5, max = "1s", tries = 4 }'
        a = sandhog.Sandhog(lab.left, sandhog.config(OUTER[4][0], wrong.get("remote", OUTER[4][1]), wrong["ike"], wrong["esp"], wrong["lts"], wrong["rts"], wrong["psk"], wrong["lid"], wrong["rid"], gateway=gateway))
        code, out = a.client("up", "peer", "--timeout", "15")
        failure = a.status("peer")["last_failure"] or {}
        return check(code == 1 and failure.get("code") in want, f"exit {code}, {failure.get('code')} ({failure.get('certainty')})")


for _name, _change, _want in (
    ("wrong PSK", {"psk": "another secret altogether 9"}, ("auth.failed", "auth.psk")),
    ("wrong own ID", {"lid": "stranger.example"}, ("auth.failed", "auth.id", "peer.unknown")),
    ("wrong peer ID", {"rid": "stranger.example"}, ("auth.failed", "auth.id")),
    ("no common IKE proposal", {"ike": "aes128-sha256-modp3072"}, ("proposal.ike",)),
    ("no common ESP proposal", {"esp": "aes128-sha1"}, ("proposal.esp",)),
    ("no common selectors", {"rts": "10.77.0.0/16"}, ("ts.mismatch",)),
    ("no answer", {"remote": "192.0.2.77"}, ("net.no_response",)),
):
    case("refusals have a name", _name, quick=True)(lambda n=_name, c=_change, w=_want: refused(n, c, w))


@case("a hostile wire", "20 real establishments: 20 % loss, reorder, duplicates, 200 ms each way")
def hostile():
    """Default timers; each up within 60 s."""
    times = []
    for seed in range(20):
        with Lab("host") as lab:
            l, m, r = lab.host("l"), lab.host("m"), lab.host("r")
            l_dev, ml = lab.wire(l, m)
            mr, r_dev = lab.wire(m, r)
            l.address(l_dev, "192.0.2.1/24")
            r.address(r_dev, "192.0.2.2/24")
            l.address("lo", "10.1.0.1/32")
            r.address("lo", "10.2.0.1/32")
            relay = m.start("relay", [sys.executable, os.path.join(os.path.dirname(HERE), "lab", "relay.py"), ml, mr, "--loss", "0.2", "--delay", "200", "--jitter", "150", "--duplicate", "0.1", "--seed", str(seed)])
            wait.until("the relay", lambda: "relaying" in relay.text())
            a, b = both(lab, "192.0.2.1", "192.0.2.2", "10.1.0.1/32", "10.2.0.1/32")
            begin = time.monotonic()
            up, why = a.up("peer", timeout=60)
            times.append(round(time.monotonic() - begin, 1) if up else 999)
    return check(max(times) <= 60, f"{sum(t <= 60 for t in times)}/20 within 60 s, slowest {max(times)} s, median {sorted(times)[10]} s")


