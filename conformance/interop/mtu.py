"""A path narrower than both gateways' links: nobody falls into a hole, and outer fragments appear only where nothing else can work.

strongSwan sends packets of up to 1,400 octets outside any size and trusts ICMP for the rest, so where its packets would be lost it is told the path's MTU
by its route. TCP gets no such help: it has our clamp of the MSS. The hosts behind both ends know nothing.
"""
import ipaddress
import os
import subprocess
import time

from interop.ourselves import ESP, IKE, both, must_come_up
from lab import kernel, large, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import PSK
from lab.paths import BETWEEN, GATEWAYS, HOSTS, LENGTH, NETWORKS, ROUTERS, Path

ROW = "MTU"
NAMES = ("left.example", "right.example")
KERNEL_IKE = "aes256gcm16-prfsha384-ecp384"
SIZES = (1200, 1400, 3000, 8000)
IPV6_LEAST = 1280
# Seconds from the tunnel's beginning to the end of the first transfer, and until the path's MTU is known.
FIRST, KNOWN = 5.0, 15.0
# inner, outer, path
PATHS = ((4, 4, 1280), (6, 4, 1380), (6, 4, 1280), (4, 6, 1280), (6, 6, 1380), (6, 6, 1280))
# A size that nobody would guess, and how near the search must come when no router tells it.
ODD, NEAR = 1333, 8
# name, encapsulation
PEERS = (("ourselves", "raw"), ("ourselves", "udp"), ("strongSwan 5.9.8", "udp"), ("strongSwan 6.0", "raw"))


def inner_mtu(path, outer, encap):
    """The largest inner packet of AES-GCM with an ICV of 16 octets: outer header, SPI and number, IV, ICV; what remains in words, less pad length and next header."""
    room = path - (20 if outer == 4 else 40) - (8 if encap == "udp" else 0) - 8 - 8 - 16
    return room // 4 * 4 - 2


def ends(lab, peer, inner, outer, encap, path, gateway=""):
    """Ours on the left, and the peer; the tunnel is up when this returns. `gateway`: more of our table of that name, if the peer is another one."""
    networks = NETWORKS[inner]
    how = "always" if encap == "udp" else "auto"
    if peer == "ourselves":
        us, other = both(lab, *GATEWAYS[outer], *networks, encap=how)
        must_come_up(us, other)
        return us, other
    root = None
    if peer != "strongSwan 5.9.8":
        subprocess.run(["bash", kernel.ROOTS, "trixie"], check=True)
        root = os.path.join(kernel.CACHE, "trixie")
    ours, theirs = GATEWAYS[outer]
    lab.r.ip("route", "change", "default", "via", ROUTERS[outer][1], "mtu", "lock", path)
    other = strongswan.StrongSwan(lab.r, root=root, raw_esp=encap == "raw")
    other.load(strongswan.connection("lab", theirs, ours, IKE, ESP, networks[1], networks[0], PSK, *reversed(NAMES), encap="yes" if encap == "udp" else "no"))
    us = sandhog.Sandhog(lab.l, sandhog.config(ours, theirs, IKE, ESP, *networks, PSK, *NAMES, encap=how, extra='rehearse = "never"', gateway=gateway))
    up, why = us.up("peer")
    if not up:
        raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {other.process.text()[-1500:]}")
    return us, other


def mtu_of(us):
    """What status says of the only child."""
    return us.api("GET", "connections/peer")[1]["children"][0]["mtu"]


def becomes(us, expected, timeout=KNOWN, least=None):
    """Seconds until status says so, or `least` at least and no more than that, or None."""
    begin = time.monotonic()
    try:
        wait.until("the MTU", lambda: (least or expected) <= mtu_of(us) <= expected, timeout, 0.1)
    except TimeoutError:
        return None
    return round(time.monotonic() - begin, 1)


def transfers(lab, inner):
    """5 MB each way: what is wrong, and when the first was done."""
    begin, (there, back) = time.monotonic(), HOSTS[inner]
    first, _ = traffic.tcp(lab.a, lab.b, there, back, 5, timeout=20)
    seconds = round(time.monotonic() - begin, 1)
    second, _ = traffic.tcp(lab.b, lab.a, back, there, 5, timeout=20)
    wrong = [] if first and seconds <= FIRST else [f"first transfer {'took' if first else 'LOST after'} {seconds} s"]
    return wrong + ([] if second else ["transfer back LOST"]), seconds


