"""Manners of vendors' gateways that strongSwan cannot play, each played by a small gateway of ours in Python (lab/odd.py), with the vendor's profile at our side: it refuses every
rekey, opens an IKE SA of its own, takes one pair of selectors, asks for a cookie each time, rekeys without PFS, with a configuration payload or after few octets,
pads its packets, or lets a second child end the first one. No ping may be lost."""
import time
from concurrent import futures

from interop.vendors import ROW
from lab import odd, sandhog, wait
from lab.cases import case, check
from lab.pair import OUTER, Pair
from lab.steady import Steady
from lab.vendor import SECRET, VENDORS

NETS = [("10.1.0.0/24", "10.2.0.0/24"), ("10.1.1.0/24", "10.2.0.0/24")]
HOSTS = [("10.1.0.1", "10.2.0.1"), ("10.1.1.1", "10.2.0.1")]
# the end of a child that is rekeyed after two seconds, and then some
LIFE, WHOLE_LIFE = 'rekey_time = "2s"', 38


def ours(profile, pairs, extra="", child=""):
    """Our side, with as many of the pairs of networks."""
    lists = lambda values: "[" + ", ".join(f'"{v}"' for v in dict.fromkeys(values)) + "]"
    left, right = OUTER[4]
    return f"""
[connections.peer]
profile = "{profile}"
local_addrs = ["{left}"]
remote_addrs = ["{right}"]
local = {{ id = "{left}" }}
remote = {{ id = "{right}" }}
{extra}
[connections.peer.children.net]
local_ts = {lists(mine for mine, _ in NETS[:pairs])}
remote_ts = {lists(its for _, its in NETS[:pairs])}
start_action = "none"
{child}
[secrets.peer]
id = ["{right}"]
secret = "{SECRET}"
"""


class Tunnel(Pair):
    """Ours on the left, which has called unless the odd one on the right does. Traffic flows."""

    def __init__(self, name, profile, pairs=1, extra="", child="", **manners):
        super().__init__(f"odd{name}")
        vendor = next(v for v in VENDORS if v.name == profile)
        for address, _ in HOSTS:
            if address not in self.left.ip("-br", "addr", "show", "dev", "lo"):
                self.left.address("lo", f"{address}/32")
        self.odd = odd.Odd(self.right, *reversed(OUTER[4]), SECRET, vendor.ike, vendor.esp, [(its, mine) for mine, its in NETS[:pairs]], **manners)
        self.us = sandhog.Sandhog(self.left, ours(profile, pairs, extra, child))
        if not manners.get("begins"):
            up, why = self.us.up("peer")
            if not up:
                raise RuntimeError(f"not up: {why}\nours: {self.us.process.text()[-1500:]}\ntheirs: {self.odd.process.text()[-1500:]}")
        wait.until("all children", lambda: all(c["state"] == "up" for c in self.us.status("peer")["children"]), 10)
        self.steady = Steady(self.left, HOSTS[:pairs], 0.05)

    def traffic(self, seconds):
        """(sent, lost) of so many seconds."""
        time.sleep(seconds)
        seen = self.steady.seen().values()
        return sum(s for s, _, _ in seen), sum(l for _, l, _ in seen)

    def sas(self):
        """How many IKE SAs we have."""
        return len(self.us.status("peer")["sas"])


def rekeyed(profile, seconds=8, **manners):
    """It rekeys in its way, again and again."""
    with Tunnel("r", profile, **manners) as lab:
        sent, lost = lab.traffic(seconds)
        times, refused = len(lab.odd.told("rekeyed")), lab.odd.told("refused by")
        return check(times >= 3 and not lost and not refused, f"{times} rekeys, {lost} of {sent} pings lost{f', refused: {refused[:2]}' if refused else ''}")


@case(ROW, "huawei refuses our rekeys, and makes its own")
def refuses():
    """None is asked for."""
    with Tunnel("h", "huawei", child=LIFE, refuse=odd.NO_PROPOSAL, rekey=2) as lab:
        sent, lost = lab.traffic(10)
        times, asked = len(lab.odd.told("rekeyed")), lab.odd.told("asked")
        return check(times >= 3 and not asked and not lost, f"{times} rekeys of its own, {len(asked)} of ours, {lost} of {sent} pings lost")


def forgotten(name, profile, extra, refusal):
    """A whole lifetime: (IKE SAs that it saw, rekeys that we asked for, sent, lost)."""
    with Tunnel(name, profile, extra=extra, child=LIFE, refuse=refusal) as lab:
        sent, lost = lab.traffic(WHOLE_LIFE)
        return len(lab.odd.told("up")), len(lab.odd.told("asked")), sent, lost


