"""Somebody on the path keeps authentic packets and sends them again from an address of their own: nothing may move."""
import time

from interop import moves
from interop.ourselves import both, must_come_up
from lab import traffic
from lab.cases import case, check
from lab.pair import INNER, OUTER, Relayed, prefix

ROW = "hijack"
THIEF = "198.51.100.66"


def remotes(ends, vici=None):
    """Where each end believes the other to be."""
    at = [(c["local"], c["remote"]) for c in (e.status("peer") for e in ends)]
    return at + [(sa["local-host"], sa["remote-host"], sa["remote-port"]) for _, sa in vici.sas()] if vici else at


def replayed(lab, ends, vici, rekeys):
    """Replays after traffic, after each rekey, and under traffic; what moved, and what was lost."""
    for host, other in ((lab.left, THIEF), (lab.right, THIEF)):
        host.ip("route", "add", prefix(other), "dev", lab.left_dev if host is lab.left else lab.right_dev)
    before, wrong, frames = remotes(ends, vici), [], 0
    for rekey in (lambda: None, *rekeys):
        rekey()
        time.sleep(0.5)
        passed = traffic.ping(lab.left, *INNER[4], count=50)
        frames += lab.relay.tell(replay=THIEF)["replayed"]
        after = traffic.ping(lab.left, *INNER[4], count=50)
        if (passed, after) != (50, 50):
            wrong.append(f"{passed} and {after} of 50 pings")
        if remotes(ends, vici) != before:
            wrong.append(f"moved from {before} to {remotes(ends, vici)}")
    drops = ends[0].status("peer")["children"][0]["drops"].get("replayed", 0)
    stray = [m for m in sniffed(lab) if THIEF in m]
    if stray:
        wrong.append(f"{len(stray)} packets to the thief")
    # at least the pings of the first round came twice to us, on an SA that still was there
    return check(not wrong and drops >= 50, f"{frames} frames replayed, {drops} dropped as replayed{'; ' + '; '.join(wrong) if wrong else ', nothing moved'}")


def sniffed(lab):
    """ESP towards the thief, as the watcher saw it."""
    return [line for line in lab.watch.text().splitlines() if "UDP-encap: ESP" in line or "ESP(" in line]


def watched(lab):
    """Notes what leaves towards the thief."""
    lab.watch = lab.left.start("tcpdump", ["tcpdump", "-n", "-l", "-i", lab.left_dev, f"dst {THIEF}"])
    return lab


@case(ROW, "old ESP and IKE from a third address, ourselves, the peer seems to be behind a NAT")
def ours():
    """Forced encapsulation makes both believe in a NAT, so that authentic packets may move the peer: only new ones."""
    with Relayed("hjo") as lab:
        watched(lab)
        a, b = both(lab, *OUTER[4], *(prefix(x) for x in INNER[4]), encap="always", extra='rehearse = "never"')
        must_come_up(a, b)
        return replayed(lab, (a, b), None, [lambda: a.must("rekey", "peer/net"), lambda: b.must("rekey", "peer"), lambda: a.must("rekey", "peer")])


def swan(mobike):
    """strongSwan at the other end."""
    with Relayed("hjs") as lab:
        watched(lab)
        us = moves.ours(lab.left, extra=f"mobike = {'true' if mobike else 'false'}")
        peer = moves.theirs(lab.right, mobike="yes" if mobike else "no")
        moves.bring_up(us, peer, "responder")
        vici = peer.vici()
        return replayed(lab, (us,), vici, [lambda: us.must("rekey", "peer/net"), lambda: vici.call("rekey", ike="lab")])


case(ROW, "the same, strongSwan")(lambda: swan(False))
case(ROW, "the same, strongSwan with MOBIKE")(lambda: swan(True))
