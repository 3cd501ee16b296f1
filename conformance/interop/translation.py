"""Two sites that both have 10.0.0.0/24: we translate, strongSwan 5.9.8 knows nothing of it. Behind each gateway a host, and another one behind a router with a link of 1000 octets between."""
import json
import os
import re
import statistics
import subprocess
import sys

from interop.ourselves import must_come_up
from lab import sandhog, strongswan, traffic
from lab.cases import case, check
from lab.net import Lab
from lab.pair import OUTER, PSK, Pair
from perf import compare

ROW = "translation"
IKE, ESP = "aes256gcm16-prfsha384-ecp384", "aes256gcm16"
HERE = os.path.dirname(os.path.abspath(__file__))
SESSION = os.path.join(HERE, "session.py")
STREAM = os.path.join(os.path.dirname(HERE), "perf", "stream.py")
# what both sites call themselves, what we are on the wire, what the other side is called here
SAME, WIRE, THERE = "10.0.0.", "198.18.1.", "172.31.2."
TRANSLATE = f'translate = {{ local = "{SAME}0/24", remote = "{THERE}0/24" }}'
NARROW = 1000


class Sites(Lab):
    """A gateway at each end of the wire. At each: a host (.3 on the left, .5 on the right), and .130 behind two routers, with a narrow link between them."""

    def __init__(self):
        super().__init__("tr")
        self.left, self.right = self.host("l"), self.host("r")
        outer = self.wire(self.left, self.right)
        self.near, self.far = {}, {}
        for gateway, dev, address, own in ((self.left, outer[0], OUTER[4][0], 3), (self.right, outer[1], OUTER[4][1], 5)):
            gateway.address(dev, f"{address}/24")
            self.site(gateway, own)

    def site(self, gateway, own):
        """The network behind one gateway."""
        name = gateway.name
        near, one, two, far = (self.host(f"{name}{what}") for what in "nabf")
        self.near[name], self.far[name] = near, far
        hops = [(gateway, 1, near, own, 26, 1500), (gateway, 65, one, 66, 27, 1500), (one, 97, two, 98, 30, NARROW), (two, 129, far, 130, 26, 1500)]
        for a, here, b, there, length, mtu in hops:
            x, y = self.wire(a, b, mtu)
            a.address(x, f"{SAME}{here}/{length}")
            b.address(y, f"{SAME}{there}/{length}")
        for router in (gateway, one, two):
            router.sysctl("net.ipv4.ip_forward", 1)
            # a router must not be silent in the seconds in which all of this is asked
            router.sysctl("net.ipv4.icmp_ratelimit", 0)
        gateway.ip("route", "add", f"{SAME}128/26", "via", f"{SAME}66")
        gateway.ip("route", "add", f"{SAME}96/30", "via", f"{SAME}66")
        one.ip("route", "add", f"{SAME}128/26", "via", f"{SAME}98")
        for host, via in ((near, 1), (one, 65), (two, 97), (far, 129)):
            host.ip("route", "add", "default", "via", f"{SAME}{via}")

    def tunnel(self, role):
        """strongSwan on the right; `role` is ours."""
        peer = strongswan.StrongSwan(self.right)
        peer.load(strongswan.connection("lab", *reversed(OUTER[4]), IKE, ESP, f"{SAME}0/24", f"{WIRE}0/24", PSK))
        us = sandhog.Sandhog(self.left, sandhog.config(*OUTER[4], IKE, ESP, f"{WIRE}0/24", f"{SAME}0/24", PSK, encap="always", child_extra=TRANSLATE))
        up, why = us.up("peer") if role == "initiator" else peer.initiate("net")
        if not up:
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-1500:]}")
        return us


