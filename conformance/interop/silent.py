"""The tunnel is up and carries nothing: does our daemon name the reason?

Two gateways with hosts behind them. Each way breaks one thing while a host asks another, asks `why`, and mends it. Where nothing is broken nothing may be said.
"""
import contextlib
import threading

from interop.ourselves import ESP, IKE, both, must_come_up
from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, Relayed, prefix
from lab.paths import GATEWAYS, HOSTS, NETWORKS, ROUTERS, Path
from lab.steady import Steady

ROW = "no traffic"
HERE, THERE = HOSTS[4]
STRANGER = "10.9.0.2"
DEVICE = "sandhog0"
CALM = 'rehearse = "never"'
WAYS = []


class Way:
    """What breaks something until it is resumed, and what has to be said: the code, and whether it has to be `proven`. `asks`: the host that asks the other
    one; `fresh`: the tunnel comes up when it is broken already; `mends`: a command that is given mends it."""

    def __init__(self, name, code, breaks, proven=False, asks="a", fresh=False, mends=False):
        self.name, self.code, self.breaks, self.proven, self.asks, self.fresh, self.mends = name, code, breaks, proven, asks, fresh, mends


def way(name, code, **more):
    """Registers one."""
    def register(breaks):
        WAYS.append(Way(name, code, contextlib.contextmanager(breaks), **more))
        return breaks
    return register


@contextlib.contextmanager
def nft(host, rules):
    """A table `lab` of these chains, for a while."""
    family = rules.pop("family", "inet")
    chains = "".join(f"chain {name} {{ {text} }}\n" for name, text in rules.items())
    host.run("nft", "-f", "-", input=f"table {family} lab {{\n{chains}}}\n")
    yield
    host.run("nft", "delete", "table", family, "lab")


def forward(policy="accept"):
    """The head of a chain."""
    return f"type filter hook forward priority 0; policy {policy};"


def esp_drop(lab, devices):
    """ESP that comes in by these devices of the router is dropped; IKE is not."""
    return nft(lab.m, {"forward": forward() + "".join(f'iifname "{d}" meta l4proto esp drop;' for d in devices)})


@way("ESP is dropped on the way there", "net.esp_blocked", fresh=True)
def esp_there(lab):
    with esp_drop(lab, [lab.m_left]):
        yield


@way("ESP is dropped on the way back", "net.esp_blocked", fresh=True)
def esp_back(lab):
    with esp_drop(lab, [lab.m_dev]):
        yield


@way("ESP is dropped both ways", "net.esp_blocked", fresh=True)
def esp_both(lab):
    with esp_drop(lab, [lab.m_left, lab.m_dev]):
        yield


@way("the peer has other keys", "esp.keys", fresh=True)
def other_keys(lab):
    # another IV in each packet: as good as another key
    with nft(lab.m, {"forward": forward() + f"ip saddr {GATEWAYS[4][1]} meta l4proto esp @th,64,32 set 0xdeadbeef;"}):
        yield


@way("a host whose network is in no selector", "traffic.selectors", proven=True, asks="stranger")
def selectors(_):
    yield


@way("another rule leads past the device", "traffic.route", proven=True, mends=True)
def rule(lab):
    lab.l.ip("route", "add", NETWORKS[4][1], "via", ROUTERS[4][0], "table", 100)
    lab.l.ip("rule", "add", "pref", 100, "to", NETWORKS[4][1], "lookup", 100)
    yield
    lab.l.ip("rule", "del", "pref", 1, check=False)
    lab.l.ip("rule", "del", "pref", 100)
    lab.l.ip("route", "flush", "table", 100)


@way("no forwarding", "traffic.forwarding", proven=True, mends=True)
def no_forwarding(lab):
    lab.l.sysctl("net.ipv4.ip_forward", 0)
    yield
    lab.l.sysctl("net.ipv4.ip_forward", 1)


@way("rp_filter takes what comes by another device than the route", "traffic.rp_filter", proven=True)
def rp_filter(lab):
    lab.l.ip("route", "add", f"{HERE}/32", "via", ROUTERS[4][0])
    lab.l.sysctl(f"net.ipv4.conf.{lab.l_inner}.rp_filter", 1)
    yield
    lab.l.sysctl(f"net.ipv4.conf.{lab.l_inner}.rp_filter", 0)
    lab.l.ip("route", "del", f"{HERE}/32", "via", ROUTERS[4][0])


@way("iptables forwards nothing that it does not know, as with Docker", "traffic.firewall", mends=True)
def docker(lab):
    lab.l.run("iptables-nft", "-P", "FORWARD", "DROP")
    yield
    lab.l.run("iptables-nft", "-P", "FORWARD", "ACCEPT")
    lab.l.run("iptables-nft", "-F", "FORWARD")