def told(lab, inner, fits, two_way):
    """Datagrams of all sizes, with and without DF: what is wrong. `two_way`: also from the other side, whose gateway knows the path."""
    lab.forget()
    wrong, headers = [], 28 if inner == 4 else 48
    ways = [("there", lab.a, lab.b, *HOSTS[inner])] + ([("back", lab.b, lab.a, *reversed(HOSTS[inner]))] if two_way else [])
    for way, sender, receiver, source, target in ways:
        for got in large.datagrams(sender, receiver, source, target, SIZES, whole=True):
            want = min(got["size"], fits - headers)
            if got["arrived"] != want or (want < got["size"] and got["mtu"] != fits):
                wrong.append(f"{way} {got['size']} with DF: {got['arrived']} arrived, MTU {got['mtu']} not {fits}, {got['tries']} tries")
        lab.forget()
        for got in large.datagrams(sender, receiver, source, target, SIZES, whole=False):
            if got["arrived"] != got["size"]:
                wrong.append(f"{way} {got['size']} without DF: {got['arrived']} arrived")
    return wrong


def cell(peer, encap, inner, outer, path, icmp, aws=False):
    """One path and one peer."""
    with Path("mtu", path) as lab:
        if icmp == "dropped":
            lab.silence()
        if aws:
            lab.silence_right()
        outside = lab.fragments(outer)
        us, other = ends(lab, peer, inner, outer, encap, path)
        exact = inner_mtu(path, outer, encap)
        # status says what the path takes whole; IPv6 has no packets so small that its hosts could be told: those are what outer fragments are for
        fits = exact if inner == 4 else max(exact, IPV6_LEAST)
        wrong, seconds = transfers(lab, inner)
        near = inner_mtu(path - NEAR, outer, encap) if (path, icmp) == (ODD, "dropped") else exact
        known = becomes(us, exact, least=near)
        if known is None:
            wrong.append(f"mtu {mtu_of(us)} not {exact}")
        elif near != exact:
            fits = mtu_of(us)
        two_way = peer == "ourselves" and path != ODD and not aws
        if two_way and becomes(other, exact) is None:
            wrong.append(f"their mtu {mtu_of(other)} not {exact}")
        early = outside.count()
        if not traffic.tcp(lab.a, lab.b, *HOSTS[inner], 1, timeout=20)[0]:
            wrong.append("third transfer LOST")
        before = outside.count()
        wrong += told(lab, inner, fits, two_way)
        time.sleep(0.2)
        count, narrow = outside.count(), inner == 6 and exact < IPV6_LEAST
        # While the path is looked for it is taken for one of 1280, which is too narrow for what hosts send over IPv6 at least, if no router tells
        # it; and TCP needs none once it is known, its segments are small enough.
        if before > early or (count > before) != narrow or (early and not narrow and (inner, icmp) != (6, "dropped")):
            wrong.append(f"{count} outer fragments, {early} until the path was known, {before - early} of TCP's then; {'some of datagrams' if narrow else 'none'} expected")
        return check(not wrong, "; ".join(wrong) or f"mtu {mtu_of(us)}, first 5 MB in {seconds} s, {count} outer fragments, {early} of them before the path was known")


# peer and encapsulation, path, ICMP: any two of them meet in one of the quick ones
QUICK = {("ourselves", "udp", (4, 4, 1280), "dropped"), ("ourselves", "raw", (6, 6, 1280), "dropped"),
         ("strongSwan 5.9.8", "udp", (6, 4, 1380), "delivered"), ("strongSwan 6.0", "raw", (4, 4, 1280), "delivered")}

for _path in PATHS:
    for _peer, _encap in PEERS:
        for _icmp in ("delivered", "dropped"):
            case(ROW, f"inner IPv{_path[0]}, path of {_path[2]} over IPv{_path[1]}, {_encap}, {_peer}, ICMP {_icmp}", quick=(_peer, _encap, _path, _icmp) in QUICK)(
                lambda p=_peer, e=_encap, w=_path, i=_icmp: cell(p, e, *w, i))

for _icmp in ("delivered", "dropped"):
    case(ROW, f"inner IPv4, path of {ODD} over IPv4, udp, ourselves, ICMP {_icmp}")(lambda i=_icmp: cell("ourselves", "udp", 4, 4, ODD, i))

