"""Route-based tunnels: A has one to B and one to C, behind which is the same network. BIRD says where packets go, BFD when to think again."""
import json
import subprocess
import sys
import time

from interop.ourselves import ESP, IKE
from lab import bird, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.net import Lab
from lab.pair import PSK

ROW = "routes"
# Behind A, and behind B and C
NEAR, FAR = {4: "10.1.0.2", 6: "fd00:1::2"}, {4: "10.2.0.2", 6: "fd00:2::2"}
ASN = {"a": 65001, "b": 65002, "c": 65003, "h": 65004}
# What a session with a dead neighbour costs at most
BACK = 3.0
RATE = 200


class Link:
    """The tunnel between A and `peer`: outer addresses, devices and the addresses on them, A's first."""

    def __init__(self, peer, n):
        self.peer, self.dev = peer, (f"sh-{peer}", "sh-a")
        self.outer = (f"192.0.2.{4 * n + 1}", f"192.0.2.{4 * n + 2}")
        self.inner = {4: (f"169.254.{10 + n}.1", f"169.254.{10 + n}.2"), 6: (f"fd00:ff:{n + 1}::1", f"fd00:ff:{n + 1}::2")}

    def connection(self, at):
        """The configuration of one end. What answers on a link has not begun it: the other end does."""
        ids = ("a.example", f"{self.peer}.example")
        return routed(ids[1 - at].split(".")[0], self.outer[at], self.outer[1 - at], ids[at], ids[1 - at], self.dev[at],
                      [f"{self.inner[4][at]}/30", f"{self.inner[6][at]}/126"], start="none" if at else "start")


LINKS = {"b": Link("b", 0), "c": Link("c", 1)}


def routed(name, local, remote, local_id, remote_id, device, addresses, netns=None, start="start", extra="", child_extra=""):
    """A connection with an interface of its own, and its secret."""
    inside = f', netns = "{netns}"' if netns else ""
    return f"""
[connections.{name}]
local_addrs = ["{local}"]
remote_addrs = ["{remote}"]
proposals = ["{IKE}"]
local = {{ auth = "psk", id = "{local_id}" }}
remote = {{ auth = "psk", id = "{remote_id}" }}
rehearse = "never"
dpd_delay = "2s"
interface = {{ name = "{device}", addresses = {json.dumps(addresses)}{inside} }}
{extra}
[connections.{name}.children.net]
local_ts = ["0.0.0.0/0", "::/0"]
remote_ts = ["0.0.0.0/0", "::/0"]
esp_proposals = ["{ESP}"]
start_action = "{start}"
dpd_action = "restart"
{child_extra}
[secrets.ike-{name}]
id = ["{remote_id}"]
secret = "{PSK}"
"""


GATEWAY = '[gateway]\nretransmit = { first = "300ms", factor = 1.5, max = "1s", tries = 4 }\n'


