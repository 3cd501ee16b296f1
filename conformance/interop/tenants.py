"""One gateway, several tenants: each has a device in a namespace of its own, and all have the same device names, addresses and ports. Nothing of one comes to another."""
import json
import subprocess
import time

from interop.routes import GATEWAY, routed
from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.marked import Marked
from lab.net import Lab, run

ROW = "tenants"
DEVICE = "vti0"
NEAR, FAR = {4: "10.0.0.1", 6: "fd00::1"}, {4: "10.2.0.1", 6: "fd00:2::1"}
NETS = {4: ("10.0.0.0/24", "10.2.0.0/24"), 6: ("fd00::/64", "fd00:2::/64")}
INNER = (["169.254.10.1/30", "fd00:ff::1/126"], ["169.254.10.2/30", "fd00:ff::2/126"])
PORT = 5002


class Tenants(Lab):
    """g is the gateway, tX the namespace of tenant X beside it, fX where the far end of X is.

    `shared`: all far ends are namespaces of one more gateway p, at one address; else each is a gateway with a wire of its own.
    """

    def __init__(self, name, shared=False, tenants="ab"):
        super().__init__(name)
        self.g, self.shared, self.tenants = self.host("g"), shared, tenants
        self.p = self.host("p") if shared else None
        if shared:
            self._wire(self.p, 0)
        self.far_hog = {}
        for tenant in tenants:
            self.add(tenant)

    def _wire(self, far, n):
        mine, its = self.wire(self.g, far)
        self.outer = mine
        self.g.address(mine, f"192.0.2.{4 * n + 1}/30")
        far.address(its, f"192.0.2.{4 * n + 2}/30")

    def add(self, tenant):
        """The namespaces and the wire of one more."""
        self.near(tenant)
        far = self.host(f"f{tenant}")
        far.address("lo", f"{FAR[4]}/24", f"{FAR[6]}/64")
        if not self.shared:
            self._wire(far, self._number(tenant))

    def near(self, tenant):
        """The namespace of a tenant, for the first time or again."""
        self.host(f"t{tenant}").address("lo", f"{NEAR[4]}/24", f"{NEAR[6]}/64")

    def _number(self, tenant):
        return 0 if self.shared else ord(tenant) - ord("a")

    def connection(self, tenant, at):
        """The configuration of one end, 0 = g."""
        n, ids = self._number(tenant), (f"g-{tenant}.example", f"{tenant}.example")
        ends = (f"192.0.2.{4 * n + 1}", f"192.0.2.{4 * n + 2}")
        inside = self.hosts[f"t{tenant}"].ns if at == 0 else self.hosts[f"f{tenant}"].ns if self.shared else None
        return routed(tenant, ends[at], ends[1 - at], ids[at], ids[1 - at], DEVICE, INNER[at], netns=inside, start="none" if at else "start")

    def config(self, tenants=None):
        """All of g."""
        return GATEWAY + "".join(self.connection(t, 0) for t in tenants or self.tenants)

    def daemons(self, carrying=None):
        """Sandhog everywhere, all of them (or those `carrying`) up with their routes set."""
        if self.shared:
            self.far_hog["p"] = sandhog.Sandhog(self.p, GATEWAY + "".join(self.connection(t, 1) for t in self.tenants))
        else:
            for tenant in self.tenants:
                self.far(tenant)
        self.us = sandhog.Sandhog(self.g, self.config())
        for tenant in carrying or self.tenants:
            self.carries(tenant)

    def far(self, tenant):
        """The gateway of one far end."""
        self.far_hog[tenant] = sandhog.Sandhog(self.hosts[f"f{tenant}"], GATEWAY + self.connection(tenant, 1))

    def carries(self, tenant, timeout=30):
        """Sets the routes of a tenant as its operator would, and waits for answers."""
        for host, own, net in ((self.hosts[f"t{tenant}"], NEAR, 1), (self.hosts[f"f{tenant}"], FAR, 0)):
            wait.until(f"{DEVICE} of {host.name}", lambda h=host: "UP" in (link(h) or {}).get("flags", ()), timeout)
            for family in (4, 6):
                host.ip("route", "replace", NETS[family][net], "dev", DEVICE, "src", own[family])
        try:
            wait.until(f"answers of {tenant}", lambda: all(self.ping(tenant, 1, family) for family in (4, 6)), timeout)
        except TimeoutError as e:
            logs = "".join(f"\n{hog.host.name}: {hog.process.text()[-1500:]}" for hog in (self.us, *self.far_hog.values()))
            raise RuntimeError(f"{e}; {json.dumps(self.us.status(tenant))[:600]}{logs}") from None

    def ping(self, tenant, count, family=4):
        """From the near side."""
        return traffic.ping(self.hosts[f"t{tenant}"], NEAR[family], FAR[family], count=count)

    def pulses(self, tenant):
        """Both directions."""
        t, f = self.hosts[f"t{tenant}"], self.hosts[f"f{tenant}"]
        return [traffic.Pulse(t, f, NEAR[4], FAR[4], rate=200), traffic.Pulse(f, t, FAR[4], NEAR[4], rate=200)]