case(ROW, "a peer that discards all ICMP, inside and outside")(lambda: cell("strongSwan 5.9.8", "udp", 4, 4, 1280, "dropped", aws=True))


# Seconds until it is noticed that the path has shrunk: the routers say so, or nothing comes back any more. Where the other end knows the path by its
# configuration (strongSwan, see above) its stream goes on and hides that ours does not: then only the look each 20 seconds finds it.
NOTICED = {("delivered", True): 5.0, ("delivered", False): 5.0, ("dropped", True): 20.0, ("dropped", False): 30.0}


def shrinks(peer, encap, inner, outer, icmp):
    """From 1500 to 1280 while streams flow both ways; then wide again, and what was found grows old without harm."""
    with Path("mts", 1500) as lab:
        if icmp == "dropped":
            lab.silence()
        us, _ = ends(lab, peer, inner, outer, encap, 1280)
        before, after = inner_mtu(1500, outer, encap), inner_mtu(1280, outer, encap)
        wrong = [] if becomes(us, before) is not None else [f"mtu {mtu_of(us)} not {before} at first"]
        there, back = HOSTS[inner]
        streams = [large.Stream(lab.a, lab.b, there, back), large.Stream(lab.b, lab.a, back, there, port=5005)]
        time.sleep(2)
        lab.narrow(1280)
        known = becomes(us, after, NOTICED[icmp, peer == "ourselves"])
        if known is None:
            wrong.append(f"mtu {mtu_of(us)} not {after}")
        # a stream that stood still is sent again after twice the time that it has waited
        time.sleep(2 + 2 * (known or 0))
        got = [s.end() for s in streams]
        gaps = [g["gap"] for g in got]
        if not all(g["equal"] for g in got) or max(gaps) > 2 * NOTICED[icmp, peer == "ourselves"] + 1:
            wrong.append(f"streams {got}")
        return check(not wrong, "; ".join(wrong) or f"mtu {before} to {after} after {known} s, TCP stood still {gaps[0]} s there, {gaps[1]} s back")


for _peer, _encap, _inner, _outer in (("ourselves", "udp", 4, 4), ("ourselves", "raw", 4, 6), ("ourselves", "raw", 6, 4), ("strongSwan 5.9.8", "udp", 4, 4), ("strongSwan 6.0", "raw", 4, 4)):
    for _icmp in ("delivered", "dropped"):
        case(ROW, f"1500 shrinks to 1280, IPv{_inner} in IPv{_outer}, {_encap}, {_peer}, ICMP {_icmp}", quick=(_peer, _encap, _inner, _icmp) == ("ourselves", "udp", 4, "delivered"))(
            lambda p=_peer, e=_encap, i=_inner, o=_outer, c=_icmp: shrinks(p, e, i, o, c))


# A probe that is answered in no form would be given up, and the IKE SA with it, after 10 seconds; and something must come after that.
IMPATIENT, SILENT_FOR = 'retransmit = { first = "500ms", factor = 1.5, max = "2s", tries = 5 }', 20.0


@case(ROW, "a path that tells nothing and swallows fragments, a peer that takes none of IKE's")
def swallowed():
    """A probe that is too large arrives in no form. What it costs is an IKE SA, once, and next to no packets."""
    with Path("mtf", 1400) as lab:
        lab.silence()
        lab.swallow()
        us, other = ends(lab, "strongSwan 5.9.8", 4, 4, "udp", 1400, IMPATIENT)
        begin, (there, back) = time.monotonic(), HOSTS[4]
        pulses = [traffic.Pulse(lab.a, lab.b, there, back, rate=100), traffic.Pulse(lab.b, lab.a, back, there, rate=100)]
        wrong, seconds = transfers(lab, 4)
        time.sleep(max(0.0, begin + SILENT_FOR - time.monotonic()))
        wrong += transfers(lab, 4)[0]
        lost = [pulse.end()["lost"] for pulse in pulses]
        mtu, fragments, sas = mtu_of(us), lab.swallowed(), other.sas().count("ESTABLISHED")
        # one IKE SA has taken the place of the other: strongSwan is without any for a moment, packets of which are lost
        if sum(lost) > 5 or us.failure() or sas != 1 or not fragments:
            wrong.append(f"lost {lost} datagrams, {us.failure()}, {sas} IKE SAs, {fragments} fragments swallowed")
        if not 1200 <= mtu <= inner_mtu(1400, 4, "udp"):
            wrong.append(f"mtu {mtu}")
        return check(not wrong, "; ".join(wrong) or f"first 5 MB in {seconds} s, mtu {mtu}, lost {lost} datagrams in {SILENT_FOR:.0f} s, {fragments} fragments swallowed")