def talk(host, *argv):
    """Runs a script inside a host; what it printed."""
    done = subprocess.run(["ip", "netns", "exec", host.ns, sys.executable, *map(str, argv)], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr.strip()[-200:]


def echoes(client, server, source, target, at, sizes):
    """The sizes of UDP datagrams whose echo is not equal."""
    process = subprocess.Popen(["ip", "netns", "exec", server.ns, sys.executable, SESSION, "udp-serve", at], stdout=subprocess.PIPE, text=True)
    try:
        process.stdout.readline()
        return [size for size in sizes if talk(client, SESSION, "udp-once", target, source, size) != "equal"]
    finally:
        process.kill()
        process.wait()


def route_mtu(host, target):
    """What the host knows of the path to there."""
    found = re.search(r"mtu (\d+)", host.ip("route", "get", target))
    return int(found.group(1)) if found else None


def refused(host, source, target):
    """The MTU that a ping of 1300 octets with DF is told of."""
    out = subprocess.run(["ip", "netns", "exec", host.ns, "ping", "-n", "-M", "do", "-c", "1", "-W", "2", "-s", "1272", "-I", source, target], capture_output=True, text=True, timeout=30)
    found = re.search(r"From (\S+) .*mtu ?= ?(\d+)", out.stdout + out.stderr)
    return found.groups() if found else (out.stdout + out.stderr)[-200:]


def each_way(lab):
    """Client, server, the client's address, what it calls the server, and what the server calls itself: (host to host), (host to what is far behind)."""
    near, far = lab.near, lab.far
    return (
        (near["l"], near["r"], f"{SAME}3", f"{THERE}5", f"{SAME}5"), (near["r"], near["l"], f"{SAME}5", f"{WIRE}3", f"{SAME}3"),
        (near["l"], far["r"], f"{SAME}3", f"{THERE}130", f"{SAME}130"), (near["r"], far["l"], f"{SAME}5", f"{WIRE}130", f"{SAME}130"),
    )


def same_prefix(role, megabytes):
    """TCP, UDP, pings, traceroute and path MTU discovery, from both sides."""
    with Sites() as lab:
        us = lab.tunnel(role)
        ways = each_way(lab)
        wrong, rates = [], []
        for client, server, source, target, at in ways:
            pings = traffic.ping(client, source, target, count=20)
            if pings != 20:
                wrong.append(f"{pings}/20 pings to {target}")
        for client, server, source, target, at in ways[:2]:
            lost = echoes(client, server, source, target, at, (1, 1200, 4000))
            if lost:
                wrong.append(f"UDP of {lost} octets to {target}")
        traces = [json.loads(talk(client, SESSION, "trace", source, target, 5)) for client, _, source, target, _ in ways[2:]]
        # our own router first, then the other gateway, two routers, and who was asked
        expected = [[f"{SAME}1", f"{THERE}1", f"{THERE}66", f"{THERE}98", f"{THERE}130"], [f"{SAME}1", f"{WIRE}1", f"{WIRE}66", f"{WIRE}98", f"{WIRE}130"]]
        # a gateway may call itself by either of its addresses
        traces = [[hop.replace("2.65", "2.1").replace("1.65", "1.1") if hop else hop for hop in found] for found in traces]
        if traces != expected:
            wrong.append(f"traceroute {traces}")
        for (client, _, source, target, _), router in zip(ways[2:], (f"{THERE}66", f"{WIRE}66")):
            told = refused(client, source, target)
            if told != (router, str(NARROW)) or route_mtu(client, target) != NARROW:
                wrong.append(f"of 1300 octets to {target}: {told}, {route_mtu(client, target)}")
            client.ip("route", "flush", "cache")
        for i, (client, server, source, target, at) in enumerate(ways):
            size = megabytes if i == 0 else 10
            same, rate = transfer(client, server, source, target, at, size, 5001 + i)
            rates.append(rate)
            if not same:
                wrong.append(f"TCP to {target}")
        if route_mtu(ways[2][0], ways[2][3]) != NARROW:
            wrong.append("TCP over the narrow link has found nothing")
        child = us.status("peer")["children"][0]
        told = (child["local_ts"], child["remote_ts"], child["translate"])
        if told != ([f"{WIRE}0/24"], [f"{SAME}0/24"], {"local": f"{SAME}0/24", "remote": f"{THERE}0/24"}):
            wrong.append(f"status {told}")
        drops = {name: count for name, count in child["drops"].items() if count and name not in ("dummy", "too_big")}
        return check(not wrong and not drops, f"{'; '.join(wrong) or 'pings, UDP, traceroute, path MTU and TCP both ways'}, {megabytes} MB at {rates[0]} Mbit/s, drops {drops}")


def transfer(client, server, source, target, at, megabytes, port):
    """As `traffic.tcp`, where the server has another name for itself than the client for it."""
    def start(host, *argv):
        return subprocess.Popen(["ip", "netns", "exec", host.ns, sys.executable, traffic.HERE, *map(str, argv)], stdout=subprocess.PIPE, text=True)
    receiver = start(server, "receive", at, port)
    receiver.stdout.readline()
    sender = start(client, "send", source, target, port, megabytes)
    try:
        sent, got = (json.loads(process.communicate(timeout=240)[0] or "{}") for process in (sender, receiver))
    except (subprocess.TimeoutExpired, ValueError):
        return False, 0.0
    finally:
        for process in (sender, receiver):
            if process.poll() is None:
                process.kill()
            process.wait()
    same = bool(sent) and sent["sha256"] == got.get("sha256") and got.get("bytes") == megabytes * 1_000_000
    return same, round(8e-6 * sent.get("bytes", 0) / max(sent.get("seconds", 1), 1e-9), 1)


case(ROW, "two sites with one prefix, strongSwan, initiator, 200 MB", quick=True)(lambda: same_prefix("initiator", 200))
case(ROW, "two sites with one prefix, strongSwan, responder")(lambda: same_prefix("responder", 200))


def ourselves(lab, family, children, translate):
    """Daemons of ours at both ends, of which only the left one translates, in the child `named`. `children` as the wire has them."""
    mirrored = {name: (theirs, ours) for name, (ours, theirs) in children.items()}
    head = "[connections.peer.children.named]\n"
    left = sandhog.config(*OUTER[family], IKE, ESP, None, None, PSK, children=children).replace(head, f"{head}{translate}\n")
    b = sandhog.Sandhog(lab.right, sandhog.config(*reversed(OUTER[family]), IKE, ESP, None, None, PSK, children=mirrored))
    a = sandhog.Sandhog(lab.left, left)
    must_come_up(a, b)
    return a, b


@case(ROW, "IPv6 between two of ours", quick=True)
def ipv6():
    """Both are fd00:10::/64. ICMPv6, TCP and UDP count the addresses in, and UDP of 4,000 octets comes in fragments."""
    with Pair("tr6") as lab:
        lab.left.address("lo", "fd00:10::3/128")
        lab.right.address("lo", "fd00:10::5/128")
        a, _ = ourselves(lab, 6, {"named": ("fd00:198::/64", "fd00:10::/64")}, 'translate = { local = "fd00:10::/64", remote = "fd00:172::/64" }')
        source, target, at = "fd00:10::3", "fd00:172::5", "fd00:10::5"
        pings = traffic.ping(lab.left, source, target)
        back = traffic.ping(lab.right, at, "fd00:198::3", count=20)
        same, rate = transfer(lab.left, lab.right, source, target, at, 50, 5001)
        lost = echoes(lab.left, lab.right, source, target, at, (1, 1200, 4000))
        drops = {name: count for name, count in a.status("peer")["children"][0]["drops"].items() if count and name != "dummy"}
        return check(pings == 100 and back == 20 and same and not lost and not drops, f"{pings}/100 pings, {back}/20 back, {'equal' if same else 'DIFFERENT'}, {rate} Mbit/s, UDP lost {lost}, drops {drops}")


def rate(lab, ends, seconds):
    """Mbit/s of one flow."""
    source, target, at = ends
    sink = subprocess.Popen(["ip", "netns", "exec", lab.right.ns, sys.executable, STREAM, "sink", at], stdout=subprocess.PIPE, text=True)
    try:
        sink.stdout.readline()
        talk(lab.left, STREAM, "source", source, target, seconds)
        return json.loads(sink.communicate(timeout=30)[0])["mbit"]
    finally:
        if sink.poll() is None:
            sink.kill()
        sink.wait()


@case(ROW, "speed against the same tunnel without it, 9 rounds of 2 s")
def speed():
    """Two children of one tunnel between two of ours, one after the other in turn, which of them first in turn, too: the median of the ratios."""
    plain, named = ("10.1.0.1", "10.2.0.1", "10.2.0.1"), (f"{SAME}3", f"{THERE}5", f"{SAME}5")
    with compare.no_capture(), Pair("trs") as lab:
        lab.left.address("lo", f"{SAME}3/32")
        lab.right.address("lo", f"{SAME}5/32")
        a, _ = ourselves(lab, 4, {"plain": (f"{plain[0]}/32", f"{plain[1]}/32"), "named": (f"{WIRE}0/24", f"{SAME}0/24")}, TRANSLATE)
        ratios = []
        for n in range(10):
            pair = (plain, named) if n % 2 else (named, plain)
            got = {ends: rate(lab, ends, 2) for ends in pair}
            ratios.append((got[named] / got[plain], got[named], got[plain]))
        ratios = ratios[1:]  # the first warms up
        middle, with_it, without = (statistics.median(r[i] for r in ratios) for i in range(3))
        drops = [{k: v for k, v in child["drops"].items() if v and k != "dummy"} for child in a.status("peer")["children"]]
        return check(middle >= 0.95, f"{100 * middle:.1f} % ({with_it:.0f} of {without:.0f} Mbit/s; {100 * min(ratios)[0]:.0f} to {100 * max(ratios)[0]:.0f} %), drops {drops}")