@way("a firewall forwards nothing that it does not know", "traffic.firewall", mends=True)
def firewall(lab):
    with nft(lab.l, {"family": "ip", "FORWARD": forward("drop")}):
        yield


@way("a firewall lets nothing from the tunnel to our hosts", "traffic.firewall", asks="b", mends=True)
def firewall_back(lab):
    with nft(lab.l, {"forward": forward() + f'iifname "{DEVICE}" ct state new drop;'}):
        yield


@way("sources are changed before the device", "traffic.masquerade", proven=True, mends=True)
def masquerade(lab):
    with nft(lab.l, {"family": "ip", "post": f"type nat hook postrouting priority srcnat; snat to {GATEWAYS[4][0]};"}):
        yield


@way("what is too big, where nobody hears that it is", "mtu.black_hole", asks="large")
def black_hole(lab):
    lab.forget()
    with nft(lab.a, {"input": "type filter hook input priority 0; icmp type destination-unreachable drop;"}):
        yield


@way("the peer's firewall", "traffic.one_way")
def peers_firewall(lab):
    with nft(lab.r, {"forward": forward() + f'iifname "{DEVICE}" drop;'}):
        yield


@way("the peer's host does not answer", "traffic.one_way")
def peers_host(lab):
    with nft(lab.b, {"input": "type filter hook input priority 0; icmp type echo-request drop;"}):
        yield


@way("our own host does not answer", "traffic.no_answer", asks="b")
def our_host(lab):
    with nft(lab.a, {"input": "type filter hook input priority 0; icmp type echo-request drop;"}):
        yield


def why(us):
    """What is wrong, worst first: (code, certainty) and the whole of it."""
    status, found = us.api("GET", "connections/peer/why")
    if status != 200:
        raise RuntimeError(f"why: {status} {found}")
    return [(d["code"], d["certainty"]) for d in found["diagnoses"]], found["diagnoses"]


@contextlib.contextmanager
def pinging(host, source, target, *more):
    """Also where its own host refuses that."""
    ping = host.start("ping", ["ping", "-n", "-q", "-i", "0.2", *more, "-I", source, target])
    wait.until("ping", ping.alive, 5)
    yield
    ping.stop()


@contextlib.contextmanager
def asking(lab, who):
    """Somebody asks five times a second."""
    if who == "large":
        with pinging(lab.a, HERE, THERE, "-M", "do", "-s", "1472"):
            yield
        return
    host, pair = {"a": (lab.a, (HERE, THERE)), "b": (lab.b, (THERE, HERE)), "stranger": (lab.a, (STRANGER, THERE))}[who]
    steady = Steady(host, [pair])
    wait.until("packets", lambda: steady.seen(), 5)
    yield
    steady.stop()
    lab.processes.remove(steady)


def again(us):
    """New SAs."""
    us.must("down", "peer")
    us.must("up", "peer")


def healthy(lab, us):
    """What is said where nothing is wrong: idle and never used, with packets that are answered, under load, and idle again."""
    said = {"never used": why(us)[0]}
    with asking(lab, "a"):
        said["asked"] = why(us)[0]
    with asking(lab, "b"):
        said["asked from there"] = why(us)[0]
    load = threading.Thread(target=traffic.tcp, args=(lab.a, lab.b, HERE, THERE, 40))
    load.start()
    said["loaded"] = why(us)[0]
    load.join()
    said["idle"] = why(us)[0]
    return {when: codes for when, codes in said.items() if codes}


def mended(lab, fixes):
    """Whether one of the commands of a diagnosis is enough; which of several chains it was nobody tells."""
    for fix in fixes:
        if fix["command"]:
            lab.l.run("sh", "-c", fix["command"], check=False)
            if traffic.ping(lab.a, HERE, THERE, count=3) == 3 == traffic.ping(lab.b, THERE, HERE, count=3):
                return True
    return False


@case(ROW, "each way has its name, a fix that mends it, and a healthy tunnel none")
def ways():
    """One lab for all of them."""
    with Path("sil") as lab:
        us, other = both(lab, *GATEWAYS[4], *NETWORKS[4], extra=CALM)
        must_come_up(us, other)
        lab.a.address("lo", f"{STRANGER}/32")
        lab.l.ip("route", "add", f"{STRANGER}/32", "via", HERE)
        false = healthy(lab, us)
        wrong = []
        for each in WAYS:
            with each.breaks(lab):
                if each.fresh:
                    again(us)
                with asking(lab, each.asks):
                    codes, found = why(us)
                if not codes or codes[0][0] != each.code or (each.proven and codes[0][1] != "proven"):
                    wrong.append(f"{each.name}: {codes}, {[d['explain'] for d in found][:1]}")
                elif each.mends and not mended(lab, found[0]["fix"]):
                    wrong.append(f"{each.name}: not mended by {found[0]['fix']}")
            if each.fresh:
                again(us)
        with asking(lab, "a"):
            after = why(us)[0]
        if after:
            false["mended"] = after
        named = len(WAYS) - len(wrong)
        return check(not wrong and not false, f"{named} of {len(WAYS)} named" + "".join(f"; {w}" for w in wrong) + (f"; FALSE ALARMS {false}" if false else ", no false alarm"))