class KernelPath(Path):
    """The same with the kernel's own ESP at the end, in a machine behind the right gateway, which here is one more router."""
    OUTER = {4: ("100.64.0.2", "100.64.0.1"), 6: ("2001:db8:4::2", "2001:db8:4::1")}

    def __init__(self, mtu):
        super().__init__("mtk", mtu)
        self.kernel = kernel.Kernel(self.r)
        self.kernel.run("ip link set eth0 up")
        for family, (address, router) in self.OUTER.items():
            length = LENGTH[family]
            network = ipaddress.ip_interface(f"{address}/{length}").network
            self.r.address(self.kernel.tap, f"{router}/{length}")
            self.n.ip("route", "add", network, "via", GATEWAYS[family][1])
            self.m.ip("route", "add", network, "via", BETWEEN[family][1])
            nodad, inner = ("nodad", 128) if family == 6 else ("", 32)
            self.kernel.run(f"ip addr add {address}/{length} dev eth0 {nodad}; ip -{family} route add default via {router}; ip addr add {HOSTS[family][1]}/{inner} dev lo {nodad}")
        self.kernel.charon()


    def echoes(self, family):
        """How many echo requests have arrived inside. Its answers may be too large for the path, of which it is told nothing, either."""
        if family == 6:
            return int(self.kernel.run("grep -w Icmp6InEchos /proc/net/snmp6").split()[1])
        names, values = (line.split() for line in self.kernel.run("grep ^Icmp: /proc/net/snmp").splitlines())
        return int(values[names.index("InEchos")])


def pinged(lab, inner, outer, path):
    """Echo requests with DF of what just fits and of one octet more, and without of 3,000; what is wrong."""
    ours, theirs, networks = GATEWAYS[outer][0], lab.OUTER[outer][0], NETWORKS[inner]
    lab.kernel.load(strongswan.connection("lab", theirs, ours, KERNEL_IKE, ESP, networks[1], networks[0], PSK, *reversed(NAMES), encap="no"))
    us = sandhog.Sandhog(lab.l, sandhog.config(ours, theirs, KERNEL_IKE, ESP, *networks, PSK, *NAMES), name=f"d{len(lab.processes)}")
    up, why = us.up("peer")
    if not up:
        raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {lab.kernel.run('tail -c 1500 /tmp/charon.log', check=False)}")
    fits = inner_mtu(path, outer, "raw") if inner == 4 else max(inner_mtu(path, outer, "raw"), IPV6_LEAST)
    known, headers = becomes(us, inner_mtu(path, outer, "raw")), 28 if inner == 4 else 48
    lab.forget()

    def ping(size, df):
        before = lab.echoes(inner)
        traffic.ping(lab.a, *HOSTS[inner], count=10, size=size, interval=0.05, df=df)
        return lab.echoes(inner) - before

    # of the one that does not fit, and of IPv6's that is to be cut by its sender, the first is lost
    got = (ping(fits - headers, True), ping(fits - headers + 1, True), ping(3000, False))
    said = mtu_of(us)
    us.stop()
    held = known is not None and got[0] == 10 and got[1] == 0 and got[2] >= 9
    return [] if held else [f"IPv{inner} in IPv{outer}: mtu {said} not {fits}, {got} of 10"]


@case(ROW, "the kernel's ESP, raw, path of 1280, all families, ICMP dropped")
def with_kernel():
    """Outer fragments are put together by somebody else's code."""
    with KernelPath(1280) as lab:
        lab.silence()
        wrong = [said for inner in (4, 6) for outer in (4, 6) for said in pinged(lab, inner, outer, 1280)]
        errors = lab.kernel.xfrm_errors()
        return check(not wrong and not errors, "; ".join(wrong) or f"what fits came whole and one octet more did not, in all families, xfrm {errors or 'clean'}")