def link(host, device=DEVICE):
    """What the kernel says of a device, or None."""
    try:
        return json.loads(host.ip("-j", "link", "show", device, check=False) or "[None]")[0]
    except ValueError:
        return None


def ended(pulses):
    """(lost, sent, longest gap)."""
    got = [p.end() for p in pulses]
    return sum(g["lost"] for g in got), sum(g["sent"] for g in got), max(g["gap"] for g in got)


class Traffic:
    """Every tenant speaks in both directions and families at once, over the same addresses and ports; all that comes is looked at, and all that is seen on any device."""

    def __init__(self, lab, count, rate):
        self.lab = lab
        self.watchers = {host.name: Marked(host, "watch", *name) for host, name in watched(lab)}
        self.receivers, self.senders = {}, []
        for tenant in lab.tenants:
            t, f = lab.hosts[f"t{tenant}"], lab.hosts[f"f{tenant}"]
            self.receivers[f.name] = Marked(f, "receive", f"tenant {tenant}", PORT, count, *FAR.values())
            self.receivers[t.name] = Marked(t, "receive", f"tenant {tenant}", PORT, count, *NEAR.values())
            there = [a for family in (4, 6) for a in (NEAR[family], FAR[family])]
            back = [a for family in (4, 6) for a in (FAR[family], NEAR[family])]
            self.senders += [Marked(t, "send", f"tenant {tenant}", PORT, rate, *there), Marked(f, "send", f"tenant {tenant}", PORT, rate, *back)]

    def result(self, timeout):
        """(received, crossed, share of frames on devices that was not looked at, words) when all has come, or time is over."""
        try:
            wait.until("all of it", lambda: all(r.done() for r in self.receivers.values()), timeout, 0.2)
        except TimeoutError:
            pass
        sent = sum(s.end()["sent"] for s in self.senders)
        got = {name: r.end() for name, r in self.receivers.items()}
        seen = {name: w.end() for name, w in self.watchers.items()}
        received, crossed = sum(g["received"] for g in got.values()), sum(x["foreign"] for x in (*got.values(), *seen.values()))
        examples = {name: x["example"] for name, x in (*got.items(), *seen.items()) if x["example"]}
        watched, missed = sum(s["seen"] for s in seen.values()), sum(s["missed"] for s in seen.values())
        words = f"{received} of {sent} received, {crossed} crossed; on devices {watched} seen, {missed} not" + (f"; {examples}" if examples else "")
        return received, crossed, missed / max(watched + missed, 1), words


def watched(lab):
    """All hosts, with the name that may be seen there. Between the gateways there is none: not in the clear."""
    yield lab.g, ()
    if lab.p:
        yield lab.p, ()
    for tenant in lab.tenants:
        yield lab.hosts[f"t{tenant}"], (f"tenant {tenant}",)
        yield lab.hosts[f"f{tenant}"], (f"tenant {tenant}",)