def relayed(esp, code, proven, among=None):
    """The relay changes what comes from the other side, from the first packet on. `among`: a code that is thought possible; then nothing is told unasked."""
    with Relayed("sil") as lab:
        us, other = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]), encap="always", esp="aes256-sha256-modp2048", extra=CALM)
        must_come_up(us, other)
        well = traffic.ping(lab.left, *INNER[4], count=3)
        lab.relay.tell(esp=esp)
        again(us)
        steady = Steady(lab.left, [INNER[4]])
        wait.until("packets", lambda: steady.seen(), 5)
        codes, found = why(us)
        if not among:
            wait.until("the status to say so", lambda: us.failure() == code, 20)
        steady.stop()
        lab.processes.remove(steady)
        lab.relay.tell(esp=None)
        again(us)
        after, mended = traffic.ping(lab.left, *INNER[4], count=3), why(us)[0]
        told = [d["code"] for d in us.api("GET", "diagnoses?connection=peer")[1]["diagnoses"]].count(code)
        held = codes[:1] == [(code, "proven" if proven else "likely")] and (well, after, mended, told, us.failure()) == (3, 3, [], 0 if among else 1, None)
        held = held and (not among or among in found[0]["candidates"])
        return check(held, f"{codes}, told {told} times unasked; {well}/3 pings before, {after}/3 after, then {mended or 'nothing'} is said")


case(ROW, "the peer's ICV is cut to 96 bits")(lambda: relayed({"from": "b", "cut": 4}, "esp.truncation", True))
case(ROW, "the peer's ICV is another")(lambda: relayed({"from": "b", "flip": 1}, "esp.keys", False))
case(ROW, "ESP in UDP is dropped, and IKE is not")(lambda: relayed({"from": "b", "drop": True}, "traffic.one_way", False, among="net.esp_blocked"))


@case(ROW, "two gateways without hosts behind them are not talked about")
def alone():
    """Their own addresses alone, with forwarding off, and rp_filter strict."""
    with Relayed("slo") as lab:
        for host in (lab.left, lab.right):
            host.sysctl("net.ipv4.conf.all.rp_filter", 1)
            host.sysctl("net.ipv4.ip_forward", 0)
        us, other = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]), extra=CALM)
        must_come_up(us, other)
        before = why(us)[0]
        steady = Steady(lab.left, [INNER[4]])
        during = [why(us)[0], why(other)[0]]
        steady.stop()
        lab.processes.remove(steady)
        idle = why(us)[0]
        return check(not before and during == [[], []] and not idle, f"{before or 'nothing'}, {during}, {idle or 'nothing'}")


@case(ROW, "a device in a network namespace of its own")
def tenant():
    """What is seen is what happens there, and so is what mends it."""
    with Pair("sit") as lab:
        there = lab.host("t")
        lab.left.ip("addr", "del", prefix(INNER[4][0]), "dev", "lo")
        there.address("lo", prefix(INNER[4][0]))
        inside = [prefix(x) for x in INNER[4]]
        us = sandhog.Sandhog(lab.left, sandhog.config(*OUTER[4], IKE, ESP, *inside, PSK, "left.example", "right.example",
                                                      extra=f'{CALM}\ninterface = {{ name = "vti0", netns = "{there.ns}" }}'))
        other = sandhog.Sandhog(lab.right, sandhog.config(*reversed(OUTER[4]), IKE, ESP, *reversed(inside), PSK, "right.example", "left.example", extra=CALM))
        must_come_up(us, other)
        unrouted = why(us)[0]
        there.ip("route", "add", prefix(INNER[4][1]), "dev", "vti0", "src", INNER[4][0])
        routed = why(us)[0]
        with pinging(there, *INNER[4]):
            well = why(us)[0]
            with nft(there, {"output": 'type filter hook output priority 0; oifname "vti0" drop;'}):
                codes, found = why(us)
        named = codes[:1] == [("traffic.firewall", "proven")] and found[0]["local"]["netns"] == [there.ns]
        held = unrouted == [("traffic.route", "likely")] and not routed and not well and named
        return check(held, f"without a route {unrouted}, with one {routed or 'nothing'}, with packets {well or 'nothing'}, behind a firewall {codes}")