class Triangle(Lab):
    """ha - A = two tunnels = B and C - h: h stands for all of the network behind B and C, and knows by BGP which of them leads to A."""

    def __init__(self, name):
        super().__init__(name, ours=False)
        for host in ("ha", "a", "b", "c", "h"):
            self.host(host)
        self.dev = {}
        self._near()
        self._far()
        self.ours = True
        for peer, link in LINKS.items():
            mine, its = self.wire(self.hosts["a"], self.hosts[peer])
            self.hosts["a"].address(mine, f"{link.outer[0]}/30")
            self.hosts[peer].address(its, f"{link.outer[1]}/30")
            self.dev[peer] = its
        for name in "abc":
            self.hosts[name].sysctl("net.ipv4.ip_forward", 1)
            self.hosts[name].sysctl("net.ipv6.conf.all.forwarding", 1)

    def _near(self):
        ha, a = self.hosts["ha"], self.hosts["a"]
        its, self.near = self.wire(ha, a)
        ha.address(its, f"{NEAR[4]}/24", f"{NEAR[6]}/64")
        a.address(self.near, "10.1.0.1/24", "fd00:1::1/64")
        ha.ip("route", "add", "default", "via", "10.1.0.1")
        ha.ip("route", "add", "default", "via", "fd00:1::1")

    def _far(self):
        h = self.hosts["h"]
        h.ip("link", "add", "br0", "type", "bridge")
        h.ip("link", "set", "br0", "up")
        h.address("br0", f"{FAR[4]}/24", f"{FAR[6]}/64")
        self.far = {}
        for n, name in enumerate("bc", 11):
            port, its = self.wire(h, self.hosts[name])
            h.ip("link", "set", port, "master", "br0")
            self.hosts[name].address(its, f"10.2.0.{n}/24", f"fd00:2::{n}/64")
            self.far[name] = its

    def daemons(self, swan=""):
        """Sandhog at A, B and C, with both tunnels up; `swan` is a strongSwan instead."""
        self.hog = {peer: self._swan(link) if peer == swan else sandhog.Sandhog(self.hosts[peer], GATEWAY + link.connection(1)) for peer, link in LINKS.items()}
        self.hog["a"] = sandhog.Sandhog(self.hosts["a"], GATEWAY + "".join(link.connection(0) for link in LINKS.values()))
        for peer in LINKS:
            up, why = self.hog["a"].up(peer)
            if not up:
                raise RuntimeError(f"{peer} not up: {why}\na: {self.hog['a'].process.text()[-1500:]}\n{peer}: {self.hog[peer].process.text()[-1500:]}")

    def _swan(self, link):
        """Its kernel-libipsec has one TUN for all, which does for a route-based tunnel as long as there is no other. The route that it makes of the selectors is not asked."""
        host, inside = self.hosts[link.peer], "0.0.0.0/0, ::/0"
        swan = strongswan.StrongSwan(host, options="install_routes = no")
        swan.load(strongswan.connection("a", link.outer[1], link.outer[0], IKE, ESP, inside, inside, PSK, f"{link.peer}.example", "a.example"))
        for family in ("-4", "-6"):
            host.ip(family, "rule", "del", "pref", "220")
        host.address("ipsec0", f"{link.inner[4][1]}/30", f"{link.inner[6][1]}/126")
        return swan

    def birds(self, bfd=True, ecmp=False):
        """BIRD everywhere, with all sessions up. B is preferred to C unless both shall carry."""
        prefer = {"b": 100 if ecmp else 200, "c": 100}
        of = {"a": [], "h": []}
        self.bird = {}
        for n, (peer, link) in enumerate(LINKS.items(), 11):
            its = []
            for family, lan in ((4, (f"10.2.0.{n}", FAR[4])), (6, (f"fd00:2::{n}", FAR[6]))):
                def session(name, ends, asn, **more):
                    return bird.Neighbour(f"{name}{family}", *ends, ASN[asn], bfd=bfd, **more)
                of["a"].append(session(peer, link.inner[family], peer, prefer=prefer[peer]))
                of["h"].append(session(peer, lan[::-1], peer, prefer=prefer[peer], tell="none"))
                its += [session("a", link.inner[family][::-1], "a"), session("h", lan, "h", tell="heard")]
            self.bird[peer] = bird.Bird(self.hosts[peer], f"10.0.0.{n}", ASN[peer], its, net=self.far[peer])
        self.bird["a"] = bird.Bird(self.hosts["a"], "10.0.0.1", ASN["a"], of["a"], net=self.near, ecmp=ecmp)
        self.bird["h"] = bird.Bird(self.hosts["h"], "10.0.0.2", ASN["h"], of["h"], ecmp=ecmp)
        for name in self.bird:
            self.converged(name)

    def converged(self, *names, timeout=30):
        """All sessions of these are up."""
        for name in names:
            try:
                wait.until(f"BGP at {name}", self.bird[name].established, timeout)
            except TimeoutError as e:
                raise RuntimeError(f"{e}\n{self.bird[name].show('protocols')}{self.bird[name].show('bfd', 'sessions')}{self.bird[name].process.text()[-1000:]}") from None

    def over(self, family=4):
        """The device by which A sends to the far network."""
        route = json.loads(self.hosts["a"].ip("-j", f"-{family}", "route", "get", FAR[family], check=False) or "[]")
        return route[0]["dev"] if route else None

    def leads(self, dev, timeout=20):
        """Waits until both families go there and come back."""
        wait.until(f"routes by {dev}", lambda: self.over(4) == self.over(6) == dev, timeout)
        wait.until("answers", lambda: all(traffic.ping(self.hosts["ha"], NEAR[f], FAR[f], count=3) == 3 for f in (4, 6)), timeout)

    def pulses(self, flows=1):
        """Both families, both directions."""
        ha, h = self.hosts["ha"], self.hosts["h"]
        each = [(f, 5002 + n) for n in range(flows) for f in (4, 6)]
        return ([traffic.Pulse(ha, h, NEAR[f], FAR[f], rate=RATE, port=p) for f, p in each]
                + [traffic.Pulse(h, ha, FAR[f], NEAR[f], rate=RATE, port=p) for f, p in each])

    def kill(self, name):
        """kill -9 of gateway and router. The gateway first: what the kernel says for the dead BIRD shall reach nobody through the tunnel."""
        self.hog[name].kill()
        self.bird[name].kill()

    def revive(self, name):
        """Both are started again."""
        self.hog[name].start()
        self.bird[name].start()

    def cut(self, name):
        """Its wire carries nothing any more, and no end is told."""
        self.hosts[name].run("nft", "-f", "-", input=f"""table netdev cut {{
  chain in {{ type filter hook ingress device "{self.dev[name]}" priority 0; policy drop; }}
  chain out {{ type filter hook egress device "{self.dev[name]}" priority 0; policy drop; }}
}}
""")

    def mend(self, name):
        """As before."""
        self.hosts[name].run("nft", "delete", "table", "netdev", "cut")