def apart(count, rate, shared):
    """`count` packets in all are received; none by the wrong one, and none is seen where it does not belong."""
    with Tenants("tn", shared) as lab:
        lab.daemons()
        flows = Traffic(lab, count // 4, rate)
        received, crossed, missed, words = flows.result(20 + 2 * count / 4 / rate)
        return check(received >= count and crossed == 0 and missed < 0.01, words)


case(ROW, "100,000 packets of two with the same prefixes, none crosses", quick=True)(lambda: apart(100_000, 4_000, True))
case(ROW, "1,000,000 packets of two with the same prefixes, two peers")(lambda: apart(1_000_000, 3_000, False))
case(ROW, "1,000,000 packets of two with the same prefixes, one process at either end")(lambda: apart(1_000_000, 3_000, True))


@case(ROW, "one sends with everybody's addresses, and what is no packet")
def forged():
    """Straight into its device, 40,000 of them, while the other is pinged."""
    with Tenants("tf", shared=True) as lab:
        lab.daemons()
        watchers = [Marked(host, "watch", *name) for host, name in watched(lab)]
        pulses = lab.pulses("b")
        forger = Marked(lab.hosts["ta"], "forge", "tenant a", DEVICE, 40_000, 1)
        wait.until("the forger", forger.done, 60)
        sent = forger.end()["sent"]
        lost, of, _ = ended(pulses)
        seen = [w.end() for w in watchers]
        crossed, missed = sum(w["foreign"] for w in seen), sum(w["missed"] for w in seen)
        after = [lab.ping(t, 20) for t in lab.tenants]
        held = sent > 30_000 and crossed == missed == lost == 0 and after == [20, 20] and lab.us.process.alive()
        return check(held, f"{sent} forged, {crossed} seen where they do not belong; the other lost {lost} of {of}; then pings {after} of 20")


def disturbed(name, disturb, heal, said=lambda lab: True):
    """Something happens to tenant a; b never notices, status says so (`said`), and a carries again after `heal`."""
    with Tenants(name) as lab:
        lab.daemons()
        pulses = lab.pulses("b")
        time.sleep(2)
        disturb(lab)
        told = ""
        try:
            told = wait.until("status", lambda: said(lab), 10)
        except TimeoutError:
            told = None
        time.sleep(3)
        begin = time.monotonic()
        heal(lab)
        lab.carries("a", timeout=40)
        back = time.monotonic() - begin
        time.sleep(max(10 - (time.monotonic() - begin), 0))
        lost, of, gap = ended(pulses)
        return check(lost == 0 and told and lab.us.process.alive(), f"the other lost {lost} of {of}, gap {gap} s; status: {told}; carried again after {back:.1f} s")


def missing(lab):
    """What status says of a, if its device is missing and that of b is not."""
    a, b = (lab.us.status(t) for t in "ab")
    return not a["interface"]["present"] and b["interface"]["present"] and "; ".join(w for w in a["warnings"] if w not in b["warnings"])


@case(ROW, "the namespace of one vanishes and comes back")
def vanished():
    """`ip netns del` with nobody inside."""
    return disturbed("tv", lambda lab: run("ip", "netns", "del", lab.hosts["ta"].ns), lambda lab: lab.near("a"), missing)


@case(ROW, "the namespace of one is not there yet at the start")
def absent():
    """The other does not wait for it."""
    with Tenants("tz") as lab:
        run("ip", "netns", "del", lab.hosts["ta"].ns)
        lab.daemons("b")
        told = missing(lab)
        lab.near("a")
        begin = time.monotonic()
        lab.carries("a")
        return check(told, f"the other carries; status: {told}; carried {time.monotonic() - begin:.1f} s after it was made")


@case(ROW, "the device of one is deleted")
def deleted():
    """By root inside; it is made again."""
    old = []

    def delete(lab):
        old.append(link(lab.hosts["ta"])["ifindex"])
        lab.hosts["ta"].ip("link", "del", DEVICE)

    def another(lab):
        now = link(lab.hosts["ta"])
        return now and now["ifindex"] not in old and lab.us.status("a")["interface"]["present"] and "another device"

    return disturbed("td", delete, lambda lab: None, another)


@case(ROW, "the device of one gets another name")
def renamed():
    """And later its own again."""
    def rename(lab, old, new):
        for change in (("down",), ("name", new), ("up",)):
            lab.hosts["ta"].ip("link", "set", old if change != ("up",) else new, *change)
    return disturbed("te", lambda lab: rename(lab, DEVICE, "other0"), lambda lab: rename(lab, "other0", DEVICE), lambda lab: lab.us.status("a")["interface"]["name"] == "other0" and "its new name")


@case(ROW, "the gateway is killed under traffic and started again")
def killed():
    """The devices of all vanish and come back, each in its namespace."""
    with Tenants("tk", shared=True) as lab:
        lab.daemons()
        flows = Traffic(lab, 1 << 40, 500)
        time.sleep(2)
        lab.us.kill()
        gone = [link(lab.hosts[f"t{t}"]) is None for t in lab.tenants]
        begin = time.monotonic()
        lab.us.start()
        for tenant in lab.tenants:
            lab.carries(tenant)
        back = time.monotonic() - begin
        pings = [lab.ping(t, 100) for t in lab.tenants]
        received, crossed, _, words = flows.result(3)
        return check(all(gone) and pings == [100, 100] and received and crossed == 0, f"back after {back:.1f} s, {pings} of 100 pings; {words}")


@case(ROW, "a third one is added under traffic")
def added():
    """By SIGHUP; the others lose nothing."""
    with Tenants("ta") as lab:
        lab.daemons()
        pulses = lab.pulses("a") + lab.pulses("b")
        time.sleep(1)
        lab.add("c")
        lab.tenants = "abc"
        lab.far("c")
        lab.us.write(lab.config())
        lab.us.reload()
        lab.carries("c")
        time.sleep(1)
        lab.us.write(lab.config("ab"))
        lab.us.reload()
        wait.until("the device of c to go", lambda: link(lab.hosts["tc"]) is None, 10)
        time.sleep(1)
        lost, of, gap = ended(pulses)
        return check(lost == 0, f"added and taken away again; the others lost {lost} of {of}, gap {gap} s")


@case(ROW, "outer sockets in a VRF, or bound to a device where the kernel has no VRF")
def bound():
    """All routes of the host lead to the peer by another wire, at which nobody answers."""
    with Tenants("tw", tenants="a") as lab:
        lab.far("a")
        net, device = "192.0.2.0/30", lab.outer
        wrong, _ = lab.wire(lab.g, lab.host("x"))
        vrf = subprocess.run(["ip", "-n", lab.g.ns, "link", "add", "vrf-wan", "type", "vrf", "table", "100"], capture_output=True).returncode == 0
        if vrf:
            device = "vrf-wan"
            lab.g.ip("link", "set", device, "up")
            lab.g.ip("link", "set", lab.outer, "master", device)
        else:
            lab.g.ip("route", "del", net, "dev", lab.outer)
            lab.g.ip("route", "add", net, "dev", lab.outer, "src", "192.0.2.1", "metric", "100")
        lab.g.ip("route", "add", net, "dev", wrong, "metric", "1")
        lab.us = sandhog.Sandhog(lab.g, lab.config())
        unbound, _ = lab.us.up("a", timeout=3)
        lab.us.stop()
        lab.us.write(lab.config().replace("[gateway]\n", f"[gateway]\nbind_device = \"{device}\"\n"))
        lab.us.start()
        lab.carries("a")
        pings = [lab.ping("a", 100, family) for family in (4, 6)]
        return check(not unbound and pings == [100, 100], f"by {'a VRF' if vrf else 'the device'}: {pings} of 100 pings; without: {'UP' if unbound else 'not up'}")
