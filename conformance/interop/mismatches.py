"""One thing differs between strongSwan 5.9.8 and us: strongSwan asks, we answer and say what it is.

All cells of a row take turns in one lab: both ends read the next pair of configurations. Each cell's connection has a name of its own, and beside it stand two
that have nothing to do with it: one of another peer, and one that takes anybody; no diagnosis may be told of them.
"""
import time

from lab import mismatch
from lab.cases import case, check
from lab.net import LabError
from lab.pair import Pair
from lab.vici import ViciError

ROW = "mismatches, responder"
DECOYS = {
    "another": {"remote_addrs": ["192.0.2.77"], "local": {"auth": "psk", "id": mismatch.LEFT}, "remote": {"auth": "psk", "id": "another.example"}},
    "anybody": {"remote_addrs": ["%any"], "local": {"auth": "psk", "id": "hub.example"}, "remote": {"auth": "psk", "id": "nomad.example"}},
}


def beside(document):
    """Adds the two."""
    for name, keys in DECOYS.items():
        net = {"anybody": "10.66.0.0/24", "another": "10.77.0.0/24"}[name]
        child = {"local_ts": ["10.1.0.0/24"], "remote_ts": [net], "esp_proposals": [mismatch.ESP], "start_action": "none"}
        document["connections"][name] = dict(keys, proposals=[mismatch.IKE], children={"net": child})
        document["secrets"][name] = {"id": [keys["remote"]["id"]], "secret": f"{name} has nothing to do with it 1"}


def ask(ends, m):
    """strongSwan asks, and rekeys where only that shows it: what was told, or None."""
    ends.begin()
    if m.at != "connect":
        ends.until_up()
    if m.at == "rekey":
        ends.rekey()
    return ends.told() if m.responder else ends.failure() or next(iter(ends.why()), None)


def cell(ends, m):
    """What was told, if it is not what should have been."""
    ends.set(m, beside)
    failure = ask(ends, m)
    if m.at != "connect" and not ends.installed():
        return f"the child is not up ({failure and failure['code']})"
    if not m.right("responder", failure):
        return f"{failure['code']} ({failure['certainty']}, {failure['candidates']})" if failure else "nothing is told"
    wrong = [f"{failure['code']} is not proven"] if m.lies("responder", failure) else []
    if failure:
        if m.differing and failure["differing"] != [m.differing]:
            wrong.append(f"differing {failure['differing']}")
        if failure["code"] not in [d["code"] for d in ends.diagnoses()]:
            wrong.append("not in /v1/diagnoses")
        if failure["code"] not in [d["code"] for d in ends.why()]:
            wrong.append("not found by why")
    others = [name for name in DECOYS if ends.failure(name)]
    if others:
        wrong.append(f"told of {others}")
    return ", ".join(wrong)


def row(mismatches):
    """Every cell, and what it took."""
    with Pair("mis") as lab:
        ends, wrong, begin = mismatch.Ends(lab), [], time.monotonic()
        for m in mismatches:
            try:
                said = cell(ends, m)
            except (TimeoutError, LabError, ViciError) as e:
                said = f"{type(e).__name__}: {e}"
            if said:
                wrong.append(f"{m.name}: {said}")
        right = len(mismatches) - len(wrong)
        return check(not wrong, f"{right} of {len(mismatches)} right in {time.monotonic() - begin:.0f} s{'; ' + '; '.join(wrong) if wrong else ''}")


EACH = ("IKE encryption", "ESP integrity", "secret", "our ID, as the peer expects it", "the peer's networks, disjoint", "our networks, narrower there", "version")
case(ROW, "strongSwan asks, one of each kind", quick=True)(lambda: row([mismatch.find(name) for name in EACH]))
case(ROW, "strongSwan asks")(lambda: row(mismatch.CONTROLS + mismatch.MISMATCHES + mismatch.SECRETS))