def interruption(pulses, broken):
    """Seconds from `broken` until packets of all of them came again for good, and how many were lost of how many; no pulse that is silent now came back.

    What a busy machine makes of an even rate is no interruption: a later pause counts if it is long.
    """
    now = time.monotonic()
    got = [p.end() for p in pulses]
    made = [[end - broken for begin, end in g["pauses"] if end > broken and (begin < broken + 0.5 or end - begin > 0.5)] for g in got]
    back = [max(ends, default=0.0) if g["last"] > now - 0.3 else float("inf") for g, ends in zip(got, made)]
    return round(max(back), 2), sum(g["lost"] for g in got), sum(g["sent"] for g in got)


def one_dies(name, how, rounds, bfd=True, patience=BACK + 0.5, swan=""):
    """The gateway that carries traffic goes away, `rounds` times: C takes over, and B has it again when it is back.

    A that lost B again within a minute waits 1, 2, 4, ... s before it calls again, which is what takes longer from round to round.
    """
    with Triangle(name) as lab:
        lab.daemons(swan)
        lab.birds(bfd)
        lab.leads("sh-b")
        backs, notes = [], []
        for n in range(rounds):
            pulses = lab.pulses()
            time.sleep(0.5)
            broken = time.monotonic()
            (lab.kill if how == "killed" else lab.cut)("b")
            time.sleep(patience)
            over = lab.over()
            back, lost, sent = interruption(pulses, broken)
            backs.append(back)
            notes.append(f"{back} s by {over}, {lost} of {sent} lost")
            if back > BACK or over != "sh-c":
                break
            if n + 1 < rounds:
                begin = time.monotonic()
                (lab.revive if how == "killed" else lab.mend)("b")
                lab.leads("sh-b", 40)
                notes.append(f"B again after {time.monotonic() - begin:.1f} s")
        return check(len(backs) == rounds and max(backs) < BACK and over == "sh-c", "; ".join(notes))


case(ROW, "the gateway that carries is killed: over the other within 3 s", quick=True)(lambda: one_dies("rk", "killed", 1))
case(ROW, "the same five times, and back to it each time")(lambda: one_dies("rk5", "killed", 5))
case(ROW, "its wire is cut silently, three times")(lambda: one_dies("rc", "cut", 3))
case(ROW, "strongSwan with kernel-libipsec at B, killed")(lambda: one_dies("rs", "killed", 1, swan="b"))


@case(ROW, "two next hops: both carry, and one goes on alone")
def ecmp():
    """ECMP by BIRD's merged paths, flows told apart by their ports."""
    with Triangle("ecmp") as lab:
        for name in "ah":
            lab.hosts[name].sysctl("net.ipv4.fib_multipath_hash_policy", 1)
            lab.hosts[name].sysctl("net.ipv6.fib_multipath_hash_policy", 1)
        lab.daemons()
        lab.birds(ecmp=True)
        wait.until("two next hops", lambda: lab.hosts["a"].ip("route", "show", "10.2.0.0/24").count("nexthop") == 2)
        before = sent_by(lab)
        lab.hosts["ha"].run(sys.executable, "-c", f"""
import socket, time
for flow in range(64):
    time.sleep(0.005)
    for target in ("{FAR[4]}", "{FAR[6]}"):
        with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as s:
            for _ in range(20):
                s.sendto(bytes(100), (target, 9))
""")
        share = [after - old for after, old in zip(sent_by(lab), before)]
        pulses = lab.pulses(flows=4)
        time.sleep(0.5)
        broken = time.monotonic()
        lab.kill("b")
        time.sleep(BACK + 0.5)
        back, lost, sent = interruption(pulses, broken)
        both = min(share) > 0.2 * sum(share) and sum(share) >= 128 * 20
        return check(both and back < BACK, f"packets by device {share}; one killed: all flows back after {back} s, {lost} of {sent} lost")


