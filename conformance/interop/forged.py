"""A stranger says that our packets were too big, ten thousand times and in all ways; only what our own probe confirms may move the MTU."""
import json
import os
import sys
import time

from interop.mtu import PEERS, becomes, ends, inner_mtu, mtu_of
from lab import forge, traffic
from lab.cases import case, check
from lab.paths import BETWEEN, GATEWAYS, HOSTS, ROUTERS, Path, Watch

ROW = "forged ICMP"
STRANGER = {4: ("198.18.0.1", "198.18.0.2", 24), 6: ("2001:db8:66::1", "2001:db8:66::2", 64)}
COUNT, SECONDS = 10_000, 10
PROBES, GROWTH_KIB, MOVES = 20, 2048, 5.0


class Beset(Path):
    """A path of 1500 octets, and a stranger at our router, whom nobody stops from lying about who he is."""

    def __init__(self):
        super().__init__("frg")
        self.stranger = self.host("s")
        # it would not forward what seems to come from itself
        self.m.sysctl("net.ipv4.conf.all.accept_local", 1)
        dev, router = self.wire(self.stranger, self.m)
        for theirs, his, length in STRANGER.values():
            self.m.address(router, f"{theirs}/{length}")
            self.stranger.address(dev, f"{his}/{length}")
            self.stranger.ip("route", "add", "default", "via", theirs)

    def forge(self, us, outer, encap, count=COUNT, seconds=SECONDS):
        """Begins; the process."""
        connection = us.status("peer")
        said = {"ours": GATEWAYS[outer][0], "peer": GATEWAYS[outer][1], "elsewhere": STRANGER[outer][1], "encap": encap, "spi": connection["children"][0]["spi_out"],
                "ike": connection["ike"]["spi_i"] + connection["ike"]["spi_r"], "count": count, "seconds": seconds,
                "sources": [ROUTERS[outer][0], BETWEEN[outer][1], GATEWAYS[outer][1], STRANGER[outer][1]]}
        return self.stranger.start("forge", [sys.executable, os.path.abspath(forge.__file__), json.dumps(said)])

    def heard(self, outer):
        """How many such messages our host's kernel has taken, true or not."""
        name = {4: "IcmpInDestUnreachs", 6: "Icmp6InPktTooBigs"}[outer]
        return int(next(line.split()[1] for line in self.l.run("nstat", "-asz", name).splitlines() if line.startswith(name)))

    def probes(self, outer):
        """A watcher of IKE messages of more than 1,000 octets from us."""
        marker = {4: "udp[8:4] = 0", 6: "ip6[48:4] = 0"}[outer]
        return Watch(self.l, "probes", self.l_dev, f"src {GATEWAYS[outer][0]} and (udp port 500 or (udp port 4500 and {marker})) and greater 1014")


def unmoved(peer, encap, outer):
    """All of it while datagrams of 1,300 octets flow both ways; then the path really shrinks."""
    with Beset() as lab:
        us, _ = ends(lab, peer, 4, outer, encap, 1500)
        exact, family = inner_mtu(1500, outer, encap), HOSTS[4]
        if becomes(us, exact) is None:
            return check(False, f"mtu {mtu_of(us)} not {exact} at first")
        device = us.host.ip("-o", "link", "show", "sandhog0").split(" mtu ")[1].split()[0]
        pulses = [traffic.Pulse(lab.a, lab.b, *family, rate=200, size=1300), traffic.Pulse(lab.b, lab.a, *reversed(family), rate=200, size=1300)]
        probes = lab.probes(outer)
        time.sleep(1)
        rss, seen, heard = us.process.rss_kib(), set(), lab.heard(outer)
        forger = lab.forge(us, outer, encap)
        while forger.alive():
            seen.add(mtu_of(us))
            time.sleep(0.2)
        time.sleep(0.5)
        seen.add(mtu_of(us))
        grown, heard = us.process.rss_kib() - rss, lab.heard(outer) - heard
        got = [p.end() for p in pulses]
        count, lost = probes.count(), sum(g["lost"] for g in got)
        after = us.host.ip("-o", "link", "show", "sandhog0").split(" mtu ")[1].split()[0]
        lab.narrow(1280)
        pulses = [traffic.Pulse(lab.a, lab.b, *family, rate=200, size=1300)]
        moved = becomes(us, inner_mtu(1280, outer, encap), MOVES)
        pulses[0].end()
        held = seen == {exact} and lost == 0 and count < PROBES and after == device and grown < GROWTH_KIB and heard == COUNT and moved is not None
        return check(held, f"{heard} forged ones heard, mtu {sorted(seen)} (device {device} to {after}), {lost} of {sum(g['sent'] for g in got)} lost, {count} probes, "
                     f"{grown} KiB more; then a path of 1280: {f'mtu {mtu_of(us)} after {moved} s' if moved is not None else f'UNNOTICED, mtu {mtu_of(us)}'}")


for _peer, _encap in PEERS:
    for _outer in (4, 6):
        case(ROW, f"{_encap} over IPv{_outer}, {_peer}", quick=(_peer, _encap, _outer) == ("strongSwan 5.9.8", "udp", 4))(
            lambda p=_peer, e=_encap, o=_outer: unmoved(p, e, o))


@case(ROW, "the path shrinks while the stranger is at it")
def amid():
    """The one true message is among ten thousand."""
    with Beset() as lab:
        us, _ = ends(lab, "ourselves", 4, 4, "udp", 1500)
        if becomes(us, inner_mtu(1500, 4, "udp")) is None:
            return check(False, f"mtu {mtu_of(us)} at first")
        pulse = traffic.Pulse(lab.a, lab.b, *HOSTS[4], rate=200, size=1300)
        forger = lab.forge(us, 4, "udp", 2 * COUNT, 2 * SECONDS)
        time.sleep(3)
        lab.narrow(1280)
        moved = becomes(us, inner_mtu(1280, 4, "udp"), 2 * SECONDS - 4)
        at_it = forger.alive()
        got = pulse.end()
        return check(moved is not None and at_it, f"mtu {mtu_of(us)} {f'after {moved} s' if moved is not None else 'UNMOVED'}, {got['lost']} of {got['sent']} lost")
