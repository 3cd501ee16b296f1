"""Children for one worker each (RFC 9611): between two of ours there are as many as both want; a peer that does not know of them sees one child."""
import os
import re
import subprocess

from interop.ourselves import both, must_come_up
from lab import kernel, sandhog, strongswan, traffic, wait
from lab.cases import case, check
from lab.pair import INNER, OUTER, PSK, Pair, prefix

ROW = "RFC 9611"
IKE, ESP = "aes256gcm16-prfsha384-ecp384", "aes256gcm16"
WORKERS = "workers = 2"


def sas(one):
    """What the pairs of SAs of our child are for, by our SPI and the peer's."""
    listed = one.status("peer")["children"][0]["sas"]
    return {(sa["spi_in"], sa["spi_out"]): sa.get("resource") for sa in listed if sa["state"] == "up"}


def mirrored(a, b):
    """Both ends have the same pairs, one of them for nobody in particular, and our SPIs steer to the workers."""
    left, right = sas(a), sas(b)
    steered = all(int(spi_in, 16) & 0xf == worker for one in (left, right) for (spi_in, _), worker in one.items() if worker is not None)
    return steered and {(out, own) for own, out in left} == set(right) and sorted(map(str, left.values())) == sorted(map(str, right.values()))


def ourselves(wanted):
    """Packets flow, also after all have been rekeyed, and what is taken down is gone."""
    with Pair("rs") as lab:
        inner = [prefix(a) for a in INNER[4]]
        a, b = both(lab, *OUTER[4], *inner, gateway=WORKERS, child_extra=f"per_resource_sas = {wanted}")
        must_come_up(a, b)
        wait.until("all children", lambda: len(sas(a)) == len(sas(b)) == wanted + 1, 10)
        good = mirrored(a, b)
        pings = traffic.ping(lab.left, *INNER[4])
        same, rate = traffic.tcp(lab.left, lab.right, *INNER[4], 200)
        before = set(sas(a))
        a.must("rekey", "peer/net")
        wait.until("rekeys", lambda: not before & set(sas(a)) and len(sas(a)) == len(sas(b)) == wanted + 1, 20)
        good = good and mirrored(a, b)
        pings += traffic.ping(lab.left, *INNER[4])
        drops = {name: count for one in (a, b) for name, count in one.status("peer")["children"][0]["drops"].items() if count and name != "dummy"}
        return check(good and pings == 200 and same and not drops, f"{wanted} beside the fallback, {pings}/200 pings, {rate} Mbit/s, drops {drops}")


def one_child(root, role, theirs=""):
    """strongSwan has one child, and packets flow."""
    with Pair("rs") as lab:
        inner = [prefix(a) for a in INNER[4]]
        peer = strongswan.StrongSwan(lab.right, root=root)
        peer.load(strongswan.connection("lab", OUTER[4][1], OUTER[4][0], IKE, ESP, inner[1], inner[0], PSK, child_extra=theirs))
        text = sandhog.config(*OUTER[4], IKE, ESP, *inner, PSK, encap="always", gateway=WORKERS, child_extra="per_resource_sas = 2")
        us = sandhog.Sandhog(lab.left, text)
        up, why = us.up("peer") if role == "initiator" else peer.initiate("net")
        if not up:
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-1500:]}")
        pings = traffic.ping(lab.left, *INNER[4])
        same, rate = traffic.tcp(lab.left, lab.right, *INNER[4], 20)
        here, there = sas(us), peer.established()
        seen = len(re.findall(r"16444|RES_INFO", peer.process.text()))
        return check(pings == 100 and same and list(here.values()) == [None] and there == 1, f"{len(here)} and {there} children, {pings}/100 pings, {rate} Mbit/s, named {seen} times in its log")


def per_cpu(wanted):
    """strongSwan knows of such children since 6.0.2: it has what we ask for. (In userspace it sets no bound of its own, so it refuses nothing.)"""
    subprocess.run(["bash", kernel.ROOTS, "sid"], check=True)
    with Pair("rs") as lab:
        inner = [prefix(a) for a in INNER[4]]
        peer = strongswan.StrongSwan(lab.right, root=os.path.join(kernel.CACHE, "sid"))
        peer.load(strongswan.connection("lab", OUTER[4][1], OUTER[4][0], IKE, ESP, inner[1], inner[0], PSK, child_extra="per_cpu_sas = yes"))
        text = sandhog.config(*OUTER[4], IKE, ESP, *inner, PSK, encap="always", gateway=f"workers = {wanted}", child_extra=f"per_resource_sas = {wanted}")
        us = sandhog.Sandhog(lab.left, text)
        up, why = us.up("peer")
        if not up:
            raise RuntimeError(f"not up: {why}\nours: {us.process.text()[-1500:]}\ntheirs: {peer.process.text()[-1500:]}")
        there = 1 + wanted
        wait.until("all children", lambda: len(sas(us)) == peer.established() == there, 10)
        pings = traffic.ping(lab.left, *INNER[4])
        same, rate = traffic.tcp(lab.left, lab.right, *INNER[4], 20)
        refusals = len(re.findall(r"generating CREATE_CHILD_SA response \d+ \[ N\(", peer.process.text()))
        good = pings == 100 and same and len(sas(us)) == there and refusals == 0 and us.failure() is None
        return check(good, f"{there} children, {refusals} refusals, {pings}/100 pings, {rate} Mbit/s")


case(ROW, "two of ours", quick=True)(lambda: ourselves(2))
for _wanted in (2, 8):
    case(ROW, f"strongSwan of sid with per_cpu_sas, {_wanted} workers of ours", quick=False)(lambda n=_wanted: per_cpu(n))
for _role in ("initiator", "responder"):
    case(ROW, f"strongSwan 5.9.8, {_role}", quick=_role == "initiator")(lambda r=_role: one_child(None, r))
    for _release in ("trixie", "sid"):
        case(ROW, f"strongSwan of {_release}, {_role}", quick=False)(
            lambda r=_role, d=_release: (subprocess.run(["bash", kernel.ROOTS, d], check=True), one_child(os.path.join(kernel.CACHE, d), r))[1])