def sent_by(lab):
    """Packets that A's devices have sent."""
    return [json.loads(lab.hosts["a"].ip("-j", "-s", "link", "show", link.dev[0]))[0]["stats64"]["tx"]["packets"] for link in LINKS.values()]


@case(ROW, "two routes by metric, no BGP: the device of a dead tunnel has no carrier")
def metric():
    """Dead peer detection is what notices: 2 s of silence, and 3.4 s of questions."""
    with Triangle("rm") as lab:
        lab.daemons()
        a, h = lab.hosts["a"], lab.hosts["h"]
        a.sysctl("net.ipv4.conf.all.ignore_routes_with_linkdown", 1)
        for (peer, link), metric in zip(LINKS.items(), (10, 20)):
            a.sysctl(f"net.ipv4.conf.{link.dev[0]}.ignore_routes_with_linkdown", 1)
            a.ip("route", "add", "10.2.0.0/24", "dev", link.dev[0], "metric", metric)
            lab.hosts[peer].ip("route", "add", "10.1.0.0/24", "dev", link.dev[1])
        # the way back is another matter
        h.ip("route", "add", "10.1.0.0/24", "via", "10.2.0.12")
        before = lab.over()
        wait.until("answers", lambda: traffic.ping(lab.hosts["ha"], NEAR[4], FAR[4], count=3) == 3)
        pulse = traffic.Pulse(lab.hosts["ha"], h, NEAR[4], FAR[4], rate=RATE)
        time.sleep(0.5)
        broken = time.monotonic()
        lab.hog["b"].kill()
        time.sleep(9)
        over = lab.over()
        back, lost, sent = interruption([pulse], broken)
        lab.hog["b"].start()
        lab.hosts["b"].ip("route", "add", "10.1.0.0/24", "dev", LINKS["b"].dev[1])
        wait.until("the first route again", lambda: lab.over() == "sh-b", 20)
        pings = traffic.ping(lab.hosts["ha"], NEAR[4], FAR[4], count=20)
        return check((before, over) == ("sh-b", "sh-c") and back < 8 and pings == 20, f"by {before}, then after {back} s by {over}, {lost} of {sent} lost; then back, {pings}/20 pings")


@case(ROW, "MTU and TCP, IPv4 and IPv6 inside")
def transfer():
    """From a host that knows no tunnel; packets that are too large are told so by A."""
    with Triangle("rt") as lab:
        lab.daemons()
        lab.birds()
        lab.leads("sh-b")
        ha, h = lab.hosts["ha"], lab.hosts["h"]
        mtu = json.loads(lab.hosts["a"].ip("-j", "link", "show", "sh-b"))[0]["mtu"]
        large = [traffic.ping(ha, NEAR[f], FAR[f], count=20, size=size) for f in (4, 6) for size in (1300, 1452, 9000)]
        results = [traffic.tcp(*ends, megabytes=20) for f in (4, 6) for ends in ((ha, h, NEAR[f], FAR[f]), (h, ha, FAR[f], NEAR[f]))]
        equal = all(same for same, _ in results)
        # the first one or two of a size are those that learn it
        return check(min(large) >= 18 and equal, f"device {mtu}, large pings {large} of 20, TCP {'equal' if equal else 'DIFFERENT'}: {[rate for _, rate in results]} Mbit/s")


@case(ROW, "A restarted: its devices vanish and come back, BIRD finds them by itself")
def restarted():
    """By SIGTERM and by kill -9; nobody touches BIRD."""
    with Triangle("rr") as lab:
        lab.daemons()
        lab.birds()
        lab.leads("sh-b")
        times = []
        for end in (lab.hog["a"].stop, lab.hog["a"].kill):
            end()
            gone = subprocess.run(["ip", "-n", lab.hosts["a"].ns, "link", "show", "sh-b"], capture_output=True).returncode != 0
            lab.hog["a"].start()
            begin = time.monotonic()
            lab.converged("a", timeout=40)
            lab.leads("sh-b")
            times.append((gone, round(time.monotonic() - begin, 1)))
        return check(all(gone and took < 15 for gone, took in times), f"(device was gone, all back after seconds) {times}")
