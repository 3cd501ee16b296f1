"""Addresses that change: ours and the peer's, with MOBIKE and without, by name, over several uplinks; names that lead nowhere; the hook."""
import os
import shutil
import tempfile
import time

from interop.moves import IKE, INSIDE, NAMES, bring_up, ended, ours, pulses, theirs
from interop.ourselves import ESP
from lab import sandhog, traffic, wait
from lab.cases import case, check
from lab.names import Names
from lab.net import Lab
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "moves"
LEFT, RIGHT = OUTER[4]
KINDS = ("strongSwan", "ourselves")
# traffic is back within this, seconds
BAR = 5
# what is only sent is asked about after half of it
DPD = 'dpd_delay = "2s"'
SOON = 'retransmit = { first = "500ms", factor = 1.6, max = "2s", tries = 14 }'


def config(local, remote, inside, names, extra="", gateway="", encap="auto", start="none"):
    """One connection of ours; without `local` it is what the routes say."""
    text = sandhog.config("LOCAL", remote, IKE, ESP, *inside, PSK, *names, encap=encap, start=start, extra=f'rehearse = "never"\n{extra}', gateway=gateway)
    addresses = "".join(f'"{a}", ' for a in ([local] if isinstance(local, str) else local) if a)
    return text.replace('local_addrs = ["LOCAL"]\n', f"local_addrs = [{addresses}]\n" if addresses else "")


def other(kind, host, remote="%any", mobike=False, extra=""):
    """The right end."""
    if kind == "strongSwan":
        return theirs(host, local="%any", remote=remote, mobike="yes" if mobike else "no")
    return sandhog.Sandhog(host, config("", remote, INSIDE[::-1], NAMES[::-1], f"mobike = {str(mobike).lower()}\n{extra}"))


def us(kind, host, local="", remote=RIGHT, mobike=False, extra="", gateway=""):
    """The left end. kernel-libipsec knows ESP in UDP only."""
    encap = "always" if kind == "strongSwan" else "auto"
    return sandhog.Sandhog(host, config(local, remote, INSIDE, NAMES, f"mobike = {str(mobike).lower()}\n{extra}", gateway, encap))


def readdress(host, dev, old, new):
    """The one address goes, and another one is there."""
    host.sysctl(f"net.ipv4.conf.{dev}.promote_secondaries", 1)
    host.address(dev, f"{new}/24")
    host.ip("addr", "del", f"{old}/24", "dev", dev)


def verdict(lab, both, extra="", more=True, bar=BAR):
    """Traffic was back in time, in both directions, and goes on."""
    lost, gap, sent = ended(both)
    pings = traffic.ping(lab.hosts["l"], *INNER[4], count=20)
    return check(more and gap < bar and pings == 20, f"{extra}gap {gap} s, {lost} of {sent} lost, then {pings}/20 pings")


def our_address(kind, mobike):
    """The left end's address vanishes and another one is there."""
    with Pair("adr") as lab:
        peer = other(kind, lab.right, mobike=mobike)
        a = us(kind, lab.left, mobike=mobike)
        bring_up(a, peer, "initiator")
        both = pulses(lab)
        time.sleep(1)
        readdress(lab.left, lab.left_dev, LEFT, "192.0.2.11")
        time.sleep(6)
        local = a.status("peer")["local"]
        return verdict(lab, both, f"{local}, ", "192.0.2.11" in local)


def peers_address(mobike):
    """The same seen by the responder: the right end, which has begun, is somewhere else."""
    with Pair("adr") as lab:
        a = us("ourselves", lab.left, remote="%any", mobike=mobike)
        b = other("ourselves", lab.right, remote=LEFT, mobike=mobike)
        up, why = b.up("peer")
        if not up:
            raise RuntimeError(f"not up: {why}")
        both = pulses(lab)
        time.sleep(1)
        readdress(lab.right, lab.right_dev, RIGHT, "192.0.2.12")
        time.sleep(6)
        remote = a.status("peer")["peers"][0]["remote"]
        return verdict(lab, both, f"{remote}, ", "192.0.2.12" in remote)


