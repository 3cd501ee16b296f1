"""One thing differs between us and strongSwan 5.9.8: we ask, are refused, and find out with `why --probe` what it is.

A peer is asked at a pace (one message every 5 s), so several pairs are asked at the same time, each in a lab of its own, and for each cell our daemon begins
anew: what it may send in two minutes is counted by the daemon, over all cells of a pair.
"""
import concurrent.futures
import copy
import functools
import re
import time

from lab import mismatch, wait
from lab.cases import case, check
from lab.edits import toml
from lab.pair import Pair

PAIRS = 4
# so many messages that nobody has authenticated may leave in so many seconds, and one in so many
MOST, WITHIN, EACH = 12, 120, 5
# tcpdump and the daemon do not look at the clock at the same moment
JITTER = 0.05
# a peer is asked at a time for as long as the limit looks back, and somewhat longer
ORDERS = 128
# requests of IKE_SA_INIT, and main mode of IKEv1, from our side: exchange type and flags of a message without a marker and with one
FIRST = ("src host 192.0.2.1 and ((udp dst port 500 and ((udp[26] = 34 and udp[27] & 0x20 = 0) or udp[26] = 2)) or "
         "(udp dst port 4500 and udp[8:4] = 0 and ((udp[30] = 34 and udp[31] & 0x20 = 0) or udp[30] = 2)))")
# the longest that a probe takes is 125 s
PATIENCE = 140


class Cell:
    """What became of one mismatch."""

    def __init__(self, name):
        self.name, self.wrong, self.lied, self.broken, self.asked = name, "", False, False, 0


def begin(ends, m):
    """A daemon that has asked nothing yet, a peer that was asked nothing (what it holds half open it would hold for a minute), and both ends with what differs."""
    ends.peer.kill()
    ends.peer.start()
    ends.vici = ends.peer.vici()
    ends.us.stop()
    ends.us.write(toml({}))
    ends.us.start()
    ends.mismatch = None
    ends.set(m)


def bring_about(ends, m):
    """Where it shows only when the tunnel is up, or when it is rekeyed."""
    if m.at == "connect":
        return
    ends.up()
    ends.until_up()
    if m.at == "rekey":
        ends.us.client("rekey", f"{m.connection}/net")
        wait.until(f"{m.name}: a refusal", lambda: ends.failure(), 10)


def probe(ends, m):
    """`why --probe`: the worst that is wrong, or None, and what was asked."""
    status, document = ends.us.api("POST", f"connections/{m.connection}/probe", PATIENCE)
    if status != 200:
        raise RuntimeError(f"probe: {status} {document}")
    diagnoses = [d.get("failure", d) for d in document["diagnoses"]]
    return (diagnoses or [None])[0], document["probes"]


def cell(ends, m):
    """Asks, and says what is wrong with the diagnosis."""
    result = Cell(m.name)
    begin(ends, m)
    bring_about(ends, m)
    failure, probes = probe(ends, m)
    result.asked, result.lied = len(probes), m.lies("initiator", failure)
    if not m.right("initiator", failure):
        result.wrong = f"{failure and (failure['code'], failure['certainty'], failure['candidates'])} after {[(p['asked'], p['answer']) for p in probes]}"
    elif failure and m.differing and failure["certainty"] == "proven" and m.differing not in failure["differing"]:
        result.wrong = f"differing {failure['differing']}"
    if failure and failure["code"] == "auth.id":
        wait.until(f"{m.name}: nothing established is left at the peer", lambda: ends.peer.established() == 0, 5)
    return result


def spread(name, mismatches, work):
    """Deals the mismatches to the pairs; what each came to, in the order of the table."""
    def pair(n):
        results = []
        with Pair(f"{name}{n}") as lab:
            ends = mismatch.Ends(lab)
            for m in mismatches[n::PAIRS]:
                try:
                    results.append(work(ends, m))
                except Exception as e:  # the others go on
                    broken = Cell(m.name)
                    broken.wrong, broken.broken = f"{type(e).__name__}: {e}", True
                    results.append(broken)
        return results

    with concurrent.futures.ThreadPoolExecutor(PAIRS) as pool:
        return [cell for cells in pool.map(pair, range(PAIRS)) for cell in cells]


def found():
    """Right code in nine of ten, and never a proof that was none. Where nothing is to be found, nothing may be told in any, and no cell may break."""
    start, mismatches = time.monotonic(), mismatch.CONTROLS + mismatch.MISMATCHES
    cells = {c.name: c for c in spread("ask", mismatches, cell)}
    counted = [cells[m.name] for m in mismatches if m.initiator]
    controls = [cells[m.name] for m in mismatches if not m.initiator]
    right, held = sum(not c.wrong for c in counted), sum(not c.wrong for c in controls)
    lies, broken = [c for c in cells.values() if c.lied], [c for c in cells.values() if c.broken]
    said = "".join(f"; {c.name}: {c.wrong or 'falsely proven'}" for c in cells.values() if c.wrong or c.lied)
    figure = (f"{right} of {len(counted)} right, {held} of {len(controls)} with nothing to find, {len(lies)} falsely proven, {len(broken)} broken, "
              f"at most {max(c.asked for c in cells.values())} questions, {time.monotonic() - start:.0f} s{said}")
    return check(right >= 0.9 * len(counted) and held == len(controls) and not lies and not broken, figure)


def paced():
    """However often it is ordered, twice at once, for two connections with one peer, and again after each refusal, for longer than the limit looks back: counted
    on the wire of the peer's side."""
    with Pair("pace") as lab:
        ends = mismatch.Ends(lab)
        m = mismatch.find("IKE group of another kind")
        begin(ends, m)
        other = copy.deepcopy(ends.ours["connections"][m.connection])
        other["local"]["id"], other["children"]["net"]["remote_ts"] = "branch.example", ["10.3.0.0/24"]
        ends.ours["connections"]["other"] = other
        ends.write()
        wire = lab.right.start("wire", ["tcpdump", "-i", lab.right_dev, "-n", "-tt", "-l", "--immediate-mode", FIRST])
        wait.until("tcpdump", lambda: "listening on" in wire.text(), 10)
        start = time.monotonic()

        def order(name):
            codes = []
            while time.monotonic() - start < ORDERS:
                codes.append(ends.us.api("POST", f"connections/{name}/probe", PATIENCE)[0])
                time.sleep(0 if codes[-1] == 200 else 1)
            return codes
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            codes = sum(pool.map(order, (m.connection, m.connection, "other")), [])
        times = [float(at) for at in re.findall(r"^(\d+\.\d+) IP ", wire.text(), re.M)]
        gap = min((b - a for a, b in zip(times, times[1:])), default=0)
        most = max((sum(at <= other < at + WITHIN for other in times) for at in times), default=0)
        answers = {code: codes.count(code) for code in sorted(set(codes))}
        known = set(codes) == {200, 409, 429}
        return check(known and gap >= EACH - JITTER and 6 <= most <= MOST, f"answers {answers}, {len(times)} messages at the peer, {gap:.2f} s apart at least, {most} in {WITHIN} s")


@functools.cache
def asked():
    """Both, at the same time: they do little but wait."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [pool.submit(found), pool.submit(paced)]


case("mismatches, initiator", "we ask strongSwan, and find out what it is")(lambda: asked()[0].result())
case("mismatches, initiator", "a peer is asked at a pace, and not without end")(lambda: asked()[1].result())
