"""One thing differs between us and strongSwan 5.9.8: we ask, are refused, and find out with `why --probe` what it is.

A peer is asked at a pace (one message every 5 s), so several pairs are asked at the same time, each in a lab of its own, and for each cell our daemon begins
anew: what it may send in two minutes is counted by the daemon, over all cells of a pair.
"""
import concurrent.futures
import time

from lab import mismatch, wait
from lab.cases import case, check
from lab.edits import toml
from lab.net import LabError
from lab.pair import Pair
from lab.vici import ViciError

PAIRS = 4
BROKEN = (TimeoutError, LabError, ViciError, RuntimeError, OSError, KeyError)
# so many messages that nobody has authenticated may leave in two minutes
MOST = 12


class Cell:
    """What became of one mismatch."""

    def __init__(self, name):
        self.name, self.wrong, self.lied, self.asked = name, "", False, 0


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
    status, document = ends.us.api("POST", f"connections/{m.connection}/probe")
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
    result.asked = len(probes)
    if not m.right("initiator", failure):
        result.wrong = f"{failure and (failure['code'], failure['certainty'], failure['candidates'])} after {[(p['asked'], p['answer']) for p in probes]}"
        result.lied = bool(failure) and failure["certainty"] == "proven"
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
                except BROKEN as e:
                    broken = Cell(m.name)
                    broken.wrong = f"{type(e).__name__}: {e}"
                    results.append(broken)
        return results

    with concurrent.futures.ThreadPoolExecutor(PAIRS) as pool:
        return [cell for cells in pool.map(pair, range(PAIRS)) for cell in cells]


@case("mismatches, initiator", "we ask strongSwan, and find out what it is")
def initiator():
    """Right code in nine of ten, and never a proof that was none."""
    start, mismatches = time.monotonic(), mismatch.CONTROLS + mismatch.MISMATCHES
    cells = spread("ask", mismatches, cell)
    wrong, lies = [c for c in cells if c.wrong], [c for c in cells if c.lied]
    right = len(cells) - len(wrong)
    said = "".join(f"; {c.name}: {c.wrong}" for c in wrong)
    figure = f"{right} of {len(cells)} right, {len(lies)} falsely proven, at most {max(c.asked for c in cells)} questions, {time.monotonic() - start:.0f} s{said}"
    return check(right >= 0.9 * len(cells) and not lies, figure)


@case("mismatches, initiator", "a peer is asked at a pace, and not without end")
def pace():
    """However often it is ordered: counted on the wire of the peer's side."""
    with Pair("pace") as lab:
        ends = mismatch.Ends(lab)
        m = mismatch.find("IKE group of another kind")
        begin(ends, m)
        start, codes = time.monotonic(), []
        while time.monotonic() - start < 75:
            status, document = ends.us.api("POST", f"connections/{m.connection}/probe")
            codes.append(status)
            if status == 429:
                break
        # each left a line where the peer read it, or not at all
        seen = ends.peer.process.text().count("parsed IKE_SA_INIT request")
        return check(codes[-1] == 429 and codes[0] == 200 and seen <= MOST, f"answers {codes}, {seen} messages at the peer")