def by_name(kind, mobike=False):
    """The right end is told nothing of it and tells nothing: its name is the one way to find it."""
    with Pair("dns") as lab:
        names = Names(lab.left, peer=[RIGHT])
        peer = other(kind, lab.right, mobike=mobike)
        a = us(kind, lab.left, local=LEFT, remote="peer.lab", mobike=mobike, extra=DPD, gateway=SOON)
        bring_up(a, peer, "initiator")
        both = pulses(lab)
        time.sleep(3)
        names.set(peer=["192.0.2.12"])
        readdress(lab.right, lab.right_dev, RIGHT, "192.0.2.12")
        time.sleep(8)
        remote = a.status("peer")["remote"]
        return verdict(lab, both, f"{remote}, ", "192.0.2.12" in remote)


def calls_by_name():
    """The right end has begun, its address is another one, and the left one knows it by its name alone."""
    with Pair("dns") as lab:
        names = Names(lab.left, peer=[RIGHT])
        us("ourselves", lab.left, remote="peer.lab")
        b = other("ourselves", lab.right, remote=LEFT)
        wait.until("the name", lambda: b.up("peer")[0], 10)
        both = pulses(lab)
        time.sleep(1)
        names.set(peer=["192.0.2.12"])
        readdress(lab.right, lab.right_dev, RIGHT, "192.0.2.12")
        time.sleep(7)
        return verdict(lab, both)


class Uplinks(Lab):
    """The left end has two uplinks, `a` and `b`, to a router that leads to the right one; what it sends from an address of one goes by that one."""
    ADDRESSES = ("192.0.2.1", "198.51.100.1")

    def __init__(self):
        super().__init__("upl")
        self.left, self.router, self.right = (self.host(n) for n in "lmr")
        self.router.sysctl("net.ipv4.ip_forward", 1)
        self.devices = []
        for n, own in enumerate(self.ADDRESSES):
            gateway = own[:-1] + "254"
            x, y = self.wire(self.left, self.router)
            self.devices.append((x, y))
            self.left.address(x, f"{own}/24")
            self.router.address(y, f"{gateway}/24")
            self.left.ip("route", "add", "default", "via", gateway, "dev", x, "table", 101 + n)
            self.left.ip("rule", "add", "from", own, "lookup", 101 + n, "priority", 100)
            self.left.ip("route", "add", "default", "via", gateway, "dev", x, "metric", 100 + n)
        m, r = self.wire(self.router, self.right)
        self.router.address(m, "203.0.113.254/24")
        self.right.address(r, "203.0.113.2/24")
        self.right.ip("route", "add", "default", "via", "203.0.113.254")
        for host, inner in ((self.left, INNER[4][0]), (self.right, INNER[4][1])):
            host.address("lo", prefix(inner))

    def break_first(self, how):
        """`unplugged`, or `swallowed`: packets vanish and nobody is told."""
        if how == "unplugged":
            self.router.ip("link", "set", self.devices[0][1], "down")
        else:
            self.router.run("nft", "-f", "-", input=f"""
table ip hole {{ chain forward {{ type filter hook forward priority 0; iifname "{self.devices[0][1]}" drop; oifname "{self.devices[0][1]}" drop; }}; }}
""")

    def mend_first(self, how):
        """As it was."""
        if how == "unplugged":
            self.router.ip("link", "set", self.devices[0][1], "up")
        else:
            self.router.run("nft", "delete", "table", "ip", "hole")


def uplinks(kind, mobike, how):
    """The first uplink dies and comes back: to the second at once, and back again without a gap."""
    with Uplinks() as lab:
        peer = other(kind, lab.right, mobike=mobike)
        a = us(kind, lab.left, local=lab.ADDRESSES, remote="203.0.113.2", mobike=mobike, extra=DPD, gateway=SOON)
        bring_up(a, peer, "initiator")
        at = lambda: a.status("peer")["local"].rsplit(":", 1)[0]
        where = [at()]
        both = pulses(lab)
        time.sleep(2)
        lab.break_first(how)
        time.sleep(7)
        where.append(at())
        lost, gap, _ = ended(both)
        lab.mend_first(how)
        both = pulses(lab)
        # the second look after a failure comes later
        wait.until("the way back", lambda: at() == lab.ADDRESSES[0], 60)
        where.append(at())
        time.sleep(2)
        first, second = lab.ADDRESSES
        out = f"{' - '.join(where)}; out: gap {gap} s, {lost} lost; back: "
        return verdict(lab, both, out, where == [first, second, first] and gap < BAR, bar=1)


