"""One thing differs between us and strongSwan 5.9.8: we ask, are refused, and find out with `why --probe` what it is. Then each fix that is proposed is applied.

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
# a message that nobody has authenticated, and how many of them may leave in two minutes
PACE, MOST = 5, 12


class Cell:
    """What became of one mismatch."""

    def __init__(self, name):
        self.name, self.wrong, self.lied, self.asked, self.fixes, self.broken = name, "", False, 0, [], []


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
    return result, failure


def repaired(ends, m, role, failure):
    """Applies every fix that a machine can apply, one at a time, each from the mismatch as it was. Those that did not help, and how many there were.

    Where the cause is proven each must help. Where it is one of several possibilities one of them must: the others mend what is not broken."""
    fixes = [f for f in failure["fix"] if f.get("set") is not None or f.get("command") or "secret" in (f.get("path") or "")]
    failed = []
    for fix in fixes:
        ends.set(m)
        ends.apply(fix)
        ends.us.client("down", m.connection)
        if not ends.up(8) or not ends.installed():
            failed.append(f"{role}: {fix['side']} {fix.get('path')} = {fix.get('set')}")
        elif m.at == "rekey" and not rekeys(ends, m):
            failed.append(f"{role}, rekey: {fix['side']} {fix.get('path')} = {fix.get('set')}")
        elif failure["certainty"] == "likely":
            return [], len(fixes)
    return failed, len(fixes)


def rekeys(ends, m):
    """Our child is rekeyed."""
    return ends.us.client("rekey", f"{m.connection}/net")[0] == 0


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
    cells = spread("ask", mismatches, lambda ends, m: cell(ends, m)[0])
    wrong, lies = [c for c in cells if c.wrong], [c for c in cells if c.lied]
    right = len(cells) - len(wrong)
    said = "".join(f"; {c.name}: {c.wrong}" for c in wrong)
    figure = f"{right} of {len(cells)} right, {len(lies)} falsely proven, at most {max(c.asked for c in cells)} questions, {time.monotonic() - start:.0f} s{said}"
    return check(right >= 0.9 * len(cells) and not lies, figure)


@case("fixes", "each proposed fix is applied, and the tunnel comes up")
def fixes():
    """As initiator after `why --probe`, and as responder."""
    def work(ends, m):
        result, failure = cell(ends, m)
        if failure:
            result.broken, count = repaired(ends, m, "initiator", failure)
            result.fixes.append(count)
        if m.responder:
            ends.set(m)
            ends.begin()
            if m.at != "connect":
                ends.until_up()
            if m.at == "rekey":
                ends.rekey()
            failure = ends.told()
            if failure:
                broken, count = repaired(ends, m, "responder", failure)
                result.broken += broken
                result.fixes.append(count)
        return result

    start = time.monotonic()
    cells = spread("fix", mismatch.MISMATCHES, work)
    bad = [c for c in cells if c.broken or not c.fixes]
    said = "".join(f"; {c.name}: {', '.join(c.broken) or c.wrong or 'no diagnosis'}" for c in bad)
    count = sum(sum(c.fixes) for c in cells)
    return check(not bad, f"{count} fixes of {len(cells)} mismatches, {len(bad)} without success, {time.monotonic() - start:.0f} s{said}")


@case("mismatches, initiator", "a peer is asked at a pace, and not without end", quick=False)
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