@case(ROW, "huawei and others refuse our rekeys until the SA ends")
def ends():
    """With the profile nothing is asked for, without it in vain; in both the tunnel is made from scratch before its end."""
    cells = [("e", "huawei", "", odd.NO_PROPOSAL), ("f", "strongswan", 'rekey = "both"', odd.NO_PROPOSAL), ("g", "strongswan", 'rekey = "both"', odd.NO_MORE)]
    with futures.ThreadPoolExecutor(len(cells)) as pool:
        left, vain, told = pool.map(lambda cell: forgotten(*cell), cells)
    held = left[0] >= 2 and not left[1] and vain[0] >= 2 and vain[1] and told[0] >= 2 and told[1] and not left[3] + vain[3] + told[3]
    return check(held, ", ".join(f"{n} IKE SAs, {asked} rekeys asked for, {lost} of {sent} pings lost" for n, asked, sent, lost in (left, vain, told)))


@case(ROW, "fortigate opens an IKE SA of its own when it sees ours")
def both():
    """Two of everything for a while; it deletes the one that nothing comes through."""
    with Tunnel("d", "fortigate", calls=True, idle=4) as lab:
        sent, lost = lab.traffic(2)
        most = lab.sas()
        more, gone = lab.traffic(10)
        up, one = len(lab.odd.told("up")), lab.sas()
        return check(up == most == 2 and one == 1 and not lost + gone, f"{up} IKE SAs came up, {most} after 2 s, {one} at last, {lost + gone} of {sent + more} pings lost")


@case(ROW, "h3c takes one pair of networks for each child", quick=True)
def single():
    """More than one pair would be refused, and so would one who does not name it."""
    with Tunnel("s", "h3c", pairs=2, narrow="single", named=True) as lab:
        sent, lost = lab.traffic(1)
        children, refused = len(lab.us.status("peer")["children"]), lab.odd.told("refused")
        return check(children == 2 and not refused and sent and not lost, f"{children} children, {len(refused)} refused, {lost} of {sent} pings lost")


@case(ROW, "h3c asks for a cookie each time, and pads what it sends", quick=True)
def cookie():
    """`ikev2 cookie-challenge` with nothing half-open, and `tfc enable`."""
    with Tunnel("c", "h3c", cookie=True, tfc=900) as lab:
        sent, lost = lab.traffic(1)
        cookies, padded = len(lab.odd.told("cookie")), len(lab.odd.told("padded"))
        return check(cookies >= 1 and sent and not lost and padded >= sent, f"{cookies} cookies, {padded} answers padded, {lost} of {sent} pings lost")


@case(ROW, "aws has one child: a second one would end it")
def one():
    """We never ask for one, not even to try its group."""
    with Tunnel("o", "aws", one_child=True) as lab:
        sent, lost = lab.traffic(13)
        asked = lab.odd.told("asked")
        return check(not asked and not lost, f"{len(asked)} children asked for, {lost} of {sent} pings lost")


@case(ROW, "aliyun calls again after a change, and knows of nothing before")
def again():
    """INITIAL_CONTACT: the IKE SA before goes without a word, and its traffic goes on in the new one."""
    with Tunnel("i", "aliyun", begins=True, again=3) as lab:
        sent, lost = lab.traffic(7)
        up, sas = len(lab.odd.told("up")), lab.sas()
        return check(up == 2 and sas == 1 and not lost, f"{up} IKE SAs came up, {sas} at last, {lost} of {sent} pings lost")


@case(ROW, "azure asks for any to any")
def wide():
    """It gets what is ours."""
    with Tunnel("w", "azure", begins=True, wide=True) as lab:
        sent, lost = lab.traffic(2)
        child = lab.us.status("peer")["children"][0]
        taken = child["local_ts"] + child["remote_ts"]
        return check(taken == list(NETS[0]) and sent and not lost, f"{' and '.join(taken)}, {lost} of {sent} pings lost")


@case(ROW, "azure takes only rekeys that repeat the child exactly")
def exact():
    """The selectors, though the policy has more, and the one suite in use."""
    with Tunnel("x", "azure", pairs=2, child=LIFE, narrow="one", exact=True) as lab:
        lab.steady.ask(HOSTS[:1])
        lab.steady.seen()
        sent, lost = lab.traffic(8)
        asked, refused = lab.odd.told("asked"), lab.odd.told("refused")
        return check(len(asked) >= 3 and not refused and not lost, f"{len(asked)} rekeys, {len(refused)} refused, {lost} of {sent} pings lost")


case(ROW, "azure rekeys without PFS")(lambda: rekeyed("azure", rekey=2, pfs=False))
case(ROW, "azure and h3c rekey after few octets")(lambda: rekeyed("azure", rekey_bytes=4000))
case(ROW, "mikrotik rekeys with a configuration payload")(lambda: rekeyed("mikrotik", rekey=2, cp=True))