def nowhere(what):
    """A name that leads nowhere: the right code, again and again, and as soon as it leads somewhere the tunnel is up."""
    records = {"nothing": {}, "silence": {"peer": None}, "ourselves": {"peer": [LEFT]}}[what]
    code = "net.own_address" if what == "ourselves" else "net.no_address"
    with Pair("dns") as lab:
        names = Names(lab.left, **records)
        other("ourselves", lab.right)
        a = sandhog.Sandhog(lab.left, config("", "peer.lab", INSIDE, NAMES, start="start"))
        wait.until("the failure", lambda: a.failure() == code, 15)
        failure = a.status("peer")["last_failure"]
        names.set(peer=[RIGHT])
        begin = time.monotonic()
        wait.until("the tunnel", lambda: a.status("peer")["state"] == "up", 40)
        up = time.monotonic() - begin
        pings = traffic.ping(lab.left, *INNER[4], count=20)
        return check(failure["fix"] and pings == 20, f"{failure['code']}: {failure['explain']['en']} Up {up:.1f} s after it was mended, {pings}/20 pings")


def hook():
    """Somebody else's program hears of all of it, in order, and as nobody."""
    folder = tempfile.mkdtemp(prefix="sandhog-hook-")
    os.chmod(folder, 0o755)
    program, said = os.path.join(folder, "notify"), os.path.join(folder, "said")
    with open(program, "w") as f:
        f.write('#!/bin/sh\necho "$1 $SANDHOG_EVENT $SANDHOG_CONNECTION/$SANDHOG_CHILD $SANDHOG_LOCAL $SANDHOG_REMOTE $SANDHOG_REASON $(id -un)" >> ' + said + "\n")
    os.chmod(program, 0o755)
    with open(said, "w"):
        os.chmod(said, 0o666)
    try:
        with Pair("hok") as lab:
            other("ourselves", lab.right)
            a = us("ourselves", lab.left, gateway=f'hook = {{ command = ["{program}", "a b"], user = "nobody", timeout = "5s" }}')
            up, why = a.up("peer")
            readdress(lab.left, lab.left_dev, LEFT, "192.0.2.11")
            wait.until("the move", lambda: "192.0.2.11" in a.status("peer")["local"], 10)
            a.must("down", "peer")
            with open(said) as f:
                wait.until("the hook", lambda: " down " in (f.seek(0) or f.read()), 10)
            with open(said) as f:
                lines = f.read().splitlines()
        expected = [f"a b {e} peer/{c} {l}:{{}} {RIGHT}:{{}} {why} nobody" for e, c, l, why in
                    (("up", "net", LEFT, ""), ("moved", "", "192.0.2.11", ""), ("down", "net", "192.0.2.11", "by_us"))]
        same = len(lines) == 3 and all(line in {text.format(p, p) for p in (500, 4500)} for line, text in zip(lines, expected))
        return check(up and same, "; ".join(lines) or why)
    finally:
        shutil.rmtree(folder)


for _kind in KINDS:
    for _mobike in (True, False):
        _how = "MOBIKE" if _mobike else "no MOBIKE"
        case(ROW, f"our address, {_how}, {_kind}", quick=(_kind, _mobike) == ("strongSwan", False))(lambda k=_kind, m=_mobike: our_address(k, m))
        case(ROW, f"the peer's address, by DNS, {_how}, {_kind}", quick=(_kind, _mobike) == ("strongSwan", False))(lambda k=_kind, m=_mobike: by_name(k, m))
        for _break in ("unplugged", "swallowed"):
            case(ROW, f"two uplinks, the first {_break}, {_how}, {_kind}")(lambda k=_kind, m=_mobike, h=_break: uplinks(k, m, h))
for _mobike in (True, False):
    case(ROW, f"the peer's address, {'MOBIKE' if _mobike else 'no MOBIKE'}, ourselves")(lambda m=_mobike: peers_address(m))
case(ROW, "the peer's address, it calls, and has a name, ourselves")(calls_by_name)
for _what in ("nothing", "silence", "ourselves"):
    case(ROW, f"a name that leads to {_what}")(lambda w=_what: nowhere(w))
case(ROW, "the hook")(hook)
